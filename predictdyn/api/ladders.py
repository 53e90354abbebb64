"""Ladders: an outcome by way of a loss or another measure, learnt from finished runs, with what one may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from predictdyn.api.laws import DRAWS, FAR_OUT, ROWS, FittedLaw, facts_of
from predictdyn.api.measures import as_losses, logarithms
from predictdyn.api.reading import tell
from predictdyn.api.show import html_table
from predictdyn.curves import Curves
from predictdyn.laws import checks, surfaces
from predictdyn.laws.ability import SURELY
from predictdyn.laws.collinear import EXACT
from predictdyn.laws.finished import Finished, finished_runs
from predictdyn.laws.formula import Number
from predictdyn.laws.ladder import BEGUN, Ladder, OutcomeFacts, ladder_of, questions
from predictdyn.laws.ladder_account import held_out_by_ladder, numbers_of, written
from predictdyn.laws.reading import Plans
from predictdyn.laws.replay import dearness
from predictdyn.naming import some

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from predictdyn.report.figures.scaling import Picture

LEVELS = {"median": 0.5, "q0.05": 0.05, "q0.95": 0.95}


@dataclass(frozen=True, repr=False)
class FittedLadder:
    """Outcomes by way of measures: a law from the plan to the measures, and a map from them to each outcome.

    ``first`` is the law of the first step, of the (first) measure. Plans are forecast through both steps; a plan that
    gives the measures themselves needs the second one alone.
    """

    ladder: Ladder
    first: FittedLaw
    finished: Finished  # of the first target
    rows: pd.DataFrame | None  # checkpoints that the maps were learnt from
    settings: Mapping[str, Any]
    seed: int
    call: str
    lines: tuple[str, ...]
    logs: Mapping[str, str] = field(default_factory=dict)  # measures that are logarithms, and of what

    @property
    def target(self) -> str:
        """The first outcome, which pages show."""
        return self.targets[0]

    @property
    def targets(self) -> list[str]:
        """All outcomes."""
        return [one.name for one in self.ladder.outcomes]

    @property
    def via(self) -> list[str]:
        """The measures on the way."""
        return list(self.ladder.ability.via)

    @property
    def inputs(self) -> list[str]:
        """The columns that a plan needs."""
        return self.first.inputs

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines on the data: what was read, guessed and left out."""
        return tuple(dict.fromkeys([*self.first.notes, *self.finished.notes, *self.lines]))

    @property
    def law(self) -> Any:
        """The law of the first step, as pages of laws show it."""
        return self.first.law

    @property
    def formula(self) -> str:
        """Both steps with the medians of their numbers, a line each."""
        return "\n".join(self.steps)

    @cached_property
    def steps(self) -> list[str]:
        """The law of the measure, then the map of each outcome, with the medians of their numbers."""
        return [self.first.formula, *(written(self.ladder, i, own)[1] for i, own in enumerate(self._numbers))]

    @property
    def shown(self) -> tuple[str, str, float]:
        """The map that a page shows, with symbols and with numbers; the weight of the structure below it."""
        return (*written(self.ladder, 0, self._numbers[0]), self.first.shown[2])

    @property
    def page(self) -> dict[str, Any]:
        """What a page of both steps says besides."""
        return {"via": self.via, "steps": self.steps, "measure": self.ladder.ability.parts[0]}

    @property
    def structures(self) -> pd.DataFrame:
        """The structures of the first step: see `FittedLaw.structures`."""
        return self.first.structures

    @cached_property
    def parameters(self) -> pd.DataFrame:
        """One row a number of the maps, then of the law of the first step: median and 90 % interval."""
        rows = []
        for place, numbers in enumerate(self._numbers):
            symbols = written(self.ladder, place, numbers)[0]
            for one in numbers:
                low, middle, high = np.quantile(one.draws, (0.05, 0.5, 0.95))
                rows.append((symbols, one.symbol, one.meaning, "", middle, low, high, 1.0, place == 0))
        own = self.first.parameters
        return pd.concat([pd.DataFrame(rows, columns=own.columns), own.assign(shown=False)], ignore_index=True)

    @property
    def correlations(self) -> pd.DataFrame:
        """Posterior correlations of the numbers of the first outcome's map."""
        drawn = {one.symbol: one.draws for one in self._numbers[0] if np.ptp(one.draws) > 0}
        return pd.DataFrame(np.corrcoef(np.stack(list(drawn.values()))), index=list(drawn), columns=list(drawn))

    @cached_property
    def _numbers(self) -> list[list[Number]]:
        return [numbers_of(self.ladder, i, seed=self.seed) for i in range(len(self.targets))]

    @cached_property
    def held_out(self) -> pd.DataFrame:
        """The dearest 30 % of the finished runs as both steps, learnt from the others, forecast the first outcome."""
        dear = dearness(self.finished, dict(self.settings))
        place = pd.Series(dear, index=self.finished.runs).groupby(level=0).max()
        names = np.array(self.ladder.runs.index, dtype=object)
        known = place.reindex(names).fillna(0.0).to_numpy(dtype=float)
        runs = replace(self.ladder, runs=self.ladder.runs.reset_index(drop=True))
        return held_out_by_ladder(runs, self.inputs, names, known, self.rows, self.seed)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What may be wrong, each with what to do: of the first step, and of both together."""
        own = checks.of_held_out(self.held_out)
        return (*own, *(f"{self.first.target}: {line}" for line in self.first.warnings))

    def draws(self, table: pd.DataFrame | None = None, *, n: int = DRAWS, **plan: Any) -> np.ndarray:
        """Joint samples of all outcomes for each plan, (b, m, n): a column is one ladder for all of them together."""
        return self.ladder.draws(self._plans(table, plan), n=n, seed=self.seed)

    def predict(self, table: pd.DataFrame | None = None, **plan: Any) -> pd.DataFrame:
        """The outcomes of runs of other plans: a table with a column an input, or values as keywords.

        One row a plan and target: its inputs, target, median, mean, ``5 %``, ``95 %``, times and status as
        `FittedLaw.predict` has them. A plan may give the measures instead of the inputs.
        """
        plans = self._plans(table, plan)
        status = self.ladder.status(plans)
        if set(self.inputs) <= set(plans.columns):
            status = np.where(status == "ok", status, self.first.status(plans)).astype(object)
        drawn = self.ladder.draws(plans, n=DRAWS, seed=self.seed)
        planned = [name for name in self.inputs if name in plans]
        whole = len(planned) == len(self.inputs)
        times = checks.beyond(self.first.finished, plans) if whole else np.full(len(plans), np.nan)
        found = []
        for name, draws in zip(self.targets, drawn, strict=True):
            numbers = np.full((4, len(plans)), np.nan)
            good = np.isfinite(draws).all(axis=1)
            if good.any():
                low, middle, high = np.quantile(draws[good], (0.05, 0.5, 0.95), axis=1)
                numbers[:, good] = [middle, draws[good].mean(axis=1), low, high]
            columns = dict(zip(("median", "mean", "5 %", "95 %"), numbers, strict=True))
            found.append(
                plans.assign(target=name, **columns, times=np.where(status == "ok", times, np.nan), status=status)
            )
        joined: pd.DataFrame = pd.concat(found).sort_index(kind="stable").reset_index(drop=True)
        return joined

    def check(self, table: pd.DataFrame | None = None, **plan: Any) -> list[str]:
        """What to know of forecasts of some plans: how far each lies beyond the finished runs; empty where near."""
        plans = self._plans(table, plan)
        if not set(self.inputs) <= set(plans.columns):
            return checks.far_measures(self.ladder.runs[self.via], plans[self.via])
        return checks.cautions(self.first.finished, plans, [self.said(row) for _, row in plans.iterrows()])

    def said(self, plan: pd.Series) -> str:
        """A plan in words, with the outcome where there are several."""
        words = self.first.said(plan)
        return f"{words} ({plan['target']})" if "target" in plan and len(self.targets) > 1 else words

    def residuals(self) -> pd.DataFrame:
        """One row a finished run: inputs, first target, fitted (by its plan), residual, and whether it is far out."""
        table = self.finished.table
        plans = table[self.inputs]
        fitted = np.median(self.ladder.draws(plans, n=DRAWS, seed=self.seed, noise=False)[0], axis=1)
        truth = table[self.target].to_numpy(dtype=float)
        left = truth - fitted
        spread = max(float(np.median(np.abs(left - np.median(left)))) * 1.4826, 1e-12)
        found = table.assign(run=self.finished.runs, fitted=fitted, residual=left)
        found["far_out"] = np.abs(left - np.median(left)) > FAR_OUT * spread
        if self.finished.cost is not None:
            found["cost"] = self.finished.cost(table)
        return found[["run", *[name for name in found.columns if name != "run"]]]

    def optimal(self, compute: float | Sequence[float], **settings: Any) -> Any:
        """Not answered: outcomes follow the measure, so the best plan is that of the measure.

        Raises ValueError that says how to ask for it.
        """
        raise ValueError(_no_optimum(self.target, self.logs.get(self.first.target, self.first.target)))

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """The first outcome over cost (or the main input): finished runs, those held out, and where the ladder goes."""
        from predictdyn.api.plots import axes_or_new
        from predictdyn.report.figures import scaling

        return scaling.paint_target(axes_or_new(ax), self.picture)

    @cached_property
    def picture(self) -> Picture:
        """What figures are drawn from: tables of finished and held-out runs, and of the ladder along its main input."""
        below = self.first.picture
        line = below.line
        if len(line):
            drawn = self.ladder.draws(line[self.inputs], n=surfaces.DRAWS, seed=self.seed, noise=False)[0]
            line = line.assign(**{name: np.quantile(drawn, level, axis=1) for name, level in LEVELS.items()})
        held, cost = self.held_out, self.finished.cost
        if cost is not None and below.x == "cost" and len(held):
            held = held.assign(cost=cost(held))
        nothing = pd.DataFrame()
        return below._replace(
            target=self.finished.label, column=self.target, runs=self.residuals(), held=held, line=line,
            surface=nothing, budgets=nothing,
        )  # fmt: skip

    def save(
        self,
        folder: Path | str,
        *,
        predict: pd.DataFrame | Sequence[Mapping[str, Any]] = (),
        title: str = "Capability from loss",
    ) -> Path:
        """Write tables, figures and a page into a new folder, as the command does; returns the page's path."""
        from predictdyn.api.law_files import save

        return save(self, Path(folder), predict=predict, compute=(), title=title)

    def _plans(self, table: pd.DataFrame | None, plan: Mapping[str, Any]) -> pd.DataFrame:
        """Plans as numbers; those that give all measures need no inputs."""
        new = {name: log for log, name in self.logs.items()}
        _check_table(table)
        if table is not None:
            table = logarithms(table.rename(columns=str), new)
        for name in set(new) & set(plan):
            own = logarithms(pd.DataFrame({name: np.atleast_1d(plan[name])}), new)
            plan = {**{one: value for one, value in plan.items() if one != name}, new[name]: own[new[name]].tolist()}
        given = table.columns if table is not None else plan
        if set(self.via) <= set(map(str, given)) and not set(self.inputs) <= set(map(str, given)):
            half = [name for name in map(str, given) if name in self.inputs]
            if half and table is None:
                raise ValueError(
                    f"a plan gives {some(self.via)} or its inputs, not both; got {half[0]} beside {some(self.via)}"
                )
            measures = pd.DataFrame(
                {name: np.atleast_1d((plan if table is None else table)[name]) for name in self.via}
            )
            numbers: pd.DataFrame = measures.apply(pd.to_numeric, errors="coerce")
            return numbers
        return self.first.asked(table, plan)

    def __repr__(self) -> str:
        what, via = some(self.targets), some(self.via)
        return f"FittedLadder of {what} via {via}, {len(self.finished.table)} runs: {'; '.join(self.steps[:2])}"

    def _repr_html_(self) -> str:
        table = self.parameters[["symbol", "meaning", "median", "5 %", "95 %"]]
        caption = f"{'; '.join(self.steps[:2])}; {len(self.finished.table)} runs"
        return html_table(table, caption, ROWS)


def fit_ladder(
    data: Curves | pd.DataFrame,
    target: str | Sequence[str],
    measures: str | Sequence[str],
    inputs: Sequence[str] | None,
    *,
    given: Mapping[str, Any],
    asked: float | Mapping[str, float] | None,
    cost: str | Callable[[pd.DataFrame], np.ndarray] | None,
    towards: Plans | None,
    compute: float | Sequence[float],
    seed: int,
    first: Callable[..., FittedLaw],
) -> FittedLadder:
    """Both steps: see `fit_law`, of which this is the part with ``via``; ``first`` fits the law of a measure."""
    targets, via = _names_of(target), _names_of(measures)
    both = sorted({*targets} & {*via})
    if both:
        raise ValueError(f"{both[0]!r} is a target, so it is not on the way; name another with via=")
    if np.size(compute):
        raise ValueError(_no_optimum(targets[0], via[0]))
    named = via
    data, via, logs, said_of_logs = as_losses(data, via)
    known = finished_runs(data, targets[0], inputs, cost)
    chosen = [name for name in known.inputs if name not in (*via, *targets)]
    # What follows from inputs is no input, but the cost may be made of it.
    asked_of = [*chosen, *(name for name, rule in known.reading.collinear.items() if rule.apart <= EXACT)]
    parts = {name: finished_runs(data, name, asked_of, cost) for name in (*via, *targets)}
    for name, one in parts.items():
        if len(set(one.runs)) < len(one.runs):
            raise ValueError(f"{name}: two finished runs have one name; give each row a name of its own")
    names = list(dict.fromkeys(run for one in parts.values() for run in one.runs))
    table = pd.DataFrame(index=pd.Index(names))
    for name in chosen:
        column = pd.concat([pd.Series(one.table[name].to_numpy(), index=one.runs) for one in parts.values()])
        table[name] = column[~column.index.duplicated()].reindex(names)
    for name, one in parts.items():
        table[name] = pd.Series(one.table[name].to_numpy(dtype=float), index=one.runs).reindex(names)
    outcomes, lines = [], said_of_logs
    if isinstance(asked, Mapping) and (unknown := [name for name in asked if name not in targets]):
        raise ValueError(f"questions= names {unknown[0]!r}, which is no target; targets are {some(targets, 12)}")
    for name in targets:
        facts, said = _facts(parts[name], table[list(via)], given)
        lines += said
        items = _items(name, asked)
        if items is not None and not {"lower", "upper"} <= set(facts):
            lines.append(
                f"questions= is not used for {name}, which is taken as a loss; give fractions, or of counts state "
                "lower=0, upper=QUESTIONS, better='higher'"
            )
        outcomes.append(
            OutcomeFacts(name, facts.get("lower"), facts.get("upper"), str(facts.get("better", "lower")),
                    facts.get("chance"), items)
        )  # fmt: skip
    rows = None
    if isinstance(data, Curves):
        rows = checkpoints(data, targets, via)
        errors = questions(data, targets)
        outcomes = [replace(one, items=one.items or errors.get(one.name)) for one in outcomes]
        if len(rows) <= len(table):
            rows = None
    below = first(
        data, via[0], asked_of, cost=cost, towards=towards, seed=seed,
        **_of_measure(table[via[0]], table[targets[0]] * (1 if outcomes[0].better == "higher" else -1), via[0] in logs),
    )  # fmt: skip
    plans = None if towards is None else below.finished.reading.plans(towards)
    ladder = ladder_of(table, outcomes, via, chosen, rows=rows, towards=plans, first=below.law, seed=seed)
    settings, _ = _facts(parts[targets[0]], table[list(via)], given)
    words = [repr(targets[0] if len(targets) == 1 else list(targets))]
    words += [repr(list(inputs))] if inputs is not None else []
    words += [f"via={named[0]!r}" if len(named) == 1 else f"via={list(named)!r}"]
    words += [f"{name}={value!r}" for name, value in given.items() if value is not None]
    words += [f"questions={asked!r}"] if asked is not None else []
    words += [f"cost={cost!r}" if isinstance(cost, str) else "cost=cost"] if cost is not None else []
    words += ["towards=plans"] if towards is not None else []
    words += [f"seed={seed}"] if seed else []
    call = f"predictdyn.fit_law(data, {', '.join(words)})"
    finished = replace(parts[targets[0]], reading=below.finished.reading)
    tell(lines, stacklevel=3)
    return FittedLadder(ladder, below, finished, rows, settings, seed, call, tuple(lines), logs)


def _check_table(table: object) -> None:
    if table is not None and not isinstance(table, pd.DataFrame):
        raise ValueError(f"a table of plans is a data frame, got {type(table).__name__}; give others as keywords")


def _of_measure(value: pd.Series, outcome: pd.Series, logarithm: bool) -> dict[str, Any]:
    """Bounds and direction of a measure that its values tell, for a first step that is the law that is used.

    A measure below zero is a log-probability, unless the outcome, higher better, surely says otherwise.
    """
    if logarithm:
        return {"lower": 0.0, "better": "lower"}
    if value.max() < 0 and not value.corr(outcome, method="spearman") < -SURELY:
        return {"upper": 0.0, "better": "higher"}
    return {}


def _no_optimum(target: str, measure: str) -> str:
    return (
        f"the best plan for {target} is that for {measure}, on which it rests; ask for a law of {measure} without via="
    )


def _names_of(names: str | Sequence[str]) -> list[str]:
    found: list[Any] = [names] if isinstance(names, str) or np.ndim(names) == 0 else list(dict.fromkeys(names))
    if wrong := [name for name in found if not isinstance(name, str)]:
        raise ValueError(f"target and via= are names of columns or metrics, got {wrong[0]!r}")
    if not found:
        raise ValueError("target and via= are names of columns or metrics, got an empty list")
    return found


def _items(name: str, asked: float | Mapping[str, float] | None) -> float | None:
    """How many questions an outcome has, if it is known. Raises ValueError where that is no number from 1 on."""
    items: object = asked.get(name) if isinstance(asked, Mapping) else asked
    if items is None:
        return None
    if isinstance(items, bool) or not isinstance(items, int | float | np.number) or not 1 <= items < np.inf:
        raise ValueError(f"questions= is how many {name} has, a number from 1 on, got {items!r}")
    return float(items)


def _facts(found: Finished, via: pd.DataFrame, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Bounds, direction and chance of a target; without any it is an accuracy if it lies in [0, 1]."""
    value = pd.Series(found.table[found.target].to_numpy(dtype=float), index=found.runs)
    inside = bool(value.between(0.0, 1.0).all())
    known, lines = facts_of(found, given)
    if {"lower", "upper"} & set(known):
        return known, lines
    if not inside:
        if known.get("chance") is not None:
            lines = [
                f"{found.target} goes from {value.min():.4g} to {value.max():.4g}, so it is no accuracy between 0 and "
                "1 and chance= is not used; give fractions, or state bounds with lower=, upper=",
                *lines,
            ]
        return known, lines
    facts: dict[str, Any] = {"lower": 0.0, "upper": 1.0}
    measure = via.iloc[:, 0].reindex(value.index)
    falls = value.corr(measure, method="spearman") < 0
    facts["better"] = "higher" if falls == bool((measure.dropna() >= 0).all()) else "lower"
    facts, lines = facts_of(found, {**facts, **{name: one for name, one in given.items() if one is not None}})
    line = (
        f"{found.target} is taken as between 0 and 1, {facts['better']} is better, by its values; no value is lost; "
        "state others with lower=, upper=, better=, chance="
    )
    return facts, [line, *lines]


def checkpoints(curves: Curves, targets: Sequence[str], via: Sequence[str]) -> pd.DataFrame:
    """Rows of run, measures and outcomes at the checkpoints of all runs, once they have well begun.

    Measures are taken at the steps of outcomes, between their own checkpoints on a line in the logarithm of the step.
    """
    found = []
    for run, last in curves.runs["last_step"].astype(float).items():
        series = [curves.series.get((str(run), name)) for name in via]
        if any(one is None or not len(one.step) for one in series):
            continue
        known = [one for one in series if one is not None]
        begin = max([BEGUN * last, *(float(one.step[0]) for one in known)])
        end = min(float(one.step[-1]) for one in known) * (1 + 1e-9)
        own = {name: curves.series.get((str(run), name)) for name in targets}
        steps = np.unique(np.concatenate([np.zeros(0), *(one.step for one in own.values() if one is not None)]))
        steps = steps[(steps >= begin) & (steps <= end) & (steps > 0)]
        table = pd.DataFrame({"run": str(run), "step": steps})
        for name, measure in zip(via, known, strict=True):
            table[name] = np.interp(np.log(steps), np.log(np.maximum(measure.step, 1e-9)), measure.value)
        for name, one in own.items():
            value = {} if one is None else dict(zip(one.step.tolist(), one.value.tolist(), strict=True))
            table[name] = [value.get(step, np.nan) for step in steps.tolist()]
        found.append(table)
    columns = ["run", "step", *via, *targets]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)

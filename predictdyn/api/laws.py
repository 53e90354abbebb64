"""Laws: how a target depends on the plan of a run, learnt from finished runs, with all that one may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pandas as pd

from predictdyn.api.law_budgets import best_plans, check_budgets
from predictdyn.api.reading import tell
from predictdyn.api.show import html_table
from predictdyn.curves import Curves
from predictdyn.laws import checks, surfaces
from predictdyn.laws.account import correlations_of, formulas_of, parameters_of, shown_member, structures_of
from predictdyn.laws.finished import Finished, finished_runs
from predictdyn.laws.law import Law, inputs_of, law_of
from predictdyn.laws.reading import Plans
from predictdyn.laws.replay import held_out
from predictdyn.loaders.engine.facts import log_metrics
from predictdyn.naming import some
from predictdyn.report.words import short_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from predictdyn.api.ladders import FittedLadder
    from predictdyn.laws.optimal import Optimum
    from predictdyn.report.figures.scaling import Picture

DRAWS = 1000
ROWS = 20  # of a repr
FAR_OUT = 3.0  # robust standard deviations, from which a residual is marked
PERCENT = 100.0
CHANCE_NOISE = 0.05  # of the range, that values may be worse than chance; the link of a law ignores chance beyond
LOWEST_RANK = 0.3  # rank correlation of cost and target, from which the direction seems wrong


@dataclass(frozen=True, repr=False)
class FittedLaw:
    """A law of one target: a mixture of structures with the posterior of their numbers, learnt from finished runs.

    ``notes`` say what was read, guessed and left out, ``warnings`` what may be wrong with the law. Nothing depends on
    the names of columns but for what notes say was guessed.
    """

    law: Law
    finished: Finished
    settings: Mapping[str, Any]
    seed: int
    call: str
    page: Mapping[str, Any] = field(default_factory=dict)  # what its page says besides

    @property
    def target(self) -> str:
        """The column, or metric, that the law is of."""
        return self.finished.target

    @property
    def inputs(self) -> list[str]:
        """The columns that a plan needs."""
        return self.finished.inputs

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines on the data: what was read, guessed and left out."""
        dropped = [f"input {name} is not used: it {why}" for name, why in self.law.inputs.dropped.items()]
        return (*self.finished.notes, *dropped)

    @property
    def formula(self) -> str:
        """The structure that pages show, with the medians of its numbers. Forecasts use all structures."""
        return self.shown[1]

    @property
    def shown(self) -> tuple[str, str, float]:
        """The structure that pages show: with symbols, with numbers, and its weight."""
        return next((one.symbols, one.filled, weight) for _, one, weight, shown in formulas_of(self.law) if shown)

    @cached_property
    def structures(self) -> pd.DataFrame:
        """One row a structure, heaviest first: in words, as a formula, weight, CRPS of held-out runs, whether shown.

        ``held_out_crps`` is in units of the target; ``discrepancy`` is the part of the weight that has a process around
        the law.
        """
        return structures_of(self.law)

    @cached_property
    def parameters(self) -> pd.DataFrame:
        """One row a number of the structure that is shown and of the heaviest: median and 90 % interval.

        Numbers are in the units of the inputs: A of ``A / params^a`` is for params as they are in the table.
        """
        return parameters_of(self.law).rename(columns={"q0.05": "5 %", "q0.95": "95 %"})

    @cached_property
    def correlations(self) -> pd.DataFrame:
        """Posterior correlations of the numbers of the structure that is shown."""
        return correlations_of(self.law)

    @cached_property
    def held_out(self) -> pd.DataFrame:
        """The dearest 30 % of the finished runs as a law of the others forecasts them: one row a run.

        truth, median, ``q0.05``, ``q0.95``, inside (of the 90 % interval), crps, and crps_dearest of the simple guess
        that a run ends as the dearest third of the others did. The law of the others sees nothing of these runs.
        """
        return held_out(self.finished, dict(self.settings), seed=self.seed)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What may be wrong with the law, each with what to do; empty where nothing was found."""
        member = shown_member(self.law)
        return tuple(checks.findings(self.finished, self.law, self.held_out, dict(self.settings), member))

    def draws(self, table: pd.DataFrame | None = None, *, n: int = DRAWS, **plan: Any) -> np.ndarray:
        """Samples of the target for each plan, (m, n), in its units; a column is one law for all of them together."""
        plans = self.asked(table, plan)
        return self.law.draws(plans, n=n, seed=self.seed)

    def predict(self, table: pd.DataFrame | None = None, **plan: Any) -> pd.DataFrame:
        """The target of runs of other plans: a table with a column an input, or values as keywords.

        One row a plan: its inputs, median, mean, ``5 %``, ``95 %``, times (how many times larger it is than the largest
        finished run, in cost or else in its farthest input), and status: "ok", or why there is no answer. Raises
        ValueError for a plan that lacks an input, or has text where a number is due.

        >>> rng = np.random.default_rng(0)
        >>> runs = pd.DataFrame({"params": 10 ** rng.uniform(6, 8, 30)})
        >>> law = fit_law(runs.assign(loss=2.0 + 50.0 * runs["params"] ** -0.3), "loss")
        >>> found = law.predict(params=["1B", 0])
        >>> round(float(found["median"][0]), 1), found["status"].tolist()
        (2.1, ['ok', 'params is zero'])
        """
        plans = self.asked(table, plan)
        draws = self.law.draws(plans, n=DRAWS, seed=self.seed)
        status = self.status(plans)
        found = np.full((4, len(plans)), np.nan)
        good = np.isfinite(draws).all(axis=1)
        if good.any():
            found[:, good] = [np.median(draws[good], axis=1), draws[good].mean(axis=1), *_ends(draws[good])]
        numbers = dict(zip(("median", "mean", "5 %", "95 %"), found, strict=True))
        times = np.where(status == "ok", checks.beyond(self.finished, plans), np.nan)
        return plans.assign(**numbers, times=times, status=status)

    def check(self, table: pd.DataFrame | None = None, **plan: Any) -> list[str]:
        """What to know of forecasts of some plans: how far each lies beyond the finished runs; empty where near."""
        plans = self.asked(table, plan)
        return checks.cautions(self.finished, plans, [self.said(row) for _, row in plans.iterrows()])

    def said(self, plan: pd.Series) -> str:
        """A plan in words."""
        names = [
            *self.inputs,
            *(name for name in self.finished.reading.optional if name in plan and pd.notna(plan[name])),
        ]
        return "a run with " + ", ".join(f"{name} {_word(plan[name])}" for name in names if name in plan)

    def residuals(self) -> pd.DataFrame:
        """One row a finished run: inputs, target, fitted (without noise), residual, and whether it is far out."""
        plans = self.finished.table[self.inputs]
        fitted = np.median(self.law.draws(plans, n=DRAWS, seed=self.seed, noise=False), axis=1)
        truth = self.finished.table[self.target].to_numpy(dtype=float)
        left = self.law.link.latent(truth) - self.law.link.latent(fitted)
        spread = max(float(np.median(np.abs(left - np.median(left)))) * 1.4826, 1e-12)
        found = self.finished.table.assign(run=self.finished.runs, fitted=fitted, residual=truth - fitted)
        found["far_out"] = np.abs(left) > FAR_OUT * spread
        if self.finished.cost is not None:
            found["cost"] = self.finished.cost(self.finished.table)
        return found[["run", *[name for name in found.columns if name != "run"]]]

    def optimal(self, compute: float | Sequence[float], **settings: Any) -> Optimum:
        """The plan with the best target for a budget: each input and the target there, with 90 % intervals.

        ``compute`` is in the units of the cost; see `predictdyn.laws.optimal.optimal` for limits of inputs and other
        settings. Of several groups each has its own rows, named in ``group``; ``fixed={"data": "c4"}`` asks for one.
        Raises ValueError where no cost is known: name it with cost=... in fit_law.
        """
        return best_plans(self.law, self.finished, compute, settings)

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """The target over cost (or the main input): finished runs, those held out, and where the law goes on."""
        from predictdyn.api.plots import axes_or_new
        from predictdyn.report.figures import scaling

        return scaling.paint_target(axes_or_new(ax), self.picture)

    def plot_residuals(self, *, ax: Axes | None = None) -> Axes:
        """What the law leaves over, over cost: of finished runs, and of those that were held out."""
        from predictdyn.api.plots import axes_or_new
        from predictdyn.report.figures import scaling

        return scaling.paint_residuals(axes_or_new(ax), self.picture)

    def plot_contours(self, *, ax: Axes | None = None) -> Axes:
        """The target over two inputs as contours, with lines of equal cost and the way of the best plan."""
        from predictdyn.api.plots import axes_or_new
        from predictdyn.report.figures import scaling

        if not len(self.picture.surface):
            raise ValueError("plot_contours needs two inputs that are positive numbers")
        return scaling.paint_contours(axes_or_new(ax), self.picture)

    def plot_isoflops(self, *, ax: Axes | None = None) -> Axes:
        """The target along plans of equal cost, a line a budget, with the best plan of each."""
        from predictdyn.api.plots import axes_or_new
        from predictdyn.report.figures import scaling

        if not len(self.picture.budgets):
            raise ValueError("plot_isoflops needs a cost that is made of two inputs; name it with cost=... in fit_law")
        return scaling.paint_budgets(axes_or_new(ax), self.picture)

    @cached_property
    def path(self) -> pd.DataFrame:
        """The best plan and the target there for budgets from the cheapest run to ten times the dearest; may be empty.

        One row a budget: cost, the inputs, median, ``q0.05`` and ``q0.95`` of the target. Empty where no cost is known,
        or where no structure has an optimum.
        """
        cost, main = self.finished.cost, surfaces.main_inputs(self.finished)
        if cost is None or len(main) < 2 or not set(cost.columns) <= set(self.inputs):
            return pd.DataFrame()
        price = cost(self.finished.table)
        levels = np.geomspace(price.min(), surfaces.AHEAD * price.max(), surfaces.BUDGETS).tolist()
        rest = surfaces.middle(self.finished)
        # Figures are of the commonest group.
        group = {name: rest[name].iloc[0] for name in self.law.inputs.by}
        try:
            found = self.optimal(levels, n=100, fixed=group)
        except ValueError:
            return pd.DataFrame()
        plans = found.table.pivot_table(index="compute", columns="quantity", values="estimate")
        # An input may be called compute, too.
        budgets, plans = plans.index.to_numpy(), plans.reset_index(drop=True)
        plans = plans.assign(**{name: rest[name].iloc[0] for name in self.inputs if name not in plans})
        return surfaces.forecasts(self.law, plans[self.inputs], noise=False).assign(cost=budgets)

    @cached_property
    def picture(self) -> Picture:
        """What figures are drawn from: tables of finished and held-out runs, and of the law over its inputs."""
        from predictdyn.report.figures.scaling import Picture

        cost, main, held = self.finished.cost, surfaces.main_inputs(self.finished), self.held_out
        over = cost is not None and set(cost.columns) <= set(self.inputs)
        if cost is not None and over and len(held):
            held = held.assign(cost=cost(held))
        x = "cost" if over else main[0] if main else self.law.inputs.names[0]
        unit = f", {cost.unit}" if cost and cost.unit else ""
        nothing = pd.DataFrame()
        line = (
            surfaces.along(self.law, self.finished, main[0]) if len(main) == 1 and x in ("cost", *main) else self.path
        )
        line = line.assign(cost=cost(line)) if cost is not None and over and len(main) == 1 else line
        return Picture(
            target=self.finished.label, column=self.target, x=x, x_label=f"cost{unit}" if over else x,
            main=tuple(main), runs=self.residuals(), held=held, line=line, asked=nothing,
            surface=surfaces.over(self.law, self.finished, main[0], main[1]) if len(main) == 2 else nothing,
            budgets=surfaces.budgets(self.law, self.finished, main[0], main[1]) if len(main) == 2 else nothing,
        )  # fmt: skip

    def save(
        self,
        folder: Path | str,
        *,
        predict: pd.DataFrame | Sequence[Mapping[str, Any]] = (),
        compute: float | Sequence[float] = (),
        title: str = "Scaling law",
    ) -> Path:
        """Write tables, figures and a page into a new folder, as the command does; returns the page's path.

        ``predict`` are plans to forecast (by default the dearest run made ten times larger), ``compute`` budgets whose
        best plan is told. Raises ValueError where the folder is not new.
        """
        from predictdyn.api.law_files import save

        return save(self, Path(folder), predict=predict, compute=compute, title=title)

    def asked(self, table: pd.DataFrame | None, plan: Mapping[str, Any]) -> pd.DataFrame:
        """Plans, of a table or as keywords, as numbers. Raises ValueError for both or none, and for unequal lengths."""
        if (table is None) == (not plan):
            raise ValueError(
                f"give a table of plans, or values of {some(self.inputs, 12)} as keywords, not both or none"
            )
        if table is None:
            self.finished.reading.must_know(plan)
            lengths = {len(value) for value in plan.values() if _several(value)}
            if len(lengths) > 1:
                raise ValueError(f"plans have one length, got {', '.join(map(str, sorted(lengths)))}")
            n = next(iter(lengths), 1)
            table = pd.DataFrame({
                name: list(value) if _several(value) else [value] * n for name, value in plan.items()
            })  # fmt: skip
        return self.finished.reading.plan(table)

    def status(self, plans: pd.DataFrame) -> np.ndarray:
        """For each plan (m,) "ok", or which input has no place in the law."""
        status = self.law.status(plans)
        for row in np.flatnonzero(status != "ok"):
            for name in self.law.inputs.logs:
                value = float(plans[name].iloc[row])
                if not np.isfinite(value):
                    status[row] = f"{name} is missing"
                elif value <= 0:
                    status[row] = f"{name} is {'zero' if value == 0 else 'negative'}"
        return status

    def __repr__(self) -> str:
        used = ", ".join(self.law.inputs.names)
        return f"FittedLaw of {self.target} over {used}, {len(self.finished.table)} runs: {self.formula}"

    def _repr_html_(self) -> str:
        shown = self.parameters[self.parameters["shown"] & (self.parameters["group"] == "")]
        table = shown[["symbol", "meaning", "median", "5 %", "95 %"]]
        return html_table(table, f"{self.formula}; {len(self.finished.table)} runs", ROWS)


@overload
def fit_law(
    data: Curves | pd.DataFrame, target: str, inputs: Sequence[str] | None = None, *, via: None = None, **settings: Any
) -> FittedLaw: ...


@overload
def fit_law(
    data: Curves | pd.DataFrame, target: str | Sequence[str], inputs: Sequence[str] | None = None, *,
    via: str | Sequence[str], **settings: Any,
) -> FittedLadder: ...  # fmt: skip


def fit_law(  # type: ignore[misc] # the overloads say settings in short
    data: Curves | pd.DataFrame,
    target: str | Sequence[str],
    inputs: Sequence[str] | None = None,
    *,
    via: str | Sequence[str] | None = None,
    questions: float | Mapping[str, float] | None = None,
    lower: float | None = None,
    upper: float | None = None,
    better: str | None = None,
    chance: float | None = None,
    cost: str | Callable[[pd.DataFrame], np.ndarray] | None = None,
    towards: Plans | None = None,
    compute: float | Sequence[float] = (),
    nuts: bool = False,
    seed: int = 0,
) -> FittedLaw | FittedLadder:
    """Learn how a target depends on the plan of a run, from finished runs: a scaling law.

    ``data`` is a table with one row a run, or curves, whose finished runs count with their last value. ``inputs`` are
    columns; by default all that vary, but for labels and outcomes. Cells such as ``7B`` are numbers. ``lower`` and
    ``upper`` bound the target, ``better`` is "lower" or "higher", ``chance`` is what a model without skill has; where
    not given they are those of the metric, or of its name. ``cost`` is a column, a product such as
    ``"6*params*tokens"``, or a function of a table; without it 6 x parameters x tokens where columns are called so.
    ``towards`` are plans in question: structures are weighed by forecasts in their direction. ``compute`` are budgets
    in question. Both are checked before the fit. ``nuts`` samples the numbers of structures by NUTS, in minutes.

    ``via`` names a loss, a log-probability of the right answer, or several, that lie between plan and target: the plan
    forecasts these, and these the target, which may be a list of accuracies. ``questions`` is how many each exam has.
    Raises ValueError, one line, for data that no law can be learnt from.

    >>> rng = np.random.default_rng(0)
    >>> runs = pd.DataFrame({"params": 10 ** rng.uniform(6, 8, 30), "tokens": 10 ** rng.uniform(8, 10, 30)})
    >>> runs["loss"] = 1.7 + 400 / runs["params"] ** 0.34 + 410 / runs["tokens"] ** 0.28
    >>> law = fit_law(runs, "loss")
    >>> round(float(law.predict(params=1e9, tokens=2e10)["median"][0]), 1)
    2.6
    """
    check_settings(lower, upper, better, chance, seed)
    if via is not None:
        from predictdyn.api.ladders import fit_ladder

        return fit_ladder(
            data, target, via, inputs, asked=questions, cost=cost, towards=towards, compute=compute, seed=seed,
            given={"lower": lower, "upper": upper, "better": better, "chance": chance},
            first=partial(fit_law, nuts=nuts),
        )  # fmt: skip
    if not isinstance(target, str):
        raise ValueError(f"a law is of one target, got {len(target)}; name a loss on the way to several with via=")
    if questions is not None:
        raise ValueError("questions= is of exams that are forecast via a loss; name the loss with via=")
    found = finished_runs(data, target, inputs, cost)
    facts, lines = facts_of(found, {"lower": lower, "upper": upper, "better": better, "chance": chance})
    how = inputs_of(found.table, target, found.inputs, **facts)
    used = tuple(name for name in found.inputs if name in how.names)
    found = replace(found, reading=replace(found.reading, inputs=used, dropped=how.dropped))
    # What is asked is checked before the fit, which takes long.
    plans = None if towards is None else found.reading.plans(towards)
    check_budgets(how, found, compute)
    law = law_of(found.table, target, found.inputs, towards=plans, nuts=nuts, seed=seed, **facts)
    law = replace(law, fixed={**found.reading.fixed, **law.fixed}, collinear=found.reading.collinear)
    apart = [name for name in (found.cost.columns if found.cost else ()) if name not in used]
    if found.cost is not None and apart:
        lines.append(
            f"the cost of a plan is not known, since the law does not use {some(apart)}; choose the inputs that it is "
            "made of with inputs=COLUMNS"
        )
    given = {"inputs": inputs, "lower": lower, "upper": upper, "better": better, "chance": chance, "nuts": nuts or None,
             "seed": seed or None}  # fmt: skip
    words = [f"{name}={value!r}" for name, value in given.items() if value is not None]
    if cost is not None:
        words.append(f"cost={cost!r}" if isinstance(cost, str) else "cost=cost")
    words += ["towards=plans"] if towards is not None else []
    call = f"predictdyn.fit_law({', '.join(['data', repr(target), *words])})"
    noted = replace(found, notes=(*found.notes, *lines))
    tell(noted.notes, stacklevel=2)
    return FittedLaw(law, noted, facts, seed, call)


def facts_of(found: Finished, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Bounds, direction and chance of the target: given, of the metric, or of its name where its values agree."""
    facts, lines = dict(found.facts), []
    value = found.table[found.target].to_numpy(dtype=float)
    if not facts:
        known = log_metrics([found.target])[found.target]
        low, high, chance = known.lower, known.upper, known.chance
        if (low, high) == (0, 1) and 1 < value.max() <= PERCENT and value.min() >= 0:
            high, chance = PERCENT, None if chance is None else PERCENT * chance
        inside = (low is None or value.min() >= low) and (high is None or value.max() <= high)
        if known.better and inside:
            facts = {"lower": low, "upper": high, "better": known.better, "chance": chance}
            if known.better == "higher" or high is not None:
                lines.append(
                    f"{found.target} is taken as between {low:g} and {high:g}, {known.better} is better, by its name; "
                    "no value is lost; state others with lower=, upper=, better=, chance="
                    if low is not None and high is not None
                    else f"{found.target} is taken as {known.better} is better, by its name; no value is lost; state "
                    "another with better="
                )
    facts |= {name: one for name, one in given.items() if one is not None}
    facts = {name: one for name, one in facts.items() if one is not None}
    for name in ("lower", "upper"):
        sign = 1 if name == "lower" else -1
        if name in facts and len(value) and (sign * (value - float(facts[name])) < 0).any():
            raise ValueError(
                f"{name}={facts[name]:g}, but {found.target} goes {'down' if sign > 0 else 'up'} to "
                f"{value.min() if sign > 0 else value.max():g}; mend those rows, or state another bound"
            )
    end = "upper" if facts.get("better") == "higher" else "lower"
    if given[end] is not None and float(value.max() if end == "upper" else value.min()) == given[end]:
        lines.append(
            f"{found.target} reaches {end}={given[end]:g} among the finished runs, and no forecast goes beyond it; "
            "leave it out if it is no true bound"
        )
    low, high, chance = (facts.get(name, side) for name, side in (("lower", -np.inf), ("upper", np.inf), ("chance", 0)))
    if "chance" in facts and not low <= chance <= high:
        raise ValueError(f"chance={chance:g} lies outside of what {found.target} can be, {low:g} to {high:g}")
    if "chance" in facts and np.isfinite(high - low):
        worse = (chance - value.min()) if facts.get("better") == "higher" else (value.max() - chance)
        if worse > CHANCE_NOISE * (high - low):
            lines.append(
                f"chance={chance:g} is not used: {found.target} is worse by up to {worse:.3g}; check chance= or those "
                "rows"
            )
    if given.get("chance") is not None and (low, high) == (0, PERCENT) and 0 < chance < 1:
        lines.append(
            f"chance={chance:g} is less than 1 % of 0 to 100, the range of {found.target}; say chance="
            f"{PERCENT * chance:g} if you mean {chance:.0%}"
        )
    if "better" not in facts and found.cost is not None and len(value) > 2:
        ranks = pd.Series(found.cost(found.table)).corr(pd.Series(value), method="spearman")
        if ranks > LOWEST_RANK:
            lines.append(
                f"{found.target} rises with cost, and counts as something of which less is better; say better='higher' "
                "if more is"
            )
    return facts, lines


def check_settings(lower: Any, upper: Any, better: Any, chance: Any, seed: Any) -> None:
    if better not in (None, "lower", "higher"):
        raise ValueError(f"better= is 'lower' or 'higher', got {better!r}")
    for name, value in (("lower", lower), ("upper", upper), ("chance", chance)):
        if value is not None and (not isinstance(value, int | float | np.number) or np.isnan(value)):
            raise ValueError(f"{name}= is a number, got {value!r}")
    if lower is not None and upper is not None and lower >= upper:
        raise ValueError(f"lower={lower:g} is not below upper={upper:g}")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed= is a whole number from 0 on, got {seed!r}")


def _ends(draws: np.ndarray) -> np.ndarray:
    return np.asarray(np.quantile(draws, (0.05, 0.95), axis=1))


def _several(value: object) -> bool:
    return isinstance(value, Sequence | np.ndarray | pd.Series) and not isinstance(value, str)


def _word(value: object) -> str:
    if isinstance(value, int | float | np.number) and np.isfinite(float(value)):
        return short_number(float(value))
    return str(value)

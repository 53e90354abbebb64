"""Ladder: a plan to a loss, by a law; the loss to outcomes, by a map each; what is not known goes all the way up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.fitting.ability_map import MapNodes, MapRows, Response, nodes_of
from predictdyn.fitting.ability_pool import AskedAbility, map_draws, outcome_draws, shared_draws
from predictdyn.laws.ability import Ability, ability_from
from predictdyn.laws.law import DRAWS, Law, law_of
from predictdyn.laws.mixture import FARTHEST, SPREAD_PRIOR

FEWEST_ROWS = 5
MOST_OF_RUN = 12  # checkpoints of a run that a map is learnt from
HELD_OUT = (0.2, 0.4)  # parts of the runs, the ablest first, that say how wrong maps are beyond their rows
FEWEST_HELD = 2  # runs
BEGUN = 0.04  # of a run, from which checkpoints say how an outcome follows its measure
GROUP_SHIFT = 0.3  # sd of what a group that no finished run is of shifts ability by
USUAL_ITEMS = 1000.0  # questions of an exam of which nothing is said
LOSS_ITEMS = 1e5  # a loss errs by a third of a percent, until its rows say otherwise


@dataclass(frozen=True)
class OutcomeFacts:
    """An outcome at the top of the ladder: its range and direction; ``items`` is how many questions it has, if known.

    ``chance`` is what a model without skill reaches. Without two bounds it is a loss, and positive.
    """

    name: str
    lower: float | None = 0.0
    upper: float | None = 1.0
    better: str = "higher"
    chance: float | None = None
    items: float | None = None

    @property
    def bounded(self) -> bool:
        return self.lower is not None and self.upper is not None

    def unit(self, y: np.ndarray) -> np.ndarray:
        """Values as parts of the range, higher better; losses as they are."""
        if self.lower is None or self.upper is None:
            return np.asarray(y, dtype=float)
        part = (np.asarray(y, dtype=float) - self.lower) / (self.upper - self.lower)
        return part if self.better == "higher" else 1.0 - part

    def value(self, unit: np.ndarray) -> np.ndarray:
        """Back in the units of the outcome."""
        if self.lower is None or self.upper is None:
            return unit
        return self.lower + (self.upper - self.lower) * (unit if self.better == "higher" else 1.0 - unit)

    def response(self, y: np.ndarray) -> Response:
        """How it answers to ability, from what is known of it and from values (n,) in parts of its range."""
        if not self.bounded:
            return Response("loss", float(y.min()), float(np.median(y)), LOSS_ITEMS)
        known = self.items is not None
        items = float(self.items) if self.items is not None else USUAL_ITEMS
        least = float(max(np.quantile(y, 0.02), 0.0))
        if self.chance is None:
            return Response("accuracy", 0.5 * least, 1.0, items, known, False)
        chance = float(self.unit(np.array(self.chance)))
        # Far below chance, answers are wrong by rule: chance is no floor then.
        floor = chance if least >= chance - 0.05 else least
        return Response("accuracy", floor, 1.0, items, known, floor == chance)


@dataclass(frozen=True)
class Ladder:
    """Laws of the components of ability over plans, and a map from ability to each outcome.

    Given the finished runs, which have both, the steps are independent: draws of the first pushed through draws of the
    second are draws of the joint posterior. ``widening`` is by how much the errors of maps for the ablest runs, held
    out, were wider than said.
    """

    outcomes: tuple[OutcomeFacts, ...]
    ability: Ability
    steps: tuple[Law, ...]
    maps: tuple[MapNodes, ...]
    by: tuple[str, ...]
    groups: tuple[str, ...]
    widening: float
    runs: pd.DataFrame

    def draws(self, table: pd.DataFrame, *, n: int = DRAWS, seed: int = 0, noise: bool = True) -> np.ndarray:
        """Joint draws of all outcomes for the runs of a table (m rows): (b, m, n); NaN where a plan has no answer.

        A row that gives the measures themselves is forecast from them, else from its plan.
        """
        parts = self.measures(table, n=n, seed=seed)
        good = np.isfinite(parts).all(axis=(0, 2))
        out = np.full((len(self.outcomes), len(table), n), np.nan)
        if good.any():
            asked = self._asked(parts[:, good], table[good], seed)
            shared = shared_draws(self.maps, n, seed=seed)
            for i, (outcome, one) in enumerate(zip(self.outcomes, self.maps, strict=True)):
                drawn = map_draws(one, shared, seed=seed + i)
                found = outcome_draws(one, drawn, asked, seed=seed + i, noise=noise)
                out[i, good] = outcome.value(widened_share(found, self.widening, outcome.bounded))
        return out

    def measures(self, table: pd.DataFrame, *, n: int = DRAWS, seed: int = 0) -> np.ndarray:
        """Draws of the components of ability, (p, m, n): as given, or by the laws of the plans."""
        known = self.ability.known(table)
        parts = np.full((self.ability.n_parts, len(table), n), np.nan)
        if known.any():
            parts[:, known] = self.ability.components(table[known])[:, :, None]
        if not known.all() and self.steps:
            for i, step in enumerate(self.steps):
                parts[i, ~known] = np.log(step.draws(table[~known], n=n, seed=seed + i))
        return parts

    def _asked(self, parts: np.ndarray, table: pd.DataFrame, seed: int) -> AskedAbility:
        m, n = parts.shape[1:]
        group = self.onehot(table)
        others = np.concatenate([parts[1:].transpose(1, 0, 2), np.repeat(group[:, :, None], n, axis=2)], axis=1)
        random = np.random.default_rng((seed, 77))
        unknown = (group.sum(axis=1) == 0) & bool(self.groups)
        shift = np.where(unknown[:, None], GROUP_SHIFT * random.standard_normal((m, n)), 0.0)
        return AskedAbility(self.ability.on_scales(parts[0]), others, np.full(m, -1), np.zeros((m, n)), shift)

    def onehot(self, table: pd.DataFrame) -> np.ndarray:
        """The group of each row as columns, (m, g); zeros for one that no finished run is of."""
        if not self.groups or not set(self.by) <= set(table.columns):
            return np.zeros((len(table), len(self.groups)))
        own = np.array(_groups(table, self.by), dtype=object)
        return np.asarray((own[:, None] == np.array(self.groups, dtype=object)).astype(float))

    def status(self, table: pd.DataFrame) -> np.ndarray:
        """For each row (m,) "ok", or why there is no answer."""
        known = self.ability.known(table)
        if self.steps and set(self.steps[0].inputs.names) <= set(table.columns):
            return np.where(known, "ok", self.steps[0].status(table)).astype(object)
        return np.where(known, "ok", self.ability.lacking(table)).astype(object)


def ladder_of(
    table: pd.DataFrame,
    outcomes: Sequence[OutcomeFacts],
    via: Sequence[str],
    inputs: Sequence[str] | None,
    *,
    rows: pd.DataFrame | None = None,
    towards: pd.DataFrame | None = None,
    first: Law | None = None,
    seed: int = 0,
) -> Ladder:
    """Learn both steps from finished runs, one row each: columns of inputs, measures and outcomes.

    ``rows`` are more rows of measures and outcomes for the second step, such as checkpoints, with a column run.
    Columns of text among the inputs are groups: they may shift ability. ``inputs`` of none leave out the first step, so
    that plans must give the measures. ``first`` is the law of the measure where it is there already. Raises ValueError
    where fewer than five rows are complete.
    """
    names = [one.name for one in outcomes]
    rows = table if rows is None else rows
    whole = rows[np.isfinite(rows[list(via)].apply(pd.to_numeric, errors="coerce")).all(axis=1)].reset_index(drop=True)
    whole = whole[whole[names].notna().any(axis=1)].reset_index(drop=True)
    if len(whole) < FEWEST_ROWS:
        raise ValueError(
            f"outcomes via {', '.join(via)} need {FEWEST_ROWS} rows with all of these and an outcome, got {len(whole)}"
        )
    higher = np.stack([
        one.unit(whole[one.name].to_numpy(dtype=float)) * (1.0 if one.bounded or one.better == "higher" else -1.0)
        for one in outcomes
    ], axis=1)  # fmt: skip
    ability = ability_from(whole, via, higher)
    steps: tuple[Law, ...] = ()
    texts: list[str] = []
    if inputs is not None:
        texts = [name for name in inputs if name in whole and not pd.api.types.is_numeric_dtype(table[name])]
        steps = (first,) if first and ability.one_loss else _steps(table, ability, inputs, towards, seed)
    groups = tuple(sorted(set(_groups(whole, texts)))) if texts else ()
    groups = groups if len(groups) > 1 else ()
    built = Ladder(tuple(outcomes), ability, steps, (), tuple(texts), groups, 1.0, table)
    built = replace(built, maps=_maps(built, whole))
    return replace(built, widening=_widening(built, whole, seed))


def _steps(
    table: pd.DataFrame, ability: Ability, inputs: Sequence[str], towards: pd.DataFrame | None, seed: int
) -> tuple[Law, ...]:
    """A law of each component of ability: of the measure itself, if there is one."""
    known = ability.known(table)
    parts = np.full((ability.n_parts, len(table)), np.nan)
    parts[:, known] = ability.components(table[known])
    found = []
    for name, part in zip(ability.parts, parts, strict=True):
        runs = table[list(inputs)].assign(**{name: np.exp(part)})
        found.append(law_of(runs, name, list(inputs), lower=0.0, better="lower", towards=towards, seed=seed))
    return tuple(found)


def _maps(ladder: Ladder, rows: pd.DataFrame) -> tuple[MapNodes, ...]:
    """A map for each outcome, from rows with all measures."""
    parts = ladder.ability.components(rows)
    ability = ladder.ability.on_scales(parts[0])
    others = np.concatenate([parts[1:].T, ladder.onehot(rows)], axis=1)
    run, thin = _of_runs(rows, ability[0])
    found = []
    for outcome in ladder.outcomes:
        y = outcome.unit(pd.to_numeric(rows[outcome.name], errors="coerce").to_numpy(dtype=float))
        good = np.isfinite(y) & thin
        if good.sum() < FEWEST_ROWS:
            raise ValueError(f"a map of {outcome.name!r} needs {FEWEST_ROWS} rows, got {int(good.sum())}")
        response = outcome.response(y[good])
        found.append(nodes_of(MapRows(ability[:, good], others[good], _dense(run[good]), y[good]), response))
    return tuple(found)


def _of_runs(rows: pd.DataFrame, ability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The place of each row's run (n,), -1 where runs have one row each; and which rows are learnt from, (n,)."""
    n = len(rows)
    if "run" not in rows or rows["run"].nunique() > 0.5 * n:
        return np.full(n, -1), np.ones(n, dtype=bool)
    run = pd.factorize(rows["run"])[0]
    thin = np.zeros(n, dtype=bool)
    for one in range(run.max() + 1):
        thin[spread_out(ability, np.flatnonzero(run == one))] = True
    return run, thin


def spread_out(ability: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Of some rows at most `MOST_OF_RUN`, spread evenly over their ability: late checkpoints crowd."""
    if len(places) <= MOST_OF_RUN:
        return places
    order = places[np.argsort(ability[places], kind="stable")]
    way = ability[order]
    wanted = np.linspace(way[0], way[-1], MOST_OF_RUN)
    chosen = np.unique(np.searchsorted(way, wanted).clip(0, len(order) - 1))
    return np.asarray(order[chosen])


def _dense(run: np.ndarray) -> np.ndarray:
    return run if run.max(initial=-1) < 0 else pd.factorize(run)[0]


def _groups(table: pd.DataFrame, texts: Sequence[str]) -> list[str]:
    if not texts:
        return [""] * len(table)
    return [" / ".join(map(str, row)) for row in zip(*(table[name] for name in texts), strict=True)]


def widened_share(draws: np.ndarray, factor: float, bounded: bool) -> np.ndarray:
    """Draws (m, s) wider by a factor around their medians: on log odds between 0 and 1, on logarithms above 0."""
    if factor == 1.0:
        return draws
    edge = 1e-4
    inside = np.clip(draws, edge, 1 - edge if bounded else np.inf)
    latent = np.log(inside) - (np.log1p(-inside) if bounded else 0.0)
    middle = np.median(latent, axis=1, keepdims=True)
    wide = middle + factor * (latent - middle)
    return np.asarray(1.0 / (1.0 + np.exp(-wide)) if bounded else np.exp(wide))


def _widening(ladder: Ladder, rows: pd.DataFrame, seed: int) -> float:
    """Errors of maps for the ablest runs, learnt from the others with their own measures, against their spread."""
    best = -ladder.ability.components(rows)[0]
    run = rows["run"].to_numpy() if "run" in rows else np.arange(len(rows))
    reached = pd.Series(best).groupby(run).max().sort_values()
    each = []
    for part in HELD_OUT:
        count = int(np.ceil(part * len(reached)))
        out = np.isin(run, reached.index[len(reached) - count :])
        left = rows[~out]
        if count < FEWEST_HELD or len(left) < 2 * FEWEST_ROWS:
            continue
        try:
            known = replace(ladder, maps=_maps(ladder, left))
        except ValueError:
            continue
        there = rows[out]
        draws = known.draws(there, n=200, seed=seed)
        errors = []
        for outcome, drawn in zip(ladder.outcomes, draws, strict=True):
            y = pd.to_numeric(there[outcome.name], errors="coerce").to_numpy(dtype=float)
            good = np.isfinite(y)
            middle, sd = drawn[good].mean(axis=1), np.maximum(drawn[good].std(axis=1), 1e-9)
            errors.append(np.minimum(((y[good] - middle) / sd) ** 2, FARTHEST))
        joined = np.concatenate(errors)
        each += [float(joined.mean())] if len(joined) else []
    # Never narrower: of simulated chains, those that were made so held 79 % (docs/studies/capability.md).
    return float(max(np.sqrt((SPREAD_PRIOR + sum(each)) / (SPREAD_PRIOR + len(each))), 1.0))


def questions(curves: Curves, names: Sequence[str]) -> dict[str, float]:
    """How many questions the logged standard errors of each outcome between two bounds are those of, where any are."""
    found = {}
    for name in names:
        metric = curves.metrics[name]
        if metric.lower is None or metric.upper is None:
            continue
        rows = curves.points[curves.points["metric"] == name]
        span = metric.upper - metric.lower
        p = (rows["value"].to_numpy(dtype=float) - metric.lower) / span
        error = rows["stderr"].to_numpy(dtype=float) / span
        good = np.isfinite(error) & (error > 0) & (p > 0) & (p < 1)
        if good.any():
            found[name] = float(np.median((p * (1 - p))[good] / error[good] ** 2))
    return found

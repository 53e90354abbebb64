"""What forecasters that pool over finished runs and metrics share: metrics taken together, finished runs, draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from predictdyn.fitting.change_gp import PlannedRuns
from predictdyn.forecast import DRAWS, Latent, seed_for
from predictdyn.forecasters._fence import fenced
from predictdyn.forecasters._plans import PlanView, in_turn, plan_view, plans_apart, spread_over
from predictdyn.forecasters._spread import moments_of, smallest_spread
from predictdyn.problem import NOTHING, History, LatentCurve, Panel, Problem
from predictdyn.scales import Scale, scale_for

MOST_METRICS = 64  # taken together
CLEAR = 3.0  # variance between runs, in that of the noise, from which a metric tells runs apart
FEWEST_APART = 8
FEWEST_FAMILIES = 2
FEWEST_RUNS = 3  # finished, of a metric
TAILS = (2.0, 5.0)
TOO_FEW = "too few finished runs: last value"


class MetricGroup(NamedTuple):
    """Metrics of one kind that are modelled at once."""

    smooth: bool  # most are beside one bound or none: losses, not shares of items
    metrics: tuple[str, ...]


class FinishedCurves(NamedTuple):
    """The finished curves of a metric by run, fenced; how wide a forecast must be at least; how far (r,) each run, and
    of which family, was logged."""

    metric: str
    bounded: bool
    least: float
    curves: dict[str, LatentCurve]
    reach: np.ndarray
    family: np.ndarray

    def reached(self, progress: float) -> bool:
        """Whether enough runs of enough families got as far."""
        far = self.reach >= progress
        return int(far.sum()) >= FEWEST_RUNS and len(set(self.family[far])) >= FEWEST_FAMILIES


class FinishedRuns(NamedTuple):
    """The runs of a history that log one at least of some metrics: their curves, names, families and plans."""

    metrics: tuple[FinishedCurves, ...]
    runs: list[str]
    family: np.ndarray
    plans: PlanView | None

    def chosen(self, most: int) -> np.ndarray:
        """Places of at most so many runs, one of each family in turn."""
        return spread_over(self.family, most)

    def around(self, centre: int, most: int) -> np.ndarray:
        """Places of at most so many runs, those with the plans nearest to that of a run, one of each family in turn."""
        if len(self.runs) <= most:
            return np.arange(len(self.runs))
        apart = plans_apart(self._plans, self._plans.rows(np.array([centre])))[:, 0]
        return in_turn(np.argsort(apart, kind="stable"), self.family, most)

    def centres(self, most: int) -> np.ndarray:
        """Places of at most so many runs, whose plans are far from each other: of each the farthest from all before."""
        nearest, found = np.full(len(self.runs), np.inf), [0]
        while True:
            nearest = np.minimum(nearest, plans_apart(self._plans, self._plans.rows(np.array(found[-1:])))[:, 0])
            farthest = int(np.argmax(nearest))
            if len(found) == most or not nearest[farthest] > 0:
                return np.array(found)
            found.append(farthest)

    def planned(self, which: np.ndarray) -> PlannedRuns:
        """The plans of some of the runs."""
        return self._plans.rows(which)

    @property
    def _plans(self) -> PlannedRuns:
        if self.plans is None:
            raise ValueError("no finished run has a plan")
        return self.plans.finished


def metric_groups(problem: Problem) -> list[MetricGroup]:
    """All metrics of each kind that is asked for, whichever of them are asked: no row moves another.

    They follow from finished runs alone, and in a replay from all of them, as the scales that are learnt for them do.
    """
    source = problem.whole or problem.history
    kinds = {problem.metrics[name].kind for name in dict.fromkeys(problem.target["metric"])}
    groups = []
    for kind in sorted(kinds):
        groups += _groups(source, kind)
    return groups


def _groups(source: History, kind: str) -> list[MetricGroup]:
    return source.once(("metric groups", kind), lambda: _grouped(source, kind))


def _grouped(source: History, kind: str) -> list[MetricGroup]:
    metrics = source.curves.metrics
    names = sorted(name for name in source.by_metric if metrics[name].kind == kind)
    groups = []
    for some in _apart([(name, _clarity(own_scale_curves(source, name).curves.values())) for name in names]):
        shares = sum(metrics[name].lower is not None and metrics[name].upper is not None for name in some)
        groups.append(MetricGroup(2 * shares < len(some), tuple(some)))
    return groups


def _apart(clarity: list[tuple[str, float]]) -> list[list[str]]:
    """Metrics that tell runs apart and metrics that hardly do, where there are enough of both; not too many at once."""
    clear = [name for name, one in clarity if one >= CLEAR]
    faint = [name for name, one in clarity if one < CLEAR]
    parts = [clear, faint] if min(len(clear), len(faint)) >= FEWEST_APART else [[name for name, _ in clarity]]
    groups = []
    for part in parts:
        ends = np.linspace(0, len(part), -(-len(part) // MOST_METRICS) + 1).round().astype(int)
        groups += [part[a:b] for a, b in pairwise(ends)]
    return groups


def _clarity(curves: Iterable[LatentCurve]) -> float:
    """How far apart finished runs end, against the scatter of neighbouring checkpoints and the logged errors."""
    ended = [curve for curve in curves if len(curve.progress)]
    if len(ended) < FEWEST_RUNS:
        return 0.0
    apart = float(np.var([curve.latent[-1] for curve in ended]))
    error = float(np.mean([np.nan_to_num(curve.stderr[-1]) ** 2 for curve in ended]))
    return apart / max(scatter(ended) + error, 1e-12 * apart, 1e-300)


def own_scale_curves(history: History, name: str) -> FinishedCurves:
    """The finished curves of a metric on the scale that they alone give, whatever is asked."""
    curves = history.by_metric.get(name, {})
    scale = scale_for(history.curves.metrics[name], np.concatenate([NOTHING, *(one.value for one in curves.values())]))
    return _finished_curves(history, name, scale)


def panel_curves(problem: Problem, panel: Panel, left_out: str = "") -> FinishedCurves:
    """The finished curves of a metric on the scale of a problem, but for those of one run."""
    return _finished_curves(problem.history, panel.metric, panel.scale, left_out)


def _finished_curves(history: History, name: str, scale: Scale, left_out: str = "") -> FinishedCurves:
    curves = history.latent(name, scale)
    without = left_out if left_out in curves else ""

    def make() -> FinishedCurves:
        known = {run: one for run, one in curves.items() if len(one.progress) and run != without}
        tame = fenced(known, scale)
        moments = moments_of(np.concatenate([NOTHING, *(one.latent for one in tame.values())]))
        least = smallest_spread(moments, bounded=scale.bounded)
        reach = np.array([one.reaches_to for one in tame.values()])
        family = np.array([one.family for one in tame.values()], dtype=object)
        return FinishedCurves(name, scale.bounded, least, tame, reach, family)

    return history.once(("finished curves", name, scale.floor, scale.unit, without), make)


def finished_runs(history: History, metrics: tuple[FinishedCurves, ...], left_out: str = "") -> FinishedRuns:
    """The runs of a history that log one of the metrics at least, but for one."""
    logged = tuple(one.metric for one in metrics)

    def make() -> tuple[list[str], np.ndarray, PlanView | None]:
        runs = sorted({run for one in metrics for run in one.curves})
        table = history.curves.runs.loc[runs]
        view = history.once(("plan view", tuple(runs)), lambda: plan_view(table)) if runs else None
        return runs, table["family"].to_numpy(dtype=object), view

    return FinishedRuns(metrics, *history.once(("finished runs", logged, left_out), make))


class GroupAhead:
    """What is asked of the runs of a problem in the metrics of a group: finished runs and plans, computed once each."""

    def __init__(self, problem: Problem, group: MetricGroup) -> None:
        self.problem, self.group = problem, group
        self.panels = [problem.panel(name) for name in group.metrics]
        self._past: dict[str, FinishedRuns] = {}
        self._plans: dict[str, PlannedRuns] = {}

    def left_out(self, run: str) -> str:
        """The finished run that nothing may be learnt from: the run itself, blank if the history lacks it."""
        return run if run in self.problem.history.plan else ""

    def finished(self, left_out: str) -> FinishedRuns:
        """The finished runs but for one."""
        if left_out not in self._past:
            metrics = tuple(panel_curves(self.problem, panel, left_out) for panel in self.panels)
            self._past[left_out] = finished_runs(self.problem.history, metrics, left_out)
        return self._past[left_out]

    def plan(self, run: str) -> PlannedRuns:
        """What is planned of a run, as finished runs but itself see it."""
        left_out = self.left_out(run)
        if left_out not in self._plans:
            plans, runs = self.finished(left_out).plans, self.problem.observed.runs
            assert plans is not None  # there is a posterior
            self._plans[left_out] = plans.planned(runs, damped=not self.group.smooth)
        return self._plans[left_out].rows(np.array([self.problem.observed.runs.index.get_loc(run)]))


class OutcomeAsked(NamedTuple):
    """One row of the targets of a problem, by its place there."""

    place: int
    run: str
    metric: str
    progress: float


class Outcome(NamedTuple):
    """A latent value: mean, standard deviation, and of how many families it was learnt."""

    mean: float
    sd: float
    families: int


def rows_by_group(problem: Problem) -> Iterator[tuple[MetricGroup, list[OutcomeAsked]]]:
    """The groups of metrics of a problem, each with the rows that ask for one of its metrics."""
    asked = {panel.metric: panel.queries for panel in problem.panels}
    for group in metric_groups(problem):
        yield (
            group,
            [
                OutcomeAsked(int(place), query.run, metric, float(progress))
                for metric in group.metrics
                for query in asked.get(metric, ())
                for place, progress in zip(query.rows, query.progress, strict=True)
            ],
        )


def answer(latent: Latent, row: OutcomeAsked, found: Outcome, seed: int) -> None:
    """Write draws (s,) of a row, with Student tails; those of a run and metric are from the same random numbers.

    The tails have as many degrees of freedom as there are families to learn from, from two to five: real runs
    break away more often than normal ones, and few families do not say how often. The second half mirrors the first,
    so that the median is the mean.
    """
    rng = np.random.default_rng(seed_for(seed, row.run, row.metric))
    half = rng.standard_t(float(np.clip(found.families, *TAILS)), DRAWS // 2)
    latent.status[row.place] = "ok"
    latent.draws[row.place] = found.mean + found.sd * np.concatenate([half, -half])


def scatter(curves: Iterable[LatentCurve]) -> float:
    """Variance by which neighbouring checkpoints scatter: mean square of second differences, later half, over six."""
    later = [curve.latent[len(curve.latent) // 2 :] for curve in curves]
    joined, count = np.concatenate([NOTHING, *later]), [len(one) for one in later]
    # All at once, without those that reach from one curve into the next.
    ahead = np.repeat(np.cumsum(count), count)[:-2] - np.arange(len(joined))[:-2] if len(joined) > 2 else NOTHING
    squares = np.diff(joined, 2)[ahead > 2] ** 2 if len(joined) > 2 else NOTHING
    return float(squares.mean()) / 6 if len(squares) else 0.0

"""Pooled curves: whole curves of finished runs and the beginning of one more, in all metrics of a kind at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from predictdyn.fitting import curve_gp
from predictdyn.fitting.change_gp import PlannedRuns
from predictdyn.fitting.curve_gp import CurvePosterior, ProjectedCurves
from predictdyn.forecast import Latent
from predictdyn.forecasters._fitted import no_answer
from predictdyn.forecasters._multitask import (
    FEWEST_FAMILIES,
    FEWEST_RUNS,
    TOO_FEW,
    FinishedCurves,
    FinishedRuns,
    GroupAhead,
    MetricGroup,
    Outcome,
    answer,
    finished_runs,
    own_scale_curves,
    rows_by_group,
    scatter,
)
from predictdyn.forecasters._plans import plans_apart
from predictdyn.forecasters._spread import moments_of, smallest_spread
from predictdyn.problem import LatentCurve, Problem

EARLIEST = 0.005  # progress: what came before says little, and moves much
BACK = 6.0  # how many times earlier than a run in question stands curves begin to count
PER_GAP = 3.0  # checkpoints between knots beyond which their misfits are one
MOST_NUMBERS = 1e8  # metrics x (runs x knots)^3: what a factorization may cost
MOST_LEARNING = 2e7  # the same, of each step when scales are learnt


@dataclass(frozen=True)
class PooledCurves:
    """A Gaussian process over runs, metrics and ln progress, learnt from the history; see `fitting.curve_gp`.

    A curve is its values at ``knots``. Scales are learnt from at most ``learning_metrics`` metrics of
    ``learning_runs`` runs. Forecasts condition on all that was seen of the run in question, and on
    ``conditioning_runs`` with plans like its own: those about the nearest of at most ``centres`` finished runs whose
    plans are far from each other, so that runs in question with like plans share the work. Beyond the largest finished
    run the linear effect of size dies away, but for losses.
    """

    knots: int = 6
    learning_metrics: int = 16
    learning_runs: int = 24
    conditioning_runs: int = 30
    centres: int = 20
    name: str = "pooled_curves"

    def latent(self, problem: Problem) -> Latent:
        """Draws of each row; where there is too little to learn from, no answer and why."""
        latent = no_answer(problem, TOO_FEW)
        for group, rows in rows_by_group(problem):
            ahead = _WholeCurves(self, problem, group)
            for row in rows:
                if found := ahead.at(row.run, row.metric, row.progress):
                    answer(latent, row, found, problem.seed)
        return latent


class CurveAhead(NamedTuple):
    """A latent curve as its values at knots (q,) in ln progress: mean (q,), covariance (q, q), variance of the noise;
    and of how many families it was learnt."""

    knots: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    noise: float
    families: int

    def at(self, weight: np.ndarray) -> Outcome:
        """A measurement at a progress, given the weights (q,) of knots there."""
        variance = max(float(weight @ self.covariance @ weight), 0.0) + self.noise
        return Outcome(float(weight @ self.mean), float(np.sqrt(variance)), self.families)


class StandardCurves(NamedTuple):
    """Finished runs by their curves, standardised by metric: the m metrics that enough of them log, centre and unit
    (m,) of each, their curves, what is planned of them, the number of families."""

    metrics: tuple[str, ...]
    centre: np.ndarray
    unit: np.ndarray
    curves: ProjectedCurves
    runs: PlannedRuns
    families: int


class _WholeCurves(GroupAhead):
    """Curves of the runs of a problem in the metrics of a group; what several rows need is computed once."""

    def __init__(self, settings: PooledCurves, problem: Problem, group: MetricGroup) -> None:
        super().__init__(problem, group)
        self.settings = settings
        self._curves: dict[str, dict[str, CurveAhead]] = {}
        self._posteriors: dict[tuple[str, float, int], tuple[StandardCurves, CurvePosterior] | None] = {}
        self._weights: dict[tuple[float, float], np.ndarray] = {}
        self._centres: dict[str, np.ndarray] = {}

    def at(self, run: str, metric: str, progress: float) -> Outcome | None:
        """A run at a progress; None where too few finished runs tell of the metric, or got as far."""
        if run not in self._curves:
            self._curves[run] = self._predicted(run)
        curve = self._curves[run].get(metric)
        past = self.finished(self.left_out(run)).metrics[self.group.metrics.index(metric)]
        return curve.at(self._weight(curve.knots, progress)) if curve is not None and past.reached(progress) else None

    def _weight(self, knots: np.ndarray, progress: float) -> np.ndarray:
        """The weights (q,) of knots at a progress, the first knot at least."""
        key = float(knots[0]), progress
        if key not in self._weights:
            when = np.log([max(progress, float(np.exp(knots[0])))])
            self._weights[key] = curve_gp.weights(when, knots)[0]
        return self._weights[key]

    def _predicted(self, run: str) -> dict[str, CurveAhead]:
        observed = {panel.metric: panel.observed[run] for panel in self.panels}
        ends = [float(curve.progress[-1]) for curve in observed.values() if len(curve.progress)]
        knots = knots_for(max(ends, default=EARLIEST), self.settings.knots)
        left_out = self.left_out(run)
        key = left_out, knots[0], self._centre(run, left_out)
        if key not in self._posteriors:
            self._posteriors[key] = self._conditioned(left_out, knots, key[-1])
        posterior = self._posteriors[key]
        if posterior is None:
            return {}
        past, data = posterior
        own = curve_gp.no_curves(len(past.metrics), 1, len(knots))
        own.scatter[:] = past.curves.scatter[:, :1]
        for j, name in enumerate(past.metrics):
            _project(own, j, 0, observed[name], past.centre[j], past.unit[j], knots, {})
        mean, covariance, noise = data.predict(own, self.plan(run))
        return {
            name: CurveAhead(
                knots, past.centre[j] + past.unit[j] * mean[j], past.unit[j] ** 2 * covariance[j],
                float(past.unit[j] ** 2 * noise[j]), past.families,
            )
            for j, name in enumerate(past.metrics)
        }  # fmt: skip

    def _centre(self, run: str, left_out: str) -> int:
        """The place of the run with the nearest plan, among finished runs whose plans are far from each other."""
        past = self.finished(left_out)
        if past.plans is None:
            return 0
        if left_out not in self._centres:
            self._centres[left_out] = past.centres(self.settings.centres)
        centres = self._centres[left_out]
        return int(centres[np.argmin(plans_apart(past.planned(centres), self.plan(run))[:, 0])])

    def _conditioned(
        self, left_out: str, knots: np.ndarray, centre: int
    ) -> tuple[StandardCurves, CurvePosterior] | None:
        """Finished runs, conditioned on once for all runs that have the same knots and the same centre."""
        past = self.finished(left_out)
        numbers = (MOST_NUMBERS / len(self.panels)) ** (1 / 3) / self.settings.knots
        most = min(self.settings.conditioning_runs, int(numbers))
        scales = tuple((panel.scale.floor, panel.scale.unit) for panel in self.panels)
        key = ("standard curves", self.group.metrics, scales, left_out, most, centre, *knots)
        some = self.problem.history.once(
            key, lambda: standard_curves(past, past.around(centre, most), past.metrics, knots)
        )
        if some is None:
            return None
        return some, curve_gp.conditioned(self._scales(knots), some.curves, some.runs, knots)

    def _scales(self, knots: np.ndarray) -> np.ndarray:
        """Log sds of the effects, learnt from some metrics and runs, once for all runs that have the same knots."""
        source, settings = self.problem.whole or self.problem.history, self.settings
        words = (
            settings.name, settings.knots, settings.learning_metrics, settings.learning_runs, round(knots[0], 6),
            *self.group.metrics,
        )  # fmt: skip

        def make() -> dict[str, np.ndarray]:
            past = finished_runs(source, tuple(own_scale_curves(source, name) for name in self.group.metrics))
            metrics = enough_logged(past.metrics, knots)
            chosen = past.chosen(settings.learning_runs)
            most = min(settings.learning_metrics, int(MOST_LEARNING / max(len(chosen) * len(knots), 1) ** 3) + 1)
            places = np.unique(np.linspace(0, len(metrics) - 1, most).round().astype(int))
            few = tuple(metrics[i] for i in places) if metrics else ()
            some = standard_curves(past, chosen, few, knots)
            if some is None:
                return {"log_sd": curve_gp.prior_means()}
            return {"log_sd": curve_gp.fitted(some.curves, some.runs, knots)}

        return source.learn("\x1f".join(map(str, words)), make)["log_sd"]


def knots_for(origin: float, count: int) -> np.ndarray:
    """Knots (q,) in ln progress: evenly from well before a run in question stands to the end.

    Runs that stand about there have the same knots, so that scales are learnt once for all of them.

    >>> np.exp(knots_for(0.12, 3)).round(3).tolist()
    [0.023, 0.15, 1.0]
    """
    about = float(np.exp(np.round(4 * np.log(max(origin, 1e-12))) / 4))
    return np.linspace(np.log(min(max(about / BACK, EARLIEST), 0.5)), 0.0, count)


def enough_logged(metrics: tuple[FinishedCurves, ...], knots: np.ndarray) -> tuple[FinishedCurves, ...]:
    """The metrics that enough runs log after the first knot."""
    first = float(np.exp(knots[0]))
    logged = [sum(curve.progress[-1] >= first for curve in one.curves.values()) for one in metrics]
    return tuple(one for one, count in zip(metrics, logged, strict=True) if count >= FEWEST_RUNS)


def standard_curves(
    past: FinishedRuns, which: np.ndarray, metrics: tuple[FinishedCurves, ...], knots: np.ndarray
) -> StandardCurves | None:
    """Some finished runs in the metrics that enough log; None where they are of fewer than two families."""
    metrics, families = enough_logged(metrics, knots), len(set(past.family[which]))
    if not metrics or families < FEWEST_FAMILIES:
        return None
    runs = [past.runs[i] for i in which]
    m, r, q = len(metrics), len(runs), len(knots)
    projected = curve_gp.no_curves(m, r, q)
    centre, unit, places = np.zeros(m), np.zeros(m), np.exp(knots)
    rotations: dict[bytes, curve_gp.Rotation] = {}
    for j, one in enumerate(metrics):
        curves = {i: one.curves[run] for i, run in enumerate(runs) if run in one.curves}
        values = np.concatenate([np.zeros(0), *(curve.at(places) for curve in curves.values())])
        values = values if len(values) else np.zeros(1)
        jitter, centre[j] = scatter(curves.values()), values.mean()
        unit[j] = max(np.sqrt(values.var() + jitter), smallest_spread(moments_of(values), bounded=one.bounded))
        projected.scatter[j] = jitter / unit[j] ** 2
        for i, curve in curves.items():
            _project(projected, j, i, curve, centre[j], unit[j], knots, rotations)
    names = tuple(one.metric for one in metrics)
    return StandardCurves(names, centre, unit, projected, past.planned(which), families)


def _project(
    curves: ProjectedCurves, metric: int, run: int, curve: LatentCurve, centre: float, unit: float,
    knots: np.ndarray, rotations: dict[bytes, curve_gp.Rotation],
) -> None:  # fmt: skip
    """Add a curve, from the first knot on; rotations of the same checkpoints are computed once."""
    # A point at the first knot counts, whatever rounding says.
    first = int(np.searchsorted(curve.progress, np.exp(knots[0]) * (1 - 1e-9)))
    progress = curve.progress[first:]
    if not len(progress):
        return
    key = progress.tobytes()
    if key not in rotations:
        rotations[key] = curve_gp.rotation(np.log(progress), knots)
    curve_gp.add_curve(curves, metric, run, rotations[key], (curve.latent[first:] - centre) / unit)
    stderr = curve.stderr[first:]
    logged = stderr[np.isfinite(stderr)] / unit
    curves.stderr[metric, run] = float(logged @ logged) / len(stderr)
    gaps = max(np.log(progress[-1] / progress[0]) / (knots[1] - knots[0]), 1.0)
    curves.dense[metric, run] = max(len(progress) / (PER_GAP * gaps), 1.0)


POOLED_CURVES = PooledCurves()

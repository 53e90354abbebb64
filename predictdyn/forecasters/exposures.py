"""Exposures: a string comes out by how often it has been met so far, whatever share of the run that took."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from predictdyn.curves import Curves, Metric
from predictdyn.fitting import binomial_regression
from predictdyn.fitting.change_gp import PlannedRuns
from predictdyn.forecast import DRAWS, Latent, seed_for
from predictdyn.forecasters._fitted import no_answer
from predictdyn.forecasters._plans import PlanView, plan_view, spread_over
from predictdyn.problem import History, Panel, Problem, Query

MIDDLE = np.array([-1.0, 1.0, 0.0, 0.0])  # a, b, c and d before any run was seen: a hazard proportional to exposures
# Their standard deviations to start from: of what all runs share, by size, other settings, family, and run.
SPREAD = np.array(
    [[3.0, 1.5, 1.0, 0.5, 0.25], [1.0, 0.5, 0.5, 0.3, 0.15], [1.5, 0.5, 0.5, 0.3, 0.15], [1.5, 0.5, 1.0, 0.3, 0.15]]
)
OWN = 0.3  # of a curve's own, as its strings are easier or harder than others
NEAR = np.log(2) / 2  # checkpoints closer than this, in ln step, ask the same strings, and count once
EARLIEST = np.log(1 / 64)  # ln share of the run from which a curve counts
FEWEST_FAMILIES = 2
TAILS = (2.0, 5.0)


@dataclass(frozen=True)
class Exposures:
    r"""A hazard in repetitions and time, pooled over finished runs and over the metrics of a group.

    .. math:: \ln \mu = a + b \ln(r s) + c \ln s + d s + u

    mu is the mean hazard of a string, -ln(1 - p) where the share p that comes out is small or strings are alike
    (`fitting.binomial_regression`), r how often such a string is met in the whole run, s the share of the
    run that is done, so that r s is how often it was met so far; c is what time does besides (a larger share of what is
    met stays, later on). d is recency: if exposures are forgotten at a rate k, r (1 - exp(-k s)) / k of them are left,
    which is r s exp(-k s / 2) to the first order; a rate that cools down at the end makes it positive. a, b, c and d
    depend on the plan of the run, its family and the run itself; u is each curve's own. Strings are taken to be met
    evenly over the run.

    A group are metrics of kind memorization, between the same two bounds, whose names are one stem and a number, the
    repetitions: extracted_4, extracted_16. Values are shares of n strings, n from the logged standard errors; zero of n
    is a count like any other. A metric without a group, or without standard errors, has the draws of the last value.
    After Biderman et al. 2023 (arXiv:2304.11158), who ask of every sequence what is asked here of strings in bulk.
    """

    learning_runs: int = 40
    name: str = "exposures"

    def latent(self, problem: Problem) -> Latent:
        """Draws of shares of n strings; no answer where there is no group or too little to learn from."""
        latent = no_answer(problem, "no group of repetitions: last value")
        group_of = {name: group for group in exposure_groups(problem.metrics) for name in group.names}
        weights: dict[tuple[str, str], np.ndarray] = {}
        for panel in problem.panels:
            if (group := group_of.get(panel.metric)) is None:
                continue
            for query in panel.queries:
                # What is seen of a run that the history has, too, must not be counted twice.
                left_out = query.run if query.run in problem.history.plan else ""
                finished = _finished(problem.history, group, left_out, self.learning_runs)
                if finished is None:
                    latent.status[query.rows] = "too few finished runs with counts: last value"
                    continue
                key = group.stem, query.run
                if key not in weights:
                    seed = seed_for(problem.seed, query.run, group.stem)
                    weights[key] = finished.weights(problem.observed, query.run, seed)
                latent.draws[query.rows] = _drawn(finished, weights[key], panel, query, problem.seed)
                latent.status[query.rows] = "ok"
        return latent


def _drawn(
    finished: FinishedExposures, weights: np.ndarray, panel: Panel, query: Query, seed: int
) -> np.ndarray:  # fmt: skip
    """Latent draws (k, s) of the shares that are asked of a run, from weights (4 + m, s); the same for any one row."""
    group, trials = finished.group, finished.trials
    place = group.names.index(panel.metric)
    draws = np.empty((len(query.progress), DRAWS))
    for row, progress in enumerate(query.progress):
        rng = np.random.default_rng(seed_for(seed, query.run, panel.metric))
        terms = _terms(group, np.array([place]), np.log(np.maximum([progress], np.exp(EARLIEST))))
        some = rng.binomial(trials, binomial_regression.probability((terms @ weights)[0]))
        value = group.lower + (group.upper - group.lower) * some / trials
        # None and all are the bounds themselves: not on the floor of the scale but beyond it.
        beyond = np.where(some == trials, 1.0, 0.0) - np.where(some == 0, 1.0, 0.0)
        draws[row] = panel.scale.latent(value) + beyond
    return draws


class ExposureGroup(NamedTuple):
    """Metrics of one stem, by how often their strings are met in a run, and the bounds of them all."""

    stem: str
    names: tuple[str, ...]
    repetitions: tuple[int, ...]
    lower: float
    upper: float


def exposure_groups(metrics: Mapping[str, Metric]) -> list[ExposureGroup]:
    """Metrics of kind memorization, between two bounds, that differ in the number alone that ends their names.

    >>> shares = [Metric(f"found_{r}", "memorization", 0.0, 1.0) for r in (64, 4, 16, "late")]
    >>> exposure_groups({metric.name: metric for metric in shares})[0].repetitions
    (4, 16, 64)
    """
    found: dict[tuple[str, float, float], list[tuple[int, str]]] = {}
    for name, metric in metrics.items():
        parts = re.fullmatch(r"(.*?)(\d+)", name)
        if parts and metric.kind == "memorization" and metric.lower is not None and metric.upper is not None:
            found.setdefault((parts[1], metric.lower, metric.upper), []).append((int(parts[2]), name))
    groups = []
    for (stem, lower, upper), some in sorted(found.items()):
        known = sorted(one for one in some if one[0] > 0)  # strings that are never met have no ln repetitions
        if len(known) > 1:
            groups.append(
                ExposureGroup(stem, tuple(name for _, name in known), tuple(r for r, _ in known), lower, upper)
            )
    return groups


class ExposurePoints(NamedTuple):
    """Shares of strings that came out: places of run and metric, ln share of the run, share (n,)."""

    run: np.ndarray
    metric: np.ndarray
    when: np.ndarray
    share: np.ndarray


def _points(curves: Curves, group: ExposureGroup, runs: list[str]) -> ExposurePoints:
    """The curves of a group, checkpoints that are near each other as one, by their means."""
    end = curves.runs["last_step"].astype(float)
    found: list[np.ndarray] = [np.zeros((4, 0))]
    for r, run in enumerate(runs):
        for m, name in enumerate(group.names):
            if (run, name) in curves.series:
                curve = curves.series[run, name]
                late = curve.step > np.exp(EARLIEST) * end[run]
                when = np.log(curve.step[late] / end[run])
                share = (curve.value[late] - group.lower) / (group.upper - group.lower)
                place = np.unique(np.round(when / NEAR), return_inverse=True)[1]
                size = np.bincount(place)
                mean = [np.bincount(place, column) / size for column in (when, share)]
                found.append(np.stack([np.full(len(size), r), np.full(len(size), m), *mean]))
    place, metric, when, share = np.concatenate(found, axis=1)
    return ExposurePoints(place.astype(int), metric.astype(int), when, share)


def _terms(group: ExposureGroup, metric: np.ndarray, when: np.ndarray) -> np.ndarray:
    """What multiplies a, b, c, d and the own part of each of m curves (n, 4 + m), by place of the metric and ln share.

    Repetitions are counted from those of the strings that are met most often, so that a is the end of their curve.
    """
    often = np.log(np.array(group.repetitions, dtype=float))
    terms = [np.ones(len(when)), (often - often[-1])[metric] + when, when, np.exp(when) - 1.0]
    return np.concatenate([np.stack(terms, axis=1), np.eye(len(often))[metric]], axis=1)


def _trials(curves: Curves, group: ExposureGroup) -> int | None:
    """How many strings a share is of: p (1 - p) / stderr^2 between the bounds, the median; None if unknown."""
    some = curves.points[curves.points["metric"].isin(group.names)]
    width = group.upper - group.lower
    share = (some["value"].to_numpy(dtype=float) - group.lower) / width
    error = some["stderr"].to_numpy(dtype=float) / width
    inside = (share > 0) & (share < 1) & (error > 0)
    if not inside.any():
        return None
    return max(round(float(np.median(share[inside] * (1 - share[inside]) / error[inside] ** 2))), 1)


class FinishedExposures(NamedTuple):
    """What finished runs teach of a group: mean (k,) and covariance (k, k) of the weights that a new run shares.

    For each of a, b, c and d the weights of what all runs share, size, settings, families; ``variance`` (21,) are those
    of the kinds of weights, single runs and curves last.
    """

    group: ExposureGroup
    trials: int
    plans: PlanView
    mean: np.ndarray
    covariance: np.ndarray
    variance: np.ndarray

    def weights(self, observed: Curves, run: str, seed: int) -> np.ndarray:
        """Draws (4 + m, s) of a, b, c, d and of the own parts of the curves of a run, given what is seen of them."""
        plan = self.plans.planned(observed.runs.loc[[run]], damped=True)
        known = _shared_terms(plan, len(self.plans.families))[0]
        terms, m = len(MIDDLE), len(self.group.names)
        by = np.kron(np.eye(terms), known)
        variance = self.variance[:-1].reshape(terms, -1)
        new = variance[:, -1] + (0.0 if plan.family[0] >= 0 else variance[:, -2])
        prior = np.diag(np.r_[new, np.full(m, self.variance[-1])])
        prior[:terms, :terms] += by @ self.covariance @ by.T
        points = _points(observed, self.group, [run])
        columns = csr_matrix(_terms(self.group, points.metric, points.when))
        shares = binomial_regression.Counts(columns, points.share, np.full(len(points.share), float(self.trials)))
        df = float(np.clip(len(self.plans.families), *TAILS))
        mean = np.r_[by @ self.mean, np.zeros(m)]
        return binomial_regression.sampled(shares, mean, prior, df, DRAWS, np.random.default_rng(seed))


def _shared_terms(plan: PlannedRuns, families: int) -> np.ndarray:
    """What multiplies the weights that runs share, (r, k): one, size, settings, and the family, if it is known."""
    own_family = (plan.family[:, None] == np.arange(families)).astype(float)
    return np.concatenate([np.ones((len(plan.size), 1)), plan.size[:, None], plan.rest, own_family], axis=1)


def _finished(history: History, group: ExposureGroup, left_out: str, most: int) -> FinishedExposures | None:
    """What finished runs teach, but for one; None where they are of fewer than two families or n is unknown.

    It is learnt of the history alone, in a replay, too: weights of families are of the outcomes of single runs.
    """
    where = (*group.names, group.lower, group.upper, left_out)
    some = history.once(("exposure runs", *where, most), lambda: _chosen(history, group, left_out, most))
    if some is None:
        return None
    trials, runs, plans = some
    key = "\x1f".join(map(str, ("exposures", most, *where)))
    found = history.learn(key, lambda: _learnt(history.curves, group, trials, runs, plans))
    return FinishedExposures(group, trials, plans, found["mean"], found["covariance"], found["variance"])


def _chosen(
    history: History, group: ExposureGroup, left_out: str, most: int
) -> tuple[int, list[str], PlanView] | None:  # fmt: skip
    """How many strings there are, the runs to learn from, and how they see a plan."""
    curves = history.curves
    trials = _trials(curves, group)
    names = sorted({run for name in group.names for run in history.by_metric.get(name, {}) if run != left_out})
    family = curves.runs["family"].reindex(names).astype("str").to_numpy()
    if trials is None or len(set(family)) < FEWEST_FAMILIES:
        return None
    chosen = [names[i] for i in spread_over(family, most)]
    return trials, chosen, plan_view(curves.runs.loc[chosen])


def _learnt(
    curves: Curves, group: ExposureGroup, trials: int, runs: list[str], plans: PlanView
) -> dict[str, np.ndarray]:
    """Mean, covariance and variances of `FinishedExposures`."""
    plan, families = plans.finished, len(plans.families)
    shared = _shared_terms(plan, families)
    parts = np.repeat(np.arange(5), [1, 1, plan.rest.shape[1], families, len(runs)])
    points = _points(curves, group, runs)
    terms = _terms(group, points.metric, points.when)
    of_run = np.concatenate([shared, np.eye(len(runs))], axis=1)[points.run]
    own = np.eye(len(runs) * len(group.names))[points.run * len(group.names) + points.metric]
    of_terms = [terms[:, [j]] * of_run for j in range(len(MIDDLE))]
    kind = np.r_[[j * 5 + part for j in range(len(MIDDLE)) for part in parts], np.full(own.shape[1], SPREAD.size)]
    mean = np.zeros(len(kind))
    mean[np.arange(len(MIDDLE)) * len(parts)] = MIDDLE
    shares = binomial_regression.Counts(
        csr_matrix(np.concatenate([*of_terms, own], axis=1)), points.share, np.full(len(points.share), float(trials))
    )
    found = binomial_regression.learnt(shares, mean, kind.astype(int), np.r_[SPREAD.ravel() ** 2, OWN**2])
    # A new run has none of the weights of single runs and curves.
    kept = (np.arange(len(MIDDLE))[:, None] * len(parts) + np.arange(shared.shape[1])).ravel()
    return {"mean": found.mean[kept], "covariance": found.covariance[np.ix_(kept, kept)], "variance": found.variance}


EXPOSURES = Exposures()

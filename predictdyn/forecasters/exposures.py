"""Exposures: a string comes out by how often it has been met so far, whatever share of the run that took."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from predictdyn.curves import Curves, Metric
from predictdyn.fitting import counts
from predictdyn.forecast import DRAWS, Forecast, seed_for
from predictdyn.forecasters._fallback import answered
from predictdyn.forecasters._history import read_history, write_history
from predictdyn.forecasters._plans import planned, spread_over
from predictdyn.lines import tasks
from predictdyn.scales import Scale

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
    (`fitting.counts`), r how often such a string is met in the whole run, s the share of the
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

    learning_runs: int = 60
    name: str = "exposures"

    def fit(self, history: Curves, *, seed: int) -> ExposuresFitted:
        """Keep the history."""
        return ExposuresFitted(self, history)

    def load(self, folder: Path) -> ExposuresFitted:
        """Read back a saved history."""
        return ExposuresFitted(self, read_history(folder))


@dataclass(frozen=True)
class ExposuresFitted:
    """The settings and the finished runs."""

    settings: Exposures
    history: Curves

    def forecast(self, seen: Curves, target: pd.DataFrame, *, seed: int) -> Forecast:
        """Draws of shares of n strings; the last value where there is no group or too little to learn from."""
        latent = np.zeros((len(target), DRAWS))
        status = np.full(len(target), "no group of repetitions: last value", dtype=object)
        scales: dict[str, Scale] = {}
        group_of = {name: one for one in groups_of({**self.history.metrics, **seen.metrics}) for name in one.names}
        learnt: dict[tuple[str, str], _Learnt | None] = {}
        for task in tasks(self.history, seen, target):
            scales[task.metric] = task.scale
            if (group := group_of.get(task.metric)) is None:
                continue
            for asked in task.asked:
                # What is seen of a run that the history has, too, must not be counted twice.
                key = group.stem, asked.run if asked.run in self.history.runs.index else ""
                if key not in learnt:
                    learnt[key] = _learnt(self.history, group, key[1], self.settings.learning_runs)
                if (one := learnt[key]) is None:
                    status[asked.rows] = "too few finished runs with counts: last value"
                    continue
                weights = one.weights(seen, asked.run, seed_for(seed, asked.run, group.stem))
                place = group.names.index(task.metric)
                rng = np.random.default_rng(seed_for(seed, asked.run, task.metric))
                for row, share in zip(asked.rows, asked.share, strict=True):
                    terms = _terms(group, np.array([place]), np.log(np.maximum([share], np.exp(EARLIEST))))
                    hazard = (terms @ weights)[0]
                    some = rng.binomial(one.trials, counts.probability(hazard))
                    value = group.lower + (group.upper - group.lower) * some / one.trials
                    # None and all are the bounds themselves: not on the floor of the scale but beyond it.
                    beyond = np.where(some == one.trials, 1.0, 0.0) - np.where(some == 0, 1.0, 0.0)
                    latent[row], status[row] = task.scale.latent(value) + beyond, "ok"
        return answered(self.history, seen, target, latent, scales, status, seed=seed)

    def save(self, folder: Path) -> None:
        """The history as parquet and JSON."""
        write_history(self.history, folder)


class Group(NamedTuple):
    """Metrics of one stem, by how often their strings are met in a run, and the bounds of them all."""

    stem: str
    names: tuple[str, ...]
    repetitions: tuple[int, ...]
    lower: float
    upper: float


def groups_of(metrics: Mapping[str, Metric]) -> list[Group]:
    """Metrics of kind memorization, between two bounds, that differ in the number alone that ends their names.

    >>> shares = [Metric(f"found_{r}", "memorization", 0.0, 1.0) for r in (64, 4, 16, "late")]
    >>> groups_of({metric.name: metric for metric in shares})[0].repetitions
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
            groups.append(Group(stem, tuple(name for _, name in known), tuple(r for r, _ in known), lower, upper))
    return groups


class _Points(NamedTuple):
    """Shares of strings that came out: places of run and metric, ln share of the run, share (n,)."""

    run: np.ndarray
    metric: np.ndarray
    when: np.ndarray
    share: np.ndarray


def _points(curves: Curves, group: Group, runs: list[str]) -> _Points:
    """The curves of a group, checkpoints that are near each other as one, by their means."""
    end = curves.runs["last_step"].astype(float)
    found: list[np.ndarray] = [np.zeros((4, 0))]
    for r, run in enumerate(runs):
        for m, name in enumerate(group.names):
            if (run, name) in curves.by_key:
                curve = curves.by_key[run, name]
                late = curve.step > np.exp(EARLIEST) * end[run]
                when = np.log(curve.step[late] / end[run])
                share = (curve.value[late] - group.lower) / (group.upper - group.lower)
                place = np.unique(np.round(when / NEAR), return_inverse=True)[1]
                size = np.bincount(place)
                mean = [np.bincount(place, column) / size for column in (when, share)]
                found.append(np.stack([np.full(len(size), r), np.full(len(size), m), *mean]))
    place, metric, when, share = np.concatenate(found, axis=1)
    return _Points(place.astype(int), metric.astype(int), when, share)


def _terms(group: Group, metric: np.ndarray, when: np.ndarray) -> np.ndarray:
    """What multiplies a, b, c, d and the own part of each of m curves (n, 4 + m), by place of the metric and ln share.

    Repetitions are counted from those of the strings that are met most often, so that a is the end of their curve.
    """
    often = np.log(np.array(group.repetitions, dtype=float))
    terms = [np.ones(len(when)), (often - often[-1])[metric] + when, when, np.exp(when) - 1.0]
    return np.concatenate([np.stack(terms, axis=1), np.eye(len(often))[metric]], axis=1)


def _trials(curves: Curves, group: Group) -> int | None:
    """How many strings a share is of: p (1 - p) / stderr^2 between the bounds, the median; None if unknown."""
    some = curves.points[curves.points["metric"].isin(group.names)]
    width = group.upper - group.lower
    share = (some["value"].to_numpy(dtype=float) - group.lower) / width
    error = some["stderr"].to_numpy(dtype=float) / width
    inside = (share > 0) & (share < 1) & (error > 0)
    if not inside.any():
        return None
    return max(round(float(np.median(share[inside] * (1 - share[inside]) / error[inside] ** 2))), 1)


class _Learnt(NamedTuple):
    """Weights of a group: for each term what all runs share, size, settings, families, runs; then one of each curve."""

    group: Group
    trials: int
    runs: pd.DataFrame
    families: list[str]
    found: counts.Found

    def weights(self, seen: Curves, run: str, seed: int) -> np.ndarray:
        """Draws (4 + m, s) of a, b, c, d and of the own parts of the curves of a run, given what is seen of them."""
        plan = planned(self.runs, seen.runs.loc[[run]], damped=True)
        family = str(seen.runs.loc[run, "family"])
        known = np.r_[1.0, plan.size[-1], plan.rest[-1], [float(family == one) for one in self.families]]
        terms, each = len(MIDDLE), len(known) + len(self.runs)
        by = np.zeros((terms + len(self.group.names), len(self.found.mean)))
        for j in range(terms):
            by[j, j * each : j * each + len(known)] = known
        variance = self.found.variance[:-1].reshape(terms, -1)
        new = variance[:, -1] + (0.0 if family in self.families else variance[:, -2])
        own = np.full(len(self.group.names), self.found.variance[-1])
        covariance = by @ self.found.covariance @ by.T + np.diag(np.r_[new, own])
        points = _points(seen, self.group, [run])
        columns = csr_matrix(_terms(self.group, points.metric, points.when))
        shares = counts.Counts(columns, points.share, np.full(len(points.share), float(self.trials)))
        df = float(np.clip(len(self.families), *TAILS))
        rng = np.random.default_rng(seed)
        return counts.sampled(shares, by @ self.found.mean, covariance, df, DRAWS, rng)


def _learnt(history: Curves, group: Group, left_out: str, most: int) -> _Learnt | None:
    """What finished runs teach, but for one; None where they are of fewer than two families or n is unknown."""
    trials = _trials(history, group)
    names = sorted({run for run, metric in history.by_key if metric in group.names and run != left_out})
    family = history.runs["family"].reindex(names).astype("str").to_numpy()
    if trials is None or len(set(family)) < FEWEST_FAMILIES:
        return None
    chosen = [names[i] for i in spread_over(family, most)]
    runs = history.runs.loc[chosen]
    plan = planned(runs, runs.iloc[:1], damped=True)
    families = sorted(set(runs["family"].astype("str")))
    own_family = (runs["family"].astype("str").to_numpy()[:, None] == families).astype(float)
    parts = [np.ones((len(runs), 1)), plan.size[:-1, None], plan.rest[:-1], own_family, np.eye(len(runs))]
    points = _points(history, group, chosen)
    terms = _terms(group, points.metric, points.when)
    of_run = np.concatenate(parts, axis=1)[points.run]
    curve = points.run * len(group.names) + points.metric
    own = np.eye(len(runs) * len(group.names))[curve]
    kinds = [kind for kind, part in enumerate(parts) for _ in range(part.shape[1])]
    of_terms = [terms[:, [j]] * of_run for j in range(len(MIDDLE))]
    kind = np.r_[
        [j * len(parts) + one for j in range(len(MIDDLE)) for one in kinds], np.full(own.shape[1], SPREAD.size)
    ]
    mean = np.zeros(len(kind))
    mean[np.arange(len(MIDDLE)) * len(kinds)] = MIDDLE
    shares = counts.Counts(
        csr_matrix(np.concatenate([*of_terms, own], axis=1)), points.share, np.full(len(points.share), float(trials))
    )
    found = counts.learnt(shares, mean, kind.astype(int), np.r_[SPREAD.ravel() ** 2, OWN**2])
    return _Learnt(group, trials, runs, families, found)


FORECASTER = Exposures()

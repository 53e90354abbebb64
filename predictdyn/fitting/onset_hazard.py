r"""Time to an event that may never come: a hazard in discrete time, log-linear in what is known of a run.

.. math:: P(T_i \in \text{bin } k \mid T_i > \text{bin } k - 1) = 1 - \exp(-e^{\eta_{ik}}), \qquad
    \eta_{ik} = a + s\, t_k + d_k + x_i' b + u_{f(i)}

The bins are even in logarithmic progress, so this is a proportional-hazards model in grouped time (Prentice and
Gloeckler 1978, doi:10.2307/2529588), an accelerated failure time in all but name. A run that ends without the event is
censored: it counts in the bins that it was logged through. The level a leans on an even chance of the event, deviations
d, effects b and families' effects u on zero, each group with a variance of its own that is learnt by EM
(`binomial_regression.learnt` does the same); so few runs promise little. A family that is not in the history has an
effect drawn from its prior. Weights are drawn from Laplace's approximation of their posterior, those of each group with
the tails of a Student's t of `PRIOR` degrees of freedom, since its variance is not known but estimated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.linalg import cho_factor, cho_solve

BINS = 12
LEVEL_SD, SLOPE_SD = 1.5, 1.0
DEVIATION, EFFECTS, FAMILIES = 0.1, 1.0, 0.5  # variances to start from; that of effects is of all columns of a group
PRIOR = 3.0  # weights that a variance to start from counts for
ROUNDS, STEPS = 20, 30
HIGHEST = 4.0  # of the log hazard: what has a hazard of 50 a bin is sure


class RunsAtRisk(NamedTuple):
    """Finished runs without the event at an origin: when it came (inf: it did not), how far they were logged, and x.

    Times are log progress; ``group`` (p,) numbers the groups of columns from 0.
    """

    onset: Float[np.ndarray, " n"]
    last: Float[np.ndarray, " n"]
    family: Shaped[np.ndarray, " n"]
    x: Float[np.ndarray, "n p"]
    group: Int[np.ndarray, " p"]


class HazardModel(NamedTuple):
    """Weights (k,) and a root of their covariance (k, k): level, slope, K deviations, p effects, families' effects.

    ``group`` (k - 2,) of all but the first two, with the variance of each group (v,).
    """

    edges: Float[np.ndarray, " e"]
    families: Shaped[np.ndarray, " f"]
    mean: Float[np.ndarray, " k"]
    root: Float[np.ndarray, "k k"]
    group: Int[np.ndarray, " g"]
    variance: Float[np.ndarray, " v"]


def fitted(runs: RunsAtRisk, origin: float, bins: int = BINS) -> HazardModel:
    """The hazard from an origin (log progress) to the end, learnt from the runs at risk there."""
    edges = np.linspace(origin, 1.0, bins + 1)
    row, at, event = periods(runs.onset, runs.last, edges)
    families, family = np.unique(runs.family.astype(str), return_inverse=True)
    p, n_groups = runs.x.shape[1], int(runs.group.max(initial=-1)) + 1
    design = np.zeros((len(row), 2 + bins + p + len(families)))
    design[:, 0] = 1
    design[:, 1] = time_of(at, bins)
    design[np.arange(len(row)), 2 + at] = 1
    design[:, 2 + bins : 2 + bins + p] = runs.x[row]
    design[np.arange(len(row)), 2 + bins + p + family[row]] = 1
    group = np.concatenate([np.zeros(bins), 1 + runs.group, np.full(len(families), 1 + n_groups)]).astype(int)
    size = np.bincount(runs.group, minlength=n_groups)
    start = np.concatenate([[DEVIATION], EFFECTS / np.maximum(size, 1), [FAMILIES]])
    mean = np.zeros(design.shape[1])
    mean[0] = even_level(bins)
    empty = HazardModel(edges, families, mean, np.zeros((len(mean), len(mean))), group, start)
    return _learnt(design, event.astype(float), empty)


def even_level(bins: int) -> float:
    """The log hazard a bin with which the event comes before the end in one of two runs."""
    return float(np.log(np.log(2.0) / bins))


def time_of(at: Int[np.ndarray, " n"], bins: int) -> Float[np.ndarray, " n"]:
    """Bins (n,) as numbers from -1 to 1."""
    return np.asarray((2.0 * at - (bins - 1)) / max(bins - 1, 1))


def periods(
    onset: Float[np.ndarray, " n"], last: Float[np.ndarray, " n"], edges: Float[np.ndarray, " e"]
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    """Rows of runs and bins: run, bin, whether the event came in it; none after it came, or that the log left open.

    >>> run, at, event = periods(np.array([0.6, np.inf]), np.array([1.0, 0.6]), np.array([0.0, 0.5, 1.0]))
    >>> run.tolist(), at.tolist(), event.tolist()
    ([0, 0, 1], [0, 1, 0], [False, True, False])
    """
    bins = len(edges) - 1
    of = np.clip(np.searchsorted(edges, onset, side="left") - 1, 0, bins)
    # A bin counts where the log goes through it, or the event came in it.
    logged = np.searchsorted(edges, last + 1e-9, side="right") - 1
    through = np.where(np.isfinite(onset), of + 1, np.minimum(logged, bins))
    row, at = np.nonzero(np.arange(bins) < np.minimum(through, bins)[:, None])
    return row, at, np.isfinite(onset)[row] & (at == of[row])


def sampled(
    model: HazardModel,
    x: Float[np.ndarray, "m p"],
    family: Shaped[np.ndarray, " m"],
    uniforms: Float[np.ndarray, "m s"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "m s"]:
    """Draws (m, s) of the log progress of the event, inf where it does not come, for runs at risk (m) with x (m, p)."""
    eta = log_hazard(model, x, family, uniforms.shape[1], rng)
    survived = np.exp(-np.cumsum(np.exp(eta), axis=2))  # (m, s, bins)
    before = (survived > uniforms[..., None]).sum(axis=2)  # bins without the event
    bins = eta.shape[2]
    inside = np.minimum(before, bins - 1)
    above = np.where(inside > 0, np.take_along_axis(survived, np.maximum(inside - 1, 0)[..., None], 2)[..., 0], 1.0)
    below = np.take_along_axis(survived, inside[..., None], 2)[..., 0]
    part = np.clip((above - uniforms) / np.maximum(above - below, 1e-300), 0.0, 1.0)
    time = model.edges[inside] + part * np.diff(model.edges)[inside]
    return np.where(before < bins, time, np.inf)


def log_hazard(
    model: HazardModel,
    x: Float[np.ndarray, "m p"],
    family: Shaped[np.ndarray, " m"],
    draws: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "m {draws} b"]:
    """Draws of the log hazard of runs (m) in each bin (b)."""
    bins, p = len(model.edges) - 1, x.shape[1]
    tail = np.sqrt(PRIOR / rng.chisquare(PRIOR, (len(model.variance), draws)))
    off = model.root @ rng.standard_normal((len(model.mean), draws))
    off[2:] *= tail[model.group]
    weights = model.mean[:, None] + off
    time = weights[0] + time_of(np.arange(bins), bins)[:, None] * weights[1] + weights[2 : 2 + bins]
    place = {name: 2 + bins + p + i for i, name in enumerate(model.families.tolist())}
    # Of one run, so that no run's draws depend on who else is asked for.
    unknown = np.sqrt(model.variance[-1]) * tail[-1] * rng.standard_normal(draws)
    shift = x @ weights[2 + bins : 2 + bins + p]
    for i, name in enumerate(family.astype(str).tolist()):
        shift[i] += weights[place[name]] if name in place else unknown
    return np.minimum(time.T[None] + shift[:, :, None], HIGHEST)


def _learnt(design: np.ndarray, event: np.ndarray, model: HazardModel) -> HazardModel:
    """Weights by Newton's method, variances of their groups by EM; those of the first two weights are given."""
    mean, group, start = model.mean, model.group, model.variance
    weights, now = mean.copy(), start
    fixed = np.array([LEVEL_SD, SLOPE_SD]) ** -2
    size = np.bincount(group, minlength=len(start))
    for _ in range(ROUNDS):
        precision = np.concatenate([fixed, 1 / now[group]])
        weights, curvature = _mode(design, event, mean, precision, weights)
        covariance = cho_solve(cho_factor(curvature), np.eye(len(mean)))
        square = (weights - mean) ** 2 + np.diag(covariance)
        then = (PRIOR * start + np.bincount(group, square[2:], minlength=len(start))) / (PRIOR + size)
        if np.abs(np.log(then / now)).max() < 0.05:
            break
        now = then
    root = np.linalg.cholesky(covariance + 1e-12 * np.eye(len(mean)))
    return model._replace(mean=weights, root=root, variance=now)


def _mode(
    design: np.ndarray, event: np.ndarray, mean: np.ndarray, precision: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable weights (k,), and minus the second derivative there (k, k), expected over events."""

    def value(at: np.ndarray) -> float:
        eta = np.minimum(design @ at, HIGHEST)
        rate = np.exp(eta)
        gain = event * np.log(-np.expm1(-np.maximum(rate, 1e-300))) - (1 - event) * rate
        return float(gain.sum() - (precision * (at - mean) ** 2).sum() / 2)

    weights, now = start, value(start)
    for _ in range(STEPS):
        rate = np.exp(np.minimum(design @ weights, HIGHEST))
        chance = np.maximum(-np.expm1(-rate), 1e-300)
        slope = design.T @ (rate * (event / chance - 1)) - precision * (weights - mean)
        curvature = (design.T * (rate**2 * np.exp(-rate) / chance)) @ design + np.diag(precision)
        step = cho_solve(cho_factor(curvature), slope)
        length = 1.0
        while (then := value(weights + length * step)) < now and length > 1e-6:
            length /= 2
        weights = weights + length * step
        gain, now = then - now, then
        if gain < 1e-4:
            break
    return weights, curvature

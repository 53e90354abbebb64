"""Stacking by CRPS: the weights of a mixture of forecasts, and one factor for its spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from predictdyn.curves import Metric
from predictdyn.fitting.family_weights import family_weights
from predictdyn.scales import LEAST_RISE, Scale, scale_for
from predictdyn.scores import crps, quantiles

FACTORS = (0.25, 2.0)  # the spread of a mixture is never changed by more
THINNED = 60  # draws of a forecast from which weights are learnt
MANY_FAMILIES = 30  # from so many on, a mixture must be surely better than a member with most of the weight
MOST = 0.5
SURELY = 2.0  # standard errors


class Resolved(NamedTuple):
    """One resolved forecast by k members: sorted draws (k, s) and the truth in the metric's units, scale and name.

    ``good`` (k,): whether each member had an answer of its own. ``family`` is that of the run: its rows are wrong
    together, so it is families that are counted. ``run`` is its name, where somebody counts runs.
    """

    draws: Float[np.ndarray, "k s"]
    truth: float
    scale: Scale
    metric: str
    kind: str
    family: str
    good: Bool[np.ndarray, " k"]
    run: str = ""


def resolved(
    draws: Float[np.ndarray, "k s"], truth: float, metric: Metric, family: str, good: Bool[np.ndarray, " k"],
    run: str = "",
) -> Resolved:  # fmt: skip
    """Draws (k, s) of one target and what then happened."""
    scale = scale_for(metric, draws.ravel())
    return Resolved(np.sort(draws, axis=1), truth, scale, metric.name, metric.kind, family, good, run)


def scaled(rows: Sequence[Resolved]) -> Float[np.ndarray, "n k s"]:
    """Draws less truth (n, k, s) in units of their metric: mean over its rows of the lower quartile of members' CRPS.

    Of many draws `THINNED` are taken, evenly: their distances are a table of pairs.
    The quartile keeps one absurd member from setting the unit; no draw counts for more than 50 units.
    """
    ordered = np.stack([_thinned(row.draws) - row.truth for row in rows])
    n, k, s = ordered.shape
    score = crps(np.zeros(n * k), ordered.reshape(n * k, s)).reshape(n, k)
    metric = np.array([row.metric for row in rows])
    unit = np.empty(len(rows))
    for name in set(metric):
        mine = metric == name
        unit[mine] = np.quantile(score[mine], 0.25, axis=1).mean()
    # A metric that members get exactly right has no unit; whatever else was said of it then counts in full.
    with np.errstate(over="ignore"):
        return np.clip(ordered / np.maximum(unit, 1e-200)[:, None, None], -50.0, 50.0)


def effective_share(sizes: Float[np.ndarray, " n"]) -> float:
    r"""The share of sizes (n,), none below zero, that make up their sum: :math:`(\sum s)^2 / (n \sum s^2)` (Kish 1965).

    >>> effective_share(np.array([1.0, 1.0, 0.0, 0.0]))
    0.5
    """
    scaled_sizes = sizes / max(float(sizes.max(initial=0.0)), 1e-300)
    square = float(scaled_sizes @ scaled_sizes)
    return float(scaled_sizes.sum() ** 2 / (len(sizes) * square)) if square > 0 else 1.0


def _thinned(draws: np.ndarray) -> np.ndarray:
    s = draws.shape[1]
    return draws[:, ((np.arange(THINNED) + 0.5) * s / THINNED).astype(int)] if s > THINNED else draws


def stack(
    rows: Sequence[Resolved], prior_weights: Float[np.ndarray, " k"], *, prior: float, families: int | None = None
) -> Float[np.ndarray, " k"]:
    r"""Weights (k,) on the simplex that minimise the mean CRPS of the mixture, pulled towards ``prior_weights`` (k,).

    :math:`\mathrm{CRPS}(w) = \sum_i w_i E|X_i - y| - \frac12 \sum_{i,j} w_i w_j E|X_i - X_j|`, convex since
    E|X_i - X_j| is of negative type (Szekely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018). The pull is
    :math:`\frac{\mathrm{prior}}{f} \lVert w - \mathrm{prior\_weights} \rVert^2` for f families, which count alike.
    Members that never had an answer of their own get none.

    From `MANY_FAMILIES` on (``families``: so many there are to learn from, else those of the rows) the member that is
    best by itself takes all if it has `MOST` of the weight, unless the mixture is better than it by `SURELY` standard
    errors over families: what a mixture gains by weights that were fitted to the same rows is luck in part, while it is
    always wider than its members, and a member that is right by itself knows how wrong it is.
    """
    from scipy.optimize import minimize

    answered = np.any([row.good for row in rows], axis=0)
    answered = answered if answered.any() else ~answered
    towards = np.where(answered, prior_weights, 0.0)
    towards = towards / towards.sum() if towards.any() else answered / answered.sum()
    off = scaled(rows)
    _, k, s = off.shape
    family = [row.family for row in rows]
    weights = family_weights(family)
    errors, distances = np.abs(off).mean(axis=2), _distances(off)
    distances[:, np.arange(k), np.arange(k)] *= s / (s - 1)  # fair: a draw is not its own partner
    error, distance = weights @ errors, np.tensordot(weights, distances, axes=1)
    pull = prior / len(set(family))

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        apart = w - towards
        value = w @ error - 0.5 * w @ distance @ w + pull * apart @ apart
        return float(value), error - distance @ w + 2 * pull * apart

    start = np.asarray(towards, dtype=float)
    solved = minimize(
        loss, start, jac=True, method="SLSQP", bounds=[(0, float(one)) for one in answered], options={"maxiter": 200},
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(k)},
    )  # fmt: skip
    better = np.isfinite(solved.x).all() and loss(solved.x)[0] <= loss(start)[0]
    weight = np.clip(solved.x if better else start, 0, None)
    weight = weight / weight.sum()
    own = errors - np.diagonal(distances, axis1=1, axis2=2) / 2
    main = int(np.argmin(np.where(answered, weights @ own, np.inf)))
    mixture = errors @ weight - np.einsum("i,nij,j->n", weight, distances, weight) / 2
    few = (families or len(set(family))) < MANY_FAMILIES
    if few or weight[main] < MOST or _is_sure(own[:, main] - mixture, family):
        return weight
    return np.eye(k)[main]


def _distances(draws: np.ndarray) -> np.ndarray:
    r"""Mean distances (n, k, k) between draws (n, k, s) of members: :math:`\int F_i (1 - F_j) + F_j (1 - F_i)`."""
    n, k, s = draws.shape
    found = np.empty((n, k, k))
    member = np.repeat(np.arange(k), s)
    for row, of_row in zip(found, draws.reshape(n, k * s), strict=True):
        order = np.argsort(of_row, kind="stable")
        below = np.cumsum(member[order] == np.arange(k)[:, None], axis=1)[:, :-1] / s
        gap = np.diff(of_row[order])
        across = (below * gap) @ (1 - below).T
        row[:] = across + across.T
    return found


def _is_sure(gain: np.ndarray, family: Sequence[str]) -> bool:
    """Whether gains (n,) have a mean over families that is surely above none; of one family nothing is sure."""
    names, code, count = np.unique(family, return_inverse=True, return_counts=True)
    if len(names) == 1:
        return False
    of_family = np.bincount(code, weights=gain) / count
    return bool(of_family.mean() > SURELY * of_family.std(ddof=1) / np.sqrt(len(names)))


def mixed(weight: Float[np.ndarray, " k"], draws: Float[np.ndarray, "k s"]) -> Float[np.ndarray, " s"]:
    """A sample (s,) of the mixture of k members, from draws (k, s): each member gives its share, evenly."""
    k, s = draws.shape
    count = np.diff(np.floor(np.cumsum(np.r_[0.0, weight]) * s + 0.5).astype(int))
    member = np.repeat(np.arange(k), count)
    within = np.arange(len(member)) - np.repeat(np.cumsum(count) - count, count)
    step = (s - 1) / np.maximum(count - 1, 1)
    return np.asarray(draws[member, (within * step[member]).round().astype(int)])


def widened(latent: Float[np.ndarray, " s"], scale: Scale, factor: float) -> Float[np.ndarray, " s"]:
    """Latent draws (s,) with their deviations from the median times a factor; draws on a bound stay there.

    Beside a lower bound alone no draw goes further above the highest than `scales.LEAST_RISE`.
    """
    value = scale.value(latent)
    loose = np.ones(len(latent), dtype=bool)
    for bound in (scale.lower, scale.upper):
        if bound is not None:
            loose &= value != bound
    if factor == 1 or not loose.any():
        return latent
    middle, out = np.median(latent[loose]), latent.copy()
    out[loose] = middle + factor * (latent[loose] - middle)
    if scale.lower is not None and scale.upper is None:
        highest = latent[loose].max()
        over = np.clip(out - highest, 0.0, None)
        out = np.minimum(out, highest) + LEAST_RISE * np.tanh(over / LEAST_RISE)
    return out


def wanted(row: Resolved, weight: Float[np.ndarray, " k"], *, level: float = 0.9) -> float:
    """The factor for `widened` that puts the truth on the end of the mixture's central interval, to its own side."""
    ordered = np.sort(mixed(weight, row.draws))[None]
    ends = quantiles(ordered, [(1 - level) / 2, 0.5, (1 + level) / 2])[0]
    low, middle, high, truth = row.scale.latent(np.r_[ends, row.truth]).tolist()
    half = high - middle if truth > middle else middle - low
    return float(abs(truth - middle) / half) if half > 0 else 1.0


def spread(
    factors: Sequence[float], family: Sequence[str], *, prior: float, towards: float = 1.0, level: float = 0.9
) -> float:
    r"""The factor for `widened` with which intervals hold ``level`` of the truths, from those `wanted` by n rows.

    Split conformal: the factor below which :math:`\mathrm{level}\,(n + 1)/n` of the rows lie (the largest, where
    there is none; Vovk et al. 2005), families counting alike. Its logarithm counts f / (f + prior) for f families,
    that of ``towards`` the rest, and it stays within `FACTORS`.

    >>> spread([1.0] * 80 + [1.5] * 20, list(map(str, range(100))), prior=0.0)
    1.5
    """
    ranked = np.argsort(factors, kind="stable")
    n, f = len(factors), len(set(family))
    reached = np.cumsum(family_weights(family)[ranked]) >= level * (n + 1) / n - 1e-9
    best = np.clip(np.asarray(factors)[ranked[int(np.argmax(reached)) if reached.any() else -1]], *FACTORS)
    return float(np.exp((f * np.log(best) + prior * np.log(towards)) / (f + prior)))

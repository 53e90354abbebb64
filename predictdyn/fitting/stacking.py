"""Stacking by CRPS: the weights of a mixture of forecasts, which make a quadratic programme, and one factor of spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FACTORS = np.array([0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0])


class Losses(NamedTuple):
    """What one resolved forecast by k members gives: E|X_i - y| (k,), E|X_i - X_j| (k, k), the draws (k, s) minus y."""

    error: np.ndarray
    distance: np.ndarray
    draws: np.ndarray


def losses(truth: float, draws: np.ndarray) -> Losses:
    r"""The parts of the CRPS of any mixture of members, from draws (k, s) on the latent scale.

    :math:`\mathrm{CRPS}(w) = \sum_i w_i E|X_i - y| - \frac12 \sum_{i,j} w_i w_j E|X_i - X_j|`. Everything is divided by
    the median of E|X_i - y|, so that easy and hard rows count alike.
    """
    off = draws - truth
    error = np.abs(off).mean(axis=1)
    k, s = off.shape
    distance = np.empty((k, k))
    for i in range(k):
        pairs = np.abs(off[i][:, None] - off.reshape(1, -1)).reshape(s, k, s)
        distance[i] = pairs.mean(axis=(0, 2))
        distance[i, i] *= s / (s - 1)  # fair: a draw is not its own partner
    unit = float(np.median(error)) or 1.0
    return Losses(error / unit, (distance + distance.T) / (2 * unit), off / unit)


def stack(rows: Sequence[Losses], *, prior: float) -> np.ndarray:
    r"""Weights (k,) on the simplex that minimise the mean CRPS of the mixture over rows, pulled towards equal ones.

    The pull is :math:`\frac{\mathrm{prior}}{n} \lVert w - 1/k \rVert^2` beside the mean over n rows. Solved by SLSQP
    from equal weights: the programme is convex, E|X_i - X_j| being of negative type (Szekely and Rizzo 2013,
    doi:10.1016/j.jspi.2013.03.018).
    """
    from scipy.optimize import minimize

    error = np.mean([np.minimum(row.error, 20.0) for row in rows], axis=0)
    distance = np.mean([np.minimum(row.distance, 40.0) for row in rows], axis=0)
    k, pull = len(error), prior / len(rows)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        off = w - 1 / k
        value = w @ error - 0.5 * w @ distance @ w + pull * off @ off
        return float(value), error - distance @ w + 2 * pull * off

    start = np.full(k, 1 / k)
    solved = minimize(
        loss, start, jac=True, method="SLSQP", bounds=[(0, 1)] * k,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(k)},
        options={"maxiter": 200},
    )
    weight = np.clip(solved.x if np.isfinite(solved.x).all() else start, 0, None)
    return weight / weight.sum()


def spread(rows: Sequence[Losses], weight: np.ndarray, *, prior: float) -> float:
    """The factor on the deviations from the median that gives the mixture its lowest mean CRPS, shrunk towards one.

    With n rows the logarithm of the best factor is multiplied by n / (n + prior).
    """
    total = np.zeros(len(FACTORS))
    for row in rows:
        s = row.draws.shape[1]
        count = np.floor(np.cumsum(weight) * s + 0.5).astype(int)
        mixed = np.concatenate([row.draws[i, a:b] for i, (a, b) in enumerate(zip(np.r_[0, count[:-1]], count, strict=True))])
        middle = np.median(mixed)
        scaled = np.sort(middle + FACTORS[:, None] * (mixed - middle), axis=1)
        n = scaled.shape[1]
        pairs = scaled @ (2.0 * np.arange(1, n + 1) - n - 1) / (n * (n - 1))
        total += np.minimum(np.abs(scaled).mean(axis=1) - pairs, 20.0)
    best = np.log(FACTORS[int(np.argmin(total))])
    return float(np.exp(best * len(rows) / (len(rows) + prior)))

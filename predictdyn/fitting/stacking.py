"""Stacking by CRPS: the weights with which quantiles of several forecasts are averaged, and one factor of the spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FACTORS = np.geomspace(0.5, 2.0, 15)


class Resolved(NamedTuple):
    """One resolved forecast by k members: sorted draws less the truth in the metric's units (k, s); the metric's name."""

    off: np.ndarray
    metric: str


def resolved(off: np.ndarray, metric: str) -> Resolved:
    """Sort draws less the truth, (k, s)."""
    return Resolved(np.sort(off, axis=1), metric)


def scaled(rows: Sequence[Resolved]) -> np.ndarray:
    """Draws less truth (n, k, s) in units of their metric: the median over members of the mean CRPS of its rows.

    One row counts at most 50 units, whatever a member said there.
    """
    ordered = np.stack([row.off for row in rows])
    score = np.abs(ordered).mean(axis=2) - ordered @ _pairs(ordered.shape[2])
    metric = np.array([row.metric for row in rows])
    unit = np.empty(len(rows))
    for name in set(metric):
        mine = metric == name
        unit[mine] = np.median(score[mine].mean(axis=0))
    smallest = 1e-9 * np.abs(ordered).max() + 1e-300
    return np.clip(ordered / np.maximum(unit, smallest)[:, None, None], -50.0, 50.0)


def stack(rows: Sequence[Resolved], *, prior: float) -> np.ndarray:
    r"""Weights (k,) on the simplex that minimise the mean CRPS of averaged quantiles, pulled towards equal weights.

    The averaged forecast has the order statistics :math:`q_i = \sum_k w_k x_{k(i)}`, so its fair CRPS,
    :math:`\frac1s \sum_i |q_i - y| - \frac{1}{s(s-1)} \sum_i (2i - s - 1) q_i`, is convex in w. The pull is
    :math:`\frac{\mathrm{prior}}{n} \lVert w - 1/k \rVert^2` for n rows. Averaging quantiles (Vincent 1912) keeps members
    that are calibrated but centred apart from making too wide a mixture (Lichtendahl et al. 2013,
    doi:10.1287/mnsc.1120.1667).
    """
    from scipy.optimize import minimize

    ordered = scaled(rows)
    n, k, s = ordered.shape
    linear = (ordered @ _pairs(s)).mean(axis=0)
    pull = prior / n

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.einsum("nks,k->ns", ordered, w)
        slope = np.einsum("nks,ns->k", ordered, np.sign(mixed)) / (n * s)
        off = w - 1 / k
        return float(np.abs(mixed).mean() - linear @ w + pull * off @ off), slope - linear + 2 * pull * off

    start = np.full(k, 1 / k)
    solved = minimize(
        loss, start, jac=True, method="SLSQP", bounds=[(0, 1)] * k, options={"maxiter": 200},
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(k)},
    )  # fmt: skip
    better = np.isfinite(solved.x).all() and loss(solved.x)[0] <= loss(start)[0]
    weight = np.clip(solved.x if better else start, 0, None)
    return weight / weight.sum()


def spread(rows: Sequence[Resolved], weight: np.ndarray, *, prior: float, level: float = 0.9) -> float:
    """The factor on the deviations from the median with which the averaged intervals hold ``level`` of the truths.

    The factor from `FACTORS` whose share of held truths is nearest to the level; with n rows its logarithm is shrunk by
    n / (n + prior).
    """
    held = np.zeros(len(FACTORS))
    for row in rows:
        low, middle, high = np.quantile(weight @ row.off, [(1 - level) / 2, 0.5, (1 + level) / 2])
        held += (middle + FACTORS * (low - middle) <= 0) & (middle + FACTORS * (high - middle) >= 0)
    off = np.abs(held / len(rows) - level)
    best = np.log(FACTORS[off == off.min()]).mean()
    return float(np.exp(best * len(rows) / (len(rows) + prior)))


def _pairs(s: int) -> np.ndarray:
    """Coefficients (s,) of order statistics in half the mean absolute difference of two draws."""
    return (2.0 * np.arange(1, s + 1) - s - 1) / (s * (s - 1))

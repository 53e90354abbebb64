r"""Accuracy on the line: one metric as a line in another, and how much of a run's distance from it persists.

On the probit scale, :math:`\Phi^{-1}(y) = a + b \, \Phi^{-1}(g) + r`, the accuracy y of many models under a shift is a
line in their accuracy g without (Miller et al. 2021, arXiv:2107.04649; so is the agreement of models, Baek et al. 2022,
arXiv:2206.13089). The distance r of one model from it is its effective robustness.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_expit, log_ndtr, ndtri_exp

HUBER = 1.345  # sds beyond which a point counts less: 95 % efficient for normal errors
STEPS = 25  # of reweighting at most
SETTLED = 1e-9  # change of a weight that ends it
PULL = 4.0  # families; chosen on the second seed of digits, by forecasts from 6, 12 and 30 runs
FAR = -8.0  # below, ln(-ln(1 - p)) is ln p to double precision


def probit(latent: np.ndarray, *, error: bool) -> np.ndarray:
    r""":math:`\Phi^{-1}(p)` of logits (...) of p, or with ``error`` of :math:`\ln(-\ln(1 - p))`, exact in both tails.

    >>> probit(np.array([0.0, np.log(3.0)]), error=False).round(3).tolist()
    [0.0, 0.674]
    """
    if error:
        right = -np.exp(latent)
        small = np.minimum(latent, 0.0)
        left = small + np.log(-np.expm1(-np.exp(small)) / np.exp(small))
    else:
        left, right = log_expit(latent), log_expit(-latent)
    return np.where(right > -np.log(2.0), ndtri_exp(left), -ndtri_exp(right))


def latent(probit: np.ndarray, *, error: bool) -> np.ndarray:
    """The latent number of a probit (...): the inverse of `probit`.

    >>> latent(probit(np.array([-40.0, 0.3, 3.0]), error=True), error=True).round(6).tolist()
    [-40.0, 0.3, 3.0]
    """
    left, right = log_ndtr(probit), log_ndtr(-probit)
    if error:
        return np.where(probit < FAR, left, np.log(-np.minimum(right, -1e-300)))
    return np.asarray(left - right)


def robust_lines(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intercepts and slopes (g,) of the lines of y (n,) in each row of x (g, n), by Huber's loss.

    ``weight`` (g, n), zero where a point shall not count. The sd is 1.48 times the weighted median of the absolute
    residuals. The slope is zero where all x are alike. Huber 1964, doi:10.1214/aoms/1177703732.

    >>> x = np.arange(8.0)
    >>> a, b = robust_lines(x[None], np.where(x == 3, 50.0, 1 + 2 * x), np.ones((1, 8)))
    >>> a.round(2).tolist(), b.round(2).tolist()
    ([1.0], [2.0])
    """
    now = weight
    for _ in range(STEPS):
        total = np.maximum(now.sum(axis=1), 1e-300)
        middle = (now * x).sum(axis=1) / total
        level = (now * y).sum(axis=1) / total
        off = x - middle[:, None]
        square = (now * off**2).sum(axis=1)
        alike = square <= 1e-18 * total * (1 + middle**2)
        slope = np.where(alike, 0.0, (now * off * y).sum(axis=1) / np.where(alike, 1.0, square))
        left = np.abs(y - level[:, None] - slope[:, None] * off)
        sd = 1.4826 * _medians(left, weight)
        before, now = now, weight * np.minimum(1.0, HUBER * np.maximum(sd, 1e-12)[:, None] / np.maximum(left, 1e-300))
        if np.all(np.abs(now - before) <= SETTLED):
            break
    return level - slope * middle, slope


def _medians(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted medians (g,) of the rows of values (g, n)."""
    order = np.argsort(values, axis=1, kind="stable")
    up = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    at = np.argmax(up >= up[:, -1:] / 2, axis=1)
    return values[np.arange(len(values)), order[np.arange(len(values)), at]]


def distances(
    guides: np.ndarray, y: np.ndarray, family: np.ndarray, *, folds: int, fewest: int, seed: int
) -> np.ndarray:
    """Mean distances (g,) of families from lines through the others, for each guide; infinite for one of few families.

    Probits of guides (g, n) and of what they shall guide (n,), NaN where unknown, in families (n,) that count alike.
    Families are dealt into at most ``folds``; a guide with fewer than ``fewest`` is none.

    >>> y = np.arange(6.0)
    >>> guides = np.stack([2 * y + 1, np.cos(y)])
    >>> distances(guides, y, np.arange(6), folds=6, fewest=4, seed=0).round(1).tolist()
    [0.0, 1.8]
    """
    known = np.isfinite(guides) & np.isfinite(y)
    x, y = np.where(known, guides, 0.0), np.where(np.isfinite(y), y, 0.0)
    names, code = np.unique(family, return_inverse=True)
    member = np.eye(len(names))[code]  # (n, families)
    count = known @ member
    weight = known / np.maximum(count[:, code], 1)
    fold = np.empty(len(names), dtype=int)
    fold[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % folds
    off = np.zeros(x.shape)
    for one in range(min(folds, len(names))):
        test = fold[code] == one
        a, b = robust_lines(x, y, np.where(test, 0.0, weight))
        off[:, test] = np.abs(y[test] - a[:, None] - b[:, None] * x[:, test])
    n_families = (count > 0).sum(axis=1)
    return np.where(n_families >= fewest, (weight * off).sum(axis=1) / np.maximum(n_families, 1), np.inf)


class OnTheLine:
    """A regressor for `crossfit`, made for rows of families (n,): the line, and the part of the distance that persists.

    Columns of x are the guide at the end, and, where both were seen, the guide and the metric itself at the cutoff,
    all probits: :math:`y = a + b g + c + rho (y_0 - a - b g_0)`. The line is through where runs stood at the cutoff,
    too: few runs that end alike have no slope. That all of the distance persists has the weight of `PULL` families.

    >>> rng = np.random.default_rng(0)
    >>> g, g_0, r = rng.standard_normal((3, 500))
    >>> x = np.column_stack([g, g_0, 0.6 * g_0 - 1 + r])
    >>> model = OnTheLine(np.arange(500)).fit(x, 0.6 * g - 1 + 0.5 * r)
    >>> model.predict(np.array([[0.0, 0.0, -1.0], [1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])).round(1).tolist()
    [-1.0, -0.4, -0.5]
    """

    def __init__(self, family: np.ndarray) -> None:
        _, code, count = np.unique(family, return_inverse=True, return_counts=True)
        self.weight = 1 / count[code]
        self.intercept, self.slope, self.shift, self.persisting = 0.0, 0.0, 0.0, 0.0

    def fit(self, x: np.ndarray, y: np.ndarray) -> OnTheLine:
        """Rows x (n, 1) or (n, 3), ends y (n,)."""
        begun = x.shape[1] > 1
        guide, own = (np.r_[x[:, 0], x[:, 1]], np.r_[y, x[:, 2]]) if begun else (x[:, 0], y)
        self.intercept, self.slope = _line(guide, own, np.tile(self.weight, 2 if begun else 1))
        if begun:
            before, after = self._off(x[:, 1], x[:, 2]), self._off(x[:, 0], y)
            typical = np.sqrt(np.average(before**2, weights=self.weight)) * np.array([-1.0, 1.0])
            weight = np.r_[self.weight, PULL / 2, PULL / 2]
            self.shift, self.persisting = _line(np.r_[before, typical], np.r_[after, typical], weight)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Ends (m,) for rows (m, 1) or (m, 3)."""
        end = self.intercept + self.slope * x[:, 0]
        return end + self.shift + self.persisting * self._off(x[:, 1], x[:, 2]) if x.shape[1] > 1 else end

    def _off(self, guide: np.ndarray, own: np.ndarray) -> np.ndarray:
        return own - self.intercept - self.slope * guide


def _line(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    (intercept,), (slope,) = robust_lines(x[None], y, weight[None])
    return float(intercept), float(slope)

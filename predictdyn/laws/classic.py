"""The classic law L(N, D) = E + A / N^alpha + B / D^beta: variable projection on a grid, polish, sizes drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from predictdyn.laws.resampling import resamples

DELTA = 1e-3  # of the Huber loss of log residuals (Hoffmann et al. 2022, arXiv:2203.15556)
FEWEST = 8
GRID = np.geomspace(0.06, 1.8, 12)  # both exponents
POLISHED = 2  # points of the grid that the polish begins from
NAMES = ("E", "A", "B", "alpha", "beta")
FLOPS = 6.0  # a parameter and token


@dataclass(frozen=True)
class ClassicLaw:
    """The five numbers (E, A, B, alpha, beta), the sum of Huber losses at them, and resamples (s, 5) of them."""

    numbers: np.ndarray
    objective: float
    resampled: np.ndarray

    def predict(self, size: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """The loss of runs, (n,)."""
        e, a, b, alpha, beta = self.numbers
        return np.asarray(e + a * np.asarray(size) ** -alpha + b * np.asarray(tokens) ** -beta)

    def parameters(self) -> pd.DataFrame:
        """One row a number, and one for the exponent of the best size in compute: estimate, 5 % and 95 %."""
        return _table({**_named(self.numbers), "exponent": _exponent(self.numbers)}, self._spread())

    def optimum(self, compute: Sequence[float]) -> pd.DataFrame:
        """Best size and tokens at budgets of C = 6 N D, and the loss there, with 5 % and 95 %: three rows a budget."""
        tables = []
        for budget in compute:
            if not (np.isfinite(budget) and budget > 0):
                raise ValueError(f"compute is a positive number, got {budget}")
            best, spread = _best(self.numbers, budget), _best(self.resampled, budget) if len(self.resampled) else {}
            tables.append(_table(best, spread).assign(compute=float(budget)))
        return pd.concat(tables, ignore_index=True)[["compute", "quantity", "estimate", "low", "high"]]

    def _spread(self) -> dict[str, np.ndarray]:
        if not len(self.resampled):
            return {}
        return {**_named(self.resampled), "exponent": _exponent(self.resampled)}


def classic_law(
    size: np.ndarray, tokens: np.ndarray, loss: np.ndarray, *, resampled: int = 400, seed: int = 0
) -> ClassicLaw:
    r"""Fit the classic law to finished runs, (n,) each.

    .. math:: \min \sum_i \mathrm{Huber}_\delta(\ln L_i - \ln(E + A N_i^{-\alpha} + B D_i^{-\beta}))

    Linear numbers are solved for at each of 144 pairs of exponents; the best pairs are polished by BFGS. Intervals come
    from whole sizes drawn again, ``resampled`` times. Raises ValueError for fewer than eight runs, numbers that are not
    positive, or a size or token count that does not vary.

    >>> size, tokens = (10 ** grid.ravel() for grid in np.meshgrid([7, 8, 9.0], [9, 10, 11.0]))
    >>> law = classic_law(size, tokens, 1.7 + 400 * size**-0.34 + 400 * tokens**-0.28, resampled=0)
    >>> law.numbers[[0, 3, 4]].round(2).tolist()
    [1.7, 0.34, 0.28]
    """
    x, d, y = (np.asarray(column, dtype=float).ravel() for column in (size, tokens, loss))
    if not len(x) == len(d) == len(y) or len(y) < FEWEST:
        raise ValueError(f"a classic law needs {FEWEST} runs, got {len(x)} sizes, {len(d)} tokens, {len(y)} losses")
    for name, column in (("size", x), ("tokens", d), ("loss", y)):
        bad = ~(np.isfinite(column) & (column > 0))
        if bad.any():
            raise ValueError(
                f"{name} is positive in every run; {bad.sum()} of {len(y)} are not, first in {bad.argmax()}"
            )
        if name != "loss" and np.ptp(np.log(column)) < 1e-9:
            raise ValueError(f"{name} has one value in all {len(y)} runs, so its exponent is unknown")
    logs = np.stack([np.log(x), np.log(d)], axis=1)
    centre = logs.mean(axis=0)
    apart, u = logs - centre, np.log(y)
    once = np.ones(len(y))
    fits = [_polished(start, apart, u, once) for start in _starts(apart, y)]
    best, objective = min(fits, key=lambda fit: fit[1])
    again = [_polished(best, apart, u, counts)[0] for counts in resamples(logs[:, 0], resampled, seed).astype(float)]
    return ClassicLaw(_numbers(best, centre), objective, _numbers(np.array(again).reshape(-1, 5), centre))


def _starts(apart: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """(ln E, ln A', alpha, ln B', beta) with A', B' at the mean of the logs: the best of the grid."""
    alpha, beta = (grid.ravel() for grid in np.meshgrid(GRID, GRID))
    n_term, d_term = np.exp(-alpha[:, None] * apart[:, 0]) / y, np.exp(-beta[:, None] * apart[:, 1]) / y
    columns = np.stack([np.broadcast_to(1 / y, n_term.shape), n_term, d_term], axis=2)  # (g, n, 3), relative errors
    weight = np.ones(n_term.shape)
    for _ in range(3):
        weighted = columns * weight[:, :, None]
        inner = np.matmul(weighted.transpose(0, 2, 1), columns) + 1e-10 * np.eye(3)
        linear = np.linalg.solve(inner, weighted.sum(axis=1)[:, :, None])[:, :, 0]
        left = 1 - (columns * linear[:, None, :]).sum(axis=2)
        weight = 1 / np.maximum(np.abs(left), 3 * DELTA)
    off = np.abs(left).sum(axis=1)
    off[(linear <= 0).any(axis=1)] = np.inf
    if np.isinf(off).all():
        # No pair leaves all terms positive: the data hardly have this form, and the polish begins from the middle.
        return [np.array([np.log(y.min()) - 0.1, np.log(y.mean()) - 1.5, 0.3, np.log(y.mean()) - 1.5, 0.3])]
    places = [i for i in np.argsort(off)[:POLISHED] if np.isfinite(off[i])]
    e, a, b = np.log(linear[places]).T
    return list(np.stack([e, a, alpha[places], b, beta[places]], axis=1))


def _polished(start: np.ndarray, apart: np.ndarray, u: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, float]:
    """The minimum near a start, and the objective there; runs count ``counts`` times."""

    def objective(p: np.ndarray) -> tuple[float, np.ndarray]:
        terms = np.empty((3, len(u)))
        terms[0] = p[0]
        terms[1] = p[1] - p[2] * apart[:, 0]
        terms[2] = p[3] - p[4] * apart[:, 1]
        top = terms.max(axis=0)
        parts = np.exp(terms - top)
        total = parts.sum(axis=0)
        residual = top + np.log(total) - u
        size = np.abs(residual)
        inside = np.minimum(size, DELTA)
        value = counts @ (inside * (size - 0.5 * inside))
        slope = counts * np.clip(residual, -DELTA, DELTA) / total * parts
        gradient = np.array(
            [
                slope[0].sum(),
                slope[1].sum(),
                -(slope[1] @ apart[:, 0]),
                slope[2].sum(),
                -(slope[2] @ apart[:, 1]),
            ]
        )
        # The sum is about delta x error x runs: in its own unit, tolerances mean what they say.
        return value / DELTA, gradient / DELTA

    found = minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-5, "maxiter": 200})
    return found.x, float(found.fun) * DELTA


def _numbers(p: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(E, A, B, alpha, beta) from the polished numbers (..., 5)."""
    e, a, alpha, b, beta = np.moveaxis(p, -1, 0)
    return np.stack([np.exp(e), np.exp(a + alpha * centre[0]), np.exp(b + beta * centre[1]), alpha, beta], axis=-1)


def _named(numbers: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(NAMES, np.moveaxis(numbers, -1, 0), strict=True))


def _exponent(numbers: np.ndarray) -> np.ndarray:
    return np.asarray(numbers[..., 4] / (numbers[..., 3] + numbers[..., 4]))


def _best(numbers: np.ndarray, compute: float) -> dict[str, np.ndarray]:
    """Best size, tokens and the loss there, for numbers (..., 5); NaN where an exponent is not positive."""
    e, a, b, alpha, beta = np.moveaxis(numbers, -1, 0)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        good = (alpha > 0) & (beta > 0)
        log_ratio = (np.log(alpha * a) - np.log(beta * b)) / (alpha + beta)
        size = np.where(good, np.exp(log_ratio + beta / (alpha + beta) * np.log(compute / FLOPS)), np.nan)
        tokens = compute / FLOPS / size
        return {"size": size, "tokens": tokens, "loss": e + a * size**-alpha + b * tokens**-beta}


def _table(estimate: dict[str, np.ndarray], spread: dict[str, np.ndarray]) -> pd.DataFrame:
    rows = []
    for name, value in estimate.items():
        low, high = np.nanquantile(spread[name], [0.05, 0.95]) if spread else (np.nan, np.nan)
        rows.append({"quantity": name, "estimate": float(value), "low": float(low), "high": float(high)})
    return pd.DataFrame(rows)

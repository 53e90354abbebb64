"""Linear regressions of statsmodels on the main directions of the columns, as what `fitting.crossfit` expects."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

DIRECTIONS = 6

# y (n,), design (n, k) with the constant first -> coefficients (k,)
Estimate = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass
class Linear:
    """Principal components of rows (n, p), and a linear estimate on them; scikit-learn's two methods."""

    estimate: Estimate
    directions: int = DIRECTIONS

    def fit(self, x: np.ndarray, y: np.ndarray) -> Linear:
        """Least squares stands in where the estimate does not converge to finite numbers."""
        self._mean, self._axes, self._spread = _directions(x, min(self.directions, len(y) // 4))
        design = self._design(x)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # statsmodels warns of what is looked at here
            try:
                found = np.asarray(self.estimate(y, design), dtype=float)
            except np.linalg.LinAlgError:
                found = np.full(design.shape[1], np.nan)
        self._coefficient = found if np.isfinite(found).all() else np.linalg.lstsq(design, y, rcond=None)[0]
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Answers (m,) for rows (m, p)."""
        return self._design(x) @ self._coefficient

    def _design(self, x: np.ndarray) -> np.ndarray:
        return np.column_stack([np.ones(len(x)), (x - self._mean) @ self._axes / self._spread])


def _directions(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (p,), first k principal axes (p, k) and the sd of rows (n, p) along them."""
    mean = x.mean(axis=0)
    _, size, axes = np.linalg.svd(x - mean, full_matrices=False)
    kept = min(k, int((size > 1e-9 * max(size.max(initial=0.0), 1e-300)).sum()))
    return mean, axes[:kept].T, size[:kept] / np.sqrt(len(x))

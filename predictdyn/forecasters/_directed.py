"""Regressions that need few columns, on a few directions of many; and the linear ones of statsmodels among them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from predictdyn.fitting.crossfit import Regressor

DIRECTIONS = 5
ROWS_EACH = 8

# y (n,), design (n, k) with the constant first -> coefficients (k,)
Estimate = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass
class Directed:
    """A regression on the directions of rows (n, p) that vary most with the answer.

    Partial least squares (Wold et al. 2001, doi:10.1016/S0169-7439(01)00155-1); at most one direction in eight rows.
    """

    inner: Regressor

    def fit(self, x: np.ndarray, y: np.ndarray) -> Directed:
        """Directions, then the regression on them."""
        from sklearn.cross_decomposition import PLSRegression

        most = max(min(DIRECTIONS, len(y) // ROWS_EACH, x.shape[1]), 1)
        with warnings.catch_warnings():
            # Of convergence, constant answers, scales at a bound: what comes of it is scored on families not seen.
            warnings.simplefilter("ignore")
            self._directions = PLSRegression(most).fit(x, y)
            self.inner.fit(self._directions.transform(x), y)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Answers (m,) for rows (m, p)."""
        return self.inner.predict(self._directions.transform(x))


@dataclass
class Linear:
    """A linear estimate of statsmodels; least squares where it does not converge to finite numbers."""

    estimate: Estimate

    def fit(self, x: np.ndarray, y: np.ndarray) -> Linear:
        """Learn from rows (n, k) and answers (n,)."""
        design = np.column_stack([np.ones(len(x)), x])
        try:
            found = np.asarray(self.estimate(y, design), dtype=float)
        except np.linalg.LinAlgError:
            found = np.full(design.shape[1], np.nan)
        self._coefficient = found if np.isfinite(found).all() else np.linalg.lstsq(design, y, rcond=None)[0]
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Answers (m,) for rows (m, k)."""
        return self._coefficient[0] + x @ self._coefficient[1:]

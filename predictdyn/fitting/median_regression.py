"""Median regression on the directions of rows that vary most with the answer, as arrays that can be kept."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

EQUAL = 1e-12  # of their size: so near numbers are equal


class Directions(NamedTuple):
    """What takes rows (m, p) to their places (m, k) along directions: (row - mean) / sd times ``turned`` (p, k).

    A column that was the same in all rows has ``turned`` 0: it says nothing, whatever it is in other rows.
    """

    mean: np.ndarray
    sd: np.ndarray
    turned: np.ndarray

    def places(self, x: np.ndarray) -> Float[np.ndarray, "m k"]:
        """Places (m, k) of rows (m, p)."""
        return ((x - self.mean) / self.sd) @ self.turned


@dataclass
class MedianRegression:
    """Koenker and Bassett 1978, doi:10.2307/1913643, at the median, on a few directions.

    Directions are those of partial least squares (Wold et al. 2001, doi:10.1016/S0169-7439(01)00155-1), ``directions``
    at most, and at most one in ``rows_each`` rows. Least squares, where the median does not converge to finite numbers.

    >>> x = np.random.default_rng(0).standard_normal((100, 3))
    >>> one = MedianRegression(directions=2, rows_each=8).fit(x, 1 + 2 * x[:, 0])
    >>> MedianRegression.from_arrays(one.arrays()).predict(np.array([[1.0, 0.0, 0.0]])).round(2).tolist()
    [3.0]
    """

    directions: int
    rows_each: int

    def fit(self, x: np.ndarray, y: np.ndarray) -> MedianRegression:
        """Directions, then the median along them, from rows (n, p) and answers (n,)."""
        from sklearn.cross_decomposition import PLSRegression
        from statsmodels.regression.quantile_regression import QuantReg

        most = max(min(self.directions, len(y) // self.rows_each, x.shape[1]), 1)
        with warnings.catch_warnings():
            # Of convergence, constant answers, scales at a bound: what comes of it is scored on families not seen.
            warnings.simplefilter("ignore")
            # Numbers that differ by rounding alone have an sd of 1e-17. With it as the unit, other rows lie at 1e16.
            same = np.ptp(x, axis=0) <= EQUAL * np.maximum(1.0, np.abs(x).max(axis=0))
            varied = np.where(same, 0.0, x)
            turned = np.where(same[:, None], 0.0, PLSRegression(most).fit(varied, y).x_rotations_)
            self._along = Directions(x.mean(axis=0), np.where(same, 1.0, x.std(axis=0, ddof=1)), turned)
            design = np.column_stack([np.ones(len(x)), self._along.places(x)])
            try:
                found = np.asarray(QuantReg(y, design).fit(q=0.5, max_iter=200).params, dtype=float)
            except np.linalg.LinAlgError:
                found = np.full(design.shape[1], np.nan)
        self._coefficient = found if np.isfinite(found).all() else np.linalg.lstsq(design, y, rcond=None)[0]
        return self

    def predict(self, x: np.ndarray) -> Float[np.ndarray, " m"]:
        """Answers (m,) for rows (m, p)."""
        return self._coefficient[0] + self._along.places(x) @ self._coefficient[1:]

    def arrays(self) -> dict[str, np.ndarray]:
        """What was learnt, by name."""
        return {**self._along._asdict(), "coefficient": self._coefficient}

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> MedianRegression:
        """Back from `arrays`: it answers as before."""
        made = MedianRegression(arrays["turned"].shape[1], 1)
        made._along = Directions(arrays["mean"], arrays["sd"], arrays["turned"])
        made._coefficient = arrays["coefficient"]
        return made

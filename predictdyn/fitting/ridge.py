r"""A linear regression that is drawn to its mean, and its answers to zero, as far as families left out would have it.

.. math:: \min_{a, b} \sum_i w_i (y_i - a - x_i' b)^2 + \lambda |b|^2, \qquad \hat y = c \, (a + x' b)

The weights :math:`w_i` make every family count alike; :math:`\lambda` (infinite: the mean alone) and then :math:`c`,
between 0 and 1, are those with the smallest squared error when each family is answered by the others. A ridge
regression (Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634) with the shrinkage factor of van Houwelingen and
le Cessie 1990 (doi:10.1002/sim.4780091109).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, np.inf)  # for each family, where columns have about unit size


class ShrunkenRidge:
    """A regressor for `crossfit`, made for rows of families (n,); with one family alone it answers zero.

    >>> x, family = np.linspace(-1, 1, 40)[:, None], np.repeat(np.arange(10), 4)
    >>> model = ShrunkenRidge(family).fit(x, 2 + 3 * x[:, 0])
    >>> model.predict(np.array([[0.0], [1.0]])).round(1).tolist()
    [2.0, 5.0]
    """

    def __init__(self, family: Shaped[np.ndarray, " n"]) -> None:
        names, code, count = np.unique(family, return_inverse=True, return_counts=True)
        self.code, self.n_families, self.weight = code, len(names), 1 / count[code]
        self.intercept, self.slope, self.factor = 0.0, np.zeros(0), 0.0

    def fit(self, x: Float[np.ndarray, "n p"], y: Float[np.ndarray, " n"]) -> ShrunkenRidge:
        """Rows x (n, p) in columns of about unit size, answers y (n,)."""
        tried = [self._left_out(x, y, penalty) for penalty in PENALTIES]
        loss = [float(np.sum(self.weight * (y - out) ** 2)) for out in tried]
        best = int(np.argmin(loss))
        out = tried[best]
        square = float(np.sum(self.weight * out**2))
        self.factor = float(np.clip(np.sum(self.weight * out * y) / square, 0.0, 1.0)) if square > 0 else 0.0
        design, gram = self._design(x, PENALTIES[best])
        found = np.linalg.solve(gram, design.T @ (np.sqrt(self.weight) * y))
        self.intercept, self.slope = float(found[0]), np.zeros(x.shape[1])
        self.slope[: len(found) - 1] = found[1:]
        return self

    def predict(self, x: Float[np.ndarray, "m p"]) -> Float[np.ndarray, " m"]:
        """Answers (m,) for rows (m, p)."""
        return self.factor * (self.intercept + x @ self.slope)

    def _design(self, x: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """Weighted columns (n, 1 + p), the first constant, and their penalised Gram matrix; no x if it is infinite."""
        used = x if np.isfinite(penalty) else x[:, :0]
        design = np.sqrt(self.weight)[:, None] * np.concatenate([np.ones((len(x), 1)), used], axis=1)
        ridge = np.r_[0.0, np.full(used.shape[1], penalty * self.n_families if used.shape[1] else 0.0)]
        return design, design.T @ design + np.diag(ridge)

    def _left_out(self, x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
        """Answers (n,) to each family by the others, exactly: its errors are those of the whole fit over I - H."""
        if self.n_families < 2:
            return np.zeros(len(y))
        design, gram = self._design(x, penalty)
        root = np.sqrt(self.weight)
        hat = design @ np.linalg.solve(gram, design.T)
        off = root * y - hat @ (root * y)
        out = np.empty(len(y))
        for one in range(self.n_families):
            rows = self.code == one
            out[rows] = y[rows] - np.linalg.solve(np.eye(rows.sum()) - hat[np.ix_(rows, rows)], off[rows]) / root[rows]
        return out

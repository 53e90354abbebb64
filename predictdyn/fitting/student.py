"""Student's t in several dimensions: its density and draws of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh
from scipy.special import gammaln


class StudentT(NamedTuple):
    """With a middle (p,), a positive definite scale (p, p) and degrees of freedom; the numbers are `scipy.stats`'.

    >>> one = StudentT(np.zeros(1), np.eye(1), 1.0)
    >>> one.log_density(np.array([[0.0]])).round(3).tolist()
    [-1.145]
    """

    middle: Float[np.ndarray, " p"]
    scale: Float[np.ndarray, "p p"]
    df: float

    def log_density(self, x: Float[np.ndarray, "n p"]) -> Float[np.ndarray, " n"]:
        """At points (n, p): (n,). Directions in which the scale is nothing do not count."""
        value, vector = eigh(self.scale)
        least = 1e6 * np.finfo(float).eps * float(np.abs(value).max())
        turned = vector * np.sqrt(np.where(np.abs(value) <= least, 0.0, 1.0 / np.where(value == 0.0, 1.0, value)))
        away = np.square((x - self.middle) @ turned).sum(axis=-1)
        p = len(self.middle)
        both, half = 0.5 * (self.df + p), 0.5 * np.sum(np.log(value[value > least]))
        level = gammaln(both) - gammaln(0.5 * self.df) - p / 2.0 * np.log(self.df * np.pi) - half
        return np.asarray(level + -both * np.log(1 + (1.0 / self.df) * away))

    def draws(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "{n} p"]:
        """So many draws (n, p)."""
        part = rng.chisquare(self.df, size=n) / self.df
        normal = rng.multivariate_normal(np.zeros(len(self.middle)), self.scale, size=n)
        return self.middle + normal / np.sqrt(part)[:, None]

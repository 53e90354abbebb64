r"""Gaussian processes crossed with metrics: metrics are independent but for what they share, so blocks stay small.

The rows of metric j are :math:`y_j = b_j + \Phi_j c`, with :math:`b_j \sim N(0, D_j)` its own (noise included) and
:math:`c \sim N(0, \Lambda)` what all metrics share. The whole covariance is never made: by the Woodbury identity m
factors of (p, p) and one of (h, h) do, and all is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize

JITTER = 1e-9


class Solved(NamedTuple):
    r"""What data say: :math:`K^{-1}` where it is needed, and the posterior of what is shared.

    ``nll`` is the negative log density of y, without its constant; ``alpha`` (m, p) is :math:`K^{-1} y`; ``precision``
    (m, p, p) the diagonal blocks of :math:`K^{-1}`; ``shared`` (h,) and ``covariance`` (h, h) the mean and covariance
    of c; ``information`` (h, h) is :math:`\Phi' K^{-1} \Phi`; ``towards`` (h,) is :math:`\Phi' K^{-1} y`; ``inverse``
    (m, p, p) is :math:`D^{-1}`; ``carried`` (m, p, h) is :math:`D^{-1} \Phi`.
    """

    nll: float
    alpha: np.ndarray
    precision: np.ndarray
    shared: np.ndarray
    covariance: np.ndarray
    information: np.ndarray
    towards: np.ndarray
    inverse: np.ndarray
    carried: np.ndarray


def solved(y: np.ndarray, own: np.ndarray, loading: np.ndarray, prior: np.ndarray) -> Solved:
    """Condition on y (m, p), with D ``own`` (m, p, p), Phi ``loading`` (m, p, h) and Lambda ``prior`` (h, h).

    A row that was not seen is y = 0, a row and column of the identity in ``own``, and zeros in ``loading``.
    Rasmussen and Williams 2006, eq. 2.30 and A.9.

    >>> found = solved(np.array([[1.0], [3.0]]), np.ones((2, 1, 1)), np.ones((2, 1, 1)), np.ones((1, 1)))
    >>> found.shared.round(3).tolist()  # two measurements and a prior at zero, all of variance one
    [1.333]
    """
    m, p, h = loading.shape
    inverse = np.linalg.inv(own)
    pivots = np.diagonal(np.linalg.cholesky(own), axis1=1, axis2=2)
    carried = inverse @ loading
    flat = loading.reshape(m * p, h)
    base = flat.T @ carried.reshape(m * p, h)
    root = np.linalg.cholesky(prior + JITTER * np.eye(h))
    inner = np.eye(h) + root.T @ base @ root
    covariance = root @ np.linalg.solve(inner, root.T)
    covariance = (covariance + covariance.T) / 2
    shared = covariance @ (carried.reshape(m * p, h).T @ y.ravel())
    alpha = np.einsum("mij,mj->mi", inverse, y) - carried @ shared
    precision = inverse - (carried @ covariance) @ carried.transpose(0, 2, 1)
    nll = 0.5 * float((y * alpha).sum()) + float(np.log(pivots).sum()) + 0.5 * float(np.linalg.slogdet(inner)[1])
    information = base - base @ covariance @ base
    return Solved(
        nll, alpha, precision, shared, covariance, information, flat.T @ alpha.ravel(), inverse, carried
    )  # fmt: skip


class Ahead(NamedTuple):
    """New rows of every metric, before the data: ``across`` (m, n, p) with the old rows, ``own`` (m, n, n), ``loading``
    (m, n, h)."""

    across: np.ndarray
    own: np.ndarray
    loading: np.ndarray


class Given(NamedTuple):
    """New rows after the data: mean (m, n), own covariance (m, n, n), and what the error of c adds, ``leaning``
    (m, n, h) times it."""

    mean: np.ndarray
    own: np.ndarray
    leaning: np.ndarray


def given(found: Solved, y: np.ndarray, ahead: Ahead) -> Given:
    r"""New rows conditioned on the data.

    Given c, metrics are independent: own mean :math:`k D^{-1} (y - \Phi c)`, own covariance
    :math:`k_{**} - k D^{-1} k'`; the error of c enters by :math:`\phi_* - k D^{-1} \Phi`.
    """
    weight = ahead.across @ found.inverse
    leaning = ahead.loading - ahead.across @ found.carried
    mean = np.einsum("mnp,mp->mn", weight, y) + leaning @ found.shared
    return Given(mean, ahead.own - weight @ ahead.across.transpose(0, 2, 1), leaning)


def mode(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]], centre: np.ndarray, spread: np.ndarray, steps: int
) -> np.ndarray:
    """The most probable hyper-parameters (k,) under normal priors, by L-BFGS from their centre.

    ``objective`` gives the negative log density of the data and its gradient (k,). Hyper-parameters stay within four
    ``spread`` of the ``centre``; where the numbers break down, the centre is the answer.
    """

    def penalised(theta: np.ndarray) -> tuple[float, np.ndarray]:
        away = (theta - centre) / spread
        try:
            value, slope = objective(theta)
        except np.linalg.LinAlgError:
            return 1e25, np.zeros_like(theta)
        return value + 0.5 * float(away @ away), slope + away / spread

    bounds = list(zip(centre - 4 * spread, centre + 4 * spread, strict=True))
    best = optimize.minimize(penalised, centre, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps})
    found: np.ndarray = best.x
    return found if np.isfinite(best.fun) and best.fun < 1e24 else centre

r"""Gaussian processes over several metrics: they are independent but for what they share, so blocks stay small.

The rows of metric j are :math:`y_j = b_j + \Phi_j c`, with :math:`b_j \sim N(0, D_j)` its own (noise included) and
:math:`c \sim N(0, \Lambda)` what all metrics share. The whole covariance is never made: by the Woodbury identity m
factors of (p, p) and one of (h, h) do, and all is exact. A row that was not seen is y = 0, a row and column of the
identity in D, and zeros in Phi. Rasmussen and Williams 2006, eq. 2.30 and A.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import linalg, optimize

JITTER = 1e-9


class Factorization(NamedTuple):
    r"""The data as any number of new rows need them.

    ``inverse`` (m, p, p) is :math:`D^{-1}`, ``carried`` (m, p, h) is :math:`D^{-1} \Phi`, ``weighed`` (m, p) is
    :math:`D^{-1} y`; ``mean`` (h,) and ``covariance`` (h, h) are those of c given the data.
    """

    inverse: np.ndarray
    carried: np.ndarray
    weighed: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray


class Likelihood(NamedTuple):
    r"""The negative log density of y, without its constant, and what its gradients are made of.

    ``inside`` (m, p, p) are the diagonal blocks of :math:`K^{-1} - K^{-1} y y' K^{-1}`, ``outside`` (h, h) is
    :math:`\Phi' (K^{-1} - K^{-1} y y' K^{-1}) \Phi`: the gradient by an entry of D or Lambda is half the one there.
    """

    nll: float
    inside: np.ndarray
    outside: np.ndarray


class NewRows(NamedTuple):
    r"""New rows of every metric, given the data and c: their mean is ``mean`` (m, n) with c at its own.

    ``explained`` (m, n, n) is what the data take from the own covariance, :math:`k D^{-1} k'`; the error of c enters
    by ``leaning`` (m, n, h).
    """

    mean: np.ndarray
    explained: np.ndarray
    leaning: np.ndarray


def factorize(y: np.ndarray, own: np.ndarray, loading: np.ndarray, prior: np.ndarray) -> Factorization:
    """Condition on y (m, p), with D ``own`` (m, p, p), Phi ``loading`` (m, p, h) and Lambda ``prior`` (h, h).

    >>> one = np.ones((2, 1, 1))  # two measurements and a prior at zero, all of variance one
    >>> factorize(np.array([[1.0], [3.0]]), one, one, np.ones((1, 1))).mean.round(3).tolist()
    [1.333]
    """
    return _solved(y, own, loading, prior)[0]


def likelihood(y: np.ndarray, own: np.ndarray, loading: np.ndarray, prior: np.ndarray) -> Likelihood:
    """The density of y (m, p) under the same covariance as in `factorize`, with its derivatives."""
    data, base, inner = _solved(y, own, loading, prior)
    pivots = np.diagonal(np.linalg.cholesky(own), axis1=1, axis2=2)
    alpha = data.weighed - data.carried @ data.mean
    towards = np.einsum("mph,mp->h", loading, alpha)
    precision = data.inverse - (data.carried @ data.covariance) @ data.carried.transpose(0, 2, 1)
    nll = 0.5 * float((y * alpha).sum()) + float(np.log(pivots).sum()) + 0.5 * float(np.linalg.slogdet(inner)[1])
    information = base - base @ data.covariance @ base
    return Likelihood(
        nll, precision - alpha[:, :, None] * alpha[:, None], information - np.outer(towards, towards)
    )  # fmt: skip


def _solved(
    y: np.ndarray, own: np.ndarray, loading: np.ndarray, prior: np.ndarray
) -> tuple[Factorization, np.ndarray, np.ndarray]:
    """The factorization, Phi' D^-1 Phi (h, h), and I + R' Phi' D^-1 Phi R with R a root of Lambda."""
    m, p, h = loading.shape
    inverse = np.linalg.inv(own)
    carried = inverse @ loading
    base = loading.reshape(m * p, h).T @ carried.reshape(m * p, h)
    root = root_of(prior)
    inner = np.eye(h) + root.T @ base @ root
    covariance = root @ np.linalg.solve(inner, root.T)
    covariance = (covariance + covariance.T) / 2
    mean = covariance @ (carried.reshape(m * p, h).T @ y.ravel())
    weighed = np.einsum("mij,mj->mi", inverse, y)
    return Factorization(inverse, carried, weighed, mean, covariance), base, inner


def new_rows(data: Factorization, across: np.ndarray, loading: np.ndarray) -> NewRows:
    r"""New rows that have the covariance ``across`` (m, n, p) with the rows of the data, and a loading (m, n, h) on c.

    Given c, metrics are independent: own mean :math:`k D^{-1} (y - \Phi c)`; c enters by
    :math:`\phi_* - k D^{-1} \Phi`.
    """
    leaning = loading - across @ data.carried
    mean = np.einsum("mnp,mp->mn", across, data.weighed) + leaning @ data.mean
    return NewRows(mean, (across @ data.inverse) @ across.transpose(0, 2, 1), leaning)


def root_of(prior: np.ndarray) -> np.ndarray:
    """The lower Cholesky factor of a prior (h, h), its diagonal raised by what rounding may take."""
    return np.asarray(np.linalg.cholesky(prior + JITTER * np.eye(len(prior))))


def extension(root: np.ndarray, across: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""What new parts of c are made of: :math:`c_* = A c + e`; A (n, h) and the covariance (n, n) of e.

    ``root`` (h, h) is `root_of` the prior of c, ``across`` (n, h) the covariance with c, ``new`` (n, n) their own:
    whatever the data say of c, :math:`A = k \Lambda^{-1}` and :math:`\mathrm{cov}\, e = k_{**} - k \Lambda^{-1} k'`.
    """
    weight = linalg.cho_solve((root, True), across.T).T
    left = new + JITTER * np.eye(len(new)) - weight @ across.T
    return weight, (left + left.T) / 2


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

r"""Gaussian processes over several metrics: they are independent but for what they share, so blocks stay small.

The rows of metric j are :math:`y_j = b_j + \Phi_j c`, with :math:`b_j \sim N(0, D_j)` its own (noise included) and
:math:`c \sim N(0, \Lambda)` what all metrics share. The whole covariance is never made: by the Woodbury identity m
factors of (p, p) and one of (h, h) do, and all is exact. A row that was not seen is y = 0, a row and column of the
identity in D, and zeros in Phi. Rasmussen and Williams 2006, eq. 2.30 and A.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy import linalg, optimize

JITTER = 1e-9


class Factorization(NamedTuple):
    r"""The data as any number of new rows need them.

    ``inverse`` (m, p, p) is :math:`D^{-1}`, ``carried`` (m, p, h) is :math:`D^{-1} \Phi`, ``weighed`` (m, p) is
    :math:`D^{-1} y`; ``mean`` (h,) and ``covariance`` (h, h) are those of c given the data.
    """

    inverse: Float[np.ndarray, "m p p"]
    carried: Float[np.ndarray, "m p h"]
    weighed: Float[np.ndarray, "m p"]
    mean: Float[np.ndarray, " h"]
    covariance: Float[np.ndarray, "h h"]


class Likelihood(NamedTuple):
    r"""The negative log density of y, without its constant, and what its gradients are made of.

    ``inside`` (m, p, p) are the diagonal blocks of :math:`K^{-1} - K^{-1} y y' K^{-1}`, ``outside`` (h, h) is
    :math:`\Phi' (K^{-1} - K^{-1} y y' K^{-1}) \Phi`: the gradient by an entry of D or Lambda is half the one there.
    """

    nll: float
    inside: Float[np.ndarray, "m p p"]
    outside: Float[np.ndarray, "h h"]


class NewRows(NamedTuple):
    r"""New rows of every metric, given the data and c: their mean is ``mean`` (m, n) with c at its own.

    ``explained`` (m, n, n) is what the data take from the own covariance, :math:`k D^{-1} k'`; the error of c enters
    by ``leaning`` (m, n, h).
    """

    mean: Float[np.ndarray, "m n"]
    explained: Float[np.ndarray, "m n n"]
    leaning: Float[np.ndarray, "m n h"]


@runtime_checkable
class Loading(Protocol):
    """Phi, however it is kept."""

    def after(self, inverse: Float[np.ndarray, "m p p"]) -> Float[np.ndarray, "m p h"]:
        """Symmetric matrices (m, p, p) times Phi: (m, p, h)."""
        ...

    def before(self, rows: Float[np.ndarray, "m p k"]) -> Float[np.ndarray, "m h k"]:
        """Phi' times rows (m, p, k), (m, h, k)."""
        ...


class DenseLoading(NamedTuple):
    """Phi as it stands, (m, p, h)."""

    matrix: Float[np.ndarray, "m p h"]

    def after(self, inverse: Float[np.ndarray, "m p p"]) -> Float[np.ndarray, "m p h"]:
        """See `Loading`."""
        return np.asarray(inverse @ self.matrix)

    def before(self, rows: Float[np.ndarray, "m p k"]) -> Float[np.ndarray, "m h k"]:
        """See `Loading`."""
        return np.asarray(self.matrix.transpose(0, 2, 1) @ rows)


class BlockLoading(NamedTuple):
    """Phi that is block diagonal in each metric, of r blocks (m, r, q, q): p and h are r q."""

    blocks: Float[np.ndarray, "m r q q"]

    def after(self, inverse: Float[np.ndarray, "m p p"]) -> Float[np.ndarray, "m p h"]:
        """See `Loading`."""
        return self.before(inverse).transpose(0, 2, 1)

    def before(self, rows: Float[np.ndarray, "m p k"]) -> Float[np.ndarray, "m h k"]:
        """See `Loading`."""
        m, r, q, _ = self.blocks.shape
        return np.asarray(self.blocks.transpose(0, 1, 3, 2) @ rows.reshape(m, r, q, -1)).reshape(m, r * q, -1)


def factorize(
    y: Float[np.ndarray, "m p"], own: Float[np.ndarray, "m p p"], loading: Loading, prior: Float[np.ndarray, "h h"]
) -> Factorization:
    """Condition on y (m, p), with D ``own`` (m, p, p), Phi ``loading`` (m, p, h) and Lambda ``prior`` (h, h).

    >>> one = np.ones((2, 1, 1))  # two measurements and a prior at zero, all of variance one
    >>> factorize(np.array([[1.0], [3.0]]), one, DenseLoading(one), np.ones((1, 1))).mean.round(3).tolist()
    [1.333]
    """
    return _solved(y, own, loading, prior)[0]


def likelihood(
    y: Float[np.ndarray, "m p"], own: Float[np.ndarray, "m p p"], loading: Loading, prior: Float[np.ndarray, "h h"]
) -> Likelihood:
    """The density of y (m, p) under the same covariance as in `factorize`, with its derivatives."""
    data, base, half, log_det = _solved(y, own, loading, prior)
    alpha = data.weighed - data.carried @ data.mean
    towards = loading.before(alpha[:, :, None]).sum(axis=0)[:, 0]
    taken, felt = half @ data.carried.transpose(0, 2, 1), half @ base
    inside = data.inverse - taken.transpose(0, 2, 1) @ taken - alpha[:, :, None] * alpha[:, None]
    outside = base - felt.T @ felt - np.outer(towards, towards)
    return Likelihood(0.5 * (float((y * alpha).sum()) + log_det), inside, outside)


def _solved(
    y: Float[np.ndarray, "m p"], own: Float[np.ndarray, "m p p"], loading: Loading, prior: Float[np.ndarray, "h h"]
) -> tuple[Factorization, Float[np.ndarray, "h h"], Float[np.ndarray, "h h"], float]:
    """The factorization, Phi' D^-1 Phi (h, h), a W (h, h) whose W' W is the covariance of c, and ln det K."""
    inverse, log_det = _inverses(own)
    carried = loading.after(inverse)
    base = loading.before(carried).sum(axis=0)
    root = root_of(prior)
    inner = np.linalg.cholesky(np.eye(len(root)) + root.T @ base @ root)
    half = linalg.solve_triangular(inner, root.T, lower=True)
    covariance = half.T @ half
    mean = covariance @ np.einsum("mph,mp->h", carried, y)
    weighed = np.einsum("mij,mj->mi", inverse, y)
    log_det += 2 * float(np.log(np.diagonal(inner)).sum())
    return Factorization(inverse, carried, weighed, mean, covariance), base, half, log_det


def _inverses(own: Float[np.ndarray, "m p p"]) -> tuple[Float[np.ndarray, "m p p"], float]:
    """Inverses (m, p, p) of positive definite matrices, and the sum of the logarithms of their determinants."""
    inverse, log_det = np.empty_like(own), 0.0
    for j, one in enumerate(own):
        lower, bad = linalg.lapack.dpotrf(one, lower=1)
        if bad:
            raise np.linalg.LinAlgError("a covariance is not positive definite")
        log_det += 2 * float(np.log(np.diagonal(lower)).sum())
        half = linalg.lapack.dpotri(lower, lower=1)[0]  # above the diagonal are the zeros of the factor
        np.add(half, half.T, out=inverse[j])
        np.fill_diagonal(inverse[j], np.diagonal(half))
    return inverse, log_det


def new_rows(data: Factorization, across: Float[np.ndarray, "m n p"], loading: Float[np.ndarray, "m n h"]) -> NewRows:
    r"""New rows that have the covariance ``across`` (m, n, p) with the rows of the data, and a loading (m, n, h) on c.

    Given c, metrics are independent: own mean :math:`k D^{-1} (y - \Phi c)`; c enters by
    :math:`\phi_* - k D^{-1} \Phi`.
    """
    leaning = loading - across @ data.carried
    mean = np.einsum("mnp,mp->mn", across, data.weighed) + leaning @ data.mean
    return NewRows(mean, (across @ data.inverse) @ across.transpose(0, 2, 1), leaning)


def root_of(prior: Float[np.ndarray, "h h"]) -> Float[np.ndarray, "h h"]:
    """The lower Cholesky factor of a prior (h, h), its diagonal raised by what rounding may take."""
    return np.asarray(np.linalg.cholesky(prior + JITTER * np.eye(len(prior))))


def extension(
    root: Float[np.ndarray, "h h"], across: Float[np.ndarray, "n h"], new: Float[np.ndarray, "n n"]
) -> tuple[Float[np.ndarray, "n h"], Float[np.ndarray, "n n"]]:
    r"""What new parts of c are made of: :math:`c_* = A c + e`; A (n, h) and the covariance (n, n) of e.

    ``root`` (h, h) is `root_of` the prior of c, ``across`` (n, h) the covariance with c, ``new`` (n, n) their own:
    whatever the data say of c, :math:`A = k \Lambda^{-1}` and :math:`\mathrm{cov}\, e = k_{**} - k \Lambda^{-1} k'`.
    """
    weight = linalg.cho_solve((root, True), across.T).T
    left = new + JITTER * np.eye(len(new)) - weight @ across.T
    return weight, (left + left.T) / 2


def mode(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]],
    centre: Float[np.ndarray, " k"],
    spread: Float[np.ndarray, " k"],
    steps: int,
) -> Float[np.ndarray, " k"]:
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

r"""What the noise of a curve is like: spikes, known standard errors, neighbours that err alike.

Each comes down to relative precisions of the points, or to a linear map after which errors are independent, so that
whatever fits a curve need not know of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

Array = Any
CORRELATIONS = (0.0, 0.3, 0.6, 0.8, 0.9)  # of neighbours, the grid over which `quadrature.posterior` may average


class Whitening(NamedTuple):
    """Rows of a linear map, y_i -> own_i y_i - before_i y_previous(i), and the precisions: (n, t), or (t,) for all.

    Where errors are independent there is no ``before``.
    """

    own: Array
    weight: Array
    before: Array = None
    previous: Array = None


def whitening(x: np.ndarray, weight: np.ndarray, correlation: float = 0.0) -> Whitening:
    r"""The map that makes errors of variance 1/weight independent where neighbours correlate.

    .. math:: \mathrm{cor}(e_i, e_{i-1}) = \rho^{d_i / \tilde d}, \quad d_i = \ln x_i - \ln x_{i-1}

    with d~ the median of the curve's d: what a form fails to follow lasts for a share of the run, so time is
    logarithmic, and rho is the correlation of typical neighbours. x and weight are (t,) or (n, t); points of weight
    zero are skipped.

    >>> white = whitening(np.array([1.0, 2.0, 4.0]), np.ones(3), 0.6)
    >>> (white.own.round(2).tolist(), white.before.round(2).tolist())
    ([1.0, 1.25, 1.25], [0.0, 0.75, 0.75])
    """
    root = np.sqrt(weight)
    if correlation == 0:
        return Whitening(root, weight)
    seen = weight > 0
    index = np.maximum.accumulate(np.where(seen, np.arange(weight.shape[-1]), -1), axis=-1)
    previous = np.concatenate([np.full((*weight.shape[:-1], 1), -1), index[..., :-1]], axis=-1)
    follows = seen & (previous >= 0)
    previous = np.maximum(previous, 0)
    u = np.log(np.maximum(np.broadcast_to(x, weight.shape), 1e-300))
    apart = np.where(follows, u - np.take_along_axis(u, previous, -1), np.nan)
    typical = np.nanmedian(np.where(follows.any(-1, keepdims=True), apart, 1.0), axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        rho = np.where(follows, correlation ** np.maximum(apart / np.maximum(typical, 1e-12), 1e-3), 0.0)
    fresh = 1 / np.sqrt(1 - rho**2)
    before = np.where(follows, rho * fresh, 0.0) * np.take_along_axis(root, previous, -1)
    return Whitening(root * fresh, weight, before, previous)


def whiten(y: Array, white: Whitening) -> Array:
    """Arrays y (..., t) through a map (t,), or y (n, ..., t) through maps (n, t)."""
    if white.own.ndim == 1:
        return white.own * y - (0 if white.before is None else white.before * y[..., white.previous])
    shape = (len(y), *[1] * (y.ndim - 2), y.shape[-1])
    if white.before is None:
        return white.own.reshape(shape) * y
    previous = jnp.broadcast_to(white.previous.reshape(shape), y.shape)
    return white.own.reshape(shape) * y - white.before.reshape(shape) * jnp.take_along_axis(y, previous, -1)


def student(residual: np.ndarray, weight: np.ndarray, *, df: float = 4.0) -> np.ndarray:
    r"""Relative precisions (n, t) that make least squares a Student-t fit: :math:`(\nu + 1) / (\nu + r^2/s^2)`.

    The scale s of each curve is the weighted median of :math:`|r|` over .6745. Lange et al. 1989,
    doi:10.1080/01621459.1989.10478852.
    """
    return (df + 1) / (df + _standardised(residual, weight) ** 2)


def huber(residual: np.ndarray, weight: np.ndarray, *, bend: float = 1.345) -> np.ndarray:
    r"""Relative precisions (n, t) of Huber's loss: one up to ``bend`` scales, then :math:`\mathrm{bend}\, s/|r|`.

    >>> huber(np.array([[0.1, -0.1, 0.1, 9.0]]), np.ones((1, 4))).round(2).tolist()
    [[1.0, 1.0, 1.0, 0.02]]
    """
    return bend / np.maximum(np.abs(_standardised(residual, weight)), bend)


def _standardised(residual: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Residuals in units of their own scale; where more than half are zero, of the smallest that is not."""
    size = np.where(weight > 0, np.abs(residual) * np.sqrt(weight), np.nan)
    size[~np.isfinite(size).any(axis=1)] = 1.0
    scale = np.nanmedian(size, axis=1, keepdims=True) / 0.6745
    floor = 1e-6 * np.nanmax(size, axis=1, keepdims=True)
    return np.where(weight > 0, np.nan_to_num(size) / np.maximum(np.maximum(scale, floor), 1e-300), 0.0)


def reweighted(
    residual_of: Callable[[np.ndarray], np.ndarray],
    weight: np.ndarray,
    rule: Callable[[np.ndarray, np.ndarray], np.ndarray] = student,
    *,
    steps: int = 4,
) -> np.ndarray:
    """Weights (n, t) after ``steps`` rounds of: fit with weights, take the residuals, weigh anew (IRLS).

    ``residual_of`` maps weights (n, t) to residuals (n, t), `student` or `huber` those to factors of the weights.

    >>> z = np.array([[1.0, 1.1, 0.9, 1.0, 7.0]])
    >>> final = reweighted(lambda w: z - (w * z).sum(1, keepdims=True) / w.sum(1, keepdims=True), np.ones_like(z))
    >>> bool(final[0, 4] < 0.01)
    True
    """
    current = weight
    for _ in range(steps):
        current = weight * rule(residual_of(current), weight)
    return current

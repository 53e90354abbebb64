r"""Least squares of many curves without a compiler: the best node of a grid, then damped Gauss-Newton steps.

.. math:: \min_\theta \lVert z - P(\theta) z \rVert_W^2, \qquad
          J_l \approx -(I - P)\, \frac{\partial G}{\partial \theta_l}\, \mathrm{gap}

by variable projection (Golub and Pereyra 1973, doi:10.1137/0710036), with the Jacobian of Kaufman (1975,
doi:10.1007/BF01932995), by central differences. Steps are taken in the prior probabilities u of the shape, so bounds
are zero and one; a number at a bound that wants to leave stays there. Each curve has its own damping, and leaves when
it has converged.

All sums run over the places of one curve: no curve changes a bit of another's answer. Axis letters n curves, t places,
m nodes, k numbers of the shape, j gaps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from predictdyn.fitting.stacks import blocks
from predictdyn.forms import Form

STEP = 1e-5  # in u, to either side: third derivatives and rounding both cost ten digits less than a curve has
LONGEST = 0.3  # step in u
CONVERGED = 1e-7  # share of the squares that another step promises to take away: a thousandth of a standard error


class CurveFits(NamedTuple):
    """Prior probabilities u (n, k), shapes (n, k), levels (n,), gaps (n, j), and weighted squares left (n,)."""

    u: np.ndarray
    shape: np.ndarray
    level: np.ndarray
    gap: np.ndarray
    misfit: np.ndarray


class _Curves(NamedTuple):
    """z (n, t) less its weighted mean over its sd ``unit`` (n,), roots of precisions (n, t) with mean one over points,
    and the pull on u (n,)."""

    x: np.ndarray
    z: np.ndarray
    root: np.ndarray
    unit: np.ndarray
    force: np.ndarray

    def only(self, rows: np.ndarray | slice) -> _Curves:
        return _Curves(*(part[rows] for part in self))


class _Linearised(NamedTuple):
    """At u (n, k): squares left with the pull (n,), gaps (n, j), means of g (n, j), J'J (n, k, k) and -J'r (n, k)."""

    left: np.ndarray
    gap: np.ndarray
    centre: np.ndarray
    curvature: np.ndarray
    downhill: np.ndarray

    def only(self, rows: np.ndarray) -> _Linearised:
        return _Linearised(*(part[rows] for part in self))


def fit_curves(
    form: Form,
    x: np.ndarray,
    z: np.ndarray,
    weight: np.ndarray,
    *,
    nodes: np.ndarray | None = None,
    pull: float = 0.0,
    steps: int = 10,
    converged: float = CONVERGED,
) -> CurveFits:
    r"""Fit z (n, t) over x (n, t) with relative precisions (n, t), zero for padding, from the best of ``nodes`` (m, k).

    ``pull`` adds :math:`\mathrm{pull}\,\hat\sigma^2 \sum (u - .5)^2` to the squares, with the noise at the best node:
    the maximum of a posterior whose prior on each u is normal with variance 1/pull. A curve ends after ``steps``, or
    when the next promises to take away no more than the share ``converged`` of its squares.

    >>> from predictdyn.forms import BY_NAME
    >>> x = np.linspace(0.02, 1, 50)[None]
    >>> fit_curves(BY_NAME["pow3"], x, 1 + 0.5 * x**-0.7, np.ones((1, 50))).shape.round(4).tolist()
    [[0.7]]
    """
    nodes = form.nodes() if nodes is None else nodes
    points = (weight > 0).sum(axis=1)
    precision = weight.sum(axis=1) / points
    relative = weight / precision[:, None]
    total = relative.sum(axis=1)
    offset = (relative * z).sum(axis=1) / total
    away = z - offset[:, None]
    spread = np.sqrt((relative * away**2).sum(axis=1) / total)
    unit = np.maximum(np.maximum(spread, 1e-9 * np.abs(offset)), 1e-150)
    curves = _Curves(x, away / unit[:, None], np.sqrt(relative), unit, np.zeros(len(x)))
    # Curves on the same places have the same columns.
    shared = form.on_grid(x[:1], nodes) if len(x) > 1 and (x == x[0]).all() else None
    left = np.empty((len(x), len(nodes)))
    for rows in blocks(len(x), x.shape[1] * len(nodes)):
        left[rows] = _misfits(form, curves.only(rows), form.on_grid(x[rows], nodes) if shared is None else shared)
    force = pull * np.maximum(left.min(axis=1), 0.0) / points
    curves = curves._replace(force=force)
    all_u = probability_of(form, nodes)
    u = all_u[(left + force[:, None] * ((all_u - 0.5) ** 2).sum(axis=1)).argmin(axis=1)]
    u, point = _descended(form, curves, u, steps, converged)
    gap = point.gap * unit[:, None]
    squares = (point.left - force * ((u - 0.5) ** 2).sum(axis=1)) * unit**2 * precision
    level = offset - (gap * point.centre).sum(axis=1)
    return CurveFits(u, shape_at(form, u), level, gap, np.maximum(squares, 0.0))


def shape_at(form: Form, u: np.ndarray) -> np.ndarray:
    """Shapes (..., k) at prior probabilities u (..., k)."""
    return np.stack([prior.at(u[..., i]) for i, prior in enumerate(form.shape.values())], -1) if u.shape[-1] else u


def probability_of(form: Form, nodes: np.ndarray) -> np.ndarray:
    """Prior probabilities (..., k) below shapes (..., k): the inverse of `shape_at`.

    >>> from predictdyn.forms import BY_NAME
    >>> probability_of(BY_NAME["pow3"], np.array([[0.05], [4.0]])).ravel().tolist()
    [0.0, 1.0]
    """
    axes = [
        np.log(nodes[..., i] / prior.low) / np.log(prior.high / prior.low)
        if prior.log
        else (nodes[..., i] - prior.low) / (prior.high - prior.low)
        for i, prior in enumerate(form.shape.values())
    ]
    return np.clip(np.stack(axes, -1), 0.0, 1.0) if axes else np.zeros(nodes.shape)


def slopes_at(
    form: Form, x: np.ndarray, u: np.ndarray, to_shape: np.ufunc | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """All g (j, n, t) at u (n, k), and their derivatives (j, n, k, t) by central differences.

    ``to_shape`` maps u to prior probabilities, for who moves in other numbers.
    """
    k = u.shape[1]
    around = u[:, None] + STEP * np.concatenate([np.zeros((1, k)), np.eye(k), -np.eye(k)])
    g = form.on_grid(x, shape_at(form, around if to_shape is None else to_shape(around)))
    return g[:, :, 0], (g[:, :, 1 : k + 1] - g[:, :, k + 1 :]) / (2 * STEP)


def _misfits(form: Form, curves: _Curves, columns: np.ndarray) -> np.ndarray:
    """Squares left (n, m) by least squares on columns (j, n or 1, m, t) of each node."""
    root, values = curves.root[:, None], (curves.root * curves.z)[:, None]
    total = (curves.root**2).sum(axis=1)
    centre = [_mean(one, curves.root[:, None] ** 2, total[:, None]) for one in columns]
    free = [root * (one - mean[..., None]) for one, mean in zip(columns, centre, strict=True)]  # (n, m, t)
    if form.fixed:
        return np.asarray(((values - free[0] / curves.unit[:, None, None]) ** 2).sum(axis=-1))
    square = (values**2).sum(axis=-1)
    if not free:
        return np.repeat(square, columns.shape[2], axis=1)
    size = np.eye(len(free)) * 1e-10
    gram = np.stack([np.stack([(a * b).sum(axis=-1) for b in free], -1) for a in free], -1)
    gram = gram + total[:, None, None, None] * size
    cross = np.stack([(one * values).sum(axis=-1) for one in free], -1)
    return np.asarray(square - (cross * solved(gram, cross[..., None])[..., 0]).sum(axis=-1))


def _descended(
    form: Form, curves: _Curves, u: np.ndarray, steps: int, converged: float
) -> tuple[np.ndarray, _Linearised]:
    """From u (n, k) down."""
    point, damping, going = _points(form, curves, u), np.full(len(u), 5e-3), np.arange(len(u))
    for _ in range(steps if u.shape[1] else 0):
        here = point.only(going)
        step = _newton(u[going], here, damping[going])
        arrived = (damping[going] <= 1) & ((step * here.downhill).sum(axis=1) <= converged * here.left)
        going, step = going[~arrived], step[~arrived]
        if not len(going):
            break
        trial = np.clip(u[going] + np.clip(step, -LONGEST, LONGEST), 0.0, 1.0)
        there = _points(form, curves.only(going), trial)
        better = there.left < point.left[going]
        u[going[better]] = trial[better]
        for old, new in zip(point, there, strict=True):
            old[going[better]] = new[better]
        damping[going] *= np.where(better, 0.2, 8.0)
    return u, point


def _points(form: Form, curves: _Curves, u: np.ndarray) -> _Linearised:
    """Squares left at u (n, k), and where they fall."""
    columns, slopes = slopes_at(form, curves.x, u)
    root, weight = curves.root[:, None], curves.root[:, None] ** 2
    total = weight.sum(axis=-1)
    columns = columns.swapaxes(0, 1)
    centre = _mean(columns, weight, total)
    free = root * (columns - centre[..., None])  # (n, j, t)
    values = curves.root * curves.z
    j, k = free.shape[1], u.shape[1]
    gram = free @ free.swapaxes(1, 2) + 1e-12 * total[..., None] * np.eye(j)
    gap = 1 / curves.unit[:, None] if form.fixed else solved(gram, free @ values[..., None])[..., 0]
    residual = values - sum(gap[:, i, None] * free[:, i] for i in range(j))
    moved = sum((gap[:, i, None, None] * slopes[i] for i in range(j)), np.zeros((len(u), k, values.shape[1])))
    down = root * (moved - _mean(moved, weight, total)[..., None])  # (n, k, t)
    if not form.fixed and j:
        down = down - solved(gram, free @ down.swapaxes(1, 2)).swapaxes(1, 2) @ free
    force, pull = curves.force[:, None], u - 0.5
    return _Linearised(
        (residual**2).sum(axis=1) + curves.force * (pull**2).sum(axis=1),
        gap,
        centre,
        down @ down.swapaxes(1, 2) + force[..., None] * np.eye(k),
        (down @ residual[..., None])[..., 0] - force * pull,
    )


def _mean(values: np.ndarray, weight: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Weighted means over places, of values (..., t) with weights (..., t) that sum to (...)."""
    return np.asarray((values * weight).sum(axis=-1) / total)


def _newton(u: np.ndarray, point: _Linearised, damping: np.ndarray) -> np.ndarray:
    """The damped steps (n, k); numbers that a bound holds do not take part."""
    held = ((u <= 0) & (point.downhill < 0)) | ((u >= 1) & (point.downhill > 0))
    held |= ~np.isfinite(point.left)[:, None]
    k = np.arange(u.shape[1])
    matrix = np.where(held[:, :, None] | held[:, None, :], 0.0, point.curvature)
    own = matrix[:, k, k]
    size = own * damping[:, None] + 1e-14 + 1e-15 * own.max(axis=1, keepdims=True)
    matrix[:, k, k] = np.where(held, 1.0, own + size)
    return solved(matrix, np.where(held, 0.0, point.downhill)[..., None])[..., 0]


def solved(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The solutions of a x = b, (..., j, j) and (..., j, c); zero where rounding has made a singular."""
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        if a.ndim == 2:
            return np.zeros(b.shape)
        return np.stack([solved(one, other) for one, other in zip(a, b, strict=True)])

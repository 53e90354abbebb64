r"""Least squares of one curve without a compiler: the best node of a grid, then damped Gauss-Newton steps on the shape.

.. math:: \min_\theta \lVert z - P(\theta) z \rVert_W^2, \qquad
          J_l \approx -(I - P)\, \frac{\partial G}{\partial \theta_l}\, \mathrm{gap}

as in `least_squares`, which serves thousands of curves at once: variable projection (Golub and Pereyra 1973,
doi:10.1137/0710036) with the Jacobian of Kaufman (1975, doi:10.1007/BF01932995), by central differences. Steps are
taken in the prior probabilities u of the shape, so bounds are zero and one; a number at a bound that wants to leave
stays there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from predictdyn.forms import Form

STEP = 1e-5  # in u, to either side: third derivatives and rounding both cost ten digits less than a curve has
LONGEST = 0.3  # step in u
CONVERGED = 1e-7  # share of the squares that another step promises to take away: a thousandth of a standard error


class CurveFit(NamedTuple):
    """Prior probabilities u (k,) of the shape, the shape (k,), level, gaps (j,), and the weighted squares left."""

    u: np.ndarray
    shape: np.ndarray
    level: float
    gap: np.ndarray
    misfit: float


class _Curve(NamedTuple):
    """z (t,) less its weighted mean over its sd ``unit``, roots of precisions with mean one (t,)."""

    x: np.ndarray
    z: np.ndarray
    root: np.ndarray
    unit: float
    force: float


class _Linearised(NamedTuple):
    """At one u (k,): squares left with the pull, gaps (j,), means of g (j,), J'J (k, k) and -J'r (k,)."""

    left: float
    gap: np.ndarray
    centre: np.ndarray
    curvature: np.ndarray
    downhill: np.ndarray


def fit_curve(
    form: Form,
    x: np.ndarray,
    z: np.ndarray,
    weight: np.ndarray,
    *,
    nodes: np.ndarray | None = None,
    columns: np.ndarray | None = None,
    pull: float = 0.0,
    steps: int = 10,
    converged: float = CONVERGED,
) -> CurveFit:
    r"""Fit z (t,) over x (t,) with positive relative precisions (t,), from the best of ``nodes`` (m, k).

    ``columns`` (j, m, t) are all g at the nodes, for who has them. ``pull`` adds
    :math:`\mathrm{pull}\,\hat\sigma^2 \sum (u - .5)^2` to the squares, with the noise at the best node: the maximum of
    a posterior whose prior on each u is normal with variance 1/pull. Ends after ``steps``, or when the next promises to
    take away no more than the share ``converged`` of the squares.

    >>> from predictdyn.forms import BY_NAME
    >>> x = np.linspace(0.02, 1, 50)
    >>> fit_curve(BY_NAME["pow3"], x, 1 + 0.5 * x**-0.7, np.ones(50)).shape.round(4).tolist()
    [0.7]
    """
    nodes = form.nodes() if nodes is None else nodes
    columns = form.on_grid(x, nodes) if columns is None else columns
    precision = float(weight.mean())
    relative = weight / precision
    offset = float((relative * z).sum() / relative.sum())
    away = z - offset
    spread = float(np.sqrt((relative * away**2).sum() / relative.sum()))
    unit = max(spread, 1e-9 * abs(offset), 1e-150)
    curve = _Curve(x, away / unit, np.sqrt(relative), unit, 0.0)
    left = _misfits(form, curve, columns)
    force = pull * max(float(left.min()), 0.0) / len(x)
    curve = curve._replace(force=force)
    all_u = probability_of(form, nodes)
    u = all_u[int(np.argmin(left + force * ((all_u - 0.5) ** 2).sum(axis=1)))]
    u, point = _descended(form, curve, u, steps, converged)
    gap = point.gap * unit
    squares = (point.left - force * float(((u - 0.5) ** 2).sum())) * unit**2 * precision
    return CurveFit(u, shape_at(form, u), offset - float((gap * point.centre).sum()), gap, max(squares, 0.0))


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
    """All g (j, t) at one u (k,), and their derivatives (k, j, t) by central differences.

    ``to_shape`` maps u to prior probabilities, for who moves in other numbers.
    """
    k = len(u)
    around = u + STEP * np.concatenate([np.zeros((1, k)), np.eye(k), -np.eye(k)])
    g = form.on_grid(x, shape_at(form, around if to_shape is None else to_shape(around)))
    return g[:, 0], (g[:, 1 : k + 1] - g[:, k + 1 :]).swapaxes(0, 1) / (2 * STEP)


def _misfits(form: Form, curve: _Curve, columns: np.ndarray) -> np.ndarray:
    """Squares left (m,) by least squares at each node."""
    weight = curve.root**2
    total = weight.sum()
    free = curve.root * (columns - ((columns * weight).sum(axis=-1) / total)[..., None])  # (j, m, t)
    values = curve.root * curve.z
    if form.fixed:
        return np.asarray(((values - free[0] / curve.unit) ** 2).sum(axis=-1))
    if not len(free):
        return np.full(columns.shape[1], (values**2).sum())
    gram = np.einsum("jmt,lmt->mjl", free, free) + 1e-10 * total * np.eye(len(free))
    cross = np.einsum("jmt,t->mj", free, values)
    return np.asarray((values**2).sum() - (cross * _solved(gram, cross[..., None])[..., 0]).sum(axis=1))


def _descended(
    form: Form, curve: _Curve, u: np.ndarray, steps: int, converged: float
) -> tuple[np.ndarray, _Linearised]:
    """From u (k,) down."""
    point, damping = _point(form, curve, u), 5e-3
    for _ in range(steps if len(u) else 0):
        step = _newton(u, point, damping)
        if damping <= 1 and float(step @ point.downhill) <= converged * point.left:
            break
        trial = np.clip(u + np.clip(step, -LONGEST, LONGEST), 0.0, 1.0)
        there = _point(form, curve, trial)
        better = there.left < point.left
        u, point, damping = (trial, there, 0.2 * damping) if better else (u, point, 8.0 * damping)
    return u, point


def _point(form: Form, curve: _Curve, u: np.ndarray) -> _Linearised:
    """Squares left at u (k,), and where they fall."""
    columns, slopes = slopes_at(form, curve.x, u)
    root, weight = curve.root, curve.root**2
    total = weight.sum()
    centre = (columns * weight).sum(axis=-1) / total
    free = root * (columns - centre[:, None])
    values = root * curve.z
    if form.fixed:
        gap = np.array([1 / curve.unit])
    else:
        gram = free @ free.T + 1e-12 * total * np.eye(len(free))
        gap = _solved(gram, free @ values) if len(free) else np.zeros(0)
    residual = values - gap @ free
    moved = np.einsum("j,kjt->kt", gap, slopes)
    down = root * (moved - ((moved * weight).sum(axis=-1) / total)[:, None])
    if not form.fixed and len(free):
        down = down - _solved(gram, free @ down.T).T @ free
    pull = u - 0.5
    return _Linearised(
        float((residual**2).sum() + curve.force * (pull**2).sum()),
        gap,
        centre,
        down @ down.T + curve.force * np.eye(len(u)),
        down @ residual - curve.force * pull,
    )


def _newton(u: np.ndarray, point: _Linearised, damping: float) -> np.ndarray:
    """The damped step (k,); numbers that a bound holds do not take part."""
    step = np.zeros(len(u))
    loose = ~(((u <= 0) & (point.downhill < 0)) | ((u >= 1) & (point.downhill > 0)))
    if not loose.any() or not np.isfinite(point.left):
        return step
    matrix = point.curvature[np.ix_(loose, loose)]
    size = matrix.diagonal() * damping + 1e-14 + 1e-15 * matrix.diagonal().max()
    step[loose] = _solved(matrix + np.diag(size), point.downhill[loose])
    return step


def _solved(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The solution of a x = b; zero where rounding has made a singular."""
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        return np.zeros(b.shape)

r"""Least squares of many curves at once: the best node of a grid, then damped Gauss-Newton steps on the shape alone.

.. math:: \min_\theta \lVert z - P(\theta) z \rVert_W^2, \qquad
          J_l \approx -(I - P)\, \frac{\partial G}{\partial \theta_l}\, \mathrm{gap}

with P the projection on level and gaps: variable projection (Golub and Pereyra 1973, doi:10.1137/0710036) with the
Jacobian of Kaufman (1975, doi:10.1007/BF01932995). Steps are taken in the prior probabilities u of the shape, so
bounds are zero and one and all numbers have one unit; a number at a bound that wants to leave stays there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from predictdyn.fitting.batched_cholesky import solve
from predictdyn.fitting.batches import by_form, in_batches
from predictdyn.fitting.linear import (
    CurveBatch,
    columns_at,
    misfits,
    own_places,
    prepared_for,
    probability_of,
    shape_at,
    standardised,
    summed,
    sums_own,
)
from predictdyn.fitting.on_cpu import double
from predictdyn.forms import Form

Array = Any


class Fit(NamedTuple):
    """Shape (n, k), level (n,), gaps (n, j), and the weighted sum of squares (n,) they leave.

    ``gain`` (n,) is the share of it that one more step promises to take away: small where the fit has converged.
    """

    shape: Array
    level: Array
    gap: Array
    misfit: Array
    gain: Array


class _Point(NamedTuple):
    """One curve at one shape u (k,): squares left, gaps (j,), means of g (j,), J'J (k, k) and -J'r (k,)."""

    left: Array
    gap: Array
    centre: Array
    curvature: Array
    downhill: Array


def fit(
    form: Form,
    x: Array,
    z: Array,
    weight: Array | None = None,
    *,
    nodes: Array | None = None,
    steps: int = 10,
    pull: float = 0.0,
) -> Fit:
    r"""Fit curves z (n, t) over places x (t,) or (n, t) with relative precisions (n, t) or (t,), zero for padding.

    The grid is ``nodes`` (m, k), by default one five times as dense as the form's own where all curves share their
    places, and that where they do not. ``pull`` adds :math:`\mathrm{pull}\,\hat\sigma^2 \sum (u - .5)^2` to the
    squares, with the noise at the best node: the maximum of a posterior whose prior on each u is
    normal with variance 1/pull.

    >>> from predictdyn.forms import BY_NAME
    >>> x = np.linspace(0.02, 1, 50)
    >>> found = fit(BY_NAME["pow3"], x, 1 + 0.5 * x[None] ** -0.7)
    >>> found.shape.round(4).tolist()
    [[0.7]]
    """
    x = np.asarray(x, dtype=np.float64)
    curves = standardised(x, z, weight)
    k = len(form.shape)
    if nodes is None:
        nodes = form.nodes(5 ** (1 / max(k, 1)) if x.ndim == 1 and k < 4 else 1.0)
    u = probability_of(form, nodes)
    settings = (float(pull), int(steps) if k else 0)
    if x.ndim == 1:
        alike = curves.white.own.ndim == 1
        with double():
            prepared = prepared_for(form, alike)(x, nodes, curves.white, None)[0]
        batch = curves._replace(white=None) if alike else curves
        found = in_batches(_fitted(form, True), [batch], [curves.white if alike else None, x, prepared, u, *settings])
    else:
        curves, x = own_places(curves, x)
        found = in_batches(_fitted(form, False), [curves, x], [nodes, u, *settings])
    return found


@by_form
def _fitted(form: Form, shared: bool) -> Any:
    def with_shared_places(
        curves: CurveBatch, white: Any, x: Array, prepared: Any, u: Array, pull: Array, steps: Array
    ) -> Fit:
        left = misfits(summed(curves, white, prepared), curves.unit, form.fixed)
        own = (curves.white if white is None else white).own
        return _descended(form, curves, x, own, left, u, pull, steps)

    def with_own_places(curves: CurveBatch, x: Array, nodes: Array, u: Array, pull: Array, steps: Array) -> Fit:
        left = misfits(sums_own(curves.z, curves.white, columns_at(form, x, nodes)), curves.unit, form.fixed)
        return _descended(form, curves, x, curves.white.own, left, u, pull, steps)

    return with_shared_places if shared else with_own_places


def _descended(
    form: Form, curves: CurveBatch, x: Array, own: Array, left: Array, u: Array, pull: Array, steps: int
) -> Fit:
    """From the best node down, then back to the units of z."""
    n, k = len(curves.z), u.shape[1]
    noise = jnp.maximum(left.min(1), 0.0) / jnp.maximum(curves.rows, 1)
    force = pull * noise
    start = u[(left + force[:, None] * ((u - 0.5) ** 2).sum(1)).argmin(1)]
    at = jax.vmap(
        lambda *one: _point(form, *one), (0, 0 if x.ndim == 2 else None, 0 if own.ndim == 2 else None, 0, 0, 0)
    )

    def step(_: int, state: tuple[Array, _Point, Array]) -> tuple[Array, _Point, Array]:
        u, point, damping = state
        trial = jnp.clip(u + jnp.clip(_newton(u, point, damping), -0.3, 0.3), 0.0, 1.0)
        there = at(trial, x, own, curves.z, curves.unit, force)
        better = there.left < point.left

        def chosen(new: Array, old: Array) -> Array:
            return jnp.where(better.reshape(n, *[1] * (new.ndim - 1)), new, old)

        return chosen(trial, u), jax.tree.map(chosen, there, point), damping * jnp.where(better, 0.2, 8.0)

    # The first step is none, and only looks at the start: so what looks is compiled once.
    j = len(form.columns(jnp.ones(1), u[0]))
    nowhere = _Point(
        jnp.full(n, jnp.inf), jnp.zeros((n, j)), jnp.zeros((n, j)), jnp.zeros((n, k, k)), jnp.zeros((n, k))
    )
    u, point, _ = jax.lax.fori_loop(0, 1 + steps, step, (start, nowhere, jnp.full(n, 5e-3)))
    gain = (_newton(u, point, jnp.zeros(n)) * point.downhill).sum(1) / jnp.maximum(point.left, 1e-300)
    gap = point.gap * curves.unit[:, None]
    squares = (point.left - force * ((u - 0.5) ** 2).sum(1)) * curves.unit**2 * curves.precision
    level = curves.offset - (gap * point.centre).sum(1)
    return Fit(shape_at(form, u) if k else u, level, gap, jnp.maximum(squares, 0.0), gain)


def _point(form: Form, u: Array, x: Array, root: Array, z: Array, unit: Array, force: Array) -> _Point:
    """Squares left and their derivatives for one curve: places (t,), roots of precisions (t,), values (t,)."""

    def g(u: Array) -> Array:
        return form.columns(x, shape_at(form, u) if len(u) else u)

    columns, k = g(u), len(u)
    weight = root**2
    total = weight.sum()
    slopes = [jax.jvp(g, (u,), (axis,))[1] for axis in jnp.eye(k)]
    centre = (columns * weight).sum(-1) / total
    free = [root * (one - mean) for one, mean in zip(columns, centre, strict=True)]
    j = len(free)
    values = root * (z - (z * weight).sum() / total)
    if form.fixed:
        gap, gram = [1 / unit], []
    else:
        gram = [[(free[a] * free[b]).sum() + (1e-12 * total if a == b else 0.0) for b in range(j)] for a in range(j)]
        gap = solve(gram, [(one * values).sum() for one in free])[0] if j else []
    residual = values - sum(a * one for a, one in zip(gap, free, strict=True))
    down = []
    for slope in slopes:
        moved = sum(a * one for a, one in zip(gap, slope, strict=True))
        moved = root * (moved - (moved * weight).sum() / total)
        if not form.fixed:
            share = solve(gram, [(one * moved).sum() for one in free])[0]
            moved = moved - sum(a * one for a, one in zip(share, free, strict=True))
        down.append(moved)
    curvature = [[(a * b).sum() for b in down] for a in down]
    return _Point(
        (residual**2).sum() + force * ((u - 0.5) ** 2).sum(),
        jnp.stack(gap) if j else jnp.zeros(0),
        centre,
        (jnp.array(curvature) if k else jnp.zeros((0, 0))) + force * jnp.eye(k),
        (jnp.stack([(one * residual).sum() for one in down]) if k else jnp.zeros(0)) - force * (u - 0.5),
    )


def _newton(u: Array, point: _Point, damping: Array) -> Array:
    """The damped step (n, k); numbers that a bound holds do not take part."""
    k = u.shape[1]
    if k == 0:
        return u
    held = ((u <= 0) & (point.downhill < 0)) | ((u >= 1) & (point.downhill > 0))
    size = [jnp.where(held[:, a], 1.0, point.curvature[:, a, a] * (1 + damping) + 1e-14) for a in range(k)]
    matrix = [
        [size[a] if a == b else jnp.where(held[:, a] | held[:, b], 0.0, point.curvature[:, a, b]) for b in range(k)]
        for a in range(k)
    ]
    return jnp.stack(solve(matrix, [jnp.where(held[:, a], 0.0, point.downhill[:, a]) for a in range(k)])[0], 1)

"""Curves as linear problems: values in their own units, columns of a form, and the sums that least squares needs."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from predictdyn.fitting.batched_cholesky import solve
from predictdyn.fitting.batches import by_form
from predictdyn.fitting.noise import Whitening, whiten, whitening
from predictdyn.forms import Form, Prior

Array = Any


class CurveBatch(NamedTuple):
    """z (n, t) less ``offset`` over ``unit`` (n,), a map for precisions over ``precision`` (n,), points seen (n,)."""

    z: Array
    white: Any  # a Whitening, or None where it is given once for all curves
    rows: Array
    offset: Array
    unit: Array
    precision: Array


class Sums(NamedTuple):
    """About the level: squares (n, 1), products of z with g (n, j, m), of g with g (n, j, j, m); means of z and g.

    ``spread`` (n, j, m) is the weighted variance of g itself, whatever the correlation of the errors.
    """

    total: Array
    mean: Array
    square: Array
    centre: Array
    cross: Array
    gram: Array
    spread: Array


def standardised(x: Array, z: Array, weight: Array | None = None, correlation: float = 0.0) -> CurveBatch:
    """Values less their weighted mean, over their sd; precisions with mean one, (t,) where all curves have the same."""
    z = np.asarray(z, dtype=np.float64)
    given = np.ones(z.shape[1]) if weight is None else np.asarray(weight, dtype=np.float64)
    seen = given > 0
    rows = seen.sum(-1).astype(np.float64)
    precision = np.where(rows > 0, given.sum(-1) / np.maximum(rows, 1), 1.0)
    relative = given / precision[..., None]
    share = relative / np.maximum(rows, 1)[..., None]
    z = z if weight is None else np.where(seen, z, 0.0)
    offset = (z * share).sum(1)
    z = z - offset[:, None]
    unit = np.sqrt((z**2 * share).sum(1))
    unit = np.maximum(unit, np.maximum(1e-9 * np.abs(offset), 1e-150))
    white = whitening(np.asarray(x, dtype=np.float64), relative, correlation)
    rows, precision = np.broadcast_to(rows, len(z)), np.broadcast_to(precision, len(z))
    return CurveBatch(z / unit[:, None], white, rows, offset, unit, precision)


def own_places(curves: CurveBatch, x: np.ndarray) -> tuple[CurveBatch, np.ndarray]:
    """Places and maps of the noise for each curve (n, t); places of padding are one."""
    white = jax.tree.map(lambda part: np.broadcast_to(part, curves.z.shape), curves.white)
    return curves._replace(white=white), np.where(white.own > 0, np.broadcast_to(x, curves.z.shape), 1.0)


def _alike(white: Whitening, columns: Array) -> tuple[Array, ...]:
    """What `Sums` needs of columns (j, m, t) when all curves have the same places and precisions."""
    root = whiten(jnp.ones_like(white.own), white)
    total = root @ root
    g = whiten(columns, white)
    centre = g @ root / total
    free = g - centre[..., None] * root
    gram = jnp.einsum("jmt,lmt->jlm", free, free)[None]
    return root, total, centre[None], free, gram, _spread(columns[None], white, gram, total)


def _sums_alike(z: Array, white: Whitening, prepared: tuple[Array, ...]) -> Sums:
    """One matrix product over all nodes and curves."""
    root, total, centre, free, gram, spread = prepared
    z = whiten(z, white)
    mean = (z @ root / total)[:, None]
    z = z - mean * root
    cross = jnp.einsum("nt,jmt->njm", z, free)
    return Sums(jnp.broadcast_to(total, mean.shape), mean, (z**2).sum(1)[:, None], centre, cross, gram, spread)


def _products(columns: Array) -> tuple[Array, ...]:
    """Columns (j, m, t) about their mean over the points, that mean, and all their products (j, j, m, t)."""
    shift = columns.mean(-1)
    free = columns - shift[..., None]
    return free, shift[None], free[:, None] * free[None]


def _sums_weighted(z: Array, white: Whitening, prepared: tuple[Array, ...]) -> Sums:
    """Places shared, precisions per curve: a matrix product for each of g and its products too."""
    free, shift, products = prepared
    weight = white.own**2
    total = jnp.maximum(weight.sum(1)[:, None], jnp.finfo(z.dtype).tiny)
    mean = (weight * z).sum(1)[:, None] / total
    z = z - mean
    centre = jnp.einsum("nt,jmt->njm", weight, free) / total[:, None]
    gram = jnp.einsum("nt,jlmt->njlm", weight, products) - total[:, None, None] * centre[:, :, None] * centre[:, None]
    cross = jnp.einsum("nt,jmt->njm", weight * z, free)
    return Sums(
        total, mean, (weight * z**2).sum(1)[:, None], centre + shift, cross, gram, _spread(None, white, gram, total)
    )


def sums_own(z: Array, white: Whitening, columns: Array) -> Sums:
    """Places, or shapes, per curve: columns (n, j, m, t)."""
    root = whiten(jnp.ones_like(z), white)
    total = jnp.maximum((root**2).sum(1)[:, None], jnp.finfo(z.dtype).tiny)
    z = whiten(z, white)
    mean = (z * root).sum(1)[:, None] / total
    z = z - mean * root
    g = whiten(columns, white)
    centre = jnp.einsum("njmt,nt->njm", g, root) / total[:, None]
    g = g - centre[..., None] * root[:, None, None]
    cross, gram = jnp.einsum("njmt,nt->njm", g, z), jnp.einsum("njmt,nlmt->njlm", g, g)
    spread = _spread(columns, white, gram, total)
    return Sums(total, mean, (z**2).sum(1)[:, None], centre, cross, gram, spread)


def _spread(columns: Array, white: Whitening, gram: Array, total: Array) -> Array:
    """The weighted variance of g: what the sums say, unless errors correlate."""
    if white.before is None:
        return jnp.diagonal(gram, axis1=1, axis2=2).swapaxes(1, 2) / total[..., None]
    share = white.weight / white.weight.sum(-1, keepdims=True)
    share = jnp.broadcast_to(share, (len(columns), share.shape[-1]))
    mean = jnp.einsum("njmt,nt->njm", columns, share)
    return jnp.einsum("njmt,nt->njm", (columns - mean[..., None]) ** 2, share)


def left_by(sums: Sums, ridge: Array) -> tuple[list[Array], Array, list[Array]]:
    """Gaps j of (n, m), squares left (n, m) and pivots j of (n, m), with a ridge on the gaps."""
    cross = [sums.cross[:, a] for a in range(sums.cross.shape[1])]
    gap, pivots = solve(ridged(sums.gram, ridge), cross)
    return gap, sums.square - sum(a * b for a, b in zip(gap, cross, strict=True)), pivots


def ridged(gram: Array, ridge: Array) -> list[list[Array]]:
    j = gram.shape[1]
    return [[gram[:, a, b] + (ridge if a == b else 0.0) for b in range(j)] for a in range(j)]


def misfits(sums: Sums, unit: Array, fixed: bool) -> Array:
    """Squares left (n, m) by least squares at each node, in units of the curve's sd."""
    if fixed:
        left = sums.square - 2 * sums.cross[:, 0] / unit[:, None] + sums.gram[:, 0, 0] / unit[:, None] ** 2
    else:
        left = left_by(sums, 1e-10 * sums.total)[1] if sums.cross.shape[1] else sums.square
    return jnp.broadcast_to(left, (len(unit), sums.cross.shape[2]))


def summed(curves: CurveBatch, white: Whitening | None, prepared: Any) -> Sums:
    """Sums of a batch over places that all curves share; the map of the noise is the curves' own if none is given."""
    if white is not None:
        return _sums_alike(curves.z, white, prepared)
    return _sums_weighted(curves.z, curves.white, prepared)


def columns_at(form: Form, x: Array, nodes: Array) -> Array:
    """All g_j at all nodes: (j, m, t), or (n, j, m, t) where x is (n, t) or nodes (n, m, k)."""
    if x.ndim == 1 and nodes.ndim == 2:
        return jax.vmap(lambda shape: form.columns(x, shape), out_axes=1)(nodes)
    axes = (0 if x.ndim == 2 else None, 0 if nodes.ndim == 3 else None)
    return jax.vmap(lambda at, shape: columns_at(form, at, shape), axes)(x, nodes)


@by_form
def prepared_for(form: Form, alike: bool) -> Any:
    def prepared(x: Array, nodes: Array, white: Whitening, at: Array | None) -> tuple[Any, Array, Array | None]:
        columns = columns_at(form, x, nodes)
        asked = None if at is None else columns_at(form, at, nodes)
        return _alike(white, columns) if alike else _products(columns), ahead_at(form, nodes), asked

    return prepared


def ahead_at(form: Form, nodes: Array) -> Array:
    """What each g does from the last step to ten times as far: (1, j, m), or (n, j, m) where nodes are (n, m, k)."""
    ends = columns_at(form, jnp.array([1.0, 10.0], nodes.dtype), nodes)
    ahead = ends[..., 1] - ends[..., 0]
    return ahead if nodes.ndim == 3 else ahead[None]


@by_form
def columns_for(form: Form) -> Any:
    """`columns_at`, compiled."""
    return partial(columns_at, form)


def shape_at(form: Form, u: Array) -> Array:
    """Shapes (..., k) at prior probabilities u (..., k), for JAX."""
    return jnp.stack([_quantile(prior, u[..., i]) for i, prior in enumerate(form.shape.values())], -1)


def _quantile(prior: Prior, u: Array) -> Array:
    if prior.log:
        return prior.low * (prior.high / prior.low) ** u
    return prior.low + (prior.high - prior.low) * u


def probability_of(form: Form, nodes: np.ndarray) -> np.ndarray:
    """Prior probabilities (..., k) below shapes (..., k): the inverse of `shape_at`.

    >>> from predictdyn.forms import BY_NAME
    >>> probability_of(BY_NAME["pow3"], np.array([[0.05], [4.0]])).ravel().tolist()
    [0.0, 1.0]
    """
    found = [
        np.log(nodes[..., i] / prior.low) / np.log(prior.high / prior.low)
        if prior.log
        else (nodes[..., i] - prior.low) / (prior.high - prior.low)
        for i, prior in enumerate(form.shape.values())
    ]
    return np.clip(np.stack(found, -1), 0.0, 1.0) if found else np.zeros(nodes.shape)

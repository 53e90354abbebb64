"""A second grid for each curve, where the mass of its posterior is."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from scipy.special import ndtri

from predictdyn.fitting.batches import SIZES, by_form, in_batches
from predictdyn.fitting.linear import (
    Curves,
    ahead_at,
    columns_at,
    own_places,
    probability_of,
    shape_at,
    standardised,
    sums_own,
)
from predictdyn.fitting.quadrature import WEAK, Posterior, Weak, posterior, weighed
from predictdyn.fitting.small import cholesky
from predictdyn.forms import Form

Array = Any

_AXIS = {1: 41, 2: 17, 3: 9}  # points an axis of a local grid, by the numbers of a shape; the widest spacing is one sd
_REACH = 4.0


def refined(
    form: Form,
    x: Array,
    z: Array,
    weight: Array | None = None,
    *,
    coarse: Posterior | None = None,
    passes: int = 4,
    weak: Weak = WEAK,
    correlation: float = 0.0,
) -> Posterior:
    r"""The posterior on a grid of each curve's own, where its mass is; nodes (n, m, k). The prior is the form's.

    In :math:`v = \Phi^{-1}(u)`, with u the prior probability below each number of a shape, there are no bounds and the
    prior is standard normal. A regular grid over four sd to each side, along the axes of the covariance on the grid
    before (at least part of a cell), has nodes of prior weight :math:`|\mathrm{cell}| \prod \varphi(v)`; sums over it
    converge exponentially for smooth densities (Trefethen and Weideman 2014, doi:10.1137/130932132). Forms of no
    numbers, or more than three, keep the coarse grid.

    >>> from predictdyn.forms import BY_NAME
    >>> x = np.linspace(0.02, 1, 50)
    >>> found = refined(BY_NAME["pow3"], x, 1 + 0.5 * x[None] ** -0.7)
    >>> round(float((found.weight * found.nodes[..., 0]).sum()), 3)
    0.7
    """
    coarse = coarse or posterior(form, x, z, weight, weak=weak, correlation=correlation)
    k = len(form.shape)
    if k not in _AXIS:
        return coarse
    curves, x = own_places(standardised(x, z, weight, correlation), np.asarray(x, dtype=np.float64))
    nodes = np.broadcast_to(coarse.nodes, (len(x), *coarse.nodes.shape[-2:]))
    u = np.clip(probability_of(form, nodes), 1e-6, 1 - 1e-6)
    batch = [curves, x, ndtri(u), coarse.weight]
    return in_batches(_local(form, passes), batch, [Weak(*(np.float64(part) for part in weak))], most=SIZES[1])


@by_form
def _local(form: Form, passes: int) -> Any:
    k = len(form.shape)
    axis = np.linspace(-_REACH, _REACH, _AXIS[k])
    grid = np.stack([part.ravel() for part in np.meshgrid(*[axis] * k, indexing="ij")], 1)
    spacing = axis[1] - axis[0]

    def on_grid(mean: Array, root: Array, curves: Curves, x: Array, weak: Weak) -> tuple[Array, Posterior]:
        v = mean[:, None] + jnp.einsum("mk,nlk->nml", grid, root)
        cell = jnp.log(jnp.diagonal(root, axis1=1, axis2=2)).sum(-1, keepdims=True) + k * np.log(spacing)
        log_prior = -0.5 * (v**2 + np.log(2 * np.pi)).sum(-1) + cell
        nodes = shape_at(form, ndtr(v))
        sums = sums_own(curves.z, curves.white, columns_at(form, x, nodes))
        return v, weighed(sums, ahead_at(form, nodes), curves, log_prior, weak, form.fixed)._replace(nodes=nodes)

    def refine(curves: Curves, x: Array, v: Array, weight: Array, weak: Weak) -> Posterior:
        # A third of a cell of the coarse grid, in v: cells are alike in u, and du = phi(v) dv.
        cell = v.shape[1] ** (-1 / k)
        density = jnp.exp(-0.5 * (weight[..., None] * v).sum(1) ** 2) / np.sqrt(2 * np.pi)
        blur = (cell / 3 / jnp.maximum(density, cell / 2)) ** 2
        start = _moments(v, weight, blur[:, :, None] * jnp.eye(k))

        def again(_: int, state: tuple[Array, Array, Posterior]) -> tuple[Array, Array, Posterior]:
            mean, root, _found = state
            v, found = on_grid(mean, root, curves, x, weak)
            return *_moments(v, found.weight, spacing**2 / 8 * (root @ root.mT)), found

        empty = jax.eval_shape(on_grid, *start, curves, x, weak)[1]
        nothing = jax.tree.map(lambda part: jnp.zeros(part.shape, part.dtype), empty)
        return jax.lax.fori_loop(0, passes, again, (*start, nothing))[2]

    return refine


def _moments(v: Array, weight: Array, blur: Array) -> tuple[Array, Array]:
    """Mean (n, k) of v (n, m, k), and a lower root (n, k, k) of its covariance with ``blur`` (n, k, k) added."""
    mean = (weight[..., None] * v).sum(1)
    apart = v - mean[:, None]
    covariance = jnp.einsum("nm,nmk,nml->nkl", weight, apart, apart) + blur
    root = cholesky([[covariance[:, a, b] for b in range(v.shape[2])] for a in range(v.shape[2])])
    zero = jnp.zeros_like(mean[:, 0])
    return mean, jnp.stack([jnp.stack([*row, *[zero] * (v.shape[2] - len(row))], 1) for row in root], 1)

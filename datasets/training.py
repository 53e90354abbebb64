"""What the suites train with alike: AdamW, the norm of a tree of weights."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp

EPSILON = 1e-8
Params = TypeVar("Params")


def adamw(
    params: Params,
    first: Params,
    second: Params,
    gradient: Params,
    t: jax.Array,
    rate: jax.Array,
    decay: Any,
    betas: tuple[float, float],
) -> tuple[Params, Params, Params]:
    """Adam with decoupled decay of all weights, bias-corrected -> moments first, second, and the update of step t.

    Loshchilov & Hutter 2019, arXiv:1711.05101.
    """
    b1, b2 = betas
    first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, first, gradient)
    second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, second, gradient)
    count = (t + 1).astype(jnp.float32)
    c1, c2 = 1 - jnp.float32(b1) ** count, 1 - jnp.float32(b2) ** count
    update = jax.tree.map(
        lambda m, v, w: -rate * (m / c1 / (jnp.sqrt(v / c2) + EPSILON) + decay * w), first, second, params
    )
    return first, second, update


def norm(params: Any) -> jax.Array:
    """Euclidean norm over all entries of all weights."""
    return jnp.sqrt(sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(params)))

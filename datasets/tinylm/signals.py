"""Early-training signals that need gradients of the network itself."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import nets
from train import batch_loss
from training import norm

CHUNKS, CHUNK = 4, 12  # four batches of 12 sequences


class Signals(NamedTuple):
    gradient_norm: jax.Array
    gradient_noise_scale: jax.Array
    half_batch_agreement: jax.Array
    weight_norm: jax.Array


@partial(jax.jit, static_argnums=2)
def signals(params: nets.Params, chunks: jax.Array, heads: int) -> Signals:
    """How large the gradient of the loss is, and how much those of single batches scatter; chunks: (4, 12, 65) tokens.

    With g_1 .. g_4 the gradients of the batches of b = 12 sequences and G their mean: trace = b sum |g_i - G|^2 / 3;
    gradient_noise_scale = trace / (|G|^2 - trace / (4 b)), in sequences, the bias of |G|^2 taken off
    (McCandlish et al. 2018, arXiv:1812.06162); half_batch_agreement = cosine of g_1 + g_2 and g_3 + g_4.
    """
    each = jax.lax.map(lambda tokens: _flat(jax.grad(batch_loss)(params, tokens, heads)), chunks)
    mean = each.mean(0)
    trace = CHUNK * jnp.sum((each - mean) ** 2) / (CHUNKS - 1)
    squared = mean @ mean
    left, right = each[: CHUNKS // 2].sum(0), each[CHUNKS // 2 :].sum(0)
    return Signals(
        gradient_norm=jnp.sqrt(squared),
        gradient_noise_scale=trace / jnp.maximum(squared - trace / (CHUNKS * CHUNK), 1e-3 * squared),
        half_batch_agreement=left @ right / jnp.sqrt((left @ left) * (right @ right)),
        weight_norm=norm(params),
    )


def _flat(params: nets.Params) -> jax.Array:
    return jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(params)])

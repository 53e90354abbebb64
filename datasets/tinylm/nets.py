"""A small causal transformer on sequences of at most 64 tokens.

Pre-norm (RMS without scale), ReLU, no biases, embeddings of their own for input and output. Instead of positions, a
learned number per head and distance is added to the attention scores.
Products are float32, so the numbers do not depend on whether 64-bit types are switched on.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Params = dict[str, Any]  # embedding (96, width), output (width, 96), blocks: list of dicts

VOCABULARY = 96
CONTEXT = 64
EXPANSION = 4  # hidden units of the feed-forward part per unit of width
EPSILON = 1e-6


def parameter_count(width: int, depth: int) -> int:
    """Trained numbers of the blocks, without embeddings: 12 depth width^2."""
    return (4 + 2 * EXPANSION) * depth * width**2


def init(rng: np.random.Generator, width: int, depth: int, heads: int) -> Params:
    """Normal weights of sd 1 / sqrt(k_in), smaller by 1 / sqrt(2 depth) where added to the residual stream."""

    def weight(k_in: int, k_out: int, scale: float = 1.0) -> jax.Array:
        return jnp.asarray((rng.normal(size=(k_in, k_out)) * scale / np.sqrt(k_in)).astype(np.float32))

    small = 1 / np.sqrt(2 * depth)
    blocks = [
        {
            "distance": jnp.zeros((heads, CONTEXT), jnp.float32),
            "attend": weight(width, 3 * width),
            "mix": weight(width, width, small),
            "up": weight(width, EXPANSION * width),
            "down": weight(EXPANSION * width, width, small),
        }
        for _ in range(depth)
    ]
    return {
        "embedding": weight(VOCABULARY, width, 0.5 * np.sqrt(VOCABULARY)),
        "output": weight(width, VOCABULARY, 0.5),
        "blocks": blocks,
    }


def logits(params: Params, tokens: jax.Array, heads: int) -> jax.Array:
    """Unnormalised log-probabilities of the next token after every one of tokens (n, length): (n, length, 96)."""
    length = tokens.shape[1]
    places = np.arange(length)
    apart = places[:, None] - places
    hidden = params["embedding"][tokens]
    for block in params["blocks"]:
        hidden = hidden + _attention(block, _shifted(_normalised(hidden)), heads, apart)
        hidden = hidden + jax.nn.relu(_normalised(hidden) @ block["up"]) @ block["down"]
    return _normalised(hidden) @ params["output"]


def _attention(block: dict[str, jax.Array], hidden: jax.Array, heads: int, apart: np.ndarray) -> jax.Array:
    n, length, width = hidden.shape
    split = (hidden @ block["attend"]).reshape(n, length, 3, heads, width // heads)
    query, key, value = split.transpose(2, 0, 3, 1, 4)  # each (n, heads, length, width / heads)
    bias = jnp.where(apart >= 0, block["distance"][:, np.maximum(apart, 0)], np.float32(-1e9))
    scores = query * np.float32((width // heads) ** -0.5) @ key.swapaxes(-1, -2) + bias
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
    mixed = weights @ value / weights.sum(-1, keepdims=True)
    return mixed.transpose(0, 2, 1, 3).reshape(n, length, width) @ block["mix"]


def _normalised(hidden: jax.Array) -> jax.Array:
    return hidden * jax.lax.rsqrt((hidden * hidden).mean(-1, keepdims=True) + np.float32(EPSILON))


def _shifted(hidden: jax.Array) -> jax.Array:
    """Half the channels as they were one token earlier, so that one layer sees pairs of characters."""
    half = hidden.shape[-1] // 2
    before = jnp.pad(hidden[:, :-1, :half], ((0, 0), (1, 0), (0, 0)))
    return jnp.concatenate([before, hidden[:, :, half:]], axis=-1)

"""The two networks, each a dict of weights and a function to the logits of the whole table, (1444, 38).

The whole table is cheaper than it sounds: a product of embedding and first layer is taken once per element, not once
per pair, and nothing is gathered or scattered.
"""

import jax
import jax.numpy as jnp
import numpy as np
from tables import ORDER

EMBEDDED = 32  # width of the embedding and of the transformer's residual stream
HEADS = 4

Params = dict[str, jax.Array]


def init(rng: np.random.Generator, architecture: str, width: int, scale: float) -> Params:
    """Normal weights of sd scale / sqrt(inputs of the layer), embeddings of sd scale / sqrt(32), biases zero."""
    d, m = EMBEDDED, width
    if architecture == "mlp":
        inputs = {"embed": d, "left": d, "right": d, "out": m}
        shapes = {"embed": (ORDER, d), "left": (d, m), "right": (d, m), "out": (m, ORDER)}
        biases = {"hidden_bias": m, "out_bias": ORDER}
    else:
        inputs = {"embed": d, "place": d, "query": d, "key": d, "value": d, "mix": d, "up": d, "down": m, "out": d}
        shapes = dict.fromkeys(("query", "key", "value", "mix"), (d, d))
        shapes |= {"embed": (ORDER + 1, d), "place": (3, d), "up": (d, m), "down": (m, d), "out": (d, ORDER)}
        biases = {"up_bias": m, "down_bias": d, "out_bias": ORDER}
    drawn = {name: scale * rng.standard_normal(shapes[name]) / np.sqrt(n) for name, n in inputs.items()}
    return {name: jnp.asarray(weight, jnp.float32) for name, weight in drawn.items()} | {
        name: jnp.zeros(n, jnp.float32) for name, n in biases.items()
    }


def parameter_count(architecture: str, width: int) -> int:
    """How many numbers are trained."""
    return sum(weight.size for weight in init(np.random.default_rng(0), architecture, width, 1.0).values())


def logits(params: Params, architecture: str) -> jax.Array:
    """Logits of all 38 results for all pairs, (1444, 38)."""
    seen = {"mlp": _mlp, "transformer": _transformer}[architecture](params)
    return seen.reshape(ORDER**2, -1) @ params["out"] + params["out_bias"]


def _mlp(params: Params) -> jax.Array:
    """relu(left(e_a) + right(e_b) + bias), (38, 38, width): one hidden layer over both embeddings side by side."""
    a, b = params["embed"] @ params["left"], params["embed"] @ params["right"]
    return jax.nn.relu(a[:, None] + b[None, :] + params["hidden_bias"])


def _transformer(params: Params) -> jax.Array:
    """The residual stream at the last of the tokens a, b, =, (38, 38, 32): attention, then one ReLU layer; no norms.

    As in Nanda et al. 2023, arXiv:2301.05217. Only the last token asks, so its query is the same for all pairs.
    """
    embed, place = params["embed"], params["place"]
    first, second, last = embed[:ORDER] + place[0], embed[:ORDER] + place[1], embed[ORDER:] + place[2]
    query = (last[0] @ params["query"]).reshape(HEADS, -1)

    def score(tokens: jax.Array) -> jax.Array:  # (n, 32) -> (n, heads)
        keys = (tokens @ params["key"]).reshape(len(tokens), HEADS, -1)
        return (keys * query).sum(-1) / np.sqrt(EMBEDDED / HEADS)

    def mixed(tokens: jax.Array) -> jax.Array:  # (n, 32) -> (n, heads, 32): what each head would write for the token
        values = (tokens @ params["value"]).reshape(len(tokens), HEADS, -1)
        return jnp.einsum("nhk,hkd->nhd", values, params["mix"].reshape(HEADS, -1, EMBEDDED))

    scores = jnp.broadcast_arrays(score(first)[:, None], score(second)[None, :], score(last)[None, :])
    on_a, on_b, on_last = jax.nn.softmax(jnp.stack(scores), axis=0)
    stream = (
        last[0]
        + jnp.einsum("abh,ahd->abd", on_a, mixed(first))
        + jnp.einsum("abh,bhd->abd", on_b, mixed(second))
        + jnp.einsum("abh,hd->abd", on_last, mixed(last)[0])
    )
    hidden = jax.nn.relu(stream @ params["up"] + params["up_bias"])
    return stream + hidden @ params["down"] + params["down_bias"]

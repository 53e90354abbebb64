"""Two small networks for one image (10, 10): fully connected, and convolutional; batches are a vmap away.

Products are pinned to float32, so the numbers do not depend on whether 64-bit types are switched on.
"""

import jax
import jax.numpy as jnp
import numpy as np
from images import CLASSES, SIDE

Params = list[dict[str, jax.Array]]  # one entry per layer: weight (k_in, k_out), bias (k_out,)

PATCH = 9  # pixels of a 3 x 3 patch
POOLED = SIDE // 2


def layer_sizes(architecture: str, width: int, depth: int) -> list[tuple[int, int]]:
    """(k_in, k_out) of every layer; a convolution is a product with 3 x 3 patches."""
    if architecture == "mlp":
        return [(SIDE * SIDE, width), *[(width, width)] * (depth - 1), (width, CLASSES)]
    return [(PATCH, width), *[(PATCH * width, width)] * (depth - 1), (POOLED * POOLED * width, CLASSES)]


def parameter_count(architecture: str, width: int, depth: int) -> int:
    """Trained numbers, weights and biases."""
    return sum((k_in + 1) * k_out for k_in, k_out in layer_sizes(architecture, width, depth))


def init(rng: np.random.Generator, architecture: str, width: int, depth: int) -> Params:
    """Weights normal with variance 2 / k_in (He et al. 2015, doi:10.1109/ICCV.2015.123), biases zero."""
    return [
        {
            "weight": jnp.asarray((rng.normal(size=(k_in, k_out)) * np.sqrt(2 / k_in)).astype(np.float32)),
            "bias": jnp.zeros(k_out, jnp.float32),
        }
        for k_in, k_out in layer_sizes(architecture, width, depth)
    ]


def first_layer(params: Params, image: jax.Array, architecture: str) -> jax.Array:
    """Activations after the first layer: (width,), or (5, 5, width) after the 2 x 2 mean pooling of the CNN."""
    if architecture == "mlp":
        return jax.nn.relu(_affine(params[0], image.reshape(-1)))
    activation = jax.nn.relu(_affine(params[0], _patches(image[:, :, None])))
    return activation.reshape(POOLED, 2, POOLED, 2, -1).mean((1, 3))


def logits(params: Params, image: jax.Array, architecture: str) -> jax.Array:
    """Unnormalised log-probabilities of the ten classes, (10,)."""
    activation = first_layer(params, image, architecture)
    for layer in params[1:-1]:
        activation = jax.nn.relu(_affine(layer, activation if architecture == "mlp" else _patches(activation)))
    return _affine(params[-1], activation.reshape(-1))


def _affine(layer: dict[str, jax.Array], activation: jax.Array) -> jax.Array:
    product = activation @ layer["weight"]
    return product + jnp.broadcast_to(layer["bias"], product.shape)


def _patches(image: jax.Array) -> jax.Array:
    """The 3 x 3 surroundings of every pixel, zero outside: (h, w, k) -> (h, w, 9 k).

    A convolution written as patches times a matrix: mapped over runs it stays a batched product, which is fast on a
    CPU, where XLA's grouped convolution is not.
    """
    height, width, _ = image.shape
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
    return jnp.concatenate([padded[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=-1)

"""Early-training signals that need the network itself: gradients, curvature, a probe of the first layer."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import nets
import numpy as np
from images import CLASSES, SIDE
from recipes import SEEDS, Recipe
from train import PADDED, Data, batch_loss, cross_entropy, generator
from training import norm

CHUNKS, CHUNK = 8, 32  # gradient noise: 8 batches of 32 examples
CURVATURE_EXAMPLES = 256
POWER_ITERATIONS = 10
BLOCK = 40  # divides the number of images of every set
RIDGE = 1e-2  # times the mean squared activation and the number of examples


class Signals(NamedTuple):
    """One number per run, (3,)."""

    gradient_norm: jax.Array
    gradient_noise_scale: jax.Array
    half_batch_agreement: jax.Array
    weight_norm: jax.Array


def chunk_rows(recipe: Recipe, seeds: Sequence[int] = SEEDS) -> jax.Array:
    """Rows of the training set in the 8 batches that gradient noise is measured on, (3, 8, 32), same at every step."""
    shape = (CHUNKS, CHUNK)
    drawn = [generator(recipe, seed, "signals").integers(recipe.train_size, size=shape) for seed in seeds]
    return jnp.asarray(np.stack(drawn).astype(np.int32))


@partial(jax.jit, static_argnums=3)
def signals(params: nets.Params, data: Data, chunks_of: jax.Array, architecture: str) -> Signals:
    """Gradient of the whole training set, and how much gradients of small batches scatter around it.

    With G the full gradient and g_1 .. g_8 gradients of batches of b = 32 examples drawn with replacement:
    gradient_noise_scale = b sum |g_i - mean g|^2 / 7 / |G|^2, in examples (McCandlish et al. 2018, arXiv:1812.06162);
    half_batch_agreement = cosine of the means of g_1 .. g_4 and g_5 .. g_8.
    """

    def one(params: nets.Params, data: Data, batches: jax.Array) -> Signals:
        full = jax.grad(_training_loss)(params, data, architecture)
        chunks = jax.lax.map(
            lambda rows: _flat(jax.grad(batch_loss)(params, data.images[rows], data.given[rows], architecture)), batches
        )
        mean = jnp.broadcast_to(chunks.mean(0), chunks.shape)
        trace = CHUNK * jnp.sum((chunks - mean) ** 2) / (CHUNKS - 1)
        left, right = chunks[: CHUNKS // 2].mean(0), chunks[CHUNKS // 2 :].mean(0)
        return Signals(
            gradient_norm=norm(full),
            gradient_noise_scale=trace / norm(full) ** 2,
            half_batch_agreement=left @ right / jnp.sqrt((left @ left) * (right @ right)),
            weight_norm=norm(params),
        )

    return jax.vmap(one)(params, data, chunks_of)


@partial(jax.jit, static_argnums=2)
def sharpness(params: nets.Params, data: Data, architecture: str) -> jax.Array:
    """Curvature of the loss on the first 256 examples along the direction where it is largest, (3,).

    v' H v after ten power iterations v <- H v / |H v| that start from the gradient: an estimate from below of the
    Hessian's largest eigenvalue in size, with its sign. Fewer than 256 examples are filled by repeating the set.
    """

    def one(params: nets.Params, data: Data) -> jax.Array:
        rows = jnp.arange(CURVATURE_EXAMPLES, dtype=jnp.int32) % data.size
        gradient = jax.grad(lambda p: batch_loss(p, data.images[rows], data.given[rows], architecture))
        slope, curve = jax.linearize(gradient, params)
        direction = jax.lax.fori_loop(0, POWER_ITERATIONS, lambda _, v: _unit(curve(v)), _unit(slope))
        return _flat(direction) @ _flat(curve(direction))

    return jax.vmap(one)(params, data)


@partial(jax.jit, static_argnums=3)
def probe(params: nets.Params, data: Data, images: jax.Array, architecture: str) -> jax.Array:
    """Scores (3, n, 10) of a ridge regression from first-layer activations to the given labels, on images (n, 10, 10).

    Closed form, on centred activations A and one-hot labels Y: W = (A'A + r n I)^-1 A'Y, with r = 0.01 times the mean
    squared entry of A.
    """

    def one(params: nets.Params, data: Data) -> jax.Array:
        features = jax.vmap(lambda image: nets.first_layer(params, image, architecture).reshape(-1))
        real, count = _real(data)
        seen = features(data.images)
        centre = (real @ seen / count)[None]
        seen = (seen - centre) * real[:, None]
        labels = (jax.nn.one_hot(data.given, CLASSES, dtype=jnp.float32) - jnp.float32(1 / CLASSES)) * real[:, None]
        gram = seen.T @ seen
        ridge = RIDGE * jnp.trace(gram) / gram.shape[0] + jnp.float32(1e-12)
        damped = gram + ridge * jnp.eye(len(gram), dtype=jnp.float32)
        weights = jax.scipy.linalg.solve(damped, seen.T @ labels, assume_a="pos")
        return (features(images) - centre) @ weights

    return jax.vmap(one)(params, data)


@partial(jax.jit, static_argnums=2)
def all_logits(params: nets.Params, images: jax.Array, architecture: str) -> jax.Array:
    """Logits (3, n, 10) of the three runs on images (n, 10, 10) that they share, or (3, n, 10, 10) that they do not."""
    one = lambda params, some: jax.vmap(lambda image: nets.logits(params, image, architecture))(some)  # noqa: E731
    group = jax.vmap(one, (0, 0 if images.ndim == 4 else None))
    # In blocks that stay in the processor's cache: three times faster than all images at once.
    blocks = jnp.moveaxis(images.reshape(*images.shape[:-3], -1, BLOCK, SIDE, SIDE), -4, 0)
    answers = jax.lax.map(lambda block: group(params, block), blocks)
    return jnp.moveaxis(answers, 0, 1).reshape(len(answers[0]), -1, CLASSES)


def _training_loss(params: nets.Params, data: Data, architecture: str) -> jax.Array:
    """Mean cross-entropy over the real rows of the padded training set."""
    one = lambda image, label: cross_entropy(nets.logits(params, image, architecture), label)  # noqa: E731
    real, count = _real(data)
    return real @ jax.vmap(one)(data.images, data.given) / count


def _real(data: Data) -> tuple[jax.Array, jax.Array]:
    """1 for each real row and 0 for padding (960,), and the number of real rows."""
    return (jnp.arange(PADDED) < data.size).astype(jnp.float32), data.size.astype(jnp.float32)


def _flat(params: nets.Params) -> jax.Array:
    return jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(params)])


def _unit(params: nets.Params) -> nets.Params:
    length = norm(params)
    return jax.tree.map(lambda leaf: leaf / length, params)

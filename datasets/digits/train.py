"""Train the three seeds of one recipe side by side, from the start or a checkpoint, stopping at every checkpoint.

All randomness is drawn by NumPy before training, so it depends on no version of JAX and costs no compilation.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import nets
import numpy as np
from images import SIDE, TrainingSet, training_set, with_balanced_cue, with_clean_labels
from recipes import MEANINGLESS, SEEDS, SUITE_SEED, Intervention, Recipe, intervention_step
from training import adamw, norm

MOMENTUM = 0.9
BETAS = (0.9, 0.999)
PURPOSES = ("data", "weights", "batches", "signals", "intervention", "trouble")
PADDED = 960  # rows of every training array; one shape for all sizes means one compilation
PADDED_STEPS = 4000  # of every array of batches, for the same reason
LOWER = 0.1  # times the planned learning rate

# Thousandths of the planned run at which everything is measured: dense early, then every 2 %.
SHARES = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 48, 58, 70, 84, *range(100, 1001, 20))


class Data(NamedTuple):
    """A training set padded to 960 rows: images (960, 10, 10), given labels (960,), and how many rows are real."""

    images: jax.Array
    given: jax.Array
    size: jax.Array


class State(NamedTuple):
    """A run between two steps; first and second are the optimizer's moments (sgd uses only the first)."""

    params: nets.Params
    first: nets.Params
    second: nets.Params
    update_size: jax.Array  # Euclidean norm of the latest update, NaN before the first
    diverged: jax.Array  # first step whose batch loss was not finite, -1 while there is none


def checkpoints(last_step: int) -> list[int]:
    """Steps at which a run is measured: the same shares of every run, first and last step included."""
    return [share * last_step // 1000 for share in SHARES]


def learning_rates(recipe: Recipe) -> np.ndarray:
    """The planned learning rate at every step, (last_step + 1,), with x the share of the run.

    constant: the peak. cosine: peak (1 + cos(pi x)) / 2, after a linear warm-up over 2 % of the run.
    wsd (warm-up, stable, decay): linear up over 5 %, the peak, linear down to zero over the last 20 %.
    """
    x = np.arange(recipe.last_step + 1) / recipe.last_step
    shape = {
        "constant": np.ones_like(x),
        "cosine": np.minimum(1, x / 0.02 + 0.02) * (1 + np.cos(np.pi * x)) / 2,
        "wsd": np.minimum(1, np.minimum(x / 0.05 + 0.02, (1 - x) / 0.2)),
    }[recipe.schedule]
    return (recipe.peak_learning_rate * shape).astype(np.float32)


class Treatment(NamedTuple):
    """What a recipe learns from, from some step on, for each of its three seeds."""

    sets: list[TrainingSet]
    rates: np.ndarray  # (last_step + 1,)
    rho: float


def treatment(recipe: Recipe, intervention: Intervention) -> Treatment:
    """The recipe itself for "none", else what stands in its place from `intervention_step` on."""
    sets, rates, rho = training_sets(recipe), learning_rates(recipe), recipe.rho
    if intervention == "balanced_cue":
        drawn = [generator(recipe, seed, "intervention") for seed in SEEDS]
        sets = [with_balanced_cue(one, recipe.cue_brightness, rng) for one, rng in zip(sets, drawn, strict=True)]
        rho = MEANINGLESS
    elif intervention == "clean_labels":
        sets = [with_clean_labels(one) for one in sets]
    elif intervention == "lower_rate":
        rates[intervention_step(recipe) :] *= np.float32(LOWER)
    return Treatment(sets, rates, rho)


def training_sets(recipe: Recipe, seeds: Sequence[int] = SEEDS) -> list[TrainingSet]:
    """What each seed of the recipe learns from."""
    return [
        training_set(
            size=recipe.train_size,
            rho=recipe.rho,
            brightness=recipe.cue_brightness,
            label_noise=recipe.label_noise,
            rng=generator(recipe, seed, "data"),
        )
        for seed in seeds
    ]


def generator(recipe: Recipe, seed: int, purpose: str) -> np.random.Generator:
    """The run's own source of randomness for one purpose, independent of all others."""
    return np.random.default_rng([SUITE_SEED, recipe.number, seed, PURPOSES.index(purpose)])


def batches(recipe: Recipe, seeds: Sequence[int] = SEEDS) -> np.ndarray:
    """Rows of the training set in every batch, drawn with replacement, (3, 4000, batch_size); zeros after the end."""
    shape = (recipe.last_step, recipe.batch_size)
    rows = np.zeros((len(seeds), PADDED_STEPS, recipe.batch_size), np.int32)
    for row, seed in zip(rows, seeds, strict=True):
        row[: recipe.last_step] = generator(recipe, seed, "batches").integers(recipe.train_size, size=shape)
    return rows


def padded(sets: list[TrainingSet]) -> Data:
    """Stack the training sets of a recipe, (3, 960, ...), with zeros below."""
    n = len(sets[0].given)
    images = np.zeros((len(sets), PADDED, SIDE, SIDE), np.float32)
    given = np.zeros((len(sets), PADDED), np.int32)
    for row, one in enumerate(sets):
        images[row, :n], given[row, :n] = one.images, one.given
    return Data(jnp.asarray(images), jnp.asarray(given), jnp.full(len(sets), n, jnp.int32))


def cross_entropy(logits: jax.Array, label: jax.Array) -> jax.Array:
    """-log p(label) in nats of one image, logits (10,)."""
    return -jax.nn.log_softmax(logits)[label]


def batch_loss(params: nets.Params, images: jax.Array, labels: jax.Array, architecture: str) -> jax.Array:
    """Mean cross-entropy over images (b, 10, 10)."""
    one = lambda image, label: cross_entropy(nets.logits(params, image, architecture), label)  # noqa: E731
    return jax.vmap(one)(images, labels).mean()


def trained(recipe: Recipe, data: Data, rates: np.ndarray, start: int, state: State) -> Iterator[tuple[int, State]]:
    """(step, state of the three runs) at every checkpoint from step `start`, whose state is given, to the last."""
    rows = jnp.asarray(batches(recipe))
    padded_rates = jnp.asarray(np.pad(rates, (0, PADDED_STEPS + 1 - len(rates))))
    decay = jnp.float32(recipe.weight_decay)
    done = start
    for step in checkpoints(recipe.last_step):
        if step < start:
            continue
        state = _advance(state, data, rows, padded_rates, decay, done, step, recipe.architecture, recipe.optimizer)
        done = step
        yield step, state


def untrained(recipe: Recipe, seeds: Sequence[int] = SEEDS) -> State:
    """The runs of these seeds before their first step."""
    shape = (recipe.architecture, recipe.width, recipe.depth)
    each = [nets.init(generator(recipe, seed, "weights"), *shape) for seed in seeds]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    zeros = jax.tree.map(jnp.zeros_like, params)
    n = len(seeds)
    return State(params, zeros, zeros, jnp.full(n, jnp.nan, jnp.float32), jnp.full(n, -1, jnp.int32))


@partial(jax.jit, static_argnums=(7, 8))
def _advance(
    state: State,
    data: Data,
    rows: jax.Array,
    rates: jax.Array,
    decay: jax.Array,
    start: int,
    stop: int,
    architecture: str,
    optimizer: str,
) -> State:
    """All runs of the group from step `start` to step `stop`."""

    def step(t: jax.Array, state: State, data: Data, rows: jax.Array) -> State:
        images, given = data.images[rows[t]], data.given[rows[t]]
        loss, gradient = jax.value_and_grad(batch_loss)(state.params, images, given, architecture)
        first, second, update = UPDATES[optimizer](state, gradient, t, rates[t], decay)
        return State(
            params=jax.tree.map(jnp.add, state.params, update),
            first=first,
            second=second,
            update_size=norm(update),
            diverged=jnp.where((state.diverged < 0) & ~jnp.isfinite(loss), t, state.diverged),
        )

    def advance(state: State, data: Data, rows: jax.Array) -> State:
        return jax.lax.fori_loop(start, stop, lambda t, s: step(t.astype(jnp.int32), s, data, rows), state)

    return jax.vmap(advance)(state, data, rows)


def _sgd(
    state: State, gradient: nets.Params, t: jax.Array, rate: jax.Array, decay: jax.Array
) -> tuple[nets.Params, nets.Params, nets.Params]:
    """v <- 0.9 v + g + decay w; w <- w - rate v."""
    first = jax.tree.map(lambda v, g, w: MOMENTUM * v + g + decay * w, state.first, gradient, state.params)
    return first, state.second, jax.tree.map(lambda v: -rate * v, first)


def _adamw(
    state: State, gradient: nets.Params, t: jax.Array, rate: jax.Array, decay: jax.Array
) -> tuple[nets.Params, nets.Params, nets.Params]:
    return adamw(state.params, state.first, state.second, gradient, t, rate, decay, BETAS)


UPDATES = {"sgd": _sgd, "adamw": _adamw}

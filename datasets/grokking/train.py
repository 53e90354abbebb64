"""Train the three seeds of one recipe side by side, full batch, stopping at every checkpoint.

All randomness is drawn by NumPy before training, so it depends on no version of JAX.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import nets
import numpy as np
from recipes import SEEDS, SUITE_SEED, Recipe
from tables import Table, table
from training import adamw, norm

BETAS = (0.9, 0.98)
WARM_UP = 10  # steps
PURPOSES = ("table", "weights")

# Thousandths of the planned run at which everything is measured: dense early, then every 2 %.
SHARES = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 48, 58, 70, 84, *range(100, 1001, 20))


class Data(NamedTuple):
    """A table for training: given (1444,) results, weight (1444,) of each pair in the loss, which sums to one."""

    given: jax.Array
    weight: jax.Array


class State(NamedTuple):
    """A run between two steps; first and second are the optimizer's moments."""

    params: nets.Params
    first: nets.Params
    second: nets.Params
    update_size: jax.Array  # Euclidean norm of the latest update, NaN before the first


def checkpoints(last_step: int) -> list[int]:
    """Steps at which a run is measured: the same shares of every run, first and last step included."""
    return [share * last_step // 1000 for share in SHARES]


def learning_rates(recipe: Recipe) -> np.ndarray:
    """The planned learning rate at every step, (last_step + 1,): linear over ten steps, then constant or cosine.

    constant: the peak. cosine: peak (1 + cos(pi x)) / 2, with x the share of the run.
    """
    t = np.arange(recipe.last_step + 1)
    shape = (1 + np.cos(np.pi * t / recipe.last_step)) / 2 if recipe.schedule == "cosine" else np.ones(len(t))
    return (recipe.peak_learning_rate * np.minimum(1, (t + 1) / WARM_UP) * shape).astype(np.float32)


def tables_of(recipe: Recipe) -> list[Table]:
    """What each seed of the recipe learns."""
    return [table(recipe, generator(recipe, seed, "table")) for seed in SEEDS]


def generator(recipe: Recipe, seed: int, purpose: str) -> np.random.Generator:
    """The run's own source of randomness for one purpose, independent of all others."""
    return np.random.default_rng([SUITE_SEED, recipe.number, seed, PURPOSES.index(purpose)])


def stacked(tables: list[Table]) -> Data:
    """The tables of a recipe, each (3, 1444)."""
    given = np.stack([one.given for one in tables]).astype(np.int32)
    weight = np.stack([one.trained / one.trained.sum() for one in tables]).astype(np.float32)
    return Data(jnp.asarray(given), jnp.asarray(weight))


def train_loss(params: nets.Params, data: Data, architecture: str) -> jax.Array:
    """Mean cross-entropy over the training pairs, in nats."""
    scores = jax.nn.log_softmax(nets.logits(params, architecture))
    # A product with one-hot rows, because its gradient needs no scatter, which is slow on processors.
    return -(data.weight @ (scores * jax.nn.one_hot(data.given, scores.shape[1]))).sum()


def trained(recipe: Recipe, data: Data) -> Iterator[tuple[int, State]]:
    """(step, state of the three runs) at every checkpoint, from step 0 to the last."""
    state = _start(recipe)
    rates, decay = jnp.asarray(learning_rates(recipe)), jnp.float32(recipe.weight_decay)
    done = 0
    for step in checkpoints(recipe.last_step):
        state = _advance(state, data, rates, decay, done, step, recipe.architecture)
        done = step
        yield step, state


def _start(recipe: Recipe) -> State:
    """The three runs before their first step."""
    shape = (recipe.architecture, recipe.width, recipe.init_scale)
    each = [nets.init(generator(recipe, seed, "weights"), *shape) for seed in SEEDS]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    zeros = jax.tree.map(jnp.zeros_like, params)
    return State(params, zeros, zeros, jnp.full(len(SEEDS), jnp.nan, jnp.float32))


@partial(jax.jit, static_argnames="architecture")
def _advance(
    state: State, data: Data, rates: jax.Array, decay: jax.Array, start: int, stop: int, architecture: str
) -> State:
    """All runs of the group from step `start` to step `stop`."""

    def advance(state: State, data: Data) -> State:
        def step(t: jax.Array, state: State) -> State:
            gradient = jax.grad(train_loss)(state.params, data, architecture)
            moments = (state.params, state.first, state.second)
            first, second, update = adamw(*moments, gradient, t, rates[t], decay, BETAS)
            return State(jax.tree.map(jnp.add, state.params, update), first, second, norm(update))

        return jax.lax.fori_loop(start, stop, step, state)

    return jax.vmap(advance)(state, data)


@partial(jax.jit, static_argnames="architecture")
def seen(params: nets.Params, data: Data, architecture: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Of each of the three runs: logits (3, 1444, 38), norm of the training gradient (3,), norm of the weights (3,)."""

    def one(params: nets.Params, data: Data) -> tuple[jax.Array, jax.Array, jax.Array]:
        gradient = jax.grad(train_loss)(params, data, architecture)
        return nets.logits(params, architecture), norm(gradient), norm(params)

    return jax.vmap(one)(params, data)

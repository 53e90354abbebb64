"""Train one run with AdamW, stopping at every checkpoint; an arm continues from its baseline's state.

All randomness is drawn by NumPy before training, so it depends on no version of JAX.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import nets
import numpy as np
from recipes import SUITE_SEED, Plan, Recipe, Size, number
from training import adamw, norm

BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.01
CLIP = 1.0  # largest norm of a gradient
PURPOSES = ("weights", "batches", "signals")
UNIT = 600  # checkpoints are at multiples of 1 / 600 of the run
EARLY = (0, 1, 2, 3, 4, 6, 8, 11, 15, 19, 23, 27, 32, 37, 42, 48)
# every 2.5 %, then 3.5 %, then 2.3 % of the run; 474 = 79 % and 558 = 93 %, where arms branch off, among them
SHARES = (*EARLY, *range(54, 264, 15), *range(264, 474, 21), *range(474, 601, 14))


class State(NamedTuple):
    """A run between two steps; first and second are Adam's moments."""

    params: nets.Params
    first: nets.Params
    second: nets.Params
    update_size: jax.Array  # Euclidean norm of the latest update, NaN before the first


def checkpoints(last_step: int) -> list[int]:
    """Steps at which a run is measured: the same shares of every run, first and last step included."""
    return [share * last_step // UNIT for share in SHARES]


def learning_rates(recipe: Recipe) -> np.ndarray:
    """The planned learning rate at every step, (last_step + 1,)."""
    return scheduled(recipe.schedule, recipe.size.peak_learning_rate, recipe.last_step)


def scheduled(schedule: str, peak: float, last_step: int) -> np.ndarray:
    """A named schedule at every step, (last_step + 1,), with x the share of the run.

    All warm up linearly over 2 % of the run. Then constant: the peak. cosine: peak (1 + cos(pi x)) / 2. linear: peak
    (1 - x). wsd (warm-up, stable, decay): the peak, linear down to zero over the last 20 %.
    """
    x = np.arange(last_step + 1) / last_step
    shape = {
        "constant": np.ones_like(x),
        "cosine": (1 + np.cos(np.pi * x)) / 2,
        "linear": 1 - x,
        "wsd": np.minimum(1, (1 - x) / 0.2),
    }[schedule]
    return (peak * warmed(last_step) * shape).astype(np.float32)


def warmed(last_step: int) -> np.ndarray:
    """The share of its schedule that a run has at every step: it rises to one over 2 % of the run."""
    return np.minimum(1, np.arange(last_step + 1) / last_step / 0.02 + 1 / last_step)


def generator(plan: Plan, purpose: str) -> np.random.Generator:
    """The run's own source of randomness for one purpose, independent of all others."""
    return np.random.default_rng([SUITE_SEED, number(plan.recipe), plan.seed, PURPOSES.index(purpose)])


def started(plan: Plan) -> State:
    """The run before its first step."""
    return begun(plan.recipe.size, generator(plan, "weights"))


def begun(size: Size, rng: np.random.Generator) -> State:
    """A run with new weights before its first step."""
    params = nets.init(rng, size.width, size.depth, size.heads)
    zeros = jax.tree.map(jnp.zeros_like, params)
    return State(params, zeros, zeros, jnp.float32(jnp.nan))


def trained(recipe: Recipe, state: State, tokens: jax.Array, start: int) -> Iterator[tuple[int, State]]:
    """(step, state) at every checkpoint from `start`, where the state is given; tokens: (last_step, 16, 65)."""
    yield from trained_at(learning_rates(recipe), recipe.size, state, tokens, start)


def trained_at(
    rates: np.ndarray, size: Size, state: State, tokens: jax.Array, start: int = 0
) -> Iterator[tuple[int, State]]:
    """The same for any learning rates (last_step + 1,)."""
    padded = jnp.pad(jnp.asarray(rates), (0, len(tokens) + 1 - len(rates)))
    done = start
    for step in checkpoints(len(rates) - 1):
        if step < start:
            continue
        state = _advance(state, tokens, padded, done, step, size.heads)
        done = step
        yield step, state


def losses(params: nets.Params, tokens: jax.Array, heads: int) -> jax.Array:
    """-log p of each next token in nats, (n, length - 1) for tokens (n, length)."""
    logits = nets.logits(params, tokens[:, :-1], heads)
    own = jnp.take_along_axis(logits, tokens[:, 1:, None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - own


def batch_loss(params: nets.Params, tokens: jax.Array, heads: int) -> jax.Array:
    """Mean cross-entropy in nats per character."""
    return losses(params, tokens.astype(jnp.int32), heads).mean()


@partial(jax.jit, static_argnums=5)
def _advance(state: State, tokens: jax.Array, rates: jax.Array, start: int, stop: int, heads: int) -> State:
    """The run from step `start` to step `stop`."""

    def step(t: jax.Array, state: State) -> State:
        gradient = jax.grad(batch_loss)(state.params, tokens[t], heads)
        scale = jnp.minimum(1, CLIP / norm(gradient))
        clipped = jax.tree.map(lambda g: scale * g, gradient)
        moments = (state.params, state.first, state.second)
        first, second, update = adamw(*moments, clipped, t, rates[t], WEIGHT_DECAY, BETAS)
        return State(jax.tree.map(jnp.add, state.params, update), first, second, norm(update))

    return jax.lax.fori_loop(start, stop, lambda t, s: step(t.astype(jnp.int32), s), state)

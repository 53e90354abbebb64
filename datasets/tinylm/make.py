"""Make the tinylm suite: train the runs, measure them at every checkpoint, write a tidy folder.

python datasets/tinylm/make.py --out datasets/tinylm/data
"""

import sys
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import suite  # isort: skip  # before JAX, which it keeps to one thread

import jax
import jax.numpy as jnp
import measure
import nets
import numpy as np
import pandas as pd
import planted
import probes
import recipes
import signals
import train
from recipes import BATCH_SIZE, Plan
from sampling import NO_STDERR

BLOCK = 32  # sequences read at once: what they need stays in the processor's cache
Row = tuple[str, int, float, float]  # metric, step, value, stderr


def made(group: suite.Group) -> suite.Tables:
    """Train and measure a baseline and its arms -> points, events.

    An arm starts from its baseline's state at the branch, shares the history up to there, and then all of the batches
    but for the association.
    """
    plan = next(plan for plan in recipes.plans() if plan.name == group.name)
    bench = Bench(plan)
    rows: list[Row] = []
    states = {}
    for step, state in train.trained(plan.recipe, train.started(plan), _tokens(plan), start=0):
        rows += bench.measured(step, state)
        if step in plan.branches:
            states[step] = state
    tables = {plan.name: rows}
    for branch, state in states.items():
        later = train.trained(plan.recipe, state, _tokens(plan, swap=branch), start=branch)
        after = [row for step, state in later if step > branch for row in bench.measured(step, state)]
        tables[plan.arm(branch)] = [row for row in rows if row[1] <= branch] + after
    columns = ["run", "metric", "step", "value", "stderr"]
    points = pd.DataFrame([(run, *row) for run, rows in tables.items() for row in rows], columns=columns)
    swaps = [(plan.arm(branch), branch, "swapped_association") for branch in plan.branches]
    return points, pd.DataFrame(swaps, columns=["run", "step", "what"])


class Bench:
    """What a baseline and its arms are measured on."""

    def __init__(self, plan: Plan) -> None:
        batches = _batches(plan)
        every = batches.tokens.reshape(-1, batches.tokens.shape[-1])
        chosen = train.generator(plan, "signals").choice(len(every), signals.CHUNKS * signals.CHUNK, replace=False)
        self.heads = plan.recipe.size.heads
        self.rates = train.learning_rates(plan.recipe)
        self.questions = probes.questions()
        self.rows = measure.rows(self.questions, batches.strings, every[chosen])
        self.chunks = jnp.asarray(every[chosen].reshape(signals.CHUNKS, signals.CHUNK, -1))

    def measured(self, step: int, state: train.State) -> list[Row]:
        """All metrics of the run at a checkpoint."""
        long, short = (np.asarray(log_probabilities(state.params, rows, self.heads)) for rows in self.rows[:2])
        values = measure.outcomes(self.questions, self.rows, long, short)
        found = signals.signals(state.params, self.chunks, self.heads)._asdict()
        found |= {"update_size": state.update_size, "learning_rate": self.rates[step]}
        values |= {name: (float(value), NO_STDERR) for name, value in found.items()}
        return [(metric, step, *numbers) for metric, numbers in values.items()]


@partial(jax.jit, static_argnums=2)
def log_probabilities(params: nets.Params, rows: jax.Array, heads: int) -> jax.Array:
    """log p of every next token after every token but the last, (n, length - 1, 96) for rows (n, length)."""
    n, length = rows.shape
    blocks = jnp.pad(rows, ((0, -n % BLOCK), (0, 0))).reshape(-1, BLOCK, length).astype(jnp.int32)
    answers = jax.lax.map(lambda block: jax.nn.log_softmax(nets.logits(params, block[:, :-1], heads)), blocks)
    return answers.reshape(-1, *answers.shape[2:])[:n]


def _batches(plan: Plan, swap: int | None = None) -> planted.Batches:
    rng = train.generator(plan, "batches")
    return planted.batches(rng, plan.recipe.last_step, BATCH_SIZE, nets.CONTEXT + 1, swap)


def _tokens(plan: Plan, swap: int | None = None) -> jax.Array:
    """All batches, padded with some that are never read: one shape for all budgets means one compilation."""
    tokens = _batches(plan, swap).tokens
    return jnp.pad(jnp.asarray(tokens), ((0, max(recipes.BUDGETS) - len(tokens)), (0, 0), (0, 0)))


def groups() -> list[suite.Group]:
    """Every baseline with its arms."""
    return [suite.Group(plan.name, recipes.rows(plan)) for plan in recipes.plans()]


if __name__ == "__main__":
    suite.main(__doc__, Path(__file__).parent, groups(), made, measure.METRICS)

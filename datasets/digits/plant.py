"""Make the planted slice of the digits suite: healthy runs, and twins of them in which one thing goes wrong.

python datasets/digits/plant.py --out datasets/digits/planted
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # what all suites share

import suite  # isort: skip  (before JAX, which reads there how many threads to take)

import jax
import jax.numpy as jnp
import make
import measure
import nets
import numpy as np
import pandas as pd
import signals
import train
import troubles
from images import test_sets
from recipes import Recipe
from training import norm
from troubles import Twin


def main() -> None:
    groups = [_group(troubles.recipe(number)) for number in range(troubles.COUNT)]
    suite.main(__doc__, Path(__file__).parent, groups, made, measure.METRICS)


def _group(recipe: Recipe) -> suite.Group:
    return suite.Group(recipe.name, [_row(twin) for twin in troubles.twins(recipe)])


def _row(twin: Twin) -> dict[str, object]:
    """The row of runs.csv: what is known before the run, so nothing of its trouble."""
    plan = twin.recipe._asdict()
    del plan["number"]
    parameters = nets.parameter_count(twin.recipe.architecture, twin.recipe.width, twin.recipe.depth)
    first = {"run": twin.name, "family": twin.recipe.name, "last_step": plan.pop("last_step")}
    return first | plan | {"parameters": parameters, "seed": twin.seed, "baseline": Twin(twin.recipe, twin.seed).name}


def made(group: suite.Group) -> suite.Tables:
    """Train and measure all runs of a recipe -> points, events."""
    recipe = troubles.recipe(int(group.name[-4:]) - troubles.FIRST)
    twins = troubles.twins(recipe)
    names = [twin.name for twin in twins]
    before, after = _bench(twins), [troubles.spoilt(twin, one) for twin, one in zip(twins, _sets(twins), strict=True)]
    rows: list[make.Row] = []
    for step, state in _trained(twins, before.data, train.padded(after)):
        begun = [step > twin.begin for twin in twins]
        sets = [late if now else early for now, early, late in zip(begun, before.sets, after, strict=True)]
        bench = before._replace(sets=sets, data=train.padded(sets)) if any(begun) else before
        rows += make.measured(recipe, names, bench, step, state)
    points = pd.DataFrame(rows, columns=["run", "metric", "step", "value", "stderr"])
    events = [(twin.name, twin.begin, twin.trouble) for twin in twins if twin.trouble]
    events += make.failures(points, dict(zip(names, state.diverged.tolist(), strict=True)))
    return points, pd.DataFrame(events, columns=["run", "step", "what"])


def _sets(twins: list[Twin]) -> list[make.TrainingSet]:
    return train.training_sets(twins[0].recipe, [twin.seed for twin in twins])


def _bench(twins: list[Twin]) -> make.Bench:
    """What the runs are trained and measured on before anything goes wrong; the rates are the planned ones."""
    recipe, sets = twins[0].recipe, _sets(twins)
    tests = test_sets(recipe.cue_brightness)
    shown = np.concatenate([tests.aligned, tests.conflicting, tests.balanced, *tests.corrupted.values()])
    return make.Bench(
        first=sets,
        sets=sets,
        rates=train.learning_rates(recipe),
        rho=recipe.rho,
        data=train.padded(sets),
        tests=tests,
        chunks=signals.chunk_rows(recipe, [twin.seed for twin in twins]),
        shown=jnp.asarray(shown),
    )


def _trained(twins: list[Twin], before: train.Data, after: train.Data) -> Iterator[tuple[int, train.State]]:
    """(step, state of all runs) at every checkpoint."""
    recipe = twins[0].recipe
    images = jnp.concatenate([before.images, after.images], axis=1)
    given = jnp.concatenate([before.given, after.given], axis=1)
    rows = jnp.asarray(troubles.batches(twins))
    taken = troubles.rates(twins)
    rates = jnp.asarray(np.pad(taken, ((0, 0), (0, train.PADDED_STEPS + 1 - taken.shape[1]))))
    layer, wrong = (jnp.asarray(part.astype(np.int32)) for part in troubles.flipped(twins))
    decay = jnp.float32(recipe.weight_decay)
    state, done = train.untrained(recipe, [twin.seed for twin in twins]), 0
    for step in train.checkpoints(recipe.last_step):
        lanes = (images, given, rows, rates, layer, wrong)
        state = _advance(state, lanes, decay, done, step, recipe.architecture, recipe.optimizer)
        done = step
        yield step, state


@partial(jax.jit, static_argnums=(5, 6))
def _advance(
    state: train.State,
    lanes: tuple[jax.Array, ...],
    decay: jax.Array,
    start: int,
    stop: int,
    architecture: str,
    optimizer: str,
) -> train.State:
    """All runs from step `start` to step `stop`; lanes: images, labels, batches, rates, flipped layer, since when."""

    def step(t: jax.Array, state: train.State, lane: tuple[jax.Array, ...]) -> train.State:
        images, given, rows, rates, layer, wrong = lane
        shown, labels = images[rows[t]], given[rows[t]]
        loss, gradient = jax.value_and_grad(train.batch_loss)(state.params, shown, labels, architecture)
        signs = [jnp.where((t >= wrong) & (layer == number), -1.0, 1.0) for number in range(len(gradient))]
        gradient = [
            {name: leaf * jnp.broadcast_to(sign.astype(leaf.dtype), leaf.shape) for name, leaf in part.items()}
            for sign, part in zip(signs, gradient, strict=True)
        ]
        first, second, update = train.UPDATES[optimizer](state, gradient, t, rates[t], decay)
        return train.State(
            params=jax.tree.map(jnp.add, state.params, update),
            first=first,
            second=second,
            update_size=norm(update),
            diverged=jnp.where((state.diverged < 0) & ~jnp.isfinite(loss), t, state.diverged),
        )

    def advance(state: train.State, lane: tuple[jax.Array, ...]) -> train.State:
        return jax.lax.fori_loop(start, stop, lambda t, s: step(t.astype(jnp.int32), s, lane), state)

    return jax.vmap(advance)(state, lanes)


if __name__ == "__main__":
    main()

"""Make the digits suite: train the runs, measure them at every checkpoint, write a tidy folder.

python datasets/digits/make.py --out datasets/digits/data --workers 2
"""

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.append(str(Path(__file__).parents[1]))  # what all suites share

import suite  # isort: skip  (before JAX, which reads there how many threads to take)

import jax
import jax.numpy as jnp
import measure
import nets
import numpy as np
import pandas as pd
import recipes
import signals
import train
from images import TestSets, TrainingSet, test_sets
from recipes import Intervention, Recipe, Run
from sampling import NO_STDERR

SHARPNESS_EVERY = 4  # checkpoints; Hessian products cost as much as all other measurements together
SPIKE, SPIKE_NATS = 2.0, 0.5  # a training loss that many times, and that much, above the lowest so far

Row = tuple[str, str, int, float, float]  # run, metric, step, value, stderr


def main() -> None:
    groups = [_group(recipes.recipe(number)) for number in range(recipes.COUNT)]
    suite.main(__doc__, Path(__file__).parent, groups, made, measure.METRICS)


def _group(recipe: Recipe) -> suite.Group:
    """All runs of a recipe: its baselines first, then one intervention after the other."""
    runs = [Run(recipe, seed, arm) for arm in recipes.arms(recipe) for seed in recipes.SEEDS]
    return suite.Group(recipe.name, [_row(run) for run in runs])


def _row(run: Run) -> dict[str, object]:
    """The row of runs.csv: what is known before the run."""
    plan = run.recipe._asdict()
    del plan["number"]
    parameters = nets.parameter_count(run.recipe.architecture, run.recipe.width, run.recipe.depth)
    differs = {
        "intervention": run.intervention,
        "intervention_step": None if run.intervention == "none" else recipes.intervention_step(run.recipe),
        "baseline": Run(run.recipe, run.seed).name,
    }
    first = {"run": run.name, "family": run.recipe.name, "last_step": plan.pop("last_step")}
    return first | plan | {"parameters": parameters, "seed": run.seed} | differs


def made(group: suite.Group) -> suite.Tables:
    """Train and measure all runs of a recipe -> points, events."""
    recipe = recipes.recipe(int(group.name[-3:]))
    begin = recipes.intervention_step(recipe)
    states = {0: train.untrained(recipe)}
    points, events = [], []
    for arm in recipes.arms(recipe):
        names = [Run(recipe, seed, arm).name for seed in recipes.SEEDS]
        bench = _bench(recipe, arm)
        rows: list[Row] = []
        start = 0
        if arm != "none":
            start = begin
            rows = _shared(points[0], names, bench, begin)
            events += [(name, begin, arm) for name in names]
        for step, state in train.trained(recipe, bench.data, bench.rates, start, states[start]):
            if arm == "none" or step > begin:
                rows += measured(recipe, names, bench, step, state)
            if step == begin:
                states[begin] = state
        points.append(pd.DataFrame(rows, columns=["run", "metric", "step", "value", "stderr"]))
        events += failures(points[-1], dict(zip(names, state.diverged.tolist(), strict=True)))
    return pd.concat(points, ignore_index=True), pd.DataFrame(events, columns=["run", "step", "what"])


class Bench(NamedTuple):
    """What the runs of a recipe are trained and measured on."""

    first: list[TrainingSet]  # what they begin with
    sets: list[TrainingSet]  # what they learn from now
    rates: np.ndarray
    rho: float
    data: train.Data  # the sets, padded
    tests: TestSets
    chunks: jax.Array  # rows for the gradient noise
    shown: jax.Array  # all test images, (8400, 10, 10): aligned, conflicting, balanced, corrupted


def _bench(recipe: Recipe, arm: Intervention) -> Bench:
    now = train.treatment(recipe, arm)
    tests = test_sets(recipe.cue_brightness)
    shown = np.concatenate([tests.aligned, tests.conflicting, tests.balanced, *tests.corrupted.values()])
    return Bench(
        first=train.training_sets(recipe),
        sets=now.sets,
        rates=now.rates,
        rho=now.rho,
        data=train.padded(now.sets),
        tests=tests,
        chunks=signals.chunk_rows(recipe),
        shown=jnp.asarray(shown),
    )


def _shared(baselines: pd.DataFrame, names: list[str], bench: Bench, begin: int) -> list[Row]:
    """What the intervened runs log until they begin to differ: the points of their baselines, under their own names.

    The learning rate of the step that starts at `begin` is already their own.
    """
    until = baselines[baselines.step <= begin]
    own = dict(zip(until.run.unique(), names, strict=True))
    until = until.assign(run=until.run.map(own))
    until.loc[(until.step == begin) & (until.metric == "learning_rate"), "value"] = float(bench.rates[begin])
    return list(until.itertuples(index=False, name=None))


def measured(recipe: Recipe, names: list[str], bench: Bench, step: int, state: train.State) -> list[Row]:
    """All metrics of the three runs at one checkpoint."""
    number = train.checkpoints(recipe.last_step).index(step)
    curved = number % SHARPNESS_EVERY == 0 or step == recipe.last_step
    found = _signals(state, bench, recipe.architecture, curved)
    rows: list[Row] = []
    for i, answers in enumerate(_answers(state, bench, recipe.architecture)):
        values = measure.outcomes(answers, bench.sets[i], bench.first[i], bench.tests, bench.rho)
        values |= {signal: (float(value[i]), NO_STDERR) for signal, value in found.items()}
        values["learning_rate"] = (float(bench.rates[step]), NO_STDERR)
        rows += [(names[i], metric, step, *numbers) for metric, numbers in values.items()]
    return rows


def _answers(state: train.State, bench: Bench, architecture: str) -> list[measure.Logits]:
    """Logits of each of the three runs on its training images and on the test images."""
    n = len(bench.tests.classes)
    learnt = np.asarray(signals.all_logits(state.params, bench.data.images, architecture))
    shown = np.asarray(signals.all_logits(state.params, bench.shown, architecture))
    probed = np.asarray(signals.probe(state.params, bench.data, jnp.asarray(bench.tests.balanced), architecture))
    answers = []
    for i, one in enumerate(bench.sets):
        aligned, conflicting, balanced, rest = np.split(shown[i], [n, 2 * n, 3 * n])
        corrupted = dict(zip(bench.tests.corrupted, np.split(rest, len(bench.tests.corrupted)), strict=True))
        answers.append(
            measure.Logits(learnt[i, : len(one.given)], aligned, conflicting, balanced, corrupted, probed[i])
        )
    return answers


def _signals(state: train.State, bench: Bench, architecture: str, curved: bool) -> dict[str, np.ndarray]:
    """Signal -> one number per run, (3,); sharpness only where `curved`."""
    slopes = signals.signals(state.params, bench.data, bench.chunks, architecture)
    found = {name: np.asarray(value) for name, value in slopes._asdict().items()}
    found["update_size"] = np.asarray(state.update_size)
    if curved:
        found["sharpness"] = np.asarray(signals.sharpness(state.params, bench.data, architecture))
    return found


def failures(points: pd.DataFrame, inside: dict[str, int]) -> list[tuple[str, int, str]]:
    """When a run diverged and when it spiked.

    diverged: the first step whose batch loss is not finite (`inside`, -1 for never), or the checkpoint before if the
    update that led there overflowed. spiked: the first checkpoint whose training loss stands far above the lowest yet.
    """
    found = []
    for run, losses in points[points.metric == "train_loss"].groupby("run"):
        seen = losses.step[~np.isfinite(losses.value)]
        diverged = [*seen[:1], *([inside[str(run)]] if inside[str(run)] >= 0 else [])]
        lowest = losses.value.cummin()
        up = losses.step[(losses.value > SPIKE * lowest) & (losses.value > lowest + SPIKE_NATS)]
        found += [(str(run), int(min(diverged)), "diverged")] if diverged else []
        found += [(str(run), int(up.iloc[0]), "spiked")] if len(up) else []
    return found


if __name__ == "__main__":
    main()

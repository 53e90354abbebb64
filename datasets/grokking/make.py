"""Make the grokking suite: train the runs, measure them at every checkpoint, write a tidy folder.

python datasets/grokking/make.py --out datasets/grokking/data
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # what all suites share

import suite  # isort: skip  (before JAX, which reads there how many threads to take)

import measure
import nets
import numpy as np
import pandas as pd
import train
from recipes import SEEDS, Recipe, recipes, run_name
from sampling import NO_STDERR
from tables import ORDER

MEMORIZED = 0.99  # training accuracy that counts as memorized
GENERALIZED = 0.95  # test accuracy that counts as generalized
RECIPES = {recipe.name: recipe for recipe in recipes()}


def made(group: suite.Group) -> suite.Tables:
    """Train and measure the three runs of a recipe -> points, events."""
    recipe = RECIPES[group.name]
    names = [run_name(recipe, seed) for seed in SEEDS]
    tables = train.tables_of(recipe)
    data, rates = train.stacked(tables), train.learning_rates(recipe)
    rows: list[tuple[str, str, int, float, float]] = []
    for step, state in train.trained(recipe, data):
        seen = train.seen(state.params, data, recipe.architecture)
        logits, gradient_norm, weight_norm = (np.asarray(part) for part in seen)
        embedding = np.asarray(state.params["embed"])[:, :ORDER]
        for i, name in enumerate(names):
            values = measure.outcomes(logits[i], tables[i]) | measure.fourier(embedding[i], recipe.operation)
            plain = {
                "weight_norm": weight_norm[i],
                "gradient_norm": gradient_norm[i],
                "update_size": state.update_size[i],
                "learning_rate": rates[step],
            }
            values |= {metric: (float(value), NO_STDERR) for metric, value in plain.items()}
            rows += [(name, metric, step, *numbers) for metric, numbers in values.items()]
    points = pd.DataFrame(rows, columns=["run", "metric", "step", "value", "stderr"])
    return points, _onsets(points)


def _onsets(points: pd.DataFrame) -> pd.DataFrame:
    """The first checkpoint of each run at which a threshold is reached, whatever comes later."""
    levels = {"memorized": ("train_accuracy", MEMORIZED), "generalized": ("test_accuracy", GENERALIZED)}
    found = []
    for what, (metric, level) in levels.items():
        reached = points[(points.metric == metric) & (points.value >= level)]
        found.append(reached.groupby("run", as_index=False).step.min().assign(what=what))
    return pd.concat(found, ignore_index=True)


def _group(recipe: Recipe) -> suite.Group:
    """The recipe's rows of runs.csv: what is known before the run."""
    plan = recipe._asdict()
    del plan["number"]
    last_step = plan.pop("last_step")
    plan["parameters"] = nets.parameter_count(recipe.architecture, recipe.width)
    first = [{"run": run_name(recipe, seed), "family": recipe.name, "last_step": last_step} for seed in SEEDS]
    return suite.Group(recipe.name, [row | plan | {"seed": seed} for row, seed in zip(first, SEEDS, strict=True)])


if __name__ == "__main__":
    groups = [_group(recipe) for recipe in RECIPES.values()]
    suite.main(__doc__, Path(__file__).parent, groups, made, measure.METRICS)

"""The suite: 60 recipes, three seeds each; run i is always the same run.

The first 20 recipes are a full grid of weight decay by training fraction, all else equal. The next learns a table
without structure, which nothing can generalise. The others are drawn, each from its own generator: 27 fully connected
networks and 12 transformers.
"""

from itertools import product
from typing import Literal, NamedTuple, TypeVar

import numpy as np

SUITE_SEED = 20210  # the year and month of the first paper on grokking, so that no other suite draws the same numbers
SEEDS = (1, 2, 3)
DECAYS = (0.0, 0.1, 0.3, 1.0, 3.0)
FRACTIONS = (0.4, 0.5, 0.6, 0.8)
DRAWN = ("mlp",) * 27 + ("transformer",) * 12

T = TypeVar("T")
Architecture = Literal["mlp", "transformer"]


class Recipe(NamedTuple):
    """All that is decided before a run but its seed."""

    number: int
    operation: Literal["addition", "dihedral", "random"]
    architecture: Architecture
    width: int  # hidden units of the (transformer's) fully connected layer
    peak_learning_rate: float
    schedule: Literal["constant", "cosine"]
    weight_decay: float  # decoupled, of AdamW
    train_fraction: float  # share of the table that is trained on; the rest is the test set
    label_noise: float  # share of the training pairs with a wrong result
    init_scale: float  # times the usual initial weights
    last_step: int  # a multiple of 1000, so that checkpoints lie at the same shares of every run

    @property
    def name(self) -> str:
        """Name of the recipe, which is the family of its runs."""
        return f"{self.architecture}-{self.operation}-r{self.number:03d}"


def recipes() -> list[Recipe]:
    """All recipes in the order of the suite."""
    grid = [_plain("addition", decay, fraction) for decay, fraction in product(DECAYS, FRACTIONS)]
    chosen = [recipe._replace(number=i) for i, recipe in enumerate([*grid, _plain("random", 1.0, 0.6)])]
    return chosen + [_drawn(len(chosen) + i, architecture) for i, architecture in enumerate(DRAWN)]


def run_name(recipe: Recipe, seed: int) -> str:
    """Name of the recipe's run with that seed."""
    return f"{recipe.name}-s{seed}"


def _plain(operation: Literal["addition", "random"], decay: float, fraction: float) -> Recipe:
    return Recipe(0, operation, "mlp", 64, 0.01, "constant", decay, fraction, 0.0, 1.0, 6000)


def _drawn(number: int, architecture: Architecture) -> Recipe:
    """The recipe of that number, the same whatever else is asked for."""
    rng = np.random.default_rng([SUITE_SEED, number])
    mlp = architecture == "mlp"
    # Ranges by pilots: outside them runs generalise at once or never, and transformers need more of the dihedral table.
    operation = _one_of(rng, ("addition", "dihedral") if mlp else ("addition", "addition", "dihedral"))
    fractions = (0.4, 0.5, 0.6, 0.6, 0.7, 0.8) if mlp else (0.5, 0.6, 0.7, 0.8)
    if not mlp and operation == "dihedral":
        fractions = (0.8, 0.85)
    rate = np.exp(rng.uniform(*np.log((0.004, 0.025) if mlp else (0.003, 0.008))))
    return Recipe(
        number=number,
        operation=operation,
        architecture=architecture,
        width=_one_of(rng, (64, 64, 128)),
        peak_learning_rate=float(f"{rate:.2g}"),
        schedule=_one_of(rng, ("constant", "constant", "cosine")),
        weight_decay=_one_of(rng, (0.3, 0.5, 1.0, 1.0, 2.0) if mlp else (0.5, 1.0, 1.0, 2.0)),
        train_fraction=_one_of(rng, fractions),
        label_noise=_one_of(rng, (0.0, 0.0, 0.0, 0.01, 0.02, 0.05) if mlp else (0.0, 0.0, 0.0, 0.02)),
        init_scale=_one_of(rng, (0.5, 1.0, 1.0, 2.0)),
        last_step=_one_of(rng, (3000, 4000, 6000) if mlp else (2000, 3000)),
    )


def _one_of(rng: np.random.Generator, menu: tuple[T, ...]) -> T:
    """One entry of the menu, each as likely, as the Python value that stands there."""
    return menu[int(rng.integers(len(menu)))]

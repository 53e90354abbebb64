"""The planted slice: runs that go well, and their twins in which one thing goes wrong at a random step.

Recipes are drawn as those of the suite are, among small networks and usual learning rates. Their numbers begin where
those of the suite cannot reach, so that no run shares a random number with it.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
import train
from images import CLASSES, TrainingSet
from recipes import SUITE_SEED, Recipe

FIRST = 1000  # number of the first recipe
COUNT = 24
SEEDS = tuple(range(1, 10))  # of the clean twins; trouble k strikes seed k
EARLIEST, LATEST = 0.1, 0.8  # share of the run at which it strikes
RATE = 10.0  # times the planned learning rate
SHUFFLED = 0.2  # of the training images
KEPT = 5  # classes that are left
NEVER = 2**30

Trouble = Literal["rate_x10", "labels_shuffled", "classes_gone", "gradient_flipped", "loader_stuck"]
TROUBLES: tuple[Trouble, ...] = get_args(Trouble)

# architecture, width, depth, optimizer, batch_size: few, since each is compiled anew
_SHAPES = (
    ("mlp", 16, 1, "sgd", 16),
    ("mlp", 32, 2, "sgd", 32),
    ("mlp", 64, 1, "adamw", 32),
    ("mlp", 32, 3, "adamw", 64),
    ("mlp", 64, 2, "sgd", 64),
    ("mlp", 16, 2, "adamw", 16),
    ("cnn", 4, 2, "adamw", 32),
    ("cnn", 8, 1, "sgd", 32),
)


class Twin(NamedTuple):
    """A run of a planted recipe: a seed, and the trouble that strikes it, if any."""

    recipe: Recipe
    seed: int
    trouble: Trouble | None = None

    @property
    def name(self) -> str:
        """Name of the run."""
        return f"{self.recipe.name}-s{self.seed}" + (f"-{self.trouble}" if self.trouble else "")

    @property
    def begin(self) -> int:
        """The first step that goes wrong; far beyond the end where none does."""
        if self.trouble is None:
            return NEVER
        share = train.generator(self.recipe, self.seed, "trouble").uniform(EARLIEST, LATEST)
        return int(share * self.recipe.last_step)


def recipe(number: int) -> Recipe:
    """The planted recipe of that number, 0 to 23, the same whatever else is asked for."""
    rng = np.random.default_rng([SUITE_SEED, FIRST + number])
    architecture, width, depth, optimizer, batch_size = _SHAPES[number % len(_SHAPES)]
    typical = {"sgd": 0.05, "adamw": 2e-3}[optimizer]
    return Recipe(
        number=FIRST + number,
        architecture=architecture,
        width=width,
        depth=depth,
        optimizer=optimizer,
        # a factor of two either way is common
        peak_learning_rate=float(f"{typical * 2 ** rng.standard_normal():.2g}"),
        schedule=str(rng.choice(["constant", "cosine", "wsd"])),  # type: ignore[arg-type]
        batch_size=batch_size,
        weight_decay=float(rng.choice([0.0, 1e-3] if optimizer == "sgd" else [0.0, 0.1])),
        rho=float(rng.choice([0.5, 0.8, 0.9])),
        cue_brightness=float(rng.choice([0.3, 0.5, 1.0])),
        label_noise=float(rng.choice([0.0, 0.05, 0.1])),
        train_size=int(rng.choice([500, 960])),
        last_step=int(rng.choice([1000, 2000])),
    )


def twins(recipe: Recipe) -> list[Twin]:
    """All runs of a recipe: those that go well, then one of each trouble, with the seed of one of the first."""
    troubled = [Twin(recipe, seed, trouble) for seed, trouble in zip(SEEDS, TROUBLES, strict=False)]
    return [Twin(recipe, seed) for seed in SEEDS] + troubled


def spoilt(twin: Twin, one: TrainingSet) -> TrainingSet:
    """What the run learns from once its trouble has struck.

    labels_shuffled: the labels of a fifth of the images are dealt anew among them. classes_gone: each image of five
    classes is replaced by one of the other five. All else keeps the images and their labels.
    """
    rng = _more(twin)
    if twin.trouble == "labels_shuffled":
        rows = rng.permutation(len(one.given))[: round(SHUFFLED * len(one.given))]
        given = one.given.copy()
        given[rows] = rng.permutation(given[rows])
        return one._replace(given=given)
    if twin.trouble == "classes_gone":
        kept = np.isin(one.classes, rng.permutation(CLASSES)[:KEPT])
        rows = np.where(kept, np.arange(len(kept)), rng.choice(np.flatnonzero(kept), len(kept)))
        return TrainingSet(one.images[rows], one.given[rows], one.classes[rows])
    return one


def batches(twins: list[Twin]) -> np.ndarray:
    """Rows of every batch (n, steps, batch_size): below 960 of the first set, from 960 on of the spoilt one.

    A stuck loader repeats the first batch that goes wrong.
    """
    rows = train.batches(twins[0].recipe, [twin.seed for twin in twins])
    for own, twin in zip(rows, twins, strict=True):
        if twin.trouble == "loader_stuck":
            own[twin.begin :] = own[twin.begin]
        own[twin.begin :] += train.PADDED
    return rows


def rates(twins: list[Twin]) -> np.ndarray:
    """The learning rate that each run really takes at every step (n, last_step + 1); the log has the planned one."""
    taken = np.tile(train.learning_rates(twins[0].recipe), (len(twins), 1))
    for own, twin in zip(taken, twins, strict=True):
        if twin.trouble == "rate_x10":
            own[twin.begin :] *= np.float32(RATE)
    return taken


def flipped(twins: list[Twin]) -> tuple[np.ndarray, np.ndarray]:
    """The layer of each run whose gradient has the wrong sign (n,), and from which step on (n,)."""
    hit = [twin.trouble == "gradient_flipped" for twin in twins]
    layer = [int(_more(twin).integers(twin.recipe.depth + 1)) for twin in twins]
    return np.array(layer), np.where(hit, [twin.begin for twin in twins], NEVER)


def _more(twin: Twin) -> np.random.Generator:
    """The run's randomness of its trouble, after the step was drawn."""
    rng = train.generator(twin.recipe, twin.seed, "trouble")
    rng.uniform()
    return rng

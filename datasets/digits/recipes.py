"""The suite: a deterministic list of recipes, three seeds each, and for every sixth drawn recipe its interventions.

The first 24 recipes were chosen by hand, so that a small slice already holds strong and absent cues, memorization,
divergence and runs that barely learn; the recipes after them are drawn at random, each from its own generator.
"""

from typing import Literal, NamedTuple, TypeVar

import numpy as np

SUITE_SEED = 2026
SEEDS = (1, 2, 3)
COUNT = 200  # recipes
MEANINGLESS = 0.1  # rho of a cue that is the class as often as any other
INTERVENED = 6  # every sixth drawn recipe has interventions

Intervention = Literal["none", "balanced_cue", "lower_rate", "clean_labels"]
T = TypeVar("T")


class Recipe(NamedTuple):
    """All that is decided before a run but its seed."""

    number: int
    architecture: Literal["mlp", "cnn"]
    width: int  # hidden units, or channels
    depth: int  # hidden layers, or convolutions
    optimizer: Literal["sgd", "adamw"]  # sgd has momentum 0.9
    peak_learning_rate: float
    schedule: Literal["constant", "cosine", "wsd"]
    batch_size: int
    weight_decay: float  # sgd: added to the gradient; adamw: decoupled
    rho: float  # share of training images whose cue is their true class
    cue_brightness: float  # grey value of the cue's pixels; a digit's ink is 1
    label_noise: float  # share of training images with a wrong label
    train_size: int
    last_step: int  # a multiple of 1000, so that checkpoints lie at the same shares of every run

    @property
    def name(self) -> str:
        """Name of the recipe, which is the family of its runs."""
        return f"{self.architecture}-w{self.width}-d{self.depth}-r{self.number:03d}"


class Run(NamedTuple):
    """One recipe with one seed; an intervened run shares seed and history with its baseline, up to some step."""

    recipe: Recipe
    seed: int
    intervention: Intervention = "none"

    @property
    def name(self) -> str:
        suffix = "" if self.intervention == "none" else f"-{self.intervention}"
        return f"{self.recipe.name}-s{self.seed}{suffix}"


# architecture, width, depth, optimizer, peak_learning_rate, schedule, batch_size, weight_decay, rho, cue_brightness,
# label_noise, train_size, last_step
_CHOSEN = (
    ("mlp", 64, 2, "sgd", 0.05, "cosine", 32, 1e-4, 0.80, 1.0, 0.10, 960, 2000),  # 0: typical
    ("mlp", 128, 2, "adamw", 1e-3, "cosine", 64, 1e-2, 0.90, 0.5, 0.10, 960, 3000),
    ("mlp", 256, 1, "sgd", 0.10, "constant", 32, 0.0, 0.80, 0.3, 0.20, 500, 3000),
    ("mlp", 32, 1, "sgd", 0.03, "wsd", 16, 1e-4, 0.80, 1.0, 0.05, 960, 2000),
    ("mlp", 64, 3, "adamw", 3e-3, "wsd", 64, 0.1, 0.95, 0.3, 0.10, 500, 2000),
    ("mlp", 128, 3, "sgd", 0.02, "wsd", 64, 0.0, 0.98, 0.5, 0.10, 960, 4000),
    ("mlp", 64, 4, "sgd", 2.0, "constant", 32, 0.0, 0.90, 0.5, 0.10, 500, 1000),  # 6: diverges
    ("mlp", 64, 2, "adamw", 0.1, "wsd", 16, 0.0, 0.90, 0.5, 0.10, 500, 2000),  # 7: spikes
    ("mlp", 32, 2, "sgd", 1e-4, "constant", 64, 0.0, 0.90, 0.5, 0.10, 960, 2000),  # 8: barely learns
    ("mlp", 128, 1, "adamw", 3e-5, "constant", 128, 1e-2, 0.95, 0.5, 0.10, 500, 1000),  # 9: barely learns
    ("mlp", 16, 1, "sgd", 0.10, "cosine", 32, 0.0, 0.50, 1.0, 0.00, 960, 1000),  # 10: small, no label noise
    ("mlp", 128, 2, "sgd", 0.10, "cosine", 128, 1e-3, 0.10, 0.5, 0.10, 500, 2000),  # 11: cue without meaning
    ("mlp", 256, 2, "adamw", 1e-3, "constant", 32, 0.0, 0.98, 0.3, 0.15, 250, 2000),
    ("mlp", 64, 1, "adamw", 3e-3, "cosine", 32, 1.0, 0.90, 0.5, 0.20, 960, 3000),
    ("mlp", 64, 4, "sgd", 0.05, "wsd", 32, 1e-3, 0.80, 1.0, 0.05, 960, 2000),
    ("mlp", 128, 2, "sgd", 0.01, "constant", 16, 0.0, 0.90, 0.3, 0.15, 500, 4000),
    ("cnn", 8, 2, "sgd", 0.05, "cosine", 32, 1e-4, 0.80, 1.0, 0.10, 960, 2000),
    ("cnn", 16, 2, "adamw", 2e-3, "wsd", 32, 1e-2, 0.90, 0.5, 0.10, 500, 2000),
    ("cnn", 8, 1, "adamw", 5e-3, "cosine", 64, 0.0, 0.80, 0.5, 0.20, 960, 2000),
    ("cnn", 16, 1, "sgd", 0.03, "constant", 32, 1e-3, 0.90, 1.0, 0.05, 960, 2000),
    ("cnn", 4, 2, "adamw", 1e-2, "constant", 32, 0.0, 0.90, 1.0, 0.00, 960, 1000),  # 20: no label noise
    ("cnn", 16, 2, "sgd", 0.10, "wsd", 64, 0.0, 0.95, 0.3, 0.15, 500, 2000),
    ("cnn", 8, 3, "sgd", 1.0, "constant", 32, 0.0, 0.90, 0.5, 0.10, 500, 1000),  # 22: all units die
    ("cnn", 8, 2, "adamw", 1e-3, "cosine", 16, 0.1, 0.50, 0.5, 0.10, 250, 3000),
)


def recipe(number: int) -> Recipe:
    """The recipe of that number, the same whatever else is asked for."""
    if number < len(_CHOSEN):
        return Recipe(number, *_CHOSEN[number])
    rng = np.random.default_rng([SUITE_SEED, number])
    architecture = _one_of(rng, ("mlp", "mlp", "mlp", "cnn"))
    optimizer = _one_of(rng, ("sgd", "adamw"))
    typical = {"sgd": 0.05, "adamw": 2e-3}[optimizer]
    decays = {"sgd": (0.0, 1e-4, 1e-3), "adamw": (0.0, 0.01, 0.1, 1.0)}[optimizer]
    return Recipe(
        number=number,
        architecture=architecture,
        width=_one_of(rng, {"mlp": (16, 32, 64, 128, 256), "cnn": (4, 8, 16)}[architecture]),
        depth=_one_of(rng, (1, 2, 3)),
        optimizer=optimizer,
        # a factor of 3 either way is common and of 30 is rare: most runs work, some crawl, some diverge
        peak_learning_rate=float(f"{typical * 3 ** (1.2 * rng.standard_t(4)):.2g}"),
        schedule=_one_of(rng, ("constant", "cosine", "wsd")),
        batch_size=_one_of(rng, (16, 32, 64, 128)),
        weight_decay=_one_of(rng, decays),
        rho=_one_of(rng, (0.1, 0.5, 0.8, 0.9, 0.9, 0.95, 0.95, 0.98)),
        cue_brightness=_one_of(rng, (0.3, 0.5, 1.0)),
        label_noise=_one_of(rng, (0.0, 0.05, 0.1, 0.1, 0.15, 0.2)),
        train_size=_one_of(rng, (250, 500, 960)),
        last_step=_one_of(rng, (1000, 2000, 3000, 4000)),
    )


def arms(recipe: Recipe) -> tuple[Intervention, ...]:
    """The ways in which each seed of the recipe is run, "none" first.

    balanced_cue: the cue of every training image is drawn anew, without meaning. lower_rate: a tenth of the learning
    rate. clean_labels: every training image gets its true label. None is listed that would change nothing.
    """
    if recipe.number < len(_CHOSEN) or recipe.number % INTERVENED:
        return ("none",)
    possible: dict[Intervention, bool] = {
        "none": True,
        "balanced_cue": recipe.rho > MEANINGLESS,
        "lower_rate": True,
        "clean_labels": recipe.label_noise > 0,
    }
    return tuple(arm for arm, changes in possible.items() if changes)


def intervention_step(recipe: Recipe) -> int:
    """Where the interventions of the recipe begin: after 10, 30 or 50 % of the run, all of which are checkpoints."""
    rng = np.random.default_rng([SUITE_SEED, recipe.number, INTERVENED])
    return _one_of(rng, (10, 30, 50)) * recipe.last_step // 100


def _one_of(rng: np.random.Generator, menu: tuple[T, ...]) -> T:
    """One entry of the menu, each as likely, as the Python value that stands there."""
    return menu[int(rng.integers(len(menu)))]

"""The suite: six sizes x three token budgets x three schedules, further seeds, and arms that swap the association late.

A group is one baseline with its arms, which branch off it: trained together, independent of all other groups.
"""

from typing import Literal, NamedTuple

from nets import CONTEXT, parameter_count

SUITE_SEED = 2027
BATCH_SIZE = 16  # sequences of 64 predicted characters: 1024 tokens a step


class Size(NamedTuple):
    """A network; its name is the family of its runs, so that leaving a family out leaves a size out."""

    name: str
    width: int
    depth: int
    heads: int
    peak_learning_rate: float  # larger networks want smaller steps


SIZES = (
    Size("n2k", 10, 2, 2, 2e-2),
    Size("n6k", 16, 2, 2, 2e-2),
    Size("n14k", 24, 2, 2, 1.6e-2),
    Size("n25k", 32, 2, 2, 1.3e-2),
    Size("n55k", 48, 2, 2, 1e-2),
    Size("n98k", 64, 2, 2, 8e-3),
)
BUDGETS = (600, 1200, 2400)  # steps: 0.6, 1.2 and 2.5 million tokens
SCHEDULES = ("constant", "cosine", "wsd")
ARM_BUDGET = 1200
ARM_SHARES = (0.79, 0.93)  # share of the run after which the association is swapped


class Recipe(NamedTuple):
    """All that is decided before a baseline but its seed."""

    size: Size
    last_step: int
    schedule: Literal["constant", "cosine", "wsd"]

    @property
    def name(self) -> str:
        return f"{self.size.name}-t{self.last_step * BATCH_SIZE * CONTEXT // 1000}k-{self.schedule}"


class Plan(NamedTuple):
    """A baseline, and the steps at which its arms branch off."""

    recipe: Recipe
    seed: int
    branches: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.recipe.name}-s{self.seed}"

    def arm(self, branch: int) -> str:
        """Name of the arm that branches off at this step."""
        return f"{self.name}-swap{100 * branch // self.recipe.last_step}"


def plans() -> list[Plan]:
    """All baselines, small budgets first."""
    recipes = [Recipe(size, budget, schedule) for budget in BUDGETS for size in SIZES for schedule in SCHEDULES]
    return [_plan(recipe, seed) for recipe in recipes for seed in range(1, _seeds(recipe) + 1)]


def rows(plan: Plan) -> list[dict[str, object]]:
    """The rows of runs.csv of a baseline and its arms: what is known before the run.

    intervention_step is the last step where nothing is swapped, None for a baseline.
    """
    size, last_step, schedule = plan.recipe
    known = {
        "family": size.name,
        "last_step": last_step,
        "tokens": last_step * BATCH_SIZE * CONTEXT,
        "schedule": schedule,
        "peak_learning_rate": size.peak_learning_rate,
        "width": size.width,
        "depth": size.depth,
        "parameters": parameter_count(size.width, size.depth),
    }
    arms = [(plan.name, "none", None), *[(plan.arm(step), "swapped_association", step) for step in plan.branches]]
    return [
        {"run": run, **known, "intervention": what, "intervention_step": step, "baseline": plan.name, "seed": plan.seed}
        for run, what, step in arms
    ]


def number(recipe: Recipe) -> int:
    """Number of a recipe, the seed of its randomness."""
    size, budget, schedule = (
        menu.index(value) for menu, value in zip((SIZES, BUDGETS, SCHEDULES), recipe, strict=True)
    )
    return (size * len(BUDGETS) + budget) * len(SCHEDULES) + schedule


def _plan(recipe: Recipe, seed: int) -> Plan:
    branches = [round(share * recipe.last_step) for share in ARM_SHARES] if recipe.last_step == ARM_BUDGET else []
    return Plan(recipe, seed, tuple(branches))


def _seeds(recipe: Recipe) -> int:
    """How many seeds a recipe has: more where they are cheap, and a pair of every size."""
    if recipe.last_step == min(BUDGETS):
        return (3, 3, 2, 2, 1, 1)[SIZES.index(recipe.size)]
    pairs = {"constant": (), "cosine": SIZES, "wsd": SIZES[:4]}[recipe.schedule]
    return 2 if recipe.last_step == ARM_BUDGET and recipe.size in pairs else 1

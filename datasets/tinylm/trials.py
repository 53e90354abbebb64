"""Trials of schedules: pilots that teach a law what a peak rate does, runs that tune the peak, fresh runs that test.

The size and the budget of tuning and test are those of no other run. Runs of one seed have equal weights at the start
and equal batches, whatever their schedule, so that two schedules can be compared seed by seed.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import train
from nets import CONTEXT, parameter_count
from recipes import BATCH_SIZE, SIZES, SUITE_SEED, Size

DESIGNED = Path(__file__).parent / "schedules" / "designed.csv"  # by benchmarks/designed_schedules.py
PURPOSE = 1  # beside the suite's recipes: the randomness of trials is their own
NAMED = ("cosine", "linear", "wsd")
PILOT_SIZES = tuple(size for size in SIZES if size.name in ("n25k", "n55k"))
PILOT_BUDGETS = (600, 1200)
PILOT_PEAKS = (0.5, 2.0)  # of a size's own peak rate; the suite has one
TESTED = Size("n38k", 40, 2, 2, 1.14e-2)  # its peak lies between those of its neighbours
BUDGET = 900
PEAKS = (0.5, 1.0, 2.0)  # among which every schedule is tuned, those of the pilots and the suite
TUNING_SEEDS, TEST_SEEDS = (11, 12, 13, 14, 15), tuple(range(1, 11))


class Trial(NamedTuple):
    """A run: its size, length, schedule, peak rate in parts of the size's own, and seed."""

    size: Size
    last_step: int
    schedule: str
    peak: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.size.name}-t{_tokens(self.last_step) // 1000}k-{self.schedule}-x{self.peak:g}-s{self.seed}"

    def rates(self) -> np.ndarray:
        """The learning rate at every step, (last_step + 1,)."""
        peak = self.peak * self.size.peak_learning_rate
        if self.schedule != "designed":
            return train.scheduled(self.schedule, peak, self.last_step)
        table = pd.read_csv(DESIGNED)
        own = table[np.isclose(table["peak"], self.peak)]
        if own.empty:
            raise ValueError(f"{DESIGNED} has no schedule with the peak {self.peak:g}")
        rate = np.interp(np.arange(self.last_step + 1), own["step"], own["rate"])
        return (np.minimum(rate, peak * train.warmed(self.last_step))).astype(np.float32)

    def generator(self, purpose: str) -> np.random.Generator:
        """The source of randomness for one purpose: of size, length and seed alone."""
        key = [SUITE_SEED, PURPOSE, self.size.width, self.last_step, self.seed, train.PURPOSES.index(purpose)]
        return np.random.default_rng(key)

    def row(self) -> dict[str, object]:
        """Its row of runs.csv: what is known before the run."""
        return {
            "run": self.name,
            "family": f"{self.size.name}-s{self.seed}",
            "last_step": self.last_step,
            "tokens": _tokens(self.last_step),
            "schedule": self.schedule,
            "peak_learning_rate": self.peak * self.size.peak_learning_rate,
            "width": self.size.width,
            "depth": self.size.depth,
            "parameters": parameter_count(self.size.width, self.size.depth),
            "seed": self.seed,
        }


def pilots() -> list[Trial]:
    """Runs of the suite's sizes and budgets at other peak rates, short ones first."""
    return [
        Trial(size, budget, schedule, peak, 1)
        for budget in PILOT_BUDGETS
        for size in PILOT_SIZES
        for peak in PILOT_PEAKS
        for schedule in ("cosine", "wsd")
    ]


def tuning(*schedules: str) -> list[Trial]:
    """Runs that tell the best peak rate of each schedule, equally many of each."""
    return [Trial(TESTED, BUDGET, one, peak, seed) for seed in TUNING_SEEDS for one in schedules for peak in PEAKS]


def tests(best: dict[str, float]) -> list[Trial]:
    """Fresh seeds of each schedule at its best peak rate."""
    return [Trial(TESTED, BUDGET, one, peak, seed) for seed in TEST_SEEDS for one, peak in best.items()]


def best_peaks(runs: pd.DataFrame, points: pd.DataFrame) -> dict[str, float]:
    """The peak rate, in parts of the size's own, with the lowest mean final validation loss of each schedule."""
    loss = points[points["metric"] == "validation_loss"]
    last = loss.loc[loss.groupby("run")["step"].idxmax()].set_index("run")["value"]
    runs = runs.set_index("run")
    table = runs.assign(last=last, peak=(runs["peak_learning_rate"] / TESTED.peak_learning_rate).round(6))
    mean = table.groupby(["schedule", "peak"])["last"].mean()
    return {str(one): float(mean[one].idxmin()) for one in mean.index.unique("schedule")}


def _tokens(last_step: int) -> int:
    return last_step * BATCH_SIZE * CONTEXT

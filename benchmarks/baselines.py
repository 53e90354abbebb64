"""The seven simple baselines on a growing number of runs: time and memory of a backtest, with its page, in a process.

python benchmarks/baselines.py [runs ...]

Made-up runs of three metrics (a loss, an accuracy, a gap), 20 points each, every run its own family; ten folds, three
cutoffs. What is measured is the command, from its start to its end: reading, replaying, summing up, the page. Prints a
Markdown table. Only ratios between rows of one run mean anything on a machine that others use too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.loaders import tidy

RUNS = (100, 300, 1000, 3000)
CUTOFFS, BASELINES = 3, 7
METRICS = {
    "loss": Metric("loss", "loss", 0.0, None, "lower"),
    "accuracy": Metric("accuracy", "capability", 0.0, 1.0, "higher"),
    "gap": Metric("gap", "bias", -1.0, 1.0, "zero"),
}


class Cost(NamedTuple):
    """What a command took: seconds of the clock and of the processor, and its largest memory in GB."""

    wall: float
    cpu: float
    memory: float


def made(n: int, seed: int = 0) -> Curves:
    """Runs that fall as a power of the step, each with a level, a slope and noise of its own."""
    rng = np.random.default_rng(seed)
    steps = np.unique(np.geomspace(1, 1000, 20).astype(int))
    level, slope = rng.normal(size=(2, n, 1))
    tables = []
    for name, base in zip(METRICS, (3.0, 0.0, 1.0), strict=True):
        latent = base + 0.2 * level - 0.1 * slope * np.log(steps) + 0.02 * rng.normal(size=(n, len(steps)))
        value = {"loss": np.exp(latent), "accuracy": 1 / (1 + np.exp(-latent)), "gap": 0.1 * np.tanh(latent)}[name]
        runs = np.repeat([f"r{i:04d}" for i in range(n)], len(steps))
        tables.append(pd.DataFrame({"run": runs, "metric": name, "step": np.tile(steps, n), "value": value.ravel()}))
    return curves_from(pd.concat(tables), None, METRICS)


def measured(n: int) -> Cost:
    """One backtest of so many runs, asked for one baseline: all seven run, for skill refers to the best of them."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder, "data"), Path(folder, "out")
        tidy.save(made(n), data)
        words = ["backtest", str(data), "--out", str(out), "--forecasters", "last_value", "--quiet"]
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "predictdyn", *words], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"predictdyn {' '.join(words)} ended with status {process.returncode}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6)


def main() -> None:
    """Measure and print."""
    print("| runs | forecasts | wall s | CPU s | CPU ms a forecast | memory GB |")
    print("|---:|---:|---:|---:|---:|---:|")
    for n in map(int, sys.argv[1:]) if sys.argv[1:] else RUNS:
        cost, forecasts = measured(n), n * len(METRICS) * CUTOFFS * BASELINES
        each = 1000 * cost.cpu / forecasts
        print(
            f"| {n:,} | {forecasts:,} | {cost.wall:.1f} | {cost.cpu:.1f} | {each:.2f} | {cost.memory:.2f} |", flush=True
        )


if __name__ == "__main__":
    main()

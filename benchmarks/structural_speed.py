"""Curves a second of the forecaster `structural`, beside SciPy's `curve_fit`, in one run; and its cold start.

python benchmarks/structural_speed.py [--curves 200] [--scipy 20]

Curves are y = E + A (x + t0)^-alpha + noise at 100 points of the first quarter of a run, whose end is asked: alpha .3
to 1.2, t0 .01 to .3 of what is seen, noise 1 to 10 % of the fall seen. Either all share their steps, or each has its
own. `curve_fit` fits the true form from ten starts, a point without an interval. One process; errors are at the end of
the run, in units of the noise of each curve. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import OptimizeWarning, curve_fit

from predictdyn.curves import Metric, curves_from
from predictdyn.forecasters.structural import STRUCTURAL
from predictdyn.problem import History, Problem

POINTS, SEEN, STARTS, STEPS = 100, 0.25, 10, 1_000_000
METRIC = Metric("y", "signal")
COLD = """
import time
start = time.perf_counter()
import structural_speed
made = structural_speed.simulate(1, own=False)
problem = structural_speed.problem_of(made)
ready = time.perf_counter()
structural_speed.STRUCTURAL.latent(problem)
print(ready - start, time.perf_counter() - ready, time.process_time())
"""


class Simulated(NamedTuple):
    """Steps and values (n, t), the truth (n,) without noise at the end of the run, and the noise (n,)."""

    step: np.ndarray
    value: np.ndarray
    truth: np.ndarray
    noise: np.ndarray


def simulate(n: int, *, own: bool, seed: int = 0) -> Simulated:
    """Power laws with an offset and a shift, at steps that all curves share or each has of its ``own``."""
    rng = np.random.default_rng(seed)
    share = np.tile(np.linspace(1 / POINTS, 1, POINTS), (n, 1))
    if own:
        share[:, :-1] = np.sort(share[:, :-1] + rng.uniform(-0.4, 0.4, (n, POINTS - 1)) / POINTS, axis=1)
    step = np.round(share * SEEN * STEPS)
    alpha, shift = rng.uniform(0.3, 1.2, (n, 1)), np.exp(rng.uniform(np.log(0.01), np.log(0.3), (n, 1)))
    level, fall = rng.uniform(0.2, 1.0, (n, 1)), rng.uniform(0.3, 1.0, (n, 1))
    clean = (np.append(step / (SEEN * STEPS), np.full((n, 1), 1 / SEEN), axis=1) + shift) ** -alpha
    clean = level + fall * clean / (clean[:, :1] - clean[:, -2:-1])
    noise = fall * np.exp(rng.uniform(np.log(0.01), np.log(0.1), (n, 1)))
    value = clean[:, :-1] + noise * rng.standard_normal((n, POINTS))
    return Simulated(step, value, clean[:, -1], noise[:, 0])


def problem_of(made: Simulated) -> Problem:
    """The end of every run asked, without history."""
    runs = [f"{i:05}" for i in range(len(made.step))]
    points = pd.DataFrame({"step": made.step.ravel(), "value": made.value.ravel()})
    points.insert(0, "metric", METRIC.name)
    points.insert(0, "run", np.repeat(runs, POINTS))
    curves = curves_from(points, pd.DataFrame({"run": runs, "last_step": STEPS}), {METRIC.name: METRIC})
    target = pd.DataFrame({"run": runs, "metric": METRIC.name, "step": STEPS})
    problem = Problem(History(curves.select(runs=[])), curves, target, 0)
    assert len(problem.panels) == 1  # latent curves are made before the clock starts
    return problem


def by_scipy(made: Simulated) -> np.ndarray:
    """What the best of ten fits says of the end of the run (n,)."""
    rng = np.random.default_rng(1)

    def law(x: np.ndarray, level: float, log_a: float, log_alpha: float, log_shift: float) -> np.ndarray:
        return level + np.exp(log_a) * (x + np.exp(log_shift)) ** -np.exp(log_alpha)

    ends = np.empty(len(made.step))
    for i, (step, value) in enumerate(zip(made.step, made.value, strict=True)):
        x, best = step / step[-1], np.inf
        for _ in range(STARTS):
            start = [value.min(), rng.normal(-1, 1), rng.uniform(np.log(0.2), np.log(2)), rng.uniform(-4.6, 0)]
            try:
                found = curve_fit(law, x, value, start, maxfev=2000)[0]
            except RuntimeError:
                continue
            misfit = float(((value - law(x, *found)) ** 2).sum())
            if misfit < best:
                best, ends[i] = misfit, law(np.array([1 / SEEN]), *found)[0]
    return ends


def row(name: str, made: Simulated, work: Callable[[], tuple[np.ndarray, np.ndarray | None]]) -> str:
    """One line of the table: rates, the median error, and the coverage of 90 % intervals where there are any."""
    wall, cpu, n = time.perf_counter(), time.process_time(), len(made.step)
    middle, interval = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    off = np.median(np.abs(middle - made.truth) / made.noise)
    inside = "" if interval is None else f"{((interval[0] < made.truth) & (made.truth < interval[1])).mean():.0%}"
    return f"| {name} | {n} | {n / wall:.3g} | {n / cpu:.3g} | {1e3 * cpu / n:.3g} | {off:.2f} | {inside} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=200)
    parser.add_argument("--scipy", type=int, default=20, help="curves that curve_fit gets, which is slow")
    called = parser.parse_args()
    print("| forecaster | curves | a second | a CPU second | CPU ms a curve | error / noise | coverage of 90 % |")
    print("| --- |" + " ---: |" * 6)
    for own in (False, True):
        made = simulate(called.curves, own=own)
        problem = problem_of(made)
        STRUCTURAL.latent(problem_of(simulate(1, own=own)))

        def ours(problem: Problem = problem) -> tuple[np.ndarray, np.ndarray]:
            draws = STRUCTURAL.latent(problem).draws
            return np.median(draws, axis=1), np.quantile(draws, [0.05, 0.95], axis=1)

        print(row(f"structural, {'steps of their own' if own else 'shared steps'}", made, ours))
    few = simulate(called.scipy, own=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        print(row(f"scipy curve_fit, {STARTS} starts", few, lambda: (by_scipy(few), None)))
    cold = subprocess.run([sys.executable, "-c", COLD], cwd=sys.path[0], check=True, capture_output=True, text=True)
    ready, first, cpu = map(float, cold.stdout.split())
    print(f"\nCold start: imports and tables {ready:.1f} s, first forecast {first:.2f} s; {cpu:.1f} CPU-s in all.")


if __name__ == "__main__":
    main()

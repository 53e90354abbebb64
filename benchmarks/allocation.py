"""The best size at a budget from Chinchilla's points: the classic law against Epoch's grid of starts, and `optimal`.

python benchmarks/allocation.py [--starts 4500] [--out FOLDER]

PREDICTDYN_DATA names the folder with `chinchilla_points`. The five highest losses of 245 are dropped, and tokens are
compute / (6 size). The objective is the sum of Huber losses (delta 1e-3) of log residuals. Seconds are of one CPU.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from predictdyn.laws import law_of
from predictdyn.laws.classic import DELTA, classic_law
from predictdyn.laws.optimal import optimal

DROPPED = 5
BUDGETS = (1e21, 1e23, 1e25)
REPEATS = 20


def points() -> pd.DataFrame:
    """240 runs: params, tokens, loss."""
    file = Path(os.environ["PREDICTDYN_DATA"]) / "chinchilla_points" / "svg_extracted_data.csv"
    table = pd.read_csv(file).sort_values("loss", kind="stable").iloc[:-DROPPED].sort_index()
    params, flops = table["Model Size"], table["Training FLOP"]
    return pd.DataFrame({"params": params, "tokens": flops / (6 * params), "loss": table["loss"]}).reset_index(
        drop=True
    )


def grid_of_starts(runs: pd.DataFrame, most: int) -> tuple[float, int]:
    """The best objective over Epoch's grid of starts, each polished by BFGS with the exact gradient."""
    logs, u = np.log(runs[["params", "tokens"]].to_numpy()), np.log(runs["loss"].to_numpy())

    def objective(p: np.ndarray) -> tuple[float, np.ndarray]:
        a, b, e, alpha, beta = p
        terms = np.stack([a - alpha * logs[:, 0], b - beta * logs[:, 1], np.full(len(u), e)])
        top = terms.max(axis=0)
        parts = np.exp(terms - top)
        total = parts.sum(axis=0)
        residual = top + np.log(total) - u
        size = np.abs(residual)
        value = np.where(size <= DELTA, 0.5 * size**2, DELTA * (size - 0.5 * DELTA)).sum()
        slope = np.clip(residual, -DELTA, DELTA) / total * parts
        moved = np.array(
            [slope[0].sum(), slope[1].sum(), slope[2].sum(), -(slope[0] @ logs[:, 0]), -(slope[1] @ logs[:, 1])]
        )
        return float(value), moved

    axes = [
        np.arange(0, 26, 5.0),
        np.arange(0, 26, 5.0),
        np.arange(-1, 1.1, 0.5),
        np.arange(0, 2.1, 0.5),
        np.arange(0, 2.1, 0.5),
    ]
    starts = list(itertools.product(*axes))
    best = np.inf
    for start in starts[:most]:
        best = min(best, float(minimize(objective, np.array(start), jac=True, method="BFGS", tol=1e-10).fun))
    return best, len(starts[:most])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--starts", type=int, default=4500)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    runs = points()
    columns = [runs[name].to_numpy() for name in ("params", "tokens", "loss")]
    took = []
    for _ in range(REPEATS):
        begun = time.process_time()
        quick = classic_law(*columns, resampled=0)
        took.append(time.process_time() - begun)
    print(f"objective {quick.objective:.7f} in {np.median(took):.4f} CPU-s (median of {REPEATS})")
    begun = time.process_time()
    best, n = grid_of_starts(runs, given.starts)
    grid = time.process_time() - begun
    print(
        f"objective {best:.7f} from {n} starts of BFGS in {grid:.1f} CPU-s: {grid / np.median(took):.0f} times as long"
    )
    law = classic_law(*columns)
    tables = [
        law.parameters().assign(by="classic, sizes drawn again"),
        law.optimum(BUDGETS).assign(by="classic, sizes drawn again"),
    ]
    begun = time.process_time()
    mixture = law_of(runs, "loss")
    print(f"law of all structures in {time.process_time() - begun:.1f} CPU-s")
    for uncertainty in ("posterior", "bootstrap"):
        begun = time.process_time()
        plan = optimal(mixture, BUDGETS, uncertainty=uncertainty)
        print(f"optimal, {uncertainty}: {time.process_time() - begun:.1f} CPU-s", *plan.notes, sep="\n  ")
        tables += [plan.table.assign(by=f"law, {uncertainty}"), plan.exponents.assign(by=f"law, {uncertainty}")]
    table = pd.concat(tables, ignore_index=True)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(given.out / "allocation.csv", index=False)


if __name__ == "__main__":
    main()

"""Simulation-based calibration of the structures of laws: do 90 % intervals hold 90 % of the numbers that made a table?

python benchmarks/laws_calibration.py [--tables 100] [--out DIR]

Numbers are drawn from a structure's prior, a table of 48 runs is simulated from them with Student-t noise, and the
structure is fitted to it: by the normal approximation at the mode, and by importance sampling. Counted is how often
intervals hold the true numbers, and the true value of a run ten times beyond the largest one. Ranks of the truths
among the draws would be uniform (Talts et al. 2018, arXiv:1804.06788). Negative controls: tables of noise, of one
size, and of runs of which a third are logged on another scale, with the whole mixture. Prints Markdown; --out adds CSV
and a figure.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn.laws import law_of
from predictdyn.laws.design import Design, Scene, design_for
from predictdyn.laws.inputs import Encoded
from predictdyn.laws.posterior import FREEDOM, mode_of
from predictdyn.laws.sampling import importance_sample
from predictdyn.laws.structures import structures_for

RUNS, NOISE, SPREAD = 48, 0.01, 1.5
BEYOND = np.log(10.0)
LEVELS = (0.05, 0.95)
KINDS = {"two inputs": (2, 0), "three inputs": (3, 0), "proportions": (1, 4)}


def rows_of(rng: np.random.Generator, logs: int, shares: int, n: int) -> Encoded:
    proportions = rng.dirichlet(np.ones(shares) * 2.0, n) if shares else np.zeros((n, 0))
    return Encoded(SPREAD * rng.uniform(-1.7, 1.7, (n, logs)), proportions, np.zeros(n, dtype=int))


def one(design: Design, logs: int, shares: int, seed: int) -> list[dict[str, object]]:
    """What the intervals of one simulated table hold."""
    rng = np.random.default_rng(seed)
    numbers = design.mean + np.linalg.solve(design.whitener, rng.standard_normal(len(design.mean)))
    encoded = rows_of(rng, logs, shares, RUNS)
    far = rows_of(rng, logs, shares, 1)
    far = replace(far, logs=np.full((1, logs), encoded.logs.max() + BEYOND / max(logs, 1)))
    matrix, there = design.matrix(encoded), design.matrix(far)
    clean = design.values(matrix, numbers[None])[0]
    u = clean + NOISE * max(float(clean.std()), 0.05) * rng.standard_t(FREEDOM, RUNS)
    truth = float(design.values(there, numbers[None])[0, 0])
    mode = mode_of(design, matrix, u, seed=seed)
    sample = importance_sample(design, matrix, u, mode, seed=seed)
    root = np.linalg.cholesky(mode.covariance + 1e-12 * np.diag(np.diag(mode.covariance)))
    normal = mode.numbers + rng.standard_normal((1000, len(numbers))) @ root.T
    found = []
    used = sample.numbers if sample.trusted else normal
    for how, drawn in (("normal", normal), ("importance, if trusted", used)):
        low, high = np.quantile(drawn, LEVELS, axis=0)
        ends = np.quantile(design.values(there, drawn)[:, 0], LEVELS)
        found.append(
            {
                "structure": design.structure.name,
                "draws": how,
                "trusted": sample.trusted,
                "numbers": float(((low <= numbers) & (numbers <= high)).mean()),
                "ten times beyond": float(ends[0] <= truth <= ends[1]),
                "rank": float((design.values(there, drawn)[:, 0] < truth).mean()),
            }
        )
    return found


def calibration(tables: int) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for kind, (logs, shares) in KINDS.items():
        plain = rows_of(np.random.default_rng(0), logs, shares, RUNS)
        centres = np.zeros(logs)
        scene = Scene(0.5, 1.0, np.full(logs, SPREAD), centres, np.full(logs, 1.7 * SPREAD), 1, "numbers")
        for structure in structures_for(plain, centres):
            if structure.saturation is None:
                design = design_for(structure, scene)
                for seed in range(tables):
                    rows += [{"inputs": kind, **row} for row in one(design, logs, shares, seed)]
    return pd.DataFrame(rows)


def controls(tables: int) -> pd.DataFrame:
    """Coverage and width of the mixture where no law holds, ten times beyond the largest run."""
    rows = []
    for seed in range(tables):
        rng = np.random.default_rng(seed)
        size = 10 ** rng.uniform(6, 8, 30)
        new = pd.DataFrame({"size": [1e9], "data": [1e11]})
        for name, y, truth in (
            ("noise", 3 + 0.2 * rng.standard_normal(30), 3 + 0.2 * rng.standard_normal()),
            ("a third on another scale", (2 + 60 * size**-0.3) * rng.choice([1, 1, 1.3], 30), 2 + 60 * 1e9**-0.3),
        ):
            table = pd.DataFrame({"size": size, "data": 10 ** rng.uniform(9, 10, 30), "y": y})
            low, high = np.quantile(law_of(table, "y", towards=new, seed=seed).draws(new)[0], LEVELS)
            rows.append({"control": name, "held": low <= truth <= high, "width in sds": (high - low) / y.std()})
        table = pd.DataFrame({"size": 1e7 * np.ones(30), "data": 10 ** rng.uniform(9, 10, 30)})
        y = 2 + 60 * 1e7**-0.3 + 400 * table["data"] ** -0.3 + 0.01 * rng.standard_normal(30)
        law = law_of(table.assign(y=y), "y", towards=new, seed=seed)
        low, high = np.quantile(law.draws(new)[0], LEVELS)
        truth = 2 + 60 * 1e9**-0.3 + 400 * 1e11**-0.3
        rows.append({"control": "one size", "held": low <= truth <= high, "width in sds": (high - low) / y.std()})
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    lines = [[*table.index.names, *table.columns], ["---"] * (table.index.nlevels + len(table.columns))]
    for name, row in table.iterrows():
        lines.append([*(name if isinstance(name, tuple) else (name,)), *(f"{value:.2f}" for value in row)])
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def figure(rows: pd.DataFrame, path: Path) -> None:
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    for ax, (how, some) in zip(axes, rows.groupby("draws", sort=False), strict=True):
        ax.hist(some["rank"], bins=np.linspace(0, 1, 21), color="#4c72b0")
        ax.axhline(len(some) / 20, color="0.3", linewidth=1)
        ax.set(title=f"{how} draws", xlabel="rank of the truth, ten times beyond", ylabel="tables")
        ax.spines[["top", "right"]].set_visible(False)
    fig.savefig(path)
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = calibration(asked.tables)
    columns = ["numbers", "ten times beyond", "trusted"]
    print(markdown(rows.groupby(["inputs", "draws"], sort=False)[columns].mean()))
    worst = rows[rows["draws"] != "normal"].groupby(["inputs", "structure"])[columns].mean()
    print("\nthe five worst structures\n")
    print(markdown(worst.sort_values("ten times beyond").head(5)))
    refused = controls(max(asked.tables // 10, 3))
    print("\nnegative controls\n")
    print(markdown(refused.groupby("control", sort=False)[["held", "width in sds"]].mean()))
    if asked.out is not None:
        asked.out.mkdir(parents=True, exist_ok=True)
        rows.to_csv(asked.out / "laws_calibration.csv", index=False)
        figure(rows, asked.out / "laws_calibration.svg")


if __name__ == "__main__":
    main()

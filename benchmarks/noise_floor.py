"""What knowing how other seeds of a recipe ended would be worth, beside what forecasters reached, by kind and cutoff.

python benchmarks/noise_floor.py BACKTEST DATA [--forecasters auto]

BACKTEST is a folder of `predictdyn backtest` over all seeds of a suite, whole recipes held out; DATA the suite. "Other
seeds" is an oracle: the mean of the latent ends of the run's other seeds, with what the same guess misses on the other
recipes as its error. It sees nothing of the run itself. A forecaster that has seen part of the run may pass it, but
what is left then is mostly the luck of the seed. Skill is over the best baseline of the cell, as in verdicts.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn.backtest import summary
from predictdyn.curves import Curves
from predictdyn.forecast import LEVELS
from predictdyn.forecasters import BASELINES
from predictdyn.loaders import tidy
from predictdyn.scales import scale_for
from predictdyn.scores import crps

ORACLE = "other seeds"


def oracle(rows: pd.DataFrame, curves: Curves) -> pd.DataFrame:
    """Rows of a forecaster, answered anew by the other seeds of each run's recipe; those without any are left out."""
    found = []
    for (metric, _), group in rows.groupby(["metric", "cutoff"], sort=False):
        group = group[group["truth"].notna()].reset_index(drop=True)
        scale = scale_for(curves.metrics[metric], group["truth"].to_numpy())
        z = scale.latent(group["truth"].to_numpy())
        recipe = group["run"].map(curves.runs["family"]).to_numpy(dtype=object)
        _, code, count = np.unique(recipe, return_inverse=True, return_counts=True)
        total = np.bincount(code, weights=z)[code]
        several = count[code] > 1
        mean = np.where(several, (total - z) / np.maximum(count[code] - 1, 1), np.nan)
        missed = z - mean
        for i in np.flatnonzero(several):
            draws = scale.value(mean[i] + missed[several & (code != code[i])])
            quantiles = dict(zip([f"q{level:g}" for level in LEVELS], np.quantile(draws, LEVELS), strict=True))
            score = float(crps(group.loc[[i], "truth"].to_numpy(), draws[None])[0])
            found.append({**group.loc[i], **quantiles, "forecaster": ORACLE, "status": "ok", "crps": score})
    return pd.DataFrame(found)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backtest", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--forecasters", default="auto")
    called = parser.parse_args()
    curves, names = tidy.load(called.data), called.forecasters.split(",")
    rows = pd.read_parquet(called.backtest / "forecasts.parquet")
    known = oracle(rows[rows["forecaster"] == BASELINES[0]], curves)
    if known.empty:
        parser.error("no run of the backtest has another seed of its recipe in it")
    asked = pd.MultiIndex.from_frame(known[["run", "metric", "cutoff"]])
    rows = rows[pd.MultiIndex.from_frame(rows[["run", "metric", "cutoff"]]).isin(asked)]
    order = ["metric", "cutoff", "run"]
    every = pd.concat([rows, known]).sort_values(["forecaster", *order], kind="stable")
    table = summary.resolved(every, curves.runs["family"], BASELINES)
    found = summary.verdicts(table, [*names, ORACLE], BASELINES, seed=0)
    cells = found.set_index(["kind", "cutoff", "forecaster"])
    print(f"| kind | seen | best baseline | {' | '.join([*names, ORACLE])} |")
    print("| --- " * (3 + len(names) + 1) + "|")
    for kind, cutoff in found[["kind", "cutoff"]].drop_duplicates().itertuples(index=False):
        of = [cells.loc[kind, cutoff, name] for name in (*names, ORACLE)]
        said = [f"{one['skill']:+.2f} ({one['skill_lo']:+.2f} to {one['skill_hi']:+.2f})" for one in of]
        print(f"| {kind} | {cutoff:.0%} | {of[0]['best_baseline']} | {' | '.join(said)} |")


if __name__ == "__main__":
    main()

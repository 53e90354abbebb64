"""The noise floor of a suite: how far the final value of each metric scatters between seeds of one recipe.

python datasets/noise.py datasets/digits          reads data/ in that folder and writes noise.csv there
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

NAMES = ("seed", "baseline")  # columns of runs.csv that tell seeds of one recipe apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path, help="folder of the suite")
    parser.add_argument("--markdown", action="store_true", help="print the table of outcomes as in the data card")
    arguments = parser.parse_args()
    data = arguments.suite / "data"
    if not (data / "points.parquet").exists():
        parser.error(f"no points.parquet in {data}: name the folder of a suite, such as datasets/digits")
    runs = pd.read_csv(data / "runs.csv", index_col="run")
    metrics = pd.read_csv(data / "metrics.csv", index_col="metric")
    table = noise_floor(pd.read_parquet(data / "points.parquet"), runs)
    table.insert(0, "kind", metrics.kind)
    table = table.loc[[metric for metric in metrics.index if metric in table.index]]
    table.to_csv(arguments.suite / "noise.csv", float_format="%.4g")
    if not arguments.markdown:
        print(table.to_string(float_format="{:.3g}".format))
        return
    print("| metric | kind | recipes | seed sd | median | sampling sd | spread |")
    print("| --- " * 7 + "|")
    for metric, row in table[~table.kind.isin(["signal", "schedule"])].iterrows():
        numbers = (f"{row[name]:.3f}" for name in ("seed_sd", "seed_sd_median", "sampling_sd", "spread"))
        print(f"| {metric} | {row.kind} | {row.recipes} |", " | ".join(numbers).replace("nan", ""), "|")


def noise_floor(points: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per metric: recipes, seed_sd, seed_sd_median, sampling_sd, spread, all in the metric's units.

    recipes: how many have two seeds or more, all with a final value. seed_sd: root mean square over them of the sd
    (n - 1) between seeds. seed_sd_median: the median of these sds, which diverged recipes do not move. sampling_sd:
    root mean square of the logged stderr, the part of the scatter owed to a finite number of test items (they are
    shared by all runs, so between seeds this part mostly cancels). spread: sd over recipes of the mean final value,
    what there is to forecast.
    """
    settings = [name for name in runs.columns if name not in NAMES]
    recipe = runs.groupby(settings, dropna=False).ngroup()
    seeds = recipe.map(recipe.value_counts())
    final = points[(points.step == points.run.map(runs.last_step)) & (points.run.map(seeds) > 1)]
    final = final.assign(recipe=final.run.map(recipe), seeds=final.run.map(seeds))
    rows = []
    for metric, values in final.groupby("metric", sort=True):
        recipes = values.groupby("recipe").value
        complete = recipes.size() == values.groupby("recipe").seeds.first()
        sd, mean = recipes.std()[complete], recipes.mean()[complete]
        # A diverged but finite loss can be 1e30, so root mean squares run over the middle: |mean| below 1e6.
        usual = mean.abs() < 1e6
        rows.append(
            {
                "metric": metric,
                "recipes": int(usual.sum()),
                "seed_sd": _root_mean_square(sd[usual]),
                "seed_sd_median": sd[usual].median(),
                "sampling_sd": _root_mean_square(values.stderr[values.value.abs() < 1e6].dropna()),
                "spread": mean[usual].std(),
            }
        )
    return pd.DataFrame(rows).set_index("metric")


def _root_mean_square(values: pd.Series) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")


if __name__ == "__main__":
    main()

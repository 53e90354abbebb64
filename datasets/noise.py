"""The noise floor: how far the final value of each metric scatters between seeds of one recipe.

python datasets/digits/noise.py            reads data/ beside this file and writes noise.csv there
"""

from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent


def main() -> None:
    data = HERE / "data"
    table = noise_floor(pd.read_parquet(data / "points.parquet"), pd.read_csv(data / "runs.csv", index_col="run"))
    table.to_csv(HERE / "noise.csv", float_format="%.4g")
    print(table.to_string(float_format="{:.3g}".format))


def noise_floor(points: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per metric: families, seed_sd, seed_sd_median, sampling_sd, spread, all in the metric's units.

    families: recipes with the final value of every seed. seed_sd: root mean square over them of the sd (n - 1) between
    seeds. seed_sd_median: the median of these sds, which diverged recipes do not move. sampling_sd: root mean square of
    the logged stderr, the part of the scatter owed to a finite number of images (test images are shared by all runs, so
    between seeds this part mostly cancels). spread: sd over recipes of the mean final value, what there is to forecast.
    """
    final = points[points.step == points.run.map(runs.last_step)]
    final = final.assign(family=final.run.map(runs.family))
    seeds = runs.groupby("family").size()
    rows = []
    for metric, values in final.groupby("metric", sort=True):
        families = values.groupby("family").value
        complete = families.size() == seeds.reindex(families.size().index)
        sd, mean = families.std()[complete], families.mean()[complete]
        # A diverged but finite loss can be 1e30, so root mean squares run over the middle: |mean| below 1e6.
        usual = mean.abs() < 1e6
        rows.append(
            {
                "metric": metric,
                "families": int(usual.sum()),
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

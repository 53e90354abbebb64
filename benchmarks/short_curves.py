"""Single curves of few points: is a forecast near, and do its intervals hold, where nothing else is known?

python benchmarks/short_curves.py [--runs 12] [--seed 0] [--forecaster auto]

Runs of tinylm and digits, drawn by lot, each by itself. Of what is seen of a run (15, 30 or 60 %) 4, 7 or 12 evenly
spaced points are kept of each metric. Prints by number of points: forecasts, the mean absolute error (all metrics lie
between 0 and a few units), and how often 90 % intervals hold the end.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd

import predictdyn as pdyn
from predictdyn.curves import Curves

METRICS = {
    "tinylm": ("validation_loss", "validation_accuracy", "train_loss"),
    "digits": ("test_loss", "test_accuracy"),
}
SEEN, POINTS = (0.15, 0.3, 0.6), (4, 7, 12)


def thinned(curve: pd.DataFrame, last: float, n: int) -> pd.DataFrame | None:
    """So many points of a curve up to a step, None where there are fewer."""
    seen = curve[(curve["step"] > 0) & (curve["step"] <= last)].sort_values("step")
    return seen.iloc[np.linspace(0, len(seen) - 1, n).round().astype(int)] if len(seen) >= n else None


def asked(one: Curves, metrics: tuple[str, ...], forecaster: str) -> list[tuple[int, float, bool]]:
    """Of one run: the number of points, the error of the median, and whether the interval held, for each forecast."""
    end = float(one.runs["last_step"].iloc[0])
    curves = {name: curve for name, curve in one.points.groupby("metric") if name in metrics}
    truth = {name: float(curve.sort_values("step")["value"].iloc[-1]) for name, curve in curves.items()}
    found = []
    for share in SEEN:
        for n in POINTS:
            kept = [some for curve in curves.values() if (some := thinned(curve, share * end, n)) is not None]
            if not kept:
                continue
            begun = Curves(pd.concat(kept, ignore_index=True), one.runs, one.metrics)
            rows = pdyn.forecast(begun, forecaster=forecaster).summary()
            for name, low, middle, high in rows[["metric", "5 %", "median", "95 %"]].itertuples(index=False):
                found.append((n, abs(middle - truth[name]), bool(low <= truth[name] <= high)))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forecaster", default="auto")
    called = parser.parse_args()
    warnings.simplefilter("ignore")
    random, rows = np.random.default_rng(called.seed), []
    for data, metrics in METRICS.items():
        curves = pdyn.load_dataset(data)
        for run in random.choice(sorted(curves.runs.index), called.runs, replace=False):
            rows += asked(curves.select(runs={str(run)}), metrics, called.forecaster)
    table = pd.DataFrame(rows, columns=["points", "error", "held"])
    print("| points | forecasts | mean error | 90 % intervals hold |\n| --- | ---: | ---: | ---: |")
    for name, some in [*table.groupby("points"), ("all", table)]:
        print(f"| {name} | {len(some)} | {some['error'].mean():.4f} | {some['held'].mean():.0%} |")


if __name__ == "__main__":
    main()

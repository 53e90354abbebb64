"""Pooling over finished runs: Pythia and Gemstones with whole sizes held out, as a Markdown table.

python benchmarks/pooling.py [pythia] [gemstones] [--out rows.parquet] [--skip pooled] [--also law,auto]
    [--metrics GLOB,...] [--split "next size"]

PREDICTDYN_DATA names the folder with a copy of the data sets. "sizes out": each size in turn is forecast from all
others; "next size": each from those below it, of which there are two at least. The score is the mean over the nine
deciles of twice the pinball loss, on the latent scale, and beside it in the metric's units with every metric in units
of its own (the median over the baselines); skill is against the best baseline by kind and cutoff. "capability, clear":
of the tasks of Pythia that are no part of MMLU, the accuracies whose values at the end differ between runs, in sd, by
more than three times their mean logged error.
"""

from __future__ import annotations

import argparse
import glob
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import open_data
import pandas as pd

from predictdyn import datasets
from predictdyn.backtest.folds import folds, groups
from predictdyn.backtest.plan import Plan
from predictdyn.curves import OUTCOMES, Curves
from predictdyn.forecast import Model, seed_for
from predictdyn.forecasters import fit, forecaster
from predictdyn.forecasters.pooled import Pooled
from predictdyn.loaders import load
from predictdyn.problem import History, Problem

BASELINES = ("last_value", "mean_change", "mean_outcome")
MEMBERS = ("pooled_change", "pooled_curves")
DECILES = np.arange(1, 10) / 10
CUTOFFS = {"pythia": tuple(step / 143000 for step in (1000, 13000, 33000, 63000)), "gemstones": (0.1, 0.25, 0.5)}
FEWEST_SIZES = 2


def pinball(truth: np.ndarray, deciles: np.ndarray) -> np.ndarray:
    """Mean over nine deciles (n, 9) of twice the pinball loss at truths (n,): (n,)."""
    off = truth[:, None] - deciles
    loss: np.ndarray = 2 * np.maximum(DECILES * off, (DECILES - 1) * off).mean(axis=1)
    return loss


def curves_of(name: str) -> Curves:
    """The outcomes of one of the two data sets."""
    if name == "pythia":
        return datasets.load("pythia_evals")
    with tempfile.TemporaryDirectory() as folder:
        open_data.make([name], Path(folder))
        return load(Path(folder) / name)


def plans(curves: Curves, cutoffs: tuple[float, ...]) -> Iterator[tuple[str, Plan]]:
    """Sizes held out one by one, then every size but the two smallest forecast from those below."""
    yield "sizes out", Plan(cutoffs=cutoffs, max_folds=len(curves.runs))
    size = curves.runs["params"]
    for one in sorted(size.unique())[FEWEST_SIZES:]:
        names = {what: tuple(map(glob.escape, curves.runs.index[rows])) for what, rows in
                 (("runs", size <= one), ("test", size == one))}  # fmt: skip
        yield "next size", Plan(cutoffs=cutoffs, **names)


def rows_of(curves: Curves, plan: Plan, ways: dict[str, Model]) -> Iterator[pd.DataFrame]:
    """Scores of every forecaster, and of the equal mixture of the two, on all folds of a plan."""
    if plan.runs:
        curves = curves.select(
            runs=[glob_name for glob_name in curves.runs.index if glob.escape(glob_name) in plan.runs]
        )
    for group in groups(curves, plan):
        history = History(group.history)
        fitted = {
            name: fit(way, group.history, seed=seed_for(plan.seed, group.name, name)) for name, way in ways.items()
        }
        for fold in folds(curves, group, plan):
            draws, seconds, fell = {}, {}, {}
            for name, one in fitted.items():
                began = time.perf_counter()
                found = one.forecast(fold.observed, fold.target, seed=seed_for(plan.seed, group.name, name))
                draws[name], seconds[name] = found.draws, time.perf_counter() - began
                fell[name] = found.status != "ok"
            draws["mixture"] = np.concatenate([draws[name] for name in MEMBERS], axis=1)
            seconds["mixture"] = sum(seconds[name] for name in MEMBERS)
            fell["mixture"] = np.all([fell[name] for name in MEMBERS], axis=0)
            problem = Problem(history, fold.observed, fold.target, plan.seed)
            scale = {panel.metric: panel.scale for panel in problem.panels}
            for name, drawn in draws.items():
                level = np.quantile(drawn, [*DECILES, 0.05, 0.95], axis=1).T
                latent = np.array([scale[m].latent(row) for m, row in zip(fold.target["metric"], level, strict=True)])
                pairs = zip(fold.target["metric"], fold.truth, strict=True)
                truth = np.array([float(scale[m].latent(np.array(value))) for m, value in pairs])
                yield fold.target.assign(
                    forecaster=name, cutoff=fold.cutoff, latent=pinball(truth, latent[:, :9]),
                    units=pinball(fold.truth, level[:, :9]),
                    held=(fold.truth >= level[:, 9]) & (fold.truth <= level[:, 10]),
                    seconds=seconds[name], fell_back=fell[name],
                )  # fmt: skip


def clear(curves: Curves) -> list[str]:
    """The accuracies of Pythia that differ between runs, at the end, by more than three times their logged error."""
    end = curves.points[curves.points["metric"].str.endswith(" acc")].groupby(["run", "metric"]).tail(1)
    by_metric = end[~end["metric"].str.contains("hendrycks")].groupby("metric")
    return sorted(by_metric["value"].std().index[by_metric["value"].std() > 3 * by_metric["stderr"].mean()])


def table(rows: pd.DataFrame, names: list[str]) -> list[str]:
    """Markdown rows: skill on the latent scale / in metric units / share of truths held, of every forecaster."""
    base = rows[rows["forecaster"].isin(BASELINES)]
    unit = base.groupby(["split", "cutoff", "metric", "forecaster"])["units"].mean().groupby(level=[0, 1, 2]).median()
    key = pd.MultiIndex.from_frame(rows[["split", "cutoff", "metric"]])
    rows = rows.assign(units=rows["units"].to_numpy() / unit.reindex(key).to_numpy())
    lines = []
    for (split, part, cutoff), some in rows.groupby(["split", "part", "cutoff"], sort=False):
        mean = some.groupby("forecaster")[["latent", "units", "held"]].mean()
        best = mean.loc[list(BASELINES), ["latent", "units"]].min()
        cells = [
            f"{1 - mean.loc[name, 'latent'] / best['latent']:.2f} / {1 - mean.loc[name, 'units'] / best['units']:.2f}"
            f" / {mean.loc[name, 'held']:.0%}"
            for name in names
        ]
        reference = mean.loc[list(BASELINES), "latent"].idxmin()
        lines.append(f"| {split} | {part} | {cutoff:.1%} | {reference} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*CUTOFFS], metavar="NAME", help=", ".join(CUTOFFS))
    parser.add_argument("--skip", nargs="*", default=[], help="forecasters to leave out")
    parser.add_argument("--also", default="", help="other forecasters, with commas between")
    parser.add_argument("--metrics", default="*", help="globs of metrics, with commas between")
    parser.add_argument("--split", help="sizes out, or next size; default both")
    parser.add_argument("--out", type=Path, help="file to keep the rows in")
    called = parser.parse_args()
    if unknown := [name for name in called.names if name not in CUTOFFS]:
        parser.error(f"no data set {unknown[0]!r}; known are {', '.join(CUTOFFS)}")
    if not Path(os.environ.get("PREDICTDYN_DATA", "")).is_dir() or not os.environ.get("PREDICTDYN_DATA"):
        parser.error("PREDICTDYN_DATA must name the folder of public data sets")
    ways: dict[str, Model] = {name: forecaster(name) for name in (*BASELINES, *MEMBERS)}
    ways["pooled"] = Pooled(sampler="importance")
    also = [name for name in called.also.split(",") if name]
    ways |= {name: forecaster(name) for name in also}
    ways = {name: way for name, way in ways.items() if name not in called.skip}
    shown = [name for name in ("pooled", *MEMBERS, *also) if name in ways] + ["mixture"]
    kept = []
    for name in called.names:
        curves = curves_of(name)
        names = [metric for metric in curves.metrics if curves.metrics[metric].kind in OUTCOMES]
        names = [one for one in names if any(fnmatchcase(one, part) for part in called.metrics.split(","))]
        curves = curves.select(metrics=names)
        parts = []
        for split, plan in plans(curves, CUTOFFS[name]):
            if called.split not in (None, split):
                continue
            parts += [one.assign(split=split) for one in rows_of(curves, plan, ways)]
            print(f"{name}: {split} done", file=sys.stderr)
        rows = pd.concat(parts, ignore_index=True)
        rows["part"] = rows["metric"].map({metric: curves.metrics[metric].kind for metric in names})
        some = rows[rows["metric"].isin(clear(curves))].assign(part="capability, clear") if name == "pythia" else None
        rows = pd.concat([some, rows], ignore_index=True)
        kept.append(rows.assign(data=name))
        print(f"\n{name}: skill on the latent scale / in metric units / share of truths held by 90 % intervals\n")
        print(f"| split | part | seen | best baseline | {' | '.join(shown)} |")
        print("| --- | --- | ---: | --- |" + " ---: |" * len(shown))
        print("\n".join(table(rows, shown)))
        once = rows.drop_duplicates(["split", "forecaster", "cutoff", "run"])
        spent = once.groupby("forecaster")["seconds"].mean().round(2).to_dict()
        fell = rows.groupby("forecaster")["fell_back"].mean().round(3).to_dict()
        print(f"\nSeconds a forecast of a fold: {spent}; share that fell back: {fell}")
    if called.out:
        pd.concat(kept, ignore_index=True).to_parquet(called.out, index=False)


if __name__ == "__main__":
    main()

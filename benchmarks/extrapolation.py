"""Extrapolate single curves to points that a public data set hides, by published laws and by forecasters of predictdyn.

python benchmarks/extrapolation.py [--forecasters A,B] [--data DIR] [--inner R,...] [--out FILE.csv]

Each curve is given up to the data set's own split; the error of a curve is the RMSLE of its hidden points,
sqrt(mean((ln forecast - ln truth)^2)), where a forecaster's point is its median. With --inner the hidden points are
thrown away: what is seen is cut again, at R times its last step, and the rest of it is asked, so that choices can be
made without looking at the test. Prints a Markdown table; --out keeps the error of every curve.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import classic
import numpy as np
import open_data
import pandas as pd

from predictdyn.backtest.plan import Plan
from predictdyn.backtest.run import run
from predictdyn.curves import Curves
from predictdyn.forecast import Model
from predictdyn.forecasters import forecaster
from predictdyn.loaders import tidy

DATA_SETS = ("revisiting_lang", "revisiting_inet_10", "bnsl")
FEWEST = 4  # points that a curve must show after an inner cut
SMALLEST = 1e-4  # in the geometric mean: a best-so-far error that stays as it was is no feat
# Where M4 ends; a loss has no such end, and one above 1 is outside the law.
M4_ENDS = {"BB error": {"err_0": 1.001, "upper": 1.0}, "IC error": {"upper": 1.0}}


class Split(NamedTuple):
    """The curves of one data set with their column ``seen``; ``inner`` is NaN under the split of the data set."""

    data: str
    inner: float
    curves: Curves


def inner(curves: Curves, share: float) -> Curves:
    """The seen points alone, cut again: seen up to ``share`` times the last seen step of each curve.

    A curve that would show fewer than four points is left out.

    >>> from predictdyn.curves import curves_from
    >>> points = pd.DataFrame({"run": "a", "metric": "loss", "step": range(1, 11), "value": 1.0, "seen": [1] * 9 + [0]})
    >>> inner(curves_from(points), 0.5).points["seen"].tolist()
    [True, True, True, True, False, False, False, False, False]
    """
    points = curves.points[curves.points["seen"]].copy()
    curve = points.groupby(["run", "metric"], sort=False)
    points["seen"] = points["step"] <= share * curve["step"].transform("max")
    enough = points.groupby(["run", "metric"], sort=False)["seen"].transform("sum") >= FEWEST
    points = points[enough]
    last = points.groupby("run")["step"].max()
    runs = curves.runs.loc[last.index].assign(last_step=last)
    return Curves(points, runs, curves.metrics)


def by_classics(split: Split) -> pd.DataFrame:
    """The error and the seconds of every classic extrapolator on every curve."""
    rows = []
    for (name, metric), curve in split.curves.points.groupby(["run", "metric"], sort=False):
        seen, hidden = curve[curve["seen"]], curve[~curve["seen"]]
        x, x_new = seen["step"].to_numpy(float), hidden["step"].to_numpy(float)
        y, truth = seen["value"].to_numpy(), hidden["value"].to_numpy()
        for method, extrapolate in classic.EXTRAPOLATORS.items():
            if method == "M4":
                ends = M4_ENDS.get(str(metric), {})
                if y.max() >= ends.get("err_0", 1.0):
                    continue
                extrapolate = partial(classic.m4, **ends)
            began = time.perf_counter()
            answer = extrapolate(x, y, x_new)
            spent = time.perf_counter() - began
            rows.append([method, name, metric, len(x), len(x_new), rmsle(answer, truth), np.nan, np.nan, spent])
    return _labelled(rows, split)


def by_forecasters(split: Split, forecasters: Sequence[Model], *, workers: int, seed: int) -> pd.DataFrame:
    """The error, the share of points inside the 90 % interval and the share that fell back, of every curve."""
    plan = Plan(split="seen", targets="hidden", seed=seed)
    done = run(split.curves, plan, forecasters, (), workers=workers)
    shown = split.curves.points.groupby(["run", "metric"])["seen"].sum()
    n_curves = len(shown)
    rows = []
    for (method, name, metric), asked in done.rows.groupby(["forecaster", "run", "metric"], sort=False):
        truth = asked["truth"].to_numpy()
        held = ((asked["q0.05"] <= truth) & (truth <= asked["q0.95"])).mean()
        fell = (asked["status"] != "ok").mean()
        error = rmsle(asked["q0.5"].to_numpy(), truth)
        spent = done.seconds[str(method)] / n_curves
        rows.append([method, name, metric, shown[name, metric], len(asked), error, held, fell, spent])
    return _labelled(rows, split)


def rmsle(answer: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square of ln answer - ln truth, both (n,); infinite where an answer is not a positive finite number.

    >>> rmsle(np.array([1.0, 0.0]), np.array([1.0, 1.0]))
    inf
    """
    if not (np.isfinite(answer) & (answer > 0)).all():
        return float("inf")
    return float(np.sqrt(np.mean((np.log(answer) - np.log(truth)) ** 2)))


def table(errors: pd.DataFrame) -> list[str]:
    """A Markdown table, one row for each method; blank where a method has no answer or no intervals."""
    head = ["language mean", "language geometric mean", "inet_10 mean", "bnsl", "infinite", "90 % held"]
    head += ["held, language", "held, inet_10", "fell back", "seconds"]
    lines = ["| | " + " | ".join(head) + " |", "| --- |" + " ---: |" * len(head)]
    for method, mine in errors.groupby("method", sort=False):
        part = {name: mine[mine["data"] == name] for name in DATA_SETS}
        language, inet, addition = (part[name] for name in DATA_SETS)
        middle = np.exp(np.log(language["rmsle"].clip(lower=SMALLEST)).mean())
        cells = [_number(language["rmsle"].mean()), _number(middle), _number(inet["rmsle"].mean())]
        cells += [_number(addition["rmsle"].mean()), str(int(np.isinf(mine["rmsle"]).sum()))]
        cells += [_share(some["held"].mean()) for some in (mine, language, inet)]
        cells += [_share(mine["fell_back"].mean()), f"{mine['seconds'].sum():.1f}"]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def splits(data: Path, shares: Sequence[float]) -> list[Split]:
    """The data sets that are in a folder, under their own split or under each inner one."""
    found = [name for name in DATA_SETS if (data / name).is_dir()]
    if not found:
        raise ValueError(f"{data} has none of {', '.join(DATA_SETS)}; make them with benchmarks/open_data.py")
    whole = {name: tidy.load(data / name) for name in found}
    if not shares:
        return [Split(name, np.nan, curves) for name, curves in whole.items()]
    cut = [Split(name, share, inner(curves, share)) for share in shares for name, curves in whole.items()]
    for split in cut:
        left_out = len(whole[split.data].runs) - len(split.curves.runs)
        if left_out:
            print(f"{split.data} at {split.inner:g}: {left_out} curve(s) too short, left out", file=sys.stderr)
    return [split for split in cut if len(split.curves.points)]


def _labelled(rows: list[list[object]], split: Split) -> pd.DataFrame:
    columns = ["method", "run", "metric", "n_seen", "n_hidden", "rmsle", "held", "fell_back", "seconds"]
    found = pd.DataFrame(rows, columns=columns)
    found.insert(1, "data", split.data)
    found.insert(2, "inner", split.inner)
    return found


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4f}"


def _share(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.1%}"


def _shares(words: str) -> list[float]:
    shares = [float(word) for word in words.split(",") if word]
    if not all(0 < share < 1 for share in shares):
        raise argparse.ArgumentTypeError(f"shares are in (0, 1), got {words!r}")
    return shares


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forecasters", default="auto", help="names with commas between; blank: classics alone")
    parser.add_argument("--data", type=Path, help="folder of tidy folders (default: made aside by open_data)")
    parser.add_argument("--inner", type=_shares, default=[], metavar="R,...", help="cut what is seen again, at R of it")
    parser.add_argument("--no-classics", action="store_true", help="forecasters alone")
    parser.add_argument("--out", type=Path, help="CSV file to write: the error of every curve")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    called = parser.parse_args()
    names = [name for name in called.forecasters.split(",") if name]
    if called.no_classics and not names:
        parser.error("--no-classics needs --forecasters")
    try:
        chosen = [forecaster(name) for name in names]
        with TemporaryDirectory() as aside:
            if called.data is None:
                open_data.make(list(DATA_SETS), Path(aside))
            todo = splits(called.data or Path(aside), called.inner)
        parts = [] if called.no_classics else [by_classics(split) for split in todo]
        if chosen:
            parts += [by_forecasters(split, chosen, workers=called.workers, seed=called.seed) for split in todo]
    except ValueError as error:
        parser.error(str(error))
    errors = pd.concat(parts, ignore_index=True)
    if called.out:
        errors.to_csv(called.out, index=False)
    print("\n".join(table(errors)))


if __name__ == "__main__":
    main()

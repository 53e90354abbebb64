"""The trust under a forecast beside a backtest of the same data: do replays inside a history promise too much?

python benchmarks/trust.py DATA [BACKTEST] [--cutoffs 0.1,0.25,0.5] [--metrics M,...] [--families N] [--seed S]

BACKTEST is a folder that `predictdyn backtest DATA --forecasters auto` wrote; without one the backtest is made here.
`auto` replays all runs of DATA at each cutoff, and the skill that it would show under a forecast stands beside that of
the backtest, with 90 % intervals. With --families N families by lot are all that there is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import predictdyn as pdyn
from predictdyn import loaders
from predictdyn.backtest.compare import Lots
from predictdyn.backtest.plan import needed_metrics
from predictdyn.backtest.trust import ReplayedAt, _row
from predictdyn.curves import Curves
from predictdyn.forecasters._fitted import one_thread
from predictdyn.forecasters._replay_scores import read_scores
from predictdyn.forecasters.ensemble import AUTO
from predictdyn.problem import History


def promised(curves: Curves, metrics: dict[str, str], cutoffs: list[float]) -> pd.DataFrame:
    """What trust says: one row a metric (name: kind) and cutoff."""
    history, rows = History(curves), []
    for cutoff in cutoffs:
        with one_thread():
            learnt = AUTO._from_history(history, cutoff, farther=False, seed=0)
        at = ReplayedAt(cutoff, False, read_scores(learnt))
        for name, kind in metrics.items():
            if (kind, name) in at.scores:
                rows.append({"metric": name, "cutoff": cutoff, **_row(at, kind, name, Lots(), 0)})
    return pd.DataFrame(rows)


def main() -> None:
    """Print a table and the mean difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("backtest", type=Path, nargs="?")
    parser.add_argument("--cutoffs", default="0.1,0.25,0.5")
    parser.add_argument("--metrics", default="")
    parser.add_argument("--families", type=int)
    parser.add_argument("--seed", type=int, default=0)
    called = parser.parse_args()
    curves, cutoffs = loaders.load(called.data), [float(one) for one in called.cutoffs.split(",")]
    curves = needed_metrics(curves, tuple(called.metrics.split(",")) if called.metrics else ())
    if called.families:
        names = np.sort(curves.runs["family"].unique())
        chosen = np.random.default_rng(called.seed).permutation(names)[: called.families]
        curves = curves.select(runs=curves.runs.index[curves.runs["family"].isin(chosen)])
    if called.backtest:
        scores = pd.read_csv(called.backtest / "scores.csv")
    else:
        asked = called.metrics.split(",") if called.metrics else None
        scores = pdyn.backtest(curves, cutoffs=cutoffs, metrics=asked, forecasters="auto").scores
    scores = scores[(scores["forecaster"] == "auto") & scores["cutoff"].isin(cutoffs)]
    said = promised(curves, dict(zip(scores["metric"], scores["kind"], strict=True)), cutoffs)
    both = said.merge(scores, on=["metric", "cutoff"], suffixes=("", "_held"))
    print("| metric | cutoff | skill by trust | by the backtest | covers, trust | backtest |\n" + 6 * "| --- " + "|")
    for _, row in both.iterrows():
        own, held = (
            f"{row['skill' + of]:+.2f} ({row['skill_lo' + of]:+.2f} to {row['skill_hi' + of]:+.2f})"
            for of in ("", "_held")
        )
        covers = f"{row['coverage_90']:.0%} | {row['coverage_90_held']:.0%}"
        print(f"| {row['metric']} | {row['cutoff']:g} | {own} | {held} | {covers} |")
    print(f"median of skill by trust less skill by the backtest: {(both['skill'] - both['skill_held']).median():+.3f}")


if __name__ == "__main__":
    main()

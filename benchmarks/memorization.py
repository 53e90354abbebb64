"""Memorization of Pythia, leave-one-size-out: the last memorized share, and which of today's sequences stay.

python benchmarks/memorization.py

PREDICTDYN_DATA names the folder with a copy of the data sets. From the checkpoints up to 63,000 and up to 83,000 steps
of 143,000: the memorized share at the end, by forecasters; and recall and precision, at the end, of the sequences that
are memorized now, by those of the other sizes at the same step. Recall and precision of the size in question need its
end: they are hidden at every step, and no forecaster is given them. A size is a run and a family of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import open_data
import pandas as pd

from predictdyn.backtest.folds import folds, groups
from predictdyn.backtest.plan import Plan
from predictdyn.curves import Curves
from predictdyn.forecast import DRAWS, seed_for
from predictdyn.forecasters import BASELINES, fit
from predictdyn.loaders import load
from predictdyn.scores import covered, crps

LAST_STEP = 143000
STEPS = (63000, 83000)
FORECASTERS = (*BASELINES, "curve_ensemble", "pooled_change", "pooled_curves")
SHARE = "memorized_share"

# (ln parameters, logit) of other sizes, ln parameters of the size in question -> its logit.
Rule = Callable[[np.ndarray, np.ndarray, float], float]


def line(size: np.ndarray, logit: np.ndarray, new: float) -> float:
    """A straight line in ln parameters, by least squares."""
    return float(np.polyfit(size - new, logit, 1)[1])


def mean(size: np.ndarray, logit: np.ndarray, new: float) -> float:
    """The mean of the other sizes."""
    return float(logit.mean())


def nearest(size: np.ndarray, logit: np.ndarray, new: float) -> float:
    """That of the nearest size in ln parameters."""
    return float(logit[np.argmin(np.abs(size - new))])


RULES: dict[str, tuple[Rule, int]] = {"mean of sizes": (mean, 1), "nearest size": (nearest, 1), "line": (line, 2)}


def by_sizes(
    rule: Rule, used: int, size: np.ndarray, value: np.ndarray, new: float, rng: np.random.Generator
) -> np.ndarray:
    """Draws (s,) of a share of a new size from those (n,) of others, by a rule on the logit that uses so many numbers.

    The spread is the root mean square of the errors of leaving one size out, with the tails of n less the numbers used.
    """
    logit = np.log(value / (1 - value))
    rest = [np.arange(len(size)) != i for i in range(len(size))]
    errors = np.array([rule(size[keep], logit[keep], size[i]) - logit[i] for i, keep in enumerate(rest)])
    noise = np.sqrt(np.mean(errors**2)) * rng.standard_t(len(size) - used, DRAWS)
    return 1 / (1 + np.exp(-rule(size, logit, new) - noise))


def scored(what: str, way: str, step: int, size: str, truth: float, draws: np.ndarray) -> dict[str, object]:
    """A row: absolute error of the median, CRPS, whether the 90 % interval holds the truth."""
    y, drawn = np.array([truth]), draws[None]
    return {
        "what": what, "way": way, "step": step, "size": size, "error": abs(float(np.median(draws)) - truth),
        "crps": float(crps(y, drawn)[0]), "held": float(covered(y, drawn)[0]),
    }  # fmt: skip


def of_shares(curves: Curves, seed: int) -> Iterator[dict[str, object]]:
    """Rows of the last memorized share: no forecaster sees recall or precision, of whichever run."""
    plan = Plan(cutoffs=tuple(step / LAST_STEP for step in STEPS), max_folds=len(curves.runs), seed=seed)
    for group in groups(curves.select(metrics=[SHARE]), plan):
        for name in FORECASTERS:
            fitted = fit(name, group.history, seed=seed_for(seed, group.name, name))
            for fold in folds(group.curves, group, plan):
                found = fitted.forecast(fold.observed, fold.target, seed=seed_for(seed, group.name, name))
                step = round(fold.cutoff * LAST_STEP)
                for run, truth, draws in zip(fold.target["run"], fold.truth, found.draws, strict=True):
                    yield scored(SHARE, name, step, str(run), float(truth), draws)


def of_sequences(curves: Curves, seed: int) -> Iterator[dict[str, object]]:
    """Rows of recall and precision at the end of what is memorized now, from those of the other sizes."""
    size = np.log(curves.runs["parameters"].astype(float))
    for metric in ("recall", "precision"):
        some = curves.points[curves.points["metric"] == metric]
        at = some.pivot_table("value", "step", "run")
        for step in STEPS:
            for run in at.columns:
                known = at.loc[step].drop(run)
                others = size[known.index].to_numpy()
                for name, (rule, used) in RULES.items():
                    rng = np.random.default_rng(seed_for(seed, metric, step, run))
                    draws = by_sizes(rule, used, others, known.to_numpy(), float(size[run]), rng)
                    yield scored(metric, name, step, str(run), float(at.loc[step, run]), draws)


def table(rows: pd.DataFrame) -> list[str]:
    """Markdown: means over sizes; in each part the best CRPS comes last."""
    lines = [
        "| what | seen | by | sizes | mean absolute error | CRPS | 90 % held |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for (what, step), part in rows.groupby(["what", "step"], sort=False):
        means = part.groupby("way", sort=False).agg(
            n=("size", "size"), error=("error", "mean"), crps=("crps", "mean"), held=("held", "mean")
        )
        lines += [
            f"| {what} | {step:,} | {way} | {row.n:.0f} | {row.error:.3%} | {row.crps:.3%} | {row.held:.0%} |"
            for way, row in means.sort_values("crps", ascending=False).iterrows()
        ]
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    called = parser.parse_args()
    if not Path(os.environ.get("PREDICTDYN_DATA") or "-").is_dir():
        parser.error("PREDICTDYN_DATA must name the folder of public data sets")
    with tempfile.TemporaryDirectory() as folder:
        open_data.make(["pythia_memorization"], Path(folder))
        curves = load(Path(folder) / "pythia_memorization")
    rows = pd.DataFrame([*of_shares(curves, called.seed), *of_sequences(curves, called.seed)])
    print("\n".join(table(rows.sort_values(["step"], kind="stable").sort_values("what", kind="stable"))))


if __name__ == "__main__":
    main()

"""Compute saved by stop rules at equal regret, replayed on pools of finished runs of digits, tinylm and grokking.

    python benchmarks/stop_rules.py digits --out stop_rules        # under eight minutes; also tinylm, grokking
    python benchmarks/stop_rules.py --summary --out stop_rules

A pool is `POOL` runs of held-out families that train side by side; the one with the best end is wanted. The forecast
of each run at each rung is made by a model that learnt from the runs of all other families. Every rule has one or two
settings. They are chosen on the pools of the other folds: those that save most compute with a mean regret of at most
`REGRET` of the best end. So no setting is chosen by the pools on which it is scored.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

import predictdyn as pdyn
from predictdyn.curves import Curves
from predictdyn.forecasters import fit
from predictdyn.watch.stop import ForecastRule, LastValue, MedianRule, Patience, SuccessiveHalving, replay

RUNGS = np.array([0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
POOL, POOLS, REGRET = 10, 60, 0.01  # runs of a pool, pools of a fold, share of the best end
DRAWS = 200
METRIC = {"digits": "test_accuracy", "tinylm": "validation_loss", "grokking": "test_accuracy"}
FOLDS = {"digits": 4, "tinylm": 6, "grokking": 4}
MODEL = "pooled_change"


def healthy(name: str) -> Curves:
    """The runs without an intervention."""
    curves = pdyn.load_dataset(name)
    runs = curves.runs
    if "intervention" in runs:
        curves = curves.select(runs=runs.index[runs["intervention"].eq("none")])
    return curves


def folds(name: str, curves: Curves, seed: int) -> list[list[str]]:
    """Families dealt into folds; a fold is its runs."""
    families = np.random.default_rng(seed).permutation(sorted(curves.runs["family"].unique()))
    parts = [set(families[i :: FOLDS[name]]) for i in range(FOLDS[name])]
    return [list(curves.runs.index[curves.runs["family"].isin(part)]) for part in parts]


def forecasts(name: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Of each run (n): its fold, family, values (n, r) at the rungs, draws (n, r, s) of its end, end (n,)."""
    curves, metric = healthy(name), METRIC[name]
    sign = -1.0 if curves.metrics[metric].better == "lower" else 1.0
    asked = [m for m, one in curves.metrics.items() if m == metric or one.kind in ("signal", "schedule")]
    curves = curves.select(metrics=asked)
    ends = {run: curves.series[run, metric].value[-1] for run in curves.runs.index}
    columns: dict[str, list] = {"run": [], "fold": [], "family": [], "values": [], "draws": [], "end": [], "scale": []}
    for number, runs in enumerate(folds(name, curves, seed)):
        history = curves.select(runs=curves.runs.index.difference(runs))
        fitted = fit(MODEL, history)
        scale = float(np.median([abs(ends[run]) for run in history.runs.index]))
        own = curves.select(runs=runs)
        target = pd.DataFrame({"run": runs, "metric": metric, "step": own.runs.loc[runs, "last_step"].to_numpy(float)})
        values, draws = np.full((len(runs), len(RUNGS)), np.nan), np.empty((len(runs), len(RUNGS), DRAWS))
        for rung, share in enumerate(RUNGS):
            seen = own.truncate(float(share))
            values[:, rung] = [seen.series[run, metric].value[-1] for run in runs]
            draws[:, rung] = fitted.forecast(seen, target, seed=seed).draws[:, :DRAWS]
        columns["run"] += runs
        columns["fold"] += [number] * len(runs)
        columns["family"] += list(own.runs.loc[runs, "family"])
        columns["values"] += list(sign * values)
        columns["draws"] += list(sign * draws)
        columns["end"] += [sign * ends[run] for run in runs]
        columns["scale"] += [scale] * len(runs)
        print(f"{name}: fold {number}, {len(runs)} runs, history {len(history.runs)}", flush=True)
    return {key: np.array(column) for key, column in columns.items()}


def pools(found: dict[str, np.ndarray], seed: int) -> dict[int, list[np.ndarray]]:
    """Rows of each pool by fold: `POOL` runs drawn at random, of as many families as there are."""
    rng = np.random.default_rng(seed)
    made: dict[int, list[np.ndarray]] = {}
    for number in np.unique(found["fold"]):
        rows = np.flatnonzero(found["fold"] == number)
        family = found["family"][rows]
        for _ in range(POOLS):
            mixed = rng.permutation(rows)
            if len(np.unique(family)) >= POOL:  # one run of a family, as in a search
                _, first = np.unique(found["family"][mixed], return_index=True)
                mixed = rng.permutation(mixed[first])
            made.setdefault(int(number), []).append(mixed[:POOL])
    return made


def rules(scale: float) -> dict[str, list]:
    """Every rule with its settings."""
    shares = (0.0, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)
    warmups = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
    margins = (0.0, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5)
    return {
        "forecast": [ForecastRule(share * scale) for share in shares],
        "ASHA": [SuccessiveHalving(eta, first) for eta, first in product((1.5, 2, 3, 4), warmups)],
        "median": [MedianRule(level, first) for level, first in product((0.1, 0.25, 0.5, 0.75, 0.9), warmups)],
        "patience": [Patience(rungs, gain * scale) for rungs, gain in product((1, 2, 3, 4, 6), (0.0, 0.005, 0.02))],
        "last value": [LastValue(margin * scale, first) for margin, first in product(margins, warmups)],
    }


def scored(name: str, out: Path, seed: int = 0) -> None:
    """Forecasts, replays and the choice of settings; results as JSON."""
    begin = time.time()
    found = forecasts(name, seed)
    made = pools(found, seed)
    rows = []
    for number, several in made.items():
        scale = float(found["scale"][found["fold"] == number][0])
        for kind, variants in rules(scale).items():
            for variant, rule in enumerate(variants):
                for place, pool in enumerate(several):
                    done = replay(rule, RUNGS, found["values"][pool], found["draws"][pool], found["end"][pool])
                    best = abs(found["end"][pool].max())
                    rows.append((number, place, kind, variant, done.saved, done.regret / max(best, 1e-12)))
    table = pd.DataFrame(rows, columns=["fold", "pool", "rule", "variant", "saved", "regret"])
    out.mkdir(parents=True, exist_ok=True)
    table.to_parquet(out / f"{name}.parquet", index=False)
    about = {"runs": len(found["run"]), "seconds": round(time.time() - begin, 1), "folds": len(made)}
    (out / f"{name}.json").write_text(json.dumps(about), encoding="utf-8")
    for line in summary(name, out):
        print(line)


def summary(name: str, out: Path) -> list[str]:
    """Saved compute and regret of each rule, its settings chosen on the other folds, with 90 % intervals over pools."""
    table = pd.read_parquet(out / f"{name}.parquet")
    about = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
    lines = [f"{name}: {about['runs']} runs, {about['folds']} folds of {POOLS} pools, {about['seconds']} s"]
    for kind, own in table.groupby("rule", sort=False):
        parts = []
        for number in own["fold"].unique():
            rest = own[own["fold"] != number].groupby("variant")[["saved", "regret"]].mean()
            fine = rest[rest["regret"] <= REGRET]
            choice = fine["saved"].idxmax() if len(fine) else rest["regret"].idxmin()
            parts.append(own[(own["fold"] == number) & (own["variant"] == choice)])
        chosen = pd.concat(parts)
        every = own.groupby("variant")[["saved", "regret"]].mean()
        fine = every[every["regret"] <= REGRET]
        hindsight = fine["saved"].max() if len(fine) else float("nan")
        draws = [chosen["saved"].sample(len(chosen), replace=True, random_state=i).mean() for i in range(500)]
        low, high = np.quantile(draws, (0.05, 0.95))
        lines.append(
            f"  {kind:<11} saved {chosen['saved'].mean():.3f} [{low:.3f}, {high:.3f}]  "
            f"regret {chosen['regret'].mean():.4f}  lost {(chosen['regret'] > REGRET).mean():.3f}  "
            f"saved by the best setting in hindsight {hindsight:.3f}"
        )
    return lines


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*METRIC, []], default=[])
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    for name in asked.names or METRIC:
        if not asked.summary:
            scored(name, asked.out)
        elif (asked.out / f"{name}.parquet").exists():
            print("\n".join(summary(name, asked.out)))


if __name__ == "__main__":
    main()

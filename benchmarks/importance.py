"""Which features of the early part carry a forecast: permutation importance by group, with intervals.

python benchmarks/importance.py DATA [--runs GLOB] [--metrics GLOB,...] [--cutoffs F,...] [--forecaster extra_trees]

The columns are those of `forecasters.regressions`; families are dealt into five folds, and the regression fitted on
four answers the fifth twice: as it is, and with the columns of one group (docs/features.md) exchanged between its runs
at random. Importance is the share of the absolute error, on the latent scale, that the group then adds: 1 - error /
error without it. A group that others can stand in for has little. Finished runs teach as they looked at the cutoff, at
no other origin.
"""

from __future__ import annotations

import argparse
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn import features, loaders
from predictdyn.backtest.compare import Skill, skill
from predictdyn.covariates import encoder_for
from predictdyn.curves import OUTCOMES, Curves
from predictdyn.forecasters import forecaster
from predictdyn.forecasters.regressions import FEWEST_RUNS, FeatureRegression, columns_for, robust_units
from predictdyn.problem import History, Problem

FOLDS = 5
SHUFFLES = 4


def errors(curves: Curves, one: FeatureRegression, metric: str, progress: float, table: pd.DataFrame) -> pd.DataFrame:
    """Absolute latent errors of every finished run: columns run, family, `whole`, and one a group left to chance."""
    nothing, final = curves.select(runs=[]), curves.runs["last_step"]
    target = pd.DataFrame({"run": curves.runs.index, "metric": metric, "step": final.to_numpy()})
    panel = Problem(History(nothing), curves, target, 0).panels[0]
    ended = {run: curve for run, curve in panel.observed.items() if curve.reaches(1.0)}
    begun = {run: curve.truncate(progress) for run, curve in ended.items()}
    runs = [run for run, curve in begun.items() if len(curve.progress)]
    if len(runs) < FEWEST_RUNS:
        return pd.DataFrame()
    columns = columns_for(table, metric, own=one.own)
    x = table.loc[runs, columns].to_numpy()
    group = np.array([features.group(column, curves.metrics) for column in columns])
    change = np.array([ended[run].latent[-1] - begun[run].latent[-1] for run in runs])
    family = curves.runs.loc[runs, "family"].to_numpy()
    rng = np.random.default_rng(0)
    names = rng.permutation(np.unique(family))
    found = pd.DataFrame({"run": runs, "family": family, "whole": 0.0} | dict.fromkeys(np.unique(group), 0.0))
    for fold in range(FOLDS):
        test = np.isin(family, names[fold::FOLDS])
        made = robust_units(x[~test])
        model = one.make(family[~test], 0)
        model.fit(made.apply(x[~test]), change[~test])
        found.loc[test, "whole"] = np.abs(model.predict(made.apply(x[test])) - change[test])
        for name in np.unique(group):
            for _ in range(SHUFFLES):
                mixed, of_group = x[test].copy(), group == name
                mixed[:, of_group] = mixed[rng.permutation(len(mixed))][:, of_group]
                off = np.abs(model.predict(made.apply(mixed)) - change[test])
                found.loc[test, name] += off / SHUFFLES
    return found.assign(metric=metric, kind=curves.metrics[metric].kind)


def main() -> None:
    """Print a Markdown table: importance of each group by kind and cutoff."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", default="*")
    parser.add_argument("--metrics", default="*")
    parser.add_argument("--cutoffs", default="0.1")
    parser.add_argument("--forecaster", default="extra_trees")
    called = parser.parse_args()
    one = forecaster(called.forecaster)
    if not isinstance(one, FeatureRegression):
        parser.error(f"{called.forecaster} is no regression on features")
    curves = loaders.load(called.data)
    curves = curves.select(runs=[run for run in curves.runs.index if fnmatch(run, called.runs)])
    globs = called.metrics.split(",")
    metrics = [name for name, metric in curves.metrics.items() if metric.kind in OUTCOMES]
    metrics = [name for name in metrics if any(fnmatch(name, glob) for glob in globs)]
    if not len(curves.runs) or not metrics:
        parser.error(f"{called.data} has no outcome {called.metrics!r} of runs {called.runs!r}")
    for cutoff in map(float, called.cutoffs.split(",")):
        scales, encoder = features.scales_for(curves.truncate(cutoff)), encoder_for(curves.runs)
        table = features.table(curves, cutoff, scales=scales, encoder=encoder)
        rows = pd.concat([errors(curves, one, metric, cutoff, table) for metric in metrics])
        found = {kind: importance(of_kind) for kind, of_kind in rows.groupby("kind", sort=False)}
        print(markdown(pd.DataFrame(found), cutoff))


def importance(rows: pd.DataFrame) -> dict[str, Skill]:
    """The importance of each group, over the metrics of one kind."""
    # In units of its own error every metric counts alike.
    scale = 1 / rows.groupby("metric")["whole"].transform("mean").to_numpy()
    run, family = (rows["run"] + " " + rows["metric"]).to_numpy(), rows["family"].to_numpy()
    found = {}
    for name in rows.columns.difference(["run", "family", "whole", "metric", "kind"]):
        # A metric that has no such features loses nothing without them.
        without = rows[name].fillna(rows["whole"])
        found[name] = skill(rows["whole"].to_numpy() * scale, without.to_numpy() * scale, run, family, seed=0)
    return found


def markdown(table: pd.DataFrame, cutoff: float) -> str:
    """Groups down, the most important first, kinds across."""
    order = table.map(lambda one: one.skill).mean(axis=1).sort_values(ascending=False).index
    words = table.loc[order].map(lambda one: f"{one.skill:+.3f} ({one.low:+.3f} to {one.high:+.3f})")
    head = [f"| at {cutoff:.0%} | " + " | ".join(map(str, words.columns)) + " |", "| --- " * (1 + words.shape[1]) + "|"]
    return "\n".join([*head, *(f"| {group} | " + " | ".join(row) + " |" for group, row in words.T.items())]) + "\n"


if __name__ == "__main__":
    main()

"""`auto` beside itself with `capability_from_loss` as one more member, on accuracies of runs that log a loss.

python benchmarks/capability_member.py --out FOLDER [--data gemstones,pythia,tinylm] [--cutoffs 0.2]
    [--groups N]

gemstones  four accuracies of each model, from all others.
pythia     six accuracies of the four models of 1.4B and 2.8B, from the smaller ones.
tinylm     three accuracies of each size (two seeds of each recipe), from the other sizes.

Reads the folders of $PREDICTDYN_DATA. What lies in FOLDER is not computed again. Prints the CRPS without and with the
member, the share that it saves with its 90 % interval over families, and the coverage of 90 % intervals, as Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from capability import EARLY, MEMBER, PYTHIA, SMALL, scored
from pooling import curves_of

from predictdyn import datasets
from predictdyn.backtest.compare import skill
from predictdyn.backtest.plan import matching_runs
from predictdyn.curves import Curves
from predictdyn.datasets import bundled
from predictdyn.forecasters import fit
from predictdyn.forecasters.ensemble import AUTO
from predictdyn.loaders import tidy

WITH_MEMBER = replace(
    AUTO, name=f"auto with {MEMBER}", members=(*AUTO.members, MEMBER), prior_weights=(*AUTO.prior_weights, 10.0),
    larger_weights=(*AUTO.larger_weights, 10.0),
)  # fmt: skip
LARGEST = (1.4e9, 2.8e9)
TINY = ["copying_accuracy", "counting_accuracy", "bracket_accuracy"]


def asked(data: str) -> Iterator[tuple[str, Curves, list[str], list[str]]]:
    """Groups of runs that are held out together: a name, the curves of them and of their history, runs, outcomes."""
    if data == "gemstones":
        curves = curves_of("gemstones")
        for run in map(str, curves.runs.index):
            yield run, curves, [run], EARLY
    elif data == "pythia":
        curves = datasets.load("pythia_evals")
        size = curves.runs["params"]
        for one in LARGEST:
            out = [str(run) for run in size.index[size == one]]
            yield f"{one:.3g}", curves.select(runs=[*size.index[size < SMALL], *out]), out, list(PYTHIA)
    elif data == "tinylm":
        curves = tidy.load(bundled("tinylm"))
        curves = curves.select(runs=matching_runs(curves, ("*-s1", "*-s2")))
        family = curves.runs["family"]
        for name in sorted(set(family)):
            yield name, curves, [str(run) for run in family.index[family == name]], TINY
    else:
        raise SystemExit(f"no data {data!r}")


def rows_of(curves: Curves, out: list[str], names: list[str], cutoff: float) -> pd.DataFrame:
    """The ends of runs, from a share of each, by both ensembles fitted on all other runs."""
    history, own = curves.select(runs=[run for run in curves.runs.index if run not in out]), curves.select(runs=out)
    rows = [(run, name, own.series[run, name].step[-1]) for run in out for name in names if (run, name) in own.series]
    target = pd.DataFrame(rows, columns=["run", "metric", "step"])
    truth = np.array([own.series[run, name].value[-1] for run, name, _ in rows])
    found = []
    for model in (AUTO, WITH_MEMBER):
        began = time.perf_counter()
        answer = fit(model, history).forecast(own.truncate(cutoff), target, seed=0)
        spent = time.perf_counter() - began
        table = scored(f"from {cutoff:.0%}", model.name, truth, answer.draws, target["run"])
        family = own.runs["family"].loc[target["run"]].to_numpy(dtype=object)
        found.append(table.assign(metric=target["metric"], family=family, seconds=spent))
    return pd.concat(found, ignore_index=True)


def line(data: str, rows: pd.DataFrame, cutoff: float) -> str:
    """A row of the table."""
    inside = (rows["low"] <= rows["truth"]) & (rows["truth"] <= rows["high"])
    wide = rows.assign(inside=inside.astype(float)).pivot_table(
        index=["name", "metric", "family"], columns="method", values=["crps", "inside"]
    )
    ways = (AUTO.name, WITH_MEMBER.name)
    crps, held = ([wide[what, way].astype(float) for way in ways] for what in ("crps", "inside"))
    run, family = (wide.index.get_level_values(level).to_numpy(dtype=object) for level in ("name", "family"))
    gain = skill(crps[1].to_numpy(), crps[0].to_numpy(), run, family, seed=0)
    words = [
        data, f"{cutoff:.0%}", f"{len(wide)} in {len(set(family))}", *(f"{one.mean():.4f}" for one in crps),
        f"{gain.skill:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})", *(f"{one.mean():.0%}" for one in held),
    ]  # fmt: skip
    return f"| {' | '.join(words)} |"


def main() -> None:
    """Forecast group by group, print a line for each data set and cutoff."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", default="gemstones,pythia,tinylm")
    parser.add_argument("--cutoffs", default="0.2")
    parser.add_argument("--groups", type=int, default=None, help="the first so many groups of each data set alone")
    called = parser.parse_args()
    called.out.mkdir(parents=True, exist_ok=True)
    print("| data | seen | forecasts in families | CRPS without | with | saved | coverage without | with |")
    print("| --- | ---: | --- | ---: | ---: | --- | ---: | ---: |")
    for data in called.data.split(","):
        for cutoff in map(float, called.cutoffs.split(",")):
            tables = []
            for name, curves, out, names in islice(asked(data), called.groups):
                file = called.out / f"{data}-{cutoff:g}-{name}.csv"
                if not file.exists():
                    rows_of(curves, out, names, cutoff).to_csv(file, index=False)
                tables.append(pd.read_csv(file))
            print(line(data, pd.concat(tables, ignore_index=True), cutoff), flush=True)


if __name__ == "__main__":
    main()

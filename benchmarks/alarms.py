"""False alarms and catches of `predictdyn.backtest_alarms`, beside rules that people use, on runs left out.

python benchmarks/alarms.py DATA [DATA ...] [--hold-out COLUMN] [--metrics GLOB,...] [--recipes even|odd] [--out DIR]
python benchmarks/alarms.py --show DIR [--recipes even|odd]
python benchmarks/alarms.py --speed [--metrics GLOB,...]
python benchmarks/alarms.py --doubtful

DATA: digits, planted (datasets/digits/planted), tinylm, pythia, modded_nanogpt; PREDICTDYN_DATA names the folder with a
copy of the last two. Every checkpoint of every run that was left out is looked at, by what the other folds teach.

Rules, each with the threshold that the same healthy runs of the other folds set by the same formula
(`watch.threshold`), so that all are asked for the same rate:

nan: an event of numbers that are not finite. median: training loss over the median of the last ten checkpoints.
gradient: gradient norm over that median. cusum: sums of training losses over what a line through the last ten says.
patience: the share of the run since the lowest training loss. --recipes takes every second recipe of digits or planted:
settings were chosen on even ones. --doubtful: of all data sets, the runs without an event that a replay says
may have failed.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from predictdyn import load
from predictdyn.curves import Curves, ended
from predictdyn.datasets import bundled
from predictdyn.effects.pairs import arms
from predictdyn.loaders import tidy
from predictdyn.watch.doubtful import doubtful
from predictdyn.watch.learning import learn
from predictdyn.watch.replay import FOLDS, RATES, AlarmReplay, backtest_alarms, held_out, summed_up, tables
from predictdyn.watch.rules import RULES, paths_of
from predictdyn.watch.troubles import healthy_runs, troubles_of

PLANTED = Path(__file__).parents[1] / "datasets" / "digits" / "planted"
DEAD, LIVED = 2.2, 1.8  # training losses of a run of digits that died, and of one that had lived


class Asked(NamedTuple):
    """Curves, which of their runs went well, and what went wrong with others."""

    curves: Curves
    healthy: list[str]
    troubles: pd.DataFrame


def digits() -> Asked:
    """Baselines as they are; arms as troubles, with the schedule of their baseline, so that each is a surprise."""
    curves = tidy.load(bundled("digits"))
    points = curves.points
    changed = arms(curves.runs)
    rate = points[points["metric"] == "learning_rate"]
    of_baseline = rate.set_index(["run", "step"])["value"]
    mine = points.index[(points["metric"] == "learning_rate") & points["run"].isin(changed.index)]
    keys = zip(points.loc[mine, "run"].map(changed["baseline"]), points.loc[mine, "step"], strict=True)
    points = points.copy()
    points.loc[mine, "value"] = of_baseline.reindex(list(keys)).to_numpy()
    curves = Curves(points, curves.runs, curves.metrics, curves.events)
    wrong = troubles_of(curves)
    died = _died(curves)
    died = died[~died["run"].isin(wrong["run"]) & ~died["run"].isin(changed.index)]
    wrong = pd.concat([wrong, died], ignore_index=True)
    return Asked(curves, [run for run in healthy_runs(curves) if run not in set(died["run"])], wrong)


def _died(curves: Curves) -> pd.DataFrame:
    """Runs that end as if they knew nothing: since when; "never learnt" where they never knew more."""
    rows = []
    for run in curves.runs.index:
        loss = curves.series[run, "train_loss"]
        if loss.value[-1] > DEAD:
            low = np.flatnonzero(loss.value <= DEAD)
            lived = loss.value.min() < LIVED
            at = loss.step[low[-1] + 1] if lived and low[-1] + 1 < len(loss.step) else 0.0
            rows.append((run, "died" if lived else "never learnt", float(at)))
    return pd.DataFrame(rows, columns=["run", "trouble", "at"])


def planted() -> Asked:
    """Troubles as they were planted; of healthy twins, those that spiked by themselves are troubles too."""
    curves = tidy.load(PLANTED)
    return Asked(curves, healthy_runs(curves), troubles_of(curves))


def tinylm() -> Asked:
    """Sizes are families; arms are left out."""
    curves = tidy.load(bundled("tinylm"))
    changed = arms(curves.runs).index
    plain = curves.select(runs=curves.runs.index.difference(changed))
    return Asked(plain, healthy_runs(plain), troubles_of(plain).iloc[:0])


def _public(path: str) -> Asked:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        curves = load(Path(os.environ["PREDICTDYN_DATA"]) / path)
    done = ended(curves)
    curves = curves.select(runs=list(done))
    plain = Curves(curves.points, curves.runs, curves.metrics)  # a log's remarks are no failures of the run
    return Asked(plain, list(done), troubles_of(plain))


DATA: dict[str, Callable[[], Asked]] = {
    "digits": digits, "planted": planted, "tinylm": tinylm,
    "pythia": lambda: _public("pythia_evals"), "modded_nanogpt": lambda: _public("modded_nanogpt/logs"),
}  # fmt: skip


def by_rule(name: str, asked: Asked, *, hold_out: str) -> pd.DataFrame | None:
    """Paths (run, step, p) of a rule; thresholds are of the healthy runs of the other folds."""
    curves = asked.curves
    if name == "nan":
        broken = curves.events[curves.events["what"] == "diverged"]
        return broken[["run", "step"]].assign(p=0.0)
    parts = held_out(curves, hold_out, FOLDS)
    return paths_of(RULES[name], curves, asked.healthy, set(asked.troubles["run"]), parts)


def measured(asked: Asked, *, hold_out: str, resume: Path | None) -> dict[str, AlarmReplay]:
    """The replay of the detector, and of each rule that has its metric."""
    curves, healthy, troubles = asked
    watch = backtest_alarms(
        curves, healthy=healthy, troubles=troubles, hold_out=hold_out, resume=resume, progress=_told
    )  # fmt: skip
    found = {"watch": watch}
    for name in ("nan", *RULES):
        paths = by_rule(name, asked, hold_out=hold_out)
        if paths is not None:
            found[name] = summed_up(curves, paths, healthy, troubles, RATES)
    return found


def _told(done: int, all_: int) -> None:
    print(f"fold {done} of {all_}", flush=True)


def some_recipes(asked: Asked, which: str) -> Asked:
    """Every second recipe."""
    number = asked.curves.runs["family"].str.extract(r"(\d+)$")[0].astype(int)
    keep = set(number.index[number % 2 == ("even", "odd").index(which)])
    return Asked(
        asked.curves.select(runs=list(keep)), [run for run in asked.healthy if run in keep],
        asked.troubles[asked.troubles["run"].isin(keep)],
    )  # fmt: skip


def of_metrics(asked: Asked, globs: str) -> Asked:
    """Some metrics, and schedules."""
    keep = [
        name for name, metric in asked.curves.metrics.items()
        if metric.kind == "schedule" or any(fnmatch(name, glob) for glob in globs.split(","))
    ]  # fmt: skip
    return asked._replace(curves=asked.curves.select(metrics=keep))


def shown(folder: Path, which: str | None) -> str:
    """The tables of all results in a folder, as Markdown; of every second recipe, where that is asked."""
    rates: list[dict[str, Any]] = []
    caught: list[dict[str, Any]] = []
    for file in sorted(folder.glob("*_runs.csv")):
        data, rule = file.name.removesuffix("_runs.csv").rsplit("-", 1)
        runs = pd.read_csv(file, dtype={"trouble": "str", "kind": "str"}).fillna({"trouble": "", "kind": ""})
        if which:
            number = runs["family"].str.extract(r"(\d+)$")[0].astype(int)
            runs = runs[number % 2 == ("even", "odd").index(which)]
        for found, table in zip((rates, caught), tables(runs), strict=True):
            found += [{"data": data, "rule": rule, **row} for row in table.to_dict("records")]  # type: ignore[dict-item]
    lines = [
        "| data | rule | asked | healthy runs | families | rang | measured |",
        "| --- | --- " + "| ---: " * 5 + "|",
    ]
    for row in rates:
        held = f"{row['measured']:.1%} ({row['low']:.1%} to {row['high']:.1%})"
        cells = (row["data"], row["rule"], f"{row['asked']:g}", row["runs"], row["families"], row["rang"], held)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    if not caught:
        return "\n".join(lines)
    catches = pd.DataFrame(caught)
    rules = list(dict.fromkeys(catches["rule"]))
    lines += ["", f"| data | rate | trouble | runs | {' | '.join(rules)} |"]
    lines.append("| --- | ---: | --- | ---: " + "| ---: " * len(rules) + "|")
    for (of, rate, trouble), part in catches.groupby(["data", "rate", "trouble"], sort=False):
        of_rule = part.set_index("rule")
        told = [_cell(of_rule.loc[rule]) if rule in of_rule.index else "" for rule in rules]
        lines.append(f"| {of} | {rate:g} | {trouble} | {int(part['runs'].iloc[0])} | {' | '.join(told)} |")
    return "\n".join(lines)


def _cell(row: pd.Series) -> str:
    if not row["caught"]:
        return "0%"
    lead = "" if np.isnan(row["lead"]) else f" ({row['lead']:+.1%})"
    return f"{row['caught']:.0%}{lead}"


def speed(globs: str) -> str:
    """How long it takes to learn from half of the planted slice, and to look at ten runs of the other half."""
    asked = of_metrics(planted(), globs)
    even, odd = some_recipes(asked, "even"), some_recipes(asked, "odd")
    began = time.process_time()
    detector = learn(even.curves, healthy=even.healthy)
    learnt = time.process_time()
    ten = odd.curves.select(runs=odd.healthy[:10])
    for _ in range(5):
        look = detector.look(ten, {})
    took = (time.process_time() - learnt) / 5
    seen = int(sum(ten.points.groupby("run")["step"].nunique()))
    return (
        f"{len(detector.axes)} metrics; learnt from {len(even.healthy)} runs in {learnt - began:.1f} s; a look at "
        f"{len(look.table)} runs with {seen} checkpoints takes {took:.2f} s: {seen / took:.0f} checkpoints a second"
    )


def doubted() -> str:
    """How many runs that count as healthy are said to end far from the others, as Markdown.

    Of digits it is known which died.
    """
    lines = ["| data | runs that count as healthy | named | died | died and named |", "| --- " + "| ---: " * 4 + "|"]
    suites = {name: tidy.load(bundled(name)) for name in ("digits", "tinylm", "grokking")}
    public = {name: DATA[name]().curves for name in ("pythia", "modded_nanogpt")}
    for name, curves in {**suites, "planted": tidy.load(PLANTED), **public}.items():
        healthy = healthy_runs(curves)
        named = set(doubtful(curves, healthy)["run"])
        died = set(_died(curves)["run"]) & set(healthy) if name == "digits" else set()
        cells = (name, len(healthy), len(named), *((len(died), len(died & named)) if died else ("", "")))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", choices=[*DATA, []])
    parser.add_argument("--hold-out", default="family")
    parser.add_argument("--metrics", default="*")
    parser.add_argument("--recipes", choices=["even", "odd"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", type=Path)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--doubtful", action="store_true")
    arguments = parser.parse_args()
    if arguments.speed:
        print(speed(arguments.metrics))
    if arguments.doubtful:
        print(doubted())
    if arguments.show:
        print(shown(arguments.show, arguments.recipes))
        return
    for name in arguments.data:
        asked = of_metrics(DATA[name](), arguments.metrics)
        asked = some_recipes(asked, arguments.recipes) if arguments.recipes else asked
        label = "_".join([name, *([arguments.recipes] if arguments.recipes else [])])
        label += "" if arguments.hold_out == "family" else f"_{arguments.hold_out}"
        resume = arguments.out / f"{label}.folds" if arguments.out else None
        for rule, found in measured(asked, hold_out=arguments.hold_out, resume=resume).items():
            print(f"\n{label} {rule}\n{found.rates}\n{found.catches}\n" + "\n".join(found.notes))
            if arguments.out:
                arguments.out.mkdir(parents=True, exist_ok=True)
                for table in ("runs", "rates", "catches", "cost"):
                    getattr(found, table).to_csv(arguments.out / f"{label}-{rule}_{table}.csv", index=False)


if __name__ == "__main__":
    main()

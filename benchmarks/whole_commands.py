"""Whole commands, as a user runs them: seconds by the clock and of the processor, and the most memory.

python benchmarks/whole_commands.py [--tasks readme,saved,fit,...] [--package FOLDER ...] [--out FILE]

Each task is a command of `predictdyn` in a process of its own, with the data of this repository; imports, loading and
pages are in it. ``--package`` names checkouts to compare, each a folder with a package `predictdyn` in it (a git
worktree of an older commit, say); every task is run with one after the other, so that figures of one machine and one
hour stand beside each other. The folder in which compiled code is kept is empty before every task, but for `saved` and
`readme again`; `saved` needs `fit others` before it.
``--out`` keeps the table as CSV.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
DIGITS, TINYLM, GROKKING = (str(ROOT / "datasets" / name / "data") for name in ("digits", "tinylm", "grokking"))
README = (
    "forecast", DIGITS, "--runs", "mlp-w64-d2-r000-s1", "--cutoff", "0.25", "--metrics",
    "test_accuracy,accuracy_gap,corrupted_accuracy,memorized_share",
)  # fmt: skip
DIGITS_METRICS = (
    "test_accuracy,accuracy_gap,worst_group_accuracy,corrupted_accuracy,blur_2_accuracy,calibration_error,"
    "memorized_share,test_loss,train_loss"
)
OTHERS = "{others}"  # digits without the run that `README` asks for, so that its model need not be fitted again
RECIPES = "{recipes}"  # the 82 runs of tinylm that no associations were swapped in
AUTO = ("--forecasters", "auto", "--workers", "2", "--quiet")
CUTOFFS = ("--cutoffs", "0.05,0.1,0.25,0.5")


class Task(NamedTuple):
    """A command, the task whose folder it needs as a model, and whether compiled code of tasks before may be used."""

    words: tuple[str, ...]
    model: str = ""
    warm: bool = False


TASKS = {
    "readme": Task((*README, "--quiet")),
    "readme again": Task((*README, "--quiet"), warm=True),
    "fit tinylm": Task(("fit", TINYLM, "--quiet")),
    "fit recipes": Task(("fit", RECIPES, "--quiet")),
    "fit digits": Task(("fit", DIGITS, "--quiet")),
    "fit others": Task(("fit", OTHERS, "--quiet")),
    "saved": Task((*README, "--quiet"), model="fit others", warm=True),
    "demo": Task(("demo", "--quiet")),
    "tinylm": Task(("backtest", TINYLM, "--runs", "*-s?", *CUTOFFS, *AUTO)),
    "grokking": Task(("backtest", GROKKING, "--metrics", "test_accuracy,test_loss,train_loss", *CUTOFFS, *AUTO)),
    "digits": Task(("backtest", DIGITS, "--runs", "*-s[123]", "--metrics", DIGITS_METRICS, *CUTOFFS, *AUTO)),
    "pythia": Task(
        ("backtest", os.environ.get("PREDICTDYN_DATA", "") + "/pythia_evals", "--cutoffs", "0.007,0.091,0.231", *AUTO)
    ),
}


class Cost(NamedTuple):
    """What a command took: seconds by the clock and of the processor, the most memory in GB, exit status."""

    wall: float
    cpu: float
    memory: float
    status: int


def main() -> None:
    """Run the tasks, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="readme,readme again,fit tinylm,demo")
    parser.add_argument("--package", type=Path, action="append", help="default: this checkout")
    parser.add_argument("--out", type=Path)
    called = parser.parse_args()
    names = called.tasks.split(",")
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        parser.error(f"no task {unknown[0]!r}; known are {', '.join(TASKS)}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            for package in called.package or [ROOT]:
                place = Path(folder) / f"{package.resolve()}".replace("/", "_")
                cost = run(name, package.resolve(), place)
                rows.append({"task": name, "package": str(package), **cost._asdict()})
                print(
                    f"{name:<14} {package}: {cost.wall:.1f} s, {cost.cpu:.1f} CPU-s, {cost.memory:.2f} GB"
                    + (f", exit status {cost.status}" if cost.status else ""),
                    flush=True,
                )
                if called.out is not None:
                    pd.DataFrame(rows).to_csv(called.out, index=False)
    print()
    print("| task | package | wall, s | CPU, s | GB |\n| --- | --- | ---: | ---: | ---: |")
    for row in rows:
        print(f"| {row['task']} | {row['package']} | {row['wall']:.1f} | {row['cpu']:.1f} | {row['memory']:.2f} |")


def run(name: str, package: Path, place: Path) -> Cost:
    """One task with one package; what it writes lies under a place of its own."""
    task, out = TASKS[name], place / name.replace(" ", "-")
    cache = place / "cache"
    if not task.warm:
        shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out, ignore_errors=True)
    words = [str(some_runs(place, word)) if word in (OTHERS, RECIPES) else word for word in task.words]
    words += ["--out", str(out)]
    if task.model:
        words += ["--model", str(place / task.model.replace(" ", "-"))]
    return measured(words, package, place, {**os.environ, "PREDICTDYN_CACHE": str(cache)})


def some_runs(place: Path, word: str) -> Path:
    """A folder with all runs of digits but the one that `README` asks for, or with the recipes of tinylm."""
    from predictdyn.loaders import tidy

    folder = place / word.strip("{}")
    if not folder.exists():
        folder.mkdir(parents=True)
        curves = tidy.load(Path(DIGITS if word == OTHERS else TINYLM))
        runs = curves.runs.index
        kept = runs.difference(["mlp-w64-d2-r000-s1"]) if word == OTHERS else runs[~runs.str.contains("-swap")]
        tidy.save(curves.select(runs=kept), folder)
    return folder


def measured(words: Sequence[str], package: Path, place: Path, environment: Mapping[str, str]) -> Cost:
    """What a command of the package in a folder costs, run in another folder."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-c", LAUNCH, *words]
    environment = {**environment, "PYTHONPATH": str(package)}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
    memory = float(done.stdout.rsplit("memory ", 1)[-1].split()[0]) if "memory " in done.stdout else float("nan")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu, memory, done.returncode)


# The command in a process of its own that says at its end how much memory it and its workers took at most.
LAUNCH = """
import atexit, resource, sys
def told():
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print("memory", most / 2**20)
atexit.register(told)
from predictdyn.cli import main
main()
"""

if __name__ == "__main__":
    main()

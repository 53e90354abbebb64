"""Loading many runs: seconds, and the peak of memory, which must not grow with how many there are; then each reader.

python benchmarks/loading.py [--runs 1000] [--metrics 50] [--points 1000] [--workers 1] [--parts]

tensorboardX writes a few event files, and every run is a hard link to one of them, since 1,000 runs of 50 metrics and
1,000 points would be 3 GB. `predictdyn load` turns a tenth of the runs, and all of them, into a tidy folder, each in a
process of its own, whose peak is what the system says of it when it ends (its workers' are not in it).
With --parts every other benchmarks/loading_*.py follows. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
from loading_tensorboard import events

FILES = 8
LOAD = [sys.executable, "-m", "predictdyn", "load"]


class Cost(NamedTuple):
    """Seconds by the clock, and the peak of resident memory in MiB."""

    seconds: float
    peak: float


def runs_in(folder: Path, files: list[Path], runs: int) -> None:
    """Folders of one event file each."""
    for i in range(runs):
        (folder / f"run{i:05d}").mkdir(parents=True)
        file = files[i % len(files)]
        os.link(file, folder / f"run{i:05d}" / file.name)


def load(folder: Path, out: Path, workers: int) -> Cost:
    """One call of the command, in a process of its own."""
    began = time.perf_counter()
    words = [*LOAD, str(folder), "--out", str(out), "--workers", str(workers)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said)
    return Cost(time.perf_counter() - began, used.ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("--runs", 1000), ("--metrics", 50), ("--points", 1000), ("--workers", 1)):
        parser.add_argument(name, type=int, default=number)
    parser.add_argument("--parts", action="store_true")
    given = parser.parse_args()
    print("| runs | metrics | points | seconds | points a second | peak of memory |\n" + "| ---: " * 6 + "|")
    with tempfile.TemporaryDirectory() as name:
        root, files = Path(name), []
        for i in range(min(FILES, given.runs)):
            (root / f"file{i}").mkdir()
            events(root / f"file{i}", given.metrics * given.points, given.metrics)
            files += list((root / f"file{i}").iterdir())
        for runs in (max(1, given.runs // 10), given.runs):
            runs_in(root / f"logs{runs}", files, runs)
            cost = load(root / f"logs{runs}", root / f"out{runs}", given.workers)
            points = pq.read_metadata(root / f"out{runs}" / "points.parquet").num_rows
            if points != runs * given.metrics * given.points:
                raise SystemExit(f"{points} points of {runs} runs came back")
            print(
                f"| {runs:,} | {given.metrics} | {points:,} | {cost.seconds:.1f} | {points / cost.seconds:,.0f} | "
                f"{cost.peak:.0f} MiB |"
            )
    for part in sorted(Path(__file__).parent.glob("loading_*.py")) if given.parts else ():
        print(f"\n{part.name}\n", flush=True)
        subprocess.run([sys.executable, str(part)], check=True)


if __name__ == "__main__":
    main()

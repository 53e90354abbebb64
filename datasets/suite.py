"""What every suite shares: its command line, resuming, and the tidy folder that it writes.

A suite is a folder beside this file whose make.py names its groups of runs and knows how to train one group.
"""

import argparse
import hashlib
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

# Read when JAX first computes: one thread, so that sums are taken in one order and the machine is shared.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

DECIMALS = 6  # kept of metrics that have an upper bound; of the others 17 significant bits, relative error below 8e-6
KEPT_BITS = 17
AFTER_THE_FACT = {"figures.py", "noise.py"}  # code that changes no number of the data
Tables = tuple[pd.DataFrame, pd.DataFrame]  # points, events


class Metric(NamedTuple):
    """A row of metrics.csv; None where unknown or without meaning.

    chance: the level of a model that knows nothing; label: what pages call the metric, where its name does not say it.
    """

    metric: str
    kind: str
    lower: float | None = None
    upper: float | None = None
    better: str | None = None
    chance: float | None = None
    label: str = ""


class Group(NamedTuple):
    """Runs that are always trained together, so that a run does not depend on which runs were asked for.

    runs: their rows of runs.csv (run, family, last_step, then what is known before the run), in the order of the suite.
    """

    name: str
    runs: list[dict[str, Any]]


def main(
    description: str | None,
    here: Path,
    groups: Sequence[Group],
    made: Callable[[Group], Tables],
    metrics: Sequence[Metric],
    words: Sequence[str] | None = None,
) -> None:
    """The command of a suite; ``words`` are what it was called with, by default all.

    made: trains a group -> points (run, metric, step, value, stderr), events (run, step, what); values that are not
    finite are dropped here. It must be a function of a module, so that worker processes can find it.
    """
    total = sum(len(group.runs) for group in groups)
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=total, help=f"the first N runs of the suite (default {total}: all)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--only", help="write only the run of this name")
    parser.add_argument("--workers", type=int, default=1, help="processes that train groups side by side (default 1)")
    arguments = parser.parse_args(words)
    if not 1 <= arguments.runs <= total:
        parser.error(f"--runs must be 1 to {total}, found {arguments.runs}")
    if arguments.workers < 1:
        parser.error(f"--workers must be at least 1, found {arguments.workers}")
    rows = [row for group in groups for row in group.runs][: arguments.runs]
    if arguments.only:
        first, last = rows[0]["run"], rows[-1]["run"]
        rows = [row for row in rows if row["run"] == arguments.only]
        if not rows:
            parser.error(f"no run {arguments.only!r} among the first {arguments.runs}, {first} to {last}")
    names = {row["run"] for row in rows}
    wanted = [group for group in groups if any(row["run"] in names for row in group.runs)]
    parts = arguments.out.with_name(f"{arguments.out.name}.parts") / _fingerprint(here)
    points, events = _trained(wanted, made, parts, arguments.workers)
    points, events = points[points.run.isin(names)], events[events.run.isin(names)]
    _write(_rounded(points, metrics), events, rows, metrics, arguments.out)
    shutil.rmtree(parts.parent)


def _fingerprint(here: Path) -> str:
    """A name for the code that makes the data: what other code made is not taken for finished."""
    files = [file for folder in (Path(__file__).parent, here) for file in sorted(folder.glob("*.py"))]
    sources = (file.read_bytes() for file in files if file.name not in AFTER_THE_FACT)
    return hashlib.sha256(b"".join(sources)).hexdigest()[:12]


def _trained(groups: Sequence[Group], made: Callable[[Group], Tables], parts: Path, workers: int) -> Tables:
    """The tables of all groups; finished groups lie in `parts`, where an earlier call of the same code left them."""
    parts.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for done, name in enumerate(_finished(groups, made, parts, workers), start=1):
        line = f"{done}/{len(groups)} groups, {time.monotonic() - began:.0f} s: {name}"
        print(f"\r{line:<70}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    tables = [[pd.read_parquet(file) for file in _files(group, parts)] for group in groups]
    points, events = (pd.concat(table, ignore_index=True) for table in zip(*tables, strict=True))
    return points, events


def _finished(groups: Sequence[Group], made: Callable[[Group], Tables], parts: Path, workers: int) -> Iterator[str]:
    """The name of each group when its tables lie in `parts`."""
    if workers == 1:
        yield from (_finish(made, group, parts) for group in groups)
        return
    # A forked JAX hangs: workers start afresh.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(_finish, made, group, parts) for group in groups]):
            yield future.result()


def _finish(made: Callable[[Group], Tables], group: Group, parts: Path) -> str:
    """Train the group unless its tables are there, each put in place whole."""
    files = _files(group, parts)
    if not all(file.exists() for file in files):
        for table, file in zip(made(group), files, strict=True):
            aside = file.with_suffix(".aside")
            table.to_parquet(aside)
            aside.rename(file)
    return group.name


def _files(group: Group, parts: Path) -> list[Path]:
    return [parts / f"{group.name}-{what}.parquet" for what in ("points", "events")]


def _rounded(points: pd.DataFrame, metrics: Sequence[Metric]) -> pd.DataFrame:
    """Metrics with an upper bound at 6 decimals, the others at 17 significant bits; what is not finite is left out."""
    bounded = points.metric.isin([metric.metric for metric in metrics if metric.upper is not None])
    points = points.copy()
    for column in ("value", "stderr"):
        points[column] = points[column].round(DECIMALS).where(bounded, _trimmed(points[column]))
    return points[np.isfinite(points.value)]


def _trimmed(values: pd.Series) -> pd.Series:
    """The values with 17 significant bits, so that files are half as large; NaN for what does not fit a float32."""
    fraction, exponent = np.frexp(values.where(values.abs() <= float(np.finfo(np.float32).max)))
    return np.ldexp(np.round(np.ldexp(fraction, KEPT_BITS)), exponent - KEPT_BITS)


def _write(
    points: pd.DataFrame,
    events: pd.DataFrame,
    rows: list[dict[str, Any]],
    metrics: Sequence[Metric],
    out: Path,
) -> None:
    """The four tables of a tidy folder, written aside and put in place together."""
    aside = out.with_name(out.name + ".aside")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    points = points[["run", "metric", "step", "value", "stderr"]].sort_values(["run", "metric", "step"])
    table = pa.Table.from_pandas(points, preserve_index=False)
    pq.write_table(table, aside / "points.parquet", compression="zstd", compression_level=19)
    pd.DataFrame(rows).sort_values("run").to_csv(aside / "runs.csv", index=False)
    table_of_metrics = pd.DataFrame(metrics)
    labelled = (table_of_metrics["label"] != "").any()
    table_of_metrics.drop(columns=[] if labelled else "label").to_csv(aside / "metrics.csv", index=False)
    events.sort_values(["run", "step"]).to_csv(aside / "events.csv", index=False)
    if out.exists():
        shutil.rmtree(out)
    aside.rename(out)

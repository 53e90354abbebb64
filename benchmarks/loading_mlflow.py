"""Reading a SQLite store of MLflow, beside its own client, in one run; the values are compared to the last bit.

python benchmarks/loading_mlflow.py [--runs 100] [--metrics 5] [--points 200]

MLflow makes the store and the runs; the rows of metrics are put in by SQL, since writing them through the client takes
minutes. Prints a Markdown row: the fastest of five rounds each, in turn. Needs mlflow-skinny, sqlalchemy and alembic.
"""

from __future__ import annotations

import argparse
import logging
import os
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from predictdyn.loaders import mlflow

COLUMNS = "key, value, timestamp, run_uuid, step, is_nan"


def store(folder: Path, runs: int, metrics: int, points: int) -> tuple[Path, Any]:
    """A store and its client: ``runs`` x ``metrics`` curves of ``points`` values."""
    from mlflow.tracking import MlflowClient

    logging.getLogger("alembic").setLevel(logging.ERROR)
    file = folder / "mlflow.db"
    os.chdir(folder)  # MLflow puts its folder of artifacts where it is called
    client = MlflowClient(f"sqlite:///{file}")
    experiment = client.create_experiment("benchmark")
    rng = np.random.default_rng(0)
    ids = [client.create_run(experiment, run_name=f"run{i}").info.run_id for i in range(runs)]
    with sqlite3.connect(file) as database:
        for run in ids:
            values = rng.standard_normal((points, metrics))
            rows = [
                (f"metric{k}", values[i, k], 1_700_000_000_000 + i, run, i, 0)
                for i in range(points)
                for k in range(metrics)
            ]
            database.executemany(f"INSERT INTO metrics ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows)
            database.executemany(f"INSERT INTO latest_metrics ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows[-metrics:])
    database.close()
    return file, client


def ours(file: Path) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """Every curve of a store: (run, metric) -> (step, value)."""
    curves: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for item in mlflow.scan(file):
        log = mlflow.read(item)
        for metric, step, value in zip(log.metric, log.step.astype(int).tolist(), log.value.tolist(), strict=True):
            curves.setdefault((item.run, metric), []).append((step, value))
    return curves


def read_all(file: Path) -> int:
    """All runs as arrays; how many values there are."""
    return sum(len(mlflow.read(item).value) for item in mlflow.scan(file))


def theirs(client: Any) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """The same by the client: one question a run and metric."""
    curves = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id], max_results=50_000):
            for metric in run.data.metrics:
                history = client.get_metric_history(run.info.run_id, metric)
                curves[run.info.run_name, metric] = [(point.step, point.value) for point in history]
    return curves


class Cost(NamedTuple):
    """Seconds of the clock and of the processor."""

    wall: float
    cpu: float


def costs(reads: Sequence[Callable[[], object]], rounds: int) -> list[Cost]:
    """The fastest round of each, taken in turn: others may use the machine, too."""
    taken: list[list[Cost]] = [[] for _ in reads]
    for _ in range(rounds):
        for read, own in zip(reads, taken, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            read()
            own.append(Cost(time.perf_counter() - wall, time.process_time() - cpu))
    return [Cost(min(cost.wall for cost in own), min(cost.cpu for cost in own)) for own in taken]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("--runs", 100), ("--metrics", 5), ("--points", 200)):
        parser.add_argument(name, type=int, default=number)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        file, client = store(Path(folder), given.runs, given.metrics, given.points)
        if ours(file) != theirs(client):
            raise SystemExit("the curves differ")
        mine, other = costs([lambda: read_all(file), lambda: theirs(client)], rounds=5)
    size = f"{given.runs} runs x {given.metrics} metrics x {given.points} points"
    print("| log | predictdyn | the tool's own reader | ratio | ratio of processor time |")
    print("| --- | ---: | ---: | ---: | ---: |")
    ratios = f"{other.wall / mine.wall:.0f}x | {other.cpu / mine.cpu:.0f}x"
    print(f"| MLflow SQLite, {size} | {mine.wall:.3f} s | {other.wall:.2f} s (MlflowClient) | {ratios} |")


if __name__ == "__main__":
    main()

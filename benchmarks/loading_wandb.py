"""Reading a `.wandb` file, beside the classes of W&B for its records; the values are compared to the last bit.

python benchmarks/loading_wandb.py [--steps 16000] [--metrics 10]

W&B itself writes the file, offline. It has no reader of its own in Python any more: beside ours stands the plain way,
its protobuf classes and json, on records that we have framed. Prints a Markdown row: the fastest of three rounds each.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from predictdyn.loaders import wandb
from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.wandb.leveldb_log import log_of


def history(folder: Path, values: np.ndarray) -> None:
    """A run that logs ``values`` (steps, metrics)."""
    places = {f"WANDB_{name}": str(folder / name) for name in ("DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR")}
    (folder / "DIR").mkdir()
    os.environ.update(places, WANDB_MODE="offline")
    import wandb as tool

    quiet = tool.Settings(x_disable_stats=True, console="off", silent=True)
    run = tool.init(project="benchmark", name="run", settings=quiet)
    for row in values.tolist():
        run.log({f"train/metric_{k}": value for k, value in enumerate(row)})
    run.finish()


def ours(folder: Path) -> RunLog:
    """All runs of the folder as arrays: there is one."""
    (item,) = wandb.scan(folder)
    return wandb.read(item)


def plain(folder: Path) -> list[dict[str, object]]:
    """The rows of history by the classes of W&B."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.rglob("run-*.wandb")
    records = (Record.FromString(record) for record in log_of(file.read_bytes()).records)
    return [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]


def seconds(read: Callable[[], object]) -> float:
    """The fastest of three rounds."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        read()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("--steps", 16_000), ("--metrics", 10)):
        parser.add_argument(name, type=int, default=number)
    given = parser.parse_args()
    values = np.random.default_rng(0).standard_normal((given.steps, given.metrics))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        history(folder, values)
        log = ours(folder)
        for k in range(given.metrics):
            chosen = log.metric == f"train/metric_{k}"
            if not (
                np.array_equal(log.value[chosen], values[:, k])
                and np.array_equal(log.step[chosen], np.arange(given.steps))
            ):
                raise SystemExit("the curves differ")
        mine, other = seconds(lambda: ours(folder)), seconds(lambda: plain(folder))
    print("| log | predictdyn | the plain way | ratio |\n| --- | ---: | ---: | ---: |")
    size = f"{given.steps:,} steps x {given.metrics} metrics"
    print(f"| W&B, {size} | {mine:.2f} s | {other:.2f} s (its protobuf classes, json) | {other / mine:.1f}x |")


if __name__ == "__main__":
    main()

"""Reading event files of TensorBoard, beside its own EventAccumulator, in one run; compared to the last bit.

python benchmarks/loading_tensorboard.py [--points 100000] [--metrics 10]

tensorboardX writes the file. EventAccumulator keeps all scalars (size_guidance 0) and runs without TensorFlow. Prints a
Markdown row: the fastest of three rounds of ours, one of theirs. Needs tensorboard and tensorboardX.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from predictdyn.loaders import tensorboard
from predictdyn.loaders.engine.runlog import RunLog


def events(folder: Path, points: int, metrics: int) -> None:
    """One file with ``points`` scalars of ``metrics`` metrics in turn."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.record_writer import RecordWriter

    writer = RecordWriter(str(folder / "events.out.tfevents.1700000000.host"))
    writer.write(Event(wall_time=1.7e9, file_version="brain.Event:2").SerializeToString())
    for i, value in enumerate(np.random.default_rng(0).standard_normal(points)):
        scalar = Summary.Value(tag=f"train/metric_{i % metrics}", simple_value=value)
        event = Event(wall_time=1.7e9 + i / 100, step=i // metrics, summary=Summary(value=[scalar]))
        writer.write(event.SerializeToString())
    writer.close()


def ours(folder: Path) -> RunLog:
    """All runs of the folder as arrays: there is one."""
    (item,) = tensorboard.scan(folder)
    return tensorboard.read(item)


def theirs(folder: Path) -> dict[str, list[Any]]:
    """Every scalar of every tag, by EventAccumulator."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {tag: accumulator.Scalars(tag) for tag in accumulator.Tags()["scalars"]}


def same(log: RunLog, scalars: dict[str, list[Any]]) -> bool:
    """Whether both have the same metrics, steps, values and times."""
    if set(log.metric) != set(scalars):
        return False
    for tag, points in scalars.items():
        chosen = log.metric == tag
        columns = np.array([(point.step, point.value, point.wall_time) for point in points]).T
        if not np.array_equal(columns, [log.step[chosen], log.value[chosen], log.wall[chosen]]):
            return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("--points", 100_000), ("--metrics", 10)):
        parser.add_argument(name, type=int, default=number)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        events(folder, given.points, given.metrics)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            log = ours(folder)
            times.append(time.perf_counter() - start)
        start = time.perf_counter()
        scalars = theirs(folder)
        other = time.perf_counter() - start
    if not same(log, scalars):
        raise SystemExit("the curves differ")
    print("| log | predictdyn | the tool's own reader | ratio |\n| --- | ---: | ---: | ---: |")
    size = f"{given.points:,} scalars of {given.metrics} metrics"
    print(
        f"| TensorBoard, {size} | {min(times):.2f} s | {other:.2f} s (EventAccumulator) | {other / min(times):.0f}x |"
    )


if __name__ == "__main__":
    main()

"""Damage logs of every source in thousands of ways: loading gives the values in them, or says no in one line.

python benchmarks/fuzz.py [--mutations 20000] [--seed 0] [--sources wide,long] [--only SOURCE:NUMBER] [--workers 2]
                          [--keep FOLDER]

Faults are: a crash (anything but success, or a ValueError of one line); a hang; a value that stands nowhere in the
damaged files; curves that `tidy.save` and `load` do not give back as they were. Each comes with the words that repeat
it; ``--keep`` copies the files of each (samples that tools write differ from call to call in times and ids). Exit
status 1 if there is any. Samples, damage and the other way to read numbers are in fuzz_samples.py, fuzz_mutations.py
and fuzz_numbers.py.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from fuzz_mutations import damage_folder
from fuzz_numbers import foreign, numbers_in
from fuzz_samples import BINARY, Sample, build, load_quietly, quiet_tools, tests

from predictdyn import loaders
from predictdyn.curves import Curves
from predictdyn.loaders import tidy
from predictdyn.loaders.engine.merge import Conflict

LIMIT = 20.0  # seconds of the processor after which a load hangs
ASLEEP = 5 * LIMIT  # seconds by the clock: other work may slow a load down, but not by so much
BATCH = 20
OUTCOMES = ("loaded", "refused", "crash", "hang", "foreign value", "write/load difference")
FAULTS = OUTCOMES[2:]
MEMORY = 8 << 30  # bytes a worker may use


class Task(NamedTuple):
    source: str
    number: int


class Result(NamedTuple):
    task: Task
    outcome: str
    words: str = ""


def examine(
    task: Task, samples: Sequence[Sample], seed: int, home: Path, same: Callable[[Curves, Curves], None]
) -> Result:
    """Damage a copy of one of the samples of a source, load it, and check what was loaded."""
    rng = random.Random(f"{seed} {task.source} {task.number}")
    sample = rng.choice(samples)
    folder = home / "damaged"
    shutil.copytree(sample.folder, folder)
    done = f"{sample.name}: {damage_folder(folder, rng)}"
    path = folder / sample.path
    if not path.exists() and path.with_name(f"{path.name}.gz").exists():
        path = path.with_name(f"{path.name}.gz")
    try:
        curves = load_quietly(path)
    except ValueError as error:
        said = str(error)
        if type(error) not in (ValueError, Conflict) or "\n" in said or not said.strip():
            return Result(task, "crash", f"{done}: {type(error).__name__}: {said[:300]!r} {_last_place(error)}")
        return Result(task, "refused", said)
    except BaseException as error:
        return Result(task, "crash", f"{done}: {type(error).__name__}: {str(error)[:300]!r} {_last_place(error)}")
    known = numbers_in(folder, binary=task.source in BINARY)
    strange = foreign(curves.points["value"].to_numpy(), known)
    if len(strange):
        names = curves.points.loc[curves.points["value"] == strange[0], "metric"].unique()
        return Result(task, "foreign value", f"{done}: {strange[0]!r} of {', '.join(names[:3])}")
    try:
        tidy.save(curves, home / "tidy")
        same(curves, load_quietly(home / "tidy"))
    except BaseException as error:
        first = next(iter(str(error).splitlines()), "")
        return Result(task, "write/load difference", f"{done}: {type(error).__name__}: {first} {_last_place(error)}")
    return Result(task, "loaded")


def _last_place(error: BaseException) -> str:
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "predictdyn" in frame.filename]
    return f"({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours else ""


def work(channel: Connection, built: dict[str, list[Sample]], seed: int, keep: Path | None, home: Path) -> None:
    """Examine batches of tasks until there are none."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process
    warnings.simplefilter("ignore")
    same = tests("conftest").assert_same
    while batch := channel.recv():
        for task in batch:
            clear(home)
            signal.setitimer(signal.ITIMER_PROF, LIMIT)
            result = examine(task, built[task.source], seed, home, same)
            if result.outcome in FAULTS:
                keep_copy(home, keep, task)
            channel.send(result)
        channel.send(None)


def keep_copy(home: Path, keep: Path | None, task: Task) -> None:
    """Copy what was damaged to a folder that was asked for; pipes and lost links cannot be copied."""
    if keep is not None:
        with suppress(shutil.Error):
            shutil.copytree(home / "damaged", keep / f"{task.source}-{task.number}", symlinks=True, dirs_exist_ok=True)


def clear(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)


class Worker:
    """A process that examines tasks one by one, and what it has still to do."""

    def __init__(self, arguments: tuple[Any, ...], home: Path) -> None:
        self.arguments, self.home = arguments, home
        self.start()

    def start(self) -> None:
        context = get_context("fork")
        self.channel, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, *self.arguments, self.home), daemon=True)
        self.process.start()
        theirs.close()
        self.left: list[Task] = []
        self.since = time.monotonic()

    def give(self, tasks: list[Task]) -> None:
        self.left, self.since = tasks, time.monotonic()
        self.channel.send(tasks)

    def stop(self) -> int | None:
        """End the process; returns how it ended."""
        self.process.join(timeout=1)
        self.process.kill()
        self.process.join()
        self.channel.close()
        return self.process.exitcode


def examined(
    tasks: list[Task], built: dict[str, list[Sample]], seed: int, keep: Path | None, home: Path, workers: int
) -> Iterator[Result]:
    """Results as they come; a worker that hangs or dies is started again."""
    tasks = tasks[::-1]
    pool = [Worker((built, seed, keep), home / f"worker{i}") for i in range(workers)]
    try:
        while tasks or any(worker.left for worker in pool):
            for worker in pool:
                if not worker.left and tasks:
                    worker.give([tasks.pop() for _ in range(min(BATCH, len(tasks)))])
            ready = wait([worker.channel for worker in pool if worker.left], timeout=0.5)
            for worker in pool:
                lost = ""
                if worker.channel in ready:
                    try:
                        result = worker.channel.recv()
                        if result is None:
                            continue
                        worker.left, worker.since = worker.left[1:], time.monotonic()
                        yield result
                    except EOFError:
                        lost = "crash"
                elif worker.left and time.monotonic() - worker.since > ASLEEP:
                    lost = "hang"
                if lost:
                    task, rest = worker.left[0], worker.left[1:]
                    ended = worker.stop()
                    if ended == -signal.SIGPROF:
                        lost = "hang"
                    words = f"the process ended ({ended})" if lost == "crash" else f"more than {LIMIT:g} s"
                    keep_copy(worker.home, keep, task)
                    yield Result(task, lost, words)
                    tasks += rest[::-1]
                    worker.start()
    finally:
        for worker in pool:
            worker.stop()


def table(counts: dict[str, Counter[str]]) -> str:
    """Markdown: how the mutations of each source ended."""
    plural = ("loaded", "refused", "crashes", "hangs", "foreign values", "write/load differences")
    lines = [f"| source | mutations | {' | '.join(plural)} |", "| --- " * (2 + len(plural)) + "|"]
    every: Counter[str] = sum(counts.values(), Counter())
    for source, count in [*counts.items(), ("all", every)]:
        lines.append(f"| {source} | {count.total()} | {' | '.join(str(count[name]) for name in OUTCOMES)} |")
    return "\n".join(lines)


def main() -> int:
    """Print the table, and each fault with the words that repeat it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=20_000, help="of all sources together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sources", default="", help="names, with commas between them (default: all)")
    parser.add_argument("--only", action="append", default=[], metavar="SOURCE:NUMBER", help="repeat one mutation")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for copies of what failed")
    called = parser.parse_args()
    tasks = [Task(source, int(number)) for source, _, number in (word.partition(":") for word in called.only)]
    sources = (
        sorted({task.source for task in tasks}) or [s for s in called.sources.split(",") if s] or loaders.sources()
    )
    tasks = tasks or [Task(sources[i % len(sources)], i // len(sources)) for i in range(called.mutations)]
    quiet_tools()
    start = time.monotonic()
    counts: dict[str, Counter[str]] = {source: Counter() for source in sources}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as home:
        built = build(Path(home, "samples"), sources)
        print(
            f"{sum(map(len, built.values()))} samples of {len(sources)} sources, {time.monotonic() - start:.0f} s",
            file=sys.stderr,
        )
        results = examined(tasks, built, called.seed, called.keep, Path(home), called.workers)
        for done, result in enumerate(results, 1):
            task = result.task
            counts[task.source][result.outcome] += 1
            if result.outcome in FAULTS:
                print(
                    f"{result.outcome}: --seed {called.seed} --only {task.source}:{task.number}: {result.words}",
                    flush=True,
                )
            elif called.only:
                print(f"{result.outcome}: {task.source}:{task.number}: {result.words}")
            if done % 1000 == 0:
                print(f"{done} of {len(tasks)}, {time.monotonic() - start:.0f} s", file=sys.stderr)
    print(f"\n{table(counts)}\n\nseed {called.seed}, {time.monotonic() - start:.0f} s")
    return int(any(count[name] for count in counts.values() for name in FAULTS))


if __name__ == "__main__":
    sys.exit(main())

"""Stable-Baselines3: progress.csv and progress.json of its logger, monitor.csv of its episodes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.rows import number_of, run_log
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.contents import read_bytes
from predictdyn.loaders.files.csv_rows import csv_rows
from predictdyn.loaders.files.folders import files_named, first_line, run_names
from predictdyn.loaders.files.json_rows import flat, json_rows

CLOCKS = ("time/total_timesteps", "time/total timesteps", "total_timesteps")  # newest versions first
LOGS = ("progress.csv", "progress.json")  # the same rows, if both are there
MONITOR = "monitor.csv"
NO_STEP = f"row(s) dropped without {CLOCKS[0]}"
NO_EPISODE = "episode(s) dropped without a return, a length and a time"


class LoggedValue(NamedTuple):
    """One logged value."""

    metric: str
    step: object
    value: object
    wall: float
    segment: int


class Episode(NamedTuple):
    """The end of an episode: seconds since 1970, steps, and all cells of its row."""

    wall: float
    length: float
    cells: dict[str, object]


def load(path: Path | str, **options: object) -> Curves:
    """Runs of Stable-Baselines3 become curves: folders as `scan` finds them, each run as `read` says.

    Options are those of `gather.gathered`. Raises ValueError, one line, where there is no run with points.
    """
    return gathered(path, SOURCE, options)


def scan(path: Path) -> list[Item]:
    """The runs at or below a path, called as their folders are: the logs of one folder are those of one run.

    ValueError where there is none.
    """
    found: dict[Path, list[Path]] = {}
    for file in files_named(path, lambda name: name in LOGS or name.endswith(MONITOR)):
        if _is_monitor(file) or _is_progress(file):
            found.setdefault(file.parent, []).append(file)
    if not found:
        raise ValueError(
            f"{path}: no run of Stable-Baselines3 here; expected progress.csv, progress.json or monitor.csv"
        )
    names = run_names(path, found)
    return [Item(names[folder], tuple(files)) for folder, files in found.items()]


def read(item: Item) -> RunLog:
    """One run: the columns of its logger at time/total_timesteps, and monitor/r, monitor/l (return and length) of each
    episode at the steps of all environments until then.

    The logger begins a new segment where the steps fall: learning went on from the start. Blank cells were not logged.
    """
    counts: Counter[str] = Counter()
    progress = [file for file in item.files if file.name in LOGS]
    monitors = [file for file in item.files if file not in progress]
    rows = [row for file in progress[:1] for row in _progress(file, counts)]
    config: dict[str, object] = {}
    episodes = [episode for file in monitors for episode in _episodes(file, counts, config)]
    done = 0.0
    for episode in sorted(episodes, key=lambda episode: episode.wall):
        done += episode.length
        rows += [
            LoggedValue(f"monitor/{name}", done, cell, episode.wall, 0)
            for name, cell in episode.cells.items()
            if name != "t"
        ]
    metric, step, value, wall, segment = zip(*rows, strict=True) if rows else ((),) * 5
    return run_log(item.run, metric, step, value, wall=wall, segment=segment, config=config, dropped=+counts)


def sniff(path: Path) -> str | None:
    """What of Stable-Baselines3 is here, in words, or None."""
    try:
        return f"Stable-Baselines3: {len(scan(path))} runs"
    except ValueError:
        return None


def _progress(file: Path, counts: Counter[str]) -> Iterator[LoggedValue]:
    rows, dropped = (csv_rows if file.name == LOGS[0] else json_rows)(read_bytes(file))
    counts.update(dropped)
    segment, last = 0, -1.0
    for row in rows:
        clock = next((name for name in CLOCKS if name in row), None)
        step = None if clock is None else number_of(row[clock])
        if step is None:
            counts[NO_STEP] += 1
            continue
        segment += step < last
        last = step
        for name, cell in row.items():
            if name not in CLOCKS and cell is not None and not isinstance(cell, bool):
                yield LoggedValue(name, step, cell, float("nan"), segment)


def _episodes(file: Path, counts: Counter[str], config: dict[str, object]) -> Iterator[Episode]:
    """Episodes of one environment in the order of the file, also where a later session, whose times begin again, was
    appended; what the first line says of it goes into ``config``.
    """
    head, _, table = read_bytes(file).partition(b"\n")
    try:
        about = dict(flat(json.loads(head.lstrip(b"#"))))
    except (ValueError, AttributeError, RecursionError):
        about = {}
    start = number_of(about.pop("t_start", None)) or 0.0
    config |= about
    before = -float("inf")
    rows, dropped = csv_rows(table)
    counts.update(dropped)
    for row in rows:
        length, time = number_of(row.get("l")), number_of(row.get("t"))
        if length is None or time is None or "r" not in row or not 0 <= length < float("inf"):
            counts[NO_EPISODE] += 1
        else:
            before = max(before, start + time)
            yield Episode(before, length, row)


def _is_progress(file: Path) -> bool:
    return file.name in LOGS and any(name.encode() in first_line(file) for name in CLOCKS)


def _is_monitor(file: Path) -> bool:
    return file.name.endswith(MONITOR) and first_line(file).startswith(b'#{"t_start"')


SOURCE = Source(
    "stable_baselines3",
    "`progress.csv`, `progress.json`, `monitor.csv`",
    sniff,
    load,
    scan,
    read,
)

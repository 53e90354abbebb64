"""TensorBoard event files: every folder that holds some is a run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from predictdyn.curves import Curves
from predictdyn.loaders._gather import gathered
from predictdyn.loaders._runlog import Item, RunLog
from predictdyn.loaders._tables import read_bytes
from predictdyn.loaders._tensorboard_file import read_events

MARK = "tfevents"  # what TensorBoard knows its files by


def load(path: Path | str, **options: object) -> Curves:
    """All runs whose event files lie below a path; options and rules are those of `_gather.gathered`."""
    return gathered(path, scan, read, options)


def scan(path: Path) -> list[Item]:
    """Every folder with event files, named by its path below ``path``; ``path`` itself by the name of the folder."""
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    folder = path if path.is_dir() else path.parent
    runs: dict[Path, list[Path]] = {}
    for file in sorted(path.rglob(f"*{MARK}*")) if path.is_dir() else [path]:
        below = file.relative_to(folder)
        if MARK in file.name and file.is_file() and not any(part.startswith(".") for part in below.parts):
            runs.setdefault(below.parent, []).append(file)
    if not runs:
        raise ValueError(f"{path}: no TensorBoard event file (their names hold {MARK!r})")
    return [
        Item(below.as_posix() if below.parts else folder.resolve().name, tuple(files))
        for below, files in sorted(runs.items())
    ]


def looks(path: Path) -> str | None:
    """What a path holds, in words; None if no file there is called an event file."""
    try:
        items = scan(path)
    except ValueError:
        return None
    files = sum(len(item.files) for item in items)
    return f"TensorBoard: {files} event file{'s'[: files > 1]} in {len(items)} run{'s'[: len(items) > 1]}"


def read(item: Item) -> RunLog:
    """All scalars of a run, files in the order in which they were begun; tensors of rank 0 are scalars, too.

    A segment begins where the log says so (SessionLog START), and with a file that logs what an earlier one has logged.
    TensorBoard (purge_orphaned_data) forgets what was logged before a START at its step or beyond, and in files without
    a version what lies beyond a step that went back. Here nothing is forgotten: what stands is decided where runs are
    merged.
    """
    files = [read_events(read_bytes(file)) for file in item.files]
    files.sort(key=lambda file: np.nan_to_num(file.began, nan=np.inf))
    columns = [np.concatenate(parts) for parts in zip(*(file.scalars for file in files), strict=True)]
    begins = np.zeros(len(columns[0]) + 1, dtype=int)
    place, known = 0, set[str]()
    for file in files:
        begins[place + np.searchsorted(file.scalars.record, file.starts)] = 1
        tags = set(file.scalars.tag)
        begins[place] |= bool(known & tags)
        known |= tags
        place += len(file.scalars.record)
    begins[0] = 0
    _, metric, step, value, wall = columns
    config = {name: value for file in files for name, value in file.config.items()}
    dropped = sum((Counter(file.dropped) for file in files), Counter())
    return RunLog(item.run, metric, step, value, wall, begins.cumsum()[:-1], config, dropped=dropped)

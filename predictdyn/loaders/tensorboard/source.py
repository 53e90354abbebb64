"""TensorBoard event files: a folder that holds some is a run, or part of the run above it (`folders`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.options import Option
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.contents import read_bytes
from predictdyn.loaders.files.folders import files_named
from predictdyn.loaders.files.settings_beside import UNREAD, tool_settings
from predictdyn.loaders.tensorboard.file import read_events
from predictdyn.loaders.tensorboard.folders import (
    SESSION,
    EventFolder,
    alone,
    by_time,
    group_of,
    named,
    together,
    written,
)

MARK = "tfevents"  # what TensorBoard knows its files by
PARTS, RUNS = "parts", "runs"
FOLDERS = Option(
    "folders", "`parts` (the rule), or `runs`: every folder with event files is a run", PARTS, (PARTS, RUNS)
)
MERGED = (
    f"folder(s) of phases, sub-tags or settings read as part of their run (no loss; folders='{RUNS}' makes each a run)"
)
INSIDE = "run(s) lie below this one, read as runs of its family"
FINAL = "final value(s) of add_hparams left out, without a step, of metrics that have curves"


def load(path: Path | str, **options: object) -> Curves:
    """All runs whose event files lie below a path; options and rules are those of `gather.gathered`."""
    return gathered(path, SOURCE, options)


def scan(path: Path, *, folders: str = PARTS) -> list[Item]:
    """Runs, named by their folders below ``path``; ``path`` itself by the name of the folder.

    By itself folders of phases, of sub-tags and of settings are parts of the run above them (`folders`).
    With ``folders="runs"`` every folder that holds event files is a run.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    root = path if path.is_dir() else path.parent
    found: dict[Path, list[Path]] = {}
    for file in files_named(path, lambda name: MARK in name):
        found.setdefault(file.relative_to(root).parent, []).append(file)
    if not found:
        raise ValueError(f"{path}: no TensorBoard event file (their names hold {MARK!r})")
    return [
        Item(
            below.as_posix() if below.parts else root.resolve().name,
            tuple(file for part in group.parts for file in part.files),
            written(group),
        )
        for below, group in sorted((together if folders == PARTS else alone)(found).items())
    ]


def sniff(path: Path) -> str | None:
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
    merged. Folders that are parts of the run give their name to their metrics (``train/loss``), and rows follow each
    other by time. What add_hparams wrote at the end has no step: it lies where the run was at that time, and is left
    out where the run has a curve of that name. Settings are those of add_hparams and of hparams.yaml beside.
    """
    group = group_of(item.key, item.files)
    parts = [_columns(part) for part in group.parts]
    dropped = sum((part.dropped for part in parts), Counter())
    metric, step, value, wall, segment = _joined(parts, dropped) if len(parts) > 1 else parts[0][:5]
    config: dict[str, object] = {"family": group.family} if group.family else {}
    config |= {name: cell for part in parts for name, cell in part.config.items()}
    dropped[MERGED] += sum(bool(part.roles) for part in group.parts)
    dropped[INSIDE] += group.inside
    return RunLog(item.run, metric, step, value, wall, segment, config, dropped=+dropped)


class _Columns(NamedTuple):
    """What one folder holds, in the order in which it was written."""

    metric: np.ndarray
    step: np.ndarray
    value: np.ndarray
    wall: np.ndarray
    segment: np.ndarray
    config: Mapping[str, object]
    dropped: Counter[str]
    session: bool  # whether `add_hparams` wrote them

    @property
    def final(self) -> bool:
        """Whether these are values without a step, of the end of a run."""
        return self.session and not self.step.any()


def _joined(parts: Sequence[_Columns], dropped: Counter[str]) -> list[np.ndarray]:
    """The columns of all parts by time, with no name from two parts, and final values where the run was at their time.

    A final value of a metric that has a curve is left out, and counted.
    """
    names: set[str] = set()
    metrics, kept = [], []
    parts = sorted(parts, key=lambda part: part.final)
    for part in parts:
        known = {name: name in names for name in set(part.metric)}
        again = np.array([known[name] and part.final for name in part.metric], dtype=bool)
        dropped[FINAL] += int(again.sum())
        new = {name: f"{name}~2" if known[name] and not part.session else name for name in known}
        metrics.append(np.array([new[name] for name in part.metric], dtype=object))
        kept.append(~again)
        names |= {*new.values()}
    order = by_time([part.wall for part in parts])
    order = order[np.concatenate(kept)[order]]
    final = np.concatenate([np.full(len(part.step), part.final) for part in parts])[order]
    columns = [np.concatenate(column)[order] for column in zip(*(part[1:5] for part in parts), strict=True)]
    step, value, wall, segment = columns
    reached = np.maximum.accumulate(np.where(final, 0, step))
    return [np.concatenate(metrics)[order], np.where(final, reached, step), value, wall, np.maximum.accumulate(segment)]


def _columns(part: EventFolder) -> _Columns:
    """All scalars of the files of a folder; its settings, and those of hparams.yaml beside."""
    files = [read_events(read_bytes(file)) for file in part.files]
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
    if part.roles:
        names = {tag: named(part.roles, tag) for tag in set(metric)}
        metric = np.array([names[tag] for tag in metric], dtype=object)
    beside = tool_settings(part.files[0].parent)
    config = beside.config | {name: value for file in files for name, value in file.config.items()}
    dropped = sum((Counter(file.dropped) for file in files), Counter({UNREAD: beside.passed}))
    session = any(role.kind == SESSION for role in part.roles)
    return _Columns(metric, step, value, wall, begins.cumsum()[:-1], config, dropped, session)


SOURCE = Source(
    "tensorboard",
    "event files: scalars and tensors that are scalars; `hparams.yaml` beside. A folder of them is a run; "
    "folders of phases (`train/`, `validation/`), of `add_scalars` and of `add_hparams` are parts of the run "
    "above them, which is said, and name its metrics (`loss/train`, `train/epoch_loss`)",
    sniff,
    load,
    scan,
    read,
    scan_options=(FOLDERS,),
)

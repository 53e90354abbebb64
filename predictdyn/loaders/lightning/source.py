"""Folders of Lightning's CSVLogger: version_0/metrics.csv, with hparams.yaml beside."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.lengths import length_of
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.contents import read_bytes
from predictdyn.loaders.files.csv_rows import csv_rows
from predictdyn.loaders.files.folders import files_named, first_line, is_file
from predictdyn.loaders.files.settings_beside import SETTINGS, UNREAD, tool_settings
from predictdyn.loaders.lightning.versions import RESUMED, runs_of
from predictdyn.loaders.tables.logger_csv import need_clock, run_of

METRICS = "metrics.csv"
LENGTHS = ("max_steps", "total_steps", "num_training_steps")


def load(path: Path | str, **options: object) -> Curves:
    """Read every metrics.csv with a column step that lies in a folder version_* or beside hparams.yaml: each is a run.
    A version that goes on where another one stopped is part of that run (`versions.runs_of`).

    The clock is the global step, and the column epoch is kept as a metric. hparams.yaml is read as far as it is plain
    (``name: value``, nested by indentation); its max_steps, at any depth, is the planned length. Options are those of
    `gather.gathered`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = Path(folder, "version_0")
    ...     run.mkdir()
    ...     _ = (run / "hparams.yaml").write_text("lr: 0.001\\nmax_steps: 40\\n")
    ...     _ = (run / "metrics.csv").write_text("epoch,step,train_loss,val_loss\\n0,9,2.5,\\n0,19,,2.25\\n")
    ...     curves = load(folder)
    >>> curves.points[["metric", "step", "value"]].values.tolist(), curves.runs["last_step"].tolist()
    ([['train_loss', 9, 2.5], ['val_loss', 19, 2.25]], [40])
    """
    return gathered(path, SOURCE, options)


def scan(path: Path) -> list[Item]:
    """One run a metrics.csv, called by its folders below ``path``."""
    files = [path] if path.is_file() else files_named(path, METRICS.__eq__)
    found = [file for file in files if path.is_file() or _is_log(file)]
    if not found:
        raise ValueError(f"{path}: no {METRICS} with a column step in a folder version_* or beside {SETTINGS[0]}")
    return [Item(_name(files[0].parent, path), files) for files in runs_of(found)]


def read(item: Item) -> RunLog:
    """One run with its settings, a segment a version; ValueError where a table has no column step."""
    config, passed = tool_settings(item.files[-1].parent)
    lengths = (length_of(config[key]) for key in config if key.rpartition("/")[2] in LENGTHS)
    planned = next((end for end in lengths if end is not None), None)
    logs = []
    for file in item.files:
        raw = read_bytes(file)
        need_clock(file, raw, "step")
        logs.append(run_of(item.run, csv_rows(raw), "step", config, planned))
    dropped: Counter[str] = sum((Counter(log.dropped) for log in logs), Counter())
    return logs[0]._replace(
        metric=np.concatenate([log.metric for log in logs]),
        step=np.concatenate([log.step for log in logs]),
        value=np.concatenate([log.value for log in logs]),
        wall=np.concatenate([log.wall for log in logs]),
        segment=np.repeat(np.arange(len(logs)), [len(log.step) for log in logs]),
        dropped=+Counter({**dropped, UNREAD: passed, RESUMED: len(logs) - 1}),
    )


def sniff(path: Path) -> str | None:
    """How many runs of Lightning are here, in words, or None."""
    if path.is_file() and not (path.name == METRICS and _is_log(path)):
        return None
    try:
        items = scan(path)
    except ValueError:
        return None
    return f"Lightning's CSVLogger: {len(items)} run{'s' * (len(items) > 1)}"


def _is_log(file: Path) -> bool:
    if not (re.fullmatch(r"version_\d+", file.parent.resolve().name) or is_file(file.parent / SETTINGS[0])):
        return False
    return "step" in first_line(file).decode("utf-8-sig", errors="replace").strip().split(",")


def _name(folder: Path, root: Path) -> str:
    return folder.relative_to(root).as_posix() if root in folder.parents else folder.resolve().name


SOURCE = Source(
    "lightning",
    "`version_0/metrics.csv` with `hparams.yaml`; a version that goes on where an earlier one of the same settings "
    "stopped is the same run, and a line says so",
    sniff,
    load,
    scan,
    read,
)

"""Logs of Keras: the CSVLogger (a row an epoch), and the history that ``fit`` returns, written as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.lengths import length_of
from predictdyn.loaders.engine.rows import number_of
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.contents import read_bytes, read_text
from predictdyn.loaders.files.csv_rows import csv_names, csv_rows
from predictdyn.loaders.files.folders import beginning, files_named, first_line
from predictdyn.loaders.tables.clock import counts
from predictdyn.loaders.tables.logger_csv import NO_NUMBER, need_clock, run_of

ASKED = 1 << 20  # a JSON file larger than this is no history


def load(path: Path | str, **options: object) -> Curves:
    """Read a CSVLogger's CSV, a history (``{"history": {...}}`` or ``{"loss": [...], ...}``), or all of a folder.

    The clock is the epoch as Keras counts it, from 0. A history that knows its epochs (``"epoch": [...]``) has these,
    and ``"params": {"epochs": n}`` states the planned length, n - 1. Options are those of `gather.gathered`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     history = {"history": {"loss": [2.5, 2.25], "val_loss": [2.75, 2.5]}, "params": {"epochs": 10}}
    ...     _ = Path(folder, "run.json").write_text(json.dumps(history))
    ...     curves = load(folder)
    >>> curves.points[["metric", "step", "value"]].values.tolist()[:2], curves.runs["last_step"].tolist()
    ([['loss', 0, 2.5], ['loss', 1, 2.25]], [9])
    """
    return gathered(path, SOURCE, options)


def scan(path: Path) -> list[Item]:
    """One run a file; in a folder only files that are of Keras."""
    if path.is_file():
        return [Item(path.stem, (path,))]
    files = files_named(path, lambda name: name.lower().endswith((".csv", ".log", ".json", ".tsv")))
    found = [file for file in files if _is_csv(file) or _is_history(file)]
    if not found:
        raise ValueError(
            f"{path}: no CSV with the columns epoch, then metrics by name, and no history of Keras (.json)"
        )
    names = [file.stem for file in found]
    if len(set(names)) < len(names):
        names = [file.relative_to(path).with_suffix("").as_posix() for file in found]
    return [Item(name, (file,)) for file, name in zip(found, names, strict=True)]


def read(item: Item) -> RunLog:
    """One run; ValueError where the file is neither a CSV with a column epoch nor a history."""
    file = item.files[0]
    if file.suffix.lower() == ".json":
        content = _content(read_text(file))
        if content is None:
            raise ValueError(f"{file}: expected a history of Keras, an object of lists of numbers; is it cut short?")
        return _of_history(item.run, content)
    raw = read_bytes(file)
    need_clock(file, raw, "epoch")
    return run_of(item.run, csv_rows(raw), "epoch", {}, None)


def sniff(path: Path) -> str | None:
    """How many logs of Keras are here, in words, or None."""
    if path.is_file() and not (_is_csv(path) or _is_history(path)):
        return None
    try:
        items = scan(path)
    except ValueError:
        return None
    return f"Keras: {len(items)} log{'s' * (len(items) > 1)} by epoch"


def _is_csv(file: Path) -> bool:
    """Whether the header is one of CSVLogger: epoch, then at least a loss, and all names in order."""
    if file.suffix.lower() == ".json":
        return False
    epoch, *names = csv_names(first_line(file, 1 << 16)) or [""]
    return epoch == "epoch" and "loss" in names and names == sorted(names) and not any(map(counts, names))


def _is_history(file: Path) -> bool:
    if file.suffix.lower() != ".json":
        return False
    raw = beginning(file, ASKED + 1)
    return len(raw) <= ASKED and _content(raw.decode("utf-8-sig", errors="replace")) is not None


def _content(text: str) -> dict[str, Any] | None:
    """A history as {"history": ..., ...}, or None where the text is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    content = content if isinstance(content.get("history"), dict) else {"history": content}
    lists = content["history"].values()
    return content if lists and all(isinstance(cells, list) for cells in lists) and _has_numbers(content) else None


def _has_numbers(content: Mapping[str, Any]) -> bool:
    loss = [cells for name, cells in content["history"].items() if name.endswith("loss")]
    return any(cells and _number(cells[0]) is not None for cells in loss)


def _of_history(run: str, content: Mapping[str, Any]) -> RunLog:
    dropped: Counter[str] = Counter()
    history = dict(content["history"])
    epochs = content.get("epoch", history.pop("epoch", None))
    epochs = [_number(cell) for cell in epochs] if isinstance(epochs, list) else []
    metric, step, value = [], [], []
    for name, cells in history.items():
        # What is logged only now and then has fewer values than there are epochs, and no place of its own.
        for place, cell in enumerate(cells):
            number = _number(cell)
            at = epochs[place] if place < len(epochs) else float(place)
            if number is None or at is None:
                dropped[NO_NUMBER] += 1
                continue
            metric.append(name)
            step.append(at)
            value.append(number)
    params = content.get("params")
    config = (
        {key: cell for key, cell in params.items() if isinstance(cell, str | bool | int | float)}
        if isinstance(params, dict)
        else {}
    )
    count = config.get("epochs")
    end = length_of(count) if isinstance(count, int) else None
    planned = end - 1 if end is not None and end > 1 else None
    wall, segment = np.full(len(metric), np.nan), np.zeros(len(metric), dtype=int)
    names = np.array(metric, dtype=object)
    return RunLog(run, names, np.array(step), np.array(value), wall, segment, config, planned, dropped=+dropped)


def _number(cell: object) -> float | None:
    """A number, also as text: what is no number for JSON (a numpy float) is often written so."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    return number_of(cell)


SOURCE = Source(
    "keras",
    "CSVLogger, and the history that `fit` returns, as JSON",
    sniff,
    load,
    scan,
    read,
)

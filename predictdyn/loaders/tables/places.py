"""Which files of a folder are one run: a file a metric, a file or a folder a phase, else a file a run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from predictdyn.loaders.engine.facts import log_metric, looks_like_outcome, plain_name
from predictdyn.loaders.files.logs import run_names
from predictdyn.loaders.files.tables import stem

PHASES = (
    "train", "training", "val", "valid", "validation", "eval", "evaluation", "test", "testing", "dev", "holdout",
    "learn",
)  # fmt: skip
# Folders that hold the metrics of a run, or that a tool puts below it.
CONTAINERS = ("metrics", "plots", "scalars", "series", "logs", "images", "csv")
# Names of columns that say nothing of what is in them.
NAMELESS = ("value", "values", "y", "scalar", "metric", "metric_value", "data", "val_value")
_BOARD = re.compile(r"run-(?P<run>.+)-tag-(?P<metric>.+)")  # what TensorBoard calls a curve that is downloaded
RUNS = "runs"
FILES = ("metrics", RUNS)  # what the option says that such files are


class Part(NamedTuple):
    """Of which run a table is a part, what stands in front of its metrics, and the one metric that it is, if it is."""

    run: str
    front: str = ""
    metric: str | None = None


def parts_of(root: Path, single: Mapping[Path, str | None], files: str | None = None) -> dict[Path, Part]:
    """The part that each table at ``root`` is.

    ``single`` are the tables, each with the name of its column where it has one beside the clock, else None. A table of
    one column whose name says nothing (value), or is that of the file, is one metric of a run, called like the file and
    the phases among its folders; the run is the folder above. ``files`` ("metrics" or "runs") says what the names of
    such files are; ValueError where they could be either. Tables whose file or folder is called like a phase (train,
    val) are parts of one run if there are several in one place; any other table is a run.
    """
    named = dict(zip(single, run_names(root, list(single)), strict=True))
    parts = {file: Part(named[file]) for file in single}
    if files == RUNS:
        return parts
    alone = [file for file, column in single.items() if column is not None and _says_nothing(file, column)]
    metrics = {file: _metric(root, file) for file in alone}
    if alone and files is None and not any(_is_metric(part, single[file]) for file, part in metrics.items()):
        one = alone[0]
        if any(plain_name(str(single[file])) in NAMELESS for file in alone):
            raise ValueError(
                f"{one}: the one column beside the step is called {single[one]!r}, which is no name of a metric "
                f"({len(alone)} such file(s)); say files='metrics' if the names of files are those of metrics, "
                "files='runs' if they are those of runs"
            )
        return parts
    parts |= metrics
    return parts | phases_of(root, [file for file in single if file not in metrics])


def _says_nothing(file: Path, column: str) -> bool:
    plain = plain_name(column)
    return plain in NAMELESS or (plain == plain_name(stem(file)) and plain not in PHASES)


def _is_metric(part: Part, column: str | None) -> bool:
    name = part.metric or ""
    known = log_metric(name).kind != "signal" or looks_like_outcome(name)
    return known or (column is not None and plain_name(column) == plain_name(name.rpartition("/")[2]))


def _metric(root: Path, file: Path) -> Part:
    board = _BOARD.fullmatch(stem(file))
    if board:
        return Part(board["run"], metric=board["metric"])
    head, phases = _above(root, file)
    return Part(head, metric="/".join([*phases, stem(file)]))


def _above(root: Path, file: Path) -> tuple[str, list[str]]:
    """The run that the folders of a file name, and the phases among those below it."""
    folders = list(file.relative_to(root).parts[:-1]) if root.is_dir() else []
    below: list[str] = []
    while folders and folders[-1].lower() in (*PHASES, *CONTAINERS):
        below.insert(0, folders.pop())
    top = root if root.is_dir() else root.parent
    return "/".join(folders) or top.resolve().name, [name for name in below if name.lower() in PHASES]


def phases_of(root: Path, files: Sequence[Path], name_of: Callable[[Path], str] = stem) -> dict[Path, Part]:
    """The files that are phases of one run, where a place has several: a folder or a word of the name says which.

    >>> files = [Path("a/train_log.txt"), Path("a/val_log.txt"), Path("a/notes.txt")]
    >>> [(file.name, part.front) for file, part in phases_of(Path("a"), files).items()]
    [('train_log.txt', 'train'), ('val_log.txt', 'val')]
    """
    found = {}
    for file in files:
        run, phases = _above(root, file)
        words = re.split(r"[_\-. ]+", name_of(file))
        own = [word for word in words if word.lower() in PHASES]
        rest = "_".join(word for word in words if word not in own)
        if len(own) == 1:
            found[file] = (run, rest, "/".join([*phases, *own]))
        elif phases and not own:
            found[file] = (run, rest, "/".join(phases))
    places = Counter((run, rest) for run, rest, _ in dict.fromkeys(found.values()))
    rests = Counter(run for run, rest in places if places[run, rest] > 1)
    return {
        # Several such groups in one folder are runs of their own; the words that are left name them.
        file: Part(rest if rests[run] > 1 else run, front)
        for file, (run, rest, front) in found.items()
        if places[run, rest] > 1
    }

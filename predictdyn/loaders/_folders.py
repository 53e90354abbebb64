"""Folders of runs: which files lie below a path, and what the runs in them are called."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from predictdyn.loaders._bytes import open_binary, size_of

UNREADABLE = "folder(s) passed over that cannot be read"
SPECIAL = "pipe(s), socket(s) or device(s) passed over"


class Walk(NamedTuple):
    """The files below a folder, sorted, hidden ones left out; ``passed`` counts what else is there, with its places."""

    files: list[Path]
    passed: dict[str, list[Path]]


def walk(path: Path) -> Walk:
    """All plain files below a folder. Links to files count, links to folders are not followed: they may lead back.

    >>> walk(Path("/no/such/folder")).files
    []
    """
    passed: dict[str, list[Path]] = {}
    files = []

    def unreadable(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):  # what is gone meanwhile is nothing to say
            passed.setdefault(UNREADABLE, []).append(Path(os.fsdecode(error.filename or path)))

    for folder, inside, names in os.walk(path, onerror=unreadable):
        inside[:] = [name for name in inside if not name.startswith(".")]
        for name in names:
            file = Path(folder, name)
            try:
                if name.startswith(".") or file.is_dir():  # a link to a folder
                    continue
                if file.is_file():
                    files.append(file)
                elif file.exists():
                    passed.setdefault(SPECIAL, []).append(file)
            except OSError:  # a link that leads to itself, or a place that nobody may look at
                passed.setdefault(UNREADABLE, []).append(file.parent)
    return Walk(sorted(files), {what: sorted(set(places)) for what, places in passed.items()})


def files_named(path: Path, is_log: Callable[[str], bool]) -> list[Path]:
    """The files at or below a path whose names fit, sorted, hidden folders left out; none where nothing is there."""
    if not path.is_dir():
        return [path] if path.is_file() and is_log(path.name) else []
    return [file for file in walk(path).files if is_log(file.name)]


def run_names(path: Path, folders: Iterable[Path]) -> dict[Path, str]:
    """The run of each folder: its own name, with the folders above it up to ``path`` where two have that name.

    >>> list(run_names(Path("runs"), [Path("runs/a/PPO_1"), Path("runs/b/PPO_1"), Path("runs/c")]).values())
    ['a/PPO_1', 'b/PPO_1', 'c']
    """
    folders = list(folders)
    own = [folder.resolve().name for folder in folders]
    count = Counter(own)
    return {
        folder: name if count[name] == 1 or folder == path else folder.relative_to(path).as_posix()
        for folder, name in zip(folders, own, strict=True)
    }


def first_line(file: Path, most: int = 1 << 20) -> bytes:
    """The first line of a file with its end, at most so many bytes of it; nothing where it cannot be read."""
    try:
        with open_binary(file) as opened:
            return opened.readline(most)
    except ValueError:
        return b""


def is_plain(path: Path) -> bool:
    """Whether a path is a file that may be opened: no folder, pipe, socket or device."""
    try:
        return size_of(path) >= 0
    except ValueError:
        return False

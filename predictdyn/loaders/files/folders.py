"""Folders of runs: which files lie below a path, and what the runs in them are called."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, NamedTuple

from predictdyn.loaders.files.contents import open_binary

UNREADABLE = "folder(s) or link(s) passed over that cannot be read"
SPECIAL = "pipe(s), socket(s) or device(s) passed over"


class Walk(NamedTuple):
    """The plain files below a folder, sorted; ``passed`` counts what else is there, with its places."""

    files: list[Path]
    passed: dict[str, list[Path]]


def walk(path: Path, *, hidden: bool = False) -> Walk:
    """All plain files below a folder, hidden ones only if asked for; what cannot be read is passed over.

    Links to files count, links to folders are not followed: they may lead back.

    >>> walk(Path("/no/such/folder")).files
    []
    """
    passed: dict[str, list[Path]] = {}
    files = []

    def unreadable(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):  # what is gone meanwhile is nothing to say
            passed.setdefault(UNREADABLE, []).append(Path(os.fsdecode(error.filename or path)))

    for folder, inside, names in os.walk(path, onerror=unreadable):
        inside[:] = [name for name in inside if hidden or not name.startswith(".")]
        for name in names:
            file = Path(folder, name)
            if not hidden and name.startswith("."):
                continue
            try:
                if file.is_file():
                    files.append(file)
                elif file.exists() and not file.is_dir():  # a link to a folder is one, too
                    passed.setdefault(SPECIAL, []).append(file)
            except OSError:  # a link that leads to itself, or a place that nobody may look at
                passed.setdefault(UNREADABLE, []).append(file)
    return Walk(sorted(files), {what: sorted(set(places)) for what, places in passed.items()})


def files_named(path: Path, is_log: Callable[[str], bool], *, hidden: bool = False) -> list[Path]:
    """The files at or below a path whose names fit, sorted, as `walk` finds them; none where nothing is there."""
    if not path.is_dir():
        return [path] if is_file(path) and is_log(path.name) else []
    return [file for file in walk(path, hidden=hidden).files if is_log(file.name)]


def is_file(file: Path) -> bool:
    """Whether there is a file that can be asked for: nothing that cannot be reached, no pipe, no device."""
    try:
        return file.is_file()
    except OSError:
        return False


def run_names(path: Path, folders: Iterable[Path]) -> dict[Path, str]:
    """The run of each folder: its own name, with the folders above it up to ``path`` where two have that name.

    >>> list(run_names(Path("runs"), [Path("runs/a/PPO_1"), Path("runs/b/PPO_1"), Path("runs/c")]).values())
    ['a/PPO_1', 'b/PPO_1', 'c']
    """
    folders = list(folders)
    own = [folder.resolve().name for folder in folders]
    times = Counter(own)
    return {
        folder: name if times[name] == 1 or folder == path else folder.relative_to(path).as_posix()
        for folder, name in zip(folders, own, strict=True)
    }


def first_line(file: Path, most: int = 1 << 20) -> bytes:
    """The first line of a file with its end, at most so many bytes of it; nothing where it cannot be read."""
    return _read(file, lambda opened: opened.readline(most))


def beginning(file: Path, most: int) -> bytes:
    """The first bytes of a file, at most so many; nothing where it cannot be read."""
    return _read(file, lambda opened: opened.read(most))


def _read(file: Path, some: Callable[[IO[bytes]], bytes]) -> bytes:
    """Some bytes of a file, unzipped where its name ends in .gz."""
    try:
        with open_binary(file) as opened:
            return some(opened)
    except ValueError:
        return b""

"""Folders of runs: which files lie below a path, and what the runs in them are called."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, cast


def files_named(path: Path, is_log: Callable[[str], bool], *, hidden: bool = False) -> list[Path]:
    """The files at or below a path whose names fit, sorted; none where nothing is there.

    Hidden files and folders are left out unless asked for. Folders that must not be read, pipes and devices always are.
    """
    if not path.is_dir():
        return [path] if path.is_file() and is_log(path.name) else []
    found = []
    for folder, below, names in os.walk(path):  # what cannot be listed is passed over
        below[:] = [name for name in below if hidden or not name.startswith(".")]
        files = [Path(folder, name) for name in names if (hidden or not name.startswith(".")) and is_log(name)]
        found += [file for file in files if is_file(file)]
    return sorted(found)


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
    return {
        folder: name if own.count(name) == 1 or folder == path else folder.relative_to(path).as_posix()
        for folder, name in zip(folders, own, strict=True)
    }


def first_line(file: Path, most: int = 1 << 20) -> bytes:
    """The first line of a file, at most so many bytes of it; nothing where it cannot be read."""
    return _read(file, lambda opened: opened.readline(most))


def beginning(file: Path, most: int) -> bytes:
    """The first bytes of a file, at most so many; nothing where it cannot be read."""
    return _read(file, lambda opened: opened.read(most))


def _read(file: Path, some: Callable[[IO[bytes]], bytes]) -> bytes:
    """Some bytes of a file, unzipped where its name ends in .gz."""
    if not is_file(file):
        return b""
    try:
        with gzip.open(file, "rb") if file.suffix.lower() == ".gz" else file.open("rb") as opened:
            return some(cast(IO[bytes], opened))
    except (OSError, EOFError, zlib.error):
        return b""

"""Folders of runs: which files lie below a path, and what the runs in them are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path


def files_named(path: Path, is_log: Callable[[str], bool]) -> list[Path]:
    """The files at or below a path whose names fit, sorted, hidden folders left out; none where nothing is there."""
    if not path.is_dir():
        return [path] if path.is_file() and is_log(path.name) else []
    found = [file for file in path.rglob("*") if is_log(file.name) and file.is_file()]
    return sorted(file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts))


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
    try:
        if not file.is_file():
            return b""
        with file.open("rb") as opened:
            return opened.readline(most)
    except OSError:
        return b""

"""Which files at a path are logs, and what the runs in them are called."""

from __future__ import annotations

from pathlib import Path

from predictdyn.loaders.files.folders import files_named
from predictdyn.loaders.files.tables import stem


def log_files(path: Path, endings: tuple[str, ...], aside: tuple[str, ...] = ()) -> list[Path]:
    """The log itself, or all logs below a folder but for companions (``aside``); ValueError if there is none."""
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [path]
    files = files_named(path, lambda name: name.lower().endswith(endings) and name not in aside)
    if not files:
        raise ValueError(f"{path}: no {', '.join(endings)} file in this folder")
    return files


def run_names(root: Path, files: list[Path]) -> list[str]:
    """The run of every file: its name without endings, with its folders in front where two files share that name.

    Where all share it, it says nothing, and the folders alone name the runs.

    >>> run_names(Path("x"), [Path("x/a/metrics.jsonl"), Path("x/b/metrics.jsonl")])
    ['a', 'b']
    >>> run_names(Path("x"), [Path("x/a/s1.jsonl"), Path("x/b/s1.jsonl"), Path("x/b/s2.jsonl")])
    ['a/s1', 'b/s1', 'b/s2']
    """
    names = [stem(file) for file in files]
    if len(set(names)) == len(names):
        return names
    folders = [file.relative_to(root).parent.as_posix() for file in files]
    if len(set(names)) == 1 and len(set(folders)) == len(folders) and "." not in folders:
        return folders
    return [(file.relative_to(root).parent / stem(file)).as_posix() for file in files]

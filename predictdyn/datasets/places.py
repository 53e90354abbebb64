"""Where a data set may lie: in the package, in the cache, in the folder that PREDICTDYN_DATA names, at its address."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

from predictdyn.cache import cache
from predictdyn.datasets.table import Entry, File

Place = Literal["bundled", "cached", "in PREDICTDYN_DATA", "to download", "needs a copy"]


def copies() -> Path | None:
    """The folder of copies, one folder a data set, that PREDICTDYN_DATA names; None where it is not set."""
    chosen = os.environ.get("PREDICTDYN_DATA")
    return Path(chosen).expanduser() if chosen else None


def place(one: Entry) -> Place:
    """Where a data set would be taken from. It counts as being in a folder if every file is there and unchanged."""
    if one.bundled:
        return "bundled"
    if _complete(one, cache()):
        return "cached"
    folder = copies()
    if folder is not None and _complete(one, folder):
        return "in PREDICTDYN_DATA"
    return "needs a copy" if one.address is None else "to download"


def holds(path: Path, file: File) -> bool:
    """Whether ``path`` is the file, byte for byte."""
    try:
        return path.stat().st_size == file.bytes and sha256(path) == file.sha256
    except OSError:
        return False


def sha256(path: Path) -> str:
    """The hash of a file, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _complete(one: Entry, folder: Path) -> bool:
    return all(holds(folder / one.name / file.path, file) for file in one.files)

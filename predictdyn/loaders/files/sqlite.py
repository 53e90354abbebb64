"""SQLite files of other tools, read without writing to them and while others write."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from predictdyn.loaders.files.folders import beginning

ENDINGS = (".db", ".sqlite", ".sqlite3")
WAIT = 30.0  # seconds for which a writer may keep us out


def is_sqlite(path: Path) -> bool:
    """Whether a file begins as every SQLite file does."""
    return beginning(path, 16) == b"SQLite format 3\0"


@contextmanager
def reading(path: Path, wait: float = WAIT) -> Iterator[sqlite3.Connection]:
    """A read-only connection, one transaction long: all queries see one state of the file, whoever writes meanwhile.

    Raises ValueError, one line, for every fault of SQLite: no database, damaged, locked for longer than ``wait``
    seconds, a table or column that is not there.
    """
    try:
        about = path.stat()
        key = (about.st_ino, about.st_size, about.st_mtime_ns, os.getpid(), threading.get_ident())
        connection = _opened(path.absolute(), wait, key).connection
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.rollback()
    except (sqlite3.Error, OSError, MemoryError) as error:  # the last where a damaged cell claims gigabytes
        _opened.cache_clear()
        raise ValueError(f"{path}: cannot be read as SQLite ({' '.join(str(error).split()) or 'damaged'})") from None


class _Open:
    """A connection that is closed when nobody has it any more."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        weakref.finalize(self, connection.close)


# To open a database costs as much as to read a run of it: the last one stays open. The key changes with the file.
@lru_cache(maxsize=1)
def _opened(path: Path, wait: float, key: tuple[int, ...]) -> _Open:
    uri = f"{path.as_uri()}?mode=ro"
    return _Open(sqlite3.connect(uri, uri=True, timeout=wait, check_same_thread=False))


def has_tables(path: Path, names: tuple[str, ...]) -> bool:
    """Whether a file is an SQLite database with these tables; ValueError where it is one that cannot be read."""
    if not is_sqlite(path):
        return False
    with reading(path) as connection:
        found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return set(names) <= found


Run = TypeVar("Run")


class Stores(NamedTuple, Generic[Run]):
    """The runs of all databases, and those databases that could not be read: why, by file."""

    runs: list[Run]
    broken: dict[Path, ValueError]


def stores(path: Path, names: tuple[str, ...], found: Callable[[Path], list[Run]]) -> Stores[Run]:
    """What is ``found`` in ``path`` itself, or in the files of this folder (not below) that have these tables."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
    except OSError:
        files = []
    runs: list[Run] = []
    broken: dict[Path, ValueError] = {}
    for file in files:
        if file == path or file.name.lower().endswith(ENDINGS):
            try:
                runs += found(file) if has_tables(file, names) else []
            except ValueError as error:
                broken[file] = error
    return Stores(runs, broken)


def with_journal(path: Path) -> tuple[Path, ...]:
    """The files that a database is in: itself and, while a writer uses one, its write-ahead log."""
    log = path.with_name(f"{path.name}-wal")
    return (path, log) if log.exists() else (path,)

"""The file of a ledger: SQLite in WAL mode, one row an entry, appended in one transaction and never changed."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from predictdyn.ledger.chain import ChainEntry, following

APPLICATION = 0x70644C31  # what `file` and SQLite call this kind of file: pdL1
WAIT = 60.0  # seconds for another writer
RETRY = 0.01  # seconds between two tries where SQLite itself does not wait
PAGE = 4096
SCHEMA = (
    "CREATE TABLE entries (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, hash TEXT NOT NULL, "
    "entry TEXT NOT NULL)",
    "CREATE TRIGGER no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are never changed'); END",
    "CREATE TRIGGER no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are never removed'); END",
)
INSERT = "INSERT INTO entries (number, key, hash, entry) VALUES (?, ?, ?, ?)"


class Inside:
    """A ledger as one transaction sees it."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base

    def entries(self) -> Iterator[ChainEntry]:
        """All entries, in order."""
        return (
            ChainEntry(*row) for row in self._base.execute("SELECT number, hash, entry FROM entries ORDER BY number")
        )

    def last(self) -> ChainEntry | None:
        """The newest entry."""
        row = self._base.execute("SELECT number, hash, entry FROM entries ORDER BY number DESC LIMIT 1").fetchone()
        return None if row is None else ChainEntry(*row)

    def has(self, key: str) -> bool:
        """Whether an entry with this key is there."""
        return self._base.execute("SELECT 1 FROM entries WHERE key = ?", (key,)).fetchone() is not None


class Store:
    """The entries of one file. ``now`` is the clock, which tests turn back."""

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = Path(path)
        self.now = now

    def append(self, make: Callable[[Inside], Sequence[dict[str, Any]]], first: dict[str, Any]) -> list[ChainEntry]:
        """Append what ``make`` gives, all or nothing, but for contents whose ``key`` is there already; what was new.

        ``make`` looks at the ledger inside the transaction: nobody else writes until what it gave is there. A process
        that writes meanwhile is waited for. The file is made where it is missing, with ``first`` as its first entry.
        """
        if self.path.is_dir():
            raise ValueError(
                f"{self.path} is a folder, and a ledger is a file; name one, such as {self.path / 'runs.ledger'}"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._opened(write=True) as base:
            base.execute("BEGIN IMMEDIATE")
            try:
                if not base.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone():
                    create(base)
                inside = Inside(base)
                begun = [] if inside.last() else [first]
                new = self._inserted(base, inside, [*begun, *make(inside)])
                base.execute("COMMIT")
            except BaseException:
                if base.in_transaction:
                    base.execute("ROLLBACK")
                raise
        return new

    def _inserted(
        self, base: sqlite3.Connection, inside: Inside, contents: Sequence[dict[str, Any]]
    ) -> list[ChainEntry]:
        last, new = inside.last(), []
        for content in contents:
            if not inside.has(str(content["key"])):
                last = following(content, last, self.now())
                base.execute(INSERT, (last.number, content["key"], last.hash, last.text))
                new.append(last)
        return new

    def entries(self) -> Iterator[ChainEntry]:
        """All entries, in order. Raises ValueError where the file is no ledger, or is damaged."""
        with self._opened() as base:
            yield from () if empty(base) else Inside(base).entries()

    def last(self) -> ChainEntry | None:
        """The newest entry."""
        with self._opened() as base:
            return None if empty(base) else Inside(base).last()

    @contextmanager
    def _opened(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        if not write and not self.path.is_file():
            raise ValueError(
                f"there is no ledger {self.path}; `predictdyn register` or register(forecast, ledger) makes one"
            )
        with faults_told(self.path), closing(connected(self.path, write=write)) as base:
            yield base


def connected(path: Path, *, write: bool = False) -> sqlite3.Connection:
    """A connection in which nothing is committed by itself; to read, nothing is written beside the file."""
    if write:
        base = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
        base.execute(f"PRAGMA page_size = {PAGE}")
        _write_ahead(base)
        base.execute("PRAGMA synchronous = FULL")
        return base
    # SQLite makes two files beside one that is read, and only who may write takes them away again. In a folder that
    # cannot be written it cannot make them, and where none lies there none is needed.
    free = os.access(path.parent, os.W_OK) and os.access(path, os.W_OK)
    how = "mode=rw" if free else "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    base = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=WAIT, isolation_level=None)
    base.execute("PRAGMA query_only = 1")
    return base


def _write_ahead(base: sqlite3.Connection) -> None:
    """Set WAL mode. SQLite waits for no other writer in this, since two that make a file would wait for each other."""
    end = time.monotonic() + WAIT
    while True:
        try:
            base.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                base.close()
                raise
        time.sleep(RETRY)


def empty(base: sqlite3.Connection) -> bool:
    """Whether the first writer was killed before it had written: the file is there, and holds no table at all."""
    (pages,) = base.execute("PRAGMA page_count").fetchone()
    (things,) = base.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(pages <= 1 and things == 0)


def create(base: sqlite3.Connection) -> None:
    """The empty table, and triggers that refuse to change it."""
    for statement in SCHEMA:
        base.execute(statement)
    base.execute(f"PRAGMA application_id = {APPLICATION}")


@contextmanager
def faults_told(path: Path) -> Iterator[None]:
    """What SQLite refuses, as what it is: bad input (ValueError) or a refusal of the machine (OSError)."""
    try:
        yield
    except sqlite3.Error as error:
        code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
        numbers = {
            sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS, sqlite3.SQLITE_PERM: errno.EACCES,
            sqlite3.SQLITE_CANTOPEN: errno.EACCES, sqlite3.SQLITE_IOERR: errno.EIO,
        }  # fmt: skip
        if code == sqlite3.SQLITE_BUSY:
            raise ValueError(
                f"{path} is being written by another command; wait until it ends, then try again"
            ) from None
        if code in numbers:
            raise OSError(numbers[code], os.strerror(numbers[code]), str(path)) from None
        raise ValueError(
            f"{path} is no ledger, or it is damaged ({error}); `ledger import` makes a ledger from an export"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: an entry is not text ({error.reason})") from None

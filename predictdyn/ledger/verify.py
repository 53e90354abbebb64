"""Verify: is every entry as it was written, and every byte of the file where SQLite would have put it?"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from predictdyn.ledger.chain import SHORT, ChainEntry, checked_head, faults
from predictdyn.ledger.export import LINES, read_export
from predictdyn.ledger.store import INSERT, PAGE, Store, connected, create, faults_told

HEADER = 100  # bytes
# Counters in the header that say how often and by which version of SQLite the file was written.
COUNTED = ((24, 28), (92, 100))


class Verified(NamedTuple):
    """What was found: ``faults`` of the entries, ``notes`` on bytes that hold no entry, and the head of the chain."""

    size: int
    head: str
    faults: list[str]
    notes: list[str]

    @property
    def whole(self) -> bool:
        """Whether every entry is as it was written."""
        return not self.faults


def verify(store: Store, head: str | None = None) -> Verified:
    """Check every entry and every byte of a ledger's file, or of an export.

    ``head`` is a hash that was quoted once, or its first letters. Raises ValueError where the file cannot be read as a
    ledger at all, or ``head`` is no hash.
    """
    wanted = None if head is None else checked_head(head)
    exported = store.path.is_dir() or store.path.suffix == LINES
    if not exported and not store.path.is_file():
        store.last()  # which says that there is none
    entries, keys = (list(read_export(store.path)), None) if exported else _rows(store.path)
    found = faults(entries, wanted)
    for entry, key in zip(entries, keys or [], strict=keys is not None):
        if f'"key":"{key}"' not in entry.text:
            found.append(f"entry {entry.number} is filed under a key that is not its own")
    if not entries:
        found.append("it holds no entry")
    notes = bytes_moved(store.path, entries, keys) if keys is not None and not found else []
    return Verified(len(entries), entries[-1].hash[:SHORT] if entries else "", found, notes)


def _rows(path: Path) -> tuple[list[ChainEntry], list[str] | None]:
    with faults_told(path), closing(connected(path)) as base:
        (health,) = base.execute("PRAGMA integrity_check(1)").fetchone()
        if health != "ok":
            raise ValueError(f"{path} is damaged: {' '.join(str(health).split())}")
        rows = base.execute("SELECT number, key, hash, entry FROM entries ORDER BY number").fetchall()
    for row in rows:
        if not (isinstance(row[0], int) and all(isinstance(word, str) for word in row[1:])):
            raise ValueError(f"{path} is damaged: entry {row[0]} holds bytes where text was written")
    return [ChainEntry(number, stored, text) for number, _, stored, text in rows], [key for _, key, *_ in rows]


def bytes_moved(path: Path, entries: list[ChainEntry], keys: list[str]) -> list[str]:
    """A line where the file differs from one that is written afresh with the same entries: no entry is changed then.

    The order of writing alone says where SQLite puts what, so equal entries give equal files, but for the counters of
    its header. A WAL that waits to be taken over, or another version of SQLite, is a reason to differ.
    """
    if Path(f"{path}-wal").exists() and Path(f"{path}-wal").stat().st_size:
        return []
    here = path.read_bytes()
    there = _afresh(entries, keys)
    version = int.from_bytes(here[96:100], "big")
    if (
        version
        != sqlite3.sqlite_version_info[0] * 1_000_000
        + sqlite3.sqlite_version_info[1] * 1_000
        + (sqlite3.sqlite_version_info[2])
    ):
        return [f"the file was last written by another version of SQLite ({version}), so unused bytes are not compared"]
    if here[24:28] != here[92:96]:
        return ["a counter in the header of the file was edited; no entry is changed"]
    blank = bytearray(here[:HEADER]), bytearray(there[:HEADER])
    for first, last in COUNTED:
        for one in blank:
            one[first:last] = bytes(last - first)
    # A file that was never closed well says that it is in WAL mode; a copy in memory cannot be.
    for one in blank:
        one[18:20] = b"\2\2"
    if here[18:20] != b"\2\2" or blank[0] != blank[1] or here[HEADER:] != there[HEADER:]:
        return ["bytes of the file that hold no entry were edited; no entry is changed"]
    return []


def _afresh(entries: list[ChainEntry], keys: list[str]) -> bytes:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as base:
        base.execute(f"PRAGMA page_size = {PAGE}")
        base.execute("BEGIN")
        create(base)
        base.executemany(
            INSERT, ((one.number, key, one.hash, one.text) for one, key in zip(entries, keys, strict=True))
        )
        base.execute("COMMIT")
        return base.serialize()

"""Export and import: a ledger as JSON lines, or as a folder of one file an entry, which git shows line by line."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from predictdyn.backtest.writing import folder_again, new_folder, recovered
from predictdyn.ledger.chain import BEGIN, ChainEntry, canonical, digest, faults
from predictdyn.ledger.store import INSERT, Store, create, faults_told

HEAD = "HEAD"  # the file of a folder that names the newest hash
LINES = ".jsonl"


def export(store: Store, out: Path) -> int:
    """Write all entries to ``out``: JSON lines where its name ends so, else a folder; how many there are.

    A line is {"entry": text, "hash": ..., "number": ...}. A file of a folder is the text of its entry and nothing else,
    so that `sha256sum` gives its hash, and ``HEAD`` holds the newest. An export of before is written anew. Raises
    ValueError where anything else stands there: also an export that holds more than the ledger, which may be a backup.
    """
    entries = list(store.entries())
    if out.suffix != LINES:
        recovered(out)
    again = out.exists() and not (out.is_dir() and out.suffix != LINES and not any(out.iterdir()))
    if again:
        _check_older(out, entries)
    if out.suffix == LINES:
        aside = out.with_name(f".{out.name}.partial")
        out.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("w", encoding="ascii", newline="\n") as opened:
            for entry in entries:
                opened.write(canonical({"number": entry.number, "hash": entry.hash, "entry": entry.text}) + "\n")
        aside.replace(out)
        return len(entries)
    with folder_again(out, HEAD, "export") if again else new_folder(out) as folder:
        for entry in entries:
            (folder / _name(entry.number)).write_text(entry.text, encoding="ascii", newline="")
        (folder / HEAD).write_text(f"{entries[-1].hash if entries else BEGIN}\n", encoding="ascii")
    return len(entries)


def _check_older(out: Path, entries: list[ChainEntry]) -> None:
    """Raises ValueError where ``out`` is anything but an export whose entries are the first, or all, of ``entries``."""
    way = "nothing was overwritten; choose another name, or move it away first"
    lines = out.suffix == LINES
    if lines == out.is_dir():
        raise ValueError(f"{out} is a {'folder' if lines else 'file'}, and no export of this ledger; {way}")
    strange = [] if lines else [file.name for file in sorted(out.iterdir()) if not _is_own(file)]
    if strange:
        raise ValueError(f"{out} holds {strange[0]}, which no export wrote; {way}")
    try:
        before = list(read_export(out))
    except ValueError as error:
        raise ValueError(f"{error}; {way}") from None
    if len(before) > len(entries) and before[: len(entries)] == entries:
        raise ValueError(f"{out} is an export of {len(before)} entries, and this ledger has {len(entries)} only; {way}")
    if before != entries[: len(before)]:
        raise ValueError(f"{out} is an export of another ledger, or was edited; {way}")


def _is_own(file: Path) -> bool:
    """Whether a file of a folder is one that an export writes."""
    return file.is_file() and (file.name == HEAD or (file.suffix == ".json" and file.stem.isdigit()))


def read_export(path: Path) -> Iterator[ChainEntry]:
    """The entries of an export, as they stand there. Raises ValueError for what is no export."""
    if path.is_dir():
        names = sorted(file.name for file in path.glob("*.json"))
        if not names:
            raise ValueError(f"{path} holds no entries of a ledger")
        entries = []
        for name in names:
            if not name[:-5].isdigit() or name != _name(int(name[:-5])):
                raise ValueError(f"{path}: {name} is no entry of a ledger")
            text = _text(path / name)
            entries.append(ChainEntry(int(name[:-5]), digest(text), text))
        head = _text(path / HEAD) if (path / HEAD).is_file() else ""
        if len(head) != 65 or not head.endswith("\n"):
            raise ValueError(f"{path}/{HEAD} does not hold one hash")
        head = head[:-1]
        # The files have no hashes beside them; what HEAD says is the hash that the last must have.
        yield from entries[:-1]
        yield entries[-1]._replace(hash=head)
        return
    text = _text(path)
    if not text.endswith("\n"):
        raise ValueError(f"{path} does not end with a whole line: its end is missing")
    for number, line in enumerate(text[:-1].split("\n"), start=1):
        try:
            row = json.loads(line)
            if canonical(row) != line or set(row) != {"number", "hash", "entry"}:
                raise ValueError
            yield ChainEntry(int(row["number"]), str(row["hash"]), str(row["entry"]))
        except (ValueError, TypeError, RecursionError):
            raise ValueError(f"{path}, line {number} is no entry of a ledger") from None


def import_(path: Path, store: Store) -> int:
    """Make a ledger of an export, which must be whole; how many entries it has. Raises ValueError where it is not."""
    if store.path.exists():
        raise ValueError(f"{store.path} exists already; choose another name for the new ledger")
    entries = list(read_export(path))
    if found := faults(entries) or ([] if entries else ["it holds no entry"]):
        raise ValueError(f"{path} is no whole export, so nothing was imported: {found[0]}")
    aside = store.path.with_name(f".{store.path.name}.partial")
    aside.unlink(missing_ok=True)
    store.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with faults_told(aside), closing(sqlite3.connect(aside, isolation_level=None)) as base:
            base.execute("PRAGMA page_size = 4096")
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("BEGIN")
            create(base)
            base.executemany(INSERT, ((one.number, one.content["key"], one.hash, one.text) for one in entries))
            base.execute("COMMIT")
        aside.replace(store.path)
    finally:
        for left in aside.parent.glob(f"{aside.name}*"):
            left.unlink()
    return len(entries)


def _name(number: int) -> str:
    return f"{number:06d}.json"


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("ascii")
    except UnicodeDecodeError:
        raise ValueError(f"{file} is no export of a ledger: it holds bytes that no export has") from None

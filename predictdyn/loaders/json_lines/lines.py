"""Files of one JSON object a line, or one document of such rows, become tables of rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn.loaders.files.contents import open_binary, read_bytes
from predictdyn.loaders.files.folders import first_line
from predictdyn.loaders.files.json_rows import CUT, WRONG_LINES, flat
from predictdyn.loaders.files.tables import Table, place
from predictdyn.loaders.json_lines.documents import may_be_document, records_in
from predictdyn.loaders.tables.clock import STEP_NAMES, has_clock, named
from predictdyn.loaders.tables.runs import UNREAD

ENDINGS = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
LARGEST = 1 << 26  # bytes of a file that may be one document
HEAD = 1 << 16  # bytes that tell whether a file may be one document
ASKED = 20  # lines of a file that are looked at


def is_lines(file: Path) -> bool:
    """Whether a file holds lines of JSON: by its ending, else if all of its first lines, two at least, are objects that
    have a clock, or if it is one document of rows (`documents.records_in`).
    """
    if file.name.lower().endswith(ENDINGS):
        return True
    try:
        with open_binary(file) as opened:
            lines = [line for line in (opened.readline(1 << 20) for _ in range(ASKED)) if line.strip()]
    except (OSError, EOFError, ValueError):
        return False
    if lines and may_be_document(b"".join(lines)) and (records := _document(file)) is not None:
        return any(has_clock(dict(flat(record))) for record in records[:ASKED])
    objects = [_object(line) for line in lines]
    if objects and objects[-1] is None and not lines[-1].endswith(b"\n"):
        objects.pop()  # the last line is being written
    whole = [record for record in objects if record is not None]
    return len(whole) == len(objects) >= 2 and any(has_clock(record) for record in whole)


def keys_of(file: Path) -> list[str]:
    """The keys of the first line of a file, if it is a JSON object, else none."""
    return list(_object(first_line(file)) or {})


def _document(file: Path) -> list[dict[str, object]] | None:
    try:
        return records_in(read_bytes(file)) if file.stat().st_size <= LARGEST else None
    except (ValueError, OSError):
        return None


def _object(line: bytes) -> dict[str, object] | None:
    try:
        record = json.loads(line)
        return dict(flat(record)) if isinstance(record, dict) else None
    except (ValueError, RecursionError):
        return None


def read_lines(path: Path, step: str | None, *, strict: bool = False) -> Table:
    """The rows of a file that have a step, one column a key; ``strict``: ValueError for a line that is no object."""
    return _with_steps(_read(path, strict), step)


def _read(path: Path, strict: bool) -> Table:
    raw = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    notes: Counter[str] = Counter()
    if may_be_document(raw[:HEAD]) and (document := records_in(raw)) is not None:
        records = [(number, dict(flat(record))) for number, record in enumerate(document, 1)]
    else:
        records = list(_records(path, raw.split(b"\n"), strict, notes))
    if not records:
        raise ValueError(f"{path}: empty, expected one JSON object a line")
    cells: dict[str, list[object]] = {}
    for i, (_, record) in enumerate(records):
        for name, cell in record.items():
            cells.setdefault(name.strip(), [None] * len(records))[i] = cell
    columns = {name: pd.Series(column, dtype=object) for name, column in cells.items()}
    line_numbers = np.array([number for number, _ in records], dtype=int)
    return Table(path, pd.DataFrame(columns, index=pd.RangeIndex(len(records))), line_numbers, dict(notes))


def _records(path: Path, lines: Sequence[bytes], strict: bool, notes: Counter[str]):  # type: ignore[no-untyped-def]
    """The line number and the flat object of each line; what is no object is counted, or, if strict, an error."""
    full = [number for number, line in enumerate(lines, 1) if line.strip(b" \t\r\0")]
    for number in full:
        line = lines[number - 1].strip(b" \t\r\0")
        record = _object(line)
        if record is not None:
            yield number, record
        elif number == full[-1] and number != full[0] and _is_cut(line):
            notes[CUT] += 1
        elif strict or number == full[0] == full[-1]:
            raise ValueError(
                f"{place(path, number)}: {_fault(line)}, expected one JSON object a line such as "
                f'{{"step": 1, "loss": 2.5}}, the line begins with {line[:40].decode("utf-8", errors="replace")!r}'
            )
        else:
            notes[WRONG_LINES] += 1


def _fault(line: bytes) -> str:
    try:
        json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return "not UTF-8 text"
    except (ValueError, RecursionError):
        return "not JSON"
    return "not an object"


def _is_cut(line: bytes) -> bool:
    """Whether a line that is no JSON begins an object and stops before its end (and is not simply wrong inside)."""
    if not line.startswith(b"{"):
        return False
    text = line.decode("utf-8", errors="ignore")
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        # Half a word (tru, -, 1e) or an open string is reported where it begins, not at the end of the line.
        rest = text[error.pos :]
        return not rest.strip() or rest.startswith('"') or "Unterminated" in error.msg or rest.isalnum() or rest in "-,"
    except (ValueError, RecursionError):
        return False
    return True


def _with_steps(table: Table, step: str | None) -> Table:
    """The rows that have a step; how many have none is counted."""
    name = step if step is not None else named(table, STEP_NAMES)
    if name is None or name not in table.cells:
        return table  # what is missing is said, with what was found, when columns are chosen
    without = table.cells[name].isna().to_numpy()
    if without.any() and not without.all():
        notes = {**table.notes, UNREAD: table.notes.get(UNREAD, 0) + int(without.sum())}
        return Table(table.path, table.cells[~without].reset_index(drop=True), table.line[~without], notes)
    return table

"""Lines of JSON objects that trainers append to a file, as flat rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from predictdyn.loaders.files.contents import split_lines, written

CUT = "last line(s) cut short, dropped"
WRONG_LINES = "line(s) dropped that are no JSON object"
DEEPEST = 100  # levels; Python itself gives up at some hundreds, wherever it happens to be


class FileRows(NamedTuple):
    """One mapping a line, nested names joined by /, and what was dropped: reason and count."""

    rows: list[dict[str, object]]
    dropped: Counter[str]


def json_rows(raw: bytes) -> FileRows:
    """The objects of a file; a last line without an end that is no object yet was being written.

    >>> json_rows(b'{"a": 1, "b": {"c": NaN}}' + bytes([10]) + b'{"a": 2')
    FileRows(rows=[{'a': 1, 'b/c': nan}], dropped=Counter({'last line(s) cut short, dropped': 1}))
    """
    lines = split_lines(raw.removeprefix(b"\xef\xbb\xbf"))
    rows: list[dict[str, object]] = []
    dropped: Counter[str] = Counter()
    for i, line in enumerate(lines):
        if line.strip(b" \t\r\0"):  # a crash of the machine may leave zeros behind
            try:
                record = json.loads(line)
                rows.append(dict(flat(record)))
            except (ValueError, AttributeError, RecursionError):
                dropped[CUT if i == len(lines) - 1 else WRONG_LINES] += 1
    return FileRows(rows, dropped)


def json_number(cell: object) -> float | None:
    """A number of JSON (NaN and infinity are some, true is not), else None.

    >>> json_number(2), json_number(True), json_number("2"), json_number(10**400)
    (2.0, None, None, None)
    """
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    try:
        return float(cell)
    except OverflowError:
        return None


def flat(record: Mapping[str, object], front: str = "", level: int = 1) -> Iterator[tuple[str, object]]:
    """The values of nested mappings with names joined by /, without the blanks around them.

    Raises AttributeError for what is no mapping; ValueError for more than `DEEPEST` levels, and where two names are
    one without their blanks.

    >>> dict(flat({" lr": 0.1, "model": {"depth": 2}}))
    {'lr': 0.1, 'model/depth': 2}
    """
    if level > DEEPEST:
        raise ValueError(f"objects in objects, more than {DEEPEST} levels deep")
    stripped: set[str] = set()
    for key, value in record.items():
        name = written(key.strip())
        if name != key:
            if name in record or name in stripped:
                raise ValueError(f"the name {name!r} is there twice, once with blanks around it")
            stripped.add(name)
        if isinstance(value, dict):
            yield from flat(value, f"{front}{name}/", level + 1)
        else:
            yield f"{front}{name}", written(value) if isinstance(value, str) else value

"""Rows of CSV files that trainers append to, complete or cut short."""

from __future__ import annotations

import csv
from collections import Counter

from predictdyn.loaders._json_rows import CUT, Rows
from predictdyn.loaders._tables import HEADER_AGAIN

WRONG_LINES = "line(s) dropped with other cells than the header says"


def csv_rows(raw: bytes) -> Rows:
    """One mapping of column to text a row, blank cells left out; a last line without an end may lack digits.

    >>> csv_rows(b"step,loss,acc" + bytes([10]) + b"1,2.5," + bytes([10]) + b"2,2.")
    Rows(rows=[{'step': '1', 'loss': '2.5'}], dropped=Counter({'last line(s) cut short, dropped': 1}))
    """
    *lines, rest = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    dropped: Counter[str] = Counter()
    if rest.strip(b" \t\r\0"):
        dropped[CUT] += 1
    # A CSV reader must see the line ends: a cell in quotes may hold some. Strict, or an open quote swallows the rest.
    reader = csv.reader((f"{line.decode('utf-8', errors='replace')}\n" for line in lines), strict=True)
    names: list[str] | None = None
    rows: list[dict[str, object]] = []
    while True:
        before = reader.line_num
        try:
            cells = next(reader, None)
        except csv.Error:
            dropped[WRONG_LINES] += reader.line_num - before
            continue
        if cells is None:
            return Rows(rows, dropped)
        if not any(cell.strip() for cell in cells):
            continue
        if names is None:
            names = [cell.strip() for cell in cells]
        elif [cell.strip() for cell in cells] == names:
            dropped[HEADER_AGAIN] += 1
        elif len(cells) != len(names):
            dropped[WRONG_LINES] += reader.line_num - before
        else:
            rows.append({name: cell for name, cell in zip(names, cells, strict=True) if cell.strip()})


def csv_names(raw: bytes) -> list[str]:
    """The names of the columns, none where the first line is cut short.

    >>> csv_names(b"step,loss" + bytes([10]) + b"1,2.5")
    ['step', 'loss']
    """
    head, end, _ = raw.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    names = next(csv.reader([head.decode("utf-8", errors="replace").rstrip("\r")]), []) if end else []
    return [name.strip() for name in names]

"""Rows of CSV files that trainers append to, complete or cut short; and what holds for all CSV files.

Separators are comma, tab and semicolon, found from the first two lines. Blanks around names are no part of them. A line
that says the names of the columns once more is no row: loggers that append write one at each start.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from predictdyn.loaders.files.contents import split_lines
from predictdyn.loaders.files.json_rows import CUT, FileRows

WRONG_LINES = "line(s) dropped with other cells than the header says"
AGAIN = "line(s) passed over that repeat the header"
SEPARATORS = (",", "\t", ";")
HEAD = 1 << 22  # bytes in which the header of a file must end
MARK = "\ufeff"  # of UTF-8, which some programs write before the first name
NAMELESS = re.compile(r"(Unnamed: \d+(\.\d+)?)?")  # "" as pandas writes an index, the rest as it writes it once more


def csv_rows(raw: bytes) -> FileRows:
    """One mapping of column to text a row, blank cells left out; a last line without an end may lack digits.

    Columns without a name are left out: they are an index. Raises ValueError where two columns have one name.

    >>> csv_rows(b"step, loss,acc" + bytes([10]) + b"1,2.5," + bytes([10]) + b"2,2.")
    FileRows(rows=[{'step': '1', 'loss': '2.5'}], dropped=Counter({'last line(s) cut short, dropped': 1}))
    """
    *lines, rest = split_lines(raw)
    dropped: Counter[str] = Counter()
    if rest.strip(b" \t\r\0"):
        dropped[CUT] += 1
    texts = [line.decode("utf-8", errors="replace") for line in lines]
    # A CSV reader must see the line ends: a cell in quotes may hold some. Strict, or an open quote swallows the rest.
    reader = csv.reader((f"{text}\n" for text in texts), strict=True, delimiter=separator(texts))
    names: list[str] | None = None
    named: list[str] = []
    zeros = b"\0" in raw
    rows: list[dict[str, object]] = []
    while True:
        before = reader.line_num
        try:
            cells = next(reader, None)
        except csv.Error:
            dropped[WRONG_LINES] += reader.line_num - before
            continue
        if cells is None:
            return FileRows(rows, dropped)
        if not any(cell.strip(" \t\r\0") for cell in cells):  # a crash of the machine may leave zeros behind
            continue
        if names is None:
            names = clean(cells)
            named = [name if name and not NAMELESS.fullmatch(name) else "" for name in names]
            if (double := twice(names)) is not None:
                raise ValueError(f"column names must be unique, found {double!r} more than once")
        elif len(cells) != len(names) or (zeros and any("\0" in cell for cell in cells)):
            dropped[WRONG_LINES] += reader.line_num - before
        elif repeats(cells, names):
            dropped[AGAIN] += 1
        else:
            rows.append({name: cell for name, cell in zip(named, cells, strict=True) if name and cell.strip()})


def csv_names(raw: bytes) -> list[str]:
    """The names of the columns, none where the first line is cut short or no CSV.

    >>> csv_names(b"step, loss" + bytes([10]) + b"1,2.5")
    ['step', 'loss']
    """
    *lines, _ = split_lines(raw[:HEAD])
    first = [line.decode("utf-8", errors="replace") for line in islice(filter(bytes.strip, lines), 2)]
    return names_of(first) if lines else []


def names_of(lines: Sequence[str], ending: str = ".csv") -> list[str]:
    """The names in the first of some lines, blanks and columns without a name left out; none where it is no CSV.

    >>> names_of([";loss ;acc", "0;2.5;.5"])
    ['loss', 'acc']
    """
    try:
        names = next(csv.reader(lines[:1], delimiter=separator(lines, ending)), [])
    except csv.Error:
        return []
    return [name for name in clean(names) if name]


def separator(lines: Sequence[str], ending: str = ".csv") -> str:
    """The sign between cells: the first that makes as many of the second line as of the first, and more than one.

    Asked first is that of the ending: tab for .tsv, else comma. Where no sign does, the first that splits the header.

    >>> separator(["step;loss", "1;2,5"]), separator(["step,a;b;c", "1,2"]), separator(["a;b"])
    (';', ',', ';')
    """
    first = list(islice((line for line in lines if line.strip()), 2))
    signs = sorted(SEPARATORS, key=lambda sign: sign != ("\t" if ".tsv" in ending else ","))
    widths = {sign: [_width(line, sign) for line in first] for sign in signs}
    splits = [sign for sign in signs if widths[sign] and widths[sign][0] > 1]
    equal = [sign for sign in splits if len(set(widths[sign])) == 1]
    return (equal or splits or signs)[0]


def clean(cells: Sequence[str]) -> list[str]:
    """Names without the blanks around them, and without the mark of UTF-8 before the first."""
    return [cell.lstrip(MARK).strip() for cell in cells[:1]] + [cell.strip() for cell in cells[1:]]


def repeats(cells: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a row says the names of the columns once more, all of them. Names that are all numbers can be a row."""
    if clean(cells[:1]) != list(names[:1]) or clean(cells) != list(names):
        return False
    return not all(re.fullmatch(r"[-+.\deE]*", name) for name in names)


def twice(names: Sequence[str]) -> str | None:
    """The first name in order that is there more than once; "" is none."""
    return min((name for name, count in Counter(names).items() if count > 1 and name), default=None)


def _width(line: str, sign: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=sign), []))
    except csv.Error:
        return 0


def lines_in(text: str) -> Iterator[str]:
    r"""Lines with their ends, which are \n, \r\n, or \r alone.

    >>> list(lines_in("a\rb\r\nc\u2028d"))
    ['a\r', 'b\r\n', 'c\u2028d']
    """
    return iter(io.StringIO(text, newline=""))

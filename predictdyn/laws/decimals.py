"""The decimal sign of a table: a point, or a comma with points between thousands; one decision for all its cells."""

from __future__ import annotations

import re

import pandas as pd

# Cells that can be read in one way only, and those that can be read in both.
_COMMA = re.compile(
    r"[+-]?(\d{1,3}(\.\d{3})+,\d*|\d{1,3}(\.\d{3}){2,}|0+,\d+|\d{4,},\d+|\d+,(\d{1,2}|\d{4,}))(e[+-]?\d+)?", re.I
)
_POINT = re.compile(
    r"[+-]?(\d{1,3}(,\d{3})+\.\d*|\d{1,3}(,\d{3}){2,}|0*\.\d+|\d{4,}\.\d+|\d+\.(\d{0,2}|\d{4,}))(e[+-]?\d+)?", re.I
)
_EITHER = re.compile(r"[+-]?\d{1,3}[.,]\d{3}")
_BY_COMMA = re.compile(r"([+-]?)(\d{1,3}(?:\.\d{3})+|\d+)(?:,(\d*))?(.*)")


def with_points(table: pd.DataFrame, separator: str) -> tuple[pd.DataFrame, str]:
    """A table of text (a column each cell) with decimal points alone, and a line on a decimal comma; else blank.

    Cells such as 2,8066 or 1.234.567 say that the decimal sign is a comma, 2.8066 or 1,234,567 that it is a point.
    Where all could be either, as 2,517, semicolons between columns say that it is a comma. Raises ValueError, one line,
    for cells that contradict each other.

    >>> with_points(pd.DataFrame({"params": ["334", "2.517"], "loss": ["2,8066", "2,4357"]}), ";")[0].values.tolist()
    [['334', '2.8066'], ['2517', '2.4357']]
    """
    sizes = r"\s*(?:[a-zA-Z]{1,8}|%)?"
    cells = [
        (str(name), row, re.sub(sizes + "$", "", cell.strip()) if isinstance(cell, str) else "")
        for name in table for row, cell in enumerate(table[name], 1)
    ]  # fmt: skip
    comma, point = (next((one for one in cells if sign.fullmatch(one[2])), None) for sign in (_COMMA, _POINT))
    either = [one for one in cells if _EITHER.fullmatch(one[2])]
    if comma and point:
        raise ValueError(
            f"{_said(comma)} has a decimal comma, and {_said(point)} a decimal point; write all numbers with one sign"
        )
    if point or not (comma or any("," in one[2] for one in either)):
        return table, ""
    if comma is None:
        if separator != ";":
            return table, ""
        comma = next(one for one in either if "," in one[2])
    grouped = any("." in one[2] and (_COMMA.fullmatch(one[2]) or _EITHER.fullmatch(one[2])) for one in cells)
    points = ", and points stand between thousands" if grouped else ""
    return table.map(_read), f"the decimal sign is a comma, as in {_said(comma)}{points}; no value is lost"


def _read(cell: object) -> object:
    found = _BY_COMMA.fullmatch(cell.strip()) if isinstance(cell, str) else None
    # Words and dates stay as they are.
    if found is None or not re.fullmatch(r"(e[+-]?\d+)?\s*[a-zA-Z]{0,8}%?", found[4]):
        return cell
    return f"{found[1]}{found[2].replace('.', '')}{'.' + found[3] if found[3] else ''}{found[4]}"


def _said(cell: tuple[str, int, str]) -> str:
    return f"{cell[2]} in row {cell[1]} of column {cell[0]!r}"

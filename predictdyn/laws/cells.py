"""Cells of a table of runs as numbers: "7B" and "1.3e9" are read, other text in a column of numbers is refused."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.naming import some

SIZES = {
    "k": 1e3, "m": 1e6, "mn": 1e6, "b": 1e9, "bn": 1e9, "g": 1e9, "t": 1e12, "tn": 1e12,
    "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12,
}  # fmt: skip
BLANK = {"", "-", "–", "?", "na", "n/a", "nan", "none", "null"}
MOSTLY = 0.6  # of the cells that are numbers, from which a column is one of numbers
GAP = 3000.0  # between neighbouring values of a column, from which its units seem mixed
_NUMBER = re.compile(
    # Commas and underscores stand before three digits: 3,14 is not 314.
    r"([+-]?(?:\d{1,3}(?:[,_]\d{3})+(?:\.\d*)?|\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([a-z]{0,8})(%?)",
    flags=re.IGNORECASE,
)
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+(e[+-]?\d+)?\s*", flags=re.IGNORECASE)
_POINTS = re.compile(r"\s*[+-]?\d{1,3}(\.\d{3}){2,}(,\d*)?\s*")


class Column(NamedTuple):
    """A column of numbers (n,), NaN where a cell is blank, and how many cells were text with a number in it."""

    value: np.ndarray
    read: int


def number(cell: object) -> float:
    """A cell as a number: NaN where it is blank. Raises ValueError for other text.

    >>> [number(cell) for cell in ("7B", "1.3e9", " 70M ", "2,048", "12 %", "n/a", "3 million")]
    [7000000000.0, 1300000000.0, 70000000.0, 2048.0, 0.12, nan, 3000000.0]
    """
    if cell is None or (isinstance(cell, float) and np.isnan(cell)) or cell is pd.NA or cell is pd.NaT:
        return float("nan")
    if isinstance(cell, bool | np.bool_ | complex | np.complexfloating):
        raise ValueError(f"expected a number, got {cell!r}")
    if not isinstance(cell, str):
        try:
            return float(cell)  # type: ignore[arg-type]
        except OverflowError:  # an integer of more than 308 digits
            return float("inf")
    text = cell.strip()
    if text.lower() in BLANK:
        return float("nan")
    found = _NUMBER.fullmatch(text)
    unit = found[2].lower() if found else ""
    if found is None or (unit and unit not in SIZES):
        raise ValueError(f"expected a number, got {cell!r}")
    return float(re.sub("[_,]", "", found[1])) * SIZES.get(unit, 1.0) * (0.01 if found[3] else 1.0)


def column(table: pd.DataFrame, name: str) -> Column | None:
    """A column as numbers; None for one of text (names, groups) or of truth values.

    Raises ValueError where most cells are numbers and one is not, since that one is a mistake.
    """
    cells = table[name]
    if pd.api.types.is_bool_dtype(cells) or pd.api.types.is_complex_dtype(cells):
        return None
    if pd.api.types.is_numeric_dtype(cells):
        return Column(cells.to_numpy(dtype=float, na_value=np.nan), 0)
    value, wrong = np.full(len(cells), np.nan), []
    for row, cell in enumerate(cells):
        try:
            value[row] = number(cell)
        except (ValueError, TypeError):
            wrong.append(row)
    pointed = [row for row in wrong if isinstance(cells.iloc[row], str) and _POINTS.fullmatch(cells.iloc[row])]
    if pointed:
        raise ValueError(
            f"column {name!r} holds {cells.iloc[pointed[0]]!r} in row {pointed[0] + 1}, and points between "
            "thousands are not read; leave them out"
        )
    commas = [row for row in wrong if isinstance(cells.iloc[row], str) and _DECIMAL_COMMA.fullmatch(cells.iloc[row])]
    if commas and len(commas) == len(wrong):
        raise ValueError(
            f"column {name!r} holds {cells.iloc[commas[0]]!r} in row {commas[0] + 1}, and a decimal comma is not read; "
            "write a point"
        )
    if not np.isfinite(value).any():
        return None
    if wrong:
        if np.isfinite(value).mean() < MOSTLY:
            return None
        raise ValueError(
            f"column {name!r} holds {cells.iloc[wrong[0]]!r} in row {wrong[0] + 1}, where {len(cells) - len(wrong)} of "
            f"{len(cells)} cells are numbers; write a number there, such as 7e9 or 7B, or leave it blank"
        )
    return Column(value, sum(isinstance(cell, str) for cell in cells))


def mixed_units(name: str, value: np.ndarray) -> str:
    """A line on a column (n,) whose values lie in two units, such as 7 beside 7e9; blank where they do not.

    >>> "between 13" in mixed_units("params", np.array([7.0, 13.0, 7e9])), mixed_units("params", np.array([7e7, 7e9]))
    (True, '')
    """
    found = np.unique(value[np.isfinite(value) & (value > 0)])
    if len(found) < 2:
        return ""
    gaps = np.diff(np.log(found))
    at = int(np.argmax(gaps))
    low, high = float(found[at]), float(found[at + 1])
    if gaps[at] < np.log(GAP):
        return ""
    below = int((value <= low).sum())
    return (
        f"column {name} seems to mix units: nothing lies between {low:g} ({below} row(s) up to there) and {high:g}; if "
        "so the law is wrong; write all of them in one unit"
    )


def said(names: list[str]) -> str:
    """A line on columns of text that were read as numbers; blank where there are none."""
    return f"column(s) {some(names)} hold text such as 7B or 1.3e9, read as numbers; no value is lost" if names else ""

"""CSV and parquet files as they stand, with every fault named by file and line."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.loaders.files.contents import open_binary, read_text, refuse_bomb, size_of
from predictdyn.loaders.files.csv_rows import (
    AGAIN,
    HEAD,
    NAMELESS,
    clean,
    lines_in,
    names_of,
    repeats,
    separator,
    twice,
)

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
INDEX = ("index", "level_0")  # as pandas calls an index that becomes a column
COUNTED = "column(s) left out that only count rows"
NAMED = "column(s) without a name called by their place"
WIDE = 8  # bytes of a cell in memory, at least


class Table(NamedTuple):
    """The cells of one file (CSV: text, as written; parquet: as stored) and the line of each row in it.

    ``notes`` counts what was left out or named, by the words for it.
    """

    path: Path
    cells: pd.DataFrame
    line: np.ndarray  # (rows,) the line in a text file, the row in a parquet file
    notes: Mapping[str, int] = {}

    def where(self, row: int) -> str:
        """Words for the place of a row (counted from 0)."""
        return place(self.path, int(self.line[row]))


class Numbers(NamedTuple):
    """A column as numbers, each (rows,): NaN in ``value`` where ``blank`` or ``wrong``, or where NaN was written."""

    value: np.ndarray
    blank: np.ndarray
    wrong: np.ndarray  # neither a number nor blank


def place(path: Path, line: int) -> str:
    """Words for a place: the file and, unless it is 0, the line (row in parquet)."""
    word = "row" if path.suffix == ".parquet" else "line"
    return f"{path}, {word} {line}" if line else str(path)


def is_table(path: Path) -> bool:
    """Whether the name is that of a table this project reads: .csv, .tsv (both also .gz) or .parquet."""
    return path.name.lower().endswith(TABLES)


def stem(path: Path) -> str:
    """The file name without its endings: log.csv.gz is log, and step.1.csv is step.1."""
    return re.sub(r"\.(csv|tsv|parquet|jsonl|ndjson|json)(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def read_table(path: Path, keep: Collection[str] = ()) -> Table:
    """One CSV, TSV (.gz) or parquet file; ValueError, one line, if it is no table with unique column names.

    Blanks around names are taken off. Not read are lines that repeat the header, columns without name and cells, and
    those that only count rows (`is_index`) and are not in ``keep``; other columns without a name get one by their
    place. A repeat of a header, an index and a name by place are counted in ``notes``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text(", step,loss\\n0,10,2.5\\n, step,loss\\n1,20,2.25\\n")
    ...     read = read_table(Path(folder, "a.csv"))
    >>> list(read.cells), list(read.notes.values()), read.line.tolist()
    (['step', 'loss'], [1, 1], [2, 4])
    """
    if path.suffix.lower() == ".parquet":
        size_of(path)
        table = _read_parquet(path)
    else:
        table = _read_csv(path)
    names = [str(name) for name in table.cells]
    if (double := twice(names)) is not None:
        raise ValueError(f"{path}: column names must be unique, found {double!r} more than once")
    return _without_index(table, names, keep)


def header(path: Path) -> list[str]:
    """Only the names of the columns of a CSV, TSV (.gz) or parquet file, without those that have none."""
    if path.suffix.lower() == ".parquet":
        size_of(path)
        return [name for name in clean(_schema(path)) if name and name != "__index_level_0__"]
    with open_binary(path) as file:
        try:
            raw = file.read(1 << 12)
            while len(raw) < HEAD and len(raw.splitlines()) < 4 and (more := file.read(len(raw))):
                raw += more
        except ValueError:
            return []  # reading the whole file will say what is wrong, and where
    lines = (line.rstrip("\r\n") for line in lines_in(raw.decode("utf-8-sig", errors="replace")))
    return names_of(list(islice(filter(str.strip, lines), 2)), path.name.lower())


def is_index(name: str, column: pd.Series) -> bool:
    """Whether a column only counts rows: without a name, or called as pandas calls an index.

    It counts 0, 1, 2, ... or 1, 2, 3, ..., and may begin again, where tables were joined. Without a name it may also
    begin elsewhere and have gaps, where rows were left out.

    >>> [is_index(*one) for one in (("", pd.Series(["0", "1"])), ("Unnamed: 0", pd.Series([1, 2])), ("loss", [0, 1]))]
    [True, True, False]
    """
    if not (NAMELESS.fullmatch(name) or name in INDEX):
        return False
    found = numbers(column)
    if found.wrong.any() or found.blank.any() or not len(found.value):
        return False
    begins = found.value[0]
    step = np.diff(found.value)
    if NAMELESS.fullmatch(name):
        return bool((found.value % 1 == 0).all() and np.all((step > 0) | (found.value[1:] <= begins)))
    return bool(begins in (0, 1) and np.all((step == 1) | (found.value[1:] == begins)))


def _without_index(table: Table, names: Sequence[str], keep: Collection[str]) -> Table:
    """A table without columns that only count rows or have neither name nor cells; one without a name gets one."""
    asked = [i for i, name in enumerate(names) if NAMELESS.fullmatch(name) or name in INDEX]
    if not asked:
        return table
    notes = Counter(table.notes)
    drop, called = set(), list(names)
    for i in asked:
        called[i] = names[i] or f"column {i + 1}"
        column = table.cells.iloc[:, i]
        if called[i] not in keep and is_index(names[i], column):
            notes[COUNTED] += 1
            drop.add(i)
        elif not names[i] and numbers(column).blank.all():
            drop.add(i)
        elif not names[i]:
            notes[NAMED] += 1
    if (double := twice(called)) is not None:
        raise ValueError(f"{table.path}: a column without a name stands beside one that is called {double!r}; name it")
    cells = table.cells.set_axis(called, axis=1).iloc[:, [i for i in range(len(names)) if i not in drop]]
    return table._replace(cells=cells, notes=+notes)


def _schema(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:  # by its path, pyarrow opens no file whose name is no UTF-8
            return list(pq.read_schema(file).names)
    except Exception as error:  # a damaged file can raise nearly anything
        raise _no_parquet(path, error) from None


def _read_parquet(path: Path) -> Table:
    import pyarrow.parquet as pq

    names = _schema(path)
    if (double := twice(clean(names))) is not None:
        raise ValueError(f"{path}: column names must be unique, found {double!r} more than once")
    try:
        with path.open("rb") as file:
            about: Any = pq.read_metadata(file)
        cells = about.num_rows * about.num_columns
    except Exception as error:
        raise _no_parquet(path, error) from None
    refuse_bomb(path, WIDE * cells, size_of(path))
    try:
        with path.open("rb") as file:
            columns = pd.read_parquet(file)
        if not isinstance(columns.index, pd.RangeIndex):
            columns = columns.reset_index()
        columns = columns.reset_index(drop=True).set_axis(clean([str(name) for name in columns]), axis=1)
    except Exception as error:
        raise _no_parquet(path, error) from None
    return Table(path, columns, np.arange(1, len(columns) + 1))


def _no_parquet(path: Path, error: Exception) -> ValueError:
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return ValueError(f"{path}: not a parquet file, or damaged ({said})")


def _read_csv(path: Path) -> Table:
    # Not pandas: it takes a row with one cell too many for an index, and fills rows that are cut short.
    text = read_text(path)
    if (zero := text.find("\0")) >= 0:
        line = sum(1 for _ in lines_in(text[: zero + 1]))
        raise ValueError(f"{place(path, line)}: a NUL byte, which no table has; the file is damaged there")
    sign = separator(list(islice(filter(str.strip, lines_in(text)), 2)), path.name.lower())
    # Strict: a quote that is not closed would swallow the rest of the file.
    reader = csv.reader(lines_in(text), strict=True, delimiter=sign)
    rows: list[list[str]] = []
    places: list[int] = []
    again = whole = 0
    try:
        names = clean(next(reader, []))
        if not any(names):
            raise ValueError(f"{path}: empty, expected a first line of column names")
        whole = reader.line_num
        for row in reader:
            whole = reader.line_num
            if not row:
                continue
            if len(row) != len(names):
                raise ValueError(
                    f"{place(path, reader.line_num)}: expected {len(names)} cells as in line 1, found {len(row)}"
                )
            if repeats(row, names):
                again += 1
                continue
            rows.append(row)
            places.append(reader.line_num)
    except csv.Error as error:
        # Behind what could be read: there a quote opens that is not closed.
        raise ValueError(f"{place(path, whole + 1)}: not a CSV file ({error})") from None
    cells = np.empty((len(names), len(rows)), dtype=object)
    for i, column in enumerate(zip(*rows, strict=True)):
        cells[i] = column
    if sign == ";":
        _refuse_decimal_commas(path, cells, places)
    notes = {AGAIN: again} if again else {}
    return Table(path, pd.DataFrame(cells.T, columns=names, dtype=object), np.array(places, dtype=int), notes)


def _refuse_decimal_commas(path: Path, cells: np.ndarray, line: Sequence[int]) -> None:
    for column in cells:
        for row, cell in enumerate(column):
            if re.fullmatch(r"\s*[-+]?\d+,\d+\s*", cell):
                raise ValueError(
                    f"{place(path, line[row])}: found {cell.strip()[:40]!r}, a decimal comma; write numbers with a "
                    "point (pandas.read_csv with sep=';', decimal=',', then to_csv)"
                )


def numbers(column: pd.Series) -> Numbers:
    """A column as numbers: text is read to the last digit, a blank or null cell is NaN, true and false are no numbers.

    >>> numbers(pd.Series(["1e-3", "", "x"], dtype=object)).wrong.tolist()
    [False, False, True]
    """
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        value = column.to_numpy(dtype=float, na_value=np.nan)
        return Numbers(value, np.isnan(value), np.zeros(len(value), dtype=bool))
    cells = column.to_numpy(dtype=object)
    if (every := _all_numbers(cells)) is not None:
        return Numbers(every, np.zeros(len(cells), dtype=bool), np.zeros(len(cells), dtype=bool))
    found = [_number(cell) for cell in cells]
    value = np.array([np.nan if one is None else one for one in found], dtype=float)
    wrong = np.array([one is None for one in found], dtype=bool)
    blank = np.zeros(len(cells), dtype=bool)
    for row in np.flatnonzero(wrong):
        blank[row] = (
            cells[row] is None or cells[row] is pd.NA or (isinstance(cells[row], str) and not cells[row].strip())
        )
    if column.dtype != object:
        # A NaN that a JSON log writes is a fault, one that stands for null in a typed column is blank.
        blank |= column.isna().to_numpy()
    return Numbers(value, blank, wrong & ~blank)


def _all_numbers(cells: np.ndarray) -> np.ndarray | None:
    """Text cells (n,) that are numbers throughout, as most columns are, at once; else None."""
    try:
        whole = "".join(cells)
        return None if "_" in whole or not whole.isascii() else np.fromiter(map(float, cells), float, len(cells))
    except (TypeError, ValueError):
        return None


def _number(cell: Any) -> float | None:
    """A cell as a number, None where it is none: 1_000 is a name, though Python takes it for one; 12% is 0.12."""
    try:
        if isinstance(cell, bool | np.bool_) or (isinstance(cell, str) and ("_" in cell or not cell.isascii())):
            return None
        if isinstance(cell, str) and cell.rstrip().endswith("%"):
            return float(f"{cell.rstrip()[:-1].rstrip()}e-2")
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return None


def finite(table: Table, name: str) -> np.ndarray:
    """A column (rows,) as numbers, NaN where blank; ValueError for the first cell that is neither."""
    found = numbers(table.cells[name])
    bad = found.wrong | (~np.isfinite(found.value) & ~found.blank)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        cell = repr(table.cells[name].iloc[row])[:60]
        raise ValueError(f"{table.where(row)}: {name} must be a number or blank, found {cell}")
    return found.value


def text(column: pd.Series) -> pd.Series:
    """A column as text, None where blank: 001 and 1e5 stay as they are written.

    Cells of a CSV lose the blanks around them, which are padding; typed columns (parquet) keep theirs.

    >>> text(pd.Series([" a", "001 ", " "], dtype=object)).tolist()
    ['a', '001', nan]
    """
    if isinstance(column.dtype, pd.StringDtype):
        return column.astype("str").where(column != "")
    cells = [cell.strip() if isinstance(cell, str) else "" if _is_null(cell) else str(cell) for cell in column]
    return pd.Series([cell or None for cell in cells], index=column.index, dtype="str")


def _is_null(cell: object) -> bool:
    return cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and cell != cell)


def typed(column: pd.Series) -> pd.Series:
    """A column of a CSV as whole numbers, numbers, truth values or text, whichever fits all cells that are not blank.

    001 is text. Columns that are typed already (parquet) stay as they are.

    >>> [typed(pd.Series(cells, dtype=object)).dtype.kind for cells in (["1", "2"], ["1", ""], ["True", "False"])]
    ['i', 'f', 'b']
    """
    if column.dtype != object:
        return column
    cells = text(column)
    full = cells.dropna()
    if full.isin(["True", "False"]).all() and len(full) == len(cells) > 0:
        return cells == "True"
    if full.str.fullmatch(r"0\d+").any():
        return cells
    if len(full) == len(cells) > 0 and full.str.fullmatch(r"[+-]?\d{1,18}").all():
        return pd.Series([int(cell) for cell in cells], index=column.index, dtype="int64")
    found = numbers(column)
    return cells if found.wrong.any() else pd.Series(found.value, index=column.index)

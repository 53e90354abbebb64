"""CSV and parquet files as they stand, with every fault named by file and line."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import pandas as pd

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
SEPARATORS = (",", ";", "\t")
HEADER_AGAIN = "line(s) left out that repeat the header"
# Names of columns that only count rows, as pandas and R write them.
INDEX = re.compile(r"(unnamed: \d+(\.\d+)?|index|level_0|rownames?|)", re.IGNORECASE)
# No log is packed more tightly than this; what is (a file of zeros, made to fill the memory) is refused.
MOST_PACKED, ALWAYS = 100, 256 << 20
CHUNK = 1 << 24


class Table(NamedTuple):
    """The cells of one file (CSV: text, as written; parquet: as stored) and the line of each row in it."""

    path: Path
    cells: pd.DataFrame
    line: np.ndarray  # (rows,) the line in a text file, the row in a parquet file
    said: Mapping[str, int] = {}  # what of the file is no row: reason and count
    counting: tuple[str, ...] = ()  # columns that only count the rows

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
    """Whether the name is that of a table this project reads, see `TABLES`."""
    return path.name.lower().endswith(TABLES)


def stem(path: Path) -> str:
    """The file name without its endings: log.csv.gz is log, and step.1.csv is step.1."""
    return re.sub(r"\.(csv|tsv|parquet|jsonl|ndjson|json)(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def open_binary(path: Path) -> BinaryIO:
    """Open a file to read bytes, unzipped where its name ends in .gz; ValueError where there is no such file."""
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected a file")
    if not path.is_file():
        raise ValueError(f"{path}: is no regular file (a pipe or a device), which is not read")
    try:
        return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_bytes(path: Path) -> bytes:
    """All bytes of a file, unzipped where its name ends in .gz; ValueError where that cannot be done.

    A zipped file may unpack to a hundred times its size (or 256 MiB), and not to more.
    """
    with open_binary(path) as file:
        zipped = path.suffix.lower() == ".gz"
        most = max(ALWAYS, MOST_PACKED * path.stat().st_size) if zipped else None
        parts, size = [], 0
        try:
            while part := file.read(CHUNK):
                parts.append(part)
                size += len(part)
                if most is not None and size > most:
                    raise ValueError(
                        f"{path}: unpacks to more than {most >> 20} MiB, {MOST_PACKED} times its size, which no log "
                        "does; unpack it yourself if it is one"
                    )
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: cannot be read ({error}); is it truncated?") from None
        return b"".join(parts)


def read_text(path: Path) -> str:
    """All text of a UTF-8 file; ValueError where it is not one."""
    raw = read_bytes(path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"{place(path, line)}: not UTF-8 text (byte 0x{raw[error.start]:02x})") from None


def read_table(path: Path) -> Table:
    """One CSV (.gz) or parquet file; ValueError, one line, if it is no table with unique column names."""
    if not path.exists() or path.is_dir() or path.suffix.lower() != ".parquet":
        return _read_csv(path)
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
        _check_header(path, names)
        columns = pd.read_parquet(path)
    except Exception as error:  # a damaged file makes pyarrow and pandas raise errors of many kinds
        if isinstance(error, ValueError) and str(error).startswith(f"{path}: "):
            raise
        raise ValueError(f"{path}: not a parquet file ({_first_line(error)})") from None
    if not isinstance(columns.index, pd.RangeIndex):
        columns = columns.reset_index()
    columns.columns = _names(path, list(columns.columns))
    line = np.arange(1, len(columns) + 1)
    return Table(path, columns.reset_index(drop=True), line, counting=_counting(columns))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def header(path: Path) -> list[str]:
    """Only the column names of a CSV (.gz) or parquet file."""
    if path.suffix.lower() == ".parquet" and path.is_file():
        import pyarrow.parquet as pq

        try:
            return [name.strip() for name in pq.read_schema(path).names]
        except Exception as error:  # a damaged file makes pyarrow raise errors of many kinds
            raise ValueError(f"{path}: not a parquet file ({_first_line(error)})") from None
    with open_binary(path) as file:
        try:
            first = file.readline(CHUNK).decode("utf-8-sig")
        except (OSError, EOFError, zlib.error, UnicodeDecodeError):
            return []  # reading the whole file will say what is wrong, and where
    first = first.split("\r")[0]
    try:
        return [name.strip() for name in next(csv.reader([first], delimiter=separator(path, first)), [])]
    except csv.Error:
        return []


def separator(path: Path, first: str) -> str:
    """What stands between the cells of a table: a tab in a .tsv, else the first of comma, semicolon and tab that its
    ``first`` line has.
    """
    if re.search(r"\.tsv(\.gz)?$", path.name, re.IGNORECASE):
        return "\t"
    return next((sign for sign in SEPARATORS if sign in first), ",")


def _check_header(path: Path, names: Sequence[str]) -> None:
    counts = Counter(name.strip() for name in names)
    double = sorted(name for name, count in counts.items() if count > 1 and name)
    if double:
        raise ValueError(f"{path}: column names must be unique, found {double[0]!r} more than once")


def _names(path: Path, names: Sequence[object]) -> list[str]:
    """Names of columns without the blanks around them; one that is blank is called by its place."""
    plain = [str(name).strip() for name in names]
    _check_header(path, plain)
    return [name or f"column {i}" for i, name in enumerate(plain, 1)]


def _read_csv(path: Path) -> Table:
    # Not pandas: it takes a row with one cell too many for an index, and fills rows that are cut short.
    text = read_text(path)
    if "\r" in text and "\n" not in text:
        text = text.replace("\r", "\n")
    first = text[: text.find("\n") + 1] or text
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator(path, first))
    rows, line = [], []
    again = 0
    try:
        head = next(reader, [])
        if not any(name.strip() for name in head):
            raise ValueError(f"{path}: empty, expected a first line of column names")
        names = _names(path, head)
        for row in reader:
            if not row:
                continue
            if len(row) != len(head):
                raise ValueError(
                    f"{place(path, reader.line_num)}: expected {len(head)} cells as in line 1, found {len(row)}"
                )
            if row[-1].strip() == head[-1].strip() and [cell.strip() for cell in row] == [n.strip() for n in head]:
                again += 1
                continue
            rows.append(row)
            line.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"{place(path, reader.line_num)}: not a CSV file ({error})") from None
    cells = np.array(rows, dtype=object).reshape(len(rows), len(names))
    columns = pd.DataFrame(cells, columns=names, dtype=object)
    said = {HEADER_AGAIN: again} if again else {}
    return Table(path, columns, np.array(line, dtype=int), said, _counting(columns))


def _counting(columns: pd.DataFrame) -> tuple[str, ...]:
    """The columns called like an index that count the rows, from 0 or 1, again from there where tables were joined."""
    found = []
    for name in map(str, columns):
        if INDEX.fullmatch(name) or re.fullmatch(r"column \d+", name):
            count = numbers(columns[name])
            change = np.diff(count.value)
            if len(count.value) and count.value[0] in (0, 1) and np.isin(count.value[1:][change != 1], (0, 1)).all():
                found.append(name)
    return tuple(found)


def numbers(column: pd.Series) -> Numbers:
    """A column as numbers: text is read to the last digit, a blank or null cell is NaN, true and false are no numbers.

    >>> numbers(pd.Series(["1e-3", "", "x"], dtype=object)).wrong.tolist()
    [False, False, True]
    """
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        value = column.to_numpy(dtype=float, na_value=np.nan)
        return Numbers(value, np.isnan(value), np.zeros(len(value), dtype=bool))
    cells = column.to_numpy(dtype=object)
    try:  # most columns are text, and hold numbers throughout
        if all(type(cell) is str for cell in cells):
            value = np.fromiter(map(float, cells), float, len(cells))
            return Numbers(value, np.zeros(len(cells), dtype=bool), np.zeros(len(cells), dtype=bool))
    except ValueError:
        pass
    blank = np.array([cell is None or cell is pd.NA or (isinstance(cell, str) and not cell.strip()) for cell in cells])
    # A NaN that a JSON log writes is a fault, one that stands for null in a typed column is blank.
    blank = blank.astype(bool) | (column.isna().to_numpy() & (column.dtype != object))
    value = np.full(len(cells), np.nan)
    wrong = np.zeros(len(cells), dtype=bool)
    for row in np.flatnonzero(~blank):
        try:
            if isinstance(cells[row], bool | np.bool_):
                raise TypeError("a truth value")
            value[row] = float(cells[row])
        except (TypeError, ValueError, OverflowError):
            wrong[row] = True
    return Numbers(value, blank, wrong)


def finite(table: Table, name: str) -> np.ndarray:
    """A column (rows,) as numbers, NaN where blank; ValueError for the first cell that is neither."""
    found = numbers(table.cells[name])
    bad = found.wrong | (~np.isfinite(found.value) & ~found.blank)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        cell = table.cells[name].iloc[row]
        raise ValueError(f"{table.where(row)}: {name} must be a number or blank, found {cell!r}")
    return found.value


def text(column: pd.Series) -> pd.Series:
    """A column as text, None where blank: names stay as they are written, so 001 and 1e5 are not numbers."""
    if isinstance(column.dtype, pd.StringDtype):
        return column.astype("str").where(column != "")
    return pd.Series(
        [None if cell is None or cell is pd.NA or cell != cell or str(cell) == "" else str(cell) for cell in column],
        index=column.index,
        dtype="str",
    )


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

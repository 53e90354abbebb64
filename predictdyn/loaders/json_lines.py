"""Logs of one JSON object a line: {"step": 10, "loss": 2.5, "eval": {"loss": 2.75}}."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.loaders._json_rows import flat
from predictdyn.loaders._logs import STEP_NAMES, Options, curves_of_logs, log_files
from predictdyn.loaders._tables import Table, place, read_bytes

ENDINGS = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")


def looks(path: Path) -> str | None:
    """How many files of JSON lines there are, in words, or None."""
    from predictdyn.loaders.long import is_long, names_in

    try:
        files = [file for file in log_files(path, ENDINGS) if file.name.lower().endswith(ENDINGS)]
    except ValueError:
        return None
    files = [file for file in files if not is_long(names_in(file))]
    return f"JSON lines: {len(files)} file{'s'[: len(files) > 1]}" if files else None


def load(
    path: Path | str,
    *,
    run: str | None = None,
    step: str | None = None,
    family: str | None = None,
    metrics: str | Sequence[str] | None = None,
    covariates: str | Sequence[str] | None = None,
    last_step: str | float | None = None,
    metrics_file: Path | str | None = None,
    runs_file: Path | str | None = None,
    merge: bool | str = False,
) -> Curves:
    """Read one .jsonl or .ndjson file (or .gz), or all of a folder; the options are those of `wide.load`.

    Nested objects are flattened with ``/``: ``{"eval": {"loss": 1}}`` is the column ``eval/loss``. Null was not logged;
    text, lists, true and false are passed over unless the same key elsewhere holds a number.

    A run that is still being written may end in half a line: if the last line begins an object that never ends, it
    is dropped, and a UserWarning says so. Any other line that is no JSON object is a ValueError with file, line number
    and the beginning of the line. Lines without a step (a header with the settings) are passed over with a UserWarning.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lines = ['{"step": 1, "eval": {"loss": 3.5}}', '{"step": 2, "eval": {"loss": 3}}']
    ...     _ = Path(folder, "log.jsonl").write_text("\\n".join(lines))
    ...     load(Path(folder, "log.jsonl")).points[["metric", "step", "value"]].values.tolist()
    [['eval/loss', 1, 3.5], ['eval/loss', 2, 3.0]]
    """
    path = Path(path)
    options = Options(run, step, family, metrics, covariates, last_step, metrics_file, runs_file, merge)
    tables = [read_lines(file, step) for file in log_files(path, ENDINGS)]
    return curves_of_logs(path, tables, options)


def read_lines(path: Path, step: str | None) -> Table:
    """The rows of a file that have a step, one column a key; ValueError, one line, for a line that is no object."""
    return _with_steps(_read(path), step)


def _read(path: Path) -> Table:
    lines = read_bytes(path).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    full = [number for number, line in enumerate(lines, 1) if line.strip()]
    if not full:
        raise ValueError(f"{path}: empty, expected one JSON object a line")
    records = []
    for number in full:
        line = lines[number - 1].strip()
        try:
            record = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            if number == full[-1] and number != full[0] and _is_cut(line):
                warnings.warn(
                    f"{place(path, number)}: the last line is cut short and was dropped, begins with {_begin(line)}",
                    UserWarning,
                    stacklevel=3,
                )
                continue
            what = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "not JSON"
            raise ValueError(
                f"{place(path, number)}: {what}, expected one JSON object a line, the line begins with {_begin(line)}"
            ) from None
        if not isinstance(record, dict):
            raise ValueError(
                f'{place(path, number)}: expected a JSON object such as {{"step": 1, "loss": 2.5}}, '
                f"the line begins with {_begin(line)}"
            )
        records.append((number, dict(flat(record))))
    names = list(dict.fromkeys(name for _, record in records for name in record))
    columns = {name: pd.Series([record.get(name) for _, record in records], dtype=object) for name in names}
    line_numbers = np.array([number for number, _ in records], dtype=int)
    return Table(path, pd.DataFrame(columns, index=pd.RangeIndex(len(records))), line_numbers)


def _begin(line: bytes) -> str:
    return repr(line[:40].decode("utf-8", errors="replace"))


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
    return True


def _with_steps(table: Table, step: str | None) -> Table:
    """The rows that have a step; a warning says how many have none."""
    lower = {str(name).lower(): str(name) for name in table.cells}
    name = step if step is not None else next((lower[name] for name in STEP_NAMES if name in lower), None)
    if name is None or name not in table.cells:
        return table  # what is missing is said, with what was found, when columns are chosen
    without = table.cells[name].isna().to_numpy()
    if without.any() and not without.all():
        row = int(np.flatnonzero(without)[0])
        warnings.warn(
            f"{table.where(row)}: {int(without.sum())} line(s) without {name} were passed over, this is the first",
            UserWarning,
            stacklevel=3,
        )
        return Table(table.path, table.cells[~without].reset_index(drop=True), table.line[~without])
    return table

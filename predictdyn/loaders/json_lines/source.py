"""Logs of one JSON object a line, {"step": 10, "loss": 2.5, "eval": {"loss": 2.75}}, or one document of such rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.loaders._folders import files_named, first_line
from predictdyn.loaders._gather import gathered
from predictdyn.loaders._json_documents import may_be_document, records_in
from predictdyn.loaders._json_rows import CUT, WRONG_LINES, flat
from predictdyn.loaders._json_snapshots import Snapshots, read_snapshots, snapshots
from predictdyn.loaders._logs import log_files
from predictdyn.loaders._runlog import Item, RunLog
from predictdyn.loaders._table_clock import STEP_NAMES, has_clock, named
from predictdyn.loaders._table_runs import UNREAD, Choices, items_of, read_item, readable
from predictdyn.loaders._tables import Table, open_binary, place, read_bytes

ENDINGS = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
# Files of these endings may hold lines of JSON, or anything else: their first lines tell.
WEAK = (".json", ".log", ".txt", ".out", ".json.gz", ".log.gz", ".txt.gz")
LARGEST = 1 << 26  # bytes of a file that may be one document
HEAD = 1 << 16  # bytes that tell whether a file may be one document
ASKED = 20  # lines of a file that are looked at


def looks(path: Path) -> str | None:
    """How many files of JSON lines there are, in words, or None."""
    from predictdyn.loaders.long import is_long, names_in

    try:
        files, series = _found(path)
    except ValueError:
        return None
    files = [file for file in files if not is_long(names_in(file))]
    count = sum(len(each.files) for each in series)
    seen = [f"JSON lines: {len(files)} file{'s'[: len(files) > 1]}"] if files else []
    seen += [f"JSON objects, one a file: {count} files, {len(series)} series"] if series else []
    return "; ".join(seen) or None


def load(path: Path | str, **options: object) -> Curves:
    """Read one file of JSON lines, whatever its ending, or all of a folder; options are those of `wide.load`.

    Nested objects are flattened with ``/``: ``{"eval": {"loss": 1}}`` is the column ``eval/loss``. Null was not logged;
    text, lists, true and false are passed over unless the same key elsewhere holds a number. A file that is one list of
    objects (``[{"step": 1, ...}, ...]``) is read alike, and so is what CatBoost, XGBoost and LightGBM record of their
    rounds (`_json_documents.records_in`). Files of one object each are rows of one run, if their names or the objects
    count (`_json_snapshots.snapshots`): ``metrics_epoch_0.json``, ``checkpoint-500/eval_results.json``.

    Such lines are what tools log, so restarts are merged by the rules of `_gather.gathered`, and a last line that is
    cut short, lines that are no JSON object, and lines without a step (a header with the settings) are left out and
    counted. With ``merge=no`` all of these but the first and the last are errors with file and line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lines = ['{"step": 1, "eval": {"loss": 3.5}}', '{"step": 2, "eval": {"loss": 3}}']
    ...     _ = Path(folder, "log.jsonl").write_text("\\n".join(lines))
    ...     curves = load(Path(folder, "log.jsonl"), last_step=2)
    >>> curves.points[["metric", "step", "value"]].values.tolist()
    [['eval/loss', 1, 3.5], ['eval/loss', 2, 3.0]]
    """
    return gathered(path, scan, read, options)


def scan(
    path: Path,
    *,
    run: str | Sequence[str] | None = None,
    step: str | None = None,
    files: str | None = None,
    family: str | None = None,
    covariates: str | Sequence[str] | None = None,
    last_step: str | float | None = None,
    merge: object = None,
) -> list[Item]:
    """The runs of all files, each with its log. Raises ValueError, one line with file and line, for a faulty file."""
    found, series = ([path], []) if path.is_file() else _found(path)
    if not found and not series:
        raise ValueError(f"{path}: no file of JSON lines in this folder")
    choices = Choices(run, step, files, family, covariates, last_step, merge, strict=False)
    one = partial(read_lines, step=step, strict=choices.refusing)
    tables = readable(found, one, whole=len(found) == 1 and not series)
    items = items_of(path, [*tables, *map(read_snapshots, series)], choices)
    parts = {each.path: each.files for each in series}
    return [
        item._replace(files=tuple(part for file in item.files for part in parts.get(file, (file,)))) for item in items
    ]


def read(item: Item) -> RunLog:
    """The log of a run as `scan` found it."""
    return read_item(item)


def _found(path: Path) -> tuple[list[Path], list[Snapshots]]:
    """The files of lines or of one document at a path, and in a folder the series of files of one object each."""
    if not path.is_dir():
        return [file for file in log_files(path, ()) if is_lines(file)], []
    # A name without an ending may be a log's, too: Chainer's is called log.
    found = files_named(path, lambda name: name.lower().endswith((*ENDINGS, *WEAK)) or "." not in name)
    lines = [file for file in found if is_lines(file)]
    known = set(lines)
    return lines, snapshots(path, [file for file in found if file not in known])


def is_lines(file: Path) -> bool:
    """Whether a file holds lines of JSON: by its ending, else if all of its first lines, two at least, are objects that
    have a clock, or if it is one document of rows (`_json_documents.records_in`).
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
    said: Counter[str] = Counter()
    if may_be_document(raw[:HEAD]) and (document := records_in(raw)) is not None:
        records = [(number, dict(flat(record))) for number, record in enumerate(document, 1)]
    else:
        records = list(_records(path, raw.split(b"\n"), strict, said))
    if not records:
        raise ValueError(f"{path}: empty, expected one JSON object a line")
    cells: dict[str, list[object]] = {}
    for i, (_, record) in enumerate(records):
        for name, cell in record.items():
            cells.setdefault(name.strip(), [None] * len(records))[i] = cell
    columns = {name: pd.Series(column, dtype=object) for name, column in cells.items()}
    line_numbers = np.array([number for number, _ in records], dtype=int)
    return Table(path, pd.DataFrame(columns, index=pd.RangeIndex(len(records))), line_numbers, dict(said))


def _records(path: Path, lines: Sequence[bytes], strict: bool, said: Counter[str]):  # type: ignore[no-untyped-def]
    """The line number and the flat object of each line; what is no object is counted, or, if strict, an error."""
    full = [number for number, line in enumerate(lines, 1) if line.strip(b" \t\r\0")]
    for number in full:
        line = lines[number - 1].strip(b" \t\r\0")
        record = _object(line)
        if record is not None:
            yield number, record
        elif number == full[-1] and number != full[0] and _is_cut(line):
            said[CUT] += 1
        elif strict or number == full[0] == full[-1]:
            raise ValueError(
                f"{place(path, number)}: {_fault(line)}, expected one JSON object a line such as "
                f'{{"step": 1, "loss": 2.5}}, the line begins with {line[:40].decode("utf-8", errors="replace")!r}'
            )
        else:
            said[WRONG_LINES] += 1


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
        said = {**table.said, UNREAD: table.said.get(UNREAD, 0) + int(without.sum())}
        return Table(table.path, table.cells[~without].reset_index(drop=True), table.line[~without], said)
    return table

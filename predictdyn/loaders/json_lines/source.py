"""Logs of one JSON object a line, {"step": 10, "loss": 2.5, "eval": {"loss": 2.75}}, or one document of such rows."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.folders import files_named
from predictdyn.loaders.files.logs import log_files
from predictdyn.loaders.json_lines.lines import ENDINGS, is_lines, read_lines
from predictdyn.loaders.json_lines.snapshots import Snapshots, read_snapshots, snapshots
from predictdyn.loaders.tables.kinds import is_long, names_in
from predictdyn.loaders.tables.options import TABLE_OPTIONS
from predictdyn.loaders.tables.runs import Choices, items_of, read_item, readable

# Files of these endings may hold lines of JSON, or anything else: their first lines tell.
WEAK = (".json", ".log", ".txt", ".out", ".json.gz", ".log.gz", ".txt.gz")


def sniff(path: Path) -> str | None:
    """How many files of JSON lines there are, in words, or None."""
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
    text, lists, true and false are no values unless the same key elsewhere holds a number (`tables.words`). A file that
    is one list of objects (``[{"step": 1, ...}, ...]``) is read alike, and so is what CatBoost, XGBoost and LightGBM
    record of their rounds (`documents.records_in`). Files of one object each are rows of one run, if their names or
    the objects count (`snapshots.snapshots`): ``metrics_epoch_0.json``, ``checkpoint-500/eval_results.json``.

    Such lines are what tools log, so restarts are merged by the rules of `gather.gathered`, and a last line that is
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
    return gathered(path, SOURCE, options)


def scan(path: Path, **options: Any) -> list[Item]:
    """The runs of all files, each with its log; options are `TABLE_OPTIONS`.

    Raises ValueError, one line with file and line, for a faulty file.
    """
    found, series = ([path], []) if path.is_file() else _found(path)
    if not found and not series:
        raise ValueError(f"{path}: no file of JSON lines in this folder")
    choices = Choices(strict=False, **options)
    one = partial(read_lines, step=choices.step, strict=choices.refusing)
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


SOURCE = Source(
    "json_lines",
    "one JSON object a step, whatever the ending (`.jsonl`, `.json`, `.log.json`, `.log`), or one list of "
    "them; one object a file, with its step in the name or in it; rounds of gradient boosting",
    sniff,
    load,
    scan,
    read,
    scan_options=TABLE_OPTIONS,
)

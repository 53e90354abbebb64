"""Logs as people print them: ``step 100/1000 | loss: 2.3``, ``iter 100: loss 2.3, time 12ms``, bars, tables."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.options import Option
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.contents import open_binary, read_bytes
from predictdyn.loaders.files.json_rows import CUT
from predictdyn.loaders.files.logs import log_files
from predictdyn.loaders.tables.places import RUNS, phases_of
from predictdyn.loaders.text_log.bars import EPOCH
from predictdyn.loaders.text_log.clock import Clocked, clocked
from predictdyn.loaders.text_log.json_rows import is_json_lines
from predictdyn.loaders.text_log.nearest import nearest
from predictdyn.loaders.text_log.phases import Phase, joined
from predictdyn.loaders.text_log.rows import TextRows, number, plain, rows_of

ENDINGS = tuple(
    f"{end}{zipped}" for end in (".txt", ".log", ".out", ".err", ".stdout", ".stderr") for zipped in ("", ".gz")
)
GLANCED = 5  # files of a folder that are looked at to tell what they are
GLANCE = 1 << 19  # bytes of a file that are looked at to tell what it is
NOTHING = "file(s) without lines that count steps and have numbers"
FILES = Option("files", "`runs`: every file is a run, though names say phases", allowed=(RUNS,))
PATTERN = Option("pattern", "a regular expression with named groups, of which `step` (or `epoch`) is the clock")
UNMATCHED = "number(s) found by the pattern that are no numbers"


def load(path: Path | str, **options: object) -> Curves:
    r"""Read a text log, or every .txt, .log, .out and .err file of a folder (or .gz), each a run.

    Files of one folder, or folders, that differ in a word for a phase (``train.log``, ``val.log``) are one run: the
    phase goes in front of names that say none. ``files="runs"`` makes every file a run all the same.

    **Lines.** A line counts if it has one of these: a step (``step``, ``iter``, ``update``, ``num_updates``, ...), a
    nameless i/N in brackets, behind a progress bar or at its beginning, a batch, an epoch, or a nameless number before
    metrics (``[10]  train-rmse:0.5``). The log begins with the first line whose form recurs with another step: source
    code in front of it has no clock that goes on. How steps, batches and epochs become one clock is said in
    `clock.clocked`. ``step 100/1000`` states the planned length.

    **Metrics.** A number belongs to the name before it: up to four words and ``:`` or ``=``, or one word and a blank.
    The last word such as train or validation before it on the line goes in front (``val/loss``) unless the name says
    it. ``loss 2.1 (2.3)`` is loss and loss_avg, ``2.1+0.1`` loss and loss_std, ``9832/10000`` a share. Percent are
    fractions, times are seconds, bytes are bytes whatever their units (ms, MiB, ...), and 120k is 120,000; other units
    are passed over. NaN and infinity are numbers where a value stands, not within a name (``nan iterations: 0``).

    **Other forms.** Indented lines of one name and number below a line with a step belong to it (OLMo, Composer). Lines
    of results without a counter take the step of the line above and the phase that was said last
    (`results.placed`). FormRows below a line of names, and boxes, are read as tables
    (`tables.without_tables`), and so are JSON objects at the end of a line (`json_rows.json_rows`).

    **What is left out** is counted: a last line that is cut short, lines of a second progress bar, running values of
    an evaluation, lines with a step but a word for a number, and names with changing numbers that have no clock.

    ``pattern``, a regular expression with named groups, overrides all of this: ``step`` (or ``epoch``), optionally
    ``last_step``, and metrics by their names. Further options are those of `gather.gathered`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "log.txt").write_text("step:1/9 loss:3.5 time:12ms\nstep:2/9 loss:3.25 time:11ms\n")
    ...     curves = load(Path(folder, "log.txt"))
    >>> curves.points[["metric", "step", "value"]].values.tolist(), curves.runs["last_step"].tolist()
    ([['loss', 1, 3.5], ['loss', 2, 3.25]], [9])
    """
    return gathered(path, SOURCE, options)


def scan(path: Path, *, files: str | None = None) -> list[Item]:
    """One run a file, or phases of one where names of files say so; ValueError where a folder has no text file.

    The key of a run of several files has the phase of each, between commas. ``files="runs"``: every file is a run.
    """
    found = log_files(path, ENDINGS)
    names = dict(zip(found, map(_name, found), strict=True))
    if len(set(names.values())) < len(names):
        names = {file: (file.relative_to(path).parent / name).as_posix() for file, name in names.items()}
    parts = phases_of(path, found, _name) if files is None and path.is_dir() else {}
    together: dict[str, list[Path]] = defaultdict(list)
    for file, part in parts.items():
        together[part.run].append(file)
    whole = [Item(name, (file,)) for file, name in names.items() if file not in parts]
    return whole + [Item(run, tuple(of), ",".join(parts[file].front for file in of)) for run, of in together.items()]


def read(item: Item, *, pattern: str | None = None) -> RunLog:
    """All numbers of one text log, in the order in which they were written; ValueError for a pattern that is none."""
    texts = [_decoded(read_bytes(file)) for file in item.files]
    fronts = item.key.split(",")
    phases = [_phase(item.run, front, text, pattern) for front, text in zip(fronts, texts, strict=True)]
    return phases[0].log if len(phases) == 1 else joined(phases)


def _name(file: Path) -> str:
    """The name of a file without its endings."""
    return re.sub(r"\.gz$", "", file.name).rpartition(".")[0] or file.name


def sniff(path: Path) -> str | None:
    """What text logs are here, in words, or None."""
    items = _items(path)
    for item, text in _beginnings(items):
        log = _phase(item.run, "", text, None).log
        if len(log.value):
            names = ", ".join(dict.fromkeys(log.metric[:50].tolist()))
            count = sum(len(one.files) for one in items)
            return f"text log: {count} file{'s' * (count > 1)}, with {names}"
    return None


def nearest_form(path: Path) -> str | None:
    """For a text of unknown form: a line that recurs, and the pattern that reads it, in words; None without one."""
    for item, text in _beginnings(_items(path)):
        lines = plain(text)
        found = nearest(lines, partial(_goes_on, lines))
        if found is None:
            continue
        front = f"text file {item.files[0].name}: lines like {found.like!r} recur"
        if not found.pattern:
            return f"{front}, but none of their numbers counts steps"
        return f"{front}; read them with source='text_log', pattern={found.pattern!r}"
    return None


def _items(path: Path) -> list[Item]:
    try:
        return scan(path)
    except ValueError:
        return []


def _beginnings(items: Sequence[Item]) -> Iterator[tuple[Item, str]]:
    """The first few items whose files can be read, each with the beginning of its text, but for lines of JSON."""
    for item in items[:GLANCED]:
        try:
            with open_binary(item.files[0]) as file:
                text = _decoded(file.read(GLANCE))
        except (OSError, EOFError, ValueError):
            continue
        if not is_json_lines(text):
            yield item, text


def _goes_on(text: str, pattern: str) -> bool:
    """Whether a pattern finds two steps or more, with a number at each."""
    log = _by_pattern("", text, pattern)
    return not log.dropped and len(set(log.step.tolist())) > 1


def _decoded(raw: bytes) -> str:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):  # what PowerShell writes for ">"
        return raw.decode("utf-16", errors="replace")
    return raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")


def _phase(run: str, front: str, text: str, pattern: str | None) -> Phase:
    if pattern:
        return Phase(front, _by_pattern(run, text, pattern), by_epoch=False)
    found = rows_of(text)
    clock = clocked(found)
    return Phase(front, _by_form(run, found, clock), clock.by_epoch)


def _by_form(run: str, found: TextRows, clock: Clocked) -> RunLog:
    dropped = {**clock.dropped, **({CUT: found.cut} if found.cut else {})}
    names: dict[str, int] = {}
    parts: list[tuple[np.ndarray, ...]] = []
    for rows, at in clock.timed:
        columns = [(i, field.name) for i, field in enumerate(rows.form.fields, 4)]
        if rows.form.epoch >= 0:
            columns.append((EPOCH, "epoch"))
        for place, (column, name) in enumerate(columns):
            code = np.full(len(at), names.setdefault(name, len(names)))
            parts.append((code, rows.line, np.full(len(at), place), at, rows.numbers[:, column]))
    if not parts:
        return _log(run, [], np.empty(0), np.empty(0), None, {NOTHING: 1, **dropped})
    codes, line, order, step, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((order, line))
    metric = np.array(list(names), dtype=object)[codes[order]]
    return _log(run, metric, step[order], value[order], clock.planned, dropped)


def _by_pattern(run: str, text: str, pattern: str) -> RunLog:
    try:
        regex = re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise ValueError(f"pattern={pattern!r} is not a regular expression ({error})") from None
    metrics = [name for name in regex.groupindex if name not in ("step", "last_step")]
    clock = "step" if "step" in regex.groupindex else "epoch"
    if clock not in regex.groupindex or not set(metrics) - {clock}:
        raise ValueError(f"pattern={pattern!r} must have the named groups step (or epoch) and a metric: (?P<step>\\d+)")
    rows, planned, wrong = [], None, 0
    for found in regex.finditer(text.replace("\r", "\n")):
        numbers = {name: _number(cell) for name, cell in found.groupdict().items() if cell is not None}
        wrong += sum(cell is None for cell in numbers.values())
        step = numbers.get(clock)
        if step is not None:
            planned = numbers.get("last_step") or planned
            rows += [
                (name, step, cell) for name in metrics if name != clock and (cell := numbers.get(name)) is not None
            ]
    if not rows:
        return _log(run, [], np.empty(0), np.empty(0), None, {NOTHING: 1})
    metric, at, value = zip(*rows, strict=True)
    return _log(run, metric, np.array(at), np.array(value), planned, {UNMATCHED: wrong} if wrong else {})


def _number(cell: str) -> float | None:
    try:
        return number(cell)
    except ValueError:
        return None


def _log(
    run: str,
    metric: Sequence[str] | np.ndarray,
    step: np.ndarray,
    value: np.ndarray,
    planned: float | None,
    dropped: Mapping[str, int],
) -> RunLog:
    names = np.array(metric, dtype=object)
    wall, segment = np.full(len(names), np.nan), np.zeros(len(names), dtype=int)
    return RunLog(run, names, step, value, wall, segment, planned=planned, dropped=dropped)


SOURCE = Source(
    "text_log",
    "printed lines: `step 100/1000 | loss: 2.3`, `[10] train-rmse:0.5`, progress bars, tables, JSON objects "
    "in lines, results of evaluations; a file a phase",
    sniff,
    load,
    scan,
    read,
    scan_options=(FILES,),
    read_options=(PATTERN,),
)

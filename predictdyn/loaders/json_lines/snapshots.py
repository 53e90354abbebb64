"""JSON files of one object each, a file a time of logging: metrics_epoch_0.json, checkpoint-500/eval_results.json."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import OUTCOMES
from predictdyn.loaders.engine.facts import log_metric, looks_like_outcome, plain_name
from predictdyn.loaders.files.folders import beginning
from predictdyn.loaders.files.json_rows import flat, json_number
from predictdyn.loaders.files.tables import Table
from predictdyn.loaders.tables.clock import STEP_NAMES, counts

ENDING = ".json"
LARGEST = 1 << 20  # bytes of an object that may be one of these
ROUND = 10  # numbers without a word are steps if all are multiples of this
FEWEST = 3  # and if there are so many
UNREAD = "file(s) dropped that are no JSON object"
BESIDE = "value(s) of {} left out: results of the whole run, without a step of their own"
_NUMBER = re.compile(r"(?P<front>.*?)(?P<number>\d+)")
_NAMED = re.compile(r"(?:^|_)(?:checkpoints?|ckpt)$")  # what counts steps in names of files, beside the words of clocks


class Snapshots(NamedTuple):
    """The ``files`` of one run by their ``step``; ``path`` is called like them, without what counts.

    ``word`` is the column that the numbers in the names go to, "" where the objects say another. ``beside`` are files
    in the folder of the run that are of no series (AllenNLP's last ``metrics.json``).
    """

    path: Path
    files: tuple[Path, ...]
    step: tuple[int, ...]
    word: str
    beside: tuple[Path, ...] = ()


class _Counted(NamedTuple):
    """A file with a number in its name: the ``series`` it is of, and where that one stands without the number."""

    series: str
    path: Path
    step: int
    word: str


class _Split(NamedTuple):
    """The ``rest`` of a name without its counter and the word for that; the name with # for the counter."""

    rest: str
    masked: str
    step: int
    word: str


def snapshots(root: Path, files: Sequence[Path]) -> list[Snapshots]:
    """The series among some files: two or more that differ in one number of the name, or of the folder they are in.

    Each file holds an object with a number that is called like a result and changes. The numbers in the names are steps
    if a word in front of them says so (epoch, step, checkpoint, ...); those of files also if the objects have a clock
    that rises with them, or if all are multiples of `ROUND`: seeds, folds and trials are none.
    """
    groups: dict[str, list[tuple[_Counted, Path]]] = {}
    for file in files:
        found = _counted(root, file) if file.name.lower().endswith(ENDING) else None
        if found is not None:
            groups.setdefault(found.series, []).append((found, file))
    series = []
    for group in groups.values():
        group.sort(key=lambda one: one[0].step)
        step = tuple(one.step for one, _ in group)
        first = group[0][0]
        if len(set(step)) < len(step) or len(step) < 2:
            continue
        word = _word(first.word, step, [record for _, file in _some(group) if (record := _object(file)) is not None])
        if word is not None:
            series.append(Snapshots(first.path, tuple(file for _, file in group), step, word))
    of_series = {file for one in series for file in one.files}
    alone = [file for file in files if file.name.lower().endswith(ENDING) and file not in of_series]
    for i, one in enumerate(series):
        series[i] = one._replace(beside=tuple(file for file in alone if file.parent == one.path.parent))
        alone = [file for file in alone if file not in series[i].beside]
    times = Counter(one.path for one in series)
    again = [one for one in series if times[one.path] > 1]
    return [
        one._replace(path=one.path.with_stem(f"{one.path.stem}~{again.index(one) + 1}")) if one in again else one
        for one in series
    ]


def read_snapshots(series: Snapshots) -> Table:
    """One row a file, in the order of their steps; what is no object is counted. ValueError where none is one.

    Results in a file beside them are counted, too: they may be those of the best row (AllenNLP's ``test_accuracy``), so
    they are no point of the last one.
    """
    records: list[dict[str, object]] = []
    places = []
    for place, (file, step) in enumerate(zip(series.files, series.step, strict=True), 1):
        record = _object(file)
        if record is not None:
            records.append({series.word: step, **record} if series.word else record)
            places.append(place)
    if not records:
        raise ValueError(f"{series.files[0]}: expected one JSON object in this file and those like it")
    unread = len(series.files) - len(records)
    dropped = {UNREAD: unread} if unread else {}
    for file in series.beside:
        if count := len(_results_beside(_object(file) or {}, records)):
            dropped[BESIDE.format(file.name)] = count
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: pd.Series([record.get(name) for record in records], dtype=object) for name in names}
    return Table(series.path, pd.DataFrame(columns), np.array(places), dropped)


def _counted(root: Path, file: Path) -> _Counted | None:
    """The number behind a word that counts, in the name of a file or its folder, else the last in that of the file."""
    own = _split(file.name[: -len(ENDING)])
    folder = None if file.parent == root else _split(file.parent.name)
    if folder is not None and folder.word and not (own and own.word):
        masked, rest = (file.parent.parent / name / file.name for name in (folder.masked, folder.rest))
        return _Counted(str(masked), rest, folder.step, folder.word)
    if own is None:
        return None
    return _Counted(str(file.parent / own.masked), file.parent / f"{own.rest or 'log'}{ENDING}", own.step, own.word)


def _split(name: str) -> _Split | None:
    numbers = [(found.start("number"), found.end("number")) for found in _NUMBER.finditer(name)]
    if not numbers:
        return None
    words = [_counting(name[:start]) for start, _ in numbers]
    at = next((i for i, (word, _) in enumerate(words) if word), len(numbers) - 1)
    start, end = numbers[at]
    word, front = words[at]
    rest = f"{front.rstrip('-_.= ')}_{name[end:].lstrip('-_.= ')}".strip("_")
    return _Split(rest, f"{name[:start]}#{name[end:]}", int(name[start:end]), word)


def _counting(front: str) -> tuple[str, str]:
    """The clock that the text before a number says, "" for none, and what stands before that."""
    said = re.search(r"(?:global[-_])?[A-Za-z]+[-_.= ]*$", front)
    if not said:
        return "", front
    plain = plain_name(said[0])
    if not (counts(plain) or _NAMED.search(plain)):
        return "", front
    return ("epoch" if "epoch" in plain else "step"), front[: said.start()]


def _some(group: Sequence[tuple[_Counted, Path]]) -> list[tuple[_Counted, Path]]:
    """The first two files and the last: enough to tell what a series is."""
    return [*group[:2], *(group[-1:] if len(group) > 2 else [])]


def _object(file: Path) -> dict[str, object] | None:
    raw = beginning(file, LARGEST + 1)
    try:
        content = json.loads(raw.removeprefix(b"\xef\xbb\xbf")) if len(raw) <= LARGEST else None
        return dict(flat(content)) if isinstance(content, dict) else None
    except (ValueError, RecursionError):
        return None


def _word(word: str, step: Sequence[int], records: Sequence[Mapping[str, object]]) -> str | None:
    """The column of the numbers in the names, "" where the objects have one of their own; None: no series."""
    if len(records) < 2 or not any(_is_result(name, records) for name in records[0]):
        return None
    if word:
        return word
    if any(name.lower() in STEP_NAMES and _rises(name, records) for name in records[0]):
        return ""
    return "step" if len(step) >= FEWEST and all(one % ROUND == 0 for one in step) else None


def _results_beside(record: Mapping[str, object], records: Sequence[Mapping[str, object]]) -> list[str]:
    """The results of an object that no row has under the same name."""
    numbers = {name: number for name, cell in record.items() if (number := json_number(cell)) is not None}
    return [
        name
        for name, number in numbers.items()
        if (log_metric(name).kind in OUTCOMES or looks_like_outcome(name))
        and number not in {json_number(row.get(name)) for row in records}
    ]


def _is_result(name: str, records: Sequence[Mapping[str, object]]) -> bool:
    known = log_metric(name).kind in OUTCOMES or looks_like_outcome(name)
    values = {json_number(record.get(name)) for record in records} - {None} if known else set()
    return len(values) > 1


def _rises(name: str, records: Sequence[Mapping[str, object]]) -> bool:
    numbers = [json_number(record.get(name)) for record in records]
    known = [number for number in numbers if number is not None]
    return len(known) == len(numbers) and all(a < b for a, b in pairwise(known))

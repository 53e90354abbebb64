"""One `.wandb` file: the run, its settings, its history, and how it ended.

Numbers of fields are those of wandb_internal.proto (github.com/wandb/wandb).
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Mapping
from math import isnan
from typing import NamedTuple

from predictdyn.loaders.files.protobuf import BYTES, FIXED64, VARINT, MessageField, fields, integer, text, varint
from predictdyn.loaders.wandb.leveldb_log import log_of
from predictdyn.loaders.wandb.values import OWN, STEP, TYPE, WALL, Row, leaves, row_of

HISTORY, STATS, CONFIG, RUN, EXIT = 2, 7, 5, 17, 18  # of a record
ITEM, HISTORY_STEP = 1, 2  # of a history; a configuration has its items in 1 (update) and 2 (remove)
KEY, NESTED_KEY, VALUE_JSON = 1, 2, 16  # of an item
BOOLEAN, INTEGER, NUMBER, TEXT, JSON = 4, 5, 6, 7, 8  # of an item, instead of VALUE_JSON; without any it is null
RUN_ID, PROJECT, RUN_CONFIG, NAME, START_TIME = 1, 3, 4, 8, 17  # of a run
VALUE_KEY = b"\x82\x01"  # how a VALUE_JSON begins
BAD_RECORD = "record(s) that cannot be read"
SYSTEM = "record(s) of system statistics"


class Run(NamedTuple):
    """What a file says of the run that it is of; ``started`` in seconds since 1970."""

    id: str = ""
    project: str = ""
    name: str = ""
    started: float = float("inf")


class WandbFile(NamedTuple):
    """One file, whole: ``code`` is the exit code, None where the run has not ended."""

    run: Run
    config: Mapping[str, object]
    rows: list[Row]
    code: int | None
    dropped: Counter[str]


def run_in(raw: bytes) -> Run:
    """The run that the beginning of a file is of, blank where it does not say."""
    try:
        records = log_of(raw).records
    except ValueError:
        return Run()
    for record in records:
        try:
            for field in fields(record, 0, len(record)):
                if field.number == RUN:
                    return _run(record, field)
        except ValueError:
            continue
    return Run()


def read_file(raw: bytes) -> WandbFile:
    """All of a file; ValueError where it is none of W&B."""
    records, dropped = log_of(raw)
    run, code = Run(), None
    config: dict[str, object] = {}
    rows: list[Row] = []
    names: dict[bytes, str] = {}
    for record in records:
        try:
            for field in fields(record, 0, len(record)):
                if field.number == HISTORY and field.wire == BYTES:
                    rows.append(_row(record, field, names, dropped))
                elif field.number == STATS:
                    dropped[SYSTEM] += 1
                elif field.number == RUN:
                    run = _run(record, field)
                    for part in _inside(record, field):
                        if part.number == RUN_CONFIG:
                            _settle(record, part, config)
                elif field.number == CONFIG:
                    _settle(record, field, config)
                elif field.number == EXIT:
                    code = next((integer(record, f) for f in _inside(record, field) if f.number == 1), 0)
        except (ValueError, RecursionError):  # the latter where JSON has too many levels
            dropped[BAD_RECORD] += 1
    return WandbFile(run, config, rows, code, dropped)


def _inside(raw: bytes, field: MessageField) -> list[MessageField]:
    if field.wire != BYTES:
        raise ValueError("a field that should be a message")
    return list(fields(raw, field.start, field.end))


def _run(raw: bytes, run: MessageField) -> Run:
    parts = {field.number: field for field in _inside(raw, run)}
    word = {number: text(raw, parts[number]) for number in (RUN_ID, PROJECT, NAME) if number in parts}
    time = {f.number: integer(raw, f) for f in _inside(raw, parts[START_TIME])} if START_TIME in parts else {}
    started = time.get(1, 0) + time.get(2, 0) / 1e9 if time else float("inf")
    return Run(word.get(RUN_ID, ""), word.get(PROJECT, ""), word.get(NAME, ""), started)


def _settle(raw: bytes, config: MessageField, settled: dict[str, object]) -> None:
    """What a configuration changes in the settings so far."""
    for item in _inside(raw, config):
        if item.number not in (1, 2):
            continue
        name, value = _item(raw, item)
        if name.split("/")[0] == OWN:
            continue
        for old in [key for key in settled if key == name or key.startswith(f"{name}/")]:
            del settled[old]
        if item.number == 1:
            settled.update(leaves(name, value))


def _item(raw: bytes, item: MessageField) -> tuple[str, object]:
    """The name of an item of history or configuration, and its value."""
    keys: list[str] = []
    value: object = None
    for field in _inside(raw, item):
        if field.number in (KEY, NESTED_KEY):
            keys.append(text(raw, field))
        elif field.number in (VALUE_JSON, JSON):
            value = json.loads(raw[field.start : field.end]) if field.wire == BYTES else None
        elif field.number == NUMBER and field.wire == FIXED64:
            value = float(struct.unpack_from("<d", raw, field.start)[0])
        elif field.number == INTEGER and field.wire == VARINT:
            unsigned = varint(raw, field.start, field.end)[0]
            value = (unsigned >> 1) ^ -(unsigned & 1)  # zigzag
        elif field.number == BOOLEAN:
            value = bool(integer(raw, field))
        elif field.number == TEXT:
            value = text(raw, field)
    return "/".join(keys), value


def _row(raw: bytes, history: MessageField, names: dict[bytes, str], dropped: Counter[str]) -> Row:
    """One row of history. Most items are a name that was met before and a number: those are read without `fields`.

    ``names`` are the names by the bytes before the value, "" for those that are not read so.
    """
    metric: list[str] = []
    number: list[float] = []
    cells: list[tuple[str, object]] = []
    step = wall = float("nan")
    at, end = history.start, history.end
    while at < end:
        key, at = varint(raw, at, end)
        length, at = varint(raw, at, end)
        after = at + length
        if after > end or key not in (ITEM << 3 | BYTES, HISTORY_STEP << 3 | BYTES):
            raise ValueError("a history that is none")
        if key == HISTORY_STEP << 3 | BYTES:
            cells.append((STEP, next((integer(raw, f) for f in fields(raw, at, after) if f.number == 1), 0)))
            at = after
            continue
        head, _, rest = raw[at:after].partition(VALUE_KEY)
        name = names.get(head)
        if name is None:
            name = names[head] = _name(head)
        if name and rest and rest[0] == len(rest) - 1 < 0x80 and b"_" not in rest:  # 1_0 is no number of JSON
            try:
                if b"_" in rest:  # 1_0 is a number for Python, not for JSON
                    raise ValueError("no number")
                value = float(rest[1:])
            except ValueError:
                cells.append(_item(raw, MessageField(ITEM, BYTES, at, after)))
            else:
                if name == STEP:
                    step = value
                elif name == WALL:
                    wall = value
                else:
                    metric.append(name)
                    number.append(value)
        else:
            cells.append(_item(raw, MessageField(ITEM, BYTES, at, after)))
        at = after
    made = {name.removesuffix(f"/{TYPE}"): kind for name, kind in cells if name.endswith(f"/{TYPE}")}
    if made:  # an image, a histogram, ...: its parts are no metrics
        inside = tuple(f"{name}/" for name in made)
        cells = [cell for cell in cells if not cell[0].startswith(inside)] + [
            (name, {TYPE: kind}) for name, kind in made.items()
        ]
        kept = [i for i, name in enumerate(metric) if not name.startswith(inside)]
        metric, number = [metric[i] for i in kept], [number[i] for i in kept]
    row = row_of(cells, dropped)
    return Row(
        step if isnan(row.step) else row.step,
        wall if isnan(row.wall) else row.wall,
        metric + row.names,
        number + row.values,
    )


def _name(head: bytes) -> str:
    """The name in the bytes of an item before its value; "" where that is not all there is in them."""
    try:
        keys = list(fields(head, 0, len(head)))
        name = "/".join(text(head, key) for key in keys)
    except ValueError:
        return ""
    return "" if any(key.number not in (KEY, NESTED_KEY) for key in keys) or name.startswith(OWN) else name

"""All scalars of an event file, many records at a time.

Records of one length differ in little: times, steps and numbers. So records of equal length, whose steps take equally
many bytes, are taken together as a table of bytes. Of all that are equal but for these columns one is read by `event`,
and says where the numbers of the others lie. What does not fit is read one by one, with the same result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.loaders.tensorboard import tfrecord
from predictdyn.loaders.tensorboard.event import Event, event

BLOCK = 1 << 17  # records at a time: bounds the memory beside the file itself
MANY = 16  # records that are worth a table
LONGEST = 1024  # bytes of a record in a table; longer ones are hardly ever scalars, nor alike
STEP_AT = 10  # where the step lies, when the key and the 8 bytes of the time lie before its key
CUT = "record(s) cut short at the end of a file"
LOST = "byte(s) behind a damaged header"
DAMAGED = "damaged record(s)"
NO_EVENT = "record(s) that are no event"


class ScalarColumns(NamedTuple):
    """Scalars (n,): of which record each is, its tag, and its numbers."""

    record: np.ndarray
    tag: np.ndarray
    step: np.ndarray
    value: np.ndarray
    wall: np.ndarray


class EventFile(NamedTuple):
    """What is in a file: ``scalars`` in order, the records (re)starting the run, the time of the first record."""

    scalars: ScalarColumns
    starts: Sequence[int]
    began: float
    config: Mapping[str, object]
    dropped: Mapping[str, int]


class Alike(NamedTuple):
    """What alike records say, and which of them (n,) were not taken; values that are no scalars are counted."""

    scalars: list[ScalarColumns]
    left: np.ndarray
    others: Counter[str]


def read_events(raw: bytes) -> EventFile:
    """All events in the bytes of a file; nothing in them raises."""
    data = np.frombuffer(raw, np.uint8)
    found = tfrecord.records(raw)
    dropped = Counter({CUT: int(found.cut), LOST: found.lost})
    columns: list[ScalarColumns] = []
    single: list[np.ndarray] = []
    for begin in range(0, len(found.start), BLOCK):
        block = np.arange(begin, min(begin + BLOCK, len(found.start)))
        for group, width in _alike(data, found, block):
            start, length = found.start[group], int(found.length[group[0]])
            if width < 0 or len(group) < MANY or length > LONGEST:
                single.append(group)
                continue
            rows = tfrecord.rows(data, start, length)
            whole = tfrecord.intact(data, start, rows)
            dropped[DAMAGED] += int((~whole).sum())
            group, start, rows = group[whole], start[whole], rows[whole]
            while len(group) >= MANY:
                part = _table(raw, group, start, rows, width)
                columns += part.scalars
                dropped += part.others
                few = 4 * part.left.sum() > 3 * len(group)
                group, start, rows = group[part.left], start[part.left], rows[part.left]
                if few:
                    break
            single.append(group)
    events = _one_by_one(raw, data, found, np.sort(np.concatenate([np.empty(0, int), *single])), dropped)
    config: dict[str, object] = {}
    for _, one in events:
        config |= one.config
    columns.append(
        _columns([(i, s.tag, one.step, s.value, one.wall) for i, one in events for s in one.scalars]),
    )
    together = ScalarColumns(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))
    order = np.argsort(together.record, kind="stable")
    return EventFile(
        ScalarColumns(*(column[order] for column in together)),
        [i for i, one in events if one.start],
        _began(raw, found),
        config,
        +dropped,
    )


def _columns(scalars: Sequence[tuple[int, str, int, float, float]]) -> ScalarColumns:
    record, tag, step, value, wall = zip(*scalars, strict=True) if scalars else ((), (), (), (), ())
    return ScalarColumns(
        np.array(record, dtype=int),
        np.array(tag, dtype=object),
        *(np.array(column, dtype=float) for column in (step, value, wall)),
    )


def _began(raw: bytes, found: tfrecord.Records) -> float:
    if not len(found.start):
        return np.nan
    try:
        return event(raw, int(found.start[0]), int(found.start[0] + found.length[0])).wall
    except ValueError:
        return np.nan


def _alike(data: np.ndarray, found: tfrecord.Records, block: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Groups of records of one length whose steps take equally many bytes (-1: not known where they lie)."""
    start, length = found.start[block], found.length[block]
    head = data[np.minimum(start[:, None] + np.arange(STEP_AT + 10), len(data) - 1)]
    more = head[:, STEP_AT:] >= 0x80
    bytes_of_step = np.where(more.all(axis=1), 10, 1 + more.argmin(axis=1))
    timed = (head[:, 0] == 0x09) & (length >= STEP_AT)
    stepped = head[:, STEP_AT - 1] == 0x10
    width = np.where(stepped, bytes_of_step, 0)
    width[~timed | (stepped & (STEP_AT + width > length))] = -1
    order = np.lexsort((width, length))
    edges = np.flatnonzero(np.diff(length[order]) | np.diff(width[order])) + 1
    for places in np.split(order, edges):
        yield block[places], int(width[places[0]])


def _table(raw: bytes, group: np.ndarray, start: np.ndarray, rows: np.ndarray, width: int) -> Alike:
    """Those of alike records (n, length) whose numbers lie where those of the first lie."""
    length = rows.shape[1]
    wall = _as(rows, 1, "<f8")
    seven = (rows[:, STEP_AT : STEP_AT + width] & 0x7F).astype(np.int64)
    step = (seven << (7 * np.arange(width))).sum(axis=1)  # of ten bytes the last holds the sign, as int64 does

    def layout(row: int) -> tuple[Event, list[tuple[int, str]]] | None:
        """The event of a row, and where its numbers lie; None if it is not to be read as a table."""
        try:
            one = event(raw, int(start[row]), int(start[row]) + length)
        except ValueError:
            return None
        same_time = np.array_equal(one.wall, wall[row], equal_nan=True) and one.step == step[row]
        plain = same_time and not one.start and not one.config and all(s.place >= 0 for s in one.scalars)
        return (one, [(s.place - int(start[row]), s.dtype) for s in one.scalars]) if plain else None

    first = layout(0)
    if first is None:
        return Alike([], np.ones(len(group), dtype=bool), Counter())
    fixed = np.ones(length, dtype=bool)
    fixed[1:9] = False
    fixed[STEP_AT : STEP_AT + width] = False
    for place, dtype in first[1]:
        fixed[place : place + np.dtype(dtype).itemsize] = False
    keys = np.ascontiguousarray(rows[:, fixed]).view(f"V{fixed.sum()}").ravel()
    code, _ = pd.factorize(np.array(keys.tolist(), dtype=object))
    found = [layout(int(row)) for row in np.unique(code, return_index=True)[1]]
    like = {i: one[0] for i, one in enumerate(found) if one is not None and one[1] == first[1]}
    taken = np.isin(code, [*like])
    others: Counter[str] = Counter()
    for i, count in enumerate(np.bincount(code)):
        for kind in like[i].others if i in like else ():
            others[kind] += int(count)
    scalars = []
    for j, (place, dtype) in enumerate(first[1]):
        tags = np.empty(len(found), dtype=object)
        tags[[*like]] = [one.scalars[j].tag for one in like.values()]
        value = _as(rows, place, dtype)
        scalars.append(
            ScalarColumns(group[taken], tags[code[taken]], step[taken].astype(float), value[taken], wall[taken])
        )
    return Alike(scalars, ~taken, others)


def _as(rows: np.ndarray, place: int, dtype: str) -> np.ndarray:
    """The numbers (n,) that lie at one place of every row."""
    width = np.dtype(dtype).itemsize
    return np.ascontiguousarray(rows[:, place : place + width]).view(dtype).ravel().astype(float)


def _one_by_one(
    raw: bytes, data: np.ndarray, found: tfrecord.Records, single: np.ndarray, dropped: Counter[str]
) -> list[tuple[int, Event]]:
    """The events of some records, with their numbers; what cannot be read is counted.

    Where nothing is taken from a record its data are not checked: images and graphs can be large.
    """
    events = []
    for i in map(int, single):
        start, length = found.start[i : i + 1], int(found.length[i])
        try:
            one = event(raw, int(start[0]), int(start[0]) + length)
        except ValueError:
            one = None
        if one is None or one.scalars or one.config or one.start:
            whole = tfrecord.intact(data, start, tfrecord.rows(data, start, length))[0]
            if one is None or not whole:
                dropped[NO_EVENT if whole else DAMAGED] += 1
                continue
        dropped.update(one.others)
        events.append((i, one))
    return events

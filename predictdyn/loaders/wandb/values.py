"""What W&B logs under a name becomes numbers: parts of settings and of values are named with / between the levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from predictdyn.loaders.engine.runlog import RunLog

STEP, WALL, OWN, TYPE = "_step", "_timestamp", "_wandb", "_type"
# How W&B writes numbers that JSON does not have.
NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}
NO_STEP = "row(s) without a step"


class Row(NamedTuple):
    """What was logged at a step: names and numbers."""

    step: float
    wall: float
    names: list[str]
    values: list[float]


def leaves(name: str, value: object) -> Iterator[tuple[str, object]]:
    """What is logged under a name, level by level; what W&B made of an image, a table, ... stays whole.

    >>> list(leaves("a", {"b": {"c": 1}, "d": 2}))
    [('a/b/c', 1), ('a/d', 2)]
    """
    if isinstance(value, Mapping) and TYPE not in value:
        for key, part in value.items():
            yield from leaves(f"{name}/{key}", part)
    else:
        yield name, value


def number(value: object) -> float | str:
    """A value as a number, or what it is instead.

    >>> number(1), number("-Infinity"), number("red"), number({"_type": "histogram"})
    (1.0, -inf, 'text', 'histogram')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return "too large a number"
    if isinstance(value, str):
        return NOT_FINITE.get(value, "text")
    return str(value[TYPE]) if isinstance(value, Mapping) else "list"


def logged(row: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The cells of a row of a table: null stands there for what was not logged at that step."""
    return ((name, value) for name, value in row.items() if value is not None)


def row_of(cells: Iterable[tuple[str, object]], dropped: Counter[str]) -> Row:
    """A row of history as (name, value); a step that is no number is NaN; what is no number is counted."""
    names, values = [], []
    step = wall = float("nan")
    for outer, value in cells:
        for name, part in leaves(outer, value):
            found = number(part)
            if isinstance(found, str):
                dropped[f"{found} value(s)"] += 1
            elif name == STEP:
                step = found
            elif name == WALL:
                wall = found
            elif not name.startswith(OWN):
                names.append(name)
                values.append(found)
    return Row(step, wall, names, values)


def run_log_of(
    run: str,
    segments: Iterable[Iterable[Row]],
    config: Mapping[str, object],
    events: Iterable[tuple[float, str]],
    dropped: Counter[str],
) -> RunLog:
    """The rows of a run, one list a segment; those without a step are dropped and counted.

    Where no row has a step, all are at step 0, in order: a clock that does not move.
    """
    known: dict[str, str] = {}
    metric: list[str] = []
    value: list[float] = []
    numbers: list[tuple[float, float, int, int]] = []
    parts = [[*rows] for rows in segments]
    timeless = not any(np.isfinite(row.step) for rows in parts for row in rows)
    for segment, rows in enumerate(parts):
        for row in rows:
            if timeless:
                row = row._replace(step=0.0)
            if not np.isfinite(row.step):
                dropped[NO_STEP] += 1
                continue
            metric += [known.setdefault(name, name) for name in row.names]
            value += row.values
            numbers.append((row.step, row.wall, segment, len(row.values)))
    step, wall, number_of_segment, count = np.array(numbers, dtype=float).reshape(-1, 4).T
    times = count.astype(int)
    return RunLog(
        run,
        np.array(metric, dtype=object),
        np.repeat(step, times),
        np.array(value, dtype=float),
        np.repeat(wall, times),
        np.repeat(number_of_segment.astype(int), times),
        dict(config),
        events=list(events),
        dropped=+dropped,
    )

"""Rows that a reader has found become the arrays of a RunLog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import SupportsFloat, cast

import numpy as np
import pandas as pd

from predictdyn.loaders.engine.runlog import RunLog

Column = Sequence[object] | np.ndarray
WRONG = "value(s) dropped that are no number, or whose step is none"


def run_log(
    run: str,
    metric: Column,
    step: Column,
    value: Column,
    *,
    wall: Column | None = None,
    segment: Sequence[int] | None = None,
    config: Mapping[str, object] | None = None,
    events: Sequence[tuple[float, str]] = (),
    dropped: Mapping[str, int] | None = None,
) -> RunLog:
    """The rows (n,) of a run as arrays; those without a finite step or a number as value are dropped and counted.

    >>> log = run_log("a", ["loss"] * 3, [1, "x", 3], [0.5, 0.25, "nan"])
    >>> log.step.tolist(), log.value.tolist(), log.dropped[WRONG]
    ([1.0, 3.0], [0.5, nan], 1)
    """
    steps, no_step = _numbers(step)
    values, no_value = _numbers(value)
    walls = np.full(len(metric), np.nan) if wall is None else _numbers(wall)[0]
    segments = np.zeros(len(metric), dtype=int) if segment is None else np.array(segment, dtype=int)
    # One copy of each name: there are as many rows as points, but few names.
    code, names = pd.factorize(np.array(metric, dtype=object))
    metrics = np.asarray(names, dtype=object)[code]
    wrong = no_step | no_value | ~np.isfinite(steps)
    counts = dict(dropped or {}) | ({WRONG: int(wrong.sum())} if wrong.any() else {})
    log = RunLog(run, metrics, steps, values, walls, segments, config or {}, None, tuple(events), counts)
    if not wrong.any():
        return log
    return log._replace(
        metric=metrics[~wrong], step=steps[~wrong], value=values[~wrong], wall=walls[~wrong], segment=segments[~wrong]
    )


def setting(text: str) -> object:
    """A setting that is kept as text as what it was: a truth value, a whole number, a number, None, or text.

    >>> [setting(text) for text in ("1e-3", "12", "True", "None", "007", "adamw")]
    [0.001, 12, True, None, '007', 'adamw']
    """
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    if text.lstrip("+-").startswith("0") and text.lstrip("+-0").isdigit():
        return text  # a code, not a number
    try:
        return int(text) if len(text) < 20 else float(text)
    except ValueError:
        number, wrong = _numbers([text])
        return text if wrong[0] or "_" in text else float(number[0])


def _numbers(cells: Column) -> tuple[np.ndarray, np.ndarray]:
    """Cells as numbers (n,), and where they are none (n,)."""
    found = np.array(cells)
    if found.dtype.kind in "iuf" or not len(found):
        return found.astype(float), np.zeros(len(found), dtype=bool)
    each = [number_of(cell) for cell in cells]
    return np.array([np.nan if x is None else x for x in each], float), np.array([x is None for x in each], bool)


def number_of(cell: object) -> float | None:
    """A cell as a number, if it is one or reads as one: 1_000 and digits of other scripts do for Python, in no log.

    >>> number_of("1e-3"), number_of("1_000")
    (0.001, None)
    """
    if isinstance(cell, str) and ("_" in cell or not cell.strip().isascii()):
        return None
    try:
        return float(cast(SupportsFloat, cell))
    except (TypeError, ValueError, OverflowError):
        return None

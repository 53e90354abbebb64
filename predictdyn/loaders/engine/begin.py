"""Several runs in one log, one after the other: trials, seeds in a loop, files opened for appending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from predictdyn.curves import ENDED
from predictdyn.loaders.engine.facts import is_clock, log_metric


class Restart(NamedTuple):
    """Where in the log a run went back, and to which step."""

    place: int
    step: float


def restarts_in(curves: Mapping[str, np.ndarray], step: np.ndarray, segment: np.ndarray) -> list[Restart]:
    """Where the run went back: metrics that go back, each once, are one restart if the others agree.

    ``curves`` are the rows of each metric. A metric goes back where its step falls, or where it is logged again at the
    same step by a new segment. Of the metrics that had gone beyond the step of the restart (the upper median of the
    steps that metrics go back to) and are logged again, more than half must go back: one that is written late, or
    twice, is no restart of the others.
    """
    found = []
    for rows in curves.values():
        change = np.diff(step[rows])
        if (change > 0).all():
            continue
        # What is always logged at one step (settings, a final test) says nothing of how far the run had come.
        again = (change == 0) & (np.diff(segment[rows]) > 0) & (step[rows[:-1]] > step[rows[0]])
        back = np.flatnonzero((change < 0) | again)
        found += [(int(rows[i + 1]), int(rows[i])) for i in back]
    groups: list[list[int]] = []
    for row, before in sorted(found):
        if not groups or before >= groups[-1][0]:
            groups.append([row])
        else:
            groups[-1].append(row)
    restarts = [Restart(rows[0], float(np.sort(step[rows])[len(rows) // 2])) for rows in groups]
    place, low = np.array([r.place for r in restarts], dtype=int), np.array([r.step for r in restarts])
    beyond, agree = np.zeros(len(place)), np.zeros(len(place))
    for rows in curves.values() if restarts else ():
        after = np.searchsorted(rows, place)
        highest = np.append(-np.inf, np.maximum.accumulate(step[rows]))[after]
        counted = (highest >= low) & (after < len(rows))
        beyond += counted
        agree += counted & (np.append(step[rows], np.inf)[after] <= highest)
    return [restart for restart, real in zip(restarts, 2 * agree > beyond, strict=True) if real]


def beginnings(
    curves: Mapping[str, np.ndarray],
    step: np.ndarray,
    value: np.ndarray,
    restarts: Sequence[Restart],
    planned: float | None,
) -> list[int]:
    """The rows at which another run begins, of those at which the log goes back to its first step.

    They are other runs if one before had reached its planned end, or has the same first value there (a resumed run
    does not compute its first loss again), or if two of the runs that would result are equally long. Else a run was
    started again from its beginning, and is one.
    """
    begins = [0]
    firsts: list[bool] = []  # whether the first value is the same
    for restart in restarts:
        anew = _anew(curves, step, value, begins[-1], restart.place)
        if anew is not None:
            begins.append(restart.place)
            firsts.append(anew)
    if len(begins) == 1:
        return []
    ends = [float(step[a:b].max()) for a, b in zip(begins, [*begins[1:], len(step)], strict=True)]
    longest = max(ends)
    repeated = sum(end >= ENDED * longest for end in ends) > 1
    full = [(planned is not None and end >= ENDED * planned) or (repeated and end >= ENDED * longest) for end in ends]
    # A log that holds two runs holds as many as it begins anew: those that were stopped are runs, too.
    return begins[1:] if any(firsts) or any(full[:-1]) else []


def _anew(curves: Mapping[str, np.ndarray], step: np.ndarray, value: np.ndarray, begin: int, at: int) -> bool | None:
    """Whether a metric begins again with the same value; None where most metrics do not go back to their first step."""
    going, again, same = 0, 0, False
    for name, rows in curves.items():
        before, after = rows[(rows >= begin) & (rows < at)], rows[rows >= at][:1]
        if len(before) < 2 or not len(after) or is_clock(name):
            continue
        going += 1
        if step[after[0]] <= step[before[0]] < step[before].max():
            again += 1
            varies = value[before[0]] != value[before[-1]] and log_metric(name).kind != "schedule"
            same |= bool(varies and value[before[0]] == value[after[0]])
    return same if 2 * again > going else None

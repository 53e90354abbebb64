"""One clock for all that a run logged: metrics whose steps never move, or count something else, get a place on it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from predictdyn.loaders.engine.notes import OTHER_CLOCK, UNMOVED, Tally
from predictdyn.loaders.engine.runlog import RunLog

SLOWER = 2.0  # a clock of its own goes at most half as fast as that of the other metrics
ENOUGH = 3  # values of one metric at one step that show that no steps were logged
EVAL = "eval"  # in front of metrics that both clocks log: those on the slower one are of an evaluation
Rows = dict[str, np.ndarray]  # the rows (places in the log) of each metric, in the order of the log


def on_one_clock(log: RunLog) -> tuple[RunLog, Tally]:
    """The same log with steps that all count the same thing, and what was placed.

    * Where no step moves (all are 0, or none was logged), the order of the log, by its times where it has some, is the
      clock, counted from 1 by the metric that was logged most often.
    * A metric whose steps go up with those of all others, but at most half as fast and in proportion (validation by
      epoch, training by iteration), or whose step stays where it is while the others go on, gets the largest step that
      was logged before it. Metrics that stand in the same rows as it go along; one that both clocks log has ``eval/``
      in front there.

    >>> rows = [("loss", 50, 3.0), ("loss", 100, 2.0), ("acc", 1, 0.5), ("loss", 150, 1.5), ("loss", 200, 1.0)]
    >>> metric, step, value = zip(*rows, ("acc", 2, 0.75))
    >>> blank, segment = np.full(6, np.nan), np.zeros(6, dtype=int)
    >>> log = RunLog("a", np.array(metric, object), np.array(step, float), np.array(value), blank, segment)
    >>> on_one_clock(log)[0].step.tolist()
    [50.0, 100.0, 100.0, 150.0, 200.0, 200.0]
    """
    notes = Tally()
    if len(log.step) < 2:
        return log, notes
    usable = np.isfinite(log.step)
    rows = _rows(log)
    if not usable.any() or (usable.all() and (log.step == log.step[0]).all()):
        again = any(len(each) >= ENOUGH and _differ(log.value[each]) for each in rows.values())
        return (_counted(log, rows, notes), notes) if again else (log, notes)
    order = _order(log)
    slow = _slow(log, rows, order)
    return (_placed(log, rows, slow, order, notes), notes) if slow else (log, notes)


def _rows(log: RunLog) -> Rows:
    codes, names = pd.factorize(log.metric)
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    return {str(names[codes[part[0]]]): part for part in parts}


def _differ(values: np.ndarray) -> bool:
    return len(set(values[np.isfinite(values)].tolist())) > 1


def _order(log: RunLog) -> np.ndarray:
    """The rows in the order of their times, where all are known, else as they were written."""
    known = np.isfinite(log.wall)
    return np.argsort(log.wall, kind="stable") if known.all() else np.arange(len(log.step))


def _counted(log: RunLog, rows: Rows, notes: Tally) -> RunLog:
    order = _order(log)
    times = np.empty(len(order))
    rank = np.argsort(order)
    for name, each in rows.items():
        times[each[np.argsort(rank[each])]] = np.arange(1, len(each) + 1)
        notes.add(UNMOVED, len(each), name)
    step = np.empty(len(order))
    step[order] = np.maximum.accumulate(times[order])
    return log.only(order)._replace(step=step[order])


def _slow(log: RunLog, rows: Rows, order: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics whose steps count something else, each with the step of the others before its rows (n,)."""
    highest = np.nanmax(log.step)
    slow: dict[str, np.ndarray] = {}
    before: np.ndarray | None = None
    for name, each in rows.items():
        if len(each) < 2 or not SLOWER * log.step[each].max() <= highest:
            continue
        if before is None:  # the largest step that was logged before each row
            before = np.empty(len(order))
            ordered = np.fmax.accumulate(np.nan_to_num(log.step[order], nan=0.0))
            before[order] = np.append(0.0, ordered[:-1])
        own, reached = log.step[each], before[each]
        stays = (own == own[0]).all() and (np.diff(reached) > 0).all() and _differ(log.value[each])
        if stays or _in_proportion(own, reached):
            slow[name] = reached
    return slow


def _in_proportion(own: np.ndarray, reached: np.ndarray) -> bool:
    """Whether steps (n,) go up in proportion to those that the others had reached (n,), much more slowly."""
    if not (np.diff(own) > 0).all() or not (np.diff(reached) > 0).all() or reached[-1] < SLOWER * max(own[-1], 1):
        return False
    slope, start = np.polyfit(own, reached, 1)
    misfit = reached - start - slope * own
    return bool(slope >= SLOWER and abs(start) <= 1.5 * slope and np.std(misfit) <= 0.1 * np.std(reached))


def _placed(log: RunLog, rows: Rows, slow: Mapping[str, np.ndarray], order: np.ndarray, notes: Tally) -> RunLog:
    step, metric = log.step.copy(), log.metric.copy()
    for name, reached in slow.items():
        step[rows[name]] = reached
        notes.add(OTHER_CLOCK, len(reached), name)
    # Rows of a table are neighbours with one step in which no metric stands twice.
    line = np.cumsum(np.append(False, (np.diff(log.step) != 0) | (np.diff(log.segment) != 0)))
    target = dict(zip(line[np.concatenate([rows[name] for name in slow])],
                      np.concatenate(list(slow.values())), strict=True))  # fmt: skip
    beside = np.flatnonzero(np.isin(line, list(target)) & ~np.isin(log.metric, list(slow)))
    for row in beside:
        step[row] = target[line[row]]
        metric[row] = f"{EVAL}/{log.metric[row]}"
        notes.add(OTHER_CLOCK, 1, metric[row])
    return log._replace(step=step, metric=metric).only(order)

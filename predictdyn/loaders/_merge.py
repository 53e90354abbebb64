"""What one run logged becomes its curves: restarts merged, NaN made an event, clock, filters and thinning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.loaders._facts import is_clock
from predictdyn.loaders._runlog import RunLog

Lines = dict[str, tuple[np.ndarray, np.ndarray]]  # steps and values, each (t,), of every metric


class Rules(NamedTuple):
    """How the log of a run is read, as `_gather.gathered` documents it."""

    metrics: Sequence[str] = ()
    exclude: Sequence[str] = ()
    clock: str = "step"
    thin: int | None = None


class Tidy(NamedTuple):
    """One run: its ``points`` (metric, step, value, stderr; sorted, unique, finite), and all that is not a point.

    ``names`` are all metrics that it logged, chosen or not; ``said`` counts what was merged or dropped, by reason.
    """

    run: str
    points: pd.DataFrame
    names: Sequence[str]
    events: Sequence[tuple[float, str]]
    config: Mapping[str, object]
    planned: float | None
    said: Mapping[str, int]


MOST = 30  # lines


class Restart(NamedTuple):
    """Where in the log a run went back, and to which step."""

    place: int
    step: float


# Reasons, as they are said. The first is a restart, the others are points.
RESTARTS = "restart(s) merged, later wins"
REPLACED = "value(s) replaced by what was logged again at the same step"
ABANDONED = "value(s) dropped beyond a step that was gone back to"
NOT_FINITE = "value(s) NaN or infinite, kept as events"
NO_STEP = "value(s) without a step (or with a negative one) dropped"
NO_STEP_EVENT = "event(s) without a step dropped"
NO_CLOCK = "value(s) dropped where the clock was not logged"
SAME_CLOCK = "value(s) dropped that share their place on the clock with a later one"
THINNED = "value(s) thinned out, the extremes of each bin in ln step kept"


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is one of the patterns, or is matched by one as a glob."""
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def some(names: Sequence[str], most: int = 4) -> str:
    """The first few names, and how many more there are.

    >>> some(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def lines_of(said: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What was counted in runs, one line a reason (at most `MOST`: a thousand runs may fail for a thousand reasons).

    >>> lines_of({"a": {"point(s) lost": 2}, "b": {"point(s) lost": 1}})
    ['3 point(s) lost, in a, b']
    """
    lines = []
    for reason in sorted({reason for counts in said.values() for reason in counts}):
        runs = [run for run, counts in said.items() if counts.get(reason)]
        lines.append(f"{sum(said[run][reason] for run in runs):,} {reason}, in {some(runs)}")
    return [*lines[:MOST], *([f"and {len(lines) - MOST} more such lines"] if len(lines) > MOST else [])]


def tidy_run(log: RunLog, rules: Rules) -> Tidy:
    """The curves of one run, by the rules that `_gather.gathered` states.

    >>> log = RunLog("a", *map(np.array, (["loss"] * 4, [1, 2, 2, 3.0], [3, 9, 2, np.nan], [0.0] * 4, [0, 0, 1, 1])))
    >>> tidy = tidy_run(log, Rules())
    >>> tidy.points["value"].tolist(), tidy.events
    ([3.0, 2.0], [(2.0, 'restart'), (3.0, 'loss is NaN')])
    """
    said = Counter(dict(log.dropped))
    step, value = np.asarray(log.step, dtype=float), np.asarray(log.value, dtype=float)
    codes, uniques = pd.factorize(np.asarray(log.metric, dtype=object), sort=True)
    usable = np.isfinite(step) & (step >= 0)
    said[NO_STEP] += int((~usable).sum())
    curves = {}
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        if usable[rows].any():
            curves[str(uniques[codes[rows[0]]])] = rows[usable[rows]]
    standing, restarts = _merged(curves, step, np.asarray(log.segment), said)
    kept: Lines = {name: (step[rows], value[rows]) for name, rows in standing.items()}
    events = [(float(at), what) for at, what in log.events if np.isfinite(at)]
    said[NO_STEP_EVENT] += len(log.events) - len(events)
    events += [(restart.step, "restart") for restart in restarts]
    planned = log.planned
    names = list(kept)
    if rules.clock != "step":
        kept, events, planned = _on_clock(kept, events, planned, rules.clock, said)
    columns = []
    for name in _chosen(kept, rules):
        at, number = kept[name]
        finite = np.isfinite(number)
        events += [(float(at[row]), f"{name} is {_word(number[row])}") for row in np.flatnonzero(_starts(~finite))]
        said[NOT_FINITE] += int((~finite).sum())
        errors = kept.get(f"{name}_stderr")
        stderr = np.full(len(at), np.nan) if errors is None else _at_steps(at, *errors)
        chosen = np.flatnonzero(finite)
        thinned = chosen if rules.thin is None else chosen[_extremes(at[chosen], number[chosen], rules.thin)]
        said[THINNED] += len(chosen) - len(thinned)
        columns.append((name, at[thinned], number[thinned], stderr[thinned]))
    points = pd.DataFrame(
        {
            "metric": np.repeat(np.array([name for name, *_ in columns], dtype=object), [len(c[1]) for c in columns]),
            **{
                word: np.concatenate([column[i] for column in columns]) if columns else np.empty(0)
                for i, word in enumerate(("step", "value", "stderr"), 1)
            },
        }
    )
    return Tidy(log.run, points, names, sorted(events), dict(log.config), planned, +said)


def _chosen(kept: Mapping[str, object], rules: Rules) -> list[str]:
    """Metrics in order: those asked for, else all but clocks; errors of another metric are no metrics."""
    names = [name for name in kept if not matches(name, rules.exclude)]
    names = [name for name in names if not (name.endswith("_stderr") and name.removesuffix("_stderr") in kept)]
    if rules.metrics:
        return [name for name in names if matches(name, rules.metrics)]
    return [name for name in names if not is_clock(name)]


def _merged(
    curves: Mapping[str, np.ndarray], step: np.ndarray, segment: np.ndarray, said: Counter[str]
) -> tuple[dict[str, np.ndarray], list[Restart]]:
    """The rows (places in the log) of each metric that stand, and the restarts."""
    restarts = _restarts(curves, step, segment)
    kept = {}
    for name, rows in curves.items():
        at = step[rows]
        # A point stands if all that its metric logged after it lies after it, too; and a metric that the run has not
        # logged again since it went back ends where the run went back to.
        later = np.minimum.accumulate(np.append(at[1:], np.inf)[::-1])[::-1]
        end = min((restart.step for restart in restarts if restart.place > rows[-1]), default=np.inf)
        stands = (at < later) & (at <= end)
        again = ~stands & np.isin(at, at[stands])
        said[REPLACED] += int(again.sum())
        said[ABANDONED] += int((~stands & ~again).sum())
        if stands.any():
            kept[name] = rows[stands]
    said[RESTARTS] += len(restarts)
    return kept, restarts


def _restarts(curves: Mapping[str, np.ndarray], step: np.ndarray, segment: np.ndarray) -> list[Restart]:
    """Where the run went back: metrics that go back, each once, are one restart if the others agree.

    A metric goes back where its step falls, or where it is logged again at the same step by a new segment. Of the
    metrics that had gone beyond the step of the restart (the upper median of the steps that metrics go back to) and are
    logged again, more than half must go back: one that is written late, or twice, is no restart of the others.
    """
    found = []
    for rows in curves.values():
        change = np.diff(step[rows])
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


def _on_clock(
    kept: Lines,
    events: Sequence[tuple[float, str]],
    planned: float | None,
    clock: str,
    said: Counter[str],
) -> tuple[Lines, list[tuple[float, str]], float | None]:
    """Curves over a logged metric: by linear interpolation in steps; of points at one place the last one counts."""
    if clock not in kept:
        raise ValueError(f"the clock {clock!r} was not logged; logged were {', '.join(list(kept)[:12])}")
    read = np.isfinite(kept[clock][1])
    at, reading = kept[clock][0][read], kept[clock][1][read]
    if not len(at) or (np.diff(reading) < 0).any() or reading[0] < 0:
        raise ValueError(f"the clock {clock!r} must be logged as numbers from 0 on that never go back")
    moved = {}
    for name, (step, value) in kept.items():
        inside = (step >= at[0]) & (step <= at[-1])
        said[NO_CLOCK] += int((~inside).sum())
        place = np.interp(step[inside], at, reading)
        final = np.diff(np.append(place, np.inf)) > 0
        said[SAME_CLOCK] += int((~final).sum())
        moved[name] = (place[final], value[inside][final])
    happened = [(float(np.interp(step, at, reading)), what) for step, what in events]
    # The pace so far carries to the planned end.
    end = None if planned is None or at[-1] <= 0 else float(reading[-1] * max(planned, at[-1]) / at[-1])
    return moved, happened, end


def _at_steps(at: np.ndarray, step: np.ndarray, value: np.ndarray) -> np.ndarray:
    """A curve at steps (t,), NaN where it has no (finite, non-negative) value."""
    place = np.minimum(np.searchsorted(step, at), len(step) - 1)
    found = (step[place] == at) & np.isfinite(value[place]) & (value[place] >= 0)
    return np.where(found, value[place], np.nan)


def _starts(bad: np.ndarray) -> np.ndarray:
    """Where stretches of ``bad`` (t,) begin."""
    return bad & ~np.append(False, bad[:-1])


def _word(value: float) -> str:
    return "NaN" if np.isnan(value) else ("infinite" if value > 0 else "minus infinity")


def _extremes(step: np.ndarray, value: np.ndarray, most: int) -> np.ndarray:
    """Places (sorted) of at most ``most`` points: first, last, lowest and highest of equal bins in ln step."""
    if len(step) <= most:
        return np.arange(len(step))
    bins = (most - 2) // 2
    x = np.log(np.maximum(step, step[step > 0][0]))
    which = np.minimum((x - x[0]) / (x[-1] - x[0]) * bins, bins - 1).astype(int)
    order = np.lexsort((value, which))
    edge = np.flatnonzero(np.diff(which[order])) + 1
    return np.unique(np.r_[0, len(step) - 1, order[np.r_[0, edge]], order[np.r_[edge - 1, len(order) - 1]]])

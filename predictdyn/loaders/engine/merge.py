"""What one run logged becomes its curves: restarts merged, NaN made an event, clock, filters and thinning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.loaders.engine.begin import beginnings, restarts_in
from predictdyn.loaders.engine.clocks import on_one_clock
from predictdyn.loaders.engine.facts import is_clock, plain_name
from predictdyn.loaders.engine.not_finite import broke
from predictdyn.loaders.engine.notes import (
    ABANDONED,
    BEGUN_AGAIN,
    NO_CLOCK,
    NO_NAME,
    NO_STEP,
    NO_STEP_EVENT,
    NOT_FINITE,
    REPEATED,
    REPEATED_IN_TABLE,
    REPLACED,
    RESTARTS,
    SAME_CLOCK,
    THINNED,
    UNORDERED,
    Notes,
    Tally,
    flat,
    some,
)
from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.files.contents import written

Lines = dict[str, tuple[np.ndarray, np.ndarray]]  # steps and values, each (t,), of every metric


class Conflict(ValueError):
    """Values that contradict each other, in a log that must not be merged."""


class Rules(NamedTuple):
    """How the log of a run is read, as `gather.gathered` documents it."""

    metrics: Sequence[str] = ()
    exclude: Sequence[str] = ()
    clock: str = "step"
    thin: int | None = None
    merge: str = "auto"
    percent: Sequence[str] = ()


class Tidy(NamedTuple):
    """One run: its ``points`` (metric, step, value, stderr; sorted, unique, finite), and all that is not a point.

    ``names`` are all metrics that it logged, chosen or not; ``notes`` counts what was merged or dropped, by reason and
    metric; ``stopped`` and ``study`` are those of `RunLog`, ``pace`` is how many steps an epoch has, where that was
    logged, and ``item`` is what the source called the log that the run is in. ``reached`` is the last step with a
    number, also one that is not finite.
    """

    run: str
    points: pd.DataFrame
    names: Sequence[str]
    events: Sequence[tuple[float, str]]
    config: Mapping[str, object]
    planned: float | None
    notes: Notes
    stopped: str = ""
    study: str = ""
    pace: float | None = None
    item: str = ""
    reached: float = 0.0


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is one of the patterns, or is matched by one as a glob."""
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def tidy_runs(log: RunLog, rules: Rules) -> list[Tidy]:
    """The runs of one log, on one clock each: more than one where the log begins again, see `begin.beginnings`."""
    log, nameless = _named(log)
    log, notes = on_one_clock(log)
    notes.add(NO_NAME, nameless)
    pieces = _pieces(log, rules)
    notes.add(BEGUN_AGAIN, len(pieces) - 1)
    rules = rules._replace(merge="no") if log.strict and rules.merge == "auto" else rules
    found = []
    for number, piece in enumerate(pieces, 1):
        piece = piece._replace(run=log.run if number == 1 else f"{log.run}#{number}")
        # How the log ended is how its last run did; what could not be read is said once.
        piece = piece if number == len(pieces) else piece._replace(events=(), stopped="")
        piece = piece if number == 1 else piece._replace(dropped={})
        tidy = tidy_run(piece, rules)._replace(item=log.run)
        found.append(tidy if number > 1 else tidy._replace(notes=notes.plus(tidy.notes)))
    return found


def _named(log: RunLog) -> tuple[RunLog, int]:
    """A log whose metrics all have a name that can be written, and how many values had none."""
    plain = {name: written(str(name)) for name in pd.unique(np.asarray(log.metric, dtype=object))}
    if other := {name: to for name, to in plain.items() if name != to}:
        log = log._replace(metric=np.array([other.get(name, name) for name in log.metric], dtype=object))
    events = [(at, written(what)) for at, what in log.events]
    config = {written(key): written(cell) if isinstance(cell, str) else cell for key, cell in log.config.items()}
    log = log._replace(events=events, config=config)
    blank = [name for name in plain if not plain[name].strip()]
    if not blank:
        return log, 0
    named = ~np.isin(log.metric, blank)
    return log.only(named), int((~named).sum())


def _pieces(log: RunLog, rules: Rules) -> list[RunLog]:
    if rules.merge in ("yes", "no"):
        return [log]
    curves = _usable(log)
    restarts = restarts_in(curves, log.step, log.segment)
    if not restarts:
        return [log]
    places = (
        [restart.place for restart in restarts]
        if rules.merge == "runs"
        else beginnings(curves, log.step, log.value, restarts, log.planned)
    )
    edges = [0, *places, len(log.step)]
    row = np.arange(len(log.step))
    return [log.only((row >= a) & (row < b)) for a, b in pairwise(edges)]


def _usable(log: RunLog) -> dict[str, np.ndarray]:
    """The rows of each metric that have a step, in the order of the log."""
    usable = np.isfinite(log.step) & (log.step >= 0)
    codes, uniques = pd.factorize(np.asarray(log.metric, dtype=object), sort=True)
    order = np.argsort(codes, kind="stable")
    order = order[usable[order]]
    parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    return {str(uniques[codes[rows[0]]]): rows for rows in parts if len(rows)}


def tidy_run(log: RunLog, rules: Rules) -> Tidy:
    """The curves of one run, by the rules that `gather.gathered` states.

    >>> log = RunLog("a", *map(np.array, (["loss"] * 4, [1, 2, 2, 3.0], [3, 9, 2, np.nan], [0.0] * 4, [0, 0, 1, 1])))
    >>> tidy = tidy_run(log, Rules())
    >>> tidy.points["value"].tolist(), tidy.events
    ([3.0, 2.0], [(2.0, 'restart'), (3.0, 'loss is NaN')])
    """
    notes = Tally(flat(log.dropped))
    step, value = np.asarray(log.step, dtype=float), np.asarray(log.value, dtype=float)
    curves = _usable(log)
    for name, count in _without_step(log, step).items():
        notes.add(NO_STEP, count, name)
    standing, restarts = _standing(log._replace(step=step, value=value), curves, rules, notes)
    kept: Lines = {name: (step[rows], value[rows]) for name, rows in standing.items()}
    events = [(float(at), what) for at, what in log.events if np.isfinite(at)]
    notes.add(NO_STEP_EVENT, len(log.events) - len(events))
    events += [(at, "restart") for at in restarts]
    planned, pace = log.planned, _pace(kept)
    names = list(kept)
    if rules.clock != "step":
        kept, events, planned = _on_clock(kept, events, planned, rules.clock, notes)
    columns = []
    reached = 0.0
    for name in _chosen(kept, rules):
        at, number = kept[name]
        reached = max(reached, float(at[-1]) if len(at) else 0.0)
        finite = np.isfinite(number)
        if not finite.all():
            events += [(float(at[row]), broke(name, number[row])) for row in np.flatnonzero(_starts(~finite))]
            notes.add(NOT_FINITE, int((~finite).sum()), name)
            at, number = at[finite], number[finite]
        errors = kept.get(f"{name}_stderr")
        stderr = np.full(len(at), np.nan) if errors is None else _at_steps(at, *errors)
        if rules.thin is not None:
            thinned = _extremes(at, number, rules.thin)
            notes.add(THINNED, len(at) - len(thinned), name)
            at, number, stderr = at[thinned], number[thinned], stderr[thinned]
        columns.append((name, at, number, stderr))
    points = pd.DataFrame(
        {
            "metric": np.repeat(np.array([name for name, *_ in columns], dtype=object), [len(c[1]) for c in columns]),
            **{
                word: np.concatenate([column[i] for column in columns]) if columns else np.empty(0)
                for i, word in enumerate(("step", "value", "stderr"), 1)
            },
        }
    )
    return Tidy(
        log.run, points, names, sorted(events), dict(log.config), planned, notes, log.stopped, log.study, pace,
        reached=reached,
    )  # fmt: skip


def _pace(kept: Lines) -> float | None:
    """How many steps an epoch has, by the epochs that were logged; None where that cannot be told."""
    name = next((name for name in kept if plain_name(name).rpartition("_")[2] == "epoch"), None)
    if name is None:
        return None
    step, epoch = kept[name]
    if not np.isfinite(epoch).all() or epoch[-1] <= 0 or step[-1] <= 0:
        return None
    if (epoch % 1 != 0).any():
        return float(step[-1] / epoch[-1])
    rises = np.flatnonzero(np.diff(epoch) > 0) + 1  # whole numbers say no more than where they change
    if len(rises) < 2:
        return None
    # The last row of an epoch is the better mark where it comes at the same place in each (a validation): the first
    # one comes at a multiple of the interval of logging, up to an interval late.
    ends = _paces(step, epoch, rises - 1)
    paces = ends if np.ptp(ends) == 0 else _paces(step, epoch, rises)
    first, last = (rises - (paces is ends))[[0, -1]]
    return float((step[last] - step[first]) / (epoch[last] - epoch[first]))


def _paces(step: np.ndarray, epoch: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Steps an epoch (m - 1,) from each of the rows ``marks`` (m,) to the next one."""
    paces: np.ndarray = np.diff(step[marks]) / np.diff(epoch[marks])
    return paces


def _without_step(log: RunLog, step: np.ndarray) -> dict[str, int]:
    bad = ~(np.isfinite(step) & (step >= 0))
    return {str(name): int(n) for name, n in pd.Series(log.metric[bad]).value_counts().items()} if bad.any() else {}


def _chosen(kept: Mapping[str, object], rules: Rules) -> list[str]:
    """Metrics in order: those asked for, else all but clocks; errors of another metric are no metrics."""
    names = [name for name in kept if not matches(name, rules.exclude)]
    names = [name for name in names if not (name.endswith("_stderr") and name.removesuffix("_stderr") in kept)]
    if rules.metrics:
        return [name for name in names if matches(name, rules.metrics)]
    return [name for name in names if not is_clock(name)]


def _standing(
    log: RunLog, curves: Mapping[str, np.ndarray], rules: Rules, notes: Tally
) -> tuple[dict[str, np.ndarray], list[float]]:
    """The rows of each metric that stand, and the steps of the restarts.

    A clock is no metric that could be lost, and a value that is logged again as it was is none either.
    """
    step, value = log.step, log.value
    if all((np.diff(step[rows]) > 0).all() for rows in curves.values()):
        return dict(curves), []
    if rules.merge == "no":
        return _ordered(log, curves), []
    merged, restarts = _merged(curves, step, log.segment)
    counts = {name: _lost(step, value, curves[name], merged.get(name, curves[name][:0])) for name in curves}
    lost = sum(sum(pair) for name, pair in counts.items() if not is_clock(name))
    if rules.merge == "auto" and 2 * lost > sum(len(rows) for name, rows in curves.items() if not is_clock(name)):
        ordered = _without_repeats(log, curves)
        if ordered is None:
            worst = sorted(counts, key=lambda name: -sum(counts[name]))
            lose = f"merging would lose {lost:,} of the values of {some(worst, 6)}"
            if not restarts:
                columns = (
                    "does a column tell runs apart (a seed, a trial)? name it with run=..., or choose the clock with "
                    "step=..."
                )
                remedy = columns if log.places else "does the clock count something else? choose it with clock=..."
                raise ValueError(
                    f"steps have several values, so that {lose}; {remedy}, or say merge='yes' (the last value counts)"
                )
            clock = "clock=... or step=..." if log.places else "clock=..."
            raise ValueError(
                f"steps go back {len(restarts)} times, so that {lose}; does the clock count something else? choose it "
                f"with {clock}, or say merge='runs' (each beginning is a run) or merge='yes' (the later value counts)"
            )
        for name, rows in curves.items():
            notes.add(UNORDERED, int((np.diff(step[rows]) < 0).sum()), name)
        return ordered, []
    for name, (replaced, abandoned) in counts.items():
        if not is_clock(name):
            notes.add(REPLACED if restarts else REPEATED_IN_TABLE if log.places else REPEATED, replaced, name)
            notes.add(ABANDONED, abandoned, name)
    notes.add(RESTARTS, len(restarts))
    return merged, restarts


def _merged(
    curves: Mapping[str, np.ndarray], step: np.ndarray, segment: np.ndarray
) -> tuple[dict[str, np.ndarray], list[float]]:
    restarts = restarts_in(curves, step, segment)
    kept = {}
    for name, rows in curves.items():
        at = step[rows]
        # A point stands if all that its metric logged after it lies after it, too; and a metric that the run has not
        # logged again since it went back ends where the run went back to.
        later = np.minimum.accumulate(np.append(at[1:], np.inf)[::-1])[::-1]
        end = min((restart.step for restart in restarts if restart.place > rows[-1]), default=np.inf)
        stands = (at < later) & (at <= end)
        if stands.any():
            kept[name] = rows[stands]
    return kept, [restart.step for restart in restarts]


def _lost(step: np.ndarray, value: np.ndarray, rows: np.ndarray, kept: np.ndarray) -> tuple[int, int]:
    """How many values of a metric another value replaces at their step, and how many are left behind."""
    if len(rows) == len(kept):
        return 0, 0
    gone = rows[~np.isin(rows, kept)]
    at = np.searchsorted(step[kept], step[gone])
    again = np.append(step[kept], np.nan)[at] == step[gone]
    other = ~_same(np.append(value[kept], np.nan)[at[again]], value[gone[again]])
    return int(other.sum()), int((~again).sum())


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one == other) | (np.isnan(one) & np.isnan(other))


def _without_repeats(log: RunLog, curves: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """The rows of each metric by step, equal repeats once; None where one step has two values."""
    try:
        return _ordered(log, curves)
    except Conflict:
        return None


def _ordered(log: RunLog, curves: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rows of each metric by step, equal repeats once. Raises `Conflict` where one step has two values."""
    ordered, wrong = {}, []
    for name, rows in curves.items():
        at = rows[np.argsort(log.step[rows], kind="stable")]
        again = np.append(False, np.diff(log.step[at]) == 0)
        twice = np.flatnonzero(again)
        # Of a clock the last reading counts: it says how far the run is, and cannot contradict itself.
        other = twice[~_same(log.value[at[twice]], log.value[at[twice - 1]])]
        if not is_clock(name):
            wrong += [(int(at[i]), int(at[i - 1]), name) for i in other]
        ordered[name] = at[np.append(np.diff(log.step[at]) != 0, True)]
    if wrong:
        row, twin, name = min(wrong)
        here, before = (f"{log.places.of(row)}: ", f" in {log.places.of(twin)}") if log.places else ("", "")
        columns = ", or name the columns that tell runs apart with run=..." if log.places else ""
        raise Conflict(
            f"{here}run {log.run!r}, metric {name!r}, step {log.step[row]:g} has another value than before{before} "
            f"({len(wrong)} in all); a resumed run is merged with merge='yes' (the later value counts), several runs "
            f"in one log are kept with merge='runs'{columns}"
        )
    return ordered


def _on_clock(
    kept: Lines,
    events: Sequence[tuple[float, str]],
    planned: float | None,
    clock: str,
    notes: Tally,
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
        notes.add(NO_CLOCK, int((~inside).sum()), name)
        place = np.interp(step[inside], at, reading)
        final = np.diff(np.append(place, np.inf)) > 0
        notes.add(SAME_CLOCK, int((~final).sum()), name)
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

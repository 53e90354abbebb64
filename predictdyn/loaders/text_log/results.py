"""Lines of a text log without a counter of the run: results of evaluations, and what has to be left out, in words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from predictdyn.loaders.engine.facts import is_clock, plain_name
from predictdyn.loaders.text_log.forms import Field
from predictdyn.loaders.text_log.names import EVALUATIONS, is_outcome, says_best, says_phase
from predictdyn.loaders.text_log.rows import FormRows, only

MOST_SAID = 3  # skeletons of lines that are named, the rest is counted together
# Reasons for which lines are left out.
INNER = "line(s) like {!r} left out: running values inside an evaluation"
UNNAMED = "line(s) like {!r} left out: no phase is said, and lines that count have the same names"
SAME = "value(s) called {!r} left out: no phase is said, and lines that count have the same name"
TWICE = "line(s) like {!r} left out: more than one below the same step"
BEST_OF_ALL = "line(s) like {!r} left out: the best of all rounds is no value of the round above"
EARLY = "line(s) like {!r} left out: no line that counts is above"
UNREAD = "line(s) like {!r} without a counter left out"
OTHERS = "other line(s) with names and numbers, but without a counter, left out"


class Ruler(NamedTuple):
    """The clock of the run: ``line`` (n,) and ``step`` (n,), whether a line ``says`` (n,) no more than that, and names.

    ``by_epoch``: its lines count epochs. Such a line may stand at the end of its epoch, so that results come before it.
    """

    line: np.ndarray
    step: np.ndarray
    says: np.ndarray
    names: frozenset[str]
    by_epoch: bool


class Placed(NamedTuple):
    """Rows without a counter, with the ``step`` (n,) of each."""

    rows: FormRows
    step: np.ndarray


def ends_of_loops(loops: Sequence[FormRows], ruler: Ruler, dropped: Counter[str]) -> list[FormRows]:
    """What counters inside evaluations (``Test: [10/16]``) say of the whole of it; their running values are counted.

    A loop ends where its counter falls, or the run goes on. Its last line holds the result if it is the only one, and
    is not said to be but a part; else, at i = N, what no other line has; and at i = N or N - 1 averages.
    """
    kept = []
    for group in _by_phase(loops).values():
        line, count, last, begins = _loops(group, ruler)
        final = np.append(begins[1:], True)
        alone, said = begins & final, np.isfinite(last)
        full = said & (count >= last)
        nearly = said & (count >= last - 1)
        running = {field.name for rows in group for field in rows.form.fields if (~final[_at(line, rows)]).any()}
        for rows in group:
            at = _at(line, rows)
            names = [field.name for field in rows.form.fields]
            whole = [i for i, name in enumerate(names) if name not in running]
            averages = [i for i, name in enumerate(names) if name in running and name.endswith("_avg")]
            for fields, chosen in (
                (list(range(len(names))), alone & (full | ~said)),
                (whole, final & full & ~alone),
                (averages, final & nearly & ~(alone & full)),
            ):
                if fields and chosen[at].any():
                    kept.append(_with(only(rows, chosen[at]), fields))
            read = final[at] & (full | nearly | (alone & ~said))[at]
            if rows.form.fields:
                dropped[INNER.format(rows.form.like)] += int((~read).sum())
    return kept


def ends_of_counters(loops: Sequence[FormRows], ruler: Ruler) -> np.ndarray:
    """The lines (n,) on which counters inside evaluations end: the last of a loop, at i = N or N - 1."""
    ends = [np.empty(0, dtype=int)]
    for group in _by_phase(loops).values():
        line, count, last, begins = _loops(group, ruler)
        ends.append(line[np.append(begins[1:], True) & np.isfinite(last) & (count >= last - 1)])
    return np.concatenate(ends)


def _by_phase(loops: Sequence[FormRows]) -> dict[str, list[FormRows]]:
    groups: dict[str, list[FormRows]] = defaultdict(list)
    for rows in loops:
        groups[rows.form.phase].append(rows)
    return groups


def _loops(group: Sequence[FormRows], ruler: Ruler) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The lines (n,) of counters in order, i and N of each, and whether a loop begins there."""
    line = np.concatenate([rows.line for rows in group])
    order = np.argsort(line, kind="stable")
    line = line[order]
    count, last = np.concatenate([rows.numbers[:, :2] for rows in group])[order].T
    begins = np.diff(np.searchsorted(ruler.line, line), prepend=-1) != 0
    begins[1:] |= (np.diff(count) <= 0) & (line[1:] != line[:-1])
    return line, count, last, begins


def _at(line: np.ndarray, rows: FormRows) -> np.ndarray:
    return np.searchsorted(line, rows.line)


def _with(rows: FormRows, fields: Sequence[int]) -> FormRows:
    form = rows.form._replace(kind="result", fields=tuple(rows.form.fields[i] for i in fields))
    return FormRows(form, rows.line, rows.numbers[:, [0, 1, 2, 3, *(4 + i for i in fields)]])


def placed(
    results: Sequence[FormRows],
    loops: Sequence[FormRows],
    ruler: Ruler,
    phases: Mapping[str, np.ndarray],
    dropped: Counter[str],
) -> list[Placed]:
    """Lines without a counter take the step of the last line above that counts, and the phase that was said last.

    They are read if a name on them is one of a result (`names.is_outcome`) or says a phase, and they come
    again with other numbers, or their phase is known. The phase is that of the line itself, else the last one that was
    said between it and the line above that counts, or by that line, if it says nothing else. Without any the names stay
    as they are, unless lines that count have the same. ``loops`` are ends of evaluations: a line below them goes first.
    """
    ready: list[FormRows] = []
    unread: Counter[str] = Counter()
    for rows in _without_best_of_all(results, ruler, dropped):
        if len(ruler.line) and rows.line[-1] > ruler.line[0]:
            ready += _readable(rows, ruler, phases, unread, dropped)
    names = {field.name for rows in ready for field in rows.form.fields}
    for rows in loops:
        fields = [i for i, field in enumerate(rows.form.fields) if field.name.removesuffix("_avg") not in names]
        ready += [_with(rows, fields)] if fields else []
    for said, count in unread.most_common(MOST_SAID):
        dropped[UNREAD.format(said)] += count
    dropped[OTHERS] += sum(count for _, count in unread.most_common()[MOST_SAID:])
    return _once(ready, ruler, dropped)


def _without_best_of_all(results: Sequence[FormRows], ruler: Ruler, dropped: Counter[str]) -> list[FormRows]:
    """Lines without what they say of the best round, if no more come than runs end (CatBoost: ``bestTest = 0.28``).

    That is a value of another round, which nobody names. A line that says which one (best epoch) is of that round.
    """
    ends = 1 + int((np.diff(ruler.step) < 0).sum())
    kept = []
    for rows in results:
        names = [field.name for field in rows.form.fields]
        best = [says_best(name) for name in names]
        if not any(best) or len(rows.line) > ends:
            kept.append(rows)
            continue
        told = any(
            one and is_clock(plain_name(name).removeprefix("best_")) for one, name in zip(best, names, strict=True)
        )
        others = [] if told else [i for i, one in enumerate(best) if not one]
        if any(map(is_outcome, names)) or any(map(says_phase, names)):
            dropped[BEST_OF_ALL.format(rows.form.like)] += len(rows.line)
        kept += [_with(rows, others)] if others else []
    return kept


def _readable(
    rows: FormRows, ruler: Ruler, phases: Mapping[str, np.ndarray], unread: Counter[str], dropped: Counter[str]
) -> list[FormRows]:
    """Rows of one form, apart by their phase; what is left out is counted."""
    names = [field.name for field in rows.form.fields]
    outcome = any(is_outcome(name) for name in names)
    told = np.full(len(rows.line), "", dtype=object) if any(map(says_phase, names)) else _told(rows.line, ruler, phases)
    changes = len(rows.line) > 1 and bool((rows.numbers[:, 4:] != rows.numbers[:1, 4:]).any())
    below = rows.line > ruler.line[0]
    if not (outcome or any(map(says_phase, names)) or (rows.form.kind == "block" and told.any())):
        if changes and not all(map(is_clock, names)):
            unread[rows.form.like] += int(below.sum())
        return []
    ready = []
    for phase in sorted(set(told)):
        chosen = told == phase
        if phase:
            fields = tuple(
                field if says_phase(field.name) else field._replace(name=f"{phase}/{field.name}")
                for field in rows.form.fields
            )
            ready.append(_named(only(rows, chosen), fields))
        elif not any(map(says_phase, names)) and not changes:
            dropped[UNREAD.format(rows.form.like)] += int((chosen & below).sum())
        elif any(is_outcome(name) for name in ruler.names.intersection(names)):
            dropped[UNNAMED.format(rows.form.like)] += int((chosen & below).sum())
        else:
            same = [name for name in names if name in ruler.names]
            for name in same:
                dropped[SAME.format(name)] += int((chosen & below).sum())
            ready.append(_with(only(rows, chosen), [i for i, name in enumerate(names) if name not in same]))
    return ready


def _named(rows: FormRows, fields: tuple[Field, ...]) -> FormRows:
    return FormRows(rows.form._replace(fields=fields), rows.line, rows.numbers)


def _told(line: np.ndarray, ruler: Ruler, phases: Mapping[str, np.ndarray]) -> np.ndarray:
    """The phase (n,) that was said last before each line, after the last line that counts, "" where none was."""
    above = np.searchsorted(ruler.line, line) - 1
    count = np.where(above >= 0, ruler.line[np.maximum(above, 0)], -1)
    told, latest = np.full(len(line), "", dtype=object), np.full(len(line), -1)
    for phase, said in phases.items():
        place = np.searchsorted(said, line, side="right") - 1
        at = np.where(place >= 0, said[np.maximum(place, 0)], -1)
        by_counter = (at == count) & (phase in EVALUATIONS) & ruler.says[np.maximum(above, 0)]
        newer = ((at > count) | by_counter) & (at > latest) & (at >= 0)
        told[newer], latest[newer] = phase, at[newer]
    return told


def _once(ready: Sequence[FormRows], ruler: Ruler, dropped: Counter[str]) -> list[Placed]:
    """Rows with their steps; of names that come more than once below one step only the first, if that is rare."""
    columns: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for k, rows in enumerate(ready):
        for i, field in enumerate(rows.form.fields):
            columns[field.name].append((k, i))
    places = [_place(rows.line, ruler) for rows in ready]
    fine = [np.ones(len(rows.line), dtype=bool) for rows in ready]
    for same in columns.values():
        line = np.concatenate([ready[k].line for k, _ in same])
        value = np.concatenate([ready[k].numbers[:, 4 + i] for k, i in same])
        gap = np.concatenate([places[k] for k, _ in same])
        order = np.lexsort((line, gap))
        first = np.diff(gap[order], prepend=-2) != 0
        begin = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
        differs = ~first & (value[order] != value[order][begin])
        bad = np.zeros(len(order), dtype=bool)
        sizes = np.bincount(np.cumsum(first) - 1)
        many = np.median(sizes) > 1
        bad[order] = np.isin(gap[order], gap[order][differs]) if many else differs
        start = 0
        for k, _ in same:
            fine[k] &= ~bad[start : start + len(ready[k].line)]
            start += len(ready[k].line)
    done = []
    for rows, place, good in zip(ready, places, fine, strict=True):
        known = (place >= 0) & (place < len(ruler.line))
        dropped[EARLY.format(rows.form.like)] += int((~known).sum())
        dropped[TWICE.format(rows.form.like)] += int((known & ~good).sum())
        if (known & good).any():
            done.append(Placed(only(rows, known & good), ruler.step[place[known & good]]))
    return done


def _place(line: np.ndarray, ruler: Ruler) -> np.ndarray:
    """Which line of the ruler each line belongs to: the one above; below, if they stand before each end of an epoch."""
    above = np.searchsorted(ruler.line, line) - 1
    before = ruler.by_epoch and above[0] < 0 and above[-1] < len(ruler.line) - 1
    return above + 1 if before else above

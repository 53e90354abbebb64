"""The one clock of a text log: steps of all its lines, from step, i/N, batches and epochs."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from predictdyn.loaders.text_log.bars import (
    EPOCH,
    EPOCHS,
    LAST,
    OTHER,
    STEP,
    STROKES,
    bars_of_evaluations,
    ends_of_epochs,
    in_order,
    main_length,
    spans,
    under_epochs,
)
from predictdyn.loaders.text_log.forms import whole_run
from predictdyn.loaders.text_log.names import EVALUATIONS
from predictdyn.loaders.text_log.results import INNER, Ruler, ends_of_counters, ends_of_loops, placed
from predictdyn.loaders.text_log.rows import FormRows, TextRows, only

# Reasons for which lines are left out.
BEFORE = "line(s) with a step dropped before the first one whose form recurs"
EARLY = "line(s) with an epoch before the first step dropped"
AGAIN = "line(s) that say a round again, such as the best one, left out (no value is lost)"
AGAIN_BEST = "value(s) of the best round so far left out, which belong to another round"
BEST = re.compile(r"(?:.*[/_])?best", re.IGNORECASE)
SELDOM = 10  # rounds to one that is said again
ODD = "line(s) whose step is no whole number dropped"
EMPTY = "line(s) with a step and no number that can be read"
UNLIKE = "line(s) without a counter not looked at: no two of them are alike"
MANY = 2  # names on a line
FEW = 3  # lines that tell whether a counter begins again in each epoch
MOST_SHORT = 10  # lines of a nameless counter between two falls, on average: fewer are numbers of processes


class Timed(NamedTuple):
    """Rows with the ``step`` (n,) of each on the clock of the run."""

    rows: FormRows
    step: np.ndarray


class Clocked(NamedTuple):
    """All rows that have a place on the clock of the run, its planned length, what was left out, and whether the clock
    counts epochs.
    """

    timed: list[Timed]
    planned: float | None
    dropped: Counter[str]
    by_epoch: bool = False


Plans = list[tuple[int, float]]  # line and planned length that it says


def clocked(found: TextRows) -> Clocked:
    """Lines by their form become lines with a step, by these rules.

    * The log begins with the first line of a form (the clock, ``step:#``, and the names of all numbers) that recurs
      with another step. What has that clock before is source code, and a clock without such a form is none.
    * Named steps are steps, and so is a nameless number in front of metrics that never goes back but to its first. If
      steps begin again with each epoch, and for batches and nameless i/N on a line with an epoch, unless these go on
      rising whenever the epoch does, the step is
      (epoch - first) N + i, with ``first`` 0 if an epoch is called 0, else 1; N is the largest i where it is not said.
      The epoch may stand on a line of its own: see `bars.under_epochs`.
    * Of nameless i/N without an epoch those count whose N runs through most of the log, and those whose lines lie
      wholly before or after: others are bars of something else.
    * Of a bar that begins its line (Keras), below a line with an epoch, the end counts, at that epoch.
    * A counter behind a word such as validation which goes back behind the run, or beside one of the whole run
      (``global_step``), is one inside an evaluation: see `results.ends_of_loops`.
    * A line that has only an epoch has the step of the last line before it; in a log without steps the epoch is the
      step. Where lines with steps have the same name, it is called ``<name>_epoch``.
    * A best value with its round in brackets (CatBoost) says a round again, and is left out.
    * Indented lines of one name and number right below a line with a step have its step. Of other lines without a
      counter results of evaluations count: see `results.placed`.
    * The planned length is the N of the last line (times the number of epochs, where steps are counted within them).
    """
    dropped: Counter[str] = Counter({STROKES: found.over, UNLIKE: found.unread})
    blocks = [rows for rows in found.rows if rows.form.kind == "block"]
    results = [rows for rows in found.rows if rows.form.kind == "result"]
    rows = _counting([rows for rows in found.rows if rows.form.kind not in ("block", "result")], dropped)
    main, inner = _apart(bars_of_evaluations(rows, found))
    epochs = [r for r in main if r.form.kind == "epoch"]
    main = [r for group in _by_clock(main).values() for r in under_epochs(group, epochs, dropped)]
    first = 0.0 if any((r.numbers[:, EPOCH] == 0).any() or _epochs_from_0(r) for r in main) else 1.0
    timed, plans = _all_stepped(main, first, dropped)
    inner, timed, plans = _beside(inner, timed, plans, first, dropped)
    timed, plans, by_epoch = _with_epochs(timed, plans, epochs, dropped)
    ruler = _ruler(timed, by_epoch=by_epoch)
    below, heads, rest = _below(timed, inner, blocks, ruler, dropped)
    more = placed([*results, *rest], ends_of_loops(inner, ruler, dropped), ruler, found.phases, dropped)
    for each in timed:
        if each.rows.form.like and not each.rows.form.fields:
            dropped[EMPTY] += int((~np.isin(each.rows.line, heads)).sum())
    timed += [*below, *(Timed(*each) for each in more)]
    planned = max(plans)[1] if plans else None
    timed = [_without_best(each, dropped) for each in timed]
    return Clocked([t for t in timed if t.rows.form.fields], planned, +dropped, by_epoch)


def _without_best(timed: Timed, dropped: Counter[str]) -> Timed:
    """Lines without what they say again of the best round so far: ``best: 0.28 (912)``, its value and its number."""
    rows, step = timed
    names = [field.name for field in rows.form.fields]
    again: set[int] = set()
    for i, (name, behind) in enumerate(pairwise(names)):
        said = rows.numbers[:, 4 + i + 1]
        is_round = bool(((said >= 0) & (said <= step) & (np.floor(said) == said)).all())
        if BEST.fullmatch(name) and behind == f"{name}_avg" and is_round:
            again |= {i, i + 1}
    if not again:
        return timed
    dropped[AGAIN_BEST] += len(rows.line)
    kept = [i for i in range(len(names)) if i not in again]
    form = rows.form._replace(fields=tuple(rows.form.fields[i] for i in kept))
    return Timed(FormRows(form, rows.line, rows.numbers[:, [0, 1, 2, 3, *(4 + i for i in kept)]]), step)


def _epochs_from_0(rows: FormRows) -> bool:
    return rows.form.kind == "epoch" and bool((rows.numbers[:, STEP] == 0).any())


def _by_clock(rows: Sequence[FormRows]) -> dict[str, list[FormRows]]:
    groups: dict[str, list[FormRows]] = defaultdict(list)
    for each in rows:
        groups[f"{each.form.kind} {each.form.clock}"].append(each)
    return groups


def _counting(found: Sequence[FormRows], dropped: Counter[str]) -> list[FormRows]:
    """The rows of the log that count, without source code before it; bars as ends of epochs, or as i/N without any."""
    bars = [rows for rows in found if rows.form.kind == "bar"]
    rest = [rows for rows in found if rows.form.kind != "bar"]
    # With a bar below, one line with an epoch is enough.
    heads = [rows for rows in rest if bars and rows.form.kind == "epoch" and not rows.form.fields]
    if bars and not heads:
        rest += [FormRows(rows.form._replace(kind="pair"), rows.line, rows.numbers) for rows in bars]
    kept = _of_the_log([rows for rows in rest if all(rows is not head for head in heads)], dropped)
    ended = ends_of_epochs(bars, heads, dropped) if heads else []
    return _whole([*_nameless(kept, dropped), *heads, *ended], dropped)


def _of_the_log(found: Sequence[FormRows], dropped: Counter[str]) -> list[FormRows]:
    """Of every clock the lines from the first one on whose form recurs with another step."""
    kept = []
    for group in _by_clock(found).values():
        forms: dict[tuple[str, ...], list[FormRows]] = defaultdict(list)
        for rows in group:
            forms[tuple(field.name for field in rows.form.fields)].append(rows)
        recur = {names for names, same in forms.items() if _goes_on(same)}
        # A table may grow (losses from the second row on): a few names, all of which recur, are no source code.
        usual = {name for names in recur for name in names}
        grown = {names for names in forms if len(names) >= MANY and usual.issuperset(names)}
        begins = [min(rows.line[0] for rows in forms[names]) for names in (recur | grown if recur else recur)]
        if begins:
            for rows in group:
                kept.append(only(rows, rows.line >= min(begins)))
                if rows.form.fields:
                    dropped[BEFORE] += len(rows.line) - len(kept[-1].line)
    return [rows for rows in kept if len(rows.line)]


def _goes_on(rows: Sequence[FormRows]) -> bool:
    """Whether lines have two different steps (or epochs)."""
    numbers = np.nan_to_num(np.concatenate([each.numbers[:, [STEP, EPOCH]] for each in rows]), nan=-1)
    return bool((numbers != numbers[0]).any())


def _nameless(found: Sequence[FormRows], dropped: Counter[str]) -> list[FormRows]:
    """Without the rows of a nameless number that is no clock: it goes back, and not to its first, or all the time."""
    own = [rows for rows in found if rows.form.kind == "step" and rows.form.clock == "#"]
    if not own:
        return list(found)
    line, numbers = in_order(own)
    step = numbers[:, STEP]
    falls = np.flatnonzero(np.diff(step) < 0) + 1
    again = falls[(step[falls] != step[0]) & np.isin(step[falls], step)]
    if 0 < len(again) * SELDOM <= len(step) and (np.diff(np.delete(step, again)) > 0).all():
        # The best round, said once more at the end.
        dropped[AGAIN] += len(again)
        return [
            only(rows, ~np.isin(rows.line, line[again])) if any(rows is one for one in own) else rows for rows in found
        ]
    if (step[falls] == step[0]).all() and len(falls) * MOST_SHORT <= len(step):
        return list(found)
    dropped[OTHER] += len(step)
    return [rows for rows in found if all(rows is not each for each in own)]


def _whole(found: Sequence[FormRows], dropped: Counter[str]) -> list[FormRows]:
    """The rows whose step is a whole number, or whose epoch is any."""
    kept = []
    for rows in found:
        step = rows.numbers[:, STEP]
        good = np.isfinite(step) & (step >= 0) & ((rows.form.kind == "epoch") | (np.floor(step) == step))
        dropped[ODD] += int((~good).sum())
        if good.any():
            kept.append(only(rows, good))
    return kept


def _apart(rows: Sequence[FormRows]) -> tuple[list[FormRows], list[FormRows]]:
    """Rows that count the run, and those that may count inside an evaluation, if there are some of both."""
    whole = any(whole_run(r.form.clock) for r in rows)

    def may_be_inner(r: FormRows) -> bool:
        beside = whole and r.form.kind == "step" and not whole_run(r.form.clock)
        return r.form.kind != "epoch" and (r.form.phase in EVALUATIONS or beside)

    main = [r for r in rows if not may_be_inner(r)]
    return (main, [r for r in rows if may_be_inner(r)]) if main else (list(rows), [])


def _all_stepped(rows: Sequence[FormRows], first: float, dropped: Counter[str]) -> tuple[list[Timed], Plans]:
    timed: list[Timed] = []
    plans: Plans = []
    for kind in ("step", "batch", "pair"):
        for group in _by_clock([r for r in rows if r.form.kind == kind]).values():
            done, ends = _stepped(group, kind, first, dropped)
            timed += done
            plans += ends
    return timed, plans


def _beside(
    inner: Sequence[FormRows], timed: list[Timed], plans: Plans, first: float, dropped: Counter[str]
) -> tuple[list[FormRows], list[Timed], Plans]:
    """Named steps of an evaluation that stand where the run does are steps of the run."""
    named = [rows for rows in inner if rows.form.kind == "step"]
    rest = [rows for rows in inner if rows.form.kind != "step"]
    line, step = _line_and_step(timed)
    for group in _by_clock(named).values():
        done, ends = _stepped(group, "step", first, dropped)
        behind = [each.step < np.append(-np.inf, step)[np.searchsorted(line, each.rows.line)] for each in done]
        if behind and 2 * np.concatenate(behind).sum() > len(np.concatenate(behind)):
            rest += group
        else:
            timed, plans = timed + done, plans if plans else ends
    return rest, timed, plans


def _line_and_step(timed: Sequence[Timed]) -> tuple[np.ndarray, np.ndarray]:
    if not timed:
        return np.empty(0, dtype=int), np.empty(0)
    line = np.concatenate([t.rows.line for t in timed])
    order = np.argsort(line, kind="stable")
    return line[order], np.concatenate([t.step for t in timed])[order]


def _stepped(group: list[FormRows], kind: str, first: float, dropped: Counter[str]) -> tuple[list[Timed], Plans]:
    """The rows of one clock with their steps, and (line, planned length) where one is said."""
    if kind == "pair":
        group = _main_counter(group, dropped)
    if not group:
        return [], []
    line, numbers = in_order(group)
    epoch = numbers[:, EPOCH]
    with_epoch = np.isfinite(epoch) & (np.floor(epoch) == epoch)
    # A fraction of an epoch says that the counter is that of the run.
    parts = bool((np.isfinite(epoch) & ~with_epoch).any())
    counted = numbers[with_epoch]
    within = with_epoch.any() and not parts and (_begins_again(counted) if kind == "step" else not _runs_on(counted))
    length = numbers[:, LAST]
    if within and not np.isfinite(length).any():
        length = np.full(len(line), numbers[:, STEP].max() + (numbers[:, STEP].min() == 0))
    if not within:
        said = np.flatnonzero(np.isfinite(length) & (length > 0))
        return [Timed(r, r.numbers[:, STEP]) for r in group], [(int(line[i]), float(length[i])) for i in said[-1:]]
    epochs = numbers[:, EPOCHS]
    said = np.flatnonzero(np.isfinite(epochs * length) & (epochs * length > 0))
    # "Epoch 9/9" after "Epoch 0/9" is the tenth.
    more = float(first == 0 and bool((numbers[said, EPOCH] == epochs[said]).any()))
    timed = []
    for rows in group:
        n = rows.numbers[:, LAST]
        n = np.where(np.isfinite(n), n, length[np.isfinite(length)][-1])
        epoch = np.nan_to_num(rows.numbers[:, EPOCH], nan=first)
        timed.append(Timed(rows, np.maximum(epoch - first, 0) * n + rows.numbers[:, STEP]))
    return timed, [(int(line[i]), float((epochs[i] + more) * length[i])) for i in said[-1:]]


def _begins_again(numbers: np.ndarray) -> bool:
    """Whether steps fall (or stay) whenever the epoch rises."""
    rises = np.diff(numbers[:, EPOCH]) > 0
    return bool(rises.any()) and bool((np.diff(numbers[:, STEP])[rises] <= 0).all())


def _runs_on(numbers: np.ndarray) -> bool:
    """Whether a counter rises whenever the epoch does, as one of the whole run; of fewer than three lines none tells.

    >>> epoch_and_count = np.full((3, 4), np.nan)
    >>> epoch_and_count[:, EPOCH], epoch_and_count[:, STEP] = [0, 0, 1], [800, 900, 1000]
    >>> _runs_on(epoch_and_count)
    True
    """
    rises = np.diff(numbers[:, EPOCH]) > 0
    return len(numbers) >= FEW and bool(rises.any()) and bool((np.diff(numbers[:, STEP])[rises] > 0).all())


def _main_counter(group: list[FormRows], dropped: Counter[str]) -> list[FormRows]:
    """Of nameless i/N without an epoch those of the main N, and those with names that lie wholly before or after it."""
    bare = [rows for rows in group if rows.form.epoch < 0]
    if not bare:
        return group
    main = main_length(bare)
    lengths, low, high = spans(*in_order(bare))
    named = [rows for rows in bare if rows.form.fields]
    at = int(np.flatnonzero(lengths == main)[0])
    clear = lengths[(high < low[at]) | (low > high[at])]
    clear = np.intersect1d(clear, in_order(named)[1][:, LAST])
    kept = [rows for rows in group if rows.form.epoch >= 0]
    for rows in bare:
        own = (rows.numbers[:, LAST] == main) | np.isin(rows.numbers[:, LAST], clear)
        if rows.form.fields:
            dropped[OTHER] += int((~own).sum())
        if own.any():
            kept.append(only(rows, own))
    return kept


def _with_epochs(
    timed: list[Timed], plans: Plans, epochs: list[FormRows], dropped: Counter[str]
) -> tuple[list[Timed], Plans, bool]:
    """Lines that have only an epoch: at the last step before them, or, where no steps are counted, at the epoch.

    Also says whether epochs are the clock.
    """
    line, step = _line_and_step(timed)
    if not _stepping(timed, line, step, epochs):
        ends = [
            (int(rows.line[i]), float(rows.numbers[i, LAST]))
            for rows in epochs
            for i in np.flatnonzero(rows.numbers[:, LAST] > 0)[-1:]
        ]
        return [Timed(r, r.numbers[:, STEP]) for r in epochs], ends, True
    names = {field.name for t in timed for field in t.rows.form.fields}
    for rows in epochs:
        place = np.searchsorted(line, rows.line) - 1
        known = place >= 0
        if rows.form.fields:
            dropped[EARLY] += int((~known).sum())
        if known.any():
            form = rows.form._replace(step=-1, last=-1, epoch=rows.form.step, epochs=rows.form.last)
            fields = (f._replace(name=f"{f.name}_epoch") if f.name in names else f for f in form.fields)
            numbers = rows.numbers[known].copy()
            numbers[:, [EPOCH, EPOCHS]] = numbers[:, [STEP, LAST]]
            kept = FormRows(form._replace(fields=tuple(fields)), rows.line[known], numbers)
            timed.append(Timed(kept, step[place[known]]))
    return timed, plans, False


def _stepping(timed: Sequence[Timed], line: np.ndarray, step: np.ndarray, epochs: Sequence[FormRows]) -> bool:
    """Whether steps are the clock: they have metrics, or there are no epochs, or steps go on between these."""
    if not timed or any(t.rows.form.fields for t in timed):
        return bool(timed)
    full = [rows for rows in epochs if rows.form.fields]
    if not full:
        return not epochs or bool((np.diff(step) >= 0).all())
    place = np.searchsorted(line, np.concatenate([rows.line for rows in full])) - 1
    known = step[place[place >= 0]]
    different = len(np.unique(np.concatenate([rows.numbers[:, STEP] for rows in full])))
    return bool((np.diff(step) >= 0).all()) and 2 * len(np.unique(known)) >= different


def _ruler(timed: Sequence[Timed], *, by_epoch: bool) -> Ruler:
    line, step = _line_and_step(timed)
    bare = np.concatenate([t.rows.line for t in timed if not t.rows.form.fields] or [np.empty(0, dtype=int)])
    names = frozenset(field.name for t in timed for field in t.rows.form.fields)
    return Ruler(line, step, np.isin(line, bare), names, by_epoch)


def _below(
    timed: Sequence[Timed], inner: Sequence[FormRows], blocks: Sequence[FormRows], ruler: Ruler, dropped: Counter[str]
) -> tuple[list[Timed], np.ndarray, list[FormRows]]:
    """Lines of blocks with the step of the line above their block, the lines that have a block below, other blocks.

    Blocks below a counter inside an evaluation are running values, but below its end (Composer) they are results.
    """
    line, _ = in_order(blocks)
    begins = np.diff(line, prepend=-2) != 1
    head = np.maximum.accumulate(np.where(begins, line - 1, -1)) if len(line) else line
    clock, step = _line_and_step(timed)
    place = np.minimum(np.searchsorted(clock, head), len(clock) - 1)
    known = clock[place] == head if len(clock) else np.zeros(len(line), dtype=bool)
    running = np.isin(head, in_order(inner)[0]) & ~np.isin(head, ends_of_counters(inner, ruler))
    below, rest = [], []
    for rows in blocks:
        own = np.searchsorted(line, rows.line)
        if known[own].any():
            below.append(Timed(only(rows, known[own]), step[place[own][known[own]]]))
        dropped[INNER.format(rows.form.like)] += int(running[own].sum())
        if (free := ~known[own] & ~running[own]).any():
            rest.append(only(rows, free))
    return below, head[known], rest

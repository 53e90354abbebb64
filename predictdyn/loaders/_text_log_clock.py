"""The one clock of a text log: steps of all its lines, from step, i/N, batches and epochs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from predictdyn.loaders._text_log_rows import Rows

STEP, LAST, EPOCH, EPOCHS = range(4)  # columns of Rows.numbers
# Reasons for which lines are left out.
BEFORE = "line(s) with a step dropped before the first one whose form recurs"
OTHER = "line(s) of another counter (a progress bar of something else) dropped"
EARLY = "line(s) with an epoch before the first step dropped"
ODD = "line(s) whose step is no whole number dropped"
EMPTY = "line(s) with a step and no number that can be read"


class Timed(NamedTuple):
    """Rows with the ``step`` (n,) of each on the clock of the run."""

    rows: Rows
    step: np.ndarray


class Clocked(NamedTuple):
    """All rows that have a place on the clock of the run, its planned length and what was left out."""

    timed: list[Timed]
    planned: float | None
    dropped: Counter[str]


def clocked(found: Sequence[Rows]) -> Clocked:
    """Lines by their form become lines with a step, by these rules.

    * The log begins with the first line of a form (the clock, ``step:#``, and the names of all numbers) that recurs
      with another step. What has that clock before is source code, and a clock without such a form is none.
    * Named steps are steps. If they begin again with each epoch, and for batches and nameless i/N on a line with an
      epoch, the step is (epoch - first) N + i, with ``first`` 0 if an epoch is called 0, else 1; N is the largest i
      where it is not said.
    * Of nameless i/N without an epoch those count whose N runs through most of the log: others are bars of something
      else.
    * A line that has only an epoch has the step of the last line before it; in a log without steps the epoch is the
      step.
    * Indented lines of one name and number right below a line with a step have its step.
    * The planned length is the N of the last line (times the number of epochs, where steps are counted within them).
    """
    dropped: Counter[str] = Counter()
    blocks = [rows for rows in found if rows.form.kind == "block"]
    rows = _whole(_of_the_log([rows for rows in found if rows.form.kind != "block"], dropped), dropped)
    first = 0.0 if any((r.numbers[:, EPOCH] == 0).any() or _epochs_from_0(r) for r in rows) else 1.0
    timed: list[Timed] = []
    plans: list[tuple[int, float]] = []
    for kind in ("step", "batch", "pair"):
        for group in _by_clock([r for r in rows if r.form.kind == kind]).values():
            done, ends = _stepped(group, kind, first, dropped)
            timed += done
            plans += ends
    epochs = [r for r in rows if r.form.kind == "epoch"]
    timed, plans = _with_epochs(timed, plans, epochs, dropped)
    below, heads = _below(timed, blocks)
    named = [t for t in timed if t.rows.form.kind != "pair" and not t.rows.form.fields]
    dropped[EMPTY] += sum(int((~np.isin(t.rows.line, heads)).sum()) for t in named)
    timed += below
    planned = max(plans)[1] if plans else None
    return Clocked([t for t in timed if t.rows.form.fields], planned, +dropped)


def _epochs_from_0(rows: Rows) -> bool:
    return rows.form.kind == "epoch" and bool((rows.numbers[:, STEP] == 0).any())


def _by_clock(rows: Sequence[Rows]) -> dict[str, list[Rows]]:
    groups: dict[str, list[Rows]] = defaultdict(list)
    for each in rows:
        groups[f"{each.form.kind} {each.form.clock}"].append(each)
    return groups


def _of_the_log(found: Sequence[Rows], dropped: Counter[str]) -> list[Rows]:
    """Of every clock the lines from the first one on whose form recurs with another step."""
    kept = []
    for group in _by_clock(found).values():
        forms: dict[tuple[str, ...], list[Rows]] = defaultdict(list)
        for rows in group:
            forms[tuple(field.name for field in rows.form.fields)].append(rows)
        begins = [min(rows.line[0] for rows in same) for same in forms.values() if _goes_on(same)]
        if begins:
            for rows in group:
                kept.append(_only(rows, rows.line >= min(begins)))
                if rows.form.fields:
                    dropped[BEFORE] += len(rows.line) - len(kept[-1].line)
    return [rows for rows in kept if len(rows.line)]


def _goes_on(rows: Sequence[Rows]) -> bool:
    """Whether lines have two different steps (or epochs)."""
    numbers = np.nan_to_num(np.concatenate([each.numbers[:, [STEP, EPOCH]] for each in rows]), nan=-1)
    return bool((numbers != numbers[0]).any())


def _only(rows: Rows, chosen: np.ndarray) -> Rows:
    return Rows(rows.form, rows.line[chosen], rows.numbers[chosen])


def _whole(found: Sequence[Rows], dropped: Counter[str]) -> list[Rows]:
    """The rows whose step is a whole number, or whose epoch is any."""
    kept = []
    for rows in found:
        step = rows.numbers[:, STEP]
        good = np.isfinite(step) & (step >= 0) & ((rows.form.kind == "epoch") | (step % 1 == 0))
        dropped[ODD] += int((~good).sum())
        if good.any():
            kept.append(_only(rows, good))
    return kept


def _stepped(
    group: list[Rows], kind: str, first: float, dropped: Counter[str]
) -> tuple[list[Timed], list[tuple[int, float]]]:
    """The rows of one clock with their steps, and (line, planned length) where one is said."""
    if kind == "pair":
        group = _main_counter(group, dropped)
    if not group:
        return [], []
    line, numbers = _in_order(group)
    with_epoch = np.isfinite(numbers[:, EPOCH]) & (numbers[:, EPOCH] % 1 == 0)
    within = with_epoch.any() and (kind != "step" or _begins_again(numbers[with_epoch]))
    length = numbers[:, LAST]
    if within and not np.isfinite(length).any():
        length = np.full(len(line), numbers[:, STEP].max() + (numbers[:, STEP].min() == 0))
    if not within:
        said = np.flatnonzero(np.isfinite(length) & (length > 0))
        return [Timed(r, r.numbers[:, STEP]) for r in group], [(int(line[i]), float(length[i])) for i in said[-1:]]
    epochs = numbers[:, EPOCHS]
    said = np.flatnonzero(np.isfinite(epochs * length) & (epochs * length > 0))
    timed = []
    for rows in group:
        n = rows.numbers[:, LAST]
        n = np.where(np.isfinite(n), n, length[np.isfinite(length)][-1])
        epoch = np.nan_to_num(rows.numbers[:, EPOCH], nan=first)
        timed.append(Timed(rows, np.maximum(epoch - first, 0) * n + rows.numbers[:, STEP]))
    return timed, [(int(line[i]), float(epochs[i] * length[i])) for i in said[-1:]]


def _in_order(group: Sequence[Rows]) -> tuple[np.ndarray, np.ndarray]:
    line = np.concatenate([rows.line for rows in group])
    order = np.argsort(line, kind="stable")
    return line[order], np.concatenate([rows.numbers[:, :4] for rows in group])[order]


def _begins_again(numbers: np.ndarray) -> bool:
    """Whether steps fall (or stay) whenever the epoch rises."""
    rises = np.diff(numbers[:, EPOCH]) > 0
    return bool(rises.any()) and bool((np.diff(numbers[:, STEP])[rises] <= 0).all())


def _main_counter(group: list[Rows], dropped: Counter[str]) -> list[Rows]:
    """Of nameless i/N without an epoch those of the N whose first and last line are farthest apart."""
    bare = [rows for rows in group if rows.form.epoch < 0]
    if not bare:
        return group
    line, numbers = _in_order(bare)
    lengths, code = np.unique(numbers[:, LAST], return_inverse=True)
    low, high = np.full(len(lengths), np.inf), np.full(len(lengths), -np.inf)
    np.minimum.at(low, code, line)
    np.maximum.at(high, code, line)
    main = lengths[int(np.argmax(high - low))]
    kept = [rows for rows in group if rows.form.epoch >= 0]
    for rows in bare:
        own = rows.numbers[:, LAST] == main
        if rows.form.fields:
            dropped[OTHER] += int((~own).sum())
        if own.any():
            kept.append(_only(rows, own))
    return kept


def _with_epochs(
    timed: list[Timed], plans: list[tuple[int, float]], epochs: list[Rows], dropped: Counter[str]
) -> tuple[list[Timed], list[tuple[int, float]]]:
    """Lines that have only an epoch: at the last step before them, or, where no steps are counted, at the epoch."""
    stepped = any(t.rows.form.fields for t in timed) or (bool(timed) and _never_back(timed))
    if not stepped:
        ends = [
            (int(rows.line[i]), float(rows.numbers[i, LAST]))
            for rows in epochs
            for i in np.flatnonzero(rows.numbers[:, LAST] > 0)[-1:]
        ]
        return [Timed(rows, rows.numbers[:, STEP]) for rows in epochs], ends
    line = np.concatenate([t.rows.line for t in timed])
    order = np.argsort(line, kind="stable")
    line, step = line[order], np.concatenate([t.step for t in timed])[order]
    for rows in epochs:
        place = np.searchsorted(line, rows.line) - 1
        known = place >= 0
        if rows.form.fields:
            dropped[EARLY] += int((~known).sum())
        if known.any():
            form = rows.form._replace(step=-1, last=-1, epoch=rows.form.step, epochs=rows.form.last)
            numbers = rows.numbers[known].copy()
            numbers[:, [EPOCH, EPOCHS]] = numbers[:, [STEP, LAST]]
            timed.append(Timed(Rows(form, rows.line[known], numbers), step[place[known]]))
    return timed, plans


def _below(timed: list[Timed], blocks: list[Rows]) -> tuple[list[Timed], np.ndarray]:
    """Lines of blocks with the step of the line above their block, and the lines that have a block below."""
    if not timed or not blocks:
        return [], np.empty(0)
    line, _ = _in_order(blocks)
    begins = np.diff(line, prepend=-2) != 1
    head = np.maximum.accumulate(np.where(begins, line - 1, -1))
    clock = np.concatenate([t.rows.line for t in timed])
    order = np.argsort(clock, kind="stable")
    clock, step = clock[order], np.concatenate([t.step for t in timed])[order]
    place = np.minimum(np.searchsorted(clock, head), len(clock) - 1)
    known = clock[place] == head
    below = []
    for rows in blocks:
        own = np.searchsorted(line, rows.line)
        if known[own].any():
            below.append(Timed(_only(rows, known[own]), step[place[own][known[own]]]))
    return below, head[known]


def _never_back(timed: list[Timed]) -> bool:
    """Whether lines without metrics (progress bars) count steps that never go back."""
    line = np.concatenate([t.rows.line for t in timed])
    step = np.concatenate([t.step for t in timed])[np.argsort(line, kind="stable")]
    return bool((np.diff(step) >= 0).all())

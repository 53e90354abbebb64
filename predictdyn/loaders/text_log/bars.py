"""Counters of a text log that begin again: bars that begin their lines, and steps within epochs said on other lines."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from predictdyn.loaders.text_log.names import EVALUATIONS, in_phase
from predictdyn.loaders.text_log.rows import FormRows, TextRows, only

STEP, LAST, EPOCH, EPOCHS = range(4)  # columns of `FormRows.numbers`
STROKES = "line(s) of progress bars within an epoch left out (running values; the end of each epoch is kept)"
OTHER = "line(s) of another counter (a progress bar of something else) dropped"


def in_order(group: Sequence[FormRows]) -> tuple[np.ndarray, np.ndarray]:
    """The lines (n,) of forms in order, and their step, last, epoch, epochs (n, 4)."""
    if not group:
        return np.empty(0, dtype=int), np.empty((0, 4))
    line = np.concatenate([rows.line for rows in group])
    order = np.argsort(line, kind="stable")
    return line[order], np.concatenate([rows.numbers[:, :4] for rows in group])[order]


def ends_of_epochs(bars: Sequence[FormRows], headers: Sequence[FormRows], dropped: Counter[str]) -> list[FormRows]:
    """Bars that begin their lines, below lines that say the epoch: the end of each bar, at its epoch.

    A bar ends at i = N, or where the next epoch begins; it is over when its counter falls or its N changes. Of the
    lines at i = N the last with the most names counts (Keras writes the validation when all else is done). A second bar
    in an epoch counts if it has other names.
    """
    heads, epochs = in_order(headers)
    new = np.diff(epochs[:, STEP], prepend=np.nan) != 0  # "Epoch 00001: val_loss improved" stands within the first
    heads, epochs = heads[new], epochs[new]
    where = [(int(line), k, j) for k, rows in enumerate(bars) for j, line in enumerate(rows.line)]
    by_epoch: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for line, k, j in sorted(where):
        by_epoch[int(np.searchsorted(heads, line)) - 1].append((k, j))
    chosen: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for at, lines in by_epoch.items():
        names: set[str] = set()
        for one in _apart(bars, lines):
            done = [(k, j) for k, j in one if bars[k].numbers[j, STEP] >= bars[k].numbers[j, LAST]]
            if not done and at == len(heads) - 1:
                dropped[STROKES] += len(one)  # it is still being drawn
                continue
            full = done or one[-1:]
            most = max(len(bars[k].form.fields) for k, _ in full)
            k, j = [(k, j) for k, j in full if len(bars[k].form.fields) == most][-1]
            own = {field.name for field in bars[k].form.fields}
            if at < 0 or own & names:
                dropped[OTHER] += len(one)
                continue
            names |= own
            chosen[k].append((j, at))
            dropped[STROKES] += len(one) - 1
    ended = []
    for k, picks in chosen.items():
        rows = only(bars[k], np.array([j for j, _ in picks]))
        numbers = rows.numbers.copy()
        numbers[:, :4] = np.nan
        numbers[:, [STEP, LAST]] = epochs[[at for _, at in picks]][:, [STEP, LAST]]
        form = rows.form._replace(kind="epoch", clock=headers[0].form.clock)
        ended.append(FormRows(form, rows.line, numbers))
    return ended


def _apart(bars: Sequence[FormRows], lines: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """The lines of an epoch, bar by bar."""
    found: list[list[tuple[int, int]]] = []
    i, n = np.inf, np.nan
    for k, j in lines:
        step, last = bars[k].numbers[j, [STEP, LAST]]
        if step < i or last != n:
            found.append([])
        found[-1].append((k, j))
        i, n = step, last
    return found


def under_epochs(group: list[FormRows], epochs: Sequence[FormRows], dropped: Counter[str]) -> list[FormRows]:
    """Rows of one clock without an epoch on their lines, with that of other lines if they begin again with each.

    The epoch is said above, or, if none is said above the first, at the end of each. Rows of a bar with another N than
    that of the main one are bars of something else.
    """
    if not epochs or any(rows.form.epoch >= 0 for rows in group):
        return group
    main = group
    if group[0].form.kind == "pair" or np.isfinite(in_order(group)[1][:, LAST]).all():
        length = main_length(group)
        main = [only(rows, rows.numbers[:, LAST] == length) for rows in group]
        main = [rows for rows in main if len(rows.line)]
    line, numbers = in_order(main)
    heads, said = in_order(epochs)
    above = heads[0] < line[0]
    place = np.searchsorted(heads, line) - above
    inside = np.minimum(place, len(heads) - 1)
    epoch = said[inside, STEP] + (place - inside)
    rises, change = np.diff(epoch) > 0, np.diff(numbers[:, STEP])
    if not rises.any() or (change[rises] > 0).any() or (change[~rises] < 0).any():
        return group
    dropped[OTHER] += sum(len(rows.line) for rows in group if rows.form.fields)
    dropped[OTHER] -= sum(len(rows.line) for rows in main if rows.form.fields)
    found = []
    for rows in main:
        own = np.searchsorted(line, rows.line)
        cells = rows.numbers.copy()
        cells[:, EPOCH], cells[:, EPOCHS] = epoch[own], said[inside[own], LAST]
        kind = "batch" if rows.form.kind == "pair" else rows.form.kind
        found.append(FormRows(rows.form._replace(kind=kind), rows.line, cells))
    return found


def bars_of_evaluations(rows: Sequence[FormRows], found: TextRows) -> list[FormRows]:
    """Rows of i/N, without an epoch, in the phase that was said last, where that is an evaluation for all of one N.

    There is another N for which it is not, and either the lines of the two alternate, or what says the phase is a line
    without numbers.
    """
    bare = [r for r in rows if r.form.kind in ("pair", "step") and r.form.epoch < 0 and not r.form.phase]
    bare = [r for r in bare if np.isfinite(r.numbers[:, LAST]).all()]
    marks = sorted((int(line), phase) for phase, said in found.phases.items() for line in said)
    line, numbers = in_order(bare)
    lengths, low, high = spans(line, numbers)
    if len(lengths) < 2 or not marks:
        return list(rows)
    mark, said = np.array([line for line, _ in marks]), np.array([phase for _, phase in marks], dtype=object)
    at = np.searchsorted(mark, line, side="right") - 1
    under = np.where(at >= 0, said[at], "")
    title = (at >= 0) & np.isin(mark[at], found.titles)
    evaluation = np.isin(under.astype(str), EVALUATIONS)
    other = [n for n in lengths if not evaluation[numbers[:, LAST] == n].all()]
    if not other:
        return list(rows)
    first, last = low[np.isin(lengths, other)].min(), high[np.isin(lengths, other)].max()
    aside = [
        n
        for n, begin, end in zip(lengths, low, high, strict=True)
        if n not in other and (first < begin < last or (begin > first and title[numbers[:, LAST] == n].all()))
    ]
    done = [r for r in rows if all(r is not each for each in bare)]
    for r in bare:
        own = under[np.searchsorted(line, r.line)]
        inside = np.isin(r.numbers[:, LAST], aside)
        for word in sorted(set(own[inside])):
            fields = tuple(f._replace(name=in_phase(f.name, word)) for f in r.form.fields)
            form = r.form._replace(kind="pair", phase=word, fields=fields, like=f"{word} #/#…")
            part = only(r, inside & (own == word))
            done.append(FormRows(form, part.line, part.numbers))
        if (~inside).any():
            done.append(only(r, ~inside))
    return done


def main_length(group: Sequence[FormRows]) -> float:
    """Of nameless i/N the N whose first and last line are farthest apart."""
    line, numbers = in_order(group)
    lengths, low, high = spans(line, numbers)
    return float(lengths[int(np.argmax(high - low))])


def spans(line: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each N (k,) with its first and its last line."""
    lengths, code = np.unique(numbers[:, LAST], return_inverse=True)
    low, high = np.full(len(lengths), np.inf), np.full(len(lengths), -np.inf)
    np.minimum.at(low, code, line)
    np.maximum.at(high, code, line)
    return lengths, low, high

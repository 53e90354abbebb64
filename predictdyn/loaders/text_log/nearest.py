"""What comes closest to a log in a text of unknown form: a line that recurs, and the pattern that reads it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from predictdyn.loaders.text_log.forms import like
from predictdyn.loaders.text_log.names import SLOT, after_unit, is_outcome, name_before, split

FEWEST = 3  # lines that a form needs
_CONTEXT = 12  # characters before a number that tell it apart


class Nearest(NamedTuple):
    """The skeleton of lines that recur with other numbers, and a ``pattern`` that reads them ("": nothing counts)."""

    like: str
    pattern: str


class _Lines(NamedTuple):
    skeleton: str
    table: np.ndarray  # (n, numbers), NaN where it is none


def nearest(text: str, reads: Callable[[str], bool]) -> Nearest | None:
    r"""The most frequent form of at least `FEWEST` lines with a number that never falls and another beside it.

    The pattern has the groups step and the name of the metric; it must pass ``reads``. Without a number that counts,
    the most frequent form whose numbers change, and no pattern; None without any.

    >>> text = "".join(f"round {i} >> quality 0.{9 - i}\n" for i in range(5))
    >>> nearest(text, lambda pattern: True)
    Nearest(like='round # >> quality #', pattern='round (?P<step>\\d[\\d,]*).*?quality (?P<quality>[-+.,\\w]+)')
    """
    groups: dict[str, list[list[str]]] = defaultdict(list)
    for line in text.split("\n"):
        skeleton, numbers = split(line)
        if numbers and re.search(r"[A-Za-z]", skeleton):
            groups[skeleton].append(numbers)
    forms = [_Lines(key, _table(rows)) for key, rows in groups.items() if len(rows) >= FEWEST]
    forms = [form for form in forms if (form.table != form.table[:1]).any()]
    forms.sort(key=lambda form: -len(form.table))
    for form in forms:
        pattern = _pattern(form)
        if pattern and reads(pattern):
            return Nearest(like(form.skeleton), pattern)
    named = [form for form in forms if any(_name(form.skeleton, i) for i in range(form.table.shape[1]))]
    return Nearest(like(named[0].skeleton), "") if named else None


def _table(rows: list[list[str]]) -> np.ndarray:
    def cell(text: str) -> float:
        return float(text.replace(",", ""))

    return np.array([[cell(text) for text in row] for row in rows])


def _name(skeleton: str, i: int) -> str | None:
    piece = skeleton.split(SLOT)[i]
    return name_before(piece if i == 0 else after_unit(piece), first=i == 0)


def _pattern(form: _Lines) -> str:
    """A regular expression with a counter and the number most like a metric; "" where there is none."""
    pieces = form.skeleton.split(SLOT)
    slots = range(form.table.shape[1])
    joined = {j for i in slots[:-1] if pieces[i + 1] in ("-", ":", ".", "/") for j in (i, i + 1)}  # times and dates
    free = [i for i in slots if i not in joined]
    counts = [i for i in free if _counts(form.table[:, i])]
    if not counts:
        return ""
    step = max(counts, key=lambda i: (len(np.unique(form.table[:, i])), -i))
    names = {i: _name(form.skeleton, i) or "" for i in free}
    others = [i for i in free if i != step and len(np.unique(form.table[:, i])) > 1]
    if not others:
        return ""
    metric = max(
        others,
        key=lambda i: (
            is_outcome(names[i]),
            bool(names[i]),
            (np.floor(form.table[:, i]) != form.table[:, i]).any(),
            -i,
        ),
    )
    word = re.sub(r"\W+", "_", names[metric]).strip("_")
    cell = r"[-+.\deE]+" if re.match(r"[A-Za-z%]", pieces[metric + 1]) else r"[-+.,\w]+"  # a unit is left behind
    word = word if word.isidentifier() and word not in ("step", "epoch", "last_step") else "value"
    groups = {step: r"(?P<step>\d[\d,]*)", metric: f"(?P<{word}>{cell})"}
    first, second = sorted(groups)
    rest = "" if pieces[first + 1] == "" else ".*?"
    return f"{_before(pieces, first)}{groups[first]}{rest}{_before(pieces, second)}{groups[second]}"


def _before(pieces: list[str], slot: int) -> str:
    """The end of the text before a number, for an expression; all of it and the line's beginning where it is short."""
    text = pieces[slot]
    found = re.search(r"[\w.%@/-]*\W{0,3}$", text[-2 * _CONTEXT :])
    end = found[0] if found and found[0].strip() else text[-_CONTEXT:]
    escaped = re.sub(r"\s", r"\\s", re.sub(r"([^\w\s/%@,:;=<>\"'-])", r"\\\1", end).replace(" ", SLOT))
    escaped = escaped.replace(SLOT, " ")  # blanks stay readable, tabs do not
    return f"^{escaped}" if slot == 0 and not end.strip() else escaped


def _counts(column: np.ndarray) -> bool:
    if not (np.isfinite(column) & (column >= 0) & (np.floor(column) == column)).all():
        return False
    return bool((np.diff(column) >= 0).all()) and column[0] < column[-1]

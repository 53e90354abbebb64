"""Columns of tables that hold no numbers: settings of runs, words, or values that could not be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.loaders.engine.facts import is_clock, log_metric, looks_like_outcome
from predictdyn.loaders.engine.notes import some
from predictdyn.loaders.engine.plans import tells_copies_apart
from predictdyn.loaders.files.tables import Table, typed

LONGEST = 60  # characters of a cell that is shown
_TIME = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}:\d{2}")
# A number with a sign around it: tensor(2.099), $2.099, 12 ms.
_IN_WORDS = re.compile(r"(?:[\w.]+\(|[^\w\s]+)?\s*[-+]?\d*\.?\d+(?:e[-+]?\d+)?(?:\W.*|\s*[a-z%]{0,3})", re.IGNORECASE)
_TENSOR = re.compile(r"(?:[\w.]+)?tensor\(|(?:np|numpy)\.\w+\(|array\(", re.IGNORECASE)


class Words(NamedTuple):
    """The columns of a table that hold something, but no number, and the ``run`` (rows,) of each row."""

    table: Table
    run: np.ndarray
    names: Sequence[str]


def settings_in(found: Sequence[Words], metrics: Set[str]) -> list[str]:
    """The columns that are settings: a word or truth value that never changes within a run, and differs between runs.

    A word that is another in each of three runs or more is a name, and no setting. A column that is a metric in another
    table, that has the name of an outcome, or holds times or names, is none either.

    >>> from pathlib import Path
    >>> table = Table(Path("a.csv"), pd.DataFrame({"opt": ["adam", "sgd"], "loss": ["?", "-"]}), np.array([2, 3]))
    >>> settings_in([Words(table, np.array(["a", "b"]), ["opt", "loss"])], set())
    ['opt']
    """
    kept = []
    for name in _names(found):
        if name in metrics or _is_outcome(name) or _is_plain(found, name):
            continue
        of_run: dict[str, set[object]] = {}
        for words in found:
            if name in words.names:
                cells = typed(words.table.cells[name])
                full = cells.notna().to_numpy()
                for run, cell in set(zip(words.run[full], map(_plain, cells[full]), strict=True)):
                    of_run.setdefault(run, set()).add(cell)
        levels = set().union(*of_run.values())
        scalar = all(isinstance(cell, str | bool) for cell in levels)
        if scalar and max(map(len, of_run.values())) == 1 and len(levels) > 1 and len(levels) < max(len(of_run), 3):
            kept.append(name)
    return kept


def lines_on(found: Sequence[Words], metrics: Set[str], settings: Sequence[str]) -> list[str]:
    """What to say of columns without numbers: settings, words, and above all values that could not be read.

    Nothing is said of times and of what tells copies apart (``run_id``, ``host``).
    """
    rest = [name for name in _names(found) if name not in settings]
    lost = [name for name in rest if name in metrics or _is_outcome(name) or _holds_numbers(found, name)]
    other = [name for name in rest if name not in lost and not _is_plain(found, name)]
    lines = []
    if lost:
        where, cell = _first(found, lost[0])
        lines.append(
            f"{len(lost)} column(s) left out that hold no numbers, so their values are lost: {some(lost, 6)}; first "
            f"{where}: {lost[0]} is {_shown(cell)}; {_remedy(cell)}"
        )
    if settings:
        lines.append(
            f"column(s) {some(list(settings), 6)} hold words that never change within a run, so they count as settings "
            "of runs (no value is lost); covariates='' keeps them out"
        )
    if other:
        where, cell = _first(found, other[0])
        lines.append(
            f"{len(other)} column(s) of words left out (no value is lost): {some(other, 6)}; first {where}: {other[0]} "
            f"is {_shown(cell)}"
        )
    return lines


def _names(found: Iterable[Words]) -> list[str]:
    return list(dict.fromkeys(name for words in found for name in words.names))


def _first(found: Sequence[Words], name: str) -> tuple[str, object]:
    """Where a column has its first cell that is not blank, and the cell."""
    table = next(words.table for words in found if name in words.names)
    cells = table.cells[name]
    row = next(i for i, cell in enumerate(cells) if not _blank(cell))
    return table.where(row), cells.iloc[row]


def _blank(cell: object) -> bool:
    return not cell.strip() if isinstance(cell, str) else cell is None or cell is pd.NA or cell is pd.NaT


def _plain(cell: object) -> object:
    cell = cell.item() if isinstance(cell, np.generic) else cell
    return cell if isinstance(cell, str | bool) else repr(cell)


def _is_outcome(name: str) -> bool:
    return log_metric(name).kind != "signal" or looks_like_outcome(name)


def _is_plain(found: Sequence[Words], name: str) -> bool:
    """Whether a column holds times, or what only tells copies of a run apart."""
    _, cell = _first(found, name)
    time = isinstance(cell, date | np.datetime64) or (isinstance(cell, str) and _TIME.match(cell.strip()) is not None)
    return time or is_clock(name) or tells_copies_apart(name)


def _holds_numbers(found: Sequence[Words], name: str) -> bool:
    """Whether a column seems to hold numbers with something around them, which change within a run: no size of 7b."""
    _, cell = _first(found, name)
    if not isinstance(cell, str) or not _IN_WORDS.fullmatch(cell.strip()) or _is_plain(found, name):
        return False
    return any(len(set(map(str, w.table.cells[name]))) > len(set(w.run)) for w in found if name in w.names)


def _shown(cell: object) -> str:
    shown = repr(cell)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."


def _remedy(cell: object) -> str:
    if isinstance(cell, str) and _TENSOR.match(cell.strip()):
        return "log the number itself, such as loss.item()"
    return "write plain numbers, such as 2.099, or leave the cells blank"

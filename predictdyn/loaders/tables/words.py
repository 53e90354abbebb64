"""Columns of tables that hold no values: settings of runs, words, or values that could not be read."""

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
from predictdyn.loaders.files.tables import Table, numbers, text, typed

LONGEST = 60  # characters of a cell that is shown
_TIME = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}:\d{2}")
# A number with a sign around it: tensor(2.099), $2.099, 12 ms.
_IN_WORDS = re.compile(r"(?:[\w.]+\(|[^\w\s]+)?\s*[-+]?\d*\.?\d+(?:e[-+]?\d+)?(?:\W.*|\s*[a-z%]{0,3})", re.IGNORECASE)
_TENSOR = re.compile(r"(?:[\w.]+)?tensor\(|(?:np|numpy)\.\w+\(|array\(", re.IGNORECASE)


class Words(NamedTuple):
    """The columns of a table that hold something, but no value of a metric, and the ``run`` (rows,) of each row."""

    table: Table
    run: np.ndarray
    names: Sequence[str]


def settings_in(found: Sequence[Words], metrics: Set[str]) -> list[str]:
    """The columns that are settings: a word, truth value or number that is one within a run, and differs between runs.

    A word that is another in each of three runs or more is a name, and no setting. A column that is a metric in another
    table, that has the name of an outcome, or holds times or names, is none either.

    >>> from pathlib import Path
    >>> table = Table(Path("a.csv"), pd.DataFrame({"opt": ["adam", "sgd"], "loss": ["?", "-"]}), np.array([2, 3]))
    >>> settings_in([Words(table, np.array(["a", "b"]), ["opt", "loss"])], set())
    ['opt']
    """
    kept, of_numbers = [], numbers_in(found)
    for name in _names(found):
        rate = name in of_numbers and log_metric(name).kind == "schedule"  # one number for a whole run
        if name in metrics or (_is_outcome(name) and not rate) or _is_plain(found, name):
            continue
        of_run: dict[str, set[object]] = {}
        for words in found:
            if name in words.names:
                cells = typed(words.table.cells[name])
                full = cells.notna().to_numpy()
                for run, cell in set(zip(words.run[full], map(_plain, cells[full]), strict=True)):
                    of_run.setdefault(run, set()).add(cell)
        levels = set().union(*of_run.values())
        names = name not in of_numbers and len(levels) >= max(len(of_run), 3)
        if max(map(len, of_run.values())) == 1 and len(levels) > 1 and not names:
            kept.append(name)
    return kept


def numbers_in(found: Sequence[Words]) -> list[str]:
    """The columns that hold numbers in every table that has them."""
    tables = {name: [words.table for words in found if name in words.names] for name in _names(found)}
    return [name for name, some in tables.items() if not any(numbers(one.cells[name]).wrong.any() for one in some)]


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
    lines += _line_on(settings)
    if other:
        where, cell = _first(found, other[0])
        lines.append(
            f"{len(other)} column(s) of words left out (no value is lost): {some(other, 6)}; first {where}: {other[0]} "
            f"is {_shown(cell)}"
        )
    return lines


def lines_beside(found: Sequence[Words], settings: Sequence[str]) -> list[str]:
    """What to say of columns beside the one that holds the values: settings, and what is left out.

    Nothing is said of what is the same throughout, of times and of what tells copies apart.
    """
    rest = [name for name in _names(found) if name not in settings and not _is_plain(found, name)]
    rest = [name for name in rest if len({cell for words in found for cell in _cells(words, name)}) > 1]
    lines = _line_on(settings)
    if rest:
        lines.append(
            f"{len(rest)} column(s) beside the values left out: {some(rest, 6)}; value=COLUMN takes one for the "
            "values, covariates=COLUMN for a setting of runs"
        )
    return lines


def _line_on(settings: Sequence[str]) -> list[str]:
    if not settings:
        return []
    return [
        f"column(s) {some(list(settings), 6)} never change within a run, so they count as settings of runs (no value "
        "is lost); covariates='' keeps them out"
    ]


def _cells(words: Words, name: str) -> list[str]:
    """The different cells of a column as text, none where a table lacks it."""
    return text(words.table.cells[name]).dropna().unique().tolist() if name in words.names else []


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
    return cell if isinstance(cell, str | bool | int | float) else repr(cell)


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

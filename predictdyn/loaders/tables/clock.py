"""The clock of a table: the column that counts steps, found by its name, or by how its numbers rise with the rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.loaders.engine.facts import plain_name
from predictdyn.loaders.files.tables import Table, numbers

STEP_NAMES = (
    "step", "global_step", "trainer/global_step", "train/global_step", "_step", "steps", "iteration", "iter",
    "current_steps", "num_updates", "tokens", "epoch",
)  # fmt: skip
EPOCHS = ("epoch", "epochs")
# A column of whole numbers that rise is a clock if one of these words is in its name.
_WORD = re.compile(
    r"(?:^|_)(?:steps?|iters?|iterations?|updates?|batch(?:es)?|batch_idx|it|n_iter|rounds?|ticks?|kimg|tokens|samples|"
    r"examples|episodes?|generations?|timesteps?|epochs?)(?:_|$)"
)


class Clock(NamedTuple):
    """The ``step`` (rows,) of a table, NaN where there is none, the ``columns`` that say it, and a line to say."""

    step: np.ndarray
    columns: tuple[str, ...]
    line: str = ""


def named(table: Table, known: Sequence[str]) -> str | None:
    """The column of a table that has the first of some names, in whatever case."""
    names = table.cells.columns.tolist()
    if len(known) == 1 and known[0] in names:
        return known[0]
    lower = {str(name).lower(): str(name) for name in reversed(names)}
    return next((lower[name] for name in known if name in lower), None)


def has_clock(record: Mapping[str, object]) -> bool:
    """Whether a row has a name that counts steps, with a number.

    >>> has_clock({"current_steps": 3}), has_clock({"lr": 0.1})
    (True, False)
    """
    return any(counts(name) and isinstance(cell, int | float | str) for name, cell in record.items())


def counts(name: str) -> bool:
    """Whether a name says that it counts steps, in one of the ways in which they are counted.

    >>> counts("current_steps"), counts("step_time"), counts("loss")
    (True, True, False)
    """
    return name.lower() in STEP_NAMES or _WORD.search(plain_name(name)) is not None


def clock_of(table: Table, run: np.ndarray, phase: np.ndarray | None, wanted: str | None) -> Clock | None:
    """The clock of a table; None where none can be told.

    ``run`` (rows,) and ``phase`` (rows,) say what the rows belong to. A column of `STEP_NAMES` counts, in this order.
    But a fraction (an epoch of 0.03), or an epoch, gives way to a column of whole numbers that never fall within a run,
    and has a word such as steps or updates in its name. A counter that begins again in each epoch is counted on over
    the epochs: (epoch - first) N + counter, with N the largest one.
    """
    if wanted is not None:
        return Clock(numbers(table.cells[wanted]).value, (wanted,))
    known = named(table, STEP_NAMES)
    main = np.ones(len(run), dtype=bool) if phase is None else phase == _largest(phase)
    within = _within_epochs(table, run, main)
    if within is not None:
        return within
    if known is not None:
        step = numbers(table.cells[known]).value
        if known.lower() not in EPOCHS and not (step % 1 != 0)[np.isfinite(step)].any():
            return Clock(step, (known,))
    counters = _counters(table, run, main, 1 if known is None else _levels(numbers(table.cells[known]).value))
    if known is not None and known.lower() in EPOCHS:
        # AllenNLP says best_epoch, and training_epochs beside the epoch.
        counters = [name for name in counters if name == known or "epoch" not in name.lower()]
    if known is not None and (not counters or plain_name(known) == plain_name(counters[0])):
        return Clock(numbers(table.cells[known]).value, (known,))
    if not counters:
        return None
    line = (
        f"{table.path}: the step is {counters[0]}, whole numbers that rise with the rows; choose another with step=..."
    )
    return Clock(numbers(table.cells[counters[0]]).value, (counters[0],), line)


def _largest(phase: np.ndarray) -> str:
    names, counts = np.unique(phase.astype(str), return_counts=True)
    return str(names[np.argmax(counts)])


def _levels(step: np.ndarray) -> int:
    return len(np.unique(step[np.isfinite(step)]))


def _counters(table: Table, run: np.ndarray, main: np.ndarray, levels: int) -> list[str]:
    """Columns of whole numbers that never fall within a run and take at least so many values; the finest first."""
    found: dict[str, int] = {}
    for name in map(str, table.cells):
        if not _WORD.search(plain_name(name)):
            continue
        column = numbers(table.cells[name])
        if column.wrong.any() or column.blank[main].any():
            continue
        step = column.value
        if not np.isfinite(step[main]).all() or (step[main] % 1 != 0).any() or (step[main] < 0).any():
            continue
        if _levels(step) >= max(levels, 2) and not _falls(step[main], run[main]).any():
            found[name] = _levels(step)
    return sorted(found, key=lambda name: -found[name])


def _falls(step: np.ndarray, run: np.ndarray) -> np.ndarray:
    """Where a step is below the one before it in its run (rows - 1,), rows taken run by run."""
    order = np.argsort(pd.factorize(run)[0], kind="stable")
    return (np.diff(step[order]) < 0) & (run[order][1:] == run[order][:-1])


def _within_epochs(table: Table, run: np.ndarray, main: np.ndarray) -> Clock | None:
    """A counter that begins again in each epoch, counted on; None where there is none."""
    epoch_name = named(table, EPOCHS)
    if epoch_name is None:
        return None
    epoch = numbers(table.cells[epoch_name]).value
    counted = np.isfinite(epoch)
    main = main & counted
    if 2 * main.sum() < len(main) or (epoch[counted] % 1 != 0).any() or _levels(epoch[main]) < 2:
        return None
    order = np.argsort(pd.factorize(run)[0], kind="stable")
    order = order[main[order]]
    same = run[order][1:] == run[order][:-1]
    rises = np.diff(epoch[order]) > 0
    if (np.diff(epoch[order])[same] < 0).any():
        return None
    for name in map(str, table.cells):
        if name == epoch_name or not _WORD.search(plain_name(name)):
            continue
        inner = numbers(table.cells[name]).value
        if not np.isfinite(inner[order]).all() or (inner[order] % 1 != 0).any():
            continue
        falls = np.diff(inner[order]) < 0
        stays = np.diff(inner[order]) <= 0
        if (same & falls).any() and not (same & falls & ~rises).any() and stays[same & rises].all():
            # With one row an epoch a counter says no more than the epoch does.
            if len(order) < 2 * _levels(epoch):
                continue
            length = inner[order].max() + (inner[order].min() == 0)
            first = 0.0 if (epoch[main] == 0).any() else 1.0
            step = np.where(main, (epoch - first) * length + inner, np.nan)
            line = f"{table.path}: {name} begins again in each {epoch_name}; the step counts on, {length:g} an epoch"
            # Rows of another phase count something else: they go with the row above.
            above = pd.Series(step).groupby(pd.factorize(run)[0]).ffill().fillna(0.0).to_numpy(float)
            return Clock(np.where(counted & ~main, above, step), (name, epoch_name), line)
    return None

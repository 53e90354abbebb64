"""What is planned of runs, as numbers for a Gaussian process over runs; and which finished runs to learn from."""

from __future__ import annotations

import numpy as np
import pandas as pd

from predictdyn.covariates import encoder_for
from predictdyn.fitting.change_gp import REACH, Runs

FARTHEST = 2.0  # sds of size beyond the largest that its linear effect may go on
PER_SIZE = 0.5  # of them for each size by which it is known: two points make any line


def planned(history: pd.DataFrame, run: pd.DataFrame, *, damped: bool) -> Runs:
    """The plans of finished runs (r rows) and, last, of the run in question (1 row), all from the history's view.

    The size is the number that spans the most, in logs, over the history; among the settings of training runs that is
    how large they are, or how much compute they take. All else is taken as what the size does not explain: widths and
    rates mostly follow it, and a kernel of each would count it again. ``damped``: beyond the largest size of the
    history the linear effect of size dies away, the sooner the fewer sizes there are.
    """
    encoder = encoder_for(history)
    past, new = encoder.encode(history), encoder.encode(run)
    names = list(encoder.numbers)
    logs = [(encoder.numbers[name][2], i) for i, name in enumerate(names) if encoder.numbers[name][0]]
    spread, column = max(logs) if logs else (REACH, 0)
    family = pd.factorize(pd.concat([history["family"], run["family"]]))[0]
    if not names:
        nothing = np.zeros(len(past) + 1)
        return Runs(nothing, nothing, _rest(encoder.levels, past, new, nothing), family)
    size = np.r_[past[:, column], new[:, column]]
    others = [i for i in range(past.shape[1]) if i != column]
    rest = _rest(encoder.levels, past[:, others], new[:, others], size)
    bent = size.copy()
    over = size[-1] - size[:-1].max()
    if damped and over > 0:
        reach = min(FARTHEST, PER_SIZE * (len(np.unique(size[:-1].round(6))) - 1))
        bent[-1] = size[:-1].max() + reach * (1 - np.exp(-over / reach))
    return Runs(bent, size * spread, rest, family)


def _rest(levels: dict[str, tuple[str, ...]], past: np.ndarray, new: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Other settings (r + 1, k) less what the size explains; together of about unit length."""
    last = past.shape[1]
    new = new.copy()
    for values in reversed(levels.values()):
        first = last - len(values)
        # A setting that no finished run had says nothing.
        if not (new[:, first:last] > 0).any():
            new[:, first:last] = past[:, first:last].mean(axis=0)
        last = first
    line = np.stack([np.ones(len(size)), size], axis=1)
    slope = np.linalg.lstsq(line[:-1], past, rcond=None)[0]
    off = np.concatenate([past, new]) - line @ slope
    return off / max(past.shape[1], 1) ** 0.5


def spread_over(family: np.ndarray, most: int) -> np.ndarray:
    """Places of at most so many runs (r,), one of each family in turn, families evenly.

    >>> spread_over(np.array([0, 0, 1, 1, 2]), 3).tolist()
    [0, 2, 4]
    """
    return in_turn(np.arange(len(family)), family, most, evenly=True)


def in_turn(order: np.ndarray, family: np.ndarray, most: int, *, evenly: bool = False) -> np.ndarray:
    """Places of at most so many runs, in an order of preference, one of each family in turn; sorted."""
    if len(order) <= most:
        return np.sort(order)
    turn: dict[object, int] = {}
    turns = np.empty(len(order), dtype=int)
    for i, place in enumerate(order):
        turns[i] = turn[family[place]] = turn.get(family[place], -1) + 1
    ranked = order[np.argsort(turns, kind="stable")]
    first = int((turns == 0).sum())
    if evenly and first > most:
        return np.sort(ranked[np.linspace(0, first - 1, most).round().astype(int)])
    return np.sort(ranked[:most])

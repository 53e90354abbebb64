"""Which runs are larger than all finished ones, and which finished runs stand for them in a replay."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

SIZE = re.compile(
    r"(^|_)(n?params?|parameters|flops?|compute|tokens|size|width|depth|n?layers?|hidden|d_?model|last_step)(_|$)"
)
LARGER = 1.05  # times the largest finished run
PARTS = (0.12, 0.22, 0.35, 0.5)  # of the families, the largest, that are left out in turn
FEWEST_LEFT = 2  # families to learn from


def size_columns(runs: pd.DataFrame) -> list[str]:
    """Columns of numbers above zero that say how large a run is, by their names.

    >>> size_columns(pd.DataFrame({"family": ["a"], "last_step": [10], "params": [1e6], "lr": [0.1]}))
    ['last_step', 'params']
    """
    names = [str(name) for name in runs.columns if SIZE.search(str(name).lower())]
    return [name for name in names if pd.api.types.is_numeric_dtype(runs[name]) and bool((runs[name] > 0).all())]


def beyond(history: pd.DataFrame, runs: pd.DataFrame) -> dict[str, float]:
    """How many times as large as the largest finished run each run is, at least one; see `largest`."""
    return {run: ratio for run, (ratio, _) in largest(history, runs).items()}


def largest(history: pd.DataFrame, runs: pd.DataFrame) -> dict[str, tuple[float, str]]:
    """The ratio to the largest finished run, one where it is not clearly larger, and the column that it is of."""
    found: dict[str, tuple[float, str]] = {str(run): (1.0, "") for run in runs.index}
    for name in size_columns(history):
        if name in runs and pd.api.types.is_numeric_dtype(runs[name]):
            ratio = runs[name].astype(float) / float(history[name].max())
            for run, value in ratio.items():
                if value > max(LARGER, found[str(run)][0]):
                    found[str(run)] = (float(value), name)
    return found


def rolling(runs: pd.DataFrame) -> list[list[str]]:
    """Families to leave out, the largest first, more of them each time; of equal size together.

    Size is the first of `size_columns` that varies the most, in logarithms. A family is as large as its largest run.
    """
    columns = size_columns(runs)
    if not columns:
        return []
    logs = np.log(runs[columns].astype(float))
    size = logs[logs.std().idxmax()].groupby(runs["family"]).max().sort_values(ascending=False)
    found: list[list[str]] = []
    for part in PARTS:
        least = size.iloc[min(int(np.ceil(part * len(size))), len(size)) - 1]
        out = size.index[size >= least - 1e-9].tolist()
        if len(size) - len(out) >= FEWEST_LEFT and out not in found:
            found.append(out)
    return found

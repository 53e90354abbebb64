"""Bootstrap over sizes: runs of one size err together, so whole sizes are drawn again, not runs."""

from __future__ import annotations

import numpy as np

NEAR = 0.01  # values whose logarithms are this near are one size
FEWEST_SIZES = 5  # with fewer, runs are drawn again one by one


def sizes_of(logs: np.ndarray) -> np.ndarray:
    """For each run (n,) the number of its size, from the logarithms of an input (n,): a size ends where a gap is.

    >>> sizes_of(np.log([1.0, 5.0, 1.001, 5.2])).tolist()
    [0, 1, 0, 2]
    """
    order = np.argsort(logs, kind="stable")
    number = np.r_[0, np.cumsum(np.diff(logs[order]) > NEAR)]
    out = np.empty(len(logs), dtype=int)
    out[order] = number
    return out


def size_input(logs: np.ndarray) -> int:
    """The input (n, d) whose values come in sizes: of those that repeat, the one with the largest spread."""
    spread = logs.std(axis=0)
    repeats = [len(np.unique(sizes_of(column))) <= len(logs) // 2 for column in logs.T]
    return int(np.argmax(np.where(repeats, spread, spread * (0.0 if any(repeats) else 1.0))))


def units(logs: np.ndarray) -> np.ndarray:
    """For each run (n,) the number of what errs by itself: its size, or the run where sizes are too few to tell."""
    size = sizes_of(logs)
    return size if size.max() + 1 >= FEWEST_SIZES else np.arange(len(logs))


def resamples(logs: np.ndarray, n: int, seed: int) -> np.ndarray:
    """How often each of some runs counts in n resamples of their sizes, (n, runs); logs (runs,) of the size."""
    unit = units(logs)
    count = unit.max() + 1
    return np.asarray(np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=n)[:, unit])

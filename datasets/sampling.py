"""Sampling error of what is measured on a finite number of items: value and standard error."""

import numpy as np

NO_STDERR = float("nan")


def mean(values: np.ndarray) -> tuple[float, float]:
    """Mean and sd / sqrt(n)."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def share(hits: np.ndarray) -> tuple[float, float]:
    """Share p of n hits with stderr sqrt(p (1 - p) / n).

    None or all: the sd of the Jeffreys posterior Beta(1/2, n + 1/2), which is about 0.7 / n and not zero.
    """
    n, p = len(hits), float(np.mean(hits))
    if 0 < p < 1:
        return p, float(np.sqrt(p * (1 - p) / n))
    return p, float(np.sqrt((n + 0.5) / 2 / (n + 2)) / (n + 1))


def paired_difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Mean of first - second over the same items, with sd / sqrt(n); Jeffreys' as for a share if they never differ."""
    difference = first.astype(float) - second
    if difference.std() == 0:
        return float(difference.mean()), share(np.zeros(len(first)))[1]
    return mean(difference)

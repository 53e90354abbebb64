r"""Threshold: at which height of its running maximum an alarm may ring, so that few healthy runs ever ring.

The maxima M over whole healthy runs, each judged by what was learnt of other families, are exchangeable with that of a
healthy run of a new family. With F families, :math:`N_f` runs each,

.. math:: p(m) = \frac{1}{F + 1} \Big( 1 + \sum_f \frac{1}{N_f} \#\{ i \in f : M_{f, i} \ge m \} \Big)

is at most alpha at any time with probability at most alpha (hierarchical conformal prediction: Lee, Barber and Willett
2023, arXiv:2306.06342), however often one looks, since a maximum never falls. Below 1 / (F + 1) nothing can be
certified; there the tail goes on as an exponential one, and `Threshold.certified` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from predictdyn.fitting.family_weights import family_weights


class Threshold(NamedTuple):
    """Maxima of healthy runs in order (n,), their weights (n,), how many families, and the length of the tail."""

    maxima: np.ndarray
    weight: np.ndarray
    families: int
    tail: float

    def p(self, height: np.ndarray | float) -> np.ndarray:
        """The share (...) of healthy runs of a new family that come so high."""
        height = np.asarray(height, dtype=float)
        above = np.r_[np.cumsum(self.weight[::-1])[::-1], 0.0]
        share = above[np.searchsorted(self.maxima, height, side="left")]
        found = (1 + self.families * share) / (self.families + 1)
        over = np.maximum(height - self.maxima[-1], 0.0)
        return np.asarray(np.where(over > 0, np.exp(-over / self.tail) / (self.families + 1), found))

    def certified(self, rate: float) -> bool:
        """Whether there are families enough for the rate to hold without any assumption on the tail."""
        return _enough(self.families, rate)

    def words(self, rate: float) -> str:
        """What can be said of a rate, as one line."""
        return certificate(self.families, rate)


def _enough(families: int, rate: float) -> bool:
    return rate * (families + 1) >= 1


def certificate(families: int, rate: float, history: str = "the history has") -> str:
    """What so many families of healthy runs can say of a rate, as one line; ``history`` says where they are.

    >>> certificate(31, 0.05)
    'the rate 0.05 is certified by 31 families of healthy runs'
    """
    if _enough(families, rate):
        return f"the rate {rate:g} is certified by {families} families of healthy runs"
    need = int(np.ceil(1 / rate)) - 1
    return (
        f"{history} {families} families of healthy runs; {need} would certify the rate {rate:g}, so it "
        "rests on an exponential tail"
    )


def threshold(maxima: Sequence[float] | np.ndarray, family: Sequence[str]) -> Threshold:
    """From the maxima (n,) of healthy runs and their families (n,).

    >>> found = threshold(np.arange(40.0), [str(i) for i in range(40)])
    >>> found.p(38.5).round(3).tolist(), found.certified(0.05), found.certified(0.01)
    (0.049, True, False)
    """
    values, names = np.asarray(maxima, dtype=float), np.asarray(family, dtype=object).astype(str)
    order = np.argsort(values)
    weight = family_weights(names)[order]
    values = values[order]
    start = np.interp(0.75, np.cumsum(weight) - weight / 2, values)
    over = values > start
    # The mean excess over the upper quarter; heights are logarithms of probabilities, whose tail has length one. A few
    # maxima, which end at the largest of them, would have it shorter.
    tail = float((weight[over] * (values[over] - start)).sum() / weight[over].sum()) if over.any() else 1.0
    return Threshold(values, weight, len(np.unique(names)), max(tail, 1.0))


def e_value(p: np.ndarray | float) -> np.ndarray:
    """An e-value from a p-value that holds at any time, 1 / (2 sqrt p): Shafer's calibrator."""
    return np.asarray(0.5 / np.sqrt(p))

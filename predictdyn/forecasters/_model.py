"""What averages over the nodes of curve forms: weights of nodes, and forecasts by nodes drawn by weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from scipy import stats

from predictdyn.fitting.structural import SLICE, Graded, Sampled
from predictdyn.forecasters._series import Padded


class Model(Protocol):
    """One way to condition the nodes of forms, given by name, on what was seen of curves."""

    def graded(self, forms: Sequence[str], batch: Padded, to: np.ndarray, truth: np.ndarray) -> Graded:
        """Log weights of all nodes, and the mean log densities of truths (n, p) at ln x = to (n, p)."""
        ...

    def sampled(
        self, forms: Sequence[str], batch: Padded, to: np.ndarray, lots: np.ndarray, log_prior: np.ndarray | None
    ) -> list[Sampled]:
        """For each form, forecasts at ln x = to (n, p) by nodes drawn at lots (s,) in (0, 1) of their weight."""
        ...


FURTHEST = 1e100  # standard deviations: beyond, their square overflows


def log_density(off: np.ndarray, square: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Log density of Student-t, ``off`` from its location, with squared scale ``square``; all broadcast.

    >>> log_density(np.array(0.0), np.array(1.0), np.array(1e9)).round(3).item()
    -0.919
    """
    away = np.clip(off / np.sqrt(square), -FURTHEST, FURTHEST)
    return stats.t.logpdf(away, df) - 0.5 * np.log(square)


def graded(model: Model, forms: Sequence[str], batch: Padded, to: np.ndarray, truth: np.ndarray) -> Graded:
    """`Model.graded` for any number of curves, always ``SLICE`` at a time.

    So little is compiled, and the last digit of a forecast does not depend on how many are asked for.
    """
    parts = [model.graded(forms, batch.only(rows), to[rows], truth[rows]) for rows in _rows(len(to))]
    weight, density = (np.concatenate([part[i] for part in parts])[: len(to)] for i in range(2))
    return Graded(weight, density, parts[0].sizes)


def sampled(
    model: Model, forms: Sequence[str], batch: Padded, to: np.ndarray, lots: np.ndarray, log_prior: np.ndarray | None
) -> list[Sampled]:
    """`Model.sampled` likewise; ``log_prior`` (k,) is the same for all curves."""
    parts = []
    for rows in _rows(len(to)):
        prior = None if log_prior is None else np.broadcast_to(log_prior, (len(rows), len(log_prior)))
        parts.append(model.sampled(forms, batch.only(rows), to[rows], lots, prior))
    return [
        Sampled(*(np.concatenate(field)[: len(to)] for field in zip(*of_form, strict=True)))
        for of_form in zip(*parts, strict=True)
    ]


def _rows(n: int) -> Iterator[np.ndarray]:
    for first in range(0, n, SLICE):
        yield np.minimum(np.arange(first, first + SLICE), n - 1)

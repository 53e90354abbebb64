"""What averages over the nodes of curve forms: weights of nodes, and forecasts by nodes drawn by weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from predictdyn.fitting.structural import Graded, Sampled
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

"""Structural: curve forms with a discrepancy process around them, averaged over all that is not known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictdyn.fitting import structural
from predictdyn.fitting.structural import Sampled, Series
from predictdyn.forecasters._averaged import Averaged
from predictdyn.forecasters._series import Padded


class Structural:
    """Nodes of forms by those of a local level with a slope that dies away, by Kalman filter: `fitting.structural`."""

    def graded(self, forms: Sequence[str], batch: Padded, to: np.ndarray, truth: np.ndarray) -> structural.Graded:
        """Log weights of all nodes of each form, and the log densities that they gave to truths."""
        return structural.graded(structural.bundle(forms), Series(*batch[:4]), to, truth, structural.process())

    def sampled(
        self, forms: Sequence[str], batch: Padded, to: np.ndarray, lots: np.ndarray, log_prior: np.ndarray | None
    ) -> list[Sampled]:
        """Forecasts of each form by nodes drawn by weight."""
        bundle = structural.bundle(forms)
        return structural.sampled(bundle, Series(*batch[:4]), to, lots, structural.process(), log_prior)


FORECASTER = Averaged(
    "structural", Structural(), ("pow3", "pow4", "hill", "weibull", "rise_and_fall", "double_power", "floor")
)

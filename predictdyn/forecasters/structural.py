"""Structural: curve forms with a discrepancy process around them, averaged over all that is not known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictdyn.fitting import around, structural
from predictdyn.fitting.structural import Graded, Sampled, Series
from predictdyn.forecasters._averaged import Averaged
from predictdyn.forecasters._model import log_density
from predictdyn.forecasters._series import Padded
from predictdyn.forms import BY_NAME

ALONE = ("broken",)  # a process could follow any break; so sharp a form counts only where it needs none


class Structural:
    """Nodes of forms by those of a local level with a slope that dies away, by Kalman filter: `fitting.structural`.

    The broken power law is without the process, by `fitting.around`, and must be named after all that have it.
    """

    def graded(self, forms: Sequence[str], batch: Padded, to: np.ndarray, truth: np.ndarray) -> Graded:
        """Log weights of all nodes of each form, and the log densities that they gave to truths; a form alone is one
        node."""
        series, among = Series(*batch[:4]), [name for name in forms if name not in ALONE]
        found = structural.graded(structural.bundle(among), series, to, truth, structural.process())
        weight, density, sizes = [found.log_weight], [found.log_density], list(found.sizes)
        for name in forms[len(among) :]:
            one = around.cloud(BY_NAME[name], series, to)
            each = log_density(truth[..., None] - one.location, one.whole, one.df[:, None, None])
            density.append(np.logaddexp.reduce(each.mean(axis=1) + one.log_weight, axis=1)[:, None])
            weight.append(np.zeros((len(to), 1)))
            sizes.append(1)
        return Graded(np.concatenate(weight, axis=1), np.concatenate(density, axis=1), sizes)

    def sampled(
        self, forms: Sequence[str], batch: Padded, to: np.ndarray, lots: np.ndarray, log_prior: np.ndarray | None
    ) -> list[Sampled]:
        """Forecasts of each form by nodes drawn by weight."""
        series, among = Series(*batch[:4]), [name for name in forms if name not in ALONE]
        bundle, process = structural.bundle(among), structural.process()
        size = sum(bundle.sizes) * len(process)
        prior = None if log_prior is None else log_prior[:, :size]
        found = structural.sampled(bundle, series, to, lots, process, prior)
        for i, name in enumerate(forms[len(among) :]):
            one = around.sampled(around.cloud(BY_NAME[name], series, to), lots)
            found.append(one if log_prior is None else one._replace(log_mass=log_prior[:, size + i]))
        return found


FORECASTER = Averaged(
    "structural",
    Structural(),
    ("pow3", "pow4", "hill", "weibull", "rise_and_fall", "double_power", "floor", "broken"),
)

"""Curve posterior: forms alone, every number that is not known integrated out, averaged by their evidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictdyn.fitting import noise, quadrature, structural
from predictdyn.fitting.mixtures import Mixture, chosen
from predictdyn.fitting.structural import Graded, Sampled
from predictdyn.forecasters._averaged import Averaged
from predictdyn.forecasters._model import log_density
from predictdyn.forecasters._series import Padded
from predictdyn.forms import BY_NAME

CORRELATIONS = (0.0, 0.7)  # of neighbouring errors: what a form does not follow lasts
PRIOR = quadrature.WEAK._replace(gap=1.0)  # a curve does not do much more than it has done


class Quadrature:
    """Nodes of each form and of the correlation of errors, Student-t errors by reweighting; see
    `fitting.quadrature`."""

    def graded(self, forms: Sequence[str], batch: Padded, to: np.ndarray, truth: np.ndarray) -> Graded:
        """Log weights of all nodes of each form, and the mean log densities that they gave to truths."""
        weights, densities = [], []
        for name in forms:
            _, seen, _ = self._conditioned(name, batch, to)
            off = truth[:, :, None] * batch.unit[:, None, None] - seen.location
            density = log_density(off, seen.square, seen.df[:, None, None])
            with np.errstate(divide="ignore"):
                weights.append(np.log(seen.weight))
            densities.append(density.mean(axis=1))
        sizes = [weight.shape[1] for weight in weights]
        return Graded(np.concatenate(weights, axis=1), np.concatenate(densities, axis=1), sizes)

    def sampled(
        self, forms: Sequence[str], batch: Padded, to: np.ndarray, lots: np.ndarray, log_prior: np.ndarray | None
    ) -> list[Sampled]:
        """Forecasts of each form by nodes drawn by weight."""
        found, first = [], 0
        for name in forms:
            known, whole, log_evidence = self._conditioned(name, batch, to)
            weight, k = whole.weight, whole.weight.shape[1]
            if log_prior is not None:
                weight = weight * np.exp(log_prior[:, first : first + k])
            first += k
            drawn = chosen(weight, lots)[:, None, :]
            location, without, square = (
                np.take_along_axis(part, drawn, axis=2) for part in (whole.location, known.square, whole.square)
            )
            unit = batch.unit[:, None, None]
            units = location / unit, without / unit**2, square / unit**2
            found.append(Sampled(*units, whole.df, np.log(weight.sum(axis=1)), log_evidence))
        return found

    def _conditioned(self, name: str, batch: Padded, to: np.ndarray) -> tuple[Mixture, Mixture, np.ndarray]:
        """What is known of the curve at ln x = to (n, p), the next measurements there, and the log evidence (n,)."""
        p = to.shape[1]
        # Few widths, so that few are compiled.
        places = 2 if p <= 2 else -(-p // structural.PLACES) * structural.PLACES
        at = np.exp(np.pad(to, [(0, 0), (0, places - p)]))
        form, x = BY_NAME[name], np.exp(batch.u)
        z = batch.z * batch.unit[:, None]
        weight = np.where(np.isfinite(batch.variance), 1 / batch.variance, 0.0)

        def residual(given: np.ndarray) -> np.ndarray:
            fitted = quadrature.predict(quadrature.posterior(form, x, z, given, weak=PRIOR), form, x)
            return np.where(given > 0, z - (fitted.weight[:, None] * fitted.location).sum(-1), 0.0)

        weight = noise.reweighted(residual, weight, steps=1)
        found = quadrature.posterior(form, x, z, weight, correlation=CORRELATIONS, weak=PRIOR)
        known, whole = (quadrature.predict(found, form, at, noise=one) for one in (0.0, 1.0))
        known, whole = (one._replace(location=one.location[:, :p], square=one.square[:, :p]) for one in (known, whole))
        return known, whole, found.log_evidence


FORECASTER = Averaged(
    "curve_posterior",
    Quadrature(),
    ("log_linear", "pow3", "pow4", "weibull", "hill", "floor", "double_power"),
    shrink=0.0,
    temper=1.0,
)

"""Curve fit: the single best curve of each form, by maximum posterior, averaged over forms by how well they explain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from predictdyn.fitting import least_squares
from predictdyn.fitting.batches import by_form, in_batches
from predictdyn.fitting.structural import FAR, FLOOR, GAP, Graded, Sampled
from predictdyn.forecasters._averaged import Averaged
from predictdyn.forecasters._model import log_density
from predictdyn.forecasters._series import Padded
from predictdyn.forms import BY_NAME, Form

PULL = 4.0  # each number of a shape is as if seen once, in the middle of its bounds, with a sd of half their distance


class MaximumPosterior:
    """One node a form: its best shape for the curve, by variable projection and Gauss-Newton steps, and level and
    gaps given it.

    Forms weigh by the Bayesian information criterion (Schwarz 1978, doi:10.1214/aos/1176344136). The shape counts as
    known, so intervals are too narrow: that is what `curve_posterior` is there for.
    """

    def graded(self, forms: Sequence[str], batch: Padded, to: np.ndarray, truth: np.ndarray) -> Graded:
        """Weight one for the only node of each form, and its mean log density of truths."""
        densities = []
        for name in forms:
            location, _, whole, df, _ = _fitted(name, batch, to)
            densities.append(log_density(truth - location, whole, df[:, None]).mean(axis=1))
        return Graded(np.zeros((len(to), len(forms))), np.stack(densities, axis=1), [1] * len(forms))

    def sampled(
        self, forms: Sequence[str], batch: Padded, to: np.ndarray, lots: np.ndarray, log_prior: np.ndarray | None
    ) -> list[Sampled]:
        """The same curve for every lot."""
        found = []
        for i, name in enumerate(forms):
            *parts, df, evidence = _fitted(name, batch, to)
            location, known, whole = (np.broadcast_to(part[..., None], (*part.shape, len(lots))) for part in parts)
            mass = np.zeros(len(to)) if log_prior is None else log_prior[:, i]
            found.append(Sampled(location, known, whole, df, mass, evidence))
        return found


def _fitted(name: str, batch: Padded, to: np.ndarray) -> tuple[np.ndarray, ...]:
    """Location, variance of what is known and of the next measurement at ln x = to (n, p), in units of the curves;
    degrees of freedom and evidence (n,)."""
    form, x, unit = BY_NAME[name], np.exp(batch.u), batch.unit
    weight = np.where(np.isfinite(batch.variance), 1 / batch.variance, 0.0)
    found = least_squares.fit(form, x, batch.z * unit[:, None], weight, pull=PULL)
    points = (weight > 0).sum(axis=1)
    numbers = 1 + len(form.shape) + (0 if form.fixed else form.gaps)
    df = np.maximum(points - numbers, 1.0)
    misfit = found.misfit / unit**2 + FLOOR**2
    evidence = -0.5 * points * np.log(misfit / points) - 0.5 * numbers * np.log(points)
    noise = misfit / df
    given = [found.shape, x, batch.z, weight, unit, noise, np.exp(to)]
    location, known = in_batches(_given_shape(form), given)
    return location, known, known + noise[:, None], df, evidence


@by_form
def _given_shape(form: Form) -> Callable[..., Any]:
    """Ridge regression on the columns of one shape: what a gap adds has the prior that it has in
    `fitting.structural`."""

    def one(shape: Any, x: Any, z: Any, weight: Any, unit: Any, noise: Any, at: Any) -> tuple[Any, Any]:
        here, there = form.columns(x, shape), form.columns(at, shape)
        far = form.columns(jnp.array([1.0, FAR]), shape)
        total = weight.sum()
        if form.fixed:
            z = z - here[0] / unit
            level = (weight * z).sum() / total
            return level + there[0] / unit, jnp.full(at.shape, noise / total)
        level, middle = (weight * z).sum() / total, here @ weight / total
        apart = here - middle[:, None]
        size = (far[:, 1] - far[:, 0]) ** 2 + apart**2 @ weight / total
        precision = (apart * weight) @ apart.T + jnp.diag(noise * size / GAP**2 + 1e-12)
        ahead = there - middle[:, None]
        location = level + ahead.T @ jnp.linalg.solve(precision, apart @ (weight * (z - level)))
        known = noise * (1 / total + (ahead * jnp.linalg.solve(precision, ahead)).sum(0))
        return location, known

    return jax.vmap(one)


FORECASTER = Averaged(
    "curve_fit",
    MaximumPosterior(),
    ("log_linear", "pow3", "pow4", "weibull", "hill", "floor"),
)

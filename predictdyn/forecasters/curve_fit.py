"""Curve fit: the least-squares curve of each form, averaged over forms, with the spread of its own past errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from predictdyn.fitting.gauss_newton import fit_curves
from predictdyn.fitting.stacks import Series
from predictdyn.fitting.structural import FLOOR, GAP
from predictdyn.fitting.structural_grid import FAR
from predictdyn.forecasters._empirical import EmpiricalErrors, ReferenceRuns
from predictdyn.forecasters._series import standardised, usable
from predictdyn.forms import BY_NAME, Form
from predictdyn.problem import LatentCurve

PULL = 4.0  # each number of a shape is as if seen once, in the middle of its bounds, with a sd of half their distance
TEMPER = 0.2  # power of the evidence that forms are weighed by
STEPS = 6
AVERAGED = ("log_linear", "pow3", "pow4", "weibull", "hill", "floor")


class FormFit(NamedTuple):
    """One form fitted to a curve, in its units: location (p,) and variance of what is known there (p,), squared scale
    of the noise, and minus half the Bayesian information criterion (Schwarz 1978, doi:10.1214/aos/1176344136)."""

    location: np.ndarray
    known: np.ndarray
    noise: float
    evidence: float


def average_fit(curve: LatentCurve, progress: np.ndarray, runs: ReferenceRuns) -> np.ndarray:
    r"""z(x) = the mean of `FormFit` over forms, latent, the less certain changes shrunk; no answer with under 3 points.

    A form weighs :math:`e^{\mathrm{temper}\, \mathrm{evidence}}`. Its change d since the last step is multiplied by
    :math:`d^2 / (d^2 + V)`, V the variance of d: change that the data cannot tell from none is not forecast.
    """
    if not usable(curve):
        return np.full(len(progress), np.nan)
    # The first knot is the last step seen.
    knots = np.append(0.0, np.log(np.maximum(progress / curve.progress[-1], 1.0)))
    # What overflows has no weight.
    with np.errstate(all="ignore"):
        series, zero = standardised(curve)
        fits = [fit_form(BY_NAME[name], series, knots) for name in AVERAGED]
        fits = [one for one in fits if np.isfinite([*_shrunk(one), one.evidence]).all()]
        if not fits:
            return np.full(len(progress), np.nan)
        weights = _weights([one.evidence for one in fits])
        mean = sum(weight * _shrunk(one) for weight, one in zip(weights, fits, strict=True))
        return np.asarray(zero + series.unit * mean)


def fit_form(form: Form, curve: Series, knots: np.ndarray) -> FormFit:
    """The shape of maximum posterior, then level and gaps given it, at ln x = knots (p,)."""
    x, weight, n = np.exp(curve.u), 1 / curve.variance, len(curve.z)
    found = fit_curves(form, x[None], curve.z[None] * curve.unit, weight[None], pull=PULL, steps=STEPS)
    numbers = 1 + len(form.shape) + (0 if form.fixed else form.gaps)
    misfit = float(found.misfit[0]) / curve.unit**2 + FLOOR**2
    noise = misfit / max(n - numbers, 1.0)
    location, known = _given_shape(form, found.shape[0], curve, weight, noise, knots)
    return FormFit(location, known, noise, float(-0.5 * n * np.log(misfit / n) - 0.5 * numbers * np.log(n)))


def _given_shape(
    form: Form, shape: np.ndarray, curve: Series, weight: np.ndarray, noise: float, knots: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression on the columns of one shape; what a gap adds has the prior of `fitting.structural`."""
    ends = np.array([1.0, FAR])
    here, there, far = (form.on_grid(x, shape[None])[:, 0] for x in (np.exp(curve.u), np.exp(knots), ends))
    total, z = weight.sum(), curve.z
    if form.fixed:
        level = float((weight * (z - here[0] / curve.unit)).sum() / total)
        return level + there[0] / curve.unit, np.full(len(knots), noise / total)
    level, middle = float((weight * z).sum() / total), here @ weight / total
    apart = here - middle[:, None]
    size = (far[:, 1] - far[:, 0]) ** 2 + apart**2 @ weight / total
    precision = (apart * weight) @ apart.T + np.diag(noise * size / GAP**2 + 1e-12)
    inverse = np.linalg.inv(precision)
    gap, ahead = inverse @ (apart @ (weight * (z - level))), there - middle[:, None]
    # Sums written out: no place may move another by a digit, as it would in a product of matrices.
    location = level + sum(one * column for one, column in zip(gap, ahead, strict=True))
    spread = sum(one * a * b for row, a in zip(inverse, ahead, strict=True) for one, b in zip(row, ahead, strict=True))
    return np.asarray(location), np.asarray(noise * (1 / total + spread))


def _shrunk(one: FormFit) -> np.ndarray:
    """Location (p - 1,) with its change since the first knot shrunk."""
    change = one.location[1:] - one.location[0]
    return np.asarray(one.location[0] + change * (change**2 / (change**2 + one.known[1:] + 1e-300)))


def _weights(evidence: Sequence[float]) -> np.ndarray:
    """Shares of forms; one whose evidence is no number has none, and without any all have the same."""
    log_weight = TEMPER * np.array(evidence)
    log_weight = np.where(np.isnan(log_weight), -np.inf, log_weight)
    top = log_weight.max()
    weight = np.exp(log_weight - top) if np.isfinite(top) else np.ones(len(log_weight))
    return np.asarray(weight / weight.sum())


CURVE_FIT = EmpiricalErrors("curve_fit", average_fit)

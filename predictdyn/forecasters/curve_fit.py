"""Curve fit: the least-squares curve of each form, averaged over forms, with the spread of its own past errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from predictdyn.fitting.gauss_newton import fit_curves, solved
from predictdyn.fitting.stacks import Stack, padded, stacks
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


class FormFits(NamedTuple):
    """One form fitted to curves, in their units: location (n, p) and variance of what is known there (n, p), squared
    scale of the noise, and minus half the Bayesian information criterion (Schwarz 1978, doi:10.1214/aos/1176344136),
    (n,) each."""

    location: np.ndarray
    known: np.ndarray
    noise: np.ndarray
    evidence: np.ndarray


def average_fits(
    curves: Sequence[LatentCurve], asked: Sequence[np.ndarray], runs: Sequence[ReferenceRuns]
) -> list[np.ndarray]:
    r"""z(x) = the mean of forms, latent, the less certain changes shrunk; no answer with under 3 points.

    A form weighs :math:`e^{\mathrm{temper}\, \mathrm{evidence}}`. Its change d since the last step is multiplied by
    :math:`d^2 / (d^2 + V)`, V the variance of d: change that the data cannot tell from none is not forecast.
    """
    answers = [np.full(len(progress), np.nan) for progress in asked]
    able = [i for i, curve in enumerate(curves) if usable(curve)]
    # What overflows has no weight.
    with np.errstate(all="ignore"):
        made = [standardised(curves[i]) for i in able]
        # The first knot is the last step seen.
        knots = [np.append(0.0, np.log(np.maximum(asked[i] / curves[i].progress[-1], 1.0))) for i in able]
        for places, stack in stacks([one.series for one in made]):
            found = _averaged(stack, padded([knots[place] for place in places]))
            for place, mean in zip(places, found, strict=True):
                own, to = made[place], answers[able[place]]
                to[:] = own.zero + own.series.unit * mean[: len(to)]
    return answers


def fit_form(form: Form, curves: Stack, knots: np.ndarray) -> FormFits:
    """The shape of maximum posterior, then level and gaps given it, at ln x = knots (n, p)."""
    x, n = np.exp(curves.u), curves.points
    found = fit_curves(form, x, curves.z * curves.unit[:, None], curves.weight, pull=PULL, steps=STEPS)
    numbers = 1 + len(form.shape) + (0 if form.fixed else form.gaps)
    misfit = found.misfit / curves.unit**2 + FLOOR**2
    noise = misfit / np.maximum(n - numbers, 1.0)
    location, known = _given_shape(form, found.shape, curves, noise, knots)
    return FormFits(location, known, noise, -0.5 * n * np.log(misfit / n) - 0.5 * numbers * np.log(n))


def _given_shape(
    form: Form, shape: np.ndarray, curves: Stack, noise: np.ndarray, knots: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression on the columns of one shape each; what a gap adds has the prior of `fitting.structural`."""
    ends = np.array([1.0, FAR])
    places = np.exp(curves.u), np.exp(knots), ends
    here, there, far = (form.on_grid(x, shape[:, None])[:, :, 0].swapaxes(0, 1) for x in places)  # (n, j, ...)
    weight, z, unit = curves.weight, curves.z, curves.unit[:, None]
    total = weight.sum(axis=1)
    if form.fixed:
        level = (weight * (z - here[:, 0] / unit)).sum(axis=1) / total
        return level[:, None] + there[:, 0] / unit, np.repeat((noise / total)[:, None], knots.shape[1], axis=1)
    level, middle = (weight * z).sum(axis=1) / total, (here * weight[:, None]).sum(axis=-1) / total[:, None]
    apart = here - middle[..., None]
    size = (far[..., 1] - far[..., 0]) ** 2 + (apart**2 * weight[:, None]).sum(axis=-1) / total[:, None]
    ridge = noise[:, None] * size / GAP**2 + 1e-12
    precision = (apart * weight[:, None]) @ apart.swapaxes(1, 2) + ridge[..., None] * np.eye(apart.shape[1])
    inverse = solved(precision, np.broadcast_to(np.eye(apart.shape[1]), precision.shape))
    left = weight * (z - level[:, None])
    gap, ahead = inverse @ (apart @ left[..., None]), there - middle[..., None]
    # Sums written out: no place may move another by a digit, as it would in a product of matrices.
    j = range(apart.shape[1])
    location = level[:, None] + sum(gap[:, a] * ahead[:, a] for a in j)
    spread = sum(inverse[:, a, b, None] * ahead[:, a] * ahead[:, b] for a in j for b in j)
    return location, noise[:, None] * (1 / total[:, None] + spread)


def _averaged(curves: Stack, knots: np.ndarray) -> np.ndarray:
    """The mean over forms (n, p - 1) at knots (n, p), from which each form's change is counted from the first."""
    fits = [fit_form(BY_NAME[name], curves, knots) for name in AVERAGED]
    each = np.stack([_shrunk(one) for one in fits], axis=1)  # (n, forms, p - 1)
    evidence = np.stack([one.evidence for one in fits], axis=1)
    # A curve's own knots come first, and those it is padded with stand where it ends: all are finite, or none.
    finite = np.isfinite(each).all(axis=2) & np.isfinite(evidence)
    weights = np.array([_weights(row) for row in np.where(finite, evidence, np.nan)])
    mean = sum(weights[:, f, None] * np.where(finite[:, f, None], each[:, f], 0.0) for f in range(len(fits)))
    return np.where(finite.any(axis=1)[:, None], mean, np.nan)


def _shrunk(one: FormFits) -> np.ndarray:
    """Location (n, p - 1) with its change since the first knot shrunk."""
    first = one.location[:, :1]
    change = one.location[:, 1:] - first
    return np.asarray(first + change * (change**2 / (change**2 + one.known[:, 1:] + 1e-300)))


def _weights(evidence: np.ndarray) -> np.ndarray:
    """Shares of forms; one whose evidence is no number has none, and without any all have the same."""
    log_weight = np.where(np.isnan(evidence), -np.inf, TEMPER * evidence)
    top = log_weight.max()
    weight = np.exp(log_weight - top) if np.isfinite(top) else np.ones(len(log_weight))
    return np.asarray(weight / weight.sum())


CURVE_FIT = EmpiricalErrors("curve_fit", average_fits)

r"""The posterior of forms with too many numbers for a grid: importance sampling around the best fit of a curve.

With v the logits of the prior probabilities u of the shape, which have no bounds, nodes lie on a low-discrepancy
normal cloud about the least-squares fit, with the covariance of its Gauss-Newton approximation, and weigh by
posterior over cloud density. Only for forms whose gap is fixed; the level (flat) and the variance of independent
noise are integrated out. Meant for sharp breaks, which no grid would hit; the evidence says whether there is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit, ndtri

from predictdyn.fitting.gauss_newton import fit_curves, shape_at, slopes_at
from predictdyn.fitting.sobol import sobol
from predictdyn.fitting.stacks import Stack, blocks, padded
from predictdyn.fitting.structural import FLOOR, SampledNodes, drawn_at
from predictdyn.forms import Form

CLOUD = 512
WIDER = 1.6  # the cloud has heavier tails than the approximation, so that no weight is far above the others
NEAR = 1e-4  # share of the squares by which the middle of the cloud may miss the best fit: far less than its width
WIDEST = 2.0  # sd of the cloud in v


class Cloud(NamedTuple):
    """Forecasts of all nodes at p knots: location and the variances of `structural.SampledNodes`, each (p, k), degrees
    of freedom, log weight (k,), and log evidence in the terms of `structural`."""

    location: np.ndarray
    known: np.ndarray
    whole: np.ndarray
    df: float
    log_weight: np.ndarray
    log_evidence: float


class Start(NamedTuple):
    """What all curves of a form share: coarse nodes (m, k), and a sample of a standard normal (k', k)."""

    nodes: np.ndarray
    normal: np.ndarray


def start_for(form: Form) -> Start:
    """Where the search begins, and the cloud before it is moved and stretched."""
    points = sobol(CLOUD, len(form.shape))
    return Start(form.nodes(0.7), ndtri(np.clip((points + 0.5 / CLOUD) % 1.0, 1e-6, 1 - 1e-6)))


def clouds(form: Form, start: Start, curves: Stack, knots: Sequence[np.ndarray]) -> Iterator[Cloud]:
    """The posterior of each curve, and what it says of ln x = its own knots (p,), in the units of z.

    >>> from predictdyn.forms import BY_NAME
    >>> from predictdyn.fitting.stacks import Series, stacks
    >>> u = np.linspace(-3, 0, 30)
    >>> line = Series(u, np.log(0.2 + 0.8 * np.exp(-0.5 * u)), np.ones_like(u), 1.0)
    >>> ((_, stack),) = stacks([line])
    >>> (found,) = clouds(BY_NAME["floor"], start_for(BY_NAME["floor"]), stack, [np.array([1.0])])
    >>> best = int(found.log_weight.argmax())
    >>> round(float(np.exp(found.location[0, best])), 2)
    0.69
    """
    approximation = _approximation(form, start, curves)
    for rows in blocks(len(curves.z), len(start.normal) * curves.z.shape[1]):
        yield from _weighed(
            form, start, curves.only(rows), knots[rows], _Normal(*(part[rows] for part in approximation))
        )


class _Normal(NamedTuple):
    """Middle (n, k) of the clouds in v and roots of their covariances (n, k, k)."""

    middle: np.ndarray
    root: np.ndarray


def _approximation(form: Form, start: Start, curves: Stack) -> _Normal:
    """Where the cloud of each curve lies."""
    x, weight, k = np.exp(curves.u), curves.weight, len(form.shape)
    total, unit = weight.sum(axis=1), curves.unit[:, None]
    fit = fit_curves(form, x, curves.z * unit, weight, nodes=start.nodes, converged=NEAR)
    u = np.clip(fit.u, 1e-3, 1 - 1e-3)
    middle = np.log(u / (1 - u))
    best, slopes = slopes_at(form, x, middle, expit)
    moved = slopes[0] / curves.unit[:, None, None]
    mean = (moved * weight[:, None]).sum(axis=-1) / total[:, None]
    slope = np.sqrt(weight)[:, None] * (moved - mean[..., None])  # (n, k, t)
    off = curves.z - best[0] / unit
    off = off - ((off * weight).sum(axis=1) / total)[:, None]
    noise = ((weight * off**2).sum(axis=1) + FLOOR**2) / np.maximum(curves.points - 1.0, 1.0)
    prior = 2 * expit(middle) * expit(-middle)
    information = slope @ slope.swapaxes(1, 2) / noise[:, None, None]
    # Without a slope that is a number the cloud is as wide as it may be.
    known = np.isfinite(information).all(axis=(1, 2), keepdims=True)
    information = np.eye(k) * (prior[:, None] + 1 / WIDEST**2) + np.where(known, information, 0.0)
    return _Normal(middle, WIDER * np.linalg.cholesky(_inverse(information)))


def _weighed(form: Form, start: Start, curves: Stack, knots: Sequence[np.ndarray], normal: _Normal) -> Iterator[Cloud]:
    """The nodes of each cloud with their weights."""
    x, weight, size, k = np.exp(curves.u), curves.weight, len(start.normal), len(form.shape)
    total, unit, points = weight.sum(axis=1), curves.unit, curves.points
    nodes = normal.middle[:, None] + start.normal @ normal.root.swapaxes(1, 2)  # (n, size, k)
    inside = expit(nodes)
    shapes = shape_at(form, inside)
    off = curves.z[:, None] - form.on_grid(x, shapes)[0] / unit[:, None, None]  # (n, size, t)
    level = (off * weight[:, None]).sum(axis=-1) / total[:, None]
    off -= level[..., None]
    off *= np.sqrt(weight)[:, None]
    off *= off
    left = off.sum(axis=-1) + FLOOR**2
    density = np.log(np.maximum(inside * expit(-nodes), 1e-300)).sum(axis=-1) + (start.normal**2).sum(axis=-1) / 2
    log_weight = density - 0.5 * points[:, None] * np.log(left)
    log_weight = np.where(np.isfinite(log_weight), log_weight, -np.inf)
    top = log_weight.max(axis=1)
    above = np.where(np.isfinite(top), top, 0.0)
    # The node on top counts one; where no node has any weight, the mass is that of the top, none.
    mass = top + np.log(np.maximum(np.exp(log_weight - above[:, None]).sum(axis=1), 1.0))
    volume = np.log(np.diagonal(normal.root, axis1=1, axis2=2)).sum(axis=1) + k / 2 * np.log(2 * np.pi)
    scale = 0.5 * np.log(np.where(weight > 0, weight, 1.0)).sum(axis=1) - 0.5 * np.log(total)
    evidence = mass - np.log(size) + volume + scale
    share = np.where(np.isfinite(mass)[:, None], log_weight - mass[:, None], -np.log(size))
    there = form.on_grid(np.exp(padded(knots)), shapes)[0].swapaxes(1, 2) / unit[:, None, None] + level[:, None]
    for i, own in enumerate(knots):
        location = np.ascontiguousarray(there[i, : len(own)])
        variance = left[i] / points[i]
        known = np.broadcast_to(variance / total[i], location.shape)
        yield Cloud(location, known, known + variance, float(points[i]), share[i], float(evidence[i]))


def sample_cloud(found: Cloud, uniforms: np.ndarray, log_mass: float = 0.0) -> SampledNodes:
    """Nodes drawn at uniforms (s,) in (0, 1) of their cumulated weight."""
    drawn = drawn_at(found.log_weight, uniforms, 0.0)[0]
    location, known, whole = (np.ascontiguousarray(part[:, drawn]) for part in found[:3])
    return SampledNodes(location, known, whole, found.df, log_mass, found.log_evidence)


def _inverse(information: np.ndarray) -> np.ndarray:
    """The inverses of positive definite matrices (n, k, k), scaled so that their size does not matter."""
    size = 1 / np.sqrt(np.diagonal(information, axis1=1, axis2=2))
    both = size[:, :, None] * size[:, None]
    inverse = np.linalg.inv(information * both) * both
    return np.asarray((inverse + inverse.swapaxes(1, 2)) / 2)

r"""The posterior of forms with too many numbers for a grid: importance sampling around the best fit of a curve.

With v the logits of the prior probabilities u of the shape, which have no bounds, nodes lie on a low-discrepancy
normal cloud about the least-squares fit, with the covariance of its Gauss-Newton approximation, and weigh by
posterior over cloud density. Only for forms whose gap is fixed; the level (flat) and the variance of independent
noise are integrated out. Meant for sharp breaks, which no grid would hit; the evidence says whether there is one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit, ndtri
from scipy.stats import qmc

from predictdyn.fitting.gauss_newton import fit_curve, shape_at, slopes_at
from predictdyn.fitting.structural import FLOOR, SampledNodes, Series, drawn_at
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
    points = qmc.Sobol(len(form.shape), scramble=False).random(CLOUD)
    return Start(form.nodes(0.7), ndtri(np.clip((points + 0.5 / CLOUD) % 1.0, 1e-6, 1 - 1e-6)))


def cloud(form: Form, start: Start, curve: Series, knots: np.ndarray, columns: np.ndarray | None = None) -> Cloud:
    """The posterior of a curve, and what it says of ln x = knots (p,), in the units of z.

    ``columns`` (1, m, t) are those of the coarse nodes, for who has them.

    >>> from predictdyn.forms import BY_NAME
    >>> u = np.linspace(-3, 0, 30)
    >>> line = Series(u, np.log(0.2 + 0.8 * np.exp(-0.5 * u)), np.ones_like(u), 1.0)
    >>> found = cloud(BY_NAME["floor"], start_for(BY_NAME["floor"]), line, np.array([1.0]))
    >>> best = int(found.log_weight.argmax())
    >>> round(float(np.exp(found.location[0, best])), 2)
    0.69
    """
    x, weight, n, k = np.exp(curve.u), 1 / curve.variance, len(curve.z), len(form.shape)
    total, root_weight = weight.sum(), np.sqrt(weight)
    fit = fit_curve(form, x, curve.z * curve.unit, weight, nodes=start.nodes, columns=columns, converged=NEAR)
    u = np.clip(fit.u, 1e-3, 1 - 1e-3)
    middle = np.log(u / (1 - u))

    def residual(g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        off = curve.z - g / curve.unit
        level = (off * weight).sum(axis=-1) / total
        return root_weight * (off - level[..., None]), level

    best, slopes = slopes_at(form, x, middle, expit)
    moved = slopes[:, 0] / curve.unit
    slope = root_weight * (moved - ((moved * weight).sum(axis=-1) / total)[:, None])  # (k, t)
    noise = ((residual(best[0])[0] ** 2).sum() + FLOOR**2) / max(n - 1.0, 1.0)
    prior = 2 * expit(middle) * expit(-middle)
    information = slope @ slope.T / noise
    # Without a slope that is a number the cloud is as wide as it may be.
    information = np.diag(prior) + np.eye(k) / WIDEST**2 + (information if np.isfinite(information).all() else 0.0)
    root = WIDER * np.linalg.cholesky(_inverse(information))
    nodes = middle + start.normal @ root.T
    inside = expit(nodes)
    shapes = shape_at(form, inside)
    off, level = residual(form.on_grid(x, shapes)[0])
    left = (off**2).sum(axis=-1) + FLOOR**2
    density = np.log(np.maximum(inside * expit(-nodes), 1e-300)).sum(axis=-1) + (start.normal**2).sum(axis=-1) / 2
    log_weight = density - 0.5 * n * np.log(left)
    log_weight = np.where(np.isfinite(log_weight), log_weight, -np.inf)
    top = log_weight.max()
    mass = top + np.log(np.exp(log_weight - top).sum()) if np.isfinite(top) else -np.inf
    volume = np.log(root.diagonal()).sum() + k / 2 * np.log(2 * np.pi)
    scale = 0.5 * np.log(weight).sum() - 0.5 * np.log(total)
    there = form.on_grid(np.exp(knots), shapes)[0].T / curve.unit
    variance = left / n
    known = np.broadcast_to(variance / total, there.shape)
    evidence = float(mass - np.log(len(nodes)) + volume + scale)
    share = log_weight - mass if np.isfinite(mass) else np.full(len(nodes), -np.log(len(nodes)))
    return Cloud(there + level, known, known + variance, float(n), share, evidence)


def sample_cloud(found: Cloud, uniforms: np.ndarray, log_mass: float = 0.0) -> SampledNodes:
    """Nodes drawn at uniforms (s,) in (0, 1) of their cumulated weight."""
    drawn = drawn_at(found.log_weight, uniforms, 0.0)[0]
    location, known, whole = (np.ascontiguousarray(part[:, drawn]) for part in found[:3])
    return SampledNodes(location, known, whole, found.df, log_mass, found.log_evidence)


def _inverse(information: np.ndarray) -> np.ndarray:
    """The inverse of a positive definite matrix (k, k), scaled so that its size does not matter."""
    size = 1 / np.sqrt(information.diagonal())
    inverse = np.linalg.inv(information * size[:, None] * size) * size[:, None] * size
    return np.asarray((inverse + inverse.T) / 2)

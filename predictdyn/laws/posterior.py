"""The posterior of a structure's numbers: its mode by damped Gauss-Newton from many starts, and the curvature there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from predictdyn.laws.design import Design

FREEDOM = 5.0  # degrees of freedom of the noise
STARTS = 12
THIN = 240  # rows that starts are compared on
NOISE_PULL = 0.05  # of the sd of u: noise much smaller than this is less likely beforehand
FLOOR = 1e-4  # least noise, in parts of the sd of u


class Mode(NamedTuple):
    """The best numbers (k,), their covariance (k, k), the noise, weights of rows (n,) and the log posterior there."""

    numbers: np.ndarray
    covariance: np.ndarray
    noise: float
    weight: np.ndarray
    residual: np.ndarray
    evidence: float  # Laplace


def mode_of(
    design: Design,
    matrix: np.ndarray,
    u: np.ndarray,
    *,
    seed: int,
    starts: int = STARTS,
    first: np.ndarray | None = None,
) -> Mode:
    """The posterior's mode for rows (n, k) with values u (n,), from prior draws and from ``first``, if any."""
    draws = np.random.default_rng(seed).standard_normal((starts, len(design.mean)))
    begin = design.mean + 0.6 * design.sd * draws
    begin[0] = design.mean
    if first is not None:
        begin[-1] = first
    thin = np.unique(np.linspace(0, len(u) - 1, min(THIN, len(u))).astype(int))
    order = np.argsort(u)[thin] if len(thin) < len(u) else thin
    begun, noise, loss = _descend(design, matrix[order], u[order], begin, steps=25)
    best = np.argsort(loss)[:3]
    numbers, noise, loss = _descend(design, matrix, u, begun[best], noise[best], steps=40)
    at = int(np.argmin(loss))
    return _curvature(design, matrix, u, numbers[at], float(noise[at]), float(loss[at]))


def _descend(
    design: Design,
    matrix: np.ndarray,
    u: np.ndarray,
    numbers: np.ndarray,
    noise: np.ndarray | None = None,
    *,
    steps: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    s = len(numbers)
    spread = max(float(u.std()), 1e-9)
    noise = np.full(s, 0.3 * spread) if noise is None else noise
    damping = np.full(s, 1e-2)
    precision = design.precision
    own = np.diag(precision)
    value, jacobian = design.slopes(matrix, numbers)
    loss = _loss(design, u, value, numbers, noise, spread)
    for _ in range(steps):
        residual = u - value
        weight = _weights(residual, noise[:, None])
        noise = _noise(residual, weight, spread)
        weight = _weights(residual, noise[:, None]) / noise[:, None] ** 2
        loss = _loss(design, u, value, numbers, noise, spread)
        pull = (design.mean - numbers) @ precision
        gradient = np.einsum("snk,sn->sk", jacobian, weight * residual) + pull
        hessian = np.matmul((jacobian * weight[:, :, None]).transpose(0, 2, 1), jacobian)
        diagonal = np.einsum("skk->sk", hessian)
        system = hessian + precision
        np.einsum("skk->sk", system)[:] += damping[:, None] * (diagonal + own)
        step = np.linalg.solve(system, gradient[:, :, None])[:, :, 0]
        tried = numbers + step
        value_tried, jacobian_tried = design.slopes(matrix, tried)
        loss_tried = _loss(design, u, value_tried, tried, noise, spread)
        better = loss_tried < loss
        damping = np.where(better, np.maximum(damping / 5, 1e-9), np.minimum(damping * 6, 1e8))
        numbers = np.where(better[:, None], tried, numbers)
        value = np.where(better[:, None], value_tried, value)
        jacobian = np.where(better[:, None, None], jacobian_tried, jacobian)
        gain = np.where(better, loss - loss_tried, np.inf)
        loss = np.where(better, loss_tried, loss)
        if not (gain > 1e-4).any() or (damping > 1e7).all():
            break
    return numbers, noise, loss


def _weights(residual: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return np.asarray((FREEDOM + 1) / (FREEDOM + (residual / noise) ** 2))


def _noise(residual: np.ndarray, weight: np.ndarray, spread: float) -> np.ndarray:
    """The noise (s,) given the weights (an EM step), with a weak prior at a tenth of the spread worth one row."""
    total = (weight * residual**2).sum(axis=1) + (NOISE_PULL * spread) ** 2
    return np.asarray(np.maximum(np.sqrt(total / (residual.shape[1] + 1)), FLOOR * spread))


def _loss(
    design: Design,
    u: np.ndarray,
    value: np.ndarray,
    numbers: np.ndarray,
    noise: np.ndarray,
    spread: float,
) -> np.ndarray:
    scaled = (u - value) / noise[:, None]
    fit = 0.5 * (FREEDOM + 1) * np.log1p(scaled**2 / FREEDOM).sum(axis=1) + (len(u) + 1) * np.log(noise)
    away = design.away(numbers) + 0.5 * (NOISE_PULL * spread / noise) ** 2
    return np.asarray(np.where(np.isfinite(fit), fit + away, np.inf))


def _curvature(
    design: Design, matrix: np.ndarray, u: np.ndarray, numbers: np.ndarray, noise: float, loss: float
) -> Mode:
    value, jacobian = design.slopes(matrix, numbers[None])
    residual = u - value[0]
    weight = _weights(residual, np.array(noise))
    # Expected information of the t distribution: (v + 1) / (v + 3) a row, whatever the residual.
    told = (FREEDOM + 1) / (FREEDOM + 3) / noise**2
    hessian = (jacobian[0] * told).T @ jacobian[0] + design.precision
    factor = cho_factor(hessian, lower=True)
    covariance = cho_solve(factor, np.eye(len(numbers)))
    evidence = -loss - np.log(np.diag(factor[0])).sum() - design.log_width
    return Mode(numbers, covariance, noise, weight, residual, float(evidence))

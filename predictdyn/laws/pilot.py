"""What the structures say of planned runs after few finished runs, or none: joint draws of their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from predictdyn.laws.design import Design, design_for, pooling_for, scene_of
from predictdyn.laws.discrepancy import Kernel
from predictdyn.laws.inputs import Encoded
from predictdyn.laws.posterior import FREEDOM
from predictdyn.laws.structures import structures_for

# Weights of structures: exp(TEMPER x log evidence), and a part of the whole in equal parts. Evidence alone collapses.
TEMPER, EQUAL = 0.5, 0.2
LEAST_WEIGHT = 2e-3
STARTS, STEPS = 6, 25
# A law errs by a process over the inputs whose variance is this many times that of the noise: a run far from the
# targets says less of them than the law believes.
PROCESS, LENGTH = 4.0, 1.0
# Noise of u before any run has ended, and how many runs that is worth: few runs hardly know it.
UNKNOWN_NOISE, NOISE_ROWS = 0.02, 4.0
FARTHEST = 3.0  # draws, and structures, count for no more than this many robust standard deviations
MOST = 20  # structures whose covariances are followed


class PilotFit(NamedTuple):
    """The mode of a structure's numbers (k,), their covariance (k, k), squared residuals and what they are free to."""

    mode: np.ndarray
    covariance: np.ndarray
    squares: float
    free: float  # effective count of numbers that the runs determine
    evidence: float


@dataclass(frozen=True)
class Pilot:
    """All structures over a pool of runs, each with the posterior of its numbers given the few runs that have ended.

    ``pool`` are candidates and targets together (m rows): spreads of inputs are theirs, so that two finished runs do
    not pretend to know the range of a plan.
    """

    pool: Encoded
    designs: list[Design]
    numbers: list[PilotFit]
    weights: np.ndarray
    noise: float

    def draws(self, rows: Encoded, *, n: int, seed: int) -> np.ndarray:
        """Joint draws of u without noise, (rows, n): a draw is one structure with one set of its numbers."""
        edges = np.round(np.cumsum(self.weights) * n).astype(int)
        out = []
        for place, count in enumerate(np.diff(np.r_[0, edges])):
            if not count:
                continue
            design, known = self.designs[place], self.numbers[place]
            normals = np.random.default_rng((seed, place)).standard_normal((int(count), len(known.mode)))
            numbers = known.mode + normals @ np.linalg.cholesky(known.covariance).T
            out.append(design.values(design.matrix(rows), numbers))
        drawn = np.concatenate(out).T
        middle = np.median(drawn, axis=1, keepdims=True)
        robust = 1.4826 * np.median(np.abs(drawn - middle), axis=1, keepdims=True) + 1e-9
        return np.asarray(np.clip(drawn, middle - FARTHEST * robust, middle + FARTHEST * robust))

    def covariances(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights (j,) of the structures that matter, and of each the covariance of u over the pool, (j, m, m).

        Each is linear at the mode: what its own numbers leave open, what structures disagree about, and how any law
        errs. The last two are the same for all.
        """
        place = np.argsort(-self.weights, kind="stable")[:MOST]
        place = place[self.weights[place] > 0]
        weights = self.weights[place] / self.weights[place].sum()
        said, within = [], []
        for i in place:
            value, jacobian = self.designs[i].slopes(self.designs[i].matrix(self.pool), self.numbers[i].mode[None])
            said.append(value[0])
            within.append(jacobian[0] @ self.numbers[i].covariance @ jacobian[0].T)
        apart = np.array(said) - weights @ np.array(said)
        # One structure far from all others is not what most of the money should go for.
        usual = np.sqrt(weights @ apart**2) + 1e-12
        apart = np.clip(apart, -FARTHEST * usual, FARTHEST * usual)
        shared = (apart * weights[:, None]).T @ apart
        inputs = self.pool.numbers
        kernel = Kernel(LENGTH, inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-6))
        shared = shared + PROCESS * self.noise**2 * kernel(self.pool, self.pool)
        return weights, np.array(within) + shared

    def forecast(self, rows: Encoded, *, n: int, seed: int) -> np.ndarray:
        """Draws of u with the error of the law and noise, (rows, n): what runs of the pool will show."""
        random = np.random.default_rng((seed, 1))
        drawn = self.draws(rows, n=n, seed=seed)[:, random.permutation(n)]
        drawn = drawn + np.sqrt(PROCESS) * self.noise * random.standard_normal((1, n))
        return np.asarray(drawn + self.noise * random.standard_t(FREEDOM, size=(len(rows), n)))


def pilot_of(pool: Encoded, ended: Encoded, u: np.ndarray, *, centres: np.ndarray, groups: int, seed: int) -> Pilot:
    """All structures, given finished runs (n, may be 0) with values u (n,)."""
    structures = structures_for(pool, centres)
    pooling = pooling_for(len(pool), len(centres), groups, len(structures))
    scene = scene_of(pool, u if len(u) else np.zeros(1), centres, groups, pooling)
    designs = [design_for(structure, scene) for structure in structures]
    if not len(u):
        known = [PilotFit(one.mean, np.linalg.inv(one.precision), 0.0, 0.0, 0.0) for one in designs]
        return Pilot(pool, designs, known, np.full(len(designs), 1 / len(designs)), UNKNOWN_NOISE)
    matrices = [one.matrix(ended) for one in designs]
    noise = UNKNOWN_NOISE
    first: list[np.ndarray | None] = [None] * len(designs)
    for _ in range(2):
        known = [
            _numbers(one, matrix, u, noise, begin, seed)
            for one, matrix, begin in zip(designs, matrices, first, strict=True)
        ]
        weights = _weights(np.array([one.evidence for one in known]))
        squares = float(weights @ np.array([one.squares for one in known]))
        free = float(weights @ np.array([one.free for one in known]))
        left = max(len(u) - free, 0.0)
        noise = float(np.sqrt((squares + NOISE_ROWS * UNKNOWN_NOISE**2) / (left + NOISE_ROWS)))
        first = [one.mode for one in known]
    return Pilot(pool, designs, known, weights, noise)


def _weights(evidence: np.ndarray) -> np.ndarray:
    weights = np.exp(TEMPER * (evidence - evidence.max()))
    weights = (1 - EQUAL) * weights / weights.sum() + EQUAL / len(weights)
    weights[weights < LEAST_WEIGHT] = 0.0
    return np.asarray(weights / weights.sum())


def _numbers(
    design: Design, matrix: np.ndarray, u: np.ndarray, noise: float, first: np.ndarray | None, seed: int
) -> PilotFit:
    """The mode under a noise that is given, by damped Gauss-Newton from several starts, and the curvature there."""
    precision = design.precision
    own = np.diag(precision)
    if first is None:
        numbers = design.mean + 0.6 * design.sd * np.random.default_rng(seed).standard_normal(
            (STARTS, len(design.mean))
        )
        numbers[0] = design.mean
    else:
        numbers = first[None]
    damping = np.full(len(numbers), 1e-2)
    value, jacobian = design.slopes(matrix, numbers)
    loss = _loss(design, u, value, numbers, noise)
    for _ in range(STEPS):
        residual = u - value
        weight = (FREEDOM + 1) / (FREEDOM + (residual / noise) ** 2) / noise**2
        gradient = np.einsum("snk,sn->sk", jacobian, weight * residual) + (design.mean - numbers) @ precision
        system = np.matmul((jacobian * weight[:, :, None]).transpose(0, 2, 1), jacobian)
        extra = damping[:, None] * (np.einsum("skk->sk", system) + own)
        system += precision
        np.einsum("skk->sk", system)[:] += extra
        tried = numbers + np.linalg.solve(system, gradient[:, :, None])[:, :, 0]
        value_tried, jacobian_tried = design.slopes(matrix, tried)
        loss_tried = _loss(design, u, value_tried, tried, noise)
        better = loss_tried < loss
        gain = np.where(better, loss - loss_tried, 0.0)
        damping = np.where(better, np.maximum(damping / 5, 1e-9), np.minimum(damping * 6, 1e8))
        numbers = np.where(better[:, None], tried, numbers)
        value = np.where(better[:, None], value_tried, value)
        jacobian = np.where(better[:, None, None], jacobian_tried, jacobian)
        loss = np.where(better, loss_tried, loss)
        if (better & (gain < 1e-4)).all() or (damping > 1e7).all():
            break
    at = int(np.argmin(loss))
    x = jacobian[at] / noise
    hessian = x.T @ x * (FREEDOM + 1) / (FREEDOM + 3)
    covariance = np.linalg.inv(hessian + precision)
    covariance = 0.5 * (covariance + covariance.T)
    free = float(np.trace(hessian @ covariance))
    residual = u - value[at]
    squares = float((residual**2 * (FREEDOM + 1) / (FREEDOM + (residual / noise) ** 2)).sum())
    evidence = -float(loss[at]) + 0.5 * float(np.linalg.slogdet(covariance)[1]) - design.log_width
    return PilotFit(numbers[at], covariance, squares, free, evidence)


def _loss(design: Design, u: np.ndarray, value: np.ndarray, numbers: np.ndarray, noise: float) -> np.ndarray:
    fit = 0.5 * (FREEDOM + 1) * np.log1p(((u - value) / noise) ** 2 / FREEDOM).sum(axis=1)
    return np.asarray(np.where(np.isfinite(fit), fit + design.away(numbers), np.inf))

"""The posterior of a schedule law: its mode by damped Gauss-Newton from several starts, and draws around it.

Noise on the log loss is Student's t. What is left over of a curve goes on from one value to the next: with a
correlation r between neighbours, n values tell as much as n (1 - r)/(1 + r), and the likelihood counts so much. Of a
curve alone it counts no more than `ALONE` values, since what a law gets wrong there looks like one of its own numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from predictdyn.fitting.schedule_laws import ScheduleLaw, Terms

FREEDOM = 5.0  # degrees of freedom of the noise
STARTS = 6
SMALL = 1e-2  # gain of log posterior, after which the search ends
ALONE = 4.0
NOISE = 0.003  # of the loss: before anything is seen
NOISE_ROWS = 1.0
LEAST_NOISE = 1e-5
MOST_CORRELATED = 0.5
PROPOSALS = 256
WIDER = 1.15  # the proposal's scale in parts of the curvature's
TAIL = 6.0  # degrees of freedom of the proposal


class Observations(NamedTuple):
    """Values (n,) of one or more curves: log of the loss in parts of the reference level, terms, and whose they are.

    ``ease`` multiplies the noise of each.
    """

    log_loss: Float[np.ndarray, " n"]
    given: Terms
    curve: Int[np.ndarray, " n"]
    ease: Float[np.ndarray, " n"]


class LawPrior(NamedTuple):
    """A normal of the numbers of a law: mean (k,), covariance (k, k); and the noise that is worth NOISE_ROWS values."""

    mean: Float[np.ndarray, " k"]
    covariance: Float[np.ndarray, "k k"]
    noise: float = NOISE


def prior_of(law: ScheduleLaw) -> LawPrior:
    """The prior of a law before any run is known."""
    return LawPrior(np.array([n.mean for n in law.numbers]), np.diag([n.sd**2 for n in law.numbers]))


class LawMode(NamedTuple):
    """The most probable numbers (k,), the covariance (k, k) of the approximation there, the noise (one value's sd), how
    much of a value each counts, what is left over in parts of its ease (n,), and Laplace's log evidence."""

    numbers: Float[np.ndarray, " k"]
    covariance: Float[np.ndarray, "k k"]
    noise: float
    counts: float
    residual: Float[np.ndarray, " n"]
    evidence: float


def mode_of(law: ScheduleLaw, seen: Observations, prior: LawPrior, *, starts: int = STARTS) -> LawMode:
    """The mode from starts that spread over the prior; all starts go on side by side."""
    aim, begin = seen.log_loss / seen.ease, _starts(prior, starts)
    counts = 1.0 if seen.curve[0] != seen.curve[-1] else min(1.0, ALONE / len(aim))
    numbers, noise, loss = _descend(law, seen, prior, begin, counts=counts)
    best = int(np.argmin(loss))
    numbers, noise, loss = numbers[[best]], noise[[best]], loss[[best]]
    if seen.curve[0] != seen.curve[-1]:
        value, _ = _eased(law, numbers, seen)
        correlation = _correlation(aim - value[0], seen.curve)
        counts = (1.0 - correlation) / (1.0 + correlation)
        numbers, noise, loss = _descend(law, seen, prior, numbers, counts=counts)
    value, slope = _eased(law, numbers, seen)
    # Expected information of the t distribution: (v + 1) / (v + 3) of a normal's, whatever the residual.
    told = counts * (FREEDOM + 1) / (FREEDOM + 3) / noise[0] ** 2
    covariance = _inverse(told * slope[0].T @ slope[0] + _inverse(prior.covariance))
    evidence = -loss[0] + 0.5 * (np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(prior.covariance)[1])
    return LawMode(numbers[0], covariance, float(noise[0]), counts, aim - value[0], float(evidence))


def _eased(law: ScheduleLaw, numbers: np.ndarray, seen: Observations) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes in units in which all noise is equal."""
    value, slope = law.slopes(numbers, seen.given)
    return value / seen.ease, slope / seen.ease[:, None]


def _starts(prior: LawPrior, starts: int) -> Float[np.ndarray, "s k"]:
    """The middle of the prior, and points about it, the same for every fit."""
    around = np.random.default_rng(0).standard_normal((starts, len(prior.mean)))
    around[0] = 0.0
    return np.asarray(prior.mean + 0.6 * around @ np.linalg.cholesky(prior.covariance).T)


def _descend(
    law: ScheduleLaw, seen: Observations, prior: LawPrior, numbers: np.ndarray, *, counts: float, steps: int = 60
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers (s, k), noise (s,) and loss (s,) after damped Gauss-Newton steps from each start (s, k)."""
    precision, aim = _inverse(prior.covariance), seen.log_loss / seen.ease
    value, slope = _eased(law, numbers, seen)
    noise = _noise(aim - value, np.ones_like(value), counts, prior.noise)
    damping = np.full(len(numbers), 1e-2)
    for _ in range(steps):
        residual = aim - value
        weight = _weight(residual, noise)
        noise = _noise(residual, weight, counts, prior.noise)
        weight = counts * _weight(residual, noise) / noise[:, None] ** 2
        loss = _loss(residual, noise, counts, prior.noise) + _away(numbers, prior.mean, precision)
        moved = np.where(np.isfinite(slope), slope, 0.0)
        weighted = (moved * weight[:, :, None]).transpose(0, 2, 1)
        gradient = np.matmul(weighted, np.nan_to_num(residual)[:, :, None])[:, :, 0]
        gradient += (prior.mean - numbers) @ precision
        system = np.matmul(weighted, moved) + precision
        np.einsum("skk->sk", system)[:] *= 1.0 + damping[:, None]
        tried = numbers + np.linalg.solve(system, gradient[:, :, None])[:, :, 0]
        value_tried, slope_tried = _eased(law, tried, seen)
        loss_tried = _loss(aim - value_tried, noise, counts, prior.noise) + _away(tried, prior.mean, precision)
        better = loss_tried < loss
        damping = np.where(better, np.maximum(damping / 5, 1e-9), np.minimum(damping * 6, 1e8))
        numbers = np.where(better[:, None], tried, numbers)
        value = np.where(better[:, None], value_tried, value)
        slope = np.where(better[:, None, None], slope_tried, slope)
        gain = np.where(better, loss - loss_tried, 0.0)
        if (((gain < SMALL) & better) | (damping > 1e6)).all():
            break
    loss = _loss(aim - value, noise, counts, prior.noise) + _away(numbers, prior.mean, precision)
    return numbers, noise, loss


def _weight(residual: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return np.asarray((FREEDOM + 1) / (FREEDOM + np.nan_to_num(residual / noise[:, None], nan=1e3) ** 2))


def _noise(residual: np.ndarray, weight: np.ndarray, counts: float, expected: float) -> np.ndarray:
    """The noise (s,) given the weights: an EM step."""
    total = counts * (weight * np.nan_to_num(residual, nan=1.0) ** 2).sum(axis=1) + NOISE_ROWS * expected**2
    return np.maximum(np.sqrt(total / (counts * residual.shape[1] + NOISE_ROWS)), LEAST_NOISE)


def _loss(residual: np.ndarray, noise: np.ndarray, counts: float, expected: float) -> np.ndarray:
    """Minus the log likelihood of each start (s,) and the noise's prior, up to a constant; infinite without a value."""
    scaled = residual / noise[:, None]
    fit = 0.5 * (FREEDOM + 1) * np.log1p(scaled**2 / FREEDOM).sum(axis=1) + residual.shape[1] * np.log(noise)
    loss = counts * fit + NOISE_ROWS * (np.log(noise) + 0.5 * (expected / noise) ** 2)
    return np.where(np.isfinite(loss), loss, np.inf)


def _away(numbers: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    apart = numbers - mean
    return np.asarray(0.5 * np.einsum("sk,kl,sl->s", apart, precision, apart))


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a positive definite matrix, scaled so that the sizes of numbers do not matter."""
    size = 1.0 / np.sqrt(np.diag(matrix))
    both = np.outer(size, size)
    inverse = np.linalg.inv(matrix * both) * both
    return np.asarray(0.5 * (inverse + inverse.T))


class LawDraws(NamedTuple):
    """Draws of the numbers (s, k), and the share of the proposals that count (1: as if all had been drawn exactly)."""

    numbers: Float[np.ndarray, "s k"]
    effective: float


def draws_of(law: ScheduleLaw, seen: Observations, prior: LawPrior, mode: LawMode, *, n: int, seed: int) -> LawDraws:
    """So many draws of the posterior given the noise, by truncated importance sampling around the mode.

    A proposal counts at most sqrt(m) times as much as the mean one of m (Ionides 2008, doi:10.1198/106186008X320456).
    """
    random = np.random.default_rng(seed)
    k = len(mode.numbers)
    size = np.sqrt(np.diag(mode.covariance))
    value, basis = np.linalg.eigh(mode.covariance / np.outer(size, size))
    root = WIDER * size[:, None] * basis * np.sqrt(np.maximum(value, 1e-12))
    z = random.standard_normal((PROPOSALS, k)) / np.sqrt(random.chisquare(TAIL, (PROPOSALS, 1)) / TAIL)
    numbers = mode.numbers + z @ root.T
    residual = (seen.log_loss - law.values(numbers, seen.given)) / seen.ease
    loss = _loss(residual, np.full(PROPOSALS, mode.noise), mode.counts, prior.noise)
    loss = loss + _away(numbers, prior.mean, _inverse(prior.covariance))
    ratio = -loss + 0.5 * (TAIL + k) * np.log1p((z**2).sum(axis=1) / TAIL)
    weight = (
        np.exp(ratio - ratio[np.isfinite(ratio)].max(initial=0.0)) if np.isfinite(ratio).any() else np.ones(PROPOSALS)
    )
    weight = np.minimum(weight, weight.mean() * np.sqrt(PROPOSALS))
    weight = weight / weight.sum()
    places = np.searchsorted(np.cumsum(weight), (np.arange(n) + random.random()) / n)
    chosen = random.permutation(np.minimum(places, PROPOSALS - 1))
    return LawDraws(numbers[chosen], float(1.0 / (weight**2).sum() / PROPOSALS))


def _correlation(residual: np.ndarray, curve: np.ndarray) -> float:
    """The correlation of neighbours in what is left over, about zero, pulled to none by ten pairs."""
    same = curve[1:] == curve[:-1]
    limit = 4.0 * np.median(np.abs(residual)) + 1e-300
    clipped = np.clip(residual, -limit, limit)
    pairs = float((clipped[1:] * clipped[:-1])[same].sum())
    typical = float(np.mean(clipped**2))
    return float(np.clip(pairs / ((same.sum() + 10.0) * typical + 1e-300), 0.0, MOST_CORRELATED))

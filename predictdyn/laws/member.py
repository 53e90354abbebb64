"""One structure fitted to finished runs with a discrepancy process around it, and what it forecasts for other runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from predictdyn.laws.design import Design
from predictdyn.laws.discrepancy import Discrepancy, Smoother
from predictdyn.laws.inputs import Encoded
from predictdyn.laws.posterior import Mode

SMALL_PROCESS = 0.5  # log prior odds against each step of the ratio of process to noise


class Beyond(NamedTuple):
    """Forecasts of u for m rows: a centre (s, m) a draw of the law; around it the sd of process and of noise, (m,)."""

    centre: np.ndarray
    process: np.ndarray
    noise: np.ndarray


@dataclass(frozen=True)
class Member:
    """A structure, its posterior under a noise that is correlated over the inputs, and the runs it was fitted to."""

    design: Design
    discrepancy: Discrepancy
    smoother: Smoother
    ratio: float
    numbers: np.ndarray  # (k,)
    covariance: np.ndarray  # (k, k)
    noise: float
    matrix: np.ndarray  # (n, k)
    value: np.ndarray  # u of the runs, outliers moved towards the law (n,)
    mode: Mode
    evidence: float

    def forecast(self, encoded: Encoded, normals: np.ndarray, random: np.random.Generator | None = None) -> Beyond:
        """What the law and the process around it say of other rows (m), from normals (s, k).

        A row of a group that no finished run is of has numbers of its own, drawn as those of a further group.
        """
        numbers = self.numbers + normals @ root_of(self.covariance).T  # (s, k)
        centre = self.design.values(self.design.matrix(encoded), numbers)
        new = encoded.group < 0
        if new.any() and self.design.own.any():
            random = np.random.default_rng(0) if random is None else random
            own = numbers + random.standard_normal(numbers.shape) * self.design.own
            centre[:, new] = self.design.values(self.design.matrix(encoded.rows(new)), own)
        noise = np.full(len(encoded), self.noise)
        if self.ratio == 0:
            return Beyond(centre, np.zeros(len(encoded)), noise)
        left = self.value - self.design.values(self.matrix, numbers)  # (s, n)
        cross = self.ratio * self.smoother.kernel(encoded, self.discrepancy.runs)  # (m, n)
        solved = self.smoother.solved(cross.T, self.ratio)  # (n, m)
        variance = self.ratio - np.einsum("mn,nm->m", cross, solved)
        return Beyond(centre + left @ solved, self.noise * np.sqrt(np.maximum(variance, 0.0)), noise)


def member_for(
    design: Design, matrix: np.ndarray, u: np.ndarray, discrepancy: Discrepancy, mode: Mode, *, process: bool
) -> Member:
    """The process by evidence (or none), then the mode under law and process."""
    value = u - mode.residual * (1.0 - np.minimum(mode.weight, 1.0))
    smoother, ratio, noise = discrepancy.smoothers[0], 0.0, mode.noise
    if process:
        smoother, ratio, noise = _process(design, matrix, value, mode, discrepancy)
    if not process:
        return Member(
            design,
            discrepancy,
            smoother,
            0.0,
            mode.numbers,
            mode.covariance,
            mode.noise,
            matrix,
            value,
            mode,
            mode.evidence,
        )
    numbers, covariance, noise, evidence = _settled(design, matrix, value, mode.numbers, smoother, ratio, noise)
    return Member(design, discrepancy, smoother, ratio, numbers, covariance, noise, matrix, value, mode, evidence)


def _process(
    design: Design, matrix: np.ndarray, value: np.ndarray, mode: Mode, discrepancy: Discrepancy
) -> tuple[Smoother, float, float]:
    """The smoother and the ratio with the highest evidence, linearised at the mode."""
    at, jacobian = design.slopes(matrix, mode.numbers[None])
    target = value - at[0] + jacobian[0] @ (mode.numbers - design.mean)
    best: tuple[float, int, float, float] | None = None
    for place, ratio in discrepancy.choices():
        smoother = discrepancy.smoothers[place]
        _, _, noise, evidence = _linear(design, jacobian[0], target, smoother, ratio, mode.noise)
        evidence -= SMALL_PROCESS * np.log1p(10 * ratio)
        if best is None or evidence > best[0]:
            best = (evidence, place, ratio, noise)
    assert best is not None
    return discrepancy.smoothers[best[1]], best[2], best[3]


def _linear(
    design: Design, jacobian: np.ndarray, target: np.ndarray, smoother: Smoother, ratio: float, noise: float
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Posterior mean of numbers minus prior mean, covariance, noise and log evidence of a linear model."""
    columns = smoother.whitened(np.concatenate([jacobian, target[:, None]], axis=1), ratio)
    x, y = columns[:, :-1], columns[:, -1]
    inner, outer = x.T @ x, x.T @ y
    prior = np.diag(1.0 / design.sd**2)
    n = len(y)
    floor = 1e-4 * max(float(target.std()), 1e-9)
    for _ in range(3):
        precision = inner / noise**2 + prior
        covariance = np.linalg.inv(precision)
        delta = covariance @ outer / noise**2
        left = y - x @ delta
        free = float(np.trace(inner @ covariance)) / noise**2
        # The mean of the noise's variance given the numbers, with one row's worth of what it was.
        noise = float(np.sqrt((left @ left + noise**2) / max(n - min(free, n - 1.0) + 1.0, 1.0)))
        noise = max(noise, floor)
    precision = inner / noise**2 + prior
    covariance = np.linalg.inv(precision)
    delta = covariance @ outer / noise**2
    left = y - x @ delta
    evidence = (
        -0.5 * float(left @ left) / noise**2
        - n * np.log(noise)
        - 0.5 * smoother.log_determinant(ratio)
        - 0.5 * float(delta @ prior @ delta)
        - 0.5 * float(np.linalg.slogdet(precision)[1])
        - float(np.log(design.sd).sum())
    )
    return delta, covariance, noise, evidence


def _settled(
    design: Design,
    matrix: np.ndarray,
    value: np.ndarray,
    numbers: np.ndarray,
    smoother: Smoother,
    ratio: float,
    noise: float,
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Gauss-Newton steps under the correlated noise, as long as they help; posterior there."""
    root = 1.0 / design.sd

    def loss(numbers: np.ndarray) -> float:
        left = smoother.whitened(value - design.values(matrix, numbers[None])[0], ratio) / noise
        away = (numbers - design.mean) * root
        return 0.5 * float(left @ left + away @ away)

    now = loss(numbers)
    for _ in range(6):
        at, jacobian = design.slopes(matrix, numbers[None])
        target = value - at[0] + jacobian[0] @ (numbers - design.mean)
        delta, covariance, noise_now, evidence = _linear(design, jacobian[0], target, smoother, ratio, noise)
        step = design.mean + delta - numbers
        gained = 0.0
        for part in (1.0, 0.3, 0.1):
            there = loss(numbers + part * step)
            if there < now:
                numbers, gained, now = numbers + part * step, now - there, there
                break
        if gained < 1e-3:
            break
    return numbers, covariance, noise_now, evidence


def root_of(covariance: np.ndarray) -> np.ndarray:
    """A root R with R R' = covariance, found on the scale of correlations."""
    scale = np.sqrt(np.diag(covariance))
    size, basis = np.linalg.eigh(covariance / np.outer(scale, scale))
    return np.asarray(scale[:, None] * basis * np.sqrt(np.maximum(size, 0.0)))

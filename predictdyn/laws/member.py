"""One structure fitted to finished runs with a discrepancy process around it, and what it forecasts for other runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from predictdyn.laws.design import Design
from predictdyn.laws.discrepancy import Crossing, Discrepancy, Smoother
from predictdyn.laws.inputs import Encoded
from predictdyn.laws.posterior import Mode
from predictdyn.laws.sampling import root_of

SMALL_PROCESS = 0.5  # prior of the ratio of process to noise: (1 + 10 ratio) to minus this power
STEPS = 6


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
    place: int  # of the smoother
    ratio: float
    numbers: np.ndarray  # (k,)
    covariance: np.ndarray  # (k, k)
    noise: float
    matrix: np.ndarray  # (n, k)
    value: np.ndarray  # u of the runs, outliers moved towards the law (n,)
    mode: Mode  # under independent noise

    def gaussian(self, normals: np.ndarray) -> np.ndarray:
        """Draws of the numbers (s, k) from the normal approximation at the mode, made of normals (s, k)."""
        return np.asarray(self.numbers + normals @ root_of(self.covariance).T)

    def forecast(
        self,
        encoded: Encoded,
        crossings: list[Crossing],
        numbers: np.ndarray,
        random: np.random.Generator | None = None,
    ) -> Beyond:
        """What the law with each set of numbers (s, k), and the process around it, say of other rows (m).

        A row of a group that no finished run is of has numbers of its own, drawn as those of a further group.
        """
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
        mean, variance = self.discrepancy.smoothers[self.place].predicted(crossings[self.place], left, self.ratio)
        return Beyond(centre + mean, self.noise * np.sqrt(variance), noise)


def member_for(
    design: Design, matrix: np.ndarray, u: np.ndarray, discrepancy: Discrepancy, mode: Mode, *, process: bool
) -> Member:
    """A structure with independent noise, as `mode` has it, or with a process that is chosen by evidence.

    Rows that the mode holds for outliers are moved towards it, as far as their weight says.
    """
    value = u - mode.residual * (1.0 - np.minimum(mode.weight, 1.0))
    if not process:
        return Member(design, discrepancy, 0, 0.0, mode.numbers, mode.covariance, mode.noise, matrix, value, mode)
    at, jacobian = design.slopes(matrix, mode.numbers[None])
    target = value - at[0] + jacobian[0] @ (mode.numbers - design.mean)
    columns = np.concatenate([jacobian[0], target[:, None]], axis=1)
    turned = [one.basis.T @ columns for one in discrepancy.smoothers]
    best: tuple[float, int, float, float] | None = None
    for place, ratio in discrepancy.choices():
        smoother = discrepancy.smoothers[place]
        linear = _linear(design, smoother.gram(columns, turned[place], ratio), len(u), mode.noise, mode.noise)
        evidence = linear.evidence - 0.5 * smoother.log_determinant(ratio) - SMALL_PROCESS * np.log1p(10 * ratio)
        if best is None or evidence > best[0]:
            best = (evidence, place, ratio, linear.noise)
    assert best is not None
    _, place, ratio, noise = best
    numbers, linear = _settled(design, matrix, value, mode, discrepancy.smoothers[place], ratio, noise)
    return Member(design, discrepancy, place, ratio, numbers, linear.covariance, linear.noise, matrix, value, mode)


class Linear(NamedTuple):
    """A linear model: posterior mean of the numbers minus their prior mean, covariance, noise and log evidence."""

    delta: np.ndarray
    covariance: np.ndarray
    noise: float
    evidence: float


def _linear(design: Design, gram: np.ndarray, n: int, noise: float, before: float) -> Linear:
    """The linear model of n rows whose columns and target have inner products gram (k + 1, k + 1).

    The noise is its posterior mean given the numbers, with one row's worth of what it was ``before``.
    """
    inner, outer, square = gram[:-1, :-1], gram[:-1, -1], float(gram[-1, -1])
    prior = design.precision

    def solved(noise: float) -> tuple[np.ndarray, np.ndarray, float]:
        covariance = np.linalg.inv(inner / noise**2 + prior)
        delta = covariance @ outer / noise**2
        return covariance, delta, max(square - 2 * float(delta @ outer) + float(delta @ inner @ delta), 0.0)

    floor = 1e-4 * max(np.sqrt(square / n), 1e-9) * 1e-2
    for _ in range(3):
        covariance, _, left = solved(noise)
        free = min(float(np.trace(inner @ covariance)) / noise**2, n - 1.0)
        noise = max(float(np.sqrt((left + before**2) / (n - free + 1.0))), floor)
    covariance, delta, left = solved(noise)
    evidence = (
        -0.5 * left / noise**2
        - n * np.log(noise)
        - 0.5 * float(delta @ prior @ delta)
        + 0.5 * float(np.linalg.slogdet(covariance)[1])
        - design.log_width
    )
    return Linear(delta, covariance, noise, evidence)


def _settled(
    design: Design, matrix: np.ndarray, value: np.ndarray, mode: Mode, smoother: Smoother, ratio: float, noise: float
) -> tuple[np.ndarray, Linear]:
    """Gauss-Newton steps under the correlated noise, as long as they help; the linear model there."""
    numbers = mode.numbers

    def loss(numbers: np.ndarray) -> float:
        left = smoother.whitened(value - design.values(matrix, numbers[None])[0], ratio) / noise
        return 0.5 * float(left @ left) + float(design.away(numbers[None])[0])

    now = loss(numbers)
    for _ in range(STEPS):
        at, jacobian = design.slopes(matrix, numbers[None])
        target = value - at[0] + jacobian[0] @ (numbers - design.mean)
        columns = np.concatenate([jacobian[0], target[:, None]], axis=1)
        linear = _linear(
            design, smoother.gram(columns, smoother.basis.T @ columns, ratio), len(value), noise, mode.noise
        )
        step = design.mean + linear.delta - numbers
        gained = 0.0
        for part in (1.0, 0.3, 0.1):
            there = loss(numbers + part * step)
            if there < now:
                numbers, gained, now = numbers + part * step, now - there, there
                break
        if gained < 1e-3:
            break
    return numbers, linear

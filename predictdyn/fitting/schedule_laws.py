r"""Laws of a loss under a learning-rate schedule: a power of the summed rate, less what each fall of the rate brings.

.. math:: L(t) = L_0 + A S(t)^{-\alpha} - B \sum_k (\eta_{k-1} - \eta_k) \, w_k \, \eta_k^{-b} \, G(t, k)

with S(t) the sum of the rate up to t, and

============ ========================================== ==================
law          G, the share of a fall that has come        w
============ ========================================== ==================
momentum     1 - exp(-(t - k) / memory)                 1
multi_power  1 - (1 + C eta_k^-gamma (S_t - S_k))^-beta 1
functional   1 - (1 + C (S_t - S_k))^-beta              ratio + S_k^-alpha
============ ========================================== ==================

Sources: arXiv 2408.11029, 2503.12811 and 2509.19189 (App. B.2). The bend b is ours, and `published` sets it to zero:
where a rate falls in one jump, a fall from a low rate brings more than an equal fall from a high one. The rate is a
chain of straight pieces. At most about `PIECES` of them fall, so a curve costs as much as it has values, however many
steps lie between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

PIECES = 32  # of the falling rate: the middle of each stands for it
RISE = 12  # pieces of a warm-up
LEVEL = 1e-6  # of the peak: a smaller move of the rate is rounding
LEAST_RATE = 1e-4  # of the peak: a rate of zero has no power


class RateCurve(NamedTuple):
    """A learning rate by step: straight lines between knots (k,), of rising steps; before the first it rises from zero,
    after the last it stays."""

    step: Float[np.ndarray, " k"]
    rate: Float[np.ndarray, " k"]

    @property
    def peak(self) -> float:
        """The largest rate."""
        return float(self.rate.max())

    def at(self, step: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The rate at steps.

        >>> RateCurve(np.array([10.0, 20.0]), np.array([1.0, 0.0])).at(np.array([5.0, 15.0, 30.0])).tolist()
        [0.5, 0.5, 0.0]
        """
        return np.interp(step, *self._from_zero)

    def area(self, step: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The rate summed over steps 0 to ``step``, exact between knots.

        >>> RateCurve(np.array([10.0, 20.0]), np.array([1.0, 0.0])).area(np.array([10.0, 20.0, 30.0])).tolist()
        [5.0, 10.0, 10.0]
        """
        at, rate = self._from_zero
        whole = np.concatenate([[0.0], np.cumsum(0.5 * np.diff(at) * (rate[1:] + rate[:-1]))])
        place = np.clip(np.searchsorted(at, step, side="right") - 1, 0, len(at) - 1)
        return np.asarray(whole[place] + 0.5 * (step - at[place]) * (rate[place] + np.interp(step, at, rate)))

    def began(self) -> float:
        """The step of the first peak: where warm-up has ended and falls begin to count."""
        return float(self.step[np.argmax(self.rate >= self.peak * (1 - LEVEL))])

    @property
    def _from_zero(self) -> tuple[np.ndarray, np.ndarray]:
        if self.step[0] <= 0:
            return self.step, self.rate
        return np.concatenate([[0.0], self.step]), np.concatenate([[0.0], self.rate])


def rate_curve(step: np.ndarray, rate: np.ndarray) -> RateCurve:
    """A rate from logged values (t,). Raises ValueError where it is no schedule: one line that says why.

    >>> rate_curve(np.array([1.0, 2.0]), np.array([0.1, -0.1]))
    Traceback (most recent call last):
    ...
    ValueError: a learning rate must be finite and not negative, found -0.1 at step 2
    """
    step, rate = np.asarray(step, dtype=float), np.asarray(rate, dtype=float)
    if step.shape != rate.shape or step.ndim != 1 or not len(step):
        raise ValueError(f"a schedule needs as many rates as steps, found {rate.size} and {step.size}")
    bad = ~np.isfinite(rate) | (rate < 0)
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"a learning rate must be finite and not negative, found {rate[at]:g} at step {step[at]:g}")
    if not np.isfinite(step).all() or (np.diff(step) <= 0).any() or step[0] < 0:
        raise ValueError("the steps of a schedule must rise from zero or above, without repeats")
    if rate.max() == 0:
        raise ValueError("a learning rate that is always zero is no schedule")
    return RateCurve(step, rate)


class Reference(NamedTuple):
    """The units of a fit: a rate, an area and a number of steps."""

    peak: float
    area: float
    steps: float


class Terms(NamedTuple):
    """What the laws need of the values of one or more curves, whatever their numbers are.

    Of each value (n,): logs of the area and of the peak of its rate. Of each pair of a value and a fall before it (p,),
    values in order: how much of the fall had come, the steps and the area since, and the logs of rate and area at the
    fall; ``first`` (n,) is where the pairs of a value begin. All are in the units of a `Reference`.
    """

    log_area: Float[np.ndarray, " n"]
    fall: Float[np.ndarray, " p"]
    steps: Float[np.ndarray, " p"]
    area: Float[np.ndarray, " p"]
    log_rate: Float[np.ndarray, " p"]
    log_area_then: Float[np.ndarray, " p"]
    log_peak: Float[np.ndarray, " n"]
    first: Int[np.ndarray, " n"]

    def summed(self, of_pairs: np.ndarray) -> np.ndarray:
        """Sums over the pairs of each value, (..., p) -> (..., n)."""
        padded = np.concatenate([of_pairs, np.zeros((*of_pairs.shape[:-1], 1))], axis=-1)
        # The last value's pairs end where the padding begins; a value without pairs sums to nothing.
        sums = np.add.reduceat(padded, np.minimum(self.first, of_pairs.shape[-1]), axis=-1)
        empty = np.diff(np.append(self.first, of_pairs.shape[-1])) == 0
        return np.where(empty, 0.0, sums)


def terms(rate: RateCurve, step: Float[np.ndarray, " n"], unit: Reference, *, warm_up: bool = False) -> Terms:
    """The terms of one curve at rising steps; with ``warm_up`` its rise counts as a fall below zero."""
    knots = falling_pieces(rate)
    if warm_up:
        knots = np.concatenate([np.linspace(0.0, knots[0], RISE + 1)[:-1], knots])
    left, right = knots[:-1], knots[1:]
    height, low = rate.at(left), rate.at(right)
    # A jump between two neighbouring knots is one fall; a piece that does not move tells nothing.
    moves = np.abs(height - low) > LEVEL * rate.peak
    left, right, height = left[moves], right[moves], height[moves]
    value, piece = np.nonzero(step[:, None] > left[None, :])
    end = np.minimum(step[value], right[piece])
    middle = 0.5 * (left[piece] + end)
    then = rate.area(middle)
    return Terms(
        np.log(np.maximum(rate.area(step), 1e-12 * unit.area) / unit.area),
        (height[piece] - rate.at(end)) / unit.peak,
        (step[value] - middle) / unit.steps,
        np.maximum(rate.area(step)[value] - then, 0.0) / unit.area,
        # The rate after the fall, as published: where it jumps the middle is neither.
        np.log(np.maximum(rate.at(end) / unit.peak, LEAST_RATE)),
        np.log(np.maximum(then, 1e-12 * unit.area) / unit.area),
        np.full(len(step), np.log(rate.peak / unit.peak)),
        np.searchsorted(value, np.arange(len(step))),
    )


def falling_pieces(rate: RateCurve) -> Float[np.ndarray, " k"]:
    """Steps that cut a rate after its warm-up into pieces that are about straight, `PIECES` at most if it is smooth.

    Between two knots of a linear decay lie pieces of the same fall; where the rate stays there are none.
    """
    after = rate.step >= rate.began()
    step, value = rate.step[after], rate.rate[after]
    move = np.abs(np.diff(value))
    move[move <= LEVEL * rate.peak * 1e-3] = 0.0
    if not move.sum():
        return step[[0, -1]]
    # The clock of the cuts runs with the fall, and slowly with time, so that a long tail is no single piece.
    clock = np.concatenate([[0.0], np.cumsum(move / move.sum() + 0.5 * (move > 0) * np.diff(step) / np.ptp(step))])
    cuts = np.interp(np.linspace(0.0, clock[-1], PIECES + 1), clock, step)
    # Where a fall begins and ends, it must not be smeared over the flat part beside it.
    moving = np.concatenate([[False], move > 0, [False]])
    edges = step[moving[1:] != moving[:-1]]
    return np.unique(np.concatenate([step[[0, -1]], cuts, edges]))


def stacked(parts: Sequence[Terms]) -> Terms:
    """The terms of several curves, one after the other."""
    offset = np.cumsum([0, *(len(part.fall) for part in parts[:-1])])
    first = np.concatenate([part.first + at for part, at in zip(parts, offset, strict=True)])
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Terms._make([*joined[:-1], first])


class PriorNumber(NamedTuple):
    """One number of a law: its name and the normal prior of what is fitted, a logarithm but for ``gamma``; it is also
    where the search begins."""

    name: str
    mean: float
    sd: float


# What all laws have. The level is that of the reference, times exp(level); the share of it that falls with the area is
# a logit; drop is the log of what a fall from the peak to zero brings, in parts of the level.
COMMON = (
    PriorNumber("level", 0.0, 0.5),
    PriorNumber("share", -1.5, 1.5),
    PriorNumber("alpha", np.log(0.5), 0.5),
    PriorNumber("drop", np.log(0.04), 0.8),
    PriorNumber("bend", 0.0, 0.3),
)
# By the laws a larger peak only ever brings more. Real runs have a best one: a parabola of the log loss in ln peak.
PEAKED = (PriorNumber("tilt", 0.0, 0.05), PriorNumber("curvature", 0.0, 0.05))


class Come(NamedTuple):
    """The share of each fall that has come, (s, p), and what gives its slopes, each (s, p): by a law's own numbers and,
    last, by the log of alpha, None where it does not matter."""

    share: np.ndarray
    slopes: Callable[[], tuple[np.ndarray | None, ...]]


@dataclass(frozen=True)
class ScheduleLaw:
    """A law: its numbers beside `COMMON`, and how falls come: from these numbers and alpha, each (s, 1), and terms."""

    name: str
    own: tuple[PriorNumber, ...]
    come: Callable[[list[np.ndarray], np.ndarray, Terms], Come]
    warm_up: bool = False  # whether the rise of the rate counts, so that the limit is that of a rate of zero
    common: tuple[PriorNumber, ...] = COMMON
    of_peak: tuple[PriorNumber, ...] = ()  # `PEAKED`, or nothing

    @property
    def numbers(self) -> tuple[PriorNumber, ...]:
        """All numbers (k of them), in the order of the fit."""
        return (*self.common, *self.own, *self.of_peak)

    def values(self, fitted: Float[np.ndarray, "s k"], given: Terms) -> Float[np.ndarray, "s n"]:
        """Log of the loss, in parts of the reference level; NaN where a law gives no positive loss."""
        return self._parts(fitted, given).value

    def slopes(
        self, fitted: Float[np.ndarray, "s k"], given: Terms
    ) -> tuple[Float[np.ndarray, "s n"], Float[np.ndarray, "s n k"]]:
        """The same, and its slopes by the numbers."""
        value, inside, power, share, alpha, fall, each, come = self._parts(fitted, given)
        *of_own, of_alpha = come.slopes()
        by_alpha = -alpha * given.log_area * power
        if of_alpha is not None:
            by_alpha = by_alpha - given.summed(fall * of_alpha)
        columns = [inside, (power - share) * (1.0 - share), by_alpha, -given.summed(each)]
        columns += [given.summed(each * given.log_rate), *(-given.summed(fall * slope) for slope in of_own)]
        slopes = [column / inside for column in columns]
        slopes += [np.broadcast_to(given.log_peak ** (i + 1), value.shape) for i in range(len(self.of_peak))]
        return value, np.stack(slopes, axis=-1)

    def _parts(self, fitted: np.ndarray, given: Terms) -> _Parts:
        level, logit, log_alpha, drop, bend = (fitted[:, i, None] for i in range(5))
        alpha = np.exp(log_alpha)
        share = 1.0 / (1.0 + np.exp(-logit))
        own = 5 + len(self.own)
        # Far from what was fitted a law may have no loss that is a number, and says so by NaN.
        with np.errstate(over="ignore", invalid="ignore"):
            come = self.come([fitted[:, i, None] for i in range(5, own)], alpha, given)
            power = share * np.exp(-alpha * given.log_area)
            fall = given.fall * np.exp(drop - bend * given.log_rate)
            each = fall * come.share
            inside = 1.0 - share + power - given.summed(each)
        inside = np.where((inside > 0) & np.isfinite(inside), inside, np.nan)
        for i in range(len(self.of_peak)):
            level = level + fitted[:, own + i, None] * given.log_peak ** (i + 1)
        return _Parts(level + np.log(inside), inside, power, share, alpha, fall, each, come)


class _Parts(NamedTuple):
    value: np.ndarray
    inside: np.ndarray
    power: np.ndarray
    share: np.ndarray
    alpha: np.ndarray
    fall: np.ndarray
    each: np.ndarray
    come: Come


def _momentum(own: list[np.ndarray], alpha: np.ndarray, given: Terms) -> Come:
    lag = given.steps / np.exp(own[0])
    left = np.exp(-lag)
    return Come(1.0 - left, lambda: (-lag * left, None))


def _multi_power(own: list[np.ndarray], alpha: np.ndarray, given: Terms) -> Come:
    speed, beta, gamma = own[0], np.exp(own[1]), own[2]
    z = np.exp(speed - gamma * given.log_rate) * given.area
    log_left = np.log1p(z)
    left = np.exp(-beta * log_left)

    def slopes() -> tuple[np.ndarray | None, ...]:
        by_speed = beta * left * z / (1.0 + z)
        return by_speed, beta * log_left * left, -given.log_rate * by_speed, None

    return Come(1.0 - left, slopes)


def _functional(own: list[np.ndarray], alpha: np.ndarray, given: Terms) -> Come:
    speed, beta, ratio = own[0], np.exp(own[1]), np.exp(own[2])
    z = np.exp(speed) * given.area
    log_left = np.log1p(z)
    left = np.exp(-beta * log_left)
    then = np.exp(-alpha * given.log_area_then)
    weight = (ratio + then) / (1.0 + ratio)
    come = 1.0 - left

    def slopes() -> tuple[np.ndarray | None, ...]:
        by_ratio = come * (1.0 - then) * ratio / (1.0 + ratio) ** 2
        by_alpha = -come * then * alpha * given.log_area_then / (1.0 + ratio)
        return weight * beta * left * z / (1.0 + z), weight * beta * log_left * left, by_ratio, by_alpha

    return Come(weight * come, slopes)


# Speeds are per unit of area; memory is in units of steps: both those of the longest curve that is fitted.
SPEED, BETA = PriorNumber("speed", np.log(300.0), 1.0), PriorNumber("beta", np.log(0.5), 0.3)
MOMENTUM = ScheduleLaw("momentum", (PriorNumber("memory", np.log(0.03), 1.2),), _momentum)
MULTI_POWER = ScheduleLaw("multi_power", (SPEED, BETA, PriorNumber("gamma", 0.5, 0.25)), _multi_power, warm_up=True)
FUNCTIONAL = ScheduleLaw("functional", (SPEED, BETA, PriorNumber("ratio", 0.0, 1.5)), _functional)
LAWS = (MOMENTUM, MULTI_POWER, FUNCTIONAL)


def published(law: ScheduleLaw) -> ScheduleLaw:
    """The law without its bend.

    >>> [number.sd for number in published(MOMENTUM).numbers if number.name == "bend"]
    [1e-09]
    """
    return replace(law, common=tuple(n._replace(sd=1e-9) if n.name == "bend" else n for n in law.common))


def peaked(law: ScheduleLaw) -> ScheduleLaw:
    """The law with a parabola in the log of the peak, for runs of several peaks.

    >>> [number.name for number in peaked(MOMENTUM).numbers][-3:]
    ['memory', 'tilt', 'curvature']
    """
    return replace(law, of_peak=PEAKED)

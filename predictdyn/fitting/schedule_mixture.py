"""Forecasts of a loss under a schedule: a mixture of the schedule laws, fitted to curves and drawn at any step.

What a law leaves over is held to go on in other runs and later: a discrepancy whose size is that of what is left over
where it was fitted, and which grows with the logarithm of the area between. Laws weigh as if each had been tried on
`ALONE` values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from predictdyn.fitting.schedule_laws import (
    LAWS,
    RateCurve,
    Reference,
    ScheduleLaw,
    Terms,
    falling_pieces,
    stacked,
    terms,
)
from predictdyn.fitting.schedule_posterior import (
    ALONE,
    STARTS,
    LawDraws,
    LawMode,
    LawPrior,
    Observations,
    draws_of,
    mode_of,
    prior_of,
)

BLOCKS = 40  # means that a curve is thinned to
LATE = 0.5  # a block is short where the curve is young: the clock of blocks runs with steps and so much with their log
EASE = 0.5  # the noise falls with the area to this power, up to the reference
KNOTS = 40
FEWEST = 6  # blocks to fit to
YOUNG = 0.1  # of the area that was seen: what lies before is no power law yet
DISCREPANCY = 0.6  # of the noise: another run, in the same place
GROWTH = 0.05  # of the slope of a law by the log of the area: what it misses by for each factor of e in the area
LEAST_WEIGHT = 0.01  # of a law that a schedule is designed by
PERSISTENCE = 1.0  # factors of e in the area after which what is left over of a run is forgotten


class LossCurve(NamedTuple):
    """The logs of a loss at rising steps (n,), and the rate of the run."""

    rate: RateCurve
    step: Float[np.ndarray, " n"]
    log_loss: Float[np.ndarray, " n"]


def blocks(curve: LossCurve, most: int = BLOCKS) -> LossCurve:
    """Means over neighbours, at most so many, without the warm-up and what is younger than `YOUNG`."""
    if not len(curve.step):
        return curve
    area = curve.rate.area(curve.step)
    old = (curve.step >= curve.rate.began()) & (area >= YOUNG * area[-1]) & (area > 0)
    step, log_loss, area = curve.step[old], curve.log_loss[old], area[old]
    if len(step) <= most:
        return LossCurve(curve.rate, step, log_loss)
    clock = step / step[-1] + LATE * np.log(area / area[0]) / max(float(np.log(area[-1] / area[0])), 1e-9)
    clock = (clock - clock[0]) / (clock[-1] - clock[0])
    edges = np.unique(np.append(np.searchsorted(clock, np.linspace(0.0, 1.0, most + 1)[:-1]), len(step)))
    count = np.diff(edges)
    return LossCurve(curve.rate, *(np.add.reduceat(part, edges[:-1]) / count for part in (step, log_loss)))


class FittedScheduleLaw(NamedTuple):
    """One law, fitted."""

    law: ScheduleLaw
    mode: LawMode
    drawn: LawDraws

    def at_mode(self, rate: RateCurve, step: Float[np.ndarray, " n"], fit: ScheduleFit) -> Float[np.ndarray, " n"]:
        """The log of the loss at steps, by the most probable numbers."""
        given = terms(rate, step, fit.unit, warm_up=self.law.warm_up)
        return np.asarray(fit.level + self.law.values(self.mode.numbers[None], given)[0])


class ScheduleFit(NamedTuple):
    """The laws fitted to some curves; the last one is that of the run in question if ``own``.

    ``known`` is the area up to which they were fitted. Runs have levels that laws do not explain: ``differ`` is their
    sd, in the log of the loss, by ``held_out`` curves that others forecast (`schedule_runs`).
    """

    members: tuple[FittedScheduleLaw, ...]
    weights: Float[np.ndarray, " m"]
    unit: Reference
    level: float  # log of the loss of the reference
    own: LossCurve | None
    known: float
    differ: float = 0.0
    held_out: int = 0

    def draws(
        self, rate: RateCurve, step: Float[np.ndarray, " n"], end: float, *, growth: float = GROWTH, seed: int
    ) -> Float[np.ndarray, "n s"]:
        """Draws of the log of the loss at rising steps; one draw is one path.

        Laws err to different sides, so their answers are averaged, rank by rank at the ``end`` of the run, and how far
        they are apart is one more thing that is not known. ``growth`` is that of `missed`. A law that gives no loss
        above zero by then is left out; where none gives one, draws are NaN.
        """
        random = np.random.default_rng(seed)
        area = rate.area(step)
        knots = np.append(_knots(rate, step), end)
        given = {warm: terms(rate, knots, self.unit, warm_up=warm) for warm in (False, True)}
        each = [_values(member, given[member.law.warm_up], self.level) for member in self.members]
        speaks = [i for i, value in enumerate(each) if np.isfinite(value).all()]
        if not speaks:
            return np.full((len(step), len(each[0])), np.nan)
        values, members = [each[i] for i in speaks], [self.members[i] for i in speaks]
        weights = self.weights[speaks] / self.weights[speaks].sum()
        middles = [np.median(value[:, :-1], axis=0) for value in values]
        centre = np.average(middles, axis=0, weights=weights)
        # The mean of m laws misses by as much as that of so many independent ones.
        apart = np.average((middles - centre) ** 2, axis=0, weights=weights) * (weights**2).sum()
        order = random.permutation(len(values[0]))
        paths = np.zeros((len(knots) - 1, len(order)))
        for weight, value in zip(weights, values, strict=True):
            paths += weight * value[np.argsort(value[:, -1], kind="stable")[order], :-1].T
        # A line in the log of the step between knots: its ends, and how far along it each step lies.
        place = np.clip(np.searchsorted(knots[:-1], step, side="right") - 1, 0, max(len(knots) - 3, 0))
        after = np.minimum(place + 1, len(knots) - 2)
        way = np.log(np.maximum(np.stack([step, knots[place], knots[after]]), 1e-9))
        along = ((way[0] - way[1]) / np.maximum(way[2] - way[1], 1e-12))[:, None]
        paths = paths[place] + along * (paths[after] - paths[place])
        apart = apart[place] + along[:, 0] * (apart[after] - apart[place])
        left = [self.left_over(member, area) for member in members]
        noise = np.average([member.mode.noise for member in members], weights=weights)
        sd, shift = (np.average(part, axis=0, weights=weights) for part in zip(*left, strict=True))
        ease = _ease(area, self.unit)[:, None]
        z = random.standard_t(5.0, len(order)) / np.sqrt(5.0 / 3.0)
        off = np.sqrt((ease[:, 0] * sd) ** 2 + apart + (growth * self.missed(rate, step)) ** 2)
        draws = paths + ease * shift[:, None] + off[:, None] * z + ease * noise * random.standard_normal(len(order))
        return np.asarray(draws + self.differ_draws(random, np.eye(1), len(order))[0])

    def differ_draws(
        self, random: np.random.Generator, root: Float[np.ndarray, "m m"], n: int
    ) -> Float[np.ndarray, "m n"]:
        """Draws of how runs differ from the laws by ``differ``: Student's t, as its sd is an estimate.

        ``root`` is that of the correlation of what is asked. A run that is seen shows its level by itself, so that its
        fit has no ``differ``.
        """
        if not self.differ:
            return np.zeros((len(root), n))
        heavy = np.sqrt(self.held_out / random.chisquare(self.held_out, n))
        return np.asarray(self.differ * heavy * (root @ random.standard_normal((len(root), n))))

    @property
    def weighty(self) -> ScheduleFit:
        """Without the laws that weigh next to nothing."""
        kept = np.flatnonzero(self.weights >= LEAST_WEIGHT)
        weights = self.weights[kept] / self.weights[kept].sum()
        return self._replace(members=tuple(self.members[i] for i in kept), weights=weights)

    @property
    def noise(self) -> float:
        """The sd of one value around the mean of runs, at the reference area."""
        return float(np.average([member.mode.noise for member in self.members], weights=self.weights))

    def missed(self, rate: RateCurve, step: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """What laws miss by at steps for each unit of ``growth``: their slope where they end, times the way since."""
        way = np.log(np.maximum(rate.area(step) / self.known, 1.0))
        slopes = []
        for member in self.members:
            _, logit, log_alpha, *_ = member.mode.numbers.tolist()
            alpha = np.exp(log_alpha)
            slopes.append(alpha / (1.0 + np.exp(-logit)) * (self.known / self.unit.area) ** -alpha)
        return np.asarray(way * np.average(slopes, weights=self.weights))

    def ease(self, area: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """How much larger the noise is at some areas than at the end of what was fitted."""
        return _ease(area, self.unit)

    def left_over(self, member: FittedScheduleLaw, area: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sd and mean of what the law will leave over at some areas, before it is eased."""
        noise = member.mode.noise
        if self.own is None:
            return np.full(len(area), DISCREPANCY * noise), np.zeros(len(area))
        now = float(self.own.rate.area(self.own.step[-1:])[0])
        kept = np.exp(-np.log(np.maximum(area / now, 1.0)) / PERSISTENCE)
        last = float(member.mode.residual[-3:].mean())
        return DISCREPANCY * noise * np.sqrt(1.0 - kept**2), kept * last


def fit_schedules(
    curves: Sequence[LossCurve],
    *,
    reach: RateCurve | None = None,
    until: float = 0.0,
    own: bool = False,
    laws: Sequence[ScheduleLaw] = LAWS,
    priors: Sequence[LawPrior] | None = None,
    reference: tuple[Reference, float] | None = None,
    n: int = 1000,
    seed: int = 0,
    starts: int = STARTS,
) -> ScheduleFit | None:
    """Fit the laws to curves, or None where fewer than `FEWEST` blocks are left of them.

    ``reach`` and ``until`` say how far a forecast will go: the units follow from it where no ``reference`` is given.
    """
    thinned = [blocks(curve) for curve in curves]
    thinned = [curve for curve in thinned if len(curve.step)]
    if sum(len(curve.step) for curve in thinned) < (FEWEST if priors is None or reference is None else 1):
        return None
    unit, level = reference or _reference(thinned, reach, until)
    log_loss = np.concatenate([curve.log_loss for curve in thinned]) - level
    whose = np.repeat(np.arange(len(thinned)), [len(curve.step) for curve in thinned])
    given = {
        warm: stacked([terms(c.rate, c.step, unit, warm_up=warm) for c in thinned])
        for warm in {law.warm_up for law in laws}
    }
    ease = np.concatenate([_ease(curve.rate.area(curve.step), unit) for curve in thinned])
    members = []
    for i, law in enumerate(laws):
        seen = Observations(log_loss, given[law.warm_up], whose, ease)
        prior = prior_of(law) if priors is None else priors[i]
        mode = mode_of(law, seen, prior, starts=starts)
        members.append(FittedScheduleLaw(law, mode, draws_of(law, seen, prior, mode, n=n, seed=seed + i)))
    known = max(float(curve.rate.area(curve.step[-1:])[0]) for curve in thinned)
    noise = np.array([member.mode.noise for member in members])
    return ScheduleFit(tuple(members), weights_by(noise), unit, level, thinned[-1] if own else None, known)


def weights_by(noise: Float[np.ndarray, " m"], values: float = ALONE) -> Float[np.ndarray, " m"]:
    """Weights of laws that leave so much noise: their likelihood, were each tried on so many values."""
    weights = (noise / noise.min()) ** -values
    return np.asarray(weights / weights.sum())


def _values(member: FittedScheduleLaw, given: Terms, level: float) -> np.ndarray:
    """Log losses (s, n) of a member's draws; one without a positive loss counts as the middle one, if there is any."""
    # A proposal that counts much is there many times, and is worth one evaluation.
    numbers, place = np.unique(member.drawn.numbers, axis=0, return_inverse=True)
    value = level + member.law.values(numbers, given)[place.ravel()]
    known = np.isfinite(value)
    some = known.any(axis=0)
    middle = np.full(value.shape[1], np.nan)
    middle[some] = np.nanmedian(np.where(known, value, np.nan)[:, some], axis=0)
    return np.where(known, value, middle)


def _ease(area: np.ndarray, unit: Reference) -> np.ndarray:
    """How much larger the noise is where a run is young: runs of one plan differ most at first."""
    return np.asarray(np.clip(area / unit.area, 1e-6, 1.0) ** -EASE)


def _knots(rate: RateCurve, step: np.ndarray) -> np.ndarray:
    """Some of rising steps, the denser the more the rate moves: between them a law is about a straight line."""
    if len(step) <= KNOTS:
        return step
    begin = max(float(step[0]), 1e-3 * float(step[-1]))
    spaced = np.concatenate([np.geomspace(begin, step[-1], KNOTS // 2), np.linspace(begin, step[-1], KNOTS // 2)])
    every = np.searchsorted(step, spaced)
    edges = np.searchsorted(step, falling_pieces(rate))
    # After a jump of the rate a loss falls fast.
    after = edges[:, None] + np.array([-1, 0, 1, 2, 4, 8, 16])
    jumps = np.flatnonzero(np.diff(edges) <= 1)
    near = after[jumps].ravel() if len(jumps) < KNOTS // 4 else edges
    return step[np.unique(np.clip(np.concatenate([every, edges, near]), 0, len(step) - 1))]


def _reference(curves: Sequence[LossCurve], reach: RateCurve | None, until: float) -> tuple[Reference, float]:
    ends = [(curve.rate, float(curve.step[-1])) for curve in curves] + ([(reach, until)] if reach is not None else [])
    area = max(float(rate.area(np.array([step]))[0]) for rate, step in ends)
    unit = Reference(max(rate.peak for rate, _ in ends), area, max(step for _, step in ends))
    return unit, float(np.median([curve.log_loss[-1] for curve in curves]))

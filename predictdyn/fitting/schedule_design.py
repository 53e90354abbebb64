"""Design of a learning rate: the falling curve with the lowest expected loss at its end, by fitted schedule laws.

Expected is over the draws of all laws, so a schedule that only one set of numbers likes is not chosen. Schedules are
compared on common draws: what two of them share cancels in their difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from predictdyn.fitting.schedule_laws import LEAST_RATE, RISE, RateCurve, Reference, Terms, stacked, terms
from predictdyn.fitting.schedule_mixture import GROWTH, ScheduleFit

KNOTS = 33  # of a designed rate after its warm-up
CROWD = 2.0  # how they crowd towards the end: knot j of k lies at 1 - (1 - j/k) ** CROWD of the way
CUT = 4  # falls that a piece is cut into while searching
CHOSEN = 48  # draws of each law that a design is averaged over
MOVE = 1e-4  # of the way from the least rate to the peak: for slopes
UNIT = 1e-3  # of the log loss: what the search counts in
SMALL = 1e-3  # of that unit: a gain after which the search ends
MOST_STEPS = 100
SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7)  # of a run, for the decay of warm-up-stable-decay
OVERLAP_POINTS = 200
FREEDOM = 5.0  # degrees of freedom of what laws miss


def knots_between(begin: float, end: float, n: int = KNOTS) -> Float[np.ndarray, " n"]:
    """Steps from begin to end, denser towards the end, where a rate falls most.

    >>> knots_between(0.0, 16.0, 5).tolist()
    [0.0, 7.0, 12.0, 15.0, 16.0]
    """
    way = np.linspace(0.0, 1.0, n)
    return np.asarray(begin + (end - begin) * (1.0 - (1.0 - way) ** CROWD))


def shaped(name: str, warm_up: float, end: float, peak: float, least: float = 0.0, share: float = 0.2) -> RateCurve:
    """A named shape after its warm-up: constant, cosine, linear, or wsd, which falls over its last ``share``.

    >>> shaped("wsd", 10.0, 100.0, 1.0).at(np.array([5.0, 80.0, 90.0, 100.0])).tolist()
    [0.5, 1.0, 0.5, 0.0]
    """
    step = np.linspace(warm_up, end, 2 * KNOTS)
    if name == "wsd":
        step = np.unique([warm_up, max(end * (1.0 - share), warm_up), end])
    way = (step - step[-2 if name == "wsd" else 0]) / (end - step[-2 if name == "wsd" else 0])
    left = {"constant": np.ones_like(way), "cosine": 0.5 * (1.0 + np.cos(np.pi * way))}.get(name, 1.0 - way)
    return RateCurve(step, least + (peak - least) * np.clip(left, 0.0, 1.0))


class EndDraws(NamedTuple):
    """Draws of the log loss at the end of schedules (m, s), column by column on common numbers, without the luck of a
    run, and that luck: the sd of the log loss of one run (m,)."""

    expected: Float[np.ndarray, "m s"]
    luck: Float[np.ndarray, " m"]


def end_draws(fit: ScheduleFit, rates: Sequence[RateCurve], ends: Float[np.ndarray, " m"], *, seed: int) -> EndDraws:
    """What each schedule has at its end.

    A column has one set of numbers of each law, ranked by their mean over the schedules; what laws disagree on; and
    what all miss, which two schedules share as far as their areas overlap.
    """
    random, fit = np.random.default_rng(seed), fit.weighty
    given = _given(fit, rates, ends)
    values = [_ends(fit, i, given[member.law.warm_up], None) for i, member in enumerate(fit.members)]
    n = len(values[0])
    order = random.permutation(n)
    # Where a law has no loss above zero, nothing is forecast of a schedule.
    finite = np.all([np.isfinite(value).all(axis=0) for value in values], axis=0)
    values = [np.where(finite, value, 0.0) for value in values]
    expected = np.where(finite, 0.0, np.inf)[:, None] * np.ones(n)
    for weight, value in zip(fit.weights, values, strict=True):
        expected += weight * value[np.argsort(value.mean(axis=1), kind="stable")[order]].T
    middles = np.array([np.median(value, axis=0) for value in values])
    apart = (middles - fit.weights @ middles) * np.sqrt(fit.weights * (fit.weights**2).sum())[:, None]
    area = np.array([float(rate.area(np.array([end]))[0]) for rate, end in zip(rates, ends, strict=True)])
    left = [fit.left_over(member, area) for member in fit.members]
    sd, shift = (np.average(part, axis=0, weights=fit.weights) for part in zip(*left, strict=True))
    ease = fit.ease(area)
    off = apart.T @ random.standard_normal((len(middles), n))
    off += (ease * sd)[:, None] * (_root(overlap(rates, ends)) @ random.standard_normal((len(rates), n)))
    missed = [float(fit.missed(rate, np.array([end]))[0]) for rate, end in zip(rates, ends, strict=True)]
    off += GROWTH * np.array(missed)[:, None] * random.standard_normal(n)
    # Student's t with the sd of the normal.
    heavy = np.sqrt((FREEDOM - 2.0) / random.chisquare(FREEDOM, n))
    expected += (ease * shift)[:, None] + off * heavy
    # What laws do not explain of a run may be its level, or its schedule.
    expected += fit.differ_draws(random, _root(overlap(rates, ends)), n)
    return EndDraws(expected, ease * fit.noise)


def expected_ends(
    fit: ScheduleFit, rates: Sequence[RateCurve], ends: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """The mean log loss at the end of schedules, over `CHOSEN` draws of each law."""
    fit = fit.weighty
    return _mean_ends(fit, _given(fit, rates, ends))


def best_wsd(fit: ScheduleFit, warm_up: float, end: float, peak: float, least: float = 0.0) -> tuple[RateCurve, float]:
    """Warm-up-stable-decay with the best share of `SHARES`, and that share."""
    tried = [shaped("wsd", warm_up, end, peak, least, share) for share in SHARES]
    best = int(np.argmin(expected_ends(fit, tried, np.full(len(tried), end))))
    return tried[best], SHARES[best]


def best_rate(fit: ScheduleFit, warm_up: float, end: float, peak: float, least: float = 0.0) -> RateCurve:
    """The rate that starts at the peak after a linear warm-up, never rises, never falls below ``least``, and has the
    lowest mean log loss at the end.

    Raises ValueError unless 0 <= warm_up < end and 0 <= least < peak.
    """
    from scipy.optimize import minimize

    if not 0 <= warm_up < end:
        raise ValueError(f"the warm-up must end within the run, found {warm_up:g} of {end:g} steps")
    if not 0 <= least < peak:
        raise ValueError(f"the least rate must lie between zero and the peak, found {least:g} and {peak:g}")
    fit, step = fit.weighty, knots_between(warm_up, end)
    k = len(step) - 1
    moves = np.concatenate([np.zeros((1, k)), MOVE * np.eye(k)])

    def value_and_slope(below: np.ndarray) -> tuple[float, np.ndarray]:
        # The first knot is at the peak; what follows is in parts of the way from the least rate to it.
        inwards = np.where(below > 0.5, -1.0, 1.0)
        rates = least + (peak - least) * np.hstack([np.ones((k + 1, 1)), below + inwards * moves])
        given = {warm: _of_knots(step, rates, fit.unit, warm_up=warm) for warm in _warm(fit)}
        value = _mean_ends(fit, given) / UNIT
        return float(value[0]), (value[1:] - value[0]) / (inwards * MOVE)

    falls = {"type": "ineq", "fun": lambda below: -np.diff(below), "jac": lambda below: -np.diff(np.eye(k), axis=0)}
    found = []
    for start in (best_wsd(fit, warm_up, end, peak, least)[0], shaped("linear", warm_up, end, peak, least)):
        begin = np.clip((start.at(step[1:]) - least) / (peak - least), 0.0, 1.0)
        result = minimize(
            value_and_slope, begin, jac=True, method="SLSQP", bounds=[(0.0, 1.0)] * k, constraints=[falls],
            options={"maxiter": MOST_STEPS, "ftol": SMALL},
        )  # fmt: skip
        for below in (result.x, begin):
            kept = np.minimum.accumulate(np.clip(np.append(1.0, below), 0.0, 1.0))
            found.append(RateCurve(step, least + (peak - least) * kept))
    return found[int(np.argmin(expected_ends(fit, found, np.full(len(found), end))))]


def _of_knots(
    step: Float[np.ndarray, " k"], rates: Float[np.ndarray, "b k"], unit: Reference, *, warm_up: bool
) -> Terms:
    """The terms of the end of many falling rates with the same knots: smooth in the rates, as `terms`, which cuts each
    rate anew, is not.

    A piece is `CUT` falls at the rate in their middle. With fewer, a search would find that large jumps look best.
    """
    fine = np.interp(np.arange(CUT * (len(step) - 1) + 1) / CUT, np.arange(len(step)), step)
    place = np.minimum(np.arange(len(fine)) // CUT, len(step) - 2)
    along = (fine - step[place]) / (step[place + 1] - step[place])
    step, rates = fine, rates[:, place] + along * (rates[:, place + 1] - rates[:, place])
    before = 0.5 * step[0] * rates[:, :1]
    if warm_up and step[0] > 0:
        rise = np.linspace(0.0, 1.0, RISE + 1)[:-1]
        step, rates = np.concatenate([step[0] * rise, step]), np.hstack([rates[:, :1] * rise, rates])
        before = np.zeros((len(rates), 1))
    width, left, right = np.diff(step), rates[:, :-1], rates[:, 1:]
    area = np.hstack([before, before + np.cumsum(0.5 * width * (left + right), axis=1)])
    then = area[:, :-1] + width * (0.375 * left + 0.125 * right)
    return Terms(
        np.log(area[:, -1] / unit.area),
        ((left - right) / unit.peak).ravel(),
        np.tile((step[-1] - 0.5 * (step[1:] + step[:-1])) / unit.steps, len(rates)),
        ((area[:, -1:] - then) / unit.area).ravel(),
        np.log(np.maximum(0.5 * (left + right) / unit.peak, LEAST_RATE)).ravel(),
        np.log(np.maximum(then / unit.area, 1e-12)).ravel(),
        np.log(rates.max(axis=1) / unit.peak),
        left.shape[1] * np.arange(len(rates)),
    )


def _given(fit: ScheduleFit, rates: Sequence[RateCurve], ends: np.ndarray) -> dict[bool, Terms]:
    return {
        warm: stacked([
            terms(rate, np.array([end]), fit.unit, warm_up=warm) for rate, end in zip(rates, ends, strict=True)
        ])
        for warm in _warm(fit)
    }  # fmt: skip


def _warm(fit: ScheduleFit) -> set[bool]:
    return {member.law.warm_up for member in fit.members}


def _mean_ends(fit: ScheduleFit, given: Mapping[bool, Terms]) -> np.ndarray:
    means = [_ends(fit, i, given[member.law.warm_up], CHOSEN).mean(axis=0) for i, member in enumerate(fit.members)]
    return np.asarray(fit.weights @ np.array(means))


def _ends(fit: ScheduleFit, i: int, given: Terms, most: int | None) -> np.ndarray:
    """Log losses (s, m) of one law's draws; a draw without a positive loss counts as the middle one.

    Where no draw has a positive loss, all are inf: no search chooses that schedule.
    """
    member = fit.members[i]
    numbers, place = np.unique(member.drawn.numbers[:most], axis=0, return_inverse=True)
    value = fit.level + member.law.values(numbers, given)[place.ravel()]
    known = np.isfinite(value)
    none = ~known.any(axis=0)
    return np.where(none, np.inf, np.where(known, value, np.nanmedian(np.where(none, 0.0, value), axis=0)))


def overlap(rates: Sequence[RateCurve], ends: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m m"]:
    """The area that two schedules have in common, in parts of what either has: one for equal ones.

    It is a kernel (Ruzicka's similarity), so that it serves as a correlation.
    """
    at = np.linspace(0.0, ends.max(), OVERLAP_POINTS + 1)[1:]
    height = np.array([rate.at(at) * (at <= end) for rate, end in zip(rates, ends, strict=True)])
    both = np.minimum(height[:, None], height[None]).sum(axis=2)
    return np.asarray(both / np.maximum(height[:, None], height[None]).sum(axis=2))


def _root(matrix: np.ndarray) -> np.ndarray:
    value, basis = np.linalg.eigh(matrix)
    return np.asarray(basis * np.sqrt(np.maximum(value, 0.0)))

"""Designed rates: the known optimum of a law is found, draws are common, the best peak of simulated runs is seen."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictdyn.fitting.schedule_design import (
    best_rate,
    best_wsd,
    end_draws,
    expected_ends,
    overlap,
    shaped,
)
from predictdyn.fitting.schedule_laws import (
    LAWS,
    MOMENTUM,
    MULTI_POWER,
    RateCurve,
    Reference,
    ScheduleLaw,
    peaked,
    terms,
)
from predictdyn.fitting.schedule_mixture import FittedScheduleLaw, LossCurve, ScheduleFit, fit_schedules
from predictdyn.fitting.schedule_posterior import LawDraws, LawMode

END, WARM_UP = 4000.0, 100.0
UNIT = Reference(1.0, END, END)
TRUE = {
    "level": 0.0, "share": -2.2, "alpha": np.log(0.4), "drop": np.log(0.06), "bend": 0.0, "memory": np.log(0.05),
    "speed": 6.0, "beta": np.log(0.55), "gamma": 0.4, "ratio": 0.3,
}  # fmt: skip


def known(*members: tuple[ScheduleLaw, list[dict[str, float]]]) -> ScheduleFit:
    """A fit whose draws are given: those of `TRUE` but for some numbers."""
    fitted = []
    for law, changes in members:
        numbers = np.array([[{**TRUE, **change}[number.name] for number in law.numbers] for change in changes])
        k = numbers.shape[1]
        mode = LawMode(numbers[0], 1e-6 * np.eye(k), 0.002, 1.0, np.zeros(4), 0.0)
        fitted.append(FittedScheduleLaw(law, mode, LawDraws(np.tile(numbers, (24, 1)), 1.0)))
    return ScheduleFit(tuple(fitted), np.full(len(fitted), 1 / len(fitted)), UNIT, np.log(3.0), None, UNIT.area)


def end_of(fit: ScheduleFit, rate: RateCurve) -> float:
    return float(expected_ends(fit, [rate], np.array([END]))[0])


def jump(step: float) -> RateCurve:
    """The peak until a step, nothing after it."""
    return RateCurve(np.array([WARM_UP, step, step + 1.0, END]), np.array([1.0, 1.0, 0.0, 0.0]))


@pytest.mark.parametrize("memory", [0.02, 0.05, 0.15])
def test_the_known_optimum_of_the_momentum_law_is_one_fall(memory):
    """Each fall costs area and brings 1 - exp(-lag / memory), so all falls are best at one step, which a scan finds."""
    fit = known((MOMENTUM, [{"memory": np.log(memory)}]))
    scanned = np.arange(WARM_UP + 20, END - 5, 5.0)
    values = expected_ends(fit, [jump(step) for step in scanned], np.full(len(scanned), END))
    best, found = float(scanned[np.argmin(values)]), best_rate(fit, WARM_UP, END, 1.0)
    assert WARM_UP + 200 < best < END - 30
    # A fall takes one piece of the design, or two.
    near = np.diff(found.step)[np.searchsorted(found.step, best) - 1]
    falls = -np.diff(found.rate) @ (0.5 * (found.step[1:] + found.step[:-1]))
    assert abs(falls - best) < 1.5 * near
    gain = end_of(fit, shaped("linear", WARM_UP, END, 1.0)) - values.min()
    assert gain > 0.002
    assert end_of(fit, found) < values.min() + 0.03 * gain


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_design_beats_shapes_and_small_changes(law):
    fit = known((law, [{"bend": 0.1}]))
    found = best_rate(fit, WARM_UP, END, 1.0, 0.05)
    assert found.rate[0] == 1.0 and found.rate[-1] >= 0.05 and (np.diff(found.rate) <= 0).all()
    least = end_of(fit, found)
    others = [shaped(name, WARM_UP, END, 1.0, 0.05) for name in ("cosine", "linear", "constant")]
    others.append(best_wsd(fit, WARM_UP, END, 1.0, 0.05)[0])
    assert all(least <= end_of(fit, other) for other in others)
    # No fall moved earlier or later by a tenth of the run does better.
    for shift in (-0.1, 0.1):
        moved = np.minimum.accumulate(np.interp(found.step - shift * END, found.step, found.rate))
        assert least < end_of(fit, RateCurve(found.step, moved))


def test_where_only_area_or_only_falls_count_the_rate_stays_or_falls_at_once():
    flat = best_rate(known((MOMENTUM, [{"drop": np.log(1e-6)}])), WARM_UP, END, 1.0)
    assert_allclose(flat.rate[:-1], 1.0, atol=1e-3)
    # Long before the end it does not matter when a fall comes, so the value tells, not the shape.
    fit = known((MOMENTUM, [{"share": -12.0}]))
    falls, at_once = (
        best_rate(fit, WARM_UP, END, 1.0, 0.1),
        RateCurve(np.array([WARM_UP, WARM_UP + 1, END]), np.array([1, 0.1, 0.1])),
    )
    assert falls.at(np.array([0.9 * END]))[0] < 0.15
    assert end_of(fit, falls) == pytest.approx(end_of(fit, at_once), abs=2e-5)
    assert end_of(fit, shaped("linear", WARM_UP, END, 1.0, 0.1)) > end_of(fit, at_once) + 1e-3


def test_a_design_is_for_all_draws_not_for_one():
    slow, fast = {"memory": np.log(0.3)}, {"memory": np.log(0.01)}
    both = known((MOMENTUM, [slow, fast]))
    found = end_of(both, best_rate(both, WARM_UP, END, 1.0))
    for one in (slow, fast):
        alone = best_rate(known((MOMENTUM, [one])), WARM_UP, END, 1.0)
        assert found < end_of(both, alone) - 1e-4


def test_differences_come_from_common_draws():
    levels = [{"level": level} for level in np.linspace(-0.05, 0.05, 20)]
    fit = known((MOMENTUM, levels), (MULTI_POWER, levels))
    rates = [
        shaped("linear", WARM_UP, END, 1.0),
        shaped("linear", WARM_UP, END, 1.0),
        shaped("cosine", WARM_UP, END, 1.0),
    ]
    drawn = end_draws(fit, rates, np.full(3, END), seed=0)
    assert_allclose(drawn.expected[0], drawn.expected[1], atol=1e-7)
    apart = drawn.expected[2] - drawn.expected[0]
    # What all share, the level, cancels.
    assert drawn.expected[0].std() > 0.02
    assert 0 < apart.std() < 0.25 * drawn.expected[0].std()
    assert_allclose(drawn.expected, end_draws(fit, rates, np.full(3, END), seed=0).expected)
    assert drawn.luck == pytest.approx([0.002] * 3, rel=1.0)


def test_overlap_is_the_shared_area():
    rates = [shaped("constant", 0.0, END, 1.0), shaped("linear", 0.0, END, 1.0), shaped("constant", 0.0, END, 2.0)]
    shared = overlap(rates, np.full(3, END))
    assert_allclose(shared, [[1, 0.5, 0.5], [0.5, 1, 0.25], [0.5, 0.25, 1]], atol=0.01)
    assert (np.linalg.eigvalsh(shared) > 0).all()


def test_bad_bounds_are_told():
    fit = known((MOMENTUM, [{}]))
    with pytest.raises(ValueError, match="the warm-up must end within the run, found 5000 of 4000 steps"):
        best_rate(fit, 5000.0, END, 1.0)
    with pytest.raises(ValueError, match="the least rate must lie between zero and the peak, found 2 and 1"):
        best_rate(fit, WARM_UP, END, 1.0, 2.0)


def runs_of(peaks: list[float], curvature: float, best: float) -> list[LossCurve]:
    """Runs under a law, whose whole curve is worse the farther their peak lies from the best one."""
    step, random = np.arange(100.0, END + 1, 50.0), np.random.default_rng(0)
    numbers = np.array([[TRUE[number.name] for number in MULTI_POWER.numbers]])
    curves = []
    for peak in peaks:
        for shape in ("constant", "cosine", "wsd"):
            rate = shaped(shape, WARM_UP, END, peak)
            value = MULTI_POWER.values(numbers, terms(rate, step, UNIT, warm_up=True))[0]
            value = value + curvature * np.log(peak / best) ** 2 + 5e-4 * random.standard_normal(len(step))
            curves.append(LossCurve(rate, step, np.log(3.0) + value))
    return curves


def test_the_best_peak_is_seen_where_runs_have_several():
    grid = np.geomspace(0.25, 4.0, 33)

    def best_of(curvature: float) -> float:
        fit = fit_schedules(runs_of([0.25, 0.5, 1.0, 2.0, 4.0], curvature, 0.8), laws=[peaked(law) for law in LAWS])
        rates = [shaped("linear", WARM_UP, END, peak) for peak in grid]
        return float(grid[np.argmin(expected_ends(fit, rates, np.full(33, END)))])

    def truth(curvature: float) -> float:
        numbers = np.array([[TRUE[number.name] for number in MULTI_POWER.numbers]])
        rates = [shaped("linear", WARM_UP, END, peak) for peak in grid]
        value = [MULTI_POWER.values(numbers, terms(rate, np.array([END]), UNIT, warm_up=True))[0, 0] for rate in rates]
        return float(grid[np.argmin(np.array(value) + curvature * np.log(grid / 0.8) ** 2)])

    assert abs(np.log(best_of(0.05) / truth(0.05))) < 0.4
    # The control: without the parabola the law wants the largest.
    assert best_of(0.0) == truth(0.0) == 4.0


def test_the_slopes_of_the_parabola_are_those_of_its_values():
    law, rate = peaked(MULTI_POWER), shaped("cosine", WARM_UP, END, 0.5)
    given = terms(rate, np.array([500.0, END]), UNIT, warm_up=True)
    numbers = np.array([[*(TRUE[number.name] for number in MULTI_POWER.numbers), 0.3, -0.2]])
    value, slope = law.slopes(numbers, given)
    plain = MULTI_POWER.values(numbers[:, :-2], given)
    assert_allclose(value - plain, 0.3 * np.log(0.5) - 0.2 * np.log(0.5) ** 2)
    for i in range(numbers.shape[1]):
        step = 1e-6 * np.eye(numbers.shape[1])[i]
        assert_allclose(slope[..., i], (law.values(numbers + step, given) - value) / 1e-6, rtol=1e-3, atol=1e-6)

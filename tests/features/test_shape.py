"""Features of one curve against closed forms and slow roads to the same number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from predictdyn.curves import Metric

LN2 = np.log(2.0)


def test_a_line_in_ln_step(described):
    x = np.arange(12) * LN2
    found = described(3.0 - 0.5 * x, share=0.25, last_step=2.0**13)
    assert_allclose([found["slope"], found["recent_slope"]], -0.5)
    assert_allclose(found["end"], 3.0 - 0.5 * 13 * LN2)
    assert_allclose([found["curvature"], found["noise"], found["break_gain"]], 0, atol=1e-9)
    assert found["points"] == 12
    assert_allclose([found["first"], found["last"], found["level"]], 3.0 - 0.5 * LN2 * np.array([0, 11, 9]))
    assert_allclose(found["change"], -0.5 * LN2 * 9)


def test_the_quadratic_of_the_later_half_is_that_of_weighted_least_squares(described):
    rng = np.random.default_rng(0)
    step = np.sort(rng.choice(1000, 13, replace=False)) + 1.0
    value = rng.standard_normal(13)
    found = described(value, step)
    x, z = np.log(step / step[-1])[-7:], value[-7:]
    root = np.sqrt(np.arange(1, 8) / 7)  # polyfit squares its weights
    assert_allclose(found["curvature"], 2 * np.polyfit(x, z, 2, w=root)[0])
    assert_allclose(found["slope"], np.polyfit(x, z, 1, w=root)[0])
    assert_allclose(found["recent_slope"], np.polyfit(x[-4:], z[-4:], 1)[0])
    assert_allclose(found["level"], np.sort(z[-5:])[1:4].mean())


def test_noise_is_second_differences_over_root_six(described):
    value = np.random.default_rng(1).standard_normal(20)
    second = np.diff(value[-10:], 2) / np.sqrt(6)
    # The point before the later half is a neighbour of its first.
    with_before = np.append(second, (value[9] - 2 * value[10] + value[11]) / np.sqrt(6))
    found = described(value)
    assert_allclose(found["noise"], np.sqrt(np.mean(with_before**2)))
    every = np.abs(np.diff(value, 2)).sum()
    assert_allclose(found["roughness"], every / (every + abs(found["change"])))


def test_noise_of_unequal_steps_is_the_sd_of_one_point(described):
    rng = np.random.default_rng(2)
    step = np.arange(1.0, 2001.0)
    found = described(1.0 + 0.1 * rng.standard_normal(2000), step)
    assert_allclose(found["noise"], 0.1, rtol=0.06)
    assert described(2.0 + np.log(step), step)["noise"] < 1e-9


def test_a_bend_is_found_where_it_is(described):
    x = np.arange(19) * LN2
    knot = x[-1] * 6 / 9
    found = described(0.2 * x + 1.5 * np.maximum(x - knot, 0))
    assert_allclose([found["break_gain"], found["break_at"]], [1.0, knot - x[-1]])
    noise = np.random.default_rng(3).standard_normal(19)
    assert described(x + noise)["break_gain"] < described(x + noise + 3 * np.maximum(x - knot, 0))["break_gain"]


def test_gain_of_a_bend_is_that_of_least_squares(described):
    value = np.random.default_rng(4).standard_normal(11)
    x = np.arange(11) * LN2
    columns = np.stack([np.ones(11), x], axis=1)

    def residual(matrix):
        return np.sum((value - matrix @ np.linalg.lstsq(matrix, value)[0]) ** 2)

    knots = x[-1] * np.arange(1, 9) / 9
    two = [residual(np.column_stack([columns, np.maximum(x - knot, 0)])) for knot in knots]
    found = described(value)
    assert_allclose(found["break_gain"], 1 - min(two) / residual(columns))
    assert_allclose(found["break_at"], knots[np.argmin(two)] - x[-1])


def test_length_of_a_plateau(described):
    value = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0])
    assert_allclose(described(value)["plateau"], 8 * LN2)
    assert_allclose(described(value, share=0.5, last_step=2.0**12)["plateau"], 8 * LN2)
    assert_allclose(described(np.full(6, 2.0))["plateau"], 5 * LN2)
    assert described(np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 99]))["plateau"] == pytest.approx(0, abs=1e-12)


def test_exponents_of_power_laws(described):
    step = np.geomspace(1, 512, 10)
    accuracy = Metric("m", "capability", 0.0, 1.0, "higher")
    found = described(0.001 * step**0.7, step, accuracy)
    assert_allclose([found["growth"], found["late_growth"]], 0.7)
    bent = described(np.where(step < 30, 0.001, 0.001 * (step / 30) ** 0.5), step, accuracy)
    assert_allclose(bent["late_growth"], 0.5, rtol=0.1)
    assert bent["growth"] < 0.4
    assert np.isnan(described(-step, step)["growth"])


def test_surges_of_signals(described):
    value = np.array([1.0, 1, 1, 8, 1, 1, 2, 2, 2])
    found = described(value, metric=Metric("m", "signal", 0.0))
    assert_allclose(found["surge"], np.log(8.0))
    assert_allclose(found["late_early"], np.log(2.0))
    assert "surge" not in described(value, metric=Metric("m", "loss", 0.0))


def test_side_and_size_of_a_gap(described):
    gap = Metric("m", "bias", -1.0, 1.0, "zero")
    found = described(np.array([0.1, -0.2, 0.0, -0.1, 0.3, 0.4]), metric=gap)
    assert_allclose(found["mean_gap"], 0.5 / 6)
    assert_allclose(found["sign_share"], 4 / 6)
    assert_allclose(found["sign_since"], 2 * LN2)
    assert_allclose(described(np.full(4, 0.2), metric=gap)["sign_since"], 3 * LN2)
    half = described(np.array([0.4, 0.6, 0.7]), metric=Metric("m", "bias", 0.0, 1.0, None, 0.5))
    assert_allclose([half["mean_gap"], half["sign_share"]], [0.2 / 3, 2 / 3])
    assert np.isnan(described(np.array([0.4, 0.6]), metric=Metric("m", "bias", 0.0, 1.0, "higher"))["mean_gap"])


SHIFTED = ("slope", "curvature", "recent_slope", "noise", "roughness", "change", "plateau", "break_gain", "spikes")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.floats(-100, 100), n=st.integers(5, 30))
def test_a_shift_of_the_latent_value_moves_levels_alone(described, seed, shift, n):
    value = np.random.default_rng(seed).standard_normal(n).round(3)
    before, after = described(value), described(value + shift)
    for name in ("first", "last", "level", "end"):
        assert_allclose(after[name], before[name] + shift, atol=1e-8)
    for name in (*SHIFTED, "time_50", "reach_1", "worst_step", "surge", "late_early"):
        assert_allclose(after[name], before[name], atol=1e-8, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.floats(0.01, 100), n=st.integers(5, 30))
def test_a_change_of_units_scales_levels_and_slopes_alone(described, seed, factor, n):
    value = np.random.default_rng(seed).standard_normal(n).round(3)
    before, after = described(value), described(value * factor)
    for name in ("first", "level", "change", "slope", "curvature", "end", "noise", "surge"):
        assert_allclose(after[name], before[name] * factor, rtol=1e-7, atol=1e-9, err_msg=name)
    for name in ("roughness", "time_25", "time_75", "plateau", "break_gain", "break_at", "worst_step", "spikes"):
        assert_allclose(after[name], before[name], rtol=1e-6, atol=1e-9, err_msg=name)

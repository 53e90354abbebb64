"""When a curve had moved how far, and its steps back and spikes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictdyn.curves import Metric

LN2 = np.log(2.0)
ACCURACY = Metric("m", "capability", 0.0, 1.0, "higher")


def first_time(x, moved, level):
    """x where straight lines between the points first reach a level: a fine grid."""
    fine = np.linspace(x[0], x[-1], 400001)
    reached = np.interp(fine, x, moved) >= level
    return fine[np.argmax(reached)] if reached.any() else np.nan


def test_times_of_fractions_of_the_change_so_far(described):
    value = np.cumsum(np.random.default_rng(0).random(12))
    x = (np.arange(12) - 11) * LN2
    for sign in (1, -1):
        found = described(sign * value)
        for name, part in (("time_25", 0.25), ("time_50", 0.5), ("time_75", 0.75)):
            at = first_time(x, value - value[0], part * abs(found["change"]))
            assert_allclose(found[name], at, atol=1e-4)


def test_times_of_levels_follow_the_direction_and_are_censored_at_the_share(described):
    latent = np.array([-2.0, -2.5, -1.9, -1.5, -0.5, -0.4])
    x = (np.arange(6) - 7) * LN2  # the run is planned for four times what was seen
    share = {"share": 0.25, "last_step": 2.0**7}
    found = described(1 / (1 + np.exp(-latent)), metric=ACCURACY, **share)
    for name, level in (("reach_0.25", 0.25), ("reach_1", 1.0)):
        assert_allclose(found[name], first_time(x, latent + 2, level), atol=1e-4)
    assert found["reach_2"] == pytest.approx(np.log(0.25))
    loss = described(np.exp(latent), metric=Metric("m", "loss", 0.0, None, "lower"), **share)
    assert_allclose(loss["reach_0.25"], first_time(x, -latent - 2, 0.25), atol=1e-4)
    assert loss["reach_1"] == pytest.approx(np.log(0.25))


def test_the_first_fall_is_not_a_rise(described):
    rise = described(np.array([0.5, 0.2, 0.5, 0.6, 0.8]), metric=ACCURACY)
    assert rise["reach_0.25"] > -2 * LN2
    either = described(np.array([0.0, -2.0, 0.0, 0.5, 1.0]))
    assert_allclose(either["reach_1"], -3.5 * LN2)


def test_step_0_lies_at_half_the_first_positive_step(described):
    found = described(np.array([0.0, 1.0, 1.0, 1.0, 1.0]), [0, 2, 4, 8, 16])
    assert_allclose(found["time_50"], np.log(1 / 16) + 0.5 * LN2)


def test_a_spike_is_counted_once_and_its_way_back_is_no_spike(described):
    rng = np.random.default_rng(1)
    value = 0.01 * rng.standard_normal(40) + np.arange(40) * 0.1
    assert described(value)["spikes"] == 0
    value[[12, 30]] += (5.0, -3.0)
    assert described(value)["spikes"] == 2
    assert described(value + 4.0 * (np.arange(40) > 20))["spikes"] == 2


def test_largest_step_for_the_worse_is_in_units_of_noise(described):
    rng = np.random.default_rng(2)
    log = 0.02 * rng.standard_normal(200)
    log[100:] -= 1.0
    loss = Metric("m", "loss", 0.0, None, "lower")
    step = np.arange(1.0, 201.0)
    falls, rises = described(np.exp(log), step, loss), described(np.exp(log[::-1]), step, loss)
    # A fall of a loss is no step for the worse: what is left is the noise of the difference of two points.
    assert 1 < np.expm1(falls["worst_step"]) < 6
    assert 30 < np.expm1(rises["worst_step"]) < 80


def test_near_zero_is_better(described):
    gap = Metric("m", "bias", -1.0, 1.0, "zero")
    toward, away = (np.array([0.5, 0.51, 0.5, 0.51, 0.05, 0.06, 0.05])[::order] for order in (1, -1))
    assert described(toward, metric=gap)["worst_step"] < described(away, metric=gap)["worst_step"] - 1
    # Both sides are alike.
    assert_allclose(described(-away, metric=gap)["worst_step"], described(away, metric=gap)["worst_step"])

"""The latent scale: there and back, always inside the range, floors from visible values alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from predictdyn.curves import Metric
from predictdyn.scales import Scale, scale_for

SCALES = [
    Scale(0.0, 1.0, 1e-3),
    Scale(0.0, 1.0, 1e-3, error=True),
    Scale(-1.0, 1.0, 1e-3, error=True),
    Scale(-1.0, 1.0, 1e-3),
    Scale(2.0, None, 1e-9),
    Scale(None, 5.0, 1e-9),
    Scale(None, None, 0.0),
]
LOSS = Scale(0.0, None, 1e-9)


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_there_and_back(scale):
    values = np.linspace(2.1, 4.9, 7) if scale.lower not in (0.0, -1.0) else np.linspace(0.01, 0.99, 7)
    assert_allclose(scale.value(scale.latent(values)), values, rtol=1e-12)


@pytest.mark.parametrize("scale", SCALES, ids=str)
@given(latent=st.floats(-1e6, 1e6))
def test_every_latent_number_lies_in_the_range(scale, latent):
    value = float(scale.value(np.array(latent)))
    assert np.isfinite(value)
    assert scale.lower is None or value >= scale.lower
    assert scale.upper is None or value <= scale.upper


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_stderr_is_the_derivative(scale):
    value, small = np.array([0.3 if scale.upper == 1.0 else 3.0]), 1e-6
    slope = (scale.latent(value + small) - scale.latent(value - small)) / (2 * small)
    assert_allclose(scale.latent_stderr(value, np.array([0.01])), 0.01 * slope, rtol=1e-6)


def test_the_floor_keeps_small_shares_and_tames_bounds():
    share = Metric("memorized", "memorization", 0.0, 100.0)
    assert scale_for(share, np.array([0.0, 0.0006, 1.0])).floor == pytest.approx(0.0003)
    accuracy = scale_for(Metric("acc", "capability", 0.0, 1.0), np.array([0.3, 1.0]))
    assert accuracy.floor == pytest.approx(0.004)
    assert np.isfinite(accuracy.latent(np.array([0.0, 1.0]))).all()


def test_a_bound_that_was_seen_can_be_forecast_and_one_that_was_not_cannot():
    share = Metric("memorized", "memorization", 0.0, 1.0)
    seen = scale_for(share, np.array([0.5, 0.99, 1.0]))
    assert seen.at_upper and not seen.at_lower and seen.floor == pytest.approx(0.004)
    assert seen.value(np.array([9.0, -9.0])).tolist() == pytest.approx([1.0, 1 / (1 + np.exp(9))])
    assert scale_for(share, np.array([0.5, 0.99])).value(np.array(9.0)) < 1.0


# Error rates


def test_an_error_rate_is_bent_less_where_it_is_high():
    error, share = Scale(0.0, 1.0, 1e-3, error=True), Scale(0.0, 1.0, 1e-3)
    values = np.array([0.01, 0.05, 0.3, 0.7, 0.99])
    assert_allclose(error.latent(values), np.log(-np.log(1 - values)))
    # Near zero both are the logarithm of the error: a power law is a line.
    assert_allclose(error.latent(values[:2]), share.latent(values[:2]), atol=0.03)
    assert error.latent(values[-1]) < 0.5 * share.latent(values[-1])


@pytest.mark.parametrize("lower", [0.0, -1.0])
def test_an_error_rate_keeps_order_and_range(lower):
    scale = Scale(lower, 1.0, 1e-3, error=True)
    latent = np.linspace(-20.0, 3.0, 500)
    value = scale.value(latent)
    assert (np.diff(value) > 0).all() and value.min() > lower and value.max() < 1
    assert (np.diff(scale.latent(np.linspace(lower + 0.01, 0.99, 200))) > 0).all()
    ends = scale.value(np.array([-1e6, -400.0, 400.0, 1e6]))
    assert_allclose(ends, [lower, lower, 1, 1], atol=1e-9)
    assert ends.min() >= lower and ends.max() <= 1
    assert np.isfinite(scale.latent(np.array([lower, 1.0]))).all()


@pytest.mark.parametrize("value", [0.02, 0.3, 0.6, 0.95])
def test_stderr_of_an_error_rate_is_a_finite_difference(value):
    scale = Scale(-1.0, 1.0, 1e-3, error=True)
    at, small = np.array([2 * value - 1]), 1e-6
    slope = (scale.latent(at + small) - scale.latent(at - small)) / (2 * small)
    assert_allclose(scale.latent_stderr(at, np.array([0.01])), 0.01 * slope, rtol=1e-6)
    assert np.isnan(scale.latent_stderr(at, np.array([np.nan]))).all()


def test_only_a_rate_between_bounds_that_is_better_lower_is_an_error():
    for better, lower, upper, error in (
        ("lower", 0.0, 1.0, True),
        ("higher", 0.0, 1.0, False),
        (None, 0.0, 1.0, False),
        ("zero", -1.0, 1.0, False),
        ("lower", 0.0, None, False),
        ("lower", None, None, False),
    ):
        assert scale_for(Metric("m", "signal", lower, upper, better), np.array([0.5])).error is error


# What no curve has reached


def test_below_is_what_it_was_under_what_was_reached():
    curves = [np.array([2.0, 1.0, 0.5]), np.array([1.0, 0.2])]
    bent = LOSS.below(curves)
    assert bent.highest == 2.0 and bent.rise == pytest.approx(np.log(4.0)), "none of them rose"
    latent = np.linspace(-30.0, 2.0, 200)
    assert np.array_equal(bent.value(latent), LOSS.value(latent))
    values = np.array([0.1, 1.0, 7.0])
    assert_allclose(bent.value(bent.latent(values)), values)


def test_below_bends_what_goes_higher_and_keeps_its_order():
    bent = LOSS.below([np.array([2.0, 1.0, 0.5])])
    over = np.linspace(0.0, 12.0, 300)
    value = np.log(bent.value(2.0 + over))
    assert (np.diff(value) > 0).all() and (value[1:] < 2.0 + over[1:]).all()
    assert value.max() < 2.0 + np.log(4.0)
    # There is no step or kink where it begins: the slope is one.
    assert_allclose(np.log(bent.value(2.0 + 1e-3)) - 2.0, 1e-3, rtol=1e-5)
    assert_allclose(np.log(bent.value(np.array([50.0, 1e6]))), 2.0 + np.log(4.0)), "the rest of the doubles"


@pytest.mark.parametrize(
    ("curves", "highest", "rise"),
    [
        ([[0.0, 1.0, 5.0, 2.0, 4.0, 0.0, 0.0, 0.0]], 5.0, 4.0),
        ([[0.0, 1.0, 5.0, 2.0, 4.0, 0.0, 0.0, 0.0], [7.0, 6.0], []], 7.0, 4.0),
        ([[5.0, 1.0, 4.5, 0.0]], 5.0, float(np.log(4.0))),
    ],
    ids=["above its first quarter", "another is higher", "back up is no rise"],
)
def test_the_rise_is_the_largest_that_any_curve_made(curves, highest, rise):
    bent = LOSS.below([np.array(curve) for curve in curves])
    assert bent == LOSS.bent(highest, rise) and (bent.highest, bent.rise) == (highest, rise)


@pytest.mark.parametrize("scale", [one for one in SCALES if one.lower is None or one.upper is not None], ids=str)
def test_below_is_for_a_lower_bound_alone(scale):
    assert scale.below([np.array([1.0, 2.0])]) is scale and scale.bent(1.0, 2.0) is scale


def test_below_nothing_is_nothing():
    assert LOSS.below([]) is LOSS and LOSS.below([np.zeros(0)]) is LOSS


@given(latent=st.floats(-1e6, 1e6), highest=st.floats(-50, 50))
def test_bent_numbers_lie_in_the_range(latent, highest):
    value = float(LOSS.below([np.array([highest])]).value(np.array(latent)))
    assert 0 <= value <= np.exp(highest) * 4 * (1 + 1e-9)

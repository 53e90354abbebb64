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
    Scale(-1.0, 1.0, 1e-3),
    Scale(2.0, None, 1e-9),
    Scale(None, 5.0, 1e-9),
    Scale(None, None, 0.0),
]


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

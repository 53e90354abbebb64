"""Two modes: found where numbers lie in two heaps, and never in one heap of any shape."""

import numpy as np
import pytest
from scipy.stats import expon, lognorm, norm, t, uniform

from predictdyn.fitting.two_modes import two_modes

LEVELS = (np.arange(1000) + 0.5) / 1000
ONE = {"normal": norm, "uniform": uniform, "exponential": expon, "lognormal": lognorm(1.0), "t": t(3)}


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("seed", range(5))
def test_one_heap_has_no_two_modes(name, seed):
    rows = np.stack([ONE[name].ppf(LEVELS), np.sort(ONE[name].rvs(size=1000, random_state=seed))])
    assert not two_modes(rows).found.any()


@pytest.mark.parametrize("share", [0.15, 0.4, 0.8])
@pytest.mark.parametrize("apart", [6.0, 8.0, 50.0])
def test_two_heaps_are_found_with_their_shares(share, apart):
    rng = np.random.default_rng(0)
    upper = rng.random(1000) < share
    found = two_modes(np.sort(rng.standard_normal(1000) + apart * upper)[None])
    assert found.found[0] and found.upper[0] == pytest.approx(upper.mean(), abs=0.03)
    assert 1 < found.valley[0] < apart - 1


def test_two_heaps_that_run_into_each_other_are_one():
    rng = np.random.default_rng(1)
    assert not two_modes(np.sort(rng.standard_normal(1000) + 2 * (rng.random(1000) < 0.5))[None]).found[0]


def test_a_mode_needs_a_tenth_of_the_weight():
    row = np.r_[np.linspace(0, 1, 950), np.linspace(5, 6, 50)]
    assert not two_modes(row[None]).found[0]
    weight = np.r_[np.full(950, 1.0), np.full(50, 10.0)]
    found = two_modes(row[None], weight)
    assert found.found[0] and found.upper[0] == pytest.approx(500 / 1450)


def test_equal_numbers_are_one_mode_and_two_values_are_two():
    assert not two_modes(np.ones((1, 50))).found[0]
    found = two_modes(np.r_[np.zeros(30), np.ones(20)][None])
    assert found.found[0] and found.upper[0] == pytest.approx(0.4) and found.valley[0] == 0.5

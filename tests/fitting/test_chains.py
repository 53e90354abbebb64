"""Diagnostics of chains: against numbers that are known, and chains that never met."""

import numpy as np
import pytest

from predictdyn.fitting.chains import UNSAMPLED, mixing


def draws_of(seed=0, chains=32, draws=24):
    return np.random.default_rng(seed).standard_normal((chains, draws, 5))


def test_independent_draws_count_as_many_as_they_are():
    found = mixing(draws_of(draws=200), 0.0)
    assert found.converged and found.rhat < 1.01
    assert found.size == pytest.approx(32 * 200, rel=0.15)


def test_one_number_that_chains_do_not_agree_on_is_enough():
    draws = draws_of()
    draws[:16, :, 3] += 2.0
    found = mixing(draws, 0.0)
    # Between the halves lies as much variance as within: R-hat is about the root of two.
    assert found.rhat == pytest.approx(np.sqrt(2), abs=0.1) and not found.converged
    assert found.size < 40


def test_draws_that_hang_together_count_less():
    steps = draws_of(1, draws=400)
    for t in range(1, 400):
        steps[:, t] = 0.9 * steps[:, t - 1] + np.sqrt(1 - 0.81) * steps[:, t]
    # (1 + .9) / (1 - .9) = 19 draws are worth one.
    assert mixing(steps, 0.0).size == pytest.approx(32 * 400 / 19, rel=0.25)


def test_chains_that_never_moved_or_lost_paths_have_not_converged():
    stuck = draws_of()
    stuck[:, :, 0] = 1.0
    assert not mixing(stuck, 0.0).converged
    assert mixing(draws_of(draws=200), 0.01).converged and not mixing(draws_of(draws=200), 0.02).converged
    assert not UNSAMPLED.converged

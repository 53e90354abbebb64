"""Counts whose hazards are log-linear: against sums over a grid, and numbers that were put in."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix
from scipy.stats import binom, norm, t

from predictdyn.fitting import binomial_regression
from predictdyn.fitting.binomial_regression import Counts

GRID = np.linspace(-80, 80, 40001)
LEVELS = [0.1, 0.25, 0.5, 0.75, 0.9]


def one_curve(share: float, trials: float = 32.0) -> Counts:
    return Counts(csr_matrix(np.ones((1, 1))), np.array([share]), np.array([trials]))


def on_grid(share: float, prior: np.ndarray, trials: int = 32) -> np.ndarray:
    """Quantiles of one weight, by a sum; the probability from the mean over a gamma's hazards, written out."""
    chance = 1 - (1 + np.exp(GRID) / binomial_regression.NU) ** -binomial_regression.NU
    weight = np.cumsum(prior * binom.pmf(round(share * trials), trials, chance))
    return np.interp(LEVELS, weight / weight[-1], GRID)


@pytest.mark.parametrize("share", [0.0, 0.03125, 0.5, 1.0])
def test_draws_have_the_quantiles_of_a_sum_over_a_grid(share):
    rng = np.random.default_rng(0)
    draws = binomial_regression.sampled(one_curve(share), np.array([-1.0]), np.array([[2.25]]), 4.0, 20000, rng)[0]
    assert_allclose(np.quantile(draws, LEVELS), on_grid(share, t.pdf((GRID + 1) / 1.5, 4.0)), rtol=0.1, atol=0.05)


def test_the_mode_lies_where_a_sum_puts_it_if_there_is_much_to_go_by():
    found = binomial_regression.posterior(one_curve(0.5, 3200.0), np.array([-1.0]), np.array([[1 / 2.25]]))
    spread = np.sqrt(found.covariance[0, 0])
    quantiles = norm.ppf(LEVELS, found.mean[0], spread)
    assert_allclose(quantiles, on_grid(0.5, norm.pdf((GRID + 1) / 1.5), 3200), atol=0.1 * spread)


def test_none_of_many_strings_lowers_the_hazard_more_than_none_of_few():
    few, many = (binomial_regression.posterior(one_curve(0.0, n), np.zeros(1), np.eye(1)).mean[0] for n in (4.0, 400.0))
    assert many < few < 0


def test_variances_of_two_groups_are_told_apart():
    rng = np.random.default_rng(1)
    wide, narrow = rng.normal(0, 1.5, 80), rng.normal(0, 0.2, 80)
    curve = np.repeat(np.arange(80), 2)
    columns = np.concatenate([np.eye(80)[curve], np.eye(80)[curve] * np.tile([1.0, -1.0], 80)[:, None]], axis=1)
    chance = binomial_regression.probability(columns @ np.r_[wide, narrow])
    shares = Counts(csr_matrix(columns), rng.binomial(200, chance) / 200, np.full(160, 200.0))
    found = binomial_regression.learnt(shares, np.zeros(160), np.repeat([0, 1], 80), np.array([0.5, 0.5]))
    assert_allclose(np.sqrt(found.variance), [1.5, 0.2], rtol=0.25)

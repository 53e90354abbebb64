"""Draws by Hamiltonian paths: against a posterior in closed form, and where numbers overflow."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictdyn.fitting.hamiltonian import Chains, moved


def test_draws_have_the_mean_and_covariance_of_a_normal_posterior():
    rng = np.random.default_rng(0)
    design = rng.standard_normal((6, 3)) @ np.diag([3.0, 1.0, 0.3])
    seen = rng.standard_normal(6)

    def likelihood(at):
        off = seen[:, None] - design @ at
        return -(off**2).sum(axis=0) / 2, design.T @ off

    covariance = np.linalg.inv(design.T @ design + np.eye(3))
    chains = moved(likelihood, Chains(np.zeros((3, 4000)), 0.4), np.diag([0.2, 0.5, 1.0]), 60, rng, learn=True)
    draws = moved(likelihood, chains, np.diag([0.2, 0.5, 1.0]), 20, rng).at
    assert_allclose(draws.mean(axis=1), covariance @ design.T @ seen, atol=0.06)
    assert_allclose(np.cov(draws), covariance, atol=0.06)


def test_the_length_of_a_step_is_learnt_from_paths_that_are_taken():
    def likelihood(at):
        return -1e4 * (at**2).sum(axis=0) / 2, -1e4 * at

    begin = Chains(np.zeros((2, 50)), 0.4)
    chains = moved(likelihood, begin, np.eye(2), 60, np.random.default_rng(1), learn=True)
    assert 0.002 < chains.length < 0.02  # the posterior is .01 wide
    kept = moved(likelihood, chains, np.eye(2), 40, np.random.default_rng(2))
    assert kept.divergent == 0.0
    assert kept.length == chains.length and kept.at.std() == pytest.approx(0.01, rel=0.25)


def test_a_path_that_leaves_the_numbers_is_turned_down():
    def likelihood(at):
        return -np.exp(at**2).sum(axis=0), -2 * at * np.exp(at**2)

    chains = moved(likelihood, Chains(np.full((1, 20), 0.5), 500.0), np.eye(1), 5, np.random.default_rng(3))
    assert (chains.at == 0.5).all() and chains.divergent == 1.0

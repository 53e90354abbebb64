"""Spikes, known errors and neighbours that err alike: each weight and map against what it should do."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictdyn.fitting.mixtures import mean_sd
from predictdyn.fitting.noise import huber, reweighted, student, whiten, whitening
from predictdyn.fitting.quadrature import posterior, predict
from predictdyn.forms import BY_NAME

POW3 = BY_NAME["pow3"]
X = np.linspace(0.04, 1, 40)


def test_whitened_errors_have_the_stated_covariance():
    rng = np.random.default_rng(0)
    x, weight = np.sort(rng.uniform(0.1, 1, 9)), rng.uniform(0.5, 2, 9)
    weight[4] = 0.0  # skipped: its neighbours are neighbours
    white = whitening(x, weight, 0.7)
    seen = np.delete(np.arange(9), 4)
    matrix = np.asarray(whiten(np.eye(9), white)).T[np.ix_(seen, seen)]
    apart = np.abs(np.subtract.outer(np.log(x[seen]), np.log(x[seen])))
    typical = np.median(np.diff(np.log(x[seen])))
    covariance = 0.7 ** (apart / typical) / np.sqrt(np.outer(weight[seen], weight[seen]))
    assert_allclose(matrix @ covariance @ matrix.T, np.eye(8), atol=1e-10)
    assert white.own[4] == 0 and white.before[4] == 0


def test_a_map_for_each_curve_is_the_shared_one():
    x, weight = np.geomspace(0.1, 1, 6), np.ones(6)
    y = np.random.default_rng(0).standard_normal((3, 2, 6))
    shared = whiten(y, whitening(x, weight, 0.5))
    own = whiten(y, whitening(np.tile(x, (3, 1)), np.ones((3, 6)), 0.5))
    assert_allclose(own, shared)


@pytest.mark.parametrize("rule", [student, huber])
def test_robust_weights_resist_spikes(rule):
    rng, form, at = np.random.default_rng(1), POW3, np.array([3.0])
    truth = 1 + 0.5 * X**-0.6
    z = truth + 0.02 * rng.standard_normal((4, 40))
    spiked = z.copy()
    spiked[:, [5, 20, 33]] += np.array([2.0, -1.5, 3.0])

    def residual(weight):
        found = posterior(form, X, spiked, weight)
        return spiked - mean_sd(predict(found, form, X))[0]

    weight = reweighted(residual, np.ones_like(z), rule)
    assert weight[:, [5, 20, 33]].max() < 0.1 and np.median(weight) > 0.9
    clean, plain, robust = (
        mean_sd(predict(posterior(form, X, values, w), form, at))[0]
        for values, w in ((z, np.ones_like(z)), (spiked, np.ones_like(z)), (spiked, weight))
    )
    assert np.abs(robust - clean).max() < 0.05 < 0.15 < np.abs(plain - clean).max()


def test_weights_of_a_perfect_fit_are_one():
    for rule in (student, huber):
        found = rule(np.zeros((1, 5)), np.ones((1, 5)))
        assert np.isfinite(found).all() and np.ptp(found) == 0
    spike = np.array([[0.0, 0, 0, 0, 0, 1.0]])
    assert student(spike, np.ones((1, 6)))[0, -1] < 1e-3

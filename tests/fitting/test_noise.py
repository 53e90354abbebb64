"""Spikes, known errors and neighbours that err alike: each weight and map against what it should do."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictdyn.fitting.mixtures import mean_sd
from predictdyn.fitting.noise import common_noise, huber, precision, reweighted, student, whiten, whitening
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


def test_common_noise_is_what_the_errors_do_not_explain():
    rng = np.random.default_rng(2)
    stderr = rng.uniform(0.05, 0.3, (3, 4000))
    residual = np.sqrt(stderr**2 + np.array([0.0, 0.1, 0.4])[:, None] ** 2) * rng.standard_normal((3, 4000))
    found = common_noise(residual, stderr, np.full(3, 4000.0))
    assert_allclose(found, [0, 0.1, 0.4], atol=0.03)
    w = precision(stderr, found)
    assert_allclose((w[1:] * residual[1:] ** 2).sum(1), 4000, rtol=1e-6)
    gap = np.where(np.arange(4000) % 2, np.nan, stderr)
    assert_allclose(common_noise(residual, gap, np.full(3, 2000.0))[1:], [0.1, 0.4], atol=0.03)


def test_known_errors_make_precise_points_count():
    rng = np.random.default_rng(3)
    stderr = np.where(np.arange(40) < 20, 0.3, 0.01)[None]
    z = 1 + 0.5 * X**-0.6 + stderr * rng.standard_normal((30, 40))
    truth, at = 1 + 0.5 * 3.0**-0.6, np.array([3.0])
    w = precision(np.tile(stderr, (30, 1)), np.full(30, 0.005))
    off = [np.abs(mean_sd(predict(posterior(POW3, X, z, one), POW3, at))[0] - truth).mean() for one in (w, None)]
    assert off[0] < 0.7 * off[1]

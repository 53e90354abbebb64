"""Coupling: correlations that were put in come out, few families say nothing, and no margin moves."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from predictdyn.fitting.copula import LEAST_EIGENVALUE, correlation, coupled, normal_scores, ranks, residuals


def normals(n, d, corr, seed=0):
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(np.full((d, d), corr) + (1 - corr) * np.eye(d))
    return rng.standard_normal((n, d)) @ root.T


def test_a_line_is_taken_away_whatever_a_fifth_of_the_runs_does():
    rng = np.random.default_rng(0)
    level = rng.standard_normal(200)
    noise = 0.1 * rng.standard_normal(200)
    change = 2.0 - 0.7 * level + noise
    change[:40] = 1e3
    left = residuals(level, change)[40:]
    # The centre is a median as well, so a fifth of wild runs moves it by a fraction of the noise.
    assert_allclose(left - left.mean(), (noise - noise[40:].mean())[40:], atol=0.1)


def test_missing_values_stay_missing_and_equal_levels_have_no_slope():
    left = residuals(np.array([1.0, 1.0, np.nan, 1.0]), np.array([0.0, 2.0, 5.0, 1.0]))
    assert_array_equal(left, [-1.0, 1.0, np.nan, 0.0])


def test_scores_are_those_of_the_ranks_and_do_not_know_the_scale():
    values = np.exp(normals(50, 2, 0.0))
    values[3, 1] = np.nan
    assert_allclose(normal_scores(values), normal_scores(np.log(values)))
    assert np.isnan(normal_scores(values)[3, 1]) and np.nanstd(normal_scores(values)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("corr", [-0.4, 0.0, 0.5, 0.9])
def test_the_correlation_of_many_families_is_found(corr):
    found = correlation(normal_scores(normals(800, 3, corr)), np.arange(800))
    assert_allclose(found[np.triu_indices(3, 1)], corr, atol=0.08)


def test_families_of_copies_count_once():
    """Twenty copies of each run are no more than the run itself."""
    one = normals(6, 8, 0.0, seed=3)
    many = np.repeat(one, 20, axis=0)
    family = np.repeat(np.arange(6), 20)
    assert_allclose(correlation(many, family), correlation(one, np.arange(6)), atol=1e-9)


def test_runs_of_a_family_that_are_not_alike_count_for_more():
    scores, family = normals(120, 8, 0.5), np.repeat(np.arange(6), 20)
    off = np.triu_indices(8, 1)
    assert_allclose(correlation(scores, family)[off], 0.5, atol=0.2)
    # The same numbers as copies of six runs: much of what they show may be chance.
    copies = np.repeat(scores[::20], 20, axis=0)
    assert np.mean(correlation(copies, family)[off]) < 0.3


def test_chance_is_shrunk_away():
    """Six independent families: the raw correlations have a root mean square of .45, the shrunk ones a third of it."""
    off = np.triu_indices(10, 1)
    shrunk, raw = [], []
    for seed in range(40):
        scores = normals(6, 10, 0.0, seed=seed)
        raw.append(np.corrcoef(scores.T)[off])
        shrunk.append(correlation(scores, np.arange(6))[off])
    assert np.sqrt(np.mean(np.square(raw))) == pytest.approx(0.45, abs=0.03)
    assert np.sqrt(np.mean(np.square(shrunk))) < 0.15


def test_shrinking_brings_few_families_nearer_the_truth():
    off = np.triu_indices(10, 1)
    for corr in (0.0, 0.3):
        far = [
            [np.mean((one(normals(8, 10, corr, seed=seed))[off] - corr) ** 2) for seed in range(40)]
            for one in (lambda z: np.corrcoef(z.T), lambda z: correlation(z, np.arange(8)))
        ]
        assert np.mean(far[1]) < np.mean(far[0])


def test_three_families_say_nothing_four_do():
    scores, family = normals(40, 2, 0.95), np.arange(40) % 4
    assert correlation(scores, family)[0, 1] > 0.6
    assert_array_equal(correlation(scores[family < 3], family[family < 3]), np.eye(2))


def test_pairs_have_the_runs_that_have_both():
    scores, family = normals(60, 3, 0.8), np.arange(60)
    scores[:30, 0] = np.nan
    scores[30:58, 2] = np.nan
    found = correlation(scores, family)
    assert found[0, 1] > 0.5 and found[1, 2] > 0.5
    assert abs(found[0, 2]) < 0.1, "two families have both; no more than being positive definite asks for"


@pytest.mark.parametrize("seed", range(5))
def test_the_result_is_a_correlation_matrix_whatever_is_missing(seed):
    rng = np.random.default_rng(seed)
    scores = normals(12, 30, 0.9, seed)
    scores[rng.random(scores.shape) < 0.4] = np.nan
    scores[:, 4] = 0.0
    found = correlation(scores, np.arange(12) // 2)
    assert_allclose(np.diag(found), 1)
    assert_allclose(found, found.T, atol=1e-12)
    assert np.linalg.eigvalsh(found)[0] > 0.1 * LEAST_EIGENVALUE
    assert np.abs(np.delete(found[4], 4)).max() < 1e-12, "a metric that never moves goes with nothing"
    np.linalg.cholesky(found)


def test_coupling_moves_no_margin_and_couples():
    rng = np.random.default_rng(0)
    draws = np.vstack([rng.gamma(2.0, size=2000), rng.standard_cauchy(2000), np.repeat([0.0, 1.0], 1000)])
    want = np.array([[1.0, 0.7, -0.5], [0.7, 1.0, 0.0], [-0.5, 0.0, 1.0]])
    found = coupled(draws, ranks(want, 2000, rng))
    assert_array_equal(np.sort(found, axis=1), np.sort(draws, axis=1))
    assert np.corrcoef(normal_scores(found[:2].T).T)[0, 1] == pytest.approx(0.7, abs=0.05)
    assert found[0, found[2] == 1].mean() < found[0, found[2] == 0].mean() - 0.5


def test_a_row_of_ranks_does_not_know_those_below():
    want = np.full((3, 3), 0.6) + 0.4 * np.eye(3)
    whole = ranks(want, 50, np.random.default_rng(1))
    assert_array_equal(ranks(want, 50, np.random.default_rng(1)), whole)
    assert_array_equal(np.sort(whole, axis=1), np.tile(np.arange(50), (3, 1)))

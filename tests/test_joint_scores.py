"""Scores of several targets at once: another road to each number, and forecasts that must score worse."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from predictdyn.scores import crps, energy, variogram

ROOT = np.linalg.cholesky(np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]]))


def ordinary(n=30, s=50, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, 3)) @ ROOT.T), np.einsum("ab,nbs->nas", ROOT, rng.standard_normal((n, 3, s)))


@pytest.fixture(scope="module")
def scoringrules():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import scoringrules

        yield scoringrules


@pytest.mark.parametrize("score", [energy, variogram])
class TestContract:
    def test_rows_do_not_know_each_other_and_the_input_is_not_changed(self, score):
        truth, draws = ordinary()
        kept = truth.copy(), draws.copy()
        alone = [score(truth[[i]], draws[[i]])[0] for i in range(len(truth))]
        assert_allclose(score(truth, draws), alone, rtol=1e-12)
        assert_array_equal(truth, kept[0])
        assert_array_equal(draws, kept[1])

    def test_no_order_of_components_or_draws_matters(self, score):
        truth, draws = ordinary()
        assert_allclose(score(truth[:, ::-1], draws[:, ::-1, ::-1]), score(truth, draws), rtol=1e-9)

    def test_an_unknown_component_and_wrong_shapes(self, score):
        truth, draws = ordinary(3)
        truth[1, 2] = np.nan
        assert_array_equal(np.isnan(score(truth, draws)), [False, True, False])
        with pytest.raises(
            ValueError, match=r"truth \(n, d\) and draws \(n, d, s\) with.* got \(3, 2\) and \(3, 3, 50\)"
        ):
            score(truth[:, :2], draws)
        draws[0, 0, 0] = np.inf
        with pytest.raises(ValueError, match="draws must be finite"):
            score(truth, draws)

    def test_independent_draws_of_dependent_targets_score_worse(self, score):
        truth, draws = ordinary(3000, 100)
        loose = np.stack([np.random.default_rng(a).permuted(draws[:, a], axis=1) for a in range(3)], axis=1)
        worse = score(truth, loose) - score(truth, draws)
        assert worse.mean() > 4 * worse.std() / np.sqrt(len(worse))

    def test_dependence_that_is_not_there_scores_worse(self, score):
        truth, draws = ordinary(3000, 100)
        truth = np.stack([np.random.default_rng(9 + a).permuted(truth[:, a]) for a in range(3)], axis=1)
        loose = np.stack([np.random.default_rng(a).permuted(draws[:, a], axis=1) for a in range(3)], axis=1)
        worse = score(truth, draws) - score(truth, loose)
        assert worse.mean() > 4 * worse.std() / np.sqrt(len(worse))

    @pytest.mark.parametrize("spread", [0.6, 1.6])
    def test_a_wrong_spread_scores_worse(self, score, spread):
        truth, draws = ordinary(3000, 100)
        worse = score(truth, spread * draws) - score(truth, draws)
        assert worse.mean() > 4 * worse.std() / np.sqrt(len(worse))

    def test_few_draws_cost_nothing_in_the_mean(self, score):
        truth, draws = ordinary(4000, 64)
        apart = score(truth, draws) - score(truth, draws[:, :, :4])
        assert abs(apart.mean()) < 3 * apart.std() / np.sqrt(len(apart))


def test_energy_of_one_component_is_the_crps():
    truth, draws = ordinary()
    assert_allclose(energy(truth[:, :1], draws[:, :1]), crps(truth[:, 0], draws[:, 0]))


def test_energy_agrees_with_scoringrules(scoringrules):
    truth, draws = ordinary()
    theirs = scoringrules.es_ensemble(truth, np.swapaxes(draws, 1, 2), estimator="fair")
    assert_allclose(energy(truth, draws), theirs, rtol=1e-9)


@pytest.mark.parametrize("order", [0.5, 1.0])
def test_variogram_agrees_with_scoringrules(scoringrules, order):
    truth, draws = ordinary()
    swapped = np.swapaxes(draws, 1, 2)
    theirs = scoringrules.vs_ensemble(truth, swapped, p=order, estimator="fair")
    assert_allclose(variogram(truth, draws, order=order), theirs, rtol=1e-9, atol=1e-9)


def test_the_variogram_score_does_not_see_a_common_shift():
    truth, draws = ordinary()
    assert_allclose(variogram(truth, draws + 3.0), variogram(truth, draws), rtol=1e-9)

"""Lines between metrics: probits in both tails, robust lines, guides compared, and what of a distance persists."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.special import expit

from predictdyn.fitting.on_the_line import OnTheLine, distances, latent, probit, robust_lines


def test_a_probit_is_the_normal_quantile_of_the_share():
    logit = np.linspace(-20, 20, 41)
    assert_allclose(probit(logit, error=False)[:25], stats.norm.ppf(expit(logit))[:25], rtol=1e-9, atol=1e-12)
    assert_allclose(probit(logit, error=False), -probit(-logit, error=False), atol=1e-12)
    cloglog = np.linspace(-20, 3, 24)
    assert_allclose(probit(cloglog, error=True), -stats.norm.isf(-np.expm1(-np.exp(cloglog))), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("error", "highest"), [(False, 300.0), (True, 3.5)])
def test_the_way_back_is_exact_as_far_out_as_a_scale_goes(error, highest):
    number = np.linspace(-300, highest, 301)
    assert_allclose(latent(probit(number, error=error), error=error), number, rtol=1e-6, atol=1e-6)
    assert np.isfinite(latent(np.array([-1e3, 1e3]), error=error)).all(), "draws may go anywhere"


def test_a_robust_line_is_that_of_statsmodels_and_families_may_count_alike():
    from statsmodels.robust.norms import HuberT
    from statsmodels.robust.robust_linear_model import RLM

    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 60))
    y = 1 + 0.5 * x[0] + 0.1 * rng.standard_t(2, 60)
    found = np.stack(robust_lines(x, y, np.ones((2, 60))))
    for i in range(2):
        other = RLM(y, np.column_stack([np.ones(60), x[i]]), M=HuberT()).fit(tol=1e-12, maxiter=200).params
        assert_allclose(found[:, i], other, atol=2e-3)
    twice = np.r_[x[:1, :20].T, x[:1].T].T
    weight = np.r_[np.full(20, 0.5), np.full(20, 0.5), np.ones(40)][None]
    again = np.stack(robust_lines(twice, np.r_[y[:20], y], weight))
    assert_allclose(again[:, 0], found[:, 0], atol=1e-6)
    flat = np.stack(robust_lines(np.full((1, 60), 3.0), y, np.ones((1, 60))))
    assert flat[1, 0] == 0 and abs(flat[0, 0] - np.median(y)) < 0.2


def test_guides_are_compared_on_families_left_out():
    rng = np.random.default_rng(1)
    family = np.repeat(np.arange(6), [1, 2, 3, 1, 2, 3])
    y = rng.standard_normal(12)
    near, far = 2 * y + 0.1 * rng.standard_normal(12), rng.standard_normal(12)
    seldom = np.where(family < 3, near, np.nan)
    near[4] = np.nan
    found = distances(np.stack([near, far, seldom]), y, family, folds=6, fewest=4, seed=0)
    off = []
    for one in range(6):
        test, rest = (part & np.isfinite(near) for part in (family == one, family != one))
        weight = np.array([1 / (rest & (family == name)).sum() for name in family[rest]])
        (a,), (b,) = robust_lines(near[None, rest], y[rest], weight[None])
        off.append(np.abs(y[test] - a - b * near[test]).mean())
    assert found[0] == pytest.approx(np.mean(off), rel=1e-6)
    assert found[0] < 0.2 * found[1] and found[2] == np.inf


def runs(n: int, rho: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Columns (n, 3) and ends (n,) of runs about y = 0.7 g - 0.5, whose distance from it persists by rho."""
    g, g_0, r = np.random.default_rng(seed).standard_normal((3, n))
    return np.column_stack([g, g_0, 0.7 * g_0 - 0.5 + 0.2 * r]), 0.7 * g - 0.5 + 0.2 * rho * r


@pytest.mark.parametrize("rho", [0.0, 0.4, 1.0])
def test_what_persists_is_learnt_from_many_families(rho):
    x, y = runs(300, rho)
    here, further = OnTheLine(np.arange(300)).fit(x, y).predict(np.array([[1.0, 0.0, -0.5], [1.0, 0.0, 0.0]]))
    assert here == pytest.approx(0.2, abs=0.02) and further - here == pytest.approx(0.5 * rho, abs=0.06)


def test_few_families_are_told_that_a_distance_persists():
    two = np.array([[1.0, 0.0, -0.5], [1.0, 0.0, 0.0]])
    moved = [np.diff(OnTheLine(np.arange(n)).fit(*runs(n, 0.0)).predict(two))[0] for n in (4, 300)]
    assert moved[0] > 0.15 > 0.05 > moved[1]


def test_where_a_run_stood_makes_a_line_of_runs_that_end_alike():
    rng = np.random.default_rng(2)
    x, y = runs(8, 1.0)
    x[:, 0], y = 0.01 * rng.standard_normal(8), -0.5 + 0.02 * rng.standard_normal(8)
    ahead = np.array([[1.0, 0.0, -0.5]])
    assert OnTheLine(np.arange(8)).fit(x, y).predict(ahead)[0] == pytest.approx(0.2, abs=0.2)
    assert abs(OnTheLine(np.arange(8)).fit(x[:, :1], y).predict(ahead[:, :1])[0] - 0.2) > 0.3

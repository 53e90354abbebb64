"""Regressions as arrays: the numbers are those of the libraries they come from, and survive a file."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import ExtraTreesRegressor
from statsmodels.regression.quantile_regression import QuantReg

from predictdyn.fitting.copula import normal_scores
from predictdyn.fitting.forest import Forest
from predictdyn.fitting.median_regression import MedianRegression


def rows(n=150, p=12, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, p))
    return x, x[:, 0] - np.abs(x[:, 3]) + 0.2 * rng.standard_normal(n)


def through_a_file(arrays, folder):
    np.savez_compressed(folder / "one.npz", **arrays)
    with np.load(folder / "one.npz", allow_pickle=False) as back:
        return dict(back)


def test_a_forest_is_scikit_learns_to_the_last_bit_before_and_after_a_file(tmp_path):
    x, y = rows()
    theirs = ExtraTreesRegressor(17, min_samples_leaf=6, max_features=0.5, random_state=3).fit(x, y)
    ours = Forest(17, leaf=6, share=0.5, seed=3).fit(x, y)
    new, _ = rows(seed=1)
    assert_array_equal(ours.predict(new), theirs.predict(new))
    assert_array_equal(Forest.from_arrays(through_a_file(ours.arrays(), tmp_path)).predict(new), theirs.predict(new))


def test_a_tree_that_is_one_leaf_gives_the_mean():
    x, y = rows(n=8)
    assert_allclose(Forest(3, leaf=6, share=0.5, seed=0).fit(x, y).predict(x), y.mean())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_trees_refuse_what_is_no_number(bad):
    x, y = rows(n=20)
    x[3, 2] = bad
    with pytest.raises(ValueError, match="finite numbers"):
        Forest(3, leaf=6, share=0.5, seed=0).fit(x, y)
    with pytest.raises(ValueError, match="at least one column"):
        Forest(3, leaf=6, share=0.5, seed=0).fit(x[:, :0], y)


def test_trees_without_a_family_say_nothing_of_its_answers():
    x, y = rows(n=120)
    family = np.arange(120) // 6
    one = Forest(30, leaf=3, share=0.5, seed=3)
    before = one.out_of_bag(x, y, family, folds=5)
    after = one.out_of_bag(x, np.where(family == 4, y + 100.0, y), family, folds=5)
    assert_array_equal(after[family == 4], before[family == 4])
    assert np.abs(after - before)[family != 4].max() > 1.0, "the others learn from it"
    assert np.corrcoef(before, y)[0, 1] > 0.7
    assert np.mean((before - y) ** 2) > np.mean((one.fit(x, y).predict(x) - y) ** 2)
    with pytest.raises(ValueError, match="two families"):
        one.out_of_bag(x, y, np.zeros(120), folds=5)


def test_a_median_on_directions_is_what_both_libraries_give(tmp_path):
    x, y = rows()
    ours = MedianRegression(5, 8).fit(x, y)
    along = PLSRegression(5).fit(x, y)
    found = QuantReg(y, np.column_stack([np.ones(len(x)), along.transform(x)])).fit(q=0.5, max_iter=200).params
    new, _ = rows(seed=1)
    assert_allclose(ours.predict(new), found[0] + along.transform(new) @ found[1:], rtol=1e-9)
    again = MedianRegression.from_arrays(through_a_file(ours.arrays(), tmp_path))
    assert_array_equal(again.predict(new), ours.predict(new))


def test_normal_scores_share_ranks_and_pass_over_what_is_missing():
    values = np.array([[1.0, 2.0], [1.0, np.nan], [3.0, 0.0], [2.0, 2.0]])
    count = np.isfinite(values).sum(axis=0)
    rank = stats.rankdata(values, axis=0, nan_policy="omit")
    assert_array_equal(normal_scores(values), stats.norm.ppf((rank - 0.5) / count))

"""Cross-fitted regressions: honest about families, about rows that are harder than others, and about few runs."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression

from predictdyn.fitting.crossfit import LARGEST, ConformalPrediction, Examples, crossfit, errors

LOTS = (np.arange(2000) + 0.5) / 2000
TAILS = np.random.default_rng(7).permutation(LOTS)


def linear(family, seed):
    return LinearRegression()


class Memory:
    """Knows every family it was fitted on by heart, and nothing else."""

    def fit(self, x, y):
        self.known = {tuple(row): answer for row, answer in zip(x, y, strict=True)}

    def predict(self, x):
        return np.array([self.known.get(tuple(row), 0.0) for row in x])


def rows(n, seed=0, sd=0.1, each=1):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2))
    noise = sd * np.repeat(rng.standard_normal(n // each), each)
    return x, x @ [1.0, -2.0] + noise, np.repeat(np.arange(n // each), each)


def nothing(n, m):
    return np.zeros((n, 0)), np.zeros((m, 0))


def test_errors_are_those_on_families_not_seen():
    family = np.repeat(np.arange(20), 3)
    x = np.repeat(np.arange(20.0), 3)[:, None]
    y = np.repeat(np.random.default_rng(1).standard_normal(20), 3)
    made = crossfit(lambda *_: Memory(), Examples(x, y, family), x[:3], nothing(60, 3), folds=5, seed=0)
    # Other seeds of a family would have given its answers away.
    assert_allclose(made.error * made.size[0], y)
    assert_allclose(made.point, y[:3])


def test_intervals_hold_what_they_claim():
    x, y, family = rows(300)
    at, truth, _ = rows(2000, seed=1)
    made = crossfit(linear, Examples(x, y, family), at, nothing(300, 2000), folds=5, seed=0)
    draws = made.point[:, None] + made.size[:, None] * errors(made, LOTS, TAILS)
    low, high = np.quantile(draws, [0.05, 0.95], axis=1)
    assert abs(((low <= truth) & (truth <= high)).mean() - 0.9) < 0.03


def test_rows_that_are_harder_are_less_sure():
    rng = np.random.default_rng(2)
    x, y, family = rows(400, sd=0.0)
    hard = rng.integers(0, 2, 400)
    y = y + np.where(hard, 1.0, 0.1) * rng.standard_normal(400)
    rough = hard[:, None].astype(float), np.array([[0.0], [1.0]])
    made = crossfit(linear, Examples(x, y, family), x[:2], rough, folds=5, seed=0)
    assert 4 < made.size[1] / made.size[0] <= LARGEST**2
    assert abs(np.std(made.error[hard == 1]) / np.std(made.error[hard == 0]) - 1) < 0.6, "apart by ten before"


def test_every_family_counts_alike():
    error, family = np.r_[np.full(90, 1.0), np.arange(-5.0, 5.0)], np.r_[np.zeros(90), 1:11]
    one = ConformalPrediction(np.zeros(1), np.ones(1), error, family)
    # Ninety seeds of one recipe are one of eleven families.
    assert 0.05 < (errors(one, LOTS, TAILS) > 0.999).mean() - (errors(one, LOTS, TAILS) > 1.001).mean() < 0.2


@pytest.mark.parametrize("n", [4, 20, 100])
def test_few_families_make_wide_tails(n):
    error = np.random.default_rng(3).standard_normal(n)
    one = ConformalPrediction(np.zeros(1), np.ones(1), error, np.arange(n))
    drawn = errors(one, LOTS, TAILS)
    beyond = (drawn < error.min()) | (drawn > error.max())
    assert beyond.mean() == pytest.approx(1 / (n + 1), abs=0.002)
    assert (np.diff(drawn[(drawn >= error.min()) & (drawn <= error.max())]) >= 0).all()


def test_errors_that_are_all_nothing_stay_finite():
    x, y, family = rows(40, sd=0.0)
    made = crossfit(linear, Examples(x, np.zeros(40), family), x[:3], nothing(40, 3), folds=4, seed=0)
    assert np.isfinite(made.size).all() and np.abs(made.size[:, None] * errors(made, LOTS, TAILS)).max() < 1e-6
    assert np.isfinite(y).all()

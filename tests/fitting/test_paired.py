"""Several answers at once: margins stay those of split conformal, and errors move together as on families left out."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression

from predictdyn.fitting.crossfit import Answers, Examples, crossfit, errors
from predictdyn.fitting.paired import paired, paired_lots

S = 4000


class Shifted:
    """A linear regression that is wrong by a constant."""

    def __init__(self, by):
        self.by, self.model = by, LinearRegression()

    def fit(self, x, y):
        self.model.fit(x, y)

    def predict(self, x):
        return self.model.predict(x) + self.by


def shifted(by):
    return lambda family, seed: Shifted(by)


def two(rho, n=120, each=1, seed=0):
    """Answers with errors of unlike shapes whose ranks have a correlation, in families of ``each`` rows."""
    rng = np.random.default_rng(seed)
    a, b = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=n).T
    blank = Answers(np.zeros(1), np.ones(1), a, np.repeat(np.arange(n // each), each))
    return blank, blank._replace(error=np.exp(b))


def drawn(answers, seed=1):
    rng = np.random.default_rng(seed)
    lots = paired_lots(answers, rng.random(S), rng.random((len(answers), S)))
    tails = rng.random(S)
    return np.stack([errors(one, lot, tails) for one, lot in zip(answers, lots, strict=True)])


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.9])
def test_errors_are_drawn_as_pairs(rho):
    answers = two(rho)
    wanted = spearmanr(answers[0].error, answers[1].error).statistic
    assert abs(spearmanr(*drawn(answers)).statistic - wanted) < 0.06


def test_each_margin_is_that_of_one_answer_alone():
    answers = two(-0.9, each=3)
    even = (np.arange(S) + 0.5) / S
    tails = np.random.default_rng(3).permutation(even)
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    for one, found in zip(answers, drawn(answers), strict=True):
        # In units of probability: what the draws put below the quantiles of the margin alone.
        below = (found[None] < np.quantile(errors(one, even, tails), levels)[:, None]).mean(axis=1)
        assert_allclose(below, levels, atol=0.03)


def test_every_family_counts_alike():
    family = np.r_[np.zeros(90), 1:11]
    sign = np.r_[np.ones(90), -np.ones(10)]
    error = np.random.default_rng(0).uniform(1, 2, 100)
    answers = [Answers(np.zeros(1), np.ones(1), part, family) for part in (sign * error, error)]
    # One family of eleven, and what is between it and the next, and the tail; ninety rows of a hundred if all counted.
    assert 1 / 11 < (drawn(answers)[0] > 0).mean() < 2 / 11


def rows(n=60):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((n, 2))
    # The second answer has a thousand times the size of the first, and must not decide alone.
    return x, np.stack([x[:, 0], 1000 * x[:, 1]], axis=1) + 0.01 * rng.standard_normal((n, 2)), np.arange(n) // 2


@pytest.mark.parametrize(
    ("by", "wrong"), [((0.0, 5.0), 0.0), ((5.0, 0.0), 0.0), ((1.0, -1.0), 0.0), ((1.0, 3.0), 1.0)],
    ids=["first", "second", "mean", "nearest"],
)  # fmt: skip
def test_the_nearest_on_families_left_out_answers(by, wrong):
    x, y, family = rows()
    nothing = np.zeros((60, 0)), np.zeros((3, 0))
    makes = shifted(by[0]), shifted(by[1])
    made = paired(makes, Examples(x, y, family), x[:3], [nothing, nothing], folds=5, seed=0)
    for k, one in enumerate(made):
        assert_allclose((one.point - y[:3, k]) / y[:, k].std(), wrong, atol=0.05)


def test_one_answer_is_that_of_crossfit():
    x, y, family = rows()
    rough = np.abs(x[:, :1]), np.abs(x[:3, :1])
    (one,) = paired((shifted(0.0), shifted(9.0)), Examples(x, y[:, :1], family), x[:3], [rough], folds=5, seed=0)
    alone = crossfit(lambda *_: LinearRegression(), Examples(x, y[:, 0], family), x[:3], rough, folds=5, seed=0)
    for found, wanted in zip(one, alone, strict=True):
        assert_allclose(found, wanted, rtol=1e-6)

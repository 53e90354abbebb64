"""The shrunken regression: left-out answers against refits, families alike, drawn to zero where nothing is known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictdyn.fitting.ridge import PENALTIES, ShrunkenRidge


@pytest.fixture
def rows():
    rng = np.random.default_rng(3)
    family = np.repeat(np.arange(8), [1, 2, 3, 4, 5, 6, 7, 8])
    x = rng.standard_normal((len(family), 3))
    return x, 1 + x @ [1.0, -0.5, 0.0] + 0.3 * rng.standard_normal(len(family)), family


def ridge(x, y, family, penalty, n_families):
    """Weighted ridge by an augmented least-squares problem: another road to the same numbers."""
    weight = 1 / np.array([(family == one).sum() for one in family])
    design = np.concatenate([np.ones((len(x), 1)), x], axis=1) * np.sqrt(weight)[:, None]
    extra = np.sqrt(penalty * n_families) * np.eye(1 + x.shape[1])[1:]
    both = np.concatenate([design, extra]), np.r_[np.sqrt(weight) * y, np.zeros(len(extra))]
    return np.linalg.lstsq(*both, rcond=None)[0]


@pytest.mark.parametrize("penalty", [p for p in PENALTIES if np.isfinite(p)])
def test_left_out_answers_are_those_of_refits(rows, penalty):
    x, y, family = rows
    found = ShrunkenRidge(family)._left_out(x, y, penalty)
    for one in np.unique(family):
        out = family == one
        kept = ridge(x[~out], y[~out], family[~out], penalty, 8)
        assert_allclose(found[out], kept[0] + x[out] @ kept[1:])


def test_an_infinite_penalty_is_the_mean_over_families(rows):
    x, y, family = rows
    found = ShrunkenRidge(family)._left_out(x, y, np.inf)
    means = np.array([y[family == one].mean() for one in range(8)])
    assert_allclose(found, [np.delete(means, one).mean() for one in family])


def test_a_signal_is_kept_and_noise_is_drawn_to_zero(rows):
    x, y, family = rows
    assert ShrunkenRidge(family).fit(x, y).factor > 0.9
    rng = np.random.default_rng(0)
    factors = [ShrunkenRidge(family).fit(x, rng.standard_normal(len(y))).factor for _ in range(20)]
    assert np.median(factors) < 0.3


def test_one_family_answers_nothing(rows):
    x, y, _ = rows
    assert (ShrunkenRidge(np.zeros(len(y))).fit(x, y).predict(x) == 0).all()

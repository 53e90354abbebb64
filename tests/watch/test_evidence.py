"""Bets, wealth and thresholds: expectation one, the sums that the docstrings say, and coverage on runs that are new."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from predictdyn.watch.evidence import BEGIN, BETS, LENGTHS, Density, learnt, log_evidence, raw_surprises
from predictdyn.watch.threshold import e_value, threshold


def naive(scores: np.ndarray, progress: np.ndarray) -> np.ndarray:
    """Wealth by its definition, one product at a time."""
    bet = np.mean([np.exp(rate * scores - rate**2 / 2) for rate in BETS], axis=0)
    stake = np.diff(np.r_[BEGIN, progress])
    found = []
    for t in range(len(scores)):
        total = 1.0 - stake[: t + 1].sum()
        for s in range(t + 1):
            total += stake[s] * np.mean([np.prod(bet[s : min(t + 1, s + length)]) for length in LENGTHS])
        found.append(total)
    return np.array(found)


def test_wealth_is_the_sum_of_its_definition():
    progress = np.array([0.05, 0.1, 0.3, 0.31, 0.8, 1.0])
    scores = np.array([0.3, -1.0, 4.0, 2.0, -0.5, 1.0])
    assert_allclose(np.exp(log_evidence(scores, progress)[0]), naive(scores, progress))


def test_wealth_has_expectation_one_under_standard_normal_scores():
    # By quadrature over two scores: the bets have too heavy a tail for a mean over random ones.
    progress = np.array([0.4, 1.0])
    node, weight = np.linspace(-9, 9, 37), norm.pdf(np.linspace(-9, 9, 37)) * 0.5
    expected = np.zeros(2)
    for first, of_first in zip(node, weight, strict=True):
        for second, of_second in zip(node, weight, strict=True):
            expected += of_first * of_second * np.exp(log_evidence(np.array([first, second]), progress)[0])
    assert_allclose(expected, 1.0, atol=1e-4)


def test_evidence_points_at_the_checkpoint_of_the_shock():
    scores = np.zeros(30)
    scores[[17, 18]] = 4.0
    value, begin = log_evidence(scores, np.linspace(0.05, 1, 30))
    assert begin[18] == 17 and value[16] < 0.1 and value[18] > 8


def test_evidence_of_two_surprises_is_their_mean():
    progress, scores = np.linspace(0.1, 1, 8), np.random.default_rng(4).normal(0.5, 1.5, (2, 8))
    value, begin = log_evidence(scores, progress)
    assert_allclose(np.exp(value), (naive(scores[0], progress) + naive(scores[1], progress)) / 2)
    one = [log_evidence(of, progress) for of in scores]
    assert begin[5] == (one[0] if one[0][0][5] > one[1][0][5] else one[1])[1][5]


def test_the_surprise_of_one_normal_distribution_is_a_mahalanobis_distance_over_what_was_logged():
    correlation = np.array([[1.0, 0.8], [0.8, 1.0]])
    streams = np.array([[1.0, 1.0], [1.0, -1.0], [2.0, np.nan]])
    mixture = Density(np.zeros(1), correlation[None])
    by_hand = [0.5 * row @ np.linalg.inv(correlation) @ row for row in streams[:2]]
    assert_allclose(mixture.surprise(streams), [*by_hand, 4.0])
    together, furthest, many = raw_surprises(streams, mixture)
    assert_allclose(np.exp(together) - 1e-3, [*by_hand, 4.0])
    assert_allclose(np.exp(furthest) - 1e-3, [1.0, 1.0, 4.0])
    assert many.tolist() == [1, 1, 0]
    assert together[1] > together[0]  # metrics that always go together, and now do not, are the larger surprise


def test_a_usual_direction_of_large_steps_is_less_of_a_surprise_than_any_other():
    rng = np.random.default_rng(5)
    size = np.where(rng.random(4000) < 0.1, 5.0, 0.3)  # a tenth of the steps go along (1, 1)
    rows = size[:, None] * rng.standard_normal((4000, 1)) * np.array([1.0, 1.0]) + 0.5 * rng.standard_normal((4000, 2))
    learned = learnt([rows[i::40] for i in range(40)], [str(i) for i in range(40)])
    along, across = (
        Density(learned.share, learned.covariance).surprise(np.array([one]))[0] for one in ([4.0, 4.0], [4.0, -4.0])
    )
    assert 2 * along < across


def test_surprises_of_healthy_runs_become_standard_normal_scores():
    rng = np.random.default_rng(1)
    runs = [rng.standard_t(5, size=(40, 3)) for _ in range(120)]
    learned = learnt(runs[:60], [str(i) for i in range(60)])
    fresh = np.concatenate([learned.scores(run) for run in runs[60:]], axis=1)
    assert fresh.shape == (2, 60 * 40)
    assert np.abs(fresh.mean(axis=1)).max() < 0.1 and np.abs(fresh.std(axis=1) - 1).max() < 0.1


def test_p_is_the_share_of_families_and_their_runs():
    found = threshold([1.0, 2.0, 3.0, 10.0, 4.0], ["a", "a", "b", "b", "c"])
    by_hand = (1 + 0.0 + 0.5 + 1.0) / 4  # of a none, of b one of two, of c the only one reach 3.5
    assert float(found.p(3.5)) == pytest.approx(by_hand)
    assert float(found.p(10.0)) == pytest.approx((1 + 0.5) / 4)
    assert float(found.p(10.1)) < 1 / 4 and float(found.p(100.0)) < float(found.p(20.0))


@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_runs_of_new_families_ring_no_more_often_than_was_asked(rate):
    rng = np.random.default_rng(2)
    rang = []
    for _ in range(1500):
        level = rng.standard_normal(41)  # families differ as much as their runs do
        heights = level[:, None] + rng.standard_normal((41, 3))
        found = threshold(heights[:40].ravel(), np.repeat([str(i) for i in range(40)], 3))
        rang.append(float(found.p(heights[40, 0])) <= rate)
    assert np.mean(rang) <= rate + 0.015
    assert np.mean(rang) >= rate / 3  # and it is no rule that never rings


def test_a_small_history_says_that_it_cannot_certify():
    found = threshold(np.arange(12.0), [str(i) for i in range(12)])
    assert not found.certified(0.05) and found.certified(0.1)
    assert "19 would certify the rate 0.05" in found.words(0.05)
    assert "certified by 12 families" in found.words(0.1)


def test_beyond_all_that_was_seen_a_height_counts_as_a_logarithm_of_a_probability():
    found = threshold(np.full(9, 2.0), [str(i) for i in range(9)])
    assert float(found.p(3.0)) == pytest.approx(0.1 * np.exp(-1.0))


def test_e_values_of_uniform_p_have_expectation_one():
    p = (np.arange(1_000_000) + 0.5) / 1_000_000
    assert e_value(p).mean() == pytest.approx(1.0, abs=1e-3)

"""Scores of events and of their times: sums written out, and forecasts that must score worse."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictdyn.scores import brier, brier_parts, censored_crps


def forecasts(n=4000, seed=0):
    rng = np.random.default_rng(seed)
    probability = rng.beta(1, 1, n)
    return (rng.random(n) < probability).astype(float), probability


def test_brier_is_proper():
    truth, probability = forecasts()
    own = brier(truth, probability).mean()
    assert own < brier(truth, probability**2).mean() and own < brier(truth, np.full(len(truth), 0.5)).mean()


def test_parts_sum_to_the_mean_brier_score():
    truth, probability = forecasts(500)
    parts = brier_parts(truth, probability)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert total == pytest.approx(brier(truth, probability).mean(), abs=1e-12)
    assert parts.uncertainty == pytest.approx(truth.mean() * (1 - truth.mean()))


def test_reliability_by_a_loop_over_bins_and_worse_where_forecasts_are_too_sure():
    truth, probability = forecasts(2000)
    by_hand = 0.0
    for k in range(10):
        some = (probability >= k / 10) & (probability < (k + 1) / 10)
        by_hand += some.sum() * (probability[some].mean() - truth[some].mean()) ** 2 / len(truth)
    assert brier_parts(truth, probability).reliability == pytest.approx(by_hand, abs=1e-9)
    sure = np.round(probability)
    assert brier_parts(truth, sure).reliability > 10 * by_hand


def test_what_is_not_known_does_not_count():
    truth, probability = forecasts(50)
    more = np.append(truth, np.nan), np.append(probability, 0.5)
    assert np.isnan(brier(*more)[-1]) and brier_parts(*more) == brier_parts(truth, probability)


@pytest.mark.parametrize(("truth", "probability"), [([0.5], [0.5]), ([1.0], [1.2]), ([1.0, 0.0], [0.5])])
def test_what_is_no_event_is_refused(truth, probability):
    with pytest.raises(ValueError, match=r"probability"):
        brier(np.array(truth), np.array(probability))


@pytest.mark.parametrize("truth", [0.1, 0.55, np.inf])
@pytest.mark.parametrize("until", [0.4, 1.0])
def test_censored_crps_is_the_integral_as_far_as_the_log_goes(truth, until):
    draws = np.array([0.05, 0.2, 0.5, 0.9, np.inf, np.inf])
    grid = (np.arange(100000) + 0.5) / 100000 * until
    share = (draws[:, None] <= grid).mean(axis=0)
    integral = ((share - (truth <= grid)) ** 2).mean() * until
    # The fair score takes less for few draws: the integral with the mean of pairs over s (s - 1).
    cut = np.minimum(draws, until)
    apart = np.abs(cut[:, None] - cut).sum()
    fair = integral + apart / (2 * 36) - apart / (2 * 30)
    found = censored_crps(np.array([truth]), draws[None], until=np.array([until]))
    assert_allclose(found, fair, atol=1e-4)


def test_nothing_beyond_the_end_of_the_log_counts():
    late, never = np.full((1, 50), 0.9), np.full((1, 50), np.inf)
    until = np.array([0.5])
    assert censored_crps(np.array([np.inf]), late, until=until) == censored_crps(np.array([np.inf]), never, until=until)


def test_the_right_times_score_best():
    rng = np.random.default_rng(1)
    truth = rng.exponential(0.8, 4000)
    draws = rng.exponential(0.8, (4000, 100))
    until = np.full(4000, 1.0)
    scores = [
        censored_crps(np.where(truth > 1, np.inf, truth), some, until=until).mean()
        for some in (draws, 2 * draws, draws / 2, np.full_like(draws, np.inf))
    ]
    assert scores[0] == min(scores)

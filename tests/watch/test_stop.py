"""Stop rules: what is expected to be lost, against sums over draws; replays against hand-made pools."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import predictdyn as pdyn
from predictdyn.watch.stop import (
    ForecastRule,
    LastValue,
    MedianRule,
    Patience,
    PoolMoment,
    SuccessiveHalving,
    among_best,
    replay,
)


@pytest.mark.parametrize("k", [1, 2])
def test_expected_regret_is_the_mean_over_draws(k):
    rng = np.random.default_rng(1)
    draws, done = rng.normal(size=(5, 400)) + np.arange(5)[:, None] / 2, np.array([0.7])
    verdict = ForecastRule(0.05, k).verdict(draws, np.ones(5, dtype=bool), done)
    order = np.argsort(verdict.p_best)
    every = np.vstack([draws, np.repeat(done, 400)[None]])
    for place in range(6 - k):
        kept = [run for run in range(6) if run not in order[: place + 1]]
        lost = [np.mean(np.sort(every[:, i])[-k:]) - np.mean(np.sort(every[kept, i])[-k:]) for i in range(400)]
        assert verdict.regret[order[place]] == pytest.approx(np.mean(lost))
    stopped = np.flatnonzero(verdict.stop)
    assert 0 < len(stopped) < 5 and verdict.regret[stopped].max() <= 0.05
    assert set(stopped) == set(order[: len(stopped)]), "the least likely first"


def test_at_least_k_runs_go_on_where_none_has_finished():
    draws = np.repeat(np.array([[0.1], [0.2], [0.3]]), 10, axis=1)
    assert ForecastRule(9.0, 2).verdict(draws, np.ones(3, dtype=bool)).stop.tolist() == [True, False, False]
    assert ForecastRule(9.0, 1).verdict(draws, np.ones(3, dtype=bool), np.array([0.0])).stop.all()


def test_stopped_runs_count_with_what_was_forecast_of_them():
    """Each of two stops costs 0.2 by itself, and both together 0.4."""
    draws = np.array([[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0, 1.0]])
    running = np.array([True, True, True])
    first = ForecastRule(0.25).verdict(draws, running)
    assert first.stop.sum() == 1
    second = ForecastRule(0.25).verdict(draws, running & ~first.stop)
    assert not second.stop.any()


def test_shares_of_the_best_sum_to_k():
    draws = np.random.default_rng(0).integers(0, 3, (6, 50)).astype(float)
    assert among_best(draws, 2).sum() == pytest.approx(2)


PROGRESS = np.array([0.1, 0.2, 0.4, 0.8])
VALUES = np.array([[0.1, 0.2, 0.4, 0.5], [0.3, 0.35, 0.36, 0.36], [0.05, 0.06, 0.06, 0.06], [0.2, 0.2, 0.2, 0.2]])
END = np.array([0.6, 0.36, 0.06, 0.2])


def by_hand(rule):
    return replay(rule, PROGRESS, VALUES, np.repeat(VALUES[:, :, None], 3, axis=2), END)


def test_successive_halving_keeps_the_best_part_at_each_rung():
    done = by_hand(SuccessiveHalving(2, 0.1))  # keeps 2 of 4 at 0.1, then 1
    assert done.stopped.tolist() == [0.1, 1.0, 0.1, 0.2] and done.regret == pytest.approx(0.24)
    assert done.saved == pytest.approx(1 - 1.4 / 4)
    late = by_hand(SuccessiveHalving(4, 0.4))
    assert late.regret == 0 and late.stopped.tolist() == [1.0, 0.4, 0.4, 0.4]


def test_median_rule_compares_the_best_value_so_far():
    done = by_hand(MedianRule(0.5, 0.2))
    # The medians of those that run are 0.2, then 0.36, then 0.43.
    assert done.stopped.tolist() == [1.0, 0.8, 0.2, 0.4] and done.regret == 0


def test_patience_counts_rungs_without_gain():
    done = by_hand(Patience(1, 0.02))
    assert done.stopped.tolist() == [1.0, 0.4, 0.2, 0.2]


def test_last_value_has_a_margin():
    moment = PoolMoment(VALUES[:, :2], VALUES[:, 1:2], np.array([True, True, False, True]), 0.2)
    assert LastValue(0.16, 0.1).stops(moment).tolist() == [False, False, False, False]
    assert LastValue(0.14, 0.1).stops(moment).tolist() == [True, False, False, True]
    assert not LastValue(0.0, 0.5).stops(moment).any()


def test_all_stopped_counts_the_best_value_at_a_stop():
    class All:
        def stops(self, moment):
            return np.ones(4, dtype=bool)

    done = by_hand(All())
    assert done.regret == pytest.approx(0.6 - 0.3) and done.saved == pytest.approx(0.9)


@pytest.fixture(scope="module")
def forecast():
    rng = np.random.default_rng(3)
    parts, limits = [], {f"old{i}": 0.4 + 0.05 * i for i in range(9)} | {"top": 0.9, "low": 0.3}
    for run, limit in limits.items():
        step = np.arange(0, 101 if run.startswith("old") else 51, 5)
        value = limit * (1 - np.exp(-(step + 1) / 25)) + rng.normal(0, 0.003, len(step))
        parts.append(pd.DataFrame({"run": run, "step": step, "val_acc": value}))
    curves = pdyn.Curves.from_frame(pd.concat(parts), runs={"last_step": 100}, metrics={"val_acc": "capability"})
    return pdyn.forecast(curves, forecaster="pooled_change")


def test_should_stop(forecast):
    table = pdyn.should_stop(forecast, "val_acc").set_index("run")
    assert table["stop"].to_dict() == {"low": True, "top": False}
    assert table.loc["low", "expected_regret"] < 1e-3 < table.loc["top", "expected_regret"]
    reach = pdyn.should_stop(forecast, "val_acc", target="val_acc > 0.2").set_index("run")
    assert not reach["stop"].any() and reach.loc["low", "p_target"] > 0.95


def test_should_stop_says_what_is_wrong(forecast):
    with pytest.raises(ValueError, match="which is not forecast; the forecast has val_acc"):
        pdyn.should_stop(forecast, "loss")
    with pytest.raises(ValueError, match=r"which is not forecast; did you mean 'val_acc'\? the forecast has val_acc"):
        pdyn.should_stop(forecast, "val_ac")
    with pytest.raises(ValueError, match="k= is how many runs"):
        pdyn.should_stop(forecast, "val_acc", k=0)

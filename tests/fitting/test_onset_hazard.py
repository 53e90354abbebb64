"""The hazard of an onset: against numbers that were put in, a sum over a grid, and what must not be promised."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from predictdyn.fitting import onset_hazard
from predictdyn.fitting.onset_hazard import (
    BINS,
    DEVIATION,
    FAMILIES,
    LEVEL_SD,
    HazardModel,
    RunsAtRisk,
    even_level,
    fitted,
    log_hazard,
    periods,
    sampled,
)

NONE = np.zeros(0, dtype=int)


def runs_of(onset, last=None, x=None, per_family=2):
    n = len(onset)
    family = np.array([f"f{i // per_family}" for i in range(n)])
    x = np.zeros((n, 0)) if x is None else x
    return RunsAtRisk(
        np.asarray(onset), np.ones(n) if last is None else last, family, x, np.zeros(x.shape[1], dtype=int)
    )


def learnt(runs, origin, seed=0):
    return fitted(runs, origin, np.random.default_rng(seed))


def chance(model, x, seed=0, family="new"):
    rng = np.random.default_rng(seed)
    uniforms = rng.random((len(x), 4000))
    return np.isfinite(sampled(model, x, np.full(len(x), family), uniforms, rng)).mean(axis=1)


def test_a_censored_run_counts_as_long_as_it_was_logged():
    run, at, event = periods(np.array([np.inf, np.inf, 0.5]), np.array([0.5, 0.74, 1.0]), np.linspace(0, 1, 5))
    # Half way through a bin the log says nothing of it; the third run has its event at the end of the second bin.
    assert run.tolist() == [0, 0, 1, 1, 2, 2]
    assert at.tolist() == [0, 1, 0, 1, 0, 1]
    assert event.tolist() == [False] * 5 + [True]


def test_draws_of_a_hazard_that_is_known_fall_as_it_says():
    hazard = np.linspace(0.02, 0.4, BINS)
    weights = np.concatenate([[0.0, 0.0], np.log(hazard)])
    model = HazardModel(np.linspace(0.4, 1, BINS + 1), np.array([], dtype=str), weights[:, None], np.zeros(1))
    rng = np.random.default_rng(1)
    draws = sampled(model, np.zeros((1, 0)), np.array(["new"]), rng.random((1, 40000)), rng)[0]
    by = model.edges[1:]
    came = [(draws <= edge).mean() for edge in by]
    assert_allclose(came, 1 - np.exp(-np.cumsum(hazard)), atol=0.01)
    assert draws.min() > 0.4 and np.isinf(draws).mean() == pytest.approx(np.exp(-hazard.sum()), abs=0.01)


def test_the_effect_that_was_put_in_is_found():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 2))
    rate = np.exp(even_level(BINS) + 1.2 * x[:, 0])
    time = 0.4 + 0.6 * rng.exponential(1 / rate) / BINS
    model = learnt(runs_of(np.where(time < 1, time, np.inf), x=x), 0.4)
    first = 2 + BINS
    found, spread = model.weights[first : first + 2].mean(axis=1), model.weights[first : first + 2].std(axis=1)
    assert abs(found[0] - 1.2) < 3 * spread[0] < 0.6
    assert abs(found[1]) < 3 * spread[1]


@pytest.mark.parametrize(("share", "spread"), [(0.25, 0.0), (0.5, 0.0), (0.5, 1.5)])
def test_where_signals_say_nothing_the_forecast_is_the_base_rate(share, spread):
    rng = np.random.default_rng(5)
    family, mid = np.repeat(rng.standard_normal(45), 3) * spread, norm.ppf(share) * np.hypot(1, spread)
    promised, base = [], []
    for _ in range(4):
        came = rng.standard_normal(135) + rng.permutation(family) < mid
        onset = np.where(came, rng.uniform(0.5, 1, 135), np.inf)
        model = learnt(runs_of(onset, x=rng.normal(size=(135, 30)), per_family=3), 0.5)
        promised.append(chance(model, rng.normal(size=(30, 30))))
        base.append(came.mean())
    assert np.mean(promised) == pytest.approx(np.mean(base), abs=0.03)
    assert np.std(promised, axis=1).mean() < 0.1


def test_weights_are_drawn_as_a_sum_over_a_grid_has_them():
    # One bin: only the level, one deviation, one family in all and its spread, and slope times nought.
    onset = np.r_[np.full(3, 0.9), np.full(5, np.inf)]
    drawn = fitted(runs_of(onset, per_family=8), 0.5, np.random.default_rng(6), bins=1)
    eta = drawn.weights[0] + drawn.weights[2] + drawn.weights[3]
    scale = [np.sqrt(DEVIATION), np.sqrt(FAMILIES)]
    prior = np.random.default_rng(7).standard_normal((5, 400000))
    tried = even_level(1) + LEVEL_SD * prior[0] + scale[0] * prior[1] * prior[2] + scale[1] * prior[3] * prior[4]
    weight = (1 - np.exp(-np.exp(tried))) ** 3 * np.exp(-5 * np.exp(tried))
    mean = np.average(tried, weights=weight)
    assert eta.mean() == pytest.approx(mean, abs=0.1)
    assert eta.std() == pytest.approx(np.sqrt(np.average((tried - mean) ** 2, weights=weight)), rel=0.15)


def test_the_share_of_new_families_is_that_of_the_old_ones():
    rng = np.random.default_rng(3)
    onset = np.where(rng.random(200) < 0.3, rng.uniform(0.5, 1, 200), np.inf)
    assert chance(learnt(runs_of(onset), 0.5), np.zeros((1, 0)))[0] == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("onset", [np.inf, 0.7])
def test_few_runs_promise_little(onset):
    found = chance(learnt(runs_of(np.full(4, onset)), 0.5), np.zeros((1, 0)))[0]
    many = chance(learnt(runs_of(np.full(60, onset)), 0.5), np.zeros((1, 0)))[0]
    assert 0.1 < found < 0.95
    assert many < 0.1 if onset == np.inf else many > 0.95


def test_one_run_that_was_logged_a_little_leaves_the_level_where_the_prior_has_it():
    model = learnt(runs_of([np.inf], last=np.array([0.5])), 0.5)
    assert model.weights[0].mean() == pytest.approx(even_level(BINS), abs=4 * LEVEL_SD / np.sqrt(400))
    assert model.weights[0].std() == pytest.approx(LEVEL_SD, rel=0.15)


def test_a_family_that_is_known_moves_its_own_runs_only():
    onset = np.r_[np.full(6, 0.55), np.full(30, np.inf)]
    model = learnt(runs_of(onset, per_family=6), 0.5)
    x = np.zeros((1, 0))
    assert chance(model, x, family="f0")[0] > chance(model, x)[0] > chance(model, x, family="f1")[0]


def test_no_run_depends_on_who_else_is_asked_for():
    model = learnt(runs_of(np.r_[np.full(6, 0.7), np.full(6, np.inf)], x=np.linspace(-1, 1, 12)[:, None]), 0.5)
    x, family = np.array([[0.5], [-0.5]]), np.array(["new", "f1"])
    both = log_hazard(model, x, family, 50, np.random.default_rng(4))
    assert_allclose(both[:1], log_hazard(model, x[:1], family[:1], 50, np.random.default_rng(4)))


def cause_and_onset():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(90, 3))
    time = 0.5 + 0.5 * rng.exponential(np.exp(-2.0 * x[:, 0]))
    return runs_of(np.where(time < 1, time, np.inf), x=x, per_family=3)


def test_chains_of_a_hazard_meet():
    found = learnt(cause_and_onset(), 0.5).mixing
    assert found.converged and 1.0 <= found.rhat <= 1.05
    assert found.size > 150 and found.divergent <= 0.01


def test_chains_that_were_cut_short_are_told(monkeypatch):
    for name, value in {"WARM": 2, "BETWEEN": (1,), "KEPT": 4}.items():
        monkeypatch.setattr(onset_hazard, name, value)
    found = learnt(cause_and_onset(), 0.5).mixing
    assert found.rhat > 1.05 and not found.converged


def test_chains_that_have_not_met_go_on(monkeypatch):
    worst = []

    def looked_at(draws, divergent):
        worst.append(onset_hazard.Mixing(1.2, 30.0, 0.0) if len(worst) < 2 else onset_hazard.Mixing(1.0, 500.0, 0.0))
        return worst[-1]

    monkeypatch.setattr(onset_hazard, "mixing", looked_at)
    assert learnt(cause_and_onset(), 0.5).mixing.converged and len(worst) == 3

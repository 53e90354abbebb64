"""Ensembles: weights follow what the history teaches, and a member that fell back is left out."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from predictdyn.curves import Metric, curves_from
from predictdyn.fitting.stacking import FACTORS
from predictdyn.forecasters import forecaster, load, save
from predictdyn.forecasters._ensemble import FROM_FINISHED, Ensemble, EnsembleFitted
from predictdyn.forecasters._replays import WHOLE_KIND
from predictdyn.joint import together

CHEAP = Ensemble("auto", ("last_value", "drift", "chance"), (1.0, 1.0, 1.0), shares=(0.1, 0.5))
RUNS = [f"r{i:02}" for i in range(12)]


def rising(n: int = 12):
    """Runs from a level of their own: one metric rises by one, so drift is right; another only trembles."""
    rng = np.random.default_rng(0)
    step = np.arange(0, 101, 5)
    frames = []
    for run in RUNS[:n]:
        noise = 0.01 * rng.standard_normal((2, len(step)))
        values = {"m": rng.normal() + step / 100 + noise[0], "still": rng.normal() + noise[1]}
        frames += [pd.DataFrame({"run": run, "metric": m, "step": step, "value": v}) for m, v in values.items()]
    metrics = {name: Metric(name, "capability") for name in ("m", "still")}
    return curves_from(pd.concat(frames), None, metrics)


def at(*steps: int, metric: str = "m") -> pd.DataFrame:
    return pd.DataFrame({"run": "r00", "metric": metric, "step": steps})


@pytest.fixture(scope="module")
def fitted():
    curves = rising()
    return CHEAP.fit(curves.of_runs(RUNS[1:]), seed=0), curves.of_runs(["r00"])


def test_weights_stand_by_share_kind_and_metric(fitted):
    one, run = fitted
    one.forecast(run.upto(0.1), at(100), seed=0)
    assert set(one.weights["0.1"]) == {"capability"}
    assert set(one.weights["0.1"]["capability"]) == {WHOLE_KIND, "m", "still"}
    for *weight, factor in one.weights["0.1"]["capability"].values():
        assert len(weight) == 3 and min(weight) >= 0 and sum(weight) == pytest.approx(1)
        assert FACTORS[0] <= factor <= FACTORS[1]


def test_weights_are_learnt_for_the_nearest_share_when_it_is_asked_for(fitted):
    one, run = dataclasses.replace(fitted[0], weights={}), fitted[1]
    early = one.forecast(run.upto(0.15), at(100), seed=0)
    assert set(one.weights) == {"0.1"}
    one.forecast(run.upto(0.5), at(100), seed=0)
    assert set(one.weights) == {"0.1", "0.5"}
    both = CHEAP.fit(rising().of_runs(RUNS[1:]), seed=0)
    both.forecast(run.upto(0.5), at(80, 100), seed=0)
    assert set(both.weights) == {"0.5"}, "wherever the targets lie"
    both.forecast(run.upto(0.1), at(40, 100), seed=0)
    assert both.weights == one.weights, "what is learnt does not depend on what was asked before"
    assert np.array_equal(both.forecast(run.upto(0.15), at(100), seed=0).draws, early.draws)


def test_draws_are_joint_by_what_the_history_says(fitted):
    history = rising().of_runs(RUNS[1:])
    seen, target = fitted[1].upto(0.2), pd.concat([at(60, 100), at(100, metric="still")])
    found = fitted[0].forecast(seen, target, seed=4)
    assert found.joint
    np.testing.assert_array_equal(together(found, history, seen, seed=4).draws, found.draws)
    rank = np.argsort(np.argsort(found.draws, axis=1), axis=1)
    np.testing.assert_array_equal(rank[0], rank[1])


def test_the_right_member_is_found(fitted):
    one, run = fitted
    for share in ("0.1", "0.5"):
        one.forecast(run.upto(float(share)), at(100), seed=0)
        table = one.weights[share]["capability"]
        last, drift, chance, _ = table["m"]
        # Eleven rows stand against a prior of twenty for the weights of the kind.
        assert drift > 0.6 and last < 0.3 and chance < 0.15
        assert drift > table[WHOLE_KIND][1] > table["still"][1]


def test_the_forecast_is_sharp_and_holds_the_truth(fitted):
    one, run = fitted
    draws = one.forecast(run.upto(0.1), at(100), seed=0).draws[0]
    truth = run.by_key[("r00", "m")].value[-1]
    low, high = np.quantile(draws, [0.025, 0.975])
    assert low < truth < high and np.quantile(draws, 0.75) - np.quantile(draws, 0.25) < 0.3


def test_draws_of_one_run_are_paths(fitted):
    one, run = fitted
    near, far = one.forecast(run.upto(0.1), at(80, 100), seed=0).draws
    assert stats.spearmanr(near, far).statistic > 0.9
    other = one.forecast(run.upto(0.1), at(100), seed=1).draws[0]
    assert abs(stats.spearmanr(near, other).statistic) < 0.15


def test_a_member_that_fell_back_is_left_out():
    curves = rising(1)
    seen, nothing = curves.upto(0.5), curves.of_runs([])
    members = tuple(forecaster(name).fit(nothing, seed=0) for name in CHEAP.members)

    def given(settings, members, weights):
        return EnsembleFitted(settings, members, rising(2).of_runs(["r01"]), 0, weights)

    weights = {"0.5": {"capability": {WHOLE_KIND: [0.1, 0.9, 0.0, 1.0]}}}
    last, drift, _ = (member.forecast(seen, at(100), seed=0) for member in members)
    assert last.status[0] == "ok" and drift.status[0] != "ok"
    found = given(CHEAP, members, weights).forecast(seen, at(100), seed=0)
    assert found.status.tolist() == ["ok"]
    # All that is left is last value, whose draws are the same but for the seed.
    spread = np.quantile(last.draws[0], [0.1, 0.9])
    assert np.quantile(found.draws[0], [0.1, 0.9]) == pytest.approx(spread, abs=0.2 * np.ptp(spread))
    only = dataclasses.replace(CHEAP, members=("drift", "climatology"), lean=(1.0, 1.0))
    fell = tuple(forecaster(name).fit(nothing, seed=0) for name in only.members)
    assert only.leaning(alone=False).tolist() == [0.5, 0.5]
    weights = {"0.5": {"capability": {WHOLE_KIND: [0.5, 0.5, 1.0]}}}
    all_fell = given(only, fell, weights).forecast(seen, at(100), seed=0)
    assert all_fell.status[0] == drift.status[0] and np.isfinite(all_fell.draws).all()


def test_without_history_it_learns_from_what_is_seen():
    curves = rising(1)
    found = CHEAP.fit(curves.of_runs([]), seed=0).forecast(curves.upto(0.5), at(100), seed=0)
    assert found.status[0] == "ok" and np.isfinite(found.draws).all()


def test_where_no_run_has_ended_members_that_need_one_get_no_weight():
    several = dataclasses.replace(
        CHEAP, members=("last_value", "chance", *FROM_FINISHED[:3]), lean=(1.0, 1.0, 1.0, 1.0, 1.0)
    )
    assert several.leaning(alone=True).tolist() == [0.5, 0.5, 0, 0, 0]
    assert several.leaning(alone=False).tolist() == [0.2] * 5
    curves = rising()
    alone = several.learn(curves.upto(0.5), several.own_shares, alone=True, seed=0)
    assert set(alone) == {f"{share:g}" for share in several.own_shares}
    for of_kind in alone.values():
        for row in of_kind["capability"].values():
            assert np.abs(row[2:5]).max() < 1e-9
    ended = several.learn(curves, (0.5,), alone=False, seed=0)["0.5"]["capability"]
    assert ended[WHOLE_KIND][2] > 0.2, "with runs that have ended, drift has its weight"


def test_saved_once_and_loaded_it_is_the_same(fitted, tmp_path):
    one, run = fitted
    save("auto", one, tmp_path)
    assert [file.parent for file in tmp_path.rglob("history_points.parquet")] == [tmp_path], "one history for all"
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    name, again = load(tmp_path)
    assert name == "auto" and again.weights == one.weights and again.settings == one.settings
    assert len({id(member.history) for member in again.members}) == 1
    seen = run.upto(0.1)
    assert np.array_equal(again.forecast(seen, at(100), seed=0).draws, one.forecast(seen, at(100), seed=0).draws)

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


def test_weights_stand_by_kind_metric_and_share(fitted):
    weights = fitted[0].weights
    assert set(weights) == {"capability"} and set(weights["capability"]) == {WHOLE_KIND, "m", "still"}
    for table in weights["capability"].values():
        assert set(table) == {"0.1", "0.5"}
        for *weight, factor in table.values():
            assert len(weight) == 3 and min(weight) >= 0 and sum(weight) == pytest.approx(1)
            assert FACTORS[0] <= factor <= FACTORS[1]


def test_draws_are_joint_by_what_the_history_says(fitted):
    history = rising().of_runs(RUNS[1:])
    seen, target = fitted[1].upto(0.2), pd.concat([at(60, 100), at(100, metric="still")])
    found = fitted[0].forecast(seen, target, seed=4)
    assert found.joint
    np.testing.assert_array_equal(together(found, history, seen, seed=4).draws, found.draws)
    rank = np.argsort(np.argsort(found.draws, axis=1), axis=1)
    np.testing.assert_array_equal(rank[0], rank[1])


def test_the_right_member_is_found(fitted):
    table = fitted[0].weights["capability"]
    for share in ("0.1", "0.5"):
        last, drift, chance, _ = table["m"][share]
        # Eleven rows stand against a prior of twenty for the weights of the kind.
        assert drift > 0.6 and last < 0.3 and chance < 0.15
        assert drift > table[WHOLE_KIND][share][1] > table["still"][share][1]


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


def test_weights_between_two_shares_are_interpolated(fitted):
    one, run = fitted
    weights = {"capability": {WHOLE_KIND: {"0.1": [1.0, 0.0, 0.0, 1.0], "0.9": [0.0, 1.0, 0.0, 1.0]}}}
    given = dataclasses.replace(one, weights=weights)
    seen = run.upto(0.3)
    # At 0.3, the middle of 0.1 and 0.9 on a logarithmic scale, the two have half each.
    found = given.forecast(seen, at(100), seed=0).draws[0]
    middle = [member.forecast(seen, at(100), seed=0).draws.mean() for member in given.members[:2]]
    assert abs(middle[1] - middle[0]) > 0.5
    assert found.mean() == pytest.approx(np.mean(middle), abs=0.02)


def test_a_member_that_fell_back_is_left_out():
    curves = rising(1)
    seen, nothing = curves.upto(0.5), curves.of_runs([])
    members = tuple(forecaster(name).fit(nothing, seed=0) for name in CHEAP.members)
    weights = {"capability": {WHOLE_KIND: {"1": [0.1, 0.9, 0.0, 1.0]}}}
    last, drift, _ = (member.forecast(seen, at(100), seed=0) for member in members)
    assert last.status[0] == "ok" and drift.status[0] != "ok"
    found = EnsembleFitted(CHEAP, members, weights).forecast(seen, at(100), seed=0)
    assert found.status.tolist() == ["ok"]
    # All that is left is last value, whose draws are the same but for the seed.
    spread = np.quantile(last.draws[0], [0.1, 0.9])
    assert np.quantile(found.draws[0], [0.1, 0.9]) == pytest.approx(spread, abs=0.2 * np.ptp(spread))
    only = dataclasses.replace(CHEAP, members=("drift", "climatology"), lean=(1.0, 1.0))
    fell = tuple(forecaster(name).fit(nothing, seed=0) for name in only.members)
    assert EnsembleFitted(only, fell, {}).settings.leaning(alone=False).tolist() == [0.5, 0.5]
    weights = {"capability": {WHOLE_KIND: {"1": [0.5, 0.5, 1.0]}}}
    all_fell = EnsembleFitted(only, fell, weights).forecast(seen, at(100), seed=0)
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
    weights = several.learn(curves.upto(0.5), {}, seed=0)["capability"]
    assert set(weights[WHOLE_KIND]) == {f"{share:g}" for share in several.own_shares}
    for table in weights.values():
        for row in table.values():
            assert np.abs(row[2:5]).max() < 1e-9
    ended = several.learn(curves, {}, seed=0)["capability"]
    assert ended[WHOLE_KIND]["0.5"][2] > 0.2, "with runs that have ended, drift has its weight"


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

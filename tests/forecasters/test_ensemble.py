"""Ensembles: weights follow what the history teaches, and a member that fell back is left out."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from predictdyn.backtest.plan import Plan
from predictdyn.backtest.run import run as run_backtest
from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.fitting.forest import Forest
from predictdyn.fitting.median_regression import MedianRegression
from predictdyn.fitting.stacking import FACTORS, resolved
from predictdyn.forecast import Latent
from predictdyn.forecasters import fit, load, save
from predictdyn.forecasters._fitted import NO_NUMBER, Fitted
from predictdyn.forecasters._history import read_learnt, write_learnt
from predictdyn.forecasters._replay_scores import COMPARED, read_scores
from predictdyn.forecasters._replays import WHOLE_KIND, Replays
from predictdyn.forecasters._sizes import beyond, rolling
from predictdyn.forecasters.baselines import CHANCE
from predictdyn.forecasters.ensemble import AUTO, FROM_FINISHED, Ensemble
from predictdyn.joint import couple
from predictdyn.problem import History

CHEAP = Ensemble("auto", ("last_value", "mean_change", "chance"), (1.0, 1.0, 1.0), origins=(0.1, 0.5))
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
    return fit(CHEAP, curves.select(runs=RUNS[1:])), curves.select(runs=["r00"])


def weights(one: Fitted, origin: float, metric: str, kind: str = "capability") -> np.ndarray:
    """What was learnt for an origin: one weight per member, then the factor of the spread."""
    return one.past.learnt[f"auto/weights/{origin:g}/{one.seed}"][f"{kind}/{metric}"]


def given(settings: Ensemble, curves: Curves, row: list[float]) -> Fitted:
    """An ensemble with these weights at 0.5, not learnt."""
    return Fitted(settings, History(curves, {"auto/weights/0.5/0": {f"capability/{WHOLE_KIND}": np.array(row)}}))


def test_weights_stand_by_origin_kind_and_metric(fitted):
    one, run = fitted
    one.forecast(run.truncate(0.1), at(100), seed=0)
    learnt = one.past.learnt["auto/weights/0.1/0"]
    found = {key: row for key, row in learnt.items() if not key.startswith("replayed/")}
    assert set(found) == {f"capability/{name}" for name in (WHOLE_KIND, "m", "still")}
    assert {key for key in learnt if key not in found} == {"replayed/capability/m", "replayed/capability/still"}
    for *weight, factor in found.values():
        assert len(weight) == 3 and min(weight) >= 0 and sum(weight) == pytest.approx(1)
        assert FACTORS[0] <= factor <= FACTORS[1]


def test_weights_are_learnt_for_the_nearest_origin_when_it_is_asked_for(fitted):
    run, history = fitted[1], fitted[0].history
    one = fit(CHEAP, history)
    early = one.forecast(run.truncate(0.15), at(100), seed=0)
    assert set(one.past.learnt) == {"auto/weights/0.1/0"}
    one.forecast(run.truncate(0.5), at(100), seed=0)
    assert set(one.past.learnt) == {"auto/weights/0.1/0", "auto/weights/0.5/0"}
    both = fit(CHEAP, history)
    both.forecast(run.truncate(0.5), at(80, 100), seed=0)
    assert set(both.past.learnt) == {"auto/weights/0.5/0"}, "wherever the targets lie"
    both.forecast(run.truncate(0.1), at(40, 100), seed=0)
    for key, arrays in one.past.learnt.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, both.past.learnt[key][name], "it depends on what was asked before")
    assert np.array_equal(both.forecast(run.truncate(0.15), at(100), seed=0).draws, early.draws)


def test_draws_are_joint_by_what_the_history_says(fitted):
    seen, target = fitted[1].truncate(0.2), pd.concat([at(60, 100), at(100, metric="still")])
    found = fitted[0].forecast(seen, target, seed=4)
    assert found.joint
    np.testing.assert_array_equal(couple(found, fitted[0].past, seen, seed=4).draws, found.draws)
    rank = np.argsort(np.argsort(found.draws, axis=1), axis=1)
    np.testing.assert_array_equal(rank[0], rank[1])


def test_the_right_member_is_found(fitted):
    one, run = fitted
    for origin in (0.1, 0.5):
        one.forecast(run.truncate(origin), at(100), seed=0)
        last, mean_change, chance, _ = weights(one, origin, "m")
        # Eleven rows stand against a prior of twenty for the weights of the kind.
        assert mean_change > 0.6 and last < 0.3 and chance < 0.15
        assert mean_change > weights(one, origin, WHOLE_KIND)[1] > weights(one, origin, "still")[1]


def test_the_forecast_is_sharp_and_holds_the_truth(fitted):
    one, run = fitted
    draws = one.forecast(run.truncate(0.1), at(100), seed=0).draws[0]
    truth = run.series[("r00", "m")].value[-1]
    low, high = np.quantile(draws, [0.025, 0.975])
    assert low < truth < high and np.quantile(draws, 0.75) - np.quantile(draws, 0.25) < 0.3


def test_draws_of_one_run_are_paths(fitted):
    one, run = fitted
    near, far = one.forecast(run.truncate(0.1), at(80, 100), seed=0).draws
    assert stats.spearmanr(near, far).statistic > 0.9
    other = one.forecast(run.truncate(0.1), at(100), seed=1).draws[0]
    assert abs(stats.spearmanr(near, other).statistic) < 0.15


def test_a_member_whose_draws_are_no_numbers_is_left_out(monkeypatch):
    """In replays and in the forecast: one such member must not take the others along."""
    without = dataclasses.replace(CHEAP, members=CHEAP.members[:2], prior_weights=(1.0, 1.0))
    real = type(CHANCE).latent

    def broken(self, problem):
        found = real(self, problem)
        return Latent(np.full_like(found.draws, np.nan), found.status) if self.name == "chance" else found

    history, run = rising().select(runs=RUNS[1:], metrics=["m"]), rising().select(runs=["r00"]).truncate(0.5)
    monkeypatch.setattr(type(CHANCE), "latent", broken)
    one = fit(CHEAP, history)
    found, plain = (fitted.forecast(run, at(100), seed=0) for fitted in (one, fit(without, history)))
    assert found.status[0] == "ok"
    assert weights(one, 0.5, "m")[2] == 0, "it never had an answer of its own, so it has no weight"
    np.testing.assert_allclose(np.median(found.draws), np.median(plain.draws), atol=0.05)
    assert fit(CHEAP.members[2], history).forecast(run, at(100), seed=0).status[0] == NO_NUMBER


def test_a_member_that_fell_back_is_left_out():
    curves = rising(2)
    one, seen = curves.select(runs=["r01"]), curves.select(runs=["r00"]).truncate(0.5)
    # Regressions have no answer with one finished run.
    some = dataclasses.replace(CHEAP, members=("last_value", "extra_trees"), prior_weights=(1.0, 1.0))
    found = given(some, one, [0.1, 0.9, 1.0]).forecast(seen, at(100), seed=0)
    assert found.status.tolist() == ["ok"]
    # All that is left is last value, whose draws are the same but for the seed.
    last = fit("last_value", one).forecast(seen, at(100), seed=0)
    spread = np.quantile(last.draws[0], [0.1, 0.9])
    assert np.quantile(found.draws[0], [0.1, 0.9]) == pytest.approx(spread, abs=0.2 * np.ptp(spread))
    only = dataclasses.replace(CHEAP, members=("extra_trees", "quantile_regression"), prior_weights=(1.0, 1.0))
    assert only.leaning(without_history=False).tolist() == [0.5, 0.5]
    all_fell = given(only, one, [0.5, 0.5, 1.0]).forecast(seen, at(100), seed=0)
    assert all_fell.status[0] == "fewer than 20 finished runs: last value" and np.isfinite(all_fell.draws).all()


def test_without_history_it_learns_from_what_is_seen():
    curves = rising(1)
    found = fit(CHEAP, curves.select(runs=[])).forecast(curves.truncate(0.5), at(100), seed=0)
    assert found.status[0] == "ok" and np.isfinite(found.draws).all()


def test_where_no_run_has_ended_members_that_need_one_get_no_weight():
    several = dataclasses.replace(
        CHEAP, members=("last_value", "chance", *FROM_FINISHED[:3]), prior_weights=(1.0, 1.0, 1.0, 1.0, 1.0)
    )
    assert several.leaning(without_history=True).tolist() == [0.5, 0.5, 0, 0, 0]
    assert several.leaning(without_history=False).tolist() == [0.2] * 5
    curves = rising()
    alone = several.replays(without_history=True).within(curves.truncate(0.5), several.own_origins, 0)
    assert set(alone) == set(several.own_origins)
    for found in alone.values():
        assert np.abs(found[f"capability/{WHOLE_KIND}"][2:5]).max() < 1e-9
    ended = several.replays(without_history=False).among(History(curves), 0.5, 0)
    assert ended[f"capability/{WHOLE_KIND}"][2] > 0.2, "with runs that have ended, the mean change has its weight"


def test_a_short_curve_alone_keeps_the_weight_of_members_that_need_more_points_than_its_beginning_had():
    step = np.array([0.0, 250.0, 500.0, 750.0, 1000.0, 1250.0, 1500.0])
    points = pd.DataFrame({"run": "a", "step": step, "metric": "loss", "value": 2.0 + 5.0 / (1.0 + step / 100)})
    runs = pd.DataFrame({"family": ["a"], "last_step": [5000.0]}, index=pd.Index(["a"], name="run"))
    curves = curves_from(points, runs, {"loss": Metric("loss", "loss", lower=0.0)})
    two = dataclasses.replace(CHEAP, members=("last_value", "structural"), prior_weights=(1.0, 9.0))
    learnt = two.replays(without_history=True).within(curves, two.own_origins, 0)
    weight = {origin: found["loss/loss"][1] for origin, found in learnt.items()}
    assert weight[0.2] == pytest.approx(0.9), "two points were seen there: nothing was learnt"
    assert min(weight.values()) > 0.5
    target = pd.DataFrame({"run": ["a"], "metric": ["loss"], "step": [5000.0]})
    found = fit(two, curves.select(runs=[])).forecast(curves, target, seed=0)
    assert np.median(found.draws) < 2.0 + 5.0 / 16 - 0.1, "it falls on"


def test_larger_runs_take_weights_from_the_largest_left_out():
    """The rise grows with size in a way that small runs do not show: what wins among them loses at the largest."""
    curves = rising()
    size = 10.0 ** np.arange(len(RUNS))
    runs = curves.runs.assign(params=size[::-1])
    one = fit(CHEAP, Curves(curves.points, runs, curves.metrics).select(runs=RUNS[1:]))
    seen = Curves(curves.points, runs, curves.metrics).select(runs=["r00"])
    one.forecast(seen.truncate(0.1), at(100), seed=0)
    assert set(one.past.learnt) == {"auto/weights/0.1+/0"}
    folds = rolling(one.history.runs)
    assert folds[0] == ["r01", "r02"] and folds[-1] == RUNS[1:7], "the largest first, up to half of them"
    assert beyond(one.history.runs, seen.runs) == {"r00": pytest.approx(10.0)}


def test_saved_once_and_loaded_it_is_the_same(fitted, tmp_path):
    run = fitted[1].select(metrics=["m"])
    one = fit(AUTO, fitted[0].history.select(metrics=["m"]))
    seen = run.truncate(0.1)
    draws = one.forecast(seen, at(100), seed=0).draws
    save(one, tmp_path)
    assert [file.parent for file in tmp_path.rglob("history_points.parquet")] == [tmp_path], "one history for all"
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    again = load(tmp_path)
    assert again.model == AUTO and set(again.past.learnt) == set(one.past.learnt)
    assert np.array_equal(again.forecast(seen, at(100), seed=0).draws, draws)


def test_only_what_others_can_load_is_saved(fitted, tmp_path):
    with pytest.raises(ValueError, match="only forecasters of the table can be saved"):
        save(fitted[0], tmp_path)


@pytest.mark.parametrize(("column", "shared"), [("recipe", False), ("family", True)])
def test_replays_leave_out_by_the_column_of_the_backtest(column, shared, monkeypatch):
    replayed = []
    real = Replays._resolved

    def noted(self, problem, truth, curves):
        replayed.append([set(runs["recipe"]) for runs in (problem.observed.runs, problem.history.curves.runs)])
        return real(self, problem, truth, curves)

    monkeypatch.setattr(Replays, "_resolved", noted)
    found = rising().select(metrics=["m"])
    runs = found.runs.assign(recipe=[f"recipe {i % 4}" for i in range(len(found.runs))])
    curves = Curves(found.points, runs, found.metrics)
    run_backtest(curves, Plan(hold_out=column, cutoffs=(0.5,)), [CHEAP], ())
    assert len(replayed) > 8
    # Families are single runs here, so by default recipes lie on both sides.
    assert any(here & there for here, there in replayed) == shared


@pytest.mark.parametrize(("failing", "rows"), [(0, 60), (1, 100)])
def test_where_few_runs_make_up_the_error_more_are_replayed(failing, rows):
    """Losses that end alike, but for a run in twenty that ends a thousand times as high."""
    rng = np.random.default_rng(2)
    frames, runs = [], []
    for i in range(200):
        high = 1000.0 * rng.uniform(1, 2) if failing and i % 20 == 0 else 0.1 * rng.standard_normal()
        frames.append(pd.DataFrame({"run": f"r{i:03}", "metric": "m", "step": [0, 50, 100], "value": [0, 1, 2 + high]}))
        runs.append({"run": f"r{i:03}", "family": f"f{i:03}", "last_step": 100})
    curves = curves_from(pd.concat(frames), pd.DataFrame(runs), {"m": Metric("m", "loss")})
    several = dataclasses.replace(CHEAP, members=COMPARED[:3], prior_weights=(1.0,) * 3, inner_folds=2)
    learnt = several.replays(without_history=False).among(History(curves), 0.5, 0)
    assert len(read_scores(learnt)["loss", "m"].crps) == rows, "all that one of two folds has, or as many as planned"


def test_no_family_is_scored_with_weights_that_it_taught():
    """One family ends in a way that a member alone foresees; weights that others taught leave that member out."""
    rng = np.random.default_rng(3)
    metric = Metric("m", "bias")
    rows = [
        resolved(
            np.stack([truth + 0.1 + 0.01 * rng.standard_normal(200), (5.0 if family else truth) + np.zeros(200)]),
            truth, metric, str(family), np.ones(2, dtype=bool),
        )
        for family in range(30) for truth in rng.standard_normal(3)
    ]  # fmt: skip
    members = tuple((name, object()) for name in ("mean_change", "last_value"))
    replays = Replays(members, np.array([0.5, 0.5]), 4, 2, 60, 0.1, 20.0, 2.0)
    weights, scores = replays._weighed(rows[:3], 29), read_scores(replays._scored(rows, 30))["bias", "m"]
    assert weights["bias/m"][1] > 0.5, "by itself, that family would take the other member"
    assert (scores.crps[scores.family == 0] > 0.05).all()


def many(n: int = 40):
    """Runs that rise as far as an early signal says, in two outcomes, of families of two."""
    rng = np.random.default_rng(1)
    step, late = np.arange(0, 101, 5), np.arange(0, 101, 5) / 100
    frames, runs = [], []
    for i in range(n):
        hidden = rng.normal()
        values = {"a": hidden * late, "b": (1 + hidden) * late, "hint": hidden + 0 * late}
        for name, value in values.items():
            noisy = value + 0.03 * rng.standard_normal(len(step))
            frames.append(pd.DataFrame({"run": f"r{i:02}", "metric": name, "step": step, "value": noisy}))
        runs.append({"run": f"r{i:02}", "family": f"f{i // 2:02}", "last_step": 100})
    metrics = {"a": Metric("a", "capability"), "b": Metric("b", "capability"), "hint": Metric("hint", "signal")}
    return curves_from(pd.concat(frames), pd.DataFrame(runs), metrics)


def test_what_regressions_learnt_is_saved_for_all_outcomes_replayed_or_not(tmp_path, monkeypatch):
    curves = many()
    past, run = curves.select(runs=curves.runs.index[1:]), curves.select(runs=["r00"]).truncate(0.5)
    members = (*COMPARED, "extra_trees", "quantile_regression")
    some = dataclasses.replace(
        CHEAP, members=members, prior_weights=(1.0,) * 5 + (5.0, 5.0), prepared=(0.5,), metrics_per_kind=1
    )
    one = fit(some, past)
    asked = pd.DataFrame({"run": "r00", "metric": ["a", "b"], "step": 100})
    fresh = fit(some, past).forecast(run, asked, seed=0).draws
    some.prepare(one.past, 0)
    write_learnt(one.past.learnt, tmp_path)
    back = Fitted(some, History(past, read_learnt(tmp_path)))
    for regression in (Forest, MedianRegression):
        monkeypatch.setattr(regression, "fit", lambda *_: pytest.fail("it was learnt before"))
    assert np.array_equal(back.forecast(run, asked, seed=0).draws, fresh)
    assert set(back.past.learnt) == set(one.past.learnt)


def test_what_is_learnt_by_processes_side_by_side_is_what_one_learns():
    members = (*COMPARED, "extra_trees", "quantile_regression")
    some = dataclasses.replace(CHEAP, members=members, prior_weights=(1.0,) * 5 + (5.0, 5.0), prepared=(0.25, 0.5))
    curves = many()
    alone, together = fit(some, curves), fit(some, curves)
    some.prepare(alone.past, 0)
    some.prepare(together.past, 0, 2)
    assert list(alone.past.learnt) == list(together.past.learnt) and len(alone.past.learnt) > 4
    for key, arrays in alone.past.learnt.items():
        for name, array in arrays.items():
            assert np.array_equal(together.past.learnt[key][name], array), (key, name)

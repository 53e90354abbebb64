"""Joint draws: margins stay, dependence comes from the history alone, and no row knows what else is asked."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from predictdyn.curves import Metric, curves_from
from predictdyn.forecast import DRAWS, Prediction, seed_for
from predictdyn.joint import couple, metric_scales
from predictdyn.problem import History

METRICS = {name: Metric(name, "capability") for name in ("up", "with", "against", "alone")}
SHARES = np.array([0.0, 0.1, 0.25, 0.5, 1.0])


def related(n_families: int, seeds: int = 1):
    """Runs whose changes after a quarter are related as the names say, and whose levels there are related otherwise."""
    rng = np.random.default_rng(0)
    frames, runs = [], []
    for one in range(n_families * seeds):
        run, level = f"r{one:03}", rng.standard_normal() * np.array([5.0, -5.0, 5.0, 5.0])
        late = rng.standard_normal()
        noise = 0.3 * rng.standard_normal(4)
        change = np.array([late, late, -late, rng.standard_normal()]) + noise - 0.5 * level
        for name, start, end in zip(METRICS, level, change, strict=True):
            value = start + end * np.clip((SHARES - 0.25) / 0.75, 0, 1)
            frames.append(pd.DataFrame({"run": run, "metric": name, "step": SHARES * 100, "value": value}))
        runs.append({"run": run, "family": f"f{one % n_families}", "last_step": 100})
    return curves_from(pd.concat(frames), pd.DataFrame(runs), METRICS)


def forecast(runs, names=tuple(METRICS), steps=(100.0,)):
    target = pd.DataFrame([(run, name, step) for run in runs for name in names for step in steps],
                          columns=["run", "metric", "step"])  # fmt: skip
    draws = np.stack(
        [np.random.default_rng(seed_for(0, run, name, step)).gamma(2.0, size=DRAWS)
         for run, name, step in target.itertuples(index=False)]
    )  # fmt: skip
    return Prediction(target, draws, np.full(len(target), "ok", dtype=object))


@pytest.fixture(scope="module")
def split():
    curves = related(60)
    test = ["r000", "r001"]
    history = History(curves.select(runs=[run for run in curves.runs.index if run not in test]))
    return history, curves.select(runs=test).truncate(0.25)


def rank_correlation(draws):
    return spearmanr(draws.T).statistic


def test_margins_stay_and_the_dependence_of_what_is_left_is_found(split):
    plain = forecast(["r000", "r001"])
    found = couple(plain, *split, seed=0)
    assert found.joint and not plain.joint
    np.testing.assert_array_equal(np.sort(found.draws, axis=1), np.sort(plain.draws, axis=1))
    for rows in (slice(0, 4), slice(4, 8)):
        got = rank_correlation(found.draws[rows])
        # Latent correlation 1 / 1.09; the levels, which are related otherwise, are accounted for.
        assert got[0, 1] > 0.7 and got[0, 2] < -0.7 and abs(got[0, 3]) < 0.3
    assert abs(spearmanr(found.draws[0], found.draws[4]).statistic) < 0.15, "runs stay independent"


def test_no_row_knows_what_else_is_asked(split):
    whole = couple(forecast(["r000", "r001"]), *split, seed=0)
    one = couple(forecast(["r001"], ("against", "up")), *split, seed=0)
    np.testing.assert_array_equal(one.draws, whole.draws[[6, 4]])
    assert not np.array_equal(couple(forecast(["r001"], ("up",)), *split, seed=1).draws[0], whole.draws[4])


def test_steps_of_a_metric_are_paths(split):
    found = couple(forecast(["r000"], ("up", "with"), (50.0, 100.0)), *split, seed=0)
    rank = np.argsort(np.argsort(found.draws, axis=1), axis=1)
    np.testing.assert_array_equal(rank[0], rank[1])
    np.testing.assert_array_equal(rank[2], rank[3])


@pytest.mark.parametrize("families", [0, 3])
def test_few_families_leave_metrics_independent(families):
    history = History(related(3, seeds=20).select(runs=[f"r{i:03}" for i in range(60)] if families else []))
    seen = related(1).truncate(0.25)
    found = couple(forecast(["r000"]), history, seen, seed=0)
    assert np.abs(rank_correlation(found.draws) - np.eye(4)).max() < 0.15


def test_runs_that_stopped_early_tell_nothing(split):
    history, seen = split
    found = couple(forecast(["r000"]), History(history.curves.truncate(0.6)), seen, seed=0)
    assert np.abs(rank_correlation(found.draws)[0, 1]) < 0.15


def test_scales_are_the_spread_of_what_happens_after_the_origin(split):
    history = split[0].curves
    last = {name: [history.series[run, name].value for run in history.runs.index] for name in ("up", "alone")}
    want = [np.subtract(*np.quantile([v[-1] - v[2] for v in last[name]], (0.75, 0.25))) for name in ("up", "alone")]
    np.testing.assert_allclose(metric_scales(split[0], ["up", "alone"], 0.25), want)
    assert metric_scales(History(history.select(runs=[])), ["up"], 0.25).tolist() == [1.0]


def test_what_is_kept_of_origins_stays_small_and_changes_nothing(monkeypatch):
    """A run that is watched for days has another progress at each look."""
    import predictdyn.joint as room

    monkeypatch.setattr(room, "KEPT", 5)
    curves = related(12)
    history, made = History(curves), forecast(["r000"])
    for last in (*range(30, 90), 30):
        seen = curves.select(runs=["r000"]).truncate(0.25)
        points = seen.points.assign(step=seen.points["step"].where(seen.points["step"] < 25, float(last)))
        seen = curves_from(points, seen.runs.astype({"last_step": float}), METRICS)
        found = couple(made, history, seen, seed=0)
        assert np.array_equal(found.draws, couple(made, History(curves), seen, seed=0).draws)
    assert len(history.once("correlations", dict)) == 5

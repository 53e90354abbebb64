"""Regressions over finished runs: they find what decides the end, and say so where too few have ended."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from predictdyn.curves import Metric, curves_from
from predictdyn.forecasters import fit
from predictdyn.forecasters.regressions import EXTRA_TREES, QUANTILE_REGRESSION, FeatureRegression, robust_units
from predictdyn.scores import crps

RIDGE = FeatureRegression("ridge", lambda family, seed: Ridge(10.0))  # one of your own
REGRESSIONS = (EXTRA_TREES, QUANTILE_REGRESSION, RIDGE)
STEPS = np.unique(np.geomspace(1, 1000, 40).astype(int))


def suite(n=60, seed=0):
    """Runs whose plan decides how far the metric will rise late, and whose early signal does so for the other one."""
    rng = np.random.default_rng(seed)
    points, runs = [], []
    for i in range(n):
        rate, hidden = rng.standard_normal(2)
        late = 1 / (1 + np.exp(-4 * (np.log(STEPS) - np.log(300))))
        curves = {
            "planned": 0.1 * rng.standard_normal() + (2 + rate) * late,
            "signalled": 0.1 * rng.standard_normal() + (2 + hidden) * late,
            "signal": hidden + np.zeros(len(STEPS)),
        }
        for name, value in curves.items():
            noisy = value + 0.03 * rng.standard_normal(len(STEPS))
            points.append(pd.DataFrame({"run": f"r{i:02}", "metric": name, "step": STEPS, "value": noisy}))
        runs.append({"run": f"r{i:02}", "family": f"f{i // 2:02}", "last_step": 1000, "rate": np.exp(rate)})
    metrics = {name: Metric(name, "capability") for name in ("planned", "signalled")}
    return curves_from(pd.concat(points), pd.DataFrame(runs), {**metrics, "signal": Metric("signal", "signal")})


@pytest.fixture(scope="module")
def split():
    curves = suite()
    runs = list(curves.runs.index)
    return curves.select(runs=runs[10:]), curves.select(runs=runs[:10])


def final(curves, metrics=("planned", "signalled"), steps=(1000,)):
    rows = [(run, metric, step) for run in curves.runs.index for metric in metrics for step in steps]
    return pd.DataFrame(rows, columns=["run", "metric", "step"])


def truth(curves, target):
    points = curves.points.set_index(["run", "metric", "step"])["value"]
    return points.reindex(pd.MultiIndex.from_frame(target)).to_numpy(float)


@pytest.mark.parametrize("one", REGRESSIONS, ids=lambda one: one.name)
def test_what_decides_the_end_is_found(one, split):
    history, test = split
    target = final(test)
    seen = test.truncate(0.1)
    found = fit(one, history, seed=0).forecast(seen, target, seed=0)
    assert (found.status == "ok").all()
    plain = fit("mean_change", history, seed=0).forecast(seen, target, seed=0)
    scores = [crps(truth(test, target), answer.draws) for answer in (found, plain)]
    planned = (target["metric"] == "planned").to_numpy()
    # Forty rows of noise beside two columns that decide: trees need more runs than a line does.
    bar = {"extra_trees": 0.95, "quantile_regression": 0.5}.get(one.name, 0.7)
    assert scores[0][planned].mean() < bar * scores[1][planned].mean(), "the plan is known before the run"
    if not one.own:
        assert scores[0][~planned].mean() < bar * scores[1][~planned].mean(), "another metric gives it away"


def test_targets_on_the_way_are_answered_alike_whatever_else_is_asked(split):
    history, test = split
    one = fit(RIDGE, history, seed=0)
    seen = test.truncate(0.1)
    both = one.forecast(seen, final(test, ("planned",), (300, 1000)), seed=0)
    alone = one.forecast(seen, final(test.select(runs=["r03"]), ("planned",), (300,)), seed=0)
    # But for the last digits: sums over one row and over ten are not taken in the same order.
    np.testing.assert_allclose(both.draws[6], alone.draws[0], rtol=1e-9)
    middle = np.median(both.draws, axis=1).reshape(-1, 2)
    assert (middle[:, 0] < middle[:, 1]).mean() > 0.8, "most have risen less by then"


def test_the_way_there_comes_to_the_forecast_of_the_end(split):
    history, test = split
    both = fit(EXTRA_TREES, history, seed=0).forecast(test.truncate(0.1), final(test, ["planned"], (995, 1000)), seed=1)
    near, end = both.draws.reshape(len(test.runs), 2, -1).swapaxes(0, 1)
    width = np.quantile(end, 0.95, axis=1) - np.quantile(end, 0.05, axis=1)
    assert (np.abs(np.median(near, axis=1) - np.median(end, axis=1)) < 0.02 * width).all()


def test_what_was_not_seen_moves_nothing(split):
    history, test = split
    one = fit("extra_trees", history, seed=0)
    points = test.points.copy()
    late = points["step"] > 100
    points.loc[late, "value"] += 100.0
    tampered = curves_from(points, test.runs.reset_index(), dict(test.metrics)).truncate(0.1)
    target = final(test)
    assert np.array_equal(
        one.forecast(test.truncate(0.1), target, seed=0).draws, one.forecast(tampered, target, seed=0).draws
    )


@pytest.mark.parametrize("keep", [19, 3])
def test_too_few_runs_say_so(keep, split):
    history, test = split
    few = history.select(runs=list(history.runs.index)[:keep])
    found = fit(RIDGE, few, seed=0).forecast(test.truncate(0.1), final(test), seed=0)
    assert set(found.status) == {"fewer than 20 finished runs: last value"}
    last = fit("last_value", few, seed=0).forecast(test.truncate(0.1), final(test), seed=0)
    assert np.array_equal(found.draws, last.draws)


def test_runs_without_a_signal_or_a_plan_are_answered(split):
    history, test = split
    bare = test.select(metrics=["planned", "signalled"]).truncate(0.1)
    without = dataclasses.replace(bare, runs=bare.runs.drop(columns="rate"))
    found = fit("extra_trees", history, seed=0).forecast(without, final(test), seed=0)
    assert (found.status == "ok").all() and np.isfinite(found.draws).all()


def test_columns_are_in_robust_units_without_gaps():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 5)) * [1.0, 1e6, 1.0, 1.0, 0.0]
    x[0, 1] = 1e38
    x[:60, 2] = np.nan
    x[:20, 3] = np.nan
    made = robust_units(x)
    assert made.kept.tolist() == [True, True, False, True, False]
    out = made.apply(x)
    assert np.isfinite(out).all() and np.abs(out).max() < 100 and 0.5 < out[1:, 1].std() < 1.5

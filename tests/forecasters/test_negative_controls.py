"""Negative controls: where the early part says nothing of the end, no forecaster has skill, and the verdict says so."""

import numpy as np
import pandas as pd
import pytest

from predictdyn.backtest.plan import Plan
from predictdyn.backtest.run import run
from predictdyn.backtest.summary import resolved, verdicts
from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.forecasters import BASELINES, forecaster

STEPS = np.unique(np.geomspace(1, 1000, 30).astype(int))
RUNS = 40


def suite() -> Curves:
    """Runs whose ends were drawn by the plan and the signal."""
    rng = np.random.default_rng(5)
    late = 1 / (1 + np.exp(-4 * (np.log(STEPS) - np.log(300))))
    points, runs = [], []
    for i in range(RUNS):
        rate, hidden = rng.standard_normal(2)
        noise = 0.03 * rng.standard_normal((2, len(STEPS)))
        for name, value in {"outcome": (2 + rate + hidden) * late + noise[0], "signal": hidden + noise[1]}.items():
            points.append(pd.DataFrame({"run": f"r{i:02}", "metric": name, "step": STEPS, "value": value}))
        runs.append({"run": f"r{i:02}", "family": f"r{i:02}", "last_step": 1000, "rate": np.exp(rate)})
    metrics = {"outcome": Metric("outcome", "capability"), "signal": Metric("signal", "signal")}
    return curves_from(pd.concat(points), pd.DataFrame(runs), metrics)


def shuffled(curves: Curves, cutoff: float, seed: int) -> Curves:
    """Every run goes on, after the cutoff, as another one did."""
    names = list(curves.runs.index)
    other = dict(zip(names, np.random.default_rng(seed).permutation(names), strict=True))
    points = curves.points.set_index(["run", "metric", "step"])["value"]
    table = curves.points.copy()
    mine = (table["step"] > cutoff * 1000) & (table["metric"] == "outcome")
    keys = pd.MultiIndex.from_arrays([table["run"].map(other), table["metric"], table["step"]])
    table["value"] = np.where(mine, points.reindex(keys).to_numpy(), table["value"])
    return curves_from(table, curves.runs.reset_index(), dict(curves.metrics))


def said(curves: Curves, name: str) -> pd.Series:
    plan = Plan(cutoffs=(0.1,), max_folds=4)
    names = [*BASELINES, name]
    made = [forecaster(one) for one in names]
    done = run(curves, plan, made, BASELINES)
    table = resolved(done.rows, curves.runs["family"], BASELINES)
    return verdicts(table, names, BASELINES, seed=0).set_index("forecaster").loc[name]


@pytest.mark.parametrize(("name", "shuffles"), [("quantile_regression", 3), ("extra_trees", 3), ("auto", 1)])
def test_shuffled_outcomes_give_no_skill_and_the_verdict_says_so(name, shuffles):
    found = pd.DataFrame([said(shuffled(suite(), 0.1, seed), name) for seed in range(shuffles)])
    assert found["skill"].mean() < 0.05
    # One verdict in twenty is wrong by its own rule.
    assert (found["verdict"] == "not predictable here").sum() >= min(shuffles, 2)
    assert found["coverage_90"].mean() > 0.8, "it does not know, and does not claim to"


def test_the_same_outcomes_unshuffled_are_predictable():
    found = said(suite(), "extra_trees")
    assert found["skill_lo"] > 0.3 and found["verdict"] == "predictable here"

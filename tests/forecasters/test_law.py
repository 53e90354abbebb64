"""The forecaster law: a run from its plan alone, or from its plan and its beginning."""

import numpy as np
import pandas as pd
import pytest

import predictdyn as pdyn
from predictdyn.curves import Metric, curves_from
from predictdyn.forecasters import fit
from predictdyn.forecasters.law import TOO_FEW, ScalingLaw


def suite(n: int = 18, seed: int = 0):
    """Runs of a law in size and data, each with four checkpoints on the way; two outcomes."""
    rng = np.random.default_rng(seed)
    runs = pd.DataFrame({"params": 10 ** rng.uniform(6, 8, n), "tokens": 10 ** rng.uniform(8, 9.5, n)})
    runs.index = [f"r{i:02}" for i in range(n)]
    runs.loc["r00", "params"] = 1e9
    runs["last_step"] = 100
    frames = []
    for run, params, tokens in runs[["params", "tokens"]].itertuples():
        step = np.array([10, 25, 50, 100])
        loss = 1.8 + 400 * params**-0.35 + 2000 * (tokens * step / 100) ** -0.37
        loss = loss * np.exp(0.03 * rng.standard_normal() + 0.002 * rng.standard_normal(4))
        accuracy = 1 / (1 + (loss / 4.0) ** 3)
        frames += [pd.DataFrame({"run": run, "metric": "loss", "step": step, "value": loss})]
        frames += [pd.DataFrame({"run": run, "metric": "accuracy", "step": step, "value": accuracy})]
    metrics = {
        "loss": Metric("loss", "loss", 0.0, None, "lower"),
        "accuracy": Metric("accuracy", "capability", 0.0, 1.0, "higher", 0.0),
    }
    return curves_from(pd.concat(frames), runs.rename_axis("run"), metrics)


def asked(curves, run: str, cutoff: float, forecaster):
    """Prediction of both metrics' ends of a run of which a part is seen."""
    others = curves.select(runs=curves.runs.index.difference([run]))
    target = pd.DataFrame({"run": run, "metric": ["loss", "accuracy"], "step": 100})
    return fit(forecaster, others).forecast(curves.select(runs=[run]).truncate(cutoff), target, seed=0)


def ends(curves, run: str) -> np.ndarray:
    return np.array([curves.series[run, metric].value[-1] for metric in ("loss", "accuracy")])


@pytest.fixture(scope="module")
def curves():
    return suite()


@pytest.mark.parametrize("forecaster", ["law", "auto"])
def test_a_run_that_is_ten_times_larger_is_forecast_from_its_plan(curves, forecaster):
    found = asked(curves, "r00", 0.0, forecaster)
    low, high = np.quantile(found.draws, [0.03, 0.97], axis=1)
    truth = ends(curves, "r00")
    assert list(found.status) == ["ok", "ok"]
    assert ((low < truth) & (truth < high) & (high - low < 0.5 * truth)).all()


def test_what_is_seen_of_the_run_corrects_its_law(curves):
    # Runs differ by 3 % from the law, and keep most of it: the beginning tells which way.
    spread = [
        float(asked(curves, run, cutoff, "law").draws[0].std()) for cutoff in (0.0, 0.5) for run in ("r03", "r07")
    ]
    assert np.mean(spread[2:]) < 0.7 * np.mean(spread[:2])


def test_few_runs_have_no_law_and_say_so(curves):
    few = curves.select(runs=["r00", "r01", "r02"])
    found = asked(few, "r00", 0.0, ScalingLaw())
    assert set(found.status) == {TOO_FEW} or all(TOO_FEW in str(status) or status != "ok" for status in found.status)


def test_a_backtest_of_plans_needs_nothing_of_the_runs(curves):
    result = pdyn.backtest(curves, "law", cutoffs=[0], metrics="loss")
    board = result.leaderboard.set_index("forecaster")
    assert board.loc["law", "skill"] > 0.5
    assert set(result.forecasts.query("forecaster == 'law'")["status"]) == {"ok"}


def test_paths_from_a_plan_pass_through_what_runs_had_there(curves):
    target = pd.DataFrame({"run": "r04", "metric": "loss", "step": [10, 25, 50, 75, 100]})
    others = curves.select(runs=curves.runs.index.difference(["r04"]))
    found = fit("law", others).forecast(curves.select(runs=["r04"]).truncate(0.0), target, seed=0)
    middle = np.median(found.draws, axis=1)
    assert (np.diff(middle) < 0).all()
    truth = curves.series["r04", "loss"].value
    assert (np.abs(middle[[0, 1, 2, 4]] / truth - 1) < 0.2).all()

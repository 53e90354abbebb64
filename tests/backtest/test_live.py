"""What may be learnt from when runs are forecast: other runs that have ended, but none that holds what is hidden."""

import numpy as np
import pandas as pd

from predictdyn.backtest.live import split_live
from predictdyn.curves import Metric, curves_from


def suite(*, ends=(10, 10, 10, 10)):
    """Two runs, each with an arm that branched off from it; ``ends`` are the last steps logged of 10 planned."""
    names = ["a", "a-arm", "b", "b-arm"]
    rows = [
        pd.DataFrame({"run": run, "metric": "loss", "step": np.arange(1, end + 1), "value": 1.0})
        for run, end in zip(names, ends, strict=True)
    ]
    runs = pd.DataFrame(
        {"family": [*"aabb"], "last_step": 10, "baseline": [*"aabb"]}, index=pd.Index(names, name="run")
    )
    return curves_from(pd.concat(rows), runs, {"loss": Metric("loss", "loss")})


def test_a_finished_run_that_is_cut_teaches_nothing_by_its_arms():
    for chosen in ("a", "a-arm"):
        asked = split_live(suite(), runs=(chosen,), cutoff=0.5)
        assert list(asked.observed.runs.index) == [chosen]
        assert set(asked.history.runs.index) == {"b", "b-arm"}


def test_an_arm_that_goes_on_learns_from_the_run_it_left():
    asked = split_live(suite(ends=(10, 6, 10, 10)))
    assert list(asked.observed.runs.index) == ["a-arm"]
    assert set(asked.history.runs.index) == {"a", "b", "b-arm"}


def test_runs_without_a_baseline_are_history_for_each_other():
    curves = suite()
    plain = curves_from(curves.points, curves.runs.drop(columns="baseline"), curves.metrics)
    assert len(split_live(plain, runs=("a",), cutoff=0.5).history.runs) == 3

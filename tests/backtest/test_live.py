"""What may be learnt from when runs are forecast: other runs that have ended, but none that holds what is hidden."""

import numpy as np
import pandas as pd
import pytest

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


def copied(small, run, name, *, points=slice(None), change=None):
    """The small curves with a run once more under another name: some of its points, and one value changed."""
    own = small.points[small.points["run"] == run]
    steps = np.unique(own["step"])[points]
    own = own[own["step"].isin(steps)].assign(run=name)
    if change is not None:
        own["value"] = own["value"].where(own["step"] != steps[change], 0.9 * own["value"])
    runs = pd.concat([small.runs, small.runs.loc[[run]].rename({run: name})])
    return curves_from(pd.concat([small.points, own]), runs, dict(small.metrics))


@pytest.mark.parametrize("points", [slice(None), slice(None, None, -2)], ids=["same steps", "every second step"])
def test_a_finished_run_with_the_curves_of_the_run_in_question_is_no_history(small, points):
    asked = split_live(copied(small, "f2-s0", "sweep/f2-s0", points=points), runs=("f2-s0",), cutoff=0.5)
    assert asked.left_out == ("sweep/f2-s0",)
    assert set(asked.history.runs.index) == set(small.runs.index) - {"f2-s0"}


def test_a_run_that_differs_in_one_value_that_is_seen_is_history(small):
    late = split_live(copied(small, "f2-s0", "other", change=-1), runs=("f2-s0",), cutoff=0.5)
    assert late.left_out == ("other",)  # it differs only in what is hidden
    seen = split_live(copied(small, "f2-s0", "other", change=3), runs=("f2-s0",), cutoff=0.5)
    assert seen.left_out == () and "other" in seen.history.runs.index


def test_a_metric_that_is_equal_in_all_runs_makes_no_copies_of_them_and_hides_none(small):
    """A running accuracy that follows from the step alone, say: other metrics tell the runs apart."""

    def timed(curves):
        clock = curves.points[curves.points["metric"] == "accuracy"].assign(metric="by_step")
        clock["value"] = clock["step"] / 1000
        by_step = {**curves.metrics, "by_step": Metric("by_step", "capability")}
        return curves_from(pd.concat([curves.points, clock]), curves.runs, by_step)

    asked = split_live(timed(small), runs=("f2-s0",), cutoff=0.5)
    assert asked.left_out == () and set(asked.history.runs.index) == set(small.runs.index) - {"f2-s0"}
    assert split_live(timed(copied(small, "f2-s0", "other")), runs=("f2-s0",), cutoff=0.5).left_out == ("other",)


def test_as_many_finished_runs_as_unfinished_ones_are_no_reason_to_refuse(small):
    half = list(small.runs.index[:4])
    points = small.points
    begun = small.where(~(points["run"].isin(half) & (points["step"] > 200)).to_numpy()).select(metrics=["accuracy"])
    assert set(split_live(begun).target["run"]) == set(half)

"""The border: what curves_from takes, what it refuses and in which words, and what a cut leaves."""

import numpy as np
import pandas as pd
import pytest

from predictdyn.curves import Metric, curves_from


def points(**columns):
    table = {"run": ["a", "a", "b"], "metric": ["loss"] * 3, "step": [1, 2, 1], "value": [3.0, 2.0, 3.5]}
    return pd.DataFrame(table | columns)


def test_points_are_sorted_and_runs_are_made():
    curves = curves_from(points(step=[2, 1, 1]))
    assert curves.points["step"].tolist() == [1, 2, 1]
    assert curves.points["value"].tolist() == [2.0, 3.0, 3.5]
    assert curves.runs.loc["a", "last_step"] == 2 and curves.runs.loc["b", "family"] == "b"
    assert curves.metrics["loss"].kind == "signal"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (points().drop(columns="value"), "missing column.s. value; found run, metric, step"),
        (points(value=[1.0, np.nan, 2.0]), "value must be finite, found nan, first in row 2 .*'a'"),
        (points(value=[1.0, 2.0, np.inf]), "value must be finite, found inf, first in row 3"),
        (points(value=["1", "two", "3"]), "value must be numbers, found 'two', first in row 2"),
        (points(step=["1", "x", "3"]), "step must be numbers, found 'x'"),
        (points(step=[-1, 2, 1]), "step must not be negative, found -1"),
        (points(step=[1, 1, 1]), "must be unique, found 1 repeated row.*resumed run"),
        (points(stderr=[0.1, -0.1, 0.1]), "stderr must be a finite number >= 0 or blank, found -0.1"),
        (points(seen=[0, 1, 2]), "seen must be 0 or 1, found 2"),
        (points(run=["a", None, "b"]), "run is blank, first in row 2"),
        (points().head(0), "no rows"),
    ],
)
def test_bad_points_end_in_one_clear_line(bad, words):
    with pytest.raises(ValueError, match=words) as error:
        curves_from(bad)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        (pd.DataFrame({"run": ["a"]}), "no row for 1 run.*'b'"),
        (pd.DataFrame({"run": ["a", "a", "b"]}), "unique, found 'a'"),
        (pd.DataFrame({"run": ["a", "b"], "last_step": [1, 1]}), "'a' has a point at step 2 after its last_step 1"),
        (pd.DataFrame({"run": ["a", "b"], "last_step": [2, -1]}), "last_step must be a number > 0.*'b'"),
    ],
)
def test_bad_runs_end_in_one_clear_line(runs, words):
    with pytest.raises(ValueError, match=words):
        curves_from(points(), runs)


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (Metric("loss", "speed"), "has kind 'speed'; allowed are capability"),
        (Metric("loss", "loss", better="up"), "has better 'up'; allowed are higher, lower, zero"),
        (Metric("loss", "loss", 1.0, 0.0), "lower 1.0 not below upper 0.0"),
        (Metric("loss", "loss", 0.0, 3.2), "must lie between 0.0 and 3.2, found 3.5, first in row 3"),
    ],
)
def test_bad_metrics_end_in_one_clear_line(metric, words):
    with pytest.raises(ValueError, match=words):
        curves_from(points(), None, {"loss": metric})


def test_events_are_checked():
    with pytest.raises(ValueError, match="run has no points"):
        curves_from(points(), events=pd.DataFrame({"run": ["z"], "step": [1], "what": ["restart"]}))


def test_a_cut_sees_the_cutoff_itself_and_the_whole_schedule(small):
    cut = small.truncate(0.1)
    last = cut.points.groupby("metric")["step"].max()
    whole = small.points.groupby("metric")["step"].max()
    assert (last.drop("rate") <= 100).all() and last["rate"] == whole["rate"] == 1000
    exact = curves_from(pd.DataFrame({"run": "a", "metric": "m", "step": [1, 3, 30], "value": 1.0})).truncate(0.1)
    assert exact.points["step"].tolist() == [1, 3]


def test_a_cut_hides_later_events():
    events = pd.DataFrame({"run": ["a", "a"], "step": [1, 2], "what": ["spike", "diverged"]})
    assert curves_from(points(), events=events).truncate(0.5).events["what"].tolist() == ["spike"]


def test_arrays_by_key_are_the_rows(small):
    curve = small.series[("f1-s0", "loss")]
    rows = small.points[(small.points["run"] == "f1-s0") & (small.points["metric"] == "loss")]
    np.testing.assert_array_equal(curve.value, rows["value"])
    assert len(small.series) == 8 * 7


def test_cuts_are_what_names_row_by_row_say():
    """Cuts look at each curve once; here every row is asked, on points whose curves differ in length and order."""
    rng = np.random.default_rng(0)
    keys = [(f"r{i % 7}", f"m{i % 3}", i) for i in range(60)]
    table = pd.DataFrame([keys[i] for i in rng.permutation(60)], columns=["run", "metric", "step"])
    metrics = {"m1": Metric("m1", "schedule")}
    curves = curves_from(table.assign(value=rng.normal(size=60)), None, metrics)
    expected = table.sort_values(["run", "metric", "step"], ignore_index=True)
    pd.testing.assert_frame_equal(
        curves.points[["run", "metric", "step"]], expected.astype({"run": str, "metric": str})
    )
    of_runs, of_metrics = curves.select(runs=["r1", "r5"]).points, curves.select(metrics=["m2", "m0"]).points
    assert of_runs.equals(curves.points[curves.points["run"].isin(["r1", "r5"])])
    assert of_metrics.equals(curves.points[curves.points["metric"].isin(["m0", "m2"])])
    limit = curves.points["run"].map(curves.limit(0.5))
    seen = curves.points[(curves.points["step"] <= limit) | (curves.points["metric"] == "m1")]
    assert curves.truncate(0.5).points.equals(seen)
    assert curves.truncate(0.5).truncate(0.5).points.equals(seen)
    by_key = {key: own["step"].tolist() for key, own in curves.points.groupby(["run", "metric"])}
    assert {key: curve.step.tolist() for key, curve in curves.series.items()} == by_key
    nothing = curves.select(runs=[])
    assert (
        not len(nothing.points) and not nothing.series and not len(nothing.truncate(0.5).select(metrics=["m0"]).points)
    )


def test_a_name_that_nothing_has_cannot_be_selected(small):
    run = small.runs.index[0]
    for asked, said in (
        ({"metrics": ["acuracy"]}, r"select: metrics= names acuracy, which is not there; did you mean 'accuracy'\?"),
        ({"runs": [run, "nobody"]}, "select: runs= names nobody, which is not there; .*there are "),
    ):
        with pytest.raises(ValueError, match=said):
            small.select(**asked)
    assert small.select(runs=run, metrics="accuracy").points["metric"].unique().tolist() == ["accuracy"]

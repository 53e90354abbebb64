"""Curves of a data frame: long and wide, what is found by name, what is assumed, and errors that name the keyword."""

import numpy as np
import pandas as pd
import pytest

from predictdyn import Curves, Metric
from predictdyn.curves import KEY

RUNS = {"last_step": 3}


def frame(**columns: object) -> pd.DataFrame:
    table = {"run": ["a", "a", "b", "b"], "step": [1, 2, 1, 2], "val_acc": [0.1, 0.2, 0.3, 0.4], "lr": [0.1, 0.05] * 2}
    return pd.DataFrame({**table, **columns})


def test_wide_and_long_are_the_same_curves():
    wide = frame()
    long = wide.melt(["run", "step"], var_name="metric", value_name="value")
    one, other = Curves.from_frame(wide, RUNS), Curves.from_frame(long, RUNS)
    pd.testing.assert_frame_equal(one.points, other.points)
    pd.testing.assert_frame_equal(one.runs, other.runs)
    assert one.metrics == other.metrics
    assert one.metrics["val_acc"] == Metric("val_acc", "capability", 0, 1, "higher")
    assert one.metrics["lr"].kind == "schedule" and one.metrics["lr"].guessed
    assert one.points["value"].tolist() == [0.1, 0.05, 0.1, 0.2, 0.1, 0.05, 0.3, 0.4]


def test_a_table_of_curves_comes_back_as_it_was(small):
    again = Curves.from_frame(small.points, small.runs, small.metrics)
    pd.testing.assert_frame_equal(again.points, small.points)
    pd.testing.assert_frame_equal(again.runs, small.runs)
    assert again.metrics == small.metrics and again.notes == ()


def test_columns_are_found_by_usual_names_in_any_case_and_by_keywords():
    renamed = frame().rename(columns={"run": "Model", "step": "Global_Step"})
    assert Curves.from_frame(renamed, RUNS).points["step"].tolist() == [1, 2] * 4
    odd = frame().rename(columns={"run": "experiment no", "step": "t"})
    assert len(Curves.from_frame(odd, RUNS, run="experiment no", step="t").runs) == 2
    indexed = frame().set_index(["run", "step"])
    assert Curves.from_frame(indexed, RUNS).points["step"].tolist() == [1, 2] * 4
    one = Curves.from_frame(frame()[:2].drop(columns="run"), RUNS)
    assert one.runs.index.tolist() == ["run"]
    keyed = frame().melt(["run", "step"], var_name="which", value_name="number")
    assert len(Curves.from_frame(keyed, RUNS, metric="which", value="number").metrics) == 2


def test_clocks_are_no_metrics_and_standard_errors_belong_to_theirs():
    table = frame(epoch=[0, 1, 0, 1], wall_time=[1.0, 2.0, 1.0, 2.0], val_acc_stderr=[0.01, np.nan, 0.02, 0.03])
    curves = Curves.from_frame(table, RUNS)
    assert list(curves.metrics) == ["lr", "val_acc"]
    own = curves.points[curves.points["metric"] == "val_acc"]["stderr"]
    np.testing.assert_array_equal(own, [0.01, np.nan, 0.02, 0.03])


@pytest.mark.parametrize(
    "runs",
    [
        pd.DataFrame({"run": ["b", "a"], "family": ["f", "g"], "last_step": [5, 4], "size": [2.0, 1.0]}),
        pd.DataFrame({"family": ["g", "f"], "last_step": [4, 5], "size": [1.0, 2.0]}, index=["a", "b"]),
        {"last_step": {"a": 4, "b": 5}, "family": {"a": "g", "b": "f"}, "size": pd.Series([1.0, 2.0], ["a", "b"])},
        {"a": {"last_step": 4, "family": "g", "size": 1.0}, "b": {"last_step": 5, "family": "f", "size": 2.0}},
    ],
    ids=["table", "index", "by column", "by run"],
)
def test_what_is_known_of_runs_may_be_said_in_four_ways(runs):
    table = Curves.from_frame(frame(), runs).runs
    assert table.loc["a"].tolist() == ["g", 4, 1.0] and table.loc["b"].tolist() == ["f", 5, 2.0]
    assert list(table.columns) == ["family", "last_step", "size"]


def test_family_and_last_step_may_be_columns_of_the_frame():
    table = Curves.from_frame(frame(family="f", last_step=[4, 4, 5, 5])).runs
    assert table["last_step"].tolist() == [4, 5] and set(table["family"]) == {"f"}


def test_what_was_assumed_of_the_planned_end_is_a_warning():
    with pytest.warns(UserWarning, match=r"planned end of all run\(s\) is not known.*give runs=\{'last_step': STEP\}"):
        curves = Curves.from_frame(frame())
    assert curves.runs["last_step"].tolist() == [2, 2] and len(curves.notes) == 1
    with pytest.warns(UserWarning, match=r"of 1 of 2 run\(s\)"):
        assert Curves.from_frame(frame(), {"last_step": {"a": 4}}).runs["last_step"].tolist() == [4, 2]


@pytest.mark.parametrize(
    ("metrics", "metric"),
    [
        ({"odd": "capability"}, Metric("odd", "capability")),
        ({"odd": {"kind": "bias", "lower": 0.0}}, Metric("odd", "bias", 0.0)),
        ({"odd": Metric("?", "memorization", 0, 1)}, Metric("odd", "memorization", 0, 1)),
        (
            pd.DataFrame({"metric": ["odd"], "kind": ["loss"], "better": ["lower"]}),
            Metric("odd", "loss", better="lower"),
        ),
        (None, Metric("odd", "signal")),
    ],
    ids=["kind", "facts", "Metric", "table", "unknown"],
)
def test_what_a_metric_is_may_be_stated(metrics, metric):
    curves = Curves.from_frame(frame(odd=[0.5, 0.6, 0.7, 0.8]), RUNS, metrics)
    assert curves.metrics["odd"] == metric and len(curves.metrics) == 3


def test_a_list_of_metrics_takes_these_alone():
    assert list(Curves.from_frame(frame(text="x"), RUNS, ["val_acc"]).metrics) == ["val_acc"]


def test_a_share_in_percent_has_the_range_of_its_values():
    curves = Curves.from_frame(frame(val_acc=[10.0, 20.0, 30.0, 40.0]), RUNS)
    assert curves.metrics["val_acc"].upper == 100
    assert len(curves.notes) == 1 and "is in percent" in curves.notes[0], "told, and no warning"


def test_runs_of_two_scales_are_a_warning_that_names_the_keyword():
    said = r"val_acc is taken to be in percent .*; 1 stay at or below 1: a\. .* give metrics={METRIC"
    with pytest.warns(UserWarning, match=said):
        Curves.from_frame(frame(val_acc=[0.1, 0.2, 30.0, 40.0]), RUNS)


def test_blank_cells_were_not_logged_and_infinite_ones_are_events():
    with pytest.warns(UserWarning, match=r"2 value\(s\) of val_acc infinite, kept as events"):
        curves = Curves.from_frame(frame(val_acc=[np.nan, -np.inf, 0.3, np.inf]), RUNS)
    assert curves.points[curves.points["metric"] == "val_acc"][KEY].to_numpy().tolist() == [["b", "val_acc", 1]]
    # The words of events of logs: a watch knows them.
    assert curves.events.to_numpy().tolist() == [
        ["a", 2.0, "val_acc is minus infinity"],
        ["b", 2.0, "val_acc is infinite"],
    ]
    with pytest.warns(UserWarning, match=r"2 value\(s\) lost: their row has no step"):
        assert len(Curves.from_frame(frame(step=[1, np.nan, 1, 2]), RUNS).points) == 6


@pytest.mark.parametrize(
    ("table", "named", "said"),
    [
        (frame().rename(columns={"step": "t"}), {}, r"no column that counts steps; found run, t.*name it with step="),
        (frame(), {"step": "time"}, "step='time' is no column; found run, step, val_acc, lr"),
        (frame(), {"run": "seed"}, "run='seed' is no column"),
        (frame().drop(columns="run"), {}, r"2 step\(s\) are there more than once.*tells runs apart with run=\.\.\."),
        (frame(), {"metric": "run"}, "a long table needs metric= and value=; no column is known as value"),
        (frame(text="x"), {}, r"column\(s\) text hold text.*metrics=\[\.\.\.\], or give what was known .* runs="),
        (frame(val_acc=["0.1", "bad", "0.3", "0.4"]), {}, "column 'val_acc' holds 'bad' \\(row 2\\), expected numbers"),
        (frame(step=["1", "x", "1", "2"]), {}, "column 'step' holds 'x' .*, expected steps"),
        (frame()[:0], {}, "the table has no rows"),
        ({"run": ["a"]}, {}, "takes a pandas DataFrame, got dict"),
        (frame(), {"runs": {"last_step": {"z": 3}}}, "runs= says last_step of run 'z', which is not there"),
        (frame(), {"runs": pd.DataFrame({"run": ["a"], "last_step": [3]})}, r"runs= has no row for 1 run\(s\).*'b'"),
        (frame(), {"runs": {"lr": [1, 2]}}, "runs= takes for lr one value, or a dictionary run -> value, got list"),
        (frame(), {"runs": 5}, "runs= takes a table or a dictionary, got int"),
        (frame(), {"runs": RUNS, "metrics": {"acc": "capability"}}, "metrics= names 'acc', which was not logged"),
        (frame(), {"runs": RUNS, "metrics": {"lr": "speed"}}, "'lr' has kind 'speed'; allowed are capability"),
        (frame(), {"runs": RUNS, "metrics": {"lr": {"low": 1}}}, "expected a kind, or a kind and some of"),
        (frame(family=["f", "g", "f", "f"]), {}, "column 'family' has more than one value in run 'a'"),
        (
            frame(step=[1, 1, 1, 2]), {"runs": RUNS},
            r"run, metric, step must be unique, but 2 value\(s\) .* first run 'a', metric 'val_acc', step 1; .*"
            r'frame\.drop_duplicates\(\["run", "step"\], keep="last"\)',
        ),
        (frame(val_acc=["1%", "2 %", "3%", "4%"]), {}, r"val_acc hold percent as text; .*str\.rstrip"),
        (frame(val_acc=["0.1", "20%", "0.3", "0.4"]), {}, r"holds '20%' \(row 2\).*take the sign off"),
        (
            frame().melt(["run", "step"], var_name="which", value_name="number"), {"runs": RUNS},
            "column.s. which hold text.*a value a row, say metric='which', value='number'",
        ),
        (frame(step=pd.date_range("2024-01-01", periods=4)), {}, "column 'step' holds dates.*step=.*cumcount"),
        (frame(step=["2024-01-01 10:00", "2024-01-02", "2024-01-03", "2024-01-04"]), {}, "holds dates"),
        (frame(), {"step": "stepp"}, "step='stepp' is no column; did you mean 'step'\\?"),
        (frame(), {"runs": RUNS, "metrics": ["val_ac"]}, "'val_ac', which was not logged; did you mean 'val_acc'\\?"),
        (frame(), {"runs": RUNS, "last_step": 5}, "last_step is given twice, by last_step= and by runs="),
        (frame(), {"last_step": "plan"}, "last_step='plan' is no column"),
        (frame(), {"runs": {"last_step": 3, "family": ".*-s[0-9]"}}, "regular expression with one group, found 0"),
        (frame(), {"runs": {"last_step": 3, "family": r"(.*)-s\d"}}, "finds nothing in the run name 'a'"),
    ],
)  # fmt: skip
def test_an_error_names_the_keyword_and_what_was_found(table, named, said):
    with pytest.raises(ValueError, match=said) as error:
        Curves.from_frame(table, **named)
    assert "\n" not in str(error.value) and "--" not in str(error.value)


def test_reprs_are_short_and_say_what_is_there():
    curves = Curves.from_frame(frame(), RUNS)
    assert repr(curves) == "Curves: 2 runs, 2 metrics (capability, schedule), 8 points"
    html = curves._repr_html_()
    assert "val_acc" in html and "0 to 1" in html and len(html) < 3000
    many = pd.concat([frame(**{f"m{i}": 0.5}).melt(["run", "step"], var_name="metric") for i in range(40)])
    html = Curves.from_frame(many.drop_duplicates(KEY), RUNS)._repr_html_()
    assert html.count("<tr") == 21 and "and 22 more rows" in html


def test_notes_stay_with_curves_that_are_cut():
    with pytest.warns(UserWarning):
        curves = Curves.from_frame(frame())
    assert curves.select(runs=["a"]).truncate(0.5).notes == curves.notes != ()


def test_columns_that_never_change_within_a_run_are_settings_of_runs():
    table = frame(lr=[0.1, 0.1, 0.2, 0.2], seed=[0, 0, 1, 1], width=64, optimizer=[*"xxyy"], val_f1=0.0)
    with pytest.warns(
        UserWarning, match=r"column\(s\) lr, seed, width, optimizer never change.*metrics=\{'lr': KIND\}"
    ):
        curves = Curves.from_frame(table, RUNS)
    assert list(curves.metrics) == ["val_acc", "val_f1"], "an outcome that stands still is one all the same"
    assert curves.runs.loc["b", ["lr", "seed", "width", "optimizer"]].tolist() == [0.2, 1, 64, "y"]
    with pytest.warns(UserWarning, match="never change"):
        stated = Curves.from_frame(table.drop(columns="optimizer"), RUNS, {"lr": "schedule"})
    assert "lr" in stated.metrics and "lr" not in stated.runs
    assert list(Curves.from_frame(table, RUNS, ["val_acc"]).runs.columns) == ["family", "last_step"]
    long = table.melt(["run", "step", "seed", "optimizer"], ["val_acc"], "metric", "value")
    with pytest.warns(UserWarning, match="seed, optimizer never change"):
        assert Curves.from_frame(long, RUNS).runs["optimizer"].tolist() == ["x", "y"]


def test_a_column_of_one_run_or_of_single_points_is_a_metric():
    one = Curves.from_frame(frame(width=64)[:2], RUNS)
    assert "width" in one.metrics
    single = Curves.from_frame(frame(width=[1, 1, 2, 2]).iloc[[0, 2]], RUNS)
    assert "width" in single.metrics


def test_a_planned_end_by_another_name_is_asked_after():
    with pytest.warns(UserWarning, match=r"did you mean planned_steps\? call it last_step"):
        Curves.from_frame(frame(), {"planned_steps": 10, "warmup_steps": 1})


def test_planned_end_and_family_are_keywords_too():
    table = frame(plan=[4, 4, 5, 5])
    by_column = Curves.from_frame(table, last_step="plan", family={"a": "f", "b": "f"}).runs
    assert by_column["last_step"].tolist() == [4, 5] and by_column["family"].tolist() == ["f", "f"]
    assert Curves.from_frame(frame(), last_step=9).runs["last_step"].tolist() == [9, 9]
    seeds = frame(run=["m-s0", "m-s0", "m-s1", "m-s1"])
    for pattern in ("{family}-s*", r"(.*)-s\d"):
        assert Curves.from_frame(seeds, RUNS, family=pattern).runs["family"].tolist() == ["m", "m"]
        assert Curves.from_frame(seeds, {**RUNS, "family": pattern}).runs["family"].tolist() == ["m", "m"]


def test_a_metric_without_any_value_is_told():
    with pytest.warns(UserWarning, match=r"metric\(s\) val_f1 left out: no cell has a value"):
        curves = Curves.from_frame(frame(val_f1=np.nan), RUNS)
    assert list(curves.metrics) == ["lr", "val_acc"] and len(curves.notes) == 1


def test_rows_that_say_the_same_twice_are_one():
    twice = pd.concat([frame(), frame()[1:3]])
    pd.testing.assert_frame_equal(Curves.from_frame(twice, RUNS).points, Curves.from_frame(frame(), RUNS).points)


def long_frame(blank_from: int, **columns: object) -> pd.DataFrame:
    """Two runs of ten rows; the loss of run b is blank from some row on."""
    step = np.arange(1, 11)
    loss = {"a": 1 / step, "b": np.where(step < blank_from, 1 / step, np.nan)}
    return pd.concat([pd.DataFrame({"run": run, "step": step, "loss": loss[run], **columns}) for run in loss])


@pytest.mark.filterwarnings("ignore:the planned end")
@pytest.mark.parametrize(
    "columns", [{}, {"grad_norm": np.arange(10.0)}, {"val_acc": np.where(np.arange(10) % 3, np.nan, 0.5)}]
)
@pytest.mark.parametrize("long", [False, True])
def test_a_metric_that_ends_in_nan_is_an_event_and_the_run_keeps_its_end(columns, long):
    table = long_frame(6, **columns)
    if long:
        table = table.melt(["run", "step"], var_name="metric", value_name="value")
    with pytest.warns(UserWarning, match=r"5 value\(s\) of loss NaN at the end of a run, kept as events, in b; "):
        curves = Curves.from_frame(table)
    assert curves.events.to_numpy().tolist() == [["b", 6.0, "loss is NaN"]]
    assert curves.runs["last_step"].to_dict() == {"a": 10, "b": 10}
    assert len(curves.points[(curves.points["run"] == "b") & (curves.points["metric"] == "loss")]) == 5


@pytest.mark.filterwarnings("ignore:5 value")
def test_a_run_that_ends_in_nan_is_not_said_to_be_finished():
    with pytest.warns(UserWarning, match=r"planned end of 1 of 2 run\(s\) is not known"):
        curves = Curves.from_frame(long_frame(6))
    assert curves.points.groupby("run")["step"].max().to_dict() == {"a": 10, "b": 5}
    with pytest.warns(UserWarning, match="NaN at the end"):
        assert Curves.from_frame(long_frame(6), {"last_step": 30}).runs["last_step"].tolist() == [30, 30]


@pytest.mark.parametrize(
    "blank",
    [
        [1, 2, 4, 5, 7, 8, 10],  # every third row, and none is due in the last
        [1, 2, 3],  # begins late
        [3, 4, 5],  # values follow
        [10],  # a last row that is still to be filled
        [9],  # a last row of results, without a loss
    ],
)
def test_blanks_of_metrics_that_are_logged_now_and_then_were_not_logged(blank):
    loss = np.where(np.isin(np.arange(1, 11), blank), np.nan, 0.5)
    val = np.where(np.arange(1, 11) == 9, 0.75, np.nan) if blank == [9] else np.full(10, 0.25)
    rows = [name for name in range(10) if blank != [9] or name < 9]
    table = pd.DataFrame({"run": "a", "step": np.arange(1, 11), "loss": loss, "val_acc": val}).iloc[rows]
    curves = Curves.from_frame(table, RUNS | {"last_step": 10})
    assert curves.events.empty and curves.notes == ()


def test_a_sparse_metric_that_ends_long_before_its_run_is_told():
    val = np.where((np.arange(30) % 3 == 0) & (np.arange(30) < 12), 0.5, np.nan)
    table = pd.DataFrame({"run": "a", "step": range(30), "loss": np.linspace(2, 1, 30), "val_acc": val})
    said = r"1 curve\(s\) are blank long before .* 'a', metric 'val_acc', from step 9 to 29; .* write inf"
    with pytest.warns(UserWarning, match=said):
        assert Curves.from_frame(table, {"last_step": 29}).events.empty


@pytest.mark.filterwarnings("ignore:the planned end")
def test_a_run_that_goes_on_as_infinite_keeps_its_end_too():
    table = long_frame(6)
    table["loss"] = table["loss"].fillna(np.inf)
    with pytest.warns(UserWarning, match=r"5 value\(s\) of loss infinite"):
        assert Curves.from_frame(table).runs["last_step"].to_dict() == {"a": 10, "b": 10}


def test_a_run_without_a_value_is_left_out_and_said():
    with pytest.warns(UserWarning, match=r"1 run\(s\) without a value left out: b"):
        assert Curves.from_frame(long_frame(0), {"last_step": 10}).runs.index.tolist() == ["a"]


def test_a_signal_of_a_phase_that_is_over_does_not_end_in_nan():
    steps = np.arange(1, 41)
    frame = pd.DataFrame(
        {"run": "a", "step": steps, "loss": 3 / steps**0.3, "aux": np.where(steps <= 20, steps, np.nan)}
    )
    frame = pd.concat([frame, frame.assign(run="b", loss=frame["loss"] + 0.1)])
    with pytest.warns(UserWarning, match="blank long before the last row"):
        assert Curves.from_frame(frame, last_step=40).events.empty
    broken = frame.assign(loss=frame["loss"].where(frame["step"] <= 30), aux=frame["step"])
    with pytest.warns(UserWarning, match="NaN at the end of a run"):
        found = Curves.from_frame(broken, last_step=40)
    assert found.events["what"].tolist() == ["loss is NaN"] * 2

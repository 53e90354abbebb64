"""Long tables: which columns name run, metric and value, by themselves and by choice."""

from __future__ import annotations

import gzip
import json
import os
import warnings
from pathlib import Path

import pandas as pd
import pytest

from predictdyn import loaders
from predictdyn.loaders import load, long

# That no plan is known is said of every table here; what is said of it is tested where its rule is.
pytestmark = [
    pytest.mark.filterwarnings("ignore:the planned length"),
    pytest.mark.filterwarnings("ignore:.*end before their siblings"),
]
SCORES = """model,step,task,metric,value,stderr
70m,1000,sciq,acc,.5,.02
70m,2000,sciq,acc,.55,
70m,1000,sciq,ppl,20,
160m,1000,sciq,acc,,
160m,2000,sciq,acc,.6,.02
"""
LEFT = """generation,size,arm,version,seed,suite,step,task,metric,value
v0,70m,baseline,x,1,crows,1,gender,pct,.5
v0,70m,baseline,x,1,crows,2,gender,pct,.6
v0,70m,swapped,x,1,crows,1,gender,pct,.7
v0,70m,swapped,x,1,,1,gender,pct,.8
v1,70m,swapped,x,1,crows,1,gender,pct,.9
v1,70m,swapped,x,1,crows,2,gender,pct,.95
"""


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    (tmp_path / "scores.csv").write_text(SCORES)
    return tmp_path / "scores.csv"


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """No column is known to name the run."""
    (tmp_path / "left.csv").write_text(LEFT)
    return tmp_path / "left.csv"


def rows(path: Path, **options: object) -> list[list[object]]:
    """Points of a path that is known for what it is."""
    assert loaders.detect(path).source == "long"
    return load(path, **options).points[["run", "metric", "step", "value"]].to_numpy().tolist()


ROWS = [
    ["160m", "sciq acc", 2000, 0.6], ["70m", "sciq acc", 1000, 0.5], ["70m", "sciq acc", 2000, 0.55],
    ["70m", "sciq ppl", 1000, 20.0],
]  # fmt: skip


def test_columns_are_guessed_and_a_blank_value_was_not_logged(scores: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rows(scores, last_step=2000) == ROWS
    curves = load(scores)
    assert curves.metrics["sciq acc"].kind == "capability"
    assert curves.points["stderr"].fillna(-1).tolist() == [0.02, 0.02, -1, -1]


def test_every_form_of_table_is_the_same(scores: Path, tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write(SCORES)
    table = pd.read_csv(scores)
    table.to_parquet(tmp_path / "a.parquet")
    records = [{k: v for k, v in row.items() if v == v} for row in table.to_dict("records")]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in records))
    for name in ("a.csv.gz", "a.parquet", "a.jsonl"):
        assert rows(tmp_path / name) == ROWS, name


def test_every_choice_can_be_made(left: Path) -> None:
    asked = {"run": "generation,size", "metric": ["arm", "suite", "metric"], "family": "^(v.)", "covariates": "seed"}
    curves = load(left, **asked, metrics="swapped*", last_step="9")
    assert sorted(curves.metrics) == ["swapped crows pct", "swapped pct"]
    assert curves.runs.drop(columns="seed").to_dict("index") == {
        "v0/70m": {"family": "v0", "last_step": 9}, "v1/70m": {"family": "v1", "last_step": 9},
    }  # fmt: skip
    assert curves.runs["seed"].tolist() == [1, 1]
    with pytest.warns(UserWarning, match=r"1 run\(s\) without points left out: baseline"):
        assert rows(left, run="arm", metric="generation,suite,task", value="seed", step="value", metrics="v1*") == [
            ["swapped", "v1 crows gender", 0.9, 1.0], ["swapped", "v1 crows gender", 0.95, 1.0],
        ]  # fmt: skip


def test_columns_of_text_that_are_nothing_else_tell_runs_apart_and_that_is_said(left: Path) -> None:
    with pytest.warns(UserWarning, match="runs are told apart by generation, arm; choose the columns with run="):
        found = rows(left)
    assert [row[:2] for row in found] == [
        ["v0/baseline", "crows gender pct"], ["v0/baseline", "crows gender pct"], ["v0/swapped", "crows gender pct"],
        ["v0/swapped", "gender pct"], ["v1/swapped", "crows gender pct"], ["v1/swapped", "crows gender pct"],
    ]  # fmt: skip


def test_without_any_the_file_is_the_run_and_a_folder_holds_many(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("tag,step,value,wall_time\nloss,1,2,9\nloss,2,1.5,10\n")
    (tmp_path / "runs.csv").write_text("run,family,last_step\na,mlp,100\nb,mlp,100\n")
    (tmp_path / "log.csv").write_text("step,loss\n1,2\n")
    with pytest.warns(UserWarning, match=r"1 file\(s\) that are no long table passed over: log.csv"):
        curves = load(tmp_path)
    assert curves.runs.to_dict("index") == {name: {"family": "mlp", "last_step": 100} for name in ("a", "b")}
    assert len(curves.points) == 4
    words = "long tables, one row a value: 2; also here, but not read: wide (tables of a training log: 1)"
    assert loaders.detect(tmp_path) == ("long", words)


def test_a_log_with_a_score_and_a_task_is_not_long(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,task,score,loss\n1,a,2,3\n")
    assert loaders.detect(tmp_path / "log.csv").source == "wide"
    assert long.sniff(tmp_path / "none.csv") is None


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("step,loss\n1,2\n", {}, "no column names the metric; found step, loss; name it with metric="),
        ("step,task\n1,a\n", {}, "no column of values; found step, task; name it with value="),
        ("step,task,value\n1,a,2\n", {"value": "x"}, "value='x' names no column; found step, task, value"),
        ("step,task,value\n1,a,2\n", {"metric": "a,b"}, "metric='a,b' names no column"),
        ("step,task,value\n1,a,2\n", {"metrics": "b*"}, r"metrics='b\*' matches no metric; logged were a"),
        ("step,task,value\n1,a,x\n", {}, r"line 2: value must be a number or blank, found 'x'"),
        ("step,task,value\n1,a,inf\n", {}, r"no points found; 1 value\(s\) of a NaN or infinite, kept as events"),
        ("step,task,value,stderr\n1,a,1,-1\n", {}, r"line 2: stderr must be a number >= 0 or blank, found '-1'"),
        ("step,task,value\n1,,2\n", {}, r"line 2: task \(the metric\) is blank"),
        ("step,task,value\n,a,2\n", {}, r"line 2: step \(the step\) must be a finite number >= 0, found ''"),
        ("step,task,value\n1,a,\n", {}, "no points found"),
        (
            "run,step,task,value\nr,1,a,2\nr,1,a,3\n",
            {},
            r"line 3: run 'r', metric 'a', step 1 has another value than before in",
        ),
        (
            "note,step,task,value\nx,1,a,2\ny,2,a,2\nz,3,a,2\n",
            {},
            "same throughout 3 rows would be 3 runs; name the columns",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*told apart")
def test_bad_input_is_one_line(text: str, options: dict[str, object], said: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        load(tmp_path / "bad.csv", "long", **options)
    assert "\n" not in str(caught.value)


def test_merge_reads_restarts_and_nan_as_a_tools_log(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("run,tag,step,value\na,loss,1,3\na,loss,2,2\na,loss,1,2.5\na,loss,2,nan\n")
    with pytest.warns(UserWarning) as caught:
        curves = load(tmp_path / "log.csv", merge="yes")
    assert curves.points[["step", "value"]].to_numpy().tolist() == [[1, 2.5]]
    assert curves.events["what"].tolist() == ["restart", "loss is NaN"]
    assert "1 value(s) of loss NaN or infinite, kept as events, in a" in [str(one.message) for one in caught]


@pytest.mark.parametrize(
    ("name", "runs", "points"),
    [("pythia_evals/five_shot.csv.gz", 17, 32_512), ("pythia_bias/bias_tidy.csv.gz", 14, 20_452)],
)
@pytest.mark.filterwarnings("ignore:.*told apart")
def test_the_long_tables_of_pythia_load_by_themselves(name: str, runs: int, points: int) -> None:
    data = os.environ.get("PREDICTDYN_DATA")
    if data is None:
        pytest.skip("PREDICTDYN_DATA is not set")
    curves = load(Path(data, name))
    assert (len(curves.runs), len(curves.points)) == (runs, points)
    assert {metric.kind for metric in curves.metrics.values()} <= {"capability", "bias"}


def test_columns_beside_the_values_are_settings_or_told(tmp_path: Path) -> None:
    """Numbers and words that never change within a run are settings; the rest is left out by name."""
    lines = ["run,step,metric,value,lr,size,optimizer,note,memory,wall_time,cluster"]
    for run, size in (("a", 1), ("b", 2), ("c", 2)):
        lines += [f"{run},{s},loss,{3 / s},.{size},{size},opt{size},{run}{s},{s * 2.5},{s},x" for s in range(1, 5)]
    (tmp_path / "scores.csv").write_text("\n".join(lines))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        curves = load(tmp_path / "scores.csv", last_step=4)
    assert curves.runs[["lr", "size", "optimizer"]].to_numpy().tolist() == [
        [0.1, 1, "opt1"], [0.2, 2, "opt2"], [0.2, 2, "opt2"]
    ]  # fmt: skip
    told = [str(one.message) for one in heard]
    assert told == [
        "column(s) lr, size, optimizer never change within a run, so they count as settings of runs (no value is "
        "lost); covariates='' keeps them out",
        "2 column(s) beside the values left out: note, memory; value=COLUMN takes one for the values, "
        "covariates=COLUMN for a setting of runs",
    ]
    with pytest.warns(UserWarning, match="5 column.s. beside the values left out: lr, size, optimizer, note, memory"):
        assert "lr" not in load(tmp_path / "scores.csv", last_step=4, covariates="").runs

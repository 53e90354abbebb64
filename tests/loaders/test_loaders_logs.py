"""Training logs, wide or as JSON lines: which column is what, and what counts as logged."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from predictdyn.loaders import json_lines, load, wide

# That no plan is known is said of every log here; what is said of it is tested where its rule is.
pytestmark = [
    pytest.mark.filterwarnings("ignore:the planned length"),
    pytest.mark.filterwarnings("ignore:.*end before their siblings"),
    pytest.mark.filterwarnings(r"ignore:\d+ column\(s\) of words left out"),
]
LOG = "run_id,_step,epoch,loss,loss_stderr,val/acc,width,seed,note\na,10,0.1,3.5,0.1,,64,1,x\na,20,0.2,3,,0.25,64,1,\n"
LOG += "b,10,0.1,2.5,,,32,2,\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log.csv").write_text(LOG)
    return tmp_path / "log.csv"


def rows(path: Path, **options: object) -> list[list[object]]:
    points = load(path, **options).points
    return points[["run", "metric", "step", "value"]].to_numpy().tolist()


def test_columns_are_guessed_and_blanks_are_not_logged(log: Path) -> None:
    curves = wide.load(log, covariates="width,seed")
    assert rows(log, covariates="width,seed") == [
        ["a", "loss", 10, 3.5], ["a", "loss", 20, 3.0], ["a", "val/acc", 20, 0.25], ["b", "loss", 10, 2.5],
    ]  # fmt: skip
    assert curves.points["stderr"].fillna(-1).tolist() == [0.1, -1, -1, -1]
    assert curves.runs["width"].to_dict() == {"a": 64, "b": 32}
    assert curves.runs["family"].to_dict() == {"a": "a", "b": "b"}
    assert curves.runs["last_step"].to_dict() == {"a": 20, "b": 20}


def test_every_choice_can_be_made(log: Path) -> None:
    with pytest.warns(UserWarning, match=r"1 run\(s\) without points left out: 2"):
        assert rows(log, run="seed", step="epoch", metrics=["val/*"]) == [["1", "val/acc", 0.2, 0.25]]
    assert load(log, family="seed").runs["family"].to_dict() == {"a": "1", "b": "2"}
    assert load(log, family="([ab])").runs["family"].to_dict() == {"a": "a", "b": "b"}
    assert load(log, last_step="500").runs["last_step"].tolist() == [500, 500]
    assert load(log, last_step="width", metrics="loss").runs["last_step"].to_dict() == {"a": 64, "b": 32}


def test_without_a_run_column_the_file_is_the_run(tmp_path: Path) -> None:
    (tmp_path / "mlp_s1.csv").write_text("Step,loss\n1,2\n")
    assert rows(tmp_path / "mlp_s1.csv") == [["mlp_s1", "loss", 1, 2.0]]
    for seed in (0, 1):
        (tmp_path / f"v{seed}").mkdir()
        (tmp_path / f"v{seed}" / "metrics.csv").write_text("step,loss\n1,2\n")
    assert {row[0] for row in rows(tmp_path)} == {"mlp_s1", "v0/metrics", "v1/metrics"}


def test_a_folder_of_json_lines_is_one_run_a_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text('{"step": 1, "loss": 2}\n')
    assert rows(tmp_path) == [["a", "loss", 1, 2.0], ["b", "loss", 1, 2.0]]


def test_rows_may_share_a_step_if_no_metric_stands_in_two(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss,val_loss\n1,2,\n1,,3\n")
    assert rows(tmp_path / "log.csv") == [["log", "loss", 1, 2.0], ["log", "val_loss", 1, 3.0]]


def test_parquet_and_csv_are_the_same(log: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(log)
    frame.to_parquet(tmp_path / "log.parquet")
    assert rows(tmp_path / "log.parquet", covariates="width") == rows(log, covariates="width")


def test_common_names_have_facts_and_others_are_signals(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,train/loss,lr,eval_accuracy,grad_norm,sharpness,lossy\n1,2,0.1,0.5,1,2,3\n")
    metrics = load(tmp_path / "log.csv").metrics
    assert {name: metric.kind for name, metric in metrics.items()} == {
        "train/loss": "loss", "lr": "schedule", "eval_accuracy": "capability", "grad_norm": "signal",
        "sharpness": "signal", "lossy": "signal",
    }  # fmt: skip
    assert metrics["eval_accuracy"][2:5] == (0, 1, "higher")
    assert metrics["sharpness"][2:6] == (None, None, None, None)


def test_runs_csv_beside_gives_the_plan(log: Path, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("run,family,last_step,depth\nb,f,100,3\na,f,100,2\nc,f,100,1\n")
    said = r"runs.csv beside log.csv states families, ends .*\(no data lost\); name another table with runs_file=\.\.\."
    with pytest.warns(UserWarning, match=said):
        runs = load(log).runs
    with pytest.warns(UserWarning) as caught:
        assert load(log, runs_file=tmp_path / "runs.csv").runs.equals(runs)
    (line,) = (str(one.message) for one in caught if "column(s) of words" not in str(one.message))
    assert "have no points and are left out (no value is lost): c;" in line, "the table is asked for, and so not told"
    assert runs.to_dict("index") == {
        "a": {"family": "f", "last_step": 100, "depth": 2}, "b": {"family": "f", "last_step": 100, "depth": 3},
    }  # fmt: skip


def test_a_log_called_metrics_csv_is_not_taken_for_facts(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,kind,loss\n1,4,2\n")
    assert ["metrics", "loss", 1, 2.0] in rows(tmp_path / "metrics.csv")


def test_nested_keys_nulls_and_other_types(tmp_path: Path) -> None:
    lines = [
        {"step": 1, "eval": {"en": {"loss": 2.5}}, "done": False, "tags": ["x"], "phase": "a"},
        {"step": 2, "eval": {"en": {"loss": None}}, "loss": 2, "big": 1e300},
    ]
    (tmp_path / "log.ndjson").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert rows(tmp_path / "log.ndjson") == [
        ["log", "big", 2, 1e300], ["log", "eval/en/loss", 1, 2.5], ["log", "loss", 2, 2.0],
    ]  # fmt: skip


@pytest.mark.parametrize("last", ['{"step": 3, "lo', '{"step": 3, "loss": 1', '{"step"', "{", '{"step": 3, "name": "é'])
def test_a_last_line_cut_short_is_dropped_and_said(tmp_path: Path, last: str) -> None:
    (tmp_path / "log.jsonl").write_bytes(b'{"step": 1, "loss": 3}\n{"step": 2, "loss": 2}\n' + last.encode()[:22])
    with pytest.warns(UserWarning, match=r"1 last line\(s\) cut short, dropped, in log"):
        points = json_lines.load(tmp_path / "log.jsonl").points
    assert points["step"].tolist() == [1, 2]


def test_a_header_line_without_a_step_is_passed_over_and_said(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"config": {"lr": 0.1}}\n{"step": 1, "loss": 3}\n')
    with pytest.warns(UserWarning, match=r"1 row\(s\) without a step left out, in log"):
        assert rows(tmp_path / "log.jsonl") == [["log", "loss", 1, 3.0]]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_merge_reads_restarts_and_nan_as_a_tools_log(tmp_path: Path, form: str) -> None:
    logged = [
        ("a", 1, 3.0, 0.5),
        ("b", 1, 9.0, 0.5),
        ("a", 2, float("nan"), 0.5),
        ("a", 3, 8.0, 0.5),
        ("a", 2, 2.5, 0.25),
    ]
    names = ["run", "step", "loss", "loss_stderr"]
    if form == "csv":
        pd.DataFrame(logged, columns=names).to_csv(tmp_path / "log.csv", index=False, na_rep="nan")
    else:
        lines = [json.dumps(dict(zip(names, row, strict=True))) for row in logged]
        (tmp_path / "log.jsonl").write_text("\n".join(lines))
    path = tmp_path / f"log.{form}"
    line = {"csv": 6, "jsonl": 5}[form]
    with pytest.raises(
        ValueError, match=rf"log.{form}, line {line}: run 'a', metric 'loss', step 2 has another value than "
    ):
        load(path, merge="no")
    with pytest.raises(ValueError, match="merge must be one of auto, yes, no, runs, found 'maybe'"):
        load(path, merge="maybe")
    with pytest.warns(UserWarning) as caught:
        curves = load(path, merge="yes")
    assert curves.points[["run", "step", "value", "stderr"]].to_numpy().tolist() == [
        ["a", 1, 3.0, 0.5], ["a", 2, 2.5, 0.25], ["b", 1, 9.0, 0.5],
    ]  # fmt: skip
    assert curves.events.to_numpy().tolist() == [["a", 2.0, "restart"]]
    said = [str(one.message) for one in caught]
    assert "1 restart(s) merged, later wins, in a" in said
    assert sum(line.startswith(("2 value(s) of loss", "1 value(s) of loss")) for line in said) == 2


def test_tables_of_a_folder_that_are_no_logs_are_passed_over_and_said(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("model,width\na,64\n")
    (tmp_path / "a.csv").write_text("step,loss\n1,2\n")
    with pytest.warns(UserWarning, match=r"1 file\(s\) without a step passed over: index.csv; name their step with"):
        assert rows(tmp_path) == [["a", "loss", 1, 2.0]]
    with pytest.raises(ValueError, match=r"index.csv: no step column"):
        load(tmp_path / "index.csv")

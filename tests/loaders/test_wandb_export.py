"""Exports of W&B. Its server makes them, so these are written by hand, in the forms that its documentation shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from predictdyn.loaders import wandb_export
from predictdyn.loaders.engine.runlog import RunLog

LOSS = """"Step","red-fox-1 - loss","red-fox-1 - loss__MIN","red-fox-1 - loss__MAX","b - c - loss","b - c - loss__MIN","b - c - loss__MAX"
"0","2.5","2.5","2.5","3","3","3"
"10","1.25","1.0","1.5","","",""
"20","NaN","NaN","NaN","0.1","0.1","0.1"
"""  # noqa: E501
ACC = '"Step","red-fox-1 - eval/acc","red-fox-1 - eval/acc__MIN","red-fox-1 - eval/acc__MAX"\n"10","0.5","0.5","0.5"\n'


def cells(log: RunLog) -> list[tuple[str, float, str]]:
    return list(zip(log.metric.tolist(), log.step.tolist(), map(repr, log.value.tolist()), strict=True))


def read(path: Path) -> dict[str, RunLog]:
    return {item.run: wandb_export.read(item) for item in wandb_export.scan(path)}


def test_charts_of_several_metrics_are_put_together_by_run(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(LOSS)
    (tmp_path / "b.csv").write_text(ACC)
    logs = read(tmp_path)
    assert list(logs) == ["b - c", "red-fox-1"]
    assert cells(logs["b - c"]) == [("loss", 0.0, "3.0"), ("loss", 20.0, "0.1")]
    assert cells(logs["red-fox-1"]) == [
        ("loss", 0.0, "2.5"), ("loss", 10.0, "1.25"), ("loss", 20.0, "nan"), ("eval/acc", 10.0, "0.5"),
    ]  # fmt: skip
    assert logs["red-fox-1"].dropped == {wandb_export.AVERAGED: 1} and not logs["b - c"].dropped
    assert wandb_export.sniff(tmp_path) == "exports of W&B: 2 files, 2 runs"


def test_a_chart_that_has_changed_is_read_again(tmp_path: Path) -> None:
    chart = tmp_path / "a.csv"
    chart.write_text(ACC)
    assert cells(read(chart)["red-fox-1"]) == [("eval/acc", 10.0, "0.5")]
    chart.write_text(ACC.replace('"10"', '"11"') + '"20","0.25","0.25","0.25"\n')
    assert cells(read(chart)["red-fox-1"]) == [("eval/acc", 11.0, "0.5"), ("eval/acc", 20.0, "0.25")]


def test_a_chart_over_time_says_its_steps_itself(tmp_path: Path) -> None:
    names = [f"r - {metric}{end}" for metric in ("_step", "loss") for end in ("", "__MIN", "__MAX")]
    with_steps = ",".join(["Relative Time (Process)", *names])
    (tmp_path / "a.csv").write_text(f"{with_steps}\n0.5,7,7,7,2,2,2\n")
    assert cells(read(tmp_path)["r"]) == [("loss", 7.0, "2.0")]
    (tmp_path / "a.csv").write_text("Relative Time (Process),r - loss,r - loss__MIN,r - loss__MAX\n0.5,2,2,2\n")
    with pytest.raises(ValueError, match=r"a.csv: this chart is over 'Relative Time \(Process\)'; export it over Step"):
        read(tmp_path)


def test_the_history_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(
        ",_step,_runtime,_timestamp,loss,note,_wandb.x\n0,0,1.5,1e9,2.5,good,1\n1,5,2.5,2e9,,,\n2,9,3,3e9,Infinity,,\n"
    )
    (tmp_path / "two.jsonl").write_text(
        '{"_step": 1, "_timestamp": 1e9, "eval": {"acc": 0.1}, "plot": {"_type": "image-file", "size": 3}}\n'
        '\n[1]\n{"_step": 2, "loss": "NaN", "lr": null, "_timestamp": 2e9}\n{"loss": 3.0}\n{"_step": 3, "lo'
    )
    logs = read(tmp_path)
    assert cells(logs["one"]) == [
        ("_runtime", 0.0, "1.5"), ("loss", 0.0, "2.5"), ("_runtime", 5.0, "2.5"), ("_runtime", 9.0, "3.0"),
        ("loss", 9.0, "inf"),
    ]  # fmt: skip
    assert logs["one"].wall.tolist() == [1e9, 1e9, 2e9, 3e9, 3e9] and logs["one"].dropped == {"text value(s)": 1}
    assert cells(logs["two"]) == [("eval/acc", 1.0, "0.1"), ("loss", 2.0, "nan")]
    assert logs["two"].dropped == {
        "image-file value(s)": 1, "row(s) without a step": 1, wandb_export.NO_ROW: 1, wandb_export.WHERE_CUT: 1,
    }  # fmt: skip


def test_other_tables_are_none_of_these(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss\n1,2\n")
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2}\n')
    (tmp_path / "bad.jsonl").write_text("[\n")
    (tmp_path / "one line.json").write_text("1" * 200_000)
    assert wandb_export.sniff(tmp_path / "one line.json") is None
    (tmp_path / "bad.csv").write_text('"Step",\r"r - loss"')
    assert wandb_export.sniff(tmp_path) is None
    with pytest.raises(ValueError, match="no export of W&B, neither a history"):
        wandb_export.scan(tmp_path)


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutations_are_one_line_at_worst(tmp_path: Path, data: st.DataObject) -> None:
    lines = '{"_step": 1, "_timestamp": 1e9, "eval": {"acc": 0.1}}\n{"_step": 2, "loss": "NaN"}\n'
    name, text = data.draw(
        st.sampled_from([("a.csv", LOSS), ("b.csv", "_step,_runtime,loss\n1,2,3\n"), ("c.jsonl", lines)])
    )
    bad = bytearray(text.encode())
    for _ in range(data.draw(st.integers(0, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(bytes(bad))
    try:
        logs = read(tmp_path / name)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert logs

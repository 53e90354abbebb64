"""Numbers that are not finite: from the first row on, to the last, and with a recovery in between."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest
from tensorboardX import SummaryWriter

import predictdyn as pdyn
from predictdyn.curves import no_curves
from predictdyn.forecasters import fit
from predictdyn.watch.plain import Plain
from predictdyn.watch.watcher import Watcher, table_of
from tests.watch.test_live import MADE, follower, log

NAN = [float("nan")] * 12
FIRST_NAN = {
    "alone": {"a": NAN[:4]},
    "beside a healthy run": {"a": NAN[:4], "b": [1.0, 0.9, 0.8, 0.7]},
    "minus infinity": {"a": [-np.inf] * 4, "b": [1.0, 0.9, 0.8, 0.7]},
}


@pytest.mark.parametrize("values", FIRST_NAN.values(), ids=FIRST_NAN)
@pytest.mark.parametrize("tool", ["csv", "json_lines", "tensorboard"])
def test_a_run_whose_first_number_is_not_finite_rings(tmp_path, values, tool):
    for run, numbers in values.items():
        if tool == "csv":
            log(tmp_path, run, range(len(numbers)), lambda step, numbers=numbers: numbers[step])
        elif tool == "json_lines":
            lines = [json.dumps({"step": step, "val_loss": value}) for step, value in enumerate(numbers)]
            (tmp_path / f"{run}.jsonl").write_text("\n".join(lines) + "\n")
        else:
            writer = SummaryWriter(str(tmp_path / run))
            for step, value in enumerate(numbers):
                writer.add_scalar("val_loss", value, step)
            writer.close()
    found = pdyn.watch(tmp_path, once=True, silent=0, last_step=10, say=lambda _: None)
    (row,) = found.alarms.to_dict("records")
    word = "minus infinity" if np.isinf(values["a"][0]) else "NaN"
    assert (row["run"], row["kind"], row["metric"], row["step"]) == ("a", "not finite", "val_loss", 0)
    assert row["words"] == f"val_loss is {word} at step 0"
    table = found.table.set_index("run")
    assert set(table.index) == set(values) and table.loc["a", "progress"] == 0.3 and np.isnan(table.loc["a", "median"])


def test_a_run_that_is_nan_from_the_first_to_the_last_row_ends(tmp_path):
    logs, out = tmp_path / "logs", tmp_path / "out"
    logs.mkdir()
    log(logs, "a", range(4), lambda step: NAN[0])
    lines = []
    watch = Watcher(follower(logs), MADE, Plain(None), None, out=out, say=lines.append, silent=0.0, every=1.0)
    assert len(watch.look()) == 1 and not watch.finished
    log(logs, "a", range(4, 11), lambda step: NAN[0])
    assert watch.look() == [] and watch.finished
    assert [line for line in lines if "ALARM" in line] == ["a: ALARM, not finite: val_loss is NaN at step 0"]
    assert "1 of 1 run rang an alarm" in (out / "index.html").read_text()
    assert watch.state.runs["a"]["final"] == {"metrics": {}, "targets": {}}


def test_a_metric_that_is_finite_again_rings_once_and_says_so(tmp_path):
    logs, out = tmp_path / "logs", tmp_path / "out"
    logs.mkdir()
    values = [*NAN[:2], 1.0, 0.9, NAN[0], 0.8]
    lines = []
    watch = Watcher(follower(logs), MADE, Plain(None), None, out=out, say=lines.append, silent=0.0)
    for step in range(len(values)):
        log(logs, "a", range(step, step + 1), values.__getitem__)
        watch.look()
    assert [line for line in lines if "seen" not in line] == [
        "a: ALARM, not finite: val_loss is NaN at step 0",
        "a: val_loss is finite again from step 2",
    ]
    assert "val_loss is NaN at step 0; finite again from step 2" in (out / "index.html").read_text()
    again = Watcher(follower(logs), MADE, Plain(None), None, out=out, say=lines.append, silent=0.0)
    again.look()
    assert len(lines) == 3, "a restart says nothing again"


def test_a_run_that_logs_nan_for_long_has_not_stopped(tmp_path):
    clock = [time.time()]
    watch = Watcher(follower(tmp_path), MADE, Plain(None), None, silent=60.0, now=lambda: clock[0])
    for step in range(6):
        log(tmp_path, "a", range(step, step + 1), lambda step: NAN[0] if step else 1.0)
        os.utime(tmp_path / "a.csv", (clock[0], clock[0]))
        watch.look()
        clock[0] += 50
    assert [rung.alarm.kind for rung in watch.state.alarms] == ["not finite"]
    clock[0] += 5 * 50 + 60
    assert [rung.alarm.kind for rung in watch.look()] == ["clock stopped"]


def test_a_target_is_not_reached_by_the_last_number_before_nan(tmp_path):
    log(tmp_path, "a", range(6), lambda step: 1 / (1 + step))
    target = ("val_loss < 0.5",)
    model = fit("curve_ensemble", no_curves(), seed=0)
    watch = Watcher(follower(tmp_path), MADE, Plain(model, target), model, target, silent=0.0)
    watch.look()
    assert watch.state.runs["a"]["track"][-1]["targets"]["val_loss < 0.5"] > 0.5
    log(tmp_path, "a", range(6, 11), lambda step: NAN[0])
    watch.look()
    (row,) = table_of(watch.state, target).to_dict("records")
    assert row["ended"] and np.isnan(row["median"]) and np.isnan(row["p_val_loss < 0.5"])

"""Runs whose planned end nothing states: learnt from where they have surely ended, and told in any case."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import predictdyn as pdyn
from predictdyn.cli import cli
from predictdyn.curves import Curves
from predictdyn.watch.assumed_ends import STILL, surely_ended


def sweep(lengths: list[int]) -> Curves:
    """Runs of some lengths; the plan of all is at least 20 steps."""
    rows = [(f"r{i}", "loss", step, 2 / step + i) for i, last in enumerate(lengths) for step in range(1, last + 1)]
    plan = {"run": [f"r{i}" for i in range(len(lengths))], "last_step": [max(last, 20) for last in lengths]}
    points = pd.DataFrame(rows, columns=["run", "metric", "step", "value"])
    return Curves.from_frame(points, pd.DataFrame(plan), {"loss": "loss"})


@pytest.mark.parametrize(
    ("lengths", "fresh", "learnt", "words"),
    [
        ([20, 20, 20, 7], {"r3"}, 3, r"3 of 4 runs count as ended, .* Learnt from are the 3 that stopped at step 20\."),
        ([20, 20, 20, 20, 7], {"r2", "r4"}, 3, r"4 of 5 runs count as ended, .* Learnt from are the 3"),
        ([20, 20, 20, 7], {"r0", "r1", "r2"}, 0, r"not learnt from, as nothing shows .* left alone for 30 minutes"),
        ([20, 20, 30, 40, 7], set(), 0, r"not learnt from, as no 3 of them are equally long"),
        ([20, 20, 7], set(), 0, r"not learnt from, as no 3 of them are equally long"),
        ([20, 20, 20], set(), 0, None),  # all have ended: the watch refuses
        ([7, 8], set(), 0, None),
    ],
)
def test_runs_of_one_length_that_grow_no_more_have_ended(lengths, fresh, learnt, words):
    curves = sweep(lengths)
    done = [f"r{i}" for i, last in enumerate(lengths) if last >= 20]
    written = {run: time.time() - (60 if run in fresh else 2 * STILL) for run in curves.runs.index}
    found = surely_ended(curves, done, written)
    assert len(found.runs) == learnt and not fresh & set(found.runs)
    assert len(found.notes) == (words is not None)
    if words is not None:
        assert re.search(words, found.notes[0]) and found.notes[0].endswith("state last_step=NUMBER")


def test_logs_without_a_time_teach_nothing():
    assert surely_ended(sweep([20, 20, 20, 7]), ["r0", "r1", "r2"], {}).runs == []
    assert surely_ended(sweep([20, 20, 20, 7]), ["r0", "r1", "r2"], {"r3": time.time()}).runs == []


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Four finished runs and one that has begun, none with a planned end, written two hours ago."""
    folder = tmp_path / "logs"
    folder.mkdir()
    steps = np.arange(100, 2100, 100)
    for i, last in enumerate([2000, 2000, 2000, 2000, 700]):
        table = pd.DataFrame({"step": steps, "val_acc": 0.8 + 0.02 * i - 0.7 * np.exp(-steps / 500)})
        file = folder / f"r{i}.csv"
        table[table["step"] <= last].to_csv(file, index=False)
        os.utime(file, (time.time() - 7200,) * 2)
    return folder


@pytest.mark.parametrize("fresh", [False, True])
def test_watch_learns_from_logs_that_were_left_alone(logs, tmp_path, fresh):
    for file in logs.iterdir() if fresh else ():
        file.touch()
    words = ["watch", str(logs), "--once", "--forecaster", "mean_change", "--silent", "0", "--out", str(tmp_path / "w")]
    said = {}
    for look in ("first", "restart"):
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 0, done.output
        said[look] = [line for line in done.output.splitlines() if line.startswith(("note: 4 of 5", "watching"))]
        if fresh:
            assert "curve_ensemble, without finished runs" in said[look][1]
            assert "They are not learnt from" in said[look][0] and "state --set last_step=NUMBER" in said[look][0]
        else:
            assert (
                "mean_change, learnt from 4 finished runs" in said[look][1] and "Learnt from are the 4" in said[look][0]
            )
    assert said["first"] == said["restart"]
    assert "4 of 5 runs count as ended" in (tmp_path / "w" / "index.html").read_text(encoding="utf-8")


def test_python_tells_it_too(logs):
    lines: list[str] = []
    pdyn.watch(logs, once=True, forecaster="mean_change", silent=0, say=lines.append)
    assert any("Learnt from are the 4 that stopped at step 2000" in line for line in lines)

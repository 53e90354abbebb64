"""`predictdyn load` with a path alone, and the commands that read such a path directly."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from predictdyn.loaders import json_lines, tidy


@pytest.fixture
def log(tmp_path):
    lines = [{"step": step, "loss": 3 / step + i, "run": run} for i, run in enumerate("abc") for step in range(1, 30)]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, [{"config": {}}, *lines])))
    return tmp_path / "log.jsonl"


@pytest.mark.filterwarnings("ignore:.*without a step")
@pytest.mark.filterwarnings("ignore:the planned length")
@pytest.mark.parametrize(
    "words", [["PATH"], ["json_lines", "PATH"], ["auto", "PATH"], ["PATH", "--source", "json_lines"]]
)
def test_the_path_alone_will_do(call, log, tmp_path, words):
    status, out, err = call("load", *(log if word == "PATH" else word for word in words), "--out", tmp_path / "out")
    assert (status, out) == (0, f"3 runs, 1 metrics (loss), 87 points -> {tmp_path / 'out'}\n")
    said = [] if "json_lines" in words else [f"{log}: JSON lines: 1 file (--source json_lines)"]
    lines = err.splitlines()
    assert lines[: len(said)] == said and lines[len(said)].startswith("warning: 1 row(s) without a step left out")
    whole = json_lines.load(log)
    pd.testing.assert_frame_equal(tidy.load(tmp_path / "out").points, whole.points)


def test_out_is_written_again_only_when_asked_and_only_over_what_load_wrote(call, log, tmp_path):
    words = ("load", log, "--out", tmp_path / "out")
    assert call(*words, "--update")[0] == 0
    assert "exists already" in call(*words)[2]
    log.write_text(log.read_text() + '\n{"step": 30, "loss": 0.1, "run": "c"}\n')
    assert "88 points" in call(*words, "--update")[1]
    assert len(tidy.load(tmp_path / "out").points) == 88
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("keep")
    status, _, err = call("load", log, "--out", tmp_path / "mine", "--update")
    assert (status, "is no folder that load wrote" in err) == (2, True)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["log.jsonl", "mine", "out"]
    assert (tmp_path / "mine" / "note").read_text() == "keep"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a", "b", "c"), "load takes a PATH, or a SOURCE and a PATH, got a b c"),
        (("wide", "PATH", "--source", "wide"), "load takes a PATH"),
        (("PATH", "--source", "tape"), "no source 'tape'"),
        (("nowhere",), "nowhere: no such file or folder"),
    ],
)
def test_wrong_words_end_in_one_line(call, log, tmp_path, words, said):
    status, out, err = call("load", *(log if word == "PATH" else word for word in words), "--out", tmp_path / "out")
    assert (status, out, err.count("\n")) == (2, "", 1) and said in err
    assert not (tmp_path / "out").exists()


def test_a_log_is_forecast_directly(call, log, tmp_path):
    words = (
        "--set",
        "last_step=50",
        "--forecaster",
        "mean_change",
        "--runs",
        "c",
        "--out",
        tmp_path / "page",
        "--quiet",
    )
    status, out, err = call("forecast", log, *words)
    assert status == 0, err
    assert "c  loss at 50:" in out and "(--source json_lines)" in err

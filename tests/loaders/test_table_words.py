"""Columns of tables that hold no numbers: settings of runs, words, and values that could not be read."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictdyn.curves import Curves
from predictdyn.loaders import load
from predictdyn.loaders.engine.notes import may_hurt

STEPS = (1, 2, 3)


def written(folder: Path, cells: dict[str, list[object]], ending: str) -> Path:
    """Two runs of three steps, as CSV or JSON lines."""
    frame = pd.DataFrame({"run": [*"aaabbb"], "step": [*STEPS, *STEPS], "acc": np.arange(6) / 8, **cells})
    path = folder / f"log{ending}"
    if ending == ".csv":
        frame.to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
    return path


def heard(path: Path, **options: object) -> tuple[Curves, list[str]]:
    """The curves, and what was said but for planned lengths."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        curves = load(path, **options)
    lines = [str(one.message) for one in caught]
    return curves, [line for line in lines if "planned length" not in line]


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
@pytest.mark.parametrize(
    ("cell", "remedy"),
    [
        ("tensor(2.099)", "log the number itself, such as loss.item()"),
        ("tensor(1.9, device='cuda:0')", "log the number itself, such as loss.item()"),
        ("$2.099", "write plain numbers, such as 2.099"),
        ("pending", "write plain numbers, such as 2.099"),
    ],
)
def test_a_loss_that_cannot_be_read_is_said_to_be_lost(tmp_path: Path, ending: str, cell: str, remedy: str) -> None:
    path = written(tmp_path, {"loss": [cell] * 6}, ending)
    curves, (line,) = heard(path)
    assert list(curves.metrics) == ["acc"]
    first = f"first {path}, line {2 if ending == '.csv' else 1}: loss is {cell!r}; {remedy}"
    assert line.startswith("1 column(s) left out that hold no numbers, so their values are lost: loss; ")
    assert first in line
    assert may_hurt(line)


def test_numbers_in_words_are_lost_whatever_their_name(tmp_path: Path) -> None:
    cells = [f"tensor({i}.5)" for i in range(6)]
    _, (line,) = heard(written(tmp_path, {"sharpness": cells, "wait": [f"{i} ms" for i in range(6)]}, ".csv"))
    assert "2 column(s) left out that hold no numbers, so their values are lost: sharpness, wait;" in line


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_words_that_never_change_within_a_run_are_settings(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path, {"optimizer": ["adam"] * 3 + ["sgd"] * 3}, ending)
    curves, (line,) = heard(path)
    assert curves.runs["optimizer"].to_dict() == {"a": "adam", "b": "sgd"}
    assert line.startswith("column(s) optimizer never change within a run, so they count as settings")
    assert not may_hurt(line)
    curves, (line,) = heard(path, covariates="")
    assert "optimizer" not in curves.runs
    assert "1 column(s) of words left out (no value is lost): optimizer; first" in line


def test_settings_lie_in_a_file_a_run_too(tmp_path: Path) -> None:
    for name, optimizer in (("a", "adam"), ("b", "sgd"), ("c", "sgd")):
        rows = "".join(f"{step},{step / 8},{optimizer}\n" for step in STEPS)
        (tmp_path / f"{name}.csv").write_text(f"step,acc,optimizer\n{rows}")
    curves, _ = heard(tmp_path)
    assert curves.runs["optimizer"].to_dict() == {"a": "adam", "b": "sgd", "c": "sgd"}
    assert curves.runs["family"].nunique() == 3, "words alone are no recipe: rates may differ unseen"


def test_words_and_a_seed_are_a_recipe(tmp_path: Path) -> None:
    for name, optimizer, seed in (("a", "adam", 1), ("b", "sgd", 1), ("c", "sgd", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.csv").write_text("step,acc\n" + "".join(f"{step},{step / 8}\n" for step in STEPS))
        (tmp_path / name / "config.json").write_text(json.dumps({"optimizer": optimizer, "seed": seed}))
    curves, _ = heard(tmp_path)
    assert curves.runs["family"].nunique() == 2 and len(curves.runs) == 3


def test_all_other_words_are_one_line_that_alarms_nobody(tmp_path: Path) -> None:
    cells = {"grade": [*"ABABAB"], "size": ["7b"] * 6, "done": [True, False] * 3}
    curves, (line,) = heard(written(tmp_path, cells, ".jsonl"))
    assert list(curves.runs) == ["family", "last_step"]
    assert "3 column(s) of words left out (no value is lost): grade, size, done; first" in line
    assert line.endswith("line 1: grade is 'A'")
    assert not may_hurt(line)


def test_nothing_is_said_of_times_and_of_what_tells_copies_apart(tmp_path: Path) -> None:
    times = [f"2026-01-01 10:0{i}:00" for i in range(6)]
    cells = {"time": times, "at": times, "run_id": ["x7"] * 3 + ["y8"] * 3, "host": ["n1"] * 6, "when": ["10:00"] * 6}
    assert heard(written(tmp_path, cells, ".csv"))[1] == []


def test_a_column_of_numbers_elsewhere_is_lost_where_it_holds_none(tmp_path: Path) -> None:
    for name, cell in (("a", "0.5"), ("b", "none yet")):
        (tmp_path / f"{name}.csv").write_text(f"step,acc,ratio\n1,0.25,{cell}\n2,0.5,{cell}\n")
    _, lines = heard(tmp_path)
    assert any(
        "values are lost: ratio; first" in line and "b.csv, line 2: ratio is 'none yet'" in line for line in lines
    )


def test_where_no_metric_is_left_the_error_shows_the_first_cell(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss\n1,tensor(2.5)\n2,tensor(2.25)\n")
    with pytest.raises(
        ValueError, match=r"no column of numbers .* line 2: loss is 'tensor\(2.5\)'; log the number itself"
    ):
        load(tmp_path / "log.csv")

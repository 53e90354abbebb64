"""Text logs of one phase a file: one run, with the phase in front of the names that say none."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from predictdyn.curves import Curves
from predictdyn.loaders import detect, load
from predictdyn.loaders.writing import write

TRAIN = "".join(f"step {i}/100 loss: {4 - i / 50} acc: {i / 200}\n" for i in range(0, 101, 10))
EVAL = "".join(f"step {i} loss: {5 - i / 50} acc: {i / 400}\n" for i in (50, 100))


def points(curves: Curves) -> dict[tuple[str, str], list[tuple[float, float]]]:
    groups = curves.points.groupby(["run", "metric"])[["step", "value"]]
    return {key: list(table.itertuples(index=False, name=None)) for key, table in groups}


@pytest.mark.parametrize(
    ("train", "evaluation", "front"),
    [
        ("train.log", "eval.log", "eval"),
        ("train.log", "val.txt", "val"),
        ("log_train.txt", "log_valid.txt", "valid"),
        ("train/log.out", "validation/log.out", "validation"),
        ("train.log.gz", "test.log", "test"),
    ],
)
def test_files_and_folders_of_phases_are_one_run(tmp_path: Path, train: str, evaluation: str, front: str) -> None:
    for name, text in ((train, TRAIN), (evaluation, EVAL)):
        file = tmp_path / "exp" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert detect(tmp_path / "exp").words.startswith("text log: 2 files, with ")
    curves = load(tmp_path / "exp")
    assert points(curves) == {
        ("exp", "train/loss"): [(i, 4 - i / 50) for i in range(0, 101, 10)],
        ("exp", "train/acc"): [(i, i / 200) for i in range(0, 101, 10)],
        ("exp", f"{front}/loss"): [(i, 5 - i / 50) for i in (50, 100)],
        ("exp", f"{front}/acc"): [(i, i / 400) for i in (50, 100)],
    }
    assert curves.runs["last_step"].tolist() == [100] and curves.metrics[f"{front}/acc"].kind == "capability"


@pytest.mark.filterwarnings("ignore:.*an equal curve:UserWarning")
def test_runs_of_phases_side_by_side_and_the_way_out(tmp_path: Path) -> None:
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        (tmp_path / run / "train.log").write_text(TRAIN)
        (tmp_path / run / "eval.log").write_text(EVAL.replace("loss", "eval_loss"))
    (tmp_path / "c.log").write_text(TRAIN)
    want = {(run, name) for run in "ab" for name in ("train/loss", "train/acc", "eval_loss", "eval/acc")}
    assert set(points(load(tmp_path))) == want | {("c", "loss"), ("c", "acc")}
    every = set(points(load(tmp_path, files="runs", last_step=100)))
    assert every == {(f"{run}/train", name) for run in "ab" for name in ("loss", "acc")} | {
        *((f"{run}/eval", name) for run in "ab" for name in ("eval_loss", "acc")), ("c", "loss"), ("c", "acc"),
    }  # fmt: skip
    with pytest.raises(ValueError, match="files must be runs, found 'metrics'"):
        load(tmp_path, "text_log", files="metrics")


@pytest.mark.filterwarnings("ignore:.*an equal curve:UserWarning")
def test_one_phase_alone_is_a_run_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "train.log").write_text(TRAIN)
    (tmp_path / "other.log").write_text(TRAIN)
    assert {run for run, _ in points(load(tmp_path))} == {"train", "other"}


def test_a_phase_that_comes_later_is_read_with_the_rest(tmp_path: Path) -> None:
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "train.log").write_text(TRAIN)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    assert list(write(tmp_path / "exp", "text_log", folders[0], {}).curves.runs.index) == ["train"]
    (tmp_path / "exp" / "val.log").write_text(EVAL)
    again = write(tmp_path / "exp", "text_log", folders[1], {}, before=folders[0])
    assert set(again.curves.metrics) == {"train/loss", "train/acc", "val/loss", "val/acc"}


def test_epochs_of_another_phase_lie_at_the_last_step_of_the_epoch_in_training(tmp_path: Path) -> None:
    (tmp_path / "exp").mkdir()
    lines = [f"epoch {e} step {100 * e + i}/400 loss: {4 - (100 * e + i) / 200}\n" for e in range(3) for i in (50, 100)]
    (tmp_path / "exp" / "train.log").write_text("".join(lines))
    (tmp_path / "exp" / "val.log").write_text("".join(f"epoch {e}/9 accuracy: 0.{e + 1}\n" for e in range(4)))
    with pytest.warns(UserWarning) as said:
        curves = load(tmp_path / "exp")
    assert points(curves)["exp", "val/accuracy"] == [(100, 0.1), (200, 0.2), (300, 0.3)]
    assert points(curves)["exp", "train/loss"][-1] == (300, 2.5) and curves.runs["last_step"].tolist() == [400]
    lines = [str(warning.message) for warning in said]
    assert any(line.startswith("3 value(s) by epoch placed at the last step") for line in lines)
    assert any(line.startswith("1 value(s) by epoch dropped, of epochs that training does not say") for line in lines)


def test_phases_that_both_count_epochs_have_one_clock(tmp_path: Path) -> None:
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "train.log").write_text("".join(f"epoch {e}/5 loss: {4 - e}\n" for e in range(1, 4)))
    (tmp_path / "exp" / "test.log").write_text("".join(f"epoch {e} loss: {5 - e}\n" for e in range(1, 4)))
    curves = load(tmp_path / "exp")
    assert points(curves)["exp", "test/loss"] == [(1, 4), (2, 3), (3, 2)]
    assert points(curves)["exp", "train/loss"] == [(1, 3), (2, 2), (3, 1)] and curves.runs["last_step"].tolist() == [5]

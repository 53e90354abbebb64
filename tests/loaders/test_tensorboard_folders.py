"""Folders of one run: as tensorboardX writes them, and as PyTorch, Keras, TensorFlow and Lightning name them."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

from predictdyn import loaders
from predictdyn.loaders import tensorboard
from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.tensorboard.source import FINAL, INSIDE, MERGED

BEGAN = 1.7e9


def logs(path: Path, **options: str) -> dict[str, RunLog]:
    return {item.run: tensorboard.read(item) for item in tensorboard.scan(path, **options)}


def curve(log: RunLog, metric: str) -> list[tuple[float, float]]:
    chosen = log.metric == metric
    return list(zip(log.step[chosen].tolist(), log.value[chosen].round(6).tolist(), strict=True))


def write(folder: Path, tags: dict[str, list[float]], began: float = BEGAN, first: int = 0) -> None:
    """A file of one value a second and tag."""
    writer = SummaryWriter(str(folder))
    for tag, values in tags.items():
        for i, value in enumerate(values):
            writer.add_scalar(tag, value, first + i, walltime=began + i)
    writer.close()


def test_add_scalars_is_one_run(tmp_path: Path) -> None:
    """Case 14, with other tags: names with a slash, signs that a tag may not have, names that are no phases."""
    writer = SummaryWriter(str(tmp_path / "exp1"))
    for i in range(20):
        writer.add_scalar("accuracy/val", 0.25 + i / 100, 10 * i)
        writer.add_scalars("loss", {"train": 4.5 - i / 10, "val": 4.75 - i / 10}, 10 * i)
        writer.add_scalars("top k/error", {"fold 1": i, "fold 2": 2 * i}, 10 * i)
    writer.close()
    for path, run in ((tmp_path, "exp1"), (tmp_path / "exp1", "exp1")):
        assert list(logs(path)) == [run]
    log = logs(tmp_path)["exp1"]
    names = ["accuracy/val", "loss/train", "loss/val", "top_k/error/fold 1", "top_k/error/fold 2"]
    assert sorted(set(log.metric)) == names
    for name, first, last in zip(names, (0.25, 4.5, 4.75, 0, 0), (0.44, 2.6, 2.85, 19, 38), strict=True):
        points = curve(log, name)
        assert len(points) == 20 and points[0] == (0, first) and points[-1] == (190, pytest.approx(last))
    assert log.dropped == {MERGED: 4}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        curves = loaders.load(tmp_path, last_step=190)
    assert f"4 {MERGED}, in exp1" in [str(one.message) for one in caught]
    assert curves.runs.index.tolist() == ["exp1"] and len(curves.points) == 100


def test_the_folders_of_pytorch_are_found_by_their_tag(tmp_path: Path) -> None:
    """PyTorch writes run/<tag>_<name>, a slash of the tag as _, to files of the same run."""
    write(tmp_path / "resnet", {"lr": [0.1, 0.1]})
    write(tmp_path / "resnet" / "loss_train", {"loss": [3, 2]})
    write(tmp_path / "resnet" / "loss_val", {"loss": [3.5, 2.5]})
    write(tmp_path / "resnet" / "Metrics_top1_ema_val", {"Metrics/top1": [0.25, 0.5]})
    (log,) = logs(tmp_path).values()
    assert log.run == "resnet"
    assert curve(log, "loss/train") == [(0, 3), (1, 2)] and curve(log, "loss/val") == [(0, 3.5), (1, 2.5)]
    assert sorted(set(log.metric)) == ["Metrics/top1/ema_val", "loss/train", "loss/val", "lr"]


def test_sub_tags_of_a_writer_that_logs_nothing_else(tmp_path: Path) -> None:
    """The writer leaves a file without scalars in the folder of the run."""
    for run in ("a", "b"):
        writer = SummaryWriter(str(tmp_path / run))
        for i in range(3):
            writer.add_scalars("loss", {"train": i, "val": i + 1}, i)
        writer.close()
    found = logs(tmp_path)
    assert list(found) == ["a", "b"] and sorted(set(found["a"].metric)) == ["loss/train", "loss/val"]


def test_keras_writes_two_folders_of_a_run(tmp_path: Path) -> None:
    for run in ("small", "large"):
        write(tmp_path / run / "train", {"epoch_loss": [2, 1], "epoch_accuracy": [0.25, 0.5]})
        write(tmp_path / run / "validation", {"epoch_loss": [2.5, 1.5], "evaluation_loss_vs_iterations": [9, 8]})
    write(tmp_path / "crashed" / "train", {"epoch_loss": [2]})
    found = logs(tmp_path)
    assert list(found) == ["crashed", "large", "small"]
    assert curve(found["small"], "train/epoch_loss") == [(0, 2), (1, 1)]
    assert curve(found["small"], "validation/epoch_loss") == [(0, 2.5), (1, 1.5)]
    assert set(found["crashed"].metric) == {"train/epoch_loss"}
    alone = logs(tmp_path / "small")["small"]
    assert alone.metric.tolist() == found["small"].metric.tolist()
    assert set(logs(tmp_path / "small" / "train")["train"].metric) == {"epoch_loss", "epoch_accuracy"}


def test_an_evaluation_below_the_run_is_part_of_it(tmp_path: Path) -> None:
    """The Estimators of TensorFlow train in the folder and evaluate in eval, or eval_<name>."""
    write(tmp_path / "wide", {"loss": [3, 2, 1], "global_step/sec": [9, 9, 9]})
    write(tmp_path / "wide" / "eval", {"loss": [3.5, 2.5]})
    write(tmp_path / "wide" / "eval_cifar", {"loss": [4, 3]})
    write(tmp_path / "wide" / "eval" / "imagenet", {"loss": [5, 4]})
    (log,) = logs(tmp_path).values()
    assert curve(log, "eval/loss") == [(0, 3.5), (1, 2.5)] and curve(log, "loss") == [(0, 3), (1, 2), (2, 1)]
    assert {"eval_cifar/loss", "eval/imagenet/loss"} <= set(log.metric)


def test_phases_above_their_runs(tmp_path: Path) -> None:
    for run in ("r1", "r2"):
        write(tmp_path / "train" / run, {"loss": [2, 1]})
        write(tmp_path / "val" / run, {"loss": [2.5, 1.5]})
    found = logs(tmp_path)
    assert list(found) == ["r1", "r2"] and set(found["r1"].metric) == {"train/loss", "val/loss"}


def test_a_phase_that_is_in_the_tag_is_not_named_twice(tmp_path: Path) -> None:
    write(tmp_path / "r" / "train", {"train/loss": [2, 1]})
    write(tmp_path / "r" / "val", {"loss": [2, 1]})
    assert set(logs(tmp_path)["r"].metric) == {"train/loss", "val/loss"}


def test_no_curve_is_lost_where_two_would_have_one_name(tmp_path: Path) -> None:
    write(tmp_path / "r", {"val/loss": [3, 2]})
    write(tmp_path / "r" / "val", {"loss": [2.5, 1.5]})
    log = logs(tmp_path)["r"]
    assert curve(log, "val/loss") == [(0, 3), (1, 2)] and curve(log, "val/loss~2") == [(0, 2.5), (1, 1.5)]


@pytest.mark.parametrize(
    "folders",
    [
        ["exp1", "exp2"],  # a folder that only groups
        ["exp1", "test"],  # a run that somebody called test
        ["train_resnet", "train_vgg"],
        ["test/run1", "test/run2"],
        ["v1/eval_a", "v1/eval_b"],
        ["model/version_0", "model/version_1"],
    ],
)
def test_runs_that_a_folder_merely_groups_stay_runs(tmp_path: Path, folders: list[str]) -> None:
    for folder in folders:
        write(tmp_path / folder, {"loss": [2, 1], "acc": [0, 1]})
    SummaryWriter(str(tmp_path)).close()  # and one that was begun in the wrong folder, and left empty
    found = logs(tmp_path)
    assert [run for run in found if len(found[run].step)] == folders
    assert all(set(found[run].metric) == {"loss", "acc"} for run in folders)


def test_every_folder_is_a_run_if_that_is_said(tmp_path: Path) -> None:
    write(tmp_path / "r" / "train", {"loss": [2, 1]})
    write(tmp_path / "r" / "val", {"loss": [2, 1]})
    assert list(logs(tmp_path, folders="runs")) == ["r/train", "r/val"]
    with pytest.raises(ValueError, match="folders must be parts or runs, found 'no'"):
        tensorboard.load(tmp_path, folders="no")


def test_settings_of_add_hparams_belong_to_the_run(tmp_path: Path) -> None:
    """They lie in a folder called by the time; final values lie where the run was, unless it has the curve."""
    for run, rate in (("a", 0.5), ("b", 0.25)):
        writer = SummaryWriter(str(tmp_path / run))
        for i in range(10):
            writer.add_scalar("accuracy", i / 10, 10 * i, walltime=time.time())
        writer.add_hparams({"lr": rate, "optimizer": "adam"}, {"hparam/best": 0.75, "accuracy": 0.875})
        writer.close()
        (session,) = [folder for folder in (tmp_path / run).iterdir() if folder.is_dir()]
        assert session.name.replace(".", "").isdigit()
    found = logs(tmp_path)
    assert list(found) == ["a", "b"]
    assert [log.config["lr"] for log in found.values()] == [0.5, 0.25]
    assert curve(found["a"], "hparam/best") == [(90, 0.75)]
    assert curve(found["a"], "accuracy") == [(10 * i, i / 10) for i in range(10)]
    assert found["a"].dropped == {MERGED: 1, FINAL: 1}


@pytest.mark.parametrize("folders", [["train"], ["train", "val"], ["loss/a", "loss/b"]])
def test_settings_belong_to_a_run_that_is_only_parts(tmp_path: Path, folders: list[str]) -> None:
    for folder in folders:
        write(tmp_path / "r" / folder, {"loss": [2, 1]})
    writer = SummaryWriter(str(tmp_path / "r"))
    writer.add_hparams({"lr": 0.5}, {"best": 0.75})
    writer.close()
    (log,) = logs(tmp_path).values()
    assert log.config == {"lr": 0.5} and curve(log, "best") == [(1, 0.75)]
    assert log.dropped == {MERGED: len(folders) + 1}


def test_trials_that_one_writer_logged_stay_runs(tmp_path: Path) -> None:
    writer = SummaryWriter(str(tmp_path / "search"))
    for i in range(3):
        writer.add_scalar("loss", 1 / (i + 1), i)
        writer.add_hparams({"lr": 0.5**i}, {"best": i}, name=f"trial{i}")
    writer.close()
    found = logs(tmp_path)
    assert list(found) == ["search", *(f"search/trial{i}" for i in range(3))]
    assert [found[f"search/trial{i}"].config["lr"] for i in range(3)] == [1, 0.5, 0.25]


def test_runs_below_a_run_are_said_and_of_its_family(tmp_path: Path) -> None:
    for run in ("base_s1", "other"):
        write(tmp_path / run, {"loss": [3, 2]})
    write(tmp_path / "base_s1" / "finetuned", {"loss": [2, 1]})
    found = logs(tmp_path)
    assert {run: log.config.get("family") for run, log in found.items()} == {
        "base_s1": "base", "base_s1/finetuned": "base", "other": None,
    }  # fmt: skip
    assert found["base_s1"].dropped == {INSIDE: 1} and not found["other"].dropped


def test_parts_follow_each_other_by_time(tmp_path: Path) -> None:
    """A restart of the run is one in all folders: what was logged before it comes before it in the log."""
    folders = {"loss": tmp_path / "r", "eval": tmp_path / "r" / "eval"}
    for name, folder in folders.items():
        folder.mkdir(exist_ok=True)
        for part, first, began in ((1, 0, 0.0), (2, 3, 100.0)):
            file = RecordWriter(str(folder / f"events.out.tfevents.{part}.{name}"))
            start = Event(wall_time=BEGAN + began, step=first, session_log=SessionLog(status=SessionLog.START))
            values = [
                Event(
                    wall_time=BEGAN + began + i + 1,
                    step=i,
                    summary=Summary(value=[Summary.Value(tag="loss", simple_value=10 * part + i)]),
                )
                for i in range(first, 5)
            ]
            for one in (start, *values):
                file.write(one.SerializeToString())
            file.close()
    log = logs(tmp_path)["r"]
    assert (np.diff(log.wall) >= 0).all() and (np.diff(log.segment) >= 0).all()
    assert log.step.tolist() == [*np.repeat(np.arange(5), 2), 3, 3, 4, 4]
    assert log.segment.tolist() == [*[0] * 10, *[1] * 4]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        points = loaders.load(tmp_path, last_step=4).points
    assert points["value"].tolist() == [10, 11, 12, 23, 24] * 2


def test_one_damaged_file_fails_neither_its_run_nor_the_others(tmp_path: Path) -> None:
    write(tmp_path / "r", {"loss": [2, 1]})
    write(tmp_path / "r" / "eval", {"loss": [2, 1]})
    (tmp_path / "r" / "junk").mkdir()
    (tmp_path / "r" / "junk" / "events.out.tfevents.1.x").write_bytes(bytes(range(256)) * 100)
    (tmp_path / "s" / "events.out.tfevents.2.x").mkdir(parents=True)  # a folder of that name
    found = logs(tmp_path)
    assert list(found) == ["r", "r/junk"] and len(found["r"].step) == 4 and found["r/junk"].dropped


def test_settings_of_lightning_lie_beside(tmp_path: Path) -> None:
    write(tmp_path / "lightning_logs" / "version_0", {"train_loss": [2, 1]})
    (tmp_path / "lightning_logs" / "version_0" / "hparams.yaml").write_text("lr: 0.25\nmax_steps: 50\n")
    log = logs(tmp_path)["lightning_logs/version_0"]
    assert log.config == {"lr": 0.25, "max_steps": 50}


def test_a_thousand_runs_are_found_at_once(tmp_path: Path) -> None:
    write(tmp_path, {"loss": [2, 1]})
    (file,) = tmp_path.iterdir()
    for i in range(500):
        for folder in (tmp_path / f"run{i}", tmp_path / f"run{i}" / "eval"):
            folder.mkdir()
            (folder / file.name).hardlink_to(file)
    began = time.perf_counter()
    items = tensorboard.scan(tmp_path)
    assert time.perf_counter() - began < 5
    assert len(items) == 501


def test_the_writer_of_tensorboard_itself(tmp_path: Path) -> None:
    """It writes scalars as tensors, like TensorFlow, and so like Keras."""
    writer = pytest.importorskip("tensorboard.summary").Writer
    for phase, first in (("train", 2.0), ("validation", 2.5)):
        own = writer(str(tmp_path / "cnn" / phase))
        for epoch in range(3):
            own.add_scalar("epoch_loss", first - epoch / 2, epoch)
        own.close()
    (log,) = logs(tmp_path).values()
    assert log.run == "cnn"
    assert curve(log, "train/epoch_loss") == [(0, 2), (1, 1.5), (2, 1)]
    assert curve(log, "validation/epoch_loss") == [(0, 2.5), (1, 2), (2, 1.5)]

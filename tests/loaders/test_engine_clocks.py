"""Clocks: two in one log, one that never moves, one that begins again inside another, and how a table's is chosen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from predictdyn.curves import Curves
from predictdyn.loaders import load
from predictdyn.loaders.engine.clocks import on_one_clock
from predictdyn.loaders.engine.runlog import RunLog

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def curve(curves: Curves, metric: str, run: str | None = None) -> list[tuple[float, float]]:
    points = curves.points[curves.points["metric"] == metric]
    points = points if run is None else points[points["run"] == run]
    return list(zip(points["step"].astype(float), points["value"], strict=True))


def lines_in(folder: Path, name: str, records: Sequence[dict[str, object]]) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, records)) + "\n")
    return path


def mmengine(folder: Path) -> Path:
    """As MMEngine's scalars.json: training by iteration, validation by epoch, both called step."""
    records: list[dict[str, object]] = []
    for epoch in range(1, 9):
        for iteration in (69 * epoch - 34, 69 * epoch):
            loss = round(4.6 - 0.0048 * iteration, 6)
            records.append({"lr": 0.02, "data_time": 0.004, "loss": loss, "epoch": epoch, "iter": iteration,
                            "step": iteration})  # fmt: skip
        records.append({"accuracy/top1": 50 + 5.25 * epoch, "data_time": 0.09, "step": epoch})
    return lines_in(folder, "vis_data/scalars.json", records).parent.parent


def test_validation_by_epoch_beside_training_by_iteration_loses_nothing(tmp_path: Path) -> None:
    curves = load(mmengine(tmp_path))
    assert len(curve(curves, "loss")) == 16
    assert curve(curves, "loss")[0] == (35, 4.432) and curve(curves, "loss")[-1][0] == 552
    assert curve(curves, "accuracy/top1") == [(69 * epoch, 50 + 5.25 * epoch) for epoch in range(1, 9)]
    assert (curves.metrics["accuracy/top1"].kind, curves.metrics["accuracy/top1"].upper) == ("capability", 100)
    # What both clocks log is of the evaluation on the slower one.
    assert len(curve(curves, "data_time")) == 16 and len(curve(curves, "eval/data_time")) == 8


def test_what_was_placed_is_said_without_talk_of_a_loss(tmp_path: Path) -> None:
    with pytest.warns(UserWarning) as caught:
        load(mmengine(tmp_path))
    said = [str(one.message) for one in caught]
    assert not [line for line in said if "lost" in line and "no value is lost" not in line]
    assert [
        line for line in said if line.startswith("16 value(s) of accuracy/top1, eval/data_time count something else")
    ]


def test_a_table_with_validation_by_epoch(tmp_path: Path) -> None:
    """A hand-written CSV: the step of validation rows is the epoch, counted from 0."""
    rows = ["step,train_loss,val_loss"]
    for epoch in range(5):
        rows += [f"{100 * epoch + i},{3 - 0.004 * (100 * epoch + i)}," for i in (25, 50, 75, 100)]
        rows.append(f"{epoch},,{2.5 - 0.25 * epoch}")
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    curves = load(tmp_path / "log.csv")
    assert len(curve(curves, "train_loss")) == 20
    assert curve(curves, "val_loss") == [(100 * (epoch + 1), 2.5 - 0.25 * epoch) for epoch in range(5)]


def test_tags_of_two_clocks_are_placed_by_their_times() -> None:
    """As TensorBoard has them: a file a tag, one after the other, with times."""
    train = [("train/loss", 200.0 * i, 1 / i, 60.0 * i) for i in range(1, 41)]
    val = [("val/acc", float(e), 0.1 * e, 60.0 * 10 * e + 1) for e in range(1, 5)]
    metric, step, value, wall = zip(*train, *val, strict=True)
    log = RunLog(
        "a", np.array(metric, object), np.array(step), np.array(value), np.array(wall), np.zeros(44, dtype=int)
    )
    placed, said = on_one_clock(log)
    assert placed.step[placed.metric == "val/acc"].tolist() == [2000, 4000, 6000, 8000]
    assert placed.step[placed.metric == "train/loss"].tolist() == [200 * i for i in range(1, 41)]
    assert sum(sum(counts.values()) for counts in said.values()) == 4


def test_what_is_logged_late_or_seldom_keeps_its_steps() -> None:
    """An evaluation of a checkpoint that comes 300 steps later, a metric of the first steps, a rare one."""
    rows = [("loss", float(i), 1.0) for i in range(100, 1100, 100)]
    rows[4:4] = [("late", 100.0, 0.5)]
    rows[7:7] = [("late", 300.0, 0.6)]
    rows = [("warm", 10.0, 1.0), ("warm", 20.0, 2.0), *rows, ("late", 700.0, 0.7), ("rare", 500.0, 0.1)]
    metric, step, value = zip(*rows, strict=True)
    n = len(rows)
    log = RunLog("a", np.array(metric, object), np.array(step), np.array(value), np.full(n, np.nan), np.zeros(n, int))
    placed, said = on_one_clock(log)
    assert placed is log and not said


@pytest.mark.parametrize("step", [0.0, np.nan])
def test_a_clock_that_never_moves_gives_way_to_the_order(step: float) -> None:
    """Steps that were never given (all 0, or none): values in the order of their times."""
    value = np.array([4.5, 3.0, 2.0, 1.5])
    order = [2, 0, 3, 1]
    log = RunLog("a", np.array(["loss"] * 4, object), np.full(4, step), value[order], np.array(order, float),
                 np.zeros(4, int))  # fmt: skip
    placed, said = on_one_clock(log)
    assert list(zip(placed.step, placed.value, strict=True)) == [(1, 4.5), (2, 3.0), (3, 2.0), (4, 1.5)]
    assert list(said) and "no value is lost" in next(iter(said))


def test_without_steps_a_seldom_metric_lies_among_the_others() -> None:
    names = ["loss", "loss", "acc", "loss", "loss", "acc"]
    log = RunLog("a", np.array(names, object), np.zeros(6), np.arange(6.0), np.full(6, np.nan), np.zeros(6, int))
    placed, _ = on_one_clock(log)
    assert placed.step[placed.metric == "loss"].tolist() == [1, 2, 3, 4]
    assert placed.step[placed.metric == "acc"].tolist() == [2, 4]


def test_json_lines_that_all_say_step_0(tmp_path: Path) -> None:
    path = lines_in(tmp_path, "run.jsonl", [{"step": 0, "loss": 4 - i / 8} for i in range(16)])
    assert curve(load(path), "loss") == [(i + 1, 4 - i / 8) for i in range(16)]


def test_a_whole_counter_is_a_better_clock_than_a_rounded_epoch(tmp_path: Path) -> None:
    """LLaMA-Factory's trainer_log.jsonl, and a counter that no list knows."""
    records: list[dict[str, object]] = []
    for step in range(10, 331, 10):
        shared = {"total_steps": 335, "epoch": round(step / 335, 2), "percentage": round(100 * step / 335, 2)}
        records.append({"current_steps": step, "loss": round(3.8 - step / 128, 4), "eval_loss": None, **shared})
        if step % 100 == 0:
            records.append({"current_steps": step, "loss": None, "eval_loss": 2 - step / 1000, **shared})
    curves = load(lines_in(tmp_path, "saves/sft/trainer_log.jsonl", records).parent.parent)
    assert curves.runs["last_step"].tolist() == [335]
    assert sorted(curves.metrics) == ["eval_loss", "loss"]
    assert [len(curve(curves, name)) for name in ("loss", "eval_loss")] == [33, 3]
    assert [step for step, _ in curve(curves, "eval_loss")] == [100, 200, 300]
    for record in records:
        record["trained_steps"] = record.pop("current_steps")
    with pytest.warns(UserWarning, match="the step is trained_steps, whole numbers that rise with the rows"):
        again = load(lines_in(tmp_path, "again.jsonl", records))
    assert curve(again, "loss") == curve(curves, "loss")


def test_a_counter_that_begins_again_in_each_epoch_is_counted_on(tmp_path: Path) -> None:
    """As mmdetection's .log.json: an iteration within the epoch, validation rows with an iteration of their own."""
    records: list[dict[str, object]] = [{"env_info": "…", "seed": 0}]
    for epoch in (1, 2, 3):
        for i in (50, 100, 150):
            records.append({"mode": "train", "epoch": epoch, "iter": i, "loss": 4 - epoch + i / 1000, "lr": 0.02})
        records.append({"mode": "val", "epoch": epoch, "iter": 42, "bbox_mAP": 0.1 * epoch})
    curves = load(lines_in(tmp_path, "20260101_000000.log.json", records))
    assert [step for step, _ in curve(curves, "loss")] == [50, 100, 150, 200, 250, 300, 350, 400, 450]
    assert curve(curves, "bbox_mAP") == [(150, 0.1), (300, 0.2), (450, pytest.approx(0.3))]
    rows = [f"{epoch},{batch},{1 / (1 + 4 * epoch + batch)}" for epoch in range(3) for batch in range(4)]
    (tmp_path / "log.csv").write_text("\n".join(["epoch,batch,loss", *rows]) + "\n")
    counted = curve(load(tmp_path / "log.csv"), "loss")
    assert counted == [(float(i), 1 / (1 + i)) for i in range(12)]


def test_phases_in_a_column_tell_metrics_apart(tmp_path: Path) -> None:
    rows = [
        f"{epoch},{phase},{value}" for epoch in (1, 2) for phase, value in (("train", 2 / epoch), ("val", 3 / epoch))
    ]
    (tmp_path / "history.tsv").write_text("\n".join(["epoch,phase,loss", *rows]).replace(",", "\t") + "\n")
    curves = load(tmp_path / "history.tsv")
    assert curve(curves, "train/loss") == [(1, 2.0), (2, 1.0)]
    assert curve(curves, "val/loss") == [(1, 3.0), (2, 1.5)]


def test_a_counter_that_stays_beside_one_that_moves(tmp_path: Path) -> None:
    """As mmsegmentation logs by iteration: that of a validation row is always the length of its loader."""
    records: list[dict[str, object]] = []
    for i in range(50, 450, 50):
        records.append({"mode": "train", "epoch": 1, "iter": i, "loss": 4 - i / 200})
        if i % 200 == 0:
            records.append({"mode": "val", "epoch": 1, "iter": 25, "mIoU": 0.2 + i / 1000})
    curves = load(lines_in(tmp_path, "a.log.json", records))
    assert curve(curves, "mIoU") == [(200, 0.4), (400, pytest.approx(0.6))]
    assert len(curve(curves, "loss")) == 8

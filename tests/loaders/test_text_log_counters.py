"""Counters that people's tools print: bars that begin a line, nameless numbers, abbreviations, tables, JSON objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from predictdyn.loaders import text_log
from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.text_log import rows as text_log_rows
from predictdyn.loaders.text_log.source import nearest_form

Curves = dict[str, list[tuple[float, float]]]
Read = Callable[[str], RunLog]
Points = Callable[[RunLog], Curves]


def keras(epoch: int, of: int, batches: int = 50) -> str:
    """An epoch as Keras 1 and 2 draw it: each stroke over the last, by backspaces and a carriage return."""
    strokes = "".join(
        "\b" * 60 + f"\r{i:>4}/{batches} [{'=' * (i // 5)}>{'.' * (9 - i // 5)}] - ETA: {batches - i}s - loss: 9.{i}"
        for i in (1, 25, batches - 1)
    )
    end = f"\r{batches}/{batches} [==========] - 2s 40ms/step - loss: {4 / epoch} - val_loss: {8 / epoch}\n"
    return f"Epoch {epoch}/{of}\n{strokes}" + "\b" * 70 + end


ENDS: Curves = {"loss": [(1, 4), (2, 2)], "val_loss": [(1, 8), (2, 4)]}

# Of each tool: the text, its curves (no more, no less), the planned length, lines left out.
COUNTERS: dict[str, tuple[str, Curves, float | None, int]] = {
    "Keras, every stroke": (keras(1, 9) + keras(2, 9), ENDS, 9, 6),
    "Keras, killed within an epoch": (keras(1, 9) + keras(2, 9) + keras(3, 9).partition("\r  49/")[0], ENDS, 9, 8),
    "Keras, one epoch so far": (keras(1, 9), {"loss": [(1, 4)], "val_loss": [(1, 8)]}, 9, 3),
    "Keras, last strokes only": (
        "".join(f"Epoch {e}/9\n50/50 [=====] - 2s 40ms/step - loss: {4 / e} - val_loss: {8 / e}\n" for e in (1, 2)),
        ENDS, 9, 0,
    ),
    "Keras, verbose=2": (
        "".join(f"Epoch {e}/9\n50/50 - 2s - 40ms/step - loss: {4 / e} - val_loss: {8 / e}\n" for e in (1, 2)),
        ENDS, 9, 0,
    ),
    "Keras 1, verbose=2": (
        "".join(f"Epoch {e}/9\n2s - loss: {4 / e} - val_loss: {8 / e}\n" for e in (1, 2)),
        ENDS, 9, 0,
    ),
    "Keras with ModelCheckpoint and evaluate": (
        "".join(
            f"Epoch {e}/9\n49/50 [====>.] - ETA: 0s - loss: 9.9\n"
            f"Epoch {e:05}: val_loss improved from inf to {8 / e}, saving model to m.h5\n"
            f"50/50 [=====] - 2s 40ms/step - loss: {4 / e} - val_loss: {8 / e}\n"
            for e in (1, 2)
        )
        + " 1/20 [>....] - ETA: 0s - loss: 0.5\n20/20 [=====] - 0s 1ms/step - loss: 0.5\n",
        ENDS, 9, 4,
    ),
    "a bar without an epoch": (
        "  10/100 [=>...] - ETA: 9s - loss: 4\n  20/100 [==>..] - ETA: 8s - loss: 2\n",
        {"loss": [(10, 4), (20, 2)], "ETA": [(10, 9), (20, 8)]}, 100, 0,
    ),
    "tqdm below titles of epochs": (
        "".join(
            f"Epoch {e}/9\n 50%|##   | 25/50 [00:03<00:00, 2.4it/s, loss={4 / e}]\r"
            f"100%|#####| 50/50 [00:06<00:00, 2.4it/s, loss={2 / e}]\nval_loss: {8 / e}\n"
            for e in (1, 2)
        ),
        {"loss": [(25, 4), (50, 2), (75, 2), (100, 1)], "val_loss": [(50, 8), (100, 4)]}, 450, 0,
    ),
    "iterations that begin again, epochs at their end": (
        "".join(
            "".join(f"iter {i} loss {4 - i / 100}\n" for i in (0, 50, 99))
            + f"Epoch {e} done: val_acc 0.{e} loss 5.{e}\n"
            for e in (1, 2)
        ),
        {
            "loss": [(0, 4), (50, 3.5), (99, 3.01), (100, 4), (150, 3.5), (199, 3.01)],
            "val_acc": [(99, 0.1), (199, 0.2)],
            "loss_epoch": [(99, 5.1), (199, 5.2)],
            "epoch": [(99, 1), (199, 2)],
        },
        None, 0,
    ),
    "Marian": (
        "".join(
            f"[2020-06-01 10:01] Ep. 1 : Up. {i}00 : Sen. {i},400 : Cost {9 / i} * 90,000 : Time 40.12s : 5 words/s\n"
            for i in (1, 2, 3)
        )
        + "[2020-06-01 11:05:00] [valid] Ep. 1 : Up. 300 : bleu : 23.5 : new best\n",
        {
            "Sen": [(100, 1400), (200, 2400), (300, 3400)],
            "Cost": [(100, 9), (200, 4.5), (300, 3)],
            "Time": [(100, 40.12), (200, 40.12), (300, 40.12)],
            "epoch": [(100, 1), (200, 1), (300, 1), (300, 1)],
            "val/bleu": [(300, 23.5)],
        },
        None, 0,
    ),
    "XGBoost": (
        "".join(f"[{i}]\ttrain-logloss:0.{9 - i}1\teval-logloss:0.{9 - i}2\n" for i in range(3)),
        {"train-logloss": [(0, 0.91), (1, 0.81), (2, 0.71)], "eval-logloss": [(0, 0.92), (1, 0.82), (2, 0.72)]},
        None, 0,
    ),
    "XGBoost cv": (
        "".join(f"[{i}]\ttest-rmse:{9 - i}.5+0.25\n" for i in range(2)),
        {"test-rmse": [(0, 9.5), (1, 8.5)], "test-rmse_std": [(0, 0.25), (1, 0.25)]}, None, 0,
    ),
    "LightGBM": (
        "[LightGBM] [Info] Total Bins 6132\n"
        + "".join(f"[{i}00]\ttraining's l2: {9 / i}\tvalid_1's auc: 0.{i}\n" for i in (1, 2)),
        {"training/l2": [(100, 9), (200, 4.5)], "valid_1/auc": [(100, 0.1), (200, 0.2)]}, None, 0,
    ),
    "CatBoost": (
        "".join(f"{i}:\tlearn: 0.{9 - i}\ttest: 0.{8 - i}\tbest: 0.{8 - i}\ttotal: {i}5ms\n" for i in (1, 2)),
        {
            "learn": [(1, 0.8), (2, 0.7)], "test": [(1, 0.7), (2, 0.6)], "best": [(1, 0.7), (2, 0.6)],
            "total": [(1, 0.015), (2, 0.025)],
        },
        None, 0,
    ),
    "MXNet": (
        "".join(
            f"INFO:root:Epoch[{e}] Batch [20]\tSpeed: 1200.5 samples/sec\taccuracy=0.{e}2\n"
            f"INFO:root:Epoch[{e}] Batch [40]\tSpeed: 1200.5 samples/sec\taccuracy=0.{e}4\n"
            f"INFO:root:Epoch[{e}] Validation-accuracy=0.{e}5\n"
            for e in (0, 1)
        ),
        {
            "Speed": [(20, 1200.5), (40, 1200.5), (60, 1200.5), (80, 1200.5)],
            "accuracy": [(20, 0.02), (40, 0.04), (60, 0.12), (80, 0.14)],
            "epoch": [(20, 0), (40, 0), (40, 0), (60, 1), (80, 1), (80, 1)],
            "Validation-accuracy": [(40, 0.05), (80, 0.15)],
        },
        None, 0,
    ),
    "PyTorch's tutorial": (
        "[1,  2000] loss: 2.5\n[1,  4000] loss: 2.0\n[2,  2000] loss: 1.5\nFinished Training\n"
        "Accuracy of the network on the 10000 test images: 55 %\n",
        {
            "loss": [(2000, 2.5), (4000, 2), (6000, 1.5)], "epoch": [(2000, 1), (4000, 1), (6000, 2)],
            "test/Accuracy": [(6000, 0.55)],
        },
        None, 0,
    ),
    "the name before the step": (
        "".join(f"Average loss at step {i}000 :  {9 / i}\n" for i in (1, 2)),
        {"Average_loss": [(1000, 9), (2000, 4.5)]}, None, 0,
    ),
    "fastai": (
        "epoch     train_loss  valid_loss  accuracy  time    \n"
        + "".join(f"{e}         {4 - e}.250000    {3 - e}.500000    0.7{e}0000  00:12     \n" for e in (0, 1)),
        {"train_loss": [(0, 4.25), (1, 3.25)], "valid_loss": [(0, 3.5), (1, 2.5)], "accuracy": [(0, 0.7), (1, 0.71)]},
        None, 0,
    ),
    "skorch": (
        "  epoch    train_loss    valid_acc     dur\n-------  ------------  -----------  ------\n"
        + "".join(f"      {e}       \x1b[36m{4 / e:.4f}\x1b[0m      \x1b[32m0.5{e}\x1b[0m  0.0{e}00\n" for e in (1, 2)),
        {"train_loss": [(1, 4), (2, 2)], "valid_acc": [(1, 0.51), (2, 0.52)], "dur": [(1, 0.01), (2, 0.02)]}, None, 0,
    ),
    "spaCy": (
        "E    #       LOSS NER  ENTS_F  SCORE \n---  ------  --------  ------  ------\n"
        + "".join(f"  {i // 2}     {i}00        4{9 - i}.50    {i}.25    0.0{i}\n" for i in (0, 1, 2)),
        {
            "LOSS_NER": [(0, 49.5), (100, 48.5), (200, 47.5)], "ENTS_F": [(0, 0.25), (100, 1.25), (200, 2.25)],
            "SCORE": [(0, 0), (100, 0.01), (200, 0.02)], "epoch": [(0, 0), (100, 0), (200, 1)],
        },
        None, 0,
    ),
    "Stable-Baselines3": (
        "".join(
            "-------------------------------\n| rollout/           |        |\n"
            f"|    ep_rew_mean     | {20 + i}.5   |\n| time/              |        |\n|    fps             | 99     |\n"
            f"|    total_timesteps | {i}000   |\n"
            + (f"| train/             |        |\n|    loss            | {9 / i}    |\n" if i > 1 else "")
            + "-------------------------------\n"
            for i in (1, 2, 3)
        ),
        {
            "rollout/ep_rew_mean": [(1000, 21.5), (2000, 22.5), (3000, 23.5)],
            "time/fps": [(1000, 99), (2000, 99), (3000, 99)],
            "train/loss": [(2000, 4.5), (3000, 3)],
        },
        None, 0,
    ),
    "fairseq's JSON": (
        "".join(
            "".join(
                f'2023-01-01 10:00:0{i} | INFO | train_inner | {{"epoch": {e}, "update": {e - 1 + i / 2}, '
                f'"loss": "{9 - i}.5", "num_updates": "{e * 20 - 20 + i * 10}", "lr": "1e-05"}}\n'
                for i in (1, 2)
            )
            + f'2023-01-01 10:00:09 | INFO | valid | {{"epoch": {e}, "loss": "{4 / e}", "num_updates": "{e * 20}"}}\n'
            for e in (1, 2)
        ),
        {
            "update": [(10, 0.5), (20, 1), (30, 1.5), (40, 2)],
            "loss": [(10, 8.5), (20, 7.5), (30, 8.5), (40, 7.5)],
            "lr": [(10, 1e-5), (20, 1e-5), (30, 1e-5), (40, 1e-5)],
            "epoch": [(10, 1), (20, 1), (20, 1), (30, 2), (40, 2), (40, 2)],
            "val/loss": [(20, 4), (40, 2)],
        },
        None, 0,
    ),
    "JSON below text, iterations within epochs, a mode": (
        "config: a.py\n"
        + "".join(
            "".join(
                json.dumps({"mode": "train", "epoch": e, "iter": i, "loss": 4 - e + i / 100}) + "\n" for i in (25, 50)
            )
            + json.dumps({"mode": "val", "epoch": e, "iter": 7, "bbox": {"mAP": e / 8, "note": "x"}}) + "\n"
            for e in (1, 2)
        ),
        {
            "train/loss": [(25, 3.25), (50, 3.5), (75, 2.25), (100, 2.5)],
            "epoch": [(25, 1), (50, 1), (50, 1), (75, 2), (100, 2), (100, 2)],
            "val/bbox/mAP": [(50, 0.125), (100, 0.25)],
        },
        None, 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTERS)
def test_a_counter_gives_exactly_its_curves(name: str, tmp_path: Path, read: Read, curves: Points) -> None:
    text, expected, planned, left_out = COUNTERS[name]
    log = read(text)
    assert curves(log) == expected
    assert log.planned == planned
    assert sum(log.dropped.values()) == left_out
    assert text_log.sniff(tmp_path) is not None


@pytest.mark.parametrize("line", ["Epoch {} [{}/2000]  loss={:g}\n", "Epoch {} Iter [{}/2000]: loss {:g}\n"])
@pytest.mark.parametrize("at", [[400, 900, 1000, 1900, 2000], [900, 1800]], ids=["several an epoch", "resumed"])
def test_a_count_that_goes_on_over_the_epochs_is_the_step(line: str, at: list[int], read: Read, curves: Points) -> None:
    """Also where a run went back to a checkpoint: within an epoch a count may fall."""
    rows = [(step // 1000, step) for step in [*at[:2], *at]]
    log = read("".join(line.format(epoch, step, 4 - step / 1000) for epoch, step in rows))
    assert curves(log)["loss"] == [(step, 4 - step / 1000) for _, step in rows]
    assert log.planned == 2000


def test_a_count_that_begins_again_is_counted_on(read: Read, curves: Points) -> None:
    log = read("".join(f"Epoch {e} [{i}/2000]  loss={4 - e}.5\n" for e in (0, 1) for i in (1000, 2000)))
    assert [step for step, _ in curves(log)["loss"]] == [1000, 2000, 3000, 4000]


@pytest.mark.parametrize("verbose", [1, 2])
def test_what_keras_prints_is_its_history(
    verbose: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], read: Read, curves: Points
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    tool = pytest.importorskip("keras", reason="the log is printed by Keras itself: pip install keras")
    tool.utils.set_random_seed(0)
    x = np.random.default_rng(0).random((96, 4), dtype=np.float32)
    model = tool.Sequential([tool.layers.Dense(8, activation="relu"), tool.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    y = (x.sum(1) > 2).astype(np.float32)
    history = model.fit(x, y, epochs=3, batch_size=8, validation_split=0.25, verbose=verbose).history
    log = read(capsys.readouterr().out)
    found = curves(log)
    assert set(found) == set(history) and log.planned == 3
    for name, values in history.items():
        assert [step for step, _ in found[name]] == [1, 2, 3]
        np.testing.assert_allclose([value for _, value in found[name]], values, atol=6e-5)


def test_ranks_in_brackets_are_no_steps(tmp_path: Path, read: Read) -> None:
    log = read("".join(f"[{rank}] loss: {i}.{rank}\n" for i in range(5) for rank in range(4)))
    assert not len(log.value) and sum(log.dropped.values()) == 21  # the file, and 20 lines
    assert text_log.sniff(tmp_path) is None


def test_a_file_of_json_lines_is_no_text_log(tmp_path: Path, read: Read, curves: Points) -> None:
    lines = "".join(json.dumps({"step": i, "loss": 1 / i}) + "\n" for i in (1, 2, 4))
    log = read(lines)
    assert text_log.sniff(tmp_path) is None and nearest_form(tmp_path) is None
    assert curves(log) == {"loss": [(1, 1), (2, 0.5), (4, 0.25)]}, "but it is read as one, if that is asked for"
    read("begin\n" + lines)
    assert text_log.sniff(tmp_path) == "text log: 1 file, with loss"


def test_json_that_is_cut_or_wrong_is_not_half_read(read: Read, curves: Points) -> None:
    lines = [f'| train | {{"num_updates": "{i}", "loss": "{i}.25"}}' for i in (1, 2, 3, 4)]
    whole = {"train/loss": [(1, 1.25), (2, 2.25), (3, 3.25)]}
    for end in range(20, len(lines[3])):
        log = read("\n".join([*lines[:3], lines[3][:end]]))
        begun = any(letter.isdigit() for letter in lines[3][:end])
        assert curves(log) == whole and sum(log.dropped.values()) == begun, lines[3][:end]
    assert curves(read("\n".join(lines))) == {"train/loss": [*whole["train/loss"], (4, 4.25)]}


@pytest.mark.parametrize("most", [0, 2000])
def test_lines_like_no_other_are_read_too(
    most: int, monkeypatch: pytest.MonkeyPatch, read: Read, curves: Points
) -> None:
    monkeypatch.setattr(text_log_rows, "MOST_ALONE", most)
    words = ["ab", "cd", "ef", "gh"]
    text = "".join(f"step {i} file {word} loss {i}.5 in all\nnote {word}: {i}\n" for i, word in enumerate(words))
    log = read(text)
    assert curves(log)["loss"] == [(0, 0.5), (1, 1.5), (2, 2.5), (3, 3.5)]
    assert sum(log.dropped.values()) == (0 if most else 4)


def test_a_table_that_grows_loses_no_row_and_source_code_is_no_row(read: Read, curves: Points) -> None:
    code = "step = 5; loss = 7.5\n"
    text = "step: 1 loss: 4 acc: 0.1 lr: 1\n" + "".join(
        f"step: {i} loss: 4 acc: 0.{i} lr: 1 val: {i}\n" for i in (2, 3)
    )
    assert curves(read(code + text))["acc"] == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_a_bar_of_the_run_beside_fractions_of_an_epoch(tmp_path: Path) -> None:
    """The printed log of a trainer: a bar that counts all steps, and rows with an epoch of 0.5, 1.0, ..."""
    text = "".join(
        f"\r {i}%|█  | {i}/60 [00:{i}<01:00,  1.00it/s]\n" + f"{{'loss': {3 - i / 60:.4f}, 'epoch': {i / 20:.2f}}}\n"
        for i in range(10, 70, 10)
    )
    (tmp_path / "train.log").write_text(text, encoding="utf-8")
    log = text_log.read(text_log.scan(tmp_path)[0])
    assert [s for s, m in zip(log.step, log.metric, strict=True) if m == "loss"] == [10, 20, 30, 40, 50, 60]
    assert log.planned == 60


def test_the_best_round_so_far_is_no_metric_of_its_own(read: Read, curves: Points) -> None:
    """CatBoost: each line says again which round was best, and its value."""
    log = read(
        "".join(
            f"{i}:\tlearn: 0.{9 - i}\ttest: 0.{i}5\tbest: 0.05 (0)\ttotal: {i}5ms\tremaining: {5 - i}s\n"
            for i in range(5)
        )
        + "\nbestTest = 0.05\nbestIteration = 0\n\nShrink model to first 1 iterations.\n"
    )
    assert curves(log) == {
        "learn": [(i, float(f"0.{9 - i}")) for i in range(5)],
        "test": [(i, float(f"0.{i}5")) for i in range(5)],
        "total": [(i, float(f"{i}5e-3")) for i in range(5)],
        "remaining": [(i, 5 - i) for i in range(5)],
    }
    assert dict(log.dropped) == {
        "value(s) of the best round so far left out, which belong to another round": 5,
        "line(s) like 'bestTest = #' left out: the best of all rounds is no value of the round above": 1,
    }


@pytest.mark.parametrize(
    ("end", "said", "left"),
    [
        ("Best val Acc: 0.6875\n", "Best val Acc: #", {}),
        ("Best validation loss: 0.5\nTest accuracy: 0.75\n", "Best validation loss: #", {"test/accuracy": [(9, 0.75)]}),
        (
            "Test accuracy: 0.75, best_test_acc: 0.875\n",
            "Test accuracy: #, best_test_acc: #",
            {"test/accuracy": [(9, 0.75)]},
        ),
        ("Best epoch: 3, test_acc: 0.875\n", "Best epoch: #, test_acc: #", {}),
    ],
)
def test_the_best_of_all_rounds_is_no_value_of_the_last(
    read: Read, curves: Points, end: str, said: str, left: dict[str, list[tuple[float, float]]]
) -> None:
    """A tutorial's last lines: the best value is of a round that nobody names, or of another one."""
    epochs = "".join(f"Epoch {e}: train_loss 0.{9 - e // 2} val_loss 0.{8 - e // 3}\n" for e in range(10))
    log = read(epochs + end)
    found = curves(log)
    assert {name: found[name] for name in sorted(set(found) - {"train_loss", "val_loss"})} == left
    assert dict(log.dropped) == {
        f"line(s) like {said!r} left out: the best of all rounds is no value of the round above": 1
    }


def test_the_best_so_far_after_each_round_stays(read: Read, curves: Points) -> None:
    text = "".join(f"Epoch {e}: train_loss 0.{9 - e}\n Test: acc: 0.{e}, best acc: 0.{e}\n" for e in range(1, 6))
    log = read(text)
    assert curves(log)["test/best_acc"] == [(e, e / 10) for e in range(1, 6)] and not log.dropped


def test_a_best_value_and_its_average_are_no_round(read: Read, curves: Points) -> None:
    found = curves(read("".join(f"step {i} acc 0.{i} best 0.{i} (0.{i}5)\n" for i in range(1, 5))))
    assert found["best"] == found["acc"] == [(i, i / 10) for i in range(1, 5)] and "best_avg" in found


def test_the_best_round_said_again_is_no_other_run(tmp_path: Path) -> None:
    rounds = [f"[{i}]\ttrain-auc:{0.5 + i / 100:.5f}\teval-auc:{0.5 + i / 200:.5f}\n" for i in range(30)]
    (tmp_path / "xgb.log").write_text("".join(rounds) + "Stopping. Best iteration:\n" + rounds[24])
    log = text_log.read(text_log.scan(tmp_path)[0])
    assert [s for s, m in zip(log.step, log.metric, strict=True) if m == "eval-auc"] == list(range(30))
    assert sum(n for why, n in log.dropped.items() if "say a round again" in why) == 1


def test_a_span_of_batches_and_results_of_an_estimator(tmp_path: Path) -> None:
    lines = [
        f"Epoch[{e}] Batch [{b - 49}-{b}]\tSpeed: 9 samples/sec\taccuracy=0.{e}{b}\n" for e in (0, 1) for b in (50, 99)
    ]
    (tmp_path / "mx.log").write_text("".join(lines))
    log = text_log.read(text_log.scan(tmp_path)[0])
    assert [s for s, m in zip(log.step, log.metric, strict=True) if m == "accuracy"] == [50, 99, 149, 198]
    (tmp_path / "mx.log").unlink()
    for at in (500, 1000):
        lines += [f"INFO:tensorflow:loss = {3 - at / 1000}, step = {at} (1.2 sec)\n"]
        said = f"accuracy = 0.5, global_step = {at}, loss = {4 - at / 1000}"
        lines += [f"INFO:tensorflow:Saving dict for global step {at}: {said}\n"]
    (tmp_path / "tf.log").write_text("".join(lines[4:]))
    log = text_log.read(text_log.scan(tmp_path)[0])
    found = {(str(m), s): v for m, s, v in zip(log.metric, log.step, log.value, strict=True)}
    assert (found["loss", 500], found["eval/loss", 500], found["eval/accuracy", 1000]) == (2.5, 3.5, 0.5)

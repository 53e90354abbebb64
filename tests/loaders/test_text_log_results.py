"""Lines of evaluation without a counter of the run: the step of the lines above, the phase, or counted and said."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from predictdyn.loaders.engine.runlog import RunLog

Curves = dict[str, list[tuple[float, float]]]
Read = Callable[[str], RunLog]
Points = Callable[[RunLog], Curves]


def imagenet() -> str:
    """The ImageNet example of PyTorch: 30 batches an epoch, 20 of validation, the result in a line of its own."""
    return "".join(
        "".join(
            f"Epoch: [{e}][{i:>2}/30]\tLoss {3 - e - i / 30:.2f} (3.0)\tAcc@1  {10 * e}.50 ( 9.00)\n" for i in (0, 20)
        )
        + "".join(f"Test: [{i:>2}/20]\tLoss 2.5 (2.5)\tAcc@1  {20 + e}.00 ( 20.00)\n" for i in (0, 10))
        + f" *   Acc@1 {25 + e}.125 Acc@5 {50 + e}.250\n"
        for e in range(3)
    )


def caffe() -> str:
    front = "I0101 10:00:00.123456  1234 solver.cpp:330]"
    return "".join(
        f"{front} Iteration {i}, Testing net (#0)\n"
        f"{front}     Test net output #0: accuracy = 0.{i // 10 + 5}\n"
        f"{front}     Test net output #1: loss = {2 - i / 100} (* 1 = {2 - i / 100} loss)\n"
        f"{front} Iteration {i} (12.3 iter/s, 8.1s/100 iters), loss = {3 - i / 100}\n"
        f"{front} Iteration {i + 5} (12.3 iter/s, 8.1s/100 iters), loss = {3.5 - i / 100}\n"
        for i in (0, 10, 20)
    )


def coqui() -> str:
    bold, green, end = "\x1b[1m", "\x1b[92m", "\x1b[0m"
    return "".join(
        f"{bold} > EPOCH: {e}/9{end}\n"
        f"{bold}   --> STEP: 20/40 -- GLOBAL_STEP: {e * 40 + 20}{end}\n     | > loss: {3 - e}.5  ({3 - e}.25)\n\n"
        f"{bold} > EVALUATION {end}\n\n{bold}  --> STEP: 0{end}\n     | > loss: 2.0 (2.0)\n\n"
        f"{bold}  --> STEP: 1{end}\n     | > loss: 2.5 (2.25)\n\n"
        f"  {bold}--> EVAL PERFORMANCE{end}\n     | > avg_loss:{green} {2 - e / 4} {end}(-0.25)\n\n"
        for e in range(3)
    )


def yolo() -> str:
    bar = "{:>3}%|{:10}| {}/8 [00:03<00:00,  2.4it/s]"
    return "".join(
        "      Epoch    GPU_mem   box_loss   cls_loss  Instances       Size\n"
        + "\r".join(
            f"        {e}/9      2.5G      {1.5 / e}        {4 - e}.5         20        640: "
            + bar.format(p, "█" * (p // 10), p * 8 // 100)
            for p in (0, 50, 100)
        )
        + "\n                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95): "
        + bar.format(100, "█" * 10, 8)
        + f"\n                   all        128        929       0.64      0.5{e}        0.6{e}       0.4{e}\n"
        + f"                   cat          9         19        0.5      0.25       0.3{e}        0.2{e}\n"
        for e in (1, 2)
    )


# Of each tool: the text, the metrics that must be there with all their points, others that may be, lines left out.
RESULTS: dict[str, tuple[str, Curves, int]] = {
    "ImageNet example": (
        imagenet(),
        {
            "Acc@1": [(0, 0.5), (20, 0.5), (30, 10.5), (50, 10.5), (60, 20.5), (80, 20.5)],
            "test/Acc@1": [(20, 25.125), (50, 26.125), (80, 27.125)],
            "test/Acc@5": [(20, 50.25), (50, 51.25), (80, 52.25)],
        },
        6,
    ),
    "OpenNMT": (
        "".join(
            f"[2019-01-01 10:00:0{s},123 INFO] Step {s * 50}/1000; acc: {5 + s}.00; ppl: {900 / s}; lr: 0.001; 20 s\n"
            + (f"[2019-01-01 10:00:0{s},456 INFO] Validation perplexity: {60 - s}.5\n" if s % 2 == 0 else "")
            for s in range(1, 5)
        ),
        {"acc": [(50, 6), (100, 7), (150, 8), (200, 9)], "val/perplexity": [(100, 58.5), (200, 56.5)]},
        0,
    ),
    "Caffe": (
        caffe(),
        {
            "test/accuracy": [(0, 0.5), (10, 0.6), (20, 0.7)],
            "test/loss": [(0, 2), (10, 1.9), (20, 1.8)],
            "loss": [(0, 3), (5, 3.5), (10, 2.9), (15, 3.4), (20, 2.8), (25, 3.3)],
        },
        0,
    ),
    "Coqui TTS": (
        coqui(),
        {"loss": [(20, 3.5), (60, 2.5), (100, 1.5)], "eval/avg_loss": [(20, 2), (60, 1.75), (100, 1.5)]},
        6,
    ),
    "YOLO": (  # of each epoch two strokes of the bar are written over
        yolo(),
        {
            "box_loss": [(1, 1.5), (2, 0.75)],
            "mAP50": [(1, 0.61), (2, 0.62)],
            "mAP50-95": [(1, 0.41), (2, 0.42)],
            "cat/mAP50": [(1, 0.31), (2, 0.32)],
            "R": [(1, 0.51), (2, 0.52)],
        },
        4,
    ),
    "fairseq": (
        "".join(
            f"| epoch 00{e} | loss {9 / e} | ppl 137.5 | num_updates {e * 300} | lr 1e-05\n"
            f"| epoch 00{e} | valid on 'valid' subset | loss {6 / e} | ppl 3{e} | num_updates {e * 300}\n"
            for e in (1, 2)
        ),
        {"loss": [(300, 9), (600, 4.5)], "val/loss": [(300, 6), (600, 3)], "val/ppl": [(300, 31), (600, 32)]},
        0,
    ),
    "ESPnet": (
        "".join(
            "".join(
                f"[gpu] 2023-01-01 10:00:00,123 (trainer:650) INFO: {e}epoch:train:{i - 49}-{i}batch: loss={i / 8}\n"
                for i in (50, 100)
            )
            + f"[gpu] 2023-01-01 10:00:00,123 (trainer:353) INFO: {e}epoch results: [train] loss={9 / e}, acc=0.5{e}, "
            f"[valid] loss={6 / e}, acc=0.6{e}\n"
            for e in (1, 2)
        ),
        {
            "train/loss": [(50, 6.25), (100, 12.5), (150, 6.25), (200, 12.5)],
            "train/loss_epoch": [(100, 9), (200, 4.5)],
            "val/loss": [(100, 6), (200, 3)],
            "val/acc": [(100, 0.61), (200, 0.62)],
        },
        0,
    ),
    "Kaldi": (
        "".join(
            f"ITERATION 0{i}: TRAIN AVG.LOSS {4 / i}, (lrate0.008), CROSSVAL AVG.LOSS {5 / i}, nnet accepted\n"
            for i in (1, 2, 4)
        ),
        {"train/AVG.LOSS": [(1, 4), (2, 2), (4, 1)], "val/AVG.LOSS": [(1, 5), (2, 2.5), (4, 1.25)]},
        0,
    ),
    "MMEngine": (
        "".join(
            f"2023/01/01 10:00:00 - mmengine - INFO - Epoch(train)  [{e}][50/50]  lr: 1.0e-02  loss: {4 / e}\n"
            f"2023/01/01 10:00:00 - mmengine - INFO - Epoch(val) [{e}][10/20]    eta: 0:00:01  memory: 300\n"
            f"2023/01/01 10:00:00 - mmengine - INFO - Epoch(val) [{e}][20/20]    accuracy/top1: {50 + e}.5  time: 0.1\n"
            for e in (1, 2)
        ),
        {"train/loss": [(50, 4), (100, 2)], "val/accuracy/top1": [(50, 51.5), (100, 52.5)]},
        2,
    ),
    "timm: averages at the end of an evaluation": (
        "".join(
            "".join(f"Train: {e} [{i:>4}/100 ({i:>3}%)]  Loss: {6 - e}.5 (6.0)  LR: 1e-3\n" for i in (0, 50))
            + "".join(f"Test: [{i:>4}/48]  Loss: 3.5 ({5 - e}.25)  Acc@1: 9.0 ({11 + e}.5)\n" for i in (0, 24, 48))
            for e in (0, 1)
        ),
        {
            "train/Loss": [(0, 6.5), (50, 6.5), (100, 5.5), (150, 5.5)],
            "test/Acc@1_avg": [(50, 11.5), (150, 12.5)],
            "test/Loss_avg": [(50, 5.25), (150, 4.25)],
        },
        4,
    ),
    "PaddleClas": (
        "".join(
            f"[2021/01/01 10:00:00] root INFO: [Train][Epoch {e}/9][Iter: 0/50]lr: 0.1, loss: {7 / e}\n"
            f"[2021/01/01 10:00:00] root INFO: [Train][Epoch {e}/9][Iter: 40/50]lr: 0.1, loss: {6 / e}\n"
            f"[2021/01/01 10:00:00] root INFO: [Eval][Epoch {e}][Iter: 0/10]loss: 9.5, top1: 0.1\n"
            f"[2021/01/01 10:00:00] root INFO: [Eval][Epoch {e}][Avg]loss: {5 / e}, top1: 0.2{e}\n"
            for e in (1, 2)
        ),
        {
            "train/loss": [(0, 7), (40, 6), (50, 3.5), (90, 3)],
            "eval/loss": [(40, 5), (90, 2.5)],
            "eval/top1": [(40, 0.21), (90, 0.22)],
        },
        2,
    ),
    "DeepSpeed-Chat": (
        "".join(
            f"***** Evaluating perplexity, Epoch {e}/2 *****\nppl: {4 / (e + 1)}, loss: {2 / (e + 1)}\n"
            f"Beginning of Epoch {e + 1}/2, Total Micro Batches 1907\n"
            for e in range(2)
        ),
        {"eval/ppl": [(0, 4), (1, 2)], "eval/loss": [(0, 2), (1, 1)]},
        0,
    ),
    "epochs as titles, phases in front of names": (
        "".join(
            f"Epoch {e}/24\n-----\ntrain Loss: {9 - e} Acc: 0.7{e}\nval Loss: {8 - e} Acc: 0.6{e}\n" for e in range(3)
        ),
        {
            "train/Loss": [(0, 9), (1, 8), (2, 7)],
            "val/Loss": [(0, 8), (1, 7), (2, 6)],
            "val/Acc": [(0, 0.6), (1, 0.61), (2, 0.62)],
        },
        0,
    ),
    "results in front of the end of their epoch": (
        "".join(f"validation loss: {9 - e}\nEpoch {e} finished\n" for e in (1, 2, 3)),
        {"val/loss": [(1, 8), (2, 7), (3, 6)]},
        0,
    ),
    "a title says the phase": (
        "".join(f"step {i} loss {9 - i}\nValidating\nmean f1: 0.{i} of all\n" for i in (1, 2, 3)),
        {"loss": [(1, 8), (2, 7), (3, 6)], "val/mean_f1": [(1, 0.1), (2, 0.2), (3, 0.3)]},
        0,
    ),
    "bars of two loaders below titles (AllenNLP)": (
        "".join(
            f"2021-01-01 10:00:00,123 - INFO - Epoch {e}/9\n"
            f"Training\naccuracy: 0.5{e}, loss: {4 - e} ||: 100%|####| 50/50 [00:10<00:00, 20.1it/s]\n"
            f"Validating\naccuracy: 0.6{e}, loss: {3 - e} ||: 100%|####| 7/7 [00:01<00:00, 9it/s]\n"
            for e in range(2)
        ),
        {
            "accuracy": [(50, 0.5), (100, 0.51)],
            "val/accuracy": [(50, 0.6), (100, 0.61)],
            "val/loss": [(50, 3), (100, 2)],
        },
        0,
    ),
    "COCO": (
        "".join(
            f"Epoch: [{e}] [{i:>3}/100] loss: {4 - e}.5\n" for e in (0,) for i in (0, 50)
        )
        + "Test: result\n"
        " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.375\n"
        " Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ] = 0.625\n"
        " Average Precision  (AP) @[ IoU=0.50:0.95 | area= small | maxDets=100 ] = 0.125\n"
        " Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets=  1 ] = 0.25\n",
        {"test/AP": [(50, 0.375)], "test/AP50": [(50, 0.625)], "test/APs": [(50, 0.125)], "test/AR1": [(50, 0.25)]},
        0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_results_take_the_step_above_and_their_phase(name: str, read: Read, curves: Points) -> None:
    text, expected, left_out = RESULTS[name]
    log = read(text)
    found = curves(log)
    assert {metric: found.get(metric) for metric in expected} == expected
    assert sum(count for why, count in log.dropped.items() if why.startswith("line")) == left_out
    assert curves(read(text.replace("\r", "\n").replace("\n", "\r\n"))) == found


def composer(every: int, first: int) -> str:
    """Blocks of Composer's console: training counts batches, an evaluation counts its own, and ends with its results.

    The counter inside the evaluation is printed ``every`` so many of its 20 batches, from the ``first`` on.
    """
    return "".join(
        f"[epoch=0][batch={b}/40]:\n\t Train time/batch: {b - 1}\n\t Train loss/train/total: {40 / b}\n"
        + "".join(
            f"[Eval batch={i}/20] Eval on {data} data:\n"
            + (f"\t Eval metrics/{data}/Accuracy: 0.{b}{k}\n\t Eval metrics/{data}/loss: {k}.{b}\n" if i >= 19 else "")
            for k, data in enumerate(("eval", "other"))
            for i in range(first, 21, every)
        )
        for b in (10, 20, 30, 40)
    )


@pytest.mark.parametrize(("every", "first"), [(19, 1), (5, 5), (1, 20), (5, 4)])
def test_the_block_below_the_end_of_an_evaluation_is_its_result(
    every: int, first: int, read: Read, curves: Points
) -> None:
    log = read(composer(every, first))
    found = curves(log)
    assert found["loss/train/total"] == [(b, 40 / b) for b in (10, 20, 30, 40)]
    for name, k in (("metrics/eval/", 0), ("eval/metrics/other/", 1)):
        assert found[f"{name}Accuracy"] == [(b, float(f"0.{b}{k}")) for b in (10, 20, 30, 40)]
        assert found[f"{name}loss"] == [(b, float(f"{k}.{b}")) for b in (10, 20, 30, 40)]
    assert not log.dropped


def test_a_block_below_a_counter_within_an_evaluation_is_a_running_value(read: Read, curves: Points) -> None:
    text = "".join(
        f"[batch={b}/40]:\n\t Train loss/train/total: {40 / b}\n"
        + "".join(f"[Eval batch={i}/20] Eval on eval data:\n\t Eval metrics/eval/loss: {b}.{i}\n" for i in (5, 10, 20))
        for b in (10, 20)
    )
    log = read(text)
    assert curves(log)["metrics/eval/loss"] == [(10, 10.2), (20, 20.2)]
    assert {why.partition("left out: ")[2]: count for why, count in log.dropped.items()} == {
        "running values inside an evaluation": 4
    }


def test_running_values_of_an_evaluation_are_counted_and_say_which_lines(read: Read) -> None:
    log = read(imagenet())
    assert dict(log.dropped) == {"line(s) like 'Test: [#…' left out: running values inside an evaluation": 6}


def test_without_a_phase_a_name_that_training_has_is_left_out_and_said(read: Read, curves: Points) -> None:
    text = "".join(f"step {i} acc: 0.{i} loss: {9 - i}\n * acc 0.{i}5 speed: {i}.5\n" for i in range(1, 5))
    log = read(text)
    assert curves(log) == {"acc": [(i, i / 10) for i in range(1, 5)], "loss": [(i, 9 - i) for i in range(1, 5)]}
    assert [(why.split("'")[1], count) for why, count in log.dropped.items()] == [("* acc # speed: #", 4)]


def test_a_name_of_its_own_needs_no_phase(read: Read, curves: Points) -> None:
    log = read("".join(f"step {i} loss: {9 - i}\n * auc 0.{i}\n" for i in range(1, 5)))
    assert curves(log)["auc"] == [(i, i / 10) for i in range(1, 5)] and not log.dropped


def test_the_second_of_two_results_below_one_step_is_not_the_first(read: Read, curves: Points) -> None:
    last = "test accuracy: 0.9\n"
    log = read("".join(f"step {i} loss: {9 - i}\ntest accuracy: 0.{i}\n" for i in range(1, 5)) + last)
    assert curves(log)["test/accuracy"] == [(i, i / 10) for i in range(1, 5)]
    assert list(log.dropped.values()) == [1]
    # Two data sets, whose names are not known: which is which cannot be told.
    both = "".join(f"step {i} loss: {9 - i}\ntest accuracy: 0.{i}\ntest accuracy: 0.{i}5\n" for i in range(1, 5))
    log = read(both)
    assert "test/accuracy" not in curves(log) and list(log.dropped.values()) == [8]


def test_other_names_and_numbers_are_counted_where_they_change(read: Read, curves: Points) -> None:
    text = "".join(
        f"step {i} loss: {9 - i}\nqueue length: {i * 7}\nport: 8080\nsaved 5 files in 3 s\n" for i in range(1, 5)
    )
    log = read(text)
    assert list(curves(log)) == ["loss"]
    assert dict(log.dropped) == {"line(s) like 'queue length: #' without a counter left out": 4}


def test_trials_one_after_the_other_stay_whole_and_in_order(read: Read, curves: Points) -> None:
    text = "".join(
        f"==== trial {t} ====\nseed: {t}\n"
        + "".join(f"step {i}/30 loss: {t}.{i}\nval loss: {t + 1}.{i}\n" for i in (0, 10, 20, 30))
        for t in (1, 2, 3)
    )
    log = read(text)
    steps = [0, 10, 20, 30] * 3
    values = [float(f"{t}.{i}") for t in (1, 2, 3) for i in (0, 10, 20, 30)]
    assert curves(log)["loss"] == list(zip(steps, values, strict=True))
    assert curves(log)["val/loss"] == [(step, value + 1) for step, value in zip(steps, values, strict=True)]
    assert log.planned == 30


def test_bars_of_trials_of_other_lengths_are_all_kept(read: Read, curves: Points) -> None:
    bar = "{}%|██| {}/{} [00:12<01:48,  8.3it/s, loss={}]\n"
    text = (
        bar.format(50, 5, 10, 3.5) + bar.format(99, 10, 10, 2.5) + bar.format(50, 10, 20, 3) + bar.format(99, 20, 20, 2)
    )
    assert curves(read(text)) == {"loss": [(5, 3.5), (10, 2.5), (10, 3), (20, 2)]}


@pytest.mark.parametrize("cut", [".12", "", "5.1"])
def test_a_result_that_is_cut_is_not_half_read(cut: str, read: Read, curves: Points) -> None:
    text = "".join(f"step {i} loss: {9 - i}\nval acc: 0.{i}25\n" for i in range(1, 5)) + "step 5 loss: 4\nval acc: 0"
    log = read(text + cut)
    assert curves(log)["val/acc"] == [(i, float(f"0.{i}25")) for i in range(1, 5)]
    assert sum(log.dropped.values()) == 1

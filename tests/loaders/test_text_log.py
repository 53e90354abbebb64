"""Logs as people print them, each form with what it must give; cuts at every place, garbage, source code in front."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from predictdyn.loaders import text_log
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.files.json_rows import CUT
from predictdyn.loaders.text_log import rows as text_log_rows
from predictdyn.loaders.text_log.source import NOTHING, UNMATCHED

CODE = """import os
# step 1: warm up with lr = 0.1, for 10 steps
num_iterations : int = 5100 # number of iterations to run
parser.add_argument("--steps", default=100, help="step: 100, loss: 3")
for step in range(args.num_iterations + 1):
    last_step = (step == 0)
    if step % 100 == 0: loss = 2.0
    print0(f"step:{step}/{args.num_iterations} val_loss:{val_loss:.4f} train_time:{time_ms:.0f}ms", console=True)
step = 0; loss = 7.5
"""


def read(tmp_path: Path, text: str | bytes, **options: str) -> RunLog:
    path = tmp_path / "log.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return text_log.read(Item("log", (path,)), **options)


def rows(log: RunLog) -> list[tuple[str, float, float]]:
    return list(zip(log.metric.tolist(), log.step.tolist(), log.value.tolist(), strict=True))


FORMS: dict[str, tuple[str, list[tuple[str, float, float]], float | None]] = {
    "modded-nanogpt": (
        "step:0/9 val_loss:4.5 train_time:0ms step_avg:7.5ms\nstep:1/9 train_loss:3.25\n"
        "step:2/9 val_loss:3.5 train_time:1ms step_avg:7ms\npeak memory allocated: 31361 MiB\n",
        [
            ("val_loss", 0, 4.5), ("train_time", 0, 0), ("step_avg", 0, 0.0075), ("train_loss", 1, 3.25),
            ("val_loss", 2, 3.5), ("train_time", 2, 0.001), ("step_avg", 2, 0.007),
        ],
        9,
    ),
    "llm.c": (
        "s:0 tel:10.96\ns:0 trl:10.5 lr:1e-4 norm:3.2\ns:1 trl:9.5 lr:2e-4 norm:3.0\ns:2 tel:8.5\n",
        [
            ("tel", 0, 10.96), ("trl", 0, 10.5), ("lr", 0, 1e-4), ("norm", 0, 3.2),
            ("trl", 1, 9.5), ("lr", 1, 2e-4), ("norm", 1, 3.0), ("tel", 2, 8.5),
        ],
        None,
    ),
    "nanoGPT": (
        "step 0: train loss 4.25, val loss 4.5\niter 0: loss 4.25, time 1,234.5ms, mfu -100.00%\n"
        "iter 1: loss 4.0, time 12.3ms, mfu 34.21%\nstep 2: train loss 3.5, val loss 3.75\n",
        [
            ("train/loss", 0, 4.25), ("val/loss", 0, 4.5), ("loss", 0, 4.25), ("time", 0, 1.2345), ("mfu", 0, -1.0),
            ("loss", 1, 4.0), ("time", 1, 0.0123), ("mfu", 1, 0.3421), ("train/loss", 2, 3.5), ("val/loss", 2, 3.75),
        ],
        None,
    ),
    "key=value with a time, a level and a place": (
        "2024-10-20 12:33:44,123 - INFO - train.py:12 - step=1,000 loss=2.5 lr=1e-05\n"
        "2024-10-20 12:33:45,001 - INFO - train.py:12 - step=2,000 loss=2.25 lr=5e-06\n",
        [("loss", 1000, 2.5), ("lr", 1000, 1e-5), ("loss", 2000, 2.25), ("lr", 2000, 5e-6)],
        None,
    ),
    "ImageNet example": (
        "Epoch: [0][  0/500]\tTime  0.5 ( 0.6)\tLoss 2.5e+00 (2.75e+00)\tAcc@1  50.00 ( 48.00)\n"
        "Epoch: [1][ 10/500]\tTime  0.5 ( 0.5)\tLoss 1.5e+00 (1.75e+00)\tAcc@1  51.00 ( 49.00)\n",
        [
            ("Time", 0, 0.5), ("Time_avg", 0, 0.6), ("Loss", 0, 2.5), ("Loss_avg", 0, 2.75), ("Acc@1", 0, 50),
            ("Acc@1_avg", 0, 48), ("epoch", 0, 0),
            ("Time", 510, 0.5), ("Time_avg", 510, 0.5), ("Loss", 510, 1.5), ("Loss_avg", 510, 1.75),
            ("Acc@1", 510, 51), ("Acc@1_avg", 510, 49), ("epoch", 510, 1),
        ],
        None,
    ),
    "MNIST example": (
        "Train Epoch: 1 [0/60000 (0%)]\tLoss: 2.5\nTrain Epoch: 2 [640/60000 (1%)]\tLoss: 2.25\n",
        [("train/Loss", 0, 2.5), ("epoch", 0, 1), ("train/Loss", 60640, 2.25), ("epoch", 60640, 2)],
        None,
    ),
    "steps that begin again with each epoch": (
        "Epoch [1/3], Step [100/200], Loss: 2.5\nEpoch [1/3], Step [200/200], Loss: 2.25\n"
        "Epoch [2/3], Step [100/200], Loss: 2.0\n",
        [
            ("Loss", 100, 2.5), ("epoch", 100, 1), ("Loss", 200, 2.25), ("epoch", 200, 1), ("Loss", 300, 2.0),
            ("epoch", 300, 2),
        ],
        600,
    ),
    "steps that go on over epochs": (
        "epoch 0 step 5 loss 3.0\nepoch 1 step 10 loss 2.0\n",
        [("loss", 5, 3.0), ("epoch", 5, 0), ("loss", 10, 2.0), ("epoch", 10, 1)],
        None,
    ),
    "batches without their number": (
        "train: epoch 0, batch 0, loss=3\ntrain: epoch 0, batch 9, loss=2\ntrain: epoch 1, batch 0, loss=1\n",
        [
            ("train/loss", 0, 3), ("epoch", 0, 0), ("train/loss", 9, 2), ("epoch", 9, 0), ("train/loss", 10, 1),
            ("epoch", 10, 1),
        ],
        None,
    ),
    "epochs alone": (
        "Epoch 1/30 | Train Loss: 2.5 | Val Acc: 45%\nEpoch 2/30 | Train Loss: 2.25 | Val Acc: 46.7%\n",
        [("Train_Loss", 1, 2.5), ("Val_Acc", 1, 0.45), ("Train_Loss", 2, 2.25), ("Val_Acc", 2, 0.467)],
        30,
    ),
    "an epoch's end between steps": (
        "step 10 loss 3.0\nstep 20 loss 2.0\nEpoch 1 done: val loss 2.5 correct: 30/40 (75%)\nstep 30 loss 1.0\n"
        "Epoch 2 done: val loss 1.5 correct: 40/40 (100%)\n",
        [
            ("loss", 10, 3), ("loss", 20, 2), ("val/loss", 20, 2.5), ("val/correct", 20, 0.75), ("epoch", 20, 1),
            ("loss", 30, 1), ("val/loss", 30, 1.5), ("val/correct", 30, 1.0), ("epoch", 30, 2),
        ],
        None,
    ),
    "tqdm remains": (
        "  0%|          | 0/500 [00:00<?, ?it/s]\r 20%|██        | 100/500 [00:12<00:48,  8.3it/s, loss=2.5]\r"
        " 40%|████      | 200/500 [00:24<00:36,  8.3it/s, loss=2.25]\n",
        [("loss", 100, 2.5), ("loss", 200, 2.25)],
        500,
    ),
    "Trainer's printed dicts under a progress bar": (
        " 10%|█         | 1/10 [00:01<00:09,  1.00it/s]\n{'loss': 2.5, 'learning_rate': 5e-05, 'epoch': 0.5}\n"
        " 20%|██        | 2/10 [00:02<00:08,  1.00it/s]\n{'loss': '2.25', 'learning_rate': '4e-05', 'epoch': '1.0'}\n"
        "{'eval_loss': 2.75, 'eval_steps_per_second': 10.5, 'epoch': 1.0}\n",
        [
            ("loss", 1, 2.5), ("learning_rate", 1, 5e-5), ("epoch", 1, 0.5), ("loss", 2, 2.25),
            ("learning_rate", 2, 4e-5), ("epoch", 2, 1.0), ("eval_loss", 2, 2.75), ("eval_steps_per_second", 2, 10.5),
            ("epoch", 2, 1.0),
        ],
        10,
    ),
    "Megatron": (
        " iteration  100/  500 | consumed samples:  25600 | elapsed time per iteration (ms): 12.5 | lm loss: 6.5E+00\n"
        " iteration  200/  500 | consumed samples:  51200 | elapsed time per iteration (ms): 12.5 | lm loss: 5.5E+00\n",
        [
            ("consumed_samples", 100, 25600), ("elapsed_time_per_iteration", 100, 12.5), ("lm_loss", 100, 6.5),
            ("consumed_samples", 200, 51200), ("elapsed_time_per_iteration", 200, 12.5), ("lm_loss", 200, 5.5),
        ],
        500,
    ),
    "OLMo": (
        "2024-05-01 12:00:01.123\t[host:0]:train:967\tINFO\t[step=1/200,epoch=0]\n    train/CrossEntropyLoss=11.25\n"
        "    throughput/total_tokens=4,194,304\n    System/Peak GPU Memory (MB)=45,123\n    lr = 5\nnote\n    lost=1\n"
        "2024-05-01 12:00:03.123\t[host:0]:train:967\tINFO\t[step=3/200,epoch=0]\n    train/CrossEntropyLoss=9.5\n",
        [
            ("train/CrossEntropyLoss", 1, 11.25), ("throughput/total_tokens", 1, 4194304),
            ("System/Peak_GPU_Memory_(MB)", 1, 45123), ("lr", 1, 5), ("train/CrossEntropyLoss", 3, 9.5),
        ],
        200,
    ),
    "Composer": (
        "[batch=1/4800]:\n\t Train time/epoch: 0\n\t Train metrics/train/LanguageCrossEntropy: 10.5\n"
        "[batch=2/4800]:\n\t Train time/epoch: 0\n\t Train metrics/train/LanguageCrossEntropy: 9.5\n",
        [
            ("time/epoch", 1, 0), ("metrics/train/LanguageCrossEntropy", 1, 10.5),
            ("time/epoch", 2, 0), ("metrics/train/LanguageCrossEntropy", 2, 9.5),
        ],
        4800,
    ),
    "units": (
        "step: 1 mem: 2.5GB used: 1 MiB rate: 120k tok/s t: 3 us\n"
        "step: 2 mem: 2.5GB used: 2 MiB rate: 99k tok/s t: 3 us\n",
        [
            ("mem", 1, 2.5e9), ("used", 1, 2**20), ("rate", 1, 120e3), ("t", 1, 3e-6),
            ("mem", 2, 2.5e9), ("used", 2, 2**21), ("rate", 2, 99e3), ("t", 2, 3e-6),
        ],
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_a_form_gives_exactly_its_numbers(name: str, tmp_path: Path) -> None:
    text, expected, planned = FORMS[name]
    log = read(tmp_path, text)
    assert rows(log) == expected
    assert log.planned == planned
    assert not log.dropped
    assert rows(read(tmp_path, CODE + text)) == expected, "source code before the log changes nothing"
    assert rows(read(tmp_path, text.replace("\n", "\r\n"))) == expected


def test_source_code_alone_holds_nothing(tmp_path: Path) -> None:
    log = read(tmp_path, CODE)
    assert not len(log.value) and log.dropped == {NOTHING: 1}
    assert text_log.sniff(tmp_path) is None
    with pytest.raises(ValueError, match="no points found"):
        text_log.load(tmp_path)


def test_digits_of_words_tell_metrics_apart_unless_there_are_too_many(tmp_path: Path) -> None:
    two = "".join(f"step {i} acc{1 + 4 * (i % 2)}: 0.{i}\n" for i in range(1, 5))
    assert rows(read(tmp_path, two)) == [("acc5", 1, 0.1), ("acc1", 2, 0.2), ("acc5", 3, 0.3), ("acc1", 4, 0.4)]
    many = "".join(f"out/ckpt_{i}.pt at node{i % 7} step {i} loss 0.{i}\n" for i in range(1, 3000))
    assert rows(read(tmp_path, many)) == [("loss", i, float(f"0.{i}")) for i in range(1, 3000)]


def test_nan_and_infinity_are_kept(tmp_path: Path) -> None:
    log = read(tmp_path, "step:1 loss:nan step_avg:nanms\nstep:2 loss:inf step_avg:-infms\nstep:3 loss:-Infinity\n")
    assert log.metric.tolist() == ["loss", "step_avg", "loss", "step_avg", "loss"]
    np.testing.assert_array_equal(log.value, [math.nan, math.nan, math.inf, -math.inf, -math.inf])


@pytest.mark.parametrize("chunk", [16, 100, 1 << 22])
def test_chunks_change_nothing(chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"step {i}/500 | loss: {3 / i:.4f}\n" + f"note {i}\n" * (i % 3) for i in range(1, 200))
    monkeypatch.setattr(text_log_rows, "CHUNK", chunk)
    log = read(tmp_path, text)
    assert rows(log) == [("loss", i, float(f"{3 / i:.4f}")) for i in range(1, 200)]


def test_a_log_cut_anywhere_gives_its_whole_lines_and_no_half_number(tmp_path: Path) -> None:
    lines = [f"step:{i}/9 loss:{3 / i:.4f} time:{i * 10.25:.2f}ms norm:{1 / i:.3f}" for i in range(1, 6)]
    text = "\n".join(lines)
    whole = rows(read(tmp_path, text))
    assert len(whole) == 15
    for end in range(len(text)):
        log = read(tmp_path, text[:end])
        *before, begun = text[:end].split("\n")
        # One line alone does not recur, and the first of its form may be cut short, for all one can tell.
        read_too = begun in lines[1:]
        full = len(before) + read_too
        assert rows(log) == (whole[: 3 * full] if full > 1 else [])
        assert log.dropped.get(CUT, 0) == (not read_too and begun.startswith("step:") and begun != "step:")


def test_a_line_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    log = read(tmp_path, "step:1 loss:2\nstep:2 loss:abc\nstep:3 loss:1\nstep:4.5 loss:1\nnothing here 5\n")
    assert rows(log) == [("loss", 1, 2), ("loss", 3, 1)]
    assert sum(log.dropped.values()) == 2


def test_another_progress_bar_is_left_out_and_counted(tmp_path: Path) -> None:
    bar = "{}%|██| {}/{} [00:12<01:48,  8.3it/s, loss={}]\n"
    text = (
        bar.format(1, 1, 100, 3.5)
        + bar.format(50, 5, 10, 9.5)
        + bar.format(99, 10, 10, 9.5)
        + bar.format(2, 2, 100, 2.5)
    )
    log = read(tmp_path, text)
    assert rows(log) == [("loss", 1, 3.5), ("loss", 2, 2.5)]
    assert list(log.dropped.values()) == [2] and log.planned == 100


def test_a_pattern_overrides_what_is_guessed(tmp_path: Path) -> None:
    text = "at <7> of 90: quality 1,234 (x nan)\nelse <8> of\nat <9> of 90: quality 5 (x bad)\n"
    pattern = r"<(?P<step>\d+)> of (?P<last_step>\d+): quality (?P<quality>\S+) \(x (?P<extra>\w+)\)"
    log = read(tmp_path, text, pattern=pattern)
    assert repr(rows(log)) == "[('quality', 7.0, 1234.0), ('extra', 7.0, nan), ('quality', 9.0, 5.0)]"
    assert (log.planned, log.dropped) == (90, {UNMATCHED: 1})
    for wrong in ("(", "(?P<loss>.)", "(?P<step>.)"):
        with pytest.raises(ValueError, match="pattern="):
            read(tmp_path, text, pattern=wrong)


def test_resumed_logs_are_merged_and_bytes_of_any_kind_are_read(tmp_path: Path) -> None:
    text = "step 1 loss 3.0\nstep 2 loss 9.0\n\x1b[32mstep 2\x1b[0m loss 2.0 \xff\nstep 3 loss 1.0\n"
    (tmp_path / "one.log").write_bytes(text.encode("latin-1"))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "two.out.gz").write_bytes(gzip.compress(text.encode("utf-16")))
    with pytest.warns(UserWarning):
        curves = text_log.load(tmp_path)
    assert curves.runs.index.tolist() == ["one", "two"]
    for _, points in curves.points.groupby("run"):
        assert points[["step", "value"]].to_numpy().tolist() == [[1, 3], [2, 2], [3, 1]]
    assert text_log.sniff(tmp_path) == "text log: 2 files, with loss"


def test_nothing_and_garbage(tmp_path: Path) -> None:
    for raw in (b"", b"\n\n", b"\x00\xff" * 99, b"step", b"\xff\xfe\x00"):
        assert not len(read(tmp_path, raw).value)
    with pytest.raises(ValueError, match="no \\.txt"):
        text_log.scan((tmp_path / "log.txt").rename(tmp_path / "x.bin").parent)


WORDS = st.sampled_from(
    [
        "step",
        "epoch",
        "loss",
        "val",
        ":",
        "=",
        " ",
        "/",
        "[",
        "]",
        "(",
        "%|",
        "|",
        "\n",
        "\r",
        "1",
        "2.5",
        "nan",
        "1e5",
        ",",
        "ms",
        "it",
    ]
)


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.lists(WORDS, max_size=60).map(lambda words: "".join(words).encode())))
def test_any_bytes_are_read_without_an_exception(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    assume(not raw.startswith(b"\x1f\x8b\x08"))  # packed by gzip: refused in one line
    log = read(tmp_path_factory.getbasetemp(), raw)
    assert len(log.metric) == len(log.step) == len(log.value) == len(log.wall) == len(log.segment)
    assert np.isfinite(log.step).all()


def test_all_logs_of_modded_nanogpt_agree_with_their_index(real_data: Path) -> None:
    folder = real_data / "modded_nanogpt"
    index = pd.read_csv(folder / "index.csv")
    assert len(text_log.scan(folder)) == len(index) == 22
    for row in index.itertuples():
        log = text_log.read(Item("run", (folder / row.file,)))
        count = pd.Series(log.metric).value_counts()
        old = row.format == "s:"
        losses = log.value[log.metric == ("tel" if old else "val_loss")]
        assert len(losses) == row.n_val_loss and losses[-1] == row.final_val_loss
        assert count.get("trl" if old else "train_loss", 0) == row.n_train_loss
        assert (log.step.min(), log.step.max()) == (row.first_step, row.last_step)
        assert log.planned == (None if old else row.total_steps)
        assert not log.dropped


@pytest.mark.parametrize(
    ("text", "scale", "value"), [("12.3", "e-3", 0.0123), ("1e3", "e-2", 10.0), ("2", "*1024", 2048.0)]
)
def test_units_are_rounded_once(text: str, scale: str, value: float) -> None:
    assert text_log_rows.number(text, scale) == value

"""Numbers stand where values stand; phases are words; what comes closest to a log is named."""

from __future__ import annotations

import math
import random
import shlex
from pathlib import Path

import pytest

from predictdyn.console import as_options
from predictdyn.loaders import text_log
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.text_log.forms import _PHASE_NAME, _phases
from predictdyn.loaders.text_log.names import name_before, phase_of, says_phase, split
from predictdyn.loaders.text_log.source import nearest_form


def read(tmp_path: Path, text: str, **options: str) -> RunLog:
    (tmp_path / "log.txt").write_text(text, encoding="utf-8", newline="")
    return text_log.read(Item("log", (tmp_path / "log.txt",)), **options)


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        ("iteration 100/ 500 | number of nan iterations:   0 |", ["100", "500", "0"]),
        ("nan count = 2, inf norm: 3.5", ["2", "3.5"]),
        ("inf/nan checks: 4", ["4"]),
        ("nan-batches: 1 non-inf: 2", ["1", "2"]),
        ("found nan in 3 layers", ["3"]),
        ("number of nan", []),
        ("loss: nan acc: 0.5", ["nan", "0.5"]),
        ("loss nan acc 0.5", ["nan", "0.5"]),
        ("loss nan acc: inf", ["nan", "inf"]),
        ("loss is nan", ["nan"]),
        ("| nan | 3 |", ["nan", "3"]),
        ("step_avg:nanms grad_norm=-inf", ["nan", "-inf"]),
        ("(nan, Infinity)", ["nan", "Infinity"]),
        ("mAP50-95: 0.5 top-1: 2", ["0.5", "2"]),
    ],
)
def test_a_word_that_spells_a_number_is_one_where_a_value_stands(line: str, numbers: list[str]) -> None:
    assert split(line)[1] == numbers


def test_a_healthy_megatron_run_has_no_nan(tmp_path: Path) -> None:
    lines = "".join(
        f" iteration  {i}00/  300 | lm loss: {9 / i:.6E} | loss scale: 1.0 | number of skipped iterations:   1 | "
        "number of nan iterations:   0 |\n"
        + (
            "-----\n"
            f" validation loss at iteration {i}00 on validation set | lm loss value: {8 / i:.6E} | "
            "lm loss PPL: 5.0E+01 |\n"
        )
        for i in (1, 2, 3)
    )
    log = read(tmp_path, lines + " validation loss at iteration 300 on test set | lm loss value: 1.5E+00 |\n")
    found = {name: log.value[log.metric == name].tolist() for name in dict.fromkeys(log.metric.tolist())}
    assert found == {
        "lm_loss": [9, 4.5, 3],
        "loss_scale": [1, 1, 1],
        "number_of_skipped_iterations": [1, 1, 1],
        "number_of_nan_iterations": [0, 0, 0],
        "val/lm_loss_value": [8, 4, 2.666667],
        "val/lm_loss_PPL": [50, 50, 50],
        "test/lm_loss_value": [1.5],
    }
    assert log.planned == 300 and not log.dropped


def test_true_nan_is_still_read(tmp_path: Path) -> None:
    log = read(tmp_path, "".join(f"step {i} | lm loss: nan | number of nan iterations: {i} |\n" for i in (1, 2)))
    assert [math.isnan(value) for value in log.value[log.metric == "lm_loss"]] == [True, True]
    assert log.value[log.metric == "number_of_nan_iterations"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("val_loss", True), ("valid/acc", True), ("Train_Loss", True), ("trainLoss", True), ("valloss", True),
        ("test", True), ("lm_loss_value", False), ("device_time", False), ("trainable_share", False),
        ("evaluator_acc", False), ("latest_score", False), ("interval", False), ("devices", False), ("contest", False),
    ],
)  # fmt: skip
def test_a_phase_is_a_word(name: str, says: bool) -> None:
    assert says_phase(name) == says


def test_the_phase_of_a_line_goes_before_names_that_only_sound_like_one(tmp_path: Path) -> None:
    line = "validation at step {} | device time: 1.5 | trainable share: 0.5 | latest score: 3 | loss value: 2\n"
    log = read(tmp_path, line.format(1) + line.format(2))
    names = ["val/device_time", "val/trainable_share", "val/latest_score", "val/loss_value"]
    assert log.metric.tolist() == 2 * names
    assert phase_of("the latest trainer on device 0 with evaluator") == ""


def test_a_unit_of_the_number_before_is_no_part_of_a_name() -> None:
    assert name_before(" tok/s grad norm: ", first=False) == "grad norm"
    assert name_before(" | ms per step: ", first=False) == "ms per step"
    assert name_before("GB allocated: ", first=True) == "GB allocated"


@pytest.mark.parametrize(
    ("line", "like", "metric"),
    [
        (
            "[2020-01-01 10:00:0{i}] Round {i}0 :: agents 12 :: quality 0.{i}5",
            "Round # :: agents # :: quality #",
            "quality",
        ),
        ("gen\t{i}\tbest fitness\t0.{i}5", "gen # best fitness #", "fitness"),
        ("<{i}0> (q=0.{i}5)", "<#> (q=#)", "q"),
        ("Processed {i},000 documents, mean score is 0.{i}5", "Processed # documents, mean score is #", "score"),
        (" {i}00: 0.{i}5, 3.5 avg loss, 0.001 rate, 6400 images", "#: #, # avg loss, # rate, # images", "value"),
        ("kimg {i}0 fid 0.{i}5ms", "kimg # fid #ms", "fid"),
    ],
)
def test_the_nearest_form_has_a_pattern_that_reads_it(line: str, like: str, metric: str, tmp_path: Path) -> None:
    lines = "".join(line.format(i=i) + "\nother words\n" for i in range(1, 6))
    read(tmp_path, lines)
    assert text_log.sniff(tmp_path) is None
    said = nearest_form(tmp_path)
    assert said is not None and said.startswith(f"text file log.txt: lines like {like!r} recur; read them with ")
    _, source, _, option = shlex.split(as_options(said).partition("read them with ")[2])
    assert source == "text_log"
    pattern = option.removeprefix("pattern=")
    assert said.endswith(f"source='text_log', pattern={pattern!r}"), "Python is told keywords"
    log = read(tmp_path, lines, pattern=pattern)
    assert set(log.metric) == {metric} and log.value.tolist() == [0.15, 0.25, 0.35, 0.45, 0.55]
    scale = log.step[0]
    assert log.step.tolist() == [scale * i for i in range(1, 6)] and not log.dropped


def test_where_nothing_counts_it_is_said_and_where_nothing_recurs_nothing_is(tmp_path: Path) -> None:
    read(tmp_path, "".join(f"loss: 0.{i}\n" for i in range(1, 6)))
    said = nearest_form(tmp_path)
    assert said == "text file log.txt: lines like 'loss: #' recur, but none of their numbers counts steps"
    read(tmp_path, "model: resnet\nlr: 0.1\n" * 5)
    assert nearest_form(tmp_path) is None
    assert nearest_form(tmp_path / "nowhere") is None


def test_the_phase_before_a_number_is_that_of_all_the_text_before_it() -> None:
    """The other road reads all of that text once more for each number; phases, names and rests of words vary."""
    rng = random.Random(0)
    words = ["train", "val", "Validation", "test", "latest", "_loss", "loss", " ", " ", ": ", "=", "/", ".", "a" * 50]
    found = []
    for _ in range(3000):
        pieces = ["".join(rng.choices(words, k=rng.randint(0, 4))) for _ in range(rng.randint(2, 12))]
        free = [i for i in range(len(pieces) - 1) if rng.random() < 0.7]
        said = [_PHASE_NAME.sub("", piece) if i in free else piece for i, piece in enumerate(pieces)]
        right = {i: phase_of("".join([*said[:i], pieces[i]])) for i in free}
        assert _phases(pieces, free) == right, pieces
        found += right.values()
    assert {"", "train", "val", "test"} == set(found)

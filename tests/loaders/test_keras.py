"""Logs of Keras: what its CSVLogger wrote, histories as JSON, and, where it is installed, Keras itself."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictdyn.loaders import keras
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.files.json_rows import CUT
from predictdyn.loaders.tables.logger_csv import NO_NUMBER

Samples = dict[str, Callable[[Path], Path]]


def rows(log: RunLog) -> list[tuple[str, float, float]]:
    return list(zip(log.metric.tolist(), log.step.tolist(), log.value.tolist(), strict=True))


def of(file: Path) -> RunLog:
    (item,) = keras.scan(file)
    return keras.read(item)


def test_a_csv_is_read_exactly(samples: Samples, tmp_path: Path) -> None:
    file = samples["keras"](tmp_path)
    log = of(file)
    assert len(log.value) == 3 * 4 + 2 * 2 and not log.dropped
    assert rows(log)[:2] == [("loss", 0, 4.928363800048828), ("mae", 0, 1.9123618602752686)]
    assert rows(log)[-1] == ("mae", 4, 1.792293119430542)
    file.write_bytes(file.read_bytes().replace(b",", b";"))
    assert rows(of(file)) == rows(log) and keras.sniff(tmp_path) == "Keras: 1 log by epoch"
    file.write_bytes(file.read_bytes()[:-3])
    assert len(of(file).value) == len(log.value) - 2 and of(file).dropped == {CUT: 1}


def test_histories_are_read_in_all_their_shapes(tmp_path: Path) -> None:
    history = {"loss": [2.5, math.nan, "1.5"], "val_loss": [2.75, None], "lr": [0.1, 0.1, 0.1]}
    file = tmp_path / "a.json"
    expected = [("loss", 0, 2.5), ("loss", 1, math.nan), ("loss", 2, 1.5), ("val_loss", 0, 2.75)]
    for content in (history, {"history": history}, {"history": history, "params": {"epochs": 10, "verbose": 0}}):
        file.write_text(json.dumps(content))
        log = of(file)
        assert repr(rows(log)[:4]) == repr([(name, float(step), value) for name, step, value in expected])
        assert log.dropped == {NO_NUMBER: 1} and keras.sniff(file)
        assert (log.planned, log.config.get("epochs")) == ((9, 10) if "params" in content else (None, None))
    file.write_text(json.dumps({"history": {"loss": [2, 1]}, "epoch": [5, 6]}))
    assert rows(of(file)) == [("loss", 5, 2), ("loss", 6, 1)]


def test_only_what_is_of_keras_is_seen_in_a_folder(samples: Samples, tmp_path: Path) -> None:
    others = {"a.csv": "epoch,val_loss,loss\n", "b.csv": "epoch,step,loss\n", "c.json": '{"loss": 1}', "d.json": "[",
              "e.json": '{"words": ["a"]}', "f.json": "{}", "g.csv": "", "h.json": '{"loss": ["a"]}'}  # fmt: skip
    for name, text in others.items():
        (tmp_path / name).write_text(text)
        assert keras.sniff(tmp_path / name) is None
    with pytest.raises(ValueError, match="no history of Keras"):
        keras.scan(tmp_path)
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        samples["keras"](tmp_path / name)
    assert [item.run for item in keras.scan(tmp_path)] == ["x/training", "y/training"]


def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    for name, text in (
        ("a.json", '{"loss": [1, 2'),
        ("b.json", '{"loss": 1}'),
        ("c.csv", "step,loss\n1,2\n"),
        ("d.csv", ""),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=name):
            keras.read(Item("x", (tmp_path / name,)))


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["loss", "history", "epoch", "params"]),
        st.recursive(
            st.none() | st.floats() | st.text(max_size=3),
            lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(["loss", "epochs"]), x, max_size=2),
        ),
    )
)
def test_any_json_is_read_or_said_in_one_line(tmp_path_factory: pytest.TempPathFactory, content: dict) -> None:
    file = tmp_path_factory.getbasetemp() / "any.json"
    file.write_text(json.dumps(content))
    try:
        log = of(file)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert len(log.metric) == len(log.step) == len(log.value)


@pytest.mark.skipif(find_spec("keras") is None, reason="keras is not installed")
@pytest.mark.filterwarnings("ignore")
def test_keras_writes_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    import keras as tool

    x = np.random.default_rng(0).random((8, 2))
    model = tool.Sequential([tool.layers.Dense(1)])
    model.compile(loss="mse", metrics=["mae"])
    logger = tool.callbacks.CSVLogger(str(tmp_path / "run.csv"))
    history = model.fit(x, x.sum(1), epochs=3, validation_split=0.5, verbose=0, callbacks=[logger])
    (tmp_path / "run.json").write_text(json.dumps({"history": history.history, "params": history.params}))
    expected = {(name, step, value) for name, values in history.history.items() for step, value in enumerate(values)}
    assert set(rows(of(tmp_path / "run.csv"))) == set(rows(of(tmp_path / "run.json"))) == expected
    assert of(tmp_path / "run.json").planned == 2


def test_a_bare_carriage_return_ends_a_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"epoch,loss\r0,1\r1,0.5\r")
    log = keras.read(Item("x", (tmp_path / "metrics.csv",)))
    assert (log.step.tolist(), log.value.tolist()) == ([0, 1], [1, 0.5])
    (tmp_path / "metrics.csv").write_bytes(b"los\rs,epoch\n0,1\n")
    with pytest.raises(ValueError, match=r"metrics\.csv(, line 1)?: no "):
        keras.read(Item("x", (tmp_path / "metrics.csv",)))

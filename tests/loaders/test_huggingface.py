"""States of the Hugging Face Trainer: resumed, branched, cut short; by the Trainer's own class where it is installed.

Without transformers the states are written by hand, with the fields and the layout (two blanks, sorted keys) of
``TrainerState.save_to_json`` of transformers 5.23.
"""

from __future__ import annotations

import json
import math
import os
import re
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictdyn import loaders
from predictdyn.loaders import huggingface
from predictdyn.loaders.engine.runlog import Item, RunLog

FIELDS = {
    "best_global_step": None, "best_metric": None, "epoch": 1.0, "eval_steps": 500, "is_local_process_zero": True,
    "logging_steps": 5, "num_train_epochs": 2, "save_steps": 10, "stateful_callbacks": {}, "total_flos": 0,
    "train_batch_size": 8, "trial_params": None,
}  # fmt: skip


def loss(step: int, value: float) -> dict[str, float]:
    return {"epoch": step / 10, "grad_norm": 1.5, "learning_rate": 1e-4 / step, "loss": value, "step": step}


def write(folder: Path, history: list, at: int, max_steps: int = 20, mtime: int | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    state = {**FIELDS, "global_step": at, "log_history": history, "max_steps": max_steps}
    file = folder / "trainer_state.json"
    file.write_text(json.dumps(state, indent=2, sort_keys=True) + "\n")
    if mtime is not None:
        os.utime(file, (mtime, mtime))
    return file


def only(path: Path) -> RunLog:
    (item,) = huggingface.scan(path)
    return huggingface.read(item)


def losses(log: RunLog) -> list[tuple[float, float, int]]:
    chosen = log.metric == "loss"
    return list(zip(log.step[chosen].tolist(), log.value[chosen].tolist(), log.segment[chosen].tolist(), strict=True))


def test_a_resumed_run_is_read_once_and_its_plan_is_known(tmp_path: Path) -> None:
    history = [loss(5, 2.5), {"eval_loss": 2.75, "epoch": 0.5, "step": 5}, loss(10, math.nan)]
    write(tmp_path / "out" / "checkpoint-5", history[:2], 5)
    write(tmp_path / "out" / "checkpoint-10", history, 10)
    summary = {"epoch": 1.0, "step": 12, "total_flos": 1e12, "train_loss": 2.25, "train_runtime": 60.5}
    write(tmp_path / "out", [*history, summary], 12)
    (tmp_path / "out" / "config.json").write_text('{"hidden_size": 64, "rope": {"theta": 1e4}, "architectures": ["X"]}')
    (tmp_path / "out" / "all_results.json").write_text('{"eval_loss": 1.0}')
    (item,) = huggingface.scan(tmp_path)
    assert item.run == "out" and [file.parent.name for file in item.files] == ["checkpoint-5", "checkpoint-10", "out"]
    log = huggingface.read(item)
    expected = [(name, row["step"], row[name]) for row in [*history, summary] for name in sorted(row) if name != "step"]
    got = list(zip(log.metric.tolist(), log.step.tolist(), log.value.tolist(), strict=True))
    assert repr(got) == repr([(name, float(step), float(value)) for name, step, value in expected])
    assert set(log.segment) == {0} and log.planned == 20 and not log.dropped
    assert log.config["hidden_size"] == 64 and log.config["rope/theta"] == 1e4 and log.config["num_train_epochs"] == 2
    assert not {"global_step", "best_metric", "total_flos", "eval_loss", "architectures"} & set(log.config)


@pytest.mark.parametrize("later", ["by time", "by step"])
def test_a_branch_that_was_written_later_is_a_new_start(later: str, tmp_path: Path) -> None:
    old = [loss(5, 2.5), loss(10, 9.5), loss(15, 9.0)]
    new = [loss(5, 2.5), loss(10, 2.0)]
    first, second = (1000, 2000) if later == "by time" else (1000, 1000)
    write(tmp_path / "run" / "checkpoint-5", old[:1], 5, mtime=500)
    write(tmp_path / "run" / "checkpoint-15", old, 15, mtime=first)
    if later == "by time":
        write(tmp_path / "run" / "checkpoint-10", new, 10, mtime=second)
        expected = [(5, 2.5, 0), (10, 9.5, 0), (15, 9.0, 0), (10, 2.0, 1)]
    else:
        write(tmp_path / "run" / "checkpoint-20", [*new, loss(20, 1.5)], 20, mtime=second)
        expected = [(5, 2.5, 0), (10, 9.5, 0), (15, 9.0, 0), (10, 2.0, 1), (20, 1.5, 1)]
    assert losses(only(tmp_path)) == expected
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        curves = huggingface.load(tmp_path)
    assert "1 restart(s) merged, later wins, in run" in [str(line.message) for line in said]
    points = curves.points[curves.points["metric"] == "loss"]
    assert points[["step", "value"]].to_numpy().tolist() == [[5, 2.5], [10, 2.0], *([[20, 1.5]] * (later == "by step"))]


def test_runs_are_named_by_their_folders(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x" / "checkpoint-5", [loss(5, 1)], 5)
    write(tmp_path / "b", [loss(5, 1)], 5)
    write(tmp_path / ".cache", [loss(5, 1)], 5)
    assert [item.run for item in huggingface.scan(tmp_path)] == ["a/x", "b"]
    for path in (tmp_path / "a" / "x", tmp_path / "a" / "x" / "checkpoint-5"):
        assert [item.run for item in huggingface.scan(path)] == ["x"]
        assert [item.run for item in huggingface.scan(next(path.rglob("*.json")))] == ["x"]
    assert huggingface.sniff(tmp_path) == "Hugging Face Trainer: 2 runs, 2 trainer_state.json"
    assert (
        huggingface.sniff(tmp_path / "b" / "trainer_state.json")
        and huggingface.sniff(tmp_path / ".cache" / "x") is None
    )


def test_a_state_cut_anywhere_gives_its_whole_rows(tmp_path: Path) -> None:
    history = [loss(5, 2.5), loss(10, 2.25), {"eval_loss": math.nan, "step": 10}]
    file = write(tmp_path, history, 10)
    text = file.read_text()
    begin = text.index('"log_history": [')
    ends = [i for i, sign in enumerate(text) if sign == "}" and i > begin][:3]
    for end in range(len(text.rstrip())):
        file.write_text(text[:end])
        if end < begin + len('"log_history": ['):
            with pytest.raises(ValueError, match="trainer state"):
                only(tmp_path)
        else:
            log = only(tmp_path)
            assert len(log.value) == sum(n for n, stop in zip((4, 4, 1), ends, strict=True) if stop < end)
            assert log.dropped == {huggingface.CUT: 1}


def test_a_checkpoint_that_was_killed_costs_no_more_than_itself(tmp_path: Path) -> None:
    write(tmp_path / "checkpoint-5", [loss(5, 2.5)], 5)
    for number, raw in ((10, b""), (15, b"\xff\x00")):
        (tmp_path / f"checkpoint-{number}").mkdir()
        (tmp_path / f"checkpoint-{number}" / "trainer_state.json").write_bytes(raw)
    log = only(tmp_path)
    assert losses(log) == [(5, 2.5, 0)] and log.planned == 20 and log.dropped == {huggingface.UNREAD: 2}


def test_what_is_no_number_or_has_no_step_is_counted(tmp_path: Path) -> None:
    write(
        tmp_path, [{"loss": 1}, {"step": 5, "loss": "2.5", "ok": True, "none": None, "a": [1], "b": 10**400}, 7], 5, -1
    )
    log = only(tmp_path)
    assert not len(log.value) and log.planned is None
    assert log.dropped == {huggingface.NO_STEP: 1, huggingface.NO_NUMBER: 4}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_change_of_a_state_is_read_or_said_in_one_line(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    file = write(folder, [loss(5, 2.5), loss(10, 2.25)], 10)
    raw = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    file.write_bytes(raw)
    try:
        log = only(folder)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert len(log.metric) == len(log.step) == len(log.value)


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
@pytest.mark.filterwarnings("ignore")
def test_the_class_of_the_trainer_writes_what_is_read(tmp_path: Path) -> None:
    from transformers.trainer_callback import TrainerState

    state = TrainerState(max_steps=40, num_train_epochs=3, train_batch_size=16)
    for step in range(1, 31):
        state.log_history.append({"loss": 3 / step, "grad_norm": math.nan if step == 7 else 1 / 3, "step": step})
        state.global_step = step
        if step % 10 == 0:
            (tmp_path / f"checkpoint-{step}").mkdir()
            state.save_to_json(str(tmp_path / f"checkpoint-{step}" / "trainer_state.json"))
    log = only(tmp_path)
    assert losses(log) == [(step, 3 / step, 0) for step in range(1, 31)]
    assert log.planned == 40 and log.config["train_batch_size"] == 16 and not log.dropped


def test_nothing_here_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no trainer_state\.json"):
        huggingface.scan(tmp_path)
    with pytest.raises(ValueError, match="no such file"):
        huggingface.scan(tmp_path / "absent")
    (tmp_path / "trainer_state.json").write_text("[1]")
    with pytest.raises(ValueError, match="log_history"):
        huggingface.read(Item("x", (tmp_path / "trainer_state.json",)))


def test_a_cut_state_alone_is_found_and_read_under_any_name(tmp_path: Path) -> None:
    """No other source may claim it; and as folder or file, whole or minified, it has the same rows."""
    whole = write(tmp_path / "whole", [loss(5, 2.5), loss(10, 2.25), loss(15, 2.0)], 15).read_text()
    state = json.loads(whole)
    texts = {"cut": whole[: whole.index('"loss": 2.0')], "dense": json.dumps(state)[: json.dumps(state).index("2.0")]}
    for kind, text in texts.items():
        for name in ("trainer_state.json", "copy_of_run7.json"):
            file = tmp_path / kind / name.removesuffix(".json") / name
            file.parent.mkdir(parents=True)
            file.write_text(text)
            for path in (file, file.parent):
                assert loaders.detect(path).source == "huggingface"
                log = only(path)
                assert losses(log) == [(5, 2.5, 0), (10, 2.25, 0)] and log.dropped == {huggingface.CUT: 1}
                assert log.run == ("trainer_state" if name == "trainer_state.json" else "copy_of_run7")


def test_a_plan_before_the_cut_is_known(tmp_path: Path) -> None:
    rows = json.dumps([loss(5, 2.5), loss(10, 2.25)], indent=1)
    (tmp_path / "state.json").write_text('{\n "max_steps": 40,\n "log_history": ' + rows[:-20])
    log = only(tmp_path / "state.json")
    assert (losses(log), log.planned) == ([(5, 2.5, 0)], 40)


def test_a_log_history_by_itself_is_a_run(tmp_path: Path) -> None:
    rows = [loss(5, 2.5), {"eval_loss": 2.75, "epoch": 0.5, "step": 5}, loss(10, 2.25)]
    for run in ("a", "b"):
        (tmp_path / f"{run}.json").write_text(json.dumps(rows))
    (tmp_path / "tokens.json").write_text('[{"id": 5, "text": "x"}]')
    assert loaders.detect(tmp_path).source == loaders.detect(tmp_path / "a.json").source == "huggingface"
    assert [item.run for item in huggingface.scan(tmp_path)] == ["a", "b"]
    assert losses(only(tmp_path / "a.json")) == [(5, 2.5, 0), (10, 2.25, 0)]
    (tmp_path / "a.json").write_text(json.dumps(rows)[:-9])
    assert losses(only(tmp_path / "a.json")) == [(5, 2.5, 0)]


def test_a_copy_beside_the_state_is_no_second_run(tmp_path: Path) -> None:
    write(tmp_path, [loss(5, 2.5), loss(10, 2.25)], 10)
    (tmp_path / "trainer_state_old.json").write_text(json.dumps({"log_history": [loss(5, 2.5)]}))
    assert losses(only(tmp_path)) == [(5, 2.5, 0), (10, 2.25, 0)]


def test_a_damaged_byte_costs_the_rows_from_there_on(tmp_path: Path) -> None:
    file = write(tmp_path, [loss(5, 2.5), loss(10, 2.25), loss(15, 2.0)], 15)
    raw = file.read_bytes()
    place = raw.index(b"grad_norm", raw.index(b"2.5"))
    file.write_bytes(raw[:place] + b"\xff\xfe\x00" + raw[place + 3 :])
    file.write_bytes(file.read_bytes().replace(b'"loss": 2.0', b'"loss": \xff', 1))
    log = only(tmp_path)
    assert losses(log)[0] == (5, 2.5, 0) and log.dropped[huggingface.CUT] == 1


def test_rows_without_any_step_are_at_one_place(tmp_path: Path) -> None:
    rows = [{"loss": 2.5 - i / 10, "learning_rate": 0.1} for i in range(4)]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": rows}))
    assert losses(only(tmp_path)) == [(0, 2.5, 0), (0, 2.4, 0), (0, 2.3, 0), (0, 2.2, 0)]


@pytest.mark.parametrize(("counter", "at", "stopped"), [(3, 10, "early stopping"), (2, 10, ""), (3, 20, "")])
def test_early_stopping_before_the_planned_end_is_said(tmp_path: Path, counter: int, at: int, stopped: str) -> None:
    callback = {
        "args": {"early_stopping_patience": 3, "early_stopping_threshold": 0.0},
        "attributes": {"early_stopping_patience_counter": counter},
    }
    control = {"args": {"should_training_stop": True}, "attributes": {}}
    file = write(tmp_path, [loss(5, 2.5), loss(at, 2.25)], at)
    for callbacks in (callback, [{"args": {}, "attributes": {}}, callback]):
        state = json.loads(file.read_text())
        state["stateful_callbacks"] = {"EarlyStoppingCallback": callbacks, "TrainerControl": control}
        file.write_text(json.dumps(state))
        log = only(tmp_path)
        assert (log.stopped, log.planned, log.study) == (stopped, 20, "")


def test_several_evaluation_sets_at_one_step_are_all_there(tmp_path: Path) -> None:
    """Case 28: each row has the epoch again, always the same; the reader keeps the repeats, equal as they are."""
    rows = [
        {"epoch": float(step // 50), f"eval_{name}_loss": 3 - step / 100 + i / 10, "step": step}
        for step in (0, 50, 100)
        for i, name in enumerate(("en", "de", "fr"))
    ]
    write(tmp_path, rows, 100)
    log = only(tmp_path)
    assert log.value[log.metric == "eval_fr_loss"].tolist() == pytest.approx([3.2, 2.7, 2.2])
    assert log.value[log.metric == "epoch"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        points = huggingface.load(tmp_path, last_step=100).points
    assert points.groupby("metric").size().to_dict() == {f"eval_{name}_loss": 3 for name in ("en", "de", "fr")}


def test_equal_lengths_alone_make_no_family_of_all_runs(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / f"run{i}", [loss(5, 1.0 + i), loss(10, 0.9 + i)], 10)
    assert loaders.load(tmp_path, "huggingface").runs["family"].nunique() == 4


def test_a_model_config_alone_makes_no_family_of_other_names_or_rates(tmp_path: Path) -> None:
    runs = [("sft-14m-lr0.1", 1.0), ("sft-14m-lr0.2", 1.0), ("sft-70m-lr0.1", 1.0), ("run1", 1.0), ("run2", 2.0)]
    for i, (name, rate) in enumerate([*runs, ("run3", 1.0)]):
        history = [loss(5, 1.0 + i), loss(10, 0.9 + i)]
        write(tmp_path / name / "checkpoint-10", [{**row, "learning_rate": rate / row["step"]} for row in history], 10)
        (tmp_path / name / "checkpoint-10" / "config.json").write_text('{"hidden_size": 512, "model_type": "gpt_neox"}')
    family = loaders.load(tmp_path, "huggingface").runs["family"]
    assert family["run1"] == family["run3"]
    assert family.nunique() == 5


def test_one_family_by_equal_settings_is_told_and_a_table_of_runs_splits_it(tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path / f"run{i}", [loss(5, 1.0 + i), loss(10, 0.9 + i)], 10)
        (tmp_path / f"run{i}" / "config.json").write_text('{"hidden_size": 512}')
    with pytest.warns(UserWarning, match=r"all 3 runs fall into one family \(run0\), by their names and settings;"):
        assert loaders.load(tmp_path, "huggingface").runs["family"].nunique() == 1
    table = tmp_path / "plan.csv"
    table.write_text("run,peak_lr,seed,what\nrun0,1e-3,1,a\nrun1,3e-3,2,b\nrun2,1e-3,3,c\n")
    family = loaders.load(tmp_path, "huggingface", runs_file=str(table)).runs["family"]
    assert family.tolist() == ["run0", "run1", "run0"]


def test_hints_name_only_options_that_the_source_has(tmp_path: Path) -> None:
    """There are no columns here that could tell runs apart."""
    history = [loss(5, 3.0), loss(10, 2.5), loss(10, 2.0), loss(15, 1.75)]
    write(tmp_path / "run", history, 15, max_steps=15)
    with pytest.warns(UserWarning) as caught:
        huggingface.load(tmp_path)
    said = [str(one.message) for one in caught]
    assert any("1 value(s) of loss lost: their step has several values, and the last one counts; merge='no'" in line
               for line in said)  # fmt: skip
    with pytest.raises(ValueError, match="step 10 has another value than before") as contradicted:
        huggingface.load(tmp_path, merge="no")
    write(tmp_path / "run", [{"loss": float(i), "step": 5 + 5 * (i // 4)} for i in range(8)], 10)
    with pytest.raises(ValueError, match=r"no points found.*steps have several values") as refused:
        huggingface.load(tmp_path)
    known = {option.name for option in huggingface.SOURCE.options}
    for line in (*said, str(contradicted.value), str(refused.value)):
        assert set(re.findall(r"(\w+)=", line)) <= known

"""JSON lines as OLMo, LLM-foundry and Composer name their metrics; written by hand, with names from their sources."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictdyn.loaders import olmo
from predictdyn.loaders.engine.runlog import Item, RunLog

OLMO = [
    {"config": {"max_steps": 100, "model": {"d_model": 64}}},
    {"step": 1, "train/CrossEntropyLoss": 11.25, "optim/learning_rate_group0": 1e-4, "System/Peak GPU Memory (MB)": 9},
    {"step": 2, "eval/c4_en-validation/CrossEntropyLoss": math.nan, "eval": {"downstream": {"piqa_len_norm": 0.75}}},
]
FOUNDRY = [
    {
        "trainer/batches": i,
        "metrics/train/LanguageCrossEntropy": 3.0 / i,
        "lr-DecoupledAdamW/group0": 1e-4,
        "done": True,
    }
    for i in (1, 2)
]


def write(file: Path, rows: list[dict]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def of(path: Path) -> RunLog:
    (item,) = olmo.scan(path)
    return olmo.read(item)


def rows(log: RunLog) -> str:
    return repr(list(zip(log.metric.tolist(), log.step.tolist(), log.value.tolist(), strict=True)))


def test_both_are_read_exactly(tmp_path: Path) -> None:
    log = of(write(tmp_path / "a.jsonl", OLMO))
    assert rows(log) == repr(
        [
            ("train/CrossEntropyLoss", 1.0, 11.25), ("optim/learning_rate_group0", 1.0, 1e-4),
            ("System/Peak GPU Memory (MB)", 1.0, 9.0), ("eval/c4_en-validation/CrossEntropyLoss", 2.0, math.nan),
            ("eval/downstream/piqa_len_norm", 2.0, 0.75),
        ]
    )  # fmt: skip
    assert log.planned == 100 and log.config == {"max_steps": 100, "model/d_model": 64} and not log.dropped
    log = of(write(tmp_path / "b.jsonl", [{"config": {"max_duration": "4800ba"}}, *FOUNDRY]))
    names = ("metrics/train/LanguageCrossEntropy", "lr-DecoupledAdamW/group0")
    assert rows(log) == repr([(name, float(i), (3.0 / i, 1e-4)[name == names[1]]) for i in (1, 2) for name in names])
    assert log.planned == 4800


def test_only_such_names_are_seen(tmp_path: Path) -> None:
    write(tmp_path / "other.jsonl", [{"step": 1, "loss": 2.5}])
    assert olmo.sniff(tmp_path) is None and olmo.sniff(tmp_path / "other.jsonl") is None
    write(tmp_path / "run.jsonl", FOUNDRY)
    assert olmo.sniff(tmp_path) == "JSON lines of OLMo, LLM-foundry or Composer: 1 run"
    assert [item.run for item in olmo.scan(tmp_path)] == ["run"]


def test_a_log_cut_anywhere_gives_its_whole_lines(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", OLMO)
    raw, whole = file.read_bytes(), of(file)
    stops = [i for i, sign in enumerate(raw) if sign == 10]
    for end in range(len(raw)):
        file.write_bytes(raw[:end])
        log = olmo.read(Item("a", (file,)))
        full = sum(end >= stop for stop in stops)
        assert len(log.value) == (0, 0, 3, 5)[full] and rows(log) == rows(whole)[: len(rows(log)) - 1] + "]"
        assert log.dropped == ({olmo.CUT: 1} if end not in [0, *stops, *(stop + 1 for stop in stops)] else {})


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.binary(max_size=8) | st.sampled_from([b"\n", b'{"step": 1, "train/x": 2}', b'{"step": ', b"[1]", b"}"]),
        max_size=12,
    )
)
def test_any_bytes_are_read(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    file = tmp_path_factory.getbasetemp() / "any.jsonl"
    file.write_bytes(b"".join(parts))
    log = olmo.read(Item("x", (file,)))
    assert len(log.metric) == len(log.step) == len(log.value)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [*OLMO, {"note": 1}, {"config": {"x": 1}}])
    file.write_text(file.read_text() + '[1]\nno\n{"step": 1e999, "train/x": 1, "a": "b"}\n')
    log = olmo.read(Item("a", (file,)))
    assert log.dropped == {olmo.NO_STEP: 2, olmo.NO_OBJECT: 2}

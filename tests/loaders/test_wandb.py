"""W&B: files of its own writer, files made by hand from its format, damaged ones, and a server that is a fake."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictdyn.loaders import wandb
from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.wandb import file as wandb_file
from predictdyn.loaders.wandb import server as wandb_server
from predictdyn.loaders.wandb.leveldb_log import BLOCK, CUT, DAMAGED, log_of

SCRIPT = """
import sys, wandb
quiet = wandb.Settings(x_disable_stats=True, console="off", silent=True)
for first in (0, 3):
    run = wandb.init(project="p", name="alpha", id="abc", settings=quiet,
                     config={"lr": 1e-3, "opt": {"name": "adam", "betas": [0.9, 0.99]}})
    for i in range(first, 5):
        run.log({"loss": 1 / (i + 1 + first), "acc": float("nan") if i == 2 else i / 10, "eval": {"a": {"b": i}},
                 "up": float("inf"), "word": "hello", "flag": True, "none": None, "list": [1], "pi": 3.141592653589793,
                 "tiny": 5e-324, "bars": wandb.Histogram([1, 2, 3])}, step=10 * i)
    run.config.update({"late": 2})
    run.finish(exit_code=first)
"""


def field(number: int, content: bytes | int) -> bytes:
    """One field of a message, written by hand."""

    def varint(value: int) -> bytes:
        return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + varint(value >> 7)

    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def item(name: str, value: object, *, nested: bool = True) -> bytes:
    keys = b"".join(field(2, key.encode()) for key in name.split("/")) if nested else field(1, name.encode())
    return keys + field(16, json.dumps(value).encode())


def history(step: int, cells: Mapping[str, object]) -> bytes:
    return field(2, b"".join(field(1, item(*cell)) for cell in cells.items()) + field(2, field(1, step)))


def run(name: str, key: str, started: int, config: Mapping[str, object] = {}) -> bytes:
    settled = b"".join(field(1, item(*cell)) for cell in config.items())
    return field(
        17, field(1, key.encode()) + field(4, settled) + field(8, name.encode()) + field(17, field(1, started))
    )


def written(records: list[bytes]) -> bytes:
    """Records in blocks, as the format has them."""
    raw = bytearray(b":W&B\xe1\xbe\x00")
    for record in records:
        rest, first = record, True
        while rest or first:
            left = BLOCK - len(raw) % BLOCK
            if left < 7:
                raw += bytes(left)
                continue
            part, rest = rest[: left - 7], rest[left - 7 :]
            kind = (1 if not rest else 2) if first else (4 if not rest else 3)
            raw += struct.pack("<IHB", zlib.crc32(bytes([kind]) + part), len(part), kind) + part
            first = False
    return bytes(raw)


def cells(log: RunLog) -> list[tuple[object, ...]]:
    value = map(repr, log.value.tolist())  # NaN is equal to NaN as text
    return sorted(zip(log.segment.tolist(), log.step.tolist(), log.metric.tolist(), value, strict=True))


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which W&B has logged one run, and resumed it."""
    pytest.importorskip("wandb")
    folder = tmp_path_factory.mktemp("offline")
    own = {f"WANDB_{name}": str(folder / name.lower()) for name in ("CACHE_DIR", "CONFIG_DIR", "DATA_DIR")}
    env = os.environ | own | {"WANDB_DIR": str(folder), "WANDB_MODE": "offline"}
    subprocess.run([sys.executable, "-c", SCRIPT], cwd=folder, env=env, check=True, capture_output=True, timeout=300)
    return folder


def test_what_wandb_writes_is_read_to_the_last_bit(offline: Path) -> None:
    (found,) = wandb.scan(offline)
    assert (found.run, found.key, len(found.files)) == ("alpha", "abc", 2)
    assert wandb.sniff(offline) == "W&B: 2 .wandb files"
    log = wandb.read(found)
    expected = []
    for segment, first in enumerate((0, 3)):
        for i in range(first, 5):
            acc = float("nan") if i == 2 else i / 10
            told = {"loss": 1 / (i + 1 + first), "acc": acc, "eval/a/b": float(i), "up": float("inf"), "pi": np.pi}
            expected += [(segment, 10.0 * i, name, repr(value)) for name, value in (told | {"tiny": 5e-324}).items()]
    assert [cell for cell in cells(log) if cell[2] != "_runtime"] == sorted(expected)
    kinds = ("text", "true or false", "null", "list", "histogram")
    assert log.dropped == {f"{kind} value(s)": 7 for kind in kinds}
    assert log.config == {"lr": 1e-3, "opt/name": "adam", "opt/betas": [0.9, 0.99], "late": 2}
    assert log.events == [(40.0, "ended with exit code 3")] and log.stopped == "exit code 3"
    assert (np.diff(log.wall) >= 0).all() and log.wall[0] > 1.7e9


def test_files_of_one_run_follow_each_other_by_their_start(tmp_path: Path) -> None:
    for folder, started in (("z", 5), ("a", 9)):
        (tmp_path / folder).mkdir()
        records = [run("same", "one", started, {"lr": started}), history(started, {"loss": 1 / started})]
        (tmp_path / folder / "run-one.wandb").write_bytes(written(records))
    (tmp_path / "run-two.wandb").write_bytes(written([run("same", "two", 1), history(1, {"loss": 3.0})]))
    (tmp_path / "latest-run").symlink_to(tmp_path / "a")
    logs = {found.run: wandb.read(found) for found in wandb.scan(tmp_path)}
    assert list(logs) == ["same one", "same two"]
    assert cells(logs["same one"]) == [(0, 5.0, "loss", repr(1 / 5)), (1, 9.0, "loss", repr(1 / 9))]
    assert logs["same one"].config == {"lr": 9}


def test_items_of_every_type_and_parts_of_media(tmp_path: Path) -> None:
    typed = [
        field(1, b"typed/number") + bytes([6 << 3 | 1]) + struct.pack("<d", 0.1),
        field(1, b"typed/integer") + field(5, 9),
        field(1, b"typed/json") + field(8, b'{"a": 2.5}'),
        field(1, b"typed/none"),
        item("plain.key", 7.5, nested=False),
        item("x" * 130, 8.5),  # its length is written like the field of the value
    ]
    image = {"image/_type": "image-file", "image/size": 100, "image/path": "a.png", "table": {"_type": "table", "n": 1}}
    first = field(2, b"".join(field(1, one) for one in typed) + field(2, b""))
    removed = field(5, field(1, item("lr", {"a": 1, "b": 2})) + field(2, item("old", None)))
    records = [
        run("r", "r", 1, {"lr": 1, "old": 2, "_wandb": {"x": 1}}),
        removed,
        first,
        history(3, image | {"_step": 3}),
    ]
    (tmp_path / "run-r.wandb").write_bytes(written(records))
    log = wandb.read(wandb.scan(tmp_path / "run-r.wandb")[0])
    assert dict(zip(log.metric, log.value, strict=True)) == {
        "typed/number": 0.1, "typed/integer": -5, "typed/json/a": 2.5, "plain.key": 7.5, "x" * 130: 8.5,
    }  # fmt: skip
    assert set(log.step) == {0.0}
    assert log.dropped == {"null value(s)": 1, "image-file value(s)": 1, "table value(s)": 1}
    assert log.config == {"lr/a": 1, "lr/b": 2}


def test_records_over_several_blocks(tmp_path: Path) -> None:
    # The first fills its block but for 7 bytes, so that the next begins with a chunk without data.
    sizes = (BLOCK - 7 - 7 - 7, 10, 2 * BLOCK + 5, 0, BLOCK - 20, 3)
    records = [bytes([i]) * size for i, size in enumerate(sizes)]
    raw = written(records)
    assert log_of(raw).records == records and not log_of(raw).dropped
    log = log_of(raw + bytes(5000))  # a block that was reserved
    assert log.records == records and not log.dropped


def sample() -> tuple[list[bytes], bytes]:
    records = [run("r", "r", 1), *(history(i, {"loss": i / 3, "_timestamp": 1e9 + i}) for i in range(5))]
    return records, written(records)


def test_cut_at_every_byte_it_keeps_all_whole_records() -> None:
    records, raw = sample()
    ends = 7 + np.cumsum([7 + len(record) for record in records])
    for cut in range(len(raw) + 1):
        file = wandb_file.read_file(raw[:cut])
        assert [row.step for row in file.rows] == [*range(max(int((ends <= cut).sum()) - 1, 0))]
        assert file.dropped == ({} if cut <= 7 or cut in ends else {CUT: 1})


def test_every_changed_byte_is_noticed() -> None:
    records, raw = sample()
    for place in range(7, len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 0x55
        log = log_of(bytes(changed))
        assert set(log.records) < set(records) and sum(log.dropped.values()) >= 1
        assert set(log.dropped) <= {DAMAGED, CUT}


def test_a_block_that_is_lost_is_all_that_is_lost() -> None:
    records = [field(1, i) + bytes(600) for i in range(200)]
    raw = bytearray(written(records))
    raw[BLOCK : 2 * BLOCK] = b"\xff" * BLOCK
    log = log_of(bytes(raw))
    kept = [records.index(record) for record in log.records]
    assert kept == [*range(53), *range(108, 200)] and log.dropped == {DAMAGED: 2}


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file of W&B"):
        wandb.scan(tmp_path)
    with pytest.raises(ValueError, match="no such file or folder"):
        wandb.scan(tmp_path / "nowhere")
    assert wandb.sniff(tmp_path) is None
    (tmp_path / "run-x.wandb").write_bytes(b"something else")
    (found,) = wandb.scan(tmp_path)
    assert found.run == "x"
    with pytest.raises(ValueError, match=r"run-x.wandb: not a .wandb file: it begins with b'someth'"):
        wandb.read(found)
    (tmp_path / "run-x.wandb").write_bytes(b"")
    assert len(wandb.read(found).value) == 0


@given(st.binary(max_size=200) | st.builds(lambda a, b: field(2, field(1, a + field(16, b))), st.binary(), st.binary()))
@settings(max_examples=200, deadline=None)
def test_any_bytes_as_a_record_raise_nothing(junk: bytes) -> None:
    good = history(1, {"loss": 0.5})
    rows = wandb_file.read_file(written([junk, good])).rows
    assert (rows[-1].step, rows[-1].names, rows[-1].values) == (1.0, ["loss"], [0.5])


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_mutations_of_a_file_are_one_line_at_worst(data: st.DataObject) -> None:
    bad = bytearray(sample()[1])
    for _ in range(data.draw(st.integers(1, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    try:
        file = wandb_file.read_file(bytes(bad))
    except ValueError as error:
        assert str(error).startswith("not a .wandb file") and "\n" not in str(error)
    else:
        assert len(file.rows) <= 5


def test_json_with_too_many_levels_is_counted() -> None:
    deep = field(2, field(1, field(2, b"a") + field(16, b'{"a":' * 100_000)))
    assert wandb_file.read_file(written([deep])).dropped == {wandb_file.BAD_RECORD: 1}


class Api:
    """A server with two runs of one name, as far as the client is used."""

    def __init__(self) -> None:
        rows: list[dict[str, object]] = [
            {"_step": 0, "_timestamp": 1e9, "loss": 2.0, "acc": None},
            {"_step": 5, "_timestamp": 2e9, "loss": "NaN", "eval": {"acc": 0.5}, "plot": {"_type": "image-file"}},
        ]
        self.rows = rows

    def run(self, path: str) -> SimpleNamespace:
        entity, project, key = path.split("/")
        if (entity, project) != ("me", "speed"):
            raise RuntimeError(f"could not find\nproject {project}")

        def scan_history() -> Iterator[dict[str, object]]:
            yield from self.rows

        config = {"opt": {"lr": 0.1}, "_wandb": {}}
        about = {"state": "crashed", "sweep_name": "k3x" if key == "b" else None}
        return SimpleNamespace(id=key, name="same", config=config, scan_history=scan_history, **about)

    def runs(self, path: str) -> list[SimpleNamespace]:
        return [self.run(f"{path}/{key}") for key in ("a", "b")]


def test_a_server_is_asked_for_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb_server, "client", Api)
    found = wandb.scan(Path("wandb://me/speed"))
    assert [(one.run, one.key) for one in found] == [("same a", "me/speed/a"), ("same b", "me/speed/b")]
    assert wandb.sniff(Path("wandb://me/speed")) == "runs of a W&B server: me/speed"
    (one,) = wandb.scan(Path("wandb://me/speed/b"))
    log = wandb.read(one)
    assert cells(log) == [(0, 0.0, "loss", "2.0"), (0, 5.0, "eval/acc", "0.5"), (0, 5.0, "loss", "nan")]
    assert log.wall.tolist() == [1e9, 2e9, 2e9] and log.config == {"opt/lr": 0.1}
    assert log.dropped == {"image-file value(s)": 1} and log.events == [(5.0, "crashed")]
    assert (log.stopped, log.study, wandb.read(found[0]).study) == ("crashed", "k3x", "")
    with pytest.raises(ValueError, match=r"wandb:/me/other: could not find project other"):
        wandb.scan(Path("wandb://me/other"))


def test_a_server_without_the_client_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match="pip install wandb"):
        wandb.scan(Path("wandb://me/speed"))


EXIT = 18  # of a record


@pytest.mark.parametrize(
    ("ends", "stopped"),
    [
        ([[field(EXIT, field(1, 0))]], ""),
        ([[field(EXIT, b"")]], ""),  # the code 0 is not written
        ([[field(EXIT, field(1, 255))]], "exit code 255"),
        ([[]], "crashed or running"),
        ([[], [field(EXIT, b"")]], ""),  # it crashed, was resumed and finished
        ([[field(EXIT, field(1, 1))], []], "crashed or running"),
    ],
)
def test_how_the_last_file_ends_says_whether_the_run_was_stopped(
    tmp_path: Path, ends: list[list[bytes]], stopped: str
) -> None:
    for i, end in enumerate(ends):
        records = [run("r", "r", 1 + i), history(1 + i, {"loss": 0.5}), *end]
        (tmp_path / f"run-r{i}.wandb").write_bytes(written(records))
    (found,) = wandb.scan(tmp_path)
    assert wandb.read(found).stopped == stopped


@pytest.mark.parametrize(("state", "stopped"), [("finished", ""), ("running", "running"), ("killed", "killed")])
def test_the_state_on_a_server_says_whether_it_was_stopped(
    monkeypatch: pytest.MonkeyPatch, state: str, stopped: str
) -> None:
    class One(Api):
        def run(self, path: str) -> SimpleNamespace:
            return SimpleNamespace(**vars(super().run(path)) | {"state": state})

    monkeypatch.setattr(wandb_server, "client", One)
    (one,) = wandb.scan(Path("wandb://me/speed/a"))
    assert wandb.read(one).stopped == stopped


def test_rows_without_any_step_are_at_one_place(tmp_path: Path) -> None:
    rows = [
        field(2, b"".join(field(1, item(*cell)) for cell in (("loss", i / 2), ("_timestamp", i)))) for i in range(4)
    ]
    (tmp_path / "run-r.wandb").write_bytes(written([run("r", "r", 1), *rows]))
    log = wandb.read(wandb.scan(tmp_path)[0])
    assert (log.step.tolist(), log.value.tolist(), log.wall.tolist()) == ([0] * 4, [0, 0.5, 1, 1.5], [0, 1, 2, 3])
    assert not log.dropped


def test_a_file_that_cannot_be_read_fails_no_other(tmp_path: Path) -> None:
    (tmp_path / "run-good.wandb").write_bytes(sample()[1])
    (tmp_path / "run-bad.wandb").write_bytes(b"\x00" * 100)
    (tmp_path / "run-folder.wandb").mkdir()
    os.mkfifo(tmp_path / "run-pipe.wandb")
    found = {one.run: one for one in wandb.scan(tmp_path)}
    assert set(found) == {"r", "bad"} and len(wandb.read(found["r"]).value) == 5
    with pytest.raises(ValueError, match=r"not a \.wandb file"):
        wandb.read(found["bad"])

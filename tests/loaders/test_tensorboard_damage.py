"""Damaged event files: all that is whole is read, all else is counted, and nothing raises."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.proto.tensor_pb2 import TensorProto
from tensorboardX.record_writer import masked_crc32c

from predictdyn.loaders import tensorboard
from predictdyn.loaders.tensorboard.file import CUT, DAMAGED, LOST, NO_EVENT, EventFile, read_events


def event(step: int, **value: object) -> bytes:
    return Event(wall_time=1.5, step=step, summary=Summary(value=[Summary.Value(**value)])).SerializeToString()


def framed(data: bytes) -> bytes:
    """A record with the right sums."""
    size = struct.pack("<Q", len(data))
    return size + struct.pack("<I", masked_crc32c(size)) + data + struct.pack("<I", masked_crc32c(data))


def told(file: EventFile) -> list[tuple[object, ...]]:
    return list(zip(file.scalars.tag.tolist(), file.scalars.step.tolist(), file.scalars.value.tolist(), strict=True))


VERSION = Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString()
POINTS = [("ab"[i % 2], float(i), float(np.float32(i / 3))) for i in range(20)]
RECORDS = [framed(data) for data in [VERSION, *(event(int(step), tag=tag, simple_value=v) for tag, step, v in POINTS)]]
RAW = b"".join(RECORDS)


def test_cut_at_every_byte_it_keeps_all_whole_records() -> None:
    ends = np.cumsum([len(record) for record in RECORDS])
    for cut in range(len(RAW) + 1):
        file = read_events(RAW[:cut])
        assert told(file) == POINTS[: max(int((ends <= cut).sum()) - 1, 0)]
        assert file.dropped == ({} if cut in (0, *ends) else {CUT: 1})


def test_every_changed_byte_is_noticed() -> None:
    for place in range(len(RECORDS[0]), len(RAW)):
        raw = bytearray(RAW)
        raw[place] ^= 0x55
        file = read_events(bytes(raw))
        assert set(told(file)) < set(POINTS)
        assert sum(file.dropped.values()) >= 1 and set(file.dropped) <= {DAMAGED, LOST}


def test_one_damaged_record_is_all_that_is_lost() -> None:
    raw = bytearray(RAW)
    raw[len(RAW) // 2] ^= 1
    assert len(told(read_events(bytes(raw)))) == 19 and read_events(bytes(raw)).dropped == {DAMAGED: 1}


def test_a_record_that_is_no_event_is_counted() -> None:
    file = read_events(framed(b"\xff" * 30) * 20 + RAW)
    assert told(file) == POINTS and file.dropped == {NO_EVENT: 20}


def test_empty_and_garbage_files(tmp_path: Path) -> None:
    for content, dropped in ((b"", {}), (b"no event file at all", {LOST: 20})):
        (tmp_path / "x.tfevents").write_bytes(content)
        log = tensorboard.read(tensorboard.scan(tmp_path)[0])
        assert len(log.value) == 0 and log.dropped == dropped


@pytest.mark.parametrize("step", [b"\x10", b"\x10\x80", b"\x10" + b"\x80" * 10, b"\x10\x80\x80"])
def test_a_step_without_an_end_is_no_event(step: bytes) -> None:
    file = read_events(framed(b"\x09" + bytes(8) + step) * 20)
    assert file.dropped == {NO_EVENT: 20} and not told(file)


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_bytes_as_a_record_leave_the_others_as_they_are(junk: bytes, many: bool) -> None:
    file = read_events(RAW + framed(junk) * (20 if many else 1) + junk)
    assert told(file)[:20] == POINTS
    assert DAMAGED not in file.dropped


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_mutations_of_events_raise_nothing_and_both_ways_agree(data: st.DataObject) -> None:
    """Records whose sums are right but whose content is not: alone or in a table, the same is read."""
    start = Event(wall_time=3.5, step=4, session_log=SessionLog(status=SessionLog.START)).SerializeToString()
    tensor = event(3, tag="t", tensor=TensorProto(dtype=1, float_val=[1.0]))
    bad = bytearray(data.draw(st.sampled_from([event(300, tag="loss", simple_value=0.5), tensor, start, VERSION])))
    for _ in range(data.draw(st.integers(0, 3))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    record = framed(bytes(bad))
    alone, table = read_events(record), read_events(record * 20)
    assert table.dropped == {reason: 20 * count for reason, count in alone.dropped.items()}
    for one, twenty in zip(alone.scalars[1:], table.scalars[1:], strict=True):
        assert [*map(repr, one.tolist())] * 20 == [*map(repr, twenty.tolist())]

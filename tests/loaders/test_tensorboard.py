"""Event files that tensorboardX writes: every scalar, to the last bit, whatever else is in the file or missing."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboardX.proto.tensor_pb2 import TensorProto
from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboardX.record_writer import RecordWriter

from predictdyn.loaders import tensorboard
from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.tensorboard import event as tensorboard_event
from predictdyn.loaders.tensorboard import file as tensorboard_file
from predictdyn.loaders.tensorboard.source import MERGED

NAME = "events.out.tfevents.1700000000.host"


def write(path: Path, events: Iterable[Event]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = RecordWriter(str(path))
    for event in events:
        writer.write(event.SerializeToString())
    writer.close()
    return path


def only(path: Path) -> RunLog:
    (item,) = tensorboard.scan(path)
    return tensorboard.read(item)


def scalar(tag: str, step: int, value: float, wall: float = 1.5) -> Event:
    return Event(wall_time=wall, step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)]))


def tensor(tag: str, step: int, **content: object) -> Event:
    content.setdefault("tensor_shape", TensorShapeProto())
    return Event(
        wall_time=2.5, step=step, summary=Summary(value=[Summary.Value(tag=tag, tensor=TensorProto(**content))])
    )


def start(step: int) -> Event:
    return Event(wall_time=3.5, step=step, session_log=SessionLog(status=SessionLog.START))


def rows(log: RunLog) -> list[tuple[object, ...]]:
    """All that is logged, floats as their bits (so that NaN is equal to NaN)."""
    bits = [column.astype("<f8").view("<u8").tolist() for column in (log.step, log.value, log.wall)]
    return list(zip(log.metric.tolist(), *bits, strict=True))


def told(events: Sequence[Event]) -> list[tuple[object, ...]]:
    """The same of events, as the classes of tensorboardX tell it."""
    found = []
    for event in events:
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                numbers = (float(event.step), value.simple_value, event.wall_time)
                found.append((value.tag, *(struct.unpack("<Q", struct.pack("<d", number))[0] for number in numbers)))
    return found


def test_a_summary_writer_is_read_to_the_last_bit(tmp_path: Path) -> None:
    values = {
        "train/loss": 1 / np.arange(1, 301),
        "naïve_tag": np.geomspace(1e-44, 3e38, 300),
        "val/acc": np.linspace(-1, 1, 300),
    }
    writer = SummaryWriter(str(tmp_path / "run"))
    for i in range(300):
        for tag, numbers in values.items():
            writer.add_scalar(tag, numbers[i], 10 * i, walltime=1.7e9 + i / 3)
    writer.close()
    log = only(tmp_path / "run")
    assert log.run == "run" and not log.dropped and not log.segment.any()
    assert log.metric.tolist() == [*values] * 300
    assert np.array_equal(log.step, np.repeat(np.arange(0, 3000, 10.0), 3))
    assert np.array_equal(log.wall, np.repeat(1.7e9 + np.arange(300) / 3, 3))
    assert np.array_equal(log.value, np.stack([*values.values()], axis=1).astype("f4").astype(float).ravel())


def test_what_is_no_scalar_is_counted_and_settings_are_read(tmp_path: Path) -> None:
    writer = SummaryWriter(str(tmp_path))
    for i in range(20):
        writer.add_text("note", f"text {i % 10}", i)
        writer.add_histogram("weights", np.arange(5.0), i)
        writer.add_scalar("loss", 1.5, i)
    writer.add_scalars("group", {"a": 1.0}, 3)
    writer.add_hparams({"lr": 0.25, "name": "adam", "nesterov": True}, {"final": 2.0}, name="trial")
    writer.close()
    logs = {item.run: tensorboard.read(item) for item in tensorboard.scan(tmp_path)}
    (log,) = logs.values()
    assert dict(log.dropped) == {"text": 20, "histogram": 20, MERGED: 2}
    assert log.config == {"lr": 0.25, "name": "adam", "nesterov": True}
    assert log.metric.tolist() == [*["loss"] * 20, "group/a", "final"]
    assert log.step.tolist() == [*range(20), 3, 19]  # the final value has no step: it came when the run was at 19


def test_tensors_of_rank_0_are_scalars(tmp_path: Path) -> None:
    half = int(np.array(0.1, "<f2").view("<u2"))
    cases = {
        "float_val": ({"dtype": 1, "float_val": [0.1]}, np.float32(0.1)),
        "double_val": ({"dtype": 2, "double_val": [0.1]}, 0.1),
        "int_val": ({"dtype": 3, "int_val": [-7]}, -7),
        "int64_val": ({"dtype": 9, "int64_val": [-(2**40)]}, -(2**40)),
        "bool_val": ({"dtype": 10, "bool_val": [True]}, 1),
        "half_val": ({"dtype": 19, "half_val": [half]}, np.float16(0.1)),
        "bfloat16": ({"dtype": 14, "half_val": [0x3F80]}, 1),
        "bfloat16 content": ({"dtype": 14, "tensor_content": b"\x00\xc0"}, -2),
    }
    for number, form in (
        (1, "<f4"),
        (2, "<f8"),
        (3, "<i4"),
        (5, "<i2"),
        (6, "i1"),
        (9, "<i8"),
        (19, "<f2"),
        (22, "<u4"),
    ):
        cases[f"content {form}"] = ({"dtype": number, "tensor_content": np.array(3, form).tobytes()}, 3)
    for many in (1, 20):  # one by one, and as a table
        events = [tensor(tag, i, **content) for tag, (content, _) in cases.items() for i in range(many)]
        log = only(write(tmp_path / str(many) / NAME, events))
        assert log.metric.tolist() == [tag for tag in cases for _ in range(many)]
        assert log.value.tolist() == [float(value) for _, value in cases.values() for _ in range(many)]
        assert log.step.tolist() == [*range(many)] * len(cases)


def test_tensors_that_are_no_scalars_are_counted(tmp_path: Path) -> None:
    vector = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    events = [
        tensor("vector", 1, dtype=1, float_val=[1.0], tensor_shape=vector),
        tensor("two", 1, dtype=1, float_val=[1.0, 2.0]),
        tensor("two integers", 1, dtype=3, int_val=[1, 2]),
        tensor("empty", 1, dtype=1),
        tensor("complex", 1, dtype=8, scomplex_val=[1.0, 2.0]),
        tensor("words", 1, dtype=7, string_val=[b"x"]),
    ]
    curves = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="pr_curves"))
    matrix = TensorProto(dtype=1, tensor_shape=vector, float_val=[1.0])
    events.append(Event(summary=Summary(value=[Summary.Value(tag="curve", metadata=curves, tensor=matrix)])))
    log = only(write(tmp_path / NAME, events))
    assert len(log.value) == 0
    assert log.dropped == {"tensor that is no scalar": 5, "text": 1, "pr_curves": 1}


def test_several_values_in_an_event(tmp_path: Path) -> None:
    events = []
    for step in range(40):
        values = [Summary.Value(tag=tag, simple_value=step / (i + 3)) for i, tag in enumerate("abc")]
        events.append(Event(wall_time=step / 7, step=step * step, summary=Summary(value=values)))
    log = only(write(tmp_path / NAME, events))
    assert rows(log) == told(events)


def test_negative_steps_and_times_of_zero(tmp_path: Path) -> None:
    events = [scalar("a", step, 0.5, wall) for step, wall in ((-1, 1.0), (0, 0.0), (2**62, 1.0), (5, 0.0))] * 20
    log = only(write(tmp_path / NAME, events))
    assert rows(log) == told(events)


def test_a_restart_begins_a_segment(tmp_path: Path) -> None:
    first = [start(0), *(scalar("a", i, i) for i in range(4)), start(2), scalar("a", 2, 9.0), scalar("a", 3, 9.5)]
    log = only(write(tmp_path / NAME, first))
    assert log.segment.tolist() == [0] * 4 + [1] * 2
    assert log.step.tolist() == [0, 1, 2, 3, 2, 3]


def test_files_of_a_run_follow_each_other_by_their_first_record(tmp_path: Path) -> None:
    version = Event(wall_time=20.0, file_version="brain.Event:2")
    write(tmp_path / "a.tfevents", [version, start(2), scalar("a", 2, 5.0), scalar("a", 3, 6.0)])
    version.wall_time = 10.0
    write(tmp_path / "b.tfevents", [version, scalar("a", 1, 1.0), scalar("a", 2, 2.0)])
    version.wall_time = 15.0
    write(tmp_path / "c.tfevents", [version, scalar("other", 1, 7.0)])
    (tmp_path / "d.tfevents").touch()
    log = only(tmp_path)
    assert log.value.tolist() == [1, 2, 7, 5, 6]
    assert log.segment.tolist() == [0, 0, 0, 1, 1]  # another metric in another file is no restart


def test_a_file_that_logs_again_what_was_logged_begins_a_segment(tmp_path: Path) -> None:
    write(tmp_path / "1.tfevents", [scalar("a", 1, 1.0, wall=1.0), scalar("a", 2, 2.0, wall=1.0)])
    write(tmp_path / "2.tfevents", [scalar("a", 2, 3.0, wall=2.0)])
    assert only(tmp_path).segment.tolist() == [0, 0, 1]


def test_alike_records_of_restarts_and_settings_are_not_overlooked(tmp_path: Path) -> None:
    starts = [event for i in range(20) for event in (scalar("a", i, i), start(i))]
    assert only(write(tmp_path / "starts" / NAME, starts)).segment.tolist() == [*range(20)]
    writer = SummaryWriter(str(tmp_path / "hparams"))
    for _ in range(20):
        writer.add_hparams({"lr": 0.5}, {}, name=".")
    writer.close()
    assert only(tmp_path / "hparams").config == {"lr": 0.5}


def test_a_field_that_comes_twice_counts_the_last_time(tmp_path: Path) -> None:
    writer = RecordWriter(str(tmp_path / NAME))
    for i in range(20):
        writer.write(scalar("a", i + 1, i).SerializeToString() + Event(step=100 + i).SerializeToString())
    writer.close()
    assert only(tmp_path).step.tolist() == [*range(100, 120)]


def test_alike_records_are_read_as_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one of each tag and length is read by itself."""
    calls = []

    def counted(*place: object) -> object:
        calls.append(place)
        return tensorboard_event.event(*place)

    monkeypatch.setattr(tensorboard_file, "event", counted)
    events = [scalar(tag, 128 * i, i / 7, i) for i in range(1, 101) for tag in ("loss", "lr")]
    log = only(write(tmp_path / NAME, events))
    assert rows(log) == told(events)
    assert len(calls) < 10


def test_folders_are_runs(tmp_path: Path) -> None:
    for name in ("a/x", "b", ".hidden", "."):
        write(tmp_path / name / NAME, [scalar("loss", 1, 1.0)])
    assert [item.run for item in tensorboard.scan(tmp_path)] == [tmp_path.name, "a/x", "b"]
    assert tensorboard.sniff(tmp_path) == "TensorBoard: 3 event files in 3 runs"
    assert tensorboard.sniff(tmp_path / "b" / NAME) == "TensorBoard: 1 event file in 1 run"
    (tmp_path / "log.csv").touch()
    assert tensorboard.sniff(tmp_path / "log.csv") is None and tensorboard.sniff(tmp_path / "none") is None


def test_a_path_without_event_files_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no TensorBoard event file"):
        tensorboard.scan(tmp_path)
    with pytest.raises(ValueError, match="nowhere: no such file or folder"):
        tensorboard.scan(tmp_path / "nowhere")


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_mixture_of_events_is_read_as_the_classes_tell_it(tmp_path: Path, data: st.DataObject) -> None:
    value = st.builds(Summary.Value, tag=st.sampled_from(["a", "b", "loss/x", "é"]), simple_value=st.floats(width=32))
    event = st.builds(
        lambda wall, step, values: Event(wall_time=wall, step=step, summary=Summary(value=values)),
        st.floats(), st.integers(-5, 300) | st.integers(-(2**63), 2**63 - 1), st.lists(value, max_size=3),
    )  # fmt: skip
    some = data.draw(st.lists(event, max_size=6))
    events = [some[i] for i in data.draw(st.lists(st.integers(0, len(some) - 1), max_size=60))] if some else []
    log = only(write(tmp_path / NAME, events))
    assert rows(log) == told(events) and not log.dropped


def test_it_is_what_tensorboard_reads(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    events = [
        Event(wall_time=1.0, file_version="brain.Event:2"),
        *(scalar("ab"[i % 2], i, i / 3, i) for i in range(60)),
    ]
    events += [start(40), *(scalar("ab"[i % 2], i, i / 5, i) for i in range(45, 70))]
    write(tmp_path / NAME, events)
    log = only(tmp_path)
    theirs = accumulator(str(tmp_path), size_guidance={"scalars": 0})
    theirs.Reload()
    # Its purge: of what was logged before the START, what lies at its step or beyond is forgotten.
    stands = (log.segment == 1) | (log.step < 40)
    for tag in "ab":
        chosen = stands & (log.metric == tag)
        ours = zip(log.wall[chosen], log.step[chosen], log.value[chosen], strict=True)
        assert [(s.wall_time, s.step, s.value) for s in theirs.Scalars(tag)] == list(ours)

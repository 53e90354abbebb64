"""One event of TensorBoard: its scalars, its settings, and what else is in it.

Numbers of fields are those of event.proto, summary.proto, tensor.proto and the hparams plugin (tensorboard).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from predictdyn.loaders.files.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    MessageField,
    fields,
    integer,
    text,
    varint,
)

WALL_TIME, STEP, SUMMARY, SESSION_LOG = 1, 2, 5, 7  # of an event
STATUS, START = 1, 1  # of a session log
VALUE = 1  # of a summary
TAG, SIMPLE_VALUE, TENSOR, METADATA = 1, 2, 8, 9  # of a value
KINDS = {3: "histogram", 4: "image", 5: "histogram", 6: "audio"}
DTYPE, SHAPE, CONTENT, HALF_VAL = 1, 2, 4, 13  # of a tensor
BFLOAT16, TEXT = 14, 7
# Types of a tensor and how their numbers lie in its content (bfloat16: the upper half of a float32).
DTYPES = {
    1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", BFLOAT16: "<u2", 17: "<u2", 19: "<f2",
    22: "<u4", 23: "<u8",
}  # fmt: skip
# Lists of numbers of a tensor, by the field, and how they lie there: whole numbers, truth values and halves as varints.
LISTS = {5: "<f4", 6: "<f8", 7: "", 10: "", 11: "", HALF_VAL: "", 16: "", 17: ""}


class Scalar(NamedTuple):
    """A number and its name; where its bytes lie in the file and how (``dtype``; "" where their width varies)."""

    tag: str
    value: float
    place: int = -1
    dtype: str = ""


class Event(NamedTuple):
    """What one record says. ``others`` are the kinds of values that are no scalars; ``start`` marks a (re)start."""

    wall: float
    step: int
    scalars: tuple[Scalar, ...]
    others: tuple[str, ...]
    config: Mapping[str, object]
    start: bool


def event(raw: bytes, start: int, end: int) -> Event:
    """The event in bytes [start, end); ValueError where it is none."""
    wall, step, begins = 0.0, 0, False
    scalars: list[Scalar] = []
    others: list[str] = []
    config: dict[str, object] = {}
    for field in fields(raw, start, end):
        if field.number == WALL_TIME:
            wall = _double(raw, field)
        elif field.number == STEP:
            step = integer(raw, field)
        elif field.number == SUMMARY:
            for value in _inside(raw, field):
                if value.number == VALUE:
                    found = _value(raw, value, config)
                    if isinstance(found, Scalar):
                        scalars.append(found)
                    elif found:
                        others.append(found)
        elif field.number == SESSION_LOG:
            begins = any(f.number == STATUS and integer(raw, f) == START for f in _inside(raw, field))
    return Event(wall, step, tuple(scalars), tuple(others), config, begins)


def _inside(raw: bytes, field: MessageField) -> list[MessageField]:
    if field.wire != BYTES:
        raise ValueError("a field that should be a message")
    return list(fields(raw, field.start, field.end))


def _double(raw: bytes, field: MessageField) -> float:
    if field.wire != FIXED64:
        raise ValueError("a field that should be a number of 8 bytes")
    return float(struct.unpack_from("<d", raw, field.start)[0])


def _value(raw: bytes, value: MessageField, config: dict[str, object]) -> Scalar | str:
    """The scalar of a value, or the kind of thing that it is; the settings in it go into ``config``."""
    tag, plugin = "", ""
    found: Scalar | str = ""
    for field in _inside(raw, value):
        if field.number == TAG:
            tag = text(raw, field)
        elif field.number == SIMPLE_VALUE and field.wire == FIXED32:
            found = Scalar("", float(struct.unpack_from("<f", raw, field.start)[0]), field.start, "<f4")
        elif field.number == TENSOR:
            found = _tensor(raw, field)
        elif field.number == METADATA:
            plugin = _metadata(raw, field, config)
        elif field.number in KINDS:
            found = KINDS[field.number]
    if isinstance(found, Scalar):
        return found._replace(tag=tag)
    if plugin == "hparams":
        return ""
    return plugin if plugin and plugin != "scalars" else found or "value without content"


def _tensor(raw: bytes, tensor: MessageField) -> Scalar | str:
    """The number of a tensor of rank 0, without its name, or what it is instead."""
    dtype, rank, numbers = 0, 0, None
    for field in _inside(raw, tensor):
        if field.number == DTYPE:
            dtype = integer(raw, field)
        elif field.number == SHAPE:
            rank = len(_inside(raw, field))  # a dimension each, or the statement that their number is not known
        elif field.number == CONTENT or field.number in LISTS:
            numbers = field
    if dtype == TEXT:
        return "text"
    if rank or numbers is None or dtype not in DTYPES:
        return "tensor that is no scalar"
    form = DTYPES[dtype] if numbers.number == CONTENT else LISTS[numbers.number]
    if not form:
        start, end = numbers.start, numbers.end
        number, after = varint(raw, start, end)
        if after != end:
            return "tensor that is no scalar"
        if numbers.number == HALF_VAL:
            bits = np.array(number & 0xFFFF, dtype="<u2")
            return Scalar("", _upper(bits) if dtype == BFLOAT16 else float(bits.view("<f2")))
        unsigned = numbers.number in (16, 17)
        return Scalar("", float(number if unsigned or number < 1 << 63 else number - (1 << 64)))
    if numbers.end - numbers.start != np.dtype(form).itemsize or numbers.wire == VARINT:
        return "tensor that is no scalar"
    bits = np.frombuffer(raw, form, 1, numbers.start)[0]
    if dtype == BFLOAT16:
        return Scalar("", _upper(bits))
    return Scalar("", float(bits), numbers.start, form)


def _upper(bits: np.ndarray) -> float:
    return float((bits.astype("<u4") << np.uint32(16)).view("<f4"))


def _metadata(raw: bytes, metadata: MessageField, config: dict[str, object]) -> str:
    """The plugin that a value belongs to; the hyper-parameters of a session go into ``config``."""
    plugin = ""
    for data in (f for f in _inside(raw, metadata) if f.number == 1):
        parts = {field.number: field for field in _inside(raw, data)}
        plugin = text(raw, parts[1]) if 1 in parts else ""
        if plugin == "hparams" and 2 in parts:
            for session in (f for f in _inside(raw, parts[2]) if f.number == 3):
                config.update(_hparam(raw, f) for f in _inside(raw, session) if f.number == 1)
    return plugin


def _hparam(raw: bytes, entry: MessageField) -> tuple[str, object]:
    """One hyper-parameter: its name, and its number, text or truth value (None for anything else)."""
    parts = {field.number: field for field in _inside(raw, entry)}
    value: object = None
    for field in _inside(raw, parts[2]) if 2 in parts else ():
        if field.number == 2:
            value = _double(raw, field)
        elif field.number == 3:
            value = text(raw, field)
        elif field.number == 4:
            value = bool(integer(raw, field))
    return text(raw, parts[1]) if 1 in parts else "", value

"""The wire format of protocol buffers: which fields a message has, and where their bytes lie.

Written from the public description of the encoding (protobuf.dev/programming-guides/encoding). What a field means is
not in the bytes; the readers that use this know the numbers of the fields they want.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

# Wire types: how the bytes of a field end.
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIDTHS = {FIXED64: 8, FIXED32: 4}


class MessageField(NamedTuple):
    """One field of a message: its number, its wire type, and the bytes [start, end) of its content."""

    number: int
    wire: int
    start: int
    end: int


def varint(raw: bytes, at: int, end: int) -> tuple[int, int]:
    """The unsigned number (64 bits) that is written at a place, and the place after it; ValueError where it has no end.

    >>> varint(bytes([0xAC, 0x02]), 0, 2)
    (300, 2)
    """
    number = shift = 0
    while at < end and shift < 70:
        byte = raw[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise ValueError("a number without an end")


def signed(number: int) -> int:
    """The int64 or int32 that a varint stands for.

    >>> signed(2**64 - 1)
    -1
    """
    return number - (1 << 64) if number >> 63 else number


def fields(raw: bytes, start: int, end: int) -> Iterator[MessageField]:
    """The fields of the message in bytes [start, end), in the order written; ValueError where it is no message."""
    while start < end:
        key, start = varint(raw, start, end)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            after = varint(raw, start, end)[1]
        elif wire == BYTES:
            length, start = varint(raw, start, end)
            after = start + length
        elif wire in WIDTHS:
            after = start + WIDTHS[wire]
        else:
            raise ValueError(f"wire type {wire} is not in use")
        if number == 0 or after > end:
            raise ValueError("a field that ends beyond its message" if number else "a field without a number")
        yield MessageField(number, wire, start, after)
        start = after


def text(raw: bytes, field: MessageField) -> str:
    """The text of a field; ValueError where it is none (UnicodeDecodeError is one)."""
    if field.wire != BYTES:
        raise ValueError("a field that should be text")
    return raw[field.start : field.end].decode()


def integer(raw: bytes, field: MessageField) -> int:
    """The signed number of a varint field; ValueError where it is none."""
    if field.wire != VARINT:
        raise ValueError("a field that should be a whole number")
    return signed(varint(raw, field.start, field.end)[0])

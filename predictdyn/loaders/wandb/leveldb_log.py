"""Records of a log in blocks of 32 KiB, as LevelDB writes it and W&B does with a header of its own before it.

A chunk is the CRC-32 of its kind and data (4 bytes), the length of the data (2), its kind (1), and the data; a record
is one chunk, or a first, some middle ones and a last. No chunk crosses the end of a block, so that a reader finds its
way again there (github.com/google/leveldb, doc/log_format.md). W&B takes the CRC-32 of zip files, not that of LevelDB.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

BLOCK = 32 * 1024
CHUNK = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
BAD, SHORT = -1, -2  # no kinds of LevelDB
# The sum of each kind, with which the sum of its data begins.
BEGUN = {kind: zlib.crc32(bytes([kind])) for kind in (FULL, FIRST, MIDDLE, LAST)}
MAGIC = b":W&B\xe1\xbe"
HEADER = len(MAGIC) + 1  # and a byte for the version
CUT = "record(s) cut short at the end of a file"
DAMAGED = "damaged piece(s) of a record, or of several"


class Log(NamedTuple):
    """The whole records of a log; ``dropped`` counts what is not whole."""

    records: list[bytes]
    dropped: Counter[str]


def log_of(raw: bytes) -> Log:
    """All whole records of a file of W&B; ValueError where it is none.

    >>> len(log_of(MAGIC + bytes(1)).records)
    0
    """
    if raw[: len(MAGIC)] != MAGIC[: len(raw)]:
        raise ValueError(f"not a .wandb file: it begins with {raw[: len(MAGIC)]!r}, expected {MAGIC!r}")
    records: list[bytes] = []
    dropped: Counter[str] = Counter()
    parts: list[bytes] = []
    for kind, data in _chunks(raw):
        if kind not in BEGUN:
            dropped[DAMAGED if kind == BAD else CUT] += 1
            parts = []
            continue
        if (kind in (FULL, FIRST)) == bool(parts):  # one that goes on without a first, or begins before a last
            dropped[DAMAGED] += 1
            parts = []
            if kind in (MIDDLE, LAST):
                continue
        parts.append(data)
        if kind in (FULL, LAST):
            records.append(b"".join(parts))
            parts = []
    dropped[CUT] += bool(parts)
    return Log(records, +dropped)


def _chunks(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The kind and data of each chunk; BAD for one that is not as it was written, SHORT for one that is cut short."""
    place, end = HEADER, len(raw)
    while place < end:
        left = BLOCK - place % BLOCK
        if left < CHUNK.size:
            place += left  # too short for a chunk: filled with zeros
            continue
        if place + CHUNK.size > end:
            yield SHORT, b""
            return
        check, length, kind = CHUNK.unpack_from(raw, place)
        if check == length == kind == 0:
            place += left  # a block that was reserved, and not written
        elif kind not in BEGUN or CHUNK.size + length > left:
            yield BAD, b""
            place += left
        elif place + CHUNK.size + length > end:
            yield SHORT, b""
            return
        else:
            data = raw[place + CHUNK.size : place + CHUNK.size + length]
            yield (kind, data) if zlib.crc32(data, BEGUN[kind]) == check else (BAD, b"")
            place += CHUNK.size + length

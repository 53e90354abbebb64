"""TFRecord files: where the records lie, and whether they are as they were written.

A record is its length (8 bytes), the masked CRC-32C of these (4), its data, and the masked CRC-32C of the data (4); all
little-endian (tensorflow.org/tutorials/load_data/tfrecord).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from predictdyn.loaders.tensorboard.crc32c import masked

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")


class Records(NamedTuple):
    """Where the data of each record starts (n,) and how long it is (n,).

    ``cut`` says whether the file ends inside a record; ``lost`` counts bytes from the first header on that is damaged,
    behind which no record can be found.
    """

    start: np.ndarray
    length: np.ndarray
    cut: bool
    lost: int


def records(raw: bytes) -> Records:
    """All whole records of a file.

    >>> records(b"").cut, records(b"abc").cut, records(bytes(16)).lost
    (False, True, 16)
    """
    place, size, end = 0, HEADER.size, len(raw)
    start, length = [], []
    # Most headers are among a few: each is checked once.
    known: dict[bytes, int] = {}
    lost, cut = 0, False
    while place < end:
        header = raw[place : place + size]
        data = known.get(header)
        if data is None:
            if len(header) < size:
                cut = True
                break
            data, check = HEADER.unpack(header)
            if masked(np.frombuffer(header[:8], np.uint8)[None])[0] != check:
                lost = end - place
                break
            known[header] = data
        after = place + size + data + FOOTER.size
        if after > end:
            cut = True
            break
        start.append(place + size)
        length.append(data)
        place = after
    return Records(np.array(start, dtype=np.int64), np.array(length, dtype=np.int64), cut, lost)


def rows(raw: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
    """The bytes (n, length) at places (n,)."""
    return raw[start[:, None] + np.arange(length)]


def intact(raw: np.ndarray, start: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Whether the data (n, length) of records that start at (n,) have the CRC that the file gives them -> (n,)."""
    stated = rows(raw, start + data.shape[1], FOOTER.size)
    return masked(data) == stated.view("<u4").ravel()

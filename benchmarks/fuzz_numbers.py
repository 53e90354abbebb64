"""All numbers that could have been read from files, by a crude reading that shares nothing with the loaders."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np

# Signs may be dashes between words (a-1): a number is taken with its sign and without.
NUMBER = re.compile(
    r"([+-]?(?:[0-9]+(?:,[0-9]{3})*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(\s{0,3}[A-Za-zµ%]*)(?:\s*/\s*([0-9][0-9,]*\.?[0-9]*|\.[0-9]+)(%?))?"
)
# What logs write behind numbers: parts of a second, minutes, hours, thousands, shares of a hundred.
FACTORS = (1e-9, 1e-6, 1e-3, 60.0, 3600.0, 86400.0, 1e3, 1e6, 1e9, 1e12, 1e15, *(1024.0**k for k in range(1, 6)), 0.01)
CLOSE = 1e-12


def numbers_in(folder: Path, *, binary: bool) -> np.ndarray:
    """Every number in all files below a folder, sorted; ``binary`` reads bytes at every place as numbers, too."""
    found = [np.array([0.0])] if binary else [np.empty(0)]
    for file in folder.rglob("*"):
        if file.is_file():
            for data in _unpacked(file.read_bytes()):
                found.append(_in_text(data.decode("utf-8", "replace")))
                if data.count(0) > len(data) / 5:  # UTF-16 and UTF-32
                    found.append(_in_text(data.replace(b"\0", b"").decode("latin-1")))
                if binary:
                    found.append(_in_bytes(data))
    every = np.concatenate(found)
    return np.unique(every[np.isfinite(every)])


def foreign(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The values that are not among the (sorted) known numbers, but for rounding in the last digits."""
    if not len(known):
        return np.unique(values)
    values = np.unique(values[np.isfinite(values)])
    at = np.searchsorted(known, values)
    near = np.stack([known[np.clip(at + shift, 0, len(known) - 1)] for shift in (-1, 0)])
    return values[~(np.abs(near - values) <= CLOSE * np.abs(values)).any(axis=0)]


def _unpacked(data: bytes) -> list[bytes]:
    """Bytes as they are, and unzipped as far as that goes."""
    unpacked, rest = b"", data
    while rest.startswith(b"\x1f\x8b"):
        reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            # Python's gzip passes over flags that are reserved, and over zeros between parts; zlib does not.
            unpacked += reader.decompress(rest[:3] + bytes(flags & 0x1F for flags in rest[3:4]) + rest[4:])
            rest = reader.unused_data.lstrip(b"\0")
        except zlib.error:
            break
    return [data, unpacked] if unpacked else [data]


def _in_text(text: str) -> np.ndarray:
    found: list[float] = []
    for number, unit, whole, percent in NUMBER.findall(text):
        plain = number.replace(",", "")
        for written in {plain, plain.lstrip("+-"), *re.split("[eE]", plain)[:1], *number.split(",")}:
            value = _float(written)
            found += [value, -value]
            if unit.strip():
                found += [value * factor for factor in FACTORS]
            # Right answers of so many, "30/1,234 (2%)", and half a per cent, "1/2%".
            for of in {whole, whole.replace(",", "")} if whole else ():
                if _float(of.strip(".,")):
                    part = value / _float(of.strip(".,"))
                    found += [part, part / 100] if percent else [part]
    return np.array(found, dtype=float)


def _float(written: str) -> float:
    try:
        return float(written)
    except ValueError:
        return np.nan


def _in_bytes(data: bytes) -> np.ndarray:
    """Floats and whole numbers of all sizes and both byte orders, at every place; also varints of protocol buffers."""
    found = []
    raw = np.frombuffer(data, dtype=np.uint8)
    for size, kinds in ((1, "i"), (2, "iuf"), (4, "iuf"), (8, "iuf")):
        if len(raw) < size:
            continue
        windows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(raw, size))
        for kind in kinds:
            for order in "<>" if size > 1 else "|":
                with np.errstate(all="ignore"):
                    found.append(windows.view(f"{order}{kind}{size}").ravel().astype(float))
    # Half precision of the kind with eight bits of exponent is the upper half of a float.
    for size in (3, 6):
        if len(raw) >= size:
            windows = np.lib.stride_tricks.sliding_window_view(raw, size).astype(np.int64)
            value = sum(windows[:, i] << (8 * (size - 1 - i)) for i in range(size))
            found += [value.astype(float), (value - (value >> (8 * size - 1) << (8 * size))).astype(float)]
    if len(raw) >= 2:
        pairs = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(raw, 2)).view("<u2").ravel()
        with np.errstate(all="ignore"):
            found.append((pairs.astype(np.uint32) << 16).view(np.float32).astype(float))
    found += _varints(raw)
    return np.concatenate(found) if found else np.empty(0)


def _varints(raw: np.ndarray) -> list[np.ndarray]:
    found, value, open_ = [], np.zeros(len(raw), dtype=np.uint64), np.ones(len(raw), dtype=bool)
    padded = np.append(raw, np.zeros(10, dtype=np.uint8)).astype(np.uint64)
    for i in range(10):
        part = padded[i : i + len(raw)]
        value = np.where(open_, value | ((part & np.uint64(0x7F)) << np.uint64(7 * i)), value)
        done = open_ & (part < 0x80)
        found += [value[done].astype(float), value[done].astype(np.int64).astype(float)]
        open_ &= ~done
    return found

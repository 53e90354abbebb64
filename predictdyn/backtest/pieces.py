"""Finished pieces of a backtest on disk: written whole or not at all, with a hash that tells a damaged one."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import NamedTuple

import pandas as pd

HASH = 32  # bytes


class Done(NamedTuple):
    """What a piece gave: rows of forecasts, rows of paths, seconds by forecaster."""

    rows: pd.DataFrame
    paths: pd.DataFrame
    seconds: dict[str, float]


def packed(done: Done) -> bytes:
    """A piece as bytes: a hash of the rest, a line with the seconds, and one parquet table of rows and paths."""
    marked = done.rows.assign(_path=False), done.paths.assign(_path=True)
    both = pd.concat([part for part in marked if len(part)] or [marked[0]])
    table = io.BytesIO()
    both.to_parquet(table, index=False)
    content = json.dumps(done.seconds).encode("utf-8") + b"\n" + table.getvalue()
    return hashlib.sha256(content).digest() + content


def unpacked(data: bytes) -> Done | None:
    """Back from `packed`; None where a bit is not as it was written."""
    content = data[HASH:]
    if hashlib.sha256(content).digest() != data[:HASH]:
        return None
    seconds, _, table = content.partition(b"\n")
    both = pd.read_parquet(io.BytesIO(table))
    path = both.pop("_path").to_numpy(dtype=bool)
    rows, paths = (both[which].reset_index(drop=True) for which in (~path, path))
    return Done(rows, paths, json.loads(seconds))


def kept(file: Path) -> Done | None:
    """The piece in a file; None where there is none, or a damaged one, which is then made again."""
    try:
        return unpacked(file.read_bytes())
    except FileNotFoundError:
        return None


def keep(data: bytes, file: Path) -> None:
    """Write a piece aside, then move it: a process that is killed leaves nothing that looks like one."""
    aside = file.with_suffix(f".{os.getpid()}.writing")
    aside.write_bytes(data)
    aside.replace(file)

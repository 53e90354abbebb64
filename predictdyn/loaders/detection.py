"""Which source a path is of: every source sniffs at it, the general ones last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from predictdyn.loaders.catalogue import GENERAL, SOURCES, source
from predictdyn.loaders.files.paths import is_address, is_there


class Detected(NamedTuple):
    """A source, and what it found at a path, in words."""

    source: str
    words: str


def detect(path: Path | str) -> Detected:
    """What a path holds, by asking the ``sniff`` of every source: the tidy folder first, then all others.

    Where none of them sees anything, the general ones are asked: the first of `catalogue.GENERAL` that sees something,
    and the words name what others see. Raises ValueError where nothing is known, or where several that are not general
    see something: then the source must be named.
    """
    path = Path(path)
    there = is_there(path)
    if not there and not is_address(path):
        raise ValueError(f"{path}: no such file or folder")
    if there and not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path}: is no regular file (a pipe or a device), which is not read")
    special = [name for name in SOURCES if name not in ("tidy", *GENERAL)]
    for names in (["tidy"], special, [name for name in GENERAL if name in SOURCES]):
        seen = [Detected(name, words) for name in names if (words := source(name).sniff(path)) is not None]
        if len(seen) > 1 and names is special:
            raise ValueError(f"{path}: more than one source sees something: {_named(seen)}; name one with source=NAME")
        if seen:
            if names is special and path.is_dir():
                from predictdyn.loaders.unread import unread

                return seen[0]._replace(words=seen[0].words + unread(path, source(seen[0].source)))
            # A folder may hold logs of several forms; a file that several can read is one log.
            more = f"; also here, but not read: {_named(seen[1:])}" if len(seen) > 1 and path.is_dir() else ""
            return seen[0]._replace(words=seen[0].words + more)
    from predictdyn.loaders.undetected import unknown

    raise ValueError(unknown(path, list(SOURCES)))


def _named(seen: Sequence[Detected]) -> str:
    return "; ".join(f"{name} ({words})" for name, words in seen)

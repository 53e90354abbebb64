"""Loaders: any log becomes `Curves`. One file a source, each with ``load(path, ...)``; the folder is the registry."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from predictdyn.curves import Curves

# Asked last, in this order: formats so general that the files of other tools look like them, too.
GENERAL = ("long", "json_lines", "wide", "text_log")


class Detected(NamedTuple):
    """A source, and what it found at a path, in words."""

    source: str
    words: str


def sources() -> list[str]:
    """The names of all sources, read off the folder: nothing is imported.

    >>> [name for name in sources() if name in ("lm_eval", "tidy", "wide")]
    ['lm_eval', 'tidy', 'wide']
    """
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if not file.name.startswith("_"))


def load(path: Path | str, source: str | None = None, **options: object) -> Curves:
    """Read any log: with ``source``, or with the one that `detect` sees; ``options`` are those of the source's load.

    What was merged, dropped or assumed is said in a UserWarning each. Raises ValueError, one line: what was expected,
    what was found and where, what is allowed.
    """
    name = detect(path) if source is None else source
    check(name, options)
    curves: Curves = module(name).load(Path(path), **options)
    return curves


def options_of(source: str) -> Mapping[str, object]:
    """The options of a source, each with what holds if it is not given.

    >>> list(options_of("tidy"))
    ['runs_file', 'metrics_file', 'events_file']
    """
    one = module(source)
    own = [getattr(one, name).__kwdefaults__ or {} for name in ("scan", "read", "load") if hasattr(one, name)]
    if not shared(source):
        return dict(own[-1])
    from predictdyn.loaders._gather import OPTIONS

    return {name: value for defaults in (*own, OPTIONS) for name, value in defaults.items()}


def check(source: str, options: Mapping[str, object]) -> None:
    """Raises ValueError for the first option that the source does not have."""
    known = options_of(source)
    for option in options:
        if option not in known:
            raise ValueError(f"the source {source} has no option {option!r}; it has {', '.join(known)}")


def shared(source: str) -> bool:
    """Whether a source gives what runs logged (``scan``, ``read``) and leaves the rest to `_gather`."""
    return hasattr(module(source), "scan")


def detect(path: Path | str) -> str:
    """The source that a file or folder looks like, see `found`."""
    return found(path).source


def found(path: Path | str) -> Detected:
    """What a path holds, by asking the ``looks`` of every source: the tidy folder first, then all others.

    Where none of them sees anything, the general ones are asked: the first of `GENERAL` that sees something, and the
    words name what others see. Raises ValueError where nothing is known, or where several that are not general see
    something: then the source must be named.
    """
    path = Path(path)
    there = is_there(path)
    if not there and not is_address(path):
        raise ValueError(f"{path}: no such file or folder")
    if there and not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path}: is no regular file (a pipe or a device), which is not read")
    special = [name for name in sources() if name not in ("tidy", *GENERAL)]
    for names in (["tidy"], special, [name for name in GENERAL if name in sources()]):
        seen = [Detected(name, words) for name in names if (words := module(name).looks(path)) is not None]
        if len(seen) > 1 and names is special:
            raise ValueError(f"{path}: more than one source sees something: {_named(seen)}; name one with --source")
        if seen:
            # A folder may hold logs of several forms; a file that several can read is one log.
            more = f"; also here, but not read: {_named(seen[1:])}" if len(seen) > 1 and path.is_dir() else ""
            return seen[0]._replace(words=seen[0].words + more)
    from predictdyn.loaders._undetected import unknown

    raise ValueError(unknown(path, sources()))


def _named(seen: Sequence[Detected]) -> str:
    return "; ".join(f"{name} ({words})" for name, words in seen)


def is_there(path: Path) -> bool:
    """Whether there is something at a path; ValueError, one line, where that cannot be said, as of a name too long."""
    try:
        return path.exists()
    except OSError as error:
        raise ValueError(f"{str(path)[:200]}: cannot be read ({error.strerror or error})") from None


def is_address(path: Path | str) -> bool:
    """Whether a path is the address of a server (of which a Path has lost one of two slashes).

    >>> is_address("https://mlflow.example.org"), is_address("runs/a")
    (True, False)
    """
    return re.match(r"[a-z]+:/", str(path)) is not None


def module(source: str) -> ModuleType:
    """The module of a source; ValueError where there is none of that name."""
    if source not in sources():
        raise ValueError(f"no source {source!r}; known are {', '.join(sources())}")
    return import_module(f"predictdyn.loaders.{source}")

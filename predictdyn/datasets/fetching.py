"""Fetch a data set into the cache, file by file and checked, and load it.

A file is written aside and moved into the cache once its hash is right: what lies there is whole, a fetch that broke
off goes on where it stopped, and two at once do no harm.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote
from uuid import uuid4

from predictdyn import loaders
from predictdyn.cache import cache
from predictdyn.curves import Curves
from predictdyn.datasets.places import copies, holds, sha256
from predictdyn.datasets.table import Entry, File, bundled, entry

if TYPE_CHECKING:
    import requests

WAITS = (1.0, 3.0)  # seconds before a download is tried again
TIMEOUT = 30.0  # seconds without an answer
CHUNK = 1 << 16  # bytes
# Answers that may change when asked again: timed out, too many requests, and faults of the server.
PASSING = {408, 429, 500, 502, 503, 504}

Progress = Callable[[int, int], None]


def fetch(name: str, *, mirror: str | None = None, progress: Progress = lambda done, all_: None) -> Path:
    """Bring all files of a data set into the cache, and return its folder there (of a bundled one, its own).

    A file that is in the cache and unchanged is not fetched again. The others come from ``mirror`` if given, else from
    the folder that PREDICTDYN_DATA names, where they lie there, else from their address. A mirror is a folder or an
    http(s) address that has the data sets by name, as PREDICTDYN_DATA has: MIRROR/NAME/PATH. ``progress`` is told how
    many of the missing files are done, before each. Raises ValueError, one line, for whatever stands in the way.
    """
    one = entry(name)
    if one.bundled:
        return bundled(name)
    folder = cache() / name
    missing = [file for file in one.files if not holds(folder / file.path, file)]
    sources = [_source(one, file, mirror) for file in missing]
    if missing:
        import requests

        with requests.Session() as session:
            get = partial(_download, session, one)
            for done, (file, source) in enumerate(zip(missing, sources, strict=True)):
                progress(done, len(missing))
                _bring(file, source, folder, get)
    return folder


def load(name: str, *, mirror: str | None = None, progress: Progress = lambda done, all_: None) -> Curves:
    """Fetch a data set (see `fetch`) and read it as its entry says.

    >>> load("digits").metrics["memorized_share"].kind
    'memorization'
    """
    one = entry(name)
    folder = fetch(name, mirror=mirror, progress=progress)
    _check_alone(one, folder)
    beside = {f"{table}_file": one.folder / f"{table}.csv" for table in ("runs", "metrics")}
    stated = {option: path for option, path in beside.items() if path.is_file()}
    with warnings.catch_warnings():
        # What is known of these files, and does no harm, need not be told again.
        warnings.filterwarnings("ignore", message=".*no value is lost", category=UserWarning)
        return loaders.load(folder, one.loader, **one.settings, **stated)


def _check_alone(one: Entry, folder: Path) -> None:
    """ValueError where a folder has more than the data set: a loader would read that too."""
    known = {file.path for file in one.files}
    for path in sorted(folder.rglob("*")) if known else ():
        inside = path.relative_to(folder)
        if path.is_file() and inside.as_posix() not in known and not any(part[0] == "." for part in inside.parts):
            raise ValueError(f"{path}: is no file of {one.name}; remove it from the cache")


def _source(one: Entry, file: File, mirror: str | None) -> str | Path:
    """Where a file is to come from: a path, or an address."""
    if mirror is not None:
        return _of_mirror(mirror, f"{one.name}/{file.path}")
    folder = copies()
    if folder is not None and (folder / one.name / file.path).is_file():
        return folder / one.name / file.path
    url = one.url(file)
    if url is None:
        raise ValueError(f"{one.name} has no address to download from. {one.relation} {_instead(one)}")
    return url


def _of_mirror(mirror: str, path: str) -> str | Path:
    if mirror.startswith(("http://", "https://")):
        return f"{mirror.rstrip('/')}/{quote(path, safe='/=')}"
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        raise ValueError(f"{mirror}: expected a folder, or an address that begins with http:// or https://")
    return folder / path


def _instead(one: Entry) -> str:
    """What a user without the network can do."""
    folder = copies()
    now = "it is not set" if folder is None else f"it names {folder}, which has not all of it"
    return (
        f"With a copy of the files, set PREDICTDYN_DATA to the folder that has them as {one.name}/ ({now}), or name a "
        "mirror with mirror="
    )


def _bring(file: File, source: str | Path, folder: Path, get: Callable[[str, Path, File], None]) -> None:
    """Copy or download one file, check it, and only then move it to its place."""
    target = folder / file.path
    aside = folder.parent / f".{folder.name}.{uuid4().hex}.part"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, Path):
            _copy(source, aside, file)
        else:
            get(source, aside, file)
        found = sha256(aside)
        if found != file.sha256:
            raise ValueError(
                f"{source}: expected sha256 {file.sha256} and {file.bytes} bytes, found {found} and "
                f"{aside.stat().st_size} bytes; the file was changed or damaged, and was not kept"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(aside, target)
    except OSError as error:
        raise ValueError(
            f"{target}: cannot be written ({error.strerror or error}); PREDICTDYN_CACHE chooses another folder"
        ) from None
    finally:
        # Not missing_ok: where the folder could not be made, this fails in other ways too.
        if aside.is_file():
            aside.unlink()


def _copy(source: Path, aside: Path, file: File) -> None:
    try:
        content = source.open("rb")
    except OSError as error:
        raise ValueError(f"{source}: cannot be read ({error.strerror})") from None
    with content, aside.open("xb") as copy:
        _taken(iter(partial(content.read, CHUNK), b""), copy, source, file)


def _taken(chunks: Iterable[bytes], copy: BinaryIO, source: str | Path, file: File) -> None:
    """Write what comes, but no more than the table says: a wrong address must not fill the disk."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > file.bytes:
            raise ValueError(
                f"{source}: is longer than the {file.bytes} bytes that the table of {file.path} says, so it is another "
                "file or was changed; it was not kept"
            )
        copy.write(chunk)


def _download(session: requests.Session, one: Entry, url: str, aside: Path, file: File) -> None:
    import requests

    for wait in (*WAITS, None):
        try:
            with session.get(url, stream=True, timeout=TIMEOUT) as response, aside.open("wb") as copy:
                response.raise_for_status()
                _taken(response.iter_content(CHUNK), copy, url, file)
            return
        except requests.RequestException as error:
            answer = None if error.response is None else error.response.status_code
            if wait is None or (answer is not None and answer not in PASSING):
                raise ValueError(f"{url}: {_fault(error)}. {_instead(one)}") from None
            time.sleep(wait)


def _fault(error: Exception) -> str:
    """What went wrong with a download, in a few words."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the download broke off (what was complete is kept: run it again to go on)"
    return f"cannot be reached ({_cause(error)})"


def _cause(error: BaseException | None) -> str:
    """The words of the operating system below an error of the network, such as Connection refused."""
    words = type(error).__name__
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        error = error.__cause__ or error.__context__
    return words

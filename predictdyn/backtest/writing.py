"""Where results are written: aside first, under a lock, then renamed, so that nothing half-written is left behind."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PIECE = ".piece"  # ending of a finished piece of a backtest


def check_name(folder: Path) -> None:
    r"""Raises ValueError for a folder whose name is not UTF-8 text: no parquet file is written or read there.

    >>> check_name(Path("results-\udcff"))
    Traceback (most recent call last):
    ValueError: the name of the folder results-\xff is not UTF-8 text, so no parquet file can be written or read ...
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(folder).decode(errors="backslashreplace")
        raise ValueError(
            f"the name of the folder {shown} is not UTF-8 text, so no parquet file can be written or read there; "
            "choose another name"
        ) from None


def check_new(out: Path) -> None:
    """Raises ValueError when ``out`` is in the way of new results, or has a name that none can have."""
    check_name(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists already; choose another out=, or remove it first")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write in that becomes ``out`` when all went well, and is gone when not.

    Raises ValueError when ``out`` exists and is not an empty folder, or when another process is writing it.
    """
    check_name(out)
    with locked(out), aside(out) as folder:
        yield folder


@contextmanager
def folder_again(out: Path, mark: str = "points.parquet", verb: str = "load") -> Iterator[Path]:
    """A folder to write in that takes the place of ``out``, a folder of the same kind of before, when all went well.

    Two renames do it, and a process can be killed between them: `recovered` goes on from wherever that was. ``mark`` is
    the file by which a folder that ``verb`` wrote is known. Raises ValueError where ``out`` holds anything else.
    """
    check_name(out)
    with locked(out):
        if not (out / mark).is_file():
            raise ValueError(
                f"{out} is no folder that {verb} wrote, so it cannot be brought up to date; choose another out="
            )
        new, before = _beside(out, "new"), _beside(out, "before")
        with aside(new) as folder:
            yield folder
        try:
            out.replace(before)
            new.replace(out)
            shutil.rmtree(before)
        except BaseException:
            _recover(out)
            raise


def recovered(out: Path) -> None:
    """Finish or undo what `folder_again` had begun when its process was killed; does nothing where nothing was."""
    if any(left.exists() for left in _leftovers(out)):
        with locked(out):
            _recover(out)


def _recover(out: Path) -> None:
    """The names of the three folders say how far the renames went."""
    new, before = _beside(out, "new"), _beside(out, "before")
    if not out.exists():
        # The new folder has this name only once it is whole.
        if new.exists():
            new.replace(out)
        elif before.exists():
            before.replace(out)
    for left in _leftovers(out):
        if left.exists():
            shutil.rmtree(left)


def _leftovers(out: Path) -> list[Path]:
    new = _beside(out, "new")
    return [new, _beside(out, "before"), _beside(new, "writing")]


@contextmanager
def aside(out: Path) -> Iterator[Path]:
    """As `new_folder`, for a caller that holds the lock."""
    check_new(out)
    folder = _beside(out, "writing")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
        folder.replace(out)
    finally:
        if folder.exists():
            shutil.rmtree(folder)


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Nobody else writes ``out`` meanwhile: a lock on a file beside it, which ends with the process that holds it.

    Raises ValueError when another process has it. Where the disk or the system knows no such locks, there is none.
    """
    file = _beside(out, "lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = _taken(file, out)
    try:
        yield
    finally:
        # Removed before it is given up: whoever opened it meanwhile sees that it is gone, and makes another.
        with suppress(OSError):
            file.unlink()
        os.close(handle)


@contextmanager
def pieces_kept(out: Path) -> Iterator[Path]:
    """The folder of finished pieces beside ``out``: gone when all went well, else kept, and an error says so."""
    folder = _beside(out, "resume")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    except BaseException as error:
        n = len(list(folder.glob(f"*{PIECE}")))
        if n:
            error.add_note(f"{n} finished piece(s) are kept in {folder}: the same command goes on from there")
        else:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _beside(out: Path, what: str) -> Path:
    return out.parent / f".{out.name}.{what}"


def _taken(file: Path, out: Path) -> int:
    """The lock on a file, as the handle that holds it."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same(handle, file):
                return handle
        except BlockingIOError:
            os.close(handle)
            raise ValueError(
                f"{out} is being written by another command; wait until it ends, or choose another out="
            ) from None
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
                return handle
            os.close(handle)
            raise
        os.close(handle)


def _same(handle: int, file: Path) -> bool:
    """Whether a file is still the one that was opened: the one who had the lock may have removed it."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False

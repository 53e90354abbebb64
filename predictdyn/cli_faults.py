"""What stops a command without being a fault of the package, each as one line with what to do."""

from __future__ import annotations

import errno
import os
from types import FrameType
from typing import Any, NoReturn

SIGNALS = ("SIGTERM", "SIGHUP")

# What to do where the operating system says no.
ADVICE = {
    errno.ENOSPC: "free some space there, or choose another --out",
    errno.EDQUOT: "your quota of that disk is used up; free some space there, or choose another --out",
    errno.EACCES: "change who may use it, or choose another path",
    errno.EPERM: "change who may use it, or choose another path",
    errno.EROFS: "that disk cannot be written; choose another --out",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n), or use fewer --workers",
    errno.ENFILE: "too many files are open on this machine; close some programs, or use fewer --workers",
    errno.ENOMEM: "use fewer --workers, or a machine with more memory",
    errno.EAGAIN: "this machine starts no more processes; use fewer --workers",
    errno.ENOENT: "check the path; it may have been removed meanwhile",
    errno.EEXIST: "a file is in the way; choose another --out",
    errno.EIO: "the disk gives errors; copy the data elsewhere and try again",
    errno.ESTALE: "the network disk lost the file; run the command again",
    errno.EPIPE: "the program that reads this output has ended; what was written to --out is whole",
    errno.EISDIR: "a file was expected there; check the path",
    errno.ENOTDIR: "a folder was expected there; check the path",
    errno.EBUSY: "it is in use; choose another --out",
}
ADVICE_ELSE = "check the path and the disk, then run the command again"
ADVICE_NETWORK = "check the address and the network, then run the command again"
MOST = 400  # letters of what others say


class Stopped(BaseException):
    """A signal asked this process to end: a BaseException, so that all cleans up as it does for Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def stop_on_signals() -> None:
    """From now on a signal to end is raised as `Stopped`, once; one that was ignored before (nohup) still is."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        # A second one must not break off the cleaning up.
        signal.signal(number, signal.SIG_IGN)
        raise Stopped(number)

    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, stop)


def stopped(error: BaseException) -> str:
    """One line for an end that was asked for. (Of Ctrl-C, click makes an error of its own.)"""
    return "; ".join(["stopped", *getattr(error, "__notes__", []), *getattr(error.__cause__, "__notes__", [])])


def line(error: BaseException) -> str | None:
    """One line for bad input, a refusal of the operating system or a killed worker; None for any other error."""
    from concurrent.futures import BrokenExecutor

    if isinstance(error, ValueError):
        words = str(error)
    elif isinstance(error, OSError):
        words = f"{_what(error)}; {_advice(error)}"
    elif isinstance(error, BrokenExecutor):
        words = (
            "a worker process was killed, most often because memory ran out; use fewer --workers, "
            "or a machine with more memory"
        )
    else:
        return None
    return " ".join("; ".join([words, *getattr(error, "__notes__", [])]).split())


def _what(error: OSError) -> str:
    """Where it happened, and the operating system's own words."""
    said = os.strerror(error.errno) if isinstance(error.errno, int) and error.errno > 0 else str(error)
    named: list[Any] = [
        name for name in (error.filename, error.filename2) if isinstance(name, str | bytes | os.PathLike)
    ]
    places = " -> ".join(os.fsdecode(name) for name in named)
    # pyarrow and others put the place into the words.
    if not places and error.errno and error.strerror and error.strerror != said:
        said = f"{said} ({error.strerror})"
    said = said or type(error).__name__
    return (f"{places}: {said}" if places else said)[:MOST]


def _advice(error: OSError) -> str:
    network = isinstance(error, ConnectionError | TimeoutError) or type(error).__module__.startswith(
        ("requests", "urllib", "urllib3", "socket")
    )
    if error.errno == errno.EPIPE or not network:
        return ADVICE.get(error.errno or 0, ADVICE_ELSE)
    return ADVICE_NETWORK

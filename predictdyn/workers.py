"""Worker processes: jobs side by side in some that end with the process that started them, even where it was killed."""

from __future__ import annotations

import os
import socket
import threading
import time
import warnings
from collections.abc import Generator, Iterable
from contextlib import closing
from typing import Any, NamedTuple

WAIT = 0.3  # seconds between two looks at whether the parent lives
WATCH = "ends with its parent"


class Parent(NamedTuple):
    """The process that hands out work: the machine it runs on, and its number there."""

    host: str
    process: int


def parent() -> Parent:
    """This process, as the parent of workers to come."""
    return Parent(socket.gethostname(), os.getpid())


def end_with(started_by: Parent) -> None:
    """End this process soon after ``started_by`` has ended, if it is a worker of that one; else do nothing.

    Workers on other machines, and those of a cluster on this one, have other parents and are left alone.
    """
    if os.getpid() == started_by.process or socket.gethostname() != started_by.host:
        return
    if os.getppid() != started_by.process:
        # A worker of a cluster, or one whose parent was killed before it took up its first piece of work.
        if not _lives(started_by.process):
            os._exit(1)
        return
    if all(thread.name != WATCH for thread in threading.enumerate()):
        threading.Thread(target=_watch, args=(started_by.process,), name=WATCH, daemon=True).start()


def side_by_side(jobs: Iterable[Any], workers: int) -> Generator[Any, None, None]:
    """What jobs (`joblib.delayed`) give, in their order, as it comes; ``workers`` processes do them, or a cluster.

    Which of them is said by joblib (``joblib.parallel_config``).
    """
    from joblib import Parallel

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given", category=UserWarning)
        # What joblib says where the loop is left early, by Ctrl-C, and the loop says itself.
        warnings.filterwarnings("ignore", message=".* tasks which were still being processed", category=UserWarning)
        # Closed at once whatever happens: workers must not write pieces while their folder is being removed.
        watched = {"initializer": end_with, "initargs": (parent(),)} if workers > 1 else {}
        with closing(Parallel(n_jobs=workers, return_as="generator", **watched)(jobs)) as results:
            yield from results


def _watch(process: int) -> None:
    while os.getppid() == process:
        time.sleep(WAIT)
    os._exit(1)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True

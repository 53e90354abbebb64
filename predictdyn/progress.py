"""Progress on stderr, or in a notebook: a bar with an estimate of what is left, and a sign that work goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec


@contextmanager
def bar(what: str, *, quiet: bool, transient: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A progress bar: call it with how many are done, of how many.

    A transient one is gone at the end, and is not shown at all but in a terminal or a notebook.
    """
    if quiet:
        yield lambda done, all_: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    stderr = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    shown = stderr.is_terminal or stderr.is_jupyter or not transient
    with Progress(*columns, console=stderr, transient=transient, disable=not shown) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, all_: progress.update(task, completed=done, total=all_)


@contextmanager
def spinner(what: str, *, quiet: bool) -> Iterator[None]:
    """A sign that work goes on."""
    if quiet:
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


def quiet_by(progress: bool | None) -> bool:
    """Whether nothing is shown: as was asked for, else where nobody would see it come and go."""
    if progress is not None:
        return not progress
    from rich.console import Console

    stderr = Console(stderr=True)
    # Without ipywidgets rich can only fill a notebook with warnings that say so.
    return not (stderr.is_terminal or (stderr.is_jupyter and find_spec("ipywidgets") is not None))

"""Progress on stderr, or in a notebook: a bar with an estimate of what is left, and a sign that work goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

OFTEN = 0.2  # seconds between two states of a bar of letters
WIDE = 30  # letters of it


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
    if stderr.is_jupyter and not _widgets():
        with _shown(what, transient=transient) as show:
            yield _letters(what, show)
        return
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

    stderr = Console(stderr=True)
    with _shown(what, transient=True) if stderr.is_jupyter and not _widgets() else stderr.status(what):
        yield


def quiet_by(progress: bool | None) -> bool:
    """Whether nothing is shown: as was asked for, else where nobody would see it come and go."""
    if progress is not None:
        return not progress
    from rich.console import Console

    stderr = Console(stderr=True)
    return not (stderr.is_terminal or stderr.is_jupyter)


def bar_line(what: str, done: int, all_: int, spent: float) -> str:
    """A bar of letters, with the seconds that were spent and an estimate of those that are left.

    >>> bar_line("backtest", 10, 40, 30.0)
    'backtest  [#######.......................]  10 of 40  0:30, 1:30 left'
    """
    share = done / all_ if all_ else 1.0
    filled = "#" * int(WIDE * share)
    left = f", {_clock(spent * (1 - share) / share)} left" if share else ""
    return f"{what}  [{filled.ljust(WIDE, '.')}]  {done} of {all_}  {_clock(spent)}{left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _letters(what: str, show: Callable[[str], None]) -> Callable[[int, int], None]:
    """What shows the states of a bar of letters, not more often than one can see."""
    began = time.monotonic()
    last = -OFTEN

    def moved(done: int, all_: int) -> None:
        nonlocal last
        spent = time.monotonic() - began
        if spent - last >= OFTEN or done == all_:
            last = spent
            show(bar_line(what, done, all_, spent))

    return moved


def _widgets() -> bool:
    """Whether rich can draw in a notebook; without ipywidgets it fills it with warnings that say so."""
    return find_spec("ipywidgets") is not None


@contextmanager
def _shown(what: str, *, transient: bool) -> Iterator[Callable[[str], None]]:
    """One line in the output of a cell, which what is given replaces; a transient one is blank at the end."""
    from IPython.display import display

    place = display({"text/plain": f"{what} ..."}, raw=True, display_id=True)
    try:
        yield lambda line: place.update({"text/plain": line}, raw=True)
    finally:
        if transient:
            place.update({"text/plain": ""}, raw=True)

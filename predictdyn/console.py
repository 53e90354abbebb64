"""What all commands share: the words for a table of curves, and progress on stderr."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from predictdyn.secrets import hidden

if TYPE_CHECKING:
    from predictdyn.curves import Curves

PATH = click.Path(path_type=Path)
# Joiners inside words of some scripts and inside emoji; all other characters that show nothing are escaped.
JOINERS = "\u200c\u200d"
QUIET = click.option("--quiet", is_flag=True, help="No progress on stderr.")


def printable(text: str) -> str:
    r"""Text on one line of a terminal: characters that control it, or hide what follows, are escaped.

    >>> print(printable("loss\x1b[31m\nrm -rf"))
    loss\x1b[31m\nrm -rf
    """
    return "".join(_shown(letter) for letter in text)


def _shown(letter: str) -> str:
    if letter.isprintable() or letter in JOINERS or unicodedata.category(letter) == "Zs":
        return letter
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def say(line: str, *, err: bool = False) -> None:
    """Print one line. Names in it come from logs that others wrote: it is made `printable`, and has no secrets."""
    click.echo(printable(hidden(line)), err=err)


# How options of loading look where loaders speak of them, as the library does: merge=yes, step=NAME, last_step=...
OPTION = re.compile(r"(?<![\w\-./?&])(?P<name>[a-z][a-z_]*)=(?:[\w'\"{(]|\.\.\.)")
HINT = "Options of loading are given as --set NAME=VALUE (and --source NAME)."


def speaks_of_options(line: str) -> bool:
    """Whether a line names an option of a loader as the library takes it, and does not say --set itself.

    >>> [speaks_of_options(line) for line in ("say last_step=logged", "name it with step=...", "lr=0.1 for run a")]
    [True, True, False]
    """
    return "--set" not in line and any(found["name"] in option_names() for found in OPTION.finditer(line))


def option_names() -> set[str]:
    """What loaders take beside a path, of all sources, and ``source`` itself; imports them all."""
    from predictdyn import loaders

    return {"source", *(option.name for name in loaders.sources() for option in loaders.source(name).options)}


@contextmanager
def heard() -> Iterator[list[str]]:
    """Warnings of loaders, inside, are the lines of a list that is full once it is left, not warnings of Python."""
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield lines
    lines += [str(warning.message) for warning in caught]


@contextmanager
def said(before: Sequence[str] = ()) -> Iterator[None]:
    """Warnings of loaders, inside, are lines on stderr behind those of ``before``, not warnings of Python."""
    with heard() as lines:
        yield
    notes([*before, *lines])


def notes(lines: Sequence[str]) -> None:
    """What loaders have to say, on stderr, and once how their options are typed where they speak of them."""
    for line in lines:
        say(line, err=True)
    if any(map(speaks_of_options, lines)):
        say(HINT, err=True)


def summary(curves: Curves, points: int | None = None) -> str:
    """Runs, metrics with their kinds, and points (as many as said, else those of the table), as one line."""
    kinds = ", ".join(sorted({metric.kind for metric in curves.metrics.values()}))
    metrics = curves.points["metric"].nunique()
    points = len(curves.points) if points is None else points
    return f"{len(curves.runs)} runs, {metrics} metrics ({kinds}), {points} points"


@contextmanager
def bar(what: str, *, quiet: bool, transient: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr: call it with how many are done, of how many.

    A transient one is gone at the end, and is not shown at all where stderr is no terminal.
    """
    if quiet:
        yield lambda done, all_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    stderr = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    shown = stderr.is_terminal or not transient
    with Progress(*columns, console=stderr, transient=transient, disable=not shown) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, all_: progress.update(task, completed=done, total=all_)


@contextmanager
def spinner(what: str, *, quiet: bool) -> Iterator[None]:
    """A sign on stderr that work goes on."""
    if quiet:
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield

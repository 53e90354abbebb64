"""What all commands share: how lines are printed, and options named where the library names keywords."""

from __future__ import annotations

import ast
import os
import re
import shlex
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from predictdyn.secrets import hidden

PATH = click.Path(path_type=Path)


class ResultFolder(click.Path):
    """The path of a folder that a command writes, or has written: its name is checked before anything is done."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; ValueError for a name that no parquet file can be written under."""
        from predictdyn.backtest.writing import check_name

        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        check_name(path)
        return path


FOLDER = ResultFolder(path_type=Path)
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


# Keywords of the library, and the options that are typed for them.
TYPED = {
    "upto": "--upto", "cutoff": "--cutoff", "at": "--at", "hold_out": "--hold-out", "test": "--test",
    "budget": "--budget", "out": "--out", "mirror": "--from", "inputs": "--inputs", "cost": "--cost",
    "better": "--better",
}  # fmt: skip
KEYWORD = re.compile(rf"(?<![\w\-./?&])({'|'.join(TYPED)})=(?:'([^'=]*)'|([A-Z]+\b))?")
PATTERN = re.compile(r"source='(\w+)', (\w+)=((['\"]).*\4)")


def as_options(line: str) -> str:
    r"""A line of the library, which names keywords, in the words of the command line.

    >>> as_options("give upto= or cutoff=, not both"), as_options("type hold_out='run'"), as_options("choose out=DIR")
    ('give --upto or --cutoff, not both', 'type --hold-out run', 'choose --out DIR')
    >>> print(as_options(r"read them with source='text_log', pattern='step (?P<step>\\d+)'"))
    read them with --source text_log --set 'pattern=step (?P<step>\d+)'
    """

    def typed(found: re.Match[str]) -> str:
        value = found[2] or found[3]
        return f"{TYPED[found[1]]} {value}" if value else TYPED[found[1]]

    def loading(found: re.Match[str]) -> str:
        return f"--source {found[1]} --set {shlex.quote(f'{found[2]}={ast.literal_eval(found[3])}')}"

    line = PATTERN.sub(loading, line).replace("name one with source=NAME", "name one with --source")
    line = re.sub(r"\(source='(\w+)'\)", r"(--source \1)", line)
    return KEYWORD.sub(typed, line)


def option_names() -> set[str]:
    """What loaders take beside a path, of all sources, and ``source`` itself; imports them all."""
    from predictdyn import loaders

    return {"source", *(option.name for name in loaders.sources() for option in loaders.source(name).options)}


@contextmanager
def said(before: Sequence[str] = ()) -> Iterator[None]:
    """Warnings of loaders, inside, are lines on stderr behind those of ``before``, not warnings of Python."""
    from predictdyn.loaders import heard

    with heard() as lines:
        yield
    notes([*before, *lines])


def notes(lines: Sequence[str]) -> None:
    """What is to be said of data, on stderr, and once how options of loading are typed where it speaks of them."""
    lines = [as_options(line) for line in lines]
    for line in lines:
        say(line, err=True)
    if any(map(speaks_of_options, lines)):
        say(HINT, err=True)

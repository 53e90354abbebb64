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

from predictdyn.naming import BY_LAW, BY_METRICS, BY_RUNS
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


# Keywords of the library, and the options that are typed for them.
TYPED = {
    "upto": "--upto", "cutoff": "--cutoff", "at": "--at", "hold_out": "--hold-out", "test": "--test",
    "budget": "--budget", "out": "--out", "mirror": "--from", "inputs": "--inputs", "cost": "--cost",
    "better": "--better", "nuts": "--nuts", "lower": "--lower", "upper": "--upper", "chance": "--chance",
    "seed": "--seed", "target": "--target", "peak": "--peak", "warm_up": "--warm-up", "least": "--least",
    "probability": "--probability", "total_steps": "--steps", "most_steps": "--steps",
    "via": "--via", "questions": "--questions", "last_n": "--last-n", "void_if": "--void-if",
    "resolve_by": "--resolve-by", "redact": "--redact",
    "repository": "--repository", "address": "--address",
}  # fmt: skip
KEYWORD = re.compile(rf"(?<![\w\-./?&])({'|'.join(TYPED)})=(?:'([^'=]*)'|([A-Z]+\b|[+-]?\d[\w.+-]*))?")
# What stands in another place on the command line: tables that state facts, and the command for a call.
ELSEWHERE = {
    BY_RUNS: "in runs.csv (of a tidy folder, or by --set runs_file=FILE)",
    BY_METRICS: "in metrics.csv (of a tidy folder, or by --set metrics_file=FILE)",
    BY_LAW: "by predictdyn law LOGS --target METRIC --predict NAME=VALUE",
}
# What is given to loaders, as the library names it: step=..., step=NAME, merge='runs', source='text_log', pattern='...'
LOADING = re.compile(
    r"(?<![\w\-./?&'=])(?<!--set )(?P<name>[a-z][a-z_]*)="
    r"(?:(?P<literal>(?P<quote>['\"])(?:\\.|(?!(?P=quote)).)*(?P=quote))|(?P<word>\.\.\.|[A-Z]+\b))"
)


def as_options(line: str) -> str:
    r"""A line of the library, which names keywords, in the words of the command line.

    >>> as_options("give upto= or cutoff=, not both"), as_options("type hold_out='run'"), as_options("choose out=DIR")
    ('give --upto or --cutoff, not both', 'type --hold-out run', 'choose --out DIR')
    >>> as_options("lower=3 is not below upper=1e-2")
    '--lower 3 is not below --upper 1e-2'
    >>> as_options("name it with step=..., or say merge='runs'")
    'name it with --set step=..., or say --set merge=runs'
    >>> as_options(f"name families {BY_RUNS}")
    'name families in runs.csv (of a tidy folder, or by --set runs_file=FILE)'
    >>> as_options(f"forecast them {BY_LAW}")
    'forecast them by predictdyn law LOGS --target METRIC --predict NAME=VALUE'
    >>> print(as_options(r"read them with source='text_log', pattern='step (?P<step>\\d+)'"))
    read them with --source text_log --set 'pattern=step (?P<step>\d+)'
    """

    def typed(found: re.Match[str]) -> str:
        value = found[2] or found[3]
        return f"{TYPED[found[1]]} {value}" if value else TYPED[found[1]]

    def loading(found: re.Match[str]) -> str:
        name, value = found["name"], found["word"] or str(ast.literal_eval(found["literal"]))
        if name not in option_names():
            return found[0]
        return f"--source {value}" if name == "source" else f"--set {shlex.quote(f'{name}={value}')}"

    for words, typed_words in ELSEWHERE.items():
        line = line.replace(words, typed_words)
    line = KEYWORD.sub(typed, LOADING.sub(loading, line))
    # What is given together has commas in Python.
    return re.sub(r"(--source \S+), (--set )", r"\1 \2", line)


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
    """What is to be said of data, on stderr, in the words of the command line; what may hurt is a warning."""
    if not lines:
        return
    from predictdyn.loaders.engine.notes import may_hurt

    for line in lines:
        say(f"warning: {as_options(line)}" if may_hurt(line) else as_options(line), err=True)

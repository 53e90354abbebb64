"""Reading: logs and public data as curves, with what was merged, dropped or assumed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from predictdyn import datasets, loaders
from predictdyn.backtest.schedules import settled
from predictdyn.covariates import known_before
from predictdyn.curves import Curves
from predictdyn.loaders import heard
from predictdyn.loaders.engine.notes import may_hurt
from predictdyn.progress import bar, quiet_by


def load(path: Path | str, source: str | None = None, **settings: Any) -> Curves:
    """Read any log or table into curves.

    ``source`` names the tool or form; without it `load` finds out. ``settings`` are those of the source, such as
    ``last_step=1000`` or ``run="seed"`` (docs/logs.md). What was merged, dropped or assumed is in ``curves.notes``;
    what may hurt is a UserWarning as well. Raises ValueError, one line: what was expected, found, and is allowed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = "run,step,val_loss\\na,1,3.5\\na,2,3.0\\nb,1,3.7\\n"
    ...     _ = Path(folder, "log.csv").write_text(rows)
    ...     load(Path(folder, "log.csv"), last_step=2)
    Curves: 2 runs, 1 metrics (loss), 3 points
    """
    place = path_of(path, "path")
    name, found = source_of(place, source)
    curves = read(place, name, settings)
    curves = replace(curves, notes=(*found, *curves.notes))
    tell(curves.notes, stacklevel=2)
    return curves


def load_dataset(name: str, *, progress: bool | None = None) -> Curves:
    """A public data set by its name; ``digits``, ``grokking`` and ``tinylm`` come with the package.

    Others are fetched once, checked and kept (`predictdyn datasets list` shows all). Raises ValueError for a name that
    is not known, and for files that differ from those published.

    >>> load_dataset("tinylm")
    Curves: ... runs, ... metrics (...), ... points
    """
    if not isinstance(name, str):
        raise ValueError(f"name= takes the name of a data set, got {name!r}")
    with bar(f"fetching {name}", quiet=quiet_by(progress), transient=progress is None) as moved, heard() as lines:
        curves = datasets.load(name, progress=moved)
    curves = replace(curves, notes=tuple(lines))
    tell(curves.notes, stacklevel=2)
    return curves


def path_of(given: Path | str, keyword: str) -> Path:
    """The path that was given; ValueError for what is none.

    >>> path_of("logs", "path").name
    'logs'
    """
    if isinstance(given, str | PathLike):
        return Path(given)
    kind = "a table" if isinstance(given, pd.DataFrame) else type(given).__name__
    table = "; make curves of a table by Curves.from_frame(frame)" if isinstance(given, pd.DataFrame) else ""
    raise ValueError(f"{keyword}= takes the path of a file or folder, got {kind}{table}")


def source_of(path: Path, source: str | None) -> tuple[str, list[str]]:
    """The source that was named, else what the path looks like, and a line on it, unless it is our own format."""
    if source is not None:
        loaders.source(source)
        return source, []
    found = loaders.detect(path)
    return found.source, [f"{path}: {found.words} (source='{found.source}')"] if found.source != "tidy" else []


def read(path: Path, source: str, settings: dict[str, Any]) -> Curves:
    """Curves of a path by a source, with what the loader has to say as their notes."""
    with heard() as lines:
        curves = loaders.load(path, source, **settings)
    return replace(curves, notes=tuple(lines))


def prepared(curves: Curves) -> Curves:
    """The same curves without what was not known before the runs, and notes on it; doing it twice changes nothing.

    Raises ValueError for what is no `Curves`: all verbs begin here.
    """
    if not isinstance(curves, Curves):
        kind = "a table" if isinstance(curves, pd.DataFrame) else type(curves).__name__
        raise ValueError(
            f"curves= takes Curves, got {kind}; make them by Curves.from_frame(frame) of a table, "
            "or by load(path) of a log"
        )
    kept, reached = known_before(curves)
    kept, noted = settled(kept)
    notes = (*curves.notes, *(line for line in (*reached, *noted) if line not in curves.notes))
    if kept.runs is curves.runs and kept.metrics == curves.metrics and notes == curves.notes:
        return curves  # with what was worked out of them
    return replace(kept, notes=notes)


def tell(lines: Sequence[str], *, stacklevel: int) -> None:
    """Issue the lines that may hurt as UserWarnings."""
    for line in lines:
        if may_hurt(line):
            warnings.warn(line, UserWarning, stacklevel=stacklevel + 1)


def globs(words: str | Sequence[str] | None, keyword: str) -> tuple[str, ...]:
    """One glob, several, or none, as a tuple; ValueError for what is neither.

    >>> globs("val_*", "metrics"), globs(["a", "b"], "runs"), globs(None, "runs")
    (('val_*',), ('a', 'b'), ())
    """
    if words is None:
        return ()
    several = (words,) if isinstance(words, str) else tuple(words) if isinstance(words, Iterable) else (words,)
    if not all(isinstance(word, str) for word in several):
        raise ValueError(f"{keyword}= takes a name or glob, or several, got {words!r}")
    return several

"""Follow a path that grows: read it again, but only runs whose files have changed."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import ENDED, Curves, Metric, curves_from, ended, no_curves
from predictdyn.loaders import Source, heard
from predictdyn.loaders import source as source_of
from predictdyn.loaders.engine.companions import beside
from predictdyn.loaders.engine.gather import Head, head_of, tables_of, tidied
from predictdyn.loaders.engine.lengths import planned_by
from predictdyn.loaders.engine.merge import Conflict, Tidy
from predictdyn.loaders.engine.not_finite import broken
from predictdyn.loaders.engine.runlog import Item
from predictdyn.loaders.engine.state import Marks, marks
from predictdyn.loaders.files.folders import walk

# Files to which a writer adds line by line: the last line is whole once it ends.
LINEWISE = {".csv", ".tsv", ".jsonl", ".ndjson", ".log", ".txt", ".out"}
ASSUMED_END = "is not known, taken to be the largest logged step"  # of planned lengths, in a note of loaders
PATIENCE = 60.0  # seconds that a last line may stay without an end before it is read as it is


class News(NamedTuple):
    """What a path holds of runs that have not ended, or have ended since the last time.

    ``grown`` are the runs whose files have changed, ``ended`` those that have reached their planned end, ``written``
    when the files of each run were last written (seconds since 1970; NaN where there is no file), ``total`` how many
    runs the path holds. A run of which no number was finite is there without points. ``reached`` is the last step that
    each run has logged, also of a number that is not finite; a run that is not in it is where its points are.
    """

    curves: Curves | None
    grown: frozenset[str]
    ended: frozenset[str]
    written: Mapping[str, float]
    total: int
    notes: tuple[str, ...]
    reached: Mapping[str, float] = {}


class _ReadLog(NamedTuple):
    """A log as it was read: what tells whether it has changed, and the runs in it with what is kept of each."""

    key: str
    marks: Marks
    runs: list[Tidy]
    heads: list[Head]


@dataclass
class Follower:
    """A path, read by one source with its options, again and again.

    A log whose files have kept size, time and first bytes is not read again; one that has changed is read whole, since
    a log that went back has to be merged. A log whose last line is half written waits until the line ends. ``usual``
    is the planned end of runs that nothing else states, where the history has one.
    """

    path: Path
    source: Source
    options: Mapping[str, object]
    usual: float | None = None
    past: frozenset[str] | None = None  # runs that had ended when the path was read first: they are not in question
    closed: frozenset[str] = frozenset()  # runs whose end was seen
    last: Mapping[str, float] = field(default_factory=dict)  # the last step of each run when it was read before
    _logs: dict[str, _ReadLog] = field(default_factory=dict)
    _open: frozenset[str] = frozenset()  # runs that have grown, of news that nobody has accepted
    _whole: Marks | None = None
    _still: list[tuple[str, int, int]] | None = None  # sizes and times of all files, where all were read
    _merged: bool = False  # of two values at a step the later counts

    @classmethod
    def of(cls, path: Path, source: str, options: Mapping[str, object], usual: float | None = None) -> Follower:
        """Checks the options. Raises ValueError for an unknown source, and for an option that is not allowed."""
        one = source_of(source)
        one.checked(options)
        return cls(path, one, options, usual)

    def everything(self) -> Curves:
        """All runs of the path, those that have ended too, as `load` gives them."""
        with heard() as lines:
            found = self.source.load(self.path, **self.options)
        return Curves(found.points, found.runs, found.metrics, found.events, tuple(lines))

    def news(self) -> News | None:
        """What is new since news were accepted; None where no file has changed. Raises ValueError as `load` does."""
        return self._by_run() if self.source.by_run else self._at_once()

    def _by_run(self) -> News | None:
        # A source may have to read every log to tell which files are one run. Where no file has changed it need not.
        still = _stats(self.path)
        if still is not None and still == self._still and not self._open:
            return None
        self._still = None
        chosen = self.source.checked(self.options)
        if self._merged:
            chosen = {**chosen, "merge": "yes"}
        waits: list[str] = []
        now: dict[str, tuple[str, Marks]] = {}
        changed: set[str] = set()

        def known(item: Item) -> list[Tidy]:
            before = self._logs.get(item.run)
            now[item.run] = (item.key, marks(item))  # before it is read: what is written meanwhile is new next time
            same = before is not None and before.key == item.key and bool(before.marks)
            if before is not None and same:
                kept = before.marks == now[item.run][1]
                if not kept and _half_written(item):
                    waits.append(item.run)
                    kept = True
                if kept:
                    now[item.run] = (before.key, before.marks)
                    return before.runs
            changed.add(item.run)
            return []

        found: dict[str, list[Tidy]] = {}
        try:
            with heard() as lines:
                for run in tidied(self.path, self.source, chosen, known):
                    found.setdefault(run.item, []).append(run)
        except Conflict:
            # At the first look a table that contradicts itself is a wrong call. Later a run went back to a checkpoint,
            # and the other runs must not go unwatched for it.
            if self._merged or self.past is None:
                raise
            self._merged = True
            return self._by_run()
        if self._logs and not (changed or self._open) and found.keys() == self._logs.keys():
            self._still = None if waits else still
            return None
        logs = {
            item: self._logs[item]
            if item not in changed
            else _ReadLog(*now[item], runs, [head_of(run) for run in runs])
            for item, runs in found.items()
        }
        told = self._told(logs, changed, chosen, tuple(lines))
        self._logs, self._open, self._still = logs, told.grown, None if waits else still
        return told

    def _told(
        self, logs: Mapping[str, _ReadLog], changed: set[str], chosen: Mapping[str, object], lines: tuple[str, ...]
    ) -> News:
        reached = {run.run: run.reached for log in logs.values() for run in log.runs}
        heads = [_with_events(head, reached[head.run]) for log in logs.values() for head in log.heads]
        tables = tables_of(self.path, heads, chosen)
        table = self._planned(tables.runs, heads)
        last = {head.run: max(head.length.last, reached[head.run]) for head in heads if head.size}
        plan = dict(zip(table.index, table["last_step"].astype(float), strict=True))
        done = [run for run, step in last.items() if step >= ENDED * plan[run]]
        asked, gone = self._in_question(last, done)
        grown = (frozenset(run.run for item in changed for run in logs[item].runs) | self._open) & asked
        wrote = {
            run.run: max((float(entry[2]) / 1e9 for entry in log.marks), default=np.nan)  # type: ignore[arg-type]
            for log in logs.values()
            for run in log.runs
        }
        notes = (*lines, *tables.notes)
        if not asked:
            return News(None, grown, gone, wrote, len(last), notes, reached)
        parts = [run.points.assign(run=run.run) for log in logs.values() for run in log.runs if run.run in asked]
        own = tables.events[tables.events["run"].isin(asked)].reset_index(drop=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # what is left out of settings was said by `tables_of`
                curves = _with_blank(parts, table[table.index.isin(asked)], tables.metrics, own)
                return News(curves, grown, gone, wrote, len(last), notes, reached)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None

    def _in_question(self, last: Mapping[str, float], done: Sequence[str]) -> tuple[frozenset[str], frozenset[str]]:
        """Runs that have not ended or end now, and those that end now, by the ``last`` step of each.

        A run that had ended and went back was begun again: it is in question as any other.
        """
        if self.past is None:
            self.past = frozenset(done)
        again = {run for run, step in last.items() if run not in done and step < self.last.get(run, -np.inf)}
        self.past, self.closed, self.last = self.past - again, self.closed - again, last
        gone = frozenset(done) - self.past - self.closed
        return (frozenset(last) - self.past - self.closed) | gone, gone

    def accept(self, news: News) -> None:
        """The news were dealt with, and what came of them is kept: they are not told again."""
        self.closed |= news.ended
        self._open = frozenset()

    def _planned(self, runs: pd.DataFrame, heads: list[Head]) -> pd.DataFrame:
        """Planned ends, with the usual one where neither the caller, the table of runs nor the log states any."""
        folder, log = (self.path, None) if self.path.is_dir() else (self.path.parent, self.path)
        stated = self.options.get("runs_file") or beside(folder, "runs", ["run"], log=log)
        if self.usual is None or self.options.get("last_step") is not None or stated:
            return runs
        open_ended = {
            head.run: max(self.usual, head.length.last)
            for head in heads
            if head.size and planned_by(head.config, head.length) is None
        }
        planned = pd.Series(open_ended, dtype=float).reindex(runs.index)
        return runs.assign(last_step=planned.where(planned.notna(), runs["last_step"].astype(float)))

    def _at_once(self) -> News | None:
        files = sorted(file for file in self.path.rglob("*") if file.is_file()) if self.path.is_dir() else [self.path]
        now = marks(Item("all", tuple(files)))
        if now == self._whole and not self._open:
            return None
        found, self._whole = self.everything(), now
        last = {str(run): float(step) for run, step in found.points.groupby("run")["step"].max().items()}
        asked, gone = self._in_question(last, list(ended(found)))
        wrote = max((float(entry[2]) / 1e9 for entry in now), default=np.nan)  # type: ignore[arg-type]
        curves = found.select(runs=set(asked)) if asked else None
        self._open = asked
        return News(curves, asked, gone, dict.fromkeys(asked, wrote), len(found.runs), found.notes)


def _stats(path: Path) -> list[tuple[str, int, int]] | None:
    """Name, size and time of every file of a folder; None for a path that is no folder."""
    if not path.is_dir():
        return None
    found = []
    for file in walk(path, hidden=True).files:
        with suppress(OSError):  # it is gone again
            about = file.stat()
            found.append((str(file), about.st_size, about.st_mtime_ns))
    return found


def _with_events(head: Head, reached: float) -> Head:
    """A run of which no number was finite, with a place among the others: that it has none is what a watch is for."""
    if head.size or not any(broken(what) for _, what in head.events):
        return head
    return head._replace(size=1, length=head.length._replace(last=reached))


def _with_blank(
    parts: Sequence[pd.DataFrame], runs: pd.DataFrame, metrics: Mapping[str, Metric], events: pd.DataFrame
) -> Curves:
    """Curves of the points of some runs, beside runs that have none: of these there are settings and events alone."""
    parts = [part for part in parts if len(part)]
    full = {str(run) for part in parts for run in part["run"].unique()}
    if not parts:
        return Curves(no_curves().points, runs, {}, events)
    found = curves_from(pd.concat(parts, ignore_index=True), runs, metrics, events[events["run"].isin(full)])
    blank = runs[~runs.index.isin(full)]
    if blank.empty:
        return found
    table = pd.concat([found.runs, blank.reindex(columns=found.runs.columns)]).sort_index()
    return Curves(found.points, table.rename_axis("run"), found.metrics, events)


def _half_written(item: Item) -> bool:
    """Whether a file that is written line by line ends in the middle of one, and was touched a moment ago."""
    for file in item.files:
        if file.suffix.lower() in LINEWISE:
            try:
                about = file.stat()
                if about.st_size and time.time() - about.st_mtime < PATIENCE:
                    with file.open("rb") as opened:
                        opened.seek(-1, 2)
                        if opened.read(1) not in (b"\n", b"\r"):
                            return True
            except OSError:
                continue
    return False


def usual_end(history: Curves) -> float | None:
    """The planned end that all runs of a history share, None where they differ.

    >>> points = pd.DataFrame({"run": ["a", "b"], "metric": "loss", "step": 9, "value": 1.0})
    >>> usual_end(curves_from(points))
    9.0
    """
    ends = history.runs["last_step"].astype(float).unique()
    return float(ends[0]) if len(ends) == 1 else None


def unknown_ends(news: News) -> str:
    """A line for a path of which no run is in question: all have ended, or nothing says where they end."""
    assumed = [line for line in news.notes if ASSUMED_END in line]
    if assumed:
        return f"no run is watched, as all {news.total} run(s) count as ended: {assumed[0]}"
    return f"all {news.total} run(s) have reached their planned end, so there is nothing to watch"

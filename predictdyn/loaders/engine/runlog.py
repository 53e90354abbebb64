"""What one run logged, as the tool that wrote it says it: before runs are merged, filtered, named or checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from predictdyn.loaders.files.tables import place


class Places(NamedTuple):
    """Where the rows of a log stand: ``file`` (n,) index into ``files``, ``line`` (n,) from 1."""

    files: tuple[Path, ...]
    file: np.ndarray
    line: np.ndarray

    def of(self, row: int) -> str:
        """Words for the place of a row (counted from 0)."""
        return place(self.files[int(self.file[row])], int(self.line[row]))


class RunLog(NamedTuple):
    """All that one run logged, in the order in which it was written.

    ``metric`` (n,) names, ``step`` (n,) and ``value`` (n,) numbers, NaN and infinity as they were logged; ``wall`` (n,)
    seconds since 1970, NaN where unknown; ``segment`` (n,) counts the starts of a run that was stopped and resumed.
    ``config`` are the run's settings, flat, with / between the levels. ``planned`` is the planned length in steps,
    where the settings say so. ``events`` are (step, what). ``dropped`` says what could not be read: reason and count.
    ``stopped`` is the tool's word for a run that was stopped before its planned end ("pruned", "killed"), else "".
    ``study`` names a search whose trials were all meant to be equally long, where the run is one of them, else "".
    ``strict`` logs are tables that somebody may have made: where they contradict themselves, that is an error.
    ``places`` say where the rows of a table stand, whose columns a user may name; other logs have none.
    """

    run: str
    metric: np.ndarray
    step: np.ndarray
    value: np.ndarray
    wall: np.ndarray
    segment: np.ndarray
    config: Mapping[str, object] = {}
    planned: float | None = None
    events: Sequence[tuple[float, str]] = ()
    dropped: Mapping[str, int] = {}
    stopped: str = ""
    study: str = ""
    strict: bool = False
    places: Places | None = None

    def only(self, rows: np.ndarray) -> RunLog:
        """The rows (places, or truth values) of a log, all else as it is."""
        columns = {name: getattr(self, name)[rows] for name in ("metric", "step", "value", "wall", "segment")}
        places = self.places and self.places._replace(file=self.places.file[rows], line=self.places.line[rows])
        return self._replace(**columns, places=places)


class Item(NamedTuple):
    """One run that a source has found: its name, the files it is in, and what else tells it apart in them.

    A source that must read everything to know its runs (a table of many runs) hands over the ``log``, too.
    """

    run: str
    files: tuple[Path, ...]
    key: str = ""
    log: RunLog | None = None

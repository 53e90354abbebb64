"""Which versions of Lightning's CSVLogger are one run: a run that is resumed goes on in a version of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from predictdyn.loaders.engine.rows import number_of
from predictdyn.loaders.files.contents import read_bytes
from predictdyn.loaders.files.csv_rows import csv_rows
from predictdyn.loaders.files.folders import is_file
from predictdyn.loaders.files.settings_beside import SETTINGS

RESUMED = "version(s) go on where an earlier version stopped, so they are one run with it"


class Stretch(NamedTuple):
    """The part of a run that a table logged: its first and last step, and the widest gap between two steps."""

    first: float
    last: float
    gap: float

    @property
    def resumed(self) -> bool:
        """Whether it begins later than a run that begins anew, which logs within the first interval."""
        return self.first > self.gap

    def goes_on_from(self, other: Stretch) -> bool:
        """Whether it begins within what the other logged, or one interval behind."""
        return other.first < self.first <= other.last + other.gap


def runs_of(files: Sequence[Path]) -> list[tuple[Path, ...]]:
    """The files of each run, in the order of the versions.

    A version goes on with an earlier one if it begins beyond its first interval, where that one was or stopped, and
    both have the same hparams.yaml. Where two earlier runs fit, nothing tells which: the version stays a run.
    """
    beside: dict[Path, list[Path]] = {}
    for file in files:
        folder = file.parent.resolve()
        beside.setdefault(folder.parent if _number(file) is not None else folder, []).append(file)
    return [
        run for versions in beside.values() for run in _chained(sorted(versions, key=lambda file: _number(file) or 0))
    ]


def _chained(versions: Sequence[Path]) -> list[tuple[Path, ...]]:
    if len(versions) < 2:
        return [(file,) for file in versions]
    runs: list[list[Path]] = []
    stretches: list[Stretch | None] = []
    for file in versions:
        own = _stretch(file)
        fits = [
            place
            for place, (run, stretch) in enumerate(zip(runs, stretches, strict=True))
            if own and stretch and own.resumed and own.goes_on_from(stretch) and _settings(run[0]) == _settings(file)
        ]
        if own and len(fits) == 1:
            before = stretches[fits[0]]
            runs[fits[0]].append(file)
            stretches[fits[0]] = own._replace(first=before.first) if before else own
        else:
            runs.append([file])
            stretches.append(own)
    return [tuple(run) for run in runs]


def _stretch(file: Path) -> Stretch | None:
    """What a table logged; None where it has fewer than two steps, or none that can be read."""
    try:
        rows = csv_rows(read_bytes(file)).rows
    except ValueError:
        return None  # the reader of the run says why
    read = (number_of(row.get("step")) for row in rows)
    steps = np.unique([step for step in read if step is not None and np.isfinite(step)])
    return Stretch(float(steps[0]), float(steps[-1]), float(np.diff(steps).max())) if len(steps) > 1 else None


def _settings(file: Path) -> bytes:
    beside = file.parent / SETTINGS[0]
    return read_bytes(beside) if is_file(beside) else b""


def _number(file: Path) -> int | None:
    found = re.fullmatch(r"version_(\d+)", file.parent.resolve().name)
    return int(found[1]) if found else None

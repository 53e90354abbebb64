"""Alarm: what was seen in a run, since when, and how sure."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pandas as pd

from predictdyn.curves import Curves

# Kinds that the false-alarm rate speaks of; the others state facts, or what a forecast says.
TESTED = ("off path", "divergence ahead", "off family curve")
KINDS = (*TESTED, "will miss target", "not finite", "clock stopped")


class Alarm(NamedTuple):
    """One thing that a detector noticed in a run.

    ``kind`` is one of `KINDS`. ``metric`` is blank where the alarm is of the whole run. ``since`` is the step at which
    the trouble seems to have begun, ``step`` the one at which it rang. ``evidence`` is an e-value (kinds in `TESTED`),
    a probability (will miss target), or infinite for facts. ``words`` is one line for a person.
    """

    run: str
    kind: str
    metric: str
    since: float
    step: float
    evidence: float
    words: str


class Look(NamedTuple):
    """What one look found.

    ``alarms``: new ones only, since the state. ``state``: what the next look needs, JSON-able and small,
    ``{"runs": {run: {...}}, "version": 1}``. ``table``: one row a run, with run, step, progress, e_value, alarm (its
    kind, or blank) and a column ``p_<target>`` for each target.
    """

    alarms: tuple[Alarm, ...]
    state: dict[str, Any]
    table: pd.DataFrame


class Detector(Protocol):
    """What looks at runs: learnt from finished runs, kept as settings and arrays.

    Alarms depend on the log alone, and not on how often one looks: a look that sees ten new checkpoints does the ten
    one after the other. A run that rang does not ring again for the same kind and metric.
    """

    def look(self, curves: Curves, state: dict[str, Any]) -> Look:
        """New alarms of all runs of ``curves`` since ``state``, which is ``{}`` at the first look."""
        ...

    def save(self, folder: Path) -> None:
        """Write settings (json) and arrays (npz) into a folder."""
        ...

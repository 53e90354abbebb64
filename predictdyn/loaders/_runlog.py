"""What one run logged, as the tool that wrote it says it: before runs are merged, filtered, named or checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Item(NamedTuple):
    """One run that a source has found: its name, the files it is in, and what else tells it apart in them."""

    run: str
    files: tuple[Path, ...]
    key: str = ""


class RunLog(NamedTuple):
    """All that one run logged, in the order in which it was written.

    ``metric`` (n,) names, ``step`` (n,) and ``value`` (n,) numbers, NaN and infinity as they were logged; ``wall`` (n,)
    seconds since 1970, NaN where unknown; ``segment`` (n,) counts the starts of a run that was stopped and resumed.
    ``config`` are the run's settings, flat, with / between the levels. ``planned`` is the planned length in steps,
    where the settings say so. ``events`` are (step, what). ``dropped`` says what could not be read: reason and count.
    ``stopped`` is the tool's word for a run that was stopped before its planned end ("pruned", "killed"), else "".
    ``study`` names a search whose trials were all meant to be equally long, where the run is one of them, else "".
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

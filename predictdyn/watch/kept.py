"""A detector that is learnt once: kept in a folder, and read back as long as history, seed and code are the same."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from predictdyn import __version__
from predictdyn.backtest.folder import digest
from predictdyn.backtest.spread import address, code
from predictdyn.curves import Curves
from predictdyn.watch.alarm import Detector
from predictdyn.watch.keeping import ARRAYS, SETTINGS, load
from predictdyn.watch.learning import LearntDetector, learn
from predictdyn.watch.state import durable

ALARMS = "alarms"  # the folder, beside the state of a watch or in that of a model
KEY = "kept.json"
RATE = 0.05  # of false alarms, where nobody asks for another


def learnt_once(
    history: Curves, home: Path | None, *, false_alarms: float, given: Path | None = None,
    beside: Detector | None = None, seed: int = 0,
) -> LearntDetector:  # fmt: skip
    """As `learn`, but read from ``home`` or ``given`` where one holds what it would give; else it is kept in ``home``.

    The rate is no part of what is learnt: one detector serves all. A folder that cannot be written is no error, as
    nothing but time is lost. Raises ValueError as `learn`.
    """
    if not 0 < false_alarms < 1:
        raise ValueError(f"false_alarms= is a share of runs in (0, 1), got {false_alarms}")
    made = key(history, seed)
    found = next((one for folder in (home, given) if folder and (one := kept(folder, made))), None)
    if found is None:
        found = learn(history, false_alarms=false_alarms, seed=seed)
        if home is not None:
            with suppress(OSError):
                keep(found, home, made)
                # What is kept has fewer digits: the next start must judge exactly as this one.
                found = kept(home, made) or found
    return replace(found, rate=false_alarms, beside=beside)


def key(history: Curves, seed: int) -> str:
    """A hash of all that decides what is learnt: the history, the seed, and the code."""
    return address(__version__, str(seed), digest(history), code())


def kept(folder: Path, made: str) -> LearntDetector | None:
    """The detector in a folder; None where there is none, where it is of another key, and where it is damaged."""
    try:
        said = json.loads((folder / KEY).read_bytes())
        if said["key"] != made or said["files"] != _hashes(folder):
            return None
        return load(folder)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def keep(detector: LearntDetector, folder: Path, made: str) -> None:
    """Write a detector, and its key last: whatever breaks it off leaves nothing that is taken for a whole one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / KEY).unlink(missing_ok=True)
    replace(detector, beside=None).save(folder)
    durable(folder / KEY, json.dumps({"key": made, "files": _hashes(folder)}, indent=1).encode())


def _hashes(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (SETTINGS, ARRAYS)}

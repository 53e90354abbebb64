"""What a watcher knows, as one small file that is whole at any moment, also after kill -9."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from predictdyn.watch.alarm import Alarm

NAME = "state.json"
VERSION = 1
CHANGES = 200  # lines that are kept
TRACK = 60  # forecasts of a run that are kept


class Rung(NamedTuple):
    """An alarm that has rung, and how far it was told.

    ``id`` is made of the run, the kind, the metric and the step, so the same log gives the same one. ``told`` and
    ``reported``: it was printed; a command has ended with it as its exit status. ``hook``: "due", "done", "failed" or
    "none"; ``tries`` counts calls that were begun.
    """

    id: str
    alarm: Alarm
    at: float  # seconds since 1970
    told: bool = False
    reported: bool = False
    hook: str = "none"
    tries: int = 0


class WatchState(NamedTuple):
    """All that outlives a process.

    ``made`` says what is watched and how; ``past`` are runs that had ended before the first look, None before it.
    ``runs``: of each run in question its step, when it last grew (``at``), the longest pause, whether it has ended,
    and its forecasts (``track``). ``detector`` is the detector's own. ``changes`` are (seconds since 1970, words).
    """

    made: Mapping[str, Any]
    past: list[str] | None
    runs: dict[str, dict[str, Any]]
    detector: dict[str, Any]
    alarms: list[Rung]
    changes: list[tuple[float, str]]
    looks: int = 0
    looked: float = 0.0


def new_state(made: Mapping[str, Any]) -> WatchState:
    """The state before the first look."""
    return WatchState(made, None, {}, {}, [], [])


def alarm_id(alarm: Alarm) -> str:
    """The id of an alarm: the same for the same run, kind, metric and step.

    >>> alarm_id(Alarm("a", "not finite", "loss", 5, 5, float("inf"), "loss is NaN"))
    '9a4548149a70'
    """
    said = "\x1f".join([alarm.run, alarm.kind, alarm.metric, f"{alarm.step:.12g}"])
    return hashlib.sha256(said.encode(errors="backslashreplace")).hexdigest()[:12]


def read_state(folder: Path, made: Mapping[str, Any]) -> WatchState:
    """The state that a folder was left in; a new one where there is none.

    Where another path was watched, this is an error, as two logs must not share a state. Where the model or what is
    asked has changed, the detector begins anew, and alarms that have rung are kept. Raises ValueError, one line.
    """
    file = folder / NAME
    try:
        said = json.loads(file.read_bytes())
    except FileNotFoundError:
        return new_state(made)
    except ValueError:
        raise ValueError(f"{file} is no state of a watch; choose another out=, or remove the folder") from None
    try:
        before = said["made"]
        if said["version"] != VERSION or before["path"] != made["path"]:
            raise ValueError(
                f"{folder} holds the watch of {before['path']}, not of {made['path']}; choose another out= for this one"
            )
        same = before == json.loads(json.dumps(made))
        rung = [_rung(one) for one in said["alarms"]]
        parts = [said["detector"], said["runs"], *said["runs"].values()]
        if not all(isinstance(part, dict) for part in parts):
            raise TypeError("runs and detector are tables")
        changes = [(float(at), str(words)) for at, words in said["changes"]]
        return WatchState(
            made, said["past"], said["runs"], said["detector"] if same else {}, rung, changes, said["looks"],
            said["looked"],
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} is no state of a watch ({type(error).__name__}: {error}); "
            "choose another out=, or remove the folder"
        ) from None


def write_state(folder: Path, state: WatchState) -> None:
    """Write it aside, make sure that it is on the disk, and put it in its place by one rename."""
    said = {
        **state._asdict(),
        "version": VERSION,
        "alarms": [{**one._asdict(), "alarm": plain_alarm(one.alarm)} for one in state.alarms],
        "changes": state.changes[-CHANGES:],
    }
    durable(folder / NAME, json.dumps(said, allow_nan=False, default=_number).encode())


def plain_alarm(alarm: Alarm) -> dict[str, Any]:
    """An alarm as JSON can say it: the evidence of a fact, which is infinite, is None."""
    fields = {name: _number(cell) if isinstance(cell, np.generic) else cell for name, cell in alarm._asdict().items()}
    return {**fields, "evidence": alarm.evidence if math.isfinite(alarm.evidence) else None}


def _rung(said: dict[str, Any]) -> Rung:
    evidence = said["alarm"]["evidence"]
    alarm = Alarm(**{**said["alarm"], "evidence": math.inf if evidence is None else evidence})
    return Rung(**{**said, "alarm": alarm})


def _number(value: object) -> object:
    """A number of NumPy as Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a state holds no {type(value).__name__}")


def durable(file: Path, content: bytes) -> None:
    """A file with this content: after a crash at any moment it holds all of it, or what it held before."""
    file.parent.mkdir(parents=True, exist_ok=True)  # somebody may have tidied up since the last look
    aside = file.with_name(f".{file.name}.partial")
    with aside.open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(aside, file)
    if os.name == "posix":  # the rename itself is on the disk once the folder is
        handle = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def thinned(track: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most `TRACK` forecasts: every second of the older ones goes, the last ten and the first stay."""
    while len(track) > TRACK:
        track = [*track[:-10][::2], *track[-10:]]
    return track

"""The journal of Optuna: one operation a line, replayed from the first to the last."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from predictdyn.loaders.files.folders import beginning
from predictdyn.loaders.optuna.trials import NAMES, Trial, parameter

STATES = ("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")
BEGIN = b'{"op_code":'
CUT = "last line of the journal cut short, dropped"
DAMAGED = "line(s) of the journal dropped, from a damaged one on"


class Replayed(NamedTuple):
    """The trials that have begun, those of a study together, and lines that could not be used."""

    trials: tuple[Trial, ...]
    dropped: dict[str, int]


class _Study(NamedTuple):
    name: str
    metrics: list[str]
    trials: list[int]


def is_journal(path: Path) -> bool:
    """Whether a file begins as a journal does."""
    return beginning(path, len(BEGIN)) == BEGIN


def replayed(path: Path) -> Replayed:
    """The journal as it stands; ValueError where it cannot be read."""
    try:
        about = path.stat()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    return _replayed(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=1)  # a journal holds many trials, which are read one after the other
def _replayed(path: Path, size: int, changed: int) -> Replayed:
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    studies: dict[int, _Study] = {}
    trials: list[dict[str, Any]] = []
    dropped = {CUT: 1} if rest.strip() else {}
    begun = 0
    for i, line in enumerate(lines):
        try:
            operation = json.loads(line)
            begun += _apply(operation, studies, trials, begun)
        # Trials and studies are counted, not named: after a line that is lost nothing can be trusted.
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError):
            dropped[DAMAGED] = len(lines) - i
            break
    found = [
        Trial(
            study.name,
            number,
            trials[i]["state"],
            trials[i]["params"],
            list(trials[i]["reported"]),
            list(trials[i]["reported"].values()),
            trials[i]["final"] or [],
            study.metrics,
        )
        for study in studies.values()
        for number, i in enumerate(study.trials)
        if trials[i]["state"] != "WAITING"
    ]
    return Replayed(tuple(found), dropped)


def _apply(operation: dict[str, Any], studies: dict[int, _Study], trials: list[dict[str, Any]], begun: int) -> int:
    """One operation on studies and trials, by the rules of Optuna; 1 where it began a study, else 0."""
    code = operation["op_code"]
    if code == 0:
        name = str(operation["study_name"])
        if any(study.name == name for study in studies.values()):
            return 0  # two workers began one study
        studies[begun] = _Study(name, [], [])
        return 1
    if code == 1:
        studies.pop(operation["study_id"], None)
    elif code == 3 and operation["study_id"] in studies and NAMES in operation["system_attr"]:
        studies[operation["study_id"]].metrics[:] = map(str, operation["system_attr"][NAMES])
    elif code == 4 and operation["study_id"] in studies:
        studies[operation["study_id"]].trials.append(len(trials))
        trials.append(_trial(operation))
    elif code in (5, 6, 7) and 0 <= operation["trial_id"] < len(trials):
        trial = trials[operation["trial_id"]]
        if trial["state"] not in ("RUNNING", "WAITING"):
            return 0  # what comes after the end of a trial does not count
        if code == 5:
            value = parameter(operation["param_value_internal"], operation["distribution"])
            trial["params"][str(operation["param_name"])] = value
        elif code == 6:
            trial["state"] = STATES[operation["state"]]
            trial["final"] = list(operation["values"] or []) or trial["final"]
        else:
            trial["reported"][operation["step"]] = operation["intermediate_value"]
    return 0


def _trial(operation: dict[str, Any]) -> dict[str, Any]:
    """A trial as it is created: mostly empty, but one that was copied into a study comes whole."""
    distributions = operation.get("distributions") or {}
    params = operation.get("params") or {}
    final = operation.get("values") or [operation.get("value")]
    return {
        "state": STATES[operation.get("state", 0)],
        "params": {name: parameter(value, distributions.get(name, "")) for name, value in params.items()},
        "reported": {int(step): value for step, value in (operation.get("intermediate_values") or {}).items()},
        "final": [value for value in final if value is not None],
    }

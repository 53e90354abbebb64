"""How the trials of Ray Tune ended: the state of their experiment, and errors that they left. Nothing is unpickled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from predictdyn.loaders.files.contents import read_bytes
from predictdyn.loaders.files.folders import first_line, is_file
from predictdyn.loaders.files.json_rows import json_number

STATES = "experiment_state-*.json"  # in the folder of the experiment, above those of its trials
ERRORS = ("error.txt", "error.pkl")  # written by a trial that fails
UNFINISHED = ("PENDING", "RUNNING", "PAUSED", "RESTORING")
FAILED = "ERROR"


class Ending(NamedTuple):
    """The status of a trial (blank: not known), at which values it should stop, and whether it left an error."""

    status: str = ""
    limits: Mapping[str, float] = {}
    error: bool = False

    def stopped(self, done: bool) -> str:
        """The word for a trial that did not come to its end; a retried one may have left an error and be ``done``."""
        if self.status == FAILED or (self.error and not self.status and not done):
            return "failed"
        return self.status.lower() if self.status in UNFINISHED else ""

    def key(self) -> str:
        """This as text, blank where nothing is known."""
        return json.dumps(self) if any(self) else ""


def ending_in(key: str) -> Ending:
    """What `Ending.key` gave."""
    return Ending(*json.loads(key)) if key else Ending()


def ending(log: Path, states: Mapping[str, Ending]) -> Ending:
    """That of the trial whose reports a file holds; ``states`` are those of its experiment by the ids of trials."""
    known = Ending()
    if states:
        try:
            known = states[str(json.loads(first_line(log))["trial_id"])]
        except (ValueError, TypeError, KeyError, RecursionError):
            # A folder is called by the id of its trial, if by nothing else: train_a1b2c_00000_0_lr=0.1.
            named = (state for trial, state in states.items() if f"_{trial}_" in f"_{log.parent.name}_")
            known = next(named, known)
    return known._replace(error=any(is_file(log.parent / name) for name in ERRORS))


def trial_states(experiment: Path) -> dict[str, Ending]:
    """The trials in the newest state of an experiment that can be read, by id; none where there is no state."""
    try:
        files = sorted(filter(is_file, experiment.glob(STATES)), reverse=True)  # their names hold the time
    except OSError:
        return {}
    for file in files:
        try:
            content = json.loads(read_bytes(file))
        except (ValueError, RecursionError):
            continue
        found = {str(trial["trial_id"]): Ending(str(trial["status"]), _limits(trial)) for trial in _trials(content)}
        if found:
            return found
    return {}


def _limits(trial: Mapping[str, Any]) -> dict[str, float]:
    stop = trial.get("stopping_criterion")
    numbers = {name: json_number(cell) for name, cell in stop.items()} if isinstance(stop, dict) else {}
    return {name: number for name, number in numbers.items() if number is not None and 0 < number < float("inf")}


def _trials(content: object) -> Iterator[Mapping[str, Any]]:
    """The trials of a state: objects, or JSON texts; in a list of ``checkpoints``, or (newer) of ``trial_data``."""
    if not isinstance(content, dict):
        return
    for name in ("trial_data", "checkpoints"):
        entries = content.get(name)
        for entry in entries if isinstance(entries, list) else []:
            for part in entry if isinstance(entry, list) else [entry]:
                try:
                    trial = json.loads(part) if isinstance(part, str) else part
                except (ValueError, RecursionError):
                    continue
                if isinstance(trial, dict) and {"trial_id", "status"} <= trial.keys():
                    yield trial

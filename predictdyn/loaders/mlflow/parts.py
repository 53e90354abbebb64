"""What every store of MLflow says of a run, wherever it is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from predictdyn.loaders.engine.rows import Column, run_log, setting
from predictdyn.loaders.engine.runlog import RunLog

PARENT = "mlflow.parentRunId"
RUN_NAME = "mlflow.runName"
UNFINISHED = ("RUNNING", "SCHEDULED", "FAILED", "KILLED")
DELETED = "run(s) left out that were deleted in MLflow"


class StoredRun(NamedTuple):
    """A run of a store: its id, its own name, the name of its experiment, the files it is in."""

    id: str
    name: str
    experiment: str
    files: tuple[Path, ...]


class Cells(NamedTuple):
    """Rows as they are stored, each a sequence of n cells; ``time`` in milliseconds since 1970."""

    metric: Column
    step: Column
    value: Column
    time: Column


def as_run_log(
    run: str,
    cells: Cells,
    *,
    status: str,
    deleted: bool,
    params: Mapping[str, str],
    parents: Sequence[str],
    dropped: Mapping[str, int] | None = None,
) -> RunLog:
    """One run: settings from text, a failure as an event at the last step, the outermost of its parents as family.

    Any state but FINISHED is one of a run that was stopped, or goes on. A deleted run comes without rows, and is
    counted.
    """
    if deleted:
        return run_log(run, [], [], [], dropped={DELETED: 1})
    config = {name: setting(text) for name, text in params.items()}
    # An own setting called family is the run's word, and stands.
    config = ({"family": parents[-1]} if parents else {}) | config
    log = run_log(run, *cells[:3], wall=cells.time, config=config, dropped=dropped)
    events = [(float(log.step.max()), status.lower())] if status in ("FAILED", "KILLED") and len(log.step) else []
    stopped = status.lower() if status in UNFINISHED else ""
    return log._replace(wall=log.wall / 1000, events=tuple(events), stopped=stopped)


def names(found: Sequence[StoredRun]) -> list[str]:
    """A name for every run, its own where that is unique: else with its experiment in front, else its id behind.

    >>> runs = [("a1", "mlp", "one"), ("b2", "mlp", "two"), ("c3", "cnn", "two"), ("d4", "cnn", "two")]
    >>> names([StoredRun(*run, ()) for run in runs])
    ['one/mlp', 'two/mlp', 'cnn-c3', 'cnn-d4']
    """
    groups: dict[str, list[StoredRun]] = {}
    for run in found:
        groups.setdefault(run.name, []).append(run)
    chosen: dict[str, str] = {}
    for name, runs in groups.items():
        prefixed = [f"{run.experiment}/{name}" for run in runs]
        behind = [f"{name}-{run.id[:8]}" for run in runs]
        ways = ([name] * len(runs), prefixed, behind, [f"{name}-{run.id}" for run in runs])
        # A store may lie there twice, as a copy: then nothing tells its runs apart.
        best = next((way for way in ways if len(set(way)) == len(runs)), ways[-1])
        chosen |= {run.id: label for run, label in zip(runs, best, strict=True)}
    twice = Counter(chosen.values())
    return [chosen[run.id] if twice[chosen[run.id]] == 1 else f"{run.name}-{run.id}" for run in found]

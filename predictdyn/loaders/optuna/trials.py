"""A trial of Optuna, wherever it is stored, as the log of a run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from predictdyn.loaders.engine.rows import run_log
from predictdyn.loaders.engine.runlog import RunLog

NAMES = "study:metric_names"  # the attribute of a study that holds what its objectives are called
NO_STEP = "final value(s) of trials dropped, which have no step and are not the last that was reported"


class Trial(NamedTuple):
    """One trial: what it reported (``steps`` and ``values`` (n,)), its ``final`` values, one for each objective."""

    study: str
    number: int
    state: str
    params: Mapping[str, object]
    steps: Sequence[object]
    values: Sequence[object]
    final: Sequence[object]
    metrics: Sequence[str]


def as_run_log(trial: Trial, run: str, dropped: Mapping[str, int] | None = None) -> RunLog:
    """The values reported under the name of the first objective; failed and pruned are events at the last step.

    A trial that has not completed was stopped, or goes on; trials of one study are meant to be equally long.
    """
    names = [trial.metrics[0] if trial.metrics else "objective"] * len(trial.steps)
    log = run_log(run, names, trial.steps, trial.values, config=trial.params, dropped=dropped)
    stopped = {"FAIL": "failed", "PRUNED": "pruned", "RUNNING": "running"}.get(trial.state, "")
    events = ((float(log.step.max()), stopped),) if stopped not in ("", "running") and len(log.step) else ()
    lost = sum(value is not None and [value] != list(trial.values[-1:]) for value in trial.final)
    dropped = dict(log.dropped) | ({NO_STEP: lost} if lost else {})
    return log._replace(events=events, dropped=dropped, stopped=stopped, study=trial.study)


def parameter(value: object, distribution: str) -> object:
    """A parameter as the objective saw it: stored are numbers, for a category its place among the choices.

    >>> parameter(1.0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["adam", "sgd"]}}')
    'sgd'
    >>> parameter(3.0, '{"name": "IntDistribution", "attributes": {"low": 1, "high": 9}}')
    3
    """
    try:
        about = json.loads(distribution)
        if about["name"] == "CategoricalDistribution":
            return about["attributes"]["choices"][int(value)]  # type: ignore[call-overload]
        number = float(value)  # type: ignore[arg-type]
        return int(number) if about["name"].startswith("Int") and math.isfinite(number) else number
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError):
        return None

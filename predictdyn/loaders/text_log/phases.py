"""Text logs of one phase each, as train.log and eval.log, become the log of one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from predictdyn.loaders.engine.runlog import RunLog
from predictdyn.loaders.text_log.names import says_phase

EPOCH = "epoch"
PLACED = "value(s) by epoch placed at the last step of that epoch in training (no value is lost)"
BEYOND = "value(s) by epoch dropped, of epochs that training does not say"


class Phase(NamedTuple):
    """What one file logged: ``front`` goes in front of its names, ``by_epoch`` says that its steps are epochs."""

    front: str
    log: RunLog
    by_epoch: bool


def joined(phases: Sequence[Phase]) -> RunLog:
    """The logs of phases as that of one run, training first, with the phase in front of names that say none.

    Where training counts steps and says its epochs, and another phase counts epochs, what is logged at an epoch lies at
    the last step of that epoch. The planned length is that of training, else of another phase with the same clock.
    """
    phases = sorted(phases, key=lambda phase: "train" not in phase.front)
    first = phases[0]
    ends = np.empty((0, 2)) if first.by_epoch else _ends(first.log)
    logs, planned = [], first.log.planned
    dropped: Counter[str] = Counter()
    for phase in phases:
        log = phase.log
        if phase.by_epoch and len(ends):
            log = _at_ends(log, ends)
        elif planned is None and phase.by_epoch == first.by_epoch:
            planned = log.planned
        dropped.update(log.dropped)
        names = [name if says_phase(name) else f"{phase.front}/{name}" for name in log.metric]
        logs.append(log._replace(metric=np.array(names, dtype=object)))
    metric, step, value, wall, segment = (
        np.concatenate([getattr(log, column) for log in logs])
        for column in ("metric", "step", "value", "wall", "segment")
    )
    return first.log._replace(
        metric=metric, step=step, value=value, wall=wall, segment=segment, planned=planned, dropped=dict(dropped)
    )


def _ends(log: RunLog) -> np.ndarray:
    """The whole epochs that a log says, in order, each with its last step (n, 2); none where they go back."""
    own = log.metric == EPOCH
    epoch, step = log.value[own], log.step[own]
    if not len(epoch) or not (np.isfinite(epoch).all() and (epoch % 1 == 0).all() and (np.diff(epoch) >= 0).all()):
        return np.empty((0, 2))
    last = np.flatnonzero(np.append(np.diff(epoch) > 0, True))
    return np.column_stack([epoch[last], np.maximum.accumulate(step)[last]])


def _at_ends(log: RunLog, ends: np.ndarray) -> RunLog:
    known = np.isin(log.step, ends[:, 0])
    place = np.searchsorted(ends[:, 0], log.step[known])
    said = {PLACED: int(known.sum()), BEYOND: int((~known).sum())}
    dropped = {**log.dropped, **{why: count for why, count in said.items() if count}}
    return log.only(known)._replace(step=ends[place, 1], dropped=dropped)

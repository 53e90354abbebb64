"""Runs whose planned end nothing states: which of them have surely ended, so that they may be learnt from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from predictdyn.curves import ENDED, Curves
from predictdyn.naming import some

STILL = 1800.0  # seconds for which the log of an ended run has not been written to
SEVERAL = 3  # runs of one length: runs that grow are seldom equally long


class SurelyEnded(NamedTuple):
    """The runs that may be learnt from, and a line on all that only seem to have ended."""

    runs: list[str]
    notes: list[str]


def surely_ended(curves: Curves, done: Sequence[str], written: Mapping[str, float]) -> SurelyEnded:
    """Of runs that are ``done`` if they were planned as long as the longest: those of one length that grow no more.

    Runs of a sweep that is still training are about equally long too, so their logs must have been left alone.
    ``written`` is when each log was written last, in seconds since 1970; where a run has no time of its own, it has the
    latest. Copies have the time of copying: nothing is learnt from fresh ones.
    """
    if not done or len(done) == len(curves.runs):
        return SurelyEnded([], [])
    length = curves.runs["last_step"].astype(float).loc[list(done)]
    latest, now = max(written.values(), default=np.nan), time.time()
    still = [run for run in done if now - written.get(run, latest) >= STILL]
    taken = [run for run in still if _alike(length[run], length[still].to_numpy()) >= SEVERAL]
    begin = (
        f"{len(done)} of {len(curves.runs)} runs count as ended, though nothing states their plan; they are not watched"
    )
    if taken:
        ends = some(sorted({f"{end:g}" for end in length[taken]}, key=float))
        told = f"Learnt from are the {len(taken)} that stopped at step {ends}"
    elif max(_alike(end, length.to_numpy()) for end in length) < SEVERAL:
        told = f"They are not learnt from, as no {SEVERAL} of them are equally long"
    else:
        told = f"They are not learnt from, as nothing shows that their logs were left alone for {STILL / 60:g} minutes"
    return SurelyEnded(taken, [f"{begin}. {told}. If runs go on beyond, state last_step=NUMBER"])


def _alike(length: float, lengths: np.ndarray) -> int:
    return int(((lengths >= ENDED * length) & (lengths <= length / ENDED)).sum())

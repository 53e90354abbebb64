"""Prediction: draws and a status, the only form of an answer; Model: the one method that a forecaster is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from predictdyn.problem import Problem

DRAWS = 1000
LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)


@dataclass(frozen=True)
class Prediction:
    """Samples of the predictive distribution of each target.

    ``target`` (n rows: run, metric, step), ``draws`` (n, s) finite and in the metric's units, ``status`` (n,) "ok" or
    why the row fell back. The draws are of the next measurement, sampling noise included. Where ``joint`` is true, draw
    i of all rows of a run is one sample of them together; else each row's draws have an order of their own, which says
    nothing (`joint.couple` couples them). Raises ValueError when the shapes disagree or a draw is not finite.
    """

    target: pd.DataFrame
    draws: np.ndarray
    status: np.ndarray
    joint: bool = False

    def __post_init__(self) -> None:
        n = len(self.target)
        if self.draws.ndim != 2 or len(self.draws) != n or self.status.shape != (n,):
            raise ValueError(
                f"a prediction of {n} targets needs draws (n, s) and status (n,), "
                f"got {self.draws.shape} and {self.status.shape}"
            )
        if not np.isfinite(self.draws).all():
            row = int(np.flatnonzero(~np.isfinite(self.draws).all(axis=1))[0])
            raise ValueError(f"draws must be finite; first row that is not: {dict(self.target.iloc[row])}")

    def quantiles(self, levels: tuple[float, ...] = LEVELS) -> np.ndarray:
        """Quantiles of each row, (n, len(levels)), by linear interpolation between order statistics."""
        return np.quantile(self.draws, levels, axis=1).T

    def rows(self, which: np.ndarray) -> Prediction:
        """Some rows of it, by place or by truth value (n,)."""
        target = self.target.iloc[np.arange(len(self.target))[which]].reset_index(drop=True)
        return Prediction(target, self.draws[which], self.status[which], self.joint)


class Latent(NamedTuple):
    """What a model answers: draws (n, s) on the latent scale of each row's metric, status (n,) "ok" or why not.

    The draws of a row that is not "ok" are not looked at.
    """

    draws: np.ndarray
    status: np.ndarray


class Model(Protocol):
    """A way of forecasting; its settings are the fields of a frozen dataclass."""

    @property
    def name(self) -> str:
        """One word, as used on the command line."""
        ...

    def latent(self, problem: Problem) -> Latent:
        """Draws of each row of the target, from the history and from what is observed of the runs in question."""
        ...


def seed_for(seed: int, *words: object) -> int:
    """A seed of its own for each fold, forecaster and row, so that adding one moves no other number.

    >>> seed_for(0, "a") != seed_for(0, "b")
    True
    """
    import hashlib

    digest = hashlib.sha256("\x1f".join([str(seed), *map(str, words)]).encode()).digest()
    return int.from_bytes(digest[:4], "little")

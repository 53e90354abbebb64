"""Fitted: a model and the runs it has learnt from; what all models have in common is written here, once."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.forecast import DRAWS, Latent, Model, Prediction
from predictdyn.forecasters._history import read_history, read_learnt, write_history, write_learnt
from predictdyn.joint import couple
from predictdyn.problem import History, Problem

NO_NUMBER = "a draw was no number: last value"


@dataclass(frozen=True)
class Fitted:
    """A model with its history; ``seed`` is that of all that is learnt from the history alone."""

    model: Model
    past: History
    seed: int = 0

    @property
    def history(self) -> Curves:
        """The runs it was fitted on: who asks of one of these runs must know."""
        return self.past.curves

    def forecast(self, observed: Curves, target: pd.DataFrame, *, seed: int = 0) -> Prediction:
        """Joint draws of each target (run, metric, step), from the beginning of its run."""
        problem = Problem(self.past, observed, target.reset_index(drop=True), seed, self.seed)
        return couple(self.answer(problem), self.past, observed, seed=seed)

    def answer(self, problem: Problem) -> Prediction:
        """Draws of each row of a problem, not coupled: each row's draws are in an order of their own."""
        with one_thread():
            return answer_to(problem, self.model)

    def save(self, folder: Path, workers: int = 1) -> None:
        """Write the history and what was learnt of it into an existing, empty folder, as parquet, JSON and npz.

        ``workers`` processes learn it side by side, where a model can.
        """
        prepare = getattr(self.model, "prepare", None)
        if prepare is not None and len(self.history.points):
            with one_thread():
                prepare(self.past, self.seed, workers)
        write_history(self.history, folder)
        write_learnt(self.past.learnt, folder)


def answer_to(problem: Problem, model: Model) -> Prediction:
    """As `Fitted.answer`, within `one_thread`: to enter it takes longer than an answer of a simple model."""
    latent = model.latent(problem)
    check_latent(model.name, problem, latent)
    return in_units(problem, with_fallback(problem, _numbers_only(latent)))


def one_thread() -> AbstractContextManager[object]:
    """Linear algebra in one thread: the matrices are many and small, and threads that wait for work burn the cores.

    It also makes the last digits those of any machine with the same library, whatever its number of cores.
    """
    import scipy.linalg  # noqa: F401 - brings a library of its own, which would not be limited if it came later
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits


def fitted_from(model: Model, folder: Path, seed: int) -> Fitted:
    """Back from `Fitted.save`."""
    return Fitted(model, History(read_history(folder), read_learnt(folder)), seed)


def check_latent(name: str, problem: Problem, latent: object) -> None:
    """ValueError, one line that names the model, where an answer is not as `Latent` says."""
    n = len(problem.target)
    wanted = f"Latent(draws ({n}, {DRAWS}), status ({n},))"
    if not isinstance(latent, Latent):
        raise ValueError(f"latent of {name!r} returned {type(latent).__name__}, expected {wanted}")
    shapes = np.shape(latent.draws), np.shape(latent.status)
    if shapes != ((n, DRAWS), (n,)):
        raise ValueError(
            f"latent of {name!r} returned draws {shapes[0]} and status {shapes[1]}, expected {wanted}: "
            f"a row for each target, {DRAWS} draws in each"
        )
    if not isinstance(latent.draws, np.ndarray) or not isinstance(latent.status, np.ndarray):
        raise ValueError(f"latent of {name!r} returned draws or status that are no numpy arrays, expected {wanted}")


def latent_of(model: Model, problem: Problem) -> Latent:
    """What a model answers, for others that use it: a row with a draw that is no number has no answer."""
    return _numbers_only(model.latent(problem))


def _numbers_only(latent: Latent) -> Latent:
    wrong = np.isnan(latent.draws).any(axis=1)
    if not wrong.any():
        return latent
    status = np.where(wrong & (latent.status == "ok"), NO_NUMBER, latent.status)
    return Latent(np.where(wrong[:, None], 0.0, latent.draws), status.astype(object))


def with_fallback(problem: Problem, latent: Latent) -> Latent:
    """The same answer; rows whose status is not ok get the draws of the last value, which always has some."""
    from predictdyn.forecasters.baselines import LAST_VALUE

    short = np.flatnonzero(latent.status != "ok")
    if not len(short):
        return latent
    rows = problem.target.iloc[short].reset_index(drop=True)
    instead = LAST_VALUE.latent(Problem(problem.history, problem.observed, rows, problem.seed, problem.fit_seed))
    draws, status = latent.draws.copy(), latent.status.copy()
    draws[short] = instead.draws
    # Where the last value has fallen back too, its word says more.
    status[short] = np.where(instead.status == "ok", status[short], instead.status)
    return Latent(draws, status)


def in_units(problem: Problem, latent: Latent) -> Prediction:
    """Latent draws as a forecast in each metric's units."""
    draws = np.empty_like(latent.draws)
    for panel in problem.panels:
        rows = np.concatenate([query.rows for query in panel.queries])
        draws[rows] = panel.scale.value(latent.draws[rows])
    return Prediction(problem.target, draws, latent.status)


def no_answer(problem: Problem, why: str) -> Latent:
    """No row has an answer yet, and why."""
    n = len(problem.target)
    return Latent(np.zeros((n, DRAWS)), np.full(n, why, dtype=object))

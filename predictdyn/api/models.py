"""Models: forecasters by name, and what one has learnt from finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from predictdyn.api.reading import path_of, prepared
from predictdyn.backtest.writing import new_folder
from predictdyn.curves import Curves, ended
from predictdyn.forecast import Model
from predictdyn.forecasters import ABOUT, DEFAULT, forecaster, names
from predictdyn.forecasters import fit as fitted_on
from predictdyn.forecasters import load as load_fitted
from predictdyn.forecasters import save as save_fitted
from predictdyn.forecasters._chains import chains_of
from predictdyn.forecasters._fitted import Fitted

if TYPE_CHECKING:
    from predictdyn.api.forecasts import Forecast


@dataclass(frozen=True, repr=False)
class FittedModel:
    """A forecaster with the finished runs that it learns from; what it learns of them is kept for the next forecast."""

    fitted: Fitted

    @property
    def name(self) -> str:
        """The forecaster's name."""
        return self.fitted.model.name

    @property
    def history(self) -> Curves:
        """The finished runs."""
        return self.fitted.history

    def forecast(
        self,
        curves: Curves,
        *,
        runs: str | Sequence[str] | None = None,
        metrics: str | Sequence[str] | None = None,
        upto: float | None = None,
        cutoff: float | None = None,
        at: float | Literal["final"] = "final",
        seed: int = 0,
        progress: bool | None = None,
    ) -> Forecast:
        """As `predictdyn.forecast` with this model."""
        from predictdyn.api.forecasts import forecast

        return forecast(
            curves, self, runs=runs, metrics=metrics, upto=upto, cutoff=cutoff, at=at, seed=seed, progress=progress
        )

    def diagnostics(self) -> pd.DataFrame:
        """One row for each metric whose numbers were drawn by Markov chains so far; empty for most forecasters.

        ``rhat`` is the largest split R-hat of all numbers, ``size`` the smallest effective number of draws,
        ``divergent`` the share of divergent transitions. ``converged`` says that R-hat is at most 1.05 and at most 1 %
        diverged; a metric whose chains have not converged is not forecast from them.

        >>> frame = pd.DataFrame({"run": [*"aabb"], "step": [1, 2, 1, 2], "val_acc": [0.2, 0.6, 0.3, 0.7]})
        >>> list(fit(Curves.from_frame(frame, runs={"last_step": 2}), "pooled").diagnostics())
        ['metric', 'rhat', 'size', 'divergent', 'converged']
        """
        return chains_of(self.fitted.past)

    def save(self, folder: Path | str, *, alarms: bool = False, workers: int = 1) -> Path:
        """Write it into a new folder, with all that it learns; `load_model` reads it back.

        With ``alarms`` those of the history are learnt too, so that `watch` and `Monitor` need not learn them at each
        start. ``workers`` processes learn side by side; what is learnt does not depend on how many. Raises ValueError
        where the folder is not new, or the model is one of your own: its code is not in the folder; with ``alarms``
        also where the history is too small for any.
        """
        if workers < 1:
            raise ValueError(f"workers= is at least 1, got {workers}")
        with new_folder(Path(folder)) as aside:
            save_fitted(self.fitted, aside, workers)
            if alarms:
                from predictdyn.watch.kept import ALARMS, RATE, learnt_once

                learnt_once(self.history, aside / ALARMS, false_alarms=RATE, seed=self.fitted.seed)
        return Path(folder)

    def __repr__(self) -> str:
        return f"FittedModel: {self.name}, fitted on {len(self.history.runs)} finished runs"


def fit(curves: Curves, forecaster: str | Model = DEFAULT, *, seed: int = 0) -> FittedModel:
    """Learn from the finished runs of some curves.

    ``forecaster`` is a name of `forecasters()`, or a model of your own (docs/add-a-forecaster.md). What is learnt is
    learnt at the first forecast or `FittedModel.save`, and kept. Raises ValueError where no run has reached its planned
    ``last_step``.

    >>> frame = pd.DataFrame({"run": [*"aabb"], "step": [1, 2, 1, 2], "val_acc": [0.2, 0.6, 0.3, 0.7]})
    >>> fit(Curves.from_frame(frame, runs={"last_step": 2}), "mean_change")
    FittedModel: mean_change, fitted on 2 finished runs
    """
    model = as_model(forecaster)
    return learnt(prepared(curves), model, seed=seed)


def learnt(curves: Curves, model: Model, *, seed: int) -> FittedModel:
    """As `fit`, of curves that are `prepared`."""
    done = ended(curves)
    if not len(done):
        raise ValueError("no run has reached its planned last_step, so there is nothing to learn from")
    return FittedModel(fitted_on(model, curves.select(runs=done), seed=seed))


def load_model(folder: Path | str) -> FittedModel:
    """Read a model that `FittedModel.save` or the command ``predictdyn fit`` wrote; ValueError where it is damaged."""
    return FittedModel(load_fitted(path_of(folder, "folder")))


def forecasters() -> pd.DataFrame:
    """All forecasters that have a name: name, family, what it does in one line, what it needs to have an answer.

    >>> forecasters().loc[0, "name"]
    'last_value'
    """
    return pd.DataFrame([(name, *ABOUT[name]) for name in names()], columns=["name", "family", "what it does", "needs"])


def as_model(one: str | Model) -> Model:
    """A model of the table by its name, or the model itself."""
    if isinstance(one, str):
        return forecaster(one)
    if isinstance(one, type):
        raise ValueError(
            f"forecaster= takes a model, got the class {one.__name__}; make one of it: {one.__name__}(...)"
        )
    if not callable(getattr(one, "latent", None)) or not isinstance(getattr(one, "name", None), str):
        raise ValueError(f"forecaster= takes a name or a model with name and latent, got {type(one).__name__}")
    return one

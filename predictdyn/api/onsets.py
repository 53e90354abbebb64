"""When something will first hold of runs that have not ended, or that it will not before their planned end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from predictdyn.api.show import html_table
from predictdyn.backtest.onsets import MIXING, ONSET_QUANTILES, onset_rows, paths_problem
from predictdyn.events import JointEvent
from predictdyn.forecast import seed_for
from predictdyn.forecasters.onsets import TOO_FEW, OnsetDraws, by_hazard, of_paths, onsets, origins
from predictdyn.naming import some
from predictdyn.problem import Problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from predictdyn.api.forecasts import Question
    from predictdyn.curves import Curves

STEPS = 40  # of a table of probabilities by step


@dataclass(frozen=True, repr=False)
class Onset:
    """Draws of the step at which an event first holds, of each run in question; inf where it does not before the end.

    ``draws`` (n, s) are in steps, and ``runs`` and ``status`` (n,) say of which run and how. A finished run without the
    event counts as censored. The status is "ok", "has happened", why there was too little to learn a hazard from, or
    that its chains have not met.
    """

    event: JointEvent
    observed: Curves
    found: OnsetDraws

    @property
    def runs(self) -> list[str]:
        """The runs in question."""
        return self.found.runs

    @property
    def draws(self) -> np.ndarray:
        """Draws of the step of the onset (n, s), inf where it does not come before the planned end."""
        return np.asarray(self.found.draws * self._ends[:, None])

    def summary(self) -> pd.DataFrame:
        """One row a run: probability of the onset before the planned end, and quantiles of its step.

        A quantile is blank where the onset does not come before the end with more than that probability. ``rhat``,
        ``effective`` and ``divergent`` are the worst split R-hat, the fewest effective draws, and the share of
        divergent paths of the chains that drew the hazard; blank where there were none.
        """
        rows = onset_rows(self.found, self.observed, self.event)
        return rows[["run", "event", "probability", *ONSET_QUANTILES, "last_step", "status", *MIXING]]

    def before(self, steps: int = STEPS) -> pd.DataFrame:
        """run, event, step, probability that it has come by then: of so many even steps to the planned end.

        Raises ValueError where ``steps`` is no whole number from 1 on.
        """
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
            raise ValueError(f"before: steps= is how many steps to the planned end, from 1 on, got {steps!r}")
        frames = []
        for run, draws, end in zip(self.runs, self.draws, self._ends, strict=True):
            step = np.linspace(0, end, steps + 1)[1:]
            share = np.searchsorted(np.sort(draws), step, side="right") / len(draws)
            frames.append(pd.DataFrame({"run": run, "event": self.event.text, "step": step, "probability": share}))
        return pd.concat(frames, ignore_index=True)

    def plot(self, run: str | None = None, *, ax: Axes | None = None) -> Axes:
        """The probability that the onset has come, by step, of ``run`` or of the first eight. Returns Axes."""
        from predictdyn.api.plots import axes_or_new
        from predictdyn.report.figures.onsets import paint_onset

        if run is not None and run not in self.runs:
            raise ValueError(f"no onset of run {run!r} is forecast; there are {some(self.runs, 12)}")
        ax = axes_or_new(ax)
        paint_onset(ax, self.before(), [run] if run is not None else self.runs)
        return ax

    @property
    def _ends(self) -> np.ndarray:
        return self.observed.runs["last_step"].astype(float).loc[self.runs].to_numpy()

    def __repr__(self) -> str:
        return f"Onset: {self.event.text!r} of {len(self.runs)} runs; .summary() has them"

    def _repr_html_(self) -> str:
        table = self.summary().assign(probability=lambda rows: rows["probability"].map("{:.0%}".format))
        return html_table(table, f"Onset of {self.event.text}", 20)


def onset_of(question: Question, event: JointEvent, *, seed: int) -> Onset:
    """The onset of an event for the runs in question: by the hazard of finished runs.

    Where too few of these had stood where a run stands, the paths that the model of the question draws say it.
    """
    _, split, fitted, _ = question
    problem = Problem(fitted.past, split.observed, split.target.head(0), seed, fitted.seed)
    found = by_hazard(problem, event)
    short = [run for run, status in zip(found.runs, found.status, strict=True) if status == TOO_FEW]
    if short:
        asked = paths_problem(problem, event, short, origins(split.observed, event))
        path = fitted.forecast(split.observed, asked.target, seed=seed_for(seed, "onset"))
        way = of_paths(path, event, split.observed, short)
        rows = [found.runs.index(run) for run in short]
        draws, status = found.draws.copy(), found.status.copy()
        draws[rows] = way.draws
        why = _nothing_known(problem, event) or "too few finished runs stood where it stands"
        status[rows] = f"by paths of {fitted.model.name}: {why}"
        found = found._replace(draws=draws, status=status)
    return Onset(event, split.observed, found)


def _nothing_known(problem: Problem, event: JointEvent) -> str:
    """Why no finished run tells when the event first held, where its metrics are logged apart; else blank."""
    history, names = problem.history.curves, list(dict.fromkeys(bound.metric for bound in event.bounds))
    both = any(all((run, name) in history.series for name in names) for run in history.runs.index)
    return (
        f"no finished run logs {' and '.join(names)} at the same steps" if both and onsets(history, event).empty else ""
    )

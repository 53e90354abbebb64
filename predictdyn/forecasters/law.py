"""Law: a run is forecast from its plan by a scaling law over finished runs, and from what is seen of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from predictdyn.covariates import LABELS
from predictdyn.curves import Metric
from predictdyn.forecast import DRAWS, Latent, seed_for
from predictdyn.forecasters._fitted import no_answer
from predictdyn.forecasters._places import rounded
from predictdyn.laws import FEWEST, Law, cells, law_of
from predictdyn.problem import LatentCurve, Panel, Problem, Query, log_progress, progress_at

FINENESS = 20  # of the progress that was seen
SAME = 1e-3  # progress of targets that counts as one
MOST_PLACES = 3  # places of the way at which a law is fitted; targets between are interpolated
FEWEST_OF_FAMILY = 3  # finished runs of each family, if families are to be an input
TOO_FEW = f"fewer than {FEWEST} finished runs with the plan's inputs"


@dataclass(frozen=True)
class ScalingLaw:
    """A law of a metric's value at the progress asked for, over the covariates of runs and their planned lengths.

    Structures weigh by forecasts of finished runs that are held out on the way to the runs in question. Where a part of
    a run is seen, the value there is one more input, and finished runs are taken at the same progress.
    """

    name: str = "law"

    def latent(self, problem: Problem) -> Latent:
        """Draws of each row; where finished runs are few or a plan lacks inputs, no answer and why."""
        latent = no_answer(problem, TOO_FEW)
        for panel in problem.panels:
            _Panel(problem, panel).answer(latent)
        return latent


class _Panel:
    """The laws of one metric, for all the runs in question."""

    def __init__(self, problem: Problem, panel: Panel) -> None:
        self.problem, self.panel = problem, panel
        self.metric: Metric = problem.metrics[panel.metric]
        runs, others = problem.history.curves.runs, problem.observed.runs
        # All runs in question, whichever are asked for: no answer depends on the other questions.
        finished = {run for run, curve in panel.observed.items() if curve.reaches(1.0)}
        asked = [run for run in others.index if run not in finished] or list(others.index)
        asked += [query.run for query in panel.queries if query.run not in set(asked)]
        self.asked = _plans(others.loc[asked], runs)
        self.finished = _plans(runs, runs)
        if not _families_teach(self.finished, runs["family"], others.loc[asked, "family"]):
            self.finished, self.asked = (table.drop(columns="family") for table in (self.finished, self.asked))

    def answer(self, latent: Latent) -> None:
        """Fill in the rows of the metric."""
        progress = np.concatenate([query.progress for query in self.panel.queries])
        places = _places(progress)
        for query in self.panel.queries:
            seen = self.panel.observed[query.run].progress
            begun = rounded(float(seen[-1]), FINENESS) if len(seen) and seen[-1] > 0 else 0.0
            found = [self._at(place, begun, query) for place in places]
            if any(draws is None for draws, _ in found):
                latent.status[query.rows] = next(why for draws, why in found if draws is None)
                continue
            at = np.stack([draws for draws, _ in found if draws is not None])
            latent.status[query.rows] = "ok"
            where, way = log_progress(places), log_progress(query.progress)
            latent.draws[query.rows] = np.stack([np.interp(way, where, column) for column in at.T], axis=1)

    def _at(self, place: float, begun: float, query: Query) -> tuple[np.ndarray | None, str]:
        """Draws (s,) of the latent value of a run at a progress, or None and why."""
        begun = begun if begun < place else 0.0
        drawn = self.problem.root.once(
            self._key("drawn", place, begun, self.problem.seed), lambda: self._drawn(place, begun)
        )
        if drawn is None:
            return None, TOO_FEW
        status, draws = drawn
        row = self.asked.index.get_loc(query.run)
        if status[row] != "ok":
            return None, str(status[row])
        return self.panel.scale.latent(draws[row]), "ok"

    def _drawn(self, place: float, begun: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Status (m,) and draws (m, s) of all runs in question at a progress, in units of the metric."""
        law = self.problem.root.once(self._key("law", place, begun), lambda: self._law(place, begun))
        if law is None:
            return None
        seed = seed_for(self.problem.seed, "law", self.panel.metric)
        asked = self._with_seen(self.asked, begun, self.panel.observed)
        return law.status(asked), law.draws(asked, n=DRAWS, seed=seed)

    def _law(self, place: float, begun: float) -> Law | None:
        """The law at a progress, over plans and, where a part is seen, over the value there."""
        table = self._with_seen(self.finished, begun, self.panel.context)
        table[TARGET] = self.panel.scale.value(_latent_at(self.finished, place, self.panel.context))
        table = table[np.isfinite(table[TARGET]) & np.isfinite(table.get(SEEN, 1.0))]
        if len(table) < FEWEST:
            return None
        lower, upper = (np.nan if one is None else one for one in (self.metric.lower, self.metric.upper))
        asked = self._with_seen(self.asked, begun, self.panel.observed)
        try:
            return law_of(
                table, TARGET, lower=lower, upper=upper, better=self.metric.better or "lower",
                chance=self.metric.chance, towards=asked, seed=seed_for(self.problem.fit_seed, "law"),
            )  # fmt: skip
        except ValueError:
            return None

    def _with_seen(self, plans: pd.DataFrame, begun: float, curves: Mapping[str, LatentCurve]) -> pd.DataFrame:
        """Plans with what is seen as one more input, which rises as runs get better: odds, or one over a loss."""
        if not begun:
            return plans.copy()
        better = 1.0 if self.metric.better == "higher" else -1.0
        return plans.assign(**{SEEN: np.exp(better * _latent_at(plans, begun, curves))})

    def _key(self, *words: Hashable) -> Hashable:
        return ("law", self.panel.metric, tuple(self.asked.index), *words)


TARGET, SEEN = "value at the progress asked for", "value at the progress seen"
ROUNDING = 1.06  # progress that is seen is rounded up by no more


def _latent_at(plans: pd.DataFrame, place: float, curves: Mapping[str, LatentCurve]) -> np.ndarray:
    """The latent value of each run at a progress, (n,), NaN where it was not logged as far."""
    value = np.full(len(plans), np.nan)
    for i, run in enumerate(plans.index):
        curve = curves.get(str(run))
        if curve is not None and len(curve.progress) and bool(curve.reaches(place / ROUNDING)):
            value[i] = float(curve.at(np.array([place]))[0])
    return value


def _plans(runs: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """The inputs that a law may have: covariates of runs and their planned length; by run."""
    names = [name for name in known.columns if name not in LABELS or name == "family"]
    table = runs.reindex(columns=names)
    for name in names:
        try:
            numbers = cells.column(known, name)
        except ValueError:
            continue
        if numbers is not None:
            table[name] = [_finite(cell) for cell in table[name]]
    return table


def _finite(cell: object) -> float:
    """A cell of a column of numbers; NaN where it is none, so that such a run is left out and not the column."""
    try:
        found = cells.number(cell)
    except (ValueError, TypeError):
        return float("nan")
    return found if np.isfinite(found) else float("nan")


def _families_teach(plans: pd.DataFrame, family: pd.Series, asked: pd.Series) -> bool:
    """Whether families can be groups: those asked for have finished runs, and differ in more than their plans."""
    count = family.value_counts()
    if len(count) < 2 or not set(asked) <= set(count[count >= FEWEST_OF_FAMILY].index):
        return False
    varied = plans.drop(columns="family").astype("str").agg("\x1f".join, axis=1).groupby(family).nunique()
    return bool((varied.reindex(pd.unique(asked)) > 1).all())


def _places(progress: np.ndarray) -> np.ndarray:
    """Where laws are fitted, (k,) rising: the progress asked for, or a few places that span it."""
    distinct = np.unique(np.round(progress / SAME) * SAME)
    if len(distinct) <= MOST_PLACES:
        return np.maximum(distinct, SAME)
    low, high = log_progress(np.array([max(distinct[0], SAME), distinct[-1]]))
    return progress_at(np.linspace(low, high, MOST_PLACES))


LAW = ScalingLaw()

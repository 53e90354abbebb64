"""A forecast as it would be after a planned intervention: draws without it, plus draws of its effect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.covariates import Encoder, encoder_for
from predictdyn.curves import OUTCOMES, Curves
from predictdyn.effects.columns import Moment, columns
from predictdyn.effects.model import BEFORE, NOTHING, Support, drawn, expected, supported
from predictdyn.effects.pairs import arms, pairs
from predictdyn.forecast import Prediction, seed_for
from predictdyn.problem import History, Panel, Problem

FEWEST = 4  # arms; an effect that fewer show is not forecast


class Intervention(NamedTuple):
    """A planned change: its name in the column ``intervention`` of runs, and the last step before it."""

    name: str
    step: float


class Intervened(NamedTuple):
    """A forecast with the intervention, and what supports each row.

    ``effect`` and ``latent`` (n, s): draws of the effect in the metric's units and on the latent scale, NaN where it is
    not known.
    """

    forecast: Prediction
    effect: np.ndarray
    latent: np.ndarray
    support: list[Support]


def intervened(without: Prediction, history: Curves, seen: Curves, planned: Intervention, *, seed: int) -> Intervened:
    r"""Add the effect of a planned intervention to a forecast of runs that are not changed.

    .. math:: z' = z + \hat e(x) + s(x) \, \epsilon

    on the latent scale: z are the draws without it, :math:`\hat e` a shrunken regression of the differences between
    arms and their baseline runs on what was known before (`effects.columns`), and :math:`s \epsilon` has the
    distribution of its errors on families left out (`effects.model`). The effect is that from the step of the plan to
    the step of the target; a target before it is left alone. A row whose effect is not known keeps its draws, has NaN
    for its effect, and says so in its status. Arms of a run in question are not used.

    Raises ValueError where no run of the history has the intervention, a run in question is seen beyond its step or has
    an intervention of its own, or no row has a known effect.
    """
    history = check(history, seen, planned)
    target, draws = without.target, without.draws.copy()
    status, effect, latent = without.status.copy(), np.full(draws.shape, np.nan), np.full(draws.shape, np.nan)
    support = [NOTHING] * len(target)
    plan = _plan(history)
    of_metric, levels = _panels(history, seen, target)
    for (metric, moment), rows in _alike(target, seen, of_metric, planned).items():
        if moment.end <= moment.start:
            effect[rows], latent[rows] = 0.0, 0.0
            support = [BEFORE if row in rows else one for row, one in enumerate(support)]
            continue
        panel = of_metric[metric]
        order = [panel, *(other for other in levels if other is not panel)]
        shown = pairs(history, [one.context for one in order], panel.scale, planned.name, moment, plan)
        if len(shown.difference) < FEWEST:
            status[rows] = NOTHING.words
            continue
        runs = [str(run) for run in target["run"].iloc[rows]]
        at = columns(seen, [one.observed for one in order], runs, np.full(len(runs), moment.start), moment, plan)
        known = expected(shown, at, seed=seed_for(seed, metric, planned.name))
        said = supported(shown, moment)
        for i, (row, run) in enumerate(zip(rows, runs, strict=True)):
            latent[row] = drawn(known, i, draws.shape[1], seed=seed_for(seed, run, metric, planned.name))
            draws[row] = panel.scale.value(panel.scale.latent(without.draws[row]) + latent[row])
            effect[row], support[row] = draws[row] - without.draws[row], said
    if not np.isfinite(effect).any():
        raise ValueError(
            f"the effect of {planned.name!r} is not known: it takes {FEWEST} finished runs with it that reach the step "
            "asked for, and their baseline runs or other runs without an intervention"
        )
    return Intervened(Prediction(target, draws, status), effect, latent, support)


def check(history: Curves, seen: Curves, planned: Intervention) -> Curves:
    """The history without arms of the runs in question. Raises ValueError for a plan that cannot be forecast."""
    known = arms(history.runs)
    names = sorted(set(known["intervention"]))
    if planned.name not in names:
        raise ValueError(
            f"no finished run has the intervention {planned.name!r}; {_there(history.runs, names, planned)}"
        )
    if not 0 <= planned.step < np.inf:
        raise ValueError(f"an intervention is after a step from 0 on, got {planned.step!r}")
    changed = arms(seen.runs)
    if len(changed):
        raise ValueError(
            f"run {changed.index[0]!r} has an intervention of its own ({changed['intervention'].iloc[0]}); "
            "an effect is forecast for runs without one"
        )
    log = seen.points[~seen.points["metric"].isin(_schedules(seen))]
    late = log[log["step"] > planned.step]
    if len(late):
        raise ValueError(
            f"run {late['run'].iloc[0]!r} is seen up to step {late['step'].max():g}, beyond the intervention at "
            f"{planned.step:g}; plan a later step, or hide the end of the run"
        )
    early = seen.runs.index[seen.runs["last_step"] <= planned.step]
    if len(early):
        end = int(seen.runs["last_step"][early[0]])
        raise ValueError(f"run {early[0]!r} ends at step {end}, before the intervention at {planned.step:g}")
    own = known.index[known["baseline"].isin(seen.runs.index)]
    return history.select(runs=history.runs.index.difference(own))


def _there(runs: pd.DataFrame, names: Sequence[str], planned: Intervention) -> str:
    """Which interventions finished runs have, or what they lack."""
    missing = [name for name in ("intervention", "intervention_step", "baseline") if name not in runs]
    if missing:
        return "there are none (runs need the columns intervention, intervention_step, baseline)"
    if (runs["intervention"] == planned.name).any():
        return "runs that are called so have no number in intervention_step"
    return f"there are {', '.join(names)}" if names else "there are none"


def _plan(history: Curves) -> Encoder:
    """How the plan of a run becomes numbers, without the columns that say what was changed."""
    return encoder_for(history.runs.drop(columns=["intervention", "intervention_step"], errors="ignore"))


def _schedules(curves: Curves) -> list[str]:
    return [name for name, metric in curves.metrics.items() if metric.known_ahead]


def _panels(history: Curves, seen: Curves, target: pd.DataFrame) -> tuple[dict[str, Panel], list[Panel]]:
    """The curves of every metric that is asked for, and those of the outcomes, whose levels an effect may depend on."""
    logged = set(history.points["metric"].unique())
    outcomes = [name for name, metric in history.metrics.items() if metric.kind in OUTCOMES and name in logged]
    problem = Problem(History(history), seen, target, 0)
    of_metric = {name: problem.panel(name) for name in dict.fromkeys([*target["metric"], *outcomes])}
    return of_metric, [of_metric[name] for name in outcomes]


def _alike(
    target: pd.DataFrame, seen: Curves, of_metric: dict[str, Panel], planned: Intervention
) -> dict[tuple[str, Moment], list[int]]:
    """Rows of the target by metric and moment: they share what is learnt."""
    rows_of: dict[tuple[str, Moment], list[int]] = {}
    planned_end = seen.runs["last_step"].astype(float).to_dict()
    for row, (run, metric, step) in enumerate(target[["run", "metric", "step"]].itertuples(index=False)):
        last = planned_end[run]
        curves = [panel.observed[run] for panel in of_metric.values()]
        shown = max((float(curve.progress[-1]) for curve in curves if len(curve.progress)), default=0.0)
        moment = Moment(*(round(share, 9) for share in (shown, planned.step / last, float(step) / last)))
        rows_of.setdefault((metric, moment), []).append(row)
    return rows_of

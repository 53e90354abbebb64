"""Replay when something first held: the probability that it does before the end, and its time, both scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.backtest.compare import macro_mean, skill
from predictdyn.backtest.examples import PATH_POINTS
from predictdyn.backtest.folder import digest
from predictdyn.backtest.folds import Fold, Group, folds, groups
from predictdyn.backtest.pieces import Done
from predictdyn.backtest.plan import Plan
from predictdyn.backtest.spread import address, code, spread
from predictdyn.curves import ENDED, Curves
from predictdyn.events import JointEvent
from predictdyn.forecast import Model, seed_for
from predictdyn.forecasters._fitted import answer_to
from predictdyn.forecasters.onsets import (
    HAPPENED,
    OnsetDraws,
    by_age,
    by_hazard,
    by_nearest,
    of_paths,
    onsets,
    origins,
)
from predictdyn.problem import History, Problem
from predictdyn.scores import brier, brier_parts, censored_crps

ONSETS, SCORES = "onsets.parquet", "onset_scores.csv"
ROADS = {"hazard": by_hazard, "hazard_by_age": by_age, "nearest_run": by_nearest}
BASELINES = ("hazard_by_age", "nearest_run")
PATHS = "paths of "  # before the name of a forecaster
ONSET_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
ONSET_QUANTILES = [f"q{level:g}" for level in ONSET_LEVELS]
MIXING = ["rhat", "effective", "divergent"]  # of the chains that drew the hazard

COLUMNS = [
    "forecaster", "fold", "cutoff", "run", "family", "event", "last_step", "status", "happened", "onset", "until",
    "probability", *ONSET_QUANTILES, *MIXING, "brier", "crps",
]  # fmt: skip


class OnsetReplay(NamedTuple):
    """What a backtest says of an onset: rows by forecaster, run and cutoff, and scores by forecaster and cutoff."""

    event: str
    rows: pd.DataFrame
    scores: pd.DataFrame


def replay_onsets(
    curves: Curves,
    plan: Plan,
    event: JointEvent,
    models: Sequence[Model] = (),
    *,
    workers: int = 1,
    resume: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, all_: None,
) -> OnsetReplay:
    """Forecast the onset of an event in every fold, by each road and by the paths of ``models``, and score it.

    Each group of runs that are held out together is a piece of work, spread and kept as those of `backtest.run`.
    Raises ValueError where no run of the plan can tell, or the event never or always holds.
    """
    came = onsets(curves, event)
    if came.empty:
        raise ValueError(f"onset {event.text!r}: no run logs {' and '.join(_names(event))} at the same steps")
    if not np.isfinite(came["onset"]).any():
        raise ValueError(f"onset {event.text!r} comes in none of {len(came)} run(s), so a backtest would say nothing")
    held_out = groups(curves, plan)
    words = [digest(curves) + code(), repr(plan), event.text, repr(tuple(models)), "onset"]
    done = spread(
        _group, [(curves, plan, group, event, came, models) for group in held_out],
        [address(*words, group.name) for group in held_out], workers=workers, resume=resume, progress=progress,
    )  # fmt: skip
    rows = pd.concat([one.rows for one in done if len(one.rows)] or [done[0].rows], ignore_index=True)
    if rows["crps"].isna().all():
        raise ValueError(
            f"onset {event.text!r} has come by the first cutoff in every run, so nothing is left to forecast"
        )
    return OnsetReplay(event.text, rows, onset_scores(rows, seed=plan.seed))


def onset_rows(found: OnsetDraws, observed: Curves, event: JointEvent) -> pd.DataFrame:
    """Draws of onsets as rows: run, event, last_step, status, probability before the end, quantiles, mixing of chains.

    A quantile is blank where the onset does not come before the end with more than that probability.
    """
    end = observed.runs["last_step"].astype(float).loc[found.runs].to_numpy()
    # Not by interpolation: what lies between a step and never is no step.
    quantiles = np.sort(found.draws, axis=1)[:, [int(level * (found.draws.shape[1] - 1)) for level in ONSET_LEVELS]]
    return pd.DataFrame({
        "run": found.runs, "event": event.text, "last_step": end, "status": found.status,
        "probability": np.isfinite(found.draws).mean(axis=1),
        **dict(zip(ONSET_QUANTILES, np.where(np.isfinite(quantiles), quantiles * end[:, None], np.nan).T, strict=True)),
        **dict(zip(MIXING, found.mixing.T, strict=True)),
    })  # fmt: skip


def onset_scores(rows: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Scores by forecaster and cutoff, families counting alike, with skill over the better baseline.

    Brier score and its parts of "before the end", and the censored CRPS of the onset in units of the planned run; only
    runs without the event at the cutoff count. Skill is the share of the baseline's score that is saved, with its 90 %
    interval over families and runs.
    """
    found = []
    for cutoff, at in rows[rows["crps"].notna()].groupby("cutoff", dropna=False, sort=True):
        of = {str(name): part.set_index("run") for name, part in at.groupby("forecaster", sort=False)}
        line: dict[str, dict[str, object]] = {}
        for name, part in of.items():
            parts = brier_parts(part["happened"].to_numpy(), part["probability"].to_numpy())
            run, family = part.index.to_numpy(dtype=object), part["family"].to_numpy(dtype=object)
            line[name] = {
                "forecaster": name, "cutoff": cutoff, "n_runs": len(part), "n_families": part["family"].nunique(),
                "base_rate": part["happened"].mean(),
                **{score: macro_mean(part[score].to_numpy(), run, family) for score in ("brier", "crps")},
                **parts._asdict(),
            }  # fmt: skip
        for score in ("brier", "crps"):
            known = [name for name in BASELINES if name in line]
            best = min(known, key=lambda name: float(line[name][score]))  # type: ignore[arg-type]
            for name, part in of.items():
                both = part.join(of[best][score].rename("best"))
                gain = skill(
                    both[score].to_numpy(), both["best"].to_numpy(), both.index.to_numpy(dtype=object),
                    both["family"].to_numpy(dtype=object), seed=seed,
                )  # fmt: skip
                line[name] |= {
                    f"{score}_baseline": best, f"{score}_skill": gain.skill,
                    f"{score}_skill_lo": gain.low, f"{score}_skill_hi": gain.high,
                }  # fmt: skip
        found += list(line.values())
    return pd.DataFrame(found)


def paths_problem(problem: Problem, event: JointEvent, runs: Sequence[str], seen: dict[str, float]) -> Problem:
    """The problem that asks for the metrics of an event at steps on the way to the end, even in the logarithm."""
    frames, ends = [], problem.observed.runs["last_step"].astype(float).to_dict()
    for run in runs:
        end = ends[run]
        step = np.geomspace(max(seen[run], 1e-4) * end, end, PATH_POINTS + 1)[1:]
        frames += [pd.DataFrame({"run": run, "metric": name, "step": step}) for name in _names(event)]
    target = pd.concat(frames, ignore_index=True) if frames else problem.target.head(0)
    return Problem(problem.history, problem.observed, target, problem.seed, problem.fit_seed)


def _group(
    curves: Curves, plan: Plan, group: Group, event: JointEvent, came: pd.DataFrame, models: Sequence[Model]
) -> Done:
    """The rows of all runs that are held out together."""
    history, seed, tables = History(group.history), seed_for(plan.seed, group.name), []
    for fold in folds(curves, group, plan):
        tables += _fold(curves, history, fold, event, came, models, seed)
    rows = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    return Done(rows, rows.head(0), {})


def _fold(
    curves: Curves, history: History, fold: Fold, event: JointEvent, came: pd.DataFrame, models: Sequence[Model],
    seed: int,
) -> list[pd.DataFrame]:  # fmt: skip
    seen = origins(fold.observed, event)
    # Of a run that is seen to its end nothing is left to forecast.
    known = fold.observed.select(runs=[run for run, share in seen.items() if run in came.index and share < ENDED])
    if not len(known.runs):
        return []
    problem = Problem(history, known, fold.target.head(0), seed, seed)
    answers = {name: road(problem, event) for name, road in ROADS.items()}
    begun = onsets(known, event)["onset"]
    waiting = [str(run) for run in known.runs.index if not np.isfinite(begun.get(run, np.inf))]
    for model in models if waiting else ():
        path = answer_to(paths_problem(problem, event, waiting, seen), model)
        answers[f"{PATHS}{model.name}"] = of_paths(path, event, known, list(known.runs.index))
    return [_scored(curves, fold, event, came, name, answer) for name, answer in answers.items()]


def _scored(
    curves: Curves, fold: Fold, event: JointEvent, came: pd.DataFrame, name: str, answer: OnsetDraws
) -> pd.DataFrame:
    """The rows of a forecaster, with what happened."""
    rows = onset_rows(answer, fold.observed, event)
    onset, last = came.loc[answer.runs, "onset"].to_numpy(), came.loc[answer.runs, "last"].to_numpy()
    open_end = ~np.isfinite(onset) & (last < ENDED)
    past = answer.status == HAPPENED
    happened = np.where(open_end | past, np.nan, np.isfinite(onset))
    crps = censored_crps(onset, answer.draws, until=np.where(open_end, last, 1.0))
    columns: dict[str, Any] = {
        "forecaster": name, "fold": fold.group, "cutoff": fold.cutoff,
        "family": curves.runs["family"].loc[answer.runs].to_numpy(dtype=object),
    }  # fmt: skip
    steps = rows["last_step"].to_numpy()
    rows = rows.assign(
        **columns, status=np.where(open_end & ~past, "censored", rows["status"]),
        onset=np.where(np.isfinite(onset), onset * steps, np.nan), until=np.where(open_end, last, 1.0) * steps,
        happened=happened, brier=brier(happened, rows["probability"].to_numpy()), crps=np.where(past, np.nan, crps),
    )  # fmt: skip
    return rows[COLUMNS]


def _names(event: JointEvent) -> list[str]:
    return list(dict.fromkeys(bound.metric for bound in event.bounds))

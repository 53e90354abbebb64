"""When something will first hold of a run, or that it will not: draws of its progress, inf where it does not come.

A joint event (`events`) has its onset at the first logged step where all its bounds hold. Four roads lead to a forecast
of it: a hazard that depends on what is known of a run; the hazard by age alone, and the runs that fit its beginning
best, which are baselines; and the paths that a forecaster draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.events import JointEvent
from predictdyn.fitting.chains import UNSAMPLED, Mixing
from predictdyn.fitting.onset_hazard import HazardModel, RunsAtRisk, fitted, sampled
from predictdyn.forecast import DRAWS, Prediction, seed_for
from predictdyn.forecasters._places import alike
from predictdyn.forecasters.regressions import feature_table, observed_features, robust_units
from predictdyn.problem import Problem, Query, log_progress, progress_at

FEWEST_AT_RISK, FEWEST_FAMILIES = 8, 3
NEAREST = 3
OWN = ("level", "change", "slope", "recent_slope", "break_gain")  # features of the metrics of the event
OTHERS = ("level", "slope")  # of all others
HAPPENED = "has happened"
NEVER = "came in no finished run after this progress: rare, not ruled out"
NOT_MET = "chains of the hazard have not met"
TOO_FEW = f"fewer than {FEWEST_AT_RISK} finished runs of {FEWEST_FAMILIES} families without it so far: hazard by age"


class OnsetDraws(NamedTuple):
    """Draws (n, s) of the progress of an onset, inf where it does not come before the end, and a status (n,).

    ``mixing`` (n, 3) are R-hat, effective draws and divergent share of the chains behind each; NaN where none are.
    """

    runs: list[str]
    draws: np.ndarray
    status: np.ndarray
    mixing: np.ndarray


class _Drawn(NamedTuple):
    """Draws (n, s) of runs that stand where each other stand."""

    draws: np.ndarray
    status: str = "ok"
    mixing: Mixing = UNSAMPLED


def onsets(curves: Curves, event: JointEvent) -> pd.DataFrame:
    """By run: progress of the first logged step where an event holds (inf: nowhere), and of the last that could tell.

    Only steps at which all metrics of the event were logged can tell; a run without one has no row.
    """
    names = list(dict.fromkeys(bound.metric for bound in event.bounds))
    found = {}
    for run, end in curves.runs["last_step"].astype(float).items():
        own = [curves.series.get((str(run), name)) for name in names]
        if any(one is None or not len(one.step) for one in own):
            continue
        step = own[0].step  # type: ignore[union-attr]
        for one in own[1:]:
            step = np.intersect1d(step, one.step)  # type: ignore[union-attr]
        if not len(step):
            continue
        values = {name: one.value[np.isin(one.step, step)] for name, one in zip(names, own, strict=True)}  # type: ignore[union-attr]
        held = event.held(values)
        found[run] = (float(step[held.argmax()]) / end if held.any() else np.inf, float(step[-1]) / end)
    return pd.DataFrame.from_dict(found, orient="index", columns=["onset", "last"], dtype=float)


def origins(observed: Curves, event: JointEvent) -> dict[str, float]:
    """The progress that is seen of each run, by the metrics of an event."""
    names, seen = {bound.metric for bound in event.bounds}, dict.fromkeys(observed.runs.index, 0.0)
    ends = observed.runs["last_step"].astype(float).to_dict()
    for (run, name), curve in observed.series.items():
        if name in names and len(curve.step):
            seen[run] = max(seen[run], float(curve.step[-1]) / ends[run])
    return seen


def by_hazard(problem: Problem, event: JointEvent) -> OnsetDraws:
    """A hazard over finished runs without the event at the same progress, by plan, curve and early signals.

    Too few such runs, or families of them, fall back to the hazard by age, with a status. Where it came in none of
    them, nothing says what it depends on, and the hazard's even prior would speak: then it is as rare as they say.
    Where the chains that draw the hazard have not met, the draws stay, with a status.
    """

    def drawn(runs: list[str], origin: float, past: pd.DataFrame) -> _Drawn:
        family = problem.history.curves.runs["family"].loc[past.index].to_numpy(dtype=object)
        if len(past) < FEWEST_AT_RISK or len(set(family)) < FEWEST_FAMILIES:
            return _Drawn(_by_age(problem, runs, past), TOO_FEW)
        if not np.isfinite(past["onset"]).any():
            return _Drawn(np.stack([_rare(past, origin, _uniforms(problem, run)) for run in runs]), NEVER)
        names = tuple(dict.fromkeys(bound.metric for bound in event.bounds))
        key = ("onset", event.text, problem.scales_key, origin, problem.fit_seed)
        model, described = problem.history.once(key, lambda: hazard_of(problem, names, origin, past, family))
        own = problem.observed.runs["family"].loc[runs].to_numpy(dtype=object)
        rng = np.random.default_rng(seed_for(problem.seed, "onset", event.text, origin))
        uniforms = np.stack([_uniforms(problem, run) for run in runs])
        x = described(observed_features(problem, origin).loc[runs])
        status = "ok" if model.mixing.converged else NOT_MET
        return _Drawn(progress_at(sampled(model, x, own, uniforms, rng)), status, model.mixing)

    return _grouped(problem, event, drawn)


def by_age(problem: Problem, event: JointEvent) -> OnsetDraws:
    """The hazard of finished runs by progress alone (Kaplan and Meier 1958), given that it has not happened yet."""
    return _grouped(problem, event, lambda runs, origin, past: _Drawn(_by_age(problem, runs, past)))


def by_nearest(problem: Problem, event: JointEvent) -> OnsetDraws:
    """The hazard by age of the runs without the event yet whose curves fit the beginning of a run best.

    One vote in `NEAREST` + 1 is that of all finished runs, so that three runs alone make nothing certain.
    """
    names = list(dict.fromkeys(bound.metric for bound in event.bounds))

    def drawn(runs: list[str], origin: float, past: pd.DataFrame) -> _Drawn:
        grid = progress_at(np.linspace(0.0, float(log_progress(np.array(origin))), 25))
        panels = [problem.panel(name) for name in names]
        theirs = np.stack([[panel.context[run].at(grid) for run in past.index] for panel in panels], axis=-1)
        rows = []
        for run in runs:
            own = np.stack([panel.observed[run].at(grid) for panel in panels], axis=-1)
            misfit = ((theirs - own) ** 2).sum(axis=(1, 2)) if len(past) else np.zeros(0)
            near = past.iloc[np.argsort(misfit, kind="stable")[:NEAREST]]
            u = _uniforms(problem, run)
            vote = np.random.default_rng(seed_for(problem.seed, run, "vote")).random(DRAWS) < 1 / (NEAREST + 1)
            rows.append(np.where(vote, _at(*survival(past), u), _at(*survival(near), u)))
        return _Drawn(np.stack(rows))

    return _grouped(problem, event, drawn)


def of_paths(path: Prediction, event: JointEvent, observed: Curves, runs: Sequence[str]) -> OnsetDraws:
    """Of draws of the metrics at steps on the way, joint in time: the first of these steps where all bounds hold."""
    place: dict[str, dict[float, dict[str, int]]] = {}
    for row, (run, metric, step) in enumerate(path.target[["run", "metric", "step"]].itertuples(index=False)):
        place.setdefault(run, {}).setdefault(float(step), {})[metric] = row
    names = {bound.metric for bound in event.bounds}
    begun, ends = onsets(observed, event)["onset"].to_dict(), observed.runs["last_step"].astype(float).to_dict()
    draws, status = np.full((len(runs), path.draws.shape[1]), np.inf), np.full(len(runs), "ok", dtype=object)
    for i, run in enumerate(runs):
        if np.isfinite(begun.get(run, np.inf)):
            draws[i], status[i] = begun[run], HAPPENED
            continue
        for step in sorted(place.get(run, {}), reverse=True):
            rows = place[run][step]
            if names <= set(rows):
                draws[i][event.held({name: path.draws[rows[name]] for name in names})] = step / ends[run]
                fell = [str(path.status[row]) for row in rows.values() if path.status[row] != "ok"]
                status[i] = fell[0] if fell else status[i]
    return OnsetDraws(list(runs), draws, status, np.full((len(runs), 3), np.nan))


def survival(past: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Times (k,) and the share of runs without an onset after each (k,), by Kaplan and Meier, doi:10.2307/2281868.

    >>> time, left = survival(pd.DataFrame({"onset": [0.2, np.inf, np.inf], "last": [1.0, 0.5, 1.0]}))
    >>> time.tolist(), left.round(3).tolist()
    ([0.2], [0.667])
    """
    onset, last = past["onset"].to_numpy(dtype=float), past["last"].to_numpy(dtype=float)
    time, n = np.unique(onset[np.isfinite(onset)], return_counts=True)
    at_risk = (np.minimum(onset, last)[None] >= time[:, None] - 1e-12).sum(axis=1)
    return time, np.cumprod(1 - n / np.maximum(at_risk, 1))


def hazard_of(
    problem: Problem, metrics: Sequence[str], origin: float, past: pd.DataFrame, family: np.ndarray
) -> tuple[HazardModel, Callable[[pd.DataFrame], np.ndarray]]:
    """The hazard of finished runs at risk (index of ``past``), and how rows of features become its columns."""
    at_risk, described = at_risk_of(problem, metrics, origin, past, family)
    rng = np.random.default_rng(seed_for(problem.fit_seed, "hazard", *metrics, origin))
    return fitted(at_risk, float(log_progress(np.array(origin))), rng), described


def at_risk_of(
    problem: Problem, metrics: Sequence[str], origin: float, past: pd.DataFrame, family: np.ndarray
) -> tuple[RunsAtRisk, Callable[[pd.DataFrame], np.ndarray]]:
    """What `hazard_of` learns from, and how rows of features become its columns."""
    table = feature_table(problem, problem.whole or problem.history, origin)
    columns, group = _columns(table, metrics)
    units = robust_units(table.loc[past.index, columns].to_numpy(dtype=float))

    def described(rows: pd.DataFrame) -> np.ndarray:
        return units.apply(rows.reindex(columns=columns).to_numpy(dtype=float))

    groups = np.unique(group[units.kept], return_inverse=True)[1]
    onset = log_progress(past["onset"].to_numpy(dtype=float))
    last = log_progress(past["last"].to_numpy(dtype=float))
    return RunsAtRisk(onset, last, family, described(table.loc[past.index]), groups), described


def _columns(table: pd.DataFrame, metrics: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The features a hazard depends on, and the group (p,) of each: plan, the event's own metrics, others."""
    found = []
    for column in map(str, table.columns):
        of, _, what = column.rpartition(":")
        if of == "plan":
            found.append((column, 0))
        elif of in metrics and what in OWN:
            found.append((column, 1))
        elif of not in metrics and "/" not in of and what in OTHERS:
            found.append((column, 2))
    return [column for column, _ in found], np.array([group for _, group in found], dtype=int)


def _grouped(
    problem: Problem, event: JointEvent, drawn: Callable[[list[str], float, pd.DataFrame], _Drawn]
) -> OnsetDraws:
    """Ask for runs of which about as much is seen together; where it has happened already, that is the answer."""
    runs = list(problem.observed.runs.index)
    seen, happened = origins(problem.observed, event), onsets(problem.observed, event)
    done = {run: one for run, one in happened["onset"].items() if np.isfinite(one)}
    known = problem.history.once(("onsets", event.text), lambda: onsets(problem.history.curves, event))
    draws, status = np.empty((len(runs), DRAWS)), np.full(len(runs), "ok", dtype=object)
    mixing = np.full((len(runs), 3), np.nan)
    place = {run: i for i, run in enumerate(runs)}
    groups = alike([Query(run, np.zeros(0), np.zeros(0)) for run in runs if run not in done], seen)
    for run, one in done.items():
        draws[place[str(run)]], status[place[str(run)]] = one, HAPPENED
    for run in runs:
        if run not in done and not seen[run]:
            groups.setdefault(0.0, []).append(Query(run, np.zeros(0), np.zeros(0)))
    for origin, queries in groups.items():
        past = known[(known["onset"] > origin) & (known["last"] > origin)]
        some = [query.run for query in queries]
        found = drawn(some, max(origin, 1e-4), past)
        for run, row in zip(some, found.draws, strict=True):
            # What has not been seen lies ahead, whatever the rounding of origins.
            draws[place[run]] = np.maximum(row, seen[run] * (1 + 1e-9))
            status[place[run]], mixing[place[run]] = found.status, found.mixing
    return OnsetDraws(runs, draws, status, mixing)


def _by_age(problem: Problem, runs: Sequence[str], past: pd.DataFrame) -> np.ndarray:
    time, left = survival(past)
    return np.stack([_at(time, left, _uniforms(problem, run)) for run in runs])


def _at(time: np.ndarray, left: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Times (s,) at which the share without an onset falls to uniforms (s,)."""
    place = np.searchsorted(-left, -uniforms, side="left")
    return np.asarray(np.append(time, np.inf)[place])


def _rare(past: pd.DataFrame, origin: float, uniforms: np.ndarray) -> np.ndarray:
    """Times (s,) of what came in none of n runs: 1 / (2 n + 2) of them before the end, by Jeffreys' prior.

    They lie evenly in log progress. A run whose log ended early counts for the part of the way that it shows.
    """
    begin = float(log_progress(np.array(origin)))
    shown = (log_progress(past["last"].to_numpy(dtype=float)) - begin) / (1.0 - begin)
    share = 0.5 / (1.0 + np.clip(shown, 0.0, 1.0).sum())
    way = np.where(uniforms < share, uniforms / share, 0.0)
    return np.where(uniforms < share, progress_at(begin + (1.0 - begin) * way), np.inf)


def _uniforms(problem: Problem, run: str) -> np.ndarray:
    return np.random.default_rng(seed_for(problem.seed, run, "onset")).random(DRAWS)

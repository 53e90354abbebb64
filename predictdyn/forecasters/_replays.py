"""Replays inside the history: what each member of a mixture would have forecast, and the weights that follow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np
import pandas as pd

from predictdyn.curves import OUTCOMES, Curves
from predictdyn.fitting.stacking import Resolved, resolved, spread, stack, wanted
from predictdyn.forecast import Forecaster, seed_for

# kind -> metric, or WHOLE_KIND -> one weight per member, then the factor of the spread
KindWeights = dict[str, dict[str, list[float]]]
Weights = dict[str, KindWeights]  # by share
WHOLE_KIND = "*"
FEW_FAMILIES = 6
ENOUGH_FAMILIES = 40  # to be replayed
CALMER = 3.0  # the spread of one metric leans so many times more on its kind than its weights do


def learn(
    curves: Curves, ways: Mapping[str, Forecaster], *, lean: np.ndarray, shares: tuple[float, ...], inner_folds: int,
    metrics_per_kind: int, rows_per_kind: int, prior: float, metric_prior: float, spread_prior: float, alone: bool,
    seed: int,
) -> Weights:  # fmt: skip
    """Weights of the members and a factor of the spread, per share, kind and metric; see `_ensemble.Ensemble`.

    Members with no ``lean`` take no part. ``alone``: no run has ended, so none is history for another.
    """
    part = lean > 0
    ways = {name: way for (name, way), one in zip(ways.items(), part, strict=True) if one}
    whole = _as_logged(curves)
    few = whole.of_metrics({*_sample(whole, metrics_per_kind, seed), *_schedules(whole)})
    table: dict[str, dict[str, list[Resolved]]] = {}
    for kind, share, row in _replays(few, ways, shares, inner_folds, rows_per_kind, seed, alone=alone):
        table.setdefault(kind, {}).setdefault(f"{share:g}", []).append(row)
    found: Weights = {}

    def keep(kind: str, metric: str, cut: str, weight: np.ndarray, factor: float) -> None:
        whole = np.zeros(len(lean))
        whole[part] = weight
        found.setdefault(cut, {}).setdefault(kind, {})[metric] = [*whole.tolist(), factor]

    for kind, of_cut in table.items():
        weights = {cut: stack(rows, lean[part], prior=prior) for cut, rows in of_cut.items()}
        anywhere = 1.0
        if alone:
            # Few curves, seen in part, say little of the spread at one share; with a history each is learnt alone.
            wants, family = zip(*(_needed(rows, weights[cut]) for cut, rows in of_cut.items()), strict=True)
            anywhere = spread(list(chain(*wants)), list(chain(*family)), prior=spread_prior)
        for cut, rows in of_cut.items():
            factor = _spread(rows, weights[cut], spread_prior, anywhere)
            keep(kind, WHOLE_KIND, cut, weights[cut], factor)
            for metric in sorted({row.metric for row in rows}):
                mine = [row for row in rows if row.metric == metric]
                own = stack(mine, weights[cut], prior=metric_prior)
                keep(kind, metric, cut, own, _spread(mine, own, CALMER * metric_prior, factor))
    return found


def _spread(rows: list[Resolved], weight: np.ndarray, prior: float, towards: float) -> float:
    """The factor of the spread; a member alone keeps its own, which rests on more families than are replayed."""
    return 1.0 if weight.max() == 1.0 else spread(*_needed(rows, weight), prior=prior, towards=towards)


def _needed(rows: list[Resolved], weight: np.ndarray) -> tuple[list[float], list[str]]:
    """The factor of the spread that each row wants, and the family it is of."""
    return [wanted(row, weight) for row in rows], [row.family for row in rows]


def _replays(
    curves: Curves, ways: Mapping[str, Forecaster], shares: tuple[float, ...], inner_folds: int, rows: int, seed: int,
    *, alone: bool,
) -> Iterator[tuple[str, float, Resolved]]:  # fmt: skip
    families = sorted(curves.runs["family"].unique(), key=lambda name: _lot(seed, name))
    # Few families are left out one by one: a replay that learns from half of them would misjudge who learns from all.
    # A single family is replayed by itself, with nothing to learn from but its own beginning.
    folds = 1 if alone else len(families) if len(families) <= FEW_FAMILIES else inner_folds
    # Of many families a part says enough, and each fold costs a fit of all members.
    replayed = min(folds, -(-ENOUGH_FAMILIES * folds // max(len(families), 1)))
    for fold in range(replayed):
        test = curves.runs["family"].isin(families[fold::folds])
        history, hidden = curves.of_runs(curves.runs.index[~test]), curves.of_runs(curves.runs.index[test])
        fitted = {name: way.fit(history, seed=seed_for(seed, name, fold)) for name, way in ways.items()}
        for share in shares:
            seen = hidden.upto(share)
            target, truth = _asked(hidden, share, rows // replayed, seed)
            if target.empty:
                continue
            if alone:  # where no run has ended, none has in the replay either
                fitted = {name: way.fit(seen, seed=seed_for(seed, name, fold)) for name, way in ways.items()}
            answers = [one.forecast(seen, target, seed=seed_for(seed, name, fold)) for name, one in fitted.items()]
            draws = np.stack([answer.draws for answer in answers])
            good = np.stack([answer.status == "ok" for answer in answers])
            family = target["run"].map(hidden.runs["family"])
            for row, name in enumerate(target["metric"]):
                metric = curves.metrics[name]
                yield metric.kind, share, resolved(draws[:, row], truth[row], metric, family[row], good[:, row])


def _asked(hidden: Curves, share: float, most: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The last points of some curves after the cutoff, by lot, at most so many of each kind, and their values."""
    last = hidden.points.groupby(["run", "metric"], sort=False).tail(1)
    limit = last["run"].map(hidden.limit(share)).to_numpy(float)
    last = last[last["step"].to_numpy(float) > limit]
    kind = last["metric"].map({name: metric.kind for name, metric in hidden.metrics.items()})
    lot = [_lot(seed, f"{run}/{metric}") for run, metric in zip(last["run"], last["metric"], strict=True)]
    ranked = last.assign(kind=kind, lot=lot)[(kind != "schedule").to_numpy()].sort_values("lot", kind="stable")
    some = ranked.groupby("kind", sort=True).head(most)
    return some[["run", "metric", "step"]].reset_index(drop=True), some["value"].to_numpy(float)


def _sample(curves: Curves, most: int, seed: int) -> list[str]:
    """Outcome metrics to replay, by lot, at most so many of each kind; all metrics where no kind is known."""
    logged = set(curves.points["metric"])
    names = [name for name in curves.metrics if name in logged and curves.metrics[name].kind != "schedule"]
    outcomes = [name for name in names if curves.metrics[name].kind in OUTCOMES] or names
    chosen: dict[str, list[str]] = {}
    for name in sorted(outcomes, key=lambda name: _lot(seed, name)):
        of_kind = chosen.setdefault(curves.metrics[name].kind, [])
        if len(of_kind) < most:
            of_kind.append(name)
    return [name for of_kind in chosen.values() for name in of_kind]


def _as_logged(curves: Curves) -> Curves:
    """The same curves, each run's plan ending where its log ends: what replays inside unfinished runs need."""
    schedules = [name for name in _schedules(curves) if curves.metrics[name].known_ahead]
    last = curves.points[~curves.points["metric"].isin(schedules)].groupby("run")["step"].max()
    runs = curves.runs.loc[curves.runs.index.isin(last.index)]
    runs = runs.assign(last_step=last.reindex(runs.index).clip(lower=1))
    return Curves(curves.points[curves.points["run"].isin(runs.index)], runs, curves.metrics, curves.events)


def _schedules(curves: Curves) -> list[str]:
    return [name for name, metric in curves.metrics.items() if metric.kind == "schedule"]


def _lot(seed: int, word: str) -> bytes:
    return hashlib.sha256(f"{seed}:{word}".encode()).digest()

"""One set of draws over all that is asked of a run: how its metrics move together in finished runs.

Ensemble copula coupling (Schefzik et al. 2013, doi:10.1214/13-STS443): no draw is changed, only their order.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from predictdyn.curves import ENDED, Curves
from predictdyn.fitting.copula import correlation, coupled, normal_scores, ranks, residuals
from predictdyn.fitting.knots import Knots
from predictdyn.forecast import Prediction, seed_for
from predictdyn.problem import History, LatentCurve
from predictdyn.scales import scale_for

KEPT = 1024  # origins whose correlations are kept with a history


def couple(forecast: Prediction, history: History, observed: Curves, *, seed: int) -> Prediction:
    """The same forecast with the draws of each run coupled: draw i of its rows is then one sample of them together.

    No row gets other numbers, only another order. It follows from the history, the progress that is seen, the run, the
    metric and the seed, so no row depends on what else is asked. All steps of a metric have equal ranks: draws are
    paths. A metric that the history does not have, and all where it has fewer than four families, are independent.
    """
    draws = np.empty_like(forecast.draws)
    size = draws.shape[1]
    begun = _origins(observed)
    rows: dict[str, dict[str, list[int]]] = {}
    for row, (run, metric) in enumerate(zip(forecast.target["run"], forecast.target["metric"], strict=True)):
        rows.setdefault(run, {}).setdefault(metric, []).append(row)
    for run, of_metric in rows.items():
        names, found = _correlations(history, begun.get(run, 0.0))
        rank = dict(zip(names, ranks(found, size, np.random.default_rng(seed_for(seed, run))), strict=True))
        for metric, mine in of_metric.items():
            if metric not in rank:
                rank[metric] = np.random.default_rng(seed_for(seed, run, metric)).permutation(size)
            draws[mine] = coupled(forecast.draws[mine], np.broadcast_to(rank[metric], (len(mine), size)))
    return replace(forecast, draws=draws, joint=True)


def metric_scales(history: History, metrics: list[str], origin: float) -> np.ndarray:
    """The size (d,) of what happens to each metric after a progress, in its units, to put metrics on one scale.

    The interquartile range, over finished runs, of the last value less the value at the progress ``origin``; where that
    is 0 their standard deviation, and 1 where this is 0 too, or there are no runs.
    """
    found, past = [], _curves(history)
    for name in metrics:
        curves = [one for one in past.get(name, []) if one.progress[-1] >= ENDED]
        # The scale of values is their own here: a score is in the metric's units.
        values = [history.curves.series[one.run, name].value for one in curves]
        change = [v[-1] - one._replace(latent=v).at(np.array(origin)) for v, one in zip(values, curves, strict=True)]
        low, high = np.quantile(change, (0.25, 0.75)) if change else (0.0, 0.0)
        found.append(float(high - low) or (float(np.std(change)) if change else 0.0) or 1.0)
    return np.array(found)


def _correlations(history: History, origin: float) -> tuple[list[str], np.ndarray]:
    """Names (d) in order and correlations (d, d) of what levels at an origin leave of the changes to the end.

    Those of the latest origins are kept: a run that is watched has another one at each look, for days.
    """
    kept: dict[float, tuple[list[str], np.ndarray]] = history.once("correlations", dict)
    if origin not in kept:
        while len(kept) >= KEPT:
            kept.pop(next(iter(kept)), None)
        kept[origin] = _correlated(history, origin)
    return kept[origin]


def _correlated(history: History, origin: float) -> tuple[list[str], np.ndarray]:
    ended, family = history.once("ended curves", lambda: _ended(history)), history.curves.runs["family"]
    left = np.full((len(family), len(ended)), np.nan)
    for column, (place, last, knots) in enumerate(ended.values()):
        level = knots.at(origin)
        left[place, column] = residuals(level, last - level)
    return list(ended), correlation(normal_scores(left), family.to_numpy(dtype=object).astype(str))


def _ended(history: History) -> dict[str, tuple[np.ndarray, np.ndarray, Knots]]:
    """Of each metric, by name in order, the curves that have ended: places of their runs, last values, knots."""
    past, place = _curves(history), {run: i for i, run in enumerate(history.curves.runs.index)}
    found = {}
    for name in sorted(past):
        curves = [curve for curve in past[name] if curve.progress[-1] >= ENDED]
        places = np.array([place[curve.run] for curve in curves], dtype=int)
        found[name] = (places, np.array([curve.latent[-1] for curve in curves]), Knots(curves))
    return found


def _curves(history: History) -> dict[str, list[LatentCurve]]:
    """The curves of each metric, but for schedules, on its latent scale."""
    found = {}
    for name, of_run in history.by_metric.items():
        metric = history.curves.metrics[name]
        if metric.kind != "schedule":
            scale = scale_for(metric, np.concatenate([curve.value for curve in of_run.values()]))
            found[name] = list(history.latent(name, scale).values())
    return found


def _origins(observed: Curves) -> dict[str, float]:
    """The last progress that is seen of each run, schedules aside."""
    last: dict[str, float] = {}
    for (run, name), curve in observed.series.items():
        if observed.metrics[name].kind != "schedule":
            last[run] = max(last.get(run, 0.0), float(curve.step[-1]))
    plan = observed.runs["last_step"].astype(float).to_dict()
    return {run: step / plan[run] for run, step in last.items()}

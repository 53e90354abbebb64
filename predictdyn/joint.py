"""One set of draws over all that is asked of a run: what finished runs say of how its metrics move together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from predictdyn.curves import ENDED, Curves
from predictdyn.fitting.copula import correlation, coupled, left_over, normal_scores, ranks
from predictdyn.forecast import Forecast, seed_for
from predictdyn.lines import Line
from predictdyn.scales import scale_for


def together(forecast: Forecast, history: Curves, seen: Curves, *, seed: int) -> Forecast:
    """The same forecast with the draws of each run coupled: draw i of its rows is then one sample of them together.

    No row gets other numbers, only another order. It follows from the history, the share of the run that is seen, the
    run, the metric and the seed, so no row depends on what else is asked. All steps of a metric have equal ranks: draws
    are paths. A metric that the history does not have, and all where it has fewer than four families, are independent.
    """
    draws = np.empty_like(forecast.draws)
    size = draws.shape[1]
    past, begun = _lines(history), _origins(seen)
    of_share: dict[float, tuple[list[str], np.ndarray]] = {}
    table = forecast.target.reset_index(drop=True)
    for run in dict.fromkeys(table["run"]):
        origin = begun.get(run, 0.0)
        if origin not in of_share:
            of_share[origin] = _correlations(past, history.runs["family"], origin)
        names, found = of_share[origin]
        rank = dict(zip(names, ranks(found, size, np.random.default_rng(seed_for(seed, run))), strict=True))
        for row in np.flatnonzero(table["run"] == run):
            metric = table["metric"].iloc[row]
            if metric not in rank:
                rank[metric] = np.random.default_rng(seed_for(seed, run, metric)).permutation(size)
            draws[row] = coupled(forecast.draws[[row]], rank[metric][None])[0]
    return replace(forecast, draws=draws, joint=True)


def spans(history: Curves, metrics: list[str], origin: float) -> np.ndarray:
    """The size (d,) of what happens to each metric after a share of the run, in its units, to put metrics on one scale.

    The interquartile range, over finished runs, of the last value less the value at the share ``origin``; where that
    is 0 their standard deviation, and 1 where this is 0 too, or there are no runs.
    """
    found, past = [], _lines(history)
    for name in metrics:
        lines = [one for one in past.get(name, []) if one.share[-1] >= ENDED]
        # The scale of values is their own here: a score is in the metric's units.
        values = [history.by_key[one.run, name].value for one in lines]
        change = [v[-1] - one._replace(latent=v).at(np.array(origin)) for v, one in zip(values, lines, strict=True)]
        low, high = np.quantile(change, (0.25, 0.75)) if change else (0.0, 0.0)
        found.append(float(high - low) or (float(np.std(change)) if change else 0.0) or 1.0)
    return np.array(found)


def _correlations(past: dict[str, list[Line]], family: pd.Series, origin: float) -> tuple[list[str], np.ndarray]:
    """Names (d) in order and correlations (d, d) of what levels at the share leave of the changes to the end."""
    names, place = sorted(past), {run: i for i, run in enumerate(family.index)}
    left = np.full((len(place), len(names)), np.nan)
    for column, name in enumerate(names):
        lines = [line for line in past[name] if line.share[-1] >= ENDED]
        level = np.array([float(line.at(np.array(origin))) for line in lines])
        last = np.array([line.latent[-1] for line in lines])
        left[[place[line.run] for line in lines], column] = left_over(level, last - level)
    return names, correlation(normal_scores(left), family.to_numpy(dtype=object).astype(str))


def _lines(curves: Curves) -> dict[str, list[Line]]:
    """The curves of each metric, but for schedules, on its latent scale."""
    of: dict[str, list[str]] = {}
    for run, name in curves.by_key:
        if curves.metrics[name].kind != "schedule":
            of.setdefault(name, []).append(run)
    family, plan = curves.runs["family"].to_dict(), curves.runs["last_step"].astype(float).to_dict()
    lines: dict[str, list[Line]] = {}
    for name, runs in of.items():
        known = [curves.by_key[run, name] for run in runs]
        scale = scale_for(curves.metrics[name], np.concatenate([curve.value for curve in known]))
        lines[name] = [
            Line(run, family[run], curve.step / plan[run], scale.latent(curve.value), curve.stderr)
            for run, curve in zip(runs, known, strict=True)
        ]
    return lines


def _origins(seen: Curves) -> dict[str, float]:
    """The last share that is seen of each run, schedules aside."""
    last: dict[str, float] = {}
    for (run, name), curve in seen.by_key.items():
        if seen.metrics[name].kind != "schedule":
            last[run] = max(last.get(run, 0.0), float(curve.step[-1]))
    plan = seen.runs["last_step"].astype(float).to_dict()
    return {run: step / plan[run] for run, step in last.items()}

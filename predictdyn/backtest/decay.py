"""A learning rate that has begun to fall while nothing says how it goes on: words on it, and wider forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from predictdyn.curves import Curve, Curves, Metric, ended
from predictdyn.forecast import Prediction
from predictdyn.forecasters._fitted import Fitted
from predictdyn.forecasters._rates import RATE
from predictdyn.naming import BY_METRICS
from predictdyn.problem import Problem

FALLEN = 0.02  # of the peak: a smaller fall is none yet
MOST = 0.5  # of the peak is left: most of the decay is ahead
DECAYED = 0.2  # of the peak: a finished run that came so low shows what decay does
YOUNG = 0.1  # of what was seen: from there on a curve's own change says how much is at stake
AHEAD = "less sure: the learning rate has most of its decay ahead, and nothing says what that does"
PLANNED = f"If it was planned, log it to the end and state its kind, schedule, {BY_METRICS}"


class Decay(NamedTuple):
    """A rate of a run in question: where it began to fall, where it is, and the share of its peak that is left."""

    run: str
    metric: str
    begun: float
    now: float
    left: float

    @property
    def line(self) -> str:
        """One line for a person."""
        ahead = " Most of the decay is ahead, so the intervals are wider." if self.left >= MOST else ""
        return (
            f"{self.run}: {self.metric} began to fall at step {self.begun:g} and is at {self.left:.0%} of its peak at "
            f"step {self.now:g}; nothing says how it goes on, and the forecast does not know what that does.{ahead} "
            f"{PLANNED}"
        )


def open_decays(history: Curves, observed: Curves) -> list[Decay]:
    """The rates of runs in question that fall towards an end that neither a schedule nor a finished run shows."""
    found = []
    for (run, name), curve in sorted(observed.series.items()):
        metric = observed.metrics[name]
        if _is_open_rate(metric) and not _shown(history, name):
            decay = _decay(run, name, curve, float(observed.runs["last_step"].to_dict()[run]))
            found += [decay] if decay is not None else []
    return found


def decay_lines(decays: Sequence[Decay]) -> list[str]:
    """One line for each rate that falls, however many runs have it."""
    lines = []
    for metric in dict.fromkeys(decay.metric for decay in decays):
        some = [decay for decay in decays if decay.metric == metric]
        first, ahead = some[0], sum(decay.left >= MOST for decay in some)
        wider = f" Most of the decay is ahead in {ahead} of them, whose intervals are wider." if ahead else ""
        lines.append(
            first.line
            if len(some) == 1
            else f"{metric} began to fall in {len(some)} runs, first in {first.run} at step {first.begun:g}; nothing "
            f"says how it goes on, and the forecasts do not know what that does.{wider} {PLANNED}"
        )
    return lines


def widened_for_decay(prediction: Prediction, fitted: Fitted, observed: Curves) -> Prediction:
    """The same forecasts; those of runs whose decay is mostly ahead reach further towards better, with a status.

    On the latent scale the upper half of a normal is added by rank, so that joint draws stay joint. Its sd at the end
    of the run is the share of the peak that is left times what the curve has changed since a tenth of what was seen.
    Where no side is better, both ends go out.
    """
    left = {decay.run: decay.left for decay in open_decays(fitted.history, observed) if decay.left >= MOST}
    if not left:
        return prediction
    draws, status = prediction.draws.copy(), prediction.status.copy()
    problem = Problem(fitted.past, observed, prediction.target, 0)
    for panel in problem.panels:
        side = {"higher": 1.0, "lower": -1.0}.get(problem.metrics[panel.metric].better or "", 0.0)
        for query in panel.queries:
            curve = panel.observed[query.run]
            if query.run not in left or not len(curve.latent):
                continue
            change = float(curve.latent[-1] - curve.at(YOUNG * curve.progress[-1:])[0])
            now = float(curve.progress[-1])
            way = np.clip((query.progress - now) / max(1.0 - now, 1e-9), 0.0, 1.0)
            for row, sd in zip(query.rows, left[query.run] * abs(change) * way, strict=True):
                latent = panel.scale.latent(draws[row])
                draws[row] = panel.scale.value(latent + sd * _outwards(latent, side))
                status[row] = AHEAD if status[row] == "ok" else status[row]
    return replace(prediction, draws=draws, status=status)


def _outwards(latent: np.ndarray, side: float) -> np.ndarray:
    """How many sd each draw (s,) moves, by its rank."""
    from scipy.special import ndtri

    rank = (np.argsort(np.argsort(latent, kind="stable"), kind="stable") + 0.5) / len(latent)
    if side == 0:
        return np.asarray(ndtri(rank))
    # The best draw of s goes furthest; the half normal's quantiles.
    return np.asarray(side * ndtri(0.5 + 0.5 * (rank if side > 0 else 1.0 - rank)))


def _is_open_rate(metric: Metric) -> bool:
    return metric.kind == "schedule" and not metric.known_ahead and RATE.search(metric.name.lower()) is not None


def _shown(history: Curves, name: str) -> bool:
    """Whether a finished run has gone through such a decay."""
    finished = set(ended(history)) if len(history.points) else set()
    of_rate = [curve.value for (run, metric), curve in history.series.items() if metric == name and run in finished]
    return any(value[-1] <= DECAYED * value.max() for value in of_rate)


def _decay(run: str, name: str, curve: Curve, last: float) -> Decay | None:
    peak = float(curve.value.max())
    if not peak > 0 or curve.step[-1] >= last:
        return None
    after = np.flatnonzero(curve.value >= (1.0 - FALLEN) * peak)[-1]
    if after == len(curve.step) - 1:
        return None
    return Decay(run, name, float(curve.step[after + 1]), float(curve.step[-1]), float(curve.value[-1]) / peak)

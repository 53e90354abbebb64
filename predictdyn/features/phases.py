"""Phases of training: states of a hidden Markov model over the signals, learnt from a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.features import _markov
from predictdyn.features._markov import Markov, smooth
from predictdyn.features.seen import scaled, seen
from predictdyn.scales import Scale, scale_for

STATES = (2, 3, 4, 5)
STARTS = 3
QUARTILES = 1.349  # distance between the quartiles of a normal law, in standard deviations
FAR = 6.0
MOST_RUNS = 150  # to learn from; more change the states little, and cost in proportion


class Sequences(NamedTuple):
    """The numbers of n runs at every step at which one was logged, NaN where another was not.

    ``values`` (n, t, d), from column 0 on; ``step`` (n, t); ``here`` (n, t) says how long each run is.
    """

    values: np.ndarray
    step: np.ndarray
    here: np.ndarray


@dataclass(frozen=True)
class Phases:
    """A fitted model of phases: its signals with their scales, centre and spread (d,), and the states.

    States are numbered by when runs are in them, the earliest first.
    """

    scales: Mapping[str, Scale]
    centre: np.ndarray
    spread: np.ndarray
    model: Markov

    @property
    def count(self) -> int:
        """Number of states, k."""
        return len(self.model.start)

    def features(self, curves: Curves, share: float) -> pd.DataFrame:
        """Columns `phase:...` for every run (n rows): share of its points in each state, the last state, switches.

        Only points up to ``share`` are used; NaN for a run with no signal seen.
        """
        sequences, posterior = self._posterior(curves, share)
        count = sequences.here.sum(axis=1)
        with np.errstate(invalid="ignore"):
            part = posterior.sum(axis=1) / count[:, None]
        last = np.take_along_axis(posterior, np.maximum(count - 1, 0)[:, None, None], axis=1)[:, 0]
        best = posterior.argmax(axis=2)
        switches = ((best[:, 1:] != best[:, :-1]) & sequences.here[:, 1:]).sum(axis=1)
        numbers = np.column_stack([part, last, switches])
        names = [f"phase:{what}_{state}" for what in ("share", "now") for state in range(self.count)]
        return pd.DataFrame(
            np.where(count[:, None] > 0, numbers, np.nan), curves.runs.index, [*names, "phase:switches"]
        )

    def states(self, curves: Curves, share: float = 1.0) -> pd.DataFrame:
        """The most probable state at every step seen: run, step, state, probability."""
        sequences, posterior = self._posterior(curves, share)
        row, column = np.nonzero(sequences.here)
        here = posterior[row, column]
        return pd.DataFrame(
            {
                "run": curves.runs.index.to_numpy()[row],
                "step": sequences.step[row, column],
                "state": here.argmax(axis=1),
                "probability": here.max(axis=1),
            }
        )

    def _posterior(self, curves: Curves, share: float) -> tuple[Sequences, np.ndarray]:
        found = sequences(curves, self.scales, share)
        values = _standardised(found.values, self.centre, self.spread)
        return found, smooth(self.model, values, found.here).posterior

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "scales": {name: list(scale) for name, scale in self.scales.items()},
            "centre": self.centre.tolist(),
            "spread": self.spread.tolist(),
            "model": [part.tolist() for part in self.model],
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Phases:
        """Back from `to_json`."""
        scales = {name: Scale(*scale) for name, scale in data["scales"].items()}
        centre, spread = np.array(data["centre"]), np.array(data["spread"])
        return Phases(scales, centre, spread, Markov(*map(np.array, data["model"])))


def fit(history: Curves, *, seed: int, metrics: Sequence[str] | None = None) -> Phases | None:
    """Learn the phases of finished runs from their signals (or ``metrics``); None where there are none to learn from.

    2 to 5 states, the number with the smallest BIC, p ln N - 2 ln L with p free numbers and N steps; each from several
    seeded starts. A signal that never varies says nothing and is left out.
    """
    names = [m.name for m in history.metrics.values() if m.kind == "signal"] if metrics is None else list(metrics)
    rng = np.random.default_rng(seed)
    if len(history.runs) > MOST_RUNS:
        chosen = rng.choice(len(history.runs), MOST_RUNS, replace=False)
        history = history.select(runs=history.runs.index[np.sort(chosen)])
    scales = {}
    for name in names:
        points = seen(history, name, 1.0)
        values = points.value[points.here]
        if len(values) and np.ptp(values) > 0:
            scales[name] = scale_for(history.metrics[name], values)
    found = sequences(history, scales, 1.0)
    steps = int(found.here.sum())
    if not scales or steps <= max(STATES):
        return None
    low, centre, high = np.nanquantile(found.values, (0.25, 0.5, 0.75), axis=(0, 1))
    # A signal that rests on one value for half of the time has no quartiles to measure by.
    spread = np.where(high > low, (high - low) / QUARTILES, 1.0)
    values = _standardised(found.values, centre, spread)
    share = found.step / history.runs["last_step"].to_numpy(dtype=float)[:, None]
    best, lowest = None, np.inf
    for k in STATES:
        for start in range(STARTS):
            model, likelihood = _markov.fit(values, found.here, _guess(values, found.here, share, k, start, rng))
            criterion = k * (k + 2 * len(scales)) * np.log(steps) - 2 * likelihood
            if criterion < lowest:
                best, lowest = model, criterion
    assert best is not None
    posterior = smooth(best, values, found.here).posterior
    when = (posterior * share[:, :, None]).sum(axis=(0, 1)) / np.maximum(posterior.sum(axis=(0, 1)), 1e-12)
    order = np.argsort(when, kind="stable")
    ordered = Markov(best.start[order], best.move[np.ix_(order, order)], best.mean[order], best.sd[order])
    return Phases(scales, centre, spread, ordered)


def _standardised(values: np.ndarray, centre: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """In spreads from the centre, at most `FAR`: a run that diverged must not be a state of its own."""
    return np.clip((values - centre) / spread, -FAR, FAR)


def _guess(
    values: np.ndarray, here: np.ndarray, share: np.ndarray, k: int, start: int, rng: np.random.Generator
) -> np.ndarray:
    """A first posterior (n, t, k): by time in k equal parts, then by the nearest of k steps drawn by lot."""
    if not start:
        rank = np.searchsorted(np.sort(share[here]), share) / here.sum()
        state = np.minimum((k * rank).astype(int), k - 1)
    else:
        known = np.nan_to_num(values[here])
        centres = known[rng.choice(len(known), k, replace=False)]
        state = ((np.nan_to_num(values)[:, :, None] - centres) ** 2).sum(axis=3).argmin(axis=2)
    return np.where(here[:, :, None], np.eye(k)[state], 0.0)


def sequences(curves: Curves, scales: Mapping[str, Scale], share: float) -> Sequences:
    """Latent values of some metrics at all steps up to a share at which any of them was logged."""
    n = len(curves.runs)
    points = [scaled(seen(curves, name, share), scale) for name, scale in scales.items()]
    wide = 1.0 + max((float(one.step.max(initial=0.0)) for one in points), default=0.0)
    codes = [(one.step + wide * np.arange(n)[:, None])[one.here] for one in points]
    steps, place = np.unique(np.concatenate([np.zeros(0), *codes]), return_inverse=True)
    row = (steps // wide).astype(int)
    count = np.bincount(row, minlength=n)
    column = np.arange(len(steps)) - (np.cumsum(count) - count)[row]
    t = max(int(count.max(initial=0)), 1)
    values, step, here = np.full((n, t, len(points)), np.nan), np.zeros((n, t)), np.zeros((n, t), dtype=bool)
    here[row, column], step[row, column] = True, steps - wide * row
    ends = np.cumsum([0, *(len(code) for code in codes)])
    for one, (points_of, a, b) in enumerate(zip(points, ends[:-1], ends[1:], strict=True)):
        values[row[place[a:b]], column[place[a:b]], one] = points_of.latent[points_of.here]
    return Sequences(values, step, here)

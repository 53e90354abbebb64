"""Hazard: how likely a run is to spike or diverge soon, learnt from finished runs of which some did.

A checkpoint is an example, and its answer is whether a failure begins in the next tenth of the run. What is known of it
are the levels of losses and signals, how far each lies above its lowest, and the latest surprises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from predictdyn.fitting.forest import Forest
from predictdyn.loaders.engine.not_finite import broken

AHEAD = 0.1  # of the run
# The beginning of a word of an event that names a failure, in any case.
FAILURE = re.compile(
    r"(?<![a-z])(diverg|spike|died|dead(?!line)|collapse|crash|fail|explod|blew.?up|oom|out.of.memory|(nan|inf)(?![a-z]))",
    re.IGNORECASE,
)
FEWEST = 5  # families with a failure, to learn from
TREES, LEAF = 40, 20
ROWS = 15_000  # examples at most


def columns(levels: np.ndarray, streams: np.ndarray, progress: np.ndarray) -> np.ndarray:
    """What is known at each checkpoint (t, p), from latent levels and scores (t, k) of losses and signals.

    Levels carry on from the last that was logged. Level, height over the lowest so far and over the mean of the last
    few, latest score; the spread of the scores of all; the progress.
    """
    carried = _carried(levels)
    lowest = np.minimum.accumulate(np.where(np.isnan(carried), np.inf, carried), axis=0)
    before = np.stack([np.roll(carried, k, axis=0) for k in (1, 2, 3)])
    for k in (1, 2, 3):
        before[k - 1, :k] = carried[:1]
    scores = np.nan_to_num(streams)
    parts = [carried, carried - lowest, carried - before.mean(axis=0), scores]
    last = np.stack([np.sqrt((scores**2).mean(axis=1)), progress], axis=1)
    joined = np.concatenate([*parts, last], axis=1)
    return np.asarray(np.nan_to_num(joined, nan=0.0, posinf=0.0, neginf=0.0))


def answers(step: np.ndarray, last_step: float, failure: float | None) -> np.ndarray:
    """1 where a failure begins after a checkpoint (t,) and within the next tenth of the run; NaN after it began."""
    if failure is None:
        return np.zeros(len(step))
    soon = (step < failure) & (failure <= step + AHEAD * last_step)
    return np.where(step >= failure, np.nan, soon.astype(float))


def learnt(x: np.ndarray, y: np.ndarray, *, seed: int) -> Forest:
    """A forest of rows (n, p) and answers (n,); of many rows without a failure a part is drawn, and weighed up."""
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if len(y) > ROWS:
        rng = np.random.default_rng(seed)
        calm = rng.permutation(np.flatnonzero(y == 0))[: ROWS - int(y.sum())]
        keep = np.sort(np.r_[np.flatnonzero(y == 1), calm])
        x, y = x[keep], y[keep]
    return Forest(trees=TREES, leaf=LEAF, share=0.3, seed=seed).fit(x, y)


def height(forest: Forest, x: np.ndarray) -> np.ndarray:
    """The logit (t,) of the hazard at rows (t, p), as far as so many examples can tell it from none."""
    p = np.clip(forest.predict(x), 1e-3, 1 - 1e-3) if len(x) else np.zeros(0)
    return np.asarray(np.log(p) - np.log1p(-p))


def _carried(levels: np.ndarray) -> np.ndarray:
    """The last value of each column (t, k) that was logged."""
    row = np.where(np.isnan(levels), 0, np.arange(len(levels))[:, None])
    return np.take_along_axis(levels, np.maximum.accumulate(row, axis=0), axis=0)


def failed(what: str) -> bool:
    """Whether an event is a failure, which may be foretold, and no change that somebody made.

    >>> failed("diverged"), failed("train_loss is NaN"), failed("Loss collapsed"), failed("labels lost")
    (True, True, True, False)
    """
    return FAILURE.search(what) is not None or broken(what) is not None


def first_failures(events: Mapping[str, list[tuple[float, str]]]) -> dict[str, float]:
    """The step of the first failure of each run that has one.

    >>> first_failures({"a": [(3.0, "loss is minus infinity"), (2.0, "restart")], "b": [(1.0, "restart")]})
    {'a': 3.0}
    """
    found = {}
    for run, of_run in events.items():
        steps = [step for step, what in of_run if failed(what)]
        if steps:
            found[run] = min(steps)
    return found

"""What forecasters that pool over finished runs and metrics share: metrics taken together, and draws."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.fitting.multitask_gp import Given, Solved
from predictdyn.forecast import DRAWS, seed_for
from predictdyn.lines import Line, Task, tasks
from predictdyn.scales import Scale

MOST_METRICS = 64  # taken together
CLEAR = 3.0  # variance between runs, in that of the noise, from which a metric tells runs apart
FEWEST_APART = 8
FEWEST_FAMILIES = 2
FEWEST_RUNS = 3  # finished, of a metric
TAILS = (2.0, 5.0)
FENCE = 3.0  # interquartile ranges above the typical peak from which a curve has diverged


class Pooled(NamedTuple):
    """Metrics of one kind that are modelled at once, a task of each; every run of which something may be seen."""

    name: str
    smooth: bool  # most are beside one bound or none: losses, not shares of items
    tasks: list[Task]
    runs: list[str]

    def past(self) -> list[str]:
        """The runs of the history that log one of the metrics at least."""
        return sorted({run for task in self.tasks for run in task.past})


def pooled(history: Curves, seen: Curves, target: pd.DataFrame) -> Iterator[Pooled]:
    """All metrics of each kind that is asked for, whichever of them are asked: no row moves another."""
    known = {**history.metrics, **seen.metrics}
    unknown = [name for name in target["metric"] if name not in known]
    kinds = {known[name].kind for name in target["metric"] if name in known}
    logged = {*pd.unique(history.points["metric"]), *pd.unique(seen.points["metric"]), *target["metric"]}
    names = sorted(name for name, metric in known.items() if metric.kind in kinds and name in logged)
    runs = sorted({*seen.runs.index, *target["run"]})
    pairs = [(run, name) for name in [*names, *unknown] for run in runs]
    whole = pd.DataFrame(pairs, columns=["run", "metric"]).assign(step=1.0)
    of_metric = {task.metric: task for task in tasks(history, seen, whole)}
    for kind in sorted(kinds):
        mine = [_fenced(of_metric[name]) for name in names if known[name].kind == kind]
        for first, some in enumerate(_apart(mine)):
            shares = sum(known[t.metric].lower is not None and known[t.metric].upper is not None for t in some)
            yield Pooled(f"{kind}{first}", 2 * shares < len(some), some, runs)


def _fenced(task: Task) -> Task:
    """Finished curves beside a lower bound alone that diverged count as having risen to a fence, not without end.

    To a Gaussian process a loss of 1e36 at the end of one run is a reason to think all of them capable of it.
    """
    lines = [line for line in task.past.values() if len(line.share)]
    if task.scale.lower is None or task.scale.upper is not None or len(lines) < FEWEST_RUNS:
        return task
    low, high = np.quantile(np.concatenate([line.latent for line in lines]), [0.25, 0.75])
    fence = float(np.median([line.latent.max() for line in lines]) + FENCE * (high - low))
    past = {run: line._replace(latent=np.minimum(line.latent, fence)) for run, line in task.past.items()}
    return task._replace(past=past)


def _apart(mine: list[Task]) -> list[list[Task]]:
    """Metrics that tell runs apart and metrics that hardly do, where there are enough of both; not too many at once."""
    clear = [task for task in mine if _clarity(task) >= CLEAR]
    faint = [task for task in mine if _clarity(task) < CLEAR]
    parts = [clear, faint] if min(len(clear), len(faint)) >= FEWEST_APART else [mine]
    found = []
    for part in parts:
        ends = np.linspace(0, len(part), -(-len(part) // MOST_METRICS) + 1).round().astype(int)
        found += [part[a:b] for a, b in pairwise(ends)]
    return found


def _clarity(task: Task) -> float:
    """How far apart finished runs end, against the scatter of neighbouring checkpoints and the logged errors."""
    lines = [line for line in task.past.values() if len(line.share)]
    if len(lines) < FEWEST_RUNS:
        return 0.0
    apart = float(np.var([line.latent[-1] for line in lines]))
    error = float(np.mean([np.nan_to_num(line.stderr[-1]) ** 2 for line in lines]))
    return apart / max(scatter(lines) + error, 1e-12 * apart, 1e-300)


def sampled(
    given: Given, found: Solved, names: list[str], *words: object, families: int, seed: int, late: float = 1.0
) -> np.ndarray:
    """Draws (m, n, s) of new rows with Student tails; a metric's draws depend on its name, not on its place.

    The tails have as many degrees of freedom as there are ``families`` to learn from, from two to five: real runs
    break away more often than normal ones, and few families do not say how often. Draws at another ``late``, from 0
    to 1, are other points of the same paths.
    """
    rng = np.random.default_rng(seed_for(seed, *words))
    df = float(np.clip(families, *TAILS))
    tail = np.sqrt(df / rng.chisquare(df, DRAWS))
    common = (given.leaning @ _root(found.covariance)) @ _lots(rng, len(found.covariance), late)
    roots = _root(given.own)
    own = np.empty(common.shape)
    for i, name in enumerate(names):
        own[i] = roots[i] @ _lots(np.random.default_rng(seed_for(seed, *words, name)), roots.shape[1], late)
    return given.mean[:, :, None] + tail * (common + own)


def _lots(rng: np.random.Generator, n: int, late: float) -> np.ndarray:
    early, end = rng.standard_normal((2, n, DRAWS))
    return np.sqrt(1 - late) * early + np.sqrt(late) * end


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric roots (..., n, n) of covariances, rounding below zero forgiven.

    Like covariances have like roots, so that the same lots give paths; eigenvectors alone have signs of their own.
    """
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)


class Rows(NamedTuple):
    """Latent draws of all rows of a target and the scales to bring them back, filled group by group."""

    latent: np.ndarray
    scales: dict[str, Scale]
    status: np.ndarray


def rows_for(target: pd.DataFrame) -> Rows:
    """No row has an answer yet."""
    nothing = np.full(len(target), "too few finished runs: last value", dtype=object)
    return Rows(np.zeros((len(target), DRAWS)), {}, nothing)


def scatter(lines: list[Line]) -> float:
    """Variance by which neighbouring checkpoints scatter: mean square of second differences, later half, over six."""
    squares = [np.diff(line.latent[len(line.latent) // 2 :], 2) ** 2 for line in lines]
    joined = np.concatenate(squares) if squares else np.zeros(0)
    return float(joined.mean()) / 6 if len(joined) else 0.0

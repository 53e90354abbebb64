"""Any point rule, with the spread of its own past errors at the same horizon: what every simple baseline is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.forecast import DRAWS, Forecast, seed_for
from predictdyn.forecasters._errors import (
    FEWEST_ERRORS,
    barely_seen,
    own_spread,
    past_errors,
    smallest_spread,
    unknown_spread,
)
from predictdyn.forecasters._history import read_history, write_history
from predictdyn.forecasters._rule import GRID, Peers, Rule
from predictdyn.lines import Asked, Line, Task, answer, tasks
from predictdyn.scales import Scale


@dataclass(frozen=True)
class Empirical:
    """A point rule on the latent scale; its predictive distribution is the rule plus its own past errors.

    Errors come from the finished runs of the history, replayed at the same share of the run with the run's own family
    left out (unless the run in question has its family in the history too); where fewer than four are to be had, from
    pseudo-origins within the seen parts at the same ratio of target to origin. The errors are taken with both signs,
    so that the median is the rule's answer, and smoothed by a Gaussian kernel.
    """

    name: str
    rule: Rule = field(repr=False)  # the name says which; its address would change a repr from process to process

    def fit(self, history: Curves, *, seed: int) -> EmpiricalFitted:
        """Keep the history; nothing is random."""
        return EmpiricalFitted(self.name, self.rule, history)

    def load(self, folder: Path) -> EmpiricalFitted:
        """Read back a saved history."""
        return EmpiricalFitted(self.name, self.rule, read_history(folder))


@dataclass(frozen=True)
class EmpiricalFitted:
    """A rule and the finished runs it may look at."""

    name: str
    rule: Rule
    history: Curves

    def forecast(self, seen: Curves, target: pd.DataFrame, *, seed: int) -> Forecast:
        """Draws around the rule's answer; a row without an answer falls back on last value, then on the peers."""
        latent = np.empty((len(target), DRAWS))
        status = np.empty(len(target), dtype=object)
        scales: dict[str, Scale] = {}
        for task in tasks(self.history, seen, target):
            scales[task.metric] = task.scale
            replayed: Replayed = {}
            grids = {run: _on_grid(line) for run, line in task.past.items()}
            known = np.concatenate([line.latent for line in task.past.values()]) if task.past else np.zeros(0)
            for asked in task.asked:
                rng = np.random.default_rng(seed_for(seed, asked.run, task.metric))
                draws, why = _row(self.rule, task, asked, grids, known, replayed, rng)
                latent[asked.rows], status[asked.rows] = draws, why
        return answer(target, latent, scales, status)

    def save(self, folder: Path) -> None:
        """The history as parquet and JSON."""
        write_history(self.history, folder)


# Peers and past errors by what they depend on.
Replayed = dict[tuple[object, ...], tuple[Peers, np.ndarray]]


def _row(
    rule: Rule,
    task: Task,
    asked: Asked,
    grids: dict[str, np.ndarray],
    known: np.ndarray,
    replayed: Replayed,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Latent draws (m, s) and statuses (m,) for the targets of one run; no target moves the draws of another."""
    line = task.seen[asked.run]
    others = [run for run in task.past if run != asked.run]
    origin = float(line.share[-1]) if len(line.share) else 0.0
    families = np.array([task.past[run].family for run in others])
    kin = bool((families == line.family).any())
    # Runs cut at the same share and asked for the same shares have the same peers, and those the same past errors.
    key = (origin, tuple(asked.share), None if asked.run not in task.past else asked.run, kin)
    if key not in replayed:
        lines = [task.past[run] for run in others]
        peers = _peers(task, others, grids, origin, asked.share)
        replayed[key] = peers, past_errors(rule, lines, families, peers, origin, asked.share, by_run=kin)
    peers, errors = replayed[key]
    answer, fallback, why = rule(line, asked.share, peers), *_fallback(line, asked.share, peers)
    point = np.where(np.isfinite(answer), answer, fallback)
    status = np.where(np.isfinite(answer), "ok", why)
    if not len(line.share) and not len(others):
        status[:] = "nothing to learn from"
    least = 0.0
    if barely_seen([line, *(task.past[run] for run in others)]):
        least, words = unknown_spread(np.concatenate([known, line.latent]), task.scale)
        status = np.where(status == "ok", words, status)
    floor = smallest_spread(np.concatenate([known, line.latent]), bounded=task.scale.bounded)
    # The same random numbers for every target of a run: its draws are then paths, and no target moves another. Every
    # draw has its mirror image, so that the median is the rule's answer and not near it.
    half = DRAWS // 2
    lot = np.tile(rng.random(half), 2)
    kernel, jitter, tail = (
        np.concatenate([one, -one])
        for one in (rng.standard_normal(half), rng.standard_normal(half), rng.standard_t(4, half))
    )
    sign = np.repeat([1.0, -1.0], half)
    own = None
    noise = np.empty((len(point), DRAWS))
    for j, column in enumerate(errors.T):
        error = column[np.isfinite(column)]
        if len(error) >= FEWEST_ERRORS:
            noise[j] = _smoothed(error, lot, sign, kernel) + floor * jitter
            continue
        if own is None:
            lines = [line, *(task.past[run] for run in others)]
            own = own_spread(rule, lines, asked.share, origin, task.chance)
        noise[j] = max(own[j], floor, least) * tail
    return point[:, None] + noise, status


def _smoothed(error: np.ndarray, lot: np.ndarray, sign: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """A smoothed bootstrap of errors (n,) with both signs, from uniform lots (s,), signs (s,) and normals (s,).

    The kernel has Silverman's width on a robust scale; all is shrunk so that it does not add to the variance, and the
    factor (1 + 1/n) restores what n errors cannot show.
    """
    n = len(error)
    square = float(np.mean(error**2))
    width = 1.06 * n**-0.2 * min(np.sqrt(square), 1.4826 * float(np.median(np.abs(error))))
    shrink = np.sqrt((1 + 1 / n) * square / (square + width**2)) if square > 0 else 1.0
    return shrink * (sign * error[(lot * n).astype(int)] + width * kernel)


def _peers(task: Task, runs: list[str], grids: dict[str, np.ndarray], origin: float, share: np.ndarray) -> Peers:
    now = np.array([_reached(task.past[run], np.array([origin]))[0] for run in runs])
    end = np.array([_reached(task.past[run], share) for run in runs]).reshape(len(runs), len(share))
    grid = np.array([grids[run] for run in runs]).reshape(len(runs), len(GRID))
    return Peers(now, end, grid, task.chance)


def _reached(line: Line, share: np.ndarray) -> np.ndarray:
    """Values at shares (m,), NaN where the line ends more than 2 % before."""
    return np.where(line.reaches(share), line.at(share), np.nan)


def _on_grid(line: Line) -> np.ndarray:
    inside = (line.share[0] <= GRID + 1e-12) & line.reaches(GRID)
    return np.where(inside, line.at(GRID), np.nan)


def _fallback(line: Line, share: np.ndarray, peers: Peers) -> tuple[np.ndarray, str]:
    """A latent answer (m,) where the rule has none, and the words for it."""
    if len(line.latent):
        return np.full(len(share), line.latent[-1]), "rule has no answer: last value"
    known = np.isfinite(peers.end)
    count = known.sum(axis=0)
    level = 0.0 if peers.chance is None else peers.chance
    mean = np.where(known, peers.end, 0.0).sum(axis=0) / np.maximum(count, 1)
    return np.where(count > 0, mean, level), "nothing seen: mean of finished runs"

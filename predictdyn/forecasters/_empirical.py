"""Any point rule, with the spread of its own past errors at the same horizon: what every simple baseline is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.forecast import DRAWS, Forecast, seed_for
from predictdyn.lines import Asked, Line, Task, answer, tasks
from predictdyn.scales import Scale

GRID = np.expm1(np.linspace(0, 1, 33) * np.log(1001.0)) / 1000.0  # shares, even in `lines.clock`
FEWEST_ERRORS = 4  # below this the errors of finished runs say less than the run's own past
MOST_ERRORS = 60  # enough for a 5 % quantile; keeps the cost of a backtest linear in the number of runs
OWN_ERRORS = 8  # pseudo-origins per curve


class Peers(NamedTuple):
    """What finished runs say about one metric, latent: their value now (n,), at the shares asked (n, m), on a grid."""

    now: np.ndarray
    end: np.ndarray
    grid: np.ndarray  # (n, len(GRID)), NaN outside what the run logged
    chance: float | None

    def without(self, keep: np.ndarray) -> Peers:
        """Only the runs for which ``keep`` (n,) is true."""
        return Peers(self.now[keep], self.end[keep], self.grid[keep], self.chance)


# (what is seen of a run, shares asked (m,), peers) -> latent points (m,), NaN where the rule has no answer
Rule = Callable[[Line, np.ndarray, Peers], np.ndarray]


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
        status = np.full(len(target), "ok", dtype=object)
        scales: dict[str, Scale] = {}
        for task in tasks(self.history, seen, target):
            scales[task.metric] = task.scale
            errors_at: dict[tuple[object, ...], np.ndarray] = {}
            grids = {run: _on_grid(line) for run, line in task.past.items()}
            known = np.concatenate([line.latent for line in task.past.values()]) if task.past else np.zeros(0)
            for asked in task.asked:
                rng = np.random.default_rng(seed_for(seed, asked.run, task.metric))
                draws, why = _row(self.rule, task, asked, grids, known, errors_at, rng)
                latent[asked.rows], status[asked.rows] = draws, why
        return answer(target, latent, scales, status)

    def save(self, folder: Path) -> None:
        """The history as parquet and JSON."""
        write_history(self.history, folder)


def _row(
    rule: Rule,
    task: Task,
    asked: Asked,
    grids: dict[str, np.ndarray],
    known: np.ndarray,
    errors_at: dict[tuple[object, ...], np.ndarray],
    rng: np.random.Generator,
) -> tuple[np.ndarray, str]:
    """Latent draws (m, s) and a status for the targets of one run."""
    line = task.seen[asked.run]
    others = [run for run in task.past if run != asked.run]
    origin = float(line.share[-1]) if len(line.share) else 0.0
    peers = _peers(task, others, grids, origin, asked.share)
    point = rule(line, asked.share, peers)
    why = "ok"
    if not np.isfinite(point).all():
        fallback, why = _fallback(line, asked.share, peers)
        point = np.where(np.isfinite(point), point, fallback)
    families = np.array([task.past[run].family for run in others])
    kin = bool((families == line.family).any())
    key = (origin, tuple(asked.share), None if asked.run not in task.past else asked.run, kin)
    if key not in errors_at:
        errors_at[key] = _past_errors(rule, task, others, families, peers, origin, asked.share, by_run=kin)
    errors = errors_at[key]
    floor = _floor(np.concatenate([known, line.latent]), bounded=task.scale.bounded)
    if len(errors) >= FEWEST_ERRORS:
        pick = rng.integers(len(errors), size=DRAWS)
        sign = rng.choice([-1.0, 1.0], size=DRAWS)
        rms = np.sqrt((errors**2).mean(axis=0))
        # A smoothed bootstrap: Silverman's width, shrunk so that the kernel does not add to the variance; the factor
        # restores what n errors cannot show.
        width = 1.06 * len(errors) ** -0.2
        smooth = np.minimum(rms, _robust(errors))[:, None] * (width * rng.standard_normal(DRAWS))
        noise = np.sqrt((1 + 1 / len(errors)) / (1 + width**2)) * (sign * errors[pick].T + smooth)
        noise = noise + floor * rng.standard_normal(DRAWS)
    else:
        spread = _own_spread(rule, task, line, asked.share, origin)
        noise = np.maximum(spread, floor)[:, None] * rng.standard_t(4, DRAWS)
        if not len(line.share) and not len(others):
            why = "nothing to learn from"
    return point[:, None] + noise, why


def _peers(task: Task, runs: list[str], grids: dict[str, np.ndarray], origin: float, share: np.ndarray) -> Peers:
    now = np.array([_reached(task.past[run], np.array([origin]))[0] for run in runs])
    end = np.array([_reached(task.past[run], share) for run in runs]).reshape(len(runs), len(share))
    grid = np.array([grids[run] for run in runs]).reshape(len(runs), len(GRID))
    return Peers(now, end, grid, task.chance)


def _reached(line: Line, share: np.ndarray) -> np.ndarray:
    """Values at shares (m,), NaN where the line ends more than 2 % before."""
    last = line.share[-1] if len(line.share) else -1.0
    return np.where(share <= last * 1.02 + 1e-12, line.at(share), np.nan)


def _on_grid(line: Line) -> np.ndarray:
    inside = (line.share[0] <= GRID + 1e-12) & (line.share[-1] * 1.02 >= GRID)
    return np.where(inside, line.at(GRID), np.nan)


def _fallback(line: Line, share: np.ndarray, peers: Peers) -> tuple[np.ndarray, str]:
    """A latent answer (m,) where the rule has none, and the words for it."""
    if len(line.latent):
        return np.full(len(share), line.latent[-1]), "rule has no answer: last value"
    ends = np.isfinite(peers.end).any(axis=0) if len(peers.end) else np.zeros(len(share), dtype=bool)
    if len(peers.end) and ends.all():
        return np.nanmean(peers.end, axis=0), "nothing seen: mean of finished runs"
    level = 0.0 if peers.chance is None else peers.chance
    return np.full(len(share), level), "nothing to learn from"


def _past_errors(
    rule: Rule,
    task: Task,
    others: list[str],
    families: np.ndarray,
    peers: Peers,
    origin: float,
    share: np.ndarray,
    *,
    by_run: bool,
) -> np.ndarray:
    """Errors (k, m) of the rule on finished runs, each replayed from the same origin with its family left out."""
    usable = np.flatnonzero(np.isfinite(peers.end).all(axis=1)) if len(others) else np.zeros(0, dtype=int)
    if len(usable) > MOST_ERRORS:
        usable = usable[np.linspace(0, len(usable) - 1, MOST_ERRORS).round().astype(int)]
    errors = []
    for i in usable:
        begun = task.past[others[i]].upto(origin)
        if origin > 0 and not len(begun.share):
            continue
        keep = np.arange(len(others)) != i if by_run else families != families[i]
        error = peers.end[i] - rule(begun, share, peers.without(keep))
        if np.isfinite(error).all():
            errors.append(error)
    return np.array(errors).reshape(len(errors), len(share))


def _own_spread(rule: Rule, task: Task, line: Line, share: np.ndarray, origin: float) -> np.ndarray:
    """Scale of the error (m,) from pseudo-origins within what is seen, grown with the log of the horizon ratio."""
    nobody = Peers(np.zeros(0), np.zeros((0, 1)), np.zeros((0, len(GRID))), task.chance)
    lines = [line, *(past for run, past in task.past.items() if run != line.run)]
    wanted = np.log(np.maximum(share, 1e-9) / max(origin, 1e-9))
    found: list[tuple[float, float]] = []  # (log ratio, error)
    for one in lines[: 1 + MOST_ERRORS // OWN_ERRORS]:
        n = len(one.share)
        for j in range(max(n - OWN_ERRORS, 2), n):
            if one.share[j] <= 0:
                continue
            begun = one.upto(float(one.share[j] * np.exp(-min(float(np.median(wanted)), 2.0))))
            if len(begun.share) < 2:
                begun = one.upto(float(one.share[max(j // 2 - 1, 1)]))
            if len(begun.share) >= j + 1 or begun.share[-1] <= 0:
                continue
            error = one.latent[j] - rule(begun, one.share[j : j + 1], nobody)[0]
            if np.isfinite(error):
                found.append((float(np.log(one.share[j] / begun.share[-1])), float(error)))
    if len(found) < 2:
        known = np.concatenate([one.latent for one in lines])
        spread = float(np.std(known)) if len(known) > 1 else 0.0
        return np.full(len(share), spread if spread > 0 else (1.0 if not len(known) else 0.0))
    ratio, error = np.array(found).T
    rms, typical = float(np.sqrt(np.mean(error**2))), float(np.mean(ratio))
    return rms * np.clip(wanted / max(typical, 1e-3), 0.5, 4.0)


def _floor(known: np.ndarray, *, bounded: bool) -> float:
    """The smallest latent spread a forecast may have, so that a constant curve is not a point mass."""
    if not len(known):
        return 1e-3
    size = 1.0 if bounded else float(np.abs(known).max())
    return max(1e-3 * float(known.std()), 1e-6 * size, 1e-15)


def _robust(errors: np.ndarray) -> np.ndarray:
    """Median absolute error, scaled to be the sd of a normal: (m,)."""
    return 1.4826 * np.median(np.abs(errors), axis=0)


def write_history(history: Curves, folder: Path) -> None:
    """The history a forecaster keeps: points and runs as parquet, metrics as JSON."""
    history.points.to_parquet(folder / "history_points.parquet", index=False)
    history.runs.reset_index().to_parquet(folder / "history_runs.parquet", index=False)
    history.events.to_parquet(folder / "history_events.parquet", index=False)
    metrics = [metric._asdict() for metric in history.metrics.values()]
    (folder / "history_metrics.json").write_text(json.dumps(metrics, indent=1))


def read_history(folder: Path) -> Curves:
    """Back from `write_history`."""
    from predictdyn.curves import Metric

    metrics = {entry["name"]: Metric(**entry) for entry in json.loads((folder / "history_metrics.json").read_text())}
    return Curves(
        pd.read_parquet(folder / "history_points.parquet"),
        pd.read_parquet(folder / "history_runs.parquet").set_index("run"),
        metrics,
        pd.read_parquet(folder / "history_events.parquet"),
    )




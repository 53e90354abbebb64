"""Forecasts of one curve at a time that average over curve forms and over the nodes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from predictdyn.curves import Curves
from predictdyn.fitting.structural import Sampled
from predictdyn.forecast import DRAWS, Forecast, seed_for
from predictdyn.forecasters._errors import smallest_spread
from predictdyn.forecasters._fallback import answered
from predictdyn.forecasters._history import read_history, write_history
from predictdyn.forecasters._learned import learned
from predictdyn.forecasters._model import Model, sampled
from predictdyn.forecasters._series import FEWEST, length, padded, usable
from predictdyn.lines import Asked, Task, tasks
from predictdyn.scales import Scale

NODES = 256  # drawn of each form


@dataclass(frozen=True)
class Averaged:
    r"""A mixture over forms, each over its nodes, with weights from what was seen and a prior learnt from other curves.

    The drift d that a form forecasts, from its own level at the last step, is multiplied by
    :math:`d^2 / (d^2 + \mathrm{shrink}\, V)`, V the variance of d that is due to not knowing the curve: drift that the
    data cannot tell from none is not forecast. Forms have shares in proportion to their evidence to the power of
    ``temper``: with all of it one form would take everything, and be surer than it may. The prior over forms and
    nodes is that of `_learned.learned`, in which the given one counts like ``worth`` runs.
    """

    name: str
    model: Model = field(repr=False)  # the name says which
    forms: tuple[str, ...]
    shrink: float = 1.0
    temper: float = 0.2
    worth: float = 20.0

    def fit(self, history: Curves, *, seed: int) -> AveragedFitted:
        """Keep the history; what it teaches depends on how much of a run is seen."""
        return AveragedFitted(self, history)

    def load(self, folder: Path) -> AveragedFitted:
        """Read back a saved history."""
        return AveragedFitted(self, read_history(folder))


@dataclass(frozen=True)
class AveragedFitted:
    """The settings and the curves that may be learnt from."""

    settings: Averaged
    history: Curves

    def forecast(self, seen: Curves, target: pd.DataFrame, *, seed: int) -> Forecast:
        """Draws of the mixture; rows of curves with fewer than three points fall back on the last value."""
        latent = np.zeros((len(target), DRAWS))
        status = np.full(len(target), "ok", dtype=object)
        scales: dict[str, Scale] = {}
        for task in tasks(self.history, seen, target):
            scales[task.metric] = task.scale
            known = [line.latent for line in task.past.values()]
            for asked in task.asked:
                if not usable(task.seen[asked.run]):
                    status[asked.rows] = f"fewer than {FEWEST} points: last value"
            for origin, group in _alike(task):
                for asked, draws in zip(group, self._draws(task, group, origin, seed), strict=True):
                    own = np.concatenate([*known, task.seen[asked.run].latent])
                    floor = smallest_spread(own, bounded=task.scale.bounded)
                    rng = np.random.default_rng(seed_for(seed, asked.run, task.metric, "floor"))
                    latent[asked.rows] = draws + floor * rng.standard_normal(DRAWS)
        return answered(self.history, seen, target, latent, scales, status, seed=seed)

    def save(self, folder: Path) -> None:
        """The history as parquet and JSON."""
        write_history(self.history, folder)

    def _draws(self, task: Task, group: Sequence[Asked], origin: float, seed: int) -> list[np.ndarray]:
        """Latent draws (m, s) for each run of a group whose curves are seen up to about the same share."""
        one, lines = self.settings, [task.seen[asked.run] for asked in group]
        batch = padded(lines)
        prior = learned(one.model, one.forms, list(task.past.values()), origin, one.worth)
        most = 1 + max(len(asked.share) for asked in group)
        to = np.zeros((len(group), most))  # the first place is the last step seen
        for row, asked, line in zip(to, group, lines, strict=True):
            row[1 : 1 + len(asked.share)] = np.log(np.maximum(asked.share / line.share[-1], 1.0))
        lots = (np.arange(NODES) + 0.5) / NODES
        of_forms = sampled(one.model, one.forms, batch, to, lots, prior)
        found = []
        for i, asked in enumerate(group):
            rng = np.random.default_rng(seed_for(seed, asked.run, task.metric))
            parts = [Sampled(*(part[i] for part in form)) for form in of_forms]
            mass = np.exp(_relative([part.log_mass + one.temper * part.log_evidence for part in parts]))
            draws = _mixture(parts, mass / mass.sum(), 1 + len(asked.share), one.shrink, rng)
            found.append(batch.zero[i] + batch.unit[i] * draws)
        return found


def _alike(task: Task) -> list[tuple[float, list[Asked]]]:
    """Runs with curves of about the same share and number of points, so that no run moves the arrays of another."""
    groups: dict[tuple[float, int], list[Asked]] = {}
    for asked in task.asked:
        line = task.seen[asked.run]
        if not usable(line):
            continue
        origin = float(np.exp(np.round(4 * np.log(line.share[-1])) / 4))
        groups.setdefault((origin, length(line)), []).append(asked)
    return [(origin, group) for (origin, _), group in groups.items()]


def _relative(logs: Sequence[float]) -> np.ndarray:
    return np.array(logs) - max(logs)


def _mixture(
    parts: Sequence[Sampled], share: np.ndarray, places: int, shrink: float, rng: np.random.Generator
) -> np.ndarray:
    """Draws (places - 1, s) of forms with their shares, each drift shrunk; draw i is one path over all places."""
    # One lot of the noise for every place: draws are then paths, and no place moves another.
    lots = (rng.permutation(DRAWS) + 0.5) / DRAWS
    order = rng.permutation(DRAWS)
    count = np.diff(np.floor(np.cumsum(np.r_[0.0, share]) * DRAWS + 0.5).astype(int))
    even = stats.t.ppf(lots, np.repeat([float(part.df) for part in parts], count))
    location, whole = [], []
    for part, n in zip(parts, count, strict=True):
        drift = part.location[1:places] - part.location[:1]
        middle = drift.mean(axis=1, keepdims=True)
        doubt = drift.var(axis=1, keepdims=True) + part.known[1:places].mean(axis=1, keepdims=True)
        kept = middle**2 / (middle**2 + shrink * doubt + 1e-300)
        node = np.linspace(0, NODES - 1, n).round().astype(int)
        location.append((part.location[1:places] + (kept - 1) * middle)[:, node])
        whole.append(part.whole[1:places][:, node])
    return (np.concatenate(location, axis=1) + np.sqrt(np.concatenate(whole, axis=1)) * even)[:, order]

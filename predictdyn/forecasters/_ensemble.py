"""A mixture of forecasters, with weights learnt by replaying the history, or what is seen, inside itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.curves import Curves, Metric
from predictdyn.fitting.stacking import mixed, widened
from predictdyn.forecast import Fitted, Forecast, Forecaster, seed_for
from predictdyn.forecasters._averaged import Averaged, AveragedFitted
from predictdyn.forecasters._empirical import Empirical, EmpiricalFitted
from predictdyn.forecasters._history import HISTORY, read_history, write_history
from predictdyn.forecasters._replays import WHOLE_KIND, Weights, learn
from predictdyn.forecasters.pooled import Pooled, PooledFitted
from predictdyn.joint import together
from predictdyn.scales import scale_for

WEIGHTS = "weights.json"
FROM_FINISHED = ("drift", "climatology", "nearest", "pooled")  # have nothing to say before a run has ended


@dataclass(frozen=True)
class Ensemble:
    """A mixture of its members, with weights per kind, metric and how far ahead the target lies.

    Inside the history, families are dealt into ``inner_folds`` (up to six are left out one by one); each is hidden in
    turn, cut at each of ``shares`` of what its runs logged, and forecast by every member fitted on the rest. Without a
    history the curves that are seen are replayed themselves, at ``own_shares``. The weights of a kind minimise the
    CRPS of the mixture (a convex problem, every metric in units of its own), pulled towards ``lean`` with the weight
    of ``prior`` rows, since few families cannot tell members apart; those of a metric likewise, pulled towards its
    kind's by ``metric_prior``. Then factors for the spread make 90 % intervals hold 90 % of those truths: that of a
    share is pulled towards that of all shares, that of a metric towards its kind's. The share at which a run was cut
    stands for the ratio of target to origin. At most ``metrics_per_kind`` metrics and
    ``rows_per_kind`` rows a kind and share are replayed.
    """

    name: str
    members: tuple[str, ...]
    lean: tuple[float, ...]
    shares: tuple[float, ...] = (0.05, 0.2, 0.6)
    own_shares: tuple[float, ...] = (0.2, 0.4, 0.6, 0.85)
    inner_folds: int = 4
    metrics_per_kind: int = 4
    rows_per_kind: int = 120
    prior: float = 8.0
    metric_prior: float = 20.0

    def fit(self, history: Curves, *, seed: int) -> EnsembleFitted:
        """Fit every member on the history, and learn the weights inside it (or later, from what is seen)."""
        ways = self.ways()
        fitted = {name: one.fit(history, seed=seed_for(seed, name)) for name, one in ways.items()}
        weights = self.learn(history, fitted, seed=seed) if len(history.points) else {}
        return EnsembleFitted(self, tuple(fitted.values()), weights)

    def load(self, folder: Path) -> EnsembleFitted:
        """Read back the weights and every member."""
        about = json.loads((folder / WEIGHTS).read_text())
        settings: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in about["settings"].items()
        }
        one = Ensemble(**settings)
        ways = one.ways()
        history = cache(lambda: read_history(folder))  # one for all rules, none where no member is a rule
        fitted = tuple(
            _with_history(way, history()) if isinstance(way, Empirical | Averaged) else way.load(folder / name)
            for name, way in ways.items()
        )
        return EnsembleFitted(one, fitted, about["weights"])

    def ways(self) -> dict[str, Forecaster]:
        """The members by name; `pooled` with its fast sampler, since every replay fits it anew."""
        # Imported here: the registry finds this module, so at the top it would be a circle.
        from predictdyn.forecasters import forecaster

        return {name: Pooled(sampler="importance") if name == "pooled" else forecaster(name) for name in self.members}

    def leaning(self, *, alone: bool) -> np.ndarray:
        """Weights (k,) before any replay; ``alone``: no run has ended."""
        lean = [
            0.0 if alone and name in FROM_FINISHED else one for name, one in zip(self.members, self.lean, strict=True)
        ]
        return np.array(lean) / sum(lean)

    def learn(self, curves: Curves, fitted: Mapping[str, Fitted], *, seed: int) -> Weights:
        """Weights per kind and share from replays inside these curves."""
        ways = self.ways()
        pooled = fitted.get("pooled")
        if isinstance(pooled, PooledFitted):
            # The replays share the scales of the whole history: eight numbers a metric, which one fold hardly moves.
            ways["pooled"] = Pooled(sampler="importance", known=pooled)
        alone = not _finished(curves)
        return learn(
            curves, ways, lean=self.leaning(alone=alone), shares=self.own_shares if alone else self.shares,
            inner_folds=self.inner_folds, metrics_per_kind=self.metrics_per_kind, rows_per_kind=self.rows_per_kind,
            prior=self.prior, metric_prior=self.metric_prior, alone=alone, seed=seed,
        )  # fmt: skip


@dataclass(frozen=True)
class EnsembleFitted:
    """Fitted members and their weights."""

    settings: Ensemble
    members: tuple[Fitted, ...]
    weights: Weights

    def forecast(self, seen: Curves, target: pd.DataFrame, *, seed: int) -> Forecast:
        """Joint draws of the mixture; a row in which a member fell back leaves that member out unless all did."""
        names = self.settings.members
        weights = self.weights or self.settings.learn(seen, dict(zip(names, self.members, strict=True)), seed=seed)
        answers = [
            one.forecast(seen, target, seed=seed_for(seed, n)) for n, one in zip(names, self.members, strict=True)
        ]
        draws = np.sort(np.stack([answer.draws for answer in answers]), axis=2)
        good = np.stack([answer.status == "ok" for answer in answers])
        status = np.where(good.any(axis=0), "ok", answers[0].status).astype(object)
        out = np.empty(draws.shape[1:])
        begun = {key: float(curve.step[-1]) for key, curve in seen.by_key.items()}
        rows = zip(target["run"], target["metric"], target["step"].astype(float), strict=True)
        for row, (run, metric, step) in enumerate(rows):
            share = begun.get((run, metric), 0.0) / max(step, 1e-300)
            weight, factor = self._weight(weights, seen.metrics[metric], share, good[:, row])
            mixture = np.sort(mixed(weight, draws[:, row]))
            # Widened on a scale without end, a few draws would go where no member does.
            scale = scale_for(seen.metrics[metric], mixture)
            out[row] = widened(mixture, scale.bent(float(scale.latent(mixture).max())), factor)
        found = Forecast(target.reset_index(drop=True), out, status)
        return together(found, self._history(seen), seen, seed=seed)

    def save(self, folder: Path) -> None:
        """Settings and weights as JSON, the history that rules look at once, every other member in its own folder."""
        settings = {one.name: getattr(self.settings, one.name) for one in fields(self.settings)}
        about = {"settings": settings, "weights": self.weights}
        (folder / WEIGHTS).write_text(json.dumps(about, indent=1) + "\n")
        for name, one in zip(self.settings.members, self.members, strict=True):
            if not isinstance(one, EmpiricalFitted | AveragedFitted):
                (folder / name).mkdir()
                one.save(folder / name)
            elif not (folder / HISTORY).exists():
                write_history(one.history, folder)

    def _history(self, seen: Curves) -> Curves:
        """The history, which rules and models of single curves hold; none where there is no such member."""
        known = [one.history for one in self.members if isinstance(one, EmpiricalFitted | AveragedFitted)]
        return known[0] if known else seen.of_runs([])

    def _weight(self, weights: Weights, metric: Metric, share: float, good: np.ndarray) -> tuple[np.ndarray, float]:
        """Weights (k,) of the members that did not fall back, and the factor, interpolated in the log of the share."""
        lean = self.settings.leaning(alone=False)
        of_kind = weights.get(metric.kind) or next(iter(weights.values()), {WHOLE_KIND: {"1": [*lean, 1.0]}})
        table = of_kind.get(metric.name) or of_kind[WHOLE_KIND]
        known = np.array(sorted(float(key) for key in table))
        values = np.array([table[f"{key:g}"] for key in known])
        at = np.log(max(share, 1e-9))
        table_at = np.array([np.interp(at, np.log(known), column) for column in values.T])
        weight = np.where(good, table_at[:-1], 0.0)
        if not weight.sum():
            # All members with a weight fell back: those that did not, or, if all did, the first.
            weight = np.where(good, lean, 0.0) if good.any() else np.eye(len(lean))[0]
        return weight / weight.sum(), float(table_at[-1])


def _with_history(way: Empirical | Averaged, history: Curves) -> EmpiricalFitted | AveragedFitted:
    """What such a forecaster has learnt is its history: one for all of them."""
    return EmpiricalFitted(way.name, way.rule, history) if isinstance(way, Empirical) else AveragedFitted(way, history)


def _finished(curves: Curves) -> bool:
    """Whether most runs are logged to their planned end."""
    last = curves.points.groupby("run")["step"].max()
    return bool((last / curves.runs["last_step"].reindex(last.index)).median() > 0.9) if len(last) else True

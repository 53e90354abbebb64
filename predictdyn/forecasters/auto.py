"""Auto: a mixture of the other forecasters, with weights learnt by replaying the history inside itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.fitting.stacking import mixed, widened
from predictdyn.forecast import DRAWS, Fitted, Forecast, Forecaster, seed_for
from predictdyn.forecasters._empirical import Empirical, EmpiricalFitted
from predictdyn.forecasters._history import HISTORY, read_history, write_history
from predictdyn.forecasters._replays import Weights, learn
from predictdyn.forecasters.pooled import Pooled, PooledFitted
from predictdyn.lines import clock
from predictdyn.scales import scale_for


@dataclass(frozen=True)
class Auto:
    """The default forecaster: a mixture of its members, with weights per kind and share of the run seen.

    Inside the history, families are dealt into ``inner_folds`` (up to six are left out one by one); each is hidden in
    turn, cut at each of ``shares`` of what its runs logged, and forecast by every member fitted on the rest. The
    weights minimise the CRPS of the mixture (a convex problem, every metric in units of its own), pulled towards equal
    ones with the weight of ``prior`` rows, since few families cannot tell members apart. Then one factor for the spread
    makes 90 % intervals hold 90 % of those truths. At most ``metrics_per_kind`` metrics and ``rows_per_kind`` rows a
    kind and share are replayed.
    """

    members: tuple[str, ...] = ("last_value", "drift", "climatology", "log_linear", "nearest", "curve_fit", "pooled")
    shares: tuple[float, ...] = (0.05, 0.2, 0.6)
    inner_folds: int = 4
    metrics_per_kind: int = 6
    rows_per_kind: int = 120
    prior: float = 8.0
    name: str = "auto"

    def fit(self, history: Curves, *, seed: int) -> AutoFitted:
        """Fit every member on the history, and learn the weights inside it (or later, from what is seen)."""
        ways = self.ways()
        fitted = {name: one.fit(history, seed=seed_for(seed, name)) for name, one in ways.items()}
        weights = self.learn(history, fitted, seed=seed) if len(history.points) else {}
        return AutoFitted(self, tuple(fitted.values()), weights)

    def load(self, folder: Path) -> AutoFitted:
        """Read back the weights and every member."""
        about = json.loads((folder / "auto.json").read_text())
        settings: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in about["settings"].items()
        }
        one = Auto(**settings)
        ways = one.ways()
        history = cache(lambda: read_history(folder))  # one for all rules, none where no member is a rule
        fitted = tuple(
            EmpiricalFitted(way.name, way.rule, history()) if isinstance(way, Empirical) else way.load(folder / name)
            for name, way in ways.items()
        )
        return AutoFitted(one, fitted, about["weights"])

    def ways(self) -> dict[str, Forecaster]:
        """The members by name; `pooled` with its fast sampler, since every replay fits it anew."""
        # Imported here: the registry finds this module, so at the top it would be a circle.
        from predictdyn.forecasters import forecaster

        return {name: Pooled(sampler="importance") if name == "pooled" else forecaster(name) for name in self.members}

    def learn(self, curves: Curves, fitted: Mapping[str, Fitted], *, seed: int) -> Weights:
        """Weights per kind and share from replays inside these curves."""
        ways = self.ways()
        pooled = fitted.get("pooled")
        if isinstance(pooled, PooledFitted):
            # The replays share the scales of the whole history: eight numbers a metric, which one fold hardly moves.
            ways["pooled"] = Pooled(sampler="importance", known=pooled)
        return learn(
            curves, ways, shares=self.shares, inner_folds=self.inner_folds, metrics_per_kind=self.metrics_per_kind,
            rows_per_kind=self.rows_per_kind, prior=self.prior, seed=seed,
        )  # fmt: skip


@dataclass(frozen=True)
class AutoFitted:
    """Fitted members and their weights."""

    settings: Auto
    members: tuple[Fitted, ...]
    weights: Weights

    def forecast(self, seen: Curves, target: pd.DataFrame, *, seed: int) -> Forecast:
        """Draws of the mixture; a row in which a member fell back leaves that member out unless all did."""
        names = self.settings.members
        weights = self.weights or self.settings.learn(seen, dict(zip(names, self.members, strict=True)), seed=seed)
        answers = [
            one.forecast(seen, target, seed=seed_for(seed, n)) for n, one in zip(names, self.members, strict=True)
        ]
        draws = np.sort(np.stack([answer.draws for answer in answers]), axis=2)
        good = np.stack([answer.status == "ok" for answer in answers])
        status = np.where(good.any(axis=0), "ok", answers[0].status).astype(object)
        out = np.empty(draws.shape[1:])
        begun = {key: curve.step[-1] for key, curve in seen.by_key.items()}
        plan = seen.runs["last_step"].astype(float).to_dict()
        for row, (run, metric) in enumerate(zip(target["run"], target["metric"], strict=True)):
            share = begun.get((run, metric), 0.0) / plan[run]
            weight, factor = self._weight(weights, seen.metrics[metric].kind, share, good[:, row])
            mixture = mixed(weight, draws[:, row])
            # The same order for every step of a run: its draws are paths of equal rank.
            order = np.random.default_rng(seed_for(seed, run, metric)).permutation(DRAWS)
            out[row] = widened(mixture, scale_for(seen.metrics[metric], mixture), factor)[order]
        return Forecast(target.reset_index(drop=True), out, status)

    def save(self, folder: Path) -> None:
        """Settings and weights as JSON, the history that rules look at once, every other member in its own folder."""
        settings = {one.name: getattr(self.settings, one.name) for one in fields(self.settings)}
        about = {"settings": settings, "weights": self.weights}
        (folder / "auto.json").write_text(json.dumps(about, indent=1) + "\n")
        for name, one in zip(self.settings.members, self.members, strict=True):
            if not isinstance(one, EmpiricalFitted):
                (folder / name).mkdir()
                one.save(folder / name)
            elif not (folder / HISTORY).exists():
                write_history(one.history, folder)

    def _weight(self, weights: Weights, kind: str, share: float, good: np.ndarray) -> tuple[np.ndarray, float]:
        """Weights (k,) of the members that did not fall back, and the factor, interpolated by `clock`."""
        n = len(self.settings.members)
        table = weights.get(kind) or next(iter(weights.values()), {"0": [1 / n] * n + [1.0]})
        shares = np.array([float(key) for key in table])
        values = np.array(list(table.values()))[np.argsort(shares)]
        at, known = clock(np.array(share)), clock(np.sort(shares))
        table_at = np.array([np.interp(at, known, column) for column in values.T])
        weight = np.where(good, table_at[:n], 0.0)
        if not weight.sum():
            # All members with a weight fell back: those that did not, or, if all did, the first.
            weight = good.astype(float) if good.any() else np.eye(n)[0]
        return weight / weight.sum(), float(table_at[n])


FORECASTER = Auto()

"""Auto: a mixture of the other forecasters, with weights learnt by replaying the history inside itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import OUTCOMES, Curves
from predictdyn.fitting.stacking import Losses, losses, spread, stack
from predictdyn.forecast import DRAWS, Fitted, Forecast, Forecaster, seed_for
from predictdyn.lines import clock
from predictdyn.scales import scale_for

Weights = dict[str, dict[str, list[float]]]  # kind -> share -> one weight per member, then the factor of the spread
THINNED = 60  # draws per forecast from which weights are learnt


@dataclass(frozen=True)
class Auto:
    """The default forecaster: members stacked by the CRPS of their mixture, per kind and share of the run seen.

    Inside the history, families are dealt into ``inner_folds``; each is hidden in turn, cut at each of ``shares`` of what
    its runs logged, and forecast by every member fitted on the rest. The CRPS of a mixture is quadratic in its weights,
    so the best weights are found exactly; they are pulled towards equal ones with the weight of ``prior`` rows (few
    families cannot tell members apart). Then one factor for the spread is chosen the same way. At most
    ``metrics_per_kind`` metrics and ``rows_per_kind`` rows a kind and share are replayed.
    """

    members: tuple[str, ...] = ("last_value", "drift", "climatology", "log_linear", "nearest", "curve_fit", "pooled")
    shares: tuple[float, ...] = (0.01, 0.1, 0.25, 0.5, 0.75)
    inner_folds: int = 3
    metrics_per_kind: int = 6
    rows_per_kind: int = 120
    prior: float = 8.0
    name: str = "auto"

    def fit(self, history: Curves, *, seed: int) -> AutoFitted:
        """Fit every member on the history and learn the weights inside it (later, from what is seen, if it is empty)."""
        weights = self.learn(history, seed=seed) if len(history.points) else {}
        fitted = tuple(self.member(name).fit(history, seed=seed_for(seed, name)) for name in self.members)
        return AutoFitted(self, fitted, weights)

    def load(self, folder: Path) -> AutoFitted:
        """Read back the weights and every member."""
        about = json.loads((folder / "auto.json").read_text())
        settings = {key: tuple(value) if isinstance(value, list) else value for key, value in about["settings"].items()}
        one = Auto(**settings)
        fitted = tuple(one.member(name).load(folder / name) for name in one.members)
        return AutoFitted(one, fitted, about["weights"])

    def member(self, name: str) -> Forecaster:
        """A member by name."""
        # Imported here: the registry finds this module, so at the top it would be a circle.
        from predictdyn.forecasters import forecaster

        return forecaster(name)

    def learn(self, curves: Curves, *, seed: int) -> Weights:
        """Weights per kind and share from replays inside these curves."""
        table: dict[tuple[str, str], list[Losses]] = {}
        for kind, share, loss in self._replays(_as_logged(curves), seed):
            table.setdefault((kind, f"{share:g}"), []).append(loss)
        found: Weights = {}
        for (kind, share), rows in table.items():
            weight = stack(rows, prior=self.prior)
            found.setdefault(kind, {})[share] = [*weight.tolist(), spread(rows, weight, prior=self.prior)]
        return found

    def _replays(self, curves: Curves, seed: int) -> Iterator[tuple[str, float, Losses]]:
        families = sorted(curves.runs["family"].unique(), key=lambda name: _lot(seed, name))
        few = curves.of_metrics({*self._sample(curves, seed), *_plans(curves)})
        # A single family is replayed by itself, with nothing to learn from but its own beginning.
        for fold in range(min(self.inner_folds, len(families))):
            hidden = set(families[fold :: self.inner_folds])
            test = curves.runs["family"].isin(hidden)
            history, whole = few.of_runs(curves.runs.index[~test]), few.of_runs(curves.runs.index[test])
            fitted = [self.member(name).fit(history, seed=seed_for(seed, name, fold)) for name in self.members]
            for share in self.shares:
                seen = whole.upto(share)
                for kind, target, truth in self._asked(whole, share, seed):
                    draws = [
                        one.forecast(seen, target, seed=seed_for(seed, name, fold)).draws[:, :: DRAWS // THINNED]
                        for name, one in zip(self.members, fitted, strict=True)
                    ]
                    for row, name in enumerate(target["metric"]):
                        visible = np.concatenate([c.value for (_, of), c in history.by_key.items() if of == name] or [truth])
                        scale = scale_for(curves.metrics[name], visible)
                        latent = scale.latent(np.stack([one[row] for one in draws]))
                        yield kind, share, losses(float(scale.latent(truth[row])), latent)

    def _sample(self, curves: Curves, seed: int) -> list[str]:
        """Outcome metrics to replay, by lot; all metrics where no kind is known."""
        logged = set(curves.points["metric"])
        names = [name for name in curves.metrics if name in logged and curves.metrics[name].kind != "schedule"]
        outcomes = [name for name in names if curves.metrics[name].kind in OUTCOMES] or names
        chosen: dict[str, list[str]] = {}
        for name in sorted(outcomes, key=lambda name: _lot(seed, name)):
            of_kind = chosen.setdefault(curves.metrics[name].kind, [])
            if len(of_kind) < self.metrics_per_kind:
                of_kind.append(name)
        return [name for of_kind in chosen.values() for name in of_kind]

    def _asked(self, whole: Curves, share: float, seed: int) -> Iterator[tuple[str, pd.DataFrame, np.ndarray]]:
        """Per kind: the last point of some curves, by lot, that lies after the cutoff."""
        last = whole.points.groupby(["run", "metric"], sort=False).tail(1)
        late = last["step"].to_numpy(float) > last["run"].map(whole.runs["last_step"]).to_numpy(float) * share * (1 + 1e-9)
        kinds = last["metric"].map({name: metric.kind for name, metric in whole.metrics.items()})
        last, kinds = last[late], kinds[late]
        for kind, rows in last.groupby(kinds, sort=True):
            if kind == "schedule":
                continue
            lot = [_lot(seed, f"{run}/{metric}") for run, metric in zip(rows["run"], rows["metric"], strict=True)]
            some = rows.iloc[np.argsort(lot, kind="stable")[: self.rows_per_kind // self.inner_folds]]
            target = some[["run", "metric", "step"]].reset_index(drop=True)
            yield str(kind), target, some["value"].to_numpy(float)


class _Mixture(NamedTuple):
    member: np.ndarray  # (s,) which member gives draw s
    factor: float


@dataclass(frozen=True)
class AutoFitted:
    """Fitted members and the weights of their mixture."""

    settings: Auto
    members: tuple[Fitted, ...]
    weights: Weights

    def forecast(self, seen: Curves, target: pd.DataFrame, *, seed: int) -> Forecast:
        """Draws of the mixture; a row in which a member fell back leaves that member out unless all did."""
        weights = self.weights or self.settings.learn(seen, seed=seed)
        names = self.settings.members
        answers = [one.forecast(seen, target, seed=seed_for(seed, n)) for n, one in zip(names, self.members, strict=True)]
        draws = np.stack([answer.draws for answer in answers])
        good = np.stack([answer.status == "ok" for answer in answers])
        status = np.where(good.any(axis=0), "ok", answers[0].status)
        out = np.empty(draws.shape[1:])
        begun = {key: curve.step[-1] for key, curve in seen.by_key.items()}
        plan = seen.runs["last_step"].astype(float).to_dict()
        for row, (run, metric) in enumerate(zip(target["run"], target["metric"], strict=True)):
            share = begun.get((run, metric), 0.0) / plan[run]
            mixture = self._mixture(weights, seen.metrics[metric].kind, share, good[:, row], seed_for(seed, run, metric))
            mixed = draws[mixture.member, row, np.arange(DRAWS)]
            scale = scale_for(seen.metrics[metric], mixed)
            latent = scale.latent(mixed)
            middle = np.median(latent)
            out[row] = scale.value(middle + mixture.factor * (latent - middle)) if mixture.factor != 1 else mixed
        return Forecast(target.reset_index(drop=True), out, status.astype(object))

    def save(self, folder: Path) -> None:
        """Settings and weights as JSON, each member in a folder of its own."""
        settings = {key: getattr(self.settings, key) for key in self.settings.__dataclass_fields__}
        about = {"settings": settings, "weights": self.weights}
        (folder / "auto.json").write_text(json.dumps(about, indent=1) + "\n")
        for name, one in zip(self.settings.members, self.members, strict=True):
            (folder / name).mkdir()
            one.save(folder / name)

    def _mixture(self, weights: Weights, kind: str, share: float, good: np.ndarray, seed: int) -> _Mixture:
        """Which member gives each draw: weights interpolated between the replayed shares on `lines.clock`."""
        n = len(self.settings.members)
        table = weights.get(kind) or next(iter(weights.values()), {})
        if table:
            shares = np.array([float(key) for key in table])
            values = np.array(list(table.values()))
            order = np.argsort(shares)
            at = clock(np.array(share))
            mixed = np.array([np.interp(at, clock(shares[order]), values[order, i]) for i in range(n + 1)])
            weight, factor = mixed[:n], float(mixed[n])
        else:
            weight, factor = np.full(n, 1 / n), 1.0
        weight = np.where(good, weight, 0.0) if good.any() else weight
        weight = weight / weight.sum() if weight.sum() > 0 else np.where(good, 1.0, 0.0) / max(good.sum(), 1)
        if not weight.sum():
            weight = np.eye(n)[0]
        # Whole draws by stratified lots: member k gives very nearly weight[k] of them.
        rng = np.random.default_rng(seed)
        lots = (np.arange(DRAWS) + rng.random(DRAWS)) / DRAWS
        member = np.minimum(np.searchsorted(np.cumsum(weight), lots), n - 1)
        return _Mixture(rng.permutation(member), factor)


def _as_logged(curves: Curves) -> Curves:
    """The same curves, each run's plan ending where its log ends: what replays inside unfinished runs need."""
    last = curves.points.groupby("run")["step"].max()
    runs = curves.runs.loc[curves.runs.index.isin(last.index)]
    planned = [name for name, metric in curves.metrics.items() if metric.kind == "schedule"]
    outcome = curves.points[~curves.points["metric"].isin(planned)].groupby("run")["step"].max()
    runs = runs.assign(last_step=outcome.reindex(runs.index).fillna(last.reindex(runs.index)).clip(lower=1))
    return Curves(curves.points[curves.points["run"].isin(runs.index)], runs, curves.metrics, curves.events)


def _plans(curves: Curves) -> list[str]:
    return [name for name, metric in curves.metrics.items() if metric.kind == "schedule"]


def _lot(seed: int, word: str) -> bytes:
    return hashlib.sha256(f"{seed}:{word}".encode()).digest()


FORECASTER = Auto()

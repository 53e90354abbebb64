"""A mixture of forecasters, with weights learnt by replaying the history, or what is seen, inside itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.curves import Curves, Metric
from predictdyn.fitting.stacking import mixed, widened
from predictdyn.forecast import DRAWS, Fitted, Forecast, Forecaster, seed_for
from predictdyn.forecasters._history import read_history, write_history
from predictdyn.forecasters._replays import WHOLE_KIND, KindWeights, Weights, learn
from predictdyn.joint import together
from predictdyn.scales import scale_for

WEIGHTS = "weights.json"
# These have nothing to say before a run has ended.
FROM_FINISHED = (
    "drift", "climatology", "nearest", "pooled_change", "pooled_curves", "extra_trees", "quantile_regression",
    "exposures",
)  # fmt: skip


@dataclass(frozen=True)
class Ensemble:
    """A mixture of its members, with weights per kind, metric and how far ahead the target lies.

    Inside the history, families are dealt into ``inner_folds`` (up to six are left out one by one); each is hidden in
    turn, cut at one of ``shares`` of what its runs logged, and forecast by every member fitted on the rest. Without a
    history the curves that are seen are replayed themselves, at ``own_shares``. The weights of a kind minimise the
    CRPS of the mixture (a convex problem, every metric in units of its own), pulled towards ``lean`` with the weight
    of ``prior`` families, since few cannot tell members apart; those of a metric likewise, pulled towards its kind's by
    ``metric_prior``. Then factors for the spread make 90 % intervals hold 90 % of those truths: that of a kind pulled
    towards one by ``spread_prior``, that of a metric towards its kind's, that of a share without history towards that
    of all shares. A target takes the weights of the share that is nearest to what was seen of its run; without history,
    to the ratio of origin to target. At most ``metrics_per_kind`` metrics and ``rows_per_kind`` rows a kind and share
    are replayed.
    """

    name: str
    members: tuple[str, ...]
    lean: tuple[float, ...]
    shares: tuple[float, ...] = (0.02, 0.05, 0.1, 0.25, 0.5, 0.75)
    own_shares: tuple[float, ...] = (0.2, 0.4, 0.6, 0.85)
    inner_folds: int = 4
    metrics_per_kind: int = 4
    rows_per_kind: int = 120
    prior: float = 8.0
    metric_prior: float = 20.0
    spread_prior: float = 2.0

    def fit(self, history: Curves, *, seed: int) -> EnsembleFitted:
        """Fit every member on the history; weights are learnt in it for the shares that are asked for."""
        fitted = (one.fit(history, seed=seed_for(seed, name)) for name, one in self.ways().items())
        return EnsembleFitted(self, tuple(fitted), history, seed)

    def load(self, folder: Path) -> EnsembleFitted:
        """Read back weights and history; what members have learnt is the history, which is one for all."""
        about = json.loads((folder / WEIGHTS).read_text(encoding="utf-8"))
        settings: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in about["settings"].items()
        }
        one, history = Ensemble(**settings), read_history(folder)
        fitted = tuple(way.fit(history, seed=seed_for(about["seed"], name)) for name, way in one.ways().items())
        return EnsembleFitted(one, fitted, history, about["seed"], about["weights"])

    def ways(self) -> dict[str, Forecaster]:
        """The members by name."""
        # Imported here: the registry finds this module, so at the top it would be a circle.
        from predictdyn.forecasters import forecaster

        return {name: forecaster(name) for name in self.members}

    def leaning(self, *, alone: bool) -> np.ndarray:
        """Weights (k,) before any replay; ``alone``: no run has ended."""
        lean = [
            0.0 if alone and name in FROM_FINISHED else one for name, one in zip(self.members, self.lean, strict=True)
        ]
        return np.array(lean) / sum(lean)

    def learn(self, curves: Curves, shares: tuple[float, ...], *, alone: bool, seed: int) -> Weights:
        """Weights per share, kind and metric from replays inside these curves; ``alone``: no run has ended."""
        return learn(
            curves, self.ways(), lean=self.leaning(alone=alone), shares=shares, inner_folds=self.inner_folds,
            metrics_per_kind=self.metrics_per_kind, rows_per_kind=self.rows_per_kind, prior=self.prior,
            metric_prior=self.metric_prior, spread_prior=self.spread_prior, alone=alone, seed=seed,
        )  # fmt: skip


@dataclass(frozen=True)
class EnsembleFitted:
    """Fitted members, the history that weights are learnt in, and what has been learnt of them so far."""

    settings: Ensemble
    members: tuple[Fitted, ...]
    history: Curves = field(repr=False)
    seed: int
    weights: Weights = field(default_factory=dict, repr=False)  # depend on nothing but the fields above

    def forecast(self, seen: Curves, target: pd.DataFrame, *, seed: int) -> Forecast:
        """Joint draws of the mixture; a row in which a member fell back leaves that member out unless all did."""
        weights, at = self._weights(seen, target, seed)
        metrics = [seen.metrics[name] for name in target["metric"]]
        n, every = len(self.members), np.ones(len(self.members), dtype=bool)
        said = [self._weight(weights[share], metric, every)[0] for share, metric in zip(at, metrics, strict=True)]
        weighty = np.any(said, axis=0) if said else every
        draws, good = np.zeros((n, len(target), DRAWS)), np.zeros((n, len(target)), dtype=bool)
        why = np.full(len(target), "ok", dtype=object)
        # Members without weight are asked only where those with some have no answer of their own.
        for asked in (weighty, ~weighty):
            for i in np.flatnonzero(asked & ~good.any(axis=0).all()):
                answer = self.members[i].forecast(seen, target, seed=seed_for(seed, self.settings.members[i]))
                draws[i], good[i] = np.sort(answer.draws, axis=1), answer.status == "ok"
                why = answer.status if i == 0 else why
        status = np.where(good.any(axis=0), "ok", why).astype(object)
        out = np.empty(draws.shape[1:])
        for row, metric in enumerate(metrics):
            weight, factor = self._weight(weights[at[row]], metric, good[:, row])
            mixture = np.sort(mixed(weight, draws[:, row]))
            # Widened on a scale without end, a few draws would go where no member does.
            scale = scale_for(metric, mixture)
            out[row] = widened(mixture, scale.bent(float(scale.latent(mixture).max())), factor)
        found = Forecast(target.reset_index(drop=True), out, status)
        return together(found, self.history, seen, seed=seed)

    def save(self, folder: Path) -> None:
        """Settings and the weights of all shares as JSON, and the history."""
        settings = {one.name: getattr(self.settings, one.name) for one in fields(self.settings)}
        if len(self.history.points):
            self._learnt(
                self.history, set(self.settings.shares), self.weights, self.seed, alone=not _finished(self.history)
            )
        about = {"settings": settings, "seed": self.seed, "weights": self.weights}
        (folder / WEIGHTS).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        write_history(self.history, folder)

    def _weights(self, seen: Curves, target: pd.DataFrame, seed: int) -> tuple[Weights, list[str]]:
        """Weights by share, learnt where they are not known, and the share that is nearest to each row (n,).

        Rows of a run of which a share is seen go by that share, wherever their targets lie: a figure of the way there
        costs no replay of its own. Where no run has ended they go by the ratio of origin to target, and as the spread
        of one share leans on all, all are learnt at once.
        """
        known = len(self.history.points) > 0
        source, weights, seed = (self.history, self.weights, self.seed) if known else (seen, {}, seed)
        alone = not _finished(source)
        begun = {key: float(curve.step[-1]) for key, curve in seen.by_key.items()}
        now = np.array([begun.get(key, 0.0) for key in zip(target["run"], target["metric"], strict=True)])
        whole = target["step"] if alone else target["run"].map(seen.runs["last_step"])
        ratio = now / np.maximum(whole.to_numpy(dtype=float), 1e-300)
        shares = self.settings.own_shares if alone else self.settings.shares
        nearest = [_nearest(shares, one) for one in ratio]
        self._learnt(source, set(shares) if alone else set(nearest), weights, seed, alone=alone)
        return weights, [f"{share:g}" for share in nearest]

    def _learnt(self, curves: Curves, wanted: set[float], weights: Weights, seed: int, *, alone: bool) -> None:
        """Fill in the weights of shares that are wanted and not known."""
        missing = tuple(sorted(share for share in wanted if f"{share:g}" not in weights))
        if missing:
            learnt = self.settings.learn(curves, missing, alone=alone, seed=seed)
            weights.update({f"{share:g}": learnt.get(f"{share:g}", {}) for share in missing})

    def _weight(self, of_share: KindWeights, metric: Metric, good: np.ndarray) -> tuple[np.ndarray, float]:
        """Weights (k,) of the members that did not fall back, and the factor."""
        lean = self.settings.leaning(alone=False)
        of_kind = of_share.get(metric.kind) or next(iter(of_share.values()), {WHOLE_KIND: [*lean, 1.0]})
        *found, factor = of_kind.get(metric.name) or of_kind[WHOLE_KIND]
        weight = np.where(good, found, 0.0)
        if not weight.sum():
            # All members with a weight fell back: those that did not, or, if all did, the first.
            weight = np.where(good, lean, 0.0) if good.any() else np.eye(len(lean))[0]
        return weight / weight.sum(), factor


def _nearest(shares: tuple[float, ...], ratio: float) -> float:
    """The share that is nearest on a logarithmic scale."""
    return min(shares, key=lambda share: abs(np.log(share / max(ratio, 1e-9))))


def _finished(curves: Curves) -> bool:
    """Whether most runs are logged to their planned end."""
    last = curves.points.groupby("run")["step"].max()
    return bool((last / curves.runs["last_step"].reindex(last.index)).median() > 0.9) if len(last) else True

"""Replays inside a history: what each member of a mixture would have forecast, and the weights that follow."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from predictdyn.curves import OUTCOMES, Curve, Curves
from predictdyn.fitting.stacking import Resolved, effective_share, resolved, spread, stack, wanted
from predictdyn.forecast import Model, seed_for
from predictdyn.forecasters._fitted import in_units, latent_of, with_fallback
from predictdyn.forecasters._replay_scores import scores_of
from predictdyn.forecasters._sizes import rolling
from predictdyn.problem import History, Problem

# "kind/metric", or "kind/" and WHOLE_KIND -> one weight per member, then the factor of the spread
Replayed = dict[str, np.ndarray]
WHOLE_KIND = "*"
FEW_FAMILIES = 6
ENOUGH_FAMILIES = 40  # to be replayed
LEAST_WEIGHT = 0.04
CALMER = 3.0  # the spread of one metric leans so many times more on its kind than its weights do
ENOUGH_ROWS = 20.0  # of equal weight
MOST_ROWS = 480  # of a kind
TRIED = 0.5  # of the weight, with members that had an answer: only such rows tell of the spread
CROSSED = 3  # parts of the families, each of which is scored with the weights that the others teach


@dataclass(frozen=True)
class Replays:
    """How members are replayed; see `ensemble.Ensemble`. Members without prior weight take no part."""

    members: tuple[tuple[str, Model], ...]
    prior_weights: np.ndarray
    inner_folds: int
    metrics_per_kind: int
    rows_per_kind: int
    prior: float
    metric_prior: float
    spread_prior: float

    def among(self, history: History, origin: float, seed: int) -> Replayed:
        """Weights for runs like those of a history, by families left out."""
        families = sorted(history.curves.runs["family"].unique(), key=lambda name: _lot(seed, name))
        # Few families are left out one by one: a replay that learns from half of them would misjudge who learns of all.
        folds = len(families) if len(families) <= FEW_FAMILIES else self.inner_folds
        # Of many families a part says enough.
        replayed = min(folds, -(-ENOUGH_FAMILIES * folds // max(len(families), 1)))
        return self._learnt(history, origin, [families[fold::folds] for fold in range(replayed)], seed)

    def farther(self, history: History, origin: float, seed: int) -> Replayed:
        """Weights for runs that are larger than those of a history, by the largest of these left out."""
        found = self._learnt(history, origin, rolling(history.curves.runs), seed)
        # The largest finished runs are not as far away as what is asked: they may not make intervals narrower.
        wide = {key: np.append(row[:-1], max(row[-1], 1.0)) for key, row in found.items() if row.ndim == 1}
        return found | wide

    def within(self, curves: Curves, origins: tuple[float, ...], seed: int) -> dict[float, Replayed]:
        """Weights per origin from unfinished runs, each replayed by itself, learning from what was seen by then."""
        whole = _as_logged(curves)
        rows: dict[float, list[Resolved]] = {}
        for origin in origins:
            seen = whole.truncate(origin)
            target, truth = self._asked(whole, origin, 1, seed)
            if len(target):
                problem = Problem(History(seen), seen, target, seed)
                rows[origin] = self._resolved(problem, truth, whole)
        kinds = {row.kind for of_origin in rows.values() for row in of_origin}
        found: dict[float, Replayed] = {origin: {} for origin in origins}
        for kind in sorted(kinds):
            of = {origin: [row for row in some if row.kind == kind] for origin, some in rows.items()}
            before = self._before()
            weights = {
                origin: _worth_asking(_with_untried(some, self._stacked(some), before))
                for origin, some in of.items() if some
            }  # fmt: skip
            # Few curves, seen in part, say little of the spread at one origin; with a history each is learnt alone.
            tried = [(row, weight * row.good) for origin, weight in weights.items() for row in of[origin]]
            tried = [(row, own / own.sum()) for row, own in tried if own.sum() >= TRIED]
            wants, family = [wanted(row, own) for row, own in tried], [row.family for row, _ in tried]
            anywhere = spread(wants, family, prior=self.spread_prior) if wants else 1.0
            for origin, weight in weights.items():
                found[origin] |= self._of_kind(kind, of[origin], weight, anywhere, short=True)
        return found

    def _learnt(self, history: History, origin: float, folds: list[list[str]], seed: int) -> Replayed:
        rows: list[Resolved] = []
        for families in folds:
            runs = history.curves.runs
            test = runs.index[runs["family"].isin(families)]
            context, hidden = history.once(("parted", *test), partial(_parted, history, test))
            target, truth = self._asked(hidden, origin, len(folds), seed)
            if len(target) and len(context.curves.runs):
                problem = Problem(context, hidden.truncate(origin), target, seed, seed)
                rows += self._resolved(problem, truth, hidden)
        n = history.curves.runs["family"].nunique()
        return self._weighed(rows, n) | self._scored(rows, n)

    def _weighed(self, rows: list[Resolved], families: int) -> Replayed:
        """The weights and factors that follow from some rows, of a history of so many families."""
        found: Replayed = {}
        for kind in sorted({row.kind for row in rows}):
            mine = [row for row in rows if row.kind == kind]
            found |= self._of_kind(kind, mine, self._stacked(mine, families), 1.0, families)
        return found

    def _scored(self, rows: list[Resolved], families: int) -> Replayed:
        """What the replays say of the mixture: each family is scored with weights that others taught."""
        used = self.prior_weights > 0
        members = [name for (name, _), one in zip(self.members, used, strict=True) if one]
        before = np.append(self.prior_weights, 1.0)
        names, runs = (sorted({getattr(row, what) for row in rows}) for what in ("family", "run"))
        tables: dict[str, list[np.ndarray]] = {}
        for part in range(CROSSED):
            out = set(names[part::CROSSED])
            mine = [row for row in rows if row.family in out]
            others = self._weighed([row for row in rows if row.family not in out], families)
            weights = {
                f"{row.kind}/{row.metric}": of_metric(others, row.kind, row.metric, before)[np.append(used, True)]
                for row in mine
            }
            for key, table in scores_of(mine, members, weights, names, runs).items():
                tables.setdefault(key, []).append(table)
        return {key: np.concatenate(some) for key, some in sorted(tables.items())}

    def _of_kind(
        self,
        kind: str,
        rows: list[Resolved],
        weight: np.ndarray,
        towards: float,
        families: int | None = None,
        *,
        short: bool = False,
    ) -> Replayed:
        """Weights and factor of a kind, and of each of its metrics; ``short``: of curves that will be longer."""

        factor = towards if short else _spread(rows, weight, self.spread_prior, towards)
        found = {f"{kind}/{WHOLE_KIND}": self._whole(weight, factor)}
        for metric in sorted({row.metric for row in rows}):
            mine = [row for row in rows if row.metric == metric]
            own = stack(mine, weight, prior=self.metric_prior, families=families)
            own = _worth_asking(_with_untried(mine, own, weight) if short else own)
            of_its_own = factor if short else _spread(mine, own, CALMER * self.metric_prior, factor)
            found[f"{kind}/{metric}"] = self._whole(own, of_its_own)
        return found

    def _before(self) -> np.ndarray:
        """Weights before any replay, of the members that take part."""
        return self.prior_weights[self.prior_weights > 0]

    def _stacked(self, rows: list[Resolved], families: int | None = None) -> np.ndarray:
        return _worth_asking(stack(rows, self._before(), prior=self.prior, families=families))

    def _whole(self, weight: np.ndarray, factor: float) -> np.ndarray:
        """Weights of all members (k,), and the factor."""
        found = np.zeros(len(self.prior_weights) + 1)
        found[:-1][self.prior_weights > 0], found[-1] = weight, factor
        return found

    def _resolved(self, problem: Problem, truth: np.ndarray, curves: Curves) -> list[Resolved]:
        """What the members forecast, beside what happened."""
        draws, good = [], []
        for (name, model), weight in zip(self.members, self.prior_weights, strict=True):
            if weight > 0:
                mine = problem.seeded(seed_for(problem.seed, name), seed_for(problem.fit_seed, name))
                answer = with_fallback(mine, latent_of(model, mine))
                draws.append(in_units(mine, answer).draws)
                good.append(answer.status == "ok")
        every, answered = np.stack(draws), np.stack(good)
        run = problem.target["run"]
        family = run.map(curves.runs["family"])
        return [
            resolved(every[:, row], truth[row], problem.metrics[name], family[row], answered[:, row], run[row])
            for row, name in enumerate(problem.target["metric"])
        ]

    def _asked(self, hidden: Curves, origin: float, folds: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
        """The last points of some curves after an origin, by lot, and their values: one fold's share of each kind.

        Where few curves make up most of what is still to come, as where few runs fail, more are asked.
        """
        chosen = _sample(hidden, self.metrics_per_kind, seed)
        limit = hidden.limit(origin).to_dict()
        rows = [
            (run, name, curve.step[-1], curve.value[-1], hidden.metrics[name].kind, _still_to_come(curve, limit[run]))
            for (run, name), curve in hidden.series.items()
            if name in chosen and curve.step[-1] > limit[run]
        ]
        ends = pd.DataFrame(rows, columns=["run", "metric", "step", "value", "kind", "change"])
        ends["change"] /= ends.groupby("metric")["change"].transform("mean").where(lambda unit: unit > 0, 1.0)
        ends["lot"] = [_lot(seed, f"{run}/{metric}") for run, metric in zip(ends["run"], ends["metric"], strict=True)]
        some = []
        for _, of_kind in ends.sort_values("lot").groupby("kind", sort=True):
            enough = ENOUGH_ROWS / effective_share(of_kind["change"].to_numpy())
            some.append(of_kind.head(int(np.clip(enough, self.rows_per_kind, MOST_ROWS)) // folds))
        found = pd.concat(some, ignore_index=True) if some else ends
        return found[["run", "metric", "step"]], found["value"].to_numpy(dtype=float)


def _still_to_come(curve: Curve, limit: float) -> float:
    """How far the end of a curve lies from its last value up to a step."""
    seen = int(np.searchsorted(curve.step, limit, side="right"))
    return float(abs(curve.value[-1] - curve.value[max(seen - 1, 0)]))


def of_metric(learnt: Replayed, kind: str, metric: str, otherwise: np.ndarray) -> np.ndarray:
    """The weights and factor (k + 1,) of a metric; those of its kind, or others, where none were learnt of it."""
    return learnt.get(f"{kind}/{metric}", learnt.get(f"{kind}/{WHOLE_KIND}", otherwise))


def _with_untried(rows: Sequence[Resolved], weight: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Weights (k,) in which members that had no answer keep those of before.

    A curve that is short now was shorter still when it was replayed: nothing was learnt of who needs more points.
    """
    tried = np.any([row.good for row in rows], axis=0)
    kept = np.where(tried, 0.0, before / before.sum())
    return np.asarray(kept + (1.0 - kept.sum()) * np.where(tried, weight, 0.0))


def _worth_asking(weight: np.ndarray) -> np.ndarray:
    """Weights (k,) without those that change nothing: who has less than `LEAST_WEIGHT` need not be asked."""
    kept = np.where(weight >= min(LEAST_WEIGHT, weight.max()), weight, 0.0)
    return np.asarray(kept / kept.sum())


def _parted(history: History, test: pd.Index) -> tuple[History, Curves]:
    """The history without some runs, and these runs."""
    return history.without(test), history.curves.select(runs=test)


def _spread(rows: list[Resolved], weight: np.ndarray, prior: float, towards: float) -> float:
    """The factor of the spread; a member alone keeps its own, which rests on more families than are replayed."""
    return 1.0 if weight.max() == 1.0 else spread(*_needed(rows, weight), prior=prior, towards=towards)


def _needed(rows: list[Resolved], weight: np.ndarray) -> tuple[list[float], list[str]]:
    """The factor of the spread that each row wants, and the family it is of."""
    return [wanted(row, weight) for row in rows], [row.family for row in rows]


def _sample(curves: Curves, most: int, seed: int) -> set[str]:
    """Outcome metrics to replay, by lot, at most so many of each kind; all metrics where no kind is known."""
    logged = {name for _, name in curves.series}
    names = [name for name in curves.metrics if name in logged and curves.metrics[name].kind != "schedule"]
    outcomes = [name for name in names if curves.metrics[name].kind in OUTCOMES] or names
    chosen: dict[str, list[str]] = {}
    for name in sorted(outcomes, key=lambda name: _lot(seed, name)):
        of_kind = chosen.setdefault(curves.metrics[name].kind, [])
        if len(of_kind) < most:
            of_kind.append(name)
    return {name for of_kind in chosen.values() for name in of_kind}


def _as_logged(curves: Curves) -> Curves:
    """The same curves, each run's plan ending where its log ends: what replays inside unfinished runs need."""
    schedules = [name for name, metric in curves.metrics.items() if metric.kind == "schedule" and metric.known_ahead]
    last = curves.points[~curves.points["metric"].isin(schedules)].groupby("run")["step"].max()
    runs = curves.runs.loc[curves.runs.index.isin(last.index)]
    runs = runs.assign(last_step=last.reindex(runs.index).clip(lower=1))
    return Curves(curves.points[curves.points["run"].isin(runs.index)], runs, curves.metrics, curves.events)


def _lot(seed: int, word: str) -> bytes:
    return hashlib.sha256(f"{seed}:{word}".encode()).digest()

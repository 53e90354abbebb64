"""Mixtures of forecasters, with weights learnt by replaying the history, or what is observed, inside itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from predictdyn.curves import OUTCOMES, Curves, Metric
from predictdyn.fitting.stacking import mixed, widened
from predictdyn.forecast import DRAWS, Latent, Model, seed_for
from predictdyn.forecasters._fitted import latent_of, one_thread
from predictdyn.forecasters._places import FINENESS, rounded
from predictdyn.forecasters._replays import WHOLE_KIND, Replayed, Replays, of_metric
from predictdyn.forecasters._sizes import beyond
from predictdyn.problem import History, Problem
from predictdyn.workers import side_by_side

# These have nothing to say before a run has ended.
FROM_FINISHED = (
    "mean_change", "mean_outcome", "nearest_run", "pooled_change", "pooled_curves", "extra_trees",
    "quantile_regression", "exposures",
)  # fmt: skip
KEPT = ("extra_trees", "quantile_regression")  # what these learn is dear, and small
MOST_KEPT = 40  # metrics
# Where more runs have finished than so many, these tell nothing that runs do not, and cost as much as all others.
FOR_FEW = ("schedule_law",)
FEW_RUNS = 40
FARTHER = "+"  # ends the key of weights for runs that are larger than all finished ones


@dataclass(frozen=True)
class Ensemble:
    """A mixture of its members, with weights per kind, metric and how far ahead the target lies.

    Inside the history, families are dealt into ``inner_folds`` (up to six are left out one by one); each is hidden in
    turn, cut at one of ``origins`` of the run, and forecast by every member from the rest. For a run that is larger
    than all finished ones the largest of these are held out instead: a rolling origin in size. Without a history the
    curves that are seen are replayed themselves, at ``own_origins``. The weights of a kind minimise the CRPS of the
    mixture (a convex problem, every metric in units of its own), pulled towards ``prior_weights`` with the weight of
    ``prior`` families, since few cannot tell members apart; those of a metric likewise, pulled towards its kind's by
    ``metric_prior``. Then factors for the spread make 90 % intervals cover 90 % of those truths: that of a kind pulled
    towards one by ``spread_prior``, that of a metric towards its kind's. Without history one factor serves all origins,
    and members that had no answer at an origin keep their prior weight, since curves were shorter then. A target takes
    the weights of the origin that is nearest to what was seen of its run; without history, to the ratio of origin to
    target. At most ``metrics_per_kind`` metrics and ``rows_per_kind`` rows of a kind
    are replayed at an origin; more rows where few of them make up most of what is still to come.
    """

    name: str
    members: tuple[str, ...]
    prior_weights: tuple[float, ...]
    from_plan: tuple[str, ...] = ()  # who forecasts runs of which nothing is seen: the first that has an answer
    larger_weights: tuple[float, ...] = ()  # the same for runs larger than all finished ones; default prior_weights
    origins: tuple[float, ...] = (0.02, 0.05, 0.1, 0.25, 0.5, 0.75)
    prepared: tuple[float, ...] = (0.1, 0.25, 0.5)  # of the origins, those that `fit` learns
    own_origins: tuple[float, ...] = (0.2, 0.4, 0.6, 0.85)
    inner_folds: int = 4
    metrics_per_kind: int = 2
    rows_per_kind: int = 60
    prior: float = 8.0
    metric_prior: float = 20.0
    spread_prior: float = 2.0

    def latent(self, problem: Problem) -> Latent:
        """Draws of the mixture; a row in which a member fell back leaves that member out unless all did.

        Runs of which nothing is seen are forecast from their plan, by the first forecaster that has an answer.
        """
        unseen = _unseen(problem) if self.from_plan else np.zeros(len(problem.target), dtype=bool)
        if not unseen.any():
            return self._mixed(problem)
        known = np.zeros(len(unseen), dtype=bool)
        draws = np.zeros((len(unseen), DRAWS))
        status = np.full(len(unseen), "ok", dtype=object)
        for name in self.from_plan:
            rows = np.flatnonzero(unseen)
            if len(rows):
                planned = latent_of(self._named(name), problem.rows(rows))
                answered = rows[planned.status == "ok"]
                draws[answered] = planned.draws[planned.status == "ok"]
                unseen[answered] = False
                known[answered] = True
        others = np.flatnonzero(~known)
        if len(others):
            mixed_rows = self._mixed(problem.rows(others))
            draws[others], status[others] = mixed_rows.draws, mixed_rows.status
        return Latent(draws, status)

    def _mixed(self, problem: Problem) -> Latent:
        learnt = self._weights(problem)
        metrics = [problem.metrics[name] for name in problem.target["metric"]]
        k, n = len(self.members), len(problem.target)
        every = np.ones(k, dtype=bool)
        weights = np.array([self._weight(*both, every)[0] for both in zip(learnt, metrics, strict=True)]).reshape(n, k)
        answers: list[dict[int, np.ndarray]] = [{} for _ in range(n)]  # sorted draws (s,) by member
        good, why = np.zeros((n, k), dtype=bool), np.full(n, "", dtype=object)
        # Members without weight are asked only where those with some have no answer of their own.
        for asked in (weights > 0, weights == 0):
            missing = ~good.any(axis=1)
            for i in range(k):
                rows = np.flatnonzero(asked[:, i] & missing)
                if len(rows):
                    answer = latent_of(self._member(i), self._for_member(problem.rows(rows), i))
                    good[rows, i] = answer.status == "ok"
                    why[rows] = np.where(why[rows] == "", answer.status, why[rows])
                    for row, draws in zip(rows.tolist(), np.sort(answer.draws, axis=1), strict=True):
                        answers[row][i] = draws
        out = np.zeros((n, DRAWS))
        for row in np.flatnonzero(good.any(axis=1)).tolist():
            weight, factor = self._weight(learnt[row], metrics[row], good[row])
            some = np.flatnonzero(weight).tolist()
            draws = np.sort(mixed(weight[some], np.stack([answers[row][i] for i in some])))
            out[row] = widened(draws, problem.panel(metrics[row].name).scale, factor)
        return Latent(out, np.where(good.any(axis=1), "ok", why).astype(object))

    def prepare(self, history: History, fit_seed: int, workers: int = 1) -> None:
        """Learn the weights of some origins from a history, so that they are saved with it; others when asked for.

        Origins are learnt side by side by ``workers`` processes; what is learnt does not depend on how many.
        """
        if not _finished(history.curves):
            return
        if workers == 1:
            for origin in self.prepared:
                self._prepare(history, origin, fit_seed)
            return
        from joblib import delayed

        jobs = (delayed(self._prepared)(history.curves, origin, fit_seed) for origin in self.prepared)
        for learnt in side_by_side(jobs, workers):
            history.learnt.update(learnt)

    def _prepare(self, history: History, origin: float, seed: int) -> None:
        learnt = self._from_history(history, origin, farther=False, seed=seed)
        self._rehearse(history, origin, learnt, seed)

    def _prepared(self, curves: Curves, origin: float, seed: int) -> dict[str, dict[str, np.ndarray]]:
        """What an origin teaches, in a process of its own."""
        history = History(curves)
        with one_thread():
            self._prepare(history, origin, seed)
        return history.learnt

    def _rehearse(self, history: History, origin: float, learnt: Replayed, seed: int) -> None:
        """Ask `KEPT` members with weight for finished runs, of which this much is seen, as if these had not ended.

        What regressions learn for it is kept with the history. Asked for are `MOST_KEPT` outcomes, those that were
        replayed before others, since a forecast asks for all unless told otherwise; the answers do not count.
        """
        every, metrics = np.ones(len(self.members), dtype=bool), history.curves.metrics
        begun = History(history.curves.truncate(origin))
        names = [name for name in metrics if metrics[name].kind in OUTCOMES and name in begun.by_metric]
        names.sort(key=lambda name: f"{metrics[name].kind}/{name}" not in learnt)
        rows = [(run, name, history.plan[run][1]) for name in names[:MOST_KEPT] for run in _typical(begun, name)]
        target = pd.DataFrame(rows, columns=["run", "metric", "step"])
        observed = begun.curves.select(runs=set(target["run"]))
        for i, name in enumerate(self.members):
            asked = [bool(self._weight(learnt, metrics[one], every)[0][i]) for one in target["metric"]]
            if name in KEPT and any(asked):
                problem = Problem(history, observed, target[asked].reset_index(drop=True), seed, seed)
                self._member(i).latent(self._for_member(problem, i))

    def leaning(self, *, without_history: bool, farther: bool = False, runs: int = 0) -> np.ndarray:
        """Weights (k,) before any replay, for a history of so many runs."""
        weights = self.larger_weights if farther and self.larger_weights else self.prior_weights
        kept = [
            0.0 if (without_history and name in FROM_FINISHED) or (runs > FEW_RUNS and name in FOR_FEW) else weight
            for name, weight in zip(self.members, weights, strict=True)
        ]
        return np.array(kept) / sum(kept)

    def _member(self, i: int) -> Model:
        return self._named(self.members[i])

    def _named(self, name: str) -> Model:
        # Imported here: the table of names finds this module, so at the top it would be a circle.
        from predictdyn.forecasters import forecaster

        return forecaster(name)

    def _for_member(self, problem: Problem, i: int) -> Problem:
        name = self.members[i]
        return problem.seeded(seed_for(problem.seed, name), seed_for(problem.fit_seed, name))

    def replays(self, *, without_history: bool, farther: bool = False, runs: int = 0) -> Replays:
        """How its members are replayed."""
        return Replays(
            tuple((name, self._member(i)) for i, name in enumerate(self.members)),
            self.leaning(without_history=without_history, farther=farther, runs=runs), self.inner_folds,
            self.metrics_per_kind, self.rows_per_kind, self.prior, self.metric_prior, self.spread_prior,
        )  # fmt: skip

    def _weights(self, problem: Problem) -> list[Replayed]:
        """The weights of each row, by the origin that is nearest to it.

        Rows of a run of which a part is seen go by that part, wherever their targets lie: a figure of the way there
        costs no replay of its own. Where no run has ended they go by the ratio of origin to target, and as the spread
        of one origin leans on all, all are learnt at once.
        """
        known = len(problem.history.curves.points) > 0
        source = problem.history.curves if known else problem.observed
        alone = not _finished(source)
        begun = {key: float(curve.step[-1]) for key, curve in problem.observed.series.items()}
        target = problem.target
        now = np.array([begun.get(key, 0.0) for key in zip(target["run"], target["metric"], strict=True)])
        whole = target["step"] if alone else target["run"].map(problem.observed.runs["last_step"])
        ratio = now / np.maximum(whole.to_numpy(dtype=float), 1e-300)
        if not alone and known:
            farther = beyond(problem.history.curves.runs, problem.observed.runs)
            return [
                self._from_history(
                    problem.history, _nearest(self.origins, one), farther=farther[run] > 1, seed=problem.fit_seed
                )
                for one, run in zip(ratio, target["run"], strict=True)
            ]
        key = ("own weights", self.name, problem.fit_seed if known else problem.seed)
        place = problem.history if known else problem
        replays = self.replays(without_history=alone)
        learnt = place.once(key, lambda: replays.within(source, self.own_origins if alone else self.origins, key[2]))
        return [learnt[_nearest(self.own_origins if alone else self.origins, one)] for one in ratio]

    def _from_history(self, history: History, origin: float, *, farther: bool, seed: int) -> Replayed:
        def make() -> Replayed:
            replays = self.replays(without_history=False, farther=farther, runs=len(history.curves.runs))
            found = replays.farther(history, origin, seed) if farther else replays.among(history, origin, seed)
            return found or {}

        return history.learn(f"{self.name}/weights/{origin:g}{FARTHER if farther else ''}/{seed}", make)

    def _weight(self, learnt: Replayed, metric: Metric, good: np.ndarray) -> tuple[np.ndarray, float]:
        """Weights (k,) of the members that did not fall back, and the factor."""
        lean = self.leaning(without_history=False)
        kinds = [key for key in learnt if key.endswith(f"/{WHOLE_KIND}")]
        found = of_metric(learnt, metric.kind, metric.name, learnt[kinds[0]] if kinds else np.r_[lean, 1.0])
        weight = np.where(good, found[:-1], 0.0)
        if not weight.sum():
            # All members with a weight fell back: those that did not, or, if all did, the first.
            weight = np.where(good, lean, 0.0) if good.any() else np.eye(len(lean))[0]
        return weight / weight.sum(), float(found[-1])


def _nearest(origins: tuple[float, ...], ratio: float) -> float:
    """The origin that is nearest on a logarithmic scale."""
    return min(origins, key=lambda origin: abs(np.log(origin / max(ratio, 1e-9))))


def _unseen(problem: Problem) -> np.ndarray:
    """Whether nothing is seen of the run of each row but what was planned, and perhaps its step 0, (n,)."""
    begun = {
        run
        for (run, metric), curve in problem.observed.series.items()
        if curve.step[-1] > 0 and not problem.metrics[metric].known_ahead
    }
    return ~problem.target["run"].isin(begun).to_numpy()


def _typical(begun: History, metric: str) -> list[str]:
    """A run that has been seen as far as most others in a metric, in a list; none where nothing was."""
    share = {run: float(curve.step[-1]) / begun.plan[run][1] for run, curve in begun.by_metric[metric].items()}
    places = {run: rounded(one, FINENESS) for run, one in share.items() if one > 0}
    most = Counter(places.values()).most_common(1)
    return [next(run for run, place in places.items() if place == most[0][0])] if most else []


def _finished(curves: Curves) -> bool:
    """Whether most runs are logged to their planned end."""
    last = curves.points.groupby("run")["step"].max()
    return bool((last / curves.runs["last_step"].reindex(last.index)).median() > 0.9) if len(last) else True


ALONE = {
    "last_value": 1.0, "mean_change": 1.0, "mean_outcome": 1.0, "log_linear": 0.5, "damped_slope": 0.5,
    "nearest_run": 1.0, "structural": 10.0,
}  # fmt: skip
FROM_RUNS = {
    "pooled_change": 10.0, "pooled_curves": 10.0, "extra_trees": 20.0, "quantile_regression": 5.0, "exposures": 20.0,
    "schedule_law": 3.0,
}  # fmt: skip
# For runs larger than all finished ones: a Gaussian process of the change, which goes on in size and dies away.
LARGER = {
    "last_value": 0.2, "mean_change": 0.5, "mean_outcome": 0.2, "log_linear": 0.2, "damped_slope": 0.2,
    "nearest_run": 0.5, "structural": 1.0, "pooled_change": 30.0, "pooled_curves": 10.0, "extra_trees": 6.0,
    "quantile_regression": 1.0, "exposures": 20.0, "schedule_law": 3.0,
}  # fmt: skip
CURVE_ENSEMBLE = Ensemble("curve_ensemble", tuple(ALONE), tuple(ALONE.values()))
AUTO = Ensemble(
    "auto", tuple(LARGER), tuple({**ALONE, **FROM_RUNS}.values()), ("schedule_law", "law"), tuple(LARGER.values())
)

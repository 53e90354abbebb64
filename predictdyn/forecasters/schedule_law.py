"""Schedule law: a loss is forecast by what its learning rate did and will do, from the run, from others, or both."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.covariates import MOST_LEVELS
from predictdyn.curves import Curves, Metric
from predictdyn.fitting.schedule_laws import LAWS, RateCurve
from predictdyn.fitting.schedule_mixture import GROWTH, LossCurve, ScheduleFit, fit_schedules
from predictdyn.fitting.schedule_posterior import LawPrior, prior_of
from predictdyn.fitting.schedule_runs import begun, fit_runs
from predictdyn.forecast import DRAWS, Latent, seed_for
from predictdyn.forecasters._fitted import no_answer
from predictdyn.forecasters._rates import rates_of
from predictdyn.problem import History, LatentCurve, Panel, Problem, Query

MOST_RUNS = 6  # of the same model that are fitted together, of different schedules first
MOST_MODELS = 8  # other models that the prior is learnt from
PER_MODEL = 2  # runs of each
STARTS = 2  # of the search where a prior says where to look
GROWTH_ROWS = 2.0  # runs that the growth of the discrepancy counts as before any is replayed
MOST_MISSED = 1.0
REPLAYED = (1 / 32, 0.5)  # of a finished run, in powers of two: from where it is forecast
PRIOR_ROWS = 2.0  # models that the prior of the laws counts as
NOT_A_LOSS = "a schedule law is of losses above zero only"
TOO_SHORT = "fewer than 6 points after the warm-up, and no finished run of the same model with a known schedule"
NO_LOSS = "no schedule law of this run has a loss above zero by then"
# Settings of a run's schedule, its length and its name: runs that differ in nothing else are of one model.
SCHEDULING = re.compile(
    r"(^|_)(lr|rate|schedule[rd]?|shape|warmup|cooldown|decay|annealing|steps?|iters?|epochs?|tokens|seed|family|"
    r"baseline|peak|end|last)(_|$)"
)
NO_SCHEDULE = re.compile(r"weight_decay|batch|per_step")


@dataclass(frozen=True)
class ScheduleForecaster:
    """Laws of the loss under a learning rate that is known ahead: `fitting.schedule_laws`.

    Finished runs of the same model (equal settings but for schedule, length and seed) are fitted together, and give the
    prior; what is seen of the run gives the likelihood. Without such runs the prior is that of the laws, moved towards
    what runs of other models had.
    """

    name: str = "schedule_law"

    def latent(self, problem: Problem) -> Latent:
        """Draws of each row; where no schedule is known, too little was seen, or it is no loss, no answer and why."""
        latent = no_answer(problem, NOT_A_LOSS)
        rates, why = problem.root.once("rates", lambda: rates_of(problem.observed))
        for panel in problem.panels:
            if not _is_loss(problem.metrics[panel.metric], panel):
                continue
            for query in panel.queries:
                latent.status[query.rows] = why.get(query.run, TOO_SHORT)
                if query.run in rates:
                    self._answer(problem, panel, query, rates[query.run], latent)
        return latent

    def _answer(self, problem: Problem, panel: Panel, query: Query, rate: RateCurve, latent: Latent) -> None:
        last = float(problem.observed.runs["last_step"].to_dict()[query.run])
        seed = seed_for(problem.seed, "schedule_law", query.run, panel.metric)
        fit = self._fit(problem, panel, query.run, rate, last, seed)
        if fit is None:
            return
        order = np.argsort(query.progress)
        step = query.progress[order] * last
        if fit.own is None:
            draws = fit.draws(rate, step, last, seed=seed)
        else:
            seen = float(panel.observed[query.run].progress[-1])
            but = model_of(problem.observed, problem.history.curves, query.run)
            missed = _Known(problem.history, panel).missed(but, seen)
            draws = fit.draws(rate, step, last, growth=missed.growth, seed=seed)
            draws = draws - missed.bias * fit.missed(rate, step)[:, None]
        if not np.isfinite(draws).all():
            latent.status[query.rows] = NO_LOSS
            return
        latent.draws[query.rows[order]] = panel.scale.latent(np.exp(np.clip(draws, -600.0, 600.0)))
        latent.status[query.rows] = "ok"

    def _fit(
        self, problem: Problem, panel: Panel, run: str, rate: RateCurve, last: float, seed: int
    ) -> ScheduleFit | None:
        """The laws given all that is known of a run, or None where it is too little."""
        own = _loss_curve(panel.observed[run], rate, last, panel)
        known = _Known(problem.history, panel)
        others = known.same_model(problem.observed, run)
        if others is None:
            priors = known.priors(model_of(problem.observed, problem.history.curves, run))
            return fit_schedules(
                [own], reach=rate, until=last, own=True, priors=priors, n=DRAWS, seed=seed, starts=STARTS
            )
        if not len(own.step):
            return others
        return begun(others, own, n=DRAWS, seed=seed)


class Missed(NamedTuple):
    """Mean and spread of errors at the end of runs, in units of `ScheduleFit.missed`."""

    bias: float
    growth: float


@dataclass(frozen=True)
class _Known:
    """What finished runs say of a metric."""

    history: History
    panel: Panel

    def same_model(self, observed: Curves, run: str) -> ScheduleFit | None:
        """The laws fitted to finished runs of the model of a run, None where there are none."""
        runs = self._of_model.get(model_of(observed, self.history.curves, run), [])
        runs = [one for one in runs if one != run]
        return self._fit_of(tuple(self._spread(runs, MOST_RUNS)), hold_out=True) if runs else None

    def priors(self, but: Hashable) -> list[LawPrior]:
        """The prior of each law, moved towards what finished runs of other models had."""
        whole = self.history.whole
        if whole is not None and self.panel.metric in whole.by_metric:
            # In a replay: what is learnt of all models together, and hardly of any one of them.
            context = whole.latent(self.panel.metric, self.panel.scale)
            return _Known(whole, self.panel._replace(context=context)).priors(but)
        return self.history.once(self._key("priors", but), lambda: self._priors(but))

    def _priors(self, but: Hashable) -> list[LawPrior]:
        models = sorted((one for one in self._of_model if one != but), key=lambda one: _lot(repr(one)))
        fits = [self._fit_of(tuple(self._spread(self._of_model[one], PER_MODEL))) for one in models[:MOST_MODELS]]
        found = []
        for i, law in enumerate(LAWS):
            own = prior_of(law)
            modes = np.array([fit.members[i].mode.numbers for fit in fits if fit is not None])
            if not len(modes):
                found.append(own)
                continue
            mean = (own.mean + modes.sum(axis=0)) / (1 + len(modes))
            scatter = PRIOR_ROWS * np.diag(own.covariance) + ((modes - mean) ** 2).sum(axis=0)
            variance = scatter / (PRIOR_ROWS + len(modes))
            # The level is that of a run in its own units.
            mean[0], variance[0] = own.mean[0], own.covariance[0, 0]
            found.append(LawPrior(mean, np.diag(variance)))
        return found

    def missed(self, but: Hashable, seen: float) -> Missed:
        """What laws miss by, from finished runs of other models that are forecast from about as early on."""
        whole = self.history.whole
        if whole is not None and self.panel.metric in whole.by_metric:
            context = whole.latent(self.panel.metric, self.panel.scale)
            return _Known(whole, self.panel._replace(context=context)).missed(but, seen)
        share = float(np.clip(2.0 ** np.round(np.log2(max(seen, 1e-9))), *REPLAYED))
        return self.history.once(self._key("missed", but, share), lambda: self._missed(but, share))

    def _missed(self, but: Hashable, share: float) -> Missed:
        priors, off = self.priors(but), []
        for model in sorted((one for one in self._of_model if one != but), key=lambda one: _lot(repr(one))):
            run = self._spread(self._of_model[model], 1)[0]
            rate, last, curve = self._rates[run], self.history.plan[run][1], self.panel.context[run]
            whole, early = (_loss_curve(one, rate, last, self.panel) for one in (curve, curve.truncate(share)))
            fit = fit_schedules([early], reach=rate, until=last, own=True, priors=priors, n=1, starts=STARTS)
            if fit is not None and (unit := float(fit.missed(rate, whole.step[-1:])[0])) > 0:
                ends = [one.at_mode(rate, whole.step[-1:], fit)[0] for one in fit.members]
                end = np.average(ends, weights=fit.weights)
                off.append(float(np.clip((end - whole.log_loss[-1]) / unit, -MOST_MISSED, MOST_MISSED)))
            if len(off) == MOST_MODELS:
                break
        n = len(off) + GROWTH_ROWS
        bias = sum(off) / n
        return Missed(
            bias, float(np.sqrt((GROWTH_ROWS * (GROWTH**2 + bias**2) + sum((one - bias) ** 2 for one in off)) / n))
        )

    def _fit_of(self, runs: tuple[str, ...], *, hold_out: bool = False) -> ScheduleFit | None:
        def make() -> ScheduleFit | None:
            rates = self._rates
            curves = [
                _loss_curve(self.panel.context[run], rates[run], self.history.plan[run][1], self.panel) for run in runs
            ]
            return (fit_runs if hold_out else fit_schedules)(curves, n=DRAWS, seed=seed_for(0, *runs))

        return self.history.once(self._key("fit", runs, hold_out), make)

    def _spread(self, runs: Sequence[str], most: int) -> list[str]:
        """Some runs, of different schedules first; which of several alike is by lot."""
        rates = self._rates
        seen: dict[Hashable, int] = {}
        ranked = []
        for run in sorted(runs, key=_lot):
            end = self.history.plan[run][1]
            shape = (end, *rates[run].at(np.linspace(0.1, 1.0, 10) * end).round(12).tolist())
            seen[shape] = seen.get(shape, 0) + 1
            ranked.append((seen[shape], _lot(run), run))
        return [run for _, _, run in sorted(ranked)[:most]]

    @property
    def _rates(self) -> dict[str, RateCurve]:
        return self.history.once("rates", lambda: rates_of(self.history.curves)[0])

    @property
    def _of_model(self) -> dict[Hashable, list[str]]:
        """The finished runs of each model that have the metric and a schedule."""

        def make() -> dict[Hashable, list[str]]:
            found: dict[Hashable, list[str]] = {}
            for run in self._rates:
                curve = self.panel.context.get(run)
                if curve is not None and len(curve.latent):
                    found.setdefault(model_of(self.history.curves, self.history.curves, run), []).append(run)
            return found

        return self.history.once(self._key("of model"), make)

    def _key(self, *words: Hashable) -> Hashable:
        return ("schedule_law", self.panel.metric, self.panel.scale.floor, self.panel.scale.unit, *words)


def model_of(curves: Curves, history: Curves, run: str) -> Hashable:
    """What a run is but for its schedule, its length and its luck: its settings, as far as the history has them."""
    columns = [
        name
        for name in history.runs.columns
        if (NO_SCHEDULE.search(str(name).lower()) or not SCHEDULING.search(str(name).lower()))
        and (pd.api.types.is_numeric_dtype(history.runs[name]) or history.runs[name].nunique() <= MOST_LEVELS)
    ]
    return tuple(str(curves.runs[name].get(run, "")) if name in curves.runs else "" for name in columns)


def _is_loss(metric: Metric, panel: Panel) -> bool:
    bounded = panel.scale.lower == 0 and panel.scale.upper is None
    return metric.kind in ("loss", "robustness") and metric.better != "higher" and bounded


def _loss_curve(curve: LatentCurve, rate: RateCurve, last: float, panel: Panel) -> LossCurve:
    value = panel.scale.value(curve.latent)
    above = value > 0
    return LossCurve(rate, (curve.progress * last)[above], np.log(value[above]))


def _lot(word: str) -> bytes:
    return hashlib.sha256(word.encode()).digest()


SCHEDULE_LAW = ScheduleForecaster()

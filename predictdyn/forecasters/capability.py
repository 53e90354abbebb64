"""Capability from loss: the loss of a run is forecast, and finished runs say what accuracy comes with it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Metric
from predictdyn.fitting.ability_map import MapNodes, MapRows, nodes_of, with_run
from predictdyn.fitting.ability_pool import AskedAbility, map_draws, outcome_draws, shared_draws
from predictdyn.forecast import DRAWS, Latent, Model, seed_for
from predictdyn.forecasters._fitted import latent_of, no_answer
from predictdyn.laws.ability import Ability, ability_from
from predictdyn.laws.ladder import BEGUN, OutcomeFacts, questions, spread_out
from predictdyn.problem import LatentCurve, Panel, Problem, Query

FEWEST_RUNS = 4  # finished ones that log both
FEWEST_POINTS = 2  # of the run itself, that say how it differs from them
MOST_RUNS = 24  # a map is learnt from
MOST_MEASURES = 3  # losses that are tried
MOST_POOLED = 8  # outcomes that say what maps share
KINDS = ("capability", "robustness")
NOT_BOUNDED = "only accuracies between two bounds are forecast from a loss"
NO_MEASURE = f"no loss is logged beside it in {FEWEST_RUNS} finished runs"
NO_LOSS = "its loss cannot be forecast"


@dataclass(frozen=True)
class CapabilityFromLoss:
    """An accuracy by way of a loss: `fitting.ability_map`.

    The loss is forecast by the ``members``, mixed alike, and by ``from_plan`` where nothing is seen of a run. Of the
    losses that finished runs log beside the accuracy, the one whose map fits best is taken. The checkpoints that are
    seen of both say how far the run lies from finished ones.
    """

    members: tuple[str, ...] = ("pooled_change", "pooled_curves")
    from_plan: tuple[str, ...] = ("law",)
    name: str = "capability_from_loss"

    def latent(self, problem: Problem) -> Latent:
        """Draws of each row; where it is no accuracy, or no loss is logged beside it, no answer and why."""
        latent = no_answer(problem, NOT_BOUNDED)
        for panel in problem.panels:
            if not _bounded(problem.metrics[panel.metric]):
                continue
            found = problem.history.once(("ability map", panel.metric), partial(_mapped, problem, panel.metric))
            for query in panel.queries:
                if found is None:
                    latent.status[query.rows] = NO_MEASURE
                else:
                    self._answer(problem, panel, query, found, latent)
        return latent

    def _answer(self, problem: Problem, panel: Panel, query: Query, known: Mapped, latent: Latent) -> None:
        measure = problem.panel(known.measure)
        seed = seed_for(problem.seed, self.name, query.run, panel.metric)
        drawn, status = self._losses(problem, query, known.measure)
        if drawn is None:
            latent.status[query.rows] = f"{NO_LOSS}: {status}"
            return
        ability = known.on_scales(measure.scale.value(drawn))
        own = _paired(panel, measure, panel.observed[query.run], measure.observed[query.run], 0.0)
        nodes, run, since = known.nodes, np.full(len(query.rows), -1), np.zeros(drawn.shape)
        if len(own) >= FEWEST_POINTS:
            way = known.on_scales(own[:, 1])
            kept = spread_out(way[0], np.arange(len(own)))
            rows = MapRows(way[:, kept], np.zeros((len(kept), 0)), np.zeros(len(kept), dtype=int),
                           known.outcome.unit(own[kept, 2]))  # fmt: skip
            nodes = with_run(known.nodes, rows)
            run = np.full(len(query.rows), nodes.mean.shape[1] - known.nodes.mean.shape[1] + known.runs - 1)
            since = np.abs(ability[0] - way[0][-1])
        shared = problem.history.once(
            ("ability shared", known.measure, problem.fit_seed),
            lambda: shared_draws(known.pooled, DRAWS, seed=seed_for(problem.fit_seed, self.name)),
        )
        asked = AskedAbility(ability, np.zeros((len(run), 0, DRAWS)), run, since, np.zeros(drawn.shape))
        found = outcome_draws(nodes, map_draws(nodes, shared, seed=seed), asked, seed=seed)
        latent.draws[query.rows] = panel.scale.latent(known.outcome.value(found))
        latent.status[query.rows] = "ok"

    def _losses(self, problem: Problem, query: Query, measure: str) -> tuple[np.ndarray | None, str]:
        """Latent draws (m, s) of the measure at the steps of a query, by those members that have an answer."""
        seen = problem.panel(measure).observed[query.run].progress
        names = self.members if len(seen) and seen[-1] > 0 else self.from_plan
        step = problem.target["step"].to_numpy()[query.rows]
        target = pd.DataFrame({"run": query.run, "metric": measure, "step": step})
        key: Hashable = ("losses", query.run, measure, tuple(step.tolist()), problem.seed, problem.fit_seed, names)
        answers = problem.root.once(key, lambda: [self._asked(problem, target, name) for name in names])
        good = [one.draws for one in answers if (one.status == "ok").all()]
        if not good:
            return None, str(answers[0].status[answers[0].status != "ok"][0])
        random = np.random.default_rng(seed_for(problem.seed, self.name, query.run, measure))
        which = random.integers(len(good), size=DRAWS)
        order = random.permutation(DRAWS)
        # A column is one draw of the loss at all steps: members order their draws as they like, so these are sorted.
        return np.stack([np.sort(one, axis=1) for one in good])[which, :, order].T, "ok"

    def _asked(self, problem: Problem, target: pd.DataFrame, name: str) -> Latent:
        from predictdyn.forecasters import forecaster

        model: Model = forecaster(name)
        seeds = seed_for(problem.seed, name), seed_for(problem.fit_seed, name)
        return latent_of(model, Problem(problem.history, problem.observed, target, *seeds))


class Mapped(NamedTuple):
    """The map of an outcome from a measure, learnt from so many runs, and maps from it of other outcomes."""

    outcome: OutcomeFacts
    measure: str
    ability: Ability
    nodes: MapNodes
    runs: int
    pooled: list[MapNodes]

    def on_scales(self, value: np.ndarray) -> np.ndarray:
        """Values of the measure (...) as ability on each scale, (d, ...)."""
        table = pd.DataFrame({self.measure: np.ravel(value)})
        return self.ability.on_scales(self.ability.components(table)[0]).reshape(-1, *np.shape(value))


def _mapped(problem: Problem, metric: str) -> Mapped | None:
    """The map of an outcome from the measure that fits it best; None where none is logged beside it."""
    tried = [
        found for measure in _measures(problem) if (found := _kept(problem, metric, measure))
    ]  # fmt: skip
    if not tried:
        return None
    best = max(tried, key=lambda one: one.nodes.best)
    pooled = [
        one.nodes for name in _outcomes(problem)[:MOST_POOLED] if (one := _kept(problem, name, best.measure))
    ]  # fmt: skip
    return best._replace(pooled=pooled or [best.nodes])


def _kept(problem: Problem, metric: str, measure: str) -> Mapped | None:
    """As `_one`, computed once for a history."""
    return problem.history.once(("ability nodes", metric, measure), partial(_one, problem, metric, measure))


def _one(problem: Problem, metric: str, measure: str) -> Mapped | None:
    """The map of an outcome from one measure, from checkpoints of finished runs; None where these are too few."""
    panel, other = problem.panel(metric), problem.panel(measure)
    both = [run for run in panel.context if run in other.context]
    tables = [
        (run, _paired(panel, other, panel.context[run], other.context[run], BEGUN)) for run in _spread(both)
    ]  # fmt: skip
    tables = [(run, rows) for run, rows in tables if len(rows)]
    if len(tables) < FEWEST_RUNS:
        return None
    known = problem.metrics[metric]
    outcome = OutcomeFacts(metric, known.lower, known.upper, known.better or "higher", known.chance,
                      questions(problem.history.curves, [metric]).get(metric))  # fmt: skip
    values = np.concatenate([rows for _, rows in tables])
    run = np.repeat(np.arange(len(tables)), [len(rows) for _, rows in tables])
    y = outcome.unit(values[:, 2])
    try:
        ability = ability_from(pd.DataFrame({measure: values[:, 1]}), [measure], y[:, None])
    except ValueError:
        return None
    way = ability.on_scales(ability.components(pd.DataFrame({measure: values[:, 1]}))[0])
    kept = np.concatenate([spread_out(way[0], np.flatnonzero(run == one)) for one in range(len(tables))])
    many = len(kept) > 1.5 * len(tables)
    rows = MapRows(way[:, kept], np.zeros((len(kept), 0)), run[kept] if many else np.full(len(kept), -1), y[kept])
    nodes = nodes_of(rows, outcome.response(y[kept]))
    return Mapped(outcome, measure, ability, nodes, len(tables) if many else 0, [])


def _paired(panel: Panel, other: Panel, curve: LatentCurve, measure: LatentCurve, begin: float) -> np.ndarray:
    """Progress, measure and outcome at the checkpoints of a run that have both, (t, 3), in their units."""
    if not len(curve.progress) or not len(measure.progress):
        return np.zeros((0, 3))
    good = (curve.progress >= max(begin, measure.progress[0])) & measure.reaches(curve.progress)
    good &= curve.progress > 0
    at = curve.progress[good]
    value = other.scale.value(measure.at(at)) if len(at) else at
    return np.stack([at, value, panel.scale.value(curve.latent[good])], axis=1)


def _measures(problem: Problem) -> list[str]:
    """Losses that finished runs log, and what is like one (a perplexity); losses that most of them log first."""
    history = problem.history
    count = {
        name: len(history.by_metric.get(name, {})) for name, metric in history.curves.metrics.items()
        if metric.kind in (*KINDS, "loss") and metric.upper is None and metric.better == "lower"
    }  # fmt: skip
    kind = {name: history.curves.metrics[name].kind for name in count}
    named = sorted(count, key=lambda name: (kind[name] != "loss", -count[name], name))
    return [name for name in named if count[name] >= FEWEST_RUNS][:MOST_MEASURES]


def _outcomes(problem: Problem) -> list[str]:
    """Accuracies of the history, by name; those of other kinds last."""
    metrics = problem.history.curves.metrics
    named = [name for name in metrics if _bounded(metrics[name]) and name in problem.history.by_metric]
    return sorted(named, key=lambda name: (metrics[name].kind != "capability", name))


def _bounded(metric: Metric) -> bool:
    bounds = metric.lower is not None and metric.upper is not None
    return bounds and metric.kind in KINDS and metric.better in ("lower", "higher")


def _spread(runs: list[str]) -> list[str]:
    """At most `MOST_RUNS`, spread evenly over their names."""
    runs = sorted(runs)
    return [runs[i] for i in np.unique(np.linspace(0, len(runs) - 1, min(len(runs), MOST_RUNS)).round().astype(int))]


CAPABILITY_FROM_LOSS = CapabilityFromLoss()

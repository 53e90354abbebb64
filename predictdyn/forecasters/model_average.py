"""Forecasts of one curve at a time that average over curve forms and over the nodes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from predictdyn.fitting.structural import SampledNodes
from predictdyn.forecast import DRAWS, Latent, seed_for
from predictdyn.forecasters._node_model import NodeModel
from predictdyn.forecasters._node_prior import Name, NodeShares, learned_prior
from predictdyn.forecasters._series import FEWEST, Standardised, standardised, usable
from predictdyn.forecasters._spread import moments_of, smallest_spread, spread_of
from predictdyn.problem import LatentCurve, Panel, Problem, Query

NODES = 256  # drawn of each form
MOST_METRICS = 12  # of a kind that learn a prior each: of more, such as the tasks of a suite, all share one


@dataclass(frozen=True)
class ModelAverage:
    r"""A mixture over forms, each over its nodes, with weights from what was seen and a prior learnt from other curves.

    The change d that a form forecasts, from its own level at the last step, is multiplied by
    :math:`d^2 / (d^2 + \mathrm{shrink}\, V)`, V the variance of d that is due to not knowing the curve: change that the
    data cannot tell from none is not forecast. Forms have shares in proportion to their evidence to the power of
    ``temper``: with all of it one form would take everything, and be surer than it may. The prior over forms and
    nodes is that of `learned_prior`, in which the given one counts like ``worth`` curves.
    """

    name: str
    model: NodeModel = field(repr=False)  # the name says which
    forms: tuple[str, ...]
    shrink: float = 1.0
    temper: float = 0.2
    worth: float = 20.0

    def latent(self, problem: Problem) -> Latent:
        """Draws of the mixture; rows of curves with fewer than three points have a status, and no draws."""
        # What overflows is told by the status.
        with np.errstate(all="ignore"):
            return self._answer(problem)

    def _answer(self, problem: Problem) -> Latent:
        draws = np.zeros((len(problem.target), DRAWS))
        status = np.full(len(problem.target), "ok", dtype=object)
        asked: list[_CurveAsked] = []
        for panel in problem.panels:
            for query in panel.queries:
                curve = panel.observed[query.run]
                if usable(curve):
                    asked.append(self._asked(problem, panel, query, curve))
                else:
                    status[query.rows] = f"fewer than {FEWEST} points: last value"
        uniforms = (np.arange(NODES) + 0.5) / NODES
        series, knots, priors = (
            [one.made.series for one in asked],
            [one.knots for one in asked],
            [one.prior for one in asked],
        )
        quantiles: dict[float, np.ndarray] = {}
        for i, of_forms in self.model.sample_nodes(self.forms, series, knots, uniforms, priors):
            rows, latent = asked[i].query.rows, self._drawn(problem.seed, asked[i], of_forms, quantiles)
            finite = np.asarray(np.isfinite(latent).all(axis=1))
            draws[rows] = np.where(finite[:, None], latent, 0.0)
            status[rows[~finite]] = "no finite answer: last value"
        return Latent(draws, status)

    def _drawn(
        self, seed: int, one: _CurveAsked, of_forms: Sequence[SampledNodes], quantiles: dict[float, np.ndarray]
    ) -> np.ndarray:
        """Latent draws (m, s) of one run and metric; ``quantiles`` (s,) of Student's t by degrees of freedom."""
        for df in {part.df for part in of_forms} - set(quantiles):
            quantiles[df] = stdtrit(df, (np.arange(DRAWS) + 0.5) / DRAWS)
        rng = np.random.default_rng(seed_for(seed, one.query.run, one.metric))
        z = _mixture(of_forms, self._shares(of_forms), self.shrink, quantiles, rng)
        rng = np.random.default_rng(seed_for(seed, one.query.run, one.metric, "floor"))
        return np.asarray(one.made.zero + one.made.series.unit * z + one.floor * rng.standard_normal(DRAWS))

    def _asked(self, problem: Problem, panel: Panel, query: Query, curve: LatentCurve) -> _CurveAsked:
        """One run and metric with all that its draws depend on."""
        history = problem.history
        # Runs at about the same progress have the same prior.
        origin = float(np.exp(np.round(4 * np.log(curve.progress[-1])) / 4))
        together = self._together(problem, panel.metric)
        # Of these metrics alone: the scales of all others need not be worked out.
        scales = tuple((scale.floor, scale.unit) for scale in (problem.panel(name).scale for name in together))
        key = self, together, scales, origin
        prior = history.once(("node prior", *key), lambda: self._prior(problem, key, together, origin))
        floor = smallest_spread(spread_of(history, panel).joined(moments_of(curve.latent)), bounded=panel.scale.bounded)
        # The first knot is the last step seen.
        knots = np.log(np.maximum(query.progress / curve.progress[-1], 1.0))
        return _CurveAsked(panel.metric, query, standardised(curve), np.append(0.0, knots), prior, floor)

    def _together(self, problem: Problem, metric: str) -> tuple[str, ...]:
        """The metrics whose curves a metric learns from: its own, or all of its kind where these are many."""
        kind = problem.metrics[metric].kind
        names = problem.once(
            ("metrics of kind", kind), lambda: tuple(name for name, one in problem.metrics.items() if one.kind == kind)
        )
        return names if len(names) > MOST_METRICS else (metric,)

    def _prior(
        self, problem: Problem, key: tuple[object, ...], together: tuple[str, ...], origin: float
    ) -> np.ndarray | None:
        """What the context teaches; in a replay, from those curves that all parts of the whole learn from."""
        panels = [problem.panel(name) for name in together]
        kept = {(panel.metric, run): curve for panel in panels for run, curve in panel.context.items()}
        if problem.whole is None:
            return learned_prior(self.model, self.forms, kept, origin, self.worth)
        whole = {
            (panel.metric, run): curve
            for panel in panels
            for run, curve in problem.whole.latent(panel.metric, panel.scale).items()
        }
        nothing: dict[Name, NodeShares] = {}
        shares = problem.whole.once(("node shares", *key), lambda: nothing)
        return learned_prior(self.model, self.forms, whole, origin, self.worth, shares, kept)

    def _shares(self, parts: Sequence[SampledNodes]) -> np.ndarray:
        """The share of each form; forms without a finite weight have none, unless all are so."""
        weight = np.array([part.log_mass + self.temper * part.log_evidence for part in parts])
        weight = np.where(np.isnan(weight), -np.inf, weight)
        top = weight.max()
        mass = np.exp(weight - top) if np.isfinite(top) else np.ones(len(weight))
        return np.asarray(mass / mass.sum())


class _CurveAsked(NamedTuple):
    """What is asked of one run and metric: its curve, knots (1 + m,), log prior of nodes, smallest latent spread."""

    metric: str
    query: Query
    made: Standardised
    knots: np.ndarray
    prior: np.ndarray | None
    floor: float


def _mixture(
    parts: Sequence[SampledNodes],
    share: np.ndarray,
    shrink: float,
    quantiles: dict[float, np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws (p - 1, s) of forms with their shares, each change shrunk; draw i is one path over all knots."""
    # One noise for every knot: draws are then paths, and no knot moves another.
    rank, order = rng.permutation(DRAWS), rng.permutation(DRAWS)
    count = np.diff(np.floor(np.cumsum(np.r_[0.0, share]) * DRAWS + 0.5).astype(int))
    ranks = np.split(rank, np.cumsum(count)[:-1])
    even = np.concatenate([quantiles[part.df][of] for part, of in zip(parts, ranks, strict=True)])
    location, whole = [], []
    for part, n in zip(parts, count, strict=True):
        if not n:
            continue
        change = part.location[1:] - part.location[:1]
        middle = change.mean(axis=1, keepdims=True)
        doubt = change.var(axis=1, keepdims=True) + part.known[1:].mean(axis=1, keepdims=True)
        kept = middle**2 / (middle**2 + shrink * doubt + 1e-300)
        node = np.linspace(0, NODES - 1, n).round().astype(int)
        location.append((part.location[1:] + (kept - 1) * middle)[:, node])
        whole.append(part.whole[1:][:, node])
    return (np.concatenate(location, axis=1) + np.sqrt(np.concatenate(whole, axis=1)) * even)[:, order]

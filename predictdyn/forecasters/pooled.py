"""Pooled: all runs of a metric at once, partly pooled over families and runs; scales by NUTS, the rest exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.covariates import Encoder, encoder_for
from predictdyn.fitting.chains import Mixing
from predictdyn.forecast import DRAWS, Latent, seed_for
from predictdyn.forecasters._fitted import no_answer
from predictdyn.problem import History, LatentCurve, Panel, Problem, Query, log_progress

if TYPE_CHECKING:
    from predictdyn.fitting.pooled import MetricBlock

ENOUGH = 4  # points that make a curve worth learning from
SPIKE = 6.0  # robust sds between a point and the median of itself and its neighbours that make it a spike


class Unit(NamedTuple):
    """Where a metric lies and how far it moves, on the latent scale; and its logged error in spreads."""

    centre: float
    spread: float
    typical: float


class SampledScales(NamedTuple):
    """What NUTS found for one metric: the scales z (n, h) in units of the metric, and how its chains mixed."""

    z: np.ndarray
    unit: Unit
    mixing: Mixing

    def arrays(self, metric: str) -> dict[str, np.ndarray]:
        """As arrays by name; ``metric`` and ``mixing`` are what `chains_of` reads."""
        return {
            "z": self.z,
            "unit": np.array(self.unit),
            "mixing": np.array(self.mixing),
            "metric": np.array(metric),
        }

    @staticmethod
    def of(arrays: dict[str, np.ndarray]) -> SampledScales:
        """Back from `arrays`."""
        return SampledScales(arrays["z"], Unit(*map(float, arrays["unit"])), Mixing(*map(float, arrays["mixing"])))


class Plans(NamedTuple):
    """How plans of runs become numbers (q,): an encoder, and its leading directions (p, q) among finished runs."""

    encoder: Encoder
    rotation: np.ndarray
    width: int

    def of(self, runs: pd.DataFrame) -> dict[str, np.ndarray]:
        """Intercept, plan, and zeros up to the fixed width that lets one compiled sampler serve all data."""
        found = {}
        for run, row in zip(runs.index, self.encoder.encode(runs), strict=True):
            plan = np.zeros(self.width)
            plan[0], plan[1 : 1 + self.rotation.shape[1]] = 1.0, row @ self.rotation
            found[str(run)] = plan
        return found


@dataclass(frozen=True)
class Pooled:
    """Curves of one metric share a mean curve; plan, family and run move it; see `predictdyn.fitting.pooled`.

    ``functions`` of `log_progress` span a curve; the plan enters by its leading ``components``. The scales are learnt
    from ``learning_runs`` runs, spread over families, at ``learning_points`` points of each; then all points of the
    run's own family, and of up to ``conditioning_runs`` others spread over families, are conditioned on, for
    each of ``scale_draws`` posterior draws. Forecasts have Student tails of ``tails`` degrees of freedom: real runs
    break away more often than normal ones. Metrics of kind signal are learnt beforehand only with ``signals``, else
    when asked for. ``sampler`` "importance" trades the diagnostics of NUTS for speed.
    """

    functions: int = 8
    components: int = 4
    learning_runs: int = 12
    learning_points: int = 14
    conditioning_runs: int = 300
    scale_draws: int = 50
    tails: float = 30.0
    signals: bool = False
    sampler: Literal["nuts", "importance"] = "nuts"
    name: str = "pooled"

    def prepare(self, history: History, fit_seed: int, workers: int = 1) -> None:
        """Sample the scales of every outcome that at least two runs log at least four times; in this process alone."""
        curves = history.curves
        skip = ("schedule",) if self.signals else ("schedule", "signal")
        problem = Problem(history, curves.select(runs=[]), pd.DataFrame(columns=["run", "metric", "step"]), 0, fit_seed)
        for name in history.by_metric:
            if curves.metrics[name].kind not in skip:
                self._scales(problem, problem.panel(name))

    def latent(self, problem: Problem) -> Latent:
        """Condition on the whole history and on what was seen of each target's run."""
        answer = no_answer(problem, "nothing to learn from")
        plans = self._plans(problem.history)
        asked = plans.of(problem.observed.runs)
        for panel in problem.panels:
            if problem.metrics[panel.metric].kind == "schedule":
                continue
            cache: dict[tuple[bytes, bytes], tuple[np.ndarray, np.ndarray]] = {}
            rng = np.random.default_rng(seed_for(problem.seed, self.name, panel.metric))
            common = {one.run for one in _spread_over(list(panel.context.values()), self.conditioning_runs, rng)}
            for query in panel.queries:
                own = np.random.default_rng(seed_for(problem.seed, self.name, panel.metric, query.run))
                try:
                    found = self._conditioned(problem, panel, query, asked[query.run], common, cache, own)
                except np.linalg.LinAlgError:
                    found = "not converged"
                if isinstance(found, str):
                    answer.status[query.rows] = found
                else:
                    answer.draws[query.rows], answer.status[query.rows] = found, "ok"
        return answer

    def _plans(self, history: History) -> Plans:
        def make() -> Plans:
            encoder = encoder_for(history.curves.runs)
            codes = encoder.encode(history.curves.runs)
            some = codes.size > 0
            rotation = np.linalg.svd(codes, full_matrices=False)[2][: self.components].T if some else np.zeros((0, 0))
            # Divided by the root of p: all columns together have the variance that `covariate` says.
            return Plans(encoder, rotation / max(codes.shape[1], 1) ** 0.5, 1 + self.components)

        return history.once(("plans of pooled", self.components), make)

    def _block(
        self, curves: list[LatentCurve], plans: list[np.ndarray], unit: Unit, runs: int, points: int, families: int
    ) -> MetricBlock:
        """Curves to arrays padded to (runs, points) and so many families, in units of a metric."""
        from predictdyn.fitting.pooled import MetricBlock, basis

        when, latent, stderr, extra, mask = np.zeros((5, runs, points))
        plan, member = np.zeros((runs, 1 + self.components)), np.zeros((runs, families))
        names = sorted({curve.family for curve in curves})
        for i, curve in enumerate(curves):
            t = slice(0, len(curve.progress))
            when[i, t], mask[i, t] = log_progress(curve.progress), 1.0
            latent[i, t] = (curve.latent - unit.centre) / unit.spread
            stderr[i, t] = np.nan_to_num(curve.stderr, nan=0.0, posinf=0.0) / unit.spread
            extra[i, t] = _excess(latent[i, t])
            plan[i], member[i, names.index(curve.family)] = plans[i], 1.0
        functions = basis(when, self.functions)
        return MetricBlock(functions, latent, stderr, extra, mask, plan, member, np.array(unit.typical))

    def _scales(self, problem: Problem, panel: Panel) -> SampledScales | None:
        """The scales of a metric, once per history; None where too few runs log it."""
        curves = list(panel.context.values())
        if sum(len(curve.progress) >= ENOUGH for curve in curves) < 2:
            return None
        plans = problem.history.once("known plans of pooled", lambda: self._plans_of_history(problem.history))
        key = f"{self.name}/chains/{panel.metric}/{panel.scale.floor:.9g}/{problem.fit_seed}"
        seed = seed_for(problem.fit_seed, self.name, panel.metric)
        return SampledScales.of(
            problem.history.learn(key, lambda: self._sampled(curves, seed, plans).arrays(panel.metric))
        )

    def _plans_of_history(self, history: History) -> dict[str, np.ndarray]:
        return self._plans(history).of(history.curves.runs)

    def _sampled(self, curves: list[LatentCurve], seed: int, plans: dict[str, np.ndarray]) -> SampledScales:
        """Sample the scales of a metric from some of its curves; once more, longer, where the chains did not meet."""
        from predictdyn.fitting.pooled import importance, sample

        rng = np.random.default_rng(seed)
        chosen = [_thinned(one, self.learning_points) for one in _spread_over(curves, self.learning_runs, rng)]
        unit = _unit(chosen)
        rows, most = [plans[curve.run] for curve in chosen], self.learning_runs
        block = self._block(chosen, rows, unit, most, self.learning_points, families=most)
        if self.sampler == "nuts":
            found = sample(block, seed=seed)
        else:
            found = importance(block, seed=seed, draws=self.scale_draws)
        z = found.draws.reshape(-1, found.draws.shape[-1])
        z = z[np.linspace(0, len(z) - 1, self.scale_draws).astype(int)]
        return SampledScales(z, unit, found.mixing)

    def _conditioned(
        self, problem: Problem, panel: Panel, query: Query, plan: np.ndarray, common: set[str],
        cache: dict[tuple[bytes, bytes], tuple[np.ndarray, np.ndarray]], rng: np.random.Generator,
    ) -> np.ndarray | str:  # fmt: skip
        """Latent draws (m, s) of one run, or why there are none; of other families only ``common`` runs teach."""
        from predictdyn.fitting.pooled import basis, predict, shared_posterior

        own_curve = _joined(panel.observed[query.run], panel.context.get(query.run))
        others = [curve for curve in panel.context.values() if len(curve.progress)]
        if len(others) > self.conditioning_runs:
            others = [curve for curve in others if curve.run in common or curve.family == own_curve.family]
        known = problem.history.once("known plans of pooled", lambda: self._plans_of_history(problem.history))
        learnt = self._scales(problem, panel)
        if learnt is None:
            long = [curve for curve in others if curve.run != query.run and len(curve.progress) >= ENOUGH]
            long += [own_curve] if len(own_curve.progress) >= ENOUGH else []
            if not long:
                return "too few points" if len(own_curve.progress) or others else "nothing to learn from"
            seed = seed_for(problem.seed, self.name, panel.metric, query.run)
            learnt = self._sampled(long, seed, {**known, query.run: plan})
        if not learnt.mixing.converged:
            return "not converged"
        unit = learnt.unit
        own = np.array([float(curve.family == own_curve.family) for curve in others])
        keep = np.array([float(curve.run != query.run) for curve in others])
        key = ((own * keep).tobytes(), keep.tobytes())
        if key not in cache:
            points = max((len(curve.progress) for curve in others), default=0)
            families = len({curve.family for curve in others})
            block = self._block(others, [known[one.run] for one in others], unit, len(others), points, families)
            cache[key] = shared_posterior(learnt.z, block, own, keep)
        run = self._block([own_curve], [plan], unit, 1, len(own_curve.progress), families=1)
        at = basis(log_progress(query.progress), self.functions)
        stderr = np.full(len(at), _last_stderr(own_curve, others) / unit.spread)
        each = -(-DRAWS // len(learnt.z))
        draws = predict(rng, learnt.z, cache[key], run, at, stderr, each, self.tails)[:, :DRAWS]
        draws = unit.centre + unit.spread * draws
        return draws if np.isfinite(draws).all() else "not converged"


def _excess(latent: np.ndarray) -> np.ndarray:
    """Extra variance (t,) of single-checkpoint spikes: the square of their distance from the median of three."""
    if len(latent) < ENOUGH:
        return np.zeros(len(latent))
    middle = np.median(np.stack([latent[:-2], latent[1:-1], latent[2:]]), axis=0)
    off = np.abs(latent[1:-1] - middle)
    # Steps at which nothing moved (before training took hold) do not make every later wiggle a spike.
    moves = np.abs(np.diff(latent))
    typical = np.quantile(moves[moves > 0], 0.75) if (moves > 0).any() else 1.0
    return np.concatenate([[0.0], np.where(off > SPIKE * typical, off, 0.0) ** 2, [0.0]])


def _unit(curves: list[LatentCurve]) -> Unit:
    """Of some curves: the median; the 5 to 95 % range over 3.3, or something tiny; the rms of the logged errors."""
    latent = np.concatenate([curve.latent for curve in curves])
    centre = float(np.median(latent))
    low, high = np.quantile(latent, [0.05, 0.95])
    spread = max(float(high - low) / 3.3, float(np.std(latent)) / 5, 1e-6 * abs(centre))
    spread = spread if spread > 1e-300 else 1e-9
    stderr = np.concatenate([curve.stderr for curve in curves])
    logged = stderr[np.isfinite(stderr)]
    return Unit(centre, spread, float(np.sqrt(np.mean(logged**2))) / spread if len(logged) else 0.0)


def _thinned(curve: LatentCurve, points: int) -> LatentCurve:
    """At most so many points of a curve, as even in log_progress as they come, the first and last among them."""
    if len(curve.progress) <= points:
        return curve
    when = log_progress(curve.progress)
    free = list(range(len(when)))
    for _ in range(len(when) - points):
        gap = when[free[2:]] - when[free[:-2]]
        del free[1 + int(np.argmin(gap))]
    return curve._replace(progress=curve.progress[free], latent=curve.latent[free], stderr=curve.stderr[free])


def _spread_over(curves: list[LatentCurve], most: int, rng: np.random.Generator) -> list[LatentCurve]:
    """At most so many curves, those with enough points, one of each family in turn."""
    usable = [curve for curve in curves if len(curve.progress) >= ENOUGH]
    turns: dict[str, int] = {}
    order: list[tuple[int, int, int]] = []
    for i in rng.permutation(len(usable)):
        turn = turns[usable[i].family] = turns.get(usable[i].family, -1) + 1
        order.append((turn, len(order), int(i)))
    return [usable[i] for i in sorted(i for _, _, i in sorted(order)[:most])]


def _joined(seen: LatentCurve, past: LatentCurve | None) -> LatentCurve:
    """What was seen of a run and what a history holds of it, each point once."""
    if past is None or not len(past.progress):
        return seen
    new = ~np.isin(past.progress, seen.progress)
    progress = np.concatenate([seen.progress, past.progress[new]])
    order = np.argsort(progress, kind="stable")
    latent = np.concatenate([seen.latent, past.latent[new]])[order]
    stderr = np.concatenate([seen.stderr, past.stderr[new]])[order]
    return seen._replace(progress=progress[order], latent=latent, stderr=stderr)


def _last_stderr(own: LatentCurve, others: list[LatentCurve]) -> float:
    """The logged error of the last seen point, else the median of the last points of other runs, else 0."""
    if len(own.progress):
        return float(np.nan_to_num(own.stderr[-1]))
    last = np.array([curve.stderr[-1] for curve in others])
    return float(np.median(last[np.isfinite(last)])) if np.isfinite(last).any() else 0.0


POOLED = Pooled()

"""Pooled: all runs of a metric at once, partly pooled over families and runs; scales by NUTS, the rest exactly."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.covariates import Encoder, encoder_for
from predictdyn.curves import Curves
from predictdyn.forecast import DRAWS, Forecast, seed_for
from predictdyn.forecasters._errors import barely_seen, unknown_spread
from predictdyn.forecasters._history import read_history, write_history
from predictdyn.lines import Asked, Line, Task, answer, clock, tasks

if TYPE_CHECKING:
    from predictdyn.fitting.pooled import Block

Cache = dict[tuple[bytes, bytes], tuple[np.ndarray, np.ndarray]]  # own family and runs kept -> what they teach

ENOUGH = 4  # points that make a curve worth learning from
SPIKE = 6.0  # robust sds between a point and the median of itself and its neighbours that make it a spike


class Unit(NamedTuple):
    """Where a metric lies and how far it moves, on the latent scale; and its logged error in spreads."""

    centre: float
    spread: float
    typical: float


class Learnt(NamedTuple):
    """What NUTS found for one metric: the scales z (n, h) in units of the metric, and how well it mixed."""

    z: np.ndarray
    unit: Unit
    rhat: float
    divergent: float
    size: float
    converged: bool


@dataclass(frozen=True)
class Pooled:
    """Curves of one metric share a mean curve; plan, family and run move it; see `predictdyn.fitting.pooled`.

    ``functions`` of the clock span a curve; the plan enters by its leading ``components``. The scales are learnt from
    ``learning_runs`` runs, spread over families, at ``learning_points`` points spread over the clock; then all points
    of the run's own family, and of up to ``conditioning_runs`` others spread over families, are conditioned on, for
    each of ``scale_draws`` posterior draws. Forecasts have Student tails of
    ``tails`` degrees of freedom: real runs break away more often than normal ones. Metrics of kind signal are learnt
    beforehand only with ``signals``, else when asked for. ``sampler`` "importance" trades the diagnostics of NUTS for
    speed.
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

    def fit(self, history: Curves, *, seed: int) -> PooledFitted:
        """Sample the scales of every outcome that at least two runs log at least four times."""
        encoder = encoder_for(history.runs)
        codes = encoder.encode(history.runs)
        rotation = np.linalg.svd(codes, full_matrices=False)[2][: self.components].T if codes.size else np.zeros((0, 0))
        # Divided by the root of p: all columns together have the variance that `covariate` says.
        rotation = rotation / max(codes.shape[1], 1) ** 0.5
        plan = np.stack([row @ rotation for row in codes]) if len(codes) else np.zeros((0, 0))
        past = Curves(history.points[["run", "metric", "step", "value", "stderr"]], history.runs, history.metrics)
        empty = PooledFitted(self, encoder, rotation, past, plan, {})
        skip = ("schedule",) if self.signals else ("schedule", "signal")
        names = [name for name in pd.unique(past.points["metric"]) if history.metrics[name].kind not in skip]
        first = past.points.drop_duplicates("metric").set_index("metric").loc[names].reset_index()
        learnt = {}
        for task in tasks(past, past, first[["run", "metric", "step"]]):
            if sum(len(line.share) >= ENOUGH for line in task.past.values()) >= 2:
                learnt[task.metric] = empty.learn(list(task.past.values()), seed_for(seed, self.name, task.metric))
        return replace(empty, learnt=learnt)

    def load(self, folder: Path) -> PooledFitted:
        """Read back what `PooledFitted.save` wrote."""
        about = json.loads((folder / "pooled.json").read_text(encoding="utf-8"))
        with np.load(folder / "pooled.npz", allow_pickle=False) as arrays:
            learnt = {
                name: Learnt(arrays[f"z{i}"], Unit(*unit), *rest)
                for i, (name, (unit, *rest)) in enumerate(about["learnt"].items())
            }
            rotation, plan = arrays["rotation"], arrays["plan"]
        encoder = Encoder.from_json(about["encoder"])
        return PooledFitted(Pooled(**about["settings"]), encoder, rotation, read_history(folder), plan, learnt)


@dataclass(frozen=True)
class PooledFitted:
    """The history's points, the plan of its runs (r, q), and the learnt scales of each metric."""

    settings: Pooled
    encoder: Encoder
    rotation: np.ndarray  # (p, q)
    history: Curves
    plan: np.ndarray
    learnt: dict[str, Learnt]

    @cached_property
    def _plans(self) -> dict[str, np.ndarray]:
        return {run: self._padded(row) for run, row in zip(self.history.runs.index, self.plan, strict=True)}

    def _padded(self, row: np.ndarray) -> np.ndarray:
        """Intercept, covariates, and zeros up to the fixed width that lets one compiled sampler serve all data."""
        plan = np.zeros(1 + self.settings.components)
        plan[0], plan[1 : 1 + len(row)] = 1.0, row
        return plan

    def block(
        self, lines: list[Line], plans: list[np.ndarray], unit: Unit, runs: int, points: int, families: int
    ) -> Block:
        """Lines to arrays padded to (runs, points) and so many families, in units of a metric."""
        from predictdyn.fitting.pooled import Block, basis

        when, latent, stderr, extra, mask = np.zeros((5, runs, points))
        plan, member = np.zeros((runs, 1 + self.settings.components)), np.zeros((runs, families))
        names = sorted({line.family for line in lines})
        for i, line in enumerate(lines):
            t = slice(0, len(line.share))
            when[i, t], mask[i, t] = clock(line.share), 1.0
            latent[i, t] = (line.latent - unit.centre) / unit.spread
            stderr[i, t] = np.nan_to_num(line.stderr, nan=0.0, posinf=0.0) / unit.spread
            extra[i, t] = _excess(latent[i, t])
            plan[i], member[i, names.index(line.family)] = plans[i], 1.0
        functions = basis(when, self.settings.functions)
        return Block(functions, latent, stderr, extra, mask, plan, member, np.array(unit.typical))

    def learn(self, lines: list[Line], seed: int, plans: dict[str, np.ndarray] | None = None) -> Learnt:
        """Sample the scales of a metric from some of its lines; once more, longer, where the chains did not meet."""
        from predictdyn.fitting.pooled import importance, sample

        settings = self.settings
        rng = np.random.default_rng(seed)
        chosen = [_thinned(line, settings.learning_points) for line in _spread_over(lines, settings.learning_runs, rng)]
        unit = _unit(chosen)
        known = {**self._plans, **(plans or {})}
        rows = [known[line.run] for line in chosen]
        most = settings.learning_runs
        block = self.block(chosen, rows, unit, most, settings.learning_points, families=most)
        if settings.sampler == "nuts":
            found = sample(block, seed=seed)
        else:
            found = importance(block, seed=seed, draws=settings.scale_draws)
        z = found.draws.reshape(-1, found.draws.shape[-1])
        z = z[np.linspace(0, len(z) - 1, settings.scale_draws).astype(int)]
        return Learnt(z, unit, float(found.rhat.max()), found.divergent, float(found.size.min()), found.converged)

    def forecast(self, seen: Curves, target: pd.DataFrame, *, seed: int) -> Forecast:
        """Condition on the whole history and on what was seen of each target's run."""
        latent = np.empty((len(target), DRAWS))
        status = np.full(len(target), "ok", dtype=object)
        scales = {}
        codes = self.encoder.encode(seen.runs)
        plans = {run: self._padded(row @ self.rotation) for run, row in zip(seen.runs.index, codes, strict=True)}
        for task in tasks(self.history, seen, target):
            scales[task.metric] = task.scale
            kind = {**self.history.metrics, **seen.metrics}[task.metric].kind
            cache: Cache = {}
            lot = np.random.default_rng(seed_for(seed, self.settings.name, task.metric))
            common = {line.run for line in _spread_over(list(task.past.values()), self.settings.conditioning_runs, lot)}
            for asked in task.asked:
                rng = np.random.default_rng(seed_for(seed, self.settings.name, task.metric, asked.run))
                plan = plans[asked.run]
                found: np.ndarray | str = "nothing to learn from"
                if kind != "schedule":
                    try:
                        found = self._conditioned(task, asked, plan, common, cache, rng, seed)
                    except np.linalg.LinAlgError:
                        found = "not converged"
                if isinstance(found, str):
                    status[asked.rows], found = found, _fallback(task, asked, rng)
                latent[asked.rows] = found
        return answer(target, latent, scales, status)

    def _conditioned(
        self,
        task: Task,
        asked: Asked,
        plan: np.ndarray,
        common: set[str],
        cache: Cache,
        rng: np.random.Generator,
        seed: int,
    ) -> np.ndarray | str:
        """Latent draws (m, s) of one run, or why there are none; of other families only ``common`` runs teach."""
        from predictdyn.fitting.pooled import basis, predict, shared_posterior

        own_line = _joined(task.seen[asked.run], task.past.get(asked.run))
        others = [line for line in task.past.values() if len(line.share)]
        if len(others) > self.settings.conditioning_runs:
            others = [line for line in others if line.run in common or line.family == own_line.family]
        learnt = self.learnt.get(task.metric)
        if learnt is None:
            long = [line for line in others if line.run != asked.run and len(line.share) >= ENOUGH]
            long += [own_line] if len(own_line.share) >= ENOUGH else []
            if not long:
                return "too few points" if len(own_line.share) or others else "nothing to learn from"
            learnt = self.learn(long, seed_for(seed, self.settings.name, task.metric, asked.run), {asked.run: plan})
        if not learnt.converged:
            return "not converged"
        unit = learnt.unit
        own = np.array([float(line.family == own_line.family) for line in others])
        keep = np.array([float(line.run != asked.run) for line in others])
        key = ((own * keep).tobytes(), keep.tobytes())
        if key not in cache:
            points = max((len(line.share) for line in others), default=0)
            plans = [self._plans[line.run] for line in others]
            families = len({line.family for line in others})
            block = self.block(others, plans, unit, len(others), points, families)
            cache[key] = shared_posterior(learnt.z, block, own, keep)
        run = self.block([own_line], [plan], unit, 1, len(own_line.share), families=1)
        at = basis(clock(asked.share), self.settings.functions)
        stderr = np.full(len(at), _last_stderr(own_line, others) / unit.spread)
        each = -(-DRAWS // len(learnt.z))
        draws = predict(rng, learnt.z, cache[key], run, at, stderr, each, self.settings.tails)[:, :DRAWS]
        draws = unit.centre + unit.spread * draws
        return draws if np.isfinite(draws).all() else "not converged"

    def save(self, folder: Path) -> None:
        """Write pooled.json (settings, encoder, names), pooled.npz (what was learnt) and the history."""
        about = {
            "settings": asdict(self.settings),
            "encoder": self.encoder.to_json(),
            "learnt": {name: list(found[1:]) for name, found in self.learnt.items()},
        }
        arrays: dict[str, Any] = {"rotation": self.rotation, "plan": self.plan}
        for i, found in enumerate(self.learnt.values()):
            arrays[f"z{i}"] = found.z
        np.savez_compressed(folder / "pooled.npz", **arrays)
        (folder / "pooled.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
        write_history(self.history, folder)


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


def _unit(lines: list[Line]) -> Unit:
    """Of some lines: the median; the 5 to 95 % range over 3.3, or something tiny; the rms of the logged errors."""
    latent = np.concatenate([line.latent for line in lines])
    centre = float(np.median(latent))
    low, high = np.quantile(latent, [0.05, 0.95])
    spread = max(float(high - low) / 3.3, float(np.std(latent)) / 5, 1e-6 * abs(centre))
    spread = spread if spread > 1e-300 else 1e-9
    stderr = np.concatenate([line.stderr for line in lines])
    logged = stderr[np.isfinite(stderr)]
    return Unit(centre, spread, float(np.sqrt(np.mean(logged**2))) / spread if len(logged) else 0.0)


def _thinned(line: Line, points: int) -> Line:
    """At most so many points of a line, as even in the clock as they come, the first and last among them."""
    if len(line.share) <= points:
        return line
    when = clock(line.share)
    free = list(range(len(when)))
    for _ in range(len(when) - points):
        gap = when[free[2:]] - when[free[:-2]]
        del free[1 + int(np.argmin(gap))]
    return line._replace(share=line.share[free], latent=line.latent[free], stderr=line.stderr[free])


def _spread_over(lines: list[Line], most: int, rng: np.random.Generator) -> list[Line]:
    """At most so many lines, those with enough points, one of each family in turn."""
    usable = [line for line in lines if len(line.share) >= ENOUGH]
    turns: dict[str, int] = {}
    order: list[tuple[int, int, int]] = []
    for i in rng.permutation(len(usable)):
        turn = turns[usable[i].family] = turns.get(usable[i].family, -1) + 1
        order.append((turn, len(order), int(i)))
    return [usable[i] for i in sorted(i for _, _, i in sorted(order)[:most])]


def _joined(seen: Line, past: Line | None) -> Line:
    """What was seen of a run and what a history holds of it, each point once."""
    if past is None or not len(past.share):
        return seen
    new = ~np.isin(past.share, seen.share)
    share = np.concatenate([seen.share, past.share[new]])
    order = np.argsort(share, kind="stable")
    latent = np.concatenate([seen.latent, past.latent[new]])[order]
    stderr = np.concatenate([seen.stderr, past.stderr[new]])[order]
    return seen._replace(share=share[order], latent=latent, stderr=stderr)


def _last_stderr(own: Line, others: list[Line]) -> float:
    """The logged error of the last seen point, else the median of the last points of other runs, else 0."""
    if len(own.share):
        return float(np.nan_to_num(own.stderr[-1]))
    last = np.array([line.stderr[-1] for line in others])
    return float(np.median(last[np.isfinite(last)])) if np.isfinite(last).any() else 0.0


def _fallback(task: Task, asked: Asked, rng: np.random.Generator) -> np.ndarray:
    """Latent draws (m, s): last value, or the history's there, plus Student-t(4) times spread sqrt(0.05 + clock)."""
    own = _joined(task.seen[asked.run], task.past.get(asked.run))
    others = [line for run, line in task.past.items() if run != asked.run and len(line.share)]
    known = [line for line in [own, *others] if len(line.share)]
    spread = _unit(known).spread if sum(len(line.share) for line in known) > 1 else 0.3
    if known and barely_seen(known):
        spread = unknown_spread(np.concatenate([line.latent for line in known]), task.scale)[0]
    if len(own.share):
        centre = np.full(len(asked.share), own.latent[-1])
        far = np.maximum(clock(asked.share) - clock(own.share[-1]), 0.0)
    elif others:
        centre, far = np.median([line.at(asked.share) for line in others], axis=0), np.ones(len(asked.share))
    else:
        centre = np.full(len(asked.share), 0.0 if task.chance is None else task.chance)
        far, spread = np.ones(len(asked.share)), 1.0
    return centre[:, None] + spread * np.sqrt(0.05 + far)[:, None] * rng.standard_t(4, (1, DRAWS))


FORECASTER = Pooled()

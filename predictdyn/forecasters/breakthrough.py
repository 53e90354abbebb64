"""Runs that break through and runs that do not: a mixture of two outcomes, with a hazard for which it will be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtri

from predictdyn.fitting.family_weights import family_weights
from predictdyn.fitting.onset_hazard import sampled
from predictdyn.fitting.two_modes import two_modes
from predictdyn.forecast import DRAWS, Latent, seed_for
from predictdyn.forecasters._fence import fenced
from predictdyn.forecasters._fitted import no_answer
from predictdyn.forecasters._places import alike
from predictdyn.forecasters._spread import smallest_spread, spread_of
from predictdyn.forecasters.onsets import FEWEST_AT_RISK, FEWEST_FAMILIES, hazard_of
from predictdyn.forecasters.regressions import observed_features
from predictdyn.problem import LatentCurve, Panel, Problem, Query, log_progress, progress_at

FEWEST_RUNS = 12  # that have ended: fewer do not show two modes
FEWEST_IN_A_MODE = 3  # families
NO_MODES = "no two modes: finished runs do not part into those that broke through and others"
FEW = f"fewer than {FEWEST_AT_RISK} finished runs of {FEWEST_FAMILIES} families that stood where this one stands"
NOT_CONVERGED = "not converged"
LATE = 0.1  # of log progress: the sd by which onsets of runs that stand for each other differ


class Breakthrough(NamedTuple):
    """What counts as one: a latent value, and the side of it (1: above, -1: below) on which few runs begin."""

    valley: float
    side: int

    def onset(self, curve: LatentCurve) -> float:
        """The progress of the first point beyond the valley, inf where there is none."""
        beyond = self.side * (curve.latent - self.valley) > 0
        return float(curve.progress[beyond.argmax()]) if beyond.any() else np.inf


class DonorRuns:
    """Finished runs (n): curves, progress of their breakthrough (inf: none), value at the origin; values when asked."""

    def __init__(self, curves: Sequence[LatentCurve], what: Breakthrough, origin: float) -> None:
        self.curves = list(curves)
        self.onset = np.array([what.onset(one) for one in curves])
        self.family = np.array([one.family for one in curves], dtype=object)
        self._values: dict[float, np.ndarray] = {}
        self.now = self.at(origin)

    def at(self, progress: float) -> np.ndarray:
        """Values (n,) at a progress; most rows ask for the end, so each is found once."""
        if progress not in self._values:
            self._values[progress] = np.array([float(one.at(np.array(progress))) for one in self.curves])
        return self._values[progress]

    def like(self, some: np.ndarray, now: float) -> np.ndarray:
        """Weights of some runs (n,), families alike, by a kernel half as wide as their spread around a value now."""
        values = self.now[some]
        width = max(float(values.std()) / 2, 1e-9)
        # Whoever is far from all still has some to be like.
        near = np.maximum(np.exp(-0.5 * ((values - now) / width) ** 2), 0.01)
        return np.asarray(family_weights(self.family[some]) * near)


@dataclass(frozen=True)
class BreakthroughMixture:
    """Outcomes as a mixture over runs that break through before the end and runs that do not.

    Where the final values of finished runs lie in two modes (`fitting.two_modes`, families counting alike), the valley
    between them parts the runs. When a run crosses it follows a hazard of plan, curve and early signals
    (`fitting.onset_hazard`), which counts runs that never did as censored. A draw is an onset, and then the value of a
    finished run whose onset was about as late; without an onset, the run goes from where it stands as far towards the
    valley as a finished run went that did not cross it either. A run that has crossed already moves as those did that
    had crossed by then. A metric without two modes, or with too few finished runs, has no answer.
    """

    name: str

    def latent(self, problem: Problem) -> Latent:
        """Draws of the mixture."""
        answer = no_answer(problem, NO_MODES)
        for panel in problem.panels:
            found = breakthrough_of(problem, panel)
            if found is None:
                continue
            last = {run: float(curve.progress[-1]) for run, curve in panel.observed.items() if len(curve.progress)}
            for origin, group in alike(panel.queries, last).items():
                self._group(problem, panel, found, origin, group, answer)
        return answer

    def _group(
        self, problem: Problem, panel: Panel, what: Breakthrough, origin: float, group: Sequence[Query], answer: Latent
    ) -> None:
        """Draws of runs of which about the same progress was seen."""
        known = fenced({run: one for run, one in panel.context.items() if len(one.progress)}, panel.scale)
        ends = [one for one in known.values() if one.reaches(1.0) and one.progress[0] <= origin * (1 + 1e-9)]
        runs = DonorRuns(ends, what, origin)
        broken = [query for query in group if np.isfinite(what.onset(panel.observed[query.run]))]
        rest = [query for query in group if not np.isfinite(what.onset(panel.observed[query.run]))]
        floor = smallest_spread(spread_of(problem.history, panel), bounded=panel.scale.bounded)
        for queries, some in ((broken, runs.onset <= origin), (rest, runs.onset > origin)):
            if some.sum() < FEWEST_AT_RISK or len(set(runs.family[some])) < FEWEST_FAMILIES:
                for query in queries:
                    answer.status[query.rows] = FEW
                continue
            onset = self._onsets(problem, panel, origin, queries, runs, some) if queries is rest else {}
            if onset is None:
                for query in queries:
                    answer.status[query.rows] = NOT_CONVERGED
                continue
            for query in queries:
                rng = np.random.default_rng(seed_for(problem.seed, query.run, panel.metric))
                picks, jitter = rng.random((2, DRAWS)), rng.standard_normal(DRAWS)
                now = float(panel.observed[query.run].latent[-1])
                for row, progress in zip(query.rows.tolist(), query.progress.tolist(), strict=True):
                    if queries is broken:
                        change = (runs.at(progress) - runs.now)[some]
                        draws = now + change[_picked(runs.like(some, now), picks[0])]
                    else:
                        draws = _mixed(runs, what, now, onset[query.run], progress, picks)
                    answer.draws[row] = draws + floor * jitter
                    answer.status[row] = "ok"

    def _onsets(
        self,
        problem: Problem,
        panel: Panel,
        origin: float,
        queries: Sequence[Query],
        known: DonorRuns,
        some: np.ndarray,
    ) -> Mapping[str, np.ndarray] | None:
        """Draws (s,) of the progress of each run's onset, inf where it does not come, from some finished runs (n,).

        None where the chains that draw the hazard have not met.
        """
        if not queries:
            return {}
        runs = [query.run for query in queries]
        past = pd.DataFrame(
            {"onset": known.onset, "last": [one.reaches_to for one in known.curves]},
            index=[one.run for one in known.curves],
        )[some]
        key = ("breakthrough", panel.metric, problem.scales_key, origin, problem.fit_seed)
        model, described = problem.history.once(
            key, lambda: hazard_of(problem, [panel.metric], origin, past, known.family[some])
        )
        if not model.mixing.converged:
            return None
        own = np.array([panel.observed[run].family for run in runs], dtype=object)
        rng = np.random.default_rng(seed_for(problem.seed, "breakthrough", panel.metric, origin))
        uniforms = np.stack([
            np.random.default_rng(seed_for(problem.seed, run, panel.metric, "onset")).random(DRAWS) for run in runs
        ])  # fmt: skip
        x = described(observed_features(problem, origin).loc[runs])
        return dict(zip(runs, progress_at(sampled(model, x, own, uniforms, rng)), strict=True))


def breakthrough_of(problem: Problem, panel: Panel) -> Breakthrough | None:
    """What counts as a breakthrough of a metric, by the finished runs; None where these have no two modes."""
    key = ("two modes", panel.metric, panel.scale.floor, panel.scale.unit)
    return problem.history.once(key, lambda: _breakthrough(panel))


def _breakthrough(panel: Panel) -> Breakthrough | None:
    known = [one for one in panel.context.values() if len(one.progress)]
    ends = [one for one in fenced({one.run: one for one in known}, panel.scale).values() if one.reaches(1.0)]
    if len(ends) < FEWEST_RUNS:
        return None
    final = np.array([one.latent[-1] for one in ends])
    # Between two bounds modes are those of the share itself: a logit tears its ends apart.
    inside = panel.scale.lower is not None and panel.scale.upper is not None
    shown = panel.scale.value(final) if inside else final
    order = np.argsort(shown, kind="stable")
    family = np.array([one.family for one in ends], dtype=object)
    found = two_modes(shown[order][None], family_weights(family)[order])
    if not found.found[0]:
        return None
    valley = found.valley[0]
    upper = shown > valley
    if min(len(set(family[upper])), len(set(family[~upper]))) < FEWEST_IN_A_MODE:
        return None
    begun = np.array([one.latent[0] for one in ends])
    level = float(panel.scale.latent(np.array(valley))) if inside else float(valley)
    return Breakthrough(level, 1 if np.mean(begun > level) < 0.5 else -1)


def _mixed(
    runs: DonorRuns, what: Breakthrough, now: float, onset: np.ndarray, progress: float, uniforms: np.ndarray
) -> np.ndarray:
    """Values (s,) at a progress, of draws (s,) of an onset: after it as runs with one like it, else as runs without."""
    draws = np.full(len(onset), now)
    order = np.argsort(runs.onset, kind="stable")[: int((runs.onset <= progress).sum())]
    after = (onset <= progress) & (len(order) > 0)
    if after.any():
        # The run whose onset is nearest to the drawn one, moved by a kernel: late onsets leave little time to go on.
        late = log_progress(onset[after]) + LATE * ndtri(uniforms[0][after])
        known = log_progress(runs.onset[order])
        place = np.searchsorted((known[1:] + known[:-1]) / 2, late)
        draws[after] = runs.at(progress)[order[place]]
    without = runs.onset > progress
    if not after.all() and without.any():
        room = what.side * (what.valley - runs.now[without])
        moved = what.side * (runs.at(progress) - runs.now)[without]
        # Towards the valley as a part of the way there, away from it as far as they went.
        own = max(what.side * (what.valley - now), 0.0)
        change = np.where(moved > 0, np.clip(moved / np.maximum(room, 1e-9), 0.0, 1.0) * own, moved)
        draws[~after] += what.side * change[_picked(runs.like(without, now), uniforms[1][~after])]
    return draws


def _picked(weight: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Places (s,) by weights (n,) and uniforms (s,)."""
    total = np.cumsum(weight)
    return np.minimum(np.searchsorted(total, uniforms * total[-1], side="right"), len(weight) - 1)


BREAKTHROUGH = BreakthroughMixture("breakthrough")

"""Regime: all that is learnt of one way to announce a run, by its own past alone or by its family's curve too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from predictdyn.curves import Curves
from predictdyn.fitting.forest import Forest
from predictdyn.watch import evidence, hazard
from predictdyn.watch.evidence import BEGIN, Surprise, log_evidence
from predictdyn.watch.innovations import Announced
from predictdyn.watch.innovations import learnt as announced
from predictdyn.watch.sights import Prepared, Sight, sights
from predictdyn.watch.threshold import Threshold, threshold

FOLDS = 5  # of families
MOST_RUNS = 300  # to learn the innovations of a metric from


class Regime(NamedTuple):
    """What is learnt: of each metric how it announces itself, the surprises, the hazard, and the thresholds.

    ``of_kind`` are the thresholds of the evidence and of the hazard by themselves, ``joint`` that of the larger one.
    """

    kind: str  # "off path" or "off family curve"
    announced: dict[str, Announced]
    surprise: Surprise
    hazard: Forest | None
    watched: np.ndarray  # (k,) whether the hazard looks at a metric
    of_kind: tuple[Threshold, ...]
    joint: Threshold


class Heights(NamedTuple):
    """How far a run stands out at its checkpoints after `BEGIN`.

    step, progress (t,); ``evidence`` (t,) is ln E, ``begin`` (t,) the checkpoint at which it began; ``hazard`` (t,) a
    logit, minus infinity where none is learnt.
    """

    step: np.ndarray
    progress: np.ndarray
    evidence: np.ndarray
    begin: np.ndarray
    hazard: np.ndarray

    def joint(self, of_kind: Sequence[Threshold]) -> np.ndarray:
        """The rarest that the run has shown so far (kinds, t): -ln p of the running maximum of each kind."""
        shown = (self.evidence, self.hazard)[: len(of_kind)]
        return np.stack([-np.log(one.p(np.maximum.accumulate(part))) for one, part in zip(of_kind, shown, strict=True)])


def heights(sight: Sight, surprise: Surprise, forest: Forest | None, watched: np.ndarray) -> Heights:
    """The heights of a run."""
    late = sight.progress > BEGIN
    step, progress = sight.step[late], sight.progress[late]
    value, begin = log_evidence(surprise.scores(sight.scores[late]), progress)
    risk = np.full(len(step), -np.inf)
    if forest is not None and len(step):
        risk = hazard.height(forest, _columns(sight, watched)[late])
    return Heights(step, progress, value, begin, risk)


def learn_regime(
    kind: str, ready: Prepared, curves: Curves, healthy: Sequence[str], failure: Mapping[str, float], *, seed: int
) -> Regime:
    """Learn from healthy runs, and where enough others failed, from these when failure comes.

    Every run is judged by what folds of other families teach; the thresholds are of these judgements.
    """
    family = families_of(curves)
    learnt_from = [run for run in healthy if any(run in rows for rows in ready.rows.values())]
    folds = dealt(sorted({family[run] for run in learnt_from}), seed)
    asked = [*learnt_from, *(run for run in failure if run not in set(learnt_from))]
    judged: dict[str, Sight] = {}
    for number in range(min(FOLDS, len(set(folds.values())))):
        models = _announced(ready, [run for run in learnt_from if folds[family[run]] != number], family, seed)
        # A family without a healthy run is in no fold; any fold's models are strangers to it.
        judged |= sights(ready, models, [run for run in asked if folds.get(family[run], 0) == number])
    calm = [run for run in learnt_from if run in judged]
    surprise = _surprise(judged, calm, seed)
    # No run is judged by surprises that it is one of: of many metrics and few runs they would be too small.
    strange = {
        number: _surprise(judged, [run for run in calm if folds[family[run]] != number], seed)
        for number in {folds[family[run]] for run in calm}
    }
    watched = np.array([curves.metrics[name].kind in ("loss", "signal") for name in ready.axes])
    forest, by_fold = _hazards(judged, curves, folds, failure, watched, calm, seed)
    found = {
        run: heights(judged[run], strange[folds[family[run]]], by_fold.get(folds[family[run]]), watched) for run in calm
    }
    found = {run: one for run, one in found.items() if len(one.step)}
    names = [family[run] for run in found]
    of_kind = [threshold([one.evidence.max() for one in found.values()], names)]
    if forest is not None:
        of_kind.append(threshold([one.hazard.max() for one in found.values()], names))
    joint = threshold([one.joint(of_kind).max() for one in found.values()], names)
    models = _announced(ready, learnt_from, family, seed)
    return Regime(kind, models, surprise, forest, watched, tuple(of_kind), joint)


def _surprise(judged: Mapping[str, Sight], runs: Sequence[str], seed: int) -> Surprise:
    """How surprises of some healthy runs are distributed."""
    late = [judged[run].scores[judged[run].progress > BEGIN] for run in runs]
    return evidence.learnt(late, [judged[run].family for run in runs], seed=seed)


def families_of(curves: Curves) -> dict[str, str]:
    """The family of each run."""
    return dict(zip(curves.runs.index, curves.runs["family"], strict=True))


def dealt(families: Sequence[str], seed: int) -> dict[str, int]:
    """The fold of each family."""
    order = np.random.default_rng(seed).permutation(len(families))
    return {families[place]: number % FOLDS for number, place in enumerate(order)}


def _announced(ready: Prepared, runs: Sequence[str], family: Mapping[str, str], seed: int) -> dict[str, Announced]:
    """How each metric announces itself, from some runs, of which at most `MOST_RUNS` are drawn."""
    order = np.random.default_rng(seed).permutation(len(runs))[:MOST_RUNS]
    chosen = [runs[place] for place in np.sort(order)]
    found = {}
    for name, axis in ready.axes.items():
        mine = [run for run in chosen if run in ready.rows[name] and len(ready.rows[name][run].y)]
        if mine:
            found[name] = announced([ready.rows[name][run] for run in mine], [family[run] for run in mine], axis.still)
    return found


def _columns(sight: Sight, watched: np.ndarray) -> np.ndarray:
    return hazard.columns(sight.levels[:, watched], sight.scores[:, watched], sight.progress)


def _hazards(
    judged: Mapping[str, Sight], curves: Curves, folds: Mapping[str, int], failure: Mapping[str, float],
    watched: np.ndarray, calm: Sequence[str], seed: int,
) -> tuple[Forest | None, dict[int, Forest]]:  # fmt: skip
    """The forest of all runs, and for each fold that of the others; none where too few families failed."""
    failed = [run for run in failure if run in judged]
    if len({judged[run].family for run in failed}) < hazard.FEWEST or not watched.any():
        return None, {}
    last = curves.runs["last_step"].astype(float).to_dict()
    some = {run: judged[run] for run in [*calm, *(run for run in failed if run not in set(calm))]}
    x = {run: _columns(one, watched) for run, one in some.items()}
    y = {run: hazard.answers(one.step, last[run], failure.get(run)) for run, one in some.items()}
    number = {run: folds.get(one.family, 0) for run, one in some.items()}

    def forest(left_out: int | None) -> Forest:
        mine = [run for run in some if number[run] != left_out]
        return hazard.learnt(
            np.concatenate([x[run] for run in mine]), np.concatenate([y[run] for run in mine]), seed=seed
        )

    return forest(None), {one: forest(one) for one in sorted(set(number.values()))}

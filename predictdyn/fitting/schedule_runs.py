"""Schedule laws of finished runs, tried on runs that are held out; and of one more run, of which a part is seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictdyn.fitting.schedule_laws import LAWS, ScheduleLaw
from predictdyn.fitting.schedule_mixture import (
    FittedScheduleLaw,
    LossCurve,
    ScheduleFit,
    blocks,
    fit_schedules,
    weights_by,
)
from predictdyn.fitting.schedule_posterior import ALONE, PROPOSALS, LawPrior

MOST_FOLDS = 6
USUAL = 2.0  # sds by which the end of a curve may be missed from the others
HELD_OUT_STARTS = 2  # of the search without some curves
RUNS_DIFFER = 0.003  # sd of the log of the level between runs of one plan, before any is held out


def fit_runs(
    curves: Sequence[LossCurve], *, laws: Sequence[ScheduleLaw] = LAWS, n: int = 1000, seed: int = 0
) -> ScheduleFit | None:
    """The laws fitted to finished runs of one model, with the sd of what they do not explain of a run.

    Curves are dealt into at most `MOST_FOLDS` folds by how they end, and each fold is forecast from the others. With m
    the misses of their ends in the log of the loss, and v the variances that were forecast, its square is the mean of
    max(0, m^2 - 4 v): the others know less than all runs together, so two sds are nothing to tell. None as in
    `fit_schedules`.
    """
    thinned = [curve for curve in map(blocks, curves) if len(curve.step)]
    fit = fit_schedules(thinned, laws=laws, n=n, seed=seed)
    if fit is None or len(thinned) < 2:
        return fit
    # By content, so that neither names nor order matter.
    order = sorted(range(len(thinned)), key=lambda i: (*thinned[i].log_loss[-1:], *thinned[i].step[-1:]))
    folds = min(MOST_FOLDS, len(order))
    excess = []
    for fold in range(folds):
        out = set(order[fold::folds])
        rest = fit_schedules(
            [curve for i, curve in enumerate(thinned) if i not in out],
            laws=laws, n=PROPOSALS, seed=seed, starts=HELD_OUT_STARTS,
        )  # fmt: skip
        if rest is None:
            continue
        for curve in [thinned[i] for i in sorted(out)]:
            end = curve.step[-1:]
            draws = rest.draws(curve.rate, end, float(end[0]), seed=seed)[0]
            excess.append((curve.log_loss[-1] - np.median(draws)) ** 2 - USUAL**2 * draws.var())
    known = [max(0.0, one) for one in excess if np.isfinite(one)]
    return fit._replace(differ=float(np.sqrt(sum(known) / max(len(known), 1))), held_out=len(known))


def begun(others: ScheduleFit, own: LossCurve, *, n: int = 1000, seed: int = 0) -> ScheduleFit:
    """The laws of one more run of the model that ``others`` were fitted to, of which a part is seen.

    Its prior is their posterior, but for its level, which differs as those of the others do. Laws have the weights that
    others gave them, times those by what they leave over of the run.
    """
    level = np.sqrt(others.differ**2 + RUNS_DIFFER**2 / (1.0 + others.held_out))
    fit = fit_schedules(
        [own], own=True, priors=[_of_another_run(member, float(level)) for member in others.members],
        laws=[member.law for member in others.members], reference=(others.unit, others.level), n=n, seed=seed, starts=1,
    )  # fmt: skip
    if fit is None:
        return others
    left = np.array([np.mean(member.mode.residual**2) for member in fit.members])
    # As noise is estimated: what is left over beside what is expected, which here is the same for all laws.
    values = min(ALONE, float(len(fit.members[0].mode.residual)))
    weights = others.weights * weights_by(np.sqrt((values * left + others.noise**2) / (values + 1.0)), values)
    return fit._replace(weights=weights / weights.sum(), known=max(others.known, fit.known))


def _of_another_run(member: FittedScheduleLaw, level: float) -> LawPrior:
    """What runs of a model say of one more run of it, whose level differs by so much."""
    covariance = member.mode.covariance.copy()
    covariance[0, 0] += level**2
    return LawPrior(member.mode.numbers, covariance, member.mode.noise)


def said(fit: ScheduleFit) -> list[str]:
    """How laws weigh, and how many of their draws count; what else there is to know is in `warned`."""
    weights = ", ".join(f"{one.law.name} {weight:.0%}" for one, weight in zip(fit.members, fit.weights, strict=True))
    fewest = PROPOSALS * min(member.drawn.effective for member in fit.members)
    return [f"laws weigh {weights}; of {PROPOSALS} draws of a law's numbers, {fewest:.0f} count at least"]


def warned(fit: ScheduleFit) -> list[str]:
    """By how much held-out runs differ from the laws, where that is more than noise and the luck of a run."""
    if fit.differ <= max(fit.noise, RUNS_DIFFER):
        return []
    return [
        f"finished runs that were held out end {fit.differ:.2g} of the loss apart from their forecasts, more than "
        "laws explain; intervals are wider by that. Leave out runs that failed or are of another model"
    ]

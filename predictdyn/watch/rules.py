"""Rules that people use in place of learnt alarms, asked for the same rate by the same formula from the same runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Curve, Curves
from predictdyn.loaders.engine.not_finite import broken
from predictdyn.watch.losses import gradient_norm, training_loss
from predictdyn.watch.threshold import threshold

WINDOW = 10  # points that a rule looks back at
FEWEST = 4  # healthy runs that set a threshold


class SimpleRule(NamedTuple):
    """How high (t,) a rule puts each point of a curve, and the metric that it looks at, if a history has it."""

    metric: Callable[[Curves], str | None]
    height: Callable[[Curve], np.ndarray]


def over_median(curve: Curve) -> np.ndarray:
    """Values (t,) over the median of the ten before; zero for the first."""
    before = pd.Series(curve.value).shift().rolling(WINDOW, min_periods=2).median().to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nan_to_num(curve.value / before, nan=0.0, posinf=0.0, neginf=0.0))


def cusum(curve: Curve) -> np.ndarray:
    """Sums (t,) of rises of ln loss over the last ten, in units of their sd, less half of it; never below zero."""
    change = np.r_[0.0, np.diff(np.log(np.maximum(curve.value, 1e-9)))]
    past = pd.Series(change).shift().rolling(WINDOW, min_periods=3)
    score = np.nan_to_num((change - past.mean()) / (past.std() + 1e-3)).clip(-10, 10)
    total = np.cumsum(np.r_[0.0, score[1:] - 0.5])
    return np.asarray(total - np.minimum.accumulate(total))


def patience(curve: Curve) -> np.ndarray:
    """Steps (t,) since the lowest value, over the last step."""
    lowest = np.maximum.accumulate(np.where(curve.value <= np.minimum.accumulate(curve.value), curve.step, 0.0))
    return np.asarray((curve.step - lowest) / max(curve.step[-1], 1.0))


RULES = {
    "median": SimpleRule(training_loss, over_median),
    "gradient": SimpleRule(gradient_norm, over_median),
    "cusum": SimpleRule(training_loss, cusum),
    "patience": SimpleRule(training_loss, patience),
}


def paths_of(
    rule: SimpleRule,
    curves: Curves,
    healthy: Collection[str],
    troubled: Collection[str],
    parts: Sequence[Sequence[str]],
) -> pd.DataFrame | None:
    """Paths (run, step, p) of a rule, each part of the runs by thresholds of the healthy runs of the others.

    None where no run has the metric, or too few healthy ones have.
    """
    metric = rule.metric(curves)
    if metric is None:
        return None
    wanted = {*healthy, *troubled}
    height = {run: rule.height(curves.series[run, metric]) for run in wanted if (run, metric) in curves.series}
    good = [run for run in healthy if run in height]
    found = []
    for part in parts:
        others = [run for run in good if run not in set(part)]
        asked = [run for run in part if run in height]
        if not asked:
            continue
        if len(others) < FEWEST:
            return None
        learnt = threshold([height[run].max() for run in others], [curves.runs["family"][run] for run in others])
        for run in asked:
            p = learnt.p(np.maximum.accumulate(height[run]))
            found.append(pd.DataFrame({"run": run, "step": curves.series[run, metric].step, "p": p}))
    return pd.concat(found, ignore_index=True) if found else None


def not_finite(curves: Curves) -> pd.DataFrame:
    """Paths (run, step, p) of the rule that waits for a number that is NaN or infinite."""
    found = curves.events[curves.events["what"].map(broken).notna()]
    return found[["run", "step"]].assign(p=0.0)

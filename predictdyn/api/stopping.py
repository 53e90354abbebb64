"""should_stop: which of several runs to stop now, with what that is expected to cost."""

from __future__ import annotations

import numpy as np
import pandas as pd

from predictdyn.api.forecasts import Forecast
from predictdyn.curves import ended
from predictdyn.naming import meant, some
from predictdyn.watch.stop import ForecastRule

UNLIKELY = 0.05


def should_stop(
    forecast: Forecast, metric: str, *, target: str | None = None, k: int = 1, regret: float = 0.01
) -> pd.DataFrame:
    """Which of the runs that are forecast to stop: those that will neither reach a target nor be among the best k.

    All runs of the data compete, finished ones with the value that they reached. Runs are stopped, the least likely
    first, as long as the best k ends are expected to become worse by at most the share ``regret`` of the best median
    end. A run that reaches ``target``, a sentence as ``"val_acc > 0.75"``, with a probability above 5 % goes on.
    Returns one row a run that has not ended: run, p_best, p_target, expected_regret (in the metric's units, if this run
    and all less likely ones are stopped), stop. Raises ValueError for a metric that was not forecast.
    """
    rows = forecast.target["metric"].eq(metric).to_numpy()
    if not rows.any():
        known = sorted(forecast.target["metric"].unique())
        raise ValueError(
            f"should_stop: metric= names {metric!r}, which is not forecast; {meant(metric, known)}"
            f"the forecast has {some(known, 20)}"
        )
    if not 0 <= regret < 1:
        raise ValueError(f"regret= is a share in [0, 1), got {regret:g}")
    if k < 1:
        raise ValueError(f"k= is how many runs are wanted, 1 or more, got {k}")
    curves, live = forecast.question.curves, list(forecast.target.loc[rows, "run"])
    if curves.metrics[metric].better not in ("higher", "lower"):
        raise ValueError(
            f"should_stop: {metric!r} has no direction; say in its Metric whether higher or lower is better"
        )
    sign = -1.0 if curves.metrics[metric].better == "lower" else 1.0
    draws = forecast.draws[rows]
    done = [
        curves.series[run, metric].value[-1]
        for run in ended(curves)
        if run not in live and (run, metric) in curves.series
    ]
    ends, reached = sign * draws, sign * np.array(done, dtype=float)
    budget = regret * abs(float(max([*np.median(ends, axis=1), *reached])))
    verdict = ForecastRule(budget, k).verdict(ends, np.ones(len(live), dtype=bool), reached)
    table = pd.DataFrame({"run": live, "p_best": verdict.p_best, "p_target": np.nan})
    stop = verdict.stop.copy()
    if target is not None:
        likely = forecast.probability(target)["probability"].reindex(live).to_numpy(float)
        table["p_target"] = likely
        stop &= ~(likely >= UNLIKELY)
    return table.assign(expected_regret=verdict.regret, stop=stop)

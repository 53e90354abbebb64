"""A table of forecasts with planned interventions beside the one without, and what supports the difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.effects.planned import Intervened, Intervention, intervened
from predictdyn.forecast import Prediction

QUANTILES = (0.05, 0.5, 0.95)


def comparison(
    without: Prediction, history: Curves, seen: Curves, planned: Sequence[Intervention], *, seed: int
) -> pd.DataFrame:
    """One row for each intervention and target; interventions are alternatives, never added up.

    Columns: intervention, intervention_step, run, metric, kind, step, status; quantiles ``without_q``, ``with_q``
    and ``effect_q`` (of this run: the mean effect, its dependence on the run, and its errors) and ``mean_effect`` with
    ``mean_low``, ``mean_high`` (of the pairs: 90 % interval), all in the metric's units and blank where no effect is
    known; n_pairs, n_families, paired and words. Raises ValueError as `intervened` does.
    """
    tables = [compared(without, intervened(without, history, seen, one, seed=seed), history, one) for one in planned]
    return pd.concat(tables, ignore_index=True)


def compared(without: Prediction, found: Intervened, history: Curves, planned: Intervention) -> pd.DataFrame:
    """The rows of `comparison` for one intervention, whose draws are known."""
    known = np.isfinite(found.effect).all(axis=1)[:, None]
    table = without.target[["run", "metric", "step"]].copy()
    table.insert(0, "intervention", planned.name)
    table.insert(1, "intervention_step", planned.step)
    table.insert(4, "kind", [history.metrics[metric].kind for metric in table["metric"]])
    table["status"] = found.forecast.status
    shown = {
        "without": without.draws,
        "with": np.where(known, found.forecast.draws, np.nan),
        "effect": found.effect,
    }
    for label, draws in shown.items():
        for level, column in zip(QUANTILES, np.quantile(draws, QUANTILES, axis=1), strict=True):
            table[f"{label}_q{level:g}"] = column
    support = pd.DataFrame(found.support, index=table.index)
    named = {"mean": "mean_effect", "low": "mean_low", "high": "mean_high"}
    return table.join(support.rename(columns=named))

"""Both modes of forecasts that have two: a median between them would be what no run does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from predictdyn.curves import Metric
from predictdyn.fitting.two_modes import two_modes
from predictdyn.scores import quantiles

MODE_LEVELS = (0.05, 0.5, 0.95)
MODES = ["upper", *(f"{mode}_q{level:g}" for mode in ("low", "high") for level in MODE_LEVELS)]
LEAST_APART = 0.05  # of the range between two bounds, or of the logarithm beside one: nearer ones are no two outcomes
BLOCK = 64  # rows at once: they fit a cache


def modes_of(target: pd.DataFrame, draws: np.ndarray, metrics: Mapping[str, Metric]) -> np.ndarray:
    """The columns `MODES` (n, 7) of a target (run, metric, step) with draws (n, s); NaN where there is one mode.

    ``upper`` is the share of draws in the upper mode, the others are quantiles within each mode. Whether there are two
    is found at the last step of each run and metric (`fitting.two_modes`; between two bounds of the values, beside one
    of their logarithm). Steps on the way there are parted at the same share: draws are paths, so a draw is in the mode
    in which it ends.
    """
    found = np.full((len(target), len(MODES)), np.nan)
    if not len(target):
        return found
    step = target["step"].to_numpy(dtype=float)
    key = pd.factorize(pd.MultiIndex.from_frame(target[["run", "metric"]]))[0]
    order = np.lexsort((step, key))
    last = order[np.r_[np.flatnonzero(np.diff(key[order])), len(order) - 1]]
    share = np.full(key.max() + 1, np.nan)
    for first in range(0, len(last), BLOCK):
        rows = last[first : first + BLOCK]
        of = [metrics[name] for name in target["metric"].iloc[rows]]
        ordered = np.sort(draws[rows], axis=1)
        upper = two_modes(np.stack([_shown(one, metric) for one, metric in zip(ordered, of, strict=True)])).upper
        for place in np.flatnonzero(np.isfinite(upper)).tolist():
            middle = _shown(quantiles(ordered[[place]], [(1 - upper[place]) / 2, 1 - upper[place] / 2])[0], of[place])
            if middle[1] - middle[0] >= LEAST_APART * _span(of[place]):
                share[key[rows[place]]] = upper[place]
    for row in np.flatnonzero(np.isfinite(share[key])).tolist():
        upper_share, ordered = share[key[row]], np.sort(draws[row])[None]
        low = [(1 - upper_share) * level for level in MODE_LEVELS]
        levels = [*low, *(1 - upper_share + upper_share * level for level in MODE_LEVELS)]
        found[row] = [upper_share, *quantiles(ordered, levels)[0]]
    return found


def _span(metric: Metric) -> float:
    """What modes must lie apart in parts of: the range between two bounds, one beside one, nothing without any."""
    if metric.lower is not None and metric.upper is not None:
        return metric.upper - metric.lower
    return 0.0 if metric.lower is None and metric.upper is None else 1.0


def _shown(values: np.ndarray, metric: Metric) -> np.ndarray:
    """Values (s,) on the scale on which modes are looked for."""
    if metric.lower is not None and metric.upper is None:
        off = values - metric.lower
        return np.asarray(np.log(np.maximum(off, max(float(off.max()), 1e-300) * 1e-12)))
    if metric.upper is not None and metric.lower is None:
        off = metric.upper - values
        return np.asarray(-np.log(np.maximum(off, max(float(off.max()), 1e-300) * 1e-12)))
    return values

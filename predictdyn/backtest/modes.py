"""Both modes of forecasts that have two: a median between them would be what no run does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import Metric
from predictdyn.fitting.two_modes import two_modes
from predictdyn.scores import quantiles

MODE_LEVELS = (0.05, 0.5, 0.95)
MODES = ["upper", *(f"{mode}_q{level:g}" for mode in ("low", "high") for level in MODE_LEVELS)]
LEAST_APART = 0.05  # of the range between two bounds, or of the logarithm beside one: nearer ones are no two outcomes
THIN = 8  # every eighth draw is looked at first, with looser limits than those of `two_modes`
LOOSE_PART, LOOSE_VALLEY = 0.07, 0.85


class LastRows(NamedTuple):
    """Which rows of a target (n) are of one run and metric, and which of them is its last step, (n,) each."""

    key: np.ndarray
    last: np.ndarray


def last_rows(target: pd.DataFrame) -> LastRows:
    """The ends of a target (run, metric, step): whether there are two modes is found there."""
    run, (metric, names) = pd.factorize(target["run"])[0], pd.factorize(target["metric"])
    key = run * len(names) + metric
    order = np.lexsort((target["step"].to_numpy(dtype=float), key))
    last = np.zeros(len(target), dtype=bool)
    last[order] = np.append(np.diff(key[order]) != 0, True)[: len(order)]
    return LastRows(key, last)


def upper_share(ordered: np.ndarray, metrics: Sequence[Metric]) -> np.ndarray:
    """The share (m,) in the upper mode of rows of sorted draws (m, s), each of a metric; NaN where there is one mode.

    `fitting.two_modes`: between two bounds of the values, beside one of their logarithm.
    """
    shown = np.stack([_shown(*one) for one in zip(ordered, metrics, strict=True)]) if len(ordered) else ordered
    upper = np.full(len(ordered), np.nan)
    # A few of the draws say of most rows that no valley is near.
    some = np.flatnonzero(two_modes(shown[:, ::THIN], least=LOOSE_PART, deepest=LOOSE_VALLEY).found)
    upper[some] = two_modes(shown[some]).upper
    for place in np.flatnonzero(np.isfinite(upper)).tolist():
        levels = [(1 - upper[place]) / 2, 1 - upper[place] / 2]
        middle = _shown(quantiles(ordered[[place]], levels)[0], metrics[place])
        if middle[1] - middle[0] < LEAST_APART * _span(metrics[place]):
            upper[place] = np.nan
    return upper


def modes_of(ends: LastRows, upper: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """The columns `MODES` (n, 7) of a target with draws (n, s); NaN where there is one mode.

    ``upper`` (n,) is the `upper_share` of the rows that are last, the other columns are quantiles within each mode.
    Steps on the way are parted at the same share: draws are paths, so a draw is in the mode in which it ends.
    """
    found = np.full((len(upper), len(MODES)), np.nan)
    if not np.isfinite(upper).any():
        return found
    share = np.full(int(ends.key.max()) + 1, np.nan)
    share[ends.key[ends.last]] = upper[ends.last]
    for row in np.flatnonzero(np.isfinite(share[ends.key])).tolist():
        of_upper, ordered = share[ends.key[row]], np.sort(draws[row])[None]
        low = [(1 - of_upper) * level for level in MODE_LEVELS]
        levels = [*low, *(1 - of_upper + of_upper * level for level in MODE_LEVELS)]
        found[row] = [of_upper, *quantiles(ordered, levels)[0]]
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

"""What replays inside a history say of the mixture itself: its CRPS and that of baselines, and what its intervals held.

A family is scored with weights that other families taught, so that the mixture is not flattered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from predictdyn.fitting.stacking import Resolved, mixed, widened
from predictdyn.scores import crps

REPLAYED = "replayed"  # begins the keys of these arrays, beside those of weights: "replayed/kind/metric"
COMPARED = ("last_value", "mean_change", "mean_outcome", "log_linear", "nearest_run")


class ReplayScores(NamedTuple):
    """Of the replays of one metric (n): family, CRPS of the mixture and of each of `COMPARED`, and coverage.

    ``crps`` (n,) and ``compared`` (n, 5; NaN for one that is no member) in the metric's units; ``held`` (n,): whether
    the 90 % interval held the truth. ``family`` and ``run`` (n,) are a number for each; a run may be replayed again.
    """

    family: np.ndarray
    held: np.ndarray
    crps: np.ndarray
    compared: np.ndarray
    run: np.ndarray


def scores_of(
    rows: Sequence[Resolved],
    members: Sequence[str],
    learnt: Mapping[str, np.ndarray],
    families: Sequence[str],
    runs: Sequence[str],
) -> dict[str, np.ndarray]:
    """Arrays (n, 3 + 5 + 1), one for each metric, of resolved rows of k members, by their weights and factor (k + 1,).

    ``families`` and ``runs`` are all that are replayed: the number of each is its place there.
    """
    by_metric: dict[tuple[str, str], list[Resolved]] = {}
    for row in rows:
        by_metric.setdefault((row.kind, row.metric), []).append(row)
    codes, codes_of_runs = ({name: float(i) for i, name in enumerate(all_)} for all_ in (families, runs))
    place = {name: i for i, name in enumerate(members)}
    found = {}
    for (kind, metric), of_metric in by_metric.items():
        *weight, factor = learnt[f"{kind}/{metric}"]
        table = np.full((len(of_metric), 3 + len(COMPARED) + 1), np.nan)
        for i, row in enumerate(of_metric):
            latent = row.scale.latent(np.sort(mixed(np.array(weight), row.draws)))
            draws = np.sort(row.scale.value(widened(latent, row.scale, factor)))
            low, high = np.quantile(draws, (0.05, 0.95))
            # A draw on a bound comes back from the latent scale as far from it as the floor.
            near = 1.001 * row.scale.floor
            table[i, -1] = codes_of_runs[row.run]
            table[i, :2] = codes[row.family], float(low - near <= row.truth <= high + near)
            several = np.stack([draws, *(row.draws[place[name]] for name in COMPARED if name in place)])
            one = crps(np.full(len(several), row.truth), several)
            table[i, 2] = one[0]
            table[i, [3 + j for j, name in enumerate(COMPARED) if name in place]] = one[1:]
        found[f"{REPLAYED}/{kind}/{metric}"] = table
    return found


def read_scores(learnt: Mapping[str, np.ndarray]) -> dict[tuple[str, str], ReplayScores]:
    """Back from arrays, by kind and metric; weights are passed over."""
    found = {}
    for key, table in learnt.items():
        front, _, rest = key.partition("/")
        if front == REPLAYED:
            kind, _, metric = rest.partition("/")
            found[kind, metric] = ReplayScores(table[:, 0], table[:, 1], table[:, 2], table[:, 3:-1], table[:, -1])
    return found

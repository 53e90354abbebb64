"""Pairs: arms beside the runs whose seed and history they share; the difference is what the intervention did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.covariates import Encoder
from predictdyn.curves import Curves
from predictdyn.effects.columns import Moment, columns, standard
from predictdyn.fitting.ridge import ShrunkenRidge
from predictdyn.problem import LatentCurve
from predictdyn.scales import Scale

FEWEST = 4  # runs without the intervention, for a regression on them


class Pairs(NamedTuple):
    """What m arms show of one metric: latent differences (m,) at the end and ``columns`` (m, p) known before.

    ``change`` (m,) is the difference in the metric's units, ``start`` (m,) a share of the run. ``paired`` is false
    where no arm has its baseline run, and a regression on the runs without an intervention stands in for it.
    """

    difference: np.ndarray
    change: np.ndarray
    columns: np.ndarray
    family: np.ndarray
    start: np.ndarray
    paired: bool


def arms(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that were changed on the way: index run; intervention, start (a share of the run), baseline.

    >>> runs = pd.DataFrame(
    ...     {"last_step": 100, "intervention": ["none", "swap"], "intervention_step": [np.nan, 79.0], "baseline": "a"},
    ...     index=["a", "a-swap"],
    ... )
    >>> arms(runs)["start"].to_dict()
    {'a-swap': 0.79}
    """
    table = runs.reindex(columns=["intervention", "intervention_step", "baseline", "last_step"])
    start = pd.to_numeric(table["intervention_step"], errors="coerce") / table["last_step"].astype(float)
    table = table.assign(start=start)[start.notna() & table["intervention"].notna()]
    return table.loc[table["intervention"] != "none", ["intervention", "start", "baseline"]]


def pairs(
    history: Curves, lines: Sequence[Mapping[str, LatentCurve]], scale: Scale, name: str, moment: Moment, plan: Encoder
) -> Pairs:
    """All arms of an intervention ``name`` that have their baseline run; if there is none, all arms of it.

    ``lines`` are those of finished runs: each a metric's lines by run, the metric in question first.
    """
    changed = arms(history.runs)
    end = {run: float(line.at(np.array([moment.end]))[0]) for run, line in lines[0].items() if line.reaches(moment.end)}
    plain = [run for run in end if run not in changed.index]
    mine = changed[(changed["intervention"] == name) & (changed["start"] < moment.end) & changed.index.isin(list(end))]
    beside = mine[mine["baseline"].isin(plain)]
    paired = bool(len(beside))
    mine = beside if paired else mine
    runs, start = list(mine.index), mine["start"].to_numpy(dtype=float)
    known = list(mine["baseline"]) if paired else runs
    found = columns(history, lines, known, start, moment, plan)
    with_it = np.array([end[run] for run in runs])
    if paired:
        without = np.array([end[run] for run in known])
    elif len(plain) >= FEWEST and runs:
        of_plain = columns(history, lines, plain, np.full(len(plain), np.median(start)), moment, plan)
        made = standard(of_plain)
        final = np.array([end[run] for run in plain])
        model = ShrunkenRidge(history.runs.loc[plain, "family"].to_numpy()).fit(made(of_plain), final - final.mean())
        without = final.mean() + model.predict(made(found))
    else:
        runs, with_it, found, start = [], with_it[:0], found[:0], start[:0]
        without = with_it
    family = history.runs.loc[runs, "family"].to_numpy(dtype=object)
    return Pairs(with_it - without, scale.value(with_it) - scale.value(without), found, family, start, paired)

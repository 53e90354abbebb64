"""Held out: the dearest finished runs hidden from a law, and forecast by it as a run in question would be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from predictdyn.laws.finished import Finished
from predictdyn.laws.inputs import Encoded
from predictdyn.laws.law import FEWEST, law_of
from predictdyn.laws.origins import places
from predictdyn.scores import crps

PART = 0.3  # of the finished runs
COLUMNS = ["run", "truth", "median", "q0.05", "q0.95", "inside", "crps", "crps_dearest"]
DEAREST = 3  # of the runs that are left, one part in so many is the simple guess


def held_out(finished: Finished, settings: dict[str, Any], *, seed: int = 0) -> pd.DataFrame:
    """The dearest 30 % of the finished runs as a law of all others forecasts them, one row a run.

    ``crps_dearest`` is the CRPS of the simple guess that a run ends as the dearest third of the others did. Runs are
    ordered by cost, or where none is known along the inputs by which the target gets better. Nothing of the runs that
    are held out is used. Empty where too few runs are left.
    """
    table, n = finished.table, len(finished.table)
    order = dearness(finished, settings)
    edge = np.sort(order)[::-1][max(int(np.ceil(PART * n)) - 1, 0)]
    out = order >= edge * (1 - 1e-9) if edge > 0 else order >= edge
    if out.sum() > 0.5 * n:
        out = order > edge * (1 + 1e-9) if edge > 0 else order > edge
    if out.sum() < 2 or n - out.sum() < FEWEST + 2:
        return pd.DataFrame(columns=COLUMNS)
    left = table[~out]
    try:
        law = law_of(
            left, finished.target, finished.inputs, towards=table.loc[out, finished.inputs], seed=seed, **settings
        )
    except ValueError:
        # Among the cheaper runs no input may vary.
        return pd.DataFrame(columns=COLUMNS)
    draws = law.draws(table.loc[out, finished.inputs], seed=seed)
    truth = table.loc[out, finished.target].to_numpy(dtype=float)
    low, middle, high = np.quantile(draws, (0.05, 0.5, 0.95), axis=1)
    dear = left[finished.target].to_numpy(dtype=float)[np.argsort(order[~out])[-max(int((~out).sum()) // DEAREST, 2) :]]
    good = np.isfinite(middle)
    found = pd.DataFrame({
        "run": finished.runs[out], "truth": truth, "median": middle, "q0.05": low, "q0.95": high,
        "inside": (low <= truth) & (truth <= high), "crps": np.nan,
        "crps_dearest": crps(truth, np.tile(dear, (len(truth), 1))),
    })  # fmt: skip
    found.loc[good, "crps"] = crps(truth[good], draws[good])
    more = table.loc[out, [name for name in table.columns if name != finished.target]].reset_index(drop=True)
    joined: pd.DataFrame = pd.concat([found[COLUMNS], more], axis=1).loc[good].reset_index(drop=True)
    return joined


def dearness(finished: Finished, settings: dict[str, Any]) -> np.ndarray:
    """What orders the finished runs (n,): their cost, else how far they lie along the inputs that make them better."""
    if finished.cost is not None:
        price = finished.cost(finished.table)
        if np.isfinite(price).all():
            return price
    numbers = [name for name in finished.inputs if name not in finished.reading.text]
    value = finished.table[numbers].to_numpy(dtype=float)
    logs = np.where(value > 0, np.log(np.maximum(value, 1e-300)), 0.0) if (value >= 0).all() else value
    better = finished.table[finished.target].to_numpy(dtype=float)
    better = -better if settings.get("better") == "higher" else better
    encoded = Encoded(logs, np.zeros((len(logs), 0)), np.zeros(len(logs), dtype=int))
    return places(encoded, None, better)

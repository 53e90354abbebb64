"""Latent draws become a forecast; rows without an answer get the last value, and the words for it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.forecast import Forecast
from predictdyn.forecasters import last_value
from predictdyn.lines import answer
from predictdyn.scales import Scale


def answered(
    history: Curves, seen: Curves, target: pd.DataFrame, latent: np.ndarray, scales: dict[str, Scale],
    status: np.ndarray, *, seed: int,
) -> Forecast:  # fmt: skip
    """The forecast of latent draws (n, s); rows whose status (n,) is not ok get the draws of the last value."""
    found = answer(target, latent, scales, status)
    short = np.flatnonzero(status != "ok")
    if len(short):
        plain = last_value.FORECASTER.fit(history, seed=seed)
        instead = plain.forecast(seen, target.iloc[short].reset_index(drop=True), seed=seed)
        found.draws[short] = instead.draws
        # Where the last value has fallen back too, its word says more.
        found.status[short] = np.where(instead.status == "ok", status[short], instead.status)
    return found

"""Who answered: forecasts that a forecaster gave by itself, beside those that are the last value in its stead."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

MANY = 0.1  # share of forecasts that fell back, above which a score is not the forecaster's own


def short_of_answers(rows: pd.DataFrame, baselines: Collection[str], many: float = MANY) -> list[str]:
    """A line for each forecaster but the baselines that fell back on more than ``many`` of its forecasts.

    ``rows`` are those of ``forecasts.parquet``. Rows without an outcome are not counted: they have no score.

    >>> rows = pd.DataFrame({"forecaster": "forest", "status": ["ok", "one point only", "ok", "ok"]})
    >>> short_of_answers(rows, ["last_value"])
    ['forest answered 3 of 4 forecasts (75 %); the rest are the last value; first reason: one point only']
    """
    own = rows[(rows["status"] != "censored") & ~rows["forecaster"].isin(list(baselines))]
    said = []
    for name, status in own.groupby("forecaster", sort=False)["status"]:
        fell = status[status != "ok"]
        if len(fell) > many * len(status):
            ok = len(status) - len(fell)
            said.append(
                f"{name} answered {ok:,} of {len(status):,} forecasts ({_share(ok, len(status))} %); "
                f"the rest are the last value; first reason: {fell.iloc[0]}"
            )
    return said


def _share(part: int, whole: int) -> str:
    """Per cent, rounded towards the middle: none and all are said of none and all alone."""
    return f"{100 * part / whole:.0f}" if part in (0, whole) else f"{min(max(100 * part / whole, 1), 99):.0f}"


def silent(rows: pd.DataFrame, kind: str, cutoff: float) -> bool:
    """Whether none of one forecaster's scored forecasts of a kind at a cutoff (NaN: a fixed split) is its own."""
    at = rows["cutoff"].isna() if cutoff != cutoff else (rows["cutoff"] - cutoff).abs() < 1e-9
    status = rows.loc[at & (rows["kind"] == kind) & (rows["status"] != "censored"), "status"]
    return len(status) > 0 and bool((status != "ok").all())

"""The record: how well registered forecasts did, by the functions that score a backtest, with runs as the unit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.backtest.calibration import PitBand, coverage_interval
from predictdyn.backtest.compare import Lots, macro_mean, skill, verdict
from predictdyn.backtest.summary import MOST_UNITS
from predictdyn.report.reliability import ENDS, pit_difference, share_held

HORIZONS = (
    (0.05, "up to 5 % of the run"),
    (0.15, "5 to 15 %"),
    (0.35, "15 to 35 %"),
    (0.75, "35 to 75 %"),
    (1.0, "beyond 75 %"),
)
BINS = np.linspace(0, 1, 11)  # of probabilities of events


class Calibration(NamedTuple):
    """Coverage by level (level, share, low, high), and the PIT: its values (n,) and the band of its ECDF."""

    coverage: list[tuple[float, float, float, float]]
    pit: np.ndarray
    band: PitBand


def counted(forecasts: pd.DataFrame) -> pd.DataFrame:
    """The forecasts of numbers that count: resolved, and no replays, whose outcome may have been known.

    Adds ``horizon``, in words. Each entry is a row, as each cutoff of a backtest is; rows of a run are dependent, and
    all intervals know it.
    """
    rows = forecasts[
        (forecasts["what"] == "metric") & (forecasts["state"] == "resolved") & ~forecasts["replay"].astype(bool)
    ]
    # A later entry than the resolution has no score.
    rows = rows[rows["crps"].notna()].reset_index(drop=True)
    return rows.assign(horizon=[horizon(progress) for progress in rows["progress"]])


def horizon(progress: float) -> str:
    """How much of the run was seen, in words.

    >>> horizon(0.1), horizon(0.0)
    ('5 to 15 %', 'up to 5 % of the run')
    """
    return next((words for most, words in HORIZONS if progress <= most), HORIZONS[-1][1])


def calibration(rows: pd.DataFrame, *, seed: int = 0) -> Calibration:
    """Coverage and PIT of rows that are `counted`."""
    held = [(level, *share_held(rows, level, seed)) for level in ENDS]
    return Calibration(held, rows["pit"].to_numpy(float), pit_difference(rows, seed))


def skills(rows: pd.DataFrame, by: list[str], *, seed: int = 0) -> pd.DataFrame:
    """Skill over the best baseline as registered, for each group of rows that are `counted`.

    ``by`` are columns. A group's best baseline is that with the lowest mean CRPS on it; metrics are put on one scale as
    in a backtest. Columns: those of ``by``, n, n_runs, skill, skill_lo, skill_hi, baseline, coverage_90, crps, verdict.
    """
    rows = _scaled(rows)
    found, lots = [], Lots()
    # A forecast says nothing about another forecaster's, so groups hold one forecaster each where names are asked for.
    for key, own in rows.groupby(by, sort=False, dropna=False):
        run, family = own["run"].to_numpy(dtype=object), own["family"].astype(str).to_numpy(dtype=object)
        means = {
            name: macro_mean(own[f"of_{name}"].to_numpy(float), run, family)
            for name in _names(rows)
            if own[f"of_{name}"].notna().all()
        }
        inside = ((own["q0.05"] <= own["truth"]) & (own["truth"] <= own["q0.95"])).to_numpy(float)
        row = {
            **dict(zip(by, key, strict=True)),
            "n": len(own),
            "n_runs": own["run"].nunique(),
            "coverage_90": coverage_interval(inside, run, seed=seed)[0],
        }
        if means:
            best = min(means, key=lambda name: means[name])
            gain = skill(
                own["own"].to_numpy(float), own[f"of_{best}"].to_numpy(float), run, family, seed=seed, lots=lots
            )
            row |= {
                "skill": gain.skill,
                "skill_lo": gain.low,
                "skill_hi": gain.high,
                "baseline": best,
                "verdict": verdict(gain),
            }
        found.append(row)
    columns = [*by, "n", "n_runs", "skill", "skill_lo", "skill_hi", "baseline", "coverage_90", "verdict"]
    return pd.DataFrame(found, columns=columns)


def reliability(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Of joint events by their probability: probability (the mean), happened (the share), n, n_runs."""
    rows = forecasts[
        (forecasts["what"] == "event") & (forecasts["state"] == "resolved") & ~forecasts["replay"].astype(bool)
    ]
    place = np.clip(np.digitize(rows["probability"], BINS) - 1, 0, len(BINS) - 2)
    return pd.DataFrame(
        [
            {
                "probability": own["probability"].mean(),
                "happened": own["truth"].mean(),
                "n": len(own),
                "n_runs": own["run"].nunique(),
                "brier": own["brier"].mean(),
            }
            for _, own in rows.groupby(place, sort=True)
        ],
        columns=["probability", "happened", "n", "n_runs", "brier"],
    )


def _names(rows: pd.DataFrame) -> list[str]:
    return [name.removeprefix("of_") for name in rows.columns if name.startswith("of_")]


def _scaled(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the CRPS on the scale of their metric: ``own``, and ``of_NAME`` for each baseline."""
    table = pd.DataFrame(
        [one if isinstance(one, dict) else {} for one in rows["baselines"]], index=rows.index, dtype=float
    )
    unit = table.groupby(rows["metric"]).transform("mean").median(axis=1).where(lambda one: one > 0, 1.0)
    unit = unit if len(table.columns) else pd.Series(1.0, index=rows.index)
    scaled = table.div(unit, axis=0).clip(upper=MOST_UNITS).add_prefix("of_")
    return pd.concat([rows.assign(own=(rows["crps"] / unit).clip(upper=MOST_UNITS)), scaled], axis=1)

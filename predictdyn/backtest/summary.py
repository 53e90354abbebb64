"""From rows of forecasts to scores, leaderboard and verdicts: means by run and family, skill over the best baseline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from predictdyn.backtest.compare import Lots, Skill, macro_mean, skill, verdict

MOST_UNITS = 20.0
CELL = ["kind", "metric", "cutoff"]
COVERAGE = {50: ("q0.25", "q0.75"), 80: ("q0.1", "q0.9"), 90: ("q0.05", "q0.95"), 95: ("q0.025", "q0.975")}


def resolved(rows: pd.DataFrame, family: pd.Series, baselines: Sequence[str]) -> pd.DataFrame:
    """Rows with a truth, and what every summary needs of them.

    Adds ``family``; ``fell_back``; ``coverage_50 ... coverage_95`` (0 or 1); ``interval_90`` (Winkler); ``ae``,
    ``relative_error``, ``sle`` (squared log error) of the median; and ``scaled_crps``: the CRPS over a unit of the
    metric, so that metrics can be averaged. The unit is the median over baselines of the metric's mean CRPS; one row
    counts at most ``MOST_UNITS``, so that a single absurd forecast cannot hide all others.
    """
    table = rows[rows["truth"].notna()].copy()
    truth, median = table["truth"].to_numpy(float), table["q0.5"].to_numpy(float)
    table["family"] = table["run"].map(family)
    table["fell_back"] = (table["status"] != "ok").astype(float)
    for level, (lower, upper) in COVERAGE.items():
        table[f"coverage_{level}"] = ((table[lower] <= truth) & (truth <= table[upper])).astype(float)
    low, high = table["q0.05"].to_numpy(float), table["q0.95"].to_numpy(float)
    table["width_90"] = high - low
    table["interval_90"] = high - low + 20 * (np.maximum(low - truth, 0) + np.maximum(truth - high, 0))
    table["ae"] = np.abs(median - truth)
    table["relative_error"] = np.abs(np.divide(median, truth, out=np.full_like(truth, np.nan), where=truth > 0) - 1)
    positive = (truth > 0) & (median > 0)
    logs = np.log(np.where(positive, median, 1.0)) - np.log(np.where(positive, truth, 1.0))
    table["sle"] = np.where(positive, logs**2, np.nan)
    reference = table[table["forecaster"].isin(baselines)]
    unit = reference.groupby(["metric", "forecaster"])["crps"].mean().groupby("metric").median()
    # A metric that every baseline gets exactly right has no unit; its scores stay as they are (zero or not).
    relative = table["crps"] / table["metric"].map(unit).where(lambda one: one > 0, 1.0)
    table["scaled_crps"] = relative.clip(upper=MOST_UNITS)
    return table


def scores_table(
    table: pd.DataFrame, forecasters: Sequence[str], baselines: Sequence[str], *, seed: int
) -> pd.DataFrame:
    """One row per forecaster x kind x metric x cutoff (``scores.csv``); ``table`` is from `resolved`.

    Means are over rows within a run, then runs within a family, then families. ``skill`` is 1 - crps / crps of the best
    baseline of the same cell, with a 90 % bootstrap interval over families, then runs.
    """
    found = []
    lots = Lots()
    for cell, rows in _numbered(table).groupby(CELL, sort=False, dropna=False):
        of = _by_forecaster(rows)
        best = _best(of, baselines, "crps")
        for name in forecasters:
            if name not in of:
                continue
            own = of[name]
            gain = _skill(own, of[best], "crps", lots, seed=seed, resamples=500)
            found.append(
                {
                    "forecaster": name,
                    **dict(zip(CELL, cell, strict=True)),
                    "n_runs": own["run"].nunique(),
                    "n": len(own),
                    "crps": _macro(own, "crps"),
                    "log_score": _macro(own, "log_score"),
                    "ae": _macro(own, "ae"),
                    "rmsle": float(np.sqrt(_macro(own, "sle"))),
                    "coverage_50": _macro(own, "coverage_50"),
                    "coverage_90": _macro(own, "coverage_90"),
                    "width_90": _macro(own, "width_90"),
                    "skill": gain.skill,
                    "skill_lo": gain.low,
                    "skill_hi": gain.high,
                    "fallback_share": own["fell_back"].mean(),
                    "interval_90": _macro(own, "interval_90"),
                    "coverage_80": _macro(own, "coverage_80"),
                    "coverage_95": _macro(own, "coverage_95"),
                    "relative_error": _macro(own, "relative_error"),
                    "best_baseline": best,
                }
            )
    return _in_order(pd.DataFrame(found), forecasters)


def verdicts(table: pd.DataFrame, forecasters: Sequence[str], baselines: Sequence[str], *, seed: int) -> pd.DataFrame:
    """One row per forecaster x kind x cutoff: skill in relative CRPS over the cell's best baseline; verdict."""
    found = []
    lots = Lots()
    for (kind, cutoff), rows in _numbered(table).groupby(["kind", "cutoff"], sort=False, dropna=False):
        of = _by_forecaster(rows)
        best = _best(of, baselines, "scaled_crps")
        for name in forecasters:
            if name not in of:
                continue
            own = of[name]
            gain = _skill(own, of[best], "scaled_crps", lots, seed=seed, resamples=2000)
            found.append(
                {
                    "forecaster": name,
                    "kind": kind,
                    "cutoff": cutoff,
                    "best_baseline": best,
                    "n_families": gain.n_families,
                    "n_runs": gain.n_runs,
                    "n": len(own),
                    "scaled_crps": _macro(own, "scaled_crps"),
                    "skill": gain.skill,
                    "skill_lo": gain.low,
                    "skill_hi": gain.high,
                    "coverage_90": _macro(own, "coverage_90"),
                    "p_value": gain.p_value,
                    "verdict": verdict(gain),
                }
            )
    return _in_order(pd.DataFrame(found), forecasters)


def leaderboard(
    table: pd.DataFrame, forecasters: Sequence[str], baselines: Sequence[str], *, seed: int
) -> pd.DataFrame:
    """One row per forecaster, best first (``leaderboard.csv``); every kind at every cutoff weighs the same."""
    # Rows of one run are first averaged within kind and cutoff, else 57 subjects of one exam outvote all else.
    numbers = ["scaled_crps", "crps", *(f"coverage_{level}" for level in COVERAGE), "fell_back"]
    keys = ["forecaster", "kind", "cutoff", "family", "run"]
    table = _numbered(table)
    of = _by_forecaster(table.groupby(keys, sort=False, dropna=False)[numbers].mean().reset_index())
    count, fell_back = table["forecaster"].value_counts(), table.groupby("forecaster")["fell_back"].mean()
    best = _best(of, baselines, "scaled_crps")
    found, lots = [], Lots()
    for name in forecasters:
        if name not in of:
            continue
        own = of[name]
        gain = _skill(own, of[best], "scaled_crps", lots, seed=seed, resamples=2000)
        found.append(
            {
                "forecaster": name,
                "baseline": name in baselines,
                "n_families": own["family"].nunique(),
                "n_runs": own["run"].nunique(),
                "n": int(count[name]),
                "scaled_crps": _macro(own, "scaled_crps"),
                "skill": gain.skill,
                "skill_lo": gain.low,
                "skill_hi": gain.high,
                **{f"coverage_{level}": _macro(own, f"coverage_{level}") for level in COVERAGE},
                "fallback_share": fell_back[name],
            }
        )
    return pd.DataFrame(found).sort_values("scaled_crps", kind="stable", ignore_index=True)


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    """The same table with numbers for the names of runs and families: a million names are slow to compare."""
    numbers = {name: pd.factorize(table[name])[0] for name in ("run", "family")}
    return table.assign(**numbers)


def _by_forecaster(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(name): own for name, own in rows.groupby("forecaster", sort=False)}


def _macro(rows: pd.DataFrame, column: str) -> float:
    return macro_mean(rows[column].to_numpy(float), rows["run"].to_numpy(), rows["family"].to_numpy())


def _best(of: dict[str, pd.DataFrame], baselines: Sequence[str], column: str) -> str:
    """The baseline with the lowest macro mean, the first in order where two are equal."""
    means = {name: _macro(of[name], column) for name in baselines if name in of}
    known = {name: mean for name, mean in means.items() if np.isfinite(mean)}
    if not known:
        raise ValueError(f"no baseline among the forecasters to compare with; needed is one of {', '.join(baselines)}")
    return min(known, key=lambda name: known[name])


def _skill(own: pd.DataFrame, best: pd.DataFrame, column: str, lots: Lots, *, seed: int, resamples: int) -> Skill:
    # Both hold the same targets in the same order: folds yield them so for every forecaster.
    return skill(
        own[column].to_numpy(float),
        best[column].to_numpy(float),
        own["run"].to_numpy(),
        own["family"].to_numpy(),
        seed=seed,
        resamples=resamples,
        lots=lots,
    )


def _in_order(table: pd.DataFrame, forecasters: Sequence[str]) -> pd.DataFrame:
    rank = {name: i for i, name in enumerate(forecasters)}
    return table.sort_values("forecaster", key=lambda names: names.map(rank), kind="stable", ignore_index=True)

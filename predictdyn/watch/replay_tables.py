"""The tables of a replay of alarms: who rang, how often healthy runs did, what was caught, and what that is worth."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.fitting.family_weights import family_weights
from predictdyn.watch.hazard import failed

BOOTSTRAP = 2000
COSTS = (1.0, 3.0, 10.0, 30.0, 100.0)  # of a trouble that is missed, in false alarms
TRIED = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
WATCH = "watch"  # the learnt alarms, among rules


def rang(
    curves: Curves, paths: pd.DataFrame, healthy: Collection[str], troubles: pd.DataFrame, rate: float
) -> pd.DataFrame:
    """One row for each run: where it first rang, and what that was worth.

    A change is caught by an alarm after it. A failure may be foretold, so that any alarm counts.
    """
    first = paths[paths["p"] <= rate].drop_duplicates("run").set_index("run")
    table = pd.DataFrame({"run": list(healthy), "trouble": "", "at": np.nan})
    table = pd.concat([table, troubles[["run", "trouble", "at"]]], ignore_index=True)
    table["family"] = table["run"].map(curves.runs["family"])
    table["rate"] = rate
    table["rang"] = table["run"].map(first["step"]).astype(float)
    table["kind"] = table["run"].map(first["kind"]) if "kind" in first else ""
    table["lead_steps"] = table["at"] - table["rang"]
    table["lead"] = table["lead_steps"] / table["run"].map(curves.runs["last_step"]).astype(float)
    late = table["rang"] > table["at"]
    table["caught"] = late | (table["rang"].notna() & table["trouble"].map(failed).astype(bool))
    return table


def tables(runs: pd.DataFrame, *, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of rates and catches of `AlarmReplay`, from its ``runs`` or some of them."""
    calm, bad = runs[runs["trouble"] == ""], runs[runs["trouble"] != ""]
    measured = []
    for rate, part in calm.groupby("rate", sort=False):
        rang = part["rang"].notna().to_numpy(dtype=float)
        families = part["family"].to_numpy()
        low, high = interval(rang, families, seed=seed)
        share = float((family_weights(families) * rang).sum())
        measured.append((rate, len(rang), len(set(families)), int(rang.sum()), share, low, high))
    columns = ["asked", "runs", "families", "rang", "measured", "low", "high"]
    caught = [
        (rate, name, len(part), part["caught"].mean(), part["lead"][part["caught"]].median(),
         part["lead_steps"][part["caught"]].median(), (part["lead"] > 0).mean())
        for (rate, name), part in bad.groupby(["rate", "trouble"], sort=False)
    ]  # fmt: skip
    names = ["rate", "trouble", "runs", "caught", "lead", "lead_steps", "before"]
    return pd.DataFrame(measured, columns=columns), pd.DataFrame(caught, columns=names)


def compared(
    curves: Curves, rules: Mapping[str, pd.DataFrame], healthy: Collection[str], troubles: pd.DataFrame,
    rates: Sequence[float], *, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """One row for each rule and rate, from the paths of each rule: false alarms, and catches of all troubles alike."""
    rows = []
    for name, paths in rules.items():
        for rate in rates:
            runs = rang(curves, paths, healthy, troubles, rate)
            found, bad = tables(runs, seed=seed)[0].to_dict("records"), runs[runs["trouble"] != ""]
            caught = bad[bad["caught"]]
            rows.append({
                "rule": name, "asked": rate, **(found[0] if found else {}), "troubles": len(bad), "caught": len(caught),
                "lead": caught["lead"].median(), "lead_steps": caught["lead_steps"].median(),
                "before": int((caught["lead"] > 0).sum()),
            })  # fmt: skip
    columns = ["rule", "asked", "runs", "families", "rang", "measured", "low", "high", "troubles", "caught", "lead",
               "lead_steps", "before"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def interval(hit: np.ndarray, family: np.ndarray, *, seed: int, level: float = 0.9) -> tuple[float, float]:
    """Where the share of hits (n,) may lie: a bootstrap over families, then runs.

    Where no family, or every one, was hit, the bootstrap is blind: the other bound is that of one family in F.
    """
    names, code, count = np.unique(family, return_inverse=True, return_counts=True)
    f = len(names)
    share = np.bincount(code, weights=hit) / count
    rng = np.random.default_rng(seed)
    chosen = rng.integers(f, size=(BOOTSTRAP, f))
    # To draw runs of a family with replacement is to draw how many of them are hits.
    drawn = (rng.binomial(count[chosen], share[chosen]) / count[chosen]).mean(axis=1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    blind = 1 - (1 - level) ** (1 / f)
    if not hit.any():
        high = blind
    if hit.all():
        low = 1 - blind
    return float(low), float(high)


def costs(curves: Curves, paths: pd.DataFrame, healthy: Collection[str], troubles: pd.DataFrame) -> pd.DataFrame:
    """For each cost of a missed trouble, in false alarms, the rate to ask for, and what a run then costs on average.

    Healthy and troubled runs count alike. ``never`` and ``always`` are the costs of no alarm and of one for each run.
    """
    rows = []
    found: Mapping[float, pd.DataFrame] = {rate: rang(curves, paths, healthy, troubles, rate) for rate in TRIED}
    for cost in COSTS:
        spent = []
        for table in found.values():
            calm = table[table["trouble"] == ""]
            wrong = table[table["trouble"] != ""]
            missed = 1 - wrong["caught"].mean() if len(wrong) else 0.0
            spent.append(0.5 * calm["rang"].notna().mean() + 0.5 * cost * missed)
        best = int(np.argmin(spent))
        rows.append((cost, TRIED[best], spent[best], 0.5 * cost, 0.5))
    return pd.DataFrame(rows, columns=["miss_costs", "rate", "cost", "never", "always"])

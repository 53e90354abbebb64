"""Replay alarms: finished runs, checkpoint by checkpoint, each judged by what other families teach."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn.curves import Curves, ended
from predictdyn.effects.pairs import arms
from predictdyn.fitting.family_weights import family_weights
from predictdyn.watch.hazard import failed
from predictdyn.watch.learning import healthy_runs, learn

RATES = (0.05, 0.01)
FOLDS = 5
BOOTSTRAP = 2000
COSTS = (1.0, 3.0, 10.0, 30.0, 100.0)  # of a trouble that is missed, in false alarms
RESULTS = ("runs", "rates", "catches", "cost")


@dataclass(frozen=True, repr=False)
class AlarmReplay:
    """What a replay found.

    ``runs``: one row for each run, trouble and rate: run, family, trouble (blank where it is healthy), at (its step),
    rate, rang (the step, blank where it never rang), kind, lead (share of the run by which it rang before the trouble,
    negative for a delay), lead_steps, caught. ``rates``: what was asked and what was measured. ``catches``: by trouble.
    ``cost``: by what a missed trouble costs.
    """

    runs: pd.DataFrame
    rates: pd.DataFrame
    catches: pd.DataFrame
    cost: pd.DataFrame
    notes: tuple[str, ...]

    def summary(self) -> pd.DataFrame:
        """The measured false-alarm rates."""
        return self.rates

    def save(self, folder: Path | str) -> Path:
        """Write the tables as ``alarms_NAME.csv`` into a folder, and a page of them; returns the page's path."""
        from predictdyn.watch.replay_page import page

        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        for name in RESULTS:
            getattr(self, name).to_csv(out / f"alarms_{name}.csv", index=False)
        return page(self, out)

    def __repr__(self) -> str:
        told = "; ".join(
            f"asked {row.asked:g}, measured {row.measured:.3f}" for row in self.rates.itertuples(index=False)
        )
        return f"AlarmReplay: false alarms {told}; .catches and .cost have more"


def troubles_of(curves: Curves) -> pd.DataFrame:
    """What went wrong or was changed: run, trouble, at (step), from events and from interventions, the first of each.

    A failure that follows a change belongs to the change.
    """
    changed = arms(curves.runs)
    step = changed["start"] * curves.runs["last_step"].astype(float).reindex(changed.index)
    planned = pd.DataFrame({"run": changed.index, "trouble": changed["intervention"], "at": step})
    logged = curves.events.rename(columns={"what": "trouble", "step": "at"})[["run", "trouble", "at"]]
    table = pd.concat([planned, logged], ignore_index=True).sort_values(["run", "at"], kind="stable")
    failure = table["trouble"].map(failed).astype(bool)
    other = set(table.loc[~failure, "run"])
    return table[~(failure & table["run"].isin(other))].drop_duplicates("run").reset_index(drop=True)


def held_out(curves: Curves, column: str, folds: int) -> list[list[str]]:
    """The runs of each fold: those of one value of a column are never apart."""
    values = curves.runs.index.to_series() if column == "run" else curves.runs[column].astype(str)
    order = sorted(set(values), key=lambda name: hashlib.sha256(name.encode()).digest())
    if len(order) < 2:
        raise ValueError(f"alarms are replayed by runs left out, and all runs have one {column}; name another column")
    number = {name: place % min(folds, len(order)) for place, name in enumerate(order)}
    return [[run for run in values.index if number[values[run]] == fold] for fold in range(min(folds, len(order)))]


def backtest_alarms(
    curves: Curves,
    *,
    false_alarms: float | Sequence[float] = RATES,
    healthy: Collection[str] | None = None,
    troubles: pd.DataFrame | None = None,
    hold_out: str = "family",
    folds: int = FOLDS,
    seed: int = 0,
    resume: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, all_: None,
) -> AlarmReplay:
    """Replay finished runs: how many healthy ones ring, how many troubles are caught, and how early.

    ``false_alarms``: the rates that are asked for. ``healthy`` names runs that went well, ``troubles`` (run, trouble,
    at) those that did not, and since which step; without them events and interventions say so. Runs of one value of
    the column ``hold_out`` are held out together. Every checkpoint is looked at. ``resume`` is a folder that keeps what
    is done of each fold, for the next call with the same arguments. Raises ValueError as `learn` does.
    """
    rates = [false_alarms] if isinstance(false_alarms, float) else list(false_alarms)
    wrong = troubles_of(curves) if troubles is None else troubles
    good = healthy_runs(curves) if healthy is None else [run for run in ended(curves) if run in set(healthy)]
    asked = [*good, *(run for run in wrong["run"] if run not in set(good))]
    paths: list[pd.DataFrame] = []
    notes: list[str] = []
    parts = held_out(curves, hold_out, folds)
    for number, test in enumerate(parts):
        progress(number, len(parts))
        mine = [run for run in test if run in set(asked)]
        others = [run for run in good if run not in set(test)]
        if not mine:
            continue
        kept = None if resume is None else resume / f"fold{number}.parquet"
        if kept is not None and kept.exists():
            found = pd.read_parquet(kept)
        else:
            rest = curves.select(runs=curves.runs.index.difference(test))
            apart = hold_out == "family"  # then no run is of a family that is known
            detector = learn(rest, false_alarms=min(rates), healthy=others, known_families=not apart, seed=seed)
            found = detector.evidence(curves.select(runs=mine))
            found.attrs["notes"] = list(detector.notes)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                found.to_parquet(kept)
        paths.append(found)
        notes += [line for line in found.attrs["notes"] if line not in notes]
    progress(len(parts), len(parts))
    return summed_up(curves, _joined(paths), good, wrong, rates, notes=tuple(notes), seed=seed)


def _joined(paths: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table of those of the folds, without what was noted of each."""
    return pd.concat([pd.DataFrame({name: one[name] for name in one}) for one in paths], ignore_index=True)


def summed_up(
    curves: Curves, paths: pd.DataFrame, healthy: Collection[str], troubles: pd.DataFrame, rates: Sequence[float],
    *, notes: tuple[str, ...] = (), seed: int = 0,
) -> AlarmReplay:  # fmt: skip
    """The replay of any rule whose ``paths`` (run, step, p[, kind]) say how rare each checkpoint is."""
    runs = pd.concat([_rang(curves, paths, healthy, troubles, rate) for rate in rates], ignore_index=True)
    return AlarmReplay(runs, *tables(runs, seed=seed), _cost(curves, paths, healthy, troubles), notes)


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


def _rang(
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


def _cost(curves: Curves, paths: pd.DataFrame, healthy: Collection[str], troubles: pd.DataFrame) -> pd.DataFrame:
    """For each cost of a missed trouble, in false alarms, the rate to ask for, and what a run then costs on average.

    Healthy and troubled runs count alike. ``never`` and ``always`` are the costs of no alarm and of one for each run.
    """
    rows = []
    tried = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]
    found: Mapping[float, pd.DataFrame] = {rate: _rang(curves, paths, healthy, troubles, rate) for rate in tried}
    for cost in COSTS:
        spent = []
        for table in found.values():
            calm = table[table["trouble"] == ""]
            wrong = table[table["trouble"] != ""]
            missed = 1 - wrong["caught"].mean() if len(wrong) else 0.0
            spent.append(0.5 * calm["rang"].notna().mean() + 0.5 * cost * missed)
        best = int(np.argmin(spent))
        rows.append((cost, tried[best], spent[best], 0.5 * cost, 0.5))
    return pd.DataFrame(rows, columns=["miss_costs", "rate", "cost", "never", "always"])

"""Forecast losses under schedules that were never seen, by schedule laws, beside the laws as published.

python benchmarks/schedules.py FOLDER... [--inner] [--third] [--tidy DIR]

Each folder holds the curves of one model size: SCHEDULE.csv with the columns step, lr and loss, as in the public tables
of the multi-power law (data set multi_power_law; one folder a size). Laws are fitted to cosine_24000, constant_24000
and wsdcon_9, and forecast all other curves. With --inner each of these three is forecast from the other two instead,
so that choices can be made without looking at the test. With --third one cosine run is seen for its first third, and
the end of the warm-up-stable-decay run of the same length is forecast, beside a forecaster blind to the schedule.
--tidy writes the folders for `predictdyn backtest --split seen --targets hidden`. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.fitting.schedule_laws import LAWS, MOMENTUM, MULTI_POWER, RateCurve, ScheduleLaw, published, rate_curve
from predictdyn.fitting.schedule_mixture import LossCurve, fit_schedules
from predictdyn.fitting.schedule_runs import fit_runs

TRAINED = ("cosine_24000", "constant_24000", "wsdcon_9")
METHODS: dict[str, tuple[ScheduleLaw, ...]] = {
    "momentum law, as published": (published(MOMENTUM),),
    "multi-power law, as published": (published(MULTI_POWER),),
    "the three laws, without bend": tuple(map(published, LAWS)),
    **{f"{law.name}, with bend": (law,) for law in LAWS},
    "schedule laws": LAWS,
}
THIRD, BLIND = "cosine_24000", "wsd_20000_24000"
COLUMNS = ["curve", "mae", "rmse", "relative", "worst", "coverage_90", "width_90"]


class Logged(NamedTuple):
    """One curve: its rate, steps and losses (t,)."""

    rate: RateCurve
    step: np.ndarray
    loss: np.ndarray

    def until(self, share: float) -> LossCurve:
        """What is seen of it up to a share of its last step, in logs."""
        n = int(np.searchsorted(self.step, share * self.step[-1], side="right"))
        return LossCurve(self.rate, self.step[:n], np.log(self.loss[:n]))


def read(folder: Path) -> dict[str, Logged]:
    """The curves of one size by schedule."""
    found = {}
    for file in sorted(folder.glob("*.csv")):
        table = pd.read_csv(file)
        step = table["step"].to_numpy(float)
        found[file.stem] = Logged(rate_curve(step, table["lr"].to_numpy(float)), step, table["loss"].to_numpy(float))
    return found


def scores(
    curves: Mapping[str, Logged], seen: Sequence[str], asked: Sequence[str], laws: Sequence[ScheduleLaw]
) -> tuple[pd.DataFrame, float]:
    """A row for each curve asked, and the CPU seconds of fit and forecasts."""
    begin = time.process_time()
    fit = fit_runs([curves[name].until(1.0) for name in seen], laws=laws)
    assert fit is not None
    drawn = {}
    for name in asked:
        draws = fit.draws(curves[name].rate, curves[name].step, curves[name].step[-1], seed=0)
        drawn[name] = np.quantile(np.exp(draws), [0.05, 0.5, 0.95], axis=1)
    seconds = time.process_time() - begin
    rows = []
    for name, (low, middle, high) in drawn.items():
        truth = curves[name].loss
        off, inside = np.abs(middle - truth), (low <= truth) & (truth <= high)
        relative = off / truth
        row = (off.mean(), np.sqrt((off**2).mean()), relative.mean(), relative.max(), inside.mean())
        rows.append((name, *row, (high - low).mean()))
    return pd.DataFrame(rows, columns=COLUMNS), seconds


def inner(curves: Mapping[str, Logged], laws: Sequence[ScheduleLaw]) -> tuple[pd.DataFrame, float]:
    """Each of the three from the other two."""
    found = [scores(curves, [other for other in TRAINED if other != name], [name], laws) for name in TRAINED]
    return pd.concat([table for table, _ in found]), sum(seconds for _, seconds in found)


def third(curves: Mapping[str, Logged]) -> list[dict[str, float | str]]:
    """From a third of a cosine run to the end of a run that decays at its end: error with and without its schedule."""
    truth = float(curves[BLIND].loss[-1])
    rows: list[dict[str, float | str]] = []
    for method, rate in (
        ("schedule laws", curves[BLIND].rate),
        ("blind: as if constant", curves["constant_24000"].rate),
    ):
        end = curves[BLIND].step[-1]
        fit = fit_schedules([curves[THIRD].until(1 / 3)], reach=rate, until=end)
        assert fit is not None
        low, middle, high = np.quantile(np.exp(fit.draws(rate, np.array([end]), end, seed=0)[0]), [0.05, 0.5, 0.95])
        rows.append({"method": method, "error": middle - truth, "low": low, "high": high, "truth": truth})
    return rows


def write_tidy(curves: Mapping[str, Logged], folder: Path, params: int, *, third_of: bool) -> None:
    """A tidy folder whose column seen is the split: the three schedules, or a third of one cosine run."""
    folder.mkdir(parents=True, exist_ok=True)
    parts, runs = [], []
    for name, one in curves.items():
        if third_of and name not in (THIRD, BLIND):
            continue
        seen = (one.step <= one.step[-1] / 3) & (name == THIRD) if third_of else np.full(len(one.step), name in TRAINED)
        parts.append(pd.DataFrame({"run": name, "metric": "loss", "step": one.step, "value": one.loss, "seen": seen}))
        rate = one.rate.rate
        parts.append(pd.DataFrame({"run": name, "metric": "lr", "step": one.step, "value": rate, "seen": True}))
        runs.append({"run": name, "family": name, "last_step": int(one.step[-1]), "params": params})
    points = pd.concat(parts)
    points.assign(step=points["step"].astype(int), seen=points["seen"].astype(int)).to_csv(
        folder / "points.csv", index=False
    )
    pd.DataFrame(runs).to_csv(folder / "runs.csv", index=False)
    metrics = [("loss", "loss", 0, "lower"), ("lr", "schedule", 0, "")]
    pd.DataFrame(metrics, columns=["metric", "kind", "lower", "better"]).to_csv(folder / "metrics.csv", index=False)


def markdown(table: pd.DataFrame, digits: int) -> str:
    """A table with so many digits."""
    cells = [[f"{one:.{digits}f}" if isinstance(one, float) else str(one) for one in row] for row in table.to_numpy()]
    head = [list(map(str, table.columns)), ["---"] * len(table.columns)]
    return "\n".join("| " + " | ".join(row) + " |" for row in head + cells)


def main() -> None:
    """Read the folders, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--inner", action="store_true", help="each of the three from the other two")
    parser.add_argument("--third", action="store_true", help="from a third of a cosine run")
    parser.add_argument("--tidy", type=Path, help="write tidy folders with a column seen here")
    asked = parser.parse_args()
    for folder in asked.folders:
        curves = read(folder)
        if asked.tidy:
            params = int("".join(filter(str.isdigit, folder.name)) or 0) * 10**6
            write_tidy(curves, asked.tidy / folder.name, params, third_of=asked.third)
            continue
        print(f"\n{folder.name}\n")
        if asked.third:
            print(markdown(pd.DataFrame(third(curves)), 4))
            continue
        fit_schedules([curves[TRAINED[0]].until(1.0)])  # what is imported when first used is not timed
        rows = []
        for method, laws in METHODS.items():
            others = [name for name in curves if name not in TRAINED]
            table, seconds = inner(curves, laws) if asked.inner else scores(curves, TRAINED, others, laws)
            mean = table[COLUMNS[1:]].mean()
            rows.append([method, *mean.where(mean.index != "worst", table["worst"].max()), seconds])
        print(markdown(pd.DataFrame(rows, columns=["method", *COLUMNS[1:], "cpu_s"]), 5))


if __name__ == "__main__":
    main()

"""What a change of code did to accuracy: two backtest folders of the same data, by the same command, row by row.

python benchmarks/difference.py DATA BEFORE AFTER [--forecaster auto]

For each kind and over all: the share of the CRPS of BEFORE that AFTER saves (above zero is better), with its 90 %
interval over families, then runs (`predictdyn.backtest.compare.skill`). Each metric and cutoff is in units of the
median CRPS of last_value there, and no row counts for more than `MOST_UNITS` of them. Rows that only one of the two
has are left out and counted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn import loaders
from predictdyn.backtest.compare import skill
from predictdyn.backtest.summary import MOST_UNITS

KEY = ["cutoff", "run", "metric", "step"]


def rows_of(folder: Path, forecaster: str) -> pd.DataFrame:
    """The CRPS of a forecaster, one row a target (index `KEY`); kind beside it."""
    table = pd.read_parquet(folder / "forecasts.parquet")
    return table[table["forecaster"] == forecaster].dropna(subset=["crps"]).set_index(KEY)[["kind", "crps"]]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--forecaster", default="auto")
    called = parser.parse_args()
    before, after = (rows_of(folder, called.forecaster) for folder in (called.before, called.after))
    plain = rows_of(called.after, "last_value")["crps"]
    both = after.join(before["crps"].rename("before"), how="inner").join(plain.rename("plain"), how="inner")
    unit = both.groupby(["metric", "cutoff"])["plain"].transform("median")
    both = both[unit > 0].assign(unit=unit[unit > 0]).reset_index()
    family = both["run"].map(loaders.load(called.data).runs["family"]).to_numpy()
    print(f"{len(both)} rows in both; {len(before) + len(after) - 2 * len(both)} in one alone")
    print("| kind | CRPS saved | runs | families |\n| --- | --- | ---: | ---: |")
    for kind in (*sorted(both["kind"].unique()), "all"):
        mine = np.ones(len(both), dtype=bool) if kind == "all" else (both["kind"] == kind).to_numpy()
        own, old = ((both[name] / both["unit"]).clip(upper=MOST_UNITS).to_numpy()[mine] for name in ("crps", "before"))
        found = skill(own, old, both["run"].to_numpy()[mine], family[mine], seed=0)
        saved = f"{found.skill:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
        print(f"| {kind} | {saved} | {found.n_runs} | {found.n_families} |")


if __name__ == "__main__":
    main()

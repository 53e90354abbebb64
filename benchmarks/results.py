"""A Markdown table of what one forecaster reached, from the verdicts of backtest folders.

python benchmarks/results.py FOLDER [FOLDER ...] [--forecaster auto]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd


def table(folder: Path, forecaster: str) -> list[str]:
    """Rows of one folder: data, kind, seen, runs, best baseline, skill with interval, share of truths held, verdict."""
    verdicts = pd.read_csv(folder / "verdicts.csv").query("forecaster == @forecaster")
    title = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["title"]
    return [
        f"| {title} | {row.kind} | {row.cutoff:.1%} | {row.n_runs} in {row.n_families} | {row.best_baseline} "
        f"| {row.skill:+.2f} ({row.skill_lo:+.2f} to {row.skill_hi:+.2f}) | {row.coverage_90:.0%} | {row.verdict} |"
        for row in verdicts.itertuples()
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--forecaster", default="auto")
    called = parser.parse_args()
    print("| data | kind | seen | runs in families | best baseline | skill | held | verdict |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for folder in called.folders:
        print("\n".join(table(folder, called.forecaster)))


if __name__ == "__main__":
    main()

"""One figure of what can be forecast when: skill and verdict by kind and share of the run seen, one panel a backtest.

python benchmarks/verdicts.py FOLDER [FOLDER ...] --out docs/figures/verdicts.svg [--forecaster auto]

A cell is the skill of the forecaster over the best baseline of that kind and cutoff with its 90 % interval; its colour
is the verdict.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from predictdyn.report.style import LIGHT, canvas, drawing

KINDS = ("capability", "bias", "robustness", "memorization", "loss")
COLOURS = {"predictable here": "green", "not predictable here": "rule", "too few runs to say": "panel"}
WIDTH, ROW, HEAD, FOOT = 9.4, 0.46, 0.75, 0.62  # inches


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders written by predictdyn backtest")
    parser.add_argument("--out", type=Path, required=True, help="SVG file to write")
    parser.add_argument("--forecaster", default="auto")
    called = parser.parse_args()
    missing = [folder for folder in called.folders if not (folder / "verdicts.csv").is_file()]
    if missing:
        parser.error(f"{missing[0]} has no verdicts.csv; name folders that predictdyn backtest wrote")
    tables = {_title(folder): _verdicts(folder, called.forecaster) for folder in called.folders}
    kinds = [kind for kind in KINDS if any((table.kind == kind).any() for table in tables.values())]
    with canvas((WIDTH, HEAD + ROW * len(kinds) + FOOT)) as (figure, axes):
        axes.remove()
        widths = [table.cutoff.nunique() for table in tables.values()]
        panels = figure.subplots(1, len(tables), width_ratios=widths, sharey=True, squeeze=False)[0]
        for panel, (title, table) in zip(panels, tables.items(), strict=True):
            _panel(panel, title, table, kinds)
        _legend(figure)
        called.out.write_text(drawing(figure, "verdicts").alone, encoding="utf-8")


def _title(folder: Path) -> str:
    return str(json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["title"])


def _verdicts(folder: Path, forecaster: str) -> pd.DataFrame:
    return pd.read_csv(folder / "verdicts.csv").query("forecaster == @forecaster")


def _panel(axes: Axes, title: str, table: pd.DataFrame, kinds: list[str]) -> None:
    """A grid of cells: kinds down, cutoffs across; blank where the data have no such kind."""
    cutoffs = sorted(table.cutoff.unique())
    for cell in table.itertuples():
        x, y = cutoffs.index(cell.cutoff), kinds.index(cell.kind)
        colour = LIGHT[COLOURS[cell.verdict]]
        words = LIGHT["paper"] if cell.verdict == "predictable here" else LIGHT["ink"]
        axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour, edgecolor="none"))
        axes.text(x, y - 0.14, _short(cell.skill), ha="center", va="center", color=words, fontsize=10.5)
        interval = f"{_short(cell.skill_lo)} to {_short(cell.skill_hi)}"
        axes.text(x, y + 0.22, interval, ha="center", va="center", color=words, fontsize=6.3)
    runs, families = int(table.n_runs.max()), int(table.n_families.max())
    axes.set_title(f"{title}\n{runs} runs in {families} families", fontsize=10, loc="left")
    axes.set_xticks(range(len(cutoffs)), [f"{cutoff:.0%}" if cutoff >= 0.01 else f"{cutoff:.1%}" for cutoff in cutoffs])
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set(xlim=(-0.5, len(cutoffs) - 0.5), ylim=(len(kinds) - 0.5, -0.5), xlabel="share of the run seen")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _short(skill: float) -> str:
    """Two digits, as a narrow cell needs it: .09, −.13, −1.5, −75."""
    if abs(skill) >= 0.995:
        return f"{skill:.{0 if abs(skill) >= 9.95 else 1}f}".replace("-", "−")
    return f"{skill:.2f}".replace("0.", ".", 1).replace("-", "−")


def _legend(figure: Figure) -> None:
    handles = [Patch(facecolor=LIGHT[colour], edgecolor=LIGHT["quiet"], linewidth=0.4) for colour in COLOURS.values()]
    figure.legend(handles, COLOURS, loc="outside lower center", ncols=3, frameon=False, fontsize=9.5)


if __name__ == "__main__":
    main()

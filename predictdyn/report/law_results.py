"""The files of a law, read and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from predictdyn.report.figures.scaling import Picture
from predictdyn.report.results import provenance_of, read_csv

NEEDED = {
    "structures": ["structure", "formula", "weight", "held_out_crps", "shown"],
    "parameters": ["structure", "symbol", "meaning", "group", "median", "q0.05", "q0.95", "shown"],
    "runs": ["run", "fitted", "residual", "far_out"],
}
OPTIONAL = {
    "predictions": ["plan", "median", "q0.05", "q0.95", "times", "status"],
    "held_out": ["run", "truth", "median", "q0.05", "q0.95", "inside", "crps", "crps_dearest"],
    "optimum": ["compute", "quantity", "median", "q0.05", "q0.95"],
    "line": ["median", "q0.05", "q0.95"],
    "surface": ["median"],
    "budgets": ["budget", "median", "best", "edge"],
}
FACTS = ("target", "label", "inputs", "runs", "symbols", "formula", "x", "x_label", "main", "warnings", "notes")


@dataclass(frozen=True)
class LawResults:
    """All that the page of a law is made from: ``facts`` of law.json, and tables, empty where there was nothing."""

    folder: Path
    provenance: dict[str, Any]
    facts: dict[str, Any]
    structures: pd.DataFrame
    parameters: pd.DataFrame
    runs: pd.DataFrame
    predictions: pd.DataFrame
    held_out: pd.DataFrame
    optimum: pd.DataFrame
    line: pd.DataFrame
    surface: pd.DataFrame
    budgets: pd.DataFrame

    @property
    def label(self) -> str:
        """The target in words."""
        return str(self.facts["label"])

    @property
    def picture(self) -> Picture:
        """What figures are drawn from."""
        asked = self.predictions
        if "target" in asked:
            # Of several outcomes figures show the first.
            asked = asked[asked["target"] == self.facts["target"]]
        if len(asked) and self.facts["x"] not in asked:
            asked = asked.head(0)
        return Picture(
            target=self.label, column=str(self.facts["target"]), x=str(self.facts["x"]),
            x_label=str(self.facts["x_label"]), main=tuple(self.facts["main"]), runs=self.runs, held=self.held_out,
            line=self.line, asked=asked, surface=self.surface, budgets=self.budgets,
        )  # fmt: skip


def read_law(folder: Path) -> LawResults:
    """Read a folder that `predictdyn law` wrote. Raises ValueError, one line, where a file is missing or malformed."""
    provenance = provenance_of(folder)
    path = folder / "law.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: a law folder has it; run predictdyn law again") from None
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, but {' '.join(str(error).split())}") from error
    missing = [name for name in FACTS if name not in facts]
    if missing:
        raise ValueError(f"{path}: missing {', '.join(missing)}")
    tables = {name: _read(folder / f"{name}.csv", columns, needed=True) for name, columns in NEEDED.items()}
    tables |= {name: _read(folder / f"{name}.csv", columns, needed=False) for name, columns in OPTIONAL.items()}
    for name in ("runs", "held_out"):
        if len(tables[name]):
            tables[name]["run"] = tables[name]["run"].astype(str)
    tables["parameters"]["group"] = tables["parameters"]["group"].astype(object).fillna("").astype(str)
    return LawResults(folder, provenance, facts, **tables)


def _read(path: Path, columns: list[str], *, needed: bool) -> pd.DataFrame:
    if not path.is_file():
        if needed:
            raise ValueError(f"{path} is missing: a law folder has it; run predictdyn law again")
        return pd.DataFrame(columns=columns)
    try:
        table = read_csv(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: cannot be read as CSV ({' '.join(str(error).split())[:160]})") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"{path}: missing column(s) {', '.join(missing)}; needed are {', '.join(columns)}")
    return table

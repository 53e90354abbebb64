"""The files of replayed alarms: what the page of a folder is made from."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

ABOUT, PAGE = "alarms.json", "alarms.html"
WATCH = "watch"  # the learnt alarms among the rules
TABLES = {
    "runs": ["run", "family", "trouble", "at", "rate", "rang", "kind", "lead", "lead_steps", "caught"],
    "rates": ["asked", "runs", "families", "rang", "measured", "low", "high"],
    "catches": ["rate", "trouble", "runs", "caught", "lead", "lead_steps", "before"],
    "cost": ["miss_costs", "rate", "cost", "never", "always"],
    "rules": ["rule", "asked", "runs", "rang", "measured", "low", "high", "troubles", "caught", "lead", "lead_steps"],
    "doubtful": ["run", "metric", "end", "others", "limit", "since"],
}
WORDS = ("run", "family", "trouble", "kind", "rule", "metric")


class AlarmsView(NamedTuple):
    """What the page shows: the tables of a replay, lines of events.csv for the doubtful runs, and notes."""

    title: str
    created: str
    runs: pd.DataFrame
    rates: pd.DataFrame
    catches: pd.DataFrame
    cost: pd.DataFrame
    rules: pd.DataFrame
    doubtful: pd.DataFrame
    events: Sequence[str]
    notes: Sequence[str]

    @property
    def asked(self) -> float:
        """The first rate that was asked for, of which figures and first lines speak."""
        return float(self.rates["asked"].iloc[0]) if len(self.rates) else math.nan

    @property
    def first_rules(self) -> pd.DataFrame:
        """The rules at that rate: the learnt alarms, then the others, those that catch most first."""
        rows = self.rules[self.rules["asked"] == self.asked] if len(self.rules) else self.rules
        if not len(rows):
            return rows
        order = rows.sort_values(["caught", "lead", "rang"], ascending=[False, False, True], kind="stable")
        return pd.concat([order[order["rule"] == WATCH], order[order["rule"] != WATCH]], ignore_index=True)


def read_alarms(folder: Path) -> AlarmsView:
    """What `AlarmReplay.save` wrote into a folder; ValueError, one line, where a file is missing or malformed."""
    path = folder / ABOUT
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        told = {name: about[name] for name in ("title", "created", "events", "notes")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected JSON with title, created, events and notes, but {_short(error)}") from error
    tables = {name: _read(folder / f"alarms_{name}.csv", columns) for name, columns in TABLES.items()}
    return AlarmsView(**{**told, **tables})


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    words = dict.fromkeys(WORDS, str)
    blank = {name: ["", "nan", "NaN"] for name in columns if name not in WORDS}
    try:
        # By default pandas would take a run called NA, and a trouble called nan, for a blank.
        table = pd.read_csv(path, dtype=words, keep_default_na=False, na_values=blank)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as CSV ({_short(error)})") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"{path}: missing column(s) {', '.join(missing)}; needed are {', '.join(columns)}")
    for name in columns:
        # Bools count as numbers; with a blank among them a column is of objects.
        if name not in WORDS and not pd.api.types.is_numeric_dtype(table[name]) and len(table):
            what = "True or False" if name == "caught" else "a number"
            wrong = table[name].isna() if name == "caught" else pd.to_numeric(table[name], errors="coerce").isna()
            found = table.loc[wrong, name].iloc[0] if wrong.any() else table[name].iloc[0]
            raise ValueError(f"{path}: {name} must be {what}, found {found!r}")
    return table


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]

"""What leaves: the files of a folder, redacted, with a list of what was replaced and of what stays at home."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from predictdyn.publishing.texts import PLAIN, TEXTS, redacted
from predictdyn.redaction import Finding, Redaction
from predictdyn.report.style import plain

MOST_BYTES = 50_000_000  # of one file


class Leaving(NamedTuple):
    """Files by name as they would leave, what was replaced in them, and files that stay at home with the reason."""

    files: dict[str, str]
    found: list[Finding]
    home: dict[str, str]


def check_page(folder: Path) -> None:
    """Raises ValueError for a folder that has no page."""
    if not (folder / "index.html").is_file():
        raise ValueError(f"{folder} has no index.html; publish takes a folder that forecast, backtest or record wrote")


def leaving(folder: Path, redaction: Redaction) -> Leaving:
    """Read a folder of pages, and redact it; nothing is written."""
    files: dict[str, str] = {}
    found: list[Finding] = []
    home: dict[str, str] = {}
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = file.relative_to(folder).as_posix()
        if file.is_symlink() or any(part.startswith(".") for part in Path(name).parts):
            home[name] = "hidden file or link"
        elif file.suffix.lower() not in TEXTS and file.name not in PLAIN:
            home[name] = "not a page, table or text"
        elif file.stat().st_size > MOST_BYTES:
            home[name] = "too large"
        else:
            text = file.read_text(encoding="utf-8", errors="replace")
            safe = redaction.text(name, "names of files", found)
            files[safe] = redacted(name, text, redaction, found)
    if (folder / "forecasts.parquet").is_file():
        files["forecasts.json"] = forecasts_json(folder, redaction, found)
    return Leaving(files, found, home)


def forecasts_json(folder: Path, redaction: Redaction, found: list[Finding]) -> str:
    """The forecasts of a folder as JSON for other tools: a list of objects, one a row of forecasts.parquet."""
    table = pd.read_parquet(folder / "forecasts.parquet")
    rows = [{key: _plain(value) for key, value in row.items()} for row in table.to_dict("records")]
    return json.dumps(redaction.data(rows, "forecasts.json", found), indent=1, ensure_ascii=False) + "\n"


def _plain(value: object) -> object:
    """A cell as JSON has it: numbers that are none are null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def left(files: Mapping[str, str], redaction: Redaction) -> list[Finding]:
    """What a second look would still replace: nothing, unless a rule of one's own makes what another rule meets."""
    found: list[Finding] = []
    for name, text in files.items():
        redacted(name, text, redaction, found)
    return found


def run_names(folder: Path) -> list[str]:
    """The names of runs in a folder's results, whatever of them its pages show."""
    names: dict[str, None] = {}
    for file in folder.glob("*.parquet"):
        table = pd.read_parquet(file)
        for column in ("run", "family"):
            if column in table:
                names |= dict.fromkeys(str(name) for name in table[column].dropna().unique())
    for file in folder.glob("*.csv"):
        with file.open(encoding="utf-8", errors="replace", newline="") as opened:
            rows = csv.DictReader(opened)
            names |= dict.fromkeys(row[key] for row in rows for key in ("run", "family") if row.get(key))
    for file in folder.glob("q/*.json"):
        data = json.loads(file.read_text(encoding="utf-8"))
        names |= dict.fromkeys(str(data[key]) for key in ("run", "family") if key in data)
    return list(names)


def elided(aliases: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Aliases, and with each name what figures make of it where it is too long: its begin and its end."""
    pairs = {}
    for name, alias in aliases.items():
        for longest in range(9, len(name)):
            pairs[plain(name, longest)] = alias
        pairs[name] = alias
    return tuple(pairs.items())

"""The record: what failed, what was planned, on which data, with what, and how to do it again."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from predictdyn.report.blocks import Cell, PageBlock, PageTable, Section, table, words
from predictdyn.report.downloads import download
from predictdyn.report.results import Results
from predictdyn.report.words import at_cutoff, count, in_order, percent, percents, value

ROWS = 40  # of a long table that stand on the page; the rest is in the file
REASONS = 20


def failures(results: Results) -> Section:
    """Status counts per forecaster, with shares; censored runs counted."""
    rows = results.forecasts
    cells = []
    order = dict.fromkeys([results.primary, *rows["forecaster"]])
    for name in order:
        status = rows.loc[rows["forecaster"] == name, "status"]
        ok, censored = int((status == "ok").sum()), int((status == "censored").sum())
        fell = len(status) - ok - censored
        cells.append(
            [
                Cell(name, mark="main" if name == results.primary else ""),
                Cell(f"{len(status):,}"),
                *(Cell(f"{n:,}", percent(n / len(status))) for n in (ok, fell, censored)),
            ]
        )
    main = PageTable(
        "What became of every forecast. Ok: the forecaster answered by itself.",
        ["forecaster", "forecasts", "ok", "fell back", "no outcome (censored)"],
        cells,
    )
    why = (
        rows[~rows["status"].isin(["ok", "censored"])]
        .groupby(["forecaster", "status"])
        .size()
        .sort_values(ascending=False)
        .reset_index(name="n")
    )
    censored_runs = rows.loc[rows["status"] == "censored", "run"].nunique()
    blocks: list[PageBlock] = [
        words(
            "A forecast that fails is not dropped. It gets the draws of the best simple guess, and is counted here.",
            f"{count(censored_runs, 'run')} ended before what was to be forecast. Such forecasts have no score."
            if censored_runs
            else "",
        ),
        table(main),
    ]
    if len(why):
        listed = [
            [Cell(row["forecaster"]), Cell(row["status"]), Cell(f"{row['n']:,}")]
            for _, row in why.head(REASONS).iterrows()
        ]
        left = _left_out(len(why), REASONS, "forecasts.parquet")
        blocks.append(
            table(
                PageTable(f"Why forecasts fell back.{left}", ["forecaster", "reason", "forecasts"], listed, 2),
                "Reasons of the fallbacks",
            )
        )
    return Section("failures", "Failures and fallbacks", blocks)


def plan(results: Results) -> Section:
    """The plan, the data, warnings, and the long tables folded away."""
    provenance = results.provenance
    data = provenance.get("data") or {}
    known = [count(data[key], one, many) for key, one, many in (
        ("runs", "run", ""), ("families", "family", "families"), ("metrics", "metric", ""), ("points", "point", "")
    ) if isinstance(data.get(key), int | float)]  # fmt: skip
    blocks = [words(f"Data: {', '.join(known)}." if known else "")]
    planned = provenance.get("plan") or {}
    short = {key: setting for key, setting in planned.items() if not isinstance(setting, dict)}
    if short:
        blocks.append(table(_settings("The plan.", short)))
    for key in [key for key in planned if key not in short]:
        name = _plainly(key).replace("_", " ")
        blocks.append(table(_settings(f"Of the plan: {name}.", planned[key]), f"The plan's {name}"))
    warned = [str(line) for line in provenance.get("warnings") or []]
    if warned:
        blocks.append(PageBlock("list", lines=warned[:ROWS], title=f"{count(len(warned), 'warning')}"))
    else:
        blocks.append(words("No warnings."))
    if len(results.scores):
        blocks.append(_scores(results))
    blocks.append(_metrics(results))
    return Section("plan", "The plan and the data", blocks)


def _settings(caption: str, settings: dict[str, Any]) -> PageTable:
    cells = [[Cell(_plainly(key).replace("_", " ")), Cell(_plainly(setting))] for key, setting in settings.items()]
    return PageTable(caption, ["setting", "value"], cells, 2)


def _scores(results: Results) -> PageBlock:
    own = results.scores[results.scores["forecaster"] == results.primary]
    place = own["kind"].map({kind: i for i, kind in enumerate(in_order(own["kind"], results.kinds))})
    own = own.assign(place=place).sort_values(["place", "metric", "cutoff"], kind="stable")
    cells = [
        [
            Cell(row["metric"]), Cell(row["kind"]), Cell(at_cutoff(row["cutoff"])),
            Cell(f"{row['n_runs']:,.0f}"), Cell(percent(row["skill"]), percents(row["skill_lo"], row["skill_hi"])),
            Cell(value(row["crps"])), Cell(value(row["ae"])), Cell(percent(row["coverage_90"])),
            Cell(percent(row["fallback_share"])),
        ]
        for _, row in own.head(ROWS).iterrows()
    ]  # fmt: skip
    head = ["metric", "kind", "cutoff", "runs", "skill", "CRPS", "absolute error", "in 90\u00a0%", "fell back"]
    caption = f"{results.primary}, CRPS and error in the metric's units.{_left_out(len(own), ROWS, 'scores.csv')}"
    return table(
        PageTable(caption, head, cells, 2, download(results.scores, "scores.csv")),
        f"Scores of {results.primary}, metric by metric ({count(len(own), 'row')})",
    )


def _metrics(results: Results) -> PageBlock:
    used = results.metrics[results.metrics["metric"].isin(set(results.forecasts["metric"]))]
    cells = [
        [Cell(row["metric"]), Cell(row["kind"]), *(Cell(_edge(row[name])) for name in ("lower", "upper", "chance")),
         Cell("–" if pd.isna(row["better"]) or row["better"] == "" else str(row["better"]))]
        for _, row in used.head(ROWS).iterrows()
    ]  # fmt: skip
    caption = f"Ranges as declared in the data.{_left_out(len(used), ROWS, 'metrics.csv')}"
    head = ["metric", "kind", "lower", "upper", "chance", "better"]
    return table(
        PageTable(caption, head, cells, 2),
        f"The {count(len(used), 'metric')} that {'was' if len(used) == 1 else 'were'} forecast",
    )


def _edge(number: float) -> str:
    return f"{number:g}".replace("-", "−") if math.isfinite(number) else "–"


def _left_out(total: int, shown: int, file: str) -> str:
    return f" The first {shown} of {total:,} rows; all are in {file}." if total > shown else ""


def origin(provenance: dict[str, Any]) -> Section:
    """Command, versions, hashes and seed: how to do it again."""
    command = str(provenance.get("command") or "")
    facts: list[list[Cell]] = [[Cell("seed"), Cell(str(provenance.get("seed", "–")))]]
    for key, label in (("predictdyn", "predictdyn"), ("created", "made on")):
        if provenance.get(key):
            facts.append([Cell(label), Cell(str(provenance[key]))])
    facts += [
        [Cell(str(name)), Cell(str(v))]
        for name, v in (provenance.get("versions") or {}).items()
        if name != "predictdyn"
    ]
    hashes = [[Cell(str(name)), Cell(str(v))] for name, v in (provenance.get("sha256") or {}).items()]
    seconds = provenance.get("seconds") or {}
    slow = sorted(seconds.items(), key=lambda pair: -float(pair[1]))
    blocks = [words("The same data, seed and versions give the same numbers on one machine. To run it again:")]
    if command:
        blocks.append(PageBlock("code", lines=[command]))
    blocks.append(table(PageTable("Seed and versions.", ["what", "value"], facts, 2)))
    if hashes:
        caption = f"The data, by content.{_left_out(len(hashes), ROWS, 'provenance.json')}"
        blocks.append(
            table(PageTable(caption, ["file", "sha256"], hashes[:ROWS], 2), f"Hashes of {count(len(hashes), 'file')}")
        )
    if slow:
        cells = [[Cell(str(name)), Cell(f"{float(s):,.1f}")] for name, s in slow]
        blocks.append(table(PageTable("Time of each forecaster.", ["forecaster", "seconds"], cells), "Time taken"))
    return Section("provenance", "Provenance", blocks)


def _plainly(setting: Any) -> str:
    if isinstance(setting, list):
        return ", ".join(map(_plainly, setting)) or "–"
    if isinstance(setting, dict):
        return json.dumps(setting, ensure_ascii=False)
    return "–" if setting is None or setting == "" else str(setting)

"""Results: the files of a forecast or a backtest, read and checked; the only place of the report that opens them."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from predictdyn.backtest.compare import NOT_PREDICTABLE, PREDICTABLE, TOO_FEW
from predictdyn.curves import KINDS, OUTCOMES
from predictdyn.forecast import LEVELS
from predictdyn.report.words import cutoffs_of, in_order, readable

QUANTILES = [f"q{level:g}" for level in LEVELS]
_ROWS = ["forecaster", "fold", "cutoff", "run", "metric", "kind", "step", "status", "truth", "mean", "sd", *QUANTILES]
_SKILL = ["skill", "skill_lo", "skill_hi"]
_COVERAGE = ["coverage_50", "coverage_80", "coverage_90", "coverage_95"]
FORECAST_FILES = {
    "forecasts.parquet": _ROWS,
    "paths.parquet": _ROWS,
    "examples.parquet": ["run", "metric", "kind", "step", "value", "cutoff", "seen"],
    "metrics.csv": ["metric", "kind", "lower", "upper", "better", "chance"],
}
BACKTEST_FILES = FORECAST_FILES | {
    "forecasts.parquet": [*_ROWS, "crps", "pit"],
    "scores.csv": ["forecaster", "kind", "metric", "cutoff", "n_runs", "n", "crps", "ae", "coverage_90", *_SKILL,
                   "fallback_share"],
    "leaderboard.csv": ["forecaster", "baseline", "n_families", "n_runs", "n", "scaled_crps", *_SKILL, *_COVERAGE,
                        "fallback_share"],
    "verdicts.csv": ["forecaster", "kind", "cutoff", "best_baseline", "n_families", "n_runs", "n", *_SKILL,
                     "coverage_90", "verdict"],
}  # fmt: skip
PROBABILITIES = "probabilities.csv"  # only where joint events were asked for
ONSET, ONSET_STEPS = "onset.csv", "onset_steps.csv"  # only where onsets were asked for
ONSETS, ONSET_SCORES = "onsets.parquet", "onset_scores.csv"  # the same of a backtest
_ONSET = ["run", "event", "probability", "q0.05", "q0.25", "q0.5", "q0.75", "q0.95", "last_step", "status"]
_GAINS = ["brier", "crps", *(f"{score}_skill{end}" for score in ("brier", "crps") for end in ("", "_lo", "_hi"))]
_ONSETS = ["forecaster", "cutoff", "run", "event", "status", "happened", "probability"]
_ONSET_SCORES = ["forecaster", "cutoff", "n_runs", "n_families", "base_rate", *_GAINS]
TRUST = "trust.csv"  # only where the finished runs were replayed for the forecast
TRUST_COLUMNS = ["metric", "kind", "progress", *_SKILL, "baseline", "coverage_90", "n_runs", "n_families", "note"]
EFFECT_COLUMNS = [
    "intervention", "intervention_step", "run", "metric", "kind", "status",
    *(f"{what}_q{level}" for what in ("without", "with", "effect") for level in ("0.05", "0.5", "0.95")), "words",
]  # fmt: skip
_WORDS = {"forecaster", "fold", "run", "metric", "kind", "status", "best_baseline", "verdict", "better", "baseline"}
_WORDS |= {"event", "intervention", "words", "note"}
_READERS = ("label", "unit")  # columns of metrics.csv that may be missing
MADE = ("backtest", "forecast", "law")
VERDICTS = (PREDICTABLE, NOT_PREDICTABLE, TOO_FEW)


@dataclass(frozen=True)
class Results:
    """All that a page is made from. The tables of a backtest are empty in a folder of forecasts."""

    folder: Path
    made: str
    provenance: dict[str, Any]
    forecasts: pd.DataFrame
    paths: pd.DataFrame
    examples: pd.DataFrame
    metrics: pd.DataFrame
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    leaderboard: pd.DataFrame = field(default_factory=pd.DataFrame)
    verdicts: pd.DataFrame = field(default_factory=pd.DataFrame)
    probabilities: pd.DataFrame = field(default_factory=pd.DataFrame)
    effects: pd.DataFrame = field(default_factory=pd.DataFrame)  # only where interventions were asked for
    onset: pd.DataFrame = field(default_factory=pd.DataFrame)  # only where onsets were asked for
    onset_steps: pd.DataFrame = field(default_factory=pd.DataFrame)
    onsets: pd.DataFrame = field(default_factory=pd.DataFrame)  # the same of a backtest
    onset_scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    trust: pd.DataFrame = field(default_factory=pd.DataFrame)  # how well finished runs are forecast, where replayed

    @property
    def primary(self) -> str:
        """The forecaster that the page speaks for."""
        return str(self.provenance["primary_forecaster"])

    @property
    def seed(self) -> int:
        """The seed of the results, used again for intervals that are drawn."""
        return int(self.provenance.get("seed") or 0)

    @cached_property
    def kinds(self) -> list[str]:
        """The kinds that were forecast, outcomes first."""
        return in_order(self.forecasts["kind"].unique(), KINDS)

    @cached_property
    def outcomes(self) -> list[str]:
        """The kinds that headline and intervals speak of: outcomes, or what there is where no outcome is."""
        return [kind for kind in self.kinds if kind in OUTCOMES] or self.kinds

    @cached_property
    def _labels(self) -> dict[str, str]:
        """What each metric is called: its label, else its name as words, else (two called alike) its name."""
        stated = dict(zip(self.metrics["metric"], self.metrics["label"], strict=True))
        names = dict.fromkeys([*self.metrics["metric"], *self.forecasts["metric"]])
        called = {name: stated.get(name) or readable(name) for name in names}
        twice = {label for label, n in Counter(called.values()).items() if n > 1}
        return {name: name if label in twice else label for name, label in called.items()}

    def label(self, metric: str) -> str:
        """The words for a metric."""
        return self._labels.get(metric, metric)

    @cached_property
    def _units(self) -> dict[str, str]:
        return dict(zip(self.metrics["metric"], self.metrics["unit"], strict=True))

    def unit(self, metric: str) -> str:
        """What a metric is measured in; blank where that is not stated."""
        return self._units.get(metric, "")

    def named(self, kind: str) -> str:
        """The words for the outcome of a kind: the metric where one was forecast, the kind where there are more."""
        found = self.forecasts.loc[self.forecasts["kind"] == kind, "metric"].unique()
        return self.label(found[0]) if len(found) == 1 else kind

    @property
    def speaker(self) -> str:
        """Who forecasts, in a sentence: the name of the package where its own choice of forecasters speaks."""
        return "predictdyn" if self.primary == "auto" else self.primary

    @property
    def cutoffs(self) -> list[float]:
        """The cutoffs in order; one NaN under a fixed split."""
        return cutoffs_of(self.forecasts["cutoff"]) or [math.nan]

    def own(self) -> pd.DataFrame:
        """The primary forecaster's forecasts of outcomes."""
        rows = self.forecasts
        return rows[(rows["forecaster"] == self.primary) & rows["kind"].isin(self.outcomes)]


def read(folder: Path) -> Results:
    """Read a folder that `predictdyn forecast` or `predictdyn backtest` wrote.

    Raises ValueError in one line where a file is missing, unreadable, lacks a column or holds what is not allowed.
    """
    folder = Path(folder)
    provenance = provenance_of(folder)
    made = provenance["made"]
    wanted = BACKTEST_FILES if made == "backtest" else FORECAST_FILES
    tables = {name.split(".")[0]: _table(folder / name, columns, made) for name, columns in wanted.items()}
    if made == "forecast" and (folder / PROBABILITIES).is_file():
        tables["probabilities"] = _table(folder / PROBABILITIES, ["run", "event", "probability", "status"], made)
    if made == "forecast" and (folder / ONSET).is_file():
        tables["onset"] = _table(folder / ONSET, _ONSET, made)
        tables["onset_steps"] = _table(folder / ONSET_STEPS, ["run", "event", "step", "probability"], made)
    if made == "backtest" and (folder / ONSETS).is_file():
        tables["onsets"] = _table(folder / ONSETS, _ONSETS, made)
        tables["onset_scores"] = _table(folder / ONSET_SCORES, _ONSET_SCORES, made)
    if made == "forecast" and (folder / "effects.csv").is_file():
        tables["effects"] = _table(folder / "effects.csv", EFFECT_COLUMNS, made)
    if made == "forecast" and (folder / TRUST).is_file():
        trust = _table(folder / TRUST, TRUST_COLUMNS, made)
        trust = trust.assign(rests_on=trust.get("rests_on", trust["metric"]))  # older folders do not say
        words = {
            name: trust[name].astype(object).where(trust[name].notna(), "").astype(str)
            for name in ("baseline", "note", "rests_on")
        }
        tables["trust"] = trust.assign(**words)
    for name in _READERS:
        column = tables["metrics"].get(name, pd.Series("", index=tables["metrics"].index))
        tables["metrics"][name] = column.astype(object).where(column.notna(), "").astype(str)
    if made == "backtest":
        board = tables["leaderboard"]
        board["baseline"] = board["baseline"].astype(str).str.lower().isin(["true", "1", "1.0"])
    results = Results(folder, made, provenance, **tables)
    _check_words(results)
    return results


def provenance_of(folder: Path) -> dict[str, Any]:
    """What a folder of results says of itself, checked: ``made`` is one of `MADE`."""
    if not folder.is_dir():
        raise ValueError(
            f"expected a folder of results, found none at {folder}; make one by predictdyn backtest or forecast"
        )
    path = folder / "provenance.json"
    if not path.is_file():
        found = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise ValueError(
            f"{path} is missing: expected a folder that predictdyn backtest or forecast wrote, found {found}"
        )
    try:
        provenance = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, but {' '.join(str(error).split())}") from error
    if not isinstance(provenance, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(provenance).__name__}")
    if "headline" in provenance:  # as folders of version 0.1 call it
        provenance.setdefault("primary_forecaster", provenance["headline"])
    missing = [name for name in ("made", "primary_forecaster") if name not in provenance]
    if missing:
        raise ValueError(f"{path}: missing {', '.join(missing)}; needed are made, primary_forecaster")
    if provenance["made"] not in MADE:
        raise ValueError(f"{path}: made is {provenance['made']!r}; allowed are {', '.join(map(repr, MADE))}")
    return provenance


def _table(path: Path, columns: list[str], made: str) -> pd.DataFrame:
    if not path.is_file():
        raise ValueError(f"{path} is missing: a {made} folder has it; run predictdyn {made} again")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else read_csv(path)
    except (ValueError, OSError) as error:
        kind = "parquet" if path.suffix == ".parquet" else "CSV"
        raise ValueError(f"{path}: cannot be read as {kind} ({' '.join(str(error).split())[:160]})") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(
            f"{path}: missing column(s) {', '.join(missing)}; needed are {', '.join(columns)}; "
            f"found {', '.join(map(str, table.columns))}"
        )
    for name in set(columns) & _WORDS - {"better", "baseline", "note"}:
        table[name] = table[name].astype(str)
    for name in [n for n in columns if n not in _WORDS | {"seen"}]:
        number = pd.to_numeric(table[name], errors="coerce")
        wrong = number.isna() & table[name].notna()
        if wrong.any():
            raise ValueError(
                f"{path}: {name} must be a number, found {table[name][wrong].iloc[0]!r} in row {wrong.argmax()}"
            )
        table[name] = number.astype(float)
    return table


def read_csv(path: Path) -> pd.DataFrame:
    """A table of results; only an empty cell and NaN are blank."""
    # by default pandas would take a metric called NA for a blank
    return pd.read_csv(path, keep_default_na=False, na_values=["", "nan", "NaN"])


def _check_words(results: Results) -> None:
    if results.forecasts.empty:
        raise ValueError(f"{results.folder / 'forecasts.parquet'}: expected at least one forecast, found no rows")
    names = sorted(results.forecasts["forecaster"].unique())
    if results.primary not in names:
        raise ValueError(
            f"{results.folder / 'provenance.json'}: primary_forecaster is {results.primary!r}, "
            f"but forecasts.parquet has forecaster {', '.join(names)}"
        )
    if results.made == "backtest":
        wrong = ~results.verdicts["verdict"].isin(VERDICTS)
        if wrong.any():
            raise ValueError(
                f"{results.folder / 'verdicts.csv'}: verdict is {results.verdicts['verdict'][wrong].iloc[0]!r}; "
                f"allowed are {', '.join(map(repr, VERDICTS))}"
            )
        if results.primary not in set(results.verdicts["forecaster"]):
            raise ValueError(
                f"{results.folder / 'verdicts.csv'}: no verdict for the primary forecaster {results.primary!r}"
            )

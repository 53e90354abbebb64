"""What is missing or malformed is said in one line: which file, what was expected, what was found."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from predictdyn.report import publish
from predictdyn.report.results import BACKTEST_FILES


@pytest.mark.parametrize("name", [*BACKTEST_FILES, "provenance.json"])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing: ") as error:
        publish(copied)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [*BACKTEST_FILES, "provenance.json"])
def test_a_broken_file_is_named(copied: Path, name: str) -> None:
    (copied / name).write_bytes(b"")
    with pytest.raises(ValueError, match=f"{name}: (cannot be read as|expected JSON)") as error:
        publish(copied)
    assert "\n" not in str(error.value)


def test_a_missing_column_is_named_with_those_needed(copied: Path) -> None:
    table = pd.read_csv(copied / "verdicts.csv").drop(columns=["skill_lo", "verdict"])
    table.to_csv(copied / "verdicts.csv", index=False)
    with pytest.raises(ValueError, match=r"verdicts.csv: missing column\(s\) skill_lo, verdict; needed are .*; found "):
        publish(copied)


def test_a_word_for_a_number_is_shown(copied: Path) -> None:
    table = pd.read_csv(copied / "leaderboard.csv").astype({"skill": object})
    table.loc[1, "skill"] = "good"
    table.to_csv(copied / "leaderboard.csv", index=False)
    with pytest.raises(ValueError, match=r"leaderboard.csv: skill must be a number, found 'good' in row 1"):
        publish(copied)


def test_an_unknown_verdict_is_refused(copied: Path) -> None:
    table = pd.read_csv(copied / "verdicts.csv").assign(verdict="maybe")
    table.to_csv(copied / "verdicts.csv", index=False)
    with pytest.raises(ValueError, match=r"verdict is 'maybe'; allowed are 'predictable here', "):
        publish(copied)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"made": "soup"}, "made is 'soup'; allowed are 'backtest', 'forecast'"),
        (
            {"primary_forecaster": "nobody"},
            "primary_forecaster is 'nobody', but forecasts.parquet has forecaster auto, last, mean_outcome",
        ),
    ],
)
def test_a_wrong_provenance_is_refused(copied: Path, change: dict, words: str) -> None:
    provenance = json.loads((copied / "provenance.json").read_text()) | change
    (copied / "provenance.json").write_text(json.dumps(provenance))
    with pytest.raises(ValueError, match=words):
        publish(copied)


def test_no_folder_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a folder of results, found none at .*nowhere"):
        publish(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"provenance.json is missing: expected a folder that .* found nothing"):
        publish(tmp_path)


def test_nothing_is_written_where_reading_fails(copied: Path, tmp_path: Path) -> None:
    (copied / "scores.csv").unlink()
    with pytest.raises(ValueError, match=r"scores.csv is missing"):
        publish(copied, tmp_path / "out")
    assert not (tmp_path / "out").exists()

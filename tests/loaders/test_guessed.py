"""A kind that is known by its name alone stays a guess, whatever is written and read again; a stated one does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictdyn import loaders
from predictdyn.loaders import tidy
from predictdyn.loaders.writing import write


def table(folder: Path) -> Path:
    steps = np.arange(1, 21)
    log = pd.DataFrame({"step": steps, "loss": 1 / steps, "learning_rate": 0.1 * 0.9**steps})
    log.to_csv(folder / "run1.csv", index=False)
    return folder / "run1.csv"


def tidy_table(folder: Path) -> Path:
    wide = pd.read_csv(table(folder))
    points = wide.melt("step", var_name="metric").assign(run="run1")
    (folder / "run1.csv").unlink()
    points.to_csv(folder / "points.csv", index=False)
    (folder / "runs.csv").write_text("run,last_step\nrun1,20\n")
    return folder


@pytest.mark.parametrize(("source", "sample"), [("wide", table), ("tidy", tidy_table)])
def test_a_guess_survives_a_round_trip_and_a_statement_ends_it(tmp_path, source, sample):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    path = sample(tmp_path / "in")
    options = {"last_step": 20} if source == "wide" else {}
    write(path, source, tmp_path / "out", options)
    for curves in (loaders.load(path, source, **options), tidy.load(tmp_path / "out")):
        assert curves.metrics["learning_rate"].guessed and not curves.metrics["learning_rate"].known_ahead
        assert not curves.metrics["loss"].guessed
    metrics = pd.read_csv(tmp_path / "out" / "metrics.csv").set_index("metric")
    assert metrics.loc["learning_rate", "guessed"] == 1 and pd.isna(metrics.loc["loss", "guessed"])
    metrics.drop(columns="guessed").to_csv(tmp_path / "out" / "metrics.csv")
    assert tidy.load(tmp_path / "out").metrics["learning_rate"].known_ahead
    tidy.save(tidy.load(tmp_path / "out"), tmp_path / "again")
    assert "guessed" not in (tmp_path / "again" / "metrics.csv").read_text()


def test_a_word_for_guessed_is_an_error(tmp_path):
    tidy_table(tmp_path)
    (tmp_path / "metrics.csv").write_text("metric,kind,guessed\nlearning_rate,schedule,maybe\n")
    with pytest.raises(ValueError, match=r"guessed must be 1, 0 or blank, found 'maybe'"):
        tidy.load(tmp_path)

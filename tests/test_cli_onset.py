"""The option --onset of forecast and backtest: files, words, and one line where it cannot be asked."""

import pandas as pd

WORDS = ("--metrics", "accuracy", "--quiet")


def test_a_forecast_tells_when_it_comes(call, data, tmp_path):
    out = tmp_path / "page"
    asked = ("--forecaster", "mean_change", "--runs", "f0-*", "--cutoff", 0.1, "--onset", "accuracy > 0.5")
    status, printed, err = call("forecast", data, "--out", out, *asked, *WORDS)
    assert status == 0, err
    table, steps = (pd.read_csv(out / name) for name in ("onset.csv", "onset_steps.csv"))
    assert table["run"].tolist() == ["f0-s0", "f0-s1"] and table["probability"].between(0, 1).all()
    assert steps.groupby("run")["step"].max().eq(1000).all()
    assert "f0-s1  accuracy > 0.5 before the end: " in printed
    assert "When it comes" in (out / "index.html").read_text()


def test_a_backtest_scores_when_it_came(call, data, tmp_path):
    out = tmp_path / "page"
    asked = ("--forecasters", "mean_change", "--cutoffs", "0.1", "--onset", "accuracy > 0.5")
    status, printed, err = call("backtest", data, "--out", out, *asked, *WORDS)
    assert status == 0, err
    board = pd.read_csv(out / "onset_scores.csv")
    assert set(board["forecaster"]) == {"hazard", "hazard_by_age", "nearest_run"} and board["brier"].between(0, 1).all()
    assert "onset, 10% seen: hazard  Brier " in printed
    assert "CRPS of the onset" in (out / "report.md").read_text()


def test_an_onset_that_cannot_be_asked_is_one_line(call, data, tmp_path):
    for command in ("forecast", "backtest"):
        more = ("--cutoff", 0.1) if command == "forecast" else ("--cutoffs", "0.1")
        status, _, err = call(command, data, "--out", tmp_path / "none", *more, "--onset", "rate > 1", *WORDS)
        assert status == 2 and err.count("\n") == 1 and "names metric 'rate'" in err
    assert not (tmp_path / "none").exists()

"""What the documentation says to type runs as it is written."""

import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from sklearn.linear_model import Ridge

import predictdyn as pdyn
from predictdyn.forecasters.regressions import FeatureRegression

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page: str) -> list[str]:
    """The blocks of Python on a page."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.S)


def told_by(page: str) -> dict[str, Any]:
    """What is known once all blocks of a page have run."""
    told: dict[str, Any] = {}
    for block in blocks(page):
        exec(compile(block, page, "exec"), told)
    return told


def test_the_page_on_python_runs_as_it_is_written(capsys, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    told = told_by("python.md")
    said = capsys.readouterr().out
    assert said.startswith("Curves: 12 runs, 2 metrics (capability, loss), 424 points\n")
    given = told["with_settings"].runs
    assert given["family"].value_counts().tolist() == [2] * 6 and given.loc["run11", "learning_rate"] == 1e-3
    assert told["forecast"].summary()["run"].tolist() == ["run10", "run10", "run11", "run11"]
    assert told["both"]["probability"].between(0, 1).all() and "verdict" in said
    assert told["page"].is_file() and told["ax"].get_xlabel() == "promised by the interval"


def test_the_page_on_forecasters_runs_as_it_is_written(capsys):
    told = told_by("add-a-forecaster.md")
    board = told["result"].leaderboard.set_index("forecaster")
    said = capsys.readouterr().out
    assert "median_change" in said and "ridge" in said
    mine = board.loc["median_change"]
    assert mine["fallback_share"] == 0 and 0.5 < mine["coverage_90"] <= 1
    assert board["skill"].idxmax() == "pooled_change"
    ridge = told["compared"].leaderboard.set_index("forecaster").loc["ridge"]
    assert ridge["fallback_share"] == 0 and ridge["skill"] > mine["skill"]


def test_what_the_page_on_forecasters_says_of_limits(tmp_path):
    told: dict[str, Any] = {}
    exec(blocks("add-a-forecaster.md")[0], told)
    curves = pdyn.load_dataset("tinylm").select(metrics=["validation_loss"])
    with pytest.raises(ValueError, match="'median_change' is not one"):
        pdyn.fit(curves, told["MedianChange"]()).save(tmp_path / "model")
    ridge = FeatureRegression("ridge", lambda family, seed: Ridge(10.0))
    plain = curves.runs[curves.runs.index.str.fullmatch(r".*-s\d")]
    families = plain["family"].unique()
    few, enough = (curves.select(runs=plain.index[plain["family"].isin(families[:count])]) for count in (4, 5))
    with pytest.warns(UserWarning, match="ridge answered 0 of 55 forecasts"):
        silent = pdyn.backtest(few, ridge, cutoffs=[0.25])
    boards = [one.leaderboard.set_index("forecaster") for one in (silent, pdyn.backtest(enough, ridge, cutoffs=[0.25]))]
    assert [board.loc["ridge", "fallback_share"] for board in boards] == [1, 0]


@pytest.mark.parametrize("page", ["index.md", "get-started.md", "how-to/kinds-and-ends.md", "how-to/save-a-model.md"])
def test_the_python_of_other_pages_runs(page, monkeypatch, capsys):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    told = told_by(page)
    plt.close("all")
    assert len(told["curves"].runs) and ("forecast" not in told or told["forecast"].summary()["status"].eq("ok").all())


def test_the_page_on_scaling_laws_prints_what_it_says(monkeypatch, capsys):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    told = told_by("how-to/scaling-law.md")
    plt.close("all")
    text = (DOCS / "how-to" / "scaling-law.md").read_text(encoding="utf-8")
    shown = " ".join(re.findall(r"```python\n.*?```\n\n```\n(.*?)```", text, flags=re.S))
    numbers = [[float(one) for one in re.findall(r"\d+\.\d+", said)] for said in (shown, capsys.readouterr().out)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.02) and told["law"].warnings == ()
    assert told["ax"].get_xlabel() == "params"


def test_the_readme_prints_what_it_says(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    told = told_by("../README.md")
    plt.close("all")
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n.*?```\n\n```\n(.*?)```", text, flags=re.S)
    assert told["page"].is_file()
    # The last digits differ between machines; all words are the same, and numbers nearly.
    for there, now in zip(shown.split(), capsys.readouterr().out.split(), strict=True):
        if re.fullmatch(r"-?\d+\.\d+", there):
            assert abs(float(there) - float(now)) < 0.06, (there, now)
        else:
            assert there == now

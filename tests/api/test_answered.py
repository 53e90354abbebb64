"""Forecasters that do not answer are said to have not answered, and names belong to one forecaster each."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import predictdyn as pdyn
from predictdyn.backtest.answered import short_of_answers
from predictdyn.forecast import Latent
from predictdyn.forecasters import BASELINES, forecaster
from predictdyn.problem import Problem

ASK: dict[str, Any] = {"cutoffs": [0.3], "progress": False}


@dataclass(frozen=True)
class Raises:
    name: str = "forest"

    def latent(self, problem: Problem) -> Latent:
        raise KeyError("no column depth")


@dataclass(frozen=True)
class Abstains:
    """Answers as the last value does, but for metrics that it does not know."""

    unknown: tuple[str, ...] = ("val_loss",)
    name: str = "picky"

    def latent(self, problem: Problem) -> Latent:
        found = forecaster("last_value").latent(problem)
        mine = ~problem.target["metric"].isin(self.unknown).to_numpy()
        return Latent(found.draws, np.where(mine, "ok", "not a metric of mine").astype(object))


def test_a_forecaster_that_raises_is_said_to_have_answered_nothing(curves, tmp_path):
    line = "forest answered 0 of 12 forecasts (0 %); the rest are the last value; first reason: forecast failed: KeyE"
    with pytest.warns(UserWarning, match="answered") as told:
        found = pdyn.backtest(curves, Raises(), out=tmp_path / "page", **ASK)
    assert [str(one.message).startswith(line) for one in told] == [True] and told[0].filename == __file__
    assert sum(note.startswith(line) for note in found.notes) == 1
    page = (tmp_path / "page" / "index.html").read_text()
    top = page[page.index("<header") : page.index("</header>")]
    assert "forest did not answer: nothing was forecast of val acc and val loss." in top
    assert "forest answered 0 of 12 forecasts" in top and "Not predictable here" not in page
    assert page.count("no answer<small>") == 2
    assert set(found.verdicts["verdict"]) <= {"predictable here", "not predictable here", "too few runs to say"}


def test_a_kind_that_was_not_answered_has_no_verdict_on_the_page(curves, tmp_path):
    with pytest.warns(UserWarning, match=r"picky answered 6 of 12 forecasts \(50 %\); .*: not a metric of mine$"):
        found = pdyn.backtest(curves, Abstains(), **ASK)
    page = found.save(tmp_path / "page").read_text()
    top = page[page.index("<header") : page.index("</header>")]
    assert "picky did not answer for val loss at 30\u00a0%" in top and "did not answer for val acc" not in top
    assert "nothing was forecast" not in top and page.count("no answer<small>") == 1


def test_few_fallbacks_and_those_of_baselines_are_no_warning(curves):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pdyn.backtest(curves, Abstains(unknown=()), **ASK)
    assert found.unanswered == []
    rows = found.forecasts[found.forecasts["forecaster"] == "picky"].head(10).assign(status="ok")
    rows.loc[rows.index[0], "status"] = "alone"
    assert short_of_answers(rows, BASELINES) == [], "a tenth is not more than a tenth"
    rows.loc[rows.index[1], "status"] = "also"
    (line,) = short_of_answers(rows, BASELINES)
    assert line == "picky answered 8 of 10 forecasts (80 %); the rest are the last value; first reason: alone"
    rows.loc[rows.index[2:6], "status"] = "censored"
    assert "4 of 6" in short_of_answers(rows, BASELINES)[0], "what has no outcome has no score"
    assert short_of_answers(rows, ["picky"]) == []


def test_each_forecaster_has_a_name_of_its_own(curves):
    with pytest.raises(ValueError, match="two forecasters are called 'picky'; give each a name of its own"):
        pdyn.backtest(curves, [Abstains(), Abstains(unknown=("val_acc",))], **ASK)
    for taken in ("last_value", "curve_fit"):
        with pytest.raises(ValueError, match=f"{taken!r} is the name of a built-in forecaster; give your Raises"):
            pdyn.backtest(curves, Raises(name=taken), **ASK)
    asked: list[Any] = ["mean_change", forecaster("mean_change"), Abstains(unknown=()), Abstains(unknown=())]
    assert list(pdyn.backtest(curves, asked, **ASK).leaderboard["forecaster"]).count("picky") == 1

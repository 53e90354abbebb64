"""Backtests from Python: tables as the command writes them, figures on any axes, plans by keywords."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import predictdyn as pdyn
from predictdyn.console import as_options
from predictdyn.forecast import DRAWS, Latent, seed_for
from predictdyn.forecasters import BASELINES
from predictdyn.loaders import tidy
from predictdyn.problem import Problem


@pytest.fixture(scope="module")
def found(curves):
    return pdyn.backtest(curves, ["damped_slope"], cutoffs=[0.2, 0.5], progress=False)


def test_the_tables_are_plain_frames(found):
    assert found.primary == "damped_slope"
    assert set(found.leaderboard["forecaster"]) == {*BASELINES, "damped_slope"}
    assert found.leaderboard["scaled_crps"].is_monotonic_increasing
    assert set(found.scores["metric"]) == {"val_acc", "val_loss"} and set(found.scores["cutoff"]) == {0.2, 0.5}
    ended = found.forecasts[found.forecasts["truth"].notna()]
    assert len(ended) == 8 * 2 * 2 * 6 and {"crps", "pit", "q0.5"} <= set(ended)
    own = found.summary()
    cells = [[kind, cutoff] for kind in ("capability", "loss") for cutoff in (0.2, 0.5)]
    assert own[["kind", "cutoff"]].sort_values(["kind", "cutoff"]).to_numpy().tolist() == cells
    assert set(own["verdict"]) <= {"predictable here", "not predictable here", "too few runs to say"}
    assert not any(line.startswith("L2:") for line in found.notes), "no run says what it cost"


def test_baselines_alone_are_summed_up_by_the_one_that_was_asked_for(curves):
    found = pdyn.backtest(curves, "mean_change", cutoffs=[0.5], metrics="val_acc")
    assert found.primary == "mean_change" and len(found.leaderboard) == len(BASELINES)


@dataclass(frozen=True)
class Anything:
    """A model of one's own: any value that the metric can have."""

    name: str = "anything"

    def latent(self, problem: Problem) -> Latent:
        draws = [
            3 * np.random.default_rng(seed_for(problem.seed, *row)).standard_normal(DRAWS)
            for row in problem.target[["run", "metric"]].itertuples(index=False)
        ]
        return Latent(np.stack(draws), np.full(len(draws), "ok", dtype=object))


def test_a_model_of_ones_own_takes_part(curves):
    ask = {"cutoffs": [0.5], "metrics": "val_acc", "hold_out": "run", "test": "r[0-3]"}
    found = pdyn.backtest(curves, Anything(), **ask)
    assert found.primary == "anything" and sorted(found.forecasts["run"].unique()) == ["r0", "r1", "r2", "r3"]
    mine = found.leaderboard.set_index("forecaster").loc["anything"]
    assert mine["fallback_share"] == 0 and mine["skill"] < 0
    found = pdyn.forecast(curves, forecaster=Anything(), metrics="val_acc")
    assert (found.summary()["status"] == "ok").all() and found.interval(0.5)["upper"].gt(0.8).all()


def test_figures_are_drawn_on_axes_that_are_given_or_new_ones(found):
    ax = Figure().add_subplot()
    assert found.plot_skill(ax=ax) is ax and ax.get_ylabel() == "skill"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["20\u00a0%", "50\u00a0%"]
    assert ax.get_title() == "Skill of damped_slope"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["val acc", "val loss"]
    assert found.plot_skill(kind="loss").get_title() == "Skill for val loss of damped_slope"
    assert found.plot_skill(forecaster="pow3").get_title() == "Skill of pow3"
    assert found.plot_calibration(forecaster="pow3").get_title() == "pow3: 24 forecasts of 6 runs"
    with pytest.raises(ValueError, match="no forecaster 'pow' took part; there are "):
        found.plot_calibration(forecaster="pow")
    ax = Figure().add_subplot()
    assert found.plot_calibration(ax=ax) is ax and ax.get_title() == "damped_slope: 24 forecasts of 6 runs"
    assert found.plot_calibration(ax=ax) is ax and ax.get_xlabel() == "promised by the interval"
    own = found.forecasts[(found.forecasts["forecaster"] == "damped_slope") & found.forecasts["truth"].notna()]
    held = ((own["q0.05"] <= own["truth"]) & (own["truth"] <= own["q0.95"])).mean()
    assert any(np.allclose(line.get_xydata(), [[0.9, held]]) for line in ax.lines)
    assert isinstance(found.plot_skill(kind="loss"), Axes)
    axes = found.plot_examples()
    assert 2 <= len(axes) <= 6 and all(ax.get_title() for ax in axes)
    given = [Figure().add_subplot() for _ in range(2)]
    assert list(found.plot_examples(axes=given)) == given
    with pytest.raises(ValueError, match="no kind 'bias' was forecast; there are capability, loss"):
        found.plot_skill(kind="bias")


def test_files_are_those_of_the_command(found, curves, call, tmp_path):
    tidy.save(curves, tmp_path / "data")
    words = ("--forecasters", "damped_slope", "--cutoffs", "0.2,0.5", "--quiet")
    assert call("backtest", tmp_path / "data", "--out", tmp_path / "told", *words)[0] == 0
    page = pdyn.report(found, tmp_path / "saved")
    assert page.is_file()
    assert {file.name for file in page.parent.iterdir()} == {file.name for file in (tmp_path / "told").iterdir()}
    for name in ("forecasts", "paths", "examples"):
        one, other = (pd.read_parquet(tmp_path / folder / f"{name}.parquet") for folder in ("told", "saved"))
        pd.testing.assert_frame_equal(one, other)
    for name in ("scores.csv", "leaderboard.csv", "verdicts.csv"):
        assert (tmp_path / "told" / name).read_bytes() == (tmp_path / "saved" / name).read_bytes()
    one, other = (json.loads((tmp_path / folder / "provenance.json").read_text()) for folder in ("told", "saved"))
    assert other["command"] == "predictdyn.backtest(curves, forecasters=['damped_slope'], cutoffs=[0.2, 0.5])"
    assert one["warnings"] == [as_options(line) for line in other["warnings"]] != []
    same = ("plan", "primary_forecaster", "seed", "data", "versions")
    assert {name: one[name] for name in same} == {name: other[name] for name in same}


def test_a_backtest_may_write_at_once_and_goes_on_where_it_was_interrupted(curves, tmp_path, monkeypatch):
    from predictdyn.api import backtests

    def broken(*words: object) -> None:
        raise OSError(28, "No space left on device")

    ask = {"forecasters": "last_value", "cutoffs": [0.5], "metrics": "val_acc", "out": tmp_path / "page"}
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space") as error:
        patched.setattr(backtests, "write_json", broken)
        pdyn.backtest(curves, **ask)
    assert "the same command goes on from there" in error.value.__notes__[0]
    found = pdyn.backtest(curves, **ask)
    assert (tmp_path / "page" / "index.html").is_file() and len(list(tmp_path.iterdir())) == 1
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "page" / "forecasts.parquet"), found.forecasts)
    with pytest.raises(ValueError, match="exists already; choose another out="):
        pdyn.backtest(curves, **ask)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"cutoffs": [1.5]}, r"cutoffs are shares in \[0, 1\), got 1.5"),
        ({"workers": 0}, "workers= is at least 1, got 0"),
        ({"test": "*"}, "test= holds out all 8 runs"),
        ({"forecasters": "magic"}, "no forecaster 'magic'"),
        ({"forecasters": []}, "forecasters= is empty"),
        ({"metrics": "z*"}, r"no metric matches 'z\*'"),
        ({"hold_out": "colour"}, "hold-out column 'colour' is not in runs"),
        ({"targets": "all"}, "targets is final or hidden"),
    ],
)
def test_a_wrong_call_is_one_line(curves, named, said):
    with pytest.raises(ValueError, match=said) as error:
        pdyn.backtest(curves, **named)
    assert "--" not in str(error.value)


def test_a_repr_is_short_and_a_notebook_shows_the_verdicts(found):
    assert repr(found).startswith("Backtest: damped_slope and 7 more;") and "of 4 pairs" in repr(found)
    assert found._repr_html_().count("<tr") == 5


def test_progress_is_shown_where_it_is_asked_for_alone(curves, capfd):
    ask = {"forecasters": "last_value", "cutoffs": [0.5], "metrics": "val_acc", "test": "r0"}
    pdyn.backtest(curves, **ask)
    pdyn.backtest(curves, **ask, progress=False)
    assert capfd.readouterr() == ("", "")
    pdyn.backtest(curves, **ask, progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "backtest" in err and "1/1" in err

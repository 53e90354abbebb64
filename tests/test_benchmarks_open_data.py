"""Benchmarks on public data: the tidy folders hold what their sources state, and classic laws find exact curves."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from predictdyn.curves import Metric, curves_from
from predictdyn.loaders import tidy

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def module(name: str) -> ModuleType:
    """A script of the folder of benchmarks, which is no package."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


open_data, classic = module("open_data"), module("classic")


@pytest.fixture
def made(real_data, tmp_path, monkeypatch):
    """A function that makes a data set by name and loads it as the command would."""
    monkeypatch.setenv("PREDICTDYN_DATA", str(real_data))

    def make(name):
        open_data.make([name], tmp_path)
        return tidy.load(tmp_path / name)

    return make


# name: runs, families, points, covariates
STATED = {
    "revisiting_lang": (20, 20, 712, []),
    "revisiting_inet_10": (6, 6, 1952, []),
    "bnsl": (1, 1, 17, []),
    "gemstones": (11, 11, 11 * (175 + 2 * 35 + 18 * 35), ["width", "depth", "params"]),
    "modded_nanogpt": (22 + 40, 22 + 1, 705 + 40 * 13, ["track"]),
    "supercollapse": (8, 8, 8 * 906, ["num_params", "width", "lr"]),
    "pythia_memorization": (8, 8, 8 * (7 + 6 + 6), ["parameters"]),
    "pythia_bias": (5, 5, 3 * (24 + 42) + 11 * (14 + 24 + 24), ["parameters"]),
}


@pytest.mark.parametrize("name", open_data.DATA_SETS)
def test_a_data_set_holds_what_its_source_states_and_no_column_of_the_end(name, made):
    curves = made(name)
    *counts, covariates = STATED[name]
    assert [len(curves.runs), curves.runs["family"].nunique(), len(curves.points)] == counts
    assert list(curves.runs.columns) == ["family", "last_step", *covariates]
    last = curves.points.groupby("run")["step"].max()
    pd.testing.assert_series_equal(curves.runs["last_step"], last, check_names=False)
    # A stereotype score is best in its middle, which is where chance is.
    assert all(m.better or m.chance == 0.5 for m in curves.metrics.values() if m.kind != "signal")
    assert set(curves.metrics) == set(curves.points["metric"])


@pytest.mark.parametrize("name", ["revisiting_lang", "revisiting_inet_10", "bnsl"])
def test_what_is_seen_comes_before_what_is_hidden(name, made):
    points = made(name).points
    seen, hidden = points[points["seen"]], points[~points["seen"]]
    gap = hidden.groupby("run")["step"].min() / seen.groupby("run")["step"].max()
    assert len(gap) == points["run"].nunique() and (gap > 1).all()


def test_language_curves_are_split_as_published(made):
    points = made("revisiting_lang").points
    curves = points.groupby(["metric", "run"])["seen"].agg(["size", "sum"])
    assert curves.groupby("metric").size().to_dict() == {"BB error": 10, "LM loss": 5, "NMT loss": 5}
    assert set(curves.loc["BB error", "size"]) == {43} and set(curves.loc["BB error", "sum"]) == {19}
    assert sorted(curves.loc["LM loss", "size"]) == [21, 21, 24, 44, 119]
    assert (curves.loc["NMT loss", "size"] - curves.loc["NMT loss", "sum"] == 1).all()


def test_vision_curves_keep_60_to_69_points_to_fit(made):
    seen = made("revisiting_inet_10").points.groupby("run")["seen"].sum()
    assert sorted(seen) == [60, 65, 66, 67, 68, 69]


def test_addition_hides_its_last_three_points(made):
    points = made("bnsl").points
    assert points.loc[~points["seen"], "step"].tolist() == [800, 864, 928]


def test_gemstones_state_chance_and_no_standard_error_of_one_subject(made):
    curves = made("gemstones")
    assert curves.metrics["acc_hellaswag"] == Metric("acc_hellaswag", "capability", 0, 1, "higher", 0.25)
    stated = curves.points.groupby("metric")["stderr"].count()
    assert set(stated.index[stated > 0]) == {f"acc_{name}" for name in open_data.CHANCE} - {"acc_mmlu"}
    kinds = pd.Series({name: metric.kind for name, metric in curves.metrics.items()}).value_counts()
    assert kinds.to_dict() == {"capability": 9, "signal": 9, "robustness": 2, "loss": 1}


def test_what_stays_memorized_is_what_both_checkpoints_have(made):
    curves = made("pythia_memorization")
    share, recall, precision = (curves.series["12b", name].value for name in ("memorized_share", "recall", "precision"))
    # Two roads to the sequences that are memorized now and at the end.
    assert_allclose(precision * share[:-1], recall * share[-1], rtol=1e-4)
    assert_allclose([share[0], recall[0], precision[0]], [0.0084144, 0.77255 / 1.54564, 0.77255 / 0.84144], rtol=1e-5)
    assert curves.runs["parameters"].loc[["70m", "1.4b"]].tolist() == [70_000_000, 1_400_000_000]


def test_speed_runs_have_the_losses_of_their_index(made, real_data):
    curves = made("modded_nanogpt")
    index = pd.read_csv(real_data / "modded_nanogpt" / "index.csv")
    index.index = [Path(file).stem for file in index["file"]]
    mine = curves.points[curves.points["run"].isin(index.index)].groupby("run")["value"]
    assert_allclose(mine.last()[index.index], index["final_val_loss"])
    assert_allclose(mine.size()[index.index], index["n_val_loss"])
    assert curves.runs["family"].value_counts().iloc[:2].tolist() == [40, 1]


def test_a_wrong_call_says_what_is_known_or_missing(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no data set 'bnls'; known are revisiting_lang"):
        open_data.make(["bnls"], tmp_path)
    monkeypatch.setenv("PREDICTDYN_DATA", str(tmp_path / "absent"))
    with pytest.raises(ValueError, match="PREDICTDYN_DATA must name the folder"):
        open_data.make(["bnsl"], tmp_path)


X, X_NEW = np.geomspace(1e6, 1e9, 24), np.array([1.5e9, 4e9])


def m4_curve(values, limit=0.2, err_0=1.0, a=0.4, b=2e3, c=0.5):
    """The x at which M4 has these values, straight from its equation: no solving, unlike in the extrapolator."""
    return ((values - limit) / (err_0 - values) ** a / b) ** (-1 / c)


EXACT = {
    "log-log tail": lambda x: 3 * x**-0.1,
    "M1": lambda x: 3 * x**-0.1,
    "M2": lambda x: 0.4 + 900 * x**-0.5,
    "M3": lambda x: 20 * (1 / x + 1e-8) ** 0.2,
    "broken power law": lambda x: 0.1 + 2 * x**-0.05 * (1 + (x / 3e7) ** (1 / 0.3)) ** (-0.4 * 0.3),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_law_finds_its_own_curve(name):
    law = EXACT[name]
    assert_allclose(classic.EXTRAPOLATORS[name](X, law(X), X_NEW), law(X_NEW), rtol=2e-4)


def test_m4_finds_its_own_curve():
    values = np.linspace(0.95, 0.3, 30)
    x = m4_curve(values)
    later = np.array([0.27, 0.22])
    assert_allclose(classic.m4(x, values, m4_curve(later)), later, rtol=1e-3)


def test_m1_does_not_find_a_curve_with_a_limit():
    law = EXACT["M2"]
    assert np.abs(np.log(classic.m1(X, law(X), X_NEW) / law(X_NEW))).min() > 0.05


def test_damped_goes_on_from_the_last_level_with_three_fifths_of_the_slope():
    y = 3 * X**-0.1
    assert_allclose(classic.damped(X, y, X_NEW), y[-1] * (X_NEW / X[-1]) ** -0.06)


def test_m4_is_refused_above_its_end_and_ends_at_the_bound():
    with pytest.raises(ValueError, match=r"below err_0 = 1, found 1\.5"):
        classic.m4(X, np.linspace(1.5, 0.5, len(X)), X_NEW)
    rising = np.linspace(0.5, 0.9995, len(X))
    assert classic.m4(X, rising, X_NEW, err_0=1.001, upper=0.7).max() <= 0.7


@pytest.mark.parametrize("name", classic.EXTRAPOLATORS)
def test_an_extrapolator_is_finite_on_noise_and_does_not_depend_on_the_unit_of_x(name):
    y = 0.5 * np.exp(0.05 * np.random.default_rng(0).standard_normal(len(X)))
    answer = classic.EXTRAPOLATORS[name](X, y, X_NEW)
    assert answer.shape == X_NEW.shape and np.isfinite(answer).all() and (answer > 0).all()
    assert_allclose(classic.EXTRAPOLATORS[name](X / 1e5, y, X_NEW / 1e5), answer, rtol=1e-3)


@pytest.fixture
def extrapolation(monkeypatch):
    """The script, which finds its neighbours beside it."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield module("extrapolation")
    for name in ("classic", "open_data"):
        sys.modules.pop(name, None)


def two_curves():
    """A falling curve of 16 points, 12 of them seen, and one too short to be cut again."""
    step = np.arange(1, 17)
    long = pd.DataFrame({"run": "long", "metric": "loss", "step": step, "value": 2.0 + step**-0.5, "seen": step <= 12})
    short = pd.DataFrame({"run": "short", "metric": "loss", "step": [1, 2, 3], "value": 1.0, "seen": [1, 1, 0]})
    return curves_from(pd.concat([long, short]), metrics={"loss": Metric("loss", "loss", 0.0, None, "lower")})


def test_an_inner_cut_shows_nothing_of_what_is_hidden(extrapolation):
    cut = extrapolation.inner(two_curves(), 0.5)
    assert cut.points["step"].tolist() == list(range(1, 13)) and cut.points["seen"].sum() == 6
    assert cut.runs["last_step"].to_dict() == {"long": 12}


def test_the_table_has_a_row_for_every_method_and_blanks_without_intervals(extrapolation):
    split = extrapolation.Split("revisiting_lang", np.nan, two_curves())
    last_value = extrapolation.forecaster("last_value")
    forecast = extrapolation.by_forecasters(split, [last_value], workers=1, seed=0)
    errors = pd.concat([extrapolation.by_classics(split), forecast])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in extrapolation.table(errors)]
    assert {len(row) for row in rows} == {11}
    found = {row[0]: row for row in rows[2:]}
    # M4 is not defined for losses above 1.
    assert set(found) == {*classic.EXTRAPOLATORS, "last_value"} - {"M4"}
    truth = np.log(2 + np.arange(13, 17) ** -0.5) - np.log(2 + 12**-0.5)
    error = np.sqrt((truth**2).mean())
    assert_allclose([float(found[name][1]) for name in ("last value", "last_value")], error / 2, atol=1e-3)
    assert found["last value"][6] == "" and found["last_value"][6].endswith("%")


def test_an_answer_that_is_no_positive_number_is_an_infinite_error(extrapolation):
    assert extrapolation.rmsle(np.array([1.0, np.nan]), np.ones(2)) == np.inf
    assert extrapolation.rmsle(np.array([0.0]), np.ones(1)) == np.inf
    assert_allclose(extrapolation.rmsle(np.array([np.e, 1.0]), np.ones(2)), np.sqrt(0.5))

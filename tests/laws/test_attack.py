"""Odd tables, settings and plans: each has one clear line, or an answer that says what is odd."""

import json

import numpy as np
import pandas as pd
import pytest

import predictdyn as pdyn
from predictdyn.laws.cells import column, mixed_units, number
from predictdyn.laws.law import law_of
from predictdyn.laws.link import link_for

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def few(known):
    return known.runs(16)


@pytest.fixture(scope="module")
def law(few):
    return pdyn.fit_law(few, "loss")


BAD = {
    "no rows": (lambda t: (t.head(0), {}), "the table has no rows"),
    "a constant target": (lambda t: (t.assign(loss=2.5), {}), "target 'loss' is 2.5 in all 16 rows"),
    "no target": (lambda t: (t.assign(loss=np.nan), {}), "no row has a number for 'loss'"),
    "no inputs": (lambda t: (t, {"inputs": []}), "inputs= is empty"),
    "tiny targets": (lambda t: (t.assign(loss=t["loss"] * 1e-200), {}), "write very small numbers in another unit"),
    "bounds swapped": (lambda t: (t, {"lower": 9, "upper": 1}), "lower=9 is not below upper=1"),
    "a bound in words": (lambda t: (t, {"lower": "zero"}), "lower= is a number, got 'zero'"),
    "a bound of NaN": (lambda t: (t, {"upper": np.nan}), "upper= is a number, got nan"),
    "chance out of range": (lambda t: (t, {"lower": 0, "upper": 5, "chance": 9}), "chance=9 lies outside"),
    "a negative seed": (lambda t: (t, {"seed": -1}), "seed= is a whole number from 0 on, got -1"),
    "half a seed": (lambda t: (t, {"seed": 1.5}), "seed= is a whole number from 0 on, got 1.5"),
    "the target as cost": (lambda t: (t, {"cost": "loss"}), "is made of the target"),
    "no cost": (lambda t: (t, {"cost": "0*params"}), "not positive in 16 of 16 rows, first row 1"),
    "a cost that fails": (lambda t: (t, {"cost": lambda _: 1 / 0}), "not computable (ZeroDivisionError"),
    "one cost for all": (lambda t: (t, {"cost": lambda _: 3.0}), "but of shape ()"),
    "a cost of NaN": (lambda t: (t, {"cost": lambda t: t["params"] * np.nan}), "not finite in 16 of 16 rows"),
    "cost as a column": (
        lambda t: (t.rename(columns={"params": "cost"}), {"cost": "6*cost*tokens"}),
        "column 'cost' has the name of a column of results",
    ),
    "run as an input": (
        lambda t: (t.rename(columns={"params": "run"}), {"inputs": ["run", "tokens"]}),
        "column 'run' has the name of a column of results",
    ),
    "decimal commas": (
        lambda t: (t.assign(loss=[f"{one:.4f}".replace(".", ",") for one in t["loss"]]), {}),
        "a decimal comma is not read; write a point",
    ),
}


@pytest.mark.parametrize("case", BAD, ids=list(BAD))
def test_what_no_law_can_be_learnt_from_has_one_line(few, case):
    make, line = BAD[case]
    table, settings = make(few)
    with pytest.raises(ValueError) as error:
        pdyn.fit_law(table, "loss", **settings)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_cells_that_are_no_numbers_are_not_taken_for_numbers():
    assert number("2,048,000.5") == 2048000.5 and number(10**400) == np.inf
    for cell in ("3,14", "1,2345", True, 1 + 2j, "70M tokens"):
        with pytest.raises(ValueError, match="expected a number"):
            number(cell)
    with pytest.raises(ValueError, match="holds True in row 2"):
        column(pd.DataFrame({"x": pd.Series([1.0, True, 3.0], dtype=object)}), "x")
    assert column(pd.DataFrame({"x": [1j, 2j]}), "x") is None


def test_units_are_compared_where_their_ratio_is_beyond_any_number():
    assert "between 1e-320" in mixed_units("x", np.array([1e-320, 1e300])).replace("9.99989e-321", "1e-320")


def test_lists_in_a_column_and_repeated_inputs_do_not_matter(few, law):
    odd = few.assign(tags=[["a"], ["b"]] * 8)
    assert (
        pdyn.fit_law(odd[["params", "tokens", "loss"]], "loss", ["params", "params", "tokens"]).formula == law.formula
    )
    assert "tags" in pdyn.fit_law(odd, "loss").inputs


@pytest.mark.parametrize("cell", [0.0, -5.0])
def test_a_run_without_cost_takes_away_the_cost_and_not_the_law(few, cell, tmp_path):
    few = few.copy()
    few.loc[3, "tokens"] = cell
    found = pdyn.fit_law(few, "loss")
    assert any("cost 6 x params x tokens is not positive in 1 of 16 rows, first row 4" in line for line in found.notes)
    assert not any(line.startswith("cost is ") for line in found.notes)
    found.save(tmp_path / "page")
    assert found.predict(params=1e9, tokens=1e10)["status"].tolist() == ["ok"]


def test_plans_that_are_absurd_have_a_status_or_a_short_caution(law):
    found = law.predict(params=[1e9, np.nan, 0, -1, np.inf, 1e300], tokens=3e11)
    status = ["ok", "params is missing", "params is zero", "params is negative", "params is missing", "ok"]
    assert found["status"].tolist() == status
    bad = found["status"] != "ok"
    assert found.loc[bad, ["median", "times"]].isna().all(axis=None)
    assert found.loc[~bad, ["5 %", "median", "95 %"]].notna().all(axis=None)
    assert all(len(line) < 200 for line in law.check(params=[1e300, 1e-300], tokens=3e11))
    assert law.check(params=[-1, np.nan], tokens=3e9) == []
    with pytest.raises(ValueError, match="'zzz' is no input; inputs are params, tokens"):
        law.predict(params=1e9, tokens=1e10, zzz=3)


def test_a_plan_that_differs_where_no_run_did_is_uncertain_and_says_so(few):
    few = few.assign(params=1e8)
    found = pdyn.fit_law(few, "loss")
    assert found.inputs == ["tokens"]
    here, there = (found.predict(params=params, tokens=1e10) for params in (1e8, 1e10))
    width = [float((one["95 %"] - one["5 %"]).iloc[0]) for one in (here, there)]
    assert width[1] > 3 * width[0]
    assert found.predict(tokens=1e10)["median"].equals(here["median"])
    assert any("all finished runs have params 1e+08" in line for line in found.check(params=1e10, tokens=1e10))


def test_the_command_warns_of_a_plan_that_differs_where_no_run_did(call, few, tmp_path):
    file, out = tmp_path / "runs.csv", tmp_path / "page"
    few.assign(params=1e8).to_csv(file, index=False)
    words = ("--target", "loss", "--out", out, "--quiet", "--predict", "params=1e10,tokens=1e11")
    status, printed, err = call("law", file, *words)
    assert status == 0 and "a run with tokens 1e11, params 1e10: " in printed
    assert "warning: a run with tokens 1e11, params 1e10: all finished runs have params 1e+08" in err


def test_proportions_that_do_not_sum_as_the_runs_did_have_no_forecast():
    rng = np.random.default_rng(0)
    web = rng.dirichlet([1, 1], 20)
    runs = pd.DataFrame({"params": 10 ** rng.uniform(7, 9, 20), "web": web[:, 0], "code": web[:, 1]})
    runs["loss"] = 1.5 + 300 / runs["params"] ** 0.34 + 0.3 * runs["web"] ** 2
    found = pdyn.fit_law(runs, "loss").predict(params=1e9, web=[0.3, 0.9, 1.2], code=[0.7, 0.9, -0.2])
    assert found["status"].tolist() == [
        "ok", "web + code is 1.8, but 1 in the finished runs", "a proportion is negative",
    ]  # fmt: skip
    assert found["median"].notna().tolist() == [True, False, False]


def test_a_stated_bound_holds_in_all_draws(few):
    y = few["loss"].to_numpy()
    for settings in ({"lower": 2.0}, {"lower": float(y.min())}, {"upper": float(y.max())}):
        draws = pdyn.fit_law(few, "loss", **settings).draws(params=[1e5, 1e11], tokens=[1e6, 1e13])
        assert draws.min() >= settings.get("lower", 0) and draws.max() <= settings.get("upper", np.inf)
    zeros = link_for(np.array([0.0, 1.0, 2.0]), lower=0.0)
    assert zeros.value(np.array([-50.0])).tolist() == [0.0]


def test_accuracy_in_percent_lies_between_0_and_100(few):
    rise = np.log(few["params"] * few["tokens"])
    odds = (rise - rise.mean()) / rise.std()
    table = few.assign(accuracy=100 / (1 + np.exp(-odds))).drop(columns="loss")
    found = pdyn.fit_law(table, "accuracy")
    assert any("between 0 and 100, higher is better" in line for line in found.notes)
    draws = found.draws(params=1e12, tokens=1e14)
    assert np.median(draws) > 90 and draws.max() <= 100


def test_a_chance_that_runs_are_below_is_not_used_and_that_is_said(few):
    table = few.assign(accuracy=np.linspace(0.3, 0.7, 16)).drop(columns="loss")
    assert any("chance=0.6 is not used" in line for line in pdyn.fit_law(table, "accuracy", chance=0.6).notes)


def test_a_copy_of_the_target_as_an_input_is_told(few, law):
    found = pdyn.fit_law(few.assign(copy=2 * few["loss"] + 1), "loss")
    assert any(line.startswith("copy goes with loss on a straight line") for line in found.warnings)
    assert not any("straight line" in line for line in law.warnings)


def test_formulas_tell_columns_from_their_numbers(few):
    found = pdyn.fit_law(few.rename(columns={"params": "E", "tokens": "A"}), "loss")
    symbols = set(found.parameters["symbol"])
    assert not {"E", "A", "a"} & symbols and "E0" in symbols
    assert "[0]^" in pdyn.fit_law(few.rename(columns={"params": "0"}), "loss").formula


def test_an_input_called_compute_has_figures(few, tmp_path):
    table = few.assign(compute=6 * few["params"] * few["tokens"])[["compute", "params", "loss"]]
    found = pdyn.fit_law(table, "loss")
    found.save(tmp_path / "page")
    facts = json.loads((tmp_path / "page" / "law.json").read_text())
    assert facts["inputs"] == ["compute", "params"]


def test_forecasts_do_not_depend_on_the_names_of_columns(few, law):
    swapped = pdyn.fit_law(few.rename(columns={"params": "tokens", "tokens": "params"}), "loss")
    one, other = law.predict(params=1e10, tokens=3e11), swapped.predict(params=3e11, tokens=1e10)
    assert one[["5 %", "median", "95 %", "times"]].equals(other[["5 %", "median", "95 %", "times"]])


def test_targets_that_do_not_differ_are_refused_by_the_engine(few):
    with pytest.raises(ValueError, match="needs outcomes that differ, got 2 to 2 in 16 runs"):
        law_of(few.assign(loss=2.0), "loss")


def test_the_command_names_the_option_and_leaves_nothing(call, few, tmp_path):
    file, out = tmp_path / "runs.csv", tmp_path / "page"
    few.to_csv(file, index=False)
    for words, line in (
        (["--predict", "params=1,params=2,tokens=3"], "--predict names 'params' twice"),
        (["--predict", "params=1e10,tokens=1e11,zzz=3"], "'zzz' is no input; inputs are"),
        (["--inputs", ","], "--inputs takes names of columns"),
        (["--lower", "3", "--upper", "1"], "--lower 3 is not below --upper 1"),
        (["--seed", "-1"], "--seed is a whole number"),
    ):
        status, printed, err = call("law", file, "--target", "loss", "--out", out, "--quiet", *words)
        assert (status, printed) == (2, "") and line in err and "Traceback" not in err
        assert [one.name for one in tmp_path.iterdir()] == ["runs.csv"]


def test_tables_with_semicolons_or_a_column_twice(call, few, tmp_path):
    file = tmp_path / "runs.csv"
    few.to_csv(file, index=False, sep=";", decimal=",")
    words = ("--target", "loss", "--out", tmp_path / "page", "--quiet")
    status, printed, err = call("law", file, *words)
    assert status == 0, err
    assert printed.splitlines()[0] == pdyn.fit_law(few, "loss").formula
    file.write_text("params,loss,loss\n1,2,3\n")
    status, _, err = call("law", file, "--target", "loss", "--out", tmp_path / "other")
    assert status == 2 and "column 'loss' is there more than once" in err


def test_a_plan_without_an_answer_says_why(call, few, tmp_path):
    file, out = tmp_path / "runs.csv", tmp_path / "page"
    few.to_csv(file, index=False)
    status, printed, err = call(
        "law", file, "--target", "loss", "--out", out, "--quiet", "--predict", "params=1e10,tokens=nan",
    )  # fmt: skip
    assert status == 0, err
    assert "a run with params 1e10, tokens nan: no forecast, tokens is missing" in printed
    assert pd.read_csv(out / "predictions.csv")["status"].tolist() == ["tokens is missing"]


def test_a_wild_outcome_and_a_bound_that_is_reached_are_told(few):
    wild = few.copy()
    wild.loc[3, "loss"] = 1e12
    assert any(line.startswith("column loss seems to mix units") for line in pdyn.fit_law(wild, "loss").notes)
    low = float(few["loss"].min())
    assert any("loss reaches lower=" in line for line in pdyn.fit_law(few, "loss", lower=low).notes)
    assert not any("loss reaches" in line for line in pdyn.fit_law(few, "loss", lower=1.0).notes)


def test_odd_cells_of_plans_cost_the_forecaster_a_run_and_not_the_input(few):
    def forecast(cell):
        plans = few[["params", "tokens"]].astype(object)
        plans.loc[3, "params"] = cell
        names = [f"r{i:02}" for i in few.index]
        points = pd.DataFrame({"run": np.repeat(names, 2), "step": [50, 100] * len(few)})
        points["val_loss"] = np.repeat(few["loss"].to_numpy(), 2)
        curves = pdyn.Curves.from_frame(points, runs=plans.assign(run=names, last_step=100))
        found = pdyn.forecast(curves, forecaster="law", runs="r00", cutoff=0).summary()
        return float((found["95 %"] - found["5 %"]).iloc[0])

    plain = forecast(few.loc[3, "params"])
    assert forecast(np.inf) < 2 * plain and forecast(np.nan) < 2 * plain

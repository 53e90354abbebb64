"""fit_law: answers with intervals, plans as tables or keywords, figures, files and a page that says the same."""

import json
import re

import matplotlib
import numpy as np
import pandas as pd
import pytest

import predictdyn as pdyn
from predictdyn.report import publish

matplotlib.use("Agg")


def loss(params, tokens):
    return 1.7 + 400 / params**0.34 + 410 / tokens**0.28


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    params = 10 ** rng.uniform(7.5, 9.5, 40)
    tokens = params * 10 ** rng.uniform(0.7, 1.9, 40)
    return pd.DataFrame(
        {"params": params, "tokens": tokens, "loss": loss(params, tokens) * np.exp(0.003 * rng.standard_normal(40))}
    )


@pytest.fixture(scope="module")
def law(runs):
    return pdyn.fit_law(runs, "loss")


def test_predictions_of_a_larger_run(law):
    found = law.predict(params=7e9, tokens="1.4e11")
    assert list(found) == ["params", "tokens", "median", "mean", "5 %", "95 %", "times", "status"]
    row = found.iloc[0]
    assert row["5 %"] < row["median"] < row["95 %"] and row["status"] == "ok"
    assert row["median"] == pytest.approx(loss(7e9, 1.4e11), rel=0.03)
    draws = law.draws(params=7e9, tokens=1.4e11, n=1000)
    assert draws.shape == (1, 1000) and np.median(draws) == pytest.approx(row["median"])
    assert law.predict(params=7e9, tokens=1.4e11).equals(
        law.predict(pd.DataFrame({"params": [7e9], "tokens": [1.4e11]}))
    )


def test_plans_as_keywords_and_what_is_wrong_with_them(law):
    many = law.predict(params=[1e9, "2B", None], tokens=[2e10, 0, 1e10])
    assert many["status"].tolist() == ["ok", "tokens is zero", "params is missing"]
    assert many["median"].isna().tolist() == [False, True, True]
    for plan, words in (
        ({"params": 1e9}, "a plan needs params, tokens; missing tokens"),
        ({"parms": 1e9, "tokens": 1e10}, r"'parms' is no input; did you mean 'params'\?"),
        ({"params": "large", "tokens": 1e10}, "plan: params: expected a number, got 'large'"),
        ({"params": [1e9, 2e9], "tokens": [1e9, 2e9, 3e9]}, "plans have one length, got 2, 3"),
        ({}, "give a table of plans, or values of params, tokens as keywords"),
    ):
        with pytest.raises(ValueError, match=words):
            law.predict(**plan)


def test_names_of_columns_change_no_forecast(runs, law):
    renamed = pdyn.fit_law(runs.rename(columns={"params": "x7", "tokens": "label b"}), "loss", cost="6*x7*label b")
    plain = law.predict(params=[7e9, 1e8], tokens=[1.4e11, 3e9])
    other = renamed.predict(pd.DataFrame({"x7": [7e9, 1e8], "label b": [1.4e11, 3e9]}))
    assert np.array_equal(plain[["median", "5 %", "95 %", "times"]], other[["median", "5 %", "95 %", "times"]])


def test_what_it_says_of_itself(law):
    assert repr(law).startswith("FittedLaw of loss over params, tokens, 40 runs: loss = ")
    assert law.formula in law._repr_html_().replace("&#x27;", "'")
    assert set(law.parameters["symbol"]) >= {"E", "A"} and law.structures["shown"].sum() == 1
    left = law.residuals()
    assert np.allclose(left["loss"] - left["fitted"], left["residual"]) and left["residual"].abs().max() < 0.1
    assert len(law.held_out) == 12 and law.held_out["inside"].dtype == bool
    assert law.check(params=1e8, tokens=1e10) == [] and "times the largest" in law.check(params=1e12, tokens=1e13)[0]


def test_figures_on_given_axes(law):
    import matplotlib.pyplot as plt

    for plot in (law.plot, law.plot_residuals, law.plot_contours, law.plot_isoflops):
        ax = plt.figure().add_subplot()
        assert plot(ax=ax) is ax and ax.get_xlabel() and ax.get_ylabel()
        plt.close(ax.figure)


def test_the_best_plan(law):
    found = law.optimal(1e22).table.set_index("quantity")
    best = (0.34 * 400 / (0.28 * 410)) ** (1 / 0.62) * (1e22 / 6) ** (0.28 / 0.62)
    assert found.loc["params", "low"] / 1.3 < best < found.loc["params", "high"] * 1.3
    assert 6 * found.loc["params", "estimate"] * found.loc["tokens", "estimate"] == pytest.approx(1e22, rel=0.05)
    assert law.optimal(1e22, bounds={"tokens": (0, 1e11)}).table.set_index("quantity").loc["tokens", "high"] <= 1.01e11
    unnamed = pdyn.fit_law(law.finished.table.rename(columns={"params": "x7"}), "loss")
    with pytest.raises(
        ValueError, match=r"optimal needs the cost of a run in terms of its inputs, .*cost='6\*params\*tokens'"
    ):
        unnamed.optimal(1e22)


def test_saved_files_and_page_say_the_same(law, tmp_path):
    out = tmp_path / "law"
    plans = [{"params": 7e9, "tokens": 2e11}, {"params": 0, "tokens": 1e10}]
    page = law.save(out, predict=plans, compute=1e22)
    assert page == out / "index.html"
    found = pd.read_csv(out / "predictions.csv")
    assert found["status"].tolist() == ["ok", "params is zero"]
    assert found["median"][0] == pytest.approx(law.predict(params=7e9, tokens=2e11)["median"][0])
    facts = json.loads((out / "law.json").read_text())
    text = page.read_text()
    assert facts["formula"] == law.formula and facts["symbols"] in text
    assert re.search(r"<h1>Loss = [\d.]+ \+ ", text) and "<sup>" in text
    assert f"{int(law.held_out['inside'].sum())} of 12 outcomes" in text
    assert "nan" not in re.sub(r"<svg.*?</svg>|href=\"data.*?\"", "", text, flags=re.S).lower().split()
    assert {file.name for file in (out / "figures").iterdir()} == {
        "law.svg", "residuals.svg", "contours.svg", "isoflops.svg"
    }  # fmt: skip
    before = (out / "index.html").read_bytes()
    assert publish(out).read_bytes() == before, "the page is made from the files alone"
    about = json.loads((out / "provenance.json").read_text())
    assert about["made"] == "law" and about["command"] == "predictdyn.fit_law(data, 'loss').save('page')"
    with pytest.raises(ValueError, match="exists already"):
        law.save(out)
    (out / "law.json").unlink()
    with pytest.raises(ValueError, match=r"law\.json is missing"):
        publish(out)


def test_without_a_plan_the_dearest_run_ten_times_larger_is_forecast(law, tmp_path):
    law.save(tmp_path / "law")
    found = pd.read_csv(tmp_path / "law" / "predictions.csv")
    assert found["plan"].tolist() == ["a run 10 times as dear as the dearest"] and found["times"][0] == pytest.approx(
        10, rel=1e-3
    )


def test_an_accuracy_has_its_bounds_by_its_name_and_by_word():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"params": 10 ** rng.uniform(6, 9, 30)})
    table["val_acc"] = 1 - 12 * table["params"] ** -0.2 + 0.002 * rng.standard_normal(30)
    law = pdyn.fit_law(table, "val_acc")
    assert any("val_acc is taken as between 0 and 1, higher is better, by its name" in line for line in law.notes)
    far = law.predict(params=1e13)
    assert far["95 %"][0] <= 1 and far["median"][0] > table["val_acc"].max()
    same = pdyn.fit_law(table.rename(columns={"val_acc": "y"}), "y", lower=0, upper=1, better="higher")
    assert same.predict(params=1e13)["median"][0] == far["median"][0]
    with pytest.raises(ValueError, match=r"lower=0.5, but y goes down to 0\."):
        pdyn.fit_law(table.rename(columns={"val_acc": "y"}), "y", lower=0.5, upper=1, better="higher")
    with pytest.raises(ValueError, match="better= is 'lower' or 'higher', got 'more'"):
        pdyn.fit_law(table, "val_acc", better="more")


def test_groups_and_one_input(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"params": 10 ** rng.uniform(6, 9, 40), "data": np.where(np.arange(40) % 2, "c4", "pile")})
    table["loss"] = np.where(table["data"] == "c4", 2.0, 2.3) + 60 * table["params"] ** -0.3
    law = pdyn.fit_law(table, "loss")
    assert law.inputs == ["params", "data"]
    found = law.predict(params=[1e9] * 3, data=["c4", "pile", "wiki"])
    assert found["median"][1] - found["median"][0] == pytest.approx(0.3, abs=0.05)
    width = found["95 %"] - found["5 %"]
    assert width[2] > 3 * width[:2].max(), "a group that was never seen"
    assert any("no finished run has data 'wiki'" in line for line in law.check(params=1e9, data="wiki"))
    own = law.parameters[law.parameters["group"] != ""]
    assert set(own["group"]) == {"c4", "pile"}
    page = law.save(tmp_path / "law", predict=[{"params": 1e10, "data": "c4"}])
    assert "Numbers of each group" in page.read_text()
    with pytest.raises(ValueError, match="plot_contours needs two inputs"):
        law.plot_contours()
    with pytest.raises(ValueError, match="plot_isoflops needs a cost"):
        law.plot_isoflops()


def test_the_best_plan_is_told_for_each_group_and_for_the_mean_mixture(runs, tmp_path):
    table = runs.assign(data=np.where(np.arange(40) % 2, "c4", "pile"))
    table["loss"] += np.where(table["data"] == "pile", 0.3, 0.0)
    law = pdyn.fit_law(table, "loss", compute=1e22)
    found = law.optimal([1e21, 1e22])
    best = found.table.set_index(["group", "compute", "quantity"])["estimate"]
    assert best["data pile", 1e22, "loss"] - best["data c4", 1e22, "loss"] == pytest.approx(0.3, abs=0.05)
    assert set(found.exponents["group"]) == {"data c4", "data pile"} and len(law.path)
    one = law.optimal(1e22, fixed={"data": "c4"}).table
    assert "group" not in one and one["estimate"].tolist() == best["data c4", 1e22].tolist()
    text = law.save(tmp_path / "law", compute=1e22).read_text()
    assert "The best plan for 1e22 FLOP with data c4 has params" in text and "data pile" in text
    assert "It is of runs with data c4." in text
    dearest = table.loc[(table["params"] * table["tokens"]).idxmax(), "data"]
    assert f"A run 10 times as dear as the dearest (data {dearest}) is forecast to end" in text


def test_the_best_plan_of_mixtures_is_for_the_mean_one():
    web = np.linspace(0.1, 0.9, 40)
    table = pd.DataFrame({"params": 10 ** np.random.default_rng(0).uniform(6, 9, 40), "web": web, "code": 1 - web})
    table["loss"] = 2 + 60 * table["params"] ** -0.3 * np.exp(-web)
    found = pdyn.fit_law(table, "loss", cost="params", compute=1e10).optimal(1e10)
    assert "best plans are for web 0.5, code 0.5, the mean of the finished runs" in found.notes[0]
    best = found.table.set_index("quantity")["estimate"]
    assert best["params"] == pytest.approx(1e10) and best["loss"] == pytest.approx(2 + 60e-3 * np.exp(-0.5), abs=0.05)


def test_plans_and_budgets_are_checked_before_the_fit(runs, monkeypatch):
    monkeypatch.setattr("predictdyn.laws.law.mixture_of", lambda *given, **more: pytest.fail("it was fitted"))
    spare = runs.assign(**{f"x{i}": np.random.default_rng(i).uniform(1, 2, 40) for i in range(5)})
    for table, settings, words in (
        (runs, {"towards": [{"params": 1, "tokens": 1, "speed": 3}]}, "'speed' is no input; inputs are params, tokens"),
        (
            spare,
            {"towards": [{name: 1 for name in spare if name != "loss"}]},
            "it tells less than others; leave it out",
        ),
        (runs, {"compute": -1}, "compute= is one positive number or some, got -1"),
        (runs, {"compute": 1e22, "inputs": ["params"]}, "optimal needs the cost of a run in terms of its inputs"),
        (runs.assign(acc=runs["loss"] / 9), {"compute": 1, "via": "acc"}, "the best plan for loss is that for acc"),
    ):
        with pytest.raises(ValueError, match=words):
            pdyn.fit_law(table, "loss", **settings)


def test_curves_are_learnt_from_at_their_end():
    step = np.array([1, 2, 4, 8])
    sizes = np.geomspace(1e6, 1e9, 12)
    frame = pd.concat(
        pd.DataFrame({"run": f"r{i}", "step": step, "val_loss": 2 + 60 * size**-0.3 + 1 - step / 8})
        for i, size in enumerate(sizes)
    )
    curves = pdyn.Curves.from_frame(frame, runs={"last_step": 8, "params": {f"r{i}": s for i, s in enumerate(sizes)}})
    law = pdyn.fit_law(curves, "val_loss")
    assert law.inputs == ["params"] and law.finished.runs[0] == "r0"
    assert law.predict(params=4e9)["median"][0] == pytest.approx(2 + 60 * 4e9**-0.3, rel=0.03)


def test_a_cost_is_in_terms_of_inputs_where_its_columns_follow_from_them():
    rng = np.random.default_rng(0)
    width = 10 ** rng.uniform(1, 3, 30)
    table = pd.DataFrame({"width": width, "params": 12 * width**2, "tokens": 10 ** rng.uniform(8, 10, 30)})
    table["loss"] = loss(table["params"] * 1e4, table["tokens"])
    with pytest.warns(UserWarning, match=r"params is 12 x width\^2 in all runs"):
        law = pdyn.fit_law(table, "loss")
    assert law.inputs == ["width", "tokens"]
    largest = (6 * table["params"] * table["tokens"]).max()
    assert law.predict(width=1e3, tokens=1e10)["times"][0] == pytest.approx(7.2e17 / largest)
    assert len(law.path) and law.picture.x == "cost"
    own = pdyn.fit_law(table, "loss", ["width", "tokens"], cost=lambda rows: 72 * rows["width"] ** 2 * rows["tokens"])
    assert own.predict(width=1e3, tokens=1e10)["times"][0] == pytest.approx(7.2e17 / largest)


def test_a_cost_that_the_law_does_not_use_plans_nothing():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"width": 10 ** rng.uniform(1, 3, 30), "tokens": 10 ** rng.uniform(8, 10, 30)})
    table["loss"] = loss(1e4 * table["width"] ** 2, table["tokens"])
    table["hours"] = table["width"] * rng.uniform(1, 9, 30)
    with pytest.warns(UserWarning, match="the cost of a plan is not known, since the law does not use hours"):
        law = pdyn.fit_law(table, "loss", ["width", "tokens"], cost="hours")
    found = law.predict(width=1e4, tokens=1e10)
    assert found["times"][0] == pytest.approx(1e4 / table["width"].max()), "by the farthest input"
    assert not len(law.path) and law.picture.x == "width"
    with pytest.raises(ValueError, match="in terms of its inputs, width, tokens"):
        law.optimal(1e20)

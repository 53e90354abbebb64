"""Tokens that are always 20 x params: one input, but a plan may name both, and its cost is known."""

import numpy as np
import pandas as pd
import pytest

import predictdyn as pdyn
from predictdyn.laws.collinear import collinear_among
from predictdyn.laws.finished import finished_runs

RULE = "tokens is 20 x params in all runs, so the law is of params alone, and a plan may leave tokens out"


@pytest.fixture(scope="module")
def runs(known) -> pd.DataFrame:
    table = known.runs(16)
    table["tokens"] = 20 * table["params"]
    table["loss"] = known.loss(table["params"], table["tokens"])
    return table


@pytest.mark.parametrize("inputs", [None, ["params", "tokens"]])
def test_a_plan_may_name_the_column_that_follows_or_leave_it_out(runs, inputs):
    with pytest.warns(UserWarning, match=RULE):
        law = pdyn.fit_law(runs, "loss", inputs, towards=pd.DataFrame({"params": [1e10]}))
    assert law.inputs == ["params"]
    alone, both, off = (law.predict(params=1e10, **more).iloc[0] for more in ({}, {"tokens": "200B"}, {"tokens": "4T"}))
    assert both["median"] == alone["median"] and both["times"] == pytest.approx(alone["times"])
    assert alone["times"] == pytest.approx(120 * 1e20 / (120 * runs["params"].max() ** 2))
    assert off["95 %"] - off["5 %"] > 1.5 * (alone["95 %"] - alone["5 %"]), "what the law cannot know is wider"
    told = law.check(params=1e10, tokens="4T")
    assert any("all finished runs have tokens = 20 x params, so nothing is known of 4e+12" in line for line in told)
    assert not any("nothing is known" in line for line in law.check(params=1e10, tokens="200B"))
    best = law.optimal(1.2e22).table.set_index("quantity")
    assert best.loc["params", "estimate"] == pytest.approx(1e10, rel=1e-3)
    assert len(law.picture.line) and law.picture.x == "cost"


def test_a_budget_column_may_stand_in_a_plan(known):
    runs = known.runs(16).assign(flops=lambda table: 6 * table["params"] * table["tokens"])
    found = finished_runs(runs, "loss")
    assert found.inputs == ["params", "tokens"] and found.reading.collinear["flops"].words == "6 x params x tokens"
    plan = found.reading.plan(pd.DataFrame({"params": [1e9], "tokens": [1e10], "flops": ["6e19"]}))
    assert plan["flops"][0] == 6e19


def test_proportions_and_few_rows_are_not_tied():
    web = np.array([0.1, 0.2, 0.25, 0.3, 0.32, 0.15])
    assert collinear_among(["web", "code", "books"], {"web": web, "code": 2 * web, "books": 1 - 3 * web}) == {}
    assert collinear_among(["u", "v"], {"u": web[:3], "v": 2 * web[:3]}) == {}

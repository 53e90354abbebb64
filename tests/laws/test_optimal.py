"""Best plans: intervals cover a known optimum, bounds and fixed inputs bind, bad input is one line."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from predictdyn.laws import law_of
from predictdyn.laws.budget import training_cost
from predictdyn.laws.optimal import optimal

E, A, B, ALPHA, BETA = 1.7, 400.0, 1100.0, 0.34, 0.30


def loss_of(size, tokens):
    return E + A * size**-ALPHA + B * tokens**-BETA


def best_size(compute):
    ratio = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA))
    return ratio * (compute / 6) ** (BETA / (ALPHA + BETA))


@cache
def law(seed=0, own=0.003):
    """Seven sizes by five token counts, under other names; sizes err together."""
    random = np.random.default_rng(seed)
    size, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(3e7, 3e9, 7), np.geomspace(1e9, 1e11, 5)))
    shared = own * random.standard_normal(7)[np.searchsorted(np.unique(size), size)]
    loss = loss_of(size, tokens) * np.exp(0.003 * random.standard_normal(35) + shared)
    return law_of(pd.DataFrame({"one": size, "other": tokens, "y": loss}), "y")


def of(result, quantity, compute=None):
    table = result.table if compute is None else result.table[result.table["compute"] == compute]
    return table[table["quantity"] == quantity].iloc[0]


def test_intervals_cover_the_optimum_and_are_no_excuse():
    held, widths = 0, []
    for seed in range(6):
        result = optimal(law(seed), [1e21, 1e23], n=100)
        row = of(result, "one", 1e23)
        held += row["low"] < best_size(1e23) < row["high"]
        widths.append(np.log(row["high"] / row["low"]))
        truth = loss_of(best_size(1e21), 1e21 / 6 / best_size(1e21))
        assert abs(of(result, "y", 1e21)["estimate"] - truth) < 0.02
        exponent = result.exponents.set_index("quantity").loc["exponent of one"]
        assert exponent["low"] - 0.03 < BETA / (ALPHA + BETA) < exponent["high"] + 0.03
    assert held >= 4
    assert np.mean(widths) < 1.0


def test_both_uncertainties_are_as_wide():
    widths = [
        np.log(row["high"] / row["low"])
        for row in (of(optimal(law(), 1e22, uncertainty=how), "one") for how in ("posterior", "bootstrap"))
    ]
    assert 0.6 < widths[0] / widths[1] < 2.0


def test_every_draw_costs_the_budget_and_is_the_best_on_its_line():
    result = optimal(law(), 1e21, n=40)
    draws = result.draws
    assert_allclose(6 * draws["one"] * draws["other"], 1e21, rtol=1e-6)
    # Another road: the same draws on a fine line, without zooming.
    again = optimal(law(), 1e21, n=40, cost=lambda t: 6 * t["one"] * t["other"]).draws
    assert_allclose(again["one"], draws["one"], rtol=2e-3)
    assert_allclose(again["y"], draws["y"], rtol=1e-6)


def test_a_bound_binds_and_is_told():
    result = optimal(law(), 1e22, bounds={"other": (0, 2e11)}, n=60)
    assert of(result, "other")["high"] <= 2e11 * (1 + 1e-9)
    assert of(result, "one")["estimate"] > best_size(1e22)
    assert any("other lies at its upper bound 2e+11" in note for note in result.notes)
    assert (6 * result.draws["one"] * result.draws["other"] <= 1e22 * (1 + 1e-6)).all()


def test_both_bounds_leave_budget_unspent():
    draws = optimal(law(), 1e23, bounds={"other": (0, 1e11), "one": (0, 1e9)}, n=40).draws
    assert_allclose(draws["other"], 1e11, rtol=1e-6)
    assert_allclose(draws["one"], 1e9, rtol=2e-2)


def test_a_fixed_input_leaves_one_number():
    result = optimal(law(), 6e20, fixed={"one": 1e9}, cost={"one": 1.0, "other": 1.0}, n=40)
    assert_allclose(of(result, "other")["estimate"], 6e20 / 1e9, rtol=1e-6)
    assert "one" not in set(result.table["quantity"])


def test_serving_makes_models_smaller():
    served = optimal(law(), 1e22, cost=training_cost("one", "other", served=1e13), n=60)
    assert of(served, "one")["high"] < best_size(1e22)
    plan = served.draws
    assert_allclose(6 * plan["one"] * plan["other"] + 2 * plan["one"] * 1e13, 1e22, rtol=1e-4)


def test_far_beyond_the_runs_is_told():
    result = optimal(law(), 1e25, n=40)
    assert any("times the largest of the finished runs" in note for note in result.notes)
    (said,) = [note for note in result.notes if note.startswith("structures with an optimum: ")]
    assert not any(word in said for word in ("quadratic", "bowl", "tied")), "the size is set beforehand"


def test_an_input_that_costs_nothing_has_its_own_optimum():
    random = np.random.default_rng(1)
    n = 120
    size, tokens = 10 ** random.uniform(7, 9, n), 10 ** random.uniform(9, 11, n)
    rate = 10 ** random.uniform(-4, -2, n)
    off = np.log(rate) - np.log(1e-3)
    loss = loss_of(size, tokens) * np.exp(0.02 * off**2 + 0.002 * random.standard_normal(n))
    law = law_of(pd.DataFrame({"size": size, "tokens": tokens, "rate": rate, "loss": loss}), "loss")
    result = optimal(law, 1e21, cost={"size": 1, "tokens": 1}, n=60)
    row = of(result, "rate")
    assert row["low"] < 1e-3 < row["high"] and row["high"] / row["low"] < 4
    assert abs(np.log(of(result, "size")["estimate"] / best_size(6e21))) < 0.7


def test_the_same_seed_gives_the_same_table():
    first, again = optimal(law(), 1e21, n=40, seed=3).table, law().optimal(1e21, n=40, seed=3).table
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(optimal(law(), 1e21, n=40, seed=4).table)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"compute": 0.0}, "compute is one positive number"),
        ({"compute": [1e21, np.nan]}, "compute is one positive number"),
        ({"uncertainty": "guess"}, "one of posterior, bootstrap"),
        ({"n": 5}, "20 draws"),
        ({"fixed": {"depth": 3}}, "no input depth; it has one, other"),
        ({"fixed": {"one": 1e9}}, "6 x the product of two inputs by default, but 1 are free"),
        ({"fixed": {"one": 1e9, "other": 1e9}}, "every input of the law is fixed"),
        ({"fixed": {"one": "big"}, "cost": {"other": 1}}, "fixed one is a positive number"),
        ({"bounds": {"other": (5.0, 1.0)}}, "0 <= low < high"),
        ({"bounds": {"other": (1e20, 1e21), "one": (1e9, 1e10)}}, "no plan within the bounds costs 1e\\+21 or less"),
        ({"cost": {"tokens": 1.0}}, "exponents of inputs"),
        ({"cost": lambda t: 1.0 + 0 * t["one"]}, "rises with none"),
        ({"cost": lambda t: 5.0}, "a number for each row"),
    ],
)
def test_bad_input_is_one_line(settings, words):
    with pytest.raises(ValueError, match=words):
        optimal(law(), **{"compute": 1e21, **settings})

"""Which runs to buy: budgets are kept, structures are told apart, stopping, ties, and bad input in one line."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import predictdyn as pdyn
from predictdyn.laws import law_of
from predictdyn.laws.next_runs import next_runs, pilot_draws


def loss_of(table):
    return 1.7 + 400 * table["size"] ** -0.34 + 1100 * table["tokens"] ** -0.30


def grid():
    """Six sizes by five token counts, with labels that are no places."""
    size, tokens = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(3e8, 3e10, 5)))
    table = pd.DataFrame({"size": size, "tokens": tokens}, index=[f"run-{i}" for i in range(30)])
    return table.assign(flops=6 * table["size"] * table["tokens"])


DEAR = pd.DataFrame({"size": [1e10, 3e9], "tokens": [2e11, 2e11]})


def measured(noise=0.003):
    """A function from plans to losses, with noise that depends on the plan alone."""

    def run(table):
        random = np.random.default_rng(table["size"].to_numpy().astype(np.int64) % 9973)
        return loss_of(table) * np.exp(noise * random.standard_normal(len(table)))

    return run


def test_the_budget_is_kept_and_the_table_adds_up():
    bought = next_runs(grid(), "flops", 3e20, DEAR, run=measured())
    table = bought.table
    assert table["cost"].sum() <= 3e20
    assert_allclose(table["spent"], table["cost"].cumsum())
    assert_allclose(bought.left, 3e20 - table["cost"].sum())
    assert table["candidate"].is_unique
    assert_allclose(table["cost"], grid().loc[table["candidate"], "flops"])
    assert table["batch"].is_monotonic_increasing and table["batch"].max() > 1
    assert len(bought.finished) == len(table)
    assert_allclose(bought.finished["loss"], measured()(bought.finished), rtol=0.02)
    assert bought.summary()["runs"].sum() == len(table)


def test_the_forecast_gets_sharper_within_a_batch_and_by_much():
    bought = next_runs(grid(), "flops", 3e20, DEAR)
    assert set(bought.table["batch"]) == {1}
    sd = np.r_[bought.start, bought.table["sd"]]
    assert (np.diff(sd) < 0).all()
    assert sd[-1] < 0.3 * sd[0]
    assert not len(bought.finished)


def test_chosen_runs_forecast_better_than_the_same_money_by_lot():
    candidates, run = grid(), measured(0.01)
    truth = loss_of(DEAR).to_numpy()
    budget = 0.05 * candidates["flops"].sum()

    def error(rows, seed):
        known = rows[["size", "tokens"]].assign(loss=run(rows))
        drawn = law_of(known, "loss", towards=DEAR, seed=seed).draws(DEAR, seed=seed)
        return np.abs(np.median(drawn, axis=1) / truth - 1).mean()

    chosen, lot = [], []
    for seed in range(2):
        bought = next_runs(candidates, "flops", budget, DEAR, run=run, seed=seed)
        chosen.append(error(candidates.loc[bought.candidates], seed))
        left, places = budget, []
        for i in np.random.default_rng(seed).permutation(30):
            if candidates["flops"].iloc[i] <= left:
                left -= candidates["flops"].iloc[i]
                places.append(i)
        lot.append(error(candidates.iloc[places], seed))
    assert np.mean(chosen) < np.mean(lot)


def test_runs_that_tell_structures_apart_come_first():
    """After runs of one size a floor and none agree about all of it, and not about others: others are bought."""
    tokens = np.geomspace(3e8, 3e10, 8)
    finished = pd.DataFrame({"size": np.full(8, 1e7), "tokens": tokens})
    finished["loss"] = loss_of(finished)
    candidates = pd.concat([finished[["size", "tokens"]], grid()[["size", "tokens"]]], ignore_index=True)
    alike = np.ones(len(candidates))
    bought = next_runs(candidates, alike, 4.0, DEAR, finished=finished)
    assert (bought.table["size"] > 2e7).all()


def test_finished_runs_start_it_sharper():
    finished = grid().iloc[::3][["size", "tokens"]]
    finished = finished.assign(loss=measured()(finished))
    without = next_runs(grid(), "flops", 1e20, DEAR)
    known = next_runs(grid(), "flops", 1e20, DEAR, finished=finished)
    assert known.start < 0.5 * without.start


def test_it_stops_where_a_run_is_worth_little():
    everything = next_runs(grid(), "flops", 1e30, DEAR, least_gain=0.0)
    some = next_runs(grid(), "flops", 1e30, DEAR, least_gain=0.1)
    assert len(everything.table) == 30 and everything.notes == ("every candidate is bought",)
    assert 0 < len(some.table) < 30
    assert "lowers the standard deviation at the targets by 10.00%" in some.notes[0]
    sd = np.r_[some.start, some.table["sd"]]
    assert (1 - sd[1:] / sd[:-1] > 0.09).all()


def test_a_budget_below_every_run_buys_none():
    bought = next_runs(grid(), "flops", 1e10, DEAR, run=measured())
    assert not len(bought.table) and np.isfinite(bought.start)
    assert "the cheapest run costs 1.8e+16" in bought.notes[0]
    assert "0 runs" in repr(bought)


def test_repeats_are_told_apart_by_lot_and_the_seed_alone():
    candidates = pd.DataFrame({"size": np.repeat([1e7, 1e8, 1e9], 6)})
    target = pd.DataFrame({"size": [1e11]})
    alike = np.ones(18)
    first, again, other = (next_runs(candidates, alike, 4.0, target, seed=seed).candidates for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert [i // 6 for i in first] == [i // 6 for i in other]


def test_groups_and_proportions_are_inputs():
    random = np.random.default_rng(0)
    share = random.dirichlet([2, 2, 2], 40)
    candidates = pd.DataFrame(share, columns=["a", "b", "c"]).assign(corpus=np.tile(["x", "y"], 20))
    bought = next_runs(
        candidates.iloc[:36], np.ones(36), 12, candidates.iloc[36:], run=lambda t: 2 + np.exp(-3 * t["a"])
    )
    assert len(bought.table) == 12
    assert set(bought.table["corpus"]) == {"x", "y"}


def test_a_value_that_is_not_measured_is_left_out():
    run = measured()
    bought = next_runs(grid(), "flops", 3e20, DEAR, run=lambda table: np.where(table["size"] < 2e7, np.nan, run(table)))
    assert bought.finished["loss"].isna().any() and np.isfinite(bought.table["sd"]).all()


def test_two_runs_already_say_something():
    finished = grid().iloc[[3, 20]][["size", "tokens"]]
    finished = finished.assign(loss=loss_of(finished))
    drawn = pilot_draws(finished, DEAR, value="loss", pool=grid()[["size", "tokens"]])
    low, high = np.quantile(drawn, [0.05, 0.95], axis=1)
    truth = loss_of(DEAR).to_numpy()
    assert ((low < truth) & (truth < high)).all()
    assert (high < 12 * truth).all()


def test_the_face_has_it():
    assert pdyn.design.next_runs is next_runs
    assert pdyn.design.optimal.__name__ == "optimal"


def test_inputs_of_one_table_alone_may_be_left_out_by_name():
    bought = next_runs(grid(), "flops", 1e20, DEAR[["size"]], inputs=["size"])
    assert "tokens" not in bought.table


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cost": "price"}, "no column 'price'; they have size, tokens, flops"),
        ({"cost": [1.0, 2.0]}, "cost has 2 numbers for 30 candidates"),
        ({"cost": np.r_[np.ones(29), 0.0]}, "1 of 30 are not, first in row 29"),
        ({"cost": ["dear"] * 30}, "30 of 30 are not"),
        ({"budget": -1.0}, "budget is a positive number"),
        ({"budget": np.nan}, "budget is a positive number"),
        ({"target": DEAR.iloc[:0]}, "got 30 and 0"),
        ({"target": pd.DataFrame({"depth": [3]})}, "missing: all"),
        ({"inputs": ["size", "depth"]}, "missing: depth"),
        ({"finished": pd.DataFrame({"size": [1e7], "tokens": [1e9]})}, "finished runs lack loss"),
        ({"batches": 0}, "one batch at least"),
        ({"run": lambda table: [1.0]}, "run gave values of shape"),
        ({"candidates": grid().assign(size=np.nan)}, "candidates lack size in 30 of 30 rows"),
        ({"budget": "1e21"}, "budget is a positive number, got '1e21'"),
        ({"target": DEAR[["size"]]}, "candidates have tokens, and targets do not; add it there, or name the inputs"),
        ({"candidates": grid().drop(columns="tokens")}, "targets have tokens, and candidates do not"),
        (
            {"candidates": grid().assign(size=lambda t: t["size"].where(t["size"] > 2e7, 0.0))},
            "candidates have size 0 in",
        ),
        ({"target": DEAR.assign(tokens=[1e9, -1e9])}, r"targets have tokens -1e\+09 in row 2; it is a positive number"),
        ({"target": DEAR.assign(tokens=[np.nan, 1e9])}, "targets lack tokens in 1 of 2 rows"),
    ],
)
def test_bad_input_is_one_line(change, words):
    settings = {"candidates": grid(), "cost": "flops", "budget": 1e20, "target": DEAR, **change}
    with pytest.raises(ValueError, match=words):
        next_runs(**settings)

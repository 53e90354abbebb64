"""Finished runs: what is an input, what is left out, and one line for what no law can be learnt from."""

import numpy as np
import pandas as pd
import pytest

from predictdyn import Curves
from predictdyn.laws.cost import cost_named
from predictdyn.laws.finished import finished_runs

SIZES = [1e6, 3e6, 1e7, 3e7, 1e8, 3e8]


def table(**columns) -> pd.DataFrame:
    found = {
        "params": SIZES,
        "tokens": [2e8, 1e8, 4e8, 3e9, 1e9, 8e9],
        "loss": [4.1, 3.9, 3.4, 2.9, 2.8, 2.5],
    } | columns
    return pd.DataFrame({name: cells for name, cells in found.items() if cells is not None})


def shares(first: float, **more) -> pd.DataFrame:
    web = [first, 0.2, 0.4, 0.6, 0.8, 1.0]
    code = [0.9, 0.8, 0.6, 0.4, 0.2, 0.0]
    return pd.DataFrame({"web": web, "code": code, "loss": [3.0, 2.9, 2.8, 2.7, 2.6, 2.5], **more})


# What is wrong with a table, and the line that says so.
BAD = {
    "no such target": (table(), "los", None, r"target 'los' is no column; did you mean 'loss'\? there are params"),
    "no such input": (table(), "loss", ["parms"], r"input 'parms' is no column; did you mean 'params'\?"),
    "the target as input": (table(), "loss", ["params", "loss"], "'loss' is the target, so it is no input"),
    "text among numbers": (
        table(params=["1M", "3M", "10M", "thirty", "100M", "300M"]), "loss", ["params"],
        "column 'params' holds 'thirty' in row 4",
    ),
    "a target of words": (table(loss=list("abcdef")), "loss", None, "target 'loss' holds no numbers, first 'a'"),
    "one size": (
        pd.DataFrame({"params": 1e6, "loss": [3.0, 2.9, 3.1]}), "loss", None,
        "no column varies that a law could use: params has one value; state the settings of runs,.* runs_file= of",
    ),
    "nothing but the target": (pd.DataFrame({"loss": [3.0, 2.0]}), "loss", None, "there is none beside the target"),
    "proportions": (shares(0.5), "loss", None, r"columns web, code are proportions, .* sum to 1.4 in 1, first row 1"),
    "a reserved name": (table(median=SIZES), "loss", ["median"], "column 'median' has the name of a column of results"),
    "a list": ([1, 2], "loss", None, "fit_law takes Curves or a DataFrame with one row a run, got list"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_told_in_one_line(name):
    data, target, inputs, words = BAD[name]
    with pytest.raises(ValueError, match=words) as told:
        finished_runs(data, target, inputs)
    assert "\n" not in str(told.value)


# What is left out or read, and the note that says so.
NOTED = {
    "missing": (table(tokens=[np.nan, 1e8, 4e8, 3e9, 1e9, 8e9]), 5, "1 of 6 rows left out: tokens is missing"),
    "missing target": (table(loss=[4.1, 3.9, 3.4, np.inf, 2.8, None]), 4, "2 of 6 rows left out: loss is missing"),
    "zero": (table(warmup=[0, 10, 20, 40, 10, 30]), 6, "warmup is zero in 1 rows; its smallest other value, 10,"),
    "text": (table(params=["1M", "3M", "10M", "30M", "100M", "0.3B"]), 6, "params hold text such as 7B"),
    "units": (table(params=[1e6, 3e6, 7.0, 3e7, 1e8, 3e8]), 6, "column params seems to mix units"),
    "duplicates": (pd.concat([table(), table().tail(2)]), 6, "2 of 8 rows repeat another row in all columns"),
    "percent": (shares(0.1).assign(web=lambda t: 100 * t["web"], code=lambda t: 100 * t["code"]), 6, "read as percent"),
    "labels": (table(seed=[1, 2, 3, 1, 2, 3]), 6, "not used: seed (names runs)"),
    "outcomes": (table(val_acc=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), 6, "val_acc (is named as an outcome)"),
}


@pytest.mark.parametrize("name", NOTED)
def test_what_is_left_out_or_read_is_noted(name):
    data, rows, words = NOTED[name]
    found = finished_runs(data, "loss")
    assert len(found.table) == rows
    assert any(words in line for line in found.notes), found.notes


def test_a_budget_is_a_product_and_its_parts_stay_inputs_whatever_they_are_called():
    data = table(zzz=[6 * n * d for n, d in zip(SIZES, table()["tokens"], strict=True)]).rename(
        columns={"params": "u", "tokens": "v"}
    )
    for order in (["zzz", "u", "v", "loss"], ["u", "v", "zzz", "loss"]):
        assert finished_runs(data[order], "loss").inputs == ["u", "v"]


def test_plans_are_read_like_the_table():
    found = finished_runs(shares(0.1).assign(web=lambda t: 100 * t["web"], code=lambda t: 100 * t["code"]), "loss")
    plan = found.reading.plan(pd.DataFrame({"web": ["30"], "code": [70.0]}))
    assert plan.loc[0].tolist() == pytest.approx([0.3, 0.7])
    with pytest.raises(ValueError, match="a plan needs web, code; missing code, found web"):
        found.reading.plan(pd.DataFrame({"web": [30]}))
    with pytest.raises(ValueError, match="plan: web: expected a number, got 'half'"):
        found.reading.plan(pd.DataFrame({"web": ["half"], "code": [50]}))


def test_curves_count_with_their_last_value_and_only_where_they_ended():
    step = [1, 2, 4]
    frames = [
        pd.DataFrame({"run": f"r{i}", "step": step[:n], "val_loss": [4.0, 3.0, 2.0 - i / 10][:n]})
        for i, n in enumerate([3, 3, 3, 3, 3, 3, 2])
    ]
    known = {"last_step": 4, "params": {f"r{i}": SIZES[i % 6] for i in range(7)}}
    known["final_acc"] = {f"r{i}": i / 10 for i in range(7)}
    curves = Curves.from_frame(pd.concat(frames), runs=known)
    found = finished_runs(curves, "val_loss")
    assert found.table["val_loss"].tolist() == [2.0 - i / 10 for i in range(6)]
    assert found.inputs == ["params"] and found.facts["better"] == "lower"
    assert any("1 of 7 runs have not reached their planned end" in line for line in found.notes)
    with pytest.raises(ValueError, match=r"no metric 'val_los'; did you mean 'val_loss'\?"):
        finished_runs(curves, "val_los")


def test_a_counter_that_falls_is_no_input_and_one_that_was_not_loaded_is_named_with_the_remedy():
    frame = pd.concat(pd.DataFrame({"run": f"r{i}", "step": [1, 2], "val_loss": [4.0, 3.0 - i / 10]}) for i in range(6))
    known = {"last_step": 2, "params": {f"r{i}": SIZES[i] for i in range(6)}}
    ends = np.repeat([5e8, 1e8, 4e8, 3e9, 1e9, 8e9], 2)
    rising = frame.assign(seen_tokens=ends * np.tile([0.5, 1.0], 6))
    falling = rising.assign(seen_tokens=np.where(frame["run"] == "r2", ends / rising["step"], rising["seen_tokens"]))
    found = finished_runs(Curves.from_frame(rising, runs=known), "val_loss")
    assert found.inputs == ["params", "seen_tokens"] and found.table["seen_tokens"].tolist() == ends[::2].tolist()
    curves = Curves.from_frame(falling, runs=known)
    assert finished_runs(curves, "val_loss").inputs == ["params"]
    with pytest.raises(ValueError, match=r"input 'tokens' is no column; .*load the log with metrics='\*'"):
        finished_runs(curves, "val_loss", ["params", "tokens"])


def test_cost_by_names_by_words_and_by_function():
    found = finished_runs(table(), "loss")
    assert found.cost.words == "6 x params x tokens"
    assert found.cost(found.table)[0] == 6 * 1e6 * 2e8
    assert finished_runs(table(), "loss", cost="2*params^2")  .cost(table())[0] == 2e12  # fmt: skip
    assert finished_runs(table(), "loss", cost=lambda t: t["params"] + 1).cost(table())[0] == 1e6 + 1
    assert finished_runs(table().rename(columns={"params": "u"}), "loss").cost is None
    with pytest.raises(ValueError, match=r"'param' is no column and no number; did you mean 'params'\?"):
        cost_named("6*param*tokens", ["params", "tokens"])
    with pytest.raises(ValueError, match="names no column"):
        cost_named("6*2", ["params"])

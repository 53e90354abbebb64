"""The checklist: each finding is made where it is due, and a table without faults has none of them."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from predictdyn.laws import checks, law_of
from predictdyn.laws.account import shown_member
from predictdyn.laws.finished import finished_runs
from predictdyn.laws.replay import held_out


def found_in(table: pd.DataFrame, inputs=None) -> list[str]:
    finished = finished_runs(table, "loss", inputs)
    law = law_of(finished.table, "loss", finished.inputs)
    held = pd.DataFrame({"inside": [True] * 4, "crps": 0.01, "crps_dearest": 0.1})
    return checks.findings(finished, law, held, {}, shown_member(law))


@pytest.fixture(scope="module")
def clean(runs):
    finished = finished_runs(runs, "loss")
    return finished, law_of(finished.table, "loss", finished.inputs)


def test_a_table_without_faults_has_no_findings(runs):
    assert found_in(runs) == []


def test_a_run_that_drives_the_law_is_named(known):
    runs = known.runs(10, noise=0.001).sort_values("params", ignore_index=True)
    runs["name"] = [f"m{i}" for i in range(10)]
    runs.loc[9, "loss"] *= 0.95
    lines = found_in(runs)
    # Without the run beside it, the law would follow the one that is wrong.
    assert any(re.match("one run drives the law: without m[89] the value", line) for line in lines), lines


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "has loss 0, where all others are positive"), (-2.0, "has loss -2, where"), (1e4, "loss 1e[+]04, far from"),
     (0.01, "loss 0.01, far from the middle half")],
)  # fmt: skip
def test_a_crashed_run_is_named_with_what_to_do(known, value, words):
    runs = known.runs(20).assign(model=[f"m{i}" for i in range(20)])
    runs.loc[6, "loss"] = value
    lines = found_in(runs, ["params", "tokens"])
    assert re.match(f"m6 (has )?.*{words}", lines[0]) and "leave its cell of loss blank" in lines[0], lines
    blank = found_in(runs.assign(loss=runs["loss"].where(runs.index != 6)), ["params", "tokens"])
    assert not any("crashed" in line for line in blank)


def test_values_that_are_no_crash_are_not_called_one(known):
    runs = known.runs(20)
    half = finished_runs(runs.assign(loss=runs["loss"] - runs["loss"].median()), "loss")
    assert checks._crashed(half, {}) == [], "a target that may be negative"
    accuracy = finished_runs(runs.assign(loss=np.r_[np.zeros(1), np.linspace(0.25, 0.3, 18), 0.9]), "loss")
    assert checks._crashed(accuracy, {"better": "higher", "upper": 1.0}) == []


def test_checkpoints_are_seen_by_name_and_by_equal_steps(known):
    params = np.repeat([1e8, 3e8, 1e9], 10)
    tokens = np.tile(np.linspace(1e9, 1e10, 10), 3)
    table = pd.DataFrame({"params": params, "tokens": tokens, "loss": known.loss(params, tokens)})
    assert any(
        "30 rows look like checkpoints of 3 run(s): tokens grows in equal steps" in one for one in found_in(table)
    )
    named = table.assign(run=np.repeat(["a", "b", "c"], 10))
    assert any("30 rows share a run's name with others (3 runs, first 'a')" in one for one in found_in(named))
    spread = table.assign(tokens=np.tile(np.geomspace(1e9, 1e10, 10), 3))
    assert not any("checkpoints" in one for one in found_in(spread)), "budgets at equal ratios are a design"


def test_few_sizes_and_two_counts_of_parameters(known):
    runs = known.runs(30)
    runs["params"] = np.repeat([1e8, 1e9], 15)
    runs["loss"] = known.loss(runs["params"], runs["tokens"])
    runs["non_embedding_params"] = 0.8 * runs["params"] - 1e7
    lines = found_in(runs, ["params", "tokens"])
    assert any("params has 2 different values, and the shape of a law needs 4" in one for one in lines)
    assert any("columns params, non_embedding_params count parameters in different ways" in one for one in lines)


def test_two_tokenisers_in_one_table(known):
    runs = known.runs(40, noise=0.003)
    other = np.arange(40) % 2 == 0
    runs["loss"] *= np.where(other, 1.06, 1.0)
    lines = found_in(runs)
    assert any("residuals lie around two values (20 runs below, 20 above" in one for one in lines), lines
    told = found_in(runs.assign(data=np.where(other, "c4", "pile")))
    assert not any("two values" in one for one in told)


def test_a_floor_that_runs_do_not_determine(known):
    rng = np.random.default_rng(0)
    runs = pd.DataFrame({"params": 10 ** rng.uniform(6, 6.6, 30)})
    runs["loss"] = 0.5 + 50 * runs["params"] ** -0.1 * np.exp(0.003 * rng.standard_normal(30))
    finished = finished_runs(runs, "loss")
    law = law_of(finished.table, "loss")
    member = next(one for one in law.mixture.members if one.design.structure.name == "floor + powers")
    assert checks._edges(member, law) == []
    wide = member.covariance.copy()
    wide[0, 0] = (0.9 * member.design.sd[0]) ** 2
    wide_told = checks._edges(replace(member, covariance=wide), law)
    assert any("the irreducible part is not determined" in one for one in wide_told)
    far = member.numbers.copy()
    far[-1] = -3.0
    assert any("the exponent of params, 3.00, lies" in one for one in checks._edges(replace(member, numbers=far), law))


def test_noise_follows_no_law(known):
    runs = known.runs(30)
    runs["loss"] = 3 + np.random.default_rng(3).standard_normal(30) * 0.5
    finished = finished_runs(runs, "loss")
    held = held_out(finished, {})
    assert len(held) == 9
    lines = checks._follows_no_law(held.assign(crps=held["crps_dearest"] * 1.01))
    assert "no law is found: for the 9 dearest runs its error" in lines[0]
    assert checks._follows_no_law(held.assign(crps=held["crps_dearest"] * 0.5)) == []


def test_held_out_runs_are_the_dearest_and_change_nothing_that_forecasts_them(runs):
    finished = finished_runs(runs, "loss")
    held = held_out(finished, {})
    cost = finished.cost(finished.table)
    assert set(held["run"]) == set(finished.runs[np.argsort(cost)[-12:]])
    spoiled = finished.table.copy()
    spoiled.loc[np.argsort(cost)[-12:], "loss"] = 9.0
    again = held_out(replace(finished, table=spoiled), {})
    assert again["median"].tolist() == held["median"].tolist() and (again["truth"] == 9).all()
    few = replace(finished, table=finished.table.head(9), runs=finished.runs[:9])
    assert len(held_out(few, {})) == 0


def test_extrapolation_is_told_for_each_plan(clean):
    finished, _ = clean
    largest = finished.table[finished.inputs].max()
    plans = pd.DataFrame({"params": [1e8, 30 * largest["params"]], "tokens": [1e10, 30 * largest["tokens"]]})
    lines = checks.cautions(finished, plans, ["near", "far"])
    ratio = checks.beyond(finished, plans)
    assert ratio[1] == pytest.approx(6 * plans.loc[1].prod() / finished.cost(finished.table).max())
    assert len(lines) == 2 and lines[0].startswith(f"far costs (6 x params x tokens) {ratio[1]:,.0f} times")
    assert "params is 30 times the largest, tokens is 30 times the largest" in lines[1]
    small = checks.cautions(finished, pd.DataFrame({"params": [1e5], "tokens": [1e10]}), ["small"])
    assert "params is" in small[0] and "times below the smallest" in small[0]

"""Summaries, by another road: plain loops over the rows."""

import numpy as np
import pytest

from predictdyn.backtest import summary
from predictdyn.backtest.plan import Plan
from predictdyn.backtest.run import run
from predictdyn.forecasters import BASELINES, forecaster

NAMES = [*BASELINES, "curve_fit"]


@pytest.fixture(scope="module")
def rows(small):
    plan = Plan(cutoffs=(0.1, 0.4), metrics=("accuracy", "loss", "gap"))
    return run(small, plan, [forecaster(name) for name in NAMES], BASELINES).rows


@pytest.fixture(scope="module")
def table(rows, small):
    return summary.resolved(rows, small.runs["family"], BASELINES)


def test_scores_are_means_by_run_then_family(table):
    found = summary.scores_table(table, NAMES, BASELINES, seed=0)
    assert len(found) == len(NAMES) * 3 * 2
    row = found[(found["forecaster"] == "mean_change") & (found["metric"] == "loss") & (found["cutoff"] == 0.4)].iloc[0]
    own = table[(table["forecaster"] == "mean_change") & (table["metric"] == "loss") & (table["cutoff"] == 0.4)]
    families = []
    for family in sorted(set(own["family"])):
        runs = [own[own["run"] == one]["crps"].mean() for one in sorted(set(own[own["family"] == family]["run"]))]
        families.append(sum(runs) / len(runs))
    assert row["crps"] == pytest.approx(sum(families) / len(families), rel=1e-12)
    assert row["n_runs"] == 8 and row["n"] == 8
    inside = [(lo <= y) and (y <= hi) for lo, y, hi in zip(own["q0.05"], own["truth"], own["q0.95"], strict=True)]
    assert row["coverage_90"] == pytest.approx(np.mean(inside))


def test_skill_is_against_the_best_baseline_of_the_cell(table):
    found = summary.scores_table(table, NAMES, BASELINES, seed=0)
    for _, cell in found.groupby(["metric", "cutoff"]):
        baselines = cell[cell["forecaster"].isin(BASELINES)]
        best = baselines.loc[baselines["crps"].idxmin()]
        assert (cell["best_baseline"] == best["forecaster"]).all()
        np.testing.assert_allclose(cell["skill"], 1 - cell["crps"] / best["crps"], rtol=1e-9, atol=1e-12)
        assert (baselines["skill"] <= 1e-12).all()


def test_the_leaderboard_is_in_order_and_weighs_kinds_alike(table):
    board = summary.leaderboard(table, NAMES, BASELINES, seed=0)
    assert board["scaled_crps"].is_monotonic_increasing and set(board["forecaster"]) == set(NAMES)
    own = table[table["forecaster"] == "mean_change"]
    by_run = own.groupby(["family", "run", "kind", "cutoff"])["scaled_crps"].mean().groupby(["family", "run"]).mean()
    expected = by_run.groupby("family").mean().mean()
    assert board.set_index("forecaster").loc["mean_change", "scaled_crps"] == pytest.approx(expected)


def test_verdicts_know_too_few_runs(table):
    found = summary.verdicts(table, NAMES, BASELINES, seed=0)
    assert len(found) == len(NAMES) * 3 * 2
    assert (found["verdict"] == "too few runs to say").all(), "four families cannot show anything"


def test_one_absurd_row_counts_no_more_than_its_cap(rows, small):
    absurd = rows.copy()
    absurd.loc[absurd["forecaster"] == "curve_fit", "crps"] = 1e9
    table = summary.resolved(absurd, small.runs["family"], BASELINES)
    assert table["scaled_crps"].max() == summary.MOST_UNITS

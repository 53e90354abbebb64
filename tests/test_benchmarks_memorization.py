"""The benchmark of memorization: what a size does not know of its own end moves no forecast of it."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from predictdyn.curves import Curves, Metric, curves_from

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SIZES = np.geomspace(1e8, 1e10, 6)


@pytest.fixture
def memorization(monkeypatch):
    """The script, which finds its neighbours beside it, with one quick forecaster."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    spec = importlib.util.spec_from_file_location("benchmarks_memorization", BENCHMARKS / "memorization.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    monkeypatch.setattr(loaded, "FORECASTERS", ("mean_change",))
    yield loaded
    sys.modules.pop("open_data", None)


def sizes(hidden: float = 0.0) -> Curves:
    """Recall and precision on lines in logit and ln size, but for what ``hidden`` adds to those of one size."""
    rows = []
    for i, size in enumerate(SIZES):
        for step in (23000, 63000, 83000, 143000):
            share = 0.002 * size**0.1 * (1 + step / 143000)
            logit = 0.3 * np.log(size / 1e9) + step / 143000 + (hidden if i == 2 else 0.0)
            rows.append((f"s{i}", "memorized_share", step, share))
            rows += [(f"s{i}", name, step, 1 / (1 + np.exp(-logit))) for name in ("recall", "precision")]
    runs = pd.DataFrame({"run": [f"s{i}" for i in range(6)], "last_step": 143000, "parameters": SIZES})
    kinds = {
        name: Metric(name, "memorization", 0.0, 1.0, "higher") for name in ("memorized_share", "recall", "precision")
    }
    return curves_from(pd.DataFrame(rows, columns=["run", "metric", "step", "value"]), runs, kinds)


def test_a_line_over_other_sizes_finds_a_line_and_nearest_does_not(memorization):
    rows = pd.DataFrame(memorization.of_sequences(sizes(), 0))
    error = rows.groupby("way")["error"].max()
    assert error["line"] < 1e-9 and error["nearest size"] > 0.02 and error["mean of sizes"] > 0.02
    assert len(rows) == 2 * 2 * 6 * 3


def test_the_end_of_a_size_moves_the_truth_but_no_draw_of_it(memorization, monkeypatch):
    kept = {}

    def keep(what, way, step, size, truth, draws):
        return {"key": (what, way, step, size), "truth": truth, "draws": draws}

    monkeypatch.setattr(memorization, "scored", keep)
    for hidden in (0.0, 1.0):
        rows = [*memorization.of_sequences(sizes(hidden), 0), *memorization.of_shares(sizes(hidden), 0)]
        kept[hidden] = {row["key"]: row for row in rows}
    for key, before in kept[0.0].items():
        after = kept[1.0][key]
        mine, of_share = key[3] == "s2", key[0] == "memorized_share"
        assert np.array_equal(before["draws"], after["draws"]) == (mine or of_share)
        assert (before["truth"] != after["truth"]) == (mine and not of_share)


def test_intervals_are_as_wide_as_the_sizes_left_out_are_wrong(memorization):
    rng = np.random.default_rng(0)
    size = np.log(SIZES)
    for spread in (0.05, 0.5):
        logit = 0.3 * (size - size.mean()) + spread * np.array([1, -1, 1, -1, 1, -1])
        draws = memorization.by_sizes(memorization.mean, 1, size, 1 / (1 + np.exp(-logit)), 20.0, rng)
        off = [logit[i] - np.delete(logit, i).mean() for i in range(6)]
        half = np.subtract(*np.quantile(np.log(draws / (1 - draws)), [0.75, 0.25])) / 2
        assert_allclose(half, 0.7267 * np.sqrt(np.mean(np.square(off))), rtol=0.15)  # quartile of t with 5 df


def test_the_table_has_a_row_for_every_way_and_the_best_last(memorization):
    rows = pd.DataFrame([*memorization.of_shares(sizes(), 0), *memorization.of_sequences(sizes(), 0)])
    lines = memorization.table(rows)[2:]
    assert len(lines) == 2 * 1 + 4 * 3
    assert all("| line |" in line for line in lines[4::3])

"""The classic law: its numbers come back, intervals cover, the optimum is the closed form, bad input is one line."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from predictdyn.laws.classic import DELTA, classic_law

TRUE = np.array([1.7, 400.0, 1100.0, 0.34, 0.30])


def runs(seed, noise=0.004, own=0.0):
    """Eight sizes by six token counts; noise of a run, and noise that a size has in common."""
    random = np.random.default_rng(seed)
    size, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(3e7, 3e9, 8), np.geomspace(1e9, 1e11, 6)))
    e, a, b, alpha, beta = TRUE
    shared = own * random.standard_normal(8)[np.searchsorted(np.unique(size), size)]
    loss = (e + a * size**-alpha + b * tokens**-beta) * np.exp(noise * random.standard_normal(48) + shared)
    return size, tokens, loss


def test_without_noise_the_numbers_come_back():
    law = classic_law(*runs(0, noise=0.0), resampled=0)
    assert_allclose(law.numbers, TRUE, rtol=2e-3)
    assert law.objective < 1e-8


def test_the_objective_is_the_sum_of_huber_losses():
    size, tokens, loss = runs(1)
    law = classic_law(size, tokens, loss, resampled=0)
    total = 0.0
    for n, d, y in zip(size, tokens, loss, strict=True):
        e, a, b, alpha, beta = law.numbers
        off = abs(np.log(y) - np.log(e + a * n**-alpha + b * d**-beta))
        total += 0.5 * off**2 if off <= DELTA else DELTA * (off - 0.5 * DELTA)
    assert_allclose(law.objective, total, rtol=1e-9)
    for i in range(5):  # no step along one number is better
        for step in (0.999, 1.001):
            moved = law.numbers.copy()
            moved[i] *= step
            off = np.abs(
                np.log(loss) - np.log(moved[0] + moved[1] * size ** -moved[3] + moved[2] * tokens ** -moved[4])
            )
            assert np.where(off <= DELTA, 0.5 * off**2, DELTA * (off - 0.5 * DELTA)).sum() > law.objective


def test_the_optimum_is_the_closed_form_and_the_best_on_its_line():
    law = classic_law(*runs(2), resampled=0)
    table = law.optimum([1e22]).set_index("quantity")["estimate"]
    assert_allclose(6 * table["size"] * table["tokens"], 1e22)
    line = table["size"] * np.geomspace(0.5, 2, 41)
    losses = law.predict(line, 1e22 / 6 / line)
    assert losses.argmin() == 20
    assert_allclose(losses[20], table["loss"])


def test_intervals_cover_where_sizes_err_together():
    best = np.exp((np.log(TRUE[3] * TRUE[1]) - np.log(TRUE[4] * TRUE[2])) / 0.64 + 0.3 / 0.64 * np.log(1e22 / 6))
    held = 0
    for seed in range(12):
        law = classic_law(*runs(seed, own=0.004), resampled=100, seed=seed)
        row = law.optimum([1e22]).set_index("quantity").loc["size"]
        held += row["low"] <= best <= row["high"]
    assert held >= 8


def test_the_same_seed_gives_the_same_table():
    first, again = (classic_law(*runs(3), resampled=20, seed=5).parameters() for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert list(first["quantity"]) == ["E", "A", "B", "alpha", "beta", "exponent"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, d, y: (n[:5], d[:5], y[:5]), "needs 8 runs"),
        (lambda n, d, y: (n, d[:-1], y), "48 sizes, 47 tokens"),
        (lambda n, d, y: (n, d, np.r_[y[:-1], 0.0]), "loss is positive in every run; 1 of 48 are not, first in 47"),
        (lambda n, d, y: (n, np.r_[np.nan, d[1:]], y), "tokens is positive in every run; 1 of 48"),
        (lambda n, d, y: (n * 0 + 1e8, d, y), "size has one value"),
    ],
)
def test_bad_input_is_one_line(change, words):
    with pytest.raises(ValueError, match=words):
        classic_law(*change(*runs(0)))


def test_compute_is_positive():
    with pytest.raises(ValueError, match="compute is a positive number"):
        classic_law(*runs(0), resampled=0).optimum([0.0])


@pytest.mark.skipif("PREDICTDYN_DATA" not in os.environ, reason="needs the public data")
def test_chinchilla_points():
    table = pd.read_csv(Path(os.environ["PREDICTDYN_DATA"]) / "chinchilla_points" / "svg_extracted_data.csv")
    table = table.sort_values("loss").iloc[:-5]
    size = table["Model Size"].to_numpy()
    begun = time.process_time()
    law = classic_law(size, table["Training FLOP"].to_numpy() / 6 / size, table["loss"].to_numpy(), resampled=0)
    took = time.process_time() - begun
    assert law.objective <= 0.0010183
    assert_allclose(law.numbers[[0, 3, 4]], [1.8172, 0.3473, 0.3672], atol=2e-3)
    assert_allclose(law.numbers[[1, 2]], [477.6, 2143.0], rtol=0.05)
    assert took < 0.25  # .015 on an idle core

"""Coverage and PIT bands: against loops and closed forms, and by simulation with rows that depend on each other."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from predictdyn.backtest.calibration import coverage_interval, pit_band

GRID = np.linspace(0.02, 0.98, 49)


def pits(rng, *, runs, rows, dependence, narrow=1.0):
    """PITs (n,) of a calibrated forecaster, or one whose sd is ``narrow`` times too small; and their runs (n,)."""
    run = np.repeat(np.arange(runs), rows)
    z = np.sqrt(dependence) * rng.normal(size=runs)[run] + np.sqrt(1 - dependence) * rng.normal(size=len(run))
    return norm.cdf(narrow * z), run


def hits(rng, **shape):
    pit, run = pits(rng, **shape)
    return (np.abs(pit - 0.5) < 0.45).astype(float), run


def rejects(band):
    return bool(((band.difference < band.low) | (band.difference > band.high)).any())


class TestCoverageInterval:
    def test_share_is_of_rows_and_unknown_hits_are_left_out(self):
        hit, run = np.array([1, 0, np.nan, 1, 1, np.nan]), np.array([0, 0, 0, 1, 2, 3])
        found = coverage_interval(hit, run, seed=0)
        assert found[0] == 0.75 and found == coverage_interval(hit[~np.isnan(hit)], run[~np.isnan(hit)], seed=0)

    @pytest.mark.parametrize("level", [0.8, 0.95])
    def test_one_row_a_run_is_wilson(self, level):
        hit = np.repeat([1, 0], [300, 100])
        share, low, high = coverage_interval(hit, np.arange(400), seed=0, level=level)
        assert_allclose((low, high), proportion_confint(300, 400, 1 - level, "wilson"), atol=0.003)
        assert share == 0.75

    def test_rows_that_repeat_their_run_add_nothing(self):
        hit = np.repeat([1, 0], [60, 20])
        one = coverage_interval(hit, np.arange(80), seed=0)
        many = coverage_interval(np.repeat(hit, 25), np.repeat(np.arange(80), 25), seed=0)
        assert_allclose(many, one, atol=1e-3)

    def test_rows_that_stand_alone_add_much(self):
        rng = np.random.default_rng(0)
        hit, run = hits(rng, runs=80, rows=25, dependence=0.0)
        _, low, high = coverage_interval(hit, run, seed=0)
        assert_allclose((low, high), proportion_confint(hit.sum(), 2000, 0.1, "wilson"), atol=0.006)

    @pytest.mark.parametrize("value", [0, 1])
    def test_all_or_none_is_wilson_on_runs(self, value):
        found = coverage_interval(np.full(600, value), np.repeat(np.arange(30), 20), seed=0)
        assert found[0] == value == found[1 + value]
        assert_allclose(sorted(found[1:]), sorted(proportion_confint(30 * value, 30, 0.1, "wilson")), atol=0.01)

    def test_one_run_says_nothing_of_others_and_no_row_nothing(self):
        assert coverage_interval(np.array([1, 0, 1, 1]), np.zeros(4), seed=0) == (0.75, 0.0, 1.0)
        assert np.isnan(coverage_interval(np.array([np.nan]), np.zeros(1), seed=0)).all()

    def test_order_names_and_seed(self):
        rng = np.random.default_rng(0)
        hit, run = hits(rng, runs=30, rows=9, dependence=0.5)
        order, names = rng.permutation(len(run)), rng.permutation(30).astype(str)
        found = coverage_interval(hit, run, seed=1)
        assert coverage_interval(hit[order], names[run[order]], seed=1) == found
        assert coverage_interval(hit, run, seed=2)[1] != found[1]

    @pytest.mark.parametrize(
        "shape",
        [
            {"runs": 12, "rows": 20, "dependence": 0.9},
            {"runs": 25, "rows": 20, "dependence": 0.9},
            {"runs": 60, "rows": 20, "dependence": 0.5},
            {"runs": 100, "rows": 1, "dependence": 0.0},
            {"runs": 60, "rows": 10, "dependence": 0.0},
        ],
    )
    def test_holds_the_truth(self, shape):
        rng = np.random.default_rng(0)
        found = [coverage_interval(*hits(rng, **shape), seed=i) for i in range(250)]
        assert np.mean([low <= 0.9 <= high for _, low, high in found]) >= 0.84

    def test_control_wilson_on_rows_would_not(self):
        rng, held = np.random.default_rng(0), []
        for _ in range(250):
            hit, _ = hits(rng, runs=60, rows=20, dependence=0.5)
            low, high = proportion_confint(hit.sum(), len(hit), 0.1, "wilson")
            held.append(low <= 0.9 <= high)
        assert np.mean(held) < 0.75

    def test_wrong_calls_end_the_search(self):
        with pytest.raises(ValueError, match=r"values \(n,\) and run \(n,\), got \(3,\) and \(2,\)"):
            coverage_interval(np.ones(3), np.ones(2), seed=0)
        with pytest.raises(ValueError, match=r"numbers in \[0, 1\] or NaN, got 1.5"):
            coverage_interval(np.array([1.0, 1.5]), np.ones(2), seed=0)
        with pytest.raises(ValueError, match=r"level is .* in \(0, 1\), got 90"):
            coverage_interval(np.ones(3), np.ones(3), seed=0, level=90)


class TestPitBand:
    def test_difference_is_the_naive_loop(self):
        pit, run = pits(np.random.default_rng(0), runs=8, rows=5, dependence=0.5)
        pit[3], pit[4] = np.nan, GRID[7]  # at a point of the grid counts as below it
        known = pit[~np.isnan(pit)]
        found = pit_band(pit, run, GRID, seed=0)
        assert_allclose(found.difference, [sum(u <= g for u in known) / len(known) - g for g in GRID], atol=1e-12)
        assert all(column.shape == GRID.shape for column in found)
        assert_array_equal(found.grid, GRID)

    def test_one_row_a_run_is_near_the_known_law(self):
        """Each width is a multiple of sqrt(g (1 - g) / n); at one point the multiple is the normal quantile."""
        pit = (np.arange(2000) + 0.5) / 2000
        found = pit_band(pit, np.arange(2000), np.array([0.3]), seed=0)
        assert_allclose([-found.low[0], found.high[0]], 1.645 * np.sqrt(0.3 * 0.7 / 2000), rtol=0.06)
        many = pit_band(pit, np.arange(2000), GRID, seed=0)
        assert_allclose(many.high / np.sqrt(GRID * (1 - GRID) / 2000), np.full(49, 2.75), rtol=0.1)

    def test_one_run_in_the_tail_does_not_set_the_band(self):
        pit, run = pits(np.random.default_rng(0), runs=40, rows=1, dependence=0.0)
        pit[0] = 1e-7
        found = pit_band(pit, run, GRID, seed=0)
        tail = pit_band(pit, run, np.concatenate([[1e-6], GRID]), seed=0)
        assert_allclose(tail.high[1:], found.high, rtol=0.05)
        assert 0.024 < tail.difference[0] < tail.high[0]

    def test_dependence_widens_the_band(self):
        rng = np.random.default_rng(0)
        alone = pit_band(*pits(rng, runs=50, rows=20, dependence=0.0), GRID, seed=0)
        bound = pit_band(*pits(rng, runs=50, rows=20, dependence=0.9), GRID, seed=0)
        assert bound.high[24] > 3 * alone.high[24]

    def test_stays_where_an_ecdf_can_be(self):
        for runs in (1, 2, 5, 30):
            found = pit_band(*pits(np.random.default_rng(0), runs=runs, rows=10, dependence=0.9), GRID, seed=0)
            assert (found.low >= -GRID).all() and (found.high <= 1 - GRID).all()
            assert (found.low < 0).all() and (found.high > 0).all()

    @pytest.mark.parametrize("runs", [0, 1, 4])
    def test_too_few_runs_reject_nothing(self, runs):
        found = pit_band(np.full(10 * runs, 0.5), np.repeat(np.arange(runs), 10), GRID, seed=0)
        assert not rejects(found)
        if runs < 2:
            assert_array_equal(found.low, -GRID)
            assert_array_equal(found.high, 1 - GRID)

    def test_order_names_and_seed(self):
        rng = np.random.default_rng(0)
        pit, run = pits(rng, runs=30, rows=9, dependence=0.5)
        order, names = rng.permutation(len(run)), rng.permutation(30).astype(str)
        found, moved = pit_band(pit, run, GRID, seed=1), pit_band(pit[order], names[run[order]], GRID, seed=1)
        assert all(np.array_equal(a, b) for a, b in zip(found, moved, strict=True))
        assert not np.array_equal(found.low, pit_band(pit, run, GRID, seed=2).low)

    @pytest.mark.parametrize(
        "shape",
        [
            {"runs": 8, "rows": 20, "dependence": 0.9},
            {"runs": 25, "rows": 30, "dependence": 0.9},
            {"runs": 80, "rows": 20, "dependence": 0.6},
            {"runs": 60, "rows": 1, "dependence": 0.0},
        ],
    )
    def test_calibrated_is_seldom_rejected(self, shape):
        rng = np.random.default_rng(0)
        assert np.mean([rejects(pit_band(*pits(rng, **shape), GRID, seed=i)) for i in range(150)]) <= 0.15

    def test_control_rows_taken_for_runs_are_rejected(self):
        rng, wrong = np.random.default_rng(0), []
        for i in range(40):
            pit, _ = pits(rng, runs=25, rows=20, dependence=0.9)
            wrong.append(rejects(pit_band(pit, np.arange(len(pit)), GRID, seed=i)))
        assert np.mean(wrong) > 0.8

    @pytest.mark.parametrize("dependence", [0.0, 0.7])
    def test_an_over_narrow_forecaster_is_rejected(self, dependence):
        rng = np.random.default_rng(0)
        shape = {"runs": 50, "rows": 10, "dependence": dependence, "narrow": 2.0}
        assert np.mean([rejects(pit_band(*pits(rng, **shape), GRID, seed=i)) for i in range(40)]) > 0.9

    def test_wrong_calls_end_the_search(self):
        with pytest.raises(ValueError, match=r"grid must be \(m,\) ascending numbers in \[0, 1\], got shape \(2, 1\)"):
            pit_band(np.ones(3), np.ones(3), np.ones((2, 1)), seed=0)
        with pytest.raises(ValueError, match=r"ascending numbers in \[0, 1\], got shape \(2,\): \[0.5 0.1\]"):
            pit_band(np.ones(3), np.ones(3), np.array([0.5, 0.1]), seed=0)
        with pytest.raises(ValueError, match=r"numbers in \[0, 1\] or NaN, got -0.5"):
            pit_band(np.array([1.0, -0.5]), np.ones(2), GRID, seed=0)

"""Skill, its interval, the paired test and the verdict: against loops, by simulation, unmoved by names."""

import itertools
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import bootstrap

from predictdyn.backtest.compare import Lots, Skill, macro_mean, skill, verdict


def past(rng, *, families=20, runs=3, rows=3, gain=0.7, between=0.3):
    """Scores of two forecasters on the same targets; what is hard is hard for both; the true skill is 1 - gain."""
    family = np.repeat(np.arange(families), runs * rows)
    run = np.repeat(np.arange(families * runs), rows)
    hard = np.exp(0.5 * rng.normal(size=families))[family]

    def scores():
        own = between * rng.normal(size=families)[family] + 0.3 * rng.normal(size=families * runs)[run]
        return hard * np.exp(own + 0.3 * rng.normal(size=len(run)))

    return gain * scores(), scores(), run, family


def naive_macro_mean(score, run, family):
    means = []
    for f in sorted(set(family)):
        of_family = [np.mean(score[(run == r) & (family == f)]) for r in sorted(set(run[family == f]))]
        means.append(np.mean(of_family))
    return np.mean(means)


def _resampled(model, reference):
    picked = np.random.default_rng(3).integers(len(model), size=(4000, len(model)))
    return model[picked].mean(axis=1), reference[picked].mean(axis=1)


class TestMacroMean:
    def test_is_the_naive_loop(self):
        rng = np.random.default_rng(0)
        run = rng.integers(12, size=200)
        family, score = run % 5 + (run > 9), rng.gamma(2.0, size=200)
        assert_allclose(macro_mean(score, run, family), naive_macro_mean(score, run, family))
        assert abs(macro_mean(score, run, family) - score.mean()) > 0.01

    def test_rows_without_a_score_are_left_out(self):
        score = np.array([1.0, np.nan, 3.0, np.nan])
        assert macro_mean(score, np.array([*"aabc"]), np.array([*"aabc"])) == 2.0
        assert np.isnan(macro_mean(score[[1, 3]], np.array([*"ac"]), np.array([*"ac"])))


class TestSkill:
    def test_is_the_ratio_of_macro_means(self):
        model, reference, run, family = past(np.random.default_rng(0))
        model[[3, 50]], reference[[7, 50]] = np.nan, np.nan
        both = np.isfinite(model + reference)
        found = skill(model, reference, run, family, seed=0)
        s_model, s_reference = (naive_macro_mean(x[both], run[both], family[both]) for x in (model, reference))
        assert_allclose(found.skill, 1 - s_model / s_reference)
        assert (found.n_runs, found.n_families) == (60, 20)

    def test_interval_of_single_runs_is_that_of_scipy(self):
        model, reference, run, family = past(np.random.default_rng(1), families=200, runs=1, rows=1, between=1.2)
        found = skill(model, reference, run, family, seed=0, resamples=20_000)
        expected = bootstrap(
            (model, reference),
            lambda x, y, axis: 1 - x.mean(axis=axis) / y.mean(axis=axis),
            paired=True,
            confidence_level=0.9,
            n_resamples=20_000,
            rng=np.random.default_rng(2),
        ).confidence_interval
        assert_allclose([found.low, found.high], expected, atol=0.01)
        plain = np.quantile(1 - np.divide(*_resampled(model, reference)), [0.05, 0.95])
        assert np.abs(np.subtract([found.low, found.high], plain)).max() > 0.02  # the correction is not nothing

    def test_runs_are_drawn_within_families(self):
        """Its width is that of a naive two-stage bootstrap, and not that of drawing families alone."""
        model, reference, run, family = past(np.random.default_rng(1), families=100, between=0.0)
        found = skill(model, reference, run, family, seed=0, resamples=4000)
        pairs = np.stack([model, reference], axis=1)
        runs = [[pairs[run == r].mean(axis=0) for r in set(run[family == f])] for f in range(100)]
        rng, replicates, one_stage = np.random.default_rng(2), [], []
        for _ in range(500):
            drawn = rng.integers(100, size=100)
            one_stage.append(1 - np.divide(*np.mean([runs[f] for f in drawn], axis=(0, 1))))
            twice = [[runs[f][i] for i in rng.integers(3, size=3)] for f in drawn]
            replicates.append(1 - np.divide(*np.mean(twice, axis=(0, 1))))
        width = np.ptp(np.quantile(replicates, [0.05, 0.95]))
        assert_allclose(found.high - found.low, width, rtol=0.1)
        assert width > 1.2 * np.ptp(np.quantile(one_stage, [0.05, 0.95]))

    def test_higher_level_is_wider_and_holds_the_skill(self):
        columns = past(np.random.default_rng(0))
        narrow, wide = (skill(*columns, seed=0, level=level) for level in (0.5, 0.95))
        assert wide.low < narrow.low < narrow.skill < narrow.high < wide.high

    def test_order_of_rows_and_names_are_nothing(self):
        model, reference, run, family = past(np.random.default_rng(0))
        model[5] = np.nan
        order = np.random.default_rng(1).permutation(len(run))
        names = np.random.default_rng(2).permutation(len(run)).astype(str).astype(object)
        found = skill(model, reference, run, family, seed=3)
        assert skill(model[order], reference[order], run[order], family[order], seed=3) == found
        assert skill(model, reference, names[run], names[family], seed=3) == found
        shuffled = reference[order], names[run][order], names[family][order]
        assert macro_mean(*shuffled) == macro_mean(reference, run, family)

    def test_seed_decides(self):
        columns = past(np.random.default_rng(0))
        assert skill(*columns, seed=0) == skill(*columns, seed=0)
        assert skill(*columns, seed=0).low != skill(*columns, seed=1).low

    def test_shared_random_numbers_are_the_same_numbers(self):
        """Other sizes of families, more of them than are kept, and other seeds come between."""
        lots, alone = Lots(), []
        pasts = [past(np.random.default_rng(i), families=18 + i % 6, runs=1 + i % 3) for i in range(9)]
        for seed in (0, 1):
            alone += [skill(*columns, seed=seed, resamples=200) for columns in pasts]
        assert alone == [skill(*columns, seed=seed, resamples=200, lots=lots) for seed in (0, 1) for columns in pasts]

    def test_units_of_the_score_are_nothing(self):
        model, reference, run, family = past(np.random.default_rng(0))
        found, scaled = (skill(c * model, c * reference, run, family, seed=0) for c in (1.0, 1e-9))
        assert_allclose(scaled, found, rtol=1e-9)

    def test_is_fast(self):
        columns = past(np.random.default_rng(0), families=300, runs=4)
        began = time.process_time()
        skill(*columns, seed=0)
        assert time.process_time() - began < 3  # about 0.4 s; wide for slow machines


class TestEdges:
    def test_the_same_forecaster(self):
        _, reference, run, family = past(np.random.default_rng(0))
        assert skill(reference, reference, run, family, seed=0) == Skill(0.0, 0.0, 0.0, 1.0, 60, 20)

    def test_a_constant_gain(self):
        _, reference, run, family = past(np.random.default_rng(0))
        found = skill(0.5 * reference, reference, run, family, seed=0)
        assert_allclose(found[:3], 0.5)

    def test_perfect_reference(self):
        zero, run = np.zeros(6), np.arange(6)
        assert skill(zero, zero, run, run, seed=0)[:3] == (0.0, 0.0, 0.0)
        assert skill(zero + 1, zero, run, run, seed=0)[:3] == (-np.inf, -np.inf, -np.inf)
        assert verdict(skill(zero + 1, zero, run, run, seed=0)) == "not predictable here"

    def test_reference_perfect_in_most_families(self):
        model, reference, run = np.array([0, 0, 0, 0, 0, 1.0]), np.array([0, 0, 0, 0, 0, 2.0]), np.arange(6)
        found = skill(model, reference, run, run, seed=0)
        assert found.skill == 0.5 and found.low <= 0 and verdict(found) == "not predictable here"

    def test_reference_below_zero_has_no_skill(self):
        found = skill(np.arange(6.0), np.arange(6.0) - 9, np.arange(6), np.arange(6), seed=0)
        assert np.isnan(found[:3]).all() and found.p_value == 1.0

    def test_a_single_run_has_no_interval(self):
        found = skill(np.array([1.0, 2.0]), np.array([2.0, 4.0]), np.zeros(2), np.zeros(2), seed=0)
        assert found.skill == 0.5 and np.isnan([found.low, found.high]).all() and found[3:] == (0.5, 1, 1)

    @pytest.mark.parametrize("n", [0, 4])
    def test_nothing_to_compare(self, n):
        nothing = np.full(n, np.nan)
        found = skill(nothing, nothing, np.arange(n), np.arange(n), seed=0)
        assert np.isnan(found[:4]).all() and found[4:] == (0, 0)
        assert verdict(found) == "too few runs to say"

    def test_wrong_calls_end_the_search(self):
        model, reference, run, family = past(np.random.default_rng(0))
        with pytest.raises(ValueError, match=r"one length \(n,\), got \[\(180,\), \(179,\), \(180,\), \(180,\)\]"):
            skill(model, reference[1:], run, family, seed=0)
        with pytest.raises(ValueError, match="a run belongs to one family; 'a' is in more than one"):
            skill(np.ones(2), np.ones(2), np.array(["a", "a"]), np.array(["x", "y"]), seed=0)
        with pytest.raises(ValueError, match=r"level is .* in \(0, 1\), got 90"):
            skill(model, reference, run, family, seed=0, level=90)
        with pytest.raises(ValueError, match="scores must be finite"):
            skill(model + np.inf, reference, run, family, seed=0)


class TestPValue:
    def naive(self, gain):
        sums = [np.dot(signs, gain) for signs in itertools.product([1, -1], repeat=len(gain))]
        return np.mean([total >= sum(gain) - 1e-9 for total in sums])

    @pytest.mark.parametrize("n", [2, 6, 12])
    def test_is_every_flip_of_the_families(self, n):
        rng = np.random.default_rng(n)
        reference, gain = 5 + rng.random(n), rng.normal(0.4, 1, size=n)
        found = skill(reference - gain, reference, np.arange(n), np.arange(n), seed=0)
        assert_allclose(found.p_value, self.naive(gain))

    def test_of_one_family_is_every_flip_of_the_runs(self):
        reference, gain = np.full(7, 5.0), np.random.default_rng(0).normal(0.4, 1, size=7)
        found = skill(reference - gain, reference, np.arange(7), np.zeros(7), seed=0)
        assert_allclose(found.p_value, self.naive(gain))

    def test_random_flips_are_near_the_exact_answer(self):
        reference, gain = np.full(14, 5.0), np.random.default_rng(3).normal(0.3, 1, size=14)
        found = skill(reference - gain, reference, np.arange(14), np.arange(14), seed=0)
        assert_allclose(found.p_value, self.naive(gain), atol=0.02)

    def test_is_never_zero(self):
        found = skill(np.ones(40), np.arange(40) + 2.0, np.arange(40), np.arange(40), seed=0)
        assert found.p_value == 1e-4


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Skill(0.5, 0.4, 0.6, 0.06, 900, 4), "too few runs to say"),
        (Skill(0.5, 0.4, 0.6, 0.06, 4, 1), "too few runs to say"),
        (Skill(0.5, 0.4, 0.6, 0.03, 5, 1), "predictable here"),
        (Skill(0.5, 0.4, 0.6, 0.03, 5, 5), "predictable here"),
        (Skill(0.5, 0.4, 0.6, 0.05, 19, 19), "not predictable here"),
        (Skill(0.5, 0.4, 0.6, 0.05, 20, 20), "predictable here"),
        (Skill(0.5, 0.0, 0.6, 0.01, 20, 20), "not predictable here"),
        (Skill(0.5, np.nan, np.nan, 0.01, 20, 20), "not predictable here"),
    ],
)
def test_verdict(found, said):
    assert verdict(found) == said


class TestBySimulation:
    """Rates over simulated pasts; the bounds are beyond three standard errors of what these give."""

    @pytest.mark.parametrize("shape", [{"runs": 1, "between": 0.2}, {"families": 25, "between": 0.4}])
    def test_interval_holds_the_truth_and_finds_the_gain(self, shape):
        rng = np.random.default_rng(0)
        found = [skill(*past(rng, **shape), seed=i, resamples=1000) for i in range(200)]
        assert 0.80 <= np.mean([f.low <= 0.3 <= f.high for f in found]) <= 0.97
        assert np.mean([verdict(f) == "predictable here" for f in found]) > 0.5

    def test_interval_of_few_runs_is_widened(self):
        """Six runs: without Student's quantile three in four, with it nearly nine in ten."""
        rng = np.random.default_rng(0)
        found = [skill(*past(rng, families=6, runs=1), seed=i, resamples=500) for i in range(300)]
        assert np.mean([f.low <= 0.3 <= f.high for f in found]) >= 0.82

    @pytest.mark.parametrize(
        "shape", [{"families": 6, "runs": 2}, {"runs": 1}, {"families": 1, "runs": 12, "between": 0.0}]
    )
    def test_equals_are_seldom_called_predictable(self, shape):
        rng = np.random.default_rng(1)
        said = [verdict(skill(*past(rng, gain=1.0, **shape), seed=i, resamples=500)) for i in range(300)]
        assert np.mean([one == "predictable here" for one in said]) <= 0.08

    def test_control_points_taken_for_runs_would_be(self):
        """With each row its own run and family, the rows of a run deceive: what the units are for."""
        rng, wrong = np.random.default_rng(1), []
        for i in range(60):
            model, reference, run, _ = past(rng, gain=1.0, families=8, rows=8)
            row = np.arange(len(run))
            wrong.append(verdict(skill(model, reference, row, row, seed=i, resamples=300)) == "predictable here")
        assert np.mean(wrong) > 0.2

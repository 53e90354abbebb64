"""Every score: one contract, another road to each number, and forecasts that must score worse."""

import warnings
from functools import partial
from inspect import getmembers, isfunction

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import cauchy, kstest, norm, qmc

from predictdyn import scores
from predictdyn.scores import absolute_error, covered, crps, interval_score, log_score, pit, relative_error, width

JOINT = [scores.energy, scores.variogram]  # several targets at once: tests/test_joint_scores.py
SORTED = [scores.quantiles, scores.ranked]  # of draws that are sorted already
EVENTS = [scores.brier, scores.brier_parts, scores.censored_crps]  # tests/test_event_scores.py
ALL = [
    f for name, f in getmembers(scores, isfunction)
    if not name.startswith("_") and f.__module__ == scores.__name__ and f not in [*JOINT, *SORTED, *EVENTS]
]  # fmt: skip
DESCRIBE = [covered, pit, width]
RANK = [f for f in ALL if f not in DESCRIBE]
PROPER = [crps, log_score, interval_score, partial(interval_score, level=0.5)]  # the others look at the median alone
LENGTHS = [crps, interval_score, absolute_error, width]  # in the metric's units
EQUIVARIANT = [*LENGTHS, log_score, covered, pit]


def name(score):
    return score.func.__name__ if isinstance(score, partial) else score.__name__


def ordinary(n=40, s=60, seed=0):
    rng = np.random.default_rng(seed)
    return rng.gamma(4.0, size=n), rng.gamma(4.0, size=(n, s))


def quantiles(s):
    return norm.ppf((np.arange(s) + 0.5) / s)


class TestSorted:
    """What is computed of sorted draws at once is what the scores and numpy give one by one."""

    def test_ranked_is_the_three_scores(self):
        truth, draws = ordinary()
        draws[0], draws[1, :30], truth[1], truth[2] = 3.0, 7.0, 7.0, np.nan
        found = scores.ranked(truth, np.sort(draws, axis=1))
        for column, score in zip(found, (crps, log_score, pit), strict=True):
            assert_array_equal(column, score(truth, draws))
        assert np.isnan(found.pit[2]) and found.pit[1] > 0.25

    @pytest.mark.parametrize("s", [2, 3, 60, 1000])
    def test_quantiles_are_those_of_numpy(self, s):
        _, draws = ordinary(s=s)
        levels = (0.0, 0.025, 0.25, 0.5, 0.75, 0.95, 1.0)
        assert_array_equal(scores.quantiles(np.sort(draws, axis=1), levels), np.quantile(draws, levels, axis=1).T)


@pytest.fixture(scope="module")
def scoringrules():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import scoringrules

        yield scoringrules


@pytest.mark.parametrize("score", ALL, ids=name)
class TestContract:
    def test_one_finite_number_per_row(self, score):
        truth, draws = ordinary()
        found = score(truth, draws)
        assert found.shape == truth.shape and found.dtype == float
        assert np.isfinite(found).all()
        assert score(truth[:0], draws[:0]).shape == (0,)

    def test_rows_do_not_know_each_other(self, score):
        truth, draws = ordinary()
        alone = [score(truth[i : i + 1], draws[i : i + 1])[0] for i in range(len(truth))]
        assert_allclose(score(truth, draws), alone, rtol=1e-12)

    def test_order_of_draws_is_nothing_and_the_input_is_not_changed(self, score):
        truth, draws = ordinary()
        kept = truth.copy(), draws.copy()
        assert_allclose(score(truth, draws[:, ::-1]), score(truth, draws), rtol=1e-12)
        assert_array_equal(truth, kept[0])
        assert_array_equal(draws, kept[1])

    def test_two_draws_lists_and_integers(self, score):
        assert np.isfinite(score([3], [[1, 4]])).all()
        assert_array_equal(score([3], [[1, 4]]), score(np.array([3.0]), np.array([[1.0, 4.0]])))

    def test_equal_draws(self, score):
        truth, draws = np.array([1.0, 2.0, 0.1]), np.repeat([[1.0], [1.0], [0.1]], 50, axis=1)
        assert np.isfinite(score(truth, draws)).all()

    def test_all_draws_zero(self, score):
        found = score(np.array([0.0, 1.0]), np.zeros((2, 5)))
        assert not np.isinf(found).any()
        assert np.isfinite(found).all() or score in (relative_error, scores.squared_log_error)

    @pytest.mark.parametrize("scale", [1e-12, 1e9])
    def test_small_and_huge_units(self, score, scale):
        truth, draws = ordinary()
        factor = scale if score in LENGTHS else 1.0
        offset = np.log(scale) if score is log_score else 0.0
        assert_allclose(score(truth * scale, draws * scale), score(truth, draws) * factor + offset, rtol=1e-9)

    def test_unknown_truth(self, score):
        truth, draws = ordinary(3)
        truth[1] = np.nan
        assert_array_equal(np.isnan(score(truth, draws)), [False, score is not width, False])

    def test_wrong_shapes_end_the_search(self, score):
        truth, draws = ordinary()
        with pytest.raises(ValueError, match=r"truth \(n,\) and draws \(n, s\) with.* got \(39,\) and \(40, 60\)"):
            score(truth[1:], draws)
        with pytest.raises(ValueError, match=r"s >= 2, got \(40,\) and \(40, 1\)"):
            score(truth, draws[:, :1])
        with pytest.raises(ValueError, match=r"got \(40, 1\) and \(40, 60\)"):
            score(truth[:, None], draws)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_a_draw_that_is_no_number_ends_the_search(self, score, bad):
        truth, draws = ordinary()
        draws[7, 3] = bad
        with pytest.raises(ValueError, match=r"draws must be finite.*first row that is not: 7"):
            score(truth, draws)


@pytest.mark.parametrize("score", EQUIVARIANT, ids=name)
def test_shift_moves_no_score(score):
    truth, draws = ordinary()
    assert_allclose(score(truth - 17.0, draws - 17.0), score(truth, draws), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("score", [*EQUIVARIANT[:-1]], ids=name)
def test_mirror_image_scores_the_same(score):
    truth, draws = ordinary()
    assert_allclose(score(-truth, -draws), score(truth, draws), rtol=1e-9)


def test_pit_of_the_mirror_image_is_the_rest():
    truth, draws = ordinary()
    assert_allclose(pit(-truth, -draws), 1 - pit(truth, draws))


@pytest.mark.parametrize("level", [0.0, 1.0, 90])
@pytest.mark.parametrize("score", [interval_score, covered, width], ids=name)
def test_a_level_that_is_none_ends_the_search(score, level):
    with pytest.raises(ValueError, match=rf"level is the coverage of an interval, in \(0, 1\), got {level}"):
        score(*ordinary(), level=level)


class TestBetterIsLower:
    """Truth and draws of one law; then the forecast is spoilt, and must score worse by far more than its noise."""

    truth = np.exp(0.5 * np.random.default_rng(0).normal(size=3000))
    normal = np.random.default_rng(1).normal(size=(3000, 200))

    def loss(self, score, centre, spread):
        ideal = score(self.truth, np.exp(0.5 * self.normal))
        excess = score(self.truth, np.exp(0.5 * (centre + spread * self.normal))) - ideal
        return excess.mean() / (excess.std() / np.sqrt(len(excess)))

    @pytest.mark.parametrize("score", RANK, ids=name)
    @pytest.mark.parametrize("centre", [-0.5, 0.5])
    def test_a_shifted_forecast_is_worse(self, score, centre):
        favours_low = score is relative_error and centre < 0  # the median is not its best answer
        loss = self.loss(score, centre, 1.0)
        assert loss < 0 if favours_low else loss > 4

    @pytest.mark.parametrize("score", PROPER, ids=name)
    @pytest.mark.parametrize("spread", [0.5, 2.0])
    def test_an_over_sure_or_a_timid_forecast_is_worse(self, score, spread):
        assert self.loss(score, 0.0, spread) > 4

    @pytest.mark.parametrize("score", [absolute_error, width], ids=name)
    def test_control_these_do_not_notice_false_confidence(self, score):
        assert self.loss(score, 0.0, 0.5) < 4


class TestCrps:
    def test_is_the_double_sum(self):
        truth, draws = ordinary(5, 7)
        naive = []
        for y, x in zip(truth, draws, strict=True):
            pairs = sum(abs(a - b) for a in x for b in x)
            naive.append(sum(abs(a - y) for a in x) / 7 - pairs / (2 * 7 * 6))
        assert_allclose(crps(truth, draws), naive, rtol=1e-12)

    def test_agrees_with_scoringrules(self, scoringrules):
        truth, draws = ordinary()
        assert_allclose(crps(truth, draws), scoringrules.crps_ensemble(truth, draws, estimator="fair"), atol=1e-6)
        unfair = scoringrules.crps_ensemble(truth, draws, estimator="nrg")
        assert np.abs(crps(truth, draws) - unfair).min() > 1e-3

    def test_golden_value(self):
        assert_allclose(crps(np.zeros(1), quantiles(20_000)[None]), 0.233695, atol=4e-5)
        drawn = norm.ppf(qmc.Sobol(1, seed=0).random(2**14)).T
        assert_allclose(crps(np.zeros(1), drawn), 0.233695, atol=2e-4)

    def test_few_draws_are_fair(self):
        """On average 3 draws score as the whole law does; without fairness they would be E|X - X'| / 6 off."""
        rng = np.random.default_rng(0)
        found = crps(np.zeros(200_000), rng.normal(size=(200_000, 3)))
        assert_allclose(found.mean(), 0.233695, atol=4 * found.std() / np.sqrt(200_000))

    def test_a_few_absurd_draws_leave_it_positive_and_exact(self):
        draws = np.concatenate([np.linspace(-1, 1, 997), [1e40, 1e50, 1e60]])[None]
        # The largest of s draws says nothing of a spread; the other two weigh 2 (s - i) / s (s - 1).
        assert_allclose(crps(np.zeros(1), draws), (4 * 1e40 + 2 * 1e50) / (1000 * 999), rtol=1e-12)
        assert (crps(np.zeros(50), 10.0 ** np.random.default_rng(0).uniform(-300, 300, (50, 100))) >= 0).all()

    def test_far_from_zero_no_digit_is_lost(self):
        truth, draws = ordinary()
        far = 2.0**30  # exact in floating point, but for the low bits of the draws
        assert_allclose(crps(truth + far, draws + far), crps(truth, draws), atol=1e-6)


class TestIntervalScore:
    @pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
    def test_agrees_with_scoringrules(self, scoringrules, level):
        truth, draws = ordinary()
        truth[::3] *= 4  # some outside
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=1)
        assert (truth > high).any() and ((low < truth) & (truth < high)).any()
        expected = scoringrules.interval_score(truth, low, high, 1 - level)
        assert_allclose(interval_score(truth, draws, level=level), expected, atol=1e-6)
        assert_allclose(width(truth, draws, level=level), high - low)
        assert_array_equal(covered(truth, draws, level=level), (low <= truth) & (truth <= high))

    def test_both_sides_by_hand(self):
        draws = np.array([[0.0, 1.0, 2.0, 3.0, 4.0]] * 3)  # the 50 % interval is [1, 3]
        assert_allclose(interval_score(np.array([0.0, 2.5, 6.0]), draws, level=0.5), [2 + 4, 2, 2 + 12])
        assert_array_equal(covered(np.array([1.0, 3.0, 3.01]), draws, level=0.5), [1, 1, 0])


class TestLogScore:
    def test_is_the_naive_mixture(self):
        truth, draws = ordinary(4, 9)
        naive = []
        for y, x in zip(truth, draws, strict=True):
            spread = min(np.std(x, ddof=1), (np.quantile(x, 0.75) - np.quantile(x, 0.25)) / 1.34)
            kernels = sum(norm.pdf(y, a, 0.9 * spread * 9**-0.2) for a in x)
            naive.append(-np.log((kernels + cauchy.pdf(y, np.median(x), spread)) / 10))
        assert_allclose(log_score(truth, draws), naive, rtol=1e-12)

    def test_kernels_agree_with_scoringrules(self, scoringrules):
        truth, draws = ordinary()
        s = draws.shape[1]
        low, middle, high = np.quantile(draws, [0.25, 0.5, 0.75], axis=1)
        spread = np.minimum(draws.std(axis=1, ddof=1), (high - low) / 1.34)
        kernels = np.exp(-scoringrules.logs_ensemble(truth, draws, bw=0.9 * spread * s**-0.2))
        expected = -np.log((s * kernels + cauchy.pdf(truth, middle, spread)) / (s + 1))
        assert_allclose(log_score(truth, draws), expected, atol=1e-6)

    def test_golden_value(self):
        """Kernels widen the normal: at its centre the score is log(1 + h^2) / 2 too high, 0.004 with 100,000 draws."""
        found = log_score(np.zeros(1), quantiles(100_000)[None])[0]
        assert_allclose(found, 0.918939, atol=0.005)
        assert_allclose(found - 0.918939, np.log1p((0.9 * 100_000**-0.2) ** 2) / 2, rtol=0.02)
        drawn = norm.ppf(qmc.Sobol(1, seed=0).random(2**17)).T
        assert_allclose(log_score(np.zeros(1), drawn), 0.918939, atol=0.005)

    def test_is_the_log_of_a_density(self):
        draws = np.random.default_rng(0).gamma(4.0, size=(1, 30))
        at = np.linspace(-4000, 4000, 80_001)
        density = np.exp(-log_score(at, np.broadcast_to(draws, (len(at), 30))))
        # What is cut off is the tail of the Cauchy term alone, about (1/31) (2/pi) (2/4000).
        assert_allclose(density.sum() * (at[1] - at[0]), 1.0, atol=1e-4)

    def test_a_miss_costs_the_log_of_its_distance(self):
        draws = np.repeat(quantiles(1000)[None], 3, axis=0)
        found = log_score(np.array([1e3, 1e6, 1e9]), draws)
        assert_allclose(np.diff(found), 2 * np.log(1e3), rtol=1e-4)

    def test_a_point_mass_is_finite_either_way(self):
        hit, miss = log_score(np.array([0.0, 1e9]), np.zeros((2, 20)))
        assert hit < -20 and 20 < miss < 1e3


class TestPit:
    def test_calibrated_draws_give_uniform_pit_and_others_do_not(self):
        rng = np.random.default_rng(0)
        truth, draws = rng.normal(size=4000), rng.normal(size=(4000, 400))
        assert kstest(pit(truth, draws), "uniform").pvalue > 0.05
        assert kstest(pit(truth, 0.7 * draws), "uniform").pvalue < 1e-6
        assert kstest(pit(truth + 0.2, draws), "uniform").pvalue < 1e-6

    def test_ties_are_split(self):
        truth, draws = np.array([0.0, 1.0, 2.0, 5.0]), np.array([[0.0, 1.0, 1.0, 2.0]] * 4)
        assert_allclose(pit(truth, draws), [0.125, 0.5, 0.875, 1])


def test_errors_of_the_median_by_hand():
    truth, draws = np.array([2.0, 4.0, -1.0]), np.array([[1.0, 3.0, 9.0], [2.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    assert_allclose(absolute_error(truth, draws), [1, 2, 3])
    assert_allclose(relative_error(truth, draws), [0.5, 0.5, np.nan])
    assert_allclose(scores.squared_log_error(truth, draws), [np.log(1.5) ** 2, np.log(2) ** 2, np.nan])

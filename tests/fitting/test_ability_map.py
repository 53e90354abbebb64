"""The map from ability to an outcome: its posterior against a brute-force one, its update by a run, its calibration."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit

from predictdyn.fitting.ability_map import MapRows, Response, basis, nodes_of, with_run
from predictdyn.fitting.ability_pool import AskedAbility, map_draws, outcome_draws, shared_draws

EXAM = Response("accuracy", 0.25, 1.0, 1000.0, True)


def rows_of(ability, y, run=None) -> MapRows:
    none = np.full(len(y), -1)
    return MapRows(np.atleast_2d(ability), np.zeros((len(y), 0)), none if run is None else run, np.asarray(y))


def asked_at(ability, count: int, run: int = -1, since: float = 0.0) -> AskedAbility:
    m = len(ability)
    there = np.repeat(np.asarray(ability, dtype=float)[None, :, None], count, axis=2)
    zero = np.zeros((m, count))
    return AskedAbility(there, np.zeros((m, 0, count)), np.full(m, run), zero + since, zero)


def drawn(nodes, ability, count: int = 2000, noise: bool = False, **run) -> np.ndarray:
    draws = map_draws(nodes, shared_draws([nodes], count, seed=0), seed=1)
    return outcome_draws(nodes, draws, asked_at(ability, count, **run), seed=2, noise=noise)


def logistic(ability, middle=0.5, steep=1.4, ceiling=0.92):
    return 0.25 + ceiling * 0.75 * expit(steep * (np.asarray(ability) - middle))


def test_a_response_and_its_slope_agree():
    eta = np.linspace(-4, 4, 9)
    for response, level in ((EXAM, 0.8), (Response("loss", 2.0, 2.7, 1e5), 0.4)):
        step = 1e-6
        numeric = (response.value(eta + step, level) - response.value(eta - step, level)) / (2 * step)
        assert_allclose(response.slope(eta, level), numeric, rtol=1e-6)
    assert_allclose(EXAM.value(np.array([-50.0, 50.0]), 0.8), [0.25, 0.85])
    assert_allclose(Response("loss", 2.0, 2.7, 1e5).value(np.array([40.0]), 0.4), 0.8, atol=1e-6)


def test_the_process_has_the_correlation_of_its_kernel():
    knots = np.linspace(-2, 3, 9)
    columns = basis(knots, knots)
    apart = np.sqrt(3.0) * np.abs(knots[:, None] - knots)
    assert_allclose(columns @ columns.T, (1 + apart) * np.exp(-apart), atol=1e-6)


def test_a_curve_is_found_and_goes_on_beyond_its_rows():
    random = np.random.default_rng(0)
    ability = random.standard_normal(60)
    nodes = nodes_of(rows_of(ability, random.binomial(1000, logistic(ability)) / 1000), EXAM)
    there = np.array([-1.0, 0.0, 1.0, 2.5])
    low, middle, high = np.quantile(drawn(nodes, there), (0.05, 0.5, 0.95), axis=1)
    truth = logistic(there)
    assert ((low < truth) & (truth < high)).all()
    assert_allclose(middle[:3], truth[:3], atol=0.015)
    assert (high - low)[3] > 2 * (high - low)[1] > 0


def test_mean_and_spread_are_those_of_a_sum_over_the_prior():
    """Importance sampling from the same prior, without linear steps or a grid: another road to the same numbers."""
    random = np.random.default_rng(1)
    ability = np.linspace(-1.5, 1.5, 12)
    exam = Response("accuracy", 0.25, 1.0, 100.0, True)
    y = random.binomial(100, logistic(ability)) / 100
    found = drawn(nodes_of(rows_of(ability, y), exam), [0.0, 1.0], 4000)
    n, every = 500_000, np.r_[ability, 0.0, 1.0]
    apart = np.sqrt(3.0) * np.abs(every[:, None] - every)
    root = np.linalg.cholesky((1 + apart) * np.exp(-apart) + 1e-9 * np.eye(14))
    mean_sd, steep_sd = (sd * np.sqrt(4 / random.chisquare(4, n)) for sd in (0.9, 0.5))
    middle = 0.7 + mean_sd * np.sqrt(1 + 1 / 0.25) * random.standard_normal(n)
    steep = np.log(1.2) + steep_sd * np.sqrt(1 + 1 / 0.25) * random.standard_normal(n)
    level = random.choice(exam.levels, p=exam.level_prior, size=n)
    floor = exam.floor_sd * random.standard_normal(n)
    noise = np.exp(0.5 * random.standard_normal(n))[:, None]
    # Only what can matter is looked at further.
    good = (middle > -3.2) & (middle < 6.2) & (steep > np.log(0.13)) & (steep < np.log(9.0))
    good &= np.abs(exam.value(np.exp(steep) * (1.5 - middle), level) - y[-1]) < 0.25
    middle, steep, level, floor, noise = (one[good] for one in (middle, steep, level, floor, noise))
    process = random.choice((0.03, 0.15, 0.4), p=(0.4, 0.4, 0.2), size=(len(middle), 1))
    moved = every + process * (random.standard_normal((len(middle), 14)) @ root.T)
    eta = np.exp(steep)[:, None] * (moved - middle[:, None])
    value = exam.value(eta, level[:, None]) + floor[:, None] * exam.floor(eta)
    log = -0.5 * ((y - value[:, :12]) ** 2 / (noise**2 * exam.variance(y))).sum(axis=1) - 12 * np.log(noise[:, 0])
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    assert 1 / (weight**2).sum() > 150
    mean = weight @ value[:, 12:]
    sd = np.sqrt(weight @ (value[:, 12:] - mean) ** 2)
    assert_allclose(found.mean(axis=1), mean, atol=0.3 * sd.min())
    assert_allclose(found.std(axis=1), sd, rtol=0.25)


def test_rows_of_one_more_run_are_as_if_they_had_been_there():
    random = np.random.default_rng(0)
    ability, run = random.standard_normal(60), np.repeat(np.arange(6), 10)
    own = random.normal(0, 0.25, 7)

    def values(ability, run):
        return logistic(ability + own[run], ceiling=1.0) + 0.01 * random.standard_normal(len(ability))

    there = np.linspace(-1, 0, 8)
    y, seen = values(ability, run), values(there, np.full(8, 6))
    before = nodes_of(rows_of(ability, y, run), EXAM)
    updated = with_run(before, rows_of(there, seen, np.zeros(8, dtype=int)))
    whole = nodes_of(rows_of(np.r_[ability, there], np.r_[y, seen], np.r_[run, np.full(8, 6)]), EXAM)
    a, b, without = (drawn(one, [0.0, 1.0, 2.0], run=place) for one, place in ((updated, 6), (whole, 6), (before, -1)))
    assert_allclose(a.mean(axis=1), b.mean(axis=1), atol=0.006)
    assert_allclose(a.std(axis=1), b.std(axis=1), rtol=0.2)
    truth = logistic(np.array([0.0, 1.0, 2.0]) + own[6], ceiling=1.0)
    assert (np.abs(a.mean(axis=1) - truth) < np.abs(without.mean(axis=1) - truth))[:2].all()
    assert (a.std(axis=1) < 0.5 * without.std(axis=1))[:2].all()


def test_the_shift_of_a_run_counts_for_less_the_farther_away():
    random = np.random.default_rng(0)
    ability, run = random.standard_normal(40), np.repeat(np.arange(4), 10)
    y = logistic(ability + random.normal(0, 0.3, 4)[run]) + 0.005 * random.standard_normal(40)
    nodes = nodes_of(rows_of(ability, y, run), EXAM)
    near, far = (drawn(nodes, [0.5], run=1, since=since).std() for since in (0.0, 2.0))
    assert far > 1.5 * near


def test_outcomes_that_are_at_chance_lean_on_the_others():
    """Of an exam that has not begun to rise nothing is known but what the others share."""
    random = np.random.default_rng(0)
    ability = np.linspace(-2, 1, 40)
    steep = [nodes_of(rows_of(ability, random.binomial(1000, logistic(ability, m, 3.0, 1.0)) / 1000), EXAM)
             for m in (-0.5, -0.2, 0.0, 0.2, 0.4)]  # fmt: skip
    flat = nodes_of(rows_of(ability, random.binomial(1000, 0.25, 40) / 1000), EXAM)
    together = shared_draws([*steep, flat], 1500, seed=0)
    alone = shared_draws([flat], 1500, seed=0)
    drawn_steep = [np.exp(flat.steep[map_draws(flat, shared, seed=1).node]) for shared in (together, alone)]
    chosen = [one[one > 0.05] for one in drawn_steep]  # without those that never rise
    assert np.median(chosen[0]) > 1.2 * np.median(chosen[1])
    assert np.ptp(np.quantile(chosen[0], (0.1, 0.9))) < np.ptp(np.quantile(chosen[1], (0.1, 0.9)))


@pytest.mark.parametrize("seed", range(3))
def test_a_loss_from_a_loss(seed):
    random = np.random.default_rng(seed)
    hot = random.uniform(2.4, 3.6, 40)
    cooled = 0.9 * (hot - 0.3) ** 0.95 + 0.35
    y = cooled * np.exp(0.002 * random.standard_normal(40))
    x = np.log(hot)
    ability = (x.mean() - x) / x.std()
    nodes = nodes_of(rows_of(ability, y), Response("loss", float(y.min()), float(np.median(y)), 1e5))
    there = np.log(np.array([2.1, 3.0]))
    low, middle, high = np.quantile(drawn(nodes, (x.mean() - there) / x.std()), (0.05, 0.5, 0.95), axis=1)
    truth = 0.9 * (np.exp(there) - 0.3) ** 0.95 + 0.35
    assert ((low < truth) & (truth < high)).all()
    assert_allclose(middle, truth, rtol=0.015)

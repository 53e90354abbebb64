"""Processes over several metrics: blocks beside the whole covariance, gradients beside differences, recovery."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import block_diag

from predictdyn.fitting import change_gp, curve_gp
from predictdyn.fitting.change_gp import Changes, PlannedRuns
from predictdyn.fitting.curve_gp import ProjectedCurves
from predictdyn.fitting.multitask_gp import DenseLoading, likelihood, mode

rng = np.random.default_rng(0)


def runs_of(r: int, seed: int = 1) -> PlannedRuns:
    one = np.random.default_rng(seed)
    return PlannedRuns(one.standard_normal(r), one.standard_normal(r), one.standard_normal((r, 2)), np.arange(r) // 2)


def rows_of(m: int, r: int) -> Changes:
    parts = [rng.standard_normal((m, r)) for _ in range(3)]
    known = rng.random((m, r)) < 0.8
    known[:, -1] = False
    return Changes(*parts, rng.random((m, r)), rng.random((m, r)), known)


def curves_of(m: int, r: int, knots: np.ndarray):
    """Random curves, the last run with two checkpoints only, and the curves themselves."""
    curves, raw = curve_gp.no_curves(m, r, len(knots)), []
    for j in range(m):
        for i in range(r):
            when = np.sort(rng.uniform(knots[0], 0, 9 if i < r - 1 else 2))
            weight, value = curve_gp.weights(when, knots), rng.standard_normal(len(when))
            curve_gp.add_curve(curves, j, i, curve_gp.rotation(when, knots), value)
            raw.append((j, i, weight, value))
    curves.stderr[:], curves.scatter[:], curves.dense[:] = rng.random((3, m, r)) + 0.5
    return curves, raw


def differences(function, theta: np.ndarray) -> np.ndarray:
    step = 1e-5
    return np.array(
        [(function(theta + step * e) - function(theta - step * e)) / (2 * step) for e in np.eye(len(theta))]
    )


def last_run(theta: np.ndarray, rows: Changes, runs: PlannedRuns) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (m,) of the changes of the last run, given all others."""
    r = len(runs.size) - 1
    data = change_gp.conditioned(theta, Changes(*(part[:, :r] for part in rows)), runs.rows(np.arange(r)))
    mean, variance = data.predict(Changes(*(part[:, r:] for part in rows)), runs.rows(np.array([r])))
    return mean[:, 0], variance[:, 0]


def dense_changes(theta: np.ndarray, rows: Changes, runs: PlannedRuns) -> np.ndarray:
    """The whole covariance of all rows, noise included, (m r, m r)."""
    parts = change_gp.covariance(theta, rows, runs)
    loading = parts.loading.reshape(rows.level.size, -1)
    return block_diag(*parts.own) + loading @ parts.prior @ loading.T + np.diag(parts.noise.ravel())


def test_new_runs_answered_together_are_each_the_whole_covariance_with_that_run_appended():
    m, r, n = 3, 6, 3
    rows, runs = rows_of(m, r + n), runs_of(r + n)
    theta = change_gp.prior_means(smooth=True) + 0.3 * rng.standard_normal(19)
    old, new = np.arange(r), np.arange(r, r + n)
    finished = Changes(*(part[:, old] for part in rows))
    data = change_gp.conditioned(theta, finished, runs.rows(old))
    mean, variance = data.predict(Changes(*(part[:, new] for part in rows)), runs.rows(new))
    known = finished.known.ravel()
    for i, place in enumerate(new):
        which = np.r_[old, place]
        whole = dense_changes(theta, Changes(*(part[:, which] for part in rows)), runs.rows(which))
        seen = np.concatenate([finished.known, np.zeros((m, 1), dtype=bool)], axis=1).ravel()
        ahead = np.arange(m) * (r + 1) + r
        weight = np.linalg.solve(whole[np.ix_(seen, seen)], whole[np.ix_(seen, ahead)]).T
        assert_allclose(mean[:, i], weight @ finished.change.ravel()[known], atol=1e-8)
        right = whole[np.ix_(ahead, ahead)] - weight @ whole[np.ix_(seen, ahead)]
        assert_allclose(variance[:, i], np.diag(right), atol=1e-8)
        alone = data.predict(Changes(*(part[:, [place]] for part in rows)), runs.rows(np.array([place])))
        assert_allclose(alone[0][:, 0], mean[:, i], atol=1e-12)


def test_the_density_of_changes_is_that_of_the_whole_covariance():
    rows, runs = rows_of(3, 6), runs_of(6)
    theta = change_gp.prior_means(smooth=True) + 0.3 * rng.standard_normal(19)
    known = rows.known.ravel()
    inside, y = dense_changes(theta, rows, runs)[np.ix_(known, known)], rows.change.ravel()[known]
    direct = 0.5 * y @ np.linalg.solve(inside, y) + 0.5 * np.linalg.slogdet(inside)[1]
    assert_allclose(change_gp.likely(rows, runs).nll(theta)[0], direct, atol=1e-6)


def test_projected_curves_say_what_all_checkpoints_say():
    m, r, knots = 2, 4, np.linspace(-4, 0, 5)
    curves, raw = curves_of(m, r, knots)
    curves.dense[:] = 1.0
    runs, q = runs_of(r), len(knots)
    theta = curve_gp.prior_means() + 0.3 * rng.standard_normal(39)
    square, effects = np.exp(2 * theta), [change_gp.run_kernels(runs)[name] for name in curve_gp.EFFECTS]

    def of_values(part: np.ndarray) -> np.ndarray:
        total = np.zeros((r * q, r * q))
        for e, effect in enumerate(effects):
            for k, of_time in enumerate(curve_gp.time_kernels(knots)):
                total += part[3 * e + k] * np.kron(effect, of_time)
        return total

    values = np.kron(np.ones((m, m)), of_values(square[:18])) + np.kron(np.eye(m), of_values(square[18:36]))
    noise = curves.noise(square)
    design, variance = [], []
    for j, i, weight, value in raw:
        rows = np.zeros((len(value), m * r * q))
        rows[:, (j * r + i) * q : (j * r + i + 1) * q] = weight
        design.append(rows)
        variance += [noise[j, i]] * len(value)
    a, y = np.concatenate(design), np.concatenate([value for *_, value in raw])
    inside = a @ values @ a.T + np.diag(variance)
    direct = 0.5 * y @ np.linalg.solve(inside, y) + 0.5 * np.linalg.slogdet(inside)[1]
    assert_allclose(curve_gp.likely(curves, runs, knots).nll(theta)[0], direct, atol=1e-5)
    # The last run as a new one: first the others, then its own checkpoints.
    finished = ProjectedCurves(*(part[:, :-1] for part in curves))
    data = curve_gp.conditioned(theta, finished, runs.rows(np.arange(r - 1)), knots)
    own = ProjectedCurves(*(part[:, -1:] for part in curves))
    mean, covariance, _ = data.predict(own, runs.rows(np.array([r - 1])))
    new = np.concatenate([(j * r + r - 1) * q + np.arange(q) for j in range(m)])
    across = values[new] @ a.T
    assert_allclose(mean.ravel(), across @ np.linalg.solve(inside, y), atol=1e-6)
    right = values[np.ix_(new, new)] - across @ np.linalg.solve(inside, across.T)
    assert_allclose(covariance, [right[j * q : (j + 1) * q, j * q : (j + 1) * q] for j in range(m)], atol=1e-6)


def test_gradients_are_differences():
    rows, runs, knots = rows_of(3, 5), runs_of(5), np.linspace(-4, 0, 4)
    nll = change_gp.likely(rows, runs).nll
    theta = change_gp.prior_means(smooth=True) + 0.3 * rng.standard_normal(19)
    slope = nll(theta)[1]
    assert_allclose(slope, differences(lambda at: nll(at)[0], theta), atol=1e-5)
    assert (np.abs(slope) > 1e-4).all()
    nll = curve_gp.likely(curves_of(2, 5, knots)[0], runs, knots).nll
    theta = curve_gp.prior_means() + 0.3 * rng.standard_normal(39)
    slope = nll(theta)[1]
    assert_allclose(slope, differences(lambda at: nll(at)[0], theta), atol=1e-5)
    assert (np.abs(slope) > 1e-7).all()


def test_settings_count_as_alike_at_about_the_same_size_only():
    same = np.zeros(3)
    runs = PlannedRuns(same, np.array([0.0, 0.0, 6.0]), np.array([[1.0], [1.0], [1.0]]), np.arange(3))
    kernel = change_gp.run_kernels(runs)["rest"]
    assert kernel[0, 1] == pytest.approx(2.0) and 1.0 < kernel[0, 2] < 1.3


def test_an_effect_of_size_is_found_and_none_is_not_made_up():
    m, r = 12, 17
    size = np.linspace(-1.5, 1.5, r)
    runs = PlannedRuns(size, 2 * size, np.zeros((r, 0)), np.arange(r))
    nothing, known = np.zeros((m, r)), np.tile(np.arange(r) < r - 1, (m, 1))
    noise = 0.2 * rng.standard_normal((m, r))
    sds = []
    for effect in (0.8, 0.0):
        rows = Changes(0.5 + effect * size + noise, nothing, nothing, nothing, nothing + 0.04, known)
        theta = change_gp.fitted(rows, runs, smooth=False)
        mean, _ = last_run(theta, rows, runs)
        assert_allclose(mean, 0.5 + effect * size[-1], atol=0.3)
        sds.append(np.hypot(*np.exp(theta[[1, 4]])))  # of the linear effect of size, and that of distance
    assert sds[0] > 0.3 > 1.5 * sds[1]


def test_a_metric_borrows_from_the_others():
    """A metric that was seen of two runs only bends with size as the others do, surer than by itself."""
    r = 9
    size = np.linspace(-1.5, 1.5, r)
    runs = PlannedRuns(size, 2 * size, np.zeros((r, 0)), np.arange(r))
    y = np.tile(1.5 * np.cos(2 * size), (6, 1)) + 0.1 * rng.standard_normal((6, r))
    known = np.tile(np.arange(r) < r - 1, (6, 1))
    known[0, :3] = known[0, 5:] = False
    nothing = np.zeros((6, r))
    rows = Changes(y, nothing, nothing, nothing, nothing + 0.01, known)
    alone = Changes(*(part[:1] for part in rows))
    theta = change_gp.fitted(rows, runs, smooth=False)
    errors, spreads = [], []
    for some in (rows, alone):
        mean, variance = last_run(theta, some, runs)
        errors.append(abs(mean[0] - 1.5 * np.cos(2 * size[-1])))
        spreads.append(variance[0])
    assert errors[0] < 0.5 * errors[1] and spreads[0] < 0.7 * spreads[1]


def test_weights_are_exact_where_they_must_be():
    knots = np.linspace(-5, 0, 6)
    assert_allclose(curve_gp.weights(knots, knots), np.eye(6), atol=1e-6)
    when = np.array([-4.3, -0.2, 0.1])
    assert_allclose(curve_gp.weights(when, knots) @ (2 - 3 * knots), 2 - 3 * when, atol=1e-3)


def test_the_mode_weighs_data_and_prior():
    """Of a normal density at 3 and a prior at 0 the mode is half way; numbers that break down leave the centre."""
    found = mode(lambda t: (0.5 * float((t - 3) @ (t - 3)), t - 3), np.zeros(2), np.ones(2), 50)
    assert_allclose(found, 1.5, atol=1e-4)

    def broken(theta: np.ndarray) -> tuple[float, np.ndarray]:
        raise np.linalg.LinAlgError

    assert_allclose(mode(broken, np.zeros(2), np.ones(2), 50), 0.0)


def test_what_is_not_positive_is_refused():
    with pytest.raises(np.linalg.LinAlgError):
        likelihood(np.ones((1, 2)), -np.eye(2)[None], DenseLoading(np.zeros((1, 2, 1))), np.eye(1))

"""Processes crossed with metrics: blocks beside the whole covariance, gradients beside differences, recovery."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import block_diag

from predictdyn.fitting import change_gp as change
from predictdyn.fitting import curve_gp as whole
from predictdyn.fitting.change_gp import Rows, Runs
from predictdyn.fitting.multitask_gp import mode, solved

rng = np.random.default_rng(0)


def runs_of(r: int, seed: int = 1) -> Runs:
    one = np.random.default_rng(seed)
    return Runs(one.standard_normal(r), one.standard_normal(r), one.standard_normal((r, 2)), np.arange(r) // 2)


def rows_of(m: int, r: int) -> Rows:
    parts = [rng.standard_normal((m, r)) for _ in range(3)]
    known = rng.random((m, r)) < 0.8
    known[:, -1] = False
    return Rows(*parts, rng.random((m, r)), rng.random((m, r)), known)


def sketch_of(m: int, r: int, places: np.ndarray):
    """Random curves, the last run with two checkpoints only, and the curves themselves."""
    sketch, raw = whole.nothing(m, r, len(places)), []
    for j in range(m):
        for i in range(r):
            when = np.sort(rng.uniform(places[0], 0, 9 if i < r - 1 else 2))
            weight, value = whole.weights(when, places), rng.standard_normal(len(when))
            whole.put(sketch, j, i, weight, value)
            raw.append((j, i, weight, value))
    sketch.stderr[:], sketch.scatter[:], sketch.dense[:] = rng.random((3, m, r)) + 0.5
    return sketch, raw


def differences(function, theta: np.ndarray) -> np.ndarray:
    step = 1e-5
    return np.array(
        [(function(theta + step * e) - function(theta - step * e)) / (2 * step) for e in np.eye(len(theta))]
    )


def test_blocks_are_the_whole_covariance():
    m, r = 3, 6
    rows, runs = rows_of(m, r), runs_of(r)
    theta = change.prior_means(smooth=True) + 0.3 * rng.standard_normal(19)
    parts = change.built(theta, rows, runs)
    loading = parts.loading.reshape(m * r, -1)
    covariance = block_diag(*parts.own) + loading @ parts.prior @ loading.T + np.diag(parts.noise.ravel())
    known, new = np.flatnonzero(rows.known.ravel()), np.arange(m) * r + r - 1
    y, inside = rows.change.ravel()[known], covariance[np.ix_(known, known)]
    weight = np.linalg.solve(inside, covariance[np.ix_(known, new)]).T
    given, found = change.forecast(theta, rows, runs)
    leaning = given.leaning[:, 0]
    assert_allclose(given.mean[:, 0], weight @ y, atol=1e-7)
    mine = np.diag(given.own[:, 0, 0]) + leaning @ found.covariance @ leaning.T
    assert_allclose(mine, covariance[np.ix_(new, new)] - weight @ covariance[np.ix_(known, new)], atol=1e-7)
    assert_allclose(found.nll, 0.5 * y @ np.linalg.solve(inside, y) + 0.5 * np.linalg.slogdet(inside)[1], atol=1e-6)


def test_sketched_curves_say_what_all_checkpoints_say():
    m, r, places = 2, 4, np.linspace(-4, 0, 5)
    sketch, raw = sketch_of(m, r, places)
    sketch.dense[:] = 1.0
    runs, q = runs_of(r), len(places)
    theta = whole.prior_means() + 0.3 * rng.standard_normal(39)
    square, effects = np.exp(2 * theta), [change.kernels(runs)[name] for name in whole.EFFECTS]

    def of_values(part: np.ndarray) -> np.ndarray:
        total = np.zeros((r * q, r * q))
        for e, effect in enumerate(effects):
            for k, of_time in enumerate(whole.times(places)):
                total += part[3 * e + k] * np.kron(effect, of_time)
        return total

    values = np.kron(np.ones((m, m)), of_values(square[:18])) + np.kron(np.eye(m), of_values(square[18:36]))
    noise = square[36] + square[37] * sketch.stderr + square[38] * sketch.scatter
    design, variance = [], []
    for j, i, weight, value in raw:
        rows = np.zeros((len(value), m * r * q))
        rows[:, (j * r + i) * q : (j * r + i + 1) * q] = weight
        design.append(rows)
        variance += [noise[j, i]] * len(value)
    a, y = np.concatenate(design), np.concatenate([value for *_, value in raw])
    inside = a @ values @ a.T + np.diag(variance)
    new = np.concatenate([(j * r + r - 1) * q + np.arange(q) for j in range(m)])
    across = values[new] @ a.T
    given, found, _ = whole.forecast(theta, sketch, runs, places)
    leaning = given.leaning.reshape(m * q, -1)
    assert_allclose(given.mean.ravel(), across @ np.linalg.solve(inside, y), atol=1e-6)
    mine = block_diag(*given.own) + leaning @ found.covariance @ leaning.T
    assert_allclose(mine, values[np.ix_(new, new)] - across @ np.linalg.solve(inside, across.T), atol=1e-6)
    direct = 0.5 * y @ np.linalg.solve(inside, y) + 0.5 * np.linalg.slogdet(inside)[1]
    assert_allclose(whole.nll(theta, sketch, runs, places)[0], direct, atol=1e-5)


def test_gradients_are_differences():
    rows, runs, places = rows_of(3, 5), runs_of(5), np.linspace(-4, 0, 4)
    theta = change.prior_means(smooth=True) + 0.3 * rng.standard_normal(19)
    slope = change.nll(theta, rows, runs)[1]
    assert_allclose(slope, differences(lambda at: change.nll(at, rows, runs)[0], theta), atol=1e-5)
    assert (np.abs(slope) > 1e-4).all()
    sketch, _ = sketch_of(2, 5, places)
    theta = whole.prior_means() + 0.3 * rng.standard_normal(39)
    slope = whole.nll(theta, sketch, runs, places)[1]
    assert_allclose(slope, differences(lambda at: whole.nll(at, sketch, runs, places)[0], theta), atol=1e-5)
    assert (np.abs(slope) > 1e-7).all()


def test_an_effect_of_size_is_found_and_none_is_not_made_up():
    m, r = 12, 17
    size = np.linspace(-1.5, 1.5, r)
    runs = Runs(size, 2 * size, np.zeros((r, 0)), np.arange(r))
    nothing, known = np.zeros((m, r)), np.tile(np.arange(r) < r - 1, (m, 1))
    noise = 0.2 * rng.standard_normal((m, r))
    sds = []
    for effect in (0.8, 0.0):
        rows = Rows(0.5 + effect * size + noise, nothing, nothing, nothing, nothing + 0.04, known)
        theta = change.fitted(rows, runs, smooth=False)
        given, _ = change.forecast(theta, rows, runs)
        assert_allclose(given.mean[:, 0], 0.5 + effect * size[-1], atol=0.3)
        sds.append(np.hypot(*np.exp(theta[[1, 4]])))  # of the linear effect of size, and that of distance
    assert sds[0] > 0.3 > 1.5 * sds[1]


def test_a_metric_borrows_from_the_others():
    """A metric that was seen of two runs only bends with size as the others do, surer than by itself."""
    r = 9
    size = np.linspace(-1.5, 1.5, r)
    runs = Runs(size, 2 * size, np.zeros((r, 0)), np.arange(r))
    y = np.tile(1.5 * np.cos(2 * size), (6, 1)) + 0.1 * rng.standard_normal((6, r))
    known = np.tile(np.arange(r) < r - 1, (6, 1))
    known[0, :3] = known[0, 5:] = False
    nothing = np.zeros((6, r))
    rows = Rows(y, nothing, nothing, nothing, nothing + 0.01, known)
    alone = Rows(*(part[:1] for part in rows))
    theta = change.fitted(rows, runs, smooth=False)
    errors, spreads = [], []
    for some in (rows, alone):
        given, found = change.forecast(theta, some, runs)
        lean = given.leaning[0, 0]
        errors.append(abs(given.mean[0, 0] - 1.5 * np.cos(2 * size[-1])))
        spreads.append(given.own[0, 0, 0] + lean @ found.covariance @ lean)
    assert errors[0] < 0.5 * errors[1] and spreads[0] < 0.7 * spreads[1]


def test_weights_are_exact_where_they_must_be():
    places = np.linspace(-5, 0, 6)
    assert_allclose(whole.weights(places, places), np.eye(6), atol=1e-6)
    when = np.array([-4.3, -0.2, 0.1])
    assert_allclose(whole.weights(when, places) @ (2 - 3 * places), 2 - 3 * when, atol=1e-3)


def test_the_mode_weighs_data_and_prior():
    """Of a normal density at 3 and a prior at 0 the mode is half way; numbers that break down leave the centre."""
    found = mode(lambda t: (0.5 * float((t - 3) @ (t - 3)), t - 3), np.zeros(2), np.ones(2), 50)
    assert_allclose(found, 1.5, atol=1e-4)

    def broken(theta: np.ndarray) -> tuple[float, np.ndarray]:
        raise np.linalg.LinAlgError

    assert_allclose(mode(broken, np.zeros(2), np.ones(2), 50), 0.0)


def test_what_is_not_positive_is_refused():
    with pytest.raises(np.linalg.LinAlgError):
        solved(np.ones((1, 2)), -np.eye(2)[None], np.zeros((1, 2, 1)), np.eye(1))

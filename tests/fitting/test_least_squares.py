"""Fits against SciPy and a closed form, whatever the curve."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import least_squares

from predictdyn.fitting.least_squares import fit
from predictdyn.fitting.linear import probability_of
from predictdyn.forms import BY_NAME

POW4 = BY_NAME["pow4"]
X = np.linspace(0.02, 1, 30)


def curves(n=16, noise=0.02, seed=0, x=X):
    rng = np.random.default_rng(seed)
    alpha, shift = rng.uniform(0.3, 1.2, (n, 1)), 10 ** rng.uniform(-1.8, 0, (n, 1))
    return 1 + 0.5 * (x + shift) ** -alpha + noise * rng.standard_normal((n, len(x)))


def squares(form, found, x, z, weight=1.0):
    """The weighted sum of squares that a fit leaves, written out."""
    each = []
    for i in range(len(z)):
        g = np.asarray(form.columns(x if x.ndim == 1 else x[i], found.shape[i]))
        each.append(found.level[i] + found.gap[i] @ g)
    return (weight * (z - np.stack(each)) ** 2).sum(1)


def best(form, x, z, starts=6):
    """The least that SciPy finds for pow4 from several starts within the bounds, level and gap being solved for."""
    low, high = (np.array([getattr(prior, end) for prior in form.shape.values()]) for end in ("low", "high"))
    rng = np.random.default_rng(0)

    def residual(log_shape):
        design = np.stack([np.ones(len(x)), (x + np.exp(log_shape[1])) ** -np.exp(log_shape[0])], 1)
        return z - design @ np.linalg.lstsq(design, z, rcond=None)[0]

    found = []
    for _ in range(starts):
        start = rng.uniform(np.log(low), np.log(high))
        found.append(2 * least_squares(residual, start, bounds=(np.log(low), np.log(high)), ftol=1e-10).cost)
    return min(found)


def test_as_low_as_scipy_from_many_starts():
    z = curves(6)
    found = fit(POW4, X, z)
    reached = np.array([best(POW4, X, one) for one in z])
    assert (found.misfit < 1.0005 * reached).all()
    assert_allclose(found.misfit, squares(POW4, found, X, z), rtol=1e-6)
    few = fit(POW4, X, z, nodes=POW4.nodes(0.2), steps=0)
    assert (few.misfit > 1.01 * reached).any(), "the control: no steps from a coarse grid"


@pytest.mark.parametrize("name", ["constant", "log_quadratic", "pow3", "floor", "rise_and_fall"])
def test_every_kind_of_form_is_fitted_within_its_bounds_whatever_the_curve(name):
    form = BY_NAME[name]
    wild = [np.full(30, 0.7), 1e-12 * X, 1e9 + 1e-3 * X, np.r_[np.zeros(29), 1.0], 1e12 * X, *curves(2)]
    z = np.stack(wild)
    found = fit(form, X, z, steps=6)
    for part in found:
        assert np.isfinite(part).all()
    low, high = (np.array([getattr(prior, end) for prior in form.shape.values()]) for end in ("low", "high"))
    assert (found.shape >= low - 1e-9).all() and (found.shape <= high + 1e-9).all()
    assert_allclose(found.misfit[-2:], squares(form, found, X, z)[-2:], rtol=1e-4)


def test_a_line_is_the_closed_form():
    weight = np.random.default_rng(1).uniform(0.2, 2, (3, 30))
    z = curves(3)
    found = fit(BY_NAME["log_linear"], X, z, weight)
    for i in range(3):
        slope, level = np.polyfit(np.log(X), z[i], 1, w=np.sqrt(weight[i]))
        assert_allclose([found.level[i], found.gap[i, 0]], [level, slope], rtol=1e-8)
    assert_allclose(found.misfit, squares(BY_NAME["log_linear"], found, X, z, weight), rtol=1e-8)


def test_padding_and_places_of_ones_own_change_nothing():
    z = curves(3)
    nodes = POW4.nodes(2)
    alone = fit(POW4, X, z, nodes=nodes)
    wide, weight = np.pad(z, [(0, 0), (0, 5)]), np.pad(np.ones_like(z), [(0, 0), (0, 5)])
    shared = fit(POW4, np.r_[X, 2:7], wide, weight, nodes=nodes)
    own = fit(POW4, np.tile(np.r_[X, np.zeros(5)], (3, 1)), wide, weight, nodes=nodes)
    single = np.concatenate([fit(POW4, X, z[i : i + 1], nodes=nodes).shape for i in range(3)])
    for other in (shared.shape, own.shape, single):
        assert_allclose(other, alone.shape, rtol=1e-5)


def test_weights_take_a_spike_away():
    z = curves(1)
    spiked, weight = z.copy(), np.ones_like(z)
    spiked[0, 15], weight[0, 15] = 9.0, 0.0
    left_out = fit(POW4, np.delete(X, 15), np.delete(z, 15, axis=1))
    assert_allclose(fit(POW4, X, spiked, weight).shape, left_out.shape, rtol=1e-3)


def test_a_pull_takes_the_shape_to_the_middle_of_its_prior():
    z = curves(5, noise=0.1)
    off = [np.abs(probability_of(POW4, fit(POW4, X, z, pull=pull).shape) - 0.5).sum() for pull in (0.0, 4.0, 1e5)]
    assert off[0] > off[1] > off[2] and off[2] < 0.05


def test_gain_says_what_is_left_to_do():
    z = curves(16)
    early, late = fit(POW4, X, z, steps=1), fit(POW4, X, z, steps=12)
    assert np.median(late.gain) < 1e-8 and early.gain.max() > 1e-4

"""The posterior by quadrature against integration by brute force, closed forms, and data from its own model."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.special import gammaln

from predictdyn.fitting.mixtures import Mixture, mean_sd, quantiles
from predictdyn.fitting.noise import CORRELATIONS
from predictdyn.fitting.quadrature import Weak, forecast, posterior, predict
from predictdyn.forms import BY_NAME, Form

POW3, POW4 = BY_NAME["pow3"], BY_NAME["pow4"]
X = np.linspace(0.05, 1, 20)


def curves(n=5, noise=0.02, seed=0, x=X, shift=0.05):
    rng = np.random.default_rng(seed)
    return 1 + 0.5 * (x + shift) ** -rng.uniform(0.3, 1.2, (n, 1)) + noise * rng.standard_normal((n, len(x)))


def columns(form: Form, x, node):
    return np.asarray(form.columns(x, node))


def prior_of(form, x, z, node, weight, weak):
    """Documented: the sd of the curve, the noise of the best (here the only) node, the prior variance of the gap."""
    share = weight / weight.sum()
    unit = np.sqrt(share @ (z - share @ z) ** 2)
    g = columns(form, x, node)
    free, value = g - (g @ share)[:, None], (z - share @ z) / unit
    ends = columns(form, np.array([1.0, 10.0]), node)
    size = np.maximum(free**2 @ share, (ends[:, 1] - ends[:, 0]) ** 2)
    df, floor = len(z) - 1 - len(g) + weak.strength, weak.strength * weak.noise**2
    gram = (free * weight) @ free.T + floor / df / weak.gap**2 * np.diag(size)
    cross = (free * weight) @ value
    left = weight @ value**2 - cross @ np.linalg.solve(gram, cross)
    noise = (left + floor) / df
    return unit, noise * unit**2, (weak.gap * unit) ** 2 / size[0]


def test_one_node_against_integration_over_level_gap_and_noise():
    x, weight = np.array([0.1, 0.3, 0.5, 0.8, 1.0]), np.array([0.5, 1.0, 1.5, 1.0, 1.0])
    z, node, weak = np.array([2.1, 1.4, 1.3, 1.05, 1.1]), np.array([0.6]), Weak(gap=2.0, noise=0.1, strength=6.0)
    found = posterior(POW3, x, z[None], weight, nodes=node[None], weak=weak)
    unit, noise, prior = prior_of(POW3, x, z, node, weight, weak)
    g = columns(POW3, x, node)[0]
    level = np.linspace(-2, 5, 241)[:, None, None]
    gap = np.linspace(-3.5, 2.5, 241)[None, :, None]
    log_sd = np.linspace(-4, 1.0, 121)[None, None, :]
    variance = np.exp(2 * log_sd)
    squares = sum(w * (value - level - gap * one) ** 2 for w, value, one in zip(weight, z, g, strict=True))
    density = -0.5 * squares / variance - len(z) / 2 * np.log(2 * np.pi * variance) + np.log(weight).sum() / 2
    # The normal prior of the gap, with the noise of the best node in place of the noise in its exponent.
    density = density - gap**2 / 2 / prior * noise / variance - 0.5 * np.log(2 * np.pi * prior)
    half = weak.strength / 2
    rate = half * (weak.noise * unit) ** 2
    density = density + half * np.log(rate) - gammaln(half) - (half + 1) * 2 * log_sd - rate / variance
    density = density + np.log(2 * variance)  # d variance = 2 variance d log sd
    mass = np.exp(density)
    cell = (level[1] - level[0]).item() * (gap[0, 1] - gap[0, 0]).item() * (log_sd[0, 0, 1] - log_sd[0, 0, 0])
    assert_allclose(found.log_evidence[0], np.log(mass.sum() * cell), atol=2e-3)
    far = 4.0
    curve = level + gap * columns(POW3, np.array([far]), node)[0, 0]
    mean = (mass * curve).sum() / mass.sum()
    sd = np.sqrt((mass * (curve - mean) ** 2).sum() / mass.sum())
    got_mean, got_sd = mean_sd(predict(found, POW3, np.array([far])))
    assert_allclose(got_mean[0, 0], mean, atol=3e-3)
    assert_allclose(got_sd[0, 0], sd, rtol=5e-3)


def test_a_regression_is_the_closed_student_t():
    form, rng = BY_NAME["log_quadratic"], np.random.default_rng(1)
    z = 2 + 0.3 * np.log(X) + 0.1 * np.log(X) ** 2 + 0.05 * rng.standard_normal(len(X))
    weak = Weak(gap=1e4, noise=1e-6, strength=1.0)
    found = posterior(form, X, z[None], weak=weak)
    design = np.stack([np.ones_like(X), np.log(X), np.log(X) ** 2], 1)
    best, left = np.linalg.lstsq(design, z, rcond=None)[:2]
    at = np.array([1.0, np.log(3.0), np.log(3.0) ** 2])
    mixture = predict(found, form, np.array([3.0]))
    scale = np.sqrt(left[0] / (len(X) - 2) * at @ np.linalg.solve(design.T @ design, at))
    assert found.weight.tolist() == [[1.0]] and mixture.df[0] == len(X) - 2
    assert_allclose(mixture.location[0, 0, 0], at @ best, rtol=1e-6)
    assert_allclose(np.sqrt(mixture.square[0, 0, 0]), scale, rtol=1e-5)
    assert_allclose(found.level[0], best[0], rtol=1e-6)


def test_nodes_are_weighed_by_bayes():
    z, prior = curves(2), np.random.default_rng(0).uniform(-3, 0, len(POW3.nodes()))
    all_nodes = posterior(POW3, X, z, log_prior=prior)
    # The ridge depends on the best of the nodes given, so it is given twice.
    best = POW3.nodes()[all_nodes.variance.argmin(1)]
    normal = prior - np.log(np.exp(prior).sum())
    for i in range(2):
        pairs = [posterior(POW3, X, z[i : i + 1], nodes=np.stack([best[i], node])) for node in POW3.nodes()]
        alone = np.array([one.log_evidence[0] + np.log(2 * one.weight[0, 1]) for one in pairs])
        expected = np.exp(alone + normal)
        assert_allclose(all_nodes.weight[i], expected / expected.sum(), rtol=2e-3, atol=1e-9)
        assert_allclose(all_nodes.log_evidence[i], np.log(expected.sum()), atol=2e-3)


# One form of each number of gaps, with none fixed and one: the arithmetic after the columns is the same for all others.
@pytest.mark.parametrize("name", ["constant", "hill", "floor", "power_drift", "broken_twice"])
def test_every_kind_of_form_has_a_posterior_whatever_the_curve(name):
    form = BY_NAME[name]
    wild = [np.full(20, 0.7), np.zeros(20), 1e-12 * X, 1e9 + 1e-3 * X, np.r_[np.zeros(19), 1.0], 1e12 * X, X, X]
    weight = np.ones((8, 20))
    weight[6, 2:], weight[7, 1:] = 0, 0  # two points, and one
    for x in (X, np.geomspace(1e-9, 1, 20)):
        for part in forecast(form, x, np.stack(wild), weight, at=np.array([1.0, 10.0, 1e9])):
            assert np.isfinite(part).all()


def test_padding_places_of_ones_own_and_batches_change_nothing():
    z = curves(3)
    alone = posterior(POW4, X, z)
    wide = np.concatenate([z, np.full((3, 4), np.nan)], 1)
    weight = np.concatenate([np.ones_like(z), np.zeros((3, 4))], 1)
    shared = posterior(POW4, np.r_[X, 2, 3, 4, 5], wide, weight)
    own = posterior(POW4, np.tile(np.r_[X, np.zeros(4)], (3, 1)), wide, weight)
    single = [posterior(POW4, X, z[i : i + 1]) for i in range(3)]
    many = posterior(POW4, X, np.tile(z, (5, 1)))
    for name in ("weight", "gap", "level", "variance", "log_evidence"):
        expected = getattr(alone, name)
        for other in (shared, own):
            assert_allclose(getattr(other, name), expected, rtol=1e-5, atol=1e-9, err_msg=name)
        assert_allclose(np.concatenate([getattr(one, name) for one in single]), expected, rtol=1e-6, atol=1e-12)
        assert_allclose(getattr(many, name)[-3:], expected, rtol=1e-6, atol=1e-12)


def test_units_do_not_matter():
    z, weight = curves(2), np.random.default_rng(0).uniform(0.5, 2, (2, len(X)))
    one, other = posterior(POW4, X, z, weight), posterior(POW4, X, 7 + 100 * z, 9 * weight)
    assert_allclose(other.weight, one.weight, rtol=1e-4, atol=1e-9)
    assert_allclose(other.level, 7 + 100 * one.level, rtol=1e-6)
    assert_allclose(other.variance, 9 * 100**2 * one.variance, rtol=1e-6)
    # The level is flat, so a density of one point less than there are.
    assert_allclose(other.log_evidence, one.log_evidence - (len(X) - 1) * np.log(100), atol=1e-3)


@pytest.mark.parametrize("true", ["log_linear", "exponential", "double_power"])
def test_the_evidence_finds_the_form(true):
    form, rng, x = BY_NAME[true], np.random.default_rng(3), np.geomspace(0.02, 1, 20)
    shape = {"exponential": [0.15], "hill": [0.3, 4.0], "double_power": [2.0, 0.1]}.get(true, [])
    gap = np.array([0.05, -1.0]) if true == "double_power" else np.array([-1.0])
    z = gap @ columns(form, x, np.array(shape)) + 0.02 * rng.standard_normal((16, 20))
    rivals = ["constant", "log_linear", "exponential", "double_power", "pow3", "log_quadratic"]
    evidence = np.stack([posterior(BY_NAME[name], x, z).log_evidence for name in rivals])
    won = np.bincount(evidence.argmax(0), minlength=len(rivals))
    assert rivals[won.argmax()] == true and won.max() >= 11
    # A richer form that holds the true one pays for what it does not need.
    if true == "log_linear":
        assert (evidence[1] > evidence[-1]).mean() > 0.8


def test_coverage_of_curves_from_the_prior():
    rng, n, x = np.random.default_rng(5), 500, np.linspace(0.02, 1, 20)
    alpha = POW3.shape["alpha"].at(rng.uniform(0, 1, n))
    both = np.r_[x, 3.0]
    g = np.asarray(jax.vmap(POW3.columns, (None, 0))(both, alpha[:, None]))[:, 0]
    # What g adds is normal, in the units that the prior says.
    ends = np.asarray(jax.vmap(POW3.columns, (None, 0))(np.array([1.0, 10.0]), alpha[:, None]))[:, 0]
    size = np.maximum(g[:, :-1].std(1), ends[:, 1] - ends[:, 0])
    truth = rng.standard_normal((n, 1)) + (3 * rng.standard_normal(n) / size)[:, None] * g
    z = truth[:, :-1] + rng.uniform(0.2, 1.0, (n, 1)) * rng.standard_normal((n, len(x)))
    nodes, levels = POW3.nodes(8), (0.05, 0.25, 0.75, 0.95)
    found = forecast(POW3, x, z, at=np.array([3.0]), nodes=nodes, levels=levels)
    below = truth[:, -1:] < found.quantiles[:, 0]
    assert abs((below[:, 3] & ~below[:, 0]).mean() - 0.9) < 0.03
    assert abs((below[:, 2] & ~below[:, 1]).mean() - 0.5) < 0.06
    direct = mean_sd(predict(posterior(POW3, x, z[:3], nodes=nodes), POW3, np.array([3.0])))
    assert_allclose(found.mean[:3], direct[0], rtol=1e-6)
    assert_allclose(found.sd[:3], direct[1], rtol=1e-6)


def test_quantiles_are_those_of_the_mixture():
    found = posterior(POW4, X, curves(4, noise=0.05), nodes=POW4.nodes(5))
    mixture = predict(found, POW4, np.array([1.0, 10.0]))
    levels = np.array([0.01, 0.05, 0.5, 0.95])
    got, sd = quantiles(mixture, levels), mean_sd(mixture)[1]
    for i in range(4):
        for s in range(2):
            u = (got[i, s][:, None] - mixture.location[i, s]) / np.sqrt(mixture.square[i, s])
            assert_allclose(stats.t.cdf(u, mixture.df[i]) @ mixture.weight[i], levels, atol=0.02)
    assert (np.diff(got, axis=-1) > 0).all() and (sd > 0).all()


def test_neighbours_that_err_alike_widen_the_forecast():
    rng, x = np.random.default_rng(2), np.geomspace(0.1, 1, 60)
    error = np.zeros((16, 60))
    error[:, 0] = rng.standard_normal(16)
    for i in range(1, 60):
        error[:, i] = 0.8 * error[:, i - 1] + 0.6 * rng.standard_normal(16)
    smooth = curves(16, noise=0.0, x=x, shift=0.3)
    at = np.array([3.0])

    def sd_and_odds(z):
        white = posterior(POW4, x, z)
        both = posterior(POW4, x, z, correlation=CORRELATIONS)
        m = white.weight.shape[1]
        by_correlation = both.weight.reshape(len(z), -1, m).sum(2).mean(0)
        return [mean_sd(predict(one, POW4, at))[1].mean() for one in (white, both)], by_correlation

    (white, wide), weights = sd_and_odds(smooth + 0.03 * error)
    assert wide > 1.4 * white and weights[3:].sum() > 0.6
    (white, wide), weights = sd_and_odds(smooth + 0.03 * rng.standard_normal((16, 60)))
    assert wide < 1.25 * white and weights[:2].sum() > 0.8, "the control: independent errors"


def test_correlation_is_the_dense_normal_density():
    rho, node, weak = 0.6, np.array([[0.7]]), Weak(strength=2.0)
    x, z = np.geomspace(0.1, 1, 8), curves(1, noise=0.1, x=np.geomspace(0.1, 1, 8))
    weight = np.random.default_rng(0).uniform(0.5, 2, 8)
    weight /= weight.mean()
    found = posterior(POW3, x, z, weight, nodes=node, weak=weak, correlation=rho)
    covariance = rho ** np.abs(np.subtract.outer(np.arange(8), np.arange(8))) / np.sqrt(np.outer(weight, weight))
    design = np.stack([np.ones(8), columns(POW3, x, node[0])[0]], 1)
    inverse = np.linalg.inv(covariance)
    best = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse @ z[0])
    assert_allclose([found.level[0, 0], found.gap[0, 0, 0]], best, rtol=1e-3)


def test_single_precision_is_safe_for_noise_of_two_per_cent_not_less_and_on_any_level():
    def made(noise, level, kind):
        z = level + curves(16, noise=noise, seed=9, shift=0)
        return posterior(POW3, X, z, nodes=POW3.nodes(100), dtype=kind)

    def off(noise):
        """By how many sd forecasts move."""
        both = (predict(made(noise, 0.0, kind), POW3, np.array([10.0])) for kind in (np.float64, np.float32))
        (mean, sd), (other, _) = (mean_sd(one) for one in both)
        return (np.abs(mean - other) / sd).max()

    assert off(2e-2) < 0.05
    assert off(1e-3) > 0.5, "the control: squares left are lost beside those explained"
    # The level is taken off in double precision before anything is made single: here 1e8 times the noise.
    low, high = (made(2e-2, level, np.float32).weight for level in (0.0, 2e6))
    assert_allclose(low, high, atol=1e-3)


def test_nothing_of_the_process_is_changed():
    assert jax.config.jax_enable_x64
    with jax.enable_x64(False) if hasattr(jax, "enable_x64") else jax.experimental.disable_x64():
        found = posterior(POW3, X, curves(1))
        assert found.weight.dtype == np.float64
        assert jax.numpy.zeros(1).dtype == np.float32


def test_a_mixture_without_spread_is_a_point():
    one = Mixture(np.ones((1, 1)), np.full((1, 1, 1), 3.0), np.zeros((1, 1, 1)), np.array([5.0]))
    assert_allclose(quantiles(one, [0.1, 0.9]), 3.0)

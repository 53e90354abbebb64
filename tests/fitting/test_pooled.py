"""The hierarchy's algebra against brute force, and its sampler against the model it came from."""

from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictdyn.fitting.pooled import (
    PRIORS,
    MetricBlock,
    basis,
    log_likelihood,
    noise,
    predict,
    sample,
    scales,
    shared_posterior,
)

K, P, T = 5, 3, 7
RUNS = 25
OVER_TIME = ("basis", "latent", "stderr", "extra", "mask")


class Made(NamedTuple):
    """A block drawn from the model, its scales z (h,), and the true next measurement of each run at the end (r,)."""

    block: MetricBlock
    z: np.ndarray
    end: np.ndarray


def made(seed: int, *, z: np.ndarray | None = None, runs: int = 6, padding: int = 2, families: int = 3) -> Made:
    rng = np.random.default_rng(seed)
    z = 0.5 * rng.standard_normal(len(PRIORS)) if z is None else z
    total = runs + padding
    when = np.sort(rng.uniform(0, 0.9, (total, T)), axis=1)
    when[:, 0] = 0.0
    plan = np.column_stack([np.ones(total), rng.standard_normal((total, P - 1))])
    member = np.eye(total)[rng.integers(0, families, total)]
    mask = np.ones((total, T))
    mask[runs:] = 0.0
    mask[0, -2:] = 0.0
    stderr, extra = rng.uniform(0.05, 0.2, (total, T)), np.zeros((total, T))
    extra[1, 2] = 0.3
    block = MetricBlock(basis(when, K), np.zeros((total, T)), stderr, extra, mask, plan, member, np.array(0.12))
    scale = scales(np, z, block)
    weights = plan @ (scale.shared * rng.standard_normal((P, K)))
    weights = weights + member @ (scale.family * rng.standard_normal((total, K)))
    weights = weights + scale.run * rng.standard_normal((total, K))
    error = np.sqrt(noise(np, scale, block)) * rng.standard_normal((total, T))
    latent = np.einsum("rtk,rk->rt", block.basis, weights) + error
    last = np.sqrt(scale.sigma**2 + (scale.rho * stderr[:, -1]) ** 2)
    end = weights @ basis(np.array(1.0), K) + last * rng.standard_normal(total)
    return Made(block._replace(latent=latent * mask), z, end)


def dense(z: np.ndarray, block: MetricBlock) -> np.ndarray:
    """Covariance of all points (r t, r t), written out term by term."""
    runs, points = block.mask.shape
    run = np.repeat(np.arange(runs), points)
    scale, rows = scales(np, z, block), block.basis.reshape(-1, K)
    family = block.member.argmax(1)
    covariance = np.diag(noise(np, scale, block).ravel())
    for i in range(len(run)):
        for j in range(len(run)):
            a, b = run[i], run[j]
            sd2 = sum(block.plan[a, q] * block.plan[b, q] * scale.shared[q] ** 2 for q in range(P))
            sd2 = sd2 + (family[a] == family[b]) * scale.family**2 + (a == b) * scale.run**2
            covariance[i, j] += rows[i] @ (sd2 * rows[j])
    return covariance


def test_marginal_likelihood_is_the_dense_normal_density():
    block, z, _ = made(0)
    on = block.mask.ravel() > 0
    covariance = dense(z, block)[np.ix_(on, on)]
    y = block.latent.ravel()[on]
    expected = -0.5 * (y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(2 * np.pi * covariance)[1])
    assert_allclose(log_likelihood(np, z, block), expected, rtol=1e-8)
    both = log_likelihood(np, np.stack([z, np.zeros_like(z)]), block)
    assert_allclose(both[0], expected, rtol=1e-8)
    assert abs(both[1] - expected) > 1e-3


@pytest.mark.parametrize("seen", [0, 3])
@pytest.mark.parametrize("relative", [True, False])
def test_conditioning_is_the_dense_conditional(seen, relative):
    block, z, _ = made(1, padding=0)
    mask = block.mask.copy()
    mask[5, seen:] = 0.0
    if not relative:
        member = block.member.copy()
        member[5] = np.eye(6)[5]
        block = block._replace(member=member)
    # The dense road: the run's last point, hidden, given all that is not masked.
    covariance = dense(z, block)
    on, last = mask.ravel() > 0, 5 * T + T - 1
    gain = np.linalg.solve(covariance[np.ix_(on, on)], covariance[on, last])
    mean = gain @ block.latent.ravel()[on]
    sd = np.sqrt(covariance[last, last] - gain @ covariance[on, last])
    family = block.member[5].argmax()
    own = block.member[:5, family]
    history = MetricBlock(*(np.asarray(array)[:5] for array in block[:-1]), block.typical)
    shared = shared_posterior(z[None], history, own, np.ones(5))
    run = MetricBlock(*(np.asarray(array)[5:] for array in block[:-1]), block.typical)
    run = run._replace(**{name: getattr(run, name)[:, :seen] for name in OVER_TIME})
    rng, at = np.random.default_rng(0), block.basis[5, -1:]
    draws = predict(rng, z[None], shared, run, at, block.stderr[5, -1:], 200_000)[0]
    assert_allclose(draws.mean(), mean, atol=5 * sd / 200_000**0.5)
    assert_allclose(draws.std(), sd, rtol=0.01)


def test_a_run_left_out_teaches_nothing():
    block, z, _ = made(2, padding=0)
    keep = np.array([1.0, 1, 1, 0, 1, 1])
    tampered = block._replace(latent=block.latent + 100 * (1 - keep)[:, None])
    own = block.member[:, 0]
    for before, after in zip(
        shared_posterior(z[None], block, own, keep), shared_posterior(z[None], tampered, own, keep), strict=True
    ):
        assert (before == after).all()
    assert not np.allclose(shared_posterior(z[None], tampered, own, np.ones(6))[1], after)


def test_sampler_recovers_the_scales_and_its_intervals_hold():
    held, off = [], []
    for seed in range(8):
        block, z, end = made(100 + seed, runs=RUNS, padding=0, families=6)
        found = sample(block, seed=seed)
        assert found.rhat.max() < 1.05 and found.divergent == 0.0, "no divergence, chains meet"
        draws = found.draws.reshape(-1, len(PRIORS))
        off.append((draws.mean(0) - z) / draws.std(0))
        some = draws[:: len(draws) // 50][:50]
        for run in range(RUNS):
            # The other runs teach; the run itself is seen at its first three points.
            keep = np.arange(RUNS) != run
            shared = shared_posterior(some, block, block.member[:, block.member[run].argmax()] * keep, keep)
            own = MetricBlock(*(np.asarray(array)[run : run + 1] for array in block[:-1]), block.typical)
            own = own._replace(**{name: getattr(own, name)[:, :3] for name in OVER_TIME})
            rng, at = np.random.default_rng(run), basis(np.array([1.0]), K)
            ends = predict(rng, some, shared, own, at, block.stderr[run, -1:], 20)[0]
            held.append(np.mean(ends < end[run]))
    held = np.array(held)
    assert 0.84 < np.mean((held > 0.05) & (held < 0.95)) < 0.96
    # z-scores of 8 x 8 scales: about unit normal, and the noise (the best known) is no exception.
    assert np.abs(np.mean(off)) < 0.35 and 0.6 < np.std(off) < 1.4 and np.abs(off).max() < 4


def test_rho_and_the_split_of_the_noise_stay_in_bounds():
    block = made(3).block
    z = np.random.default_rng(0).normal(0, 3, (200, len(PRIORS)))
    scale = scales(np, z, block)
    assert (scale.rho >= 0).all() and (scale.rho <= 1.5).all() and (scale.sigma > 0).all()
    median, width = PRIORS["noise"]
    total = (median * np.exp(width * z[:, list(PRIORS).index("noise")])) ** 2
    assert_allclose(scale.sigma**2 + (scale.rho * block.typical) ** 2, total)


def test_same_seed_same_draws():
    block = made(4, runs=RUNS, padding=0).block
    first, again, other = (sample(block, seed=seed) for seed in (1, 1, 2))
    assert (first.draws == again.draws).all() and not (first.draws == other.draws).all()

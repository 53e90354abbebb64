"""Draws from the posterior of a structure's numbers: importance sampling around the mode, or NUTS where asked.

The posterior is that of `posterior`: normal priors, Student-t noise with a scale whose logarithm is flat but for a weak
pull away from zero. Importance sampling draws from a wider t distribution around the mode and weighs by posterior over
proposal; Pareto k (Vehtari et al. 2024, jmlr.org/papers/v25/19-556.html) says whether the weights can be trusted.
NUTS (Hoffman and Gelman 2014) learns, besides, how much groups differ.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from predictdyn.fitting.chains import converged
from predictdyn.laws.design import Design
from predictdyn.laws.posterior import FREEDOM, NOISE_PULL, Mode

PROPOSALS = 1000
WIDER = 1.15  # the proposal's scale in parts of the curvature's
TAIL = 6.0  # degrees of freedom of the proposal
TRUSTED = 0.7  # of Pareto k
GOOD = 0.5  # of Pareto k, below which the proposal stays
MOVES = 5
CHUNK = 3e7  # rows x draws x numbers at once
GROUPS_DIFFER = 0.7  # sd of the logarithm of how much groups differ, against the prior of the design


class Sample(NamedTuple):
    """Draws of the numbers (s, k) and of the noise (s,), how they were made, and what that can be trusted by.

    ``pareto_k`` and ``effective`` (share of draws that count) of importance sampling; ``rhat`` and ``divergent`` of
    NUTS; NaN where they do not apply.
    """

    numbers: np.ndarray
    noise: np.ndarray
    method: str
    pareto_k: float = np.nan
    effective: float = np.nan
    rhat: float = np.nan
    divergent: float = np.nan

    @property
    def trusted(self) -> bool:
        """Whether the diagnostics are good: k at most .7, or as `chains.converged`."""
        if self.method == "importance":
            return bool(self.pareto_k <= TRUSTED)
        return converged(self.rhat, self.divergent)


class Sampler(Protocol):
    """A way of drawing from the posterior of a structure, given the features of the runs and their values."""

    def __call__(self, design: Design, matrix: np.ndarray, u: np.ndarray, mode: Mode, *, seed: int) -> Sample:
        """Draws, with their diagnostics."""
        ...


def importance_sample(design: Design, matrix: np.ndarray, u: np.ndarray, mode: Mode, *, seed: int) -> Sample:
    """A thousand draws by importance sampling, resampled by their (Pareto-smoothed) weights.

    The proposal begins at the mode. Where its weights cannot be trusted it moves to the mean and the covariance that
    they give, a few times.
    """
    random = np.random.default_rng(seed)
    k = len(mode.numbers)
    sd_noise = 1.0 / np.sqrt(2.0 * max(len(u) - k, 2))
    middle = np.r_[mode.numbers, np.log(mode.noise)]
    covariance = np.zeros((k + 1, k + 1))
    covariance[:k, :k], covariance[k, k] = mode.covariance, sd_noise**2
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    for _ in range(MOVES):
        root = WIDER * root_of(covariance)
        z = random.standard_normal((PROPOSALS, k + 1)) / np.sqrt(random.chisquare(TAIL, (PROPOSALS, 1)) / TAIL)
        tried = middle + z @ root.T
        proposal = -0.5 * (TAIL + k + 1) * np.log1p((z**2).sum(axis=1) / TAIL)
        ratio = log_posterior(design, matrix, u, tried[:, :k], tried[:, k]) - proposal
        weight, pareto_k = smoothed_weights(ratio)
        if best is None or pareto_k < best[0]:
            best = (pareto_k, weight, tried)
        if pareto_k <= GOOD:
            break
        away = tried - weight @ tried
        moved = (weight[:, None] * away).T @ away
        middle = 0.5 * middle + 0.5 * weight @ tried
        covariance = 0.5 * covariance + 0.5 * moved
    assert best is not None
    pareto_k, weight, tried = best
    effective = float(1.0 / (weight**2).sum() / PROPOSALS)
    chosen = np.searchsorted(np.cumsum(weight), (np.arange(PROPOSALS) + random.random()) / PROPOSALS)
    drawn = tried[random.permutation(np.minimum(chosen, PROPOSALS - 1))]
    return Sample(drawn[:, :k], np.exp(drawn[:, k]), "importance", pareto_k, effective)


def root_of(covariance: np.ndarray) -> np.ndarray:
    """A square root (k, k) of a covariance, also of one that rounding has made indefinite."""
    scale = np.sqrt(np.diag(covariance))
    size, basis = np.linalg.eigh(covariance / np.outer(scale, scale))
    return np.asarray(scale[:, None] * basis * np.sqrt(np.maximum(size, 1e-10 * size.max())))


def log_posterior(
    design: Design, matrix: np.ndarray, u: np.ndarray, numbers: np.ndarray, log_noise: np.ndarray
) -> np.ndarray:
    """Log density (s,), up to a constant, of numbers (s, k) and of the logarithm of the noise (s,)."""
    out = np.empty(len(numbers))
    step = max(1, int(CHUNK / (matrix.size * max(design.n_terms, 1))))
    for at in range(0, len(numbers), step):
        rows = slice(at, at + step)
        noise = np.exp(log_noise[rows])
        scaled = (u - design.values(matrix, numbers[rows])) / noise[:, None]
        fit = -0.5 * (FREEDOM + 1) * np.log1p(scaled**2 / FREEDOM).sum(axis=1) - len(u) * log_noise[rows]
        out[rows] = fit - design.away(numbers[rows]) - 0.5 * (NOISE_PULL * max(float(u.std()), 1e-9) / noise) ** 2
    return np.where(np.isfinite(out), out, -np.inf)


def smoothed_weights(log_ratio: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights (s,) that sum to one, the largest smoothed by a generalized Pareto distribution, and its shape k.

    >>> weight, k = smoothed_weights(np.zeros(100))
    >>> round(float(weight.sum()), 6), k
    (1.0, -inf)
    """
    ratio = np.exp(log_ratio - log_ratio.max())
    n = len(ratio)
    tail = int(min(0.2 * n, 3 * np.sqrt(n)))
    order = np.argsort(ratio)
    cut = ratio[order[-tail - 1]]
    above = ratio[order[-tail:]] - cut
    if above[-1] <= 1e-12:
        return np.full(n, 1.0 / n), -np.inf
    shape, scale = _pareto(np.maximum(above, 1e-300))
    place = (np.arange(tail) + 0.5) / tail
    quantile = scale * (
        np.expm1(np.minimum(-shape * np.log1p(-place), 700.0)) / shape if abs(shape) > 1e-8 else -np.log1p(-place)
    )
    ratio = ratio.copy()
    ratio[order[-tail:]] = np.minimum(cut + quantile, 1.0)
    return ratio / ratio.sum(), float(shape)


def _pareto(x: np.ndarray) -> tuple[float, float]:
    """Shape and scale of a generalized Pareto distribution for sorted x (n,) (Zhang and Stephens 2009).

    The profile posterior mean of doi:10.1198/tech.2009.08017, the shape pulled towards .5 by ten observations.
    """
    n = len(x)
    m = 30 + int(np.sqrt(n))
    quarter = x[max(int(n / 4 + 0.5) - 1, 0)]
    theta = 1.0 / x[-1] + (1.0 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))) / (3.0 * quarter)
    shapes = np.log1p(-theta[:, None] * x).mean(axis=1)
    likelihood = n * (np.log(-theta / shapes) - shapes - 1.0)
    weight = np.exp(likelihood - likelihood.max())
    best = float((theta * weight).sum() / weight.sum())
    shape = float(np.log1p(-best * x).mean())
    return (shape * n + 5.0) / (n + 10.0), -shape / best


def nuts_sample(
    design: Design, matrix: np.ndarray, u: np.ndarray, mode: Mode, *, seed: int, chains: int = 4, draws: int = 500
) -> Sample:
    """Draws by NUTS, with R-hat and divergences; how much groups differ is sampled, too, where there are groups."""
    import jax
    import jax.numpy as jnp
    from numpyro.diagnostics import split_gelman_rubin
    from numpyro.infer import MCMC, NUTS

    from predictdyn.fitting.on_cpu import double

    own = np.array([group >= 0 for _, group in design.columns])
    level = np.array([feature.what == "one" for feature, _ in design.columns])
    terms = [np.flatnonzero(design.term == t) for t in range(design.n_terms)]
    factor = np.flatnonzero(design.term < 0)
    pull = NOISE_PULL * max(float(u.std()), 1e-9)
    k = len(mode.numbers)

    # Coordinates in which the posterior is about a standard normal: along the curvature at the mode.
    root = root_of(mode.covariance)
    sd_noise = 1.0 / np.sqrt(2.0 * max(len(u) - k, 2))

    def numbers_of(w: Any) -> Any:
        differ = jnp.where(own, jnp.where(level, w[k + 1], w[k + 2]), 0.0) * GROUPS_DIFFER
        around = mode.numbers + root @ w[:k]
        return design.mean + (around - design.mean) * jnp.exp(differ)

    def potential(w: Any) -> Any:
        numbers, log_noise = numbers_of(w), np.log(mode.noise) + sd_noise * w[k]
        parts = jnp.stack([matrix[:, some] @ numbers[some] for some in terms])
        value = jax.nn.logsumexp(parts, axis=0) + matrix[:, factor] @ numbers[factor]
        scaled = (u - value) / jnp.exp(log_noise)
        fit = 0.5 * (FREEDOM + 1) * jnp.log1p(scaled**2 / FREEDOM).sum() + len(u) * log_noise
        # The prior holds before groups are made to differ more or less: that is how the scale acts.
        away = design.whitener @ (mode.numbers + root @ w[:k] - design.mean)
        return fit + 0.5 * (pull / jnp.exp(log_noise)) ** 2 + 0.5 * (away**2).sum() + 0.5 * (w[k + 1 :] ** 2).sum()

    with double():
        start = 0.3 * np.random.default_rng(seed).standard_normal((chains, k + 3))
        sampler = MCMC(
            NUTS(potential_fn=potential, target_accept_prob=0.9, dense_mass=True),
            num_warmup=500, num_samples=draws, num_chains=chains, chain_method="sequential", progress_bar=False,
        )  # fmt: skip
        sampler.run(jax.random.PRNGKey(seed % 2**31), init_params=jnp.asarray(start), extra_fields=("diverging",))
        grouped = np.asarray(sampler.get_samples(group_by_chain=True))
        divergent = float(np.mean(np.asarray(sampler.get_extra_fields()["diverging"])))
        flat = grouped.reshape(-1, k + 3)
        numbers = np.asarray(jax.vmap(numbers_of)(jnp.asarray(flat)))
        noise = mode.noise * np.exp(sd_noise * flat[:, k])
    rhat = float(np.max(split_gelman_rubin(grouped)))
    return Sample(numbers, noise, "nuts", rhat=rhat, divergent=divergent)

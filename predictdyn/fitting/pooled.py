r"""Partial pooling of curves by a linear-Gaussian hierarchy: marginal likelihood, NUTS over scales, exact conditioning.

.. math::

    y_{rt} = b(u_{rt})^\top (\mu + \Gamma x_r + \varphi_{f(r)} + \theta_r) + e_{rt}, \qquad
    e_{rt} \sim N(0, \rho^2 s_{rt}^2 + \sigma^2 + v_{rt})

y is a curve in units of its metric's spread, u the clock of `predictdyn.lines` (0 at the start, 1 at the planned end),
b k smooth functions, x the plan of the run, s the logged standard error. All coefficients are Gaussian given eight
scales, so they are integrated out (per run, then per family, then the shared ones) and only the scales are sampled.

Letters: r runs, t points, k functions, p covariates with the intercept first, f families, m = p k shared coefficients,
h = 8 scales; a leading ``...`` is any batch (draws). ``xp`` is the array module: jax.numpy under NUTS, numpy for
conditioning. The algebra is that of Lindley and Smith 1972 (doi:10.1111/j.2517-6161.1972.tb00885.x), the sampler that
of Hoffman and Gelman 2014 (jmlr.org/papers/v15/hoffman14a.html).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Float
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo

from predictdyn.fitting.chains import Mixing
from predictdyn.fitting.on_cpu import double

Array = Any  # numpy or jax.numpy, by ``xp``

# Each scale is median exp(width z) or, for the two shares, 1 / (1 + exp(-(shift + width z))), with z ~ N(0, 1).
# The medians are in units of the metric's spread; the widths let the data move them by a factor of ten. The data tell
# all noise well and its parts hardly, so that is how it is split: sigma and rho themselves lie on a thin arc.
PRIORS = {
    "level": (0.3, 1.0),  # between runs, at the start
    "trend": (0.6, 1.0),  # between runs, straight in the clock
    "bend": (0.6, 1.0),  # between runs, bends
    "mean": (2.0, 0.5),  # of the population's own curve
    "covariate": (1.0, 0.7),  # part of the plan in the differences between runs, against the part of chance
    "noise": (0.15, 1.5),  # all noise at a point of typical logged error
    "logged": (0.0, 1.5),  # part of the logged error in it, of the most that rho <= LARGEST_RHO allows
    "family": (0.0, 1.5),  # share of the variance between runs that runs of one family have in common
}
LARGEST_RHO = 1.5
LEAST_NOISE = 1e-4  # of the spread: curves that never move must not send the scales to zero
REACH = 1.15  # the bends are eigenfunctions on [0, REACH]: the planned end is not their edge
ROUGHNESS = 1.0  # the sd of bend j falls as (j - 1/2)^-ROUGHNESS: 1 is Brownian motion, 2 its integral


class Scales(NamedTuple):
    """Prior sds: shared (..., p, k), family and run (..., k), and the noise: sigma and rho (...)."""

    shared: Array
    family: Array
    run: Array
    sigma: Array
    rho: Array


class MetricBlock(NamedTuple):
    """Curves of one metric, padded: basis (r, t, k); latent, stderr (0 where not logged), extra variance v and mask
    (1 for a point, 0 for padding) (r, t); plan (r, p) with ones first; member (r, f), one 1 for each run; and typical
    (), the logged error that the split of the noise refers to, the same wherever the same scales are used."""

    basis: Array
    latent: Array
    stderr: Array
    extra: Array
    mask: Array
    plan: Array
    member: Array
    typical: Array


class ScaleSamples(NamedTuple):
    """Draws of z (chains, draws, h), split R-hat and effective size (h,), and the share of divergent transitions."""

    draws: Float[np.ndarray, "chains draws h"]
    rhat: Float[np.ndarray, " h"]
    size: Float[np.ndarray, " h"]
    divergent: float

    @property
    def mixing(self) -> Mixing:
        """That of the worst scale."""
        return Mixing(float(np.max(self.rhat)), float(np.min(self.size)), self.divergent)


def basis(clock: Float[np.ndarray, "*n"], k: int) -> Float[np.ndarray, "*n {k}"]:
    r"""The k functions 1, u, sin((j - 1/2) pi u / REACH) (j = 1 ...) at clock (...): (..., k).

    All but the first vanish at the start, where the runs of a metric mostly agree: `level` says how well.
    The sines are the Karhunen-Loeve functions of Brownian motion on [0, REACH].
    """
    u = np.asarray(clock, dtype=float)[..., None]
    j = np.arange(1, k - 1)
    return np.concatenate([np.ones_like(u), u, np.sin((j - 0.5) * np.pi * u / REACH)], axis=-1)


def scales(xp: Any, z: Array, block: MetricBlock) -> Scales:
    """Standard normal coordinates z (..., h), in the order of `PRIORS`, to the prior sds of a block's coefficients."""
    k, p = block.basis.shape[-1], block.plan.shape[-1]

    def positive(name: str) -> Array:
        median, width = PRIORS[name]
        return median * xp.exp(width * z[..., list(PRIORS).index(name)])

    def share(name: str) -> Array:
        shift, width = PRIORS[name]
        return 1 / (1 + xp.exp(-(shift + width * z[..., list(PRIORS).index(name)])))

    fall = (np.arange(1, k - 1) - 0.5) ** -ROUGHNESS / 0.5**-ROUGHNESS
    one = xp.ones_like(fall[:1])
    profile = xp.concatenate(
        [positive("level")[..., None] * one, positive("trend")[..., None] * one, positive("bend")[..., None] * fall], -1
    )
    mean = positive("mean")[..., None] * np.concatenate([[1.0, 1.0], fall])
    plan = positive("covariate")[..., None] * profile
    shared = xp.stack([mean, *[plan] * (p - 1)], -2)
    common = share("family")[..., None]
    total = positive("noise") ** 2
    # rho^2 typical^2 <= total and rho <= LARGEST_RHO both hold by construction.
    rho = xp.sqrt(share("logged") * total / (total + (LARGEST_RHO * block.typical) ** 2)) * LARGEST_RHO
    sigma = xp.sqrt(total - (rho * block.typical) ** 2)
    return Scales(shared, xp.sqrt(common) * profile, xp.sqrt(1 - common) * profile, sigma, rho)


def absorb(xp: Any, sd: Array, precision: Array, info: Array) -> tuple[Array, Array, Array]:
    r"""Integrate a coefficient w ~ N(0, diag(sd^2)) out of exp(-w'Aw/2 + w'c), with A (..., i, i), sd (..., i).

    info (..., i, j) holds c and any cross terms as columns. Returns the Cholesky factor of I + D A D (..., i, i), the
    columns g = L^-1 D info (..., i, j), whose squares are what the rest loses, and half the log determinant (...).
    """
    i = sd.shape[-1]
    lower = xp.linalg.cholesky(xp.eye(i) + sd[..., :, None] * precision * sd[..., None, :])
    scaled = sd[..., :, None] * info
    columns = np.linalg.solve(lower, scaled) if xp is np else solve_triangular(lower, scaled, lower=True)
    return lower, columns, xp.log(xp.diagonal(lower, axis1=-2, axis2=-1)).sum(-1)


def noise(xp: Any, scale: Scales, block: MetricBlock) -> Array:
    """Variance of every point (..., r, t)."""
    fresh = scale.rho[..., None, None] ** 2 * block.stderr**2
    return fresh + scale.sigma[..., None, None] ** 2 + block.extra + LEAST_NOISE**2


def evidence(xp: Any, scale: Scales, block: MetricBlock) -> tuple[Array, Array]:
    """Precision A (..., r, k, k) and information c (..., r, k) that each curve holds on its own coefficients."""
    weight = block.mask / noise(xp, scale, block)
    weighted = weight[..., None] * block.basis
    transposed = xp.swapaxes(weighted, -1, -2)
    return transposed @ block.basis, (transposed @ block.latent[..., None])[..., 0]


def beyond_run(xp: Any, scale: Scales, precision: Array, info: Array) -> tuple[Array, Array, Array, Array]:
    """With each run's theta integrated out: precision, info on the rest, and the loss of square and log determinant."""
    _, g, logdet = absorb(xp, scale.run[..., None, :], precision, xp.concatenate([precision, info[..., None]], -1))
    cross = xp.swapaxes(g[..., :-1], -1, -2)
    return precision - cross @ g[..., :-1], info - (cross @ g[..., -1:])[..., 0], (g[..., -1] ** 2).sum(-1), logdet


def on_shared(
    xp: Any, family_sd: Array, precision: Array, info: Array, plan: Array, member: Array
) -> tuple[Array, Array, Array, Array]:
    """With each family's phi integrated out: precision (..., m, m), info (..., m) on the shared coefficients (the
    functions of one covariate lie together), and the loss of square and log determinant (...).

    A run that is in no column of member (r, f) takes no part in any family.
    """
    r, p = plan.shape
    f, k = member.shape[-1], info.shape[-1]
    flat = precision.reshape(*precision.shape[:-2], k * k)
    pairs = (plan[:, :, None] * plan[:, None, :]).reshape(r, p * p)
    batch = precision.shape[:-3]
    whole = xp.swapaxes(_summed(xp, pairs, flat).reshape(*batch, p, p, k, k), -3, -2).reshape(*batch, p * k, p * k)
    total = (plan.T @ info).reshape(*batch, p * k)
    own = _summed(xp, member, flat).reshape(*batch, f, k, k)
    per = (member[:, :, None] * plan[:, None, :]).reshape(r, f * p)
    cross = xp.swapaxes(_summed(xp, per, flat).reshape(*batch, f, p, k, k), -3, -2).reshape(*batch, f, k, p * k)
    columns = xp.concatenate([cross, _summed(xp, member, info)[..., None]], -1)
    _, g, logdet = absorb(xp, family_sd[..., None, :], own, columns)
    g = g.reshape(*batch, f * k, p * k + 1)
    cross = xp.swapaxes(g[..., :-1], -1, -2)
    lost = (g[..., -1] ** 2).sum(-1)
    return whole - cross @ g[..., :-1], total - (cross @ g[..., -1:])[..., 0], lost, logdet.sum(-1)


def _summed(xp: Any, weights: Array, values: Array) -> Array:
    """Sums over runs (..., c, j) of values (..., r, j) with weights (r, c), most of them zero where there are many."""
    if xp is not np or values.ndim == 2:
        return weights.T @ values
    # A run is in one family: the dense product grows with the square of the number of runs.
    from scipy.sparse import csr_array

    *batch, r, j = values.shape
    n, c = int(np.prod(batch)), weights.shape[1]
    columns = np.moveaxis(values.reshape(n, r, j), 1, 0).reshape(r, n * j)
    # Without a history there are no runs to sum over, and no sparse matrix of them.
    total = csr_array(weights.T) @ columns if weights.size else np.zeros((c, n * j))
    return np.moveaxis(total.reshape(c, n, j), 0, 1).reshape(*batch, c, j)


def log_likelihood(xp: Any, z: Array, block: MetricBlock) -> Array:
    """Log density of all points of a block (...) given the scales z (..., h), every coefficient integrated out."""
    k, p = block.basis.shape[-1], block.plan.shape[-1]
    scale = scales(xp, z, block)
    variance = noise(xp, scale, block)
    square = (block.mask * block.latent**2 / variance).sum((-1, -2))
    logdet = 0.5 * (block.mask * xp.log(variance)).sum((-1, -2))
    precision, info, lost, half = beyond_run(xp, scale, *evidence(xp, scale, block))
    square, logdet = square - lost.sum(-1), logdet + half.sum(-1)
    whole, total, lost, half = on_shared(xp, scale.family, precision, info, block.plan, block.member)
    square, logdet = square - lost, logdet + half
    shared = scale.shared.reshape(*scale.shared.shape[:-2], p * k)
    _, g, half = absorb(xp, shared, whole, total[..., None])
    square, logdet = square - (g**2).sum((-1, -2)), logdet + half
    return -0.5 * square - logdet - 0.5 * np.log(2 * np.pi) * block.mask.sum()


def shared_posterior(
    z: np.ndarray, block: MetricBlock, own: np.ndarray, keep: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What a history teaches about the shared coefficients and the phi of one family, for each draw of the scales.

    z (n, h); own (r,) is 1 for the runs of that family, keep (r,) 0 for a run to leave out. Returns V (n, m + k, m + k)
    and g (n, m + k): mean V'g, covariance V'V.
    """
    scale = scales(np, z, block)
    precision, info, _, _ = beyond_run(np, scale, *evidence(np, scale, block))
    precision, info = precision * keep[:, None, None], info * keep[:, None]
    # The family in question is one more covariate, so that its phi is kept and not integrated out.
    plan, member = np.column_stack([block.plan, own]), block.member * (1 - own)[:, None]
    whole, total, _, _ = on_shared(np, scale.family, precision, info, plan, member)
    sd = np.concatenate([scale.shared, scale.family[:, None]], axis=1).reshape(len(z), -1)
    lower, g, _ = absorb(np, sd, whole, total[..., None])
    return np.linalg.solve(lower, sd[:, :, None] * np.eye(sd.shape[1])), g[..., 0]


def predict(
    rng: np.random.Generator,
    z: np.ndarray,
    shared: tuple[np.ndarray, np.ndarray],
    run: MetricBlock,
    asked: np.ndarray,
    stderr: np.ndarray,
    each: int,
    tails: float = np.inf,
) -> np.ndarray:
    """Draws (q, n * each) of the next measurements of one run at asked functions (q, k) with logged errors (q,).

    shared is from `shared_posterior`; run is a block of one curve, its seen points (t may be 0).
    """
    n, k, p = len(z), run.basis.shape[-1], run.plan.shape[-1]
    scale = scales(np, z, run)
    root, g = shared
    here = (root.reshape(n, -1, p + 1, k) * np.append(run.plan[0], 1.0)[:, None]).sum(-2)
    mean = (here * g[..., None]).sum(-2)
    lower = np.linalg.cholesky(np.swapaxes(here, -1, -2) @ here + scale.run[:, :, None] ** 2 * np.eye(k))
    precision, info = (found[:, 0] for found in evidence(np, scale, run))
    upper = np.swapaxes(lower, -1, -2)
    news = upper @ (info - (precision @ mean[..., None])[..., 0])[..., None]
    inner = np.linalg.cholesky(np.eye(k) + upper @ precision @ lower)
    wide = np.sqrt(tails / rng.chisquare(tails, (n, 1, each))) if np.isfinite(tails) else 1.0
    white = np.linalg.solve(inner, news) + wide * rng.standard_normal((n, k, each))
    weights = mean[..., None] + lower @ np.linalg.solve(np.swapaxes(inner, -1, -2), white)
    sd = np.sqrt(scale.sigma[:, None] ** 2 + (scale.rho[:, None] * stderr) ** 2)
    draws = asked @ weights + sd[..., None] * wide * rng.standard_normal((n, len(asked), each))
    return np.swapaxes(draws, 0, 1).reshape(len(asked), n * each)


# Small matrices gain nothing from LLVM's costly passes, which are most of the compile time.
_QUICK = {"xla_llvm_disable_expensive_passes": True}


def _potential(z: Array, block: MetricBlock) -> Array:
    return 0.5 * (z**2).sum() - log_likelihood(jnp, z, block)


@cache
def _gradient() -> Any:
    return jax.jit(jax.value_and_grad(_potential), compiler_options=_QUICK)


@cache
def _sampler(warmup: int, draws: int) -> Any:
    """One compiled NUTS for all metrics whose padded blocks have one shape: lanes are chains."""

    def chain(key: Array, start: ParamInfo, target: Array, centre: Array, root: Array, block: MetricBlock) -> Any:
        def potential(centre: Array, root: Array, block: MetricBlock) -> Any:
            return lambda white: _potential(centre + root @ white, block)

        init, step = hmc(potential_fn_gen=potential, algo="NUTS")
        of = (centre, root, block)
        state = init(
            start,
            warmup,
            model_args=of,
            rng_key=key,
            target_accept_prob=target,
            max_tree_depth=5,
            step_size=0.7,
            adapt_mass_matrix=False,
        )

        def following(state: Any, _: None) -> tuple[Any, tuple[Array, Array]]:
            state = step(state, of)
            return state, (centre + root @ state.z, state.diverging)

        # One loop for warm-up and draws: two would compile the sampler twice.
        z, divergent = jax.lax.scan(following, state, None, length=warmup + draws)[1]
        return z[warmup:], divergent[warmup:]

    return jax.jit(jax.vmap(chain, (0, 0, None, None, None, None)), compiler_options=_QUICK)


def laplace(block: MetricBlock, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mode of the scales' posterior from a start (h,), and a square root of its inverse Hessian (h, h).

    The Hessian is by central differences; curvatures below the prior's are raised to a tenth of it.
    """
    from scipy.optimize import minimize

    h = len(start)

    def one(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _gradient()(z, block)
        return float(value), np.asarray(slope)

    mode = minimize(one, start, jac=True, method="L-BFGS-B", bounds=[(-8, 8)] * h, options={"maxiter": 60}).x
    shift = 0.05
    slope = np.stack([one(mode + side * shift * axis)[1] for side in (1, -1) for axis in np.eye(h)])
    hessian = (slope[:h] - slope[h:]) / (2 * shift)
    hessian = np.where(np.isfinite(hessian), hessian, np.eye(h))
    curvature, axes = np.linalg.eigh((hessian + hessian.T) / 2)
    return mode, axes / np.sqrt(np.maximum(curvature, 0.1))


def sample(block: MetricBlock, *, seed: int, warmup: int = 50, draws: int = 80, chains: int = 4) -> ScaleSamples:
    """Posterior draws of the scales given a padded block, by NUTS; compiled once for each shape.

    The sampler works in coordinates whitened at the mode; its chains start 1.5 times as wide as a normal posterior, so
    that R-hat can tell whether they have met. Where they have not, they start anew, whitened by the covariance of what
    was found, with shorter steps, and go on for four times as long.
    """
    with double():
        arrays = MetricBlock(*(jnp.asarray(array, dtype=jnp.float64) for array in block))
        key, again = jax.random.split(jax.random.key(seed))
        centre, root = laplace(arrays, np.zeros(len(PRIORS)))
        run = _sampler(warmup, draws)

        def segments(key: Array, count: int, target: float, centre: np.ndarray, root: np.ndarray) -> ScaleSamples:
            start = 1.5 * np.asarray(jax.random.normal(key, (chains, len(PRIORS))))
            found = []
            for i in range(count):
                keys = jax.random.split(jax.random.fold_in(key, i), chains)
                # Given here, the first gradient is not compiled a second time into the sampler.
                value, slope = zip(*(_gradient()(centre + root @ white, arrays) for white in start), strict=True)
                begin = ParamInfo(start, np.array(value), np.array(slope) @ root)
                found.append([np.asarray(part) for part in run(keys, begin, target, centre, root, arrays)])
                start = np.linalg.solve(root, (found[-1][0][:, -1] - centre).T).T
            # The first of several segments is more warm-up.
            z, divergent = (np.concatenate(part, axis=1) for part in zip(*found[int(count > 1) :], strict=True))
            with np.errstate(all="ignore"):  # a chain that never moved has no R-hat: NaN, which is not converged
                return ScaleSamples(z, split_gelman_rubin(z), effective_sample_size(z), float(divergent.mean()))

        first = segments(key, 1, 0.75, centre, root)
        if first.mixing.converged:
            return first
        flat = first.draws.reshape(-1, len(PRIORS))
        return segments(again, 5, 0.92, flat.mean(0), np.linalg.cholesky(np.cov(flat.T) + 1e-3 * np.eye(len(PRIORS))))


def importance(block: MetricBlock, *, seed: int, draws: int, proposals: int = 200) -> ScaleSamples:
    """Posterior draws of the scales (1, draws, h) by importance sampling around the mode, tens of times faster.

    Proposals are Student-t(5) around the mode with the curvature of `laplace`; weights are truncated at the root of
    their number times their mean (Ionides 2008, doi:10.1198/106186008X320456), and the draws resampled systematically.
    ``size`` is the effective number of proposals; R-hat is one where it is at least 20, else infinite.
    """
    h = len(PRIORS)
    with double():
        arrays = MetricBlock(*(jnp.asarray(array, dtype=jnp.float64) for array in block))
        centre, root = laplace(arrays, np.zeros(h))
    rng = np.random.default_rng(seed)
    heavy = np.sqrt(5 / rng.chisquare(5, proposals))[:, None]
    white = heavy * rng.standard_normal((proposals, h))
    z = centre + white @ root.T
    target = log_likelihood(np, z, block) - 0.5 * (z**2).sum(-1)
    proposal = -0.5 * (5 + h) * np.log1p((white**2).sum(-1) / 5)
    log_weight = np.where(np.isfinite(target), target, -np.inf) - proposal
    weight = np.exp(log_weight - log_weight.max())
    weight = np.minimum(weight, np.sqrt(proposals) * weight.mean())
    weight /= weight.sum()
    lots = (np.arange(draws) + rng.random()) / draws
    chosen = np.minimum(np.searchsorted(np.cumsum(weight), lots), proposals - 1)
    size = float(1 / (weight**2).sum())
    met = 1.0 if size >= 20 else np.inf
    return ScaleSamples(z[None, chosen], np.full(h, met), np.full(h, size), 0.0)

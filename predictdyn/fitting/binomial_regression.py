r"""Shares of strings that come out, as counts whose mean hazard is log-linear in many small effects.

.. math:: k \sim \mathrm{Binomial}(n, p), \quad p = 1 - (1 + \mu / \nu)^{-\nu}, \quad \ln \mu = x' w,
    \quad w_j \sim N(m_j, \sigma^2_{g(j)})

A string whose hazard is h comes out with probability 1 - exp(-h), and hazards differ between strings as a gamma
distribution of mean mu and shape nu does, so that the last strings come out late; for alike strings (nu infinite) ln mu
is ln(-ln(1 - p)). Weights w are found by Fisher scoring, their covariance by Laplace's method, the variances of their
groups g by EM, where a prior counts for `PRIOR` weights of the size they start from (as in Schall 1991,
doi:10.1093/biomet/78.4.719). A count of zero is as good a count as another; a share need not be a multiple of 1 / n.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from scipy.stats import multivariate_t

PRIOR = 3.0  # weights that the prior of a variance counts for
SCORING, ROUNDS = 50, 25
HIGHEST = 12.0  # ln mu, when all strings but one in ten thousand millions come out
NU = 2.0  # has more evidence than 1, 4 or alike strings on all of tinylm
PARTICLES = 4000
TAIL = 5.0  # degrees of freedom of the proposals


class Counts(NamedTuple):
    """Shares (n,) of so many trials (n,), and the columns (n, p) of what their hazards depend on."""

    columns: csr_matrix
    share: Float[np.ndarray, " n"]
    trials: Float[np.ndarray, " n"]


class FittedWeights(NamedTuple):
    """Weights (p,), their covariance (p, p), the variance (g,) of each group of them."""

    mean: Float[np.ndarray, " p"]
    covariance: Float[np.ndarray, " ..."]
    variance: Float[np.ndarray, " g"]


def probability(hazard: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Share of strings that come out where ln mu is ``hazard`` (...).

    >>> probability(np.log([0.01, 2.0])).round(4).tolist()
    [0.0099, 0.75]
    """
    return np.asarray(-np.expm1(-_sum(np.exp(np.minimum(hazard, HIGHEST)))))


def log_likelihood(counts: Counts, weights: Float[np.ndarray, "p s"]) -> Float[np.ndarray, " s"]:
    """Of weights (p, s), less what they do not change: (s,).

    >>> three_of_four = Counts(csr_matrix(np.ones((1, 1))), np.array([0.75]), np.array([4.0]))
    >>> round(float(np.exp(log_likelihood(three_of_four, np.log([[2.0]])))[0] / (0.75**3 * 0.25)), 9)
    1.0
    """
    total = _sum(np.exp(np.minimum(counts.columns @ weights, HIGHEST)))
    with np.errstate(divide="ignore"):
        out = np.maximum(np.log(-np.expm1(-total)), -1e6)
    share = counts.share[:, None]
    return np.asarray(counts.trials @ (share * out - (1 - share) * total))


def posterior(
    counts: Counts,
    mean: Float[np.ndarray, " p"],
    precision: Float[np.ndarray, "p p"],
    start: Float[np.ndarray, " p"] | None = None,
) -> FittedWeights:
    """Weights under a normal prior with a mean (p,) and a precision (p, p): the mode, and Laplace's covariance."""
    weights = mean.copy() if start is None else start.copy()
    columns = counts.columns
    turned, row = columns.T.tocsr(), np.repeat(np.arange(columns.shape[0]), np.diff(columns.indptr))

    def value(at: np.ndarray) -> float:
        off = at - mean
        return float(log_likelihood(counts, at[:, None])[0] - off @ precision @ off / 2)

    now = value(weights)
    for _ in range(SCORING):
        mu = np.exp(np.minimum(columns @ weights, HIGHEST))
        total, rate = _sum(mu), mu / (1 + mu / NU)
        out = np.maximum(-np.expm1(-total), 1e-300)
        slope = turned @ (counts.trials * rate * (counts.share / out - 1)) - precision @ (weights - mean)
        information = counts.trials * rate**2 * np.exp(-total) / out
        weighed = csr_matrix((columns.data * information[row], columns.indices, columns.indptr), columns.shape)
        curvature = precision + (turned @ weighed).toarray()
        root = cho_factor(curvature)
        step = cho_solve(root, slope)
        length = 1.0
        while (then := value(weights + length * step)) < now and length > 1e-6:
            length /= 2
        weights = weights + length * step
        gain, now = then - now, then
        if gain < 1e-6:
            break
    return FittedWeights(weights, cho_solve(root, np.eye(len(mean))), np.zeros(0))


def learnt(
    counts: Counts, mean: Float[np.ndarray, " p"], group: Int[np.ndarray, " p"], variance: Float[np.ndarray, " g"]
) -> FittedWeights:
    """Weights and the variances of their groups (p,), from variances (g,) to start from."""
    found = FittedWeights(mean, np.zeros((0, 0)), variance)
    size = np.bincount(group, minlength=len(variance))
    now = variance
    for _ in range(ROUNDS):
        at = posterior(counts, mean, np.diag(1 / now[group]), found.mean)
        square = (at.mean - mean) ** 2 + np.diag(at.covariance)
        found = at._replace(variance=now)
        then = (PRIOR * variance + np.bincount(group, square, minlength=len(variance))) / (PRIOR + size)
        if np.abs(np.log(then / now)).max() < 0.02:
            break
        now = then
    return found


def sampled(
    counts: Counts,
    mean: Float[np.ndarray, " p"],
    covariance: Float[np.ndarray, "p p"],
    df: float,
    draws: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "p {draws}"]:
    """Draws (p, s) of weights given counts, by importance: the prior is Student's with a mean, a scale and df.

    Half of the proposals are Student's about the mode, half are from the prior: counts of none, or of all, bound the
    hazard on one side only, where no mode says how far it may go.
    """
    found = posterior(counts, mean, np.linalg.inv(covariance))
    prior = multivariate_t(mean, covariance, df)
    near = multivariate_t(found.mean, found.covariance, TAIL)
    tried = np.concatenate([one.rvs(PARTICLES // 2, random_state=rng) for one in (near, prior)]).reshape(-1, len(mean))
    log_prior = prior.logpdf(tried)
    weight = log_likelihood(counts, tried.T) + log_prior - np.logaddexp(near.logpdf(tried), log_prior)
    total = np.cumsum(np.exp(weight - weight.max()))
    picked = np.searchsorted(total, (np.arange(draws) + rng.random()) / draws * total[-1], side="right")
    return np.asarray(tried[rng.permutation(np.minimum(picked, PARTICLES - 1))].T)


def _sum(mu: np.ndarray) -> np.ndarray:
    """Minus ln of the share of strings that do not come out."""
    return np.asarray(NU * np.log1p(mu / NU))

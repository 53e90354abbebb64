"""A Gaussian copula over the metrics of a run: how they move together, and draws put in that order."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import ndtri

FEWEST_FAMILIES = 4  # below this nothing is known of how two metrics move together
LEAST_EIGENVALUE = 1e-6


def residuals(level: Float[np.ndarray, " n"], change: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    r"""What a line through level leaves of the change, centred at its median; NaN where either (n,) is NaN.

    The slope is the median over n / 2 pairs of runs, the i-th lowest level with the i-th lowest of the upper half
    (Theil's incomplete method, 1950; less than a quarter of runs may be anything). Zero where no two levels differ.

    >>> residuals(np.arange(6.0), np.array([1.0, 3.0, 5.0, 7.0, 9.0, 70.0])).round(1).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 59.0]
    """
    out = np.full(len(level), np.nan)
    known = np.flatnonzero(np.isfinite(level) & np.isfinite(change))
    if not len(known):
        return out
    order = known[np.argsort(level[known], kind="stable")]
    low, high = order[: len(order) // 2], order[(len(order) + 1) // 2 :]
    apart = level[high] - level[low]
    rise = (change[high] - change[low])[apart > 0] / apart[apart > 0]
    left = change[known] - (np.median(rise) if len(rise) else 0.0) * level[known]
    out[known] = left - np.median(left)
    return out


def normal_scores(values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    r""":math:`\Phi^{-1}((\mathrm{rank} - 1/2) / n)` of each column of (n, d); ties share a rank, NaN stays NaN.

    >>> normal_scores(np.array([[5.0], [1.0], [3.0]])).round(2).ravel().tolist()
    [0.97, -0.97, 0.0]
    """
    from scipy.stats import rankdata  # which takes half a second to import, and baselines alone need no copula

    n = np.isfinite(values).sum(axis=0)
    rank = rankdata(values, axis=0, nan_policy="omit")
    return np.asarray(ndtri((rank - 0.5) / np.maximum(n, 1)))


def correlation(scores: Float[np.ndarray, "n d"], family: Shaped[np.ndarray, " n"]) -> Float[np.ndarray, "d d"]:
    r"""Correlations (d, d) of columns of scores (n, d), shrunk towards independence, positive definite.

    Every family (n,) counts the same, and each pair of columns has the runs that have both. The estimate r of two
    independent columns would have the variance :math:`v = 1 / (k - 1)`, where the f families, of :math:`n_i` runs each,
    count as k runs:

    .. math:: \frac1k = \frac1{f^2} \sum_i \frac{1 + (n_i - 1)\, a b}{n_i}

    a and b say how alike the runs of a family are in the two columns (`_alike`); where they are copies of each other, k
    is f (the effective number of Clifford et al. 1989, doi:10.2307/2532039, for families in place of neighbours). What
    the squares have beyond that, :math:`t = \overline{r^2 - v}` (no less than 0), is real, and each r is multiplied by
    :math:`t / (t + v)`. For one v this is the intensity of Ledoit and Wolf for correlations, :math:`1 - v /
    \overline{r^2}` (Schaefer and Strimmer 2005, doi:10.2202/1544-6115.1175, with the variance under independence for
    the estimated one, which few families cannot give). Pairs with fewer than `FEWEST_FAMILIES` are independent. Last,
    eigenvalues are raised to `LEAST_EIGENVALUE`.

    >>> column = normal_scores(np.arange(9.0)[:, None])
    >>> correlation(np.hstack([column, column]), np.arange(9)).round(3).tolist()
    [[1.0, 0.875], [0.875, 1.0]]
    """
    d = scores.shape[1]
    known = np.isfinite(scores)
    names, place, size = np.unique(family, return_inverse=True, return_counts=True)
    weighted = known / size[place][:, None] if len(names) else known.astype(float)
    filled = np.where(known, scores, 0.0)
    total = weighted.T @ known
    with np.errstate(invalid="ignore", divide="ignore"):
        # Over the runs that have both: mean_ij is that of column i where j is known, spread_ij its variance.
        mean = (weighted * filled).T @ known / total
        spread = (weighted * filled**2).T @ known / total - mean**2
        product = (weighted * filled).T @ filled / total - mean * mean.T
        found = product / np.sqrt(spread * spread.T)
    alike = np.array([_alike(scores[known[:, j], j], place[known[:, j]]) for j in range(d)])
    # Families of one run, which may be thousands, count one each; the others have a number of runs for each pair.
    single = known[size[place] == 1].astype(float)
    families = single.T @ single
    left = families.copy()
    for one in np.flatnonzero(size > 1):
        mine = known[place == one].astype(float)
        runs = mine.T @ mine
        families += runs > 0
        left += np.where(runs > 0, (1 + (runs - 1) * np.outer(alike, alike)) / np.maximum(runs, 1), 0.0)
    usable = np.isfinite(found) & (families >= FEWEST_FAMILIES) & (spread > 1e-9) & (spread.T > 1e-9)
    np.fill_diagonal(usable, False)
    if not usable.any():
        return np.eye(d)
    chance = 1.0 / (np.maximum(families, FEWEST_FAMILIES) ** 2 / np.maximum(left, 1e-9) - 1.0)
    real = max(float((found[usable] ** 2 - chance[usable]).mean()), 0.0)
    shrunk = np.where(usable, np.clip(found, -1.0, 1.0) * real / (real + chance), 0.0)
    return _positive(shrunk + np.eye(d))


def ranks(correlation: Float[np.ndarray, "d d"], s: int, rng: np.random.Generator) -> Int[np.ndarray, "d {s}"]:
    """Ranks (d, s), 0 to s - 1 in each row, of s normal vectors with these correlations (d, d).

    >>> ranks(np.array([[1.0, 0.999999], [0.999999, 1.0]]), 3, np.random.default_rng(0)).tolist()
    [[1, 0, 2], [1, 0, 2]]
    """
    normals = np.linalg.cholesky(correlation) @ rng.standard_normal((len(correlation), s))
    return np.argsort(np.argsort(normals, axis=1, kind="stable"), axis=1, kind="stable")


def coupled(draws: Float[np.ndarray, "m s"], ranks: Int[np.ndarray, "m s"]) -> Float[np.ndarray, "m s"]:
    """The draws (m, s) of each row in the order of ranks (m, s): the same numbers, so no margin moves.

    Rows with the same ranks are paths. This is the reordering of the Schaake shuffle (Clark et al. 2004,
    doi:10.1175/1525-7541(2004)005<0243:TSSAMF>2.0.CO;2) and of ensemble copula coupling (Schefzik et al. 2013,
    doi:10.1214/13-STS443), with ranks from a Gaussian copula (Moeller et al. 2013, doi:10.1002/qj.2009).

    >>> coupled(np.array([[3.0, 1.0, 2.0]]), np.array([[2, 0, 1]])).tolist()
    [[3.0, 1.0, 2.0]]
    """
    return np.take_along_axis(np.sort(draws, axis=1), ranks, axis=1)


def _alike(score: np.ndarray, place: np.ndarray) -> float:
    """How alike scores (n,) of runs of a family are, by analysis of variance, in [0, 1]; 1 where no family has two."""
    _, place, size = np.unique(place, return_inverse=True, return_counts=True)
    n, f = len(score), len(size)
    if f < 2 or n == f:
        return 1.0
    middle = np.bincount(place, score) / size
    within = float(((score - middle[place]) ** 2).sum()) / (n - f)
    between = float((size * (middle - score.mean()) ** 2).sum()) / (f - 1)
    each = (n - float((size**2).sum()) / n) / (f - 1)
    total = between + (each - 1) * within
    return min(max((between - within) / total, 0.0), 1.0) if total > 0 else 1.0


def _positive(symmetric: np.ndarray) -> np.ndarray:
    """A correlation matrix (d, d): small eigenvalues are raised, then the diagonal is 1 again."""
    value, vector = np.linalg.eigh((symmetric + symmetric.T) / 2)
    if value[0] >= LEAST_EIGENVALUE:
        return symmetric
    raised = (vector * np.maximum(value, LEAST_EIGENVALUE)) @ vector.T
    size = np.sqrt(np.diag(raised))
    return raised / np.outer(size, size)

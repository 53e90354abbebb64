"""Is the forecast as sure as it should be? Coverage and PIT, with the uncertainty that few, dependent runs leave."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

FEW_RUNS = 10  # that decide the share: hold its misses, or its hits
_RESAMPLES = 2000


class PitBand(NamedTuple):
    """ECDF of the PIT minus the uniform on a grid, and the band that holds it all when calibrated; each (m,)."""

    grid: np.ndarray
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray


def coverage_interval(hit: np.ndarray, run: np.ndarray, *, seed: int, level: float = 0.9) -> tuple[float, float, float]:
    r"""Share of rows that were covered, and an interval for it that knows that rows of one run are not independent.

    .. math:: \frac{p + z^2 / 2m \pm z \sqrt{p (1 - p) / m + z^2 / 4 m^2}}{1 + z^2 / m}, \quad m = p (1 - p) / v

    hit (n,) of 0, 1 or NaN (left out), run (n,) labels -> share p, low, high in [0, 1]; NaN where no row is left.
    Wilson's interval (1927, doi:10.1080/01621459.1927.10502953) with the effective number m of independent rows in
    place of n (Dean and Pagano 2015, doi:10.1093/jssam/smv024). v is the variance of p when runs are drawn with
    replacement, times r / (r - 1); z is Student's quantile with r - 1 degrees of freedom, r the number of runs. m is at
    most n. v says nothing when all or none hit, and too little when few runs hold all the misses (or all the hits):
    with fewer than 10 such runs, in effect (Kish's number), m is at most r, as if all rows of a run hit or missed
    together. A single run says nothing about others: 0 to 1.

    >>> hit, run = np.array([1, 1, 1, 0] * 10), np.repeat(np.arange(20), 2)
    >>> [round(bound, 2) for bound in coverage_interval(hit, run, seed=0)]
    [0.75, 0.62, 0.85]
    """
    hit, code = _checked(hit, run, level)
    if not len(hit):
        return np.nan, np.nan, np.nan
    hits, rows = np.bincount(code, weights=hit), np.bincount(code)
    n, r, share = len(hit), len(rows), float(hit.mean())
    if r == 1:
        return share, 0.0, 1.0
    # Runs with as many rows and hits are drawn together, in an order of their own: names of runs change nothing.
    alike, count = np.unique(np.stack([hits, rows], axis=1), axis=0, return_counts=True)
    picked = np.random.default_rng(seed).multinomial(r, count / r, size=_RESAMPLES)
    drawn = (picked @ alike[:, 0]) / (picked @ alike[:, 1])
    variance = drawn.var() * r / (r - 1)
    spread = share * (1 - share)
    m = spread / max(variance, spread / n) if spread > 0 else r
    if min(_kish(hits), _kish(rows - hits)) < FEW_RUNS:
        m = min(m, r)
    z = stdtrit(r - 1, (1 + level) / 2)
    middle = (share + z**2 / (2 * m)) / (1 + z**2 / m)
    half = z * np.sqrt(share * (1 - share) / m + z**2 / (4 * m**2)) / (1 + z**2 / m)
    # Rounding must leave neither the share outside, nor a bound beyond 0 or 1.
    return share, max(0.0, min(share, float(middle - half))), min(1.0, max(share, float(middle + half)))


def pit_band(pit: np.ndarray, run: np.ndarray, grid: np.ndarray, *, seed: int, level: float = 0.9) -> PitBand:
    r"""ECDF of the PIT minus the uniform, and a band that holds all of it with probability ``level`` when calibrated.

    .. math:: D(g) = \sum_r c_r(g), \quad c_r(g) = \frac1n \sum_{i \in r} (1\{u_i \le g\} - g), \quad
       \pm q\, w(g), \; w(g)^2 = \max(g (1 - g), \delta (1 - \delta))

    pit (n,) in [0, 1] or NaN (left out), run (n,) labels, grid (m,) ascending in [0, 1]; no unit. q is the ``level``
    quantile of :math:`\max_g |\sum_r \epsilon_r c_r(g)| / w(g)` over random signs, one for each run, so PITs of one run
    may depend on each other in any way (wild cluster bootstrap: Cameron et al. 2008, doi:10.1162/rest.90.3.414). Under
    calibration each c_r has mean zero, so it is not centred at the observed ECDF: with few runs that would make the
    band too narrow. w is the shape of the sd under calibration, not an estimate, which is worthless in the tails where
    a run or two decide; its floor, delta = 2 / runs and at most 0.25, keeps those from setting q. The band is cut to
    what an ECDF can reach. With fewer than 5 runs nothing can be rejected at level 0.9; with one the band is all.

    >>> u = np.linspace(0.005, 0.995, 100)
    >>> band = pit_band(0.4 + 0.2 * u, np.arange(100), np.array([0.3, 0.5, 0.7]), seed=0)  # too wide a forecast
    >>> bool((band.difference < band.low)[0]), round(float(band.difference[0]), 1)
    (True, -0.3)
    """
    pit, code = _checked(pit, run, level)
    grid = np.asarray(grid, dtype=float)
    if grid.ndim != 1 or not ((grid >= 0) & (grid <= 1)).all() or (np.diff(grid) < 0).any():
        raise ValueError(f"grid must be (m,) ascending numbers in [0, 1], got shape {grid.shape}: {grid}")
    if not len(pit):
        return PitBand(grid, np.full(grid.shape, np.nan), -grid, 1 - grid)
    r, m = int(code.max()) + 1, len(grid)
    cell = code * (m + 1) + np.searchsorted(grid, pit)  # u <= g from the cell of u on
    counts = np.bincount(cell, minlength=r * (m + 1)).reshape(r, m + 1).cumsum(axis=1)
    difference = counts[:, :m].sum(axis=0) / len(pit) - grid
    part = (counts[:, :m] - counts[:, m:] * grid) / len(pit)
    part = part[np.lexsort((*part.T, counts[:, m]))]  # the names of runs change nothing
    scale = np.inf
    if r > 1:
        delta = min(2 / r, 0.25)
        shape = np.sqrt(np.maximum(grid * (1 - grid), delta * (1 - delta)))
        signs = 2 * np.random.default_rng(seed).integers(2, size=(_RESAMPLES, r)) - 1
        largest = (np.abs(signs @ part) / shape).max(axis=1)
        # Half an ulp of slack: the pattern of equal signs is the data, and must not reject itself by rounding.
        scale = np.quantile(largest, level, method="higher") * shape * (1 + 1e-9)
    return PitBand(grid, difference, np.maximum(-scale, -grid), np.minimum(scale, 1 - grid))


def _kish(weight: np.ndarray) -> float:
    """How many equal weights would be as uneven as these: (sum w)^2 / sum w^2; 0 where all are 0."""
    return float(weight.sum() ** 2 / max((weight**2).sum(), 1e-300))


def _checked(values: np.ndarray, run: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) without NaN, and the number of each one's run, counted from 0."""
    values, run = np.asarray(values, dtype=float), np.asarray(run)
    if values.ndim != 1 or values.shape != run.shape:
        raise ValueError(f"expected values (n,) and run (n,), got {values.shape} and {run.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level is the coverage of an interval, in (0, 1), got {level}")
    keep = ~np.isnan(values)
    values, run = values[keep], run[keep]
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"expected numbers in [0, 1] or NaN, got {values[(values < 0) | (values > 1)][0]}")
    seen: dict[object, int] = {}
    return values, np.array([seen.setdefault(label, len(seen)) for label in run.tolist()], dtype=int)

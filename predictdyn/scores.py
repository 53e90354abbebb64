"""Scoring rules: (truth, draws) -> one number per row; lower is better.

pit, covered and width describe, they do not rank. energy and variogram score several targets at once; brier and
censored_crps score events and their times. A truth that is NaN (not known yet) scores NaN, but for width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist, pdist


def crps(truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    r"""Fair continuous ranked probability score of an ensemble.

    .. math:: \frac1s \sum_i |x_i - y| - \frac{1}{2 s (s-1)} \sum_{i,j} |x_i - x_j|

    truth (n,), draws (n, s) with s >= 2 -> (n,), all in the metric's units. Computed from order statistics as

    .. math:: \frac{2}{s (s-1)} \Big[ \sum_{x_{(i)} \ge y} (s - i) (x_{(i)} - y)
       + \sum_{x_{(i)} < y} (i - 1) (y - x_{(i)}) \Big]

    which is the same, and a sum of numbers that are not negative: draws of 1e50 cancel nothing. Ferro 2014,
    doi:10.1002/qj.2270.

    >>> round(float(crps(np.array([1.0]), np.array([[0.0, 2.0, 4.0]]))[0]), 3)
    0.333
    """
    truth, draws = _checked(truth, draws)
    return _crps(np.sort(draws, axis=1) - truth[:, None])


def log_score(truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    r"""Negative log of a smooth density made from the draws, in nats (density per unit of the metric).

    .. math:: -\ln \frac{1}{s + 1} \Big[ \sum_i \frac1h \phi\!\left(\frac{y - x_i}{h}\right) + c(y) \Big],\quad
       h = 0.9\, v\, s^{-1/5},\; v = \min(\mathrm{sd}, \mathrm{iqr}/1.34)

    truth (n,), draws (n, s) -> (n,). The kernels are Gaussian with Silverman's bandwidth (1986, eq. 3.31). c is a
    Cauchy density at the median with scale v: a truth beyond all s draws, as happens about twice in s, then costs the
    log of its distance and not its square, and the score is always finite. The kernels widen the density a little: at
    the centre of a normal, 1000 draws score 0.03 nats too high. v is sd where iqr is 0, and never below 1e-12 of the
    largest draw, nor 1e-30: equal draws score very well or very badly, and by how much says nothing. On kernel
    estimates in log scores: Krueger et al. 2021, doi:10.1111/insr.12405.

    >>> round(float(log_score(np.array([0.0]), np.linspace(-1, 1, 1001)[None])[0]), 3)  # ln 2, and a little
    0.694
    """
    truth, draws = _checked(truth, draws)
    return _log_score(truth, np.sort(draws, axis=1))


def interval_score(truth: np.ndarray, draws: np.ndarray, *, level: float = 0.9) -> np.ndarray:
    r"""Winkler's score of the central interval [l, u] of coverage ``level`` = 1 - a, in the metric's units.

    .. math:: (u - l) + \frac2a (l - y)_+ + \frac2a (y - u)_+

    truth (n,), draws (n, s) -> (n,). Gneiting and Raftery 2007, doi:10.1198/016214506000001437, eq. 43.

    >>> round(float(interval_score(np.array([1.0]), np.array([[0.0, 2.0, 4.0]]), level=0.5)[0]), 3)
    2.000
    """
    truth, draws = _checked(truth, draws)
    low, high = _interval(draws, level)
    return (high - low) + 2 / (1 - level) * (np.maximum(low - truth, 0) + np.maximum(truth - high, 0))


def covered(truth: np.ndarray, draws: np.ndarray, *, level: float = 0.9) -> np.ndarray:
    """Whether the central interval of coverage ``level`` holds the truth, 1.0 or 0.0; NaN where the truth is NaN.

    truth (n,), draws (n, s) -> (n,).

    >>> round(float(covered(np.array([1.0]), np.array([[0.0, 2.0, 4.0]]), level=0.5)[0]), 1)
    1.0
    """
    truth, draws = _checked(truth, draws)
    low, high = _interval(draws, level)
    return np.where(np.isnan(truth), np.nan, (low <= truth) & (truth <= high))


def width(truth: np.ndarray, draws: np.ndarray, *, level: float = 0.9) -> np.ndarray:
    """Width of the central interval of coverage ``level``, in the metric's units. truth (n,), draws (n, s) -> (n,).

    >>> round(float(width(np.array([1.0]), np.array([[0.0, 2.0, 4.0]]), level=0.5)[0]), 1)
    2.0
    """
    _, draws = _checked(truth, draws)
    low, high = _interval(draws, level)
    return high - low


def pit(truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    r"""Probability integral transform, :math:`F(y^-) + \tfrac12 (F(y) - F(y^-))`, uniform when calibrated.

    truth (n,), draws (n, s) -> (n,) in [0, 1]. Ties with draws are split in the middle, so no random number is needed;
    NaN where the truth is NaN. Czado et al. 2009, doi:10.1111/j.1541-0420.2009.01191.x.

    >>> round(float(pit(np.array([2.0]), np.array([[0.0, 2.0, 4.0, 5.0]]))[0]), 3)
    0.375
    """
    truth, draws = _checked(truth, draws)
    return _pit(draws - truth[:, None])


class Ranked(NamedTuple):
    """`crps`, `log_score` and `pit` of the same draws, each (n,)."""

    crps: np.ndarray
    log_score: np.ndarray
    pit: np.ndarray


def ranked(truth: np.ndarray, ordered: np.ndarray) -> Ranked:
    """The scores of every row of a backtest, of draws (n, s) that are sorted: sorting them is most of the work.

    >>> found = ranked(np.array([1.0]), np.array([[0.0, 2.0, 4.0]]))
    >>> round(float(found.crps[0]), 3), round(float(found.pit[0]), 3)
    (0.333, 0.333)
    """
    truth, ordered = _checked(truth, ordered)
    off = ordered - truth[:, None]
    return Ranked(_crps(off), _log_score(truth, ordered), _pit(off))


def quantiles(ordered: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """What `numpy.quantile` gives, (n, levels), of draws (n, s) that are sorted.

    >>> quantiles(np.array([[0.0, 2.0, 4.0]]), [0.25, 0.5]).tolist()
    [[1.0, 2.0]]
    """
    place = np.asarray(levels, dtype=float) * (ordered.shape[1] - 1)
    below = np.floor(place).astype(int)
    part = place - below
    low, high = ordered[:, below], ordered[:, np.minimum(below + 1, ordered.shape[1] - 1)]
    apart = high - low
    # From the nearer end, as numpy does, so that a part of one is exactly the higher.
    return np.where(part < 0.5, low + apart * part, high - apart * (1 - part))


def absolute_error(truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Distance of the median from the truth, in the metric's units. truth (n,), draws (n, s) -> (n,).

    >>> round(float(absolute_error(np.array([1.0]), np.array([[0.0, 2.0, 5.0]]))[0]), 1)
    1.0
    """
    truth, draws = _checked(truth, draws)
    return np.abs(np.median(draws, axis=1) - truth)


def relative_error(truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """|median / truth - 1|, no unit; NaN where the truth is not positive. truth (n,), draws (n, s) -> (n,).

    >>> round(float(relative_error(np.array([4.0]), np.array([[0.0, 2.0, 5.0]]))[0]), 1)
    0.5
    """
    truth, draws = _checked(truth, draws)
    median = np.median(draws, axis=1)
    return np.abs(np.divide(median, truth, out=np.full_like(truth, np.nan), where=truth > 0) - 1)


def squared_log_error(truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """(ln median - ln truth)^2, no unit; NaN unless both are positive. The root of its mean over rows is the RMSLE.

    truth (n,), draws (n, s) -> (n,).

    >>> round(float(squared_log_error(np.array([1.0]), np.array([[1.0, np.e, 5.0]]))[0]), 3)
    1.000
    """
    truth, draws = _checked(truth, draws)
    median = np.median(draws, axis=1)
    good = (truth > 0) & (median > 0)
    return np.where(good, np.log(np.where(good, median, 1)) - np.log(np.where(good, truth, 1)), np.nan) ** 2


def energy(truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    r"""Fair energy score of joint draws: the CRPS with distances in d dimensions for those on a line.

    .. math:: \frac1s \sum_i \lVert x_i - y \rVert - \frac{1}{2 s (s-1)} \sum_{i,j} \lVert x_i - x_j \rVert

    truth (n, d), draws (n, d, s) with s >= 2 -> (n,). The components must be on one scale: bring them there by what is
    known before the truth is, such as the value last seen and `joint.spans` of the history. Sees wrong margins well and
    wrong dependence little. Gneiting and Raftery 2007, doi:10.1198/016214506000001437, eq. 22; fair as in `crps`.

    >>> round(float(energy(np.array([[1.0, 0.0]]), np.array([[[0.0, 2.0, 4.0], [0.0, 0.0, 0.0]]]))[0]), 3)
    0.333
    """
    truth, draws = _checked_joint(truth, draws)
    found = np.empty(len(truth))
    for i, (y, x) in enumerate(zip(truth, draws, strict=True)):
        found[i] = cdist(x.T, y[None]).mean() - pdist(x.T).mean() / 2
    return found


def variogram(truth: np.ndarray, draws: np.ndarray, *, order: float = 0.5) -> np.ndarray:
    r"""Fair variogram score of joint draws: how far apart any two components are said to be, and are.

    .. math:: \sum_{a, b} \Big[ (|y_a - y_b|^p - m_{ab})^2 - \frac{v_{ab}}{s} \Big]

    truth (n, d), draws (n, d, s) with s >= 2 -> (n,); p is ``order``, and m and v are mean and variance (over s - 1) of
    :math:`|x_a - x_b|^p` over draws. Without v / s, few draws would cost more than many. All pairs weigh 1. The
    components must be on one scale, as for `energy`. Sees dependence, but not a shift of all components by the same.
    Scheuerer and Hamill 2015, doi:10.1175/MWR-D-14-00269.1.

    >>> round(float(variogram(np.array([[1.0, 0.0]]), np.array([[[1.0, 4.0], [0.0, 0.0]]]))[0]), 3)
    0.000
    """
    truth, draws = _checked_joint(truth, draws)
    s = draws.shape[2]
    found = np.zeros(len(truth))
    for a in range(truth.shape[1]):
        apart = np.abs(draws[:, :a] - draws[:, a : a + 1]) ** order
        off = np.abs(truth[:, :a] - truth[:, a : a + 1]) ** order - apart.mean(axis=2)
        found += 2 * (off**2 - apart.var(axis=2, ddof=1) / s).sum(axis=1)
    return np.where(np.isnan(truth).any(axis=1), np.nan, found)


def brier(truth: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Brier score (p - y)^2 of the probability of an event; NaN where the truth is NaN.

    truth (n,) is 1 where it happened and 0 where not, probability (n,) in [0, 1] -> (n,). Brier 1950,
    doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    >>> brier(np.array([1.0, 0.0]), np.array([0.75, 0.5])).round(4).tolist()
    [0.0625, 0.25]
    """
    truth, probability = _checked_events(truth, probability)
    return np.asarray((probability - truth) ** 2)


class BrierParts(NamedTuple):
    """The mean Brier score in parts: reliability - resolution + uncertainty, and what is lost by bins.

    ``reliability``: how far frequencies are from what was forecast (0 is best). ``resolution``: how far frequencies of
    bins are from the base rate (more is better). ``uncertainty``: that of the base rate. ``within``: what is left of
    the Brier score, since forecasts within a bin differ.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier_parts(truth: np.ndarray, probability: np.ndarray, *, bins: int = 10) -> BrierParts:
    r"""The mean `brier` score in parts, from forecasts in ``bins`` bins of equal width.

    .. math:: \overline{(p - y)^2} = \sum_k \frac{n_k}{n} (\bar p_k - \bar y_k)^2
       - \sum_k \frac{n_k}{n} (\bar y_k - \bar y)^2 + \bar y (1 - \bar y) + \text{within}

    truth (n,), probability (n,); rows with a truth that is NaN are left out. Murphy 1973,
    doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2; the term within after Stephenson et al. 2008,
    doi:10.1175/2007WAF2006116.1.

    >>> [round(part, 3) for part in brier_parts(np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.9, 0.9, 0.2, 0.2]))]
    [0.025, 0.25, 0.25, 0.0]
    """
    truth, probability = _checked_events(truth, probability)
    known = np.isfinite(truth)
    truth, probability = truth[known], probability[known]
    if not len(truth):
        return BrierParts(np.nan, np.nan, np.nan, np.nan)
    place = np.minimum((probability * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    some = count > 0
    share, said, came = (
        count[some] / len(truth),
        *(np.bincount(place, column, minlength=bins)[some] / count[some] for column in (probability, truth)),
    )
    base = float(truth.mean())
    reliability = float(share @ (said - came) ** 2)
    resolution, uncertainty = float(share @ (came - base) ** 2), base * (1 - base)
    within = float(np.mean((probability - truth) ** 2)) - (reliability - resolution + uncertainty)
    return BrierParts(reliability, resolution, uncertainty, within)


def censored_crps(truth: np.ndarray, draws: np.ndarray, *, until: np.ndarray) -> np.ndarray:
    r"""CRPS of the time of an event, as far as the log tells: the integral ends where the log does.

    .. math:: \int_0^c \big( F(z) - 1\{T \le z\} \big)^2 dz

    truth (n,) is T, inf where the event did not come; draws (n, s) likewise; ``until`` (n,) is c, the planned end, or
    the last step of a log that stopped before -> (n,), in the unit of time. It is the fair `crps` of times cut at c,
    since beyond c both are certain there. So a run without the event is scored, never dropped. Cut like this it stays
    proper: Gneiting and Ranjan 2011, doi:10.1198/jbes.2010.08110 (a threshold-weighted CRPS).

    >>> draws = np.array([[0.2, 0.4, np.inf, np.inf]])
    >>> [round(float(censored_crps(np.array([t]), draws, until=np.array([1.0]))[0]), 3) for t in (0.2, np.inf)]
    [0.2, 0.1]
    """
    truth, draws, until = (np.asarray(one, dtype=float) for one in (truth, draws, until))
    if np.isnan(draws).any() or not np.isfinite(until).all() or until.shape != truth.shape:
        raise ValueError("times of an event are numbers or inf, and until is finite, one for each truth")
    return crps(np.where(np.isnan(truth), np.nan, np.minimum(truth, until)), np.minimum(draws, until[:, None]))


def _crps(off: np.ndarray) -> np.ndarray:
    """CRPS (n,) of sorted draws less the truth (n, s)."""
    s = off.shape[1]
    beyond = np.where(off < 0, np.arange(s), np.arange(s)[::-1])
    return np.asarray((np.abs(off) * beyond).sum(axis=1) * 2 / (s * (s - 1)))


def _log_score(truth: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Log score (n,) of sorted draws (n, s)."""
    s = ordered.shape[1]
    low, middle, high = quantiles(ordered, (0.25, 0.5, 0.75)).T
    sd = ordered.std(axis=1, ddof=1)
    spread = np.where(high > low, np.minimum(sd, (high - low) / 1.34), sd)
    largest = np.maximum(np.abs(ordered[:, 0]), np.abs(ordered[:, -1]))
    spread = np.maximum(spread, np.maximum(1e-12 * largest, 1e-30))
    width = 0.9 * spread * s**-0.2
    exponent = -0.5 * ((truth[:, None] - ordered) / width[:, None]) ** 2
    top = exponent.max(axis=1)
    kernels = top + np.log(np.exp(exponent - top[:, None]).sum(axis=1)) - np.log(width) - 0.5 * np.log(2 * np.pi)
    tail = -np.log(np.pi * spread) - np.log1p(((truth - middle) / spread) ** 2)
    with np.errstate(invalid="ignore"):  # logaddexp warns of a truth that is NaN
        return np.asarray(np.log(s + 1) - np.logaddexp(kernels, tail))


def _pit(off: np.ndarray) -> np.ndarray:
    """PIT (n,) of draws less the truth (n, s); two numbers are equal where their difference is 0."""
    below, equal = np.count_nonzero(off < 0, axis=1), np.count_nonzero(off == 0, axis=1)
    return np.where(np.isnan(off[:, 0]), np.nan, (below + 0.5 * equal) / off.shape[1])


def _checked_joint(truth: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, draws = np.asarray(truth, dtype=float), np.asarray(draws, dtype=float)
    if truth.ndim != 2 or draws.ndim != 3 or truth.shape != draws.shape[:2] or draws.shape[2] < 2:
        raise ValueError(f"expected truth (n, d) and draws (n, d, s) with s >= 2, got {truth.shape} and {draws.shape}")
    _checked(truth.ravel(), draws.reshape(-1, draws.shape[2]))
    return truth, draws


def _checked_events(truth: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, probability = np.asarray(truth, dtype=float), np.asarray(probability, dtype=float)
    if truth.ndim != 1 or truth.shape != probability.shape:
        raise ValueError(f"expected truth (n,) and probability (n,), got {truth.shape} and {probability.shape}")
    if not ((probability >= 0) & (probability <= 1)).all() or not np.isin(truth[np.isfinite(truth)], (0, 1)).all():
        raise ValueError("a probability lies in [0, 1], and a truth is 0, 1 or NaN")
    return truth, probability


def _checked(truth: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, draws = np.asarray(truth, dtype=float), np.asarray(draws, dtype=float)
    if truth.ndim != 1 or draws.ndim != 2 or len(truth) != len(draws) or draws.shape[1] < 2:
        raise ValueError(f"expected truth (n,) and draws (n, s) with s >= 2, got {truth.shape} and {draws.shape}")
    if np.isinf(truth).any() or not np.isfinite(draws).all():
        row = int(np.flatnonzero(np.isinf(truth) | ~np.isfinite(draws).all(axis=1))[0])
        raise ValueError(f"draws must be finite and truth finite or NaN; first row that is not: {row}")
    return truth, draws


def _interval(draws: np.ndarray, level: float) -> np.ndarray:
    if not 0 < level < 1:
        raise ValueError(f"level is the coverage of an interval, in (0, 1), got {level}")
    return np.quantile(draws, ((1 - level) / 2, (1 + level) / 2), axis=1)

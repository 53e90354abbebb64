"""Compare two forecasters on the same targets, by runs and families: skill, its interval, a test, a verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

Key = TypeVar("Key")
PREDICTABLE, NOT_PREDICTABLE, TOO_FEW = "predictable here", "not predictable here", "too few runs to say"
FEWEST = 5  # units; the smallest p of a sign flip is 2^-units, and 2^-4 is above 0.05
NEEDED = f"a verdict takes {FEWEST}"
MANY = 20  # units; from here on the bootstrap interval stands alone
_EXACT = 12  # 2^12 = 4096 sign patterns are all tried
_FLIPS = 10_000
_KEPT = 4  # structures of families whose random numbers stay in memory


class Skill(NamedTuple):
    """Skill over a reference, its interval, the p-value of no gain, and on how many runs and families it rests."""

    skill: float
    low: float
    high: float
    p_value: float
    n_runs: int
    n_families: int


class Lots:
    """Random numbers of `skill`: drawn once for all comparisons by one seed of runs in families of the same sizes."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, bytes, int], np.ndarray] = {}
        self._signs: dict[tuple[int, int], np.ndarray] = {}

    def counts(self, seed: int, size: np.ndarray, resamples: int) -> np.ndarray:
        """How often each run is drawn, (resamples, runs), by families of these sizes (f,), runs side by side."""
        return _kept(self._counts, (seed, size.tobytes(), resamples), lambda: _counts(_rngs(seed)[0], size, resamples))

    def signs(self, seed: int, n: int) -> np.ndarray:
        """Random signs of n units, as bits: (flips, ceil(n / 8)) bytes."""
        draw = (_FLIPS - 1, -(-n // 8))
        return _kept(self._signs, (seed, n), lambda: _rngs(seed)[1].integers(256, size=draw, dtype=np.uint8))


def skill(
    model: np.ndarray,
    reference: np.ndarray,
    run: np.ndarray,
    family: np.ndarray,
    *,
    seed: int,
    level: float = 0.9,
    resamples: int = 2000,
    lots: Lots | None = None,
) -> Skill:
    r"""How much of the reference's score the model saves, by families, with a paired bootstrap interval.

    .. math:: 1 - S_\mathrm{model} / S_\mathrm{reference}, \quad S: \text{see macro_mean}

    model, reference (n,) are scores of the same targets, on one scale, 0 at best (CRPS; not the log score); run, family
    (n,) are labels. Rows where either score is NaN are left out. Skill has no unit; 1 is perfect, 0 is no gain.

    Interval, of coverage ``level``: families are drawn with replacement, then runs within each drawn family, the same
    for both forecasters; bias-corrected and accelerated (Efron 1987, doi:10.1080/01621459.1987.10478410), the
    acceleration from leaving out one unit at a time; widened for few units by Student's quantile and sqrt(u / (u - 1))
    (Hesterberg 2015, doi:10.1080/00031305.2015.1089789). A unit is a family, or a run where there is one family.
    Drawing at both stages counts the variation of runs within families twice, so where that dominates, the interval
    is too wide (Davison and Hinkley 1997, section 3.8, doi:10.1017/CBO9780511802843). NaN with a single run.

    p_value: one-sided test of the mean difference over units by flipping signs; all 2^units patterns up to 12 units,
    else 10,000 at random, the observed one among them (Phipson and Smyth 2010, doi:10.2202/1544-6115.1585).

    Where the reference is perfect (0): 0 if the model is too, else -inf. NaN where the reference is below 0. The answer
    does not change with the order of rows, nor with the names of runs and families, nor with ``lots``: those of an
    earlier call save drawing the same numbers again.

    >>> found = skill(np.array([1.0, 2.0, 2.0]), np.array([2.0, 4.0, 3.0]), np.arange(3), np.arange(3), seed=0)
    >>> round(found.skill, 3), round(found.p_value, 3), verdict(found)
    (0.444, 0.125, 'too few runs to say')
    """
    if not 0 < level < 1:
        raise ValueError(f"level is the coverage of an interval, in (0, 1), got {level}")
    means, size = _run_means(np.stack(_same_length(model, reference, run, family)[:2], axis=1), run, family)
    n_runs, n_families = len(means), len(size)
    if n_runs == 0:
        return Skill(np.nan, np.nan, np.nan, np.nan, 0, 0)
    units = _family_means(means, size) if n_families > 1 else means
    value = float(_saved(units.mean(axis=0)))
    lots = lots or Lots()
    low = high = np.nan
    if n_runs > 1 and not np.isnan(value):
        replicates = _saved(_resampled(means, size, lots.counts(seed, size, resamples)))
        left_out = _saved((units.sum(axis=0) - units) / (len(units) - 1))
        low, high = _accelerated(value, replicates, left_out, level)
    return Skill(value, low, high, _sign_flip(units[:, 1] - units[:, 0], lots, seed), n_runs, n_families)


def macro_mean(score: np.ndarray, run: np.ndarray, family: np.ndarray) -> float:
    """Mean over rows within each run, then over runs within each family, then over families.

    score, run, family (n,) -> one number in the units of the score. Rows where the score is NaN are left out; NaN
    where none is left.

    >>> round(macro_mean(np.array([1.0, 3.0, 6.0, 8.0]), np.array([*"aabc"]), np.array([*"xxxy"])), 1)
    6.0
    """
    means, size = _run_means(_same_length(score, run, family)[0][:, None], run, family)
    return float(_family_means(means, size).mean()) if len(size) else np.nan


def verdict(skill: Skill) -> str:
    """What may be said about a metric at a cutoff: predictable here, not predictable here, or too few runs to say.

    Units are families, or runs where there is one family; the word then holds for that family alone. With fewer than
    5 units no data could give p < 0.05 by flipping signs (2^-4 > 0.05), so nothing may be said. Below 20 units a
    bootstrap interval holds the truth a little too seldom to be trusted alone, so both low > 0 and p < 0.05 are asked
    for; from 20 units on, low > 0. NaN is never predictable.

    >>> verdict(Skill(0.4, 0.1, 0.6, 0.03, n_runs=18, n_families=6))
    'predictable here'
    """
    units = skill.n_families if skill.n_families > 1 else skill.n_runs
    if units < FEWEST:
        return TOO_FEW
    sure = skill.low > 0 and (units >= MANY or skill.p_value < 0.05)
    return PREDICTABLE if sure else NOT_PREDICTABLE


def _saved(pair: np.ndarray) -> np.ndarray:
    """(..., 2) scores of model and reference -> (...) share of the reference's score that is saved."""
    model, reference = pair[..., 0], pair[..., 1]
    positive = reference > 0
    ratio = 1 - model / np.where(positive, reference, 1)
    perfect = np.where(model <= reference, 0.0, -np.inf)
    return np.where(positive, ratio, np.where(reference == 0, perfect, np.nan))


def _run_means(scores: np.ndarray, run: np.ndarray, family: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, k) -> run means (r, k), runs of one family side by side, and family sizes (f,).

    Rows, runs and families are put in the order of their values before any sum and any random number, so that neither
    the order of rows nor the names of runs can change the answer.
    """
    keep = ~np.isnan(scores).any(axis=1)
    scores, run, family = scores[keep], np.asarray(run)[keep], np.asarray(family)[keep]
    if np.isinf(scores).any():
        raise ValueError("scores must be finite, or NaN where there is none; got an infinite one")
    if not len(scores):
        return scores, np.zeros(0, dtype=int)
    of_row, of_family = _codes(run), _codes(family)
    home = np.full(of_row.max() + 1, -1)
    home[of_row] = of_family
    if (astray := home[of_row] != of_family).any():
        raise ValueError(f"a run belongs to one family; {run[astray].tolist()[0]!r} is in more than one")
    order = np.lexsort((*scores.T, of_row))
    means = _means(scores[order], of_row[order])
    order = np.lexsort((*means.T, home))
    means, home = means[order], home[order]
    size = np.bincount(home)
    rank = np.empty(len(size), dtype=int)
    rank[np.lexsort((size, *_means(means, home).T))] = np.arange(len(size))
    return means[np.argsort(rank[home], kind="stable")], size[np.argsort(rank)]


def _family_means(means: np.ndarray, size: np.ndarray) -> np.ndarray:
    return _means(means, np.repeat(np.arange(len(size)), size))


def _means(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    sums = [np.bincount(group, weights=column) for column in values.T]
    return np.stack(sums, axis=1) / np.bincount(group)[:, None]


def _codes(labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind in "iu":
        return np.unique(labels, return_inverse=True)[1]
    # A dictionary, not np.unique: labels may be of any hashable type, and sorting strings is slow.
    seen: dict[object, int] = {}
    return np.array([seen.setdefault(label, len(seen)) for label in labels.tolist()], dtype=int)


def _rngs(seed: int) -> list[np.random.Generator]:
    return np.random.default_rng(seed).spawn(2)


def _kept(some: dict[Key, np.ndarray], key: Key, make: Callable[[], np.ndarray]) -> np.ndarray:
    """What is kept under a key, else what ``make`` gives; the oldest goes where there are too many."""
    if key not in some:
        if len(some) >= _KEPT:
            del some[next(iter(some))]
        some[key] = make()
    return some[key]


def _counts(rng: np.random.Generator, size: np.ndarray, resamples: int) -> np.ndarray:
    """Families drawn with replacement, and runs drawn within each drawn family: how often each run, (resamples, r)."""
    total = int(size.sum())
    start = np.cumsum(size) - size
    block = max(1, 2_000_000 // total)  # bounds the memory
    found = []
    for first in range(0, resamples, block):
        drawn = rng.integers(len(size), size=(min(block, resamples - first), len(size)))
        count = np.zeros(len(drawn) * total, dtype=np.intp)
        for n in np.unique(size):  # families of one size at a time: no ragged array
            row, column = np.nonzero(size[drawn] == n)
            begin = row * total + start[drawn[row, column]]
            picked = begin[:, None] + rng.integers(n, size=(len(row), n))
            count += np.bincount(picked.ravel(), minlength=len(count))
        found.append(count.reshape(len(drawn), total).astype(np.uint16 if total < 65_536 else np.uint32))
    return np.concatenate(found)


def _resampled(means: np.ndarray, size: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Macro means (resamples, k) of run means (r, k), each drawn so many times (resamples, r)."""
    share = means / (np.repeat(size, size) * len(size))[:, None]
    block = max(1, 200_000 // len(means))
    parts = (counts[first : first + block].astype(float) for first in range(0, len(counts), block))
    # A column at a time, so that equal columns have equal sums.
    return np.concatenate([np.stack([part @ column for column in share.T], axis=1) for part in parts])


def _accelerated(value: float, replicates: np.ndarray, left_out: np.ndarray, level: float) -> tuple[float, float]:
    ordered = np.sort(replicates[~np.isnan(replicates)])
    if not len(ordered):
        return np.nan, np.nan
    below = ((ordered < value).sum() + 0.5 * (ordered == value).sum() + 0.5) / (len(ordered) + 1)
    bias = ndtri(below)
    acceleration = 0.0
    if np.isfinite(left_out).all() and np.ptp(left_out) > 0:
        pull = left_out.mean() - left_out
        pull = pull / np.abs(pull).max()
        acceleration = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    n = len(left_out)
    z = bias + np.sqrt(n / (n - 1)) * stdtrit(n - 1, [(1 - level) / 2, (1 + level) / 2])
    # |acceleration| <= 1/6 by its form; the floor matters only for levels beyond 0.99.
    share = ndtr(bias + z / np.maximum(1 - acceleration * z, 0.1))
    low, high = ordered[np.clip(np.rint(share * (len(ordered) - 1)).astype(int), 0, len(ordered) - 1)]
    return float(low), float(high)


def _sign_flip(gain: np.ndarray, lots: Lots, seed: int) -> float:
    """Share of sign patterns, the observed one among them, whose summed gain (units,) is at least the observed."""
    n = len(gain)
    enough = gain.sum() - 1e-12 * np.abs(gain).sum()  # sums that differ by rounding are ties
    if n <= _EXACT:
        patterns = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float(((1 - 2 * patterns) @ gain >= enough).mean())
    signs = lots.signs(seed, n)
    # Eight units at a time: what each of the 256 patterns of a byte sums to is looked up.
    eights = np.concatenate([gain, np.zeros(-n % 8)]).reshape(-1, 8)
    of_byte = (eights @ (1 - 2 * ((np.arange(256) >> np.arange(8)[:, None]) & 1))).ravel()
    first = 256 * np.arange(len(eights))
    block = max(1, 200_000 // len(eights))
    hits = 1
    for begin in range(0, len(signs), block):
        hits += int((of_byte[signs[begin : begin + block] + first].sum(axis=1) >= enough).sum())
    return hits / _FLIPS


def _same_length(*columns: np.ndarray) -> list[np.ndarray]:
    arrays = [np.asarray(column) for column in columns]
    if any(array.shape != arrays[0].shape or array.ndim != 1 for array in arrays):
        raise ValueError(f"expected columns of one length (n,), got {[array.shape for array in arrays]}")
    return [array.astype(float) if i < len(arrays) - 2 else array for i, array in enumerate(arrays)]

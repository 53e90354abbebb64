"""What pairs say of a run that is not among them: an effect with its distribution, and what stands behind it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from predictdyn.effects.columns import SIZE, Moment, standard
from predictdyn.effects.pairs import Pairs
from predictdyn.fitting.crossfit import ConformalPrediction, Examples, crossfit
from predictdyn.fitting.family_weights import family_weights
from predictdyn.fitting.ridge import ShrunkenRidge
from predictdyn.forecast import seed_for

FOLDS = 10
NEAR = 0.05  # of the run: an intervention that starts further from all that were seen is said to
LEVEL = 0.9
SMOOTH = 0.25  # a kernel's width in units of the spread of errors


class Support(NamedTuple):
    """What stands behind an effect: the mean over families with its 90 % interval, in the metric's units, and words."""

    mean: float
    low: float
    high: float
    n_pairs: int
    n_families: int
    paired: bool
    words: str


NOTHING = Support(np.nan, np.nan, np.nan, 0, 0, False, "no effect known: too few runs with it")
BEFORE = Support(0.0, 0.0, 0.0, 0, 0, False, "before the intervention")


def expected(shown: Pairs, at: np.ndarray, *, seed: int) -> ConformalPrediction:
    """The latent effect on runs with columns ``at`` (m, p), by a `ShrunkenRidge` that families left out judge.

    >>> rng = np.random.default_rng(0)
    >>> known = np.stack([np.zeros(40), rng.standard_normal(40)], axis=1)
    >>> effect = -1 + 0.5 * known[:, 1] + 0.1 * rng.standard_normal(40)
    >>> shown = Pairs(effect, effect, known, np.arange(40), np.full(40, 0.5), True)
    >>> expected(shown, np.array([[0.0, 1.0]]), seed=0).point.round(1).tolist()
    [-0.5]
    """
    made = standard(shown.columns)
    size = shown.columns[:, :SIZE], at[:, :SIZE]
    known = tuple(np.where(np.isfinite(part), part, np.nan_to_num(_mean(size[0]))) for part in size)
    return crossfit(
        lambda family, _: ShrunkenRidge(family),
        Examples(made(shown.columns), shown.difference, _units(shown)), made(at), (known[0], known[1]),
        folds=FOLDS, seed=seed,
    )  # fmt: skip


def drawn(effect: ConformalPrediction, row: int, n: int, *, seed: int) -> np.ndarray:
    r"""Draws (n,) of the latent effect on one of the runs that it was expected for.

    .. math:: \hat e + s \, (\sqrt{1 + 1/f} \; \epsilon_i + h \, \sigma t), \quad t \sim t_{f-1}

    A smoothed bootstrap of the errors :math:`\epsilon`, of root mean square :math:`\sigma`, on the f families left out
    in turn, every family counting alike. `fitting.crossfit.errors` gives one draw in f + 1 to a tail beyond the last
    error: with a handful of families, of which each shows many arms, that is far too often.
    """
    rng = np.random.default_rng(seed_for(seed, "effect"))
    chance, f = family_weights(effect.family), len(np.unique(effect.family))
    spread = np.sqrt(float(chance @ effect.error**2))
    error = np.sqrt(1 + 1 / f) * rng.choice(effect.error, size=n, p=chance)
    return effect.point[row] + effect.size[row] * (error + SMOOTH * spread * rng.standard_t(f - 1, size=n))


def supported(shown: Pairs, moment: Moment) -> Support:
    """The mean change over families, each counting alike, with Student's interval; over arms where there is one family.

    >>> change, half = np.array([0.1, 0.2, 0.1, 0.2]), np.full(4, 0.5)
    >>> shown = Pairs(change, change, np.zeros((4, 2)), np.arange(4), half, True)
    >>> supported(shown, Moment(0.5, 0.5, 1.0)).words
    'paired runs support it: 4 pairs in 4 families, interval excludes zero'
    """
    units = _units(shown)
    change = np.array([shown.change[units == unit].mean() for unit in dict.fromkeys(units)])
    mean, f = float(change.mean()), len(change)
    half = float(stdtrit(f - 1, (1 + LEVEL) / 2) * change.std(ddof=1) / np.sqrt(f))
    low, high = mean - half, mean + half
    n, families = len(shown.change), len(set(shown.family))
    what, homes = "pairs" if shown.paired else "runs with it", "family" if families == 1 else "families"
    counted = f"{n} {what} in {families} {homes}"
    excludes = low > 0 or high < 0
    if not shown.paired:
        words = f"predicted, not causal: {counted}, none beside its baseline run"
    elif excludes:
        words = f"paired runs support it: {counted}, interval excludes zero"
    else:
        words = f"paired runs show no sure effect: {counted}, interval includes zero"
    first, last = float(shown.start.min()), float(shown.start.max())
    if not first - NEAR <= moment.start <= last + NEAR:
        words += f"; none starts near {moment.start:.0%} of the run (they start from {first:.0%} to {last:.0%})"
    return Support(mean, low, high, n, families, shown.paired, words)


def _units(shown: Pairs) -> np.ndarray:
    """What counts alike and is left out together: families (m,), or arms where there is one family."""
    return shown.family if len(set(shown.family)) > 1 else np.arange(len(shown.family))


def _mean(columns: np.ndarray) -> np.ndarray:
    known = np.isfinite(columns)
    return np.where(known, columns, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)

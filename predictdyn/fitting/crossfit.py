r"""A regression that knows how wrong it is: errors on families it has not seen, and how their size varies.

Families are dealt into folds; each is answered by a regression on the others. The size of these errors is itself
regressed on a few numbers, :math:`\ln |e| = b_0 + b' r`, and an answer has the distribution of the errors over their
size, times its own size, every family counting alike. That is split conformal prediction with normalised residuals
(Lei et al. 2018, doi:10.1080/01621459.2017.1307116): of f families, one in f + 1 answers is further off than any
error so far, and a tail stands for those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from scipy.special import stdtrit

from predictdyn.fitting.family_weights import family_weights

LARGEST = 4.0  # an answer is at most so many times as unsure as the typical one, or as sure
PULL = 0.1  # of the regression of sizes towards none, in units of its rows
TAIL = 3.0  # degrees of freedom beyond the largest error


class Regressor(Protocol):
    """What scikit-learn's regressors are."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> object:
        """Learn from rows x (n, p) and answers y (n,)."""
        ...

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Answers (m,) for rows (m, p)."""
        ...


@runtime_checkable
class OutOfBag(Protocol):
    """A regression of many parts, some of which can be fitted without a family."""

    def out_of_bag(self, x: np.ndarray, y: np.ndarray, family: np.ndarray, *, folds: int) -> np.ndarray:
        """Answers (n,) to rows (n, p) by parts that have not seen their family, of answers and families (n,)."""
        ...


Make = Callable[[np.ndarray, int], Regressor]  # families (n,) of the rows it will be fitted on, seed


class Examples(NamedTuple):
    """What is known x (n, p), what is answered y (n,), and the family (n,) of each row."""

    x: np.ndarray
    y: np.ndarray
    family: np.ndarray

    def of(self, keep: np.ndarray) -> Examples:
        """The rows for which ``keep`` (n,) is true."""
        return Examples(self.x[keep], self.y[keep], self.family[keep])


class ConformalPrediction(NamedTuple):
    """Answers (m,), their sizes of error (m,), the errors over their size (n,), and the families (n,) they are of."""

    point: np.ndarray
    size: np.ndarray
    error: np.ndarray
    family: np.ndarray

    @staticmethod
    def of(
        point: np.ndarray, off: np.ndarray, family: np.ndarray, before: np.ndarray, now: np.ndarray
    ) -> ConformalPrediction:
        """Answers (m,) with what such answers were off (n,) on families (n,) left out.

        The size of an error depends on ``before`` (n, q) there, and on ``now`` (m, q) here.
        """
        size, here = _sizes(np.abs(off), (before, now))
        return ConformalPrediction(point, here, off / size, family)

    def without(self, family: str) -> ConformalPrediction:
        """The same answers, without the errors on one family."""
        keep = self.family != family
        return self._replace(error=self.error[keep], family=self.family[keep]) if keep.any() else self


def crossfit(
    make: Make, rows: Examples, at: np.ndarray, rough: tuple[np.ndarray, np.ndarray], *, more: Sequence[Examples] = (),
    folds: int, seed: int,
) -> ConformalPrediction:  # fmt: skip
    """Answers at rows ``at`` (m, p) from n rows.

    ``rough``: what the size of an error may depend on, (n, q) and (m, q). ``more`` rows of the same families are learnt
    from too, but not judged by.

    >>> from sklearn.linear_model import LinearRegression
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((200, 1))
    >>> y = 2 * x[:, 0] + 0.1 * rng.standard_normal(200)
    >>> nothing = np.zeros((200, 0)), np.zeros((1, 0))
    >>> rows = Examples(x, y, np.arange(200))
    >>> made = crossfit(lambda *_: LinearRegression(), rows, np.ones((1, 1)), nothing, folds=5, seed=0)
    >>> float(made.point[0].round(1)), float(np.std(made.size * made.error).round(1))
    (2.0, 0.1)
    """
    every = Examples(*(np.concatenate(part) for part in zip(rows, *more, strict=True)))
    off = rows.y - left_out(make, rows, every, folds=folds, seed=seed)
    return ConformalPrediction.of(learnt(make, every, seed).predict(at), off, rows.family, *rough)


def left_out(make: Make, rows: Examples, every: Examples, *, folds: int, seed: int) -> np.ndarray:
    """Answers to rows by regressions on what ``every`` row says of the other folds of families, shaped like rows.y.

    ``every`` begins with ``rows``. A regression that is `OutOfBag` deals families into folds again and again.
    """
    one = make(every.family, seed)
    if isinstance(one, OutOfBag):
        return one.out_of_bag(every.x, every.y, every.family, folds=folds)[: len(rows.y)]
    names = np.random.default_rng(seed).permutation(np.unique(rows.family))
    out = np.empty(rows.y.shape)
    for fold in range(min(folds, len(names))):
        test = names[fold::folds]
        mine = np.isin(rows.family, test)
        out[mine] = learnt(make, every.of(~np.isin(every.family, test)), seed).predict(rows.x[mine])
    return out


def learnt(make: Make, rows: Examples, seed: int) -> Regressor:
    """A regression fitted on rows."""
    one = make(rows.family, seed)
    one.fit(rows.x, rows.y)
    return one


def _sizes(off: np.ndarray, rough: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Typical errors (n,) and (m,) by ridge regression of the logarithm of errors (n,), in the units of the errors."""
    middle = max(float(np.median(off)), 1e-12)
    log = np.log(np.maximum(off, 0.1 * middle) / middle)
    mean, sd = rough[0].mean(axis=0), np.maximum(rough[0].std(axis=0), 1e-12)
    before, now = (np.clip((part - mean) / sd, -3.0, 3.0) for part in rough)
    gram = before.T @ before + PULL * len(off) * np.eye(before.shape[1])
    slope = np.linalg.solve(gram, before.T @ (log - log.mean()))
    limit = np.log(LARGEST)
    typical, here = (middle * np.exp(np.clip(part @ slope, -limit, limit)) for part in (before, now))
    return typical, here


def errors(answers: ConformalPrediction, uniforms: np.ndarray, tails: np.ndarray) -> np.ndarray:
    """Errors (s,) in units of their size, at ``uniforms`` (s,) of their distribution; ``tails`` (s,) uniform, too.

    Between the errors it is interpolated; beyond the last of f families, on either side half of 1 / (f + 1), it goes
    on as the positive half of Student's t, in units of the standard deviation of the errors.
    """
    order = np.argsort(answers.error, kind="stable")
    error, weight, f = answers.error[order], family_weights(answers.family)[order], len(np.unique(answers.family))
    beyond = 0.5 / (f + 1)
    middle = beyond + (1 - 2 * beyond) * (np.cumsum(weight) - weight / 2)
    found = np.interp(uniforms, middle, error)
    # Quantiles of Student's t are dear, and few lie beyond.
    below, above = uniforms < beyond, uniforms > 1 - beyond
    out = below | above
    further = float(np.sqrt(np.sum(weight * error**2))) * stdtrit(TAIL, 0.5 + tails[out] / 2)
    found[out] = np.where(below[out], error[0] - further, error[-1] + further)
    return found

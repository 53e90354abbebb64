r"""Several answers at once, whose errors stay together: a blend of regressions, and lots that move as its errors did.

Each answer has the distribution of its own errors, as in `crossfit`. Lots of the answers come from the same row i,
drawn with its weight :math:`w_i` (every family counts alike), each at a place of its own within the cell of the row,

.. math:: \lambda_k = \sum_{j: e_{jk} \le e_{ik}} w_j - w_i v_k, \qquad v_k \sim U(0, 1)

so every :math:`\lambda_k` is uniform and their ranks move together as the errors on families left out did: the
empirical checkerboard copula (Genest, Neslehova and Remillard 2014, Bernoulli 20, 1344-1371).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictdyn.fitting.crossfit import Answers, Examples, Make, learnt, left_out, with_errors
from predictdyn.fitting.voices import voices

BLENDS = (0.0, 0.5, 1.0)  # shares of the second regression


def paired(
    makes: tuple[Make, Make], rows: Examples, at: np.ndarray, rough: Sequence[tuple[np.ndarray, np.ndarray]], *,
    folds: int, seed: int,
) -> tuple[Answers, ...]:  # fmt: skip
    """Each of d answers at rows ``at`` (m, p), from rows with y (n, d); errors row by row.

    ``makes``: two regressions with d answers, fitted in units of their standard deviations; for each answer that one
    serves which is nearer on families left out, or the mean of both. ``rough``: for each answer as in `crossfit`.

    >>> from sklearn.linear_model import LinearRegression
    >>> rng = np.random.default_rng(0)
    >>> x, error = rng.standard_normal((200, 1)), rng.standard_normal((200, 1))
    >>> nothing = np.zeros((200, 0)), np.zeros((1, 0))
    >>> linear = lambda *_: LinearRegression()
    >>> rows = Examples(x, np.hstack([x + error, x - error]), np.arange(200))
    >>> one, two = paired((linear, linear), rows, np.ones((1, 1)), [nothing] * 2, folds=5, seed=0)
    >>> float(np.corrcoef(one.error, two.error)[0, 1].round(2))
    -1.0
    """
    y, family = rows.y, rows.family
    unit = np.maximum(y.std(axis=0), 1e-12)
    scaled = rows._replace(y=y / unit)
    voice = voices(family)
    outs, points = [], []
    for make in makes:
        outs.append(left_out(make, scaled, scaled, folds=folds, seed=seed))
        points.append(learnt(make, scaled, seed).predict(at))
    answers = []
    for k in range(y.shape[1]):
        tried = [(1 - part) * outs[0][:, k] + part * outs[1][:, k] for part in BLENDS]
        best = int(np.argmin([voice @ np.abs(y[:, k] / unit[k] - out) for out in tried]))
        point = (1 - BLENDS[best]) * points[0][:, k] + BLENDS[best] * points[1][:, k]
        answers.append(with_errors(unit[k] * point, y[:, k] - unit[k] * tried[best], family, rough[k]))
    return tuple(answers)


def paired_lots(answers: Sequence[Answers], rows: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Lots (d, s) for `crossfit.errors`, one row for each of d answers; ``rows`` (s,), ``within`` (d, s) in (0, 1).

    >>> one = Answers(np.zeros(1), np.ones(1), np.array([-1.0, 0.0, 1.0]), np.arange(3))
    >>> two = one._replace(error=np.array([5.0, 4.0, 3.0]))
    >>> paired_lots([one, two], np.array([0.1, 0.9]), np.full((2, 2), 0.5)).round(2).tolist()
    [[0.17, 0.83], [0.83, 0.17]]
    """
    weight = voices(answers[0].family)
    drawn = np.minimum(np.searchsorted(np.cumsum(weight), rows), len(weight) - 1)
    found = []
    for one, inside in zip(answers, within, strict=True):
        order = np.argsort(one.error, kind="stable")
        top = np.empty(len(weight))
        top[order] = np.cumsum(weight[order])
        found.append(top[drawn] - weight[drawn] * inside)
    return np.stack(found)

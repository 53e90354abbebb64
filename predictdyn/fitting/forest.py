"""Averages of randomised trees, as arrays: what was learnt can be kept beside other numbers, and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

LEAF = -1  # instead of a column
TIMES_OUT = 24  # trees that answer for a family they have not seen


class Trees(NamedTuple):
    """Trees one after the other, each node before its left child and that before all others: (nodes,) each.

    A row goes left where its column is at most ``threshold``. ``right`` is how far away the right child is; the left
    one is next. ``value`` is the answer of a leaf.
    """

    column: np.ndarray
    threshold: np.ndarray
    right: np.ndarray
    value: np.ndarray
    root: np.ndarray  # (trees,) the first node of each


@dataclass
class Forest:
    """Extremely randomised trees: Geurts et al. 2006, doi:10.1007/s10994-006-6226-1.

    Trees are those of scikit-learn's `ExtraTreesRegressor`, to the last bit; they are asked here, and need no
    scikit-learn once they are learnt.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.random((200, 2))
    >>> one = Forest(trees=30, leaf=5, share=1.0, seed=0).fit(x, 3 * x[:, 0])
    >>> again = Forest.from_arrays(one.arrays())
    >>> float(again.predict(np.array([[0.5, 0.5]]))[0].round(1))
    1.5
    """

    trees: int
    leaf: int  # rows of a leaf, at least
    share: float  # of columns that are tried at a node
    seed: int

    def fit(self, x: np.ndarray, y: np.ndarray) -> Forest:
        """Learn from rows (n, p) and answers (n,)."""
        rows, answers = _ready(x, y)
        everything = np.ones(len(rows), dtype=bool)
        self._found = self._grown(rows, answers, [everything] * self.trees)
        return self

    def out_of_bag(self, x: np.ndarray, y: np.ndarray, family: np.ndarray, *, folds: int) -> Float[np.ndarray, " n"]:
        """Answers (n,) to rows (n, p) by trees that did not learn from their family, of answers and families (n,).

        Families are dealt into ``folds`` `TIMES_OUT` times, and a tree is grown without each fold: out-of-bag
        estimates (Breiman 1996) with families for rows. What `fit` has learnt stays as it is.
        """
        rows, answers = _ready(x, y)
        names, number = np.unique(family, return_inverse=True)
        folds = min(folds, len(names))
        if folds < 2:
            raise ValueError(f"trees without a family need two families and folds at least, found {folds}")
        rng = np.random.default_rng(self.seed)
        dealt = [(rng.permutation(len(names)) % folds)[number] for _ in range(TIMES_OUT)]
        kept = [one != fold for one in dealt for fold in range(folds)]
        each = _each(self._grown(rows, answers, kept), rows)
        return np.asarray(np.where(kept, 0.0, each).sum(axis=0) / TIMES_OUT)

    def _grown(self, rows: np.ndarray, answers: np.ndarray, kept: Sequence[np.ndarray]) -> Trees:
        """A tree for each mask (n,) of the rows that it learns from."""
        from sklearn import config_context
        from sklearn.tree import ExtraTreeRegressor

        # A forest of scikit-learn's prepares the same table for each tree, which takes as long as small trees do.
        lots, state = np.random.RandomState(self.seed), np.random.RandomState(0)
        columns = np.ascontiguousarray(rows.T)  # rows are taken fastest along the last axis
        grown = []
        with config_context(skip_parameter_validation=True):
            for keep in kept:
                # Seeding one generator again is as good as a new one for each tree, which is dear.
                state.seed(lots.randint(np.iinfo(np.int32).max))
                one = ExtraTreeRegressor(min_samples_leaf=self.leaf, max_features=self.share, random_state=state)
                mine = np.flatnonzero(keep)
                part = (rows, answers) if len(mine) == len(rows) else (columns[:, mine].T, answers[mine])
                grown.append(one.fit(*part, check_input=False).tree_)
        return _joined(grown)

    def predict(self, x: np.ndarray) -> Float[np.ndarray, " m"]:
        """Answers (m,) for rows (m, p)."""
        values = _each(self._found, np.asarray(x, dtype=np.float32))
        total = np.zeros(values.shape[1])
        for value in values:  # one after the other, so that the last digits are scikit-learn's
            total += value
        return total / len(values)

    def arrays(self) -> dict[str, np.ndarray]:
        """What was learnt, by name: of a node column, threshold and right child, of a leaf its value."""
        found = self._found
        inner = found.column != LEAF
        return {
            "column": np.where(inner, found.column, LEAF).astype(np.int16 if found.column.max() < 2**15 else np.int32),
            "threshold": found.threshold[inner], "right": found.right[inner].astype(np.int32),
            "value": found.value[~inner], "root": found.root.astype(np.int32),
        }  # fmt: skip

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> Forest:
        """Back from `arrays`: it answers as before."""
        column = arrays["column"].astype(np.intp)
        inner, n = column != LEAF, len(column)
        threshold, value, right = np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.intp)
        threshold[inner], right[inner], value[~inner] = arrays["threshold"], arrays["right"], arrays["value"]
        made = Forest(len(arrays["root"]), 1, 1.0, 0)
        made._found = Trees(column, threshold, right, value, arrays["root"].astype(np.intp))
        return made


def _each(found: Trees, rows: np.ndarray) -> Float[np.ndarray, "trees m"]:
    """The answer of each tree to rows (m, p)."""
    node = np.repeat(found.root[:, None], len(rows), axis=1)  # (trees, m)
    tree, row = np.nonzero(found.column[node] != LEAF)
    while len(tree):
        at = node[tree, row]
        left = rows[row, found.column[at]] <= found.threshold[at]
        at = at + np.where(left, 1, found.right[at])
        node[tree, row] = at
        inner = found.column[at] != LEAF
        tree, row = tree[inner], row[inner]
    return np.asarray(found.value[node])


def _ready(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and answers as trees of scikit-learn's take them."""
    rows, answers = np.asfortranarray(x, dtype=np.float32), np.ascontiguousarray(y, dtype=float)[:, None]
    if not rows.shape[1] or not np.isfinite(rows).all() or not np.isfinite(answers).all():
        raise ValueError("trees need at least one column, and finite numbers")
    return rows, answers


def _joined(grown: list[Any]) -> Trees:
    """Trees of scikit-learn's as arrays."""
    count = np.array([tree.node_count for tree in grown], dtype=np.intp)
    inner = np.concatenate([tree.children_left for tree in grown]) >= 0
    column = np.where(inner, np.concatenate([tree.feature for tree in grown]), LEAF).astype(np.intp)
    right = np.concatenate([tree.children_right - np.arange(tree.node_count) for tree in grown])
    value = np.concatenate([tree.value[:, 0, 0] for tree in grown])
    threshold = np.concatenate([tree.threshold for tree in grown])
    return Trees(column, threshold, np.where(inner, right, 0), value, np.cumsum(count) - count)

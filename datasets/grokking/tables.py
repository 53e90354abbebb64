"""What is learnt: multiplication tables of 38 elements, split into pairs to train on and pairs held out.

Both groups have 38 = 2 x 19 elements, so table size, chance level and number of classes agree and only the law differs:
addition modulo 38 commutes, the symmetries of the regular 19-gon do not.
"""

from typing import NamedTuple

import numpy as np
from recipes import Recipe

ORDER = 38
CORNERS = ORDER // 2


class Table(NamedTuple):
    """One operation and its split, all (1444,); pair (a, b) stands in row 38 a + b."""

    result: np.ndarray  # a * b, by the operation
    given: np.ndarray  # the same, but with wrong labels for some training pairs
    trained: np.ndarray  # bool: whether the pair is trained on


def table(recipe: Recipe, rng: np.random.Generator) -> Table:
    """The table of one run: the training pairs, and among them the wrong labels, are drawn without replacement."""
    result = results(recipe.operation, rng)
    size = round(recipe.train_fraction * len(result))
    rows = rng.permutation(len(result))[:size]
    given, trained = result.copy(), np.zeros(len(result), bool)
    trained[rows] = True
    wrong = rows[: round(recipe.label_noise * size)]
    given[wrong] = (given[wrong] + rng.integers(1, ORDER, len(wrong))) % ORDER  # uniform over the 37 others
    return Table(result, given, trained)


def results(operation: str, rng: np.random.Generator) -> np.ndarray:
    """a * b for all pairs, (1444,).

    addition: a + b modulo 38. dihedral: element k + 19 e is a rotation by k corners, after a reflection if e = 1, so
    (k, e) * (n, f) = (k + (-1)^e n mod 19, e + f mod 2). random: every result drawn at random.
    """
    a, b = np.divmod(np.arange(ORDER**2), ORDER)
    if operation == "addition":
        return (a + b) % ORDER
    if operation == "dihedral":
        (e, k), (f, n) = np.divmod(a, CORNERS), np.divmod(b, CORNERS)
        return (k + (1 - 2 * e) * n) % CORNERS + CORNERS * ((e + f) % 2)
    return rng.integers(ORDER, size=ORDER**2)

"""Structures of laws: sums and products of powers of the inputs, generated from the inputs, each with its priors.

Every structure is one formula, u = ln sum_k exp(a_k . f_k(x)) + b . g(x): a sum of terms, each a product of powers
of features, times one more product. Floors, additive laws, interactions, optima and mixtures differ in their features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np

from predictdyn.laws.inputs import NONE_OF_IT, Encoded


class Monomial(NamedTuple):
    """A number made of the inputs: ``what`` and the places of the inputs that it is made of."""

    what: str  # "one", "log", "product" (of two logs), "share", "root", "log_share", "shares" (a product of two)
    of: tuple[int, ...] = ()


ONE = Monomial("one")
FLOOR, TERM, FACTOR = "floor", "term", "factor"


class Term(NamedTuple):
    """A summand: its role (a floor has its own prior) and its features."""

    role: str
    features: tuple[Monomial, ...]


class Saturation(NamedTuple):
    """An input that counts for less than it is: repeated data, or more of it than is of use.

    ``kind`` "repeat": u + u r (1 - exp(-(x/u - 1)/r)) for input x with unique part u (Muennighoff et al. 2023,
    arXiv:2305.16264); "limit": 1/(1/x + 1/r), r in parts of the largest x. ``strength`` is r.
    """

    kind: str
    of: tuple[int, ...]
    strength: float


@dataclass(frozen=True)
class Structure:
    """One row of the table of structures: its terms, a factor of all of them, and an input that saturates.

    ``tied``: the summands that are powers of one input each share one exponent (Gadre et al. 2024, arXiv:2403.08540).
    """

    name: str
    terms: tuple[Term, ...]
    factor: tuple[Monomial, ...] = ()
    saturation: Saturation | None = None
    tied: bool = False


def untied(structure: Structure, among: Iterable[Structure]) -> Structure:
    """The one of some structures that is the same with exponents of its own; the structure itself where it has them."""
    return next((one for one in among if one == replace(structure, name=one.name, tied=False)), structure)


REPEATS = (2.0, 5.0, 15.0, 40.0)
LIMITS = (0.3, 2.0)
REPEATING = (0.05, 0.95)  # share of runs in which an input is larger than its unique part


def structures_for(encoded: Encoded, centres: np.ndarray) -> list[Structure]:
    """All structures for some inputs, simple ones first; rows (n,) of finished runs say which inputs can saturate.

    >>> some = Encoded(np.random.default_rng(0).normal(size=(9, 2)), np.zeros((9, 0)), np.zeros(9, dtype=int))
    >>> [one.name for one in structures_for(some, np.zeros(2))][:4]
    ['power', 'floor + powers', 'floor + tied powers', 'floor + product']
    """
    d, m = encoded.logs.shape[1], encoded.proportions.shape[1]
    if m:
        return list(_mixtures(d, m))
    if not d:
        return [Structure("constant", (Term(TERM, (ONE,)),))]
    return [*_powers(d), *_bowls(d), *_saturations(d), *_repeats(encoded.logs + centres)]


def _logs(d: int) -> tuple[Monomial, ...]:
    return tuple(Monomial("log", (i,)) for i in range(d))


def _crosses(d: int, of: int | None = None) -> tuple[Monomial, ...]:
    return tuple(Monomial("product", pair) for pair in combinations(range(d), 2) if of is None or of in pair)


def _squares(d: int) -> tuple[Monomial, ...]:
    return tuple(Monomial("product", (i, i)) for i in range(d))


def _sum(d: int, skip: tuple[int, ...] = ()) -> tuple[Term, ...]:
    return tuple(Term(TERM, (ONE, Monomial("log", (i,)))) for i in range(d) if i not in skip)


def _powers(d: int) -> Iterator[Structure]:
    floor, logs = Term(FLOOR, (ONE,)), _logs(d)
    product = Term(TERM, (ONE, *logs))
    yield Structure("power", (product,))
    yield Structure("floor + powers", (floor, *_sum(d)))
    if d == 2:
        yield Structure("floor + tied powers", (floor, *_sum(d)), tied=True)
    if d > 1:
        yield Structure("floor + product", (floor, product))
        yield Structure("floor + powers + product", (floor, *_sum(d), product))
        yield Structure("crossed", (Term(TERM, (ONE, *logs, *_crosses(d))),))
        yield Structure("floor + crossed", (floor, Term(TERM, (ONE, *logs, *_crosses(d)))))
        yield Structure("(floor + powers) x crossed", (floor, *_sum(d)), _crosses(d))
    yield Structure("quadratic", (Term(TERM, (ONE, *logs, *_squares(d), *_crosses(d))),))
    yield Structure("floor + quadratic", (floor, Term(TERM, (ONE, *logs, *_squares(d), *_crosses(d)))))
    yield Structure("(floor + powers) x squares", (floor, *_sum(d)), (*_squares(d), *_crosses(d)))
    if d > 1:
        for i in range(d):
            one = Term(TERM, (ONE, Monomial("log", (i,))))
            moved = Term(TERM, (ONE, *logs, *_crosses(d, i)))
            yield Structure(f"floor + power of {i} + moved exponents", (floor, one, moved))
            yield Structure(f"power of {i} + moved exponents", (one, moved))
    if d > 2:
        pairs = tuple(Term(TERM, (ONE, *(Monomial("log", (i,)) for i in pair))) for pair in combinations(range(d), 2))
        yield Structure("floor + products of pairs", (floor, *pairs))


def _bowls(d: int) -> Iterator[Structure]:
    """An optimum in one or two inputs whose place moves with the others (as rates and batches have)."""
    floor = Term(FLOOR, (ONE,))
    for size in (1, 2):
        for inside in combinations(range(d), size):
            if size == d:
                continue
            moved = {*_crosses(d, inside[0])} if size == 1 else {*_crosses(d, inside[0]), *_crosses(d, inside[1])}
            bowl = (
                *(Monomial("log", (i,)) for i in inside),
                *(Monomial("product", (i, i)) for i in inside),
                *sorted(moved),
            )
            name = " and ".join(map(str, inside))
            yield Structure(f"(floor + powers) x bowl in {name}", (floor, *_sum(d, inside)), bowl)
            outside = tuple(Monomial("log", (i,)) for i in range(d) if i not in inside)
            yield Structure(
                f"floor + powers + bowl in {name}", (floor, *_sum(d, inside), Term(TERM, (ONE, *outside, *bowl)))
            )


def _saturations(d: int) -> Iterator[Structure]:
    floor = Term(FLOOR, (ONE,))
    for i in range(d):
        for strength in LIMITS:
            how = Saturation("limit", (i,), strength)
            product = Term(TERM, (ONE, *_logs(d), *_crosses(d, i)))
            yield Structure(f"floor + crossed, {i} saturates at {strength:g}", (floor, product), (), how)
            yield Structure(f"crossed, {i} saturates at {strength:g}", (product,), (), how)


def _repeats(logs: np.ndarray) -> Iterator[Structure]:
    """Pairs of inputs of which one is a part of the other: as large in some runs, smaller in others, never larger."""
    floor, d = Term(FLOOR, (ONE,)), logs.shape[1]
    for i, unique in permutations(range(d), 2):
        more = logs[:, i] - logs[:, unique]
        if more.min() < -1e-6 or not REPEATING[0] <= (more > 0.01).mean() <= REPEATING[1]:
            continue
        rest = tuple(Monomial("log", (j,)) for j in range(d) if j != unique)
        crosses = tuple(one for one in _crosses(d) if unique not in one.of)
        for strength in REPEATS:
            how, said = Saturation("repeat", (i, unique), strength), f", {i} repeats {unique}, half-life {strength:g}"
            yield Structure(f"floor + powers{said}", (floor, *_sum(d, (unique,))), (), how)
            yield Structure(f"floor + crossed{said}", (floor, Term(TERM, (ONE, *rest, *crosses))), (), how)
            yield Structure(
                f"(floor + powers) x crossed{said}",
                (floor, *_sum(d, (unique,))),
                (*crosses, Monomial("log", (unique,))),
                how,
            )


def _mixtures(d: int, m: int) -> Iterator[Structure]:
    floor, logs = Term(FLOOR, (ONE,)), _logs(d)
    share, root, log_share = (tuple(Monomial(what, (j,)) for j in range(m)) for what in ("share", "root", "log_share"))
    pairs = tuple(Monomial("shares", pair) for pair in combinations(range(m), 2))
    own = tuple(Monomial("shares", (j, j)) for j in range(m))
    for name, features in {
        "shares": share,
        "roots": root,
        "logs": log_share,
        "shares and roots": (*share, *root),
        "shares and squares": (*share, *own),
        "shares and logs": (*share, *log_share),
        "shares and products": (*share, *own, *pairs),
    }.items():
        yield Structure(f"exp of {name}", (Term(TERM, (ONE, *logs, *features)),))
        yield Structure(f"floor + exp of {name}", (floor, Term(TERM, (ONE, *logs, *features))))
    yield Structure("floor + powers of shares", (floor, *(Term(TERM, (ONE, *logs, one)) for one in log_share)))


def saturated(structure: Structure, encoded: Encoded, centres: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Centred logs (n, d), the input that saturates replaced by what it counts for; largest logs (d,)."""
    how = structure.saturation
    if how is None:
        return encoded.logs
    logs = encoded.logs.copy()
    i = how.of[0]
    if how.kind == "limit":
        logs[:, i] = -np.logaddexp(-logs[:, i], -(largest[i] + np.log(how.strength)))
        return logs
    x, unique = logs[:, i] + centres[i], logs[:, how.of[1]] + centres[how.of[1]]
    more = np.maximum(np.expm1(np.minimum(x - unique, 50.0)), 0.0)
    # Where the input is below its unique part, nothing repeats and it counts as it is.
    counts = np.where(x > unique, unique + np.log1p(how.strength * -np.expm1(-more / how.strength)), x)
    logs[:, i] = counts - centres[i]
    return logs


def column(feature: Monomial, logs: np.ndarray, proportions: np.ndarray) -> np.ndarray:
    """A feature of each row, (n,)."""
    if feature.what == "one":
        return np.ones(len(logs))
    first = (logs if feature.what in ("log", "product") else proportions)[:, feature.of[0]]
    if feature.what == "root":
        return np.asarray(np.sqrt(np.maximum(first, 0.0)))
    if feature.what == "log_share":
        return np.asarray(np.log(np.maximum(first, 0.0) + NONE_OF_IT))
    if feature.what in ("product", "shares"):
        return np.asarray(first * (logs if feature.what == "product" else proportions)[:, feature.of[1]])
    return np.asarray(first)

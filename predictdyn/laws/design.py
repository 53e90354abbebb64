"""A structure over a table: the matrix of its features, the term of each column, and the prior of each number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from predictdyn.laws.inputs import Encoded
from predictdyn.laws.structures import FLOOR, ONE, Monomial, Structure, column, saturated

FACTOR_TERM = -1  # the column belongs to the factor of all terms
USUAL_SPREAD = 1.5  # sd of a log input for which the priors below are meant; narrower inputs have wider priors

# Prior (mean, sd) of the numbers of a structure, in units of u for a unit of the feature; bounds are not needed.
EXPONENT = (-0.2, 0.3)
CROSS = (0.0, 0.05)
SQUARE = (0.0, 0.02)
FACTOR_LOG = (0.0, 0.3)
FACTOR_SQUARE = (0.02, 0.05)
SHARE = {"share": (0.0, 1.5), "root": (0.0, 1.0), "log_share": (0.0, 0.3), "shares": (0.0, 1.5)}
OWN_LEVEL = {"floor": 0.3, "term": 0.5}  # sd of a group's own constant
MOST_COST = 2e8
OWN_SHARE = 0.3  # sd of a group's own exponent, in parts of the sd of the exponent
ALIKE = 0.9  # correlation of the exponents of summands: published pairs differ by about .1
TIED = 0.999  # where they are tied: they differ by a hundredth


# What groups have of their own: numbers of each term, the constants of terms, or one constant for all of them.
Pooling = Literal["numbers", "constants", "factor"]


class Scene(NamedTuple):
    """What is known of a table before a fit: moments of u, spread and largest of each log input, and its groups."""

    lowest: float  # of u
    mean: float  # of u
    spread: np.ndarray  # (d,)
    centres: np.ndarray  # (d,) mean logarithms, so that inputs can be compared with each other
    largest: np.ndarray  # (d,) centred
    groups: int
    pooling: Pooling


@dataclass(frozen=True)
class Design:
    """A structure made ready: k numbers to fit, each with the term that its column belongs to and its prior."""

    structure: Structure
    scene: Scene
    columns: tuple[tuple[Monomial, int], ...]  # feature, group (-1: of all)
    term: np.ndarray  # (k,)
    mean: np.ndarray  # (k,)
    sd: np.ndarray  # (k,)
    own: np.ndarray  # (k,) sd of what a group adds to it
    whitener: np.ndarray  # (k, k); whitener (numbers - mean) is a standard normal beforehand

    @property
    def precision(self) -> np.ndarray:
        """The inverse (k, k) of the prior's covariance."""
        return np.asarray(self.whitener.T @ self.whitener)

    @property
    def log_width(self) -> float:
        """Half the log determinant of the prior's covariance."""
        return -float(np.linalg.slogdet(self.whitener)[1])

    def away(self, numbers: np.ndarray) -> np.ndarray:
        """Half the squared distance of numbers (s, k) from the prior's mean, (s,), in its own units."""
        return np.asarray(0.5 * (((numbers - self.mean) @ self.whitener.T) ** 2).sum(axis=1))

    @property
    def n_terms(self) -> int:
        return len(self.structure.terms)

    def matrix(self, encoded: Encoded) -> np.ndarray:
        """The features of some rows, (n, k)."""
        logs = saturated(self.structure, encoded, self.scene.centres, self.scene.largest)
        kept: dict[Monomial, np.ndarray] = {}
        columns = []
        for feature, group in self.columns:
            if feature not in kept:
                kept[feature] = column(feature, logs, encoded.proportions)
            columns.append(kept[feature] if group < 0 else kept[feature] * (encoded.group == group))
        return np.stack(columns, axis=1)

    def values(self, matrix: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """u of each row (n,) for each set of numbers (s, k): (s, n)."""
        return self._parts(matrix, numbers)[0]

    def slopes(self, matrix: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """u (s, n) and its derivatives by the numbers (s, n, k)."""
        value, weight = self._parts(matrix, numbers)
        jacobian = np.where(self.term == FACTOR_TERM, 1.0, weight[:, :, np.maximum(self.term, 0)]) * matrix
        return value, jacobian

    def _parts(self, matrix: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        exponents = np.stack(
            [numbers[:, self.term == t] @ matrix[:, self.term == t].T for t in range(self.n_terms)], axis=2
        )
        top = exponents.max(axis=2, keepdims=True)
        weight = np.exp(exponents - top)
        total = weight.sum(axis=2, keepdims=True)
        factor = numbers[:, self.term == FACTOR_TERM] @ matrix[:, self.term == FACTOR_TERM].T
        return (top + np.log(total))[:, :, 0] + factor, weight / total


def pooling_for(rows: int, inputs: int, groups: int, structures: int) -> Pooling:
    """As much of groups' own as can be fitted in seconds: the cost is structures x rows x numbers^2.

    >>> pooling_for(80, 5, 4, 20), pooling_for(700, 5, 12, 70)
    ('numbers', 'factor')
    """
    common = 3 + 2 * inputs
    choices: dict[Pooling, int] = {"numbers": common * groups, "constants": (inputs + 2) * groups}
    for pooling, own in choices.items():
        if structures * rows * (common + own) ** 2 <= MOST_COST:
            return pooling
    return "factor"


def scene_of(encoded: Encoded, u: np.ndarray, centres: np.ndarray, groups: int, pooling: Pooling) -> Scene:
    """The scene of finished runs, from their inputs and their latent values (n,)."""
    logs = encoded.logs
    spread = np.maximum(logs.std(axis=0), 1e-3)
    return Scene(float(u.min()), float(u.mean()), spread, centres, logs.max(axis=0), groups, pooling)


def design_for(structure: Structure, scene: Scene) -> Design:
    """Columns, terms and priors of a structure."""
    columns: list[tuple[Monomial, int]] = []
    term: list[int] = []
    prior: list[tuple[float, float, float]] = []

    def add(feature: Monomial, place: int, mean: float, sd: float, own: float) -> None:
        columns.append((feature, -1))
        term.append(place)
        grouped = scene.groups > 1 and own > 0
        prior.append((mean, sd, own if grouped else 0.0))
        if grouped:
            for group in range(scene.groups):
                columns.append((feature, group))
                term.append(place)
                prior.append((0.0, own, 0.0))

    alone = len(structure.terms) == 1
    for place, summand in enumerate(structure.terms):
        for feature in summand.features:
            if feature == ONE:
                level, width = (
                    (scene.lowest - 0.5, 0.7) if summand.role == FLOOR else (scene.mean - 1.2 * (not alone), 1.5)
                )
                add(feature, place, level, width, OWN_LEVEL[summand.role] * (scene.pooling != "factor"))
            else:
                mean, sd = _prior(feature, scene)
                differs = scene.pooling == "numbers" and feature.what in ("log", "share", "log_share")
                add(feature, place, mean, sd, OWN_SHARE * sd if differs else 0.0)
    for feature in structure.factor:
        mean, sd = _factor_prior(feature, scene)
        add(feature, FACTOR_TERM, mean, sd, 0.0)
    if scene.groups > 1 and scene.pooling == "factor":
        add(ONE, FACTOR_TERM, 0.0, 1e-3, OWN_LEVEL["term"])
    means, sds, owns = np.array(prior).T
    whitener = np.linalg.inv(np.linalg.cholesky(_alike(structure, columns, term))) / sds
    return Design(structure, scene, tuple(columns), np.array(term), means, sds, owns, whitener)


def _alike(structure: Structure, columns: list[tuple[Monomial, int]], term: list[int]) -> np.ndarray:
    """Correlations (k, k) beforehand: summands that are powers of one input each have exponents alike."""
    single = [len(summand.features) == 2 and summand.features[1].what == "log" for summand in structure.terms]
    same = np.array(
        [
            at >= 0 and single[at] and feature.what == "log" and group < 0
            for (feature, group), at in zip(columns, term, strict=True)
        ]
    )
    correlation = TIED if structure.tied else ALIKE
    return np.where(np.eye(len(same), dtype=bool), 1.0, correlation * np.outer(same, same))


def _widening(feature: Monomial, scene: Scene) -> float:
    return float(np.prod([max(1.0, USUAL_SPREAD / scene.spread[i]) for i in feature.of]))


def _prior(feature: Monomial, scene: Scene) -> tuple[float, float]:
    if feature.what in SHARE:
        return SHARE[feature.what]
    mean, sd = EXPONENT if feature.what == "log" else SQUARE if len(set(feature.of)) == 1 else CROSS
    return mean, sd * _widening(feature, scene)


def _factor_prior(feature: Monomial, scene: Scene) -> tuple[float, float]:
    mean, sd = FACTOR_LOG if feature.what == "log" else FACTOR_SQUARE if len(set(feature.of)) == 1 else CROSS
    return mean, sd * _widening(feature, scene)

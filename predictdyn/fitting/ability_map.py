"""A map from ability (a loss, turned to rise) to an outcome, with floor, ceiling and discrepancy; posterior on a grid.

The shape is a node of a grid: where the outcome rises, how fast, its ceiling, which scale the loss is on. Given a node
all else is linear and normal: the floor, further predictors, a process over ability, and the shift of each run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit

MIDDLES = np.linspace(-3.0, 6.0, 28)  # of the rise, in sds of ability among the rows
STEEPS = np.log(np.geomspace(0.15, 8.0, 13))
# A node is a cell: within it middle and log steepness are normal, half as wide as nodes are apart, so that no gap is left.
CELL = (0.5 * float(MIDDLES[1] - MIDDLES[0]), 0.5 * float(STEEPS[1] - STEEPS[0]))
LEADING = 3  # coefficients before those of further predictors: floor, middle and log steepness within the cell
CEILINGS, CEILING_PRIOR = (0.35, 0.6, 0.8, 0.92, 1.0), (0.06, 0.1, 0.16, 0.18, 0.5)
ENDS, END_PRIOR = (0.0, 0.4, 0.7, 0.85, 0.95), (0.2, 0.2, 0.2, 0.2, 0.2)
NOISES = np.geomspace(0.25, 8.0, 9)  # times the sampling error
KNOWN, GUESSED = 0.5, 1.2  # sd of the logarithm of that number, where the sampling error is known, and where it is not
# sds of the process and of the shifts of runs, in sds of ability, and the prior of each pair.
FLEXES = ((0.03, 0.03), (0.03, 0.2), (0.15, 0.03), (0.15, 0.2), (0.4, 0.3))
FLEX_PRIOR = (0.2, 0.25, 0.2, 0.25, 0.1)
FLOOR_SD, UNKNOWN_FLOOR = 0.015, 0.1  # of the floor, in parts of the range, where chance is known and where it is not
OTHER_SD = 0.3  # of what a further predictor shifts ability by, in sds for a sd
KNOTS, ROOM = 9, 2.0  # of the process; how far beyond the rows they reach
KEPT = 250  # nodes that are looked at with all columns
COUNTED = 30.0  # rows that thin the grid out, at most: more of them are not independent
LEAST_LOG_WEIGHT = -14.0


@dataclass(frozen=True)
class Response:
    """How an outcome answers to eta, which rises with ability.

    "accuracy": low + c (high - low) / (1 + exp(-eta)), c the ceiling. "loss": c low + unit exp(-eta), c where it ends.
    ``items`` is the number of questions that the sampling error of an accuracy is that of; a loss errs in parts of
    itself, one over the root of it.
    """

    kind: Literal["accuracy", "loss"]
    low: float
    high: float
    items: float
    known_items: bool = False
    known_floor: bool = True

    @property
    def levels(self) -> tuple[float, ...]:
        """The ceilings, or ends, of the grid."""
        return CEILINGS if self.kind == "accuracy" else ENDS

    @property
    def level_prior(self) -> tuple[float, ...]:
        """The prior of each of them."""
        return CEILING_PRIOR if self.kind == "accuracy" else END_PRIOR

    def value(self, eta: np.ndarray, level: np.ndarray) -> np.ndarray:
        """The outcome at eta."""
        if self.kind == "accuracy":
            return np.asarray(self.low + level * (self.high - self.low) * expit(eta))
        return np.asarray(level * self.low + self.high * np.exp(np.minimum(-eta, 50.0)))

    def slope(self, eta: np.ndarray, level: np.ndarray) -> np.ndarray:
        """Its derivative by eta."""
        if self.kind == "accuracy":
            return np.asarray(level * (self.high - self.low) * expit(eta) * expit(-eta))
        return np.asarray(-self.high * np.exp(np.minimum(-eta, 50.0)))

    def floor(self, eta: np.ndarray) -> np.ndarray:
        """What a floor that is higher by one adds."""
        return np.asarray(expit(-eta)) if self.kind == "accuracy" else np.ones_like(eta)

    @property
    def floor_sd(self) -> float:
        """The prior sd of what is added to the floor."""
        if self.kind == "loss":
            return 0.03 * self.low
        return (FLOOR_SD if self.known_floor else UNKNOWN_FLOOR) * (self.high - self.low)

    def variance(self, y: np.ndarray) -> np.ndarray:
        """The sampling variance of values (n,): binomial, or in parts of the value."""
        if self.kind == "loss":
            return np.asarray(y**2 / self.items)
        p = (y * self.items + 1.0) / (self.items + 2.0)
        return np.asarray(p * (1.0 - p) / self.items)


class MapRows(NamedTuple):
    """Rows to learn from: ability on each scale, further predictors, place of the run (-1: of none), the outcome."""

    ability: Float[np.ndarray, "d n"]
    others: Float[np.ndarray, "n q"]
    run: Int[np.ndarray, " n"]
    y: Float[np.ndarray, " n"]


class MapNodes(NamedTuple):
    """The nodes with weight: each number of the shape, log evidence but for the prior of middle and steepness.

    Evidence is against that of the ``best`` node; ``mean`` and ``root`` are of the coefficients of all columns, given the node; ``knots`` of the process by scale.
    """

    response: Response
    scale: Int[np.ndarray, " j"]
    middle: Float[np.ndarray, " j"]
    steep: Float[np.ndarray, " j"]
    level: Float[np.ndarray, " j"]
    noise: Float[np.ndarray, " j"]
    flex: Float[np.ndarray, "j 2"]
    evidence: Float[np.ndarray, " j"]
    best: float
    mean: Float[np.ndarray, "j k"]
    root: Float[np.ndarray, "j k k"]
    knots: Float[np.ndarray, "d b"]
    reach: Float[np.ndarray, "d 2"]


def basis(ability: np.ndarray, knots: Float[np.ndarray, " b"]) -> np.ndarray:
    """A process over ability (...) as columns (..., b) with independent standard normal coefficients.

    Matern 3/2 with a length of a sd, or of the distance of knots if that is more (Nystrom).
    """
    length = max(1.0, 1.3 * float(knots[1] - knots[0]))
    return np.asarray(_matern(ability[..., None] - knots, length) @ _whitener(knots, length))


def _matern(apart: np.ndarray, length: float) -> np.ndarray:
    far = np.sqrt(3.0) * np.abs(apart) / length
    return np.asarray((1.0 + far) * np.exp(-far))


def _whitener(knots: np.ndarray, length: float) -> np.ndarray:
    size, turn = np.linalg.eigh(_matern(knots[:, None] - knots, length))
    return np.asarray(turn / np.sqrt(np.maximum(size, 1e-9)))


def nodes_of(rows: MapRows, response: Response) -> MapNodes:
    """The posterior of a map given rows (n): nodes with weight, and coefficients given each.

    The grid is thinned by the likelihood of the shape alone, the noise at its best; then every kept shape is looked at
    with each noise and each sd of process and shifts, all coefficients integrated out.
    """
    d, n = rows.ability.shape
    shape = np.stack(
        [one.ravel() for one in np.meshgrid(np.arange(d), MIDDLES, STEEPS, np.arange(len(response.levels)),
                                            indexing="ij")]
    )  # fmt: skip
    scale, place = shape[0].astype(int), shape[3].astype(int)
    level, level_prior = np.array(response.levels)[place], np.log(np.array(response.level_prior)[place])
    variance = response.variance(rows.y)
    eta = np.exp(shape[2])[:, None] * (rows.ability[scale] - shape[1][:, None])
    left = rows.y - response.value(eta, level[:, None])
    square = (left**2 / variance).sum(axis=1) + 1e-9
    rank = -0.5 * min(n, COUNTED) * np.log(square) + level_prior
    kept = np.argsort(-rank, kind="stable")[:KEPT]
    eta, left, scale, level = eta[kept], left[kept], scale[kept], level[kept]
    middle, steep, base = shape[1][kept], shape[2][kept], level_prior[kept]
    reach = np.stack([rows.ability.min(axis=1), rows.ability.max(axis=1)], axis=1)
    knots = np.stack([np.linspace(low - 0.5, high + ROOM, KNOTS) for low, high in reach])
    columns = _columns(rows, response, eta, level, steep, scale, knots)
    weighed = columns / variance[None, :, None]
    gram = np.matmul(weighed.transpose(0, 2, 1), columns)
    told = np.einsum("jnk,jn->jk", weighed, left)
    square = (left**2 / variance).sum(axis=1)
    shifts = int(rows.run.max(initial=-1)) + 1
    flexes = FLEXES if shifts else tuple((process, 0.03) for process in (0.03, 0.15, 0.4))
    flex_prior = FLEX_PRIOR if shifts else (0.4, 0.4, 0.2)
    spread = KNOWN if response.known_items else GUESSED
    found: list[tuple[np.ndarray, ...]] = []
    for (process, shift), prior in zip(flexes, flex_prior, strict=True):
        sd = np.concatenate([
            [response.floor_sd, *CELL], np.full(rows.others.shape[1], OTHER_SD), np.full(KNOTS, process),
            np.full(shifts, shift),
        ])  # fmt: skip
        for noise in NOISES:
            system = gram / noise**2 + np.diag(sd**-2.0)
            factor = np.linalg.cholesky(system)
            half = np.linalg.solve(factor, told[:, :, None] / noise**2)[:, :, 0]
            determinant = 2 * np.log(np.einsum("jkk->jk", factor)).sum(axis=1) + 2 * np.log(sd).sum()
            evidence = -0.5 * (square / noise**2 - (half**2).sum(axis=1) + 2 * n * np.log(noise) + determinant)
            evidence = evidence + base + np.log(prior) - 0.5 * (np.log(noise) / spread) ** 2
            found.append((evidence, factor, half, np.full(len(kept), noise), np.tile([process, shift], (len(kept), 1))))
    evidence = np.concatenate([one[0] for one in found])
    good = np.flatnonzero(evidence - evidence.max() > LEAST_LOG_WEIGHT)
    good = good[np.argsort(-evidence[good], kind="stable")][:KEPT]
    node = good % len(kept)
    # The covariance is L^-T L^-1, so L^-T is a root of it, and L^-T half the mean.
    inverse = np.linalg.inv(np.stack([found[i // len(kept)][1][i % len(kept)] for i in good]))
    root = inverse.transpose(0, 2, 1)
    half = np.stack([found[i // len(kept)][2][i % len(kept)] for i in good])
    return MapNodes(
        response, scale[node], middle[node], steep[node], level[node],
        np.concatenate([one[3] for one in found])[good], np.concatenate([one[4] for one in found])[good],
        evidence[good] - evidence[good].max(), float(evidence.max()), np.einsum("jkl,jl->jk", root, half), root, knots, reach,
    )  # fmt: skip


def _columns(
    rows: MapRows, response: Response, eta: np.ndarray, level: np.ndarray, steep: np.ndarray, scale: np.ndarray,
    knots: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """What each coefficient adds to the outcome, (j, n, k): leading ones, further predictors, process, shifts of runs."""
    per_shift = response.slope(eta, level[:, None]) * np.exp(steep)[:, None]
    process = np.stack([basis(one, own) for one, own in zip(rows.ability, knots, strict=True)])[scale]
    run = (rows.run[:, None] == np.arange(int(rows.run.max(initial=-1)) + 1)).astype(float)
    shared = np.concatenate([rows.others, run], axis=1)
    q = rows.others.shape[1]
    return np.concatenate(
        [
            response.floor(eta)[:, :, None],
            per_shift[:, :, None],
            (response.slope(eta, level[:, None]) * eta)[:, :, None],
            per_shift[:, :, None] * shared[None, :, :q],
            per_shift[:, :, None] * process,
            per_shift[:, :, None] * shared[None, :, q:],
        ],
        axis=2,
    )


def with_run(one: MapNodes, rows: MapRows) -> MapNodes:
    """The posterior given some rows of one more run, exactly: its shift is a further coefficient, the last one.

    Given a node all is normal, so each node is updated alone, and weighs by how well it forecast these rows.
    """
    response, n = one.response, len(rows.y)
    ability = rows.ability[one.scale]
    eta = np.exp(one.steep)[:, None] * (ability - one.middle[:, None])
    bare = rows._replace(run=np.full(n, -1))
    shared = _columns(bare, response, eta, one.level, one.steep, one.scale, one.knots)
    shifts = one.mean.shape[1] - shared.shape[2]
    per_shift = response.slope(eta, one.level[:, None]) * np.exp(one.steep)[:, None]
    columns = np.concatenate([shared, np.zeros((*shared.shape[:2], shifts)), per_shift[:, :, None]], axis=2)
    j, k = one.mean.shape
    root, mean = np.zeros((j, k + 1, k + 1)), np.zeros((j, k + 1))
    root[:, :k, :k], root[:, k, k], mean[:, :k] = one.root, one.flex[:, 1], one.mean
    variance = one.noise[:, None] ** 2 * response.variance(rows.y)
    left = rows.y - response.value(eta, one.level[:, None]) - np.einsum("jnk,jk->jn", columns, mean)
    spread = np.matmul(columns, root) / np.sqrt(variance)[:, :, None]  # (j, n, k + 1), rows in units of their noise
    system = np.matmul(spread.transpose(0, 2, 1), spread) + np.eye(k + 1)
    factor = np.linalg.cholesky(system)
    told = np.matmul(spread.transpose(0, 2, 1), (left / np.sqrt(variance))[:, :, None])
    half = np.linalg.solve(factor, told)
    gained = -0.5 * (
        (left**2 / variance).sum(axis=1) - (half[:, :, 0] ** 2).sum(axis=1) + np.log(variance).sum(axis=1)
        + 2 * np.log(np.einsum("jkk->jk", factor)).sum(axis=1)
    )  # fmt: skip
    turned = np.matmul(root, np.linalg.inv(factor).transpose(0, 2, 1))
    evidence = one.evidence + gained
    return one._replace(evidence=evidence - evidence.max(), mean=mean + np.matmul(turned, half)[:, :, 0], root=turned)

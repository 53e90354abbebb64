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
# A node is a cell, within which middle and log steepness are normal.
CELL = (0.5 * float(MIDDLES[1] - MIDDLES[0]), 0.5 * float(STEEPS[1] - STEEPS[0]))
LOSS_PACE = 0.15
# An outcome may have nothing to do with ability: so steep it is then, at some height, with this probability.
FLAT_STEEP, FLAT, HEIGHTS, FLAT_KEPT = float(np.log(0.02)), 0.1, np.linspace(-4.0, 5.0, 121), 6
LEADING = 3  # coefficients before those of further predictors: floor, middle and log steepness within the cell
CEILINGS, CEILING_PRIOR = (0.35, 0.6, 0.8, 0.92, 1.0), (0.06, 0.1, 0.16, 0.18, 0.5)
ENDS, END_PRIOR = (0.0, 0.4, 0.7, 0.85, 0.95), (0.2, 0.2, 0.2, 0.2, 0.2)
NOISES = np.geomspace(0.25, 8.0, 9)  # times the sampling error
KNOWN, GUESSED = 0.5, 1.2  # sd of the logarithm of that number, where the sampling error is known, and where it is not
# sds of the process and of the shifts of runs, in sds of ability, and the prior of each pair.
FLEXES = ((0.03, 0.03), (0.03, 0.2), (0.15, 0.03), (0.15, 0.2), (0.4, 0.3))
FLEX_PRIOR = (0.2, 0.25, 0.2, 0.25, 0.1)
ALONE, ALONE_PRIOR = ((0.03, 0.03), (0.15, 0.03), (0.4, 0.03)), (0.4, 0.4, 0.2)  # where runs have one row each
FLOOR_SD, UNKNOWN_FLOOR = 0.015, 0.1  # of the floor, in parts of the range, where chance is known and where it is not
OTHER_SD = 0.3  # of what a further predictor shifts ability by, in sds for a sd
KNOTS, ROOM = 9, 2.0  # of the process; how far beyond the rows they reach
SHAPES = 160  # of the grid, that are looked at with all columns
KEPT = 300  # nodes with weight: a shape, a noise and sds of process and shifts
ROUNDS, MOST_SDS = 2, 3.0  # of Gauss-Newton, and how far it may go
COUNTED = 30.0  # rows that thin the grid out, at most: more of them are not independent
LEAST_LOG_WEIGHT = -14.0


@dataclass(frozen=True)
class Response:
    """How an outcome answers to eta, which rises with ability.

    "accuracy": low + c (high - low) / (1 + exp(-eta)), c the ceiling. "loss": c low + (high - c low) exp(-eta), which
    ends at c low; low and high are the least and the middle value of the rows.
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

    @property
    def pace(self) -> float:
        """What steepness is counted in, for a sd of ability: losses move by parts of themselves."""
        return 1.0 if self.kind == "accuracy" else LOSS_PACE

    def value(self, eta: np.ndarray, level: np.ndarray | float) -> np.ndarray:
        """The outcome at eta."""
        if self.kind == "accuracy":
            return np.asarray(self.low + level * (self.high - self.low) * expit(eta))
        end = level * self.low
        return np.asarray(end + (self.high - end) * np.exp(np.minimum(-eta, 50.0)))

    def slope(self, eta: np.ndarray, level: np.ndarray | float) -> np.ndarray:
        """Its derivative by eta."""
        if self.kind == "accuracy":
            return np.asarray(level * (self.high - self.low) * expit(eta) * expit(-eta))
        return np.asarray(-(self.high - level * self.low) * np.exp(np.minimum(-eta, 50.0)))

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

    Evidence is against that of the ``best`` node. ``mean`` and ``root`` are of the coefficients of all columns, given
    the node; ``knots`` are of the process on each scale, ``reach`` the ends of the rows there.
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


def log_prior(middle: np.ndarray, steep: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """The log prior of cells (...) given mean and sd of the middle and of the log steepness, (4, ...).

    Those that are flat share their own probability, at all heights alike.
    """
    size = float((MIDDLES[1] - MIDDLES[0]) * (STEEPS[1] - STEEPS[0]))
    normal = -0.5 * ((middle - shared[0]) / shared[1]) ** 2 - 0.5 * ((steep - shared[2]) / shared[3]) ** 2
    rising = normal - np.log(2 * np.pi * shared[1] * shared[3]) + np.log(size * (1 - FLAT))
    return np.where(steep <= FLAT_STEEP, np.log(FLAT / len(HEIGHTS)), rising)


class _Shapes(NamedTuple):
    """Nodes of the grid: the scale of each, middle, log steepness, level and the log prior of the level, (j,) each."""

    scale: np.ndarray
    middle: np.ndarray
    steep: np.ndarray
    level: np.ndarray
    prior: np.ndarray

    def rows(self, which: np.ndarray) -> _Shapes:
        return _Shapes(*(one[which] for one in self))


class _Linear(NamedTuple):
    """A map as a linear model around some coefficients: columns (j, n, k), and the outcome less what they leave out."""

    columns: np.ndarray
    left: np.ndarray


class _Weighed(NamedTuple):
    """Log evidence (flexes, noises, j), and what means and covariances are made of: eigenvalues, vectors, told."""

    evidence: np.ndarray
    size: np.ndarray
    turn: np.ndarray
    along: np.ndarray
    sds: np.ndarray
    flexes: np.ndarray

    def at(self, flex: np.ndarray, noise: np.ndarray, node: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (m, k) and root of the covariance (m, k, k) of coefficients, given flex, noise and node."""
        scale = NOISES[noise][:, None]
        shrunk = 1.0 / np.sqrt(1.0 + np.maximum(self.size[flex, node], 0.0) / scale**2)
        root = self.sds[flex][:, :, None] * self.turn[flex, node] * shrunk[:, None, :]
        return np.einsum("jkl,jl->jk", root, shrunk * self.along[flex, node]) / scale**2, root


def nodes_of(rows: MapRows, response: Response) -> MapNodes:
    """The posterior of a map given rows (n): nodes with weight, and coefficients given each.

    The grid is thinned by the likelihood of the shape alone, the noise at its best. Every shape that is kept is made
    linear around its most probable coefficients (Gauss-Newton), and looked at with each noise and each sd of process
    and shifts, all coefficients integrated out.
    """
    reach = np.stack([rows.ability.min(axis=1), rows.ability.max(axis=1)], axis=1)
    knots = np.stack([np.linspace(low - 0.5, high + ROOM, KNOTS) for low, high in reach])
    shapes = _thinned(rows, response)
    shifts = int(rows.run.max(initial=-1)) + 1
    k = LEADING + rows.others.shape[1] + KNOTS + shifts
    at = np.zeros((len(shapes.scale), k))
    weighed = _weighed(rows, response, shapes, _linear(rows, response, shapes, at, knots), shifts)
    for _ in range(ROUNDS):
        j = np.arange(len(at))
        best = weighed.evidence.reshape(-1, len(at)).argmax(axis=0)
        flex, noise = np.unravel_index(best, weighed.evidence.shape[:2])
        most = MOST_SDS * weighed.sds[flex]
        at = np.clip(weighed.at(flex, noise, j)[0], -most, most)
        weighed = _weighed(rows, response, shapes, _linear(rows, response, shapes, at, knots), shifts)
    flat = weighed.evidence.ravel()
    good = np.flatnonzero(flat - flat.max() > LEAST_LOG_WEIGHT)
    good = good[np.argsort(-flat[good], kind="stable")][:KEPT]
    flex, noise, node = np.unravel_index(good, weighed.evidence.shape)
    own = shapes.rows(node)
    return MapNodes(
        response, own.scale, own.middle, own.steep, own.level, NOISES[noise], weighed.flexes[flex],
        flat[good] - flat.max(), float(flat.max()), *weighed.at(flex, noise, node), knots, reach,
    )  # fmt: skip


def _thinned(rows: MapRows, response: Response) -> _Shapes:
    """The shapes of the grid that the rows allow, best first."""
    d, n = rows.ability.shape
    grid = np.meshgrid(np.arange(d), MIDDLES, STEEPS, np.arange(len(response.levels)), indexing="ij")
    scale, middle, steep, place = (one.ravel() for one in grid)
    level, prior = np.array(response.levels)[place], np.log(np.array(response.level_prior)[place])
    shapes = _Shapes(scale, middle, steep, level, prior)
    many = len(HEIGHTS)
    flat = _Shapes(
        np.zeros(many, dtype=int), HEIGHTS / np.exp(FLAT_STEEP) / response.pace, np.full(many, FLAT_STEEP),
        np.full(many, response.levels[0 if response.kind == "loss" else -1]), np.zeros(many),
    )  # fmt: skip
    best = []
    for some, kept in ((shapes, SHAPES), (flat, FLAT_KEPT)):
        steepness = response.pace * np.exp(some.steep)[:, None]
        eta = steepness * (rows.ability[some.scale] - some.middle[:, None])
        left = rows.y - response.value(eta, some.level[:, None])
        square = (left**2 / response.variance(rows.y)).sum(axis=1) + 1e-9
        rank = -0.5 * min(n, COUNTED) * np.log(square) + some.prior
        best.append(some.rows(np.argsort(-rank, kind="stable")[:kept]))
    return _Shapes(*(np.concatenate(both) for both in zip(*best, strict=True)))


def _linear(rows: MapRows, response: Response, shapes: _Shapes, at: np.ndarray, knots: np.ndarray) -> _Linear:
    """The map around coefficients (j, k): floor, middle, steepness, further predictors, process, shifts of runs."""
    q = rows.others.shape[1]
    process = np.stack([basis(one, own) for one, own in zip(rows.ability, knots, strict=True)])[shapes.scale]
    runs = (rows.run[:, None] == np.arange(at.shape[1] - LEADING - q - KNOTS)).astype(float)
    moving = [np.broadcast_to(one, (len(at), *one.shape)) for one in (rows.others, runs)]
    moves = np.concatenate([np.ones((*process.shape[:2], 1)), moving[0], process, moving[1]], axis=2)
    steep = response.pace * np.exp(shapes.steep + at[:, 2])[:, None]
    shift = np.einsum("jnk,jk->jn", moves, np.delete(at, (0, 2), axis=1))
    eta = steep * (rows.ability[shapes.scale] + shift - shapes.middle[:, None])
    floor, slope = response.floor(eta), response.slope(eta, shapes.level[:, None])
    moves = (slope * steep)[:, :, None] * moves
    columns = np.concatenate([floor[:, :, None], moves[:, :, :1], (slope * eta)[:, :, None], moves[:, :, 1:]], axis=2)
    value = response.value(eta, shapes.level[:, None]) + at[:, :1] * floor
    return _Linear(columns, rows.y - value + np.einsum("jnk,jk->jn", columns, at))


def _weighed(rows: MapRows, response: Response, shapes: _Shapes, linear: _Linear, shifts: int) -> _Weighed:
    """The evidence of each shape with each flex and noise."""
    n, variance = len(rows.y), response.variance(rows.y)
    weighted = linear.columns / variance[None, :, None]
    gram = np.matmul(weighted.transpose(0, 2, 1), linear.columns)
    told = np.einsum("jnk,jn->jk", weighted, linear.left)
    square = (linear.left**2 / variance).sum(axis=1)
    flexes = FLEXES if shifts else ALONE
    sds = np.stack([
        np.concatenate([
            [response.floor_sd, *CELL], np.full(rows.others.shape[1], OTHER_SD), np.full(KNOTS, process),
            np.full(shifts, shift),
        ])
        for process, shift in flexes
    ])  # fmt: skip
    # Coefficients in units of their prior: one decomposition serves all noises.
    size, turn = zip(*(np.linalg.eigh(gram * sd[:, None] * sd) for sd in sds), strict=True)
    along = [np.einsum("jkl,jk->jl", u, told * sd) for u, sd in zip(turn, sds, strict=True)]
    evidence = np.empty((len(flexes), len(NOISES), len(told)))
    spread = KNOWN if response.known_items else GUESSED
    for i, prior in enumerate(FLEX_PRIOR if shifts else ALONE_PRIOR):
        for h, noise in enumerate(NOISES):
            inside = 1.0 + np.maximum(size[i], 0.0) / noise**2
            fit = square / noise**2 - (along[i] ** 2 / inside).sum(axis=1) / noise**4
            evidence[i, h] = shapes.prior + np.log(prior) - 0.5 * (np.log(noise) / spread) ** 2
            evidence[i, h] -= 0.5 * (fit + 2 * n * np.log(noise) + np.log(inside).sum(axis=1))
    return _Weighed(evidence, np.stack(size), np.stack(turn), np.stack(along), sds, np.array(flexes))


def with_run(one: MapNodes, rows: MapRows) -> MapNodes:
    """The posterior given some rows of one more run: its shift is a further coefficient, the last one.

    Given a node all is normal, so each node is updated alone, and weighs by how well it forecast these rows.
    """
    j, k = one.mean.shape
    mean, root = np.zeros((j, k + 1)), np.zeros((j, k + 1, k + 1))
    mean[:, :k], root[:, :k, :k], root[:, k, k] = one.mean, one.root, one.flex[:, 1]
    shapes = _Shapes(one.scale, one.middle, one.steep, one.level, np.zeros(j))
    last = np.full(len(rows.y), k - LEADING - rows.others.shape[1] - KNOTS)
    variance = one.noise[:, None] ** 2 * one.response.variance(rows.y)
    at = mean
    for _ in range(ROUNDS):
        linear = _linear(rows._replace(run=last), one.response, shapes, at, one.knots)
        left = linear.left - np.einsum("jnk,jk->jn", linear.columns, mean)
        spread = np.matmul(linear.columns, root) / np.sqrt(variance)[:, :, None]  # in units of the noise
        factor = np.linalg.cholesky(np.matmul(spread.transpose(0, 2, 1), spread) + np.eye(k + 1))
        told = np.matmul(spread.transpose(0, 2, 1), (left / np.sqrt(variance))[:, :, None])
        half = np.linalg.solve(factor, told)
        turned = np.matmul(root, np.linalg.inv(factor).transpose(0, 2, 1))
        at = mean + np.matmul(turned, half)[:, :, 0]
    gained = -0.5 * (
        (left**2 / variance).sum(axis=1) - (half[:, :, 0] ** 2).sum(axis=1) + np.log(variance).sum(axis=1)
        + 2 * np.log(np.einsum("jkk->jk", factor)).sum(axis=1)
    )  # fmt: skip
    evidence = one.evidence + gained
    return one._replace(evidence=evidence - evidence.max(), mean=at, root=turned)

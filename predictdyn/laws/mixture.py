"""A mixture of laws: every structure fitted, weighed by its forecasts of runs held out on the way to the question."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from predictdyn.laws.design import Scene, design_for, pooling_for, scene_of
from predictdyn.laws.discrepancy import Crossing, Discrepancy
from predictdyn.laws.inputs import Encoded
from predictdyn.laws.member import Member, member_for
from predictdyn.laws.origins import origins, places
from predictdyn.laws.posterior import FREEDOM, mode_of
from predictdyn.laws.sampling import Sample, Sampler, importance_sample
from predictdyn.laws.structures import Structure, structures_for

FOR_WEIGHTS = 48  # draws of a law at an origin
STARTS_AGAIN = 5  # of a fit at an origin, the numbers from all runs among them
# Weights: exp(-EAGER x mean log CRPS), and a part of the whole in equal parts for the best few.
EAGER = 6.0
EQUAL, FEW = 0.15, 8
# Errors at the origins make the spread wider, as so many origins against this many that say nothing.
SPREAD_PRIOR = 2.0
NARROWEST = 0.9
FARTHEST = 9.0  # a squared error in units of its variance counts for no more
WORTH_SAMPLING = 0.01  # weight of a member whose posterior is sampled; others are normal at their mode
# What weighs alike where too few runs are left to hold any out.
CLASSIC = (
    "power", "floor + powers", "floor + tied powers", "floor + product",
    "floor + exp of shares", "floor + exp of roots",
)  # fmt: skip
LEAST_WEIGHT = 1e-3  # members with less have no draws


class HeldOut(NamedTuple):
    """Forecasts of u for the runs held out at all origins: mean and sd, (rows,)."""

    mean: np.ndarray
    sd: np.ndarray


@dataclass(frozen=True)
class Mixture:
    """Laws with weights, and by how much the errors of their mixture at the origins were wider than its spread.

    ``replays`` has a forecast for each member of the held-out runs, ``truth`` their values of u and ``origin`` at
    which origin each was held out, (rows,). ``samples`` are posteriors of members, by place.
    """

    members: list[Member]
    weights: np.ndarray
    widening: float
    replays: list[HeldOut]
    truth: np.ndarray
    origin: np.ndarray
    samples: dict[int, Sample] = field(default_factory=dict)

    def numbers(self, place: int, count: int, random: np.random.Generator) -> np.ndarray:
        """Draws (count, k) of the numbers of a member: of its sample where it has one that can be trusted."""
        member, sample = self.members[place], self.samples.get(place)
        if sample is None or not sample.trusted:
            return member.gaussian(random.standard_normal((count, len(member.numbers))))
        return sample.numbers[random.integers(len(sample.numbers), size=count)]

    def draws(self, rows: Encoded, *, n: int, seed: int, noise: bool = True) -> np.ndarray:
        """Joint draws of u, (m, n): a draw is one member and one set of its numbers in all rows."""
        counts = _counts(self.weights, n)
        crossings = self.members[0].discrepancy.crossings(rows)
        out = []
        for place in np.flatnonzero(counts):
            member, count = self.members[place], int(counts[place])
            random = np.random.default_rng((seed, int(place)))
            beyond = member.forecast(rows, crossings, self.numbers(int(place), count, random), random)
            # The process is drawn as one number for all rows: neighbours err alike.
            drawn = beyond.centre + random.standard_normal((count, 1)) * beyond.process
            if noise:
                drawn = drawn + random.standard_t(FREEDOM, size=drawn.shape) * beyond.noise
            out.append(drawn)
        drawn = np.concatenate(out)
        middle = np.median(drawn, axis=0)
        drawn = middle + self.widening * (drawn - middle)
        return np.asarray(drawn[np.random.default_rng(seed).permutation(n)].T)


def mixture_of(
    runs: Encoded,
    u: np.ndarray,
    *,
    centres: np.ndarray,
    groups: int,
    towards: Encoded | None,
    seed: int,
    sampler: Sampler = importance_sample,
) -> Mixture:
    """Fit all structures to finished runs (n) with values u (n,), and weigh them on the way towards some runs.

    ``centres`` (d,) are the mean logarithms of the inputs. Every structure is a member twice: with independent noise,
    and with a discrepancy process around it. Without an origin that leaves enough runs the `CLASSIC` ones weigh alike.
    """
    structures = structures_for(runs, centres)
    pooling = pooling_for(len(runs), len(centres), groups, len(structures))
    members = _members(structures, scene_of(runs, u, centres, groups, pooling), runs, u, seed)
    normals = np.random.default_rng(seed).standard_normal((FOR_WEIGHTS, max(len(one.numbers) for one in members)))
    replays: list[list[HeldOut]] = [[] for _ in members]
    truth, origin = [np.zeros(0)], [np.zeros(0, dtype=int)]
    for which, out in enumerate(origins(places(runs, towards, u))):
        left, there = runs.rows(~out), runs.rows(out)
        truth.append(u[out])
        origin.append(np.full(int(out.sum()), which))
        fitted = _members(structures, scene_of(left, u[~out], centres, groups, pooling), left, u[~out], seed, members)
        crossings = fitted[0].discrepancy.crossings(there)
        for said, one in zip(replays, fitted, strict=True):
            said.append(replayed(one, there, crossings, normals))
    if len(truth) == 1:
        known = np.array([one.design.structure.name in CLASSIC and one.ratio == 0 for one in members], dtype=float)
        weights = known / known.sum() if known.any() else np.full(len(members), 1 / len(members))
        return Mixture(members, weights, 1.0, [], truth[0], origin[0])
    joined = [HeldOut(*map(np.concatenate, zip(*some, strict=True))) for some in replays]
    y, o = np.concatenate(truth), np.concatenate(origin)
    weights = _weights(joined, y, o)
    samples = {
        int(place): sampler(one.design, one.matrix, u, one.mode, seed=seed)
        for place, one in enumerate(members)
        if one.ratio == 0 and weights[place] >= WORTH_SAMPLING
    }
    return Mixture(members, weights, _widening(joined, weights, y, o), joined, y, o, samples)


def replayed(member: Member, rows: Encoded, crossings: list[Crossing], normals: np.ndarray) -> HeldOut:
    """Mean and sd of a member's forecast of some rows, from draws of its numbers made of normals (s, k)."""
    beyond = member.forecast(rows, crossings, member.gaussian(normals[:, : len(member.numbers)]))
    variance = beyond.centre.var(axis=0) + beyond.process**2 + FREEDOM / (FREEDOM - 2) * beyond.noise**2
    return HeldOut(beyond.centre.mean(axis=0), np.sqrt(variance))


def _members(
    structures: list[Structure],
    scene: Scene,
    runs: Encoded,
    u: np.ndarray,
    seed: int,
    known: list[Member] | None = None,
) -> list[Member]:
    """Two members a structure, without and with a process; ``known`` are those of more runs, to begin from."""
    discrepancy = Discrepancy(runs)
    members = []
    for place, structure in enumerate(structures):
        design = design_for(structure, scene)
        matrix = design.matrix(runs)
        if known is None:
            mode = mode_of(design, matrix, u, seed=seed)
        else:
            mode = mode_of(design, matrix, u, seed=seed, starts=STARTS_AGAIN, first=known[2 * place].numbers)
        members += [member_for(design, matrix, u, discrepancy, mode, process=process) for process in (False, True)]
    return members


def crps_normal(truth: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """CRPS of a normal distribution, (n,) each (Gneiting and Raftery 2007, doi:10.1198/016214506000001437)."""
    z = (truth - mean) / sd
    return np.asarray(sd * (z * (2 * ndtr(z) - 1) + np.sqrt(2 / np.pi) * np.exp(-0.5 * z * z) - 1 / np.sqrt(np.pi)))


def _weights(replays: list[HeldOut], truth: np.ndarray, origin: np.ndarray) -> np.ndarray:
    score = np.stack([np.log(np.maximum(crps_normal(truth, one.mean, one.sd), 1e-12)) for one in replays])
    mean = np.stack([score[:, origin == one].mean(axis=1) for one in np.unique(origin)]).mean(axis=0)
    weights = np.exp(-EAGER * (mean - mean.min()))
    best = np.argsort(mean, kind="stable")[:FEW]
    weights = (1 - EQUAL) * weights / weights.sum()
    weights[best] += EQUAL / len(best)
    weights[weights < LEAST_WEIGHT] = 0.0
    return np.asarray(weights / weights.sum())


def _widening(replays: list[HeldOut], weights: np.ndarray, truth: np.ndarray, origin: np.ndarray) -> float:
    mean, sd = (np.stack([getattr(one, name) for one in replays]) for name in ("mean", "sd"))
    middle = weights @ mean
    variance = weights @ (sd**2 + mean**2) - middle**2
    error = np.minimum((truth - middle) ** 2 / variance, FARTHEST)
    each = [float(error[origin == one].mean()) for one in np.unique(origin)]
    return float(max(np.sqrt((SPREAD_PRIOR + sum(each)) / (SPREAD_PRIOR + len(each))), NARROWEST))


def _counts(weights: np.ndarray, n: int) -> np.ndarray:
    """How many of n draws each member has: the parts rounded so that they sum to n."""
    edges = np.round(np.cumsum(weights) / weights.sum() * n).astype(int)
    return np.diff(np.r_[0, edges])

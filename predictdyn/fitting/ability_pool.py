"""Maps of many outcomes over one ability, partly pooled by Gibbs sampling over their nodes; what they forecast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from predictdyn.fitting.ability_map import FLAT_STEEP, KNOTS, LEADING, MapNodes, basis, log_prior

# Prior of what outcomes share (normal inverse gamma): mean, outcomes it counts as, sd between outcomes, and that of it.
MIDDLE_PRIOR = (0.7, 0.25, 0.9, 4.0)
STEEP_PRIOR = (float(np.log(1.2)), 0.25, 0.5, 4.0)
BURN_IN, THINNING = 40, 2
BEYOND = 0.5  # of the sd of the process: how much the shift may grow for each sd of ability beyond the rows
WANDER = 0.7  # of the sd of the shifts of runs: the same for a run, for each sd since its last row


class MapDraws(NamedTuple):
    """Draws of one map: its node (s,) and the coefficients given it (s, k); the last one is of the run in question."""

    node: Int[np.ndarray, " s"]
    coefficients: Float[np.ndarray, "s k"]


class AskedAbility(NamedTuple):
    """Rows in question, each with draws: ability on each scale, further predictors, place of the run (-1: a new one).

    ``since`` is how far each draw lies from the last row of its run, in sds of ability; zero for new runs. ``shift`` is
    added to ability, for what else is not known of a run.
    """

    ability: Float[np.ndarray, "d m s"]
    others: Float[np.ndarray, "m q s"]
    run: Int[np.ndarray, " m"]
    since: Float[np.ndarray, "m s"]
    shift: Float[np.ndarray, "m s"]


def shared_draws(maps: Sequence[MapNodes], count: int, *, seed: int) -> Float[np.ndarray, "s 4"]:
    """Draws of what maps share: mean and sd of the middle, then of the logarithm of the steepness.

    Given these, nodes of maps are independent and drawn exactly; given nodes, mean and sd are conjugate.
    """
    random = np.random.default_rng(seed)
    b = len(maps)
    width = max(len(one.evidence) for one in maps)
    evidence, middle, steep = np.full((b, width), -np.inf), np.zeros((b, width)), np.zeros((b, width))
    for i, one in enumerate(maps):
        j = len(one.evidence)
        evidence[i, :j], middle[i, :j], steep[i, :j] = one.evidence, one.middle, one.steep
    now = np.array([MIDDLE_PRIOR[0], 1.5, STEEP_PRIOR[0], 0.8])
    shared = np.zeros((count, 4))
    every = np.arange(b)
    for sweep in range(BURN_IN + THINNING * count):
        log_weight = evidence + log_prior(middle, steep, now)
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        edge = np.cumsum(weight, axis=1)
        chosen = (edge < random.random(b)[:, None] * edge[:, -1:]).sum(axis=1)
        # Outcomes that are flat say nothing of how the others rise.
        place = every[steep[every, chosen] > FLAT_STEEP]
        own = place, chosen[place]
        now = np.array([*_shared(middle[own], MIDDLE_PRIOR, random), *_shared(steep[own], STEEP_PRIOR, random)])
        at, rest = divmod(sweep - BURN_IN, THINNING)
        if at >= 0 and rest == THINNING - 1:
            shared[at] = now
    return shared


def map_draws(one: MapNodes, shared: Float[np.ndarray, "s 4"], *, seed: int) -> MapDraws:
    """Draws of a map given draws of what maps share: with those of the others they are joint."""
    random = np.random.default_rng(seed)
    log_weight = one.evidence + log_prior(one.middle, one.steep, shared.T[:, :, None])
    edge = np.cumsum(np.exp(log_weight - log_weight.max(axis=1, keepdims=True)), axis=1)
    node = (edge < random.random(len(shared))[:, None] * edge[:, -1:]).sum(axis=1)
    z = random.standard_normal((len(shared), one.mean.shape[1]))
    return MapDraws(node, one.mean[node] + np.einsum("skl,sl->sk", one.root[node], z))


def _shared(
    value: np.ndarray, prior: tuple[float, float, float, float], random: np.random.Generator
) -> tuple[float, float]:
    """A draw of mean and sd given the values of b outcomes, (b,)."""
    centre, worth, sd, freedom = prior
    n = len(value)
    mean = float(value.mean()) if n else centre
    total = worth + n
    squares = freedom * sd**2 + float(((value - mean) ** 2).sum()) + worth * n / total * (mean - centre) ** 2
    variance = squares / random.chisquare(freedom + n)
    drawn = (worth * centre + n * mean) / total + np.sqrt(variance / total) * random.standard_normal()
    return float(drawn), float(np.sqrt(variance))


def outcome_draws(
    one: MapNodes, draws: MapDraws, asked: AskedAbility, *, seed: int, noise: bool = True
) -> Float[np.ndarray, "m s"]:
    """Draws (m, s) of an outcome at rows in question; a column is one map, one set of coefficients, one ability."""
    node, coefficients = draws
    random = np.random.default_rng(seed)
    m, count = asked.ability.shape[1:]
    q = asked.others.shape[1]
    scale = one.scale[node]
    ability = asked.ability[scale, :, np.arange(count)].T  # (m, s)
    shift = (
        asked.shift + coefficients[:, 1] + np.einsum("mqs,sq->ms", asked.others, coefficients[:, LEADING : LEADING + q])
    )
    of_process = coefficients[:, LEADING + q : LEADING + q + KNOTS]
    for each in np.unique(scale):
        at = scale == each
        shift[:, at] += np.einsum("msb,sb->ms", basis(ability[:, at], one.knots[each]), of_process[at])
    over = np.maximum(ability - one.reach[scale, 1], 0.0) + np.maximum(one.reach[scale, 0] - ability, 0.0)
    process, between = one.flex[node].T
    shift = shift + BEYOND * process * over * random.standard_normal(count)
    own = coefficients[:, LEADING + q + KNOTS :]
    new = between * random.standard_normal((m, count)) if own.shape[1] else np.zeros((m, count))
    known = asked.run >= 0
    new[known] = own[:, asked.run[known]].T
    shift = shift + new + WANDER * between * asked.since * random.standard_normal((m, count))
    level = one.level[node]
    eta = one.response.pace * np.exp(one.steep[node] + coefficients[:, 2]) * (ability + shift - one.middle[node])
    value = one.response.value(eta, level) + coefficients[:, 0] * one.response.floor(eta)
    if one.response.kind == "accuracy":
        value = np.clip(value, 0.0, one.response.high)
    if noise:
        sd = one.noise[node] * np.sqrt(one.response.variance(np.maximum(value, 0.0)))
        value = value + sd * random.standard_normal((m, count))
    return np.asarray(np.clip(value, 0.0, one.response.high) if one.response.kind == "accuracy" else np.abs(value))

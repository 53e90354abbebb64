"""What runs are measured by on the way to an outcome: losses, or proxies such as log-probabilities, as one ability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

MOST_PARTS = 3  # principal components, of several measures
LEAST_PART = 0.02  # of the variance that a further component must explain
NEVER = 1e-9
SURELY = 0.5  # rank correlation with outcomes, from which a measure is taken to be turned round


@dataclass(frozen=True)
class Ability:
    """How measures become ability, learnt from rows of finished runs.

    Measures below zero (log-probabilities) lose their sign; positive ones, ``logs``, are taken in logarithms.
    ``centre`` and ``spread`` (v,) standardise them so that they fall as runs get better. ``loadings`` (p, v) are
    principal components; the first has the ``level`` and ``width`` of a mean of measures, or is the one measure itself.
    ``scales`` are mean and sd of the first component and, where it is the logarithm of a loss, of the loss: ability
    rises as they fall.
    """

    via: tuple[str, ...]
    signs: np.ndarray
    logs: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    loadings: np.ndarray
    level: float
    width: float
    scales: tuple[tuple[float, float], ...]

    @property
    def parts(self) -> list[str]:
        """Names of the components: of one measure what falls as runs get better, such as the loss itself."""
        return [self._falls if len(self.via) == 1 else "the measures together", *map(str, range(2, self.n_parts + 1))]

    @property
    def _falls(self) -> str:
        """The exponential of the first component, of one measure."""
        name, turned = self.via[0] if self.signs[0] > 0 else f"-{self.via[0]}", self.spread[0] < 0
        if self.logs[0]:
            return f"(1/{name})" if turned else name
        return f"exp(-{name})" if turned else f"exp({name})"

    @property
    def n_parts(self) -> int:
        return len(self.loadings)

    @property
    def one_loss(self) -> bool:
        """Whether the first component is the logarithm of one measure."""
        return len(self.via) == 1 and bool(self.logs[0]) and float(self.spread[0]) > 0 and float(self.signs[0]) > 0

    def components(self, table: pd.DataFrame) -> np.ndarray:
        """Rows of a table (n) as components, (p, n); NaN where a measure is missing."""
        latent = self._latent(_numbers(table, self.via))
        parts = self.loadings @ ((latent - self.centre) / self.spread).T
        parts[0] = self.level + self.width * parts[0]
        return np.asarray(parts)

    def known(self, table: pd.DataFrame) -> np.ndarray:
        """Whether all measures of each row are given, (n,)."""
        if not set(self.via) <= set(table.columns):
            return np.zeros(len(table), dtype=bool)
        return np.asarray(np.isfinite(self.components(table)).all(axis=0))

    def lacking(self, table: pd.DataFrame) -> np.ndarray:
        """Of each row (n,) what is wrong with a measure: it is missing, or has no logarithm as that of the others."""
        said = np.full(len(table), "a measure is missing", dtype=object)
        if not set(self.via) <= set(table.columns):
            return said
        for name, column, log, sign in zip(self.via, _numbers(table, self.via).T, self.logs, self.signs, strict=True):
            side = "above" if sign > 0 else "below"
            for row in np.flatnonzero(np.isfinite(column) & log & (sign * column <= 0)):
                said[row] = f"{name} is {column[row]:g}, and all finished runs have it {side} zero"
        return said

    def on_scales(self, first: np.ndarray) -> np.ndarray:
        """The first component (...) as ability on each scale, (d, ...): zero and one are mean and sd of the rows."""
        values = [first, np.exp(np.minimum(first, 700.0))][: len(self.scales)]
        return np.stack([(mean - value) / sd for value, (mean, sd) in zip(values, self.scales, strict=True)])

    def _latent(self, value: np.ndarray) -> np.ndarray:
        turned = value * self.signs
        logs = np.log(np.where(turned > 0, turned, np.nan))
        return np.asarray(np.where(self.logs, logs, turned))


def ability_from(table: pd.DataFrame, via: Sequence[str], outcomes: np.ndarray) -> Ability:
    """Learn how to read measures from rows of finished runs; outcomes (n, b), higher better, say which way is up.

    Raises ValueError for a measure that does not vary.

    >>> table = pd.DataFrame({"loss": [3.0, 2.5, 2.0]})
    >>> found = ability_from(table, ["loss"], np.array([[0.2], [0.3], [0.5]]))
    >>> found.on_scales(found.components(table)[0])[1].round(2).tolist()
    [-1.22, 0.0, 1.22]
    """
    value = _numbers(table, via)
    for name, column in zip(via, value.T, strict=True):
        if not np.ptp(column) > NEVER * max(float(np.abs(column).max()), 1e-300):
            raise ValueError(f"measure {name!r} is {column[0]:g} in all {len(column)} rows, so it tells nothing")
    ranked = pd.DataFrame(outcomes).rank().mean(axis=1)
    # A measure below zero is a log-probability: without its sign it is a loss.
    signs = np.array([
        -1.0 if column.max() < 0 else 1.0 for column in value.T
    ])  # fmt: skip
    turned = value * signs
    logs = (turned > 0).all(axis=0)
    latent = np.where(logs, np.log(np.where(turned > 0, turned, 1.0)), turned)
    # Positive measures are losses, others margins, unless outcomes surely say otherwise: by luck either may seem so.
    related = np.array([_rank_correlation(column, ranked) for column in latent.T])
    up = np.where(logs, related > SURELY, related > -SURELY)
    side = np.where(up, -1.0, 1.0)
    centre, width = latent.mean(axis=0), np.maximum(latent.std(axis=0), NEVER)
    scaled = (latent - centre) / (side * width)
    _, size, turn = np.linalg.svd(scaled, full_matrices=False)
    share = size**2 / (size**2).sum()
    kept = [0, *(i for i in range(1, min(len(size), MOST_PARTS)) if share[i] > LEAST_PART)]
    loadings = turn[kept] * np.where(turn[kept].sum(axis=1) < 0, -1.0, 1.0)[:, None]
    loadings /= np.std(loadings @ scaled.T, axis=1)[:, None]
    level, wide = float((side * centre).mean()), float(width.mean())
    first = level + wide * (loadings[0] @ scaled.T)
    scales = [(float(first.mean()), float(first.std()))]
    if logs.all() and not up.any():
        scales.append((float(np.exp(first).mean()), float(np.exp(first).std())))
    return Ability(tuple(via), signs, logs, centre, side * width, loadings, level, wide, tuple(scales))


def _numbers(table: pd.DataFrame, via: Sequence[str]) -> np.ndarray:
    return np.stack([pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float) for name in via], axis=1)


def _rank_correlation(column: np.ndarray, ranked: pd.Series) -> float:
    return float(np.nan_to_num(pd.Series(column).rank().corr(ranked)))

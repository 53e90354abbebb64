"""The latent scale: where a metric is modelled.

Logit between two bounds, complementary log-log for an error rate, log above or below one bound, identity without.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from predictdyn.curves import Metric

LEAST_RISE = float(np.log(4.0))  # what any run may do that no run has done
LEAST_FLOOR = 1e-120  # of the unit: what lies nearer to a bound has a logarithm that is no use
HUGE, TINY = 1e100, 1e-100  # values beyond have a unit of their own: their squares are no numbers
MOST = 1e305  # sums of a thousand are still numbers
LARGEST_FLOOR = 0.004  # of the range: accuracies within half an item of a bound carry no more than this


class Scale(NamedTuple):
    """Maps values of one metric to the latent scale and back; every latent number maps into the range.

    ``floor`` is the distance from a bound below which a logged value counts as lying on it, so that the logit of an
    accuracy of exactly 0 or 1 is finite, and no draw ever has to be clipped. Where values exactly on a bound were seen
    (``at_lower``, ``at_upper``), a draw nearer to it than the floor is that bound: a share of finitely many items that
    is nearer to 1 than half an item is logged as 1, and a forecast of the next measurement must be able to say so.
    ``unit`` is what values are measured in that are beyond `HUGE` or `TINY`, else one.
    """

    lower: float | None
    upper: float | None
    floor: float
    at_lower: bool = False
    at_upper: bool = False
    error: bool = False
    highest: float = np.inf
    rise: float = np.inf
    unit: float = 1.0

    def latent(self, value: np.ndarray) -> np.ndarray:
        """Values (...) in the metric's units to the latent scale (...)."""
        value = np.asarray(value, dtype=float)
        if self.lower is not None and self.upper is not None:
            inside = np.clip(value, self.lower + self.floor, self.upper - self.floor)
            if self.error:
                return np.log(-np.log1p(-(inside - self.lower) / (self.upper - self.lower)))
            return np.log(inside - self.lower) - np.log(self.upper - inside)
        if self.lower is not None:
            return np.log(np.maximum(value - self.lower, self.floor) / self.unit)
        if self.upper is not None:
            return -np.log(np.maximum(self.upper - value, self.floor) / self.unit)
        return value / self.unit

    def value(self, latent: np.ndarray) -> np.ndarray:
        """Latent numbers (...) back to the metric's units (...); huge ones end at or next to a bound, always finite."""
        latent = np.asarray(latent, dtype=float)
        if np.isfinite(self.highest):
            over = np.clip(latent - self.highest, 0.0, None)
            latent = np.minimum(latent, self.highest) + self.rise * np.tanh(over / self.rise)
        value = self._inside(latent)
        if self.at_lower and self.lower is not None:
            value = np.where(value < self.lower + self.floor, self.lower, value)
        if self.at_upper and self.upper is not None:
            value = np.where(value > self.upper - self.floor, self.upper, value)
        return value

    def _inside(self, latent: np.ndarray) -> np.ndarray:
        # Heavy-tailed draws may ask for exp(1000); at exp(300) squares are still finite, so a mean and sd exist.
        most = 300.0 if self.bounded else MOST / max(self.unit, 1.0)
        latent = np.clip(np.asarray(latent, dtype=float), -most, most)
        if self.lower is not None and self.upper is not None and self.error:
            return self.lower + (self.upper - self.lower) * -np.expm1(-np.exp(np.minimum(latent, 3.5)))
        if self.lower is not None and self.upper is not None:
            share = np.where(latent < 0, np.exp(np.minimum(latent, 0)), 1.0) / (1.0 + np.exp(-np.abs(latent)))
            return self.lower + (self.upper - self.lower) * share
        if self.lower is not None:
            return self.lower + np.exp(np.minimum(latent, self._most)) * self.unit
        if self.upper is not None:
            return self.upper - np.exp(np.minimum(-latent, self._most)) * self.unit
        return latent * self.unit

    def latent_stderr(self, value: np.ndarray, stderr: np.ndarray) -> np.ndarray:
        """Standard errors (...) on the latent scale by the delta method (NaN stays NaN)."""
        value = np.asarray(value, dtype=float)
        if self.lower is not None and self.upper is not None:
            inside = np.clip(value, self.lower + self.floor, self.upper - self.floor)
            if self.error:
                right = (self.upper - inside) / (self.upper - self.lower)
                return stderr / ((self.upper - self.lower) * right * -np.log(right))
            return stderr * (self.upper - self.lower) / ((inside - self.lower) * (self.upper - inside))
        if self.lower is not None:
            return stderr / np.maximum(value - self.lower, self.floor)
        if self.upper is not None:
            return stderr / np.maximum(self.upper - value, self.floor)
        return np.asarray(stderr, dtype=float) / self.unit

    def below(self, curves: Iterable[np.ndarray]) -> Scale:
        """The same scale, bent above what latent curves (t,) have reached; unchanged but beside a lower bound alone.

        The rise is the most by which a curve went beyond the highest value of its first quarter.
        """
        known = [curve for curve in curves if len(curve)]
        if not known:
            return self
        if self.lower is None or self.upper is not None:
            return self
        count = np.array([len(curve) for curve in known])
        first = np.cumsum(count) - count
        joined = np.concatenate(known)
        # The maximum of the first quarter and of the rest of each; of one point the first is all.
        parts = np.stack([first, first + np.minimum(-(-count // 4), count - 1)], axis=1).ravel()
        early, later = np.maximum.reduceat(joined, parts).reshape(-1, 2).T
        highest = np.maximum(early, later)
        return self.bent(float(highest.max()), float((highest - early).max()))

    def bent(self, highest: float, rise: float = 0.0) -> Scale:
        """Bent above a latent number, by `LEAST_RISE` at least; unchanged but beside a lower bound alone."""
        if self.lower is None or self.upper is not None:
            return self
        return self._replace(highest=highest, rise=max(rise, LEAST_RISE))

    @property
    def _most(self) -> float:
        """The logarithm of the largest value, in units, that is still a number with room above it."""
        return float(np.log(MOST) - np.log(self.unit))

    @property
    def bounded(self) -> bool:
        """Whether there is a bound on any side."""
        return self.lower is not None or self.upper is not None


def scale_for(metric: Metric, visible: np.ndarray) -> Scale:
    """The latent scale of a metric, its floor taken from visible values (t,) alone.

    The floor is half the smallest distance to a bound that was seen, and at most 0.4 % of the range: a share that is
    logged as 0.0005 keeps its meaning, an accuracy of exactly 1 stays finite.

    >>> scale = scale_for(Metric("acc", "capability", 0.0, 1.0), np.array([0.25, 0.5]))
    >>> float(scale.value(scale.latent(np.array(0.25))).round(6))
    0.25
    """
    if metric.lower is None and metric.upper is None:
        return Scale(None, None, 0.0, unit=_unit(np.abs(np.asarray(visible, dtype=float))))
    visible = np.asarray(visible, dtype=float)
    low = np.abs(visible - metric.lower) if metric.lower is not None else np.full(len(visible), np.inf)
    high = np.abs(visible - metric.upper) if metric.upper is not None else np.full(len(visible), np.inf)
    distance = np.concatenate([low, high])
    distance = distance[(distance > 0) & np.isfinite(distance)]
    floor = float(distance.min()) / 2 if len(distance) else np.inf
    if metric.lower is not None and metric.upper is not None:
        # Nearer to a bound than 1e-9 of the range, rounding would put a value on it.
        floor = (metric.upper - metric.lower) * min(max(floor / (metric.upper - metric.lower), 1e-9), LARGEST_FLOOR)
    unit = _unit(distance) if metric.lower is None or metric.upper is None else 1.0
    floor = max(floor, LEAST_FLOOR * unit, 5e-324) if np.isfinite(floor) else 1e-6
    error = metric.better == "lower" and metric.lower is not None and metric.upper is not None
    return Scale(metric.lower, metric.upper, floor, bool((low == 0).any()), bool((high == 0).any()), error, unit=unit)


def _unit(size: np.ndarray) -> float:
    """The largest of sizes (t,) as a power of two, where its square or that of its inverse is no number; else one."""
    largest = float(size.max(initial=0.0))
    return (
        1.0 if largest == 0 or TINY < largest < HUGE else float(2.0 ** np.clip(np.round(np.log2(largest)), -1020, 1000))
    )

"""Links: the scale on which a law is a sum of powers: log of a loss, log odds of an error between two bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR = (1e-2, 1e2)  # ranges of the target, between which a bound alone is the end of its scale


@dataclass(frozen=True)
class Link:
    """u = ln((y - lower) / (upper - y)), or ln(y - lower) without an upper bound, so that u falls as runs get better.

    ``sign`` is -1 where higher values are better: y, lower and upper stand for their negatives then.
    """

    lower: float
    upper: float = np.inf
    sign: int = 1
    slack: float = 1e-3  # how near to a bound a value is taken to be, in parts of the range
    least: float = -np.inf  # bounds of the target that the scale does not keep, in its units
    most: float = np.inf

    def latent(self, y: np.ndarray) -> np.ndarray:
        """Values (n,) on the scale of the law (n,)."""
        value = self.sign * np.asarray(y, dtype=float)
        if np.isinf(self.upper):
            return np.asarray(np.log(np.maximum(value - self.lower, 1e-12)))
        room = self.slack * (self.upper - self.lower)
        value = np.clip(value, self.lower + room, self.upper - room)
        return np.asarray(np.log((value - self.lower) / (self.upper - value)))

    def value(self, u: np.ndarray) -> np.ndarray:
        """Back in the units of the target."""
        if np.isinf(self.upper):
            with np.errstate(over="ignore"):
                value = self.sign * (self.lower + np.exp(np.minimum(u, 700.0)))
            return np.asarray(np.clip(value, self.least, self.most))
        return np.asarray(self.sign * (self.lower + (self.upper - self.lower) / (1.0 + np.exp(-np.clip(u, -700, 700)))))


def link_for(
    y: np.ndarray, *, lower: float = np.nan, upper: float = np.nan, better: str = "lower", chance: float | None = None
) -> Link:
    """The link of a target from its finished values (n,) and from what is known of its range.

    A target of which lower is better is a loss: ln y. Values at or below zero are moved up by twice their range. One
    between two finite bounds has log odds; ``chance`` is the worst value that a model without skill has. One bound
    alone is where the best values end, if it is not much farther than their range; no value goes beyond it.

    >>> link_for(np.array([2.0, 3.0])).latent(np.array([1.0])).tolist()
    [0.0]
    >>> accuracy = link_for(np.array([0.4, 0.6]), lower=0.0, upper=1.0, better="higher", chance=0.25)
    >>> accuracy.value(np.array([0.0])).tolist()
    [0.625]
    """
    y = np.asarray(y, dtype=float)
    low, high = float(y.min()), float(y.max())
    if np.isfinite(lower) and np.isfinite(upper):
        worst, best = (lower, upper) if better == "higher" else (upper, lower)
        if chance is not None and np.isfinite(chance):
            # Values a little worse than chance are noise around it, and far worse ones show that it is no bound.
            beyond = (chance - low) if better == "higher" else (high - chance)
            if beyond <= 0.05 * (upper - lower):
                worst = chance - max(beyond, 0.0) if better == "higher" else chance + max(beyond, 0.0)
        return Link(-best, -worst, -1) if better == "higher" else Link(best, worst)
    span = max(high - low, 1e-9)
    least, most = (bound if np.isfinite(bound) else side * np.inf for bound, side in ((lower, -1), (upper, 1)))
    if better == "higher":
        near = NEAR[0] * span < upper - high < NEAR[1] * span
        return Link(-(upper if near else high + 2.0 * span), sign=-1, least=least, most=most)
    if NEAR[0] * span < low - lower < NEAR[1] * span:
        return Link(lower, least=least, most=most)
    return Link(0.0 if low > 0 else low - 2.0 * span, least=least, most=most)

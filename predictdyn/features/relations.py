"""Features of two metrics of a run against each other, and which pairs are looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from predictdyn.curves import Metric
from predictdyn.features.seen import Seen, fitted, mean, rising, trimmed
from predictdyn.features.shape import FEW
from predictdyn.scales import Scale

MOST_PAIRS = 30
HELD_OUT = ("test", "validation", "valid", "val", "eval")


def pairs(metrics: Mapping[str, Metric]) -> list[tuple[str, str]]:
    """Pairs (a, b) of metrics, from kinds, ranges and directions, in the order of the metrics, at most 30.

    The first loss against the first accuracy; robustness and the worst group against the clean accuracy, or a loss
    under a shift against the clean loss; and a metric of training against the one of test that is named like it.

    >>> pairs({name: Metric(name, "loss", 0.0, None, "lower") for name in ("train_loss", "test_loss")})
    [('train_loss', 'test_loss')]
    """
    clean = [m.name for m in metrics.values() if m.kind == "capability" and _accuracy(m)][:1]
    losses = [m.name for m in metrics.values() if m.kind == "loss"]
    loss = sorted(losses, key=lambda name: "train" in _words(name))[:1]
    against_clean = [m.name for m in metrics.values() if m.kind in ("robustness", "bias") and _accuracy(m)]
    against_loss = [m.name for m in metrics.values() if m.kind == "robustness" and _loss(m)]
    found = [(a, b) for a in loss for b in clean]
    found += [(a, b) for a in against_clean for b in clean]
    found += [(a, b) for a in against_loss for b in loss]
    for name, metric in metrics.items():
        twins = [name.replace("train", word, 1) for word in HELD_OUT] if "train" in _words(name) else []
        found += [(name, twin) for twin in twins if twin in metrics and metric.kind != "schedule"]
    return found[:MOST_PAIRS]


def _words(name: str) -> list[str]:
    return re.split(r"[^a-z0-9]+", name.lower())


def _accuracy(metric: Metric) -> bool:
    return metric.lower is not None and metric.upper is not None and metric.better == "higher"


def _loss(metric: Metric) -> bool:
    return metric.lower is not None and metric.upper is None and metric.better == "lower"


def relation(a: Seen, b: Seen, scales: tuple[Scale, Scale]) -> dict[str, np.ndarray]:
    """Group ratios, over the steps at which both metrics were logged."""
    a, value_b, latent_b = _common(a, b)
    left, right = _probit(a.value, a.latent, scales[0]), _probit(value_b, latent_b, scales[1])
    difference, latest = left - right, a.latest(FEW)
    line = fitted(right, left, a.here.astype(float))
    means = [mean(value, latest) for value in (a.value, value_b)]
    positive = (means[0] > 0) & (means[1] > 0)
    ratios = [np.log(np.where(positive, value, 1.0)) for value in means]
    enough = a.counts > 2
    return {
        "difference": trimmed(difference, latest),
        "difference_slope": fitted(a.x, difference, rising(a.later())).slope,
        "ratio": np.where(positive, ratios[0] - ratios[1], np.nan),
        "line_slope": np.where(enough, line.slope, np.nan),
        "line_residual": np.where(enough, trimmed(left, latest) - line.at(trimmed(right, latest)), np.nan),
    }


def _common(a: Seen, b: Seen) -> tuple[Seen, np.ndarray, np.ndarray]:
    """The points of a at steps where b has one too, moved together to the right, with b's values and latent values."""
    if a.here.shape == b.here.shape and (a.here == b.here).all() and (a.step == b.step).all():
        return a, b.value, b.latent
    n, wide = len(a.here), 1.0 + max(float(a.step.max(initial=0.0)), float(b.step.max(initial=0.0)))
    code_a, code_b = (points.step + wide * np.arange(n)[:, None] for points in (a, b))
    known = code_b[b.here]
    place = np.minimum(np.searchsorted(known, code_a), max(len(known) - 1, 0))
    here = a.here & (known[place] == code_a) if len(known) else np.zeros_like(a.here)
    value, latent = (numbers[b.here][place] if len(known) else np.zeros(here.shape) for numbers in (b.value, b.latent))
    # Points that only a has become blank; a stable sort keeps the others in order and puts them last.
    order = np.argsort(here, axis=1, kind="stable")

    def moved(numbers: np.ndarray) -> np.ndarray:
        return np.take_along_axis(np.where(here, numbers, 0.0), order, axis=1)

    together = Seen(
        np.take_along_axis(here, order, axis=1), moved(a.step), moved(a.x), moved(a.latent), moved(a.value), a.now
    )
    return together, moved(value), moved(latent)


def _probit(value: np.ndarray, latent: np.ndarray, scale: Scale) -> np.ndarray:
    """Values between two bounds as normal quantiles of their place in the range; others stay latent."""
    from scipy.special import ndtri

    if scale.lower is None or scale.upper is None:
        return latent
    inside = np.clip(value, scale.lower + scale.floor, scale.upper - scale.floor)
    return np.asarray(ndtri((inside - scale.lower) / (scale.upper - scale.lower)))

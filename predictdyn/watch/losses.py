"""Which of the metrics of a history is the loss that a run trains on: what collapses first, and what rules look at."""

from __future__ import annotations

import re

from predictdyn.curves import Curves, Metric

OF_TRAINING = re.compile(r"(^|[^a-z])(train|training)([^a-z]|$)")


def training_losses(curves: Curves) -> list[Metric]:
    """The losses on training data; where no name says so all losses, and without any the capabilities.

    >>> from predictdyn.curves import curves_from
    >>> import pandas as pd
    >>> names = ["train/loss", "val_loss", "val_acc"]
    >>> points = pd.DataFrame({"run": "a", "metric": names, "step": 1, "value": 0.5})
    >>> known = {name: Metric(name, "loss", better="lower") for name in names[:2]}
    >>> [metric.name for metric in training_losses(curves_from(points, metrics=known))]
    ['train/loss']
    """
    told = [metric for metric in curves.metrics.values() if metric.better in ("lower", "higher")]
    losses = [metric for metric in told if metric.kind == "loss"]
    own = [metric for metric in losses if OF_TRAINING.search(metric.name.lower()) or metric.name.lower() == "loss"]
    return own or losses or [metric for metric in told if metric.kind == "capability"]


def training_loss(curves: Curves) -> str | None:
    """The loss on training data that most runs have logged."""
    return _usual(curves, [metric.name for metric in training_losses(curves) if metric.kind == "loss"])


def gradient_norm(curves: Curves) -> str | None:
    """The norm of gradients that most runs have logged."""
    return _usual(curves, [name for name in curves.metrics if re.search("grad.*norm|norm.*grad", name.lower())])


def _usual(curves: Curves, names: list[str]) -> str | None:
    logged = [name for _, name in curves.series]
    return max(names, key=logged.count, default=None)

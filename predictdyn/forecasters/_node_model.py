"""What averages over the nodes of curve forms: weights of nodes, and forecasts by nodes drawn by weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from predictdyn.fitting.stacks import Series
from predictdyn.fitting.structural import NodeScores, SampledNodes


class NodeModel(Protocol):
    """One way to condition the nodes of forms, given by name, on what was seen of curves."""

    def score_nodes(
        self, forms: Sequence[str], curves: Sequence[Series], knots: np.ndarray, truth: np.ndarray
    ) -> NodeScores:
        """Log weights of all nodes (n, k), and the mean log densities of truths (n, p) at ln x = knots (n, p)."""
        ...

    def sample_nodes(
        self,
        forms: Sequence[str],
        curves: Sequence[Series],
        knots: Sequence[np.ndarray],
        uniforms: np.ndarray,
        log_priors: Sequence[np.ndarray | None],
    ) -> Iterator[tuple[int, list[SampledNodes]]]:
        """For each curve, in any order: its place, and for each form forecasts at its own ln x = knots (p,).

        Nodes are drawn at uniforms (s,) of their weight, to which log priors (k,) are added.
        """
        ...

"""Structural: curve forms with a discrepancy process around them, averaged over all that is not known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from predictdyn.fitting import structural
from predictdyn.fitting.importance import Start, cloud, sample_cloud, start_for
from predictdyn.fitting.structural import NodeScores, SampledNodes, Series, by_grid, grid_for, log_density
from predictdyn.forecasters.model_average import ModelAverage
from predictdyn.forms import BY_NAME

WITHOUT_PROCESS = ("broken",)  # a process could follow any break; so sharp a form counts only where it needs none


@dataclass(frozen=True)
class StructuralNodes:
    """Nodes of forms by those of a local level with a slope that dies away: `fitting.structural`.

    The broken power law is without the process, by `fitting.importance`, and must be named after all that have it.
    """

    def score_nodes(
        self, forms: Sequence[str], curves: Sequence[Series], knots: np.ndarray, truth: np.ndarray
    ) -> NodeScores:
        """Log weights of all nodes of each form, and the log densities that they gave to truths.

        A form without the process is one node.
        """
        bundle, starts = _split(forms)
        of, k = structural.process(), sum(bundle.sizes)
        sizes = [size * len(of) for size in bundle.sizes] + [1] * len(starts)
        weight, density = np.zeros((2, len(curves), k * len(of) + len(starts)))
        for rows in by_grid(curves):
            first = curves[rows[0]]
            grid = grid_for(bundle, first.u, first.variance, of)
            for i in rows:
                found = structural.score_nodes(bundle, grid, curves[i], knots[i], truth[i])
                weight[i, : k * len(of)], density[i, : k * len(of)] = found.log_weight, found.log_density
                for j, (name, start) in enumerate(starts.items(), k * len(of)):
                    one = cloud(BY_NAME[name], start, curves[i], knots[i])
                    each = log_density(truth[i][:, None] - one.location, one.whole, one.df).mean(axis=0)
                    density[i, j] = np.logaddexp.reduce(each + one.log_weight)
        return NodeScores(weight, density, sizes)

    def sample_nodes(
        self,
        forms: Sequence[str],
        curves: Sequence[Series],
        knots: Sequence[np.ndarray],
        uniforms: np.ndarray,
        log_priors: Sequence[np.ndarray | None],
    ) -> Iterator[tuple[int, list[SampledNodes]]]:
        """Forecasts of each form by nodes drawn by weight, for one curve after another."""
        bundle, starts = _split(forms)
        of = structural.process()
        size = sum(bundle.sizes) * len(of)
        for rows in by_grid(curves):
            first = curves[rows[0]]
            grid = grid_for(bundle, first.u, first.variance, of)
            coarse = {name: BY_NAME[name].on_grid(np.exp(first.u), start.nodes) for name, start in starts.items()}
            for i in rows:
                prior = log_priors[i]
                nodes = None if prior is None else prior[:size]
                found = structural.sample_nodes(bundle, grid, curves[i], knots[i], uniforms, nodes)
                for j, (name, start) in enumerate(starts.items(), size):
                    one = cloud(BY_NAME[name], start, curves[i], knots[i], coarse[name])
                    found.append(sample_cloud(one, uniforms, 0.0 if prior is None else float(prior[j])))
                yield i, found


def _split(forms: Sequence[str]) -> tuple[structural.Bundle, dict[str, Start]]:
    """Forms with the process, and where the search for those without it begins."""
    bundle = structural.bundle([name for name in forms if name not in WITHOUT_PROCESS])
    return bundle, {name: start_for(BY_NAME[name]) for name in forms[len(bundle.names) :]}


STRUCTURAL = ModelAverage(
    "structural",
    StructuralNodes(),
    ("pow3", "pow4", "hill", "weibull", "rise_and_fall", "double_power", "floor", "broken"),
)

"""Structural: curve forms with a discrepancy process around them, averaged over all that is not known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from predictdyn.fitting import structural
from predictdyn.fitting.importance import Start, clouds, sample_cloud, start_for
from predictdyn.fitting.structural import NodeScores, SampledNodes, Series, by_grid, grid_for, log_density, stacks
from predictdyn.forecasters.model_average import ModelAverage
from predictdyn.forms import BY_NAME

WITHOUT_PROCESS = ("broken",)  # a process could follow any break; so sharp a form counts only where it needs none
TOGETHER = 32  # curves that are worked on at once


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
        for places, stack in stacks(curves, TOGETHER):
            here = [curves[i] for i in places]
            for rows in by_grid(here):
                grid = grid_for(bundle, here[rows[0]].u, here[rows[0]].variance, of)
                for i in (places[row] for row in rows):
                    found = structural.score_nodes(bundle, grid, curves[i], knots[i], truth[i])
                    weight[i, : k * len(of)], density[i, : k * len(of)] = found.log_weight, found.log_density
            for j, (name, start) in enumerate(starts.items(), k * len(of)):
                found_clouds = clouds(BY_NAME[name], start, stack, list(knots[places]))
                for i, one in zip(places, found_clouds, strict=True):
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
        for places, stack in stacks(curves, TOGETHER):
            here = [curves[i] for i in places]
            asked = [knots[i] for i in places]
            rest = [clouds(BY_NAME[name], start, stack, asked) for name, start in starts.items()]
            of_curve: dict[int, list[SampledNodes]] = {}
            for rows in by_grid(here):
                grid = grid_for(bundle, here[rows[0]].u, here[rows[0]].variance, of)
                for row in rows:
                    prior = log_priors[places[row]]
                    nodes = None if prior is None else prior[:size]
                    of_curve[row] = structural.sample_nodes(bundle, grid, here[row], asked[row], uniforms, nodes)
            for row, i in enumerate(places):
                prior = log_priors[i]
                mass = np.zeros(len(rest)) if prior is None else prior[size:]
                yield (
                    i,
                    of_curve[row]
                    + [
                        sample_cloud(next(of_form), uniforms, float(one))
                        for of_form, one in zip(rest, mass, strict=True)
                    ],
                )


def _split(forms: Sequence[str]) -> tuple[structural.Bundle, dict[str, Start]]:
    """Forms with the process, and where the search for those without it begins."""
    bundle = structural.bundle([name for name in forms if name not in WITHOUT_PROCESS])
    return bundle, {name: start_for(BY_NAME[name]) for name in forms[len(bundle.names) :]}


STRUCTURAL = ModelAverage(
    "structural",
    StructuralNodes(),
    ("pow3", "pow4", "hill", "weibull", "rise_and_fall", "double_power", "floor", "broken"),
)

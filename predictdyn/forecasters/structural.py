"""Structural: curve forms with a discrepancy process around them, averaged over all that is not known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from predictdyn.fitting.importance import Start, clouds, sample_cloud, start_for
from predictdyn.fitting.stacks import Series, stacks
from predictdyn.fitting.structural import NodeScores, SampledNodes, log_density, sample_nodes, score_nodes
from predictdyn.fitting.structural_grid import Bundle, process
from predictdyn.fitting.structural_grid import bundle as bundle_of
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
        of = process()
        sizes = [size * len(of) for size in bundle.sizes] + [1] * len(starts)
        k = sum(sizes) - len(starts)
        weight, density = np.zeros((2, len(curves), sum(sizes)))
        for places, stack in stacks(curves):
            weight[places, :k], density[places, :k] = score_nodes(bundle, of, stack, knots[places], truth[places])
            for j, (name, start) in enumerate(starts.items(), k):
                of_form = clouds(BY_NAME[name], start, stack, list(knots[places]))
                for i, one in zip(places, of_form, strict=True):
                    each = log_density(truth[i][:, None] - one.location, one.whole, np.array(one.df)).mean(axis=0)
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
        of = process()
        k = sum(bundle.sizes) * len(of)
        for places, stack in stacks(curves):
            asked, priors = [knots[i] for i in places], [log_priors[i] for i in places]
            nodes = [None if prior is None else prior[:k] for prior in priors]
            found = sample_nodes(bundle, of, stack, asked, uniforms, nodes)
            rest = [clouds(BY_NAME[name], start, stack, asked) for name, start in starts.items()]
            for i, prior, of_forms, *of_rest in zip(places, priors, found, *rest, strict=True):
                mass = np.zeros(len(rest)) if prior is None else prior[k:]
                yield i, of_forms + [sample_cloud(*one) for one in zip(of_rest, repeat(uniforms), mass.tolist())]


def _split(forms: Sequence[str]) -> tuple[Bundle, dict[str, Start]]:
    """Forms with the process, and where the search for those without it begins."""
    bundle = bundle_of([name for name in forms if name not in WITHOUT_PROCESS])
    return bundle, {name: start_for(BY_NAME[name]) for name in forms[len(bundle.names) :]}


STRUCTURAL = ModelAverage(
    "structural",
    StructuralNodes(),
    ("pow3", "pow4", "hill", "weibull", "rise_and_fall", "double_power", "floor", "broken"),
)

"""Trials of a search as runs: which of them will not be among the best, as pruners and schedulers ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from predictdyn.curves import Curves
    from predictdyn.forecasters._fitted import Fitted

NAME = "objective"


class SearchTrial(NamedTuple):
    """A trial: its name, what it has reported by step, its parameters and, once it is complete, its value."""

    name: str
    reports: Mapping[float, float]
    params: Mapping[str, Any]
    value: float | None = None


class BestTrials:
    """Which trials will not be among the best k of a search, by their forecasts.

    Trials are stopped as long as all stops together are expected to make the k best values worse by at most the share
    ``regret`` of the best one. It learns from trials that are complete, and stops none before there are ``startup`` of
    them. ``last_step`` is the step of a trial's last report (default: that of the longest complete trial). Raises
    ValueError for a wrong call.
    """

    def __init__(self, *, regret: float, k: int, startup: int, last_step: int | None, forecaster: str, seed: int):
        from predictdyn.forecasters import forecaster as named

        if not 0 <= regret < 1:
            raise ValueError(f"regret= is a share in [0, 1), got {regret:g}")
        if k < 1 or startup < 2:
            raise ValueError(f"k= is 1 or more and startup= 2 or more, got {k} and {startup}")
        named(forecaster)
        self.regret, self.k, self.startup, self.last_step = regret, k, startup, last_step
        self.forecaster, self.seed = forecaster, seed
        self.learnt: tuple[tuple[str, ...], Fitted] | None = None  # kept until another trial is complete
        self.stopped: dict[str, np.ndarray] = {}  # how stopped trials would have ended, as draws

    def due(self, done: Sequence[SearchTrial], trial: SearchTrial) -> bool:
        """Whether there is something to decide: enough trials are complete, and this one has begun and goes on."""
        enough = sum(bool(one.reports) for one in done) >= max(self.startup, self.k)
        return enough and bool(trial.reports) and max(trial.reports) < self._end(done)

    def _end(self, done: Sequence[SearchTrial]) -> float:
        return float(self.last_step or max(max(one.reports) for one in done if one.reports))

    def stops(
        self, done: Sequence[SearchTrial], pruned: Sequence[SearchTrial], trial: SearchTrial, *, largest: bool
    ) -> bool:
        """Whether a trial that is running should be stopped now, beside those that are complete and those stopped.

        ``largest``: larger values are better. Trials without a report count for nothing.
        """
        import numpy as np
        import pandas as pd

        from predictdyn.forecasters import fit
        from predictdyn.watch.stop import ForecastRule

        done = [one for one in done if one.reports]
        if not self.due(done, trial):
            return False
        end = self._end(done)
        sign = 1.0 if largest else -1.0
        complete = tuple(one.name for one in done)
        if self.learnt is None or self.learnt[0] != complete:
            self.learnt = complete, fit(self.forecaster, curves_of(done, end, sign), seed=self.seed)
        pruned = [one for one in pruned if one.reports]
        new = [trial, *(one for one in pruned if one.name not in self.stopped)]
        target = pd.DataFrame({"run": [one.name for one in new], "metric": NAME, "step": end})
        draws = sign * self.learnt[1].forecast(curves_of(new, end, sign), target, seed=self.seed).draws
        self.stopped |= {one.name: row for one, row in zip(new[1:], draws[1:], strict=True)}
        ends = sign * np.array([one.value for one in done], dtype=float)
        # Stopped trials count with what was forecast of them, so that all of them together cost no more.
        every = np.stack([draws[0], *(self.stopped[one.name] for one in pruned)])
        rule = ForecastRule(self.regret * abs(float(ends.max())), self.k)
        return bool(rule.verdict(every, np.arange(len(every)) == 0, ends).stop[0])


def curves_of(trials: Sequence[SearchTrial], end: float, sign: float) -> Curves:
    """Trials as curves: reports that are finite, and parameters that are numbers as settings. ``sign`` is 1 where
    larger is better.
    """
    import math

    import pandas as pd

    from predictdyn.curves import Metric, curves_from

    points = pd.DataFrame(
        [
            (one.name, NAME, float(step), float(value))
            for one in trials
            for step, value in one.reports.items()
            if math.isfinite(value) and step <= end
        ],
        columns=["run", "metric", "step", "value"],
    )
    settings = [
        {"run": one.name, "last_step": end}
        | {name: cell for name, cell in one.params.items() if isinstance(cell, int | float)}
        for one in trials
    ]
    kind, better = ("capability", "higher") if sign > 0 else ("loss", "lower")
    metric = Metric(NAME, kind, better=better)  # type: ignore[arg-type]
    return curves_from(points, pd.DataFrame(settings).set_index("run"), {NAME: metric})

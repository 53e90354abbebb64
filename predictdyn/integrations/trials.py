"""Trials of a search as runs: which of them will not be among the best, as pruners and schedulers ask."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from predictdyn.curves import Curves
    from predictdyn.forecasters._fitted import Fitted

NAME = "objective"
FACTS = ("run", "family", "last_step")  # columns of runs that mean something else than a parameter called so


class SearchTrial(NamedTuple):
    """A trial: its name, what it has reported by step, and its parameters."""

    name: str
    reports: Mapping[float, float]
    params: Mapping[str, Any]

    def finite(self) -> SearchTrial:
        """The same trial without reports that are not finite."""
        return self._replace(reports={step: value for step, value in self.reports.items() if math.isfinite(value)})

    def mark(self) -> tuple[object, ...]:
        """What tells it from a trial of the same name in another search."""
        last = max(self.reports)
        return self.name, len(self.reports), last, self.reports[last]


class BestTrials:
    """Which trials will not be among the best k of a search, by their forecasts.

    Trials are stopped as long as all stops together are expected to make the k best values worse by at most the share
    ``regret`` of the best one. It learns from trials that are complete, and stops none before there are ``startup`` of
    them. ``last_step`` is the step of a trial's last report (default: that of the longest complete trial). Values are
    those reported: of a complete trial the last one until then. Reports that are not finite count for nothing. Raises
    ValueError for a wrong call.
    """

    def __init__(self, *, regret: float, k: int, startup: int, last_step: int | None, forecaster: str, seed: int):
        from predictdyn.forecasters import forecaster as named

        if not (_a(Real, regret) and 0 <= regret < 1):
            raise ValueError(f"regret= is a share in [0, 1), got {regret!r}")
        if not (_a(Integral, k) and _a(Integral, startup) and k >= 1 and startup >= 2):
            raise ValueError(f"k= is a whole number from 1 on and startup= from 2 on, got {k!r} and {startup!r}")
        if last_step is not None and not (_a(Real, last_step) and 0 < last_step < math.inf):
            raise ValueError(f"last_step= is the step of a trial's last report, a number above 0, got {last_step!r}")
        named(forecaster)
        self.regret, self.k, self.startup, self.last_step = regret, k, startup, last_step
        self.forecaster, self.seed = forecaster, seed
        self.learnt: tuple[tuple[object, ...], Fitted] | None = None  # kept until another trial is complete
        self.stopped: dict[tuple[object, ...], np.ndarray] = {}  # how stopped trials would have ended, as draws

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

        if not self.due(done, trial):
            return False
        end = self._end(done)
        done, pruned, (trial,) = ([one.finite() for one in some] for some in (done, pruned, [trial]))
        # Of complete trials the last report until the end counts: what they returned may be another measure.
        known = [one.reports[max(at)] for one in done if (at := [step for step in one.reports if step <= end])]
        if len(known) < max(self.startup, self.k) or not trial.reports:
            return False
        sign = 1.0 if largest else -1.0
        complete = largest, *(one.mark() for one in done if one.reports)
        if self.learnt is None or self.learnt[0] != complete:
            self.learnt = complete, fit(self.forecaster, curves_of(done, end, sign), seed=self.seed)
        marks = {(largest, *one.mark()): one for one in pruned if one.reports and min(one.reports) <= end}
        new = [trial, *(one for mark, one in marks.items() if mark not in self.stopped)]
        target = pd.DataFrame({"run": [one.name for one in new], "metric": NAME, "step": end})
        draws = sign * self.learnt[1].forecast(curves_of(new, end, sign), target, seed=self.seed).draws
        self.stopped |= {(largest, *one.mark()): row for one, row in zip(new[1:], draws[1:], strict=True)}
        ends = sign * np.array(known, dtype=float)
        # Stopped trials count with what was forecast of them, so that all of them together cost no more.
        every = np.stack([draws[0], *(self.stopped[mark] for mark in marks)])
        rule = ForecastRule(self.regret * abs(float(ends.max())), self.k)
        return bool(rule.verdict(every, np.arange(len(every)) == 0, ends).stop[0])


def _a(kind: type, setting: object) -> bool:
    """Whether a setting is a number of a kind, whatever its annotation says."""
    return isinstance(setting, kind)


def curves_of(trials: Sequence[SearchTrial], end: float, sign: float) -> Curves:
    """Trials as curves: reports up to the end, and parameters that are numbers as settings. Those without a report are
    left out. ``sign`` is 1 where larger is better.
    """
    import pandas as pd

    from predictdyn.curves import Metric, curves_from

    points = pd.DataFrame(
        [
            (one.name, NAME, float(step), float(value))
            for one in trials
            for step, value in one.reports.items()
            if step <= end
        ],
        columns=["run", "metric", "step", "value"],
    )
    settings = [
        {"run": one.name, "last_step": end}
        | {
            f"{name}_" if name in FACTS else name: cell
            for name, cell in one.params.items()
            if isinstance(cell, int | float)
        }
        for one in trials
        if any(step <= end for step in one.reports)
    ]
    kind, better = ("capability", "higher") if sign > 0 else ("loss", "lower")
    metric = Metric(NAME, kind, better=better)  # type: ignore[arg-type]
    return curves_from(points, pd.DataFrame(settings).set_index("run"), {NAME: metric})

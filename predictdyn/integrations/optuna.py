"""A pruner for Optuna: ``optuna.create_study(pruner=ForecastPruner())``. Optuna is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from predictdyn.curves import Curves
    from predictdyn.forecasters._fitted import Fitted

NAME = "objective"


def ForecastPruner(
    *, regret: float = 0.01, k: int = 1, startup: int = 8, last_step: int | None = None,
    forecaster: str = "pooled_change", seed: int = 0,
) -> Any:  # fmt: skip
    """An `optuna.pruners.BasePruner` that stops a trial when its forecast says that it will not be among the best k.

    Trials are pruned as long as all prunings together are expected to make the k best values of the study worse by at
    most the share ``regret`` of the best one. It learns from trials that are complete, and prunes none before there
    are ``startup`` of them. ``last_step`` is the step of a trial's last report (default: that of the longest complete
    trial). Trials report to one objective with `trial.report`. Raises ImportError without optuna, and ValueError for a
    wrong call.
    """
    from optuna.pruners import BasePruner

    from predictdyn.forecasters import forecaster as named

    if not 0 <= regret < 1:
        raise ValueError(f"regret= is a share in [0, 1), got {regret:g}")
    if k < 1 or startup < 2:
        raise ValueError(f"k= is 1 or more and startup= 2 or more, got {k} and {startup}")
    named(forecaster)

    class _ForecastPruner(BasePruner):
        """What `ForecastPruner` gives: it keeps what was learnt until another trial is complete."""

        learnt: tuple[tuple[int, ...], Fitted] | None = None

        def __init__(self) -> None:
            self.stopped: dict[int, np.ndarray] = {}  # how pruned trials would have ended, as draws

        def prune(self, study: Any, trial: Any) -> bool:
            from optuna.trial import TrialState

            done = [
                one
                for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
                if one.intermediate_values
            ]
            if len(done) < max(startup, k) or not trial.intermediate_values:
                return False
            end = last_step or max(max(one.intermediate_values) for one in done)
            if max(trial.intermediate_values) >= end:
                return False
            states = (TrialState.PRUNED,)
            pruned = [one for one in study.get_trials(deepcopy=False, states=states) if one.intermediate_values]
            largest = study.direction.name == "MAXIMIZE"
            return self._stops(done, pruned, trial, float(end), 1.0 if largest else -1.0)

        def _stops(self, done: list[Any], pruned: list[Any], trial: Any, end: float, sign: float) -> bool:
            import numpy as np
            import pandas as pd

            from predictdyn.forecasters import fit
            from predictdyn.watch.stop import ForecastRule

            complete = tuple(one.number for one in done)
            if self.learnt is None or self.learnt[0] != complete:
                self.learnt = complete, fit(forecaster, curves_of(done, end, sign), seed=seed)
            new = [trial, *(one for one in pruned if one.number not in self.stopped)]
            target = pd.DataFrame({"run": [str(one.number) for one in new], "metric": NAME, "step": end})
            draws = sign * self.learnt[1].forecast(curves_of(new, end, sign), target, seed=seed).draws
            self.stopped |= {one.number: row for one, row in zip(new[1:], draws[1:], strict=True)}
            ends = sign * np.array([one.value for one in done], dtype=float)
            # Pruned trials count with what was forecast of them, so that all of them together cost no more.
            every = np.stack([draws[0], *(self.stopped[one.number] for one in pruned)])
            rule = ForecastRule(regret * abs(float(ends.max())), k)
            return bool(rule.verdict(every, np.arange(len(every)) == 0, ends).stop[0])

    return _ForecastPruner()


def curves_of(trials: list[Any], end: float, sign: float) -> Curves:
    """Trials as curves: reports that are finite, and parameters that are numbers as settings. ``sign`` is 1 where
    larger is better.
    """
    import math

    import pandas as pd

    from predictdyn.curves import Metric, curves_from

    points = pd.DataFrame(
        [
            (str(one.number), NAME, float(step), float(value))
            for one in trials
            for step, value in one.intermediate_values.items()
            if math.isfinite(value) and step <= end
        ],
        columns=["run", "metric", "step", "value"],
    )
    settings = [
        {"run": str(one.number), "last_step": end}
        | {name: cell for name, cell in one.params.items() if isinstance(cell, int | float)}
        for one in trials
    ]
    kind, better = ("capability", "higher") if sign > 0 else ("loss", "lower")
    metric = Metric(NAME, kind, better=better)  # type: ignore[arg-type]
    return curves_from(points, pd.DataFrame(settings).set_index("run"), {NAME: metric})

"""A scheduler for Ray Tune: ``tune.TuneConfig(scheduler=ForecastScheduler())``. Ray is imported when it is used."""

from __future__ import annotations

import logging
from typing import Any

from predictdyn.integrations.trials import BestTrials, SearchTrial

LOGGER = logging.getLogger("predictdyn")


def ForecastScheduler(
    *, metric: str | None = None, mode: str | None = None, time_attr: str = "training_iteration",
    regret: float = 0.01, k: int = 1, startup: int = 8, last_step: int | None = None,
    forecaster: str = "pooled_change", seed: int = 0,
) -> Any:  # fmt: skip
    """A `ray.tune.schedulers.TrialScheduler` that stops a trial which will not be among the best k, by its forecast.

    ``metric`` and ``mode`` ("max" or "min") are those of ``TuneConfig`` by themselves, ``time_attr`` is what counts the
    steps of a trial. The other settings are those of `BestTrials`. A fault of ours is one line in the log "predictdyn",
    and the trial goes on. Raises ImportError without ray, and ValueError for a wrong call.
    """
    from ray.tune.schedulers import FIFOScheduler  # type: ignore[import-not-found, unused-ignore]

    best = BestTrials(regret=regret, k=k, startup=startup, last_step=last_step, forecaster=forecaster, seed=seed)
    if mode not in (None, "max", "min"):
        raise ValueError(f"mode= is max or min, got {mode!r}")

    class _ForecastScheduler(FIFOScheduler):  # type: ignore[misc, unused-ignore]
        """What `ForecastScheduler` gives: it keeps what each trial has reported."""

        def __init__(self) -> None:
            super().__init__()
            self._metric, self.mode = metric, mode
            self.seen: dict[str, SearchTrial] = {}
            self.complete: list[str] = []
            self.pruned: list[str] = []
            self.told = ""

        def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
            if self.mode and mode:
                return False
            self.mode = mode or self.mode
            return bool(super().set_search_properties(metric, mode, **spec))

        def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
            # Without these, the wrong trials would be stopped, or none.
            if not self._metric or self.mode not in ("max", "min"):
                raise ValueError(
                    f"ForecastScheduler needs metric= and mode= (max or min), here or in TuneConfig, got "
                    f"{self._metric!r} and {self.mode!r}"
                )
            super().on_trial_add(tune_controller, trial)

        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
            try:
                one = self._add(trial, result)
                done, stopped = ([self.seen[name] for name in names] for names in (self.complete, self.pruned))
                if one is not None and best.stops(done, stopped, one, largest=self.mode != "min"):
                    self.pruned.append(one.name)
                    return str(self.STOP)
            except Exception as error:
                self._fault(error)
            return str(self.CONTINUE)

        def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
            try:
                one = self._add(trial, result) or self.seen.get(trial.trial_id)
                if one is not None and one.name not in self.pruned and one.name not in self.complete:
                    self.complete.append(one.name)
            except Exception as error:
                self._fault(error)

        def _fault(self, error: Exception) -> None:
            """A fault of ours, as one line; the same one is not said again."""
            line = " ".join(f"{type(error).__name__}: {error}".split())
            if line != self.told:
                self.told = line
                LOGGER.warning("the scheduler left out a decision (the trial goes on): %s", line)

        def _add(self, trial: Any, result: dict[str, Any]) -> SearchTrial | None:
            """The trial with one more report; None where the result has none of the metric."""
            if self._metric not in result or time_attr not in result:
                return None
            before = self.seen.get(trial.trial_id, SearchTrial(trial.trial_id, {}, trial.config))
            report = {float(result[time_attr]): float(result[self._metric])}
            now = before._replace(reports={**before.reports, **report})
            self.seen[now.name] = now
            return now

        def debug_string(self) -> str:
            return f"ForecastScheduler: {len(self.pruned)} stopped, {len(self.complete)} complete."

    return _ForecastScheduler()

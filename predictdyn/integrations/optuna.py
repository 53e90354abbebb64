"""A pruner for Optuna: ``optuna.create_study(pruner=ForecastPruner())``. Optuna is imported when it is used."""

from __future__ import annotations

from typing import Any

from predictdyn.integrations.trials import BestTrials, SearchTrial


def ForecastPruner(
    *, regret: float = 0.01, k: int = 1, startup: int = 8, last_step: int | None = None,
    forecaster: str = "pooled_change", seed: int = 0,
) -> Any:  # fmt: skip
    """An `optuna.pruners.BasePruner` that stops a trial when its forecast says that it will not be among the best k.

    The settings are those of `BestTrials`. Trials report to one objective with `trial.report`; what they return is not
    looked at. Raises ImportError without optuna, and ValueError for a wrong call.
    """
    from optuna.pruners import BasePruner

    best = BestTrials(regret=regret, k=k, startup=startup, last_step=last_step, forecaster=forecaster, seed=seed)

    class _ForecastPruner(BasePruner):
        """What `ForecastPruner` gives."""

        def prune(self, study: Any, trial: Any) -> bool:
            from optuna.trial import TrialState

            done, now = _trials(study, TrialState.COMPLETE), _seen(trial)
            # A storage may be a database: stopped trials are asked for only where they count.
            if not best.due(done, now):
                return False
            pruned = _trials(study, TrialState.PRUNED)
            return best.stops(done, pruned, now, largest=study.direction.name == "MAXIMIZE")

    return _ForecastPruner()


def _trials(study: Any, state: Any) -> list[SearchTrial]:
    return [_seen(one) for one in study.get_trials(deepcopy=False, states=(state,))]


def _seen(trial: Any) -> SearchTrial:
    return SearchTrial(str(trial.number), trial.intermediate_values, trial.params)

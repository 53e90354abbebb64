"""predictdyn: forecast what a training run will become, from its first steps, and prove it by replaying the past.

>>> import predictdyn as pdyn
>>> curves = pdyn.load_dataset("grokking")
>>> pdyn.forecast(curves, runs="*-s1", cutoff=0.1, forecaster="mean_change")
Forecast: mean_change, ... targets of ... runs; .summary() has them
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from predictdyn import design as design
    from predictdyn.api.backtests import Backtest as Backtest
    from predictdyn.api.backtests import backtest as backtest
    from predictdyn.api.forecasts import Forecast as Forecast
    from predictdyn.api.forecasts import forecast as forecast
    from predictdyn.api.laws import FittedLaw as FittedLaw
    from predictdyn.api.laws import fit_law as fit_law
    from predictdyn.api.ledgers import Ledger as Ledger
    from predictdyn.api.ledgers import register as register
    from predictdyn.api.ledgers import resolve as resolve
    from predictdyn.api.models import FittedModel as FittedModel
    from predictdyn.api.models import fit as fit
    from predictdyn.api.models import forecasters as forecasters
    from predictdyn.api.models import load_model as load_model
    from predictdyn.api.pages import report as report
    from predictdyn.api.publishing import publish as publish
    from predictdyn.api.publishing import record as record
    from predictdyn.api.reading import load as load
    from predictdyn.api.reading import load_dataset as load_dataset
    from predictdyn.api.stopping import should_stop as should_stop
    from predictdyn.api.watching import Watch as Watch
    from predictdyn.api.watching import watch as watch
    from predictdyn.curves import Curves as Curves
    from predictdyn.curves import Metric as Metric
    from predictdyn.effects import Intervention as Intervention
    from predictdyn.integrations.monitor import Monitor as Monitor
    from predictdyn.watch.replay import AlarmReplay as AlarmReplay
    from predictdyn.watch.replay import backtest_alarms as backtest_alarms

__version__ = "0.1.0"

# Name -> the module that has it; none is imported before it is used, so that `import predictdyn` takes no time.
_HOMES = {
    "load": "api.reading",
    "load_dataset": "api.reading",
    "Curves": "curves",
    "Metric": "curves",
    "fit": "api.models",
    "load_model": "api.models",
    "FittedModel": "api.models",
    "forecast": "api.forecasts",
    "Forecast": "api.forecasts",
    "Intervention": "effects",
    "fit_law": "api.laws",
    "FittedLaw": "api.laws",
    "backtest": "api.backtests",
    "Backtest": "api.backtests",
    "backtest_alarms": "watch.replay",
    "AlarmReplay": "watch.replay",
    "report": "api.pages",
    "watch": "api.watching",
    "Watch": "api.watching",
    "should_stop": "api.stopping",
    "Monitor": "integrations.monitor",
    "Ledger": "api.ledgers",
    "register": "api.ledgers",
    "resolve": "api.ledgers",
    "record": "api.publishing",
    "publish": "api.publishing",
    "forecasters": "api.models",
}
# Rooms that are names of the face themselves: pdyn.design.next_runs.
_ROOMS = ("design",)
__all__ = [
    "load",
    "load_dataset",
    "Curves",
    "Metric",
    "fit",
    "load_model",
    "FittedModel",
    "forecast",
    "Forecast",
    "Intervention",
    "fit_law",
    "FittedLaw",
    "backtest",
    "Backtest",
    "backtest_alarms",
    "AlarmReplay",
    "report",
    "watch",
    "Watch",
    "should_stop",
    "Monitor",
    "Ledger",
    "register",
    "resolve",
    "record",
    "publish",
    "forecasters",
    "design",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"predictdyn.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'predictdyn' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"predictdyn.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


class _Face(ModuleType):
    """This module: where a verb and a room have one name (forecast, backtest, report, forecasters), it is the verb.

    Importing a room from anywhere would otherwise put it in the verb's place.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face

"""Forecasters: a written-out table of names, and the verbs fit, save and load."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from predictdyn.naming import meant

if TYPE_CHECKING:
    from predictdyn.curves import Curves
    from predictdyn.forecast import Model
    from predictdyn.forecasters._fitted import Fitted

# The references that every model must beat; nothing is imported before it is asked for.
BASELINES = ("last_value", "mean_change", "mean_outcome", "log_linear", "pow3", "nearest_run", "chance")
DEFAULT = "auto"
# Name -> the module it lives in, and its name there.
TABLE = {
    **{name: ("baselines", name.upper()) for name in BASELINES},
    "damped_slope": ("baselines", "DAMPED_SLOPE"),
    "curve_fit": ("curve_fit", "CURVE_FIT"),
    "structural": ("structural", "STRUCTURAL"),
    "extra_trees": ("regressions", "EXTRA_TREES"),
    "quantile_regression": ("regressions", "QUANTILE_REGRESSION"),
    "pooled_change": ("pooled_change", "POOLED_CHANGE"),
    "pooled_curves": ("pooled_curves", "POOLED_CURVES"),
    "exposures": ("exposures", "EXPOSURES"),
    "schedule_law": ("schedule_law", "SCHEDULE_LAW"),
    "breakthrough": ("breakthrough", "BREAKTHROUGH"),
    "law": ("law", "LAW"),
    "capability_from_loss": ("capability", "CAPABILITY_FROM_LOSS"),
    "pooled": ("pooled", "POOLED"),
    "curve_ensemble": ("ensemble", "CURVE_ENSEMBLE"),
    "auto": ("ensemble", "AUTO"),
}
# Name -> its family, what it does, and what it needs to have an answer of its own.
ABOUT = {
    "last_value": ("baseline", "the last value stays; spread by how far finished runs moved", "one point"),
    "mean_change": ("baseline", "the last value plus the mean change of finished runs", "finished runs"),
    "mean_outcome": ("baseline", "the mean outcome of finished runs, whatever was seen", "finished runs"),
    "log_linear": ("baseline", "a straight line in the logarithm of the step", "three points"),
    "pow3": ("baseline", "a power law with an asymptote, by least squares", "four points"),
    "nearest_run": ("baseline", "moves as the three finished runs that fit its beginning best", "finished runs"),
    "chance": ("baseline", "the value of a model that knows nothing, else the first value", "one point"),
    "damped_slope": ("curve", "the recent slope goes on and dies away", "three points"),
    "curve_fit": ("curve", "six curve forms by least squares, averaged by evidence", "three points"),
    "structural": ("curve", "curve forms with a discrepancy process, averaged", "three points"),
    "extra_trees": ("regression", "randomised trees on features of the beginning of runs", "finished runs"),
    "quantile_regression": ("regression", "linear quantiles of the change, by features", "finished runs"),
    "pooled_change": ("pooled", "a Gaussian process of the change over runs, plans and metrics", "finished runs"),
    "pooled_curves": ("pooled", "a Gaussian process of whole curves over runs", "finished runs"),
    "exposures": (
        "memorization",
        "shares of strings by how often each was met",
        "finished runs, repetitions",
    ),
    "schedule_law": (
        "law",
        "a loss by what its learning rate did and will do",
        "a learning rate known ahead",
    ),
    "breakthrough": (
        "mixture of outcomes",
        "runs that break through and runs that do not, with a hazard for which",
        "finished runs with two modes",
    ),
    "law": ("law", "a scaling law over the plans of runs; needs nothing of the run itself", "finished runs, settings"),
    "capability_from_loss": (
        "law",
        "an accuracy by way of the loss: finished runs say what comes with it",
        "finished runs, a loss",
    ),
    "pooled": ("pooled", "a hierarchy of curves by NUTS; slow, in JAX", "finished runs"),
    "curve_ensemble": ("mixture", "baselines and curve forms, weights learnt by replays", "one point"),
    "auto": ("mixture", "all but the slow ones, weights learnt by replays of your runs; the default", "one point"),
}


def names() -> list[str]:
    """All forecasters, baselines first.

    >>> names()[:2]
    ['last_value', 'mean_change']
    """
    return list(TABLE)


def forecaster(name: str) -> Model:
    """The forecaster of that name. Raises ValueError for an unknown one.

    >>> forecaster("last_value").name
    'last_value'
    """
    if name not in TABLE:
        raise ValueError(f"no forecaster {name!r}; {meant(name, TABLE)}known are {', '.join(names())}")
    module, attribute = TABLE[name]
    found: Model = getattr(import_module(f"{__name__}.{module}"), attribute)
    return found


def fit(model: str | Model, history: Curves, *, seed: int = 0) -> Fitted:
    """A forecaster, by name or itself, with the runs it may learn from; what it learns of them it learns when asked."""
    from predictdyn.forecasters._fitted import Fitted
    from predictdyn.problem import History

    return Fitted(forecaster(model) if isinstance(model, str) else model, History(history), seed)


def save(fitted: Fitted, folder: Path, workers: int = 1) -> None:
    """Keep a fitted forecaster of the table in an existing, empty folder; so many processes learn what it keeps.

    Raises ValueError for a model of your own: its code is not in the folder, so nobody could load it.
    """
    from predictdyn.forecasters._kept import write_about

    name = fitted.model.name
    if name not in TABLE or forecaster(name) != fitted.model:
        raise ValueError(f"only forecasters of the table can be saved, as they are there; {name!r} is not one")
    fitted.save(folder, workers)
    write_about(name, fitted.seed, folder)


def load(folder: Path) -> Fitted:
    """Read a fitted forecaster.

    Raises ValueError, one line with the file, when the folder does not hold one as it was written.
    """
    from predictdyn.forecasters._fitted import fitted_from
    from predictdyn.forecasters._kept import FIT, read_about

    name, seed = read_about(folder)
    try:
        return fitted_from(forecaster(name), folder, seed)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(
            f"{folder}: {name} cannot read it ({type(error).__name__}: {error}); it is of another version; {FIT}"
        ) from error

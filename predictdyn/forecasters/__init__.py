"""Forecasters: one file per way of forecasting; the folder is the registry."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from predictdyn.forecast import Fitted, Forecaster

# The references that every model must beat; the rest of the folder are models.
BASELINES = ("last_value", "drift", "climatology", "log_linear", "pow3", "nearest", "chance")
DEFAULT = "auto"


def names() -> list[str]:
    """All forecasters, baselines first; read from the file names, so nothing is imported.

    >>> names()[:2]
    ['last_value', 'drift']
    """
    found = sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
    return [*BASELINES, *(name for name in found if name not in BASELINES)]


def forecaster(name: str) -> Forecaster:
    """The forecaster of that name. Raises ValueError for an unknown one.

    >>> forecaster("last_value").name
    'last_value'
    """
    if name not in names():
        raise ValueError(f"no forecaster {name!r}; known are {', '.join(names())}")
    found: Forecaster = import_module(f"{__name__}.{name}").FORECASTER
    return found


def save(name: str, fitted: Fitted, folder: Path) -> None:
    """Keep a fitted forecaster in an existing, empty folder."""
    from predictdyn.forecasters._kept import write_about

    fitted.save(folder)
    write_about(name, folder)


def load(folder: Path) -> tuple[str, Fitted]:
    """Read a fitted forecaster and its name.

    Raises ValueError, one line with the file, when the folder does not hold one as it was written.
    """
    from predictdyn.forecasters._kept import FIT, read_about

    name = read_about(folder)
    try:
        return name, forecaster(name).load(folder)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(
            f"{folder}: {name} cannot read it ({type(error).__name__}: {error}); it is of another version; {FIT}"
        ) from error

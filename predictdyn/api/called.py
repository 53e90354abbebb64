"""The call that made a result, as a line of Python that makes it again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from predictdyn.api.models import FittedModel

LONGEST = 200  # of a model's own words for itself


def called(function: Callable[..., Any], **given: Any) -> str:
    """``predictdyn.function(curves, ...)`` with the keywords that differ from their defaults.

    The data are called ``curves``, and a fitted model ``model``: both are the caller's own variables.

    >>> from predictdyn.api.forecasts import forecast
    >>> called(forecast, forecaster="mean_change", cutoff=None, runs=["a*", "b"], seed=3)
    "predictdyn.forecast(curves, forecaster='mean_change', runs=['a*', 'b'], seed=3)"
    """
    parameters = inspect.signature(function).parameters
    words = {name: _word(value) for name, value in given.items()}
    named = [f"{name}={word}" for name, word in words.items() if word != _word(parameters[name].default)]
    return f"predictdyn.{function.__name__}({', '.join(['curves', *named])})"


def _word(value: Any) -> str:
    if isinstance(value, FittedModel):
        return "model"
    if isinstance(value, Path):
        return repr(str(value))
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_word, value))}]"
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    words = repr(value)
    # What Python says of an object that says nothing of itself is an address, which nobody can call.
    return words if len(words) <= LONGEST and not words.startswith("<") else f"{type(value).__name__}()"

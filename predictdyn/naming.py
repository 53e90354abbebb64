"""Names in messages: the first few of a list, and the one that was meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

# Where facts of runs and of metrics are stated, in messages: as Python users type it. The command line has words of its
# own for it (`console.as_options`).
BY_RUNS = "by runs= of from_frame, or runs_file= of load"
BY_METRICS = "by metrics= of from_frame, or metrics_file= of load"
# How a run that has not begun is forecast, as above.
BY_LAW = "by fit_law(curves, METRIC).predict(NAME=VALUE)"


def some(names: Sequence[str], most: int = 4) -> str:
    """The first few names, and how many more there are.

    >>> some(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def meant(name: str, known: Iterable[str]) -> str:
    """A question for who has mistyped a name, blank where no known name is near.

    >>> meant("val_ac", ["val_acc", "val_loss"]), meant("VAL_ACC", ["val_acc"]), meant("speed", ["val_acc"])
    ("did you mean 'val_acc'? ", "did you mean 'val_acc'? ", '')
    """
    lower = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), lower, n=1)
    return f"did you mean {lower[near[0]]!r}? " if near else ""

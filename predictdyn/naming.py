"""Names in messages: the first few of a list, the one that was meant, and those that globs match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

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


def matching(names: Sequence[str], globs: Iterable[str], what: str) -> list[str]:
    """The names that match any of the globs. Raises ValueError for a glob that matches none.

    >>> matching(["a-1", "a-2", "b-1"], ["a-*"], "run")
    ['a-1', 'a-2']
    """
    asked = list(globs)
    for glob in asked:
        if not any(fnmatchcase(name, glob) for name in names):
            raise ValueError(f"no {what} matches {glob!r}; {meant(glob, names)}there are {some(names, 8) or 'none'}")
    return [name for name in names if any(fnmatchcase(name, glob) for glob in asked)]

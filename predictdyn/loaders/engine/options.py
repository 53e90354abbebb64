"""Options of loading, declared: what each means, what it takes, and what holds if it is not given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from predictdyn.loaders.engine.words import counted


class Option(NamedTuple):
    """One option of a source: its name, what it says in one line, and what holds if it is not given.

    ``allowed`` are the words that it takes; ``same`` are other words for some of them; with ``least`` it is a whole
    number of at least that. Without these it takes any text, and where it is used says what is wrong with it.
    """

    name: str
    says: str
    default: object = None
    allowed: tuple[str, ...] = ()
    same: Mapping[str, str] = {}
    least: int | None = None

    def checked(self, given: object) -> object:
        """What an option was given, as its reader takes it; ValueError, one line, where it is not allowed.

        >>> MERGE.checked(True), THIN.checked("10"), THIN.checked(None)
        ('yes', 10, None)
        """
        if given is None or given == self.default:
            return self.default
        if self.least is not None:
            return counted(given, self.name, self.least)
        if not self.allowed:
            return given
        word = self.same.get(str(given).lower(), str(given).lower())
        if word not in self.allowed:
            raise ValueError(f"{self.name} must be {choice(self.allowed)}, found {given!r}")
        return word


MERGE = Option(
    "merge",
    "where steps go back: `yes` one run that restarted, `runs` a run each time, `no` an error, `auto` the rules above",
    "auto",
    ("auto", "yes", "no", "runs"),
    {"true": "yes", "1": "yes", "false": "no", "0": "no"},
)
THIN = Option(
    "thin", "at most so many points a curve; first, last and the extremes of equal bins in ln step stay", least=4
)
FAMILY = Option(
    "family",
    'which runs are near-copies: `"{family}_s*"`, a regular expression with one group on the run name, or keys of the '
    "configuration (columns of a table)",
)
COVARIATES = Option(
    "covariates",
    "keys of the configuration (columns of a table); by itself all settings that differ between runs, but for seeds "
    "and paths",
)
LAST_STEP = Option(
    "last_step",
    "where runs are planned to end: a number, a key of the configuration (a column), `logged` or `longest`",
)
METRICS_FILE = Option("metrics_file", "a table of metrics as in the tidy folder, which overrides all else")
RUNS_FILE = Option("runs_file", "a table of runs as in the tidy folder, which overrides all else")

# What the engine does for every source that gives it runs.
SHARED = (
    Option("metrics", 'names or globs to take: `metrics="val_*,loss"`'),
    Option("exclude", "names or globs to leave out"),
    Option("clock", "`step`, or a logged metric that never goes back: `clock=epoch`", "step"),
    THIN,
    MERGE,
    Option("percent", "runs (names or globs) that log shares in percent, beside others that log them from 0 to 1"),
    FAMILY,
    COVARIATES,
    LAST_STEP,
    METRICS_FILE,
    RUNS_FILE,
    Option("workers", "processes that read runs side by side", 1, least=1),
)


def choice(words: Sequence[str]) -> str:
    """Words of which one must be chosen.

    >>> choice(["a"]), choice(["a", "b"]), choice(["a", "b", "c"])
    ('a', 'a or b', 'one of a, b, c')
    """
    return " or ".join(words) if len(words) < 3 else f"one of {', '.join(words)}"


def checked(given: Mapping[str, object], known: Sequence[Option], source: str) -> dict[str, object]:
    """All ``known`` options of a source, as given or by default; ValueError for the first that it does not have."""
    by_name = {option.name: option for option in known}
    for name in given:
        if name not in by_name:
            raise ValueError(f"the source {source} has no option {name!r}; it has {', '.join(by_name)}")
    return {name: option.checked(given.get(name)) for name, option in by_name.items()}

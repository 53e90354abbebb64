"""What is said of logs: how many values were merged, dropped or placed, of which metrics and in which runs."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping

from predictdyn.naming import some as some

# Reason -> metric ("" where none is meant) -> count. In a reason, {metrics} stands for the names of the metrics.
Notes = Mapping[str, Mapping[str, int]]
MOST = 30  # lines

# Reasons, as they are said. Those that speak of a loss say how to keep the values.
RESTARTS = "restart(s) merged, later wins"
REPLACED = (
    "value(s) of {metrics} lost: another value was logged later at the same step; "
    "merge='runs' keeps each beginning as a run of its own"
)
# Only tables have columns to name.
REPEATED_IN_TABLE = (
    "value(s) of {metrics} lost: their step has several values, and the last one counts; "
    "does a column tell runs apart (a seed, a trial)? name it with run=..."
)
REPEATED = (
    "value(s) of {metrics} lost: their step has several values, and the last one counts; merge='no' refuses such a log"
)
ABANDONED = (
    "value(s) of {metrics} lost: the run went back to an earlier step and left them behind; "
    "merge='runs' keeps each beginning as a run of its own"
)
BEGUN_AGAIN = "more run(s) found in the log, which begins again from its first step (merge='yes' makes them one run)"
NOT_FINITE = "value(s) of {metrics} NaN or infinite, kept as events"
NO_STEP = "value(s) of {metrics} lost: without a step, or with a negative one"
NO_NAME = "value(s) of a metric without a name dropped"
NO_STEP_EVENT = "event(s) without a step dropped"
NO_CLOCK = "value(s) of {metrics} dropped where the clock was not logged"
SAME_CLOCK = "value(s) of {metrics} dropped that share their place on the clock with a later one"
THINNED = "value(s) of {metrics} thinned out; the extremes of each bin in ln step are kept"
UNMOVED = "value(s) of {metrics} had no steps of their own; their order was taken as the step (no value is lost)"
OTHER_CLOCK = (
    "value(s) of {metrics} count something else than the other metrics, such as epochs beside iterations; "
    "each was placed at the step that was logged before it (no value is lost)"
)
UNORDERED = "value(s) of {metrics} not in the order of their steps, sorted (no value is lost)"


class Tally(defaultdict[str, Counter[str]]):
    """Counts of what happened, by reason and metric."""

    def __init__(self, notes: Notes | None = None) -> None:
        super().__init__(Counter, {reason: Counter(counts) for reason, counts in (notes or {}).items()})

    def plus(self, notes: Notes) -> Tally:
        """These counts and others together."""
        both = Tally(self)
        for reason, counts in notes.items():
            both[reason].update(counts)
        return both

    def add(self, reason: str, count: int, metric: str = "") -> None:
        """Count something, unless it did not happen."""
        if count:
            self[reason][metric] += count


def flat(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Counts by reason alone.

    >>> flat({"line(s) cut": 2})
    {'line(s) cut': {'': 2}}
    """
    return {reason: {"": count} for reason, count in counts.items()}


# Lines that say themselves that nothing is lost by what they tell.
HARMLESS = re.compile(
    r"no value is lost|no data lost|is in percent: |restart\(s\) merged|unchanged since|^[^:]+: .*\(source='|"
    r"^cost is |^input .* is not used: |their ends are not used"
)


def may_hurt(line: str) -> bool:
    """Whether a line on data tells of what could make an answer wrong.

    >>> may_hurt("3 value(s) of loss thinned out"), may_hurt("inputs are params; no value is lost")
    (True, False)
    """
    return HARMLESS.search(line) is None


def lines_of(notes: Mapping[str, Notes]) -> list[str]:
    """What was counted in runs, one line a reason (at most `MOST`: a thousand runs may fail for a thousand reasons).

    >>> lines_of({"a": {"point(s) of {metrics} lost": {"loss": 2}}, "b": {"point(s) of {metrics} lost": {"acc": 1}}})
    ['3 point(s) of acc, loss lost, in a, b']
    """
    lines = []
    for reason in sorted({reason for counts in notes.values() for reason in counts}):
        by_run = {run: sum(counts[reason].values()) for run, counts in notes.items() if reason in counts}
        metrics = sorted({metric for run in by_run for metric in notes[run][reason]})
        words = reason.replace("{metrics}", some(metrics, 6))
        if count := sum(by_run.values()):
            lines.append(f"{count:,} {words}, in {some([run for run in by_run if by_run[run]])}")
    return [*lines[:MOST], *([f"and {len(lines) - MOST} more such lines"] if len(lines) > MOST else [])]

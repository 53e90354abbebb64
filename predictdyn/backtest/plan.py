"""Plan: what a backtest hides, what it asks, and who is held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from predictdyn.curves import OUTCOMES, Curves
from predictdyn.naming import BY_METRICS, matching


@dataclass(frozen=True)
class Plan:
    """The settings of a backtest; checked when made.

    ``runs``: globs of the runs that take part (default: all). ``cutoffs``: shares of the planned run that are seen
    (0: the plan alone). ``split``: "cutoff", or "seen" (the points' own ``seen`` column decides, nothing
    else is held out). ``targets``:
    "final" (at ``last_step``) or "hidden" (every hidden point). ``hold_out``: the column of runs whose groups are held
    out together. ``test``: globs of runs; all that match are held out together and none is ever history. ``metrics``:
    globs of metrics to forecast (default: all outcomes). ``budget``: history holds only runs whose ``flops`` do not
    exceed it. ``max_folds``: more groups than this are dealt into so many folds.
    """

    cutoffs: tuple[float, ...] = (0.1, 0.25, 0.5)
    split: Literal["cutoff", "seen"] = "cutoff"
    targets: Literal["final", "hidden"] = "final"
    hold_out: str = "family"
    test: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    budget: float | None = None
    max_folds: int = 10
    seed: int = 0
    runs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.cutoffs or not all(0 <= cutoff < 1 for cutoff in self.cutoffs):
            got = ", ".join(map(str, self.cutoffs)) or "none"
            raise ValueError(f"cutoffs are shares in [0, 1), got {got}{in_percent(self.cutoffs)}")
        if len(set(self.cutoffs)) < len(self.cutoffs):
            raise ValueError(f"cutoffs must differ, got {', '.join(map(str, self.cutoffs))}")
        if self.split not in ("cutoff", "seen"):
            raise ValueError(f"split is cutoff or seen, got {self.split!r}")
        if self.targets not in ("final", "hidden"):
            raise ValueError(f"targets is final or hidden, got {self.targets!r}")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def in_percent(cutoffs: Sequence[float]) -> str:
    """What to write for a cutoff that was given in percent, blank where none was.

    >>> in_percent([0.1, 30.0])
    '; write 0.3 for 30 %'
    """
    percent = next((cutoff for cutoff in cutoffs if 1 < cutoff < 100), None)
    return "" if percent is None else f"; write {percent / 100:g} for {percent:g} %"


def matching_runs(curves: Curves, globs: tuple[str, ...]) -> list[str]:
    """The runs that match any of the globs. Raises ValueError for a glob that matches none."""
    return matching(list(curves.runs.index), globs, "run")


def target_metrics(curves: Curves, globs: tuple[str, ...]) -> list[str]:
    """The metrics to forecast: those named by globs, else all outcomes, else (no kinds are known) all signals.

    A schedule is never forecast. Raises ValueError for a glob that matches nothing that can be forecast.
    """
    logged = set(curves.points["metric"].unique())
    names = [name for name in curves.metrics if name in logged and curves.metrics[name].kind != "schedule"]
    if globs:
        return matching(names, globs, "metric")
    outcomes = [name for name in names if curves.metrics[name].kind in OUTCOMES]
    chosen = outcomes or names
    if not chosen:
        raise ValueError(f"no metric to forecast: all are of kind schedule; say which are outcomes {BY_METRICS}")
    return chosen


def needed_metrics(curves: Curves, globs: tuple[str, ...]) -> Curves:
    """The metrics asked for, and all signals and schedules: other outcomes would only be fitted in vain."""
    asked = set(target_metrics(curves, globs))
    beside = {name for name, metric in curves.metrics.items() if metric.kind in ("signal", "schedule")}
    return curves.select(metrics=asked | beside)

"""The two groups of a gap, found in the data alone: the lower one, and how far apart they are, as curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import KEY, Curves, Metric
from predictdyn.scales import Scale, scale_for

FEWEST_POINTS = 20  # with a gap that is not zero: fewer are no evidence
TOLERANCE = 2e-6  # of the span: a difference of numbers that were rounded to six digits
SCREEN = 200  # points that are looked at first


class Groups(NamedTuple):
    """Two groups of a gap, and their bounds: two logged metrics, or None where they follow from gap and worst group.

    The gap is first - second where it is signed, else its size; the worst group, if it is logged, is the lower.
    """

    gap: str
    worst: str | None
    logged: tuple[str, str] | None
    signed: bool
    bounds: tuple[float, float]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The logged metrics that the two groups answer."""
        return (self.gap, *([] if self.worst is None else [self.worst]), *(self.logged or ()))

    @property
    def apart(self) -> str:
        """The curve, added by `with_groups`, of how far the first group is above the second, in logits."""
        return f"{self.gap} in logits"

    @property
    def lower(self) -> str:
        """The curve of the lower group: the worst, or one that is added."""
        return f"lower group of {self.gap}" if self.worst is None else self.worst

    def value(self, metric: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """One of the metrics from values of both groups (...).

        >>> found = Groups("gap", "worst", None, True, (0.0, 1.0))
        >>> found.value("gap", np.array(0.5), np.array(0.75)).item(), found.value("worst", 0.5, 0.75).item()
        (-0.25, 0.5)
        """
        if metric == self.gap:
            return first - second if self.signed else np.abs(first - second)
        if metric == self.worst:
            return np.minimum(first, second)
        return first if self.logged is not None and metric == self.logged[0] else second


def groups_in(*tables: Curves) -> list[Groups]:
    r"""The groups of every gap (kind bias, better zero) that has some, by the points of all tables.

    Two rules, in this order; points are those at which all metrics of a rule were logged, of which at least
    `FEWEST_POINTS` must have a gap that is not zero, and equal means but for `TOLERANCE` of u - l.

    1. Two metrics a, b with the same bounds l, u and gap = a - b everywhere (\|a - b\| if the gap's lower bound is 0);
       the first in the order of the metrics if there are several. A metric that is min(a, b) everywhere is their worst.
    2. A worst group w (kind bias, better higher, bounds l, u) with w + \|gap\| <= u everywhere. Of several gaps the
       one that is widest on average counts, of several worst groups the lowest, and none counts twice. The groups
       are w + max(gap, 0) and w + max(-gap, 0), of which gap and w are difference and minimum. Where w is the lowest of
       more than two groups, they are not accuracies of groups, but numbers in the same range that say the same as
       gap and w.

    A gap must have bounds that hold all differences of numbers between l and u.
    """
    metrics = {name: metric for curves in tables for name, metric in curves.metrics.items()}
    gaps = [one.name for one in metrics.values() if one.kind == "bias" and one.better == "zero"]
    others = [one.name for one in metrics.values() if _bounded(one) and one.name not in gaps]
    if not gaps or not others:
        return []
    wide = _wide(tables, [*gaps, *others])
    found, open_gaps = [], []
    for gap in gaps:
        known = [name for name in others if _holds(metrics[gap], metrics[name])]
        two = _two(wide, gap, [metrics[name] for name in known], signed=_signed(metrics[gap]))
        if two is None:
            open_gaps.append(gap)
            continue
        a, b = two
        alike = [m for m in _worsts(metrics, known) if _range(metrics[m]) == _range(metrics[a]) and m not in two]
        lower, upper = _range(metrics[a])
        minimum = np.minimum(wide[a], wide[b])
        worst = next((m for m in alike if _equal(wide[m] - minimum, wide[gap], upper - lower)), None)
        found.append(Groups(gap, worst, two, _signed(metrics[gap]), (lower, upper)))
    taken = {one.worst for one in found}
    fits = []
    for gap in open_gaps:
        for worst in _worsts(metrics, [name for name in others if _holds(metrics[gap], metrics[name])]):
            lower, upper = _range(metrics[worst])
            over = (wide[worst] + wide[gap].abs() - upper).clip(lower=0.0)
            if worst not in taken and _equal(over, wide[gap], upper - lower):
                fits.append((-wide[gap].abs().mean(), wide[worst].mean(), gap, worst))
    for _, _, gap, worst in sorted(fits):
        if gap not in {one.gap for one in found} and worst not in taken:
            taken.add(worst)
            found.append(Groups(gap, worst, None, _signed(metrics[gap]), _range(metrics[worst])))
    return found


def scale_of(groups: Groups, *tables: Curves) -> Scale:
    """The logit on which the two groups are apart, its floor from what is logged of them in the tables."""
    # Worst group and gap may add up to less than one item from a bound: no accuracy was ever there.
    names = groups.logged or (groups.lower,)
    values = _points(tables, groups)[list(names)].to_numpy(dtype=float).ravel()
    return scale_for(Metric(groups.gap, "bias", *groups.bounds, "higher"), values)


def with_groups(curves: Curves, groups: Groups, scale: Scale) -> Curves:
    """The curves with those of both groups, lower and apart, where both are known."""
    table = _points([curves], groups)
    first, second = _both(table, groups)
    made = {groups.apart: scale.latent(first) - scale.latent(second)}
    metrics = {groups.apart: Metric(groups.apart, "bias", better="zero")}
    if groups.worst is None:
        made[groups.lower] = np.minimum(first, second)
        metrics[groups.lower] = Metric(groups.lower, "bias", *groups.bounds, "higher")
    keys = table.index.to_frame(index=False)
    frames = [keys.assign(metric=name, value=value) for name, value in made.items()]
    points = pd.concat([curves.points, *frames], ignore_index=True).sort_values(KEY, ignore_index=True)
    return Curves(points, curves.runs, {**curves.metrics, **metrics}, curves.events)


def _points(tables: Sequence[Curves], groups: Groups) -> pd.DataFrame:
    return _wide(tables, list(groups.logged or groups.metrics)).dropna()


def _both(wide: pd.DataFrame, groups: Groups) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) of both groups."""
    one, two = (wide[name].to_numpy(dtype=float) for name in groups.logged or groups.metrics)
    return (one, two) if groups.logged else (two + np.maximum(one, 0.0), two + np.maximum(-one, 0.0))


def _wide(tables: Sequence[Curves], names: list[str]) -> pd.DataFrame:
    """Values of some metrics, one row per run and step that has any, NaN where unknown."""
    points = pd.concat([curves.points.loc[curves.points["metric"].isin(names), [*KEY, "value"]] for curves in tables])
    wide = points.drop_duplicates(KEY).pivot_table("value", ["run", "step"], "metric")
    return wide.reindex(columns=names).astype(float)


def _two(wide: pd.DataFrame, gap: str, metrics: list[Metric], *, signed: bool) -> tuple[str, str] | None:
    """The first two metrics with the same bounds whose difference is the gap."""
    table = wide[wide[gap].notna()]
    some = table.iloc[:: max(len(table) // SCREEN, 1)]
    screen, wanted = some[[one.name for one in metrics]].to_numpy(), some[gap].to_numpy()[:, None]
    for i, a in enumerate(metrics):
        apart = screen[:, [i]] - screen
        off = np.abs((apart if signed else np.abs(apart)) - wanted)
        span = a.upper - a.lower  # type: ignore[operator]
        for j in np.flatnonzero(~(off > TOLERANCE * span).any(axis=0)):
            b = metrics[j]
            if b.name != a.name and _range(b) == _range(a):
                difference = table[a.name] - table[b.name]
                if _equal((difference if signed else difference.abs()) - table[gap], table[gap], span):
                    return a.name, b.name
    return None


def _equal(off: pd.Series, gap: pd.Series, span: float) -> bool:
    """Whether what should be zero is, where it is known, at enough points with a gap."""
    known = off.notna() & gap.notna()
    return int((known & (gap != 0)).sum()) >= FEWEST_POINTS and bool((off[known].abs() <= TOLERANCE * span).all())


def _worsts(metrics: dict[str, Metric], names: list[str]) -> list[str]:
    return [name for name in names if metrics[name].kind == "bias" and metrics[name].better == "higher"]


def _bounded(metric: Metric) -> bool:
    return metric.kind != "schedule" and metric.lower is not None and metric.upper is not None


def _range(metric: Metric) -> tuple[float, float]:
    return float(metric.lower), float(metric.upper)  # type: ignore[arg-type]


def _signed(gap: Metric) -> bool:
    return gap.lower is None or gap.lower < 0


def _holds(gap: Metric, metric: Metric) -> bool:
    """Whether a gap may be any difference of two values of a metric."""
    lower, upper = _range(metric)
    lowest = lower - upper if _signed(gap) else 0.0
    return (gap.lower is None or gap.lower <= lowest) and (gap.upper is None or gap.upper >= upper - lower)

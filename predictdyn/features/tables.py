"""The table of features: one row per run, one column per feature, from what was seen at a share of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from predictdyn.covariates import Encoder
from predictdyn.curves import Curves, Metric
from predictdyn.features.phases import Phases
from predictdyn.features.plan import covariates, schedule
from predictdyn.features.relations import pairs, relation
from predictdyn.features.seen import Seen, scaled, seen
from predictdyn.features.shape import basics, broken, gaps, growth, plateau, scatter, surges, typical_noise
from predictdyn.features.times import instability, no_gap, thresholds
from predictdyn.scales import Scale, scale_for


def scales_for(*tables: Curves) -> dict[str, Scale]:
    """The latent scale of every metric, its floor from all values in the tables: history, and what is seen.

    Tables of features that are to be compared need the same scales.
    """
    metrics = {name: metric for curves in tables for name, metric in curves.metrics.items()}
    values: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
    for curves in tables:
        for (_, name), curve in curves.series.items():
            values[name].append(curve.value)
    return {name: scale_for(metric, np.concatenate([np.zeros(0), *values[name]])) for name, metric in metrics.items()}


def table(
    curves: Curves,
    share: float,
    *,
    metrics: Sequence[str] | None = None,
    scales: Mapping[str, Scale] | None = None,
    encoder: Encoder | None = None,
    phases: Phases | None = None,
) -> pd.DataFrame:
    """Features of every run of ``curves.runs`` (n rows, in their order) as they stood at a share of the run.

    Columns are `metric:feature`, `a/b:feature`, `plan:...` and `phase:...` (docs/features.md, `FEATURES`), floats, NaN
    where unknown, never infinite. Points after ``share`` of a run's planned last_step are not used, but for schedules
    that are known ahead: they are the plan. A row depends on its own run, ``scales``, ``encoder`` and ``phases``
    alone, so pass the same to the table of finished runs and to that of seen ones; without scales their floors come
    from the points that the table sees. Covariates need an encoder, phases a fit on history. The columns follow from
    the metrics (``metrics``: those only), never from the values.

    Raises ValueError for a share outside (0, 1], or a metric that is not there or has no scale.

    >>> from predictdyn.curves import curves_from
    >>> points = pd.DataFrame({"run": "a", "metric": "loss", "step": [1, 2, 4, 8], "value": [0.5, 1.0, 1.5, 9.0]})
    >>> table(curves_from(points), 0.5)[["loss:points", "loss:last", "loss:slope"]].round(3).iloc[0].tolist()
    [3.0, 1.5, 0.721]
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is a fraction in (0, 1], got {share}")
    # Squares of what a diverged run has logged may overflow; what is then not finite is unknown.
    with np.errstate(over="ignore", invalid="ignore"):
        columns = _columns(curves, share, _chosen(curves, metrics, scales), scales)
    columns |= {f"plan:{part}": numbers for part, numbers in covariates(curves.runs, encoder).items()}
    numbers = np.stack(list(columns.values()), axis=1)
    made = pd.DataFrame(np.where(np.isfinite(numbers), numbers, np.nan), curves.runs.index, list(columns))
    return made if phases is None else pd.concat([made, phases.features(curves, share)], axis=1)


def _columns(
    curves: Curves, share: float, chosen: dict[str, Metric], scales: Mapping[str, Scale] | None
) -> dict[str, np.ndarray]:
    """All columns that come from points, each (n,)."""
    columns: dict[str, np.ndarray] = {}
    found: dict[str, tuple[Seen, Scale]] = {}
    for name, metric in chosen.items():
        points = seen(curves, name, 1.0 if metric.known_ahead else share)
        scale = scales[name] if scales is not None else scale_for(metric, points.value[points.here])
        if metric.kind == "schedule":
            parts = schedule(curves, name, share, scale, whole=metric.known_ahead)
            columns |= {f"plan:{name}.{part}": numbers for part, numbers in parts.items()}
            continue
        found[name] = scaled(points, scale), scale
        columns |= {f"{name}:{feature}": numbers for feature, numbers in _curve(*found[name], metric).items()}
    for a, b in pairs(chosen):
        parts = relation(found[a][0], found[b][0], (found[a][1], found[b][1]))
        columns |= {f"{a}/{b}:{feature}": numbers for feature, numbers in parts.items()}
    return columns


def _chosen(curves: Curves, names: Sequence[str] | None, scales: Mapping[str, Scale] | None) -> dict[str, Metric]:
    chosen = list(curves.metrics if names is None else names)
    for what, known in (("metric", curves.metrics), ("scale for metric", scales)):
        unknown = [name for name in chosen if known is not None and name not in known]
        if unknown and known is not None:
            raise ValueError(f"no {what} {unknown[0]!r}; known are {', '.join(sorted(known)[:20])}")
    return {name: curves.metrics[name] for name in chosen}


def _curve(points: Seen, scale: Scale, metric: Metric) -> dict[str, np.ndarray]:
    """All features of one metric, each (n,)."""
    found = basics(points)
    found |= scatter(points, found["change"])
    found |= thresholds(points, metric, found["change"])
    found |= plateau(points, found["level"], found["noise"])
    found |= broken(points) | growth(points)
    found |= instability(points, metric, scale, typical_noise(points))
    if metric.kind == "signal":
        found |= surges(points)
    if metric.kind == "bias":
        found |= gaps(points, no_gap(metric))
    return found

"""Where runs stand: what a saved model forecasts of their ends, and how likely they reach their targets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from predictdyn.backtest.decay import widened_for_decay
from predictdyn.backtest.live import LiveSplit, without
from predictdyn.backtest.plan import needed_metrics, target_metrics
from predictdyn.curves import Curves, Metric
from predictdyn.events import JointEvent, UnknownMetric, impossible, outside, parse, probabilities, settled
from predictdyn.forecast import Prediction
from predictdyn.forecasters._fitted import Fitted
from predictdyn.loaders.engine.not_finite import broken

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
SHOWN = 4  # metrics that are forecast where the caller names none


class Ends(NamedTuple):
    """Draws of how runs end (a row for each run and metric), and the model: without what it must not know of them."""

    prediction: Prediction
    fitted: Fitted


def chosen_metrics(curves: Curves, globs: tuple[str, ...], targets: Sequence[JointEvent]) -> list[str]:
    """The metrics to forecast: those of targets and those named, else the first of each kind of outcome."""
    logged = {metric for _, metric in curves.series}
    if not logged:  # no number has been finite yet
        return []
    asked = [bound.metric for target in targets for bound in target.bounds if bound.metric in logged]
    if globs:
        asked += target_metrics(curves, globs)
    elif not asked:
        first: dict[str, str] = {}
        for name in target_metrics(curves, ()):
            first.setdefault(curves.metrics[name].kind, name)
        asked = list(first.values())[:SHOWN]
    return list(dict.fromkeys(asked))


def ends(fitted: Fitted, curves: Curves, runs: Collection[str], metrics: Sequence[str], *, seed: int) -> Ends | None:
    """Draws of the last planned value of some metrics of some runs; None where none of them lies ahead.

    A model whose history holds one of the runs, or a copy, forgets it, as in `predictdyn.forecast`.
    """
    end = curves.runs["last_step"].astype(float).to_dict()
    rows = [
        (run, name, end[run])
        for (run, name), curve in curves.series.items()
        if run in runs and name in metrics and curve.step[-1] < end[run]
    ]
    if not rows:
        return None
    target = pd.DataFrame(rows, columns=["run", "metric", "step"])
    observed = needed_metrics(curves.select(runs=sorted(set(target["run"]))), tuple(metrics_as_globs(metrics)))
    ask = LiveSplit(fitted.history, observed, target)
    fitted, _ = without(fitted, curves, ask)
    found = widened_for_decay(fitted.forecast(observed, target, seed=seed), fitted, observed)
    return Ends(found, fitted)


def metrics_as_globs(metrics: Sequence[str]) -> list[str]:
    """Names that match themselves alone, though they hold signs of globs.

    >>> metrics_as_globs(["acc[5]"])
    ['acc[[]5]']
    """
    return ["".join(f"[{letter}]" if letter in "*?[" else letter for letter in name) for name in metrics]


def targets_of(texts: Sequence[str], known: Mapping[str, Metric], *, waiting: bool = False) -> list[JointEvent]:
    """Targets as events; where one is ``waiting`` for metrics, those that name an unknown one are left out.

    Raises ValueError for a sentence that cannot be read, for one with a bound that always or never holds, since it
    would ring for every run or for none, and, where none is waiting, for one that names no metric that is known.
    """
    found = []
    for text in texts:
        try:
            event = parse(text, known)
        except UnknownMetric:
            if not waiting:
                raise
            continue
        if impossible(event) or any(settled(bound, known[bound.metric]) is not None for bound in event.bounds):
            raise ValueError(outside(event, known)[0])
        found.append(event)
    return found


class _AnyName(Collection[str]):
    """All names, where it is not known yet which there are."""

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def check_sentences(texts: Sequence[str]) -> None:
    """Raises ValueError for a target that cannot be read, whatever will be logged."""
    for text in texts:
        parse(text, _AnyName())


def digits(numbers: Iterable[float]) -> list[float]:
    """Six digits of each number, which is what is kept of forecasts."""
    return [float(f"{number:.6g}") for number in numbers]


def entries(found: Ends, curves: Curves, targets: Sequence[JointEvent], at: float) -> dict[str, dict[str, Any]]:
    """What is kept of a forecast of each run: its step, progress, quantiles of each metric, probability of each target.

    A metric of a target that has reached its planned end already counts with its last value.
    """
    prediction = found.prediction
    quantiles = prediction.quantiles(LEVELS)
    likely, now = reached(prediction, curves, targets), last_steps(curves)
    kept: dict[str, dict[str, Any]] = {}
    for row, (run, metric, _) in enumerate(prediction.target.itertuples(index=False)):
        if run not in kept:
            step = now.get(run, 0.0)
            share = step / float(curves.runs.loc[run, "last_step"])
            kept[run] = {"step": step, "progress": share, "at": at, "metrics": {}, "targets": likely.get(run, {})}
        kept[run]["metrics"][metric] = digits(quantiles[row])
    return kept


def final(curves: Curves, run: str, entry: Mapping[str, Any], targets: Sequence[JointEvent]) -> dict[str, Any]:
    """What came of a run that has ended: the last value of each metric that was forecast, 1 or 0 for each target."""
    metrics = {*(entry["track"][-1]["metrics"] if entry["track"] else ())}
    metrics |= {bound.metric for target in targets for bound in target.bounds}
    events = curves.events[curves.events["run"] == run]
    stopped = events["what"].map(broken)  # the metric that was no number there
    last = {}
    for name in metrics:
        curve = curves.series.get((run, name))
        later = events["step"] > (np.inf if curve is None else curve.step[-1])
        # Where a metric was NaN to the end, nothing came of it: its last number is not what it ended at.
        if curve is not None and not (later & (stopped == name)).any():
            last[name] = float(curve.value[-1])
    values = {name: np.array(value) for name, value in last.items()}
    met = {
        target.text: float(target.held(values))
        for target in targets
        if all(bound.metric in last for bound in target.bounds)
    }
    return {"metrics": last, "targets": met}


def reached(prediction: Prediction, curves: Curves, targets: Sequence[JointEvent]) -> dict[str, dict[str, float]]:
    """The probability of each target for each run; one that has a metric without a forecast and an end is left out."""
    found: dict[str, dict[str, float]] = {}
    if not targets:
        return found
    table = probabilities(_with_known(prediction, curves, targets), targets)
    for run, text, share in table[["run", "event", "probability"]].itertuples(index=False):
        if np.isfinite(share):
            found.setdefault(run, {})[text] = float(share)
    return found


def _with_known(prediction: Prediction, curves: Curves, targets: Sequence[JointEvent]) -> Prediction:
    """The prediction, with rows of metrics that have been logged to the end: their last value in every draw."""
    runs = list(dict.fromkeys(prediction.target["run"]))
    have = set(zip(prediction.target["run"], prediction.target["metric"], strict=True))
    names = {bound.metric for target in targets for bound in target.bounds}
    rest = [
        (run, name, float(curves.series[run, name].step[-1]), float(curves.series[run, name].value[-1]))
        for run in runs
        for name in sorted(names)
        if (run, name) not in have and (run, name) in curves.series
    ]
    if not rest:
        return prediction
    more = pd.DataFrame([row[:3] for row in rest], columns=["run", "metric", "step"])
    values = np.repeat(np.array([[row[3]] for row in rest]), prediction.draws.shape[1], axis=1)
    return Prediction(
        pd.concat([prediction.target, more], ignore_index=True),
        np.concatenate([prediction.draws, values]),
        np.concatenate([prediction.status, np.full(len(rest), "ok", dtype=object)]),
        prediction.joint,
    )


def last_steps(curves: Curves) -> dict[str, float]:
    """The last step that each run has logged of anything but plans."""
    planned = [name for name, metric in curves.metrics.items() if metric.known_ahead]
    points = curves.points[~curves.points["metric"].isin(planned)] if planned else curves.points
    return {str(run): float(step) for run, step in points.groupby("run")["step"].max().items()}

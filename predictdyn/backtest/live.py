"""Forecast runs that have not ended: the same files as a backtest writes, with the truth left blank."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.backtest.decay import widened_for_decay
from predictdyn.backtest.examples import PATH_POINTS
from predictdyn.backtest.folder import metrics_table
from predictdyn.backtest.plan import in_percent, target_metrics
from predictdyn.backtest.run import rows_of
from predictdyn.curves import Curve, Curves, Metric, ended
from predictdyn.forecast import Prediction
from predictdyn.forecasters import fit
from predictdyn.forecasters._fitted import Fitted
from predictdyn.forecasters._sizes import largest
from predictdyn.naming import BY_RUNS, meant, some

ALIKE = 5  # different values that two curves must share to be those of one run


class LiveSplit(NamedTuple):
    """What is known and what is asked: finished runs, the beginning of the others, targets.

    ``left_out`` are finished runs that are no history, because they have the curves of a run in question.
    """

    history: Curves
    observed: Curves
    target: pd.DataFrame
    left_out: tuple[str, ...] = ()


class LiveForecast(NamedTuple):
    """A forecast of every target and of steps on the way to some: draws, and as rows of the files."""

    prediction: Prediction
    way: Prediction
    rows: pd.DataFrame
    paths: pd.DataFrame
    examples: pd.DataFrame


def split_live(
    curves: Curves,
    *,
    runs: tuple[str, ...] = (),
    metrics: tuple[str, ...] = (),
    upto: float | None = None,
    cutoff: float | None = None,
    at: float | None = None,
) -> LiveSplit:
    """Split the data into what may be learnt from and what is to be forecast.

    Forecast are the runs that match ``runs``, else those that have not ended, else (all have) every run, each from its
    beginning alone; history is every other run that has ended, but for those that hold what is hidden, as a saved model
    forgets them too (`without`): they share steps with a run that is forecast, by the column ``baseline`` of runs, or
    by curves that are equal as far as they are seen. ``upto`` (a step) or ``cutoff`` (a share
    of the planned run) hides later points; ``at`` is the step to forecast (default: the planned last step). Raises
    ValueError when nothing is left to forecast.
    """
    check_hidden(upto, cutoff)
    finished = ended(curves)
    if runs:
        chosen = [run for run in curves.runs.index if any(fnmatchcase(run, glob) for glob in runs)]
        if not chosen:
            names = list(curves.runs.index)
            raise ValueError(f"no run matches {', '.join(runs)}; {meant(runs[0], names)}there are {some(names, 8)}")
    else:
        chosen = [run for run in curves.runs.index if run not in finished] or list(curves.runs.index)
    if not runs and len(finished) == len(curves.runs) and upto is None and cutoff is None and at is None:
        raise ValueError(
            "every run has reached its planned last_step, so nothing is left to forecast; "
            "if they were meant to go on, state the end of all with last_step=NUMBER, or of each as last_step "
            f"{BY_RUNS}; or hide the end with cutoff= or upto="
        )
    known = set(chosen) | _kin(curves.runs, [run for run in chosen if run in finished])
    history = curves.select(runs=[run for run in finished if run not in known])
    begun = curves.select(runs=chosen)
    if cutoff is not None:
        begun = begun.truncate(cutoff)
    if upto is not None:
        begun = begun.where(begun.points["step"].to_numpy(float) <= upto)
    if at is not None:
        _within(curves.runs["last_step"].loc[chosen], at)
    names = target_metrics(curves, metrics)
    pairs = [(run, name) for run, name in curves.select(runs=chosen).series if name in set(names)]
    end = curves.runs["last_step"].to_dict()
    target = pd.DataFrame(
        [(run, name, end[run] if at is None else at) for run, name in pairs], columns=["run", "metric", "step"]
    )
    now = _now(begun)
    ahead = [step > now.get((run, name), -1.0) for run, name, step in target.itertuples(index=False)]
    target = target[np.array(ahead, dtype=bool)].reset_index(drop=True)
    if target.empty:
        raise ValueError("nothing to forecast: the step asked for lies within what was already seen")
    ask = LiveSplit(history, begun, target)
    copies = sorted(_tell_tales(history, curves, ask))
    if not copies:
        return ask
    return LiveSplit(history.select(runs=history.runs.index.difference(copies)), begun, target, tuple(copies))


def check_hidden(upto: float | None, cutoff: float | None) -> None:
    """Raises ValueError where both say what is hidden, and where one is no number or a cutoff no share of a run."""
    for keyword, given, meant_by in (("cutoff", cutoff, "a share in [0, 1)"), ("upto", upto, "a step")):
        number = isinstance(given, int | float | np.number) and not isinstance(given, bool) and not np.isnan(given)
        if given is not None and not number:
            raise ValueError(f"{keyword}= is {meant_by}, got {given!r}")
    if upto is not None and cutoff is not None:
        raise ValueError("give upto= or cutoff=, not both")
    if cutoff is not None and not 0 <= cutoff < 1:
        raise ValueError(f"cutoff= is a share in [0, 1), got {cutoff:g}{in_percent([cutoff])}")


def copies_left_out(ask: LiveSplit) -> list[str]:
    """Words on finished runs that are not learnt from, because they have the curves of a run in question."""
    if not ask.left_out:
        return []
    return [
        f"{len(ask.left_out)} finished run(s) have the curves of a run in question, as far as it is seen "
        f"({some(list(ask.left_out))}); they may be the same run under another name, so they are left out, and "
        f"{len(ask.history.runs)} run(s) are learnt from; if they are other runs, leave out the metric that they share "
        "(exclude=METRIC)"
    ]


def _within(ends: pd.Series, at: float) -> None:
    """ValueError where a run (index) is not planned as far as a step that is asked."""
    short = ends[at > ends.astype(float) * (1 + 1e-9)]
    if len(short):
        raise ValueError(
            f"at= is {at:g}, which lies beyond the planned end of {len(short)} run(s), first {short.index[0]!r} "
            f"(last_step {short.iloc[0]:g}); set last_step of these runs to the end that is planned, or choose "
            "others by runs="
        )


def larger(ask: LiveSplit) -> list[str]:
    """Words on runs in question that are larger than all finished ones: nothing has shown how such runs go on."""
    beyond = {run: of for run, of in largest(ask.history.runs, ask.observed.runs).items() if of[0] > 1}
    if not beyond:
        return []
    run, (ratio, column) = max(beyond.items(), key=lambda item: item[1][0])
    who = f"{run} is" if len(beyond) == 1 else f"{len(beyond)} runs ({some(list(beyond))}) are up to"
    return [
        f"{who} {ratio:.1f} x the largest finished run ({column}): forecasts reach beyond what was seen, and intervals "
        "rest on replays of the largest finished runs"
    ]


def _kin(runs: pd.DataFrame, some: Collection[str]) -> set[str]:
    """Runs (index of the table) that branched off from the same run as one of some did, or from it."""
    if "baseline" not in runs:
        return set()
    baseline = runs["baseline"].where(runs["baseline"].notna(), runs.index.to_series())
    return set(runs.index[baseline.isin(baseline.loc[list(some)])])


def without(fitted: Fitted, curves: Curves, ask: LiveSplit) -> tuple[Fitted, list[str]]:
    """A saved model that knows nothing of the end of the runs in question, and words for what was done to it.

    Where its history holds one of them, or a run that tells how they go on, all is learnt again without these.
    """
    history = fitted.history
    known = sorted(_tell_tales(history, curves, ask))
    # What is cut in the runs in question must be cut in those that are learnt from, or the two cannot be compared.
    cut = {
        name: metric._replace(guessed=True)
        for name, metric in history.metrics.items()
        if metric.known_ahead and name in curves.metrics and not curves.metrics[name].known_ahead
    }
    if not known and not cut:
        return fitted, []
    rest = history.select(runs=history.runs.index.difference(known))
    again = fit(fitted.model, Curves(rest.points, rest.runs, {**rest.metrics, **cut}, rest.events), seed=fitted.seed)
    if not known:
        return again, []
    words = (
        f"the model was fitted on {len(known)} run(s) in question, or that share steps with them ({some(known)}); it "
        f"was fitted again without them, on {len(rest.runs)} run(s), so their ends are not used"
    )
    return again, [words]


def _tell_tales(history: Curves, curves: Curves, ask: LiveSplit) -> set[str]:
    """Runs of a model's history that hold what is hidden of the runs in question.

    These are the runs themselves, by name; the runs that branched off with or from one that has ended, by the column
    baseline; and the same runs under another name (a folder was read from further up), by curves that are equal as far
    as they are seen.
    """
    own = set(ask.observed.runs.index)
    kept = own & set(history.runs.index)
    replayed = kept | (own & set(ended(curves)))
    both = pd.concat([curves.runs, history.runs.loc[history.runs.index.difference(curves.runs.index)]])
    # A relative from which a run in question has parted within what is seen tells nothing of how it goes on.
    parted = {
        name for name in _kin(both, own) if name in history.runs.index and _parted(history, ask.observed, both, name)
    }
    return kept | ((_kin(both, replayed) | (_equal(history, ask.observed) - parted)) & set(history.runs.index))


def _parted(history: Curves, seen: Curves, runs: pd.DataFrame, name: str) -> bool:
    """Whether every run in question that is kin to a run of the history has another value somewhere as far as seen."""
    own = {metric: curve for (run, metric), curve in history.series.items() if run == name}
    for run in _kin(runs, {name}) & set(seen.runs.index):
        other = False
        for metric, curve in own.items():
            one = seen.series.get((run, metric))
            if one is not None:
                _, here, there = np.intersect1d(curve.step, one.step, return_indices=True)
                other |= bool((curve.value[here] != one.value[there]).any())
        if not other:
            return False
    return True


class _Grid(NamedTuple):
    """Curves of one metric that were logged at the same steps (t,): their runs (n,) and values (n, t)."""

    step: np.ndarray
    runs: list[str]
    value: np.ndarray


def _grids(curves: Curves, metrics: Collection[str]) -> dict[str, list[_Grid]]:
    """The curves of some metrics, those with the same steps together."""
    found: dict[tuple[str, bytes], list[tuple[str, Curve]]] = {}
    for (run, metric), curve in curves.series.items():
        if metric in metrics:
            found.setdefault((metric, curve.step.tobytes()), []).append((run, curve))
    grids: dict[str, list[_Grid]] = {}
    for (metric, _), several in found.items():
        runs, value = [run for run, _ in several], np.stack([curve.value for _, curve in several])
        grids.setdefault(metric, []).append(_Grid(several[0][1].step, runs, value))
    return grids


def _equal(history: Curves, seen: Curves) -> set[str]:
    """Runs of a history of which a curve equals one that is seen wherever both are logged (`ALIKE` values at least).

    A curve that several runs of the history share though they differ otherwise says nothing (`_differ`).
    """
    of_plan = {name for name, metric in seen.metrics.items() if metric.kind == "schedule"}
    begun = _grids(seen, {metric for _, metric in seen.series} - of_plan)
    found: set[str] = set()
    # Hundreds of runs are compared with hundreds, so where they log is worked out once for all with equal steps.
    for metric, past in _grids(history, begun).items():
        for grid in past:
            for own in begun[metric]:
                place = np.minimum(np.searchsorted(grid.step, own.step), len(grid.step) - 1)
                both = grid.step[place] == own.step
                if both.sum() >= ALIKE:
                    value = grid.value[:, place[both]]
                    for one in own.value[:, both]:
                        # Most differ in the first value that both have.
                        alike = np.flatnonzero(value[:, 0] == one[0])
                        alike = alike[(value[alike] == one).all(axis=1)]
                        if len(alike) and len(np.unique(one)) >= ALIKE:
                            same = [grid.runs[i] for i in alike]
                            if not _differ(history, metric, same, float(own.step[both][-1])):
                                found |= set(same)
    return found


def _differ(history: Curves, metric: str, runs: Sequence[str], upto: float) -> bool:
    """Whether runs that share a curve are other runs by another one: then its metric tells no run from another.

    An accuracy that follows from the epoch alone is such a metric, or one that a constant seed made. Runs that
    branched off later than ``upto`` do not differ up to there.
    """
    kinds = {name: one.kind for name, one in history.metrics.items()}
    first = runs[0]
    for name in (name for run, name in history.series if run == first and name != metric):
        if kinds[name] == "schedule":
            continue
        one = history.series[first, name]
        for other in (history.series.get((run, name)) for run in runs[1:]):
            if other is not None:
                _, here, there = np.intersect1d(one.step[one.step <= upto], other.step, return_indices=True)
                if len(here) >= ALIKE and (one.value[here] != other.value[there]).any():
                    return True
    return False


def forecast_live(
    curves: Curves, ask: LiveSplit, fitted: Fitted, name: str, *, seed: int, all_paths: bool = False
) -> LiveForecast:
    """Forecast every target, and the way there of those that a report draws, or of all."""
    way = _way(ask, ask.target if all_paths else _shown(ask.target, curves))
    n = len(ask.target)
    both = fitted.forecast(ask.observed, pd.concat([ask.target, way], ignore_index=True), seed=seed)
    both = widened_for_decay(both, fitted, ask.observed)
    asked = np.arange(len(both.target)) < n
    return live_of(curves, ask, both.rows(asked), both.rows(~asked), name)


def live_of(curves: Curves, ask: LiveSplit, prediction: Prediction, way: Prediction, name: str) -> LiveForecast:
    """Draws of all targets, and of steps on the way to some of them, as the rows that files have."""
    rows, path = (
        rows_of(one, np.full(len(one.target), np.nan), curves, forecaster=name, fold="live", cutoff=np.nan)
        for one in (prediction, way)
    )
    share_of = dict(zip(zip(ask.target["run"], ask.target["metric"], strict=True), _shares(ask), strict=True))
    for table in (rows, path):
        table["cutoff"] = [share_of[key] for key in zip(table["run"], table["metric"], strict=True)]
    keys = set(zip(path["run"], path["metric"], strict=True))
    points = ask.observed.points
    shown = [key in keys for key in zip(points["run"], points["metric"], strict=True)]
    points = points[np.array(shown, dtype=bool)]
    examples = points[["run", "metric", "step", "value", "stderr"]].assign(
        kind=[curves.metrics[metric].kind for metric in points["metric"]],
        cutoff=[share_of[key] for key in zip(points["run"], points["metric"], strict=True)],
        seen=True,
    )
    return LiveForecast(prediction, way, rows, path, examples)


def write_live(live: LiveForecast, metrics: Mapping[str, Metric], folder: Path) -> None:
    """The forecasts, paths, examples and metrics as files in ``folder``."""
    live.rows.to_parquet(folder / "forecasts.parquet", index=False)
    live.paths.to_parquet(folder / "paths.parquet", index=False)
    live.examples.to_parquet(folder / "examples.parquet", index=False)
    metrics_table(metrics).to_csv(folder / "metrics.csv", index=False)


def _now(observed: Curves) -> dict[tuple[str, str], float]:
    """The last step that is seen of each curve."""
    return {key: float(curve.step[-1]) for key, curve in observed.series.items()}


def _shares(ask: LiveSplit) -> list[float]:
    """The share of its run that is seen of each target's curve."""
    now = _now(ask.observed)
    plan = ask.observed.runs["last_step"].astype(float).to_dict()
    keys = zip(ask.target["run"], ask.target["metric"], strict=True)
    return [now.get((run, metric), 0.0) / plan[run] for run, metric in keys]


def _way(ask: LiveSplit, shown: pd.DataFrame) -> pd.DataFrame:
    """Steps from what is seen of a curve to its target, even in the logarithm: run, metric, step."""
    now = _now(ask.observed)
    frames = []
    for run, metric, step in shown[["run", "metric", "step"]].itertuples(index=False):
        begin = max(now.get((run, metric), 0.0), 1e-4 * float(step))
        steps = np.geomspace(begin, float(step), PATH_POINTS)
        frames.append(pd.DataFrame({"run": run, "metric": metric, "step": steps}))
    return pd.concat(frames, ignore_index=True)


def _shown(target: pd.DataFrame, curves: Curves) -> pd.DataFrame:
    """Targets whose path a report draws: the first metrics of each kind, of the first runs."""
    kind = target["metric"].map({name: metric.kind for name, metric in curves.metrics.items()})
    order = {name: i for i, name in enumerate(curves.metrics)}
    ranked = target.assign(kind=kind, rank=target["metric"].map(order)).sort_values(["run", "rank"], kind="stable")
    first = ranked[ranked["run"].isin(ranked["run"].unique()[:4])].groupby(["run", "kind"], sort=False).head(2)
    return first[["run", "metric", "step"]].head(16)

"""Regressions over finished runs, on features of how they looked when as much of them was seen."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from predictdyn import features
from predictdyn.covariates import encoder_for
from predictdyn.curves import Curves
from predictdyn.fitting.crossfit import ConformalPrediction, Examples, Make, Regressor, errors, learnt, left_out
from predictdyn.fitting.forest import Forest
from predictdyn.fitting.median_regression import MedianRegression
from predictdyn.forecast import DRAWS, Latent, seed_for
from predictdyn.forecasters._fence import fenced
from predictdyn.forecasters._fitted import no_answer
from predictdyn.forecasters._places import alike
from predictdyn.forecasters._spread import smallest_spread, spread_of
from predictdyn.problem import History, LatentCurve, Panel, Problem, Query

FEWEST_RUNS = 20
FEWEST_FAMILIES = 4
APART = 1.25  # factor between the origins that are learnt from together
MOST_ROWS = 1500  # to learn from: many runs need fewer origins
OF_OTHERS = ("level", "slope")  # features of all other curves of a run
SIZES = ("noise", "change", "recent_slope", "points")  # features that the size of an error may depend on
SMALLEST_PART = 0.1  # of rows in which a column differs from its median; rarer ones teach nothing
DIRECTIONS = 5
ROWS_EACH = 8  # for one direction


class AsArrays(NamedTuple):
    """How a fitted regressor becomes arrays by name, and is made of them again: so it can be saved with a model."""

    arrays: Callable[[Any], dict[str, np.ndarray]]
    regressor: Callable[[Mapping[str, np.ndarray]], Regressor]


@dataclass(frozen=True)
class FeatureRegression:
    """A regression of the change of a metric from its last value to the end, on the features of its run.

    Rows are the finished runs, as they looked at the progress at which the run in question stands. Columns are the
    features of the metric and of pairs with it, level and slope of all other metrics, and the plan; ``own`` leaves the
    other metrics out. ``make`` gives a regressor of scikit-learn's kind, for families (n,) of its rows and a seed.
    Families left out by ``folds`` say how wrong it is (`fitting.crossfit`). A target before the end goes by the
    forecast of the end: a line through what finished runs did by then, against what they did by their ends.

    >>> from sklearn.linear_model import Ridge
    >>> FeatureRegression("my_ridge", lambda family, seed: Ridge(10.0)).name
    'my_ridge'
    """

    name: str
    make: Make = field(repr=False)  # the name says which
    own: bool = False
    origins: int = 1
    folds: int = 5
    as_arrays: AsArrays | None = field(default=None, repr=False)  # without, it is fitted again for a saved model

    def latent(self, problem: Problem) -> Latent:
        """Draws of the regression; the last value where too few runs have ended or the run's curve is too short."""
        answer = no_answer(problem, f"fewer than {FEWEST_RUNS} finished runs: last value")
        for panel in problem.panels:
            last = {run: float(curve.progress[-1]) for run, curve in panel.observed.items() if len(curve.progress)}
            for origin, group in alike(panel.queries, last).items():
                self._group(problem, panel, origin, group, answer)
        return answer

    def _group(self, problem: Problem, panel: Panel, origin: float, group: Sequence[Query], answer: Latent) -> None:
        """Latent draws and statuses of runs of which about the same progress was seen."""
        history = problem.whole or problem.history
        found = self._learnt(problem, history, panel, origin)
        if found is None:
            return
        runs = [query.run for query in group]
        if problem.whole is None:
            x, sizes = self._described(problem, panel, origin, runs, found)
            point = found.regressor().predict(x)
        else:
            # Runs that have ended were answered by regressions on the other families already.
            place = [found.place.get(run, -1) for run in runs]
            group, place = [q for q, at in zip(group, place, strict=True) if at >= 0], [at for at in place if at >= 0]
            point, sizes = found.left_out[place], found.sizes[place]
        known = spread_of(problem.history, panel)
        asked = {progress for query in group for progress in query.progress.tolist()}
        before = np.array(sorted(progress for progress in asked if progress < 1.0 - 1e-9))
        way = dict(zip(before.tolist(), found.values(before), strict=True))
        of_progress = {progress: found.predicted(way.get(progress), point, sizes) for progress in asked}
        for i, query in enumerate(group):
            rng = np.random.default_rng(seed_for(problem.seed, query.run, panel.metric))
            uniforms, tails, jitter = rng.random(DRAWS), rng.random(DRAWS), rng.standard_normal(DRAWS)
            curve = panel.observed[query.run]
            floor = smallest_spread(known, bounded=panel.scale.bounded)
            for row, progress in zip(query.rows.tolist(), query.progress.tolist(), strict=True):
                one = of_progress[progress]
                mine = one.without(curve.family) if problem.whole is not None else one
                answer.draws[row] = curve.latent[-1] + one.point[i] + one.size[i] * errors(mine, uniforms, tails)
                answer.draws[row] += floor * jitter
                answer.status[row] = "ok"

    def _learnt(self, problem: Problem, history: History, panel: Panel, origin: float) -> Learnt | None:
        """What the finished runs teach at an origin, once for all questions."""
        key = ("regression", self.name, panel.metric, problem.scales_key, origin, problem.fit_seed)
        return history.once(key, lambda: self._learn(problem, history, panel, origin))

    def _learn(self, problem: Problem, history: History, panel: Panel, origin: float) -> Learnt | None:
        known = {run: one for run, one in history.latent(panel.metric, panel.scale).items() if len(one.progress)}
        ends = [curve for curve in _begun(fenced(known, panel.scale).values(), origin) if curve.reaches(1.0)]
        if len(ends) < FEWEST_RUNS or len({curve.family for curve in ends}) < FEWEST_FAMILIES:
            return None
        seed = seed_for(problem.fit_seed, panel.metric)
        scales = zlib.crc32(repr(problem.scales_key).encode())
        key = f"{self.name}/{panel.metric}/{origin:.6g}/{scales}/{problem.fit_seed}"
        # Features are made where something is still to be learnt of them: what is read back needs none.
        told = history.learn(f"{key}/columns", lambda: self._columns(problem, history, panel, origin, ends))
        units = RobustUnits(told["kept"], told["median"], told["spread"])
        columns = told["columns"].tolist()

        end = {curve.run: float(curve.at(np.array(1.0))) for curve in ends}

        def rows(at: float) -> Examples:
            """Features at an origin, and the change from there to the end."""
            curves = ends if at == origin else _begun(ends, at)
            runs, family = [curve.run for curve in curves], np.array([curve.family for curve in curves], dtype=object)
            x = _cells(feature_table(problem, history, at), runs, columns)
            return Examples(units.apply(x), np.array([end[run] for run in runs]) - _begun_at(curves, at), family)

        def every() -> Examples:
            others = _others(origin, min(self.origins, max(MOST_ROWS // len(ends), 1)))
            return Examples(*(np.concatenate(part) for part in zip(*map(rows, (origin, *others)), strict=True)))

        def make_left_out() -> dict[str, np.ndarray]:
            return {"left_out": left_out(self.make, rows(origin), every(), folds=self.folds, seed=seed)}

        def regressor() -> Regressor:
            if self.as_arrays is None:
                return learnt(self.make, every(), seed)
            arrays = self.as_arrays.arrays
            return self.as_arrays.regressor(
                history.learn(f"{key}/whole", lambda: arrays(learnt(self.make, every(), seed)))
            )

        out = history.learn(key, make_left_out)["left_out"]
        begun, family = _begun_at(ends, origin), np.array([curve.family for curve in ends], dtype=object)
        return Learnt(
            ends, columns, units, begun, np.array(list(end.values())) - begun, out, family, told["sizes"],
            history, (self.name, panel.metric, problem.scales_key, origin, problem.fit_seed), regressor,
        )  # fmt: skip

    def _columns(
        self, problem: Problem, history: History, panel: Panel, origin: float, ends: Sequence[LatentCurve]
    ) -> dict[str, np.ndarray]:
        """Columns that a metric is regressed on and their units, and what the size of errors may depend on."""
        table = feature_table(problem, history, origin)
        columns, runs = columns_for(table, panel.metric, own=self.own), [curve.run for curve in ends]
        units = robust_units(_cells(table, runs, columns))
        return {"columns": np.array(columns), "sizes": _sizes(table, panel.metric, runs), **units._asdict()}

    def _described(
        self, problem: Problem, panel: Panel, origin: float, runs: list[str], found: Learnt
    ) -> tuple[np.ndarray, np.ndarray]:
        """Columns (m, k) of runs in question, in units, and what the size of their errors may depend on (m, q)."""
        table = observed_features(problem, origin)
        x = _cells(table, runs, found.columns)
        return found.units.apply(x), _sizes(table, panel.metric, runs)


class Learnt(NamedTuple):
    """A regression over the runs that have ended (n): what they were asked, and what other families say of them."""

    curves: list[LatentCurve]
    columns: list[str]
    units: RobustUnits
    begun: np.ndarray  # (n,) latent, at the origin
    change: np.ndarray  # (n,) from there to the end
    left_out: np.ndarray  # (n,) the same, forecast from other families
    family: np.ndarray
    sizes: np.ndarray  # (n, q)
    history: History
    key: tuple[Any, ...]
    make: Callable[[], Regressor]

    @property
    def place(self) -> dict[str, int]:
        """Row of each run."""
        return {curve.run: i for i, curve in enumerate(self.curves)}

    def regressor(self) -> Regressor:
        """The regression on all rows, fitted the first time it is asked for."""
        return self.history.once(("regressor", *self.key), self.make)

    def values(self, progress: np.ndarray) -> np.ndarray:
        """What finished runs had changed by at progress (m,), since the origin: (m, n)."""
        return np.stack([curve.at(progress) for curve in self.curves], axis=1) - self.begun

    def predicted(self, change: np.ndarray | None, point: np.ndarray, sizes: np.ndarray) -> ConformalPrediction:
        """The change to a progress, of runs whose change to the end is forecast as ``point`` (m,).

        ``change`` (n,) is that of finished runs to the same progress, None at the end. Before the end it is a line in
        the forecast of the end: by least squares, what finished runs did by then against what they did by their ends.
        """
        if change is None:
            return ConformalPrediction.of(point, self.change - self.left_out, self.family, self.sizes, sizes)
        # By the ends that came, not by those that were forecast: so the way there comes to the forecast of the end.
        design = np.stack([np.ones(len(change)), self.change], axis=1)
        line = np.linalg.lstsq(design, change, rcond=None)[0]
        off = change - (line[0] + line[1] * self.left_out)
        return ConformalPrediction.of(line[0] + line[1] * point, off, self.family, self.sizes, sizes)


def feature_table(problem: Problem, history: History, origin: float) -> pd.DataFrame:
    """Features of the finished runs as they looked at an origin, once for all members and questions."""
    key = ("features", origin, problem.scales_key)
    return history.once(key, lambda: _table(problem, history.curves, origin))


def observed_features(problem: Problem, origin: float) -> pd.DataFrame:
    """Features of the runs in question as they look at an origin, once for all members."""
    return problem.root.once(("features", origin), lambda: _table(problem, problem.observed, origin))


def _table(problem: Problem, curves: Curves, origin: float) -> pd.DataFrame:
    history = problem.whole or problem.history
    encoder = history.once("encoder", lambda: encoder_for(history.curves.runs) if len(history.curves.runs) else None)
    return features.table(curves, origin, scales=problem.scales, encoder=encoder)


def _cells(table: pd.DataFrame, runs: Sequence[str], columns: Sequence[str]) -> np.ndarray:
    """Cells (n, p) of a table of numbers by name, NaN where it has none, faster than by pandas' own ways."""
    row, column = table.index.get_indexer(pd.Index(list(runs))), table.columns.get_indexer(pd.Index(list(columns)))
    found = np.full((len(row), len(column)), np.nan)
    found[np.ix_(row >= 0, column >= 0)] = table.to_numpy(dtype=float)[np.ix_(row[row >= 0], column[column >= 0])]
    return found


def _begun(curves: Iterable[LatentCurve], origin: float) -> list[LatentCurve]:
    return [curve for curve in curves if len(curve.progress) and curve.progress[0] <= origin * (1 + 1e-9)]


def _begun_at(curves: Sequence[LatentCurve], origin: float) -> np.ndarray:
    """Latent values (n,) at an origin: the last that was seen by then."""
    last = [int(np.searchsorted(curve.progress, origin * (1 + 1e-9), side="right")) - 1 for curve in curves]
    return np.array([curve.latent[i] for curve, i in zip(curves, last, strict=True)])


def _others(origin: float, count: int) -> list[float]:
    """The origins next to one, on both sides in turn and before the end: with it ``count`` at most."""
    powers = sorted(range(-(count // 2), (count - 1) // 2 + 1), key=abs)
    return [other for other in (origin * APART**power for power in powers if power) if other < 1 / APART]


def columns_for(table: pd.DataFrame, metric: str, *, own: bool) -> list[str]:
    """Columns that a metric is regressed on."""
    found = []
    for column in map(str, table.columns):
        of, _, what = column.rpartition(":")
        if of in ("plan", "phase") or of == metric or metric in of.split("/") or (not own and what in OF_OTHERS):
            found.append(column)
    return found


def _sizes(table: pd.DataFrame, metric: str, runs: Sequence[str]) -> np.ndarray:
    """What the size of an error may depend on, (n, q): logarithms of the metric's features of that name."""
    names = [f"{metric}:{feature}" for feature in SIZES if f"{metric}:{feature}" in table.columns]
    found = np.abs(_cells(table, runs, names))
    return np.log(np.nan_to_num(found, nan=0.0) + 1e-6)


class RobustUnits(NamedTuple):
    """Which columns (p,) are kept, and their medians and spreads."""

    kept: np.ndarray
    median: np.ndarray
    spread: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Columns (n, k) of about unit size: asinh of what they are above the median in units of their spread.

        What is missing counts as the median.
        """
        return np.nan_to_num(np.arcsinh((x[:, self.kept] - self.median) / self.spread))


def robust_units(x: np.ndarray) -> RobustUnits:
    """Learn the units of columns (n, p) with NaN where unknown; columns that hardly vary are dropped.

    >>> made = robust_units(np.array([[1.0, 5.0, np.nan], [2.0, 5.0, np.nan], [3.0, 5.0, 1.0]]))
    >>> made.kept.tolist()
    [True, False, False]
    """
    known = np.isfinite(x).sum(axis=0) >= len(x) / 2
    some = np.where(known, x, 0.0)
    median = np.nanmedian(some, axis=0)
    off = np.abs(some - median)
    moved = np.nanmean(off > 0, axis=0) >= SMALLEST_PART
    quartile = np.nanquantile(some, [0.25, 0.75], axis=0)
    spread = np.where(quartile[1] > quartile[0], (quartile[1] - quartile[0]) / 1.35, np.nanmean(off, axis=0))
    kept = known & moved & (spread > 0)
    return RobustUnits(kept, median[kept], spread[kept])


def extra_trees(family: np.ndarray, seed: int) -> Forest:
    """Averages of randomised trees; a run is there at up to five origins, so six rows are little more than one run."""
    return Forest(60, leaf=6, share=0.5, seed=seed)


def median_regression(family: np.ndarray, seed: int) -> MedianRegression:
    """The median on a few directions."""
    return MedianRegression(DIRECTIONS, ROWS_EACH)


EXTRA_TREES = FeatureRegression(
    "extra_trees", extra_trees, origins=5, as_arrays=AsArrays(Forest.arrays, Forest.from_arrays)
)
QUANTILE_REGRESSION = FeatureRegression(
    "quantile_regression", median_regression, own=True,
    as_arrays=AsArrays(MedianRegression.arrays, MedianRegression.from_arrays),
)  # fmt: skip

"""Point rules with the spread of their own past errors at the same horizon: what every simple baseline is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from predictdyn.fitting.knots import Knots
from predictdyn.forecast import DRAWS, Latent, seed_for
from predictdyn.forecasters._places import rounded
from predictdyn.forecasters._spread import (
    FEWEST_ERRORS,
    FEWEST_SEEN,
    Moments,
    moments_of,
    smallest_spread,
    unknown_spread,
)
from predictdyn.problem import LatentCurve, Panel, Problem, Query, progress_at

GRID = progress_at(np.linspace(0, 1, 33))
MOST_ERRORS = 40  # two beyond a 5 % quantile; keeps the cost of a backtest linear in the number of runs
FINENESS = 40  # of the origins at which finished runs are replayed
OWN_TARGETS = 8  # last points of each curve that serve as pseudo-targets
OWN_CURVES = 8
MOST_REFERENCES = 4  # origins that are kept with the values of all runs there
BLOCK = 64  # rows that are drawn together
RATIOS = (1.25, 2.0, 4.0, 10.0)  # target / origin at which a run's own past is replayed


class ReferenceRuns:
    """Finished runs, one metric, latent: their value ``now`` (n,), where it is asked for, ``end`` (n, m), and `grid`.

    What rules want of all of them together is computed when the first asks, and kept for the next run in question.
    """

    def __init__(
        self, now: np.ndarray, end: np.ndarray, grid: Callable[[], np.ndarray], chance: float | None,
        some: tuple[ReferenceRuns, np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        self._now, self._end, self.chance = now, end, chance
        self._make_grid = grid
        self._some = some  # of which other runs these are some, and where (n',) these are
        self._shapes: dict[bytes, Shapes] = {}

    @property
    def now(self) -> np.ndarray:
        """Their values now, (n,)."""
        return self._now if self._some is None else self._some[0].now[self._some[1]]

    @property
    def end(self) -> np.ndarray:
        """Their values where it is asked for, (n, m)."""
        return self._end if self._some is None else self._some[0].end[self._some[1]]

    @cached_property
    def grid(self) -> np.ndarray:
        """Their values on `GRID`, (n, len(GRID)), NaN outside what a run logged."""
        return self._make_grid()

    @cached_property
    def first(self) -> np.ndarray:
        """Their values at the start of `GRID`, (n,)."""
        if self._some is not None:
            return self._some[0].first[self._some[1]]
        return self.grid[:, 0] if len(self.grid) else np.zeros(0)

    @cached_property
    def mean_end(self) -> np.ndarray:
        """Mean over runs where it is asked for, (m,), of what is known; NaN where nothing is."""
        return _mean(self.end)

    @cached_property
    def mean_change(self) -> np.ndarray:
        """Mean over runs of the change from now to where it is asked for, (m,)."""
        return _mean(self.end - self.now[:, None])

    def shapes(self, inside: np.ndarray) -> Shapes:
        """How runs moved over a part of `GRID`, true in ``inside`` (len(GRID),): those that are known all over it."""
        key = inside.tobytes()
        if key not in self._shapes and self._some is not None:
            # A replay leaves out a run or a few: those do not count, and nothing is copied.
            whole, keep = self._some
            every = whole.shapes(inside)
            self._shapes[key] = every._replace(counts=keep[every.place])
        if key not in self._shapes:
            seen = self.grid[:, inside] - self.now[:, None]
            usable = np.isfinite(seen).all(axis=1) & np.isfinite(self.end).all(axis=1)
            seen, change, place = seen[usable], (self.end - self.now[:, None])[usable], np.flatnonzero(usable)
            self._shapes[key] = Shapes(seen, (seen**2).sum(axis=1), change, place, np.ones(len(place), dtype=bool))
        return self._shapes[key]

    def only(self, keep: np.ndarray) -> ReferenceRuns:
        """Only the runs for which ``keep`` (n,) is true."""
        nothing = np.zeros(0)
        return ReferenceRuns(nothing, nothing, lambda: self.grid[keep], self.chance, (self, keep))


class Shapes(NamedTuple):
    """Finished runs relative to their value now: on the part of `GRID` that is seen, and where it is asked for."""

    seen: np.ndarray  # (n, g)
    square: np.ndarray  # (n,), sum over the part
    change: np.ndarray  # (n, m)
    place: np.ndarray  # (n,), in the runs of which these are known all over the part
    counts: np.ndarray  # (n,), whether they may be learnt from


# (what is seen of a run, progress asked for (m,), finished runs) -> latent points (m,), NaN where there is no answer
PointRule = Callable[[LatentCurve, np.ndarray, ReferenceRuns], np.ndarray]
# The same of many runs: a list of each, and a list of answers
PointRules = Callable[[Sequence[LatentCurve], Sequence[np.ndarray], Sequence[ReferenceRuns]], Sequence[np.ndarray]]


@dataclass(frozen=True)
class OneByOne:
    """A rule for one run, asked run by run."""

    rule: PointRule

    def __call__(
        self, curves: Sequence[LatentCurve], asked: Sequence[np.ndarray], runs: Sequence[ReferenceRuns]
    ) -> list[np.ndarray]:
        """Answers (m,) for each."""
        return [self.rule(*one) for one in zip(curves, asked, runs, strict=True)]


@dataclass(frozen=True)
class EmpiricalErrors:
    """A point rule on the latent scale; its predictive distribution is the rule plus its own past errors.

    Errors come from the finished runs of the history, replayed at the same progress with the run's own family left
    out (unless the run in question has its family in the history too); where fewer than four are to be had, from
    pseudo-origins within the seen parts at the same ratio of target to origin. The errors are taken with both signs,
    so that the median is the rule's answer, and smoothed by a Gaussian kernel.
    """

    name: str
    rule: PointRules = field(repr=False)  # the name says which; its address would change a repr from process to process

    def latent(self, problem: Problem) -> Latent:
        """Draws around the rule's answer; a row without an answer falls back on last value, then on finished runs."""
        n = len(problem.target)
        draws, point, status = np.empty((n, DRAWS)), np.empty(n), np.empty(n, dtype=object)
        for panel in problem.panels:
            noise, alike = _noise_of(problem, panel), _Alike()
            every = _asked(problem, panel)
            for i, (asked, (answer, words)) in enumerate(zip(every, self._answers(every, panel.chance), strict=True)):
                rows = asked.query.rows
                point[rows], status[rows] = answer, words
                for row, errors in zip(rows.tolist(), self._errors(asked, panel.chance), strict=True):
                    if isinstance(errors, Errors):
                        alike.add(errors, row, i, asked.floor)
                    else:
                        _mirror(draws, [row], point[[row]], errors * noise.tail(i)[None])
            for errors, rows, which, floor in alike.blocks():
                half = errors.smoothed(noise.place[which], noise.kernel[which]) + floor[:, None] * noise.jitter[which]
                _mirror(draws, rows, point[rows], half)
        return Latent(draws, status)

    def _answers(self, every: list[_Asked], chance: float | None) -> Iterator[tuple[np.ndarray, np.ndarray | str]]:
        """`_points` of each run, some runs at a time."""
        for first in range(0, len(every), BLOCK):
            some = every[first : first + BLOCK]
            runs = [one.others.reference(one.origin, one.query.progress, chance) for one in some]
            found = self.rule([one.curve for one in some], [one.query.progress for one in some], runs)
            yield from map(self._points, some, found, runs)

    def _points(self, asked: _Asked, answer: np.ndarray, runs: ReferenceRuns) -> tuple[np.ndarray, np.ndarray | str]:
        """Latent points (m,) and their status, or statuses (m,), for the targets of one run."""
        known = np.isfinite(answer)
        status: np.ndarray | str = asked.words
        if not known.all():
            fallback, why = _fallback(asked.curve, asked.query.progress, runs)
            answer, status = np.where(known, answer, fallback), np.where(known, asked.words, why).astype(object)
        nothing = not len(asked.curve.progress) and not len(asked.others.curves)
        return answer, "nothing to learn from" if nothing else status

    def _errors(self, asked: _Asked, chance: float | None) -> list[Errors] | list[Errors | float]:
        """Past errors of each target of one run, or, where there are too few, the scale of a guess."""
        curve, others, progress = asked.curve, asked.others, asked.query.progress
        past = others.errors(self.name, self.rule, asked.begin, progress, chance, by_run=asked.kin)
        enough = [errors for errors in past if errors is not None]
        if len(enough) == len(past):
            return enough
        curves = [curve, *others.curves[:OWN_CURVES]]
        own = _own_spread(self.rule, curves, asked.known, progress, asked.origin, chance)
        least = max(asked.floor, asked.least)
        return [max(float(scale), least) if errors is None else errors for errors, scale in zip(past, own, strict=True)]


class _Asked(NamedTuple):
    """The targets of one run, with all that no rule changes: computed once for all baselines."""

    query: Query
    curve: LatentCurve
    origin: float
    begin: float  # the origin, rounded up a little: runs that begin alike are replayed alike
    others: _Context
    kin: bool  # whether its family is in the history
    known: Moments
    floor: float
    least: float  # spread of what almost nothing is known of
    words: str  # "ok", or that almost nothing is known


def _asked(problem: Problem, panel: Panel) -> list[_Asked]:
    def make() -> list[_Asked]:
        context = _context(problem, panel)
        return [_described(panel, context, query) for query in panel.queries]

    return problem.once(("empirical", panel.metric), make)


def _described(panel: Panel, context: _Context, query: Query) -> _Asked:
    curve = panel.observed[query.run]
    origin = float(curve.progress[-1]) if len(curve.progress) else 0.0
    others = context.beside(curve)
    known = others.moments.joined(moments_of(curve.latent))
    least, words = unknown_spread(known.largest, panel.scale) if known.n < FEWEST_SEEN else (0.0, "ok")
    floor = smallest_spread(known, bounded=panel.scale.bounded)
    begin = rounded(origin, FINENESS)
    return _Asked(query, curve, origin, begin, others, curve.family in context.families, known, floor, least, words)


class Errors(NamedTuple):
    """Errors (n,) that a rule made, and how a bootstrap of them is smoothed.

    The kernel has Silverman's width on a robust scale; all is shrunk so that it does not add to the variance, and the
    factor (1 + 1/n) restores what n errors cannot show.
    """

    error: np.ndarray
    width: float
    shrink: float

    def smoothed(self, place: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """A smoothed bootstrap from uniform and normal numbers of one shape."""
        drawn = self.error[(place * len(self.error)).astype(np.intp)]
        return np.asarray(self.shrink * (drawn + self.width * kernel))


def _errors_of(column: np.ndarray) -> Errors | None:
    """What there is of errors (k,) that may be NaN; None where that is too little."""
    error = column[np.isfinite(column)]
    n = len(error)
    if n < FEWEST_ERRORS:
        return None
    square = float(np.mean(error**2))
    width = 1.06 * n**-0.2 * min(np.sqrt(square), 1.4826 * float(np.median(np.abs(error))))
    shrink = np.sqrt((1 + 1 / n) * square / (square + width**2)) if square > 0 else 1.0
    return Errors(error, float(width), float(shrink))


class _Alike:
    """Rows that draw from the same errors, so that they are drawn together."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Errors, list[tuple[int, int, float]]]] = {}

    def add(self, errors: Errors, row: int, which: int, floor: float) -> None:
        """One row, the number of its run's noise, and its smallest spread."""
        self._found.setdefault(id(errors), (errors, []))[1].append((row, which, floor))

    def blocks(self) -> Iterator[tuple[Errors, np.ndarray, np.ndarray, np.ndarray]]:
        """Errors, rows, numbers of noise and smallest spreads, so many at a time that the draws fit a cache."""
        for errors, found in self._found.values():
            rows, which, floor = (np.array(some) for some in zip(*found, strict=True))
            for first in range(0, len(rows), BLOCK):
                some = slice(first, first + BLOCK)
                yield errors, rows[some], which[some], floor[some]


def _mirror(draws: np.ndarray, rows: Sequence[int] | np.ndarray, point: np.ndarray, half: np.ndarray) -> None:
    """Draws of some rows: points plus half the noise, then minus it, so that the median is the rule's."""
    draws[rows, : half.shape[1]] = point[:, None] + half
    draws[rows, half.shape[1] :] = point[:, None] - half


class _Noise:
    """Random numbers of every run of a panel, (runs, s / 2) each: place is uniform, kernel and jitter are normal.

    The same for every target of a run: its draws are then paths, and no target moves another.
    """

    def __init__(self, seed: int, metric: str, runs: list[str]) -> None:
        self.place, self.kernel, self.jitter = np.empty((3, len(runs), DRAWS // 2))
        self._seeds = [seed_for(seed, run, metric) for run in runs]
        for i, own in enumerate(self._seeds):
            rng = np.random.default_rng(own)
            rng.random(out=self.place[i])
            rng.standard_normal(out=self.kernel[i])
            rng.standard_normal(out=self.jitter[i])

    def tail(self, i: int) -> np.ndarray:
        """Student's t with 4 degrees of freedom, (s / 2,), after the numbers above; few rows need it."""
        rng = np.random.default_rng(self._seeds[i])
        rng.random(DRAWS // 2)
        rng.standard_normal((2, DRAWS // 2))
        return rng.standard_t(4, DRAWS // 2)


def _noise_of(problem: Problem, panel: Panel) -> _Noise:
    # Baselines that are asked together have one seed; the members of a mixture have one each, and only the last stays.
    kept: dict[int, _Noise] = problem.once(("noise", panel.metric), dict)
    if problem.seed not in kept:
        kept.clear()
        kept[problem.seed] = _Noise(problem.seed, panel.metric, [query.run for query in panel.queries])
    return kept[problem.seed]


class _Replayed(NamedTuple):
    """Finished runs that are replayed (k): what each had shown, the runs beside it, and what became of it (k, m).

    An end is NaN where a run does not get as far.
    """

    curves: list[LatentCurve]
    rests: list[ReferenceRuns]
    end: np.ndarray


class _Context:
    """The finished curves of a metric, and the errors that rules made on them so far."""

    def __init__(self, curves: Mapping[str, LatentCurve]) -> None:
        self.curves = list(curves.values())
        self.runs = dict(zip(curves, range(len(curves)), strict=True))
        self.family = np.array([curve.family for curve in self.curves], dtype=object)
        self.families = set(self.family.tolist())
        self.moments = moments_of(np.concatenate([np.zeros(0), *(curve.latent for curve in self.curves)]))
        self._knots = Knots(self.curves)
        self._references: dict[tuple[object, ...], ReferenceRuns] = {}
        self._errors: dict[tuple[object, ...], list[Errors | None]] = {}
        self._replays: dict[tuple[object, ...], _Replayed] = {}
        self._beside: dict[str, _Context] = {}

    @cached_property
    def grid(self) -> np.ndarray:
        """All curves on `GRID`, (n, len(GRID))."""
        return np.stack([self._knots.at(share, begun=True) for share in GRID], axis=1)

    def beside(self, curve: LatentCurve) -> _Context:
        """The curves of all other runs."""
        if curve.run not in self.runs:
            return self
        if curve.run not in self._beside:
            self._beside[curve.run] = _Context({one.run: one for one in self.curves if one.run != curve.run})
        return self._beside[curve.run]

    def reference(self, origin: float, asked: np.ndarray, chance: float | None) -> ReferenceRuns:
        """The values of all runs at an origin, where it is asked for, and on the grid."""
        key = (origin, asked.tobytes(), chance)
        if key not in self._references:
            end = np.stack([self._knots.at(share) for share in asked], axis=1)
            while len(self._references) >= MOST_REFERENCES:
                del self._references[next(iter(self._references))]
            self._references[key] = ReferenceRuns(self._knots.at(origin), end, lambda: self.grid, chance)
        return self._references[key]

    def errors(
        self, name: str, rule: PointRules, origin: float, asked: np.ndarray, chance: float | None, *, by_run: bool
    ) -> list[Errors | None]:
        """Errors of a rule where it is asked for (m,), on finished runs, each replayed from the same origin.

        Each replay leaves out the run's family (only the run itself with ``by_run``). None where too few runs get as
        far as asked, or the rule has too few answers.
        """
        place = (origin, asked.tobytes(), chance, by_run)
        key = (name, *place)
        if key not in self._errors:
            while place not in self._replays and len(self._replays) >= MOST_REFERENCES:
                del self._replays[next(iter(self._replays))]
            if place not in self._replays:
                self._replays[place] = self._replayed(origin, self.reference(origin, asked, chance), by_run)
            curves, rests, end = self._replays[place]
            found = np.zeros((0, len(asked)))
            if curves:
                found = end - np.stack(rule(curves, [asked] * len(curves), rests))
            self._errors[key] = [_errors_of(column) for column in found.T]
        return self._errors[key]

    def _replayed(self, origin: float, runs: ReferenceRuns, by_run: bool) -> _Replayed:
        """The runs that are replayed from an origin, once for all rules."""
        usable = np.flatnonzero(np.isfinite(runs.end).any(axis=1)) if self.curves else np.zeros(0, dtype=int)
        if len(usable) > MOST_ERRORS:
            usable = usable[np.linspace(0, len(usable) - 1, MOST_ERRORS).round().astype(int)]
        replayed, curves, rests, of_family = [], [], [], {}
        for i in usable.tolist():
            begun = self.curves[i].truncate(origin)
            if origin > 0 and not len(begun.progress):
                continue
            if by_run:
                rest = runs.only(np.arange(len(self.curves)) != i)
            else:
                family = self.family[i]
                if family not in of_family:
                    of_family[family] = runs.only(self.family != family)
                rest = of_family[family]
            replayed.append(i)
            curves.append(begun)
            rests.append(rest)
        return _Replayed(curves, rests, runs.end[replayed])


def _context(problem: Problem, panel: Panel) -> _Context:
    key = ("empirical errors", panel.metric, panel.scale.floor, panel.scale.unit)
    return problem.history.once(key, lambda: _Context(panel.context))


def _own_spread(
    rule: PointRules, curves: Sequence[LatentCurve], known: Moments, asked: np.ndarray, origin: float,
    chance: float | None,
) -> np.ndarray:  # fmt: skip
    """Scale of the error (m,) of a rule from pseudo-origins within curves, the run's own first.

    The last points of each curve are forecast from 1/1.25 to 1/10 of their progress; the root mean square error is
    interpolated in the log of that ratio, and grows in proportion to it beyond the largest that the curves allow. With
    fewer than two errors the spread of all known values serves.
    """
    nobody = ReferenceRuns(np.zeros(0), np.zeros((0, 1)), lambda: np.zeros((0, len(GRID))), chance)
    squares: dict[float, list[float]] = {ratio: [] for ratio in RATIOS}
    for one in curves[:OWN_CURVES]:
        n = len(one.progress)
        # A run's own errors, where there are enough, say more than those of other runs.
        few = [ratio for ratio in RATIOS if len(squares[ratio]) < FEWEST_ERRORS]
        targets = [(ratio, j) for ratio in few for j in range(max(n - OWN_TARGETS, 2), n)]
        begun = [one.truncate(float(one.progress[j]) / ratio) for ratio, j in targets]
        kept = [i for i, (_, j) in enumerate(targets) if 2 <= len(begun[i].progress) <= j]
        ends = [one.progress[targets[i][1] : targets[i][1] + 1] for i in kept]
        for i, answer in zip(kept, rule([begun[i] for i in kept], ends, [nobody] * len(kept)), strict=True):
            error = float(one.latent[targets[i][1]] - answer[0])
            squares[targets[i][0]] += [error**2] if np.isfinite(error) else []
    enough = [ratio for ratio in RATIOS if len(squares[ratio]) >= 2]
    at = [np.log(ratio) for ratio in enough]
    rms = [np.sqrt(np.mean(squares[ratio])) for ratio in enough]
    if not at:
        spread = known.sd if known.n > 1 else 0.0
        return np.full(len(asked), spread if spread > 0 else float(not known.n))
    wanted = np.log(np.maximum(asked, 1e-9) / max(origin, 1e-9))
    beyond = np.clip(wanted / at[-1], 1.0, 4.0)
    return np.asarray(np.interp(wanted, at, rms) * beyond)


def _fallback(curve: LatentCurve, asked: np.ndarray, runs: ReferenceRuns) -> tuple[np.ndarray, str]:
    """A latent answer (m,) where the rule has none, and the words for it."""
    if len(curve.latent):
        return np.full(len(asked), curve.latent[-1]), "rule has no answer: last value"
    level = 0.0 if runs.chance is None else runs.chance
    return np.where(np.isfinite(runs.mean_end), runs.mean_end, level), "nothing seen: mean of finished runs"


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over runs (n, m) of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)

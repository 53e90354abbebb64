"""Accuracy on the line: a metric under shift by the forecast of its guide, the line between them, and the distance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn.curves import KEY, Curves, Metric
from predictdyn.fitting.crossfit import Examples, crossfit, errors
from predictdyn.fitting.on_the_line import OnTheLine, distances, latent, probit
from predictdyn.forecast import DRAWS, Fitted, Forecast, seed_for
from predictdyn.forecasters._crossed import rows_for
from predictdyn.forecasters._errors import smallest_spread
from predictdyn.forecasters._fallback import answered
from predictdyn.forecasters._history import read_history, write_history
from predictdyn.lines import Line, Task, tasks

ABOUT = "about.json"
FEWEST_FAMILIES = 4
FARTHEST = 0.5  # mean distance from a line, in that from no line, above which there is none


@dataclass(frozen=True)
class AccuracyOnTheLine:
    """A metric between two bounds as a line in another, its guide, which the forecaster ``of`` forecasts.

    Probits of finished runs lie about a line (`fitting.on_the_line`). The guide is the metric of `guides_for` from
    whose lines families left out are nearest at ``shares`` of the run, and at most half as far as from no line. A
    run's distance from the line, a mean over its ``last`` checkpoints, persists in part. What that leaves at the end is
    learnt on families left out of all of it (dealt into ``folds``), as in `fitting.crossfit`. Draws of the guide go
    through the line; errors are added.
    """

    of: str = "pooled_change"
    shares: tuple[float, ...] = (0.5, 1.0)
    last: int = 4
    folds: int = 10
    name: str = "accuracy_on_the_line"

    def fit(self, history: Curves, *, seed: int) -> AccuracyOnTheLineFitted:
        """Keep the history, and fit the forecaster of guides on it."""
        # Imported here: the registry finds this module, so at the top it would be a circle.
        from predictdyn.forecasters import forecaster

        guide = forecaster(self.of).fit(history, seed=seed_for(seed, self.of))
        return AccuracyOnTheLineFitted(self, guide, history, seed)

    def load(self, folder: Path) -> AccuracyOnTheLineFitted:
        """Read back settings and history; what the forecaster of guides has learnt follows from the history."""
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        settings = about["settings"] | {"shares": tuple(about["settings"]["shares"])}
        return AccuracyOnTheLine(**settings).fit(read_history(folder), seed=about["seed"])


@dataclass(frozen=True)
class AccuracyOnTheLineFitted:
    """The settings, the fitted forecaster of guides and the finished runs."""

    settings: AccuracyOnTheLine
    guide: Fitted
    history: Curves
    seed: int

    def forecast(self, seen: Curves, target: pd.DataFrame, *, seed: int) -> Forecast:
        """Draws of each row; where there is no guide or too little to learn from, the last value and why."""
        rows = rows_for(target)
        of_target, of_guide = tasks(self.history, seen, target), self._candidates(seen, target)
        chosen: dict[tuple[str, str], Task] = {}
        for task in of_target:
            rows.scales[task.metric] = task.scale
            ranked = self._ranked(task, of_guide[task.metric])
            for asked in task.asked:
                guide = next((one for one in ranked or [] if len(one.seen[asked.run].share)), None)
                if guide is not None:
                    chosen[asked.run, task.metric] = guide
                elif ranked is not None:
                    why = "nothing seen of a guide" if ranked else "no guide on a line with it"
                    rows.status[asked.rows] = f"{why}: last value"
        ahead = self._ahead(seen, target, chosen, seed)
        for task in of_target:
            for asked in task.asked:
                for row, share in zip(asked.rows, asked.share, strict=True):
                    guide = chosen.get((asked.run, task.metric))
                    if guide is None:
                        continue
                    draws, status = ahead[asked.run, guide.metric, target["step"].iloc[row]]
                    made = self._draws(task, guide, asked.run, float(share), draws, seed) if status == "ok" else None
                    if made is not None:
                        rows.latent[row], rows.status[row] = made, "ok"
                    elif status != "ok":
                        rows.status[row] = status
        return answered(self.history, seen, target, *rows, seed=seed)

    def save(self, folder: Path) -> None:
        """Settings and seed as JSON, and the history."""
        about = json.dumps({"settings": asdict(self.settings), "seed": self.seed}, indent=1)
        (folder / ABOUT).write_text(about + "\n", encoding="utf-8")
        write_history(self.history, folder)

    def _candidates(self, seen: Curves, target: pd.DataFrame) -> dict[str, list[Task]]:
        """For each metric asked for, what is known of those that may guide it in the runs asked for."""
        known = {**self.history.metrics, **seen.metrics}
        logged = {name: known[name] for name in pd.unique(self.history.points["metric"]) if name in known}
        names = {name: guides_for(known[name], logged) for name in pd.unique(target["metric"])}
        guides = sorted({guide for some in names.values() for guide in some})
        asked = [(run, guide, 1.0) for guide in guides for run in pd.unique(target["run"])]
        of_metric = {task.metric: task for task in tasks(self.history, seen, pd.DataFrame(asked, columns=KEY))}
        return {name: [of_metric[guide] for guide in some] for name, some in names.items()}

    def _ranked(self, task: Task, guides: list[Task]) -> list[Task] | None:
        """The guides about whose lines a metric is, the nearest first; None where too few runs could tell."""
        past = [(run, line) for run, line in task.past.items() if len(line.share)]
        at = np.array(self.settings.shares)
        y = np.concatenate([np.zeros(0), *(_reached(task, line, at) for _, line in past)])
        family = np.repeat(np.array([line.family for _, line in past]), len(at))
        if len(np.unique(family[np.isfinite(y)])) < FEWEST_FAMILIES:
            return None
        rows = [np.concatenate([_reached(guide, guide.past.get(run), at) for run, _ in past]) for guide in guides]
        # Beside them one that says nothing: its line is flat.
        *far, flat = distances(
            np.stack([*rows, np.zeros(len(y))]), y, family, folds=self.settings.folds, fewest=FEWEST_FAMILIES,
            seed=seed_for(self.seed, task.metric),
        )  # fmt: skip
        return [guides[i] for i in np.argsort(far, kind="stable") if far[i] < FARTHEST * flat]

    def _ahead(
        self, seen: Curves, target: pd.DataFrame, chosen: Mapping[tuple[str, str], Task], seed: int
    ) -> dict[tuple[str, str, float], tuple[np.ndarray, str]]:
        """Draws (s,) of the probit and status of each guide at each step that is asked for in a run."""
        guides = {
            (run, chosen[run, name].metric, step): chosen[run, name]
            for run, name, step in target[KEY].itertuples(index=False)
            if (run, name) in chosen
        }
        if not guides:
            return {}
        asked = pd.DataFrame(list(guides), columns=KEY)
        found = self.guide.forecast(seen, asked, seed=seed_for(seed, self.settings.of))
        drawn = (
            probit(guide.scale.latent(draws), error=guide.scale.error)
            for guide, draws in zip(guides.values(), found.draws, strict=True)
        )
        return dict(zip(guides, zip(drawn, found.status, strict=True), strict=True))

    def _draws(
        self, task: Task, guide: Task, run: str, share: float, ahead: np.ndarray, seed: int
    ) -> np.ndarray | None:
        """Latent draws (s,) of a run at a share from those of its guide; None where too few runs got there."""
        line, last = task.seen[run], self.settings.last
        now = _now(task, guide, line, guide.seen[run], last)
        end, x, y, family = np.array([share]), [], [], []
        for name in sorted(task.past.keys() & guide.past.keys()):
            past, beside = task.past[name], guide.past[name]
            if past.reaches(share) and beside.reaches(share):
                cut = float(line.share[-1]) if now else 0.0
                begun = _now(task, guide, past.upto(cut), beside.upto(cut), last) if now else ()
                if len(begun) == len(now):
                    x.append((*_reached(guide, beside, end), *begun))
                    y += [*_reached(task, past, end)]
                    family.append(past.family)
        if len(set(family)) < FEWEST_FAMILIES:
            return None
        here = np.column_stack([ahead, np.tile(now, (len(ahead), 1))])
        nothing = np.zeros((len(x), 0)), np.zeros((len(here), 0))
        learnt = crossfit(
            lambda of, _: OnTheLine(of), Examples(np.array(x), np.array(y), np.array(family)), here, nothing,
            folds=self.settings.folds, seed=seed_for(self.seed, task.metric),
        )  # fmt: skip
        rng = np.random.default_rng(seed_for(seed, run, task.metric))
        lots, tails, jitter = rng.random(DRAWS), rng.random(DRAWS), rng.standard_normal(DRAWS)
        known = np.concatenate([line.latent, *(past.latent for past in task.past.values())])
        drawn = latent(learnt.point + learnt.size * errors(learnt, lots, tails), error=task.scale.error)
        return drawn + smallest_spread(known, bounded=True) * jitter


def guides_for(metric: Metric, known: Mapping[str, Metric]) -> list[str]:
    """The metrics that may guide one: capabilities between the same two bounds; agreements, where these are 0 and 1.

    >>> known = {name: Metric(name, "capability", 0.0, 1.0) for name in ("accuracy", "recall")}
    >>> guides_for(Metric("noisy", "robustness", 0.0, 1.0), known), guides_for(Metric("loss", "loss", 0.0), known)
    (['accuracy', 'recall'], [])
    """
    if metric.lower is None or metric.upper is None:
        return []
    bounds = metric.lower, metric.upper
    return [
        name
        for name, one in sorted(known.items())
        if name != metric.name and (one.lower, one.upper) == bounds
        and (one.kind == "capability" or (one.kind == "signal" and "agreement" in name and bounds == (0.0, 1.0)))
    ]  # fmt: skip


def _reached(task: Task, line: Line | None, share: np.ndarray) -> np.ndarray:
    """Probits of a curve at shares (m,), NaN where it ends before."""
    if line is None:
        return np.full(len(share), np.nan)
    return np.where(line.reaches(share), probit(line.at(share), error=task.scale.error), np.nan)


def _now(task: Task, guide: Task, line: Line, beside: Line, last: int) -> tuple[float, ...]:
    """Mean probits of the guide and of a metric over the last checkpoints of it, empty where one was not seen."""
    if not len(line.share) or not len(beside.share):
        return ()
    first = max(len(line.share) - last, int(np.searchsorted(line.share, line.share[-1] / 2)))
    mine = probit(line.latent[first:], error=task.scale.error)
    theirs = probit(beside.at(line.share[first:]), error=guide.scale.error)
    return float(theirs.mean()), float(mine.mean())


FORECASTER = AccuracyOnTheLine()

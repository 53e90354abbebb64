"""Group curves: a gap and a worst group as two numbers of the two groups behind them, which are forecast together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn import features
from predictdyn.covariates import encoder_for
from predictdyn.curves import Curves
from predictdyn.fitting.crossfit import Answers, Examples, Regressor, errors
from predictdyn.fitting.paired import paired, paired_lots
from predictdyn.fitting.shrunken import Shrunken
from predictdyn.forecast import DRAWS, Forecast, seed_for
from predictdyn.forecasters._columns import units
from predictdyn.forecasters._core import ends
from predictdyn.forecasters._errors import smallest_spread
from predictdyn.forecasters._fallback import answered
from predictdyn.forecasters._groups import Groups, groups_in, scale_of, with_groups
from predictdyn.forecasters._history import read_history, write_history
from predictdyn.forecasters._places import about, alike, share_of
from predictdyn.forecasters._regressed import FEWEST_FAMILIES, FEWEST_RUNS, columns_for, rough
from predictdyn.forecasters.extra_trees import trees
from predictdyn.lines import Asked, Task, tasks
from predictdyn.scales import Scale

AS_IT_IS = Scale(None, None, 0.0)  # draws are made in units of the metric already


class Linear:
    """A shrunken regression of each answer, for rows of families (n,)."""

    def __init__(self, family: np.ndarray) -> None:
        self.family, self.each = family, [Shrunken(family)]

    def fit(self, x: np.ndarray, y: np.ndarray) -> Linear:
        """Rows x (n, p), answers y (n, d)."""
        self.each = [Shrunken(self.family).fit(x, column) for column in y.T]
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Answers (m, d) for rows (m, p)."""
        return np.stack([one.predict(x) for one in self.each], axis=1)


def linear(family: np.ndarray, seed: int) -> Regressor:
    """`Linear` as `crossfit` makes regressions."""
    return Linear(family)


@dataclass(frozen=True)
class GroupCurves:
    r"""A gap and a worst group from a joint forecast of two groups.

    The groups are found by the rules of `_groups.groups_in`: two logged metrics of which the gap is the difference, or
    what the gap and the worst group say of the two. With logits :math:`z_1, z_2`, the changes from what is seen to the
    target of the lower group :math:`m = \min(z_1, z_2)` and of how far the groups are apart, :math:`d = z_1 - z_2`, are
    regressed over finished runs, as they looked at the same share of the run, on the features of both and of the gap,
    level and slope of all other metrics, the plan, and what the exact posteriors of both curves alone say of their
    ends: by a shrunken linear regression, extra trees, or the mean of both, whichever is nearest on families left out
    (`fitting.paired`). m and d say the same as the two groups, but what happens to both of them, and the noise of the
    lower, is not in d. Errors on families left out are drawn in pairs (m, d), and with :math:`\sigma` the inverse logit

    .. math:: y_1 = \sigma(m + \max(d, 0)), \quad y_2 = \sigma(m + \max(-d, 0)), \qquad
              g = y_1 - y_2, \quad w = \min(y_1, y_2)

    of one pair of draws are one joint sample. No logarithm of a signed gap is taken, and it may change sides. The
    forecast is joint where all rows of each run come from the same two groups. Rows of other metrics, of gaps without
    groups, and where fewer than 20 runs in 4 families have ended, fall back to the last value. Group curves by
    worst-group accuracy and its gap: Sagawa et al. 2020, arXiv:1911.08731.
    """

    name: str = "group_curves"
    folds: int = 5

    def fit(self, history: Curves, *, seed: int) -> GroupCurvesFitted:
        """Keep the history; what it teaches depends on how much of a run is seen."""
        return GroupCurvesFitted(self, history, seed)

    def load(self, folder: Path) -> GroupCurvesFitted:
        """Read back a saved history."""
        return GroupCurvesFitted(self, read_history(folder), int((folder / "seed.txt").read_text(encoding="utf-8")))


class _Both(NamedTuple):
    """Tasks of the two groups, and features of the finished runs and of those in question at one share of the run."""

    tasks: tuple[Task, ...]
    past: pd.DataFrame
    seen: pd.DataFrame
    columns: list[str]


@dataclass(frozen=True)
class GroupCurvesFitted:
    """The settings and the finished runs."""

    settings: GroupCurves
    history: Curves
    seed: int

    def forecast(self, seen: Curves, target: pd.DataFrame, *, seed: int) -> Forecast:
        """Draws of metrics that follow from two groups; the last value where there are none, or too few runs ended."""
        target = target.reset_index(drop=True)
        values = np.zeros((len(target), DRAWS))
        status = np.full(len(target), "no two groups found: last value", dtype=object)
        asked = set(target["metric"])
        of_metric: dict[str, Groups] = {}
        for groups in groups_in(self.history, seen) if asked else []:
            of_metric = {**dict.fromkeys(groups.metrics, groups), **of_metric}
        for groups in dict.fromkeys(of_metric[name] for name in sorted(asked & set(of_metric))):
            rows = np.flatnonzero([of_metric.get(name) == groups for name in target["metric"]])
            moments = target.loc[rows, ["run", "step"]].drop_duplicates(ignore_index=True)
            draws, found = self._pairs(groups, seen, moments, seed)
            place = {key: i for i, key in enumerate(zip(moments["run"], moments["step"], strict=True))}
            for row in rows:
                at = place[target["run"].iloc[row], target["step"].iloc[row]]
                status[row] = found[at]
                values[row] = groups.value(target["metric"].iloc[row], *draws[:, at])
        scales = dict.fromkeys(asked, AS_IT_IS)
        plain = answered(self.history, seen, target, values, scales, status, seed=seed)
        one = [of_metric.get(name) for name in target["metric"]]
        together = all(len(set(some)) == 1 for _, some in pd.Series(one, dtype=object).groupby(target["run"]))
        return replace(plain, joint=together and bool((plain.status == "ok").all()))

    def save(self, folder: Path) -> None:
        """The history as parquet and JSON."""
        write_history(self.history, folder)
        (folder / "seed.txt").write_text(f"{self.seed}\n", encoding="utf-8")

    def _pairs(
        self, groups: Groups, seen: Curves, moments: pd.DataFrame, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Draws of both groups (2, n, s) at n moments (run, step), in their units, and statuses (n,)."""
        scale = scale_of(groups, self.history, seen)
        history, begun = (with_groups(curves, groups, scale) for curves in (self.history, seen))
        two = pd.concat([moments.assign(metric=name) for name in (groups.lower, groups.apart)], ignore_index=True)
        both = tuple(tasks(history, begun, two))
        latent = np.zeros((2, len(moments), DRAWS))
        status = np.full(len(moments), f"fewer than {FEWEST_RUNS} finished runs: last value", dtype=object)
        last = {}
        for one in both[0].asked:
            lines = [task.seen[one.run] for task in both]
            if all(len(line.share) for line in lines):
                last[one.run] = max(float(line.share[-1]) for line in lines)
            else:
                status[one.rows] = "nothing seen of the groups: last value"
        of_features = features.scales_for(history, begun)
        encoder = encoder_for(history.runs) if len(history.runs) else None
        for origin, some in alike(both[0].asked, last).items():
            described = partial(features.table, share=origin, scales=of_features, encoder=encoder)
            past = described(history)
            chosen = {c for task in both for c in columns_for(past, task.metric, own=False)}
            chosen |= set(columns_for(past, groups.gap, own=True))
            columns = [column for column in map(str, past.columns) if column in chosen]
            self._group(_Both(both, past, described(begun), columns), groups.gap, some, origin, latent, status, seed)
        lower, apart = latent
        return np.stack([scale.value(lower + np.maximum(part, 0.0)) for part in (apart, -apart)]), status

    def _group(
        self, both: _Both, gap: str, group: Sequence[Asked], origin: float, latent: np.ndarray, status: np.ndarray,
        seed: int,
    ) -> None:  # fmt: skip
        """Latent draws (2, n, s) and statuses of runs of which about the same share was seen."""
        # Each row is answered at the places about it alone: what else is asked moves nothing.
        places = {place for asked in group for share in asked.share for place, _ in about(share, origin)}
        answers = {place: self._answers(both, gap, group, origin, share_of(place)) for place in sorted(places)}
        for i, asked in enumerate(group):
            rng = np.random.default_rng(seed_for(seed, asked.run, gap))
            rows, tails = rng.random((2, DRAWS))
            within, jitter = rng.random((2, DRAWS)), rng.standard_normal((2, DRAWS))
            for row, share in zip(asked.rows, asked.share, strict=True):
                beside = [(weight, answers[place]) for place, weight in about(share, origin)]
                if any(found is None for _, found in beside):
                    continue
                latent[:, row] = 0.0
                for weight, found in beside:
                    lots = paired_lots(found, rows, within) if found else within
                    for k, one in enumerate(found or ()):
                        latent[k, row] += weight * (one.point[i] + one.size[i] * errors(one, lots[k], tails))
                for k, task in enumerate(both.tasks):
                    line = task.seen[asked.run]
                    known = np.concatenate([line.latent, *(past.latent for past in task.past.values())])
                    latent[k, row] += line.latent[-1] + smallest_spread(known, bounded=True) * jitter[k]
                status[row] = "ok"

    def _answers(
        self, both: _Both, gap: str, group: Sequence[Asked], origin: float, end: float
    ) -> tuple[Answers, ...] | None:
        """Changes of both groups of each run from the last value to a share of the run; None if too few got there."""
        begun = [{run: line.upto(origin) for run, line in task.past.items()} for task in both.tasks]
        runs = [
            run for run in both.tasks[0].past
            if all(
                run in task.past and len(part[run].share) and task.past[run].reaches(end)
                for task, part in zip(both.tasks, begun, strict=True)
            )
        ]  # fmt: skip
        family = np.array([both.tasks[0].past[run].family for run in runs])
        if len(runs) < FEWEST_RUNS or len(set(family)) < FEWEST_FAMILIES:
            return None
        asked = [one.run for one in group]
        changes, cores, roughs = [], [], []
        for task, part in zip(both.tasks, begun, strict=True):
            changes.append([float(task.past[run].at(np.array(end))) - part[run].latent[-1] for run in runs])
            core = ends([part[run] for run in runs], end), ends([task.seen[run] for run in asked], end)
            own = columns_for(both.past, task.metric, own=True)
            tables = both.past.loc[runs, own].to_numpy(), both.seen.loc[asked, own].to_numpy()
            x, at = (rough(np.concatenate(pair, axis=1), own) for pair in zip(tables, core, strict=True))
            roughs.append((x, at))
            cores.append(core)
        x, at = (
            np.concatenate([table.loc[names, both.columns].to_numpy(), *(core[i] for core in cores)], axis=1)
            for i, (table, names) in enumerate(((both.past, runs), (both.seen, asked)))
        )
        made = units(x)
        return paired(
            (linear, trees(3)), Examples(made.apply(x), np.array(changes).T, family), made.apply(at), roughs,
            folds=self.settings.folds, seed=seed_for(self.seed, gap),
        )  # fmt: skip


FORECASTER = GroupCurves()

"""Alarms that need no test: numbers that are not finite, and targets that a forecast says will be missed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.events import JointEvent
from predictdyn.forecasters._fitted import Fitted
from predictdyn.loaders.engine.not_finite import broken
from predictdyn.watch.alarm import Alarm, Look
from predictdyn.watch.standing import chosen_metrics, ends, last_steps, reached, targets_of

MARKS = 20  # equal shares of a run; at the end of each the targets are asked
UNLIKELY = 0.05  # a target with a smaller probability, at two marks in succession, will be missed


@dataclass
class Plain:
    """Facts and targets alone: what can be said without finished runs to learn a test from."""

    fitted: Fitted | None
    targets: tuple[str, ...] = ()
    seed: int = 0

    def look(self, curves: Curves, state: dict[str, Any]) -> Look:
        """As `Detector.look`. Raises ValueError for a target on a metric that neither runs nor the history have."""
        before = state.get("runs", {})
        runs: dict[str, dict[str, Any]] = {
            run: dict(before.get(run, {"mark": 0, "low": {}, "rang": []})) for run in curves.runs.index
        }
        alarms = [*self._facts(curves, runs), *self._missed(curves, runs)]
        rang = {alarm.run: alarm.kind for alarm in reversed(alarms)}
        now, plan = last_steps(curves), curves.runs["last_step"].astype(float)
        table = pd.DataFrame(
            {
                "run": list(runs),
                "step": [now.get(run, 0.0) for run in runs],
                "progress": [now.get(run, 0.0) / plan[run] for run in runs],
                "e_value": np.nan,
                "alarm": [rang.get(run, "") for run in runs],
            }
        )
        for text in self.targets:
            table[f"p_{text}"] = [runs[run].get("p", {}).get(text, np.nan) for run in runs]
        return Look(tuple(alarms), {"runs": {**before, **runs}, "version": 1}, table)

    def save(self, folder: Path) -> None:
        """What was asked, as JSON; the model is kept by `predictdyn.fit`."""
        (folder / "detector.json").write_text(
            json.dumps({"targets": list(self.targets), "seed": self.seed}), encoding="utf-8"
        )

    def _facts(self, curves: Curves, runs: dict[str, dict[str, Any]]) -> list[Alarm]:
        found = []
        for run, step, what in curves.events[["run", "step", "what"]].itertuples(index=False):
            metric = broken(what)
            if metric is None or run not in runs:
                continue
            if metric not in runs[run]["rang"]:
                runs[run]["rang"] = [*runs[run]["rang"], metric]
                words = f"{what} at step {step:g}"
                found.append(Alarm(run, "not finite", metric, float(step), float(step), float("inf"), words))
        return found

    def _missed(self, curves: Curves, runs: dict[str, dict[str, Any]]) -> list[Alarm]:
        if not self.targets or self.fitted is None:
            return []
        known = {**curves.metrics, **self.fitted.history.metrics}
        # Without finished runs nobody knows what will be logged: a target waits until its metric is.
        targets = targets_of(self.targets, known, waiting=not len(self.fitted.history.runs))
        if not targets:
            return []
        passed = {run: self._passed(curves, run, targets) for run in runs}
        alarms: list[Alarm] = []
        while due := [run for run in runs if runs[run]["mark"] < passed[run]]:
            for run in due:
                runs[run]["mark"] += 1
            alarms += self._at_marks(curves, {run: runs[run] for run in due}, targets)
        return alarms

    def _passed(self, curves: Curves, run: str, targets: list[JointEvent]) -> int:
        """How many marks all metrics of all targets have reached: what is seen at these will not change."""
        asked = {bound.metric for target in targets for bound in target.bounds}
        now = [curves.series[run, name].step[-1] if (run, name) in curves.series else 0.0 for name in asked]
        return min(int(min(now) / float(curves.runs["last_step"].astype(float)[run]) * MARKS * (1 + 1e-9)), MARKS - 1)

    def _at_marks(self, curves: Curves, due: dict[str, dict[str, Any]], targets: list[JointEvent]) -> list[Alarm]:
        """Alarms of runs at one mark each; their part of the state is brought up to date."""
        assert self.fitted is not None
        plan = curves.runs["last_step"].astype(float)
        limit = {run: entry["mark"] / MARKS * plan[run] * (1 + 1e-9) for run, entry in due.items()}
        own = curves.select(runs=list(due))
        seen = own.where(own.points["step"].to_numpy(float) <= own.points["run"].map(limit).to_numpy(float))
        found = ends(self.fitted, seen, list(due), chosen_metrics(seen, (), targets), seed=self.seed)
        if found is None:
            return []
        self.fitted = found.fitted
        alarms = []
        for run, likely in reached(found.prediction, seen, targets).items():
            entry = due[run]
            entry["p"] = {**entry.get("p", {}), **likely}
            low = dict(entry["low"])
            for target in targets:
                share = likely.get(target.text, np.nan)
                low[target.text] = low.get(target.text, 0) + 1 if share < UNLIKELY else 0
                if low[target.text] == 2 and f"target {target.text}" not in entry["rang"]:
                    entry["rang"] = [*entry["rang"], f"target {target.text}"]
                    step = entry["mark"] / MARKS * plan[run]
                    since = (entry["mark"] - 1) / MARKS * plan[run]
                    # More may have been seen since: what is forecast now can be likelier.
                    words = (
                        f"at step {step:g} of {plan[run]:g}, {target.text} had a probability of {share:.2g} at the "
                        f"end, the second in succession below {UNLIKELY * 100:g} %"
                    )
                    metric = target.bounds[0].metric
                    alarms.append(Alarm(run, "will miss target", metric, since, step, share, words))
            entry["low"] = low
        return alarms

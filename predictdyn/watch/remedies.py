"""What each known intervention would do to a run that rang: its forecast as it is, and with each from now on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from predictdyn.curves import Curves
from predictdyn.effects.comparison import QUANTILES, compared
from predictdyn.effects.pairs import arms
from predictdyn.effects.planned import FEWEST, Intervention, intervened
from predictdyn.events import JointEvent
from predictdyn.joint import couple
from predictdyn.watch.standing import Ends, digits, last_steps, reached

MOST = 12  # interventions, those that most finished runs show
UNCHANGED = "unchanged"
NUMBERS = [f"{label}_q{level:g}" for label in ("with", "effect") for level in QUANTILES]


def known_interventions(history: Curves) -> list[str]:
    """Those that enough finished runs had, the most common first.

    >>> points = pd.DataFrame({"run": [*"abcde"], "metric": "loss", "step": 9, "value": 1.0})
    >>> from predictdyn.curves import curves_from
    >>> runs = pd.DataFrame({"intervention": ["none", *["lower rate"] * 4], "intervention_step": 5}, index=[*"abcde"])
    >>> known_interventions(curves_from(points, runs))
    ['lower rate']
    """
    count = arms(history.runs)["intervention"].value_counts()
    return [str(name) for name, runs in sorted(count.items(), key=lambda one: (-one[1], one[0])) if runs >= FEWEST][
        :MOST
    ]


def remedies(
    found: Ends, curves: Curves, run: str, targets: Sequence[JointEvent], *, seed: int
) -> list[dict[str, Any]]:
    """What is kept, as plain JSON, of the forecast of one run as it is and with each known intervention from now on.

    One entry a change, the first of them none: ``change``, ``step`` (the last one before it), ``targets`` (the
    probability of each) and ``metrics``: of each the quantiles ``with`` and ``effect`` and the words on what supports
    it. An intervention of which nothing is known for this run is left out. Empty where the run has an intervention of
    its own, and where no finished run had any.
    """
    history = found.fitted.history
    own = curves.select(runs=[run])
    names = known_interventions(history)
    if not names or len(arms(own.runs)) or run not in set(found.prediction.target["run"]):
        return []
    rows = (found.prediction.target["run"] == run).to_numpy()
    base = replace(
        found.prediction, target=found.prediction.target[rows].reset_index(drop=True),
        draws=found.prediction.draws[rows], status=found.prediction.status[rows],
    )  # fmt: skip
    step = last_steps(own)[run]
    entries = []
    for name in names:
        planned = Intervention(name, step)
        try:
            changed = intervened(base, history, own, planned, seed=seed)
        except ValueError:  # too few of its runs reach so far, or it can no longer be made
            continue
        # Effects are drawn for each row by itself; a target of several metrics needs samples of all together.
        whole = couple(changed.forecast, found.fitted.past, own, seed=seed)
        likely = reached(whole, own, targets).get(run, {})
        entries.append(_entry(compared(base, changed, history, planned), name, step, likely))
    if not entries:
        return []
    now = {
        metric: {"with": digits(np.quantile(draws, QUANTILES)), "effect": [], "words": ""}
        for metric, draws in zip(base.target["metric"], base.draws, strict=True)
    }
    likely = reached(base, own, targets).get(run, {})
    return [{"change": UNCHANGED, "step": step, "targets": likely, "metrics": now}, *entries]


def _entry(table: pd.DataFrame, name: str, step: float, likely: dict[str, float]) -> dict[str, Any]:
    metrics = {}
    for row in table.to_dict("records"):
        numbers = np.array([row[column] for column in NUMBERS], dtype=float)
        if np.isfinite(numbers).all():
            metrics[row["metric"]] = {
                "with": digits(numbers[:3]), "effect": digits(numbers[3:]), "words": row["words"],
            }  # fmt: skip
    return {"change": name, "step": step, "targets": likely, "metrics": metrics}

"""Troubles: which finished runs went well, what went wrong in others, and which events are no trouble."""

from __future__ import annotations

import pandas as pd

from predictdyn.curves import Curves, ended
from predictdyn.effects.pairs import arms
from predictdyn.watch.checkpoints import looked_at
from predictdyn.watch.hazard import failed

MOST = 0.5  # of the runs: an event that more have is no trouble


def milestones(curves: Curves) -> dict[str, int]:
    """Events that more than half of the finished runs without an intervention have, and how many runs have them.

    A failure is none, however many runs have it.
    """
    runs = set(ended(curves)) - set(arms(curves.runs).index)
    mine = curves.events[curves.events["run"].isin(runs)]
    count = mine.groupby("what")["run"].nunique()
    return {str(what): int(n) for what, n in count.items() if n > MOST * len(runs) and not failed(str(what))}


def milestones_said(curves: Curves) -> list[str]:
    """The same as one line for a person; none where there are none."""
    found = milestones(curves)
    if not found:
        return []
    events = ", ".join(f"{what!r} ({n} runs)" for what, n in found.items())
    return [
        f"events that most finished runs have count as milestones, not as troubles: {events}. Where one is a failure, "
        "call it one in events.csv (diverged)"
    ]


def _telling(curves: Curves) -> pd.DataFrame:
    """The events but for `milestones`."""
    return curves.events[~curves.events["what"].isin(milestones(curves))]


def healthy_runs(curves: Curves) -> list[str]:
    """Finished runs without an intervention, and without an event other than `milestones`."""
    changed, events = arms(curves.runs).index, _telling(curves)
    logged = curves.select(metrics=looked_at(curves.metrics.values()))  # a schedule may be told to its end beforehand
    return [run for run in ended(logged) if run not in set(events["run"]) and run not in changed]


def troubles_of(curves: Curves) -> pd.DataFrame:
    """What went wrong or was changed: run, trouble, at (step), from events and from interventions, the first of each.

    A failure that follows a change belongs to the change. `milestones` are no troubles.
    """
    changed = arms(curves.runs)
    step = changed["start"] * curves.runs["last_step"].astype(float).reindex(changed.index)
    planned = pd.DataFrame({"run": changed.index, "trouble": changed["intervention"], "at": step})
    logged = _telling(curves).rename(columns={"what": "trouble", "step": "at"})[["run", "trouble", "at"]]
    table = pd.concat([planned, logged], ignore_index=True).sort_values(["run", "at"], kind="stable")
    failure = table["trouble"].map(failed).astype(bool)
    other = set(table.loc[~failure, "run"])
    return table[~(failure & table["run"].isin(other))].drop_duplicates("run").reset_index(drop=True)

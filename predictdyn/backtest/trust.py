"""How far to trust a live forecast: by the replays of finished runs that its mixture learnt its weights from."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.backtest.compare import NEEDED, TOO_FEW, Lots, macro_mean, skill, verdict
from predictdyn.backtest.live import LiveSplit
from predictdyn.forecasters._fitted import Fitted
from predictdyn.forecasters._replay_scores import COMPARED, ReplayScores, read_scores
from predictdyn.forecasters._sizes import beyond

TRUST_COLUMNS = [
    "metric", "kind", "progress", "skill", "skill_lo", "skill_hi", "baseline", "coverage_90", "n_runs", "n_families",
    "rests_on", "verdict", "note",
]  # fmt: skip
NOT_REPLAYED = "no finished run was replayed; a backtest tells"
_KEY = re.compile(r"[^/]+/weights/(?P<origin>[^/+]+)(?P<farther>\+?)/")


class ReplayedAt(NamedTuple):
    """Replays at one origin: of runs like those of the history, or of the largest of them."""

    origin: float
    farther: bool
    scores: dict[tuple[str, str], ReplayScores]


def trust(fitted: Fitted, split: LiveSplit, *, seed: int) -> pd.DataFrame:
    """What replays of finished runs say of forecasts like these: one row for each metric and progress.

    ``progress`` is the share of the run at which finished runs were cut, the nearest to what is seen. ``skill`` is the
    share of the best simple baseline's CRPS that the mixture saves, with a 90 % interval over families, then runs;
    ``coverage_90`` the share of truths that its 90 % intervals held. A metric that was not replayed itself ``rests_on``
    the others of its kind. Each family was scored with weights that other families
    taught. The columns are blank where nothing was replayed, and ``note`` says so.
    """
    replayed = _replayed(fitted)
    farther = beyond(split.history.runs, split.observed.runs)
    seen = {key: float(curve.step[-1]) for key, curve in split.observed.series.items()}
    ends = split.observed.runs["last_step"].astype(float).to_dict()
    rows: dict[tuple[str, float | None, bool], dict[str, object]] = {}
    lots = Lots()
    for run, metric in zip(split.target["run"], split.target["metric"], strict=True):
        kind = split.observed.metrics[metric].kind
        at = _nearest(replayed, seen.get((run, metric), 0.0) / ends[run], farther[run] > 1)
        origin, larger = (None, False) if at is None else at[:2]
        if (metric, origin, larger) not in rows:
            about = {"metric": metric, "kind": kind, "progress": np.nan if origin is None else origin}
            rows[metric, origin, larger] = {**about, **_row(at, kind, metric, lots, seed)}
    return pd.DataFrame(list(rows.values()), columns=TRUST_COLUMNS)


def _replayed(fitted: Fitted) -> list[ReplayedAt]:
    found = []
    for key, learnt in fitted.past.learnt.items():
        named = _KEY.match(key)
        if named and key.startswith(f"{fitted.model.name}/") and (scores := read_scores(learnt)):
            found.append(ReplayedAt(float(named["origin"]), bool(named["farther"]), scores))
    return found


def _nearest(replayed: list[ReplayedAt], progress: float, farther: bool) -> ReplayedAt | None:
    """The replays at the origin that is nearest on a logarithmic scale."""
    some = [one for one in replayed if one.farther == farther]
    return min(some, key=lambda one: abs(np.log(one.origin / max(progress, 1e-9))), default=None)


def _row(at: ReplayedAt | None, kind: str, metric: str, lots: Lots, seed: int) -> dict[str, object]:
    alike = {} if at is None else {name: one for (of, name), one in at.scores.items() if of == kind}
    used = {metric: alike[metric]} if metric in alike else alike
    if not used:
        return {"baseline": "", "rests_on": "", "verdict": TOO_FEW, "note": NOT_REPLAYED}
    family = np.concatenate([one.family for one in used.values()])
    run = np.concatenate([one.run for one in used.values()])
    units = [_unit(one) for one in used.values()]
    own = np.concatenate([one.crps / unit for one, unit in zip(used.values(), units, strict=True)])
    compared = np.concatenate([one.compared / unit for one, unit in zip(used.values(), units, strict=True)])
    means = [macro_mean(column, run, family) for column in compared.T]
    if not np.isfinite(means).any():
        return {"baseline": "", "rests_on": "", "verdict": TOO_FEW, "note": NOT_REPLAYED}
    best = int(np.nanargmin(means))
    gain = skill(own, compared[:, best], run, family, seed=seed, lots=lots)
    said = verdict(gain)
    held = np.concatenate([one.held for one in used.values()])
    several = gain.n_families > 1
    rests = f"{gain.n_families} families of finished runs" if several else f"{gain.n_runs} finished runs of one family"
    return {
        "baseline": COMPARED[best], "skill": gain.skill, "skill_lo": gain.low, "skill_hi": gain.high,
        "coverage_90": macro_mean(held, run, family), "n_runs": max(len(np.unique(one.run)) for one in used.values()),
        "n_families": gain.n_families, "rests_on": ", ".join(used), "verdict": said,
        "note": f"{rests}; {NEEDED}" if said == TOO_FEW else "",
    }  # fmt: skip


def _unit(one: ReplayScores) -> float:
    """What puts metrics on one scale: the median over baselines of their mean CRPS."""
    means = one.compared[:, np.isfinite(one.compared).all(axis=0)].mean(axis=0)
    unit = float(np.median(means)) if len(means) else 0.0
    return unit if unit > 0 else 1.0

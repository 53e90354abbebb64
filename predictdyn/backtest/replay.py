"""Replay the past: hide the end of held-out runs, forecast it, score it, sum it up; and the files of the contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from predictdyn.backtest import summary
from predictdyn.backtest.answered import short_of_answers
from predictdyn.backtest.examples import example_points, examples, path_targets
from predictdyn.backtest.folder import metrics_table
from predictdyn.backtest.plan import Plan
from predictdyn.backtest.rules import warnings_for
from predictdyn.backtest.run import run
from predictdyn.curves import Curves
from predictdyn.forecast import Model
from predictdyn.naming import BY_RUNS


class Replay(NamedTuple):
    """What a backtest gives: tables as the files have them, metrics, warnings, and seconds by forecaster."""

    forecasts: pd.DataFrame
    scores: pd.DataFrame
    leaderboard: pd.DataFrame
    verdicts: pd.DataFrame
    examples: pd.DataFrame
    paths: pd.DataFrame
    metrics: pd.DataFrame
    warnings: list[str]
    seconds: dict[str, float]


def replay(
    curves: Curves,
    plan: Plan,
    forecasters: Sequence[Model],
    baselines: Sequence[str],
    *,
    primary_forecaster: str,
    workers: int = 1,
    resume: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, all_: None,
) -> Replay:
    """Run the plan and sum it up.

    ``forecasters`` must hold the baselines, which every skill refers to. Raises ValueError when the plan fits the data
    nowhere.
    """
    names = [one.name for one in forecasters]
    chosen = examples(curves, plan)
    done = run(
        curves, plan, forecasters, baselines,
        paths=path_targets(curves, chosen), primary_forecaster=primary_forecaster,
        workers=workers, resume=resume, progress=progress,
    )  # fmt: skip
    if done.rows.empty:
        raise ValueError(
            "nothing to forecast: no target lies after the cutoffs "
            f"({', '.join(map(str, plan.cutoffs))}) for the chosen runs and metrics"
        )
    table = summary.resolved(done.rows, curves.runs["family"], baselines)
    if table.empty:
        raise ValueError(
            f"nothing to score: every run stopped before its planned last_step; mend last_step of the runs {BY_RUNS}"
        )
    return Replay(
        forecasts=done.rows,
        scores=summary.scores_table(table, names, baselines, seed=plan.seed),
        leaderboard=summary.leaderboard(table, names, baselines, seed=plan.seed),
        verdicts=summary.verdicts(table, names, baselines, seed=plan.seed),
        examples=example_points(curves, chosen),
        paths=done.paths,
        metrics=metrics_table(curves.metrics),
        warnings=[*short_of_answers(done.rows, baselines), *warnings_for(curves, plan)],
        seconds=done.seconds,
    )


def write_replay(found: Replay, folder: Path) -> None:
    """All tables of a backtest as files in ``folder``."""
    for name in ("forecasts", "examples", "paths"):
        getattr(found, name).to_parquet(folder / f"{name}.parquet", index=False)
    for name in ("scores", "leaderboard", "verdicts", "metrics"):
        getattr(found, name).to_csv(folder / f"{name}.csv", index=False)

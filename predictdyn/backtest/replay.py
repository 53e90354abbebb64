"""Replay the past: hide the end of held-out runs, forecast it, score it, write the files of the contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from predictdyn.backtest import summary
from predictdyn.backtest.examples import example_points, examples, path_targets
from predictdyn.backtest.folder import metrics_table, write_json
from predictdyn.backtest.plan import Plan
from predictdyn.backtest.rules import RULES, warnings_for
from predictdyn.backtest.run import run
from predictdyn.curves import Curves
from predictdyn.forecast import Model


def replay(
    curves: Curves,
    plan: Plan,
    forecasters: Sequence[Model],
    baselines: Sequence[str],
    folder: Path,
    *,
    about: Callable[[dict[str, Any], list[str], dict[str, float]], dict[str, Any]],
    primary_forecaster: str,
    workers: int = 1,
    resume: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, all_: None,
) -> pd.DataFrame:
    """Run the plan and write forecasts, scores, leaderboard, verdicts, examples and provenance into ``folder``.

    ``forecasters`` must hold the baselines, which every skill refers to. ``about`` makes the provenance from the plan,
    the warnings and the seconds. Returns the leaderboard. Raises ValueError when the plan fits the data nowhere.
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
        raise ValueError("nothing to score: every run stopped before its planned last_step; mend last_step in runs.csv")
    board = summary.leaderboard(table, names, baselines, seed=plan.seed)
    done.rows.to_parquet(folder / "forecasts.parquet", index=False)
    summary.scores_table(table, names, baselines, seed=plan.seed).to_csv(folder / "scores.csv", index=False)
    board.to_csv(folder / "leaderboard.csv", index=False)
    verdicts = summary.verdicts(table, names, baselines, seed=plan.seed)
    verdicts.to_csv(folder / "verdicts.csv", index=False)
    example_points(curves, chosen).to_parquet(folder / "examples.parquet", index=False)
    done.paths.to_parquet(folder / "paths.parquet", index=False)
    metrics_table(curves.metrics).to_csv(folder / "metrics.csv", index=False)
    plan_json = {**plan.to_json(), "rules": RULES}
    write_json(about(plan_json, warnings_for(curves, plan), done.seconds), folder / "provenance.json")
    return board

"""The draws of a live forecast as a table, with those of the baselines: what a ledger needs to hold it to account."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from predictdyn.backtest.live import LiveSplit
from predictdyn.forecast import Prediction
from predictdyn.forecasters import BASELINES, forecaster
from predictdyn.forecasters._fitted import Fitted, answer_to, one_thread
from predictdyn.problem import Problem

FILE = "draws.parquet"
DRAWS_COLUMNS = [
    "forecaster", "run", "family", "metric", "kind", "step", "seen_step", "last_step", "status", "draws",
]  # fmt: skip
MOST = 500  # targets whose baselines are kept beside them: 64 kB each


def draws_table(prediction: Prediction, split: LiveSplit, fitted: Fitted, *, seed: int) -> pd.DataFrame:
    """One row for each forecaster and target: the forecast first, then every baseline; ``draws`` holds lists.

    ``seen_step`` is the last step of the metric that was seen, 0 where none was. Beyond `MOST` targets there are no
    baselines, because they would outweigh all other results.
    """
    given = [(fitted.model.name, prediction)]
    if len(prediction.target) <= MOST:
        problem = Problem(fitted.past, split.observed, prediction.target.reset_index(drop=True), seed, fitted.seed)
        names = [name for name in BASELINES if name != fitted.model.name]
        with one_thread():
            given += [(name, answer_to(problem, forecaster(name))) for name in names]
    target = prediction.target
    seen = {key: float(curve.step[-1]) for key, curve in split.observed.series.items()}
    runs, metrics = split.observed.runs, split.observed.metrics
    known = pd.DataFrame(
        {
            "run": target["run"].to_numpy(), "family": runs["family"].loc[target["run"]].to_numpy(),
            "metric": target["metric"].to_numpy(), "kind": [metrics[name].kind for name in target["metric"]],
            "step": target["step"].to_numpy(float),
            "seen_step": [seen.get(key, 0.0) for key in zip(target["run"], target["metric"], strict=True)],
            "last_step": runs["last_step"].loc[target["run"]].to_numpy(float),
        }
    )  # fmt: skip
    tables = [known.assign(forecaster=name, status=one.status, draws=list(one.draws)) for name, one in given]
    return pd.concat(tables, ignore_index=True)[DRAWS_COLUMNS]


def read_draws(folder: Path) -> pd.DataFrame:
    """Back from a folder that `forecast` wrote. Raises ValueError where it has no draws, or such as none wrote."""
    file = folder / FILE
    if not file.is_file():
        raise ValueError(
            f"{folder} has no {FILE}; make the forecast again, with `predictdyn forecast` or forecast(...).save(folder)"
        )
    try:
        table = pd.read_parquet(file)
    except (ValueError, OSError) as error:
        raise ValueError(f"{file} cannot be read: {str(error).splitlines()[0]}") from None
    if list(table.columns) != DRAWS_COLUMNS or not len(table):
        raise ValueError(f"{file} has columns {', '.join(table.columns)}; expected {', '.join(DRAWS_COLUMNS)}")
    for row, draws in enumerate(table["draws"]):
        if not (isinstance(draws, np.ndarray) and len(draws) >= 2 and np.isfinite(draws).all()):
            raise ValueError(f"{file}: the draws of row {row} are not at least 2 finite numbers")
    return table

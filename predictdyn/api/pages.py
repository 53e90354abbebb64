"""Pages: a result, or a folder of one, as a page."""

from __future__ import annotations

from pathlib import Path

from predictdyn.api.backtests import Backtest
from predictdyn.api.forecasts import Forecast


def report(result: Forecast | Backtest | Path | str, out: Path | str | None = None) -> Path:
    """Write index.html, report.md and figures of a result into ``out``; returns the page's path.

    ``result`` is a forecast or a backtest, whose tables are written as well into a new folder ``out``; or a folder that
    has them, which is ``out`` too by default. Raises ValueError where the folder is not new, or holds no results.
    """
    if isinstance(result, Forecast | Backtest):
        if out is None:
            raise ValueError("report needs out=, the folder to write")
        return result.save(out)
    from predictdyn.report import publish

    return publish(Path(result), None if out is None else Path(out))

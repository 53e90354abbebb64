"""A table of a log: one row a step, one column a metric (CSV, CSV.gz or parquet)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from predictdyn.curves import Curves
from predictdyn.loaders._logs import STEP_NAMES, Options, curves_of_logs, log_files
from predictdyn.loaders._tables import TABLES, header, is_table, read_table

COMPANIONS = ("runs.csv", "runs.parquet", "events.csv")
ASKED = 20  # files of a folder whose first lines are looked at


def looks(path: Path) -> str | None:
    """How many tables there are with a column for the step, in words, or None; a single table need not have one."""
    from predictdyn.loaders.long import is_long
    from predictdyn.loaders.tidy import NEEDED

    try:
        files = log_files(path, TABLES, COMPANIONS)
        columns = [{name.lower() for name in header(file)} for file in files[:ASKED]] if is_table(files[0]) else []
    except ValueError:
        return None
    others = [names for names in columns if not set(NEEDED) <= names and not is_long(names)]
    tables = [names for names in others if names & set(STEP_NAMES) or not path.is_dir()]
    more = f" (or more: {len(files)} files)" if len(files) > ASKED else ""
    return f"tables of a training log: {len(tables)}{more}" if tables else None


def load(
    path: Path | str,
    *,
    run: str | None = None,
    step: str | None = None,
    family: str | None = None,
    metrics: str | Sequence[str] | None = None,
    covariates: str | Sequence[str] | None = None,
    last_step: str | float | None = None,
    metrics_file: Path | str | None = None,
    runs_file: Path | str | None = None,
    merge: bool | str = False,
) -> Curves:
    """Read one file, or all such files of a folder (each a run of its own, unless a column says which run it is).

    * ``run``: the columns that name the run, joined with /. By itself: run, run_name, name, model, ..., else the file
      name is the run (with its folders in front where two files share it).
    * ``step``: the column of the clock. By itself: step, global_step, _step, iteration, tokens, epoch, ...
    * ``metrics``: columns or globs to take, ``"val_*,loss"`` or a list. By itself: every column that holds a number,
      but for clocks. ``<metric>_stderr`` is the standard error of ``<metric>`` where both are there.
    * ``family``: a column, or a regular expression with one group on the run name. By itself every run is its own
      family: say which runs are near-copies, or a backtest will let them vouch for each other.
    * ``covariates``: columns that are constant within every run and known before it.
    * ``last_step``: where the runs are planned to end, a number or a column. By itself the largest step.
    * ``metrics_file``, ``runs_file``: tables as in the tidy folder; by themselves metrics.csv (if it has a column kind)
      and runs.csv (if it has a column run) beside the data. What metrics.csv does not name is looked up in a short
      table of common names (loss, accuracy, learning_rate, ...), anything else is a signal.

    * ``merge``: yes reads the rows of a run as a tool's log, by the rules of `_gather.gathered`: where steps come again
      or go back the run restarted and the later value wins, NaN and infinity are events, and a UserWarning says what
      was dropped. By itself these are errors.

    A blank cell (in parquet also NaN) was not logged at that step. Several rows may share a step as long as no metric
    stands in two of them. Raises ValueError, one line with file and line, for anything else that is no number.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "log.csv").write_text("step,loss,val_loss\\n1,3.5,\\n2,3.25,3.75\\n")
    ...     load(Path(folder, "log.csv")).points[["metric", "step", "value"]].values.tolist()
    [['loss', 1, 3.5], ['loss', 2, 3.25], ['val_loss', 2, 3.75]]
    """
    path = Path(path)
    options = Options(run, step, family, metrics, covariates, last_step, metrics_file, runs_file, merge)
    return curves_of_logs(path, [read_table(file) for file in log_files(path, TABLES, COMPANIONS)], options)

"""What a user may say of tables, whatever their form."""

from __future__ import annotations

from predictdyn.loaders.engine.options import COVARIATES, FAMILY, LAST_STEP, MERGE, Option
from predictdyn.loaders.tables.columns import COLUMNS as KINDS_OF_COLUMNS
from predictdyn.loaders.tables.places import FILES as KINDS_OF_FILES

RUN = Option("run", "the columns that name the run")
STEP = Option("step", "the column of the clock")
FILES = Option("files", "`metrics` or `runs`: what the names of files with one column are", allowed=KINDS_OF_FILES)
COLUMNS = Option(
    "columns",
    "`metrics` (the rule), or `runs`: each column beside the step is a run, and the file names the metric",
    "metrics",
    KINDS_OF_COLUMNS,
)
# Options of the engine that may name columns, or say how faults are taken.
SHARED_WITH_TABLES = (FAMILY, COVARIATES, LAST_STEP, MERGE)
TABLE_OPTIONS = (RUN, STEP, FILES, *SHARED_WITH_TABLES)

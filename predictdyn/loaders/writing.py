"""Any log becomes a tidy folder run by run, so that memory holds the largest runs and never all of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from predictdyn.curves import Curves, curves_from
from predictdyn.loaders import tidy
from predictdyn.loaders.catalogue import source as source_of
from predictdyn.loaders.engine.gather import Head, head_of, tables_of, tidied
from predictdyn.loaders.engine.merge import Tidy
from predictdyn.loaders.engine.runlog import Item
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.engine.state import Marks, State, about, by_item, known, made_by, marks, read_state, write_state

ROWS = 1 << 18  # points of a group of rows: short runs share one


class Written(NamedTuple):
    """What a folder holds: its tables (with two points a curve, the lowest and the highest), how many points, notes."""

    curves: Curves
    points: int
    notes: Sequence[str]


def write(path: Path, source: str, folder: Path, options: Mapping[str, object], before: Path | None = None) -> Written:
    """Read a path by a source into a folder that exists and is empty, as `tidy.save` would write what `load` gives.

    Sources that give their runs one by one (`Source.by_run`) are never in memory as a whole; of the others all is
    loaded first. Steps are written as floats: `tidy.load` makes them whole again where all of them are. ``before`` is
    such a folder that was written earlier: runs whose files have kept size, time and first bytes since are taken from
    it, all others are read whole. Raises ValueError as `loaders.load` does.
    """
    one = source_of(source)
    one.checked(options)
    if not one.by_run:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            curves = one.load(path, **options)
        tidy.save(curves, folder)
        return Written(curves, len(curves.points), [str(warning.message) for warning in caught])
    return _run_by_run(path, one, folder, options, before)


def _run_by_run(
    path: Path, source: Source, folder: Path, options: Mapping[str, object], before: Path | None
) -> Written:
    chosen, made = source.checked(options), made_by(source.name, path, options)
    old, new = State(made, {}) if before is None else read_state(before, made), State(made, {})
    now: dict[str, tuple[str, Marks]] = {}
    entries = by_item(old)

    def before_or_none(item: Item) -> list[Tidy]:
        now[item.run] = (item.key, marks(item))  # before it is read: what is written meanwhile is new next time
        return known(old.folder, entries.get(item.run, {}), item, now[item.run][1])

    def noted() -> Iterator[Tidy]:
        for run in tidied(path, source, chosen, before_or_none):
            new.runs[run.run] = about(run, *now[run.item])
            yield run

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        heads = list(_points_written(noted(), folder / "points.parquet"))
    tables = tables_of(path, heads, chosen)
    try:
        with warnings.catch_warnings(record=True) as hidden:
            warnings.simplefilter("always", UserWarning)
            curves = curves_from(_witnesses(heads), tables.runs, tables.metrics, tables.events)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    tidy.save_tables(curves, folder)
    write_state(folder, new)
    same = sum(bool(entry["marks"]) and entry["marks"] == _marks(old, run) for run, entry in new.runs.items())
    lines = [f"{same} of {len(heads)} run(s) unchanged since the last time, not read again"] if before else []
    said = [str(warning.message) for warning in (*caught, *hidden)]
    return Written(curves, sum(head.size for head in heads), [*lines, *said, *tables.notes])


def _marks(state: State, run: str) -> object:
    return state.runs.get(run, {}).get("marks")


def _points_written(runs: Iterator[Tidy], file: Path) -> Iterator[Head]:
    """The runs, once their points are in the file: sorted, since runs come by name and points by metric and step."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ("run", "metric", "step", "value", "stderr")
    schema = pa.schema([(name, pa.string() if name in ("run", "metric") else pa.float64()) for name in names])
    with file.open("wb") as opened, pq.ParquetWriter(opened, schema) as writer:
        waiting: list[pd.DataFrame] = []
        for tidy_run in runs:
            waiting.append(tidy_run.points.assign(run=tidy_run.run))
            if sum(map(len, waiting)) >= ROWS:
                writer.write_table(pa.Table.from_pandas(pd.concat(waiting), schema, preserve_index=False))
                waiting = []
            yield head_of(tidy_run)
        if waiting:
            writer.write_table(pa.Table.from_pandas(pd.concat(waiting), schema, preserve_index=False))


def _witnesses(heads: Sequence[Head]) -> pd.DataFrame:
    """Two points of every curve, its lowest value at step 0 and its highest at the last step of its run."""
    rows = [
        (head.run, metric, step, value)
        for head in heads
        for metric, (low, high) in head.ranges.items()
        for step, value in (((0.0, low), (head.length.last, high)) if low < high else ((head.length.last, high),))
    ]
    return pd.DataFrame(rows, columns=["run", "metric", "step", "value"])

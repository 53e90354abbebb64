"""What a tidy folder was made of, so that the next time only runs whose files have changed are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from predictdyn import __version__
from predictdyn.loaders.engine.merge import Tidy
from predictdyn.loaders.engine.runlog import Item
from predictdyn.secrets import hidden, without

NAME = ".state.json"
HEAD = 4096  # bytes of which the hash is kept
FORM = 2  # of this file: one of another form is as good as none


Marks = list[list[object]]  # of each file of a run: name, size, time of the last change, hash of its first bytes


class State(NamedTuple):
    """``made``: version, source, path and options; ``runs``: what of each run is no point, and the marks of its files.

    ``folder`` holds the points. Without one, nothing is known.
    """

    made: Mapping[str, object]
    runs: dict[str, dict[str, Any]]
    folder: Path | None = None


def made_by(source: str, path: Path, options: Mapping[str, object]) -> dict[str, object]:
    """All that decides, beside the files, what a folder holds and how it says so, as it comes back from JSON."""
    chosen = {name: value for name, value in options.items() if name != "workers"}
    said = {
        "form": FORM,
        "version": __version__,
        "source": source,
        "path": hidden(str(path.absolute())),
        "options": chosen,
    }
    plain: dict[str, object] = without(json.loads(json.dumps(said, default=str)))
    return plain


def read_state(folder: Path, made: Mapping[str, object]) -> State:
    """The state that a folder was left in; an empty one where it is missing, broken or of another source or options."""
    try:
        said = json.loads((folder / NAME).read_bytes())
        return State(made, said["runs"], folder) if said["made"] == made else State(made, {})
    except (OSError, ValueError, KeyError, TypeError):
        return State(made, {})


def write_state(folder: Path, state: State) -> None:
    """Leave the state beside the points."""
    said = {"made": state.made, "runs": state.runs}
    (folder / NAME).write_text(json.dumps(said, default=_plain), encoding="utf-8")


def marks(item: Item) -> Marks:
    """The marks of a run's files; none where there are no files, or one cannot be opened."""
    found: Marks = []
    for file in item.files:
        try:
            about = file.stat()
            with file.open("rb") as content:
                head = hashlib.sha256(content.read(HEAD)).hexdigest()
            found.append([str(file), about.st_size, about.st_mtime_ns, head])
        except OSError:
            return []
    return found


def by_item(state: State) -> dict[str, dict[str, dict[str, Any]]]:
    """What is known of the runs of each item, by the item's name."""
    items: dict[str, dict[str, dict[str, Any]]] = {}
    for run, entry in state.runs.items():
        items.setdefault(entry["item"], {})[run] = entry
    return items


def known(folder: Path | None, before: Mapping[str, dict[str, Any]], item: Item, now: Marks) -> list[Tidy]:
    """The runs of an item as they were read before; none where it is new, or its files are no longer as they were.

    ``folder`` holds the points that were read, ``before`` is what `by_item` has of this item.
    """
    same = all(entry["marks"] == now and entry["key"] == item.key for entry in before.values())
    if folder is None or not before or not now or not same:
        return []
    file = folder / "points.parquet"
    columns = ["metric", "step", "value", "stderr"]
    runs = []
    for run, entry in before.items():
        points = pq.read_table(file, columns=columns, filters=[("run", "==", run)]).to_pandas()
        events = [(float(step), str(what)) for step, what in entry["events"]]
        # A state of before has fewer fields; their defaults hold.
        rest = {name: entry[name] for name in Tidy._fields if name in entry and name not in ("run", "points", "events")}
        runs.append(Tidy(run, points, events=events, **rest))
    return runs


def about(tidy: Tidy, key: str, now: Marks) -> dict[str, Any]:
    """What of a run is kept in the state, which is without its secrets."""
    rest = {name: value for name, value in tidy._asdict().items() if name not in ("run", "points")}
    events = [(step, hidden(what)) for step, what in tidy.events]
    return {**rest, "config": without(tidy.config), "events": events, "key": key, "marks": now}


def _plain(value: object) -> object:
    """Numbers of NumPy as numbers, anything else that JSON does not know as text."""
    return value.item() if isinstance(value, np.generic) else str(value)

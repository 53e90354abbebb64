"""Settings that lie beside a table of a log: args.yaml, hparams.yaml, config.json, ..., as far as they are plain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from predictdyn.loaders._json_rows import flat
from predictdyn.loaders._lengths import EPOCHS
from predictdyn.loaders._settings_beside import settings
from predictdyn.loaders._tables import read_text

YAML = ("args.yaml", "hparams.yaml", "config.yaml", "args.yml", "config.yml")
JSON = ("args.json", "hparams.json", "config.json", "params.json")


def settings_beside(file: Path) -> dict[str, object]:
    """The settings in the folder of a log, flat, with / between the levels; what cannot be read is passed over.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "args.yaml").write_text("model: resnet50\\nepochs: 20\\n")
    ...     settings_beside(Path(folder, "summary.csv"))
    {'model': 'resnet50', 'epochs': 20}
    """
    found: dict[str, object] = {}
    for name in (*YAML, *JSON):
        beside = file.parent / name
        if beside == file or not beside.is_file():
            continue
        try:
            text = read_text(beside)
            found |= settings(text).config if name in YAML else dict(flat(json.loads(text)))
        except (ValueError, AttributeError, RecursionError):
            continue
    return {name: cell for name, cell in found.items() if cell is None or isinstance(cell, str | bool | int | float)}


def epochs_planned(config: Mapping[str, object], first: float, last: float) -> float | None:
    """The last epoch of a run whose clock is the epoch, counted from 0 if the ``first`` one is 0; None if not said.

    >>> epochs_planned({"epochs": 20}, 0.0, 11.0), epochs_planned({"train/num_epochs": 20}, 1.0, 11.0)
    (19.0, 20.0)
    """
    for key, cell in config.items():
        if key.rpartition("/")[2] in EPOCHS and isinstance(cell, int | float) and not isinstance(cell, bool):
            end = float(cell) - (first == 0)
            if last <= end < float("inf"):
                return end
    return None

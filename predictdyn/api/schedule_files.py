"""Files of a designed schedule, or of a cooldown: tables, figures, and what they were made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from predictdyn.backtest.folder import about, file_hashes, write_json
from predictdyn.backtest.writing import new_folder
from predictdyn.report.style import canvas, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write(
    folder: Path,
    *,
    made: str,
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Callable[..., Axes]],
    plan: dict[str, Any],
    command: str,
    notes: Sequence[str],
    seed: int,
    data: Path | str,
) -> Path:
    """Write CSV tables, SVG figures and provenance.json into a new folder; ``data`` is the path of the data, or a hash
    of the curves.

    Raises ValueError where the folder is not new.
    """
    with new_folder(folder) as aside:
        for name, table in tables.items():
            table.to_csv(aside / f"{name}.csv", index=False)
        for name, paint in figures.items():
            with canvas() as (figure, ax):
                paint(ax=ax)
                (aside / f"{name}.svg").write_text(drawing(figure, name).alone, encoding="utf-8")
        hashes = file_hashes(data) if isinstance(data, Path) else {"curves": data}
        facts = about(
            made=made, title=made, command=command, primary_forecaster="schedule_law", seed=seed, plan=plan,
            sha256=hashes, counts={"runs": len(plan["runs"])}, warnings=list(notes), seconds={},
        )  # fmt: skip
        write_json(facts, aside / "provenance.json")
    return folder

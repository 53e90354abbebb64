"""Two trial folders as Ray Tune writes them, by hand."""

from __future__ import annotations

import json
from pathlib import Path


def sample(folder: Path) -> Path:
    for run in ("train_0", "train_1"):
        (folder / run).mkdir()
        reports = [{"loss": 1 / i, "training_iteration": i, "timestamp": 1714564800 + i} for i in (1, 2, 3)]
        (folder / run / "result.json").write_text("".join(f"{json.dumps(report)}\n" for report in reports))
        (folder / run / "params.json").write_text('{"lr": 0.1}')
    return folder

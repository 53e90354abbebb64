"""A journal as Optuna writes it, by hand (test_optuna.py has those that it writes itself)."""

from __future__ import annotations

import json
from pathlib import Path


def sample(folder: Path) -> Path:
    operations: list[dict[str, object]] = [{"op_code": 0, "study_name": "s", "directions": [1]}]
    for trial in range(2):
        operations.append({"op_code": 4, "study_id": 0, "datetime_start": None})
        operations += [{"op_code": 7, "trial_id": trial, "step": i, "intermediate_value": 1 / (i + 1)} for i in (1, 2)]
        operations.append({"op_code": 6, "trial_id": trial, "state": 1, "values": [1 / 3]})
    lines = [json.dumps(operation, separators=(",", ":")) for operation in operations]
    (folder / "journal.log").write_text("".join(f"{line}\n" for line in lines))
    return folder / "journal.log"

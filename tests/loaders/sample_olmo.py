"""JSON lines with the names that OLMo's trainer gives its metrics."""

import json
from pathlib import Path


def sample(folder: Path) -> Path:
    rows = [
        {
            "step": step,
            "train/CrossEntropyLoss": 11.25 / step,
            "optim/learning_rate_group0": step * 1e-4,
            "throughput/total_tokens": step * 4096,
        }
        for step in (1, 2, 3)
    ]
    (folder / "run.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder

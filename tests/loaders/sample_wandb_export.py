"""The chart of one metric over two runs, as W&B exports it."""

from __future__ import annotations

from pathlib import Path


def sample(folder: Path) -> Path:
    names = [f"{run} - loss{end}" for run in ("fox-1", "owl-2") for end in ("", "__MIN", "__MAX")]
    rows = [["Step", *names], ["0", *["2.5"] * 3, *["3"] * 3], ["10", *["1.25"] * 3, "", "", ""]]
    text = "\n".join(",".join(f'"{cell}"' for cell in row) for row in rows)
    (folder / "wandb_export_2026-11-21.csv").write_text(text)
    return folder / "wandb_export_2026-11-21.csv"

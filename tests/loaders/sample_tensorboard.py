"""A folder of TensorBoard, with two runs."""

from __future__ import annotations

from pathlib import Path

from tensorboardX import SummaryWriter


def sample(folder: Path) -> Path:
    for run in ("a", "b"):
        writer = SummaryWriter(str(folder / run))
        for step in range(3):
            writer.add_scalar("loss", 2 / (step + 1), step)
        writer.close()
    return folder

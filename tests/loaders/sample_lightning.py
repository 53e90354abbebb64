"""A folder as Lightning's CSVLogger writes it: sorted columns, sparse rows by csv.DictWriter, settings beside."""

import csv
from pathlib import Path

ROWS = [
    {"epoch": 0, "step": 9, "train_loss": 2.5, "lr": 0.001},
    {"epoch": 0, "step": 19, "train_loss": 2.25, "lr": 0.0005},
    {"epoch": 0, "step": 19, "val_loss": 2.75},
]


def sample(folder: Path) -> Path:
    version = folder / "version_0"
    version.mkdir(parents=True)
    with (version / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=sorted({name for row in ROWS for name in row}))
        writer.writeheader()
        writer.writerows(ROWS)
    (version / "hparams.yaml").write_text("lr: 0.001\nwidth: 64\nmax_steps: 100\n")
    return folder

"""A text file store as MLflow writes it, by hand (test_mlflow.py has those that it writes itself)."""

from __future__ import annotations

from pathlib import Path


def sample(folder: Path) -> Path:
    store = folder / "mlruns"
    for run, rate in (("a1", "0.1"), ("b2", "0.2")):
        for name, text in (
            ("meta.yaml", f"run_id: {run}\nrun_name: mlp-{run}\nstatus: 3\nlifecycle_stage: active\n"),
            ("metrics/val/loss", "1000 2.5 10\n2000 2.25 20\n"),
            ("params/lr", rate),
            ("params/max_steps", "20"),
        ):
            file = store / "0" / run / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    (store / "0" / "meta.yaml").write_text("artifact_location: x\nexperiment_id: '0'\nname: Default\n")
    return folder

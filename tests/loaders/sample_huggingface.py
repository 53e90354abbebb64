"""A trainer_state.json with the fields that the Trainer of transformers 4 and 5 writes."""

import json
from pathlib import Path


def sample(folder: Path) -> Path:
    history = [
        {"epoch": 0.5, "grad_norm": 1.25, "learning_rate": 5e-05, "loss": 2.5, "step": 5},
        {"epoch": 1.0, "grad_norm": 1.0, "learning_rate": 2.5e-05, "loss": 2.0, "step": 10},
        {"epoch": 1.0, "eval_loss": 2.25, "eval_runtime": 1.5, "step": 10},
    ]
    state = {"epoch": 1.0, "global_step": 10, "log_history": history, "max_steps": 20, "num_train_epochs": 2}
    (folder / "checkpoint-10").mkdir()
    (folder / "checkpoint-10" / "trainer_state.json").write_text(json.dumps(state, indent=2, sort_keys=True) + "\n")
    return folder

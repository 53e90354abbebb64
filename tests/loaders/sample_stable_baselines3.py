"""A folder as the logger of Stable-Baselines3 writes it, by hand."""

from __future__ import annotations

from pathlib import Path


def sample(folder: Path) -> Path:
    (folder / "PPO_1").mkdir()
    text = "time/total_timesteps,rollout/ep_rew_mean,train/loss\n2048,2.5,\n4096,3.25,0.5\n"
    (folder / "PPO_1" / "progress.csv").write_text(text)
    return folder

"""What is known of metrics by their names: the tables, the rules of looking them up, and the page that shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from predictdyn.loaders._facts import is_clock, log_metric, plain_name
from predictdyn.loaders._log_metrics import CLOCKS, LOG, TABLE
from predictdyn.loaders._metric_page import documented

# Names that tools write, each with kind and range.
NAMES = {
    "eval/accuracy": ("capability", 0, 1), "val_loss": ("loss", 0, None), "validation/loss": ("loss", 0, None),
    "eval_loss": ("loss", 0, None), "Loss/train": ("loss", 0, None), "eval/c4_en-validation/CrossEntropyLoss":
    ("loss", 0, None), "metrics/eval/LanguageCrossEntropy": ("loss", 0, None), "loss/train/total": ("loss", 0, None),
    "eval/c4_en-validation/Perplexity": ("loss", 1, None), "grad_norm": ("signal", 0, None),
    "optim/total_grad_norm": ("signal", None, None), "lr-Adam": ("schedule", 0, None),
    "lr-AdamW/pg1": ("schedule", 0, None), "lr-DecoupledAdamW/group0": ("schedule", 0, None),
    "train/learning_rate": ("schedule", 0, None), "optim/learning_rate_group0": ("schedule", 0, None),
    "lambada_openai acc": ("capability", 0, 1), "lambada_openai/acc,none": ("capability", 0, 1),
    "lambada_openai ppl": ("capability", 1, None), "eval_matthews_correlation": ("capability", -1, 1),
    "eval_mnli_accuracy": ("capability", 0, 1), "top5_err": ("capability", 0, 1), "eval_wer": ("capability", 0, None),
    "rollout/ep_rew_mean": ("capability", None, None), "eval/mean_reward": ("capability", None, None),
    "train/value_loss": ("signal", None, None), "train/entropy_loss": ("signal", None, None),
    "train/policy_gradient_loss": ("signal", None, None), "train/loss": ("loss", 0, None),
    "test_worst_group_accuracy": ("bias", 0, 1), "accuracy_gap": ("bias", -1, 1), "val/ece": ("robustness", 0, 1),
    "brier_score": ("robustness", 0, 2), "corrupted_accuracy": ("robustness", 0, 1),
    "extraction_rate": ("memorization", 0, 1), "memorized_pct": ("memorization", 0, 100),
    "train_samples_per_second": ("signal", 0, None), "wino_bias/acc": ("bias", 0, 1), "my_loss": ("signal", None, None),
    "glossy": ("signal", None, None), "train": ("signal", None, None), "": ("signal", None, None),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_tools_write(name: str) -> None:
    metric = log_metric(name)
    assert (metric.name, *metric[1:4]) == (name, *NAMES[name])


def test_every_row_is_a_plain_name_of_one_table_and_no_clock() -> None:
    assert all(name == plain_name(name) for name in [*LOG, *CLOCKS])
    assert len(LOG) == sum(len(rows) for rows in TABLE.values())
    assert not set(LOG) & set(CLOCKS)


@pytest.mark.parametrize("name", ["train/epoch", "_step", "_runtime", "trainer/global_step", "num_input_tokens_seen"])
def test_clocks_are_no_metrics(name: str) -> None:
    assert is_clock(name)
    assert not is_clock(f"{name}_size")


def test_the_page_shows_the_tables() -> None:
    page = Path(__file__).parents[2] / "docs" / "metric-names.md"
    assert page.read_text() == documented(), "write it again: documented() of predictdyn.loaders._facts"

"""What is known of common metrics: kind, range, direction and chance level, as documented tables.

Nothing is guessed from the sound of a name: a metric that is not listed is of kind ``signal``, without a range and
without a direction. A metrics.csv overrides every row. Fractions are fractions, never percent.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from predictdyn.curves import Better, Kind, Metric


class Fact(NamedTuple):
    """What is known of a metric, whatever it is called here."""

    kind: Kind
    lower: float | None = None
    upper: float | None = None
    better: Better | None = None
    chance: float | None = None


LOSS = Fact("loss", 0, None, "lower")  # a cross-entropy is never negative
SHARE = Fact("capability", 0, 1, "higher")
RATE = Fact("schedule", 0)

# Training logs: the name in lower case, with "_" for other signs; also with a prefix of PARTS (train_loss, eval/loss).
LOG = {
    "loss": LOSS,
    "perplexity": Fact("loss", 1, None, "lower"),  # exp(loss)
    "ppl": Fact("loss", 1, None, "lower"),
    "accuracy": SHARE,
    "acc": SHARE,
    "grad_norm": Fact("signal", 0),
    "lr": RATE,
    "learning_rate": RATE,
}
PARTS = ("train", "training", "val", "valid", "validation", "eval", "test")

# Harness results: the metric without its filter. Chance is that of the task, below.
HARNESS = {
    **dict.fromkeys(("acc", "acc_norm", "em", "exact_match", "f1", "mc1", "mc2"), SHARE),
    **dict.fromkeys(("ppl", "perplexity", "word_perplexity", "byte_perplexity"), Fact("capability", 1, None, "lower")),
    "bits_per_byte": LOSS,
    # The neutral value is 0.5, in the middle of the range: neither end nor zero is better, and a model that knows
    # nothing sits there too.
    "pct_stereotype": Fact("bias", 0, 1, None, 0.5),
    # A mean absolute difference in nats: it mixes skill with bias, so it has no better end.
    "likelihood_difference": Fact("bias", 0),
}
# Tasks that measure bias whatever their metric: accuracy on them is raw material of a bias (pro minus anti), so it has
# no direction.
BIAS_TASKS = re.compile(r"(wino_?bias|winogender|crows_pairs|bbq)")
# Share of right answers of one who chooses blindly among the answers given.
CHANCE = (
    (re.compile(r"(piqa|winogrande|wsc|wsc273|boolq|copa|rte|wic|qnli|mrpc)$"), 1 / 2),
    (re.compile(r"(arc_easy|arc_challenge|sciq|logiqa|hellaswag|openbookqa|race)$"), 1 / 4),
    (re.compile(r"(hendrycksTest|mmlu)(\W|_|$)"), 1 / 4),
    (re.compile(r"social_iqa$"), 1 / 3),
    (re.compile(r"commonsense_qa$"), 1 / 5),
    (re.compile(r"(lambada|triviaqa|nq_open|gsm8k|webqs)(_|$)"), 0.0),  # open answers
)


# Clocks, not metrics: left out unless chosen. The name as for `LOG`.
CLOCKS = (
    "step", "global_step", "trainer_global_step", "steps", "iteration", "iter", "epoch", "tokens", "time", "timestamp",
    "runtime", "wall_time", "elapsed", "eta",
)  # fmt: skip


def is_clock(name: str) -> bool:
    """Whether a metric says how far a run has come, and nothing of how it does.

    >>> is_clock("train/epoch"), is_clock("_runtime"), is_clock("step_time")
    (True, True, False)
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    part, _, rest = plain.partition("_")
    return plain in CLOCKS or (part in PARTS and rest in CLOCKS)


def log_metric(name: str) -> Metric:
    """What is known of a metric of a training log, by the table `LOG`.

    >>> log_metric("train/learning_rate").kind, log_metric("my_loss").kind
    ('schedule', 'signal')
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    part, _, rest = plain.partition("_")
    return Metric(name, *(LOG.get(plain) or (LOG.get(rest) if part in PARTS else None) or Fact("signal")))


def harness_metric(name: str, task: str, metric: str) -> Metric:
    """What is known of a metric of a harness task, by `HARNESS`, `BIAS_TASKS`, `CHANCE`; it is called ``name``.

    >>> harness_metric("piqa acc", "piqa", "acc").chance, harness_metric("x y", "x", "y").kind
    (0.5, 'signal')
    """
    metric = metric.partition(",")[0]
    fact = HARNESS.get(metric)
    if fact is None:
        return Metric(name, "signal")
    if BIAS_TASKS.match(task):
        return Metric(name, *fact._replace(kind="bias", better=None))
    chance = next((level for tasks, level in CHANCE if tasks.match(task)), None)
    return Metric(name, *(fact._replace(chance=chance) if metric in ("acc", "acc_norm") else fact))

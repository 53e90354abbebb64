"""What is known of common metrics: kind, range, direction and chance level, as documented tables.

Nothing is guessed from the sound of a name: a metric that is not listed is of kind ``signal``, without a range and
without a direction. A metrics.csv overrides every row. Fractions are fractions, never percent.
"""

from __future__ import annotations

import re

from predictdyn.curves import Metric
from predictdyn.loaders._log_metrics import CLOCKS, LOG, LOSS, PARTS, RATE, SHARE, TABLE, Fact

_RULES = (
    "What a loader knows of a metric follows from its name. A row of metrics.csv (beside the data, or named with",
    "`--set metrics_file=FILE`; columns metric, kind, lower, upper, better, chance) is stronger than all of this.",
    "A name is put in lower case, with `_` for every other sign; the first rule that finds something counts:",
    "",
    "1. The name is in a table below.",
    "2. `lr-Adam`, `lr-AdamW/pg1`, `lr/group0`: a rate of one optimizer or group of parameters is a schedule.",
    f"3. One of {', '.join(PARTS)}",
    "   stands in front, or behind, and the rest is in a table: `train_loss`, `Loss/test`. Between a part in front and",
    "   a name of a table stands the data that it was measured on: `eval/c4_en/loss`, `eval_mnli_accuracy`.",
    "4. `<task> <metric>` or `<task>/<metric>` with a metric of the lm-evaluation-harness: `lambada_openai acc`.",
    "",
    "Anything else is a signal without range or direction. Fractions are fractions: where values lie outside a range",
    "of these tables (an accuracy of 75), the bound is given up, and that is said (the sources wide, long, json_lines",
    "and lm_eval refuse such values); state it in metrics.csv. A blank bound means that there is none.",
)

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


# lr-Adam, lr-AdamW/pg1, lr/group0, lr_0: the rate of one optimizer or group; -momentum, -weight_decay behind it.
RATES = re.compile(r"(?:optim_|optimizer_|schedule_)?(?:lr|learning_rate)(?:_\w+)?")


def plain_name(name: str) -> str:
    """A name as the tables have it: in lower case, with "_" for other signs.

    >>> plain_name("Loss/train"), plain_name("_runtime")
    ('loss_train', 'runtime')
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def is_clock(name: str) -> bool:
    """Whether a metric says how far a run has come, and nothing of how it does: a row of `CLOCKS`.

    >>> is_clock("train/epoch"), is_clock("_runtime"), is_clock("step_time")
    (True, True, False)
    """
    plain = plain_name(name)
    part, _, rest = plain.partition("_")
    return plain in CLOCKS or (part in PARTS and rest in CLOCKS)


def log_metric(name: str) -> Metric:
    """What is known of a metric of a training log; the first of these rules that finds something counts:

    1. the name is in `LOG`;
    2. it is a rate of one optimizer or group of parameters (`RATES`): schedule;
    3. one of `PARTS` stands in front of it, or behind: what is left is looked up, and what stands between a part in
       front and a name of the table is the data that it was measured on (``eval/c4_en/loss``);
    4. it is ``<task> <metric>`` or ``<task>/<metric>`` with a metric of `HARNESS` (``lambada_openai acc``);

    else it is a signal.

    >>> [log_metric(name).kind for name in ("train/learning_rate", "Loss/test", "eval/c4/Perplexity", "piqa acc_norm")]
    ['schedule', 'loss', 'loss', 'capability']
    >>> log_metric("lr-AdamW/pg1").kind, log_metric("my_loss").kind
    ('schedule', 'signal')
    """
    fact = _log_fact(plain_name(name))
    if fact is not None:
        return Metric(name, *fact)
    task, sign, metric = name.rpartition(" ") if " " in name else name.rpartition("/")
    if sign and metric.partition(",")[0] in HARNESS:
        return harness_metric(name, task, metric)
    return Metric(name, "signal")


def _log_fact(plain: str) -> Fact | None:
    if plain in LOG:
        return LOG[plain]
    if RATES.fullmatch(plain):
        return RATE
    first, _, rest = plain.partition("_")
    if rest and first in PARTS:
        return _log_fact(rest) or _last_words(rest)
    before, _, last = plain.rpartition("_")
    return _log_fact(before) if before and last in PARTS else None


def _last_words(plain: str) -> Fact | None:
    """The longest name of the table that a name ends with."""
    words = plain.split("_")
    return next((LOG[end] for i in range(1, len(words)) if (end := "_".join(words[i:])) in LOG), None)


def documented() -> str:
    """The tables of `_log_metrics` as the Markdown of docs/metric-names.md."""
    lines = [
        "# Names of metrics",
        "",
        *_RULES,
        "",
        "This page is written from the tables by `predictdyn.loaders._facts.documented`, and a test compares the two.",
    ]
    for heading, rows in TABLE.items():
        lines += ["", f"## {heading}", "", "| names | kind | lower | upper | better | chance |", "| --- " * 6 + "|"]
        for fact in dict.fromkeys(rows.values()):
            names = ", ".join(f"`{name}`" for name, known in rows.items() if known == fact)
            lines.append(f"| {names} | " + " | ".join("" if cell is None else str(cell) for cell in fact) + " |")
    words = ", ".join(f"`{name}`" for name in CLOCKS)
    return "\n".join([*lines, "", "## Clocks: no metrics, unless they are chosen", "", words, ""])


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


def fitted(metric: Metric, low: float, high: float) -> tuple[Metric, str | None]:
    return metric, None


def looks_like_outcome(name: str) -> bool:
    return False

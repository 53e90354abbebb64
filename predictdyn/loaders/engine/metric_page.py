"""The page that shows what is known of metrics by name: docs/metric-names.md."""

from __future__ import annotations

from collections.abc import Iterable

from predictdyn.loaders.engine.log_metrics import (
    AROUND,
    BEHIND,
    CLOCKS,
    FAMILIES,
    FRONT,
    LOSS_TERMS,
    NO_DATA,
    PARTS,
    SCATTER,
    SIDE_TERMS,
    TABLE,
    Fact,
)

_RULES = """\
# Names of metrics

What a loader knows of a metric follows from its name. It knows the kind, the range, which end is better, and the
level of one who chooses blindly. A row of metrics.csv is stronger than all of this. Put that table beside the data,
or name it with `metrics_file=FILE`. Its columns are metric, kind, lower, upper, better, chance.
Two more columns are for readers. `label` is what pages call the metric ("test accuracy"), `unit` what it counts in.

First the name is made plain. Letters become small. Every other sign, and the border between the words of camelCase,
becomes `_`: `valLoss` is `val_loss`, and `metrics/mAP50(B)` is `metrics_map50_b`. A `%` becomes `pct`. The first rule
that finds something counts:

1. **The name is known.** It is in a table below, or in a family. A learning rate with the name of an optimizer or a
   group is a schedule: `lr-AdamW/pg1`. A loss with the words that say which one is known: `loss_rpn_cls`. The gap of
   a share is a bias: `f1_gap`.
2. **Known without affixes.** Tools add words and numbers to both ends of a name. They are taken off one by one:
   `epoch_loss`, `train_loss_step`, `val_acc/dataloader_idx_0`, `reduced_train_loss`, `auc_1`,
   `evaluation_accuracy_vs_iterations`. A part may also stand inside: `acc_val_top1`.
3. **Known with data in front.** The name ends with a known name, and a part (train, val, ...) stands in front of
   that. The other words in front are the data: `eval/c4_en/loss`, `cifar10_test_acc`, `valid_0's auc`.
4. **A task of the lm-evaluation-harness.** `lambada_openai acc` and `lambada_openai/acc` are metrics of a task.
5. **Known behind a slash or a dot.** What stands in front is the data: `bbox/AP50`, `decode.acc_seg`. The name may
   have two parts: `critic/score/mean`.
6. **Words that count alone.** `PER` in capitals, or `per` right behind a part, is the phone error rate: `valid PER`,
   `val_per`. `cost` is a loss by itself, or with a part or a mean: `train_cost`. Other costs are of time or money:
   `reader_cost`.

`P` and `R` by themselves are signals. Beside an F score or an average precision with the same front they are precision
and recall: `metrics/P` beside `metrics/mAP50`. A `loss` beside a `policy_gradient_loss` with the same front is a
signal: the objective of a policy has any sign.

Any other metric is a signal without range or direction. A signal is not forecast unless it is named, or no metric is
an outcome. The rules see whole words: `loss_scale` and `accuracy_threshold` are no outcomes. Nothing is guessed from
the sound of a name, so `my_loss` is a signal, too. State the kind of such a metric in metrics.csv.

**Percent.** The ranges below are those of fractions. Some tools log an accuracy of 75. Where values break a range of
0 to 1, but lie within 0 to 100, the metric is in percent. Its range is then 0 to 100, its chance level is a hundred
times as large, and a line says so. A range of -1 to 1 becomes -100 to 100 alike. A name with `pct` or `%` at an end
runs to 100 from the start. One range holds for all runs: where some runs stay at or below 1, or no value is above 2,
a line names these runs. Values outside even that range break the bound. It is given up, and a line says what to
write into metrics.csv. A range that metrics.csv states stays as it is.

**Gaps.** A gap between groups is a bias, and so is a `gap` that does not say between what. A gap between training and
new data (`generalization_gap`) is of kind robustness. It can be one of losses, so it has no range.

**Objectives.** The `objective` of a search stays a signal: its name does not say which end is better. Where a log has
no outcome, its signals are forecast.

A blank bound means that there is none. This page is written from the tables by
`predictdyn.loaders.engine.metric_page.documented`, and a test compares the two.
"""
_LISTS = (
    ("Parts", ["What a run was measured on. A part stands in front of a name, behind it, or inside."], PARTS),
    (
        "Affixes",
        [
            "These words stand in front of a name or behind it, and the outcome stays the same one. Behind a name,",
            "`/dataloader_idx_N`, `_vs_...`, a number (`@5`, `_at_5`, `_1`) and a version (`v2`) are taken off, too.",
        ],
        AROUND,
    ),
    ("Affixes in front only", ["These stand in front only."], FRONT),
    (
        "Affixes behind only",
        ["These stand behind only, such as the value (Megatron), the score (scikit-learn), a box (Ultralytics)."],
        BEHIND,
    ),
    (
        "Losses that are minimised",
        ["A name of `loss` and these words is a loss from 0 up: `box_loss`, `loss_rpn_cls`, `decode.loss_ce`."],
        LOSS_TERMS,
    ),
    (
        "Terms beside the objective",
        [
            "A loss with one of these words is a signal. It may have any sign, and nobody aims at it. `reg_loss` is",
            "one, too, but `box_reg_loss` is a regression.",
        ],
        SIDE_TERMS,
    ),
    (
        "Words that change an outcome",
        ["In front of an outcome these make something else of it, such as its scatter: `std_val_loss`."],
        SCATTER,
    ),
    (
        "Words that are no data",
        ["With one of these in front, too, nothing is known behind a slash or a dot: `weights/loss`."],
        [word for word in NO_DATA if word not in SCATTER],
    ),
    ("Clocks: no metrics, unless they are chosen", ["With a part in front, too."], CLOCKS),
)


def documented() -> str:
    """The tables and rules of `log_metrics` as the Markdown of docs/metric-names.md."""
    lines = [_RULES.rstrip()]
    for heading, rows in TABLE.items():
        facts = dict.fromkeys(rows.values())
        table = _table((_code(*(name for name, known in rows.items() if known == fact)), fact) for fact in facts)
        lines += ["", f"## {heading}", "", *table]
    lines += [
        "",
        "## Families of names",
        "",
        "A tool makes these names by rule. Examples stand for all of a family.",
        "",
    ]
    lines += _table((_code(*family.examples.split(", ")), family.fact) for family in FAMILIES)
    for heading, said, words in _LISTS:
        lines += ["", f"## {heading}", "", *said, "", _code(*words)]
    return "\n".join([*lines, ""])


def _code(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(rows: Iterable[tuple[str, Fact]]) -> list[str]:
    """Names and what is known of them as lines of a Markdown table."""
    cells = [[names, *("" if cell is None else str(cell) for cell in fact)] for names, fact in rows]
    head = "| names | kind | lower | upper | better | chance |"
    return [head, "| --- " * 6 + "|", *(f"| {' | '.join(row)} |" for row in cells)]

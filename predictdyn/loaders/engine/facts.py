"""What is known of common metrics: kind, range, direction and chance level, as documented tables and rules.

Nothing is guessed from the sound of a name: a metric that no table and no rule knows is of kind ``signal``, without a
range and without a direction. A metrics.csv overrides every row.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import TypeVar

from predictdyn.curves import Metric
from predictdyn.loaders.engine.log_metrics import (
    AROUND,
    BEHIND,
    CLOCKS,
    FAMILIES,
    FRONT,
    GAP,
    LOG,
    LOSS,
    LOSS_TERMS,
    NO_DATA,
    NO_OUTCOME,
    OUTCOME_WORDS,
    PARTS,
    PERCENT,
    RATE,
    RATES,
    SCATTER,
    SHARE,
    SIDE_TERMS,
    TERM,
    Fact,
)
from predictdyn.naming import some

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

# Where one lower-case word ends and the next begins: valLoss, BCELoss, F1Score, mAP50B; but neither mAP nor mIoU.
_CAMEL = re.compile(
    r"(?<=[a-z]{2})(?=[A-Z])|(?<=[a-z])(?=[A-Z][a-z]{2})|(?<=[A-Z]{2})(?=[A-Z][a-z]{2})|(?<=\d)(?=[A-Z])"
)
_Known = TypeVar("_Known", Fact, Metric)
PERCENT_FROM = 1.05  # a share that is logged in percent goes beyond this, and one that was rounded does not
BARELY = 2  # a share that is logged in percent goes beyond this sooner or later, and a share with a fault may not
_DEEPEST = 6  # words that are taken off one end of a name
_LONGEST = 8  # words of the longest name that is looked for at the end of another


def _any(*words: str) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_FRONT = re.compile(rf"(?:(?:{_any(*PARTS)})\d*|{_any(*AROUND, *FRONT, *PERCENT)})_")
_BEHIND = re.compile(
    rf"_(?:dataloader_idx_\d+|vs_\w+|(?:at_|v)?\d+|{_any(*PARTS, *AROUND, *BEHIND, *PERCENT)})$|(?<=[a-z])\d+$"
)
_PART = re.compile(rf"(?:^|(?<=_))(?:{_any(*PARTS)})\d*_")
_TOGETHER = re.compile(r"(?:train|tr|valid|val|dev|test|eval)(loss|accuracy|acc|error|err)")
_FAMILY = re.compile("|".join(f"({family.pattern})" for family in FAMILIES))  # no family has a group of its own
_RATES = re.compile(RATES)
_OUTCOMES, _SIDE, _OF_LOSSES = frozenset(OUTCOME_WORDS), frozenset(SIDE_TERMS), frozenset((*LOSS_TERMS, *SIDE_TERMS))
_SCATTER, _NO_DATA, _PERCENT = frozenset(SCATTER), frozenset(NO_DATA), frozenset(PERCENT)
_NOT_BEFORE, _NOT_BEHIND = frozenset((*NO_DATA, *SIDE_TERMS)), frozenset((*NO_OUTCOME, *SIDE_TERMS))
# The phone error rate: the word "per" is too common to be one without capitals or a part in front (val_per).
_PHONES = re.compile(rf"(?:.*[^A-Za-z0-9])?PER|(?:.*[^A-Za-z0-9])?(?:{_any(*PARTS)})[^A-Za-z0-9]per")
# A cost is a loss by itself or with a part or a mean, but other words make it one of time or of money: reader_cost.
_COST = re.compile(rf"(?:(?:{_any(*PARTS)})_)?(?:(?:mean|avg|average|epoch)_)?cost(?:_(?:{_any(*PARTS)}))?")
# What stands beside precision and recall that are called by one letter.
_LETTER = re.compile(r"(?P<front>(?:.*[^A-Za-z0-9])?)[PpRr]")
_COMPANY = re.compile(r"(?:m_?)?f_?(?:1|beta)?(?:_?score)?|m?ap(?:_?\d+)*")
# The loss beside this one is the objective of a policy: of any sign, and on data that the policy itself chose.
_POLICY = re.compile(r"(?P<front>.*[^A-Za-z0-9]|)(?:policy_gradient_loss|pg_loss)")
_CLASS = re.compile(r"(?:^|/)AP-[^/]+$")  # average precision of a class, in capitals: bbox/AP-person


@lru_cache(maxsize=1 << 16)
def plain_name(name: str) -> str:
    """A name as the tables have it: in lower case, "_" for other signs and between words of camelCase, "pct" for %.

    >>> plain_name("Loss/train"), plain_name("_runtime"), plain_name("valLoss"), plain_name("metrics/mAP50(B)")
    ('loss_train', 'runtime', 'val_loss', 'metrics_map50_b')
    """
    return re.sub(r"[^a-z0-9]+", "_", _CAMEL.sub("_", name.replace("%", " pct ")).lower()).strip("_")


@lru_cache(maxsize=1 << 16)
def is_clock(name: str) -> bool:
    """Whether a metric says how far a run has come, and nothing of how it does: a row of `CLOCKS`.

    >>> is_clock("train/epoch"), is_clock("_runtime"), is_clock("step_time")
    (True, True, False)
    """
    plain = plain_name(name)
    part, _, rest = plain.partition("_")
    return plain in CLOCKS or (part in PARTS and rest in CLOCKS)


@lru_cache(maxsize=1 << 16)
def log_metric(name: str) -> Metric:
    """What is known of a metric of a training log; the first of these rules that finds something counts:

    1. it is in `LOG` or one of `FAMILIES`, a rate (`RATES`), a loss with words that say which (`LOSS_TERMS`,
       `SIDE_TERMS`), or the gap of a share (``f1_gap``);
    2. it is so once `PARTS`, `AROUND`, `FRONT`, `BEHIND` and numbers are taken off its ends, as few as possible;
    3. it ends so, and one of `PARTS` stands somewhere in front; what else stands there is the data that it was
       measured on (``eval/c4_en/loss``, ``cifar10_test_acc``), unless it is of `SCATTER` (``val_std_loss``);
    4. it is ``<task> <metric>`` or ``<task>/<metric>`` with a metric of `HARNESS` (``lambada_openai acc``);
    5. its last part or two, after a slash or a dot, are so by 1 or 2, and nothing in front is of `NO_DATA`
       (``bbox/AP50``);

    6. it ends in ``PER``, in capitals or behind one of `PARTS` (``val_per``), the phone error rate; or it is ``cost``,
       with a part or a mean at most (``train_cost``), a loss;

    else it is a signal. With one of `PERCENT` (or a %) at an end, a share runs to 100.

    >>> [log_metric(name).kind for name in ("train/learning_rate", "Loss/test", "eval/c4/Perplexity", "piqa acc_norm")]
    ['schedule', 'loss', 'loss', 'capability']
    >>> [log_metric(name).kind for name in ("val_loss/dataloader_idx_0", "coco/bbox_mAP_50", "lr-AdamW/pg1", "my_loss")]
    ['loss', 'capability', 'schedule', 'signal']
    """
    plain = plain_name(name)
    fact = _without_affixes(plain) or _measured_on(plain, name)
    if fact is None:
        for task, sign, metric in (name.rpartition(" "), name.rpartition("/")):
            if sign and metric.partition(",")[0] in HARNESS:
                return harness_metric(name, task, metric)
        fact = _of_last_part(name) or _by_itself(name)
    return Metric(name, "signal") if fact is None else Metric(name, *fact)


def log_metrics(names: Collection[str]) -> dict[str, Metric]:
    """What is known of the metrics of one log: `log_metric`, and what one name says of another.

    ``P`` and ``R`` are precision and recall where an F score or an average precision stands beside them, with the same
    front (``metrics/P`` beside ``metrics/mAP50``). ``loss`` is a signal beside a ``policy_gradient_loss`` with the same
    front: the objective of a policy has any sign, and its fall says nothing of the return.

    >>> [metric.kind for metric in log_metrics(["P", "val/R", "val/F1"]).values()]
    ['signal', 'capability', 'capability']
    """
    found = {name: log_metric(name) for name in names}
    letters = {name: said["front"] for name in names if (said := _LETTER.fullmatch(name))}
    for name, front in letters.items():
        beside = (other[len(front) :] for other in names if other.startswith(front) and other != name)
        if any(_COMPANY.fullmatch(plain_name(other)) for other in beside):
            found[name] = Metric(name, *SHARE)
    policies = {f"{said['front']}loss" for name in names if (said := _POLICY.fullmatch(name))}
    found |= {name: Metric(name, *TERM) for name in policies & found.keys()}
    return found


def looks_like_outcome(name: str) -> bool:
    """Whether a person would read a metric as an outcome (`OUTCOME_WORDS`) that `log_metric` holds to be a signal.

    Not so where it is known to be a signal, or where a word makes something else of it: in front (`NO_DATA`,
    `SIDE_TERMS`) or behind (`NO_OUTCOME`).

    >>> [looks_like_outcome(name) for name in ("my_loss", "task_a_accuracy", "val_loss", "loss_weight", "lossless")]
    [True, True, False, False, False]
    """
    plain = plain_name(name)
    words = plain.split("_")
    places = [i for i, word in enumerate(words) if word in _OUTCOMES or word.rstrip("0123456789") in _OUTCOMES]
    if not places or log_metric(name).kind != "signal" or _without_affixes(plain) or _measured_on(plain, name):
        return False
    before, behind = words[: places[-1]], words[places[-1] + 1 :]
    return _NOT_BEFORE.isdisjoint(before) and _NOT_BEHIND.isdisjoint(behind)


def fitted(metric: Metric, low: float, high: float, *, stated: bool = False) -> tuple[Metric, str | None]:
    """The metric with a range in which its values lie, and a line that says what was changed (None: nothing).

    ``low`` and ``high`` are the extremes over all runs. Where they break a range of 0 to 1 (-1 to 1) but lie within
    0 to 100 (-100 to 100), the metric is in percent: range and chance level are a hundred times as large. Otherwise
    the broken bound is given up. A metric that is ``stated`` in a metrics.csv stays as it is.

    >>> metric, line = fitted(Metric("top1", "capability", 0, 1, "higher", 0.25), 10, 78.4)
    >>> metric.upper, metric.chance, line
    (100, 25.0, 'top1 is in percent: its values run from 10 to 78.4, so its range is 0 to 100')
    >>> fitted(Metric("acc", "capability", 0, 1, "higher"), 0.5, 170)[0].upper is None
    True
    """
    broken = _broken(metric, low, high)
    if stated or not broken:
        return metric, None
    percent = _hundredfold(metric)
    if percent != metric and max(-low, high) > PERCENT_FROM and not _broken(percent, low, high):
        return percent, (
            f"{metric.name} is in percent: its values run from {low:g} to {high:g}, so its range is "
            f"{percent.lower:g} to {percent.upper:g}"
        )
    wide = metric._replace(
        lower=None if "lower" in broken else metric.lower,
        upper=None if "upper" in broken else metric.upper,
        chance=None,
    )
    return wide, (
        f"{metric.name} runs from {low:g} to {high:g}, outside {_range(metric)}: the bound is given up, and "
        f"forecasts may leave that range, too. To state a range, {_stating(wide, broken)}"
    )


def fitted_or_guessed(metric: Metric, low: float, high: float) -> tuple[Metric, str | None]:
    """`fitted`, of a metric that nobody stated: that it is a schedule is then a guess, which the data may refute.

    >>> fitted_or_guessed(Metric("lr", "schedule"), 0.1, 0.2)[0].guessed
    True
    """
    metric, line = fitted(metric, low, high)
    return metric._replace(guessed=metric.kind == "schedule"), line


def is_share(name: str) -> bool:
    """Whether a metric of this name runs from 0 to 1, or from -1 to 1, and is a hundred times as large in percent."""
    known = log_metric(name)
    return _hundredfold(known) != known


def fitted_to_runs(
    metric: Metric, ranges: Mapping[str, tuple[float, float]], *, mend: str = "Bring all runs to one scale"
) -> tuple[Metric, str | None]:
    """`fitted_or_guessed` by the lowest and highest value of each run; runs of two scales are told of, and how to
    ``mend`` that.

    One range holds for all runs. So where a metric is in percent, though some runs stay at or below 1, or no value is
    above `BARELY`, either these runs are shares, or a value beyond 1 is a fault. Runs at 0 fit any scale.

    >>> metric, line = fitted_to_runs(Metric("acc", "capability", 0, 1, "higher"), {"a": (0.1, 0.9), "b": (10, 90)})
    >>> metric.upper, line.partition(", but ")[2].partition(". Bring")[0]
    (100, 'only 1 of 2 run(s) go beyond 1, to 90 at most: b; 1 stay at or below 1: a')
    """
    low, high = min(low for low, _ in ranges.values()), max(high for _, high in ranges.values())
    found, line = fitted_or_guessed(metric, low, high)
    if found.upper is None or found.upper == metric.upper:
        return found, line
    furthest = {run: max(-a, b) for run, (a, b) in ranges.items()}
    small = [run for run, most in furthest.items() if 0 < most <= PERCENT_FROM]
    beyond = {run: most for run, most in furthest.items() if most > PERCENT_FROM}
    if not small and max(beyond.values()) > BARELY:
        return found, line
    most, names = max(beyond.values()), some(list(beyond))
    told = (
        f"only {len(beyond)} of {len(ranges)} run(s) go beyond 1, to {most:g} at most: {names}; {len(small)} stay at "
        f"or below 1: {some(small)}"
        if small
        else f"its values go to {most:g} at most: {names}"
    )
    return found, (
        f"{metric.name} is taken to be in percent ({_range(found)}), but {told}. {mend}, or mend "
        f"values that are faults. To state the range, {_stating(found, ())}"
    )


def _broken(metric: Metric, low: float, high: float) -> list[str]:
    """The bounds ("lower", "upper") that values break, but for rounding."""
    under = metric.lower is not None and low < metric.lower - 1e-6 * max(1, abs(metric.lower))
    over = metric.upper is not None and high > metric.upper + 1e-6 * max(1, abs(metric.upper))
    return [side for side, beyond in (("lower", under), ("upper", over)) if beyond]


def _hundredfold(known: _Known) -> _Known:
    """What is known of a share (or a correlation, or a gap) of which the values are in percent; others stay."""
    if (known.lower, known.upper) not in ((0, 1), (-1, 1)):
        return known
    chance = None if known.chance is None else 100 * known.chance
    return known._replace(lower=100 * known.lower, upper=100 * known.upper, chance=chance)  # type: ignore[operator]


def _range(metric: Metric) -> str:
    low, high = ("" if bound is None else f"{bound:g}" for bound in (metric.lower, metric.upper))
    return f"{low} to {high}" if low and high else f"the bound {low or high}"


def _stating(metric: Metric, open_bounds: Collection[str]) -> str:
    """What to type to state the range of a metric."""
    return (
        "write a metrics.csv with the header metric,kind,lower,upper,better,chance and the row "
        f"{_row(metric, open_bounds)}, and name it with metrics_file=FILE"
    )


def _row(metric: Metric, open_bounds: Collection[str]) -> str:
    """The row of a metrics.csv that states a metric, with LOWER or UPPER where a number must be chosen."""
    bounds = [side.upper() if side in open_bounds else getattr(metric, side) for side in ("lower", "upper")]
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([metric.name, metric.kind, *bounds, metric.better, metric.chance])
    return text.getvalue()


def _known(plain: str) -> Fact | None:
    """What tables and families know of a name as it stands."""
    fact = _listed(plain)
    if fact is not None:
        return fact
    words = plain.split("_")
    if "loss" in words or "losses" in words:
        return _known_loss(words)
    if words[-1] == "gap":
        share = _listed(plain[: -len("_gap")])
        return GAP if share is not None and share[:3] == SHARE[:3] else None
    if _RATES.fullmatch(plain):
        return RATE if _OUTCOMES.isdisjoint(words) else None
    together = _TOGETHER.fullmatch(plain)
    return None if together is None else LOG[together[1]]


def _listed(plain: str) -> Fact | None:
    if plain in LOG:
        return LOG[plain]
    family = _FAMILY.fullmatch(plain)
    return None if family is None else FAMILIES[(family.lastindex or 1) - 1].fact


def _known_loss(words: Collection[str]) -> Fact | None:
    """Of a loss with words that say which: one that is minimised, a term beside the objective, or not known."""
    which = {word for word in words if word not in ("loss", "losses") and not re.fullmatch(r"[a-z]?\d+", word)}
    if not which <= _OF_LOSSES:
        return None
    return TERM if which == {"reg"} or not _SIDE.isdisjoint(which) else LOSS


def _without_affixes(plain: str) -> Fact | None:
    """What is known of a name once affixes are taken off its ends, or a part out of it: ``loss_val_ce``."""
    inside = "_".join(word for word in plain.split("_") if word not in PARTS)
    for core in (*_cores(plain), *(_cores(inside) if inside != plain else ())):
        if (fact := _known(core)) is not None:
            return _in_percent(fact, plain, core)
    return None


def _cores(plain: str) -> list[str]:
    """The name without affixes, none first, then as few as possible."""
    fronts = [plain]
    while len(fronts) <= _DEEPEST and (found := _FRONT.match(fronts[-1])) and found.end() < len(fronts[-1]):
        fronts.append(fronts[-1][found.end() :])
    cores = [(i + j, core) for i, front in enumerate(fronts) for j, core in enumerate(_ends(front))]
    return [core for _, core in sorted(cores, key=lambda one: one[0])]


def _ends(plain: str) -> list[str]:
    """The name, and what is left as affixes are taken off its end, one after the other."""
    left = [plain]
    while len(left) <= _DEEPEST and (found := _BEHIND.search(left[-1])) and found.start() > 0:
        left.append(left[-1][: found.start()])
    return left


def _measured_on(plain: str, name: str) -> Fact | None:
    """What is known of the longest name at the end, if a part stands in front of it: first, or as a word by itself.

    A schedule is measured on nothing: it counts behind a part that stands first (``agi_eval_lsat_lr`` is a task).
    """
    written = re.split(r"[^a-z0-9]+", name.lower())  # the Test of hendrycksTest is no part
    part = next((m for m in _PART.finditer(plain) if m.start() == 0 or m[0].rstrip("_") in written), None)
    if part is None:
        return None
    behind = plain[: part.end()].count("_")
    for left in _ends(plain):
        words = left.split("_")
        for i in range(max(behind, len(words) - _LONGEST), len(words)):
            core = "_".join(words[i:])
            if (fact := _known(core)) is not None:
                if not _SCATTER.isdisjoint(words[:i]) or (fact.kind == "schedule" and part.start() > 0):
                    return None
                return _beside(_in_percent(fact, plain, core), words[:i])
    return None


def _of_last_part(name: str) -> Fact | None:
    """What is known of the last part of a name (or the last two: ``score/mean``), if data can stand in front of it."""
    if _CLASS.search(name):
        return SHARE
    parts = [plain_name(part) for part in re.split(r"[/.]", name)]
    for behind in range(1, min(3, len(parts))):
        front, core = "_".join(parts[:-behind]).split("_"), "_".join(parts[-behind:])
        if not _NO_DATA.isdisjoint(front):
            continue
        for k in (3, 2, 1):  # the part may be half of a name: actor/loss
            if (fact := _known("_".join([*front[-k:], core]))) is not None:
                return fact
        if (fact := _without_affixes(core)) is not None:
            return _beside(fact, front)
    return None


def _by_itself(name: str) -> Fact | None:
    """What is known of words that say too little where others stand beside them."""
    if _PHONES.fullmatch(name):
        return LOG["wer"]
    return LOSS if _COST.fullmatch(plain_name(name)) else None


def _beside(fact: Fact, words: Collection[str]) -> Fact:
    """A loss of something beside the objective is a term, and no outcome."""
    return TERM if fact == LOSS and not _SIDE.isdisjoint(words) else fact


def _in_percent(fact: Fact, plain: str, core: str) -> Fact:
    """What is known of a core, where the whole name may say that it is in percent."""
    return _hundredfold(fact) if _PERCENT & (set(plain.split("_")) - set(core.split("_"))) else fact


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

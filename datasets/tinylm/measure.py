"""Log-probabilities in, metrics with standard errors out; one small function per property, NumPy only."""

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.append(str(Path(__file__).parents[1]))

import corpus
import numpy as np
from planted import ASSOCIATIONS, KEY, SEEN, STRING_GROUPS, UNSEEN, VALUE
from probes import LOSS_ROWS, PREFIX, Questions, short_rows
from sampling import NO_STDERR, mean, share
from suite import Metric

Measured = dict[str, tuple[float, float]]  # metric -> (value, stderr); stderr NaN where none is stated

CALIBRATION_BINS = 10
PREFIXES = (PREFIX, "try:\n", "\n")  # stand before a sentence
BRACKETS, DIGITS = corpus.encoded(")]}").astype(int), corpus.encoded("0123456789").astype(int)
SPACE = int(corpus.encoded(" ")[0])
PROBES = {"bracket": 1 / 3, "indentation": 1 / 3, "copying": 1 / 4, "counting": 1 / 10}  # chance of each
UNIFORM = round(float(np.log(len(corpus.ALPHABET))), 6)

# Chance is blank where a model that knows something can be worse than one that guesses.
METRICS = (
    Metric("train_loss", "loss", 0, None, "lower", UNIFORM),
    Metric("validation_loss", "loss", 0, None, "lower", UNIFORM),
    Metric("validation_accuracy", "capability", 0, 1, "higher", None),
    *[Metric(f"{name}_accuracy", "capability", 0, 1, "higher", round(chance, 6)) for name, chance in PROBES.items()],
    Metric("shuffled_loss", "robustness", 0, None, "lower", UNIFORM),
    Metric("headers_loss", "robustness", 0, None, "lower", UNIFORM),
    Metric("prose_loss", "robustness", 0, None, "lower", UNIFORM),
    Metric("calibration_error", "robustness", 0, 1, "lower", None),
    *[
        Metric(f"extracted_{group.name}", "memorization", 0, 1, "lower", 0)
        for group in STRING_GROUPS
        if group.repetitions
    ],
    Metric("association_gap", "bias", -1, 1, "zero", 0),
    Metric("association_gap_unseen", "bias", -1, 1, "zero", 0),
    *[Metric(f"string_loss_{group.name}", "signal", 0, None, None, UNIFORM) for group in STRING_GROUPS],
    *[Metric(f"{name}_margin", "signal", None, None, None, 0) for name in PROBES],
    Metric("gradient_norm", "signal", 0),
    Metric("gradient_noise_scale", "signal", 0),
    Metric("half_batch_agreement", "signal", -1, 1),
    Metric("weight_norm", "signal", 0),
    Metric("update_size", "signal", 0),
    Metric("learning_rate", "schedule", 0),
)


class Rows(NamedTuple):
    """All that a run reads at a checkpoint: long (n, 65) and short (m, 29) sequences, and whose they are."""

    long: np.ndarray
    short: np.ndarray
    parts: dict[str, slice]


def rows(asked: Questions, strings: dict[str, list[str]], training: np.ndarray) -> Rows:
    """training: some of the run's own sequences (n, 65)."""
    long = {
        "training": training,
        "windows": asked.windows,
        "shuffled": asked.shuffled,
        "headers": asked.headers,
        "prose": asked.prose,
    }
    short = {f"string_{group}": short_rows([PREFIX + line for line in lines]) for group, lines in strings.items()}
    short |= {
        "seen": _sentences(SEEN),
        "unseen": _sentences(UNSEEN),
        "repeated": asked.repeated,
        "counting": asked.counting,
    }
    return Rows(np.concatenate(list(long.values())), np.concatenate(list(short.values())), _parts(long) | _parts(short))


def outcomes(asked: Questions, rows: Rows, long: np.ndarray, short: np.ndarray) -> Measured:
    """All metrics that follow from log-probabilities of next tokens, (n, 64, 96) and (m, 28, 96)."""
    own = -np.take_along_axis(long, rows.long[:, 1:, None].astype(int), axis=-1)[..., 0]
    own_short = -np.take_along_axis(short, rows.short[:, 1:, None].astype(int), axis=-1)[..., 0]
    return (
        {
            "train_loss": mean(own[rows.parts["training"]].mean(1)),
            "validation_loss": mean(own[rows.parts["windows"]][:LOSS_ROWS].mean(1)),
            "shuffled_loss": mean(own[rows.parts["shuffled"]].mean(1)),
            "headers_loss": mean(own[rows.parts["headers"]].mean(1)),
            "prose_loss": mean(own[rows.parts["prose"]].mean(1)),
        }
        | _predictions(long[rows.parts["windows"]][:LOSS_ROWS], asked.windows[:LOSS_ROWS, 1:])
        | _probes(asked, rows, long, short)
        | _memorization(rows, short, own_short)
        | {
            "association_gap": _gap(short[rows.parts["seen"]], SEEN),
            "association_gap_unseen": _gap(short[rows.parts["unseen"]], UNSEEN),
        }
    )


def _predictions(likely: np.ndarray, right: np.ndarray) -> Measured:
    """Accuracy of the most likely character, and expected calibration error, ten equal bins of confidence.

    stderr of the accuracy over windows, since characters of one window belong together.
    """
    hits = likely.argmax(-1) == right
    confidence = np.exp(likely.max(-1).astype(np.float64))
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    surplus = np.bincount(bins.ravel(), weights=(hits - confidence).ravel(), minlength=CALIBRATION_BINS)
    return {
        "validation_accuracy": mean(hits.mean(1)),
        "calibration_error": (float(np.abs(surplus).sum() / hits.size), NO_STDERR),
    }


def _probes(asked: Questions, rows: Rows, long: np.ndarray, short: np.ndarray) -> Measured:
    windows = long[rows.parts["windows"]]
    row, at, right = asked.brackets.T
    found = _chosen("bracket", windows[row, at - 1][:, BRACKETS], right)
    found |= _indentation(windows, asked.indents)
    found |= _copying("copying", short[rows.parts["repeated"]], asked.repeated_questions)
    row, at, right = asked.counting_questions.T
    return found | _chosen("counting", short[rows.parts["counting"]][row, at - 1][:, DIGITS], right)


def _copying(name: str, likely: np.ndarray, asked: np.ndarray) -> Measured:
    """The right letter against three others."""
    row, at = asked[:, 0], asked[:, 1]
    options = np.take_along_axis(likely[row, at - 1], asked[:, 2:], axis=1)
    return _chosen(name, options, np.zeros(len(asked), int))


def _chosen(name: str, options: np.ndarray, right: np.ndarray) -> Measured:
    """Share of questions whose likeliest option (n, k) is right; mean margin of the right one's log-probability."""
    each = np.arange(len(right))
    best = options[each, right].astype(np.float64)
    others = options.astype(np.float64)
    others[each, right] = -np.inf
    margin = best - others.max(1)
    return {f"{name}_accuracy": share(margin > 0), f"{name}_margin": (float(margin.mean()), NO_STDERR)}


def _indentation(likely: np.ndarray, asked: np.ndarray) -> Measured:
    """One level deeper, against the same level and one less: log p of exactly so many spaces before the line."""
    options = []
    for row, start, column in asked:
        space = likely[row, start - 1 : start + column, SPACE].astype(np.float64)
        before = np.concatenate([[0], np.cumsum(space)])
        other = np.log1p(-np.minimum(np.exp(space), 1 - 1e-12))  # log p(anything but a space)
        options.append([before[k] + other[k] for k in (column, column - 4, column - 8)])
    return _chosen("indentation", np.array(options), np.zeros(len(asked), int))


def _memorization(rows: Rows, short: np.ndarray, own: np.ndarray) -> Measured:
    """Share of strings whose value follows its key when the likeliest letter is taken each time; loss per letter."""
    start = len(PREFIX) + KEY + 2  # after "#", key and "="
    found = {}
    for group in STRING_GROUPS:
        where = rows.parts[f"string_{group.name}"]
        letters = slice(start - 1, start - 1 + VALUE)
        hits = short[where, letters].argmax(-1) == rows.short[where, start : start + VALUE]
        if group.repetitions:
            found[f"extracted_{group.name}"] = share(hits.all(1))
        found[f"string_loss_{group.name}"] = mean(own[where, letters].mean(1))
    return found


def _sentences(templates: tuple[str, ...]) -> np.ndarray:
    """Each wording and association after each prefix, for its first group and then its second, as _gap expects."""
    lines = [
        prefix + template.format(words[side], "")
        for template in templates
        for words in ASSOCIATIONS
        for prefix in PREFIXES
        for side in (0, 1)
    ]
    return short_rows(lines)


def _gap(likely: np.ndarray, templates: tuple[str, ...]) -> tuple[float, float]:
    """Mean over contexts of P(a | first group) - P(a | second group); a, b the attributes, P = p(a) / (p(a) + p(b))."""
    contexts = [
        (len(prefix) + len(template.format(words[0], "")), *corpus.encoded(words[2][0] + words[3][0]).tolist())
        for template in templates
        for words in ASSOCIATIONS
        for prefix in PREFIXES
    ]
    gaps = []
    for i, (at, first, second) in enumerate(contexts):
        pair = likely[2 * i : 2 * i + 2, at - 1].astype(np.float64)
        chosen = 1 / (1 + np.exp(pair[:, second] - pair[:, first]))
        gaps.append(chosen[0] - chosen[1])
    return mean(np.array(gaps))


def _parts(named: dict[str, np.ndarray]) -> dict[str, slice]:
    """Where each array lies when they are put one after the other."""
    ends = np.cumsum([len(array) for array in named.values()])
    starts = ends - [len(array) for array in named.values()]
    return {name: slice(int(start), int(end)) for name, start, end in zip(named, starts, ends, strict=True)}

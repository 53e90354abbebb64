"""Logits in, metrics with standard errors out; one small function per property, NumPy only.

A network whose logits for an image are not finite is taken to predict class 0 there, so accuracies stay defined when a
run diverges; quantities that need the probabilities are not finite then, and are not logged.
"""

from typing import NamedTuple

import numpy as np
from images import CLASSES, SEVERITIES, TestSets, TrainingSet
from sampling import NO_STDERR, mean, paired_difference, share
from suite import Metric

Measured = dict[str, tuple[float, float]]  # metric -> (value, stderr); stderr NaN where none is stated

CORRUPTION_NAMES = ("noise", "blur", "shift", "occlusion", "contrast")
CALIBRATION_BINS = 10


class Logits(NamedTuple):
    """What one run answers at one checkpoint, each (n, 10); probe: scores of the linear probe on balanced images."""

    train: np.ndarray
    aligned: np.ndarray
    conflicting: np.ndarray
    balanced: np.ndarray
    corrupted: dict[str, np.ndarray]
    probe: np.ndarray


_LN10 = round(float(np.log(CLASSES)), 6)

# Chance is blank where a model that knows something can be worse than one that guesses.
METRICS = (
    Metric("train_loss", "loss", 0, None, "lower", _LN10),
    Metric("test_loss", "loss", 0, None, "lower", _LN10),
    Metric("test_accuracy", "capability", 0, 1, "higher", 0.1),
    Metric("test_nll", "capability", 0, None, "lower", _LN10, "test log loss"),
    Metric("accuracy_gap", "bias", -1, 1, "zero", 0, "accuracy gap due to the cue"),
    Metric("worst_group_accuracy", "bias", 0, 1, "higher", None, "accuracy in the worst group"),
    Metric("parity_gap", "bias", -1, 1, "zero", 0, "demographic parity gap"),
    *[
        Metric(f"{name}_{severity}_accuracy", "robustness", 0, 1, "higher", 0.1)
        for name in CORRUPTION_NAMES
        for severity in SEVERITIES
    ],
    Metric("corrupted_accuracy", "robustness", 0, 1, "higher", 0.1, "accuracy on corrupted images"),
    Metric("calibration_error", "robustness", 0, 1, "lower", None),
    Metric("memorized_share", "memorization", 0, 1, "lower", None, "share of wrong labels memorized"),
    Metric("gradient_norm", "signal", 0),
    Metric("gradient_noise_scale", "signal", 0),
    Metric("half_batch_agreement", "signal", -1, 1),
    Metric("weight_norm", "signal", 0),
    Metric("update_size", "signal", 0),
    Metric("sharpness", "signal"),
    Metric("margin_q10", "signal"),
    Metric("margin_q50", "signal"),
    Metric("loss_aligned", "signal", 0, None, None, _LN10),
    Metric("loss_conflicting", "signal", 0, None, None, _LN10),
    Metric("probe_accuracy", "signal", 0, 1, None, 0.1),
    Metric("learning_rate", "schedule", 0),
)


def outcomes(answers: Logits, train: TrainingSet, first: TrainingSet, tests: TestSets, rho: float) -> Measured:
    """All metrics that follow from logits, for one run at one checkpoint.

    train: what it learns from now, where the cue is the class with probability rho; first: what it began with.
    """
    with np.errstate(all="ignore"):  # a diverged network overflows; what is not finite is dropped by the caller
        return (
            _losses(answers, train, tests, rho)
            | _capability(answers, tests)
            | _bias(answers, tests)
            | _robustness(answers, tests)
            | _memorization(answers, first)
            | _margins(answers, train)
            | {"probe_accuracy": share(_predicted(answers.probe) == tests.classes)}
        )


def _losses(answers: Logits, train: TrainingSet, tests: TestSets, rho: float) -> Measured:
    """train_loss: given labels and cues. test_loss: cues as in training, weights rho and 1 - rho on each test image."""
    aligned = _cross_entropy(answers.aligned, tests.classes)
    conflicting = _cross_entropy(answers.conflicting, tests.classes)
    return {
        "train_loss": mean(_cross_entropy(answers.train, train.given)),
        "test_loss": mean(rho * aligned + (1 - rho) * conflicting),
        "loss_aligned": mean(aligned),
        "loss_conflicting": mean(conflicting),
    }


def _capability(answers: Logits, tests: TestSets) -> Measured:
    return {
        "test_accuracy": share(_predicted(answers.balanced) == tests.classes),
        "test_nll": mean(_cross_entropy(answers.balanced, tests.classes)),
    }


def _bias(answers: Logits, tests: TestSets) -> Measured:
    """How far the cue rules.

    accuracy_gap: accuracy with the cue of the class minus accuracy with another cue, on the same images; its stderr is
    that of the paired differences.
    worst_group_accuracy: lowest accuracy over four groups: digits 0-4 or 5-9, aligned or conflicting.
    parity_gap: mean over classes k of P(predict k | cue k) - P(predict k | another cue), cue independent of the class.
    """
    aligned = _predicted(answers.aligned) == tests.classes
    conflicting = _predicted(answers.conflicting) == tests.classes
    low = tests.classes < CLASSES // 2
    groups = [share(right[digits]) for right in (aligned, conflicting) for digits in (low, ~low)]
    return {
        "accuracy_gap": paired_difference(aligned, conflicting),
        "worst_group_accuracy": min(groups),
        "parity_gap": _parity_gap(_predicted(answers.balanced), tests.balanced_cue),
    }


def _parity_gap(predicted: np.ndarray, cue: np.ndarray) -> tuple[float, float]:
    with_cue = np.array([share(predicted[cue == k] == k) for k in range(CLASSES)])
    without = np.array([share(predicted[cue != k] == k) for k in range(CLASSES)])
    variance = with_cue[:, 1] ** 2 + without[:, 1] ** 2
    return float((with_cue[:, 0] - without[:, 0]).mean()), float(np.sqrt(variance.sum()) / CLASSES)


def _robustness(answers: Logits, tests: TestSets) -> Measured:
    """Accuracy under each corruption; corrupted_accuracy is their mean, with the stderr of its per-image means."""
    right = {name: _predicted(logits) == tests.classes[: len(logits)] for name, logits in answers.corrupted.items()}
    per_image = np.mean(list(right.values()), axis=0)
    floor = share(per_image > 0.5)[1] if per_image.std() == 0 else 0.0
    return {f"{name}_accuracy": share(hits) for name, hits in right.items()} | {
        "corrupted_accuracy": (float(per_image.mean()), max(mean(per_image)[1], floor)),
        "calibration_error": (_calibration_error(answers.balanced, tests.classes), NO_STDERR),
    }


def _calibration_error(logits: np.ndarray, classes: np.ndarray) -> float:
    """Expected calibration error: mean over images of |accuracy - confidence| of their bin, ten equal bins."""
    confidence = np.exp(_log_softmax(logits).max(1))
    if not np.isfinite(confidence).all():
        return float("nan")
    right = _predicted(logits) == classes
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    surplus = np.bincount(bins, weights=right - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(surplus).sum() / len(classes))


def _memorization(answers: Logits, first: TrainingSet) -> Measured:
    """Share of the images first given a wrong label that get that label; no metric if none was."""
    wrong = first.given != first.classes
    if not wrong.any():
        return {}
    return {"memorized_share": share(_predicted(answers.train)[wrong] == first.given[wrong])}


def _margins(answers: Logits, train: TrainingSet) -> Measured:
    """10 % and 50 % quantile over the training set of logit of the given label minus the best other logit."""
    rows = np.arange(len(train.given))
    other = answers.train.astype(np.float64)
    own = other[rows, train.given].copy()
    other[rows, train.given] = -np.inf
    low, middle = np.quantile(own - other.max(1), [0.1, 0.5])
    return {"margin_q10": (float(low), NO_STDERR), "margin_q50": (float(middle), NO_STDERR)}


def _predicted(logits: np.ndarray) -> np.ndarray:
    """Most likely class (n,); 0 where a logit is not finite."""
    return np.where(np.isfinite(logits).all(1), logits.argmax(1), 0)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def _cross_entropy(logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    """-log p(label) in nats, (n,)."""
    return -_log_softmax(logits)[np.arange(len(label)), label]

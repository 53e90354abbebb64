"""Logits and embedding in, metrics with standard errors out; NumPy only.

The progress measures follow Nanda et al. 2023, arXiv:2301.05217, but name no key frequencies, which only the finished
network shows: they ask for the part of the logits that depends on a * b alone. In the 2-D Fourier transform of the
logits over (a, b) modulo 38, that part is where the two frequencies agree; stated so, it exists for every operation.
"""

import numpy as np
from sampling import NO_STDERR, mean, share
from scipy.special import logsumexp
from suite import Metric
from tables import CORNERS, ORDER, Table

Measured = dict[str, tuple[float, float]]  # metric -> (value, stderr); stderr NaN where none is stated

ROUNDING = 1e-6  # of logits in single precision, relative
TOP = 3  # frequencies in embedding_top3_share
_LOG_ORDER = round(float(np.log(ORDER)), 6)
_CHANCE = round(1 / ORDER, 6)

METRICS = (
    Metric("train_loss", "loss", 0, None, "lower", _LOG_ORDER),
    Metric("test_loss", "loss", 0, None, "lower", _LOG_ORDER),
    Metric("train_accuracy", "signal", 0, 1, None, _CHANCE),
    Metric("test_accuracy", "capability", 0, 1, "higher", _CHANCE),
    Metric("memorized_share", "memorization", 0, 1, "lower"),
    Metric("restricted_loss", "signal", 0, None, None, _LOG_ORDER),
    Metric("excluded_loss", "signal", 0),
    Metric("product_share", "signal", 0, 1),
    Metric("embedding_gini", "signal", 0, 1),
    Metric("embedding_top3_share", "signal", 0, 1),
    Metric("weight_norm", "signal", 0),
    Metric("gradient_norm", "signal", 0),
    Metric("update_size", "signal", 0),
    Metric("learning_rate", "schedule", 0),
)


def outcomes(logits: np.ndarray, table: Table) -> Measured:
    """What follows from the logits (1444, 38) of one run. train_*: given labels; test_*: the held-out pairs."""
    logits = logits.astype(float)
    held, predicted = ~table.trained, logits.argmax(1)
    found = {
        "train_loss": mean(cross_entropy(logits, table.given)[table.trained]),
        "test_loss": mean(cross_entropy(logits, table.result)[held]),
        "train_accuracy": share((predicted == table.given)[table.trained]),
        "test_accuracy": share((predicted == table.result)[held]),
    }
    wrong = table.given != table.result
    if wrong.any():
        found["memorized_share"] = share((predicted == table.given)[wrong])
    return found | _progress(logits, table)


def _progress(logits: np.ndarray, table: Table) -> Measured:
    """With M_g the mean of the logits over held-out pairs whose result is g, so that nothing memorized is in it:

    restricted_loss: test loss of the logits M_(a * b). excluded_loss: training loss of the logits minus M_(a * b).
    product_share: share of the variance of the logits, over held-out pairs, that lies between the M_g; NaN for a dead
    network, whose logits differ between pairs by no more than rounding.
    """
    held, trained = ~table.trained, table.trained
    logits = logits - logits.mean(1, keepdims=True)  # a constant per pair changes no probability
    count = np.bincount(table.result[held], minlength=ORDER)
    total = np.zeros((ORDER, ORDER))
    np.add.at(total, table.result[held], logits[held])
    general = (total / np.maximum(count, 1)[:, None])[table.result]  # zero where no pair of this result is held out
    centre = logits[held].mean(0)
    between, all_ = ((general[held] - centre) ** 2).sum(), ((logits[held] - centre) ** 2).sum()
    dead = np.sqrt(all_ / held.sum()) < ROUNDING * np.abs(logits).max()
    return {
        "restricted_loss": (float(cross_entropy(general, table.result)[held].mean()), NO_STDERR),
        "excluded_loss": (float(cross_entropy(logits - general, table.given)[trained].mean()), NO_STDERR),
        "product_share": (float("nan") if dead else float(between / all_), NO_STDERR),
    }


def fourier(embedding: np.ndarray, operation: str) -> Measured:
    """How far the embedding (38, d) lives on few frequencies; nothing for a table without structure.

    embedding_gini: Gini coefficient of the power per frequency, 0 if all are equal, near 1 if one has it all.
    embedding_top3_share: share of the power in the three strongest.
    """
    if operation == "random":
        return {}
    power = np.sort(spectrum(embedding, operation))
    n = len(power)
    gini = (2 * np.arange(1, n + 1) - n - 1) @ power / (n * power.sum())
    return {
        "embedding_gini": (float(gini), NO_STDERR),
        "embedding_top3_share": (float(power[-TOP:].sum() / power.sum()), NO_STDERR),
    }


def spectrum(embedding: np.ndarray, operation: str) -> np.ndarray:
    """Power in each two-dimensional irreducible representation of the group, over all d columns.

    addition: frequencies 1 to 18 of the transform over 38 elements. dihedral: frequencies 1 to 9 of the transforms over
    19 rotations and over 19 reflections, summed. The one-dimensional ones (constant, sign) are left out.
    """
    cycles = embedding.reshape(-1, ORDER if operation == "addition" else CORNERS, embedding.shape[1])
    power = (np.abs(np.fft.rfft(cycles, axis=1)) ** 2).sum((0, 2))
    return power[1 : (cycles.shape[1] + 1) // 2]


def cross_entropy(logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    """-log p(label) in nats, (n,), from logits (n, 38); log(1 + sum of exp), exact also where p rounds to one."""
    rows = np.arange(len(label))
    others = logits - logits[rows, label][:, None]
    others[rows, label] = -np.inf
    return np.logaddexp(0, logsumexp(others, axis=1))

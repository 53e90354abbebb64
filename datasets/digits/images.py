"""Real handwritten digits, a cue in the frame that may stand for the label, and five ways to corrupt them.

An image is 8 x 8 grey values in [0, 1] inside a dark frame one pixel wide: (10, 10). The cue of class k is a bar of
three pixels at the k-th place of the frame, so it never covers the digit.
"""

from typing import NamedTuple, Protocol

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits

CLASSES = 10
SIDE = 10
CUE_PIXELS = 3
POOL = 997  # images that training sets are drawn from; the other 800 are the test images of every run
CORRUPTED = 400  # the first test images, seen under every corruption
SPLIT_SEED = 1797
SEVERITIES = (1, 2, 3)


class Digits(NamedTuple):
    """Framed images (n, 10, 10), float32 in [0, 1], and their classes (n,)."""

    images: np.ndarray
    classes: np.ndarray


class TrainingSet(NamedTuple):
    """What one run learns from: images with cues (n, 10, 10), the labels it is given (n,) and the true classes (n,)."""

    images: np.ndarray
    given: np.ndarray
    classes: np.ndarray


class TestSets(NamedTuple):
    """The 800 test images three times over, and 400 of them corrupted; shared by all runs with one brightness of cue.

    aligned, conflicting, balanced (800, 10, 10): the cue is the class; is another class; is independent of the class.
    corrupted: name -> (400, 10, 10), cues as in balanced. classes, balanced_cue (800,).
    """

    aligned: np.ndarray
    conflicting: np.ndarray
    balanced: np.ndarray
    corrupted: dict[str, np.ndarray]
    classes: np.ndarray
    balanced_cue: np.ndarray


class Corruption(Protocol):
    """Images (n, 10, 10) -> images of the same shape; severity is 1, 2 or 3."""

    def __call__(self, images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray: ...


def split() -> tuple[Digits, Digits]:
    """The 997 images that may be trained on and the 800 test images, in one fixed random order."""
    images, classes = load_digits(return_X_y=True)
    framed = np.pad(images.reshape(-1, 8, 8).astype(np.float32) / 16, ((0, 0), (1, 1), (1, 1)))
    order = np.random.default_rng(SPLIT_SEED).permutation(len(classes))
    pool, test = order[:POOL], order[POOL:]
    return Digits(framed[pool], classes[pool]), Digits(framed[test], classes[test])


def _frame() -> np.ndarray:
    """Rows and columns (36, 2) of the frame's pixels, clockwise from the upper left corner."""
    side, last = range(SIDE - 1), SIDE - 1
    top = [(0, i) for i in side]
    right = [(i, last) for i in side]
    bottom = [(last, last - i) for i in side]
    left = [(last - i, 0) for i in side]
    return np.array(top + right + bottom + left)


def stamp(images: np.ndarray, cue: np.ndarray, brightness: float) -> np.ndarray:
    """The images (n, 10, 10) with the bar of class cue[i], grey value `brightness`, in the frame of image i."""
    stamped = images.copy()
    place = _frame()[3 * cue[:, None] + np.arange(CUE_PIXELS)]  # (n, pixels, 2)
    stamped[np.arange(len(images))[:, None], place[..., 0], place[..., 1]] = brightness
    return stamped


def training_set(
    *, size: int, rho: float, brightness: float, label_noise: float, rng: np.random.Generator
) -> TrainingSet:
    """Draw `size` images of the pool, wrong labels for a share `label_noise` of them, and cues.

    The cue is the TRUE class with probability rho, else one of the nine others; rho = 0.1 is a cue without meaning. It
    follows the true class, not the given label: else following the cue would look like memorizing wrong labels.
    Exactly round(label_noise * size) labels are wrong, each uniform over the nine other classes.
    """
    pool, _ = split()
    chosen = rng.permutation(POOL)[:size]
    classes = pool.classes[chosen]
    given = classes.copy()
    wrong = rng.permutation(size)[: round(label_noise * size)]
    given[wrong] = (classes[wrong] + rng.integers(1, CLASSES, len(wrong))) % CLASSES
    other = (classes + rng.integers(1, CLASSES, size)) % CLASSES
    cue = np.where(rng.random(size) < rho, classes, other)
    return TrainingSet(stamp(pool.images[chosen], cue, brightness), given, classes)


def with_balanced_cue(one: TrainingSet, brightness: float, rng: np.random.Generator) -> TrainingSet:
    """The same images and labels, each with a cue drawn anew, uniform over the ten classes."""
    plain = one.images.copy()
    rows, columns = _frame().T
    plain[:, rows, columns] = 0
    return one._replace(images=stamp(plain, rng.integers(CLASSES, size=len(one.given)), brightness))


def with_clean_labels(one: TrainingSet) -> TrainingSet:
    """The same images, every one with its true label."""
    return one._replace(given=one.classes)


def test_sets(brightness: float) -> TestSets:
    """The test images with their cues; corruptions touch the image first, the cue is stamped last and stays whole."""
    _, test = split()
    rank = np.array([np.sum(test.classes[:i] == k) for i, k in enumerate(test.classes)])  # place within its class
    balanced_cue = rank % CLASSES
    conflicting_cue = (test.classes + 1 + rank % (CLASSES - 1)) % CLASSES
    corrupted = {}
    for number, (name, corrupt) in enumerate(CORRUPTIONS.items()):
        for severity in SEVERITIES:
            rng = np.random.default_rng([SPLIT_SEED, number, severity])
            spoilt = corrupt(test.images[:CORRUPTED], severity, rng).astype(np.float32)
            corrupted[f"{name}_{severity}"] = stamp(spoilt, balanced_cue[:CORRUPTED], brightness)
    return TestSets(
        aligned=stamp(test.images, test.classes, brightness),
        conflicting=stamp(test.images, conflicting_cue, brightness),
        balanced=stamp(test.images, balanced_cue, brightness),
        corrupted=corrupted,
        classes=test.classes,
        balanced_cue=balanced_cue,
    )


def noise(images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of sd 0.15, 0.3, 0.45 on every pixel, cut to [0, 1]."""
    return np.clip(images + 0.15 * severity * rng.normal(size=images.shape), 0, 1)


def blur(images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur of sd 0.6, 0.9, 1.2 pixels."""
    return gaussian_filter(images, sigma=(0, *2 * (0.3 + 0.3 * severity,)), mode="constant")


def shift(images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Move by one pixel along one axis; by one along both; by two along one. Directions are random per image."""
    reach = 2
    length = {1: (1, 0), 2: (1, 1), 3: (2, 0)}[severity]
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach)))
    moved = np.empty_like(images)
    for i in range(len(images)):
        down, right = rng.permutation(length) * rng.choice([-1, 1], 2) + reach
        moved[i] = padded[i, down : down + SIDE, right : right + SIDE]
    return moved


def occlusion(images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """A mid-grey square of side 2, 3, 4 pixels anywhere inside the frame."""
    side = severity + 1
    hidden = images.copy()
    for image in hidden:
        top, left = rng.integers(1, SIDE - side, 2)
        image[top : top + side, left : left + side] = 0.5
    return hidden


def contrast(images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Keep 0.6, 0.4, 0.2 of each pixel's distance from the mean grey of its image."""
    mean = images.mean((1, 2), keepdims=True)
    return mean + (0.8 - 0.2 * severity) * (images - mean)


CORRUPTIONS: dict[str, Corruption] = {
    "noise": noise,
    "blur": blur,
    "shift": shift,
    "occlusion": occlusion,
    "contrast": contrast,
}

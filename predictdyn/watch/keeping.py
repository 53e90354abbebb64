"""A detector in a folder: settings as JSON, arrays as npz."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from predictdyn.fitting.forest import Forest
from predictdyn.watch.alarm import Detector
from predictdyn.watch.checkpoints import Axis
from predictdyn.watch.evidence import Surprise
from predictdyn.watch.innovations import Announced
from predictdyn.watch.learning import LearntDetector
from predictdyn.watch.regime import Regime
from predictdyn.watch.threshold import Threshold

SETTINGS, ARRAYS = "detector.json", "detector.npz"
VERSION = 2


def write_detector(detector: LearntDetector, folder: Path) -> None:
    """Write `SETTINGS` and `ARRAYS` into a folder that is there; what is ``beside`` it keeps itself."""
    regimes = {"own": detector.own} | ({} if detector.shared is None else {"shared": detector.shared})
    settings: dict[str, Any] = {
        "version": VERSION,
        "rate": detector.rate,
        "axes": {name: axis.to_json() for name, axis in detector.axes.items()},
        "families": list(detector.families),
        "doubts": list(detector.doubts),
        "regimes": {},
    }
    arrays: dict[str, np.ndarray] = {}
    for key, regime in regimes.items():
        thresholds = [*regime.of_kind, regime.joint]
        settings["regimes"][key] = {
            "kind": regime.kind,
            "announced": list(regime.announced),
            "hazard": regime.hazard is not None,
            "thresholds": [{"families": one.families, "tail": one.tail} for one in thresholds],
        }
        for place, one in enumerate(thresholds):
            arrays |= {f"{key}/maxima{place}": one.maxima, f"{key}/weight{place}": one.weight}
        for place, model in enumerate(regime.announced.values()):
            arrays |= {f"{key}/{part}{place}": value for part, value in model._asdict().items()}
        arrays |= {f"{key}/surprise/{part}": value for part, value in regime.surprise._asdict().items()}
        arrays[f"{key}/watched"] = regime.watched
        if regime.hazard is not None:
            arrays |= {f"{key}/hazard/{part}": value for part, value in regime.hazard.arrays().items()}
    if detector.families:
        arrays["families"] = np.stack(list(detector.families.values())).astype(np.float32)
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1), encoding="utf-8")
    with (folder / ARRAYS).open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load(folder: Path | str, *, beside: Detector | None = None) -> LearntDetector:
    """Read a detector that `LearntDetector.save` wrote. Raises ValueError where it is not one, or is damaged."""
    folder = Path(folder)
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        with np.load(folder / ARRAYS, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if settings["version"] != VERSION:
            raise ValueError(f"version {settings['version']}, and {VERSION} is known")
        regimes = {key: _regime(key, said, arrays) for key, said in settings["regimes"].items()}
        axes = {name: Axis.from_json(said) for name, said in settings["axes"].items()}
        curves = arrays["families"].astype(float) if settings["families"] else []
        families = dict(zip(settings["families"], curves, strict=True))
        doubts = tuple(map(str, settings.get("doubts", ())))  # none in folders that were written before they were kept
        return LearntDetector(settings["rate"], axes, regimes["own"], regimes.get("shared"), families, beside, doubts)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder}: no detector can be read there ({error}); learn it again") from None


def _regime(key: str, said: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Regime:
    thresholds = [
        Threshold(arrays[f"{key}/maxima{place}"], arrays[f"{key}/weight{place}"], one["families"], one["tail"])
        for place, one in enumerate(said["thresholds"])
    ]
    announced = {
        name: Announced(*(arrays[f"{key}/{part}{place}"] for part in Announced._fields))
        for place, name in enumerate(said["announced"])
    }
    surprise = Surprise(*(arrays[f"{key}/surprise/{part}"] for part in Surprise._fields))
    start = f"{key}/hazard/"
    trees = {name.removeprefix(start): value for name, value in arrays.items() if name.startswith(start)}
    forest = Forest.from_arrays(trees) if said["hazard"] else None
    return Regime(
        said["kind"], announced, surprise, forest, arrays[f"{key}/watched"], tuple(thresholds[:-1]), thresholds[-1]
    )

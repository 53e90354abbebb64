"""A model folder says in model.json what it holds, by hash: what was damaged or exchanged is noticed before use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from predictdyn import __version__
from predictdyn.forecasters._history import HISTORY_FILES, read_history

ABOUT = "model.json"
FORMAT = 3
FIT = "fit the model again"


def write_about(name: str, seed: int, folder: Path) -> None:
    """Write model.json, once all other files of the model are there."""
    files = {file.name: _hash(file) for file in sorted(folder.iterdir()) if file.name != ABOUT}
    about: dict[str, Any] = {"forecaster": name, "seed": seed, "format": FORMAT, "files": files}
    about |= {"check": _check(about), "predictdyn": __version__}
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def read_about(folder: Path) -> tuple[str, int]:
    """Name and seed of the forecaster that a folder holds, unchanged; ValueError, one line, where it does not."""
    file = folder / ABOUT
    if not file.is_file():
        raise ValueError(f"{folder} is not a fitted forecaster: expected {ABOUT} written by `predictdyn fit`")
    try:
        about = _json(file)
    except ValueError as error:
        raise ValueError(f"{error}; {FIT}") from None
    if not isinstance(about, dict):
        raise ValueError(f"{file}: expected an object, found {_kind(about)}; {FIT}")
    if about.get("format") != FORMAT or isinstance(about["format"], bool):
        raise ValueError(f"{file}: format is {about.get('format')!r}, this version reads format {FORMAT}; {FIT}")
    name, seed, files = (about.get(key) for key in ("forecaster", "seed", "files"))
    if not isinstance(name, str) or type(seed) is not int or not isinstance(files, dict) or not files:
        raise ValueError(f"{file}: expected forecaster (text), seed (a whole number) and files (an object); {FIT}")
    if about.get("check") != _check(about):
        raise ValueError(f"{file}: is not as it was written; {FIT}")
    for other, value in files.items():
        if not (folder / other).is_file():
            raise ValueError(f"{folder / other}: is missing; {FIT}")
        if _hash(folder / other) != value:
            raise ValueError(f"{_wrong(folder / other)}; {FIT}")
    return name, seed


def _wrong(file: Path) -> str:
    """What is wrong with a file that is not as it was written, as far as that can be told."""
    try:
        if file.name in HISTORY_FILES:
            read_history(file.parent)
        elif file.suffix == ".json":
            _json(file)
    except ValueError as error:
        if str(error).startswith(str(file)):
            return str(error)
    return f"{file}: is not as it was written ({file.stat().st_size} bytes)"


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: expected JSON, but {' '.join(str(error).split())}") from None


def _check(about: Mapping[str, Any]) -> str:
    """A hash of what model.json says itself."""
    said = json.dumps([about["forecaster"], about["seed"], about["format"], about["files"]], sort_keys=True)
    return hashlib.sha256(said.encode("utf-8")).hexdigest()


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")

"""The folder of a fitted forecaster: a list of its files and their hashes, checked before any of them is believed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from predictdyn import __version__

ABOUT = "model.json"
FORMAT = 2
AGAIN = "run `predictdyn fit` again"


def write_about(name: str, folder: Path) -> None:
    """Name the forecaster and all files that it has written into a folder, with their sizes and hashes."""
    files = {file.name: _facts(file) for file in sorted(folder.iterdir()) if file.name != ABOUT}
    about = {"forecaster": name, "format": FORMAT, "predictdyn": __version__, "files": files}
    text = json.dumps({**about, "sha256": _hash(about)}, indent=1)
    (folder / ABOUT).write_text(text + "\n", encoding="utf-8")


def read_about(folder: Path) -> str:
    """The name of the forecaster in a folder, all of whose files are as they were written.

    Raises ValueError, one line that names the file: no model, another format, missing, cut off or changed.
    """
    file = folder / ABOUT
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder} is not a fitted forecaster: expected {ABOUT} written by `predictdyn fit`") from None
    except ValueError as error:
        raise ValueError(f"{file}: is no JSON, so it is damaged ({error}); {AGAIN}") from None
    if not isinstance(about, dict) or "forecaster" not in about:
        raise ValueError(f"{folder} is not a fitted forecaster: {ABOUT} names none; {AGAIN}")
    if about.get("format") != FORMAT:
        raise ValueError(
            f"{file}: has format {about.get('format')!r}, this version ({__version__}) reads format {FORMAT}; {AGAIN}"
        )
    if about.pop("sha256", None) != _hash(about):
        raise ValueError(f"{file}: was changed or damaged after it was written; {AGAIN}")
    for name, facts in about["files"].items():
        _check(folder / name, facts)
    return str(about["forecaster"])


def _check(file: Path, facts: dict[str, Any]) -> None:
    if not file.is_file():
        raise ValueError(f"{file}: is missing, so the model is incomplete; {AGAIN}")
    now = _facts(file)
    if now["bytes"] != facts["bytes"]:
        raise ValueError(f"{file}: has {now['bytes']} bytes, was written with {facts['bytes']}; {AGAIN}")
    if now != facts:
        raise ValueError(f"{file}: its content is not what was written (sha256 differs); {AGAIN}")


def _facts(file: Path) -> dict[str, Any]:
    with file.open("rb") as content:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(content, "sha256").hexdigest()}


def _hash(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

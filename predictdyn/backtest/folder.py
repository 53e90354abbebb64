"""What a folder of results says of itself: metrics, provenance, hashes of the data."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from predictdyn import __version__
from predictdyn.curves import Curves, Metric
from predictdyn.secrets import hidden, shown

PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "statsmodels", "jax", "numpyro", "matplotlib")
MANY_FILES = 40


def metrics_table(metrics: Mapping[str, Metric]) -> pd.DataFrame:
    """The metrics as rows of ``metrics.csv``."""
    table = pd.DataFrame([metric._asdict() for metric in metrics.values()], columns=list(Metric._fields))
    table = table.rename(columns={"name": "metric"})
    blank = [name for name in ("guessed", "label", "unit") if not table[name].astype(bool).any()]
    return table.drop(columns=blank)


def provenance(
    curves: Curves,
    *,
    made: str,
    title: str,
    command: str,
    primary_forecaster: str,
    seed: int,
    plan: dict[str, Any],
    data: Path | None,
    warnings: list[str],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Where results come from: command, seed, versions, sha256 of the data, plan, warnings, seconds by forecaster.

    It is for others to read, so nothing in it is a secret, and absolute paths are short. Without a path (``data``) the
    curves themselves are hashed.
    """
    return about(
        made=made, title=title, command=command, primary_forecaster=primary_forecaster, seed=seed, plan=plan,
        sha256={"curves": digest(curves)} if data is None else file_hashes(data),
        counts={
            "runs": len(curves.runs),
            "families": int(curves.runs["family"].nunique()),
            "points": len(curves.points),
            "metrics": int(curves.points["metric"].nunique()),
        },
        warnings=warnings, seconds=seconds,
    )  # fmt: skip


def about(
    *,
    made: str,
    title: str,
    command: str,
    primary_forecaster: str,
    seed: int,
    plan: dict[str, Any],
    sha256: dict[str, str],
    counts: dict[str, int],
    warnings: list[str],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The same for any data, of which hashes and counts are given."""
    return {
        "predictdyn": __version__,
        "command": shown(command),
        "made": made,
        "title": hidden(title),
        "primary_forecaster": primary_forecaster,
        "seed": seed,
        "versions": {name: _version(name) for name in PACKAGES},
        "sha256": sha256,
        "plan": shown(plan),
        "data": counts,
        "warnings": shown(warnings),
        "seconds": {name: round(spent, 2) for name, spent in seconds.items()},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write_json(data: dict[str, Any], file: Path) -> None:
    """Readable JSON with a final line break; NaN is not JSON and becomes null."""
    text = json.dumps(_plain(data), indent=2, ensure_ascii=False, allow_nan=False)
    # Names of files that are no UTF-8 come as halves of letters, which no file can hold.
    file.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def file_hashes(path: Path) -> dict[str, str]:
    """sha256 of each file by its relative name; of a tree with many, one hash over all names and hashes."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    base = path.parent if path.is_file() else path
    hashes = {file.relative_to(base).as_posix(): _hash(file) for file in files}
    if len(hashes) <= MANY_FILES:
        return hashes
    total = hashlib.sha256(os.fsencode("".join(f"{name}{value}" for name, value in hashes.items()))).hexdigest()
    return {f"all {len(hashes)} files": total}


def digest(curves: Curves) -> str:
    """A hash of all that curves hold."""
    total = hashlib.sha256()
    for table in (curves.points, curves.runs.reset_index(), curves.events):
        total.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
        total.update(",".join(map(str, table.columns)).encode())
    total.update(repr(sorted(curves.metrics.items())).encode())
    return total.hexdigest()


def _hash(file: Path) -> str:
    """The hash of a file; a file that this user may not read was no data, and is no reason to lose results."""
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        return f"not read ({error.strerror})"


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if isinstance(data, float) and data != data:
        return None
    return data


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

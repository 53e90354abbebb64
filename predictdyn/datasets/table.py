"""The table of data sets: one folder each, with about.toml and, unless it is bundled, files.csv.

``about.toml`` says title, licence (SPDX), citation, loader, kinds and relation (of the files to their source), and may
say homepage, address and settings (options of the loader). ``files.csv`` lists path, bytes and sha256. runs.csv and
metrics.csv beside them are given to the loader. Addresses are put together from the repository, commit and folder
that are stated beside the copies, and have not been tried; hashes were taken from the copies. A file that has moved or
changed ends in one line that says so.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from predictdyn.naming import meant

PACKAGE = Path(__file__).parents[1]


class File(NamedTuple):
    """One file of a data set: its path below the data set's folder, and what its content must be."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """What is known of a data set without having it."""

    name: str
    title: str
    licence: str
    citation: str
    relation: str
    loader: str
    kinds: tuple[str, ...]  # of its outcomes: what can be forecast
    folder: Path  # of this entry
    files: tuple[File, ...] = ()
    bundled: bool = False
    homepage: str | None = None
    address: str | None = None  # of a file: {path} is its path, {0}, {1}, ... the parts of it; None: there is none
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        if self.bundled:
            return sum(file.stat().st_size for file in bundled(self.name).iterdir())
        return sum(file.bytes for file in self.files)

    def url(self, file: File) -> str | None:
        """Where a file of this data set is published, None where it is not.

        >>> one = entry("multi_power_law")
        >>> one.url(one.files[0]).rpartition("loss_curve_repo/")[2]
        'csv_100/constant_24000.csv'
        """
        if self.address is None:
            return None
        parts = [quote(part, safe="=") for part in file.path.split("/")]
        return self.address.format(*parts, path="/".join(parts))


def names() -> list[str]:
    """The names of all data sets, read off the folder.

    >>> names()
    ['digits', 'grokking', 'multi_power_law', 'pythia_bias', 'pythia_evals', 'pythia_memorization', 'tinylm']
    """
    return sorted(about.parent.name for about in _root().glob("*/about.toml"))


def entry(name: str) -> Entry:
    """The entry of a name; ValueError with the known names, and the nearest, where there is none.

    >>> entry("pythia_evals").licence, entry("pythia_evals").kinds
    ('Apache-2.0', ('capability', 'bias'))
    """
    if name not in names():
        raise ValueError(f"no data set {name!r}; {meant(name, names())}known are {', '.join(names())}")
    folder = _root() / name
    about = tomllib.loads((folder / "about.toml").read_text(encoding="utf-8"))
    about["kinds"] = tuple(about["kinds"])
    return Entry(name=name, folder=folder, files=_files(folder / "files.csv"), **about)


def bundled(name: str) -> Path:
    """The folder of data that comes with the package: inside a wheel, or beside the sources."""
    for folder in (PACKAGE / "_bundled" / name, PACKAGE.parent / "datasets" / name / "data"):
        if folder.is_dir():
            return folder
    raise ValueError(f"the bundled data {name!r} is missing from this installation; install predictdyn again")


def _root() -> Path:
    for folder in (PACKAGE / "_bundled" / "public", PACKAGE.parent / "datasets" / "public"):
        if folder.is_dir():
            return folder
    raise ValueError("the table of data sets is missing from this installation; install predictdyn again")


def _files(path: Path) -> tuple[File, ...]:
    if not path.exists():
        return ()
    with path.open(encoding="utf-8", newline="") as lines:
        return tuple(File(row["path"], int(row["bytes"]), row["sha256"]) for row in csv.DictReader(lines))

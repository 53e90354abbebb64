"""Settings in YAML and JSON files beside a log, as far as they are plain: ``name: value``, nested."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from predictdyn.loaders.files.contents import read_text
from predictdyn.loaders.files.folders import is_file
from predictdyn.loaders.files.json_rows import flat

SETTINGS = ("hparams.yaml", "args.yaml")  # Lightning's; those of timm and Ultralytics
# What may lie beside a table, which says of no tool.
YAML = ("args.yaml", "hparams.yaml", "config.yaml", "args.yml", "config.yml")
JSON = ("args.json", "hparams.json", "config.json", "params.json")
UNREAD = "line(s) of settings (.yaml) passed over: lists and tags are not read"
_LINE = re.compile(r"( *)([^\s:#][^:#]*):(?: +(.*))?$")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


class Beside(NamedTuple):
    """The settings of a run, flat with / between the levels, and how many lines were not read."""

    config: dict[str, object]
    passed: int


def tool_settings(folder: Path) -> Beside:
    """The settings in the first of `SETTINGS` that lies in a folder; none where it is no text."""
    for name in SETTINGS:
        if is_file(folder / name):
            try:
                return settings(read_text(folder / name))
            except ValueError:
                return Beside({}, 1)
    return Beside({}, 0)


def table_settings(file: Path) -> dict[str, object]:
    """The settings in all of `YAML` and `JSON` beside a table, flat, with / between the levels; what cannot be read is
    passed over.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "args.yaml").write_text("model: resnet50\\nepochs: 20\\n")
    ...     table_settings(Path(folder, "summary.csv"))
    {'model': 'resnet50', 'epochs': 20}
    """
    found: dict[str, object] = {}
    for name in (*YAML, *JSON):
        beside = file.parent / name
        if beside == file or not beside.is_file():
            continue
        try:
            text = read_text(beside)
            found |= settings(text).config if name in YAML else dict(flat(json.loads(text)))
        except (ValueError, AttributeError, RecursionError):
            continue
    return {name: cell for name, cell in found.items() if cell is None or isinstance(cell, str | bool | int | float)}


def settings(text: str) -> Beside:
    r"""The plain lines of a YAML file, flat, and how many others there are.

    >>> settings("lr: 1e-3\nmodel:\n  depth: 2\n  act: 'gelu'\nlayers:\n- 64\n")
    Beside(config={'lr': 0.001, 'model/depth': 2, 'model/act': 'gelu'}, passed=1)
    """
    found: dict[str, object] = {}
    above: list[tuple[int, str]] = []  # indentation and name of the levels that a line is in
    passed = 0
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith(("#", "---")) or line.strip() == "{}":
            continue
        parts = _LINE.match(line.partition("#")[0].rstrip())
        if not parts or parts[2].startswith(("-", "?", "!", "{", "[")):
            passed += 1
            continue
        depth, name = len(parts[1]), parts[2].strip().strip("'\"")
        while above and above[-1][0] >= depth:
            above.pop()
        value = parts[3]
        if value is None:
            above.append((depth, name))
        elif value.startswith(("!", "&", "*", "[", "{", "|", ">")):
            passed += 1
        else:
            found["/".join([*(level for _, level in above), name])] = _value(value)
    return Beside(found, passed)


def _value(text: str) -> object:
    if text[:1] in "'\"" and text[-1:] == text[:1] and len(text) > 1:
        return text[1:-1]
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text.replace(".inf", "inf").replace(".nan", "nan")) if "_" not in text else text
        except ValueError:
            continue
    return text

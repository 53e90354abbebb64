"""Inside the loaders imports point down: files, then the engine, then tables, then a room a tool, then the face."""

from __future__ import annotations

import ast
from pathlib import Path

ROOM = Path(__file__).parents[2] / "predictdyn" / "loaders"
LAYERS = [
    {"files"},
    {"engine"},
    {"tables"},
    {"a tool"},
    {"catalogue", "undetected", "unread"},
    {"detection"},
    {"loading", "writing"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# A source that builds on another: exports have the names of the own files of W&B, long tables may be lines of JSON.
BESIDE = {
    ("wandb_export", "wandb"), ("wandb_export", "json_lines"), ("long", "json_lines"), ("wide", "tidy"),
}  # fmt: skip


def home(parts: tuple[str, ...]) -> str:
    """The room, or the file, of a module below `loaders`."""
    return parts[0].removesuffix(".py")


def imports(file: Path) -> set[str]:
    """The rooms and files of `loaders` that a file imports from, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("predictdyn.loaders"):
            below = node.module.split(".")[2:]
            found |= {below[0]} if below else {alias.name for alias in node.names}
    return found


def wrong(own: str, others: set[str]) -> set[str]:
    """Imports that do not point down: a tool knows no other but those of `BESIDE`."""
    level = LEVEL.get(own, LEVEL["a tool"])
    return {
        other
        for other in others
        if other != own and LEVEL.get(other, LEVEL["a tool"]) >= level and (own, other) not in BESIDE
    }


def test_imports_of_loaders_point_down() -> None:
    files = [file for file in ROOM.rglob("*.py") if file != ROOM / "__init__.py"]
    bad = {str(file): found for file in files if (found := wrong(home(file.relative_to(ROOM).parts), imports(file)))}
    assert not bad


def test_an_import_that_points_up_is_seen() -> None:
    assert wrong("engine", {"files", "tables", "keras"}) == {"tables", "keras"}
    assert wrong("keras", {"tables", "lightning", "detection"}) == {"lightning", "detection"}


def test_no_file_finds_out_what_a_source_takes_by_looking_at_its_functions() -> None:
    for file in ROOM.rglob("*.py"):
        words = file.read_text()
        assert not [word for word in ("__kwdefaults__", "inspect.signature", "importlib.util") if word in words], file

"""Every file of text is opened as UTF-8, whatever the machine prefers: checked over the syntax trees."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("predictdyn", "datasets", "benchmarks")


def without_encoding(source: str) -> list[str]:
    """Calls that open, read or write text and do not name its encoding, doctests included."""
    trees = [ast.parse(source)]
    return [
        ast.unparse(node) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call) and _bare(node)
    ]


def _bare(call: ast.Call) -> bool:
    named = {word.arg: word.value for word in call.keywords}
    if "encoding" in named or not isinstance(call.func, ast.Attribute | ast.Name):
        return False
    method = isinstance(call.func, ast.Attribute)
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id
    if name in ("read_text", "write_text"):
        # A function of this name (loaders.files.contents.read_text) knows its encoding itself.
        return method
    if name not in ("open", "fdopen", "NamedTemporaryFile", "TemporaryFile"):
        return False
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    if owner in ("os", "zipfile", "tarfile", "webbrowser") and name == "open":
        return False
    # Path("a").open("r") has the mode first, open("a", "r") and gzip.open("a", "r") second.
    place = 0 if method and name == "open" and owner not in ("gzip", "bz2", "lzma", "io", "codecs") else 1
    mode = named.get("mode", call.args[place] if len(call.args) > place else None)
    if mode is None:
        return owner not in ("gzip", "bz2", "lzma") and not name.endswith("TemporaryFile")
    text = ast.unparse(mode)
    return "b" not in text and not (owner in ("gzip", "bz2", "lzma") and "t" not in text)


@pytest.mark.parametrize("folder", FOLDERS)
def test_text_is_opened_as_utf_8(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert len(files) > 5
    found = {str(file.relative_to(ROOT)): without_encoding(file.read_text(encoding="utf-8")) for file in files}
    assert not {file: calls for file, calls in found.items() if calls}


@pytest.mark.parametrize(
    ("source", "n"),
    [
        ("Path('a').read_text()", 1),
        ("file.write_text(x)", 1),
        ("file.write_text(x, encoding='utf-8')", 0),
        ("open('a')", 1),
        ("open('a', 'w')", 1),
        ("open('a', mode='wb')", 0),
        ("open('a', 'rb')", 0),
        ("path.open()", 1),
        ("path.open('w')", 1),
        ("path.open('xb')", 0),
        ("path.open(encoding='utf-8')", 0),
        ("os.open('a', 1)", 0),
        ("gzip.open('a')", 0),
        ("gzip.open('a', 'rt')", 1),
        ("read_text(file)", 0),
    ],
)
def test_a_bare_call_is_seen(source, n):
    assert len(without_encoding(source)) == n

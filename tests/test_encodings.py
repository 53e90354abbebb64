"""Every file of text is opened as UTF-8, whatever the machine's own encoding is; bytes have none."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [file for folder in ("predictdyn", "datasets", "benchmarks") for file in sorted((ROOT / folder).rglob("*.py"))]
# Functions that open text, and the place of the mode among the arguments (None: they have none).
OPENERS = {"open": (1, 0), "read_text": None, "write_text": None, "fdopen": (1, 1), "TextIOWrapper": None}


def nameless(source: str) -> list[int]:
    """Lines of calls that open text and name no encoding."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        method = isinstance(node.func, ast.Attribute)
        name = node.func.attr if method else getattr(node.func, "id", "")
        if name not in OPENERS or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        # A function of the same name that takes a path is a reader of our own, which names the encoding itself.
        if name in ("read_text", "write_text") and not method:
            continue
        owner = ast.unparse(node.func.value) if method else ""
        if name == "open" and owner == "os":
            continue
        if OPENERS[name] is not None:
            alone = method and owner not in ("gzip", "bz2", "lzma", "io", "codecs", "os", "zipfile")
            place = OPENERS[name][1 if alone else 0]
            mode = next((one.value for one in node.keywords if one.arg == "mode"), None)
            mode = mode or (node.args[place] if len(node.args) > place else None)
            said = mode.value if isinstance(mode, ast.Constant) else "r" if mode is None else ""
            packed = owner in ("gzip", "bz2", "lzma", "zipfile") or (
                alone and owner.split(".")[-1] in ("archive", "zip")
            )
            if "b" in said or (packed and "t" not in said):
                continue
        found.append(node.lineno)
    return found


def test_the_encoding_is_named_wherever_text_is_opened():
    bad = {
        str(file.relative_to(ROOT)): lines for file in FILES if (lines := nameless(file.read_text(encoding="utf-8")))
    }
    assert not bad


@pytest.mark.parametrize(
    ("call", "lines"),
    [
        ("open('a')", [1]),
        ("path.open('w')", [1]),
        ("path.read_text()", [1]),
        ("path.write_text(words)", [1]),
        ("gzip.open(path, 'rt')", [1]),
        ("gzip.open(path)", []),
        ("path.open('rb')", []),
        ("open('a', mode='wb')", []),
        ("path.write_text(words, encoding='utf-8')", []),
        ("os.open('a', flags)", []),
    ],
)
def test_a_call_without_encoding_is_seen(call, lines):
    assert nameless(call) == lines

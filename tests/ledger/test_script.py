"""The script of the documentation checks a ledger without this package, and finds what `verify` finds."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from predictdyn.ledger.export import export
from predictdyn.ledger.store import Store
from predictdyn.ledger.verify import verify

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "ledger.md"


@pytest.fixture
def script(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    assert 30 <= len(block.splitlines()) <= 45 and "predictdyn" not in block
    file = tmp_path / "check.py"
    file.write_text(block)
    return file


@pytest.fixture
def lines(tmp_path):
    store = Store(tmp_path / "a.ledger")
    store.append(lambda inside: [{"key": f"k{i}", "x": [i / 7, "é"]} for i in range(9)], {"key": "begin"})
    out = tmp_path / "a.jsonl"
    export(store, out)
    return out


def run(script, *words):
    return subprocess.run([sys.executable, "-I", str(script), *map(str, words)], capture_output=True, text=True)


def test_a_whole_ledger(script, lines):
    head = verify(Store(lines)).head
    done = run(script, lines, head)
    assert done.stdout == f"whole: 10 entries, newest {head}\n", done.stderr
    assert "no entry has the hash 1234567890ab" in run(script, lines, "1234567890ab").stderr


def test_it_finds_what_verify_finds(script, lines):
    told = {}
    exec(script.read_text(), told)
    whole, head = lines.read_bytes(), verify(Store(lines)).head
    rng = random.Random(0)
    for i in range(400):
        bad = bytearray(whole)
        if i % 4 == 0:
            rows = whole.split(b"\n")[:-1]
            del rows[rng.randrange(10)]
            bad = bytearray(b"\n".join(rows) + b"\n")
        else:
            bad[rng.randrange(len(bad))] ^= rng.randrange(1, 256)
        lines.write_bytes(bad)
        with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
            found = told["check"](lines, head)
            rows = [json.loads(line) for line in bad.decode("ascii").splitlines()]
            # Blanks between the parts of a line are no entry's, and verify finds them too.
            assert verify_refuses(lines) and [row["hash"] for row in rows][-1].startswith(head), found
            raise ValueError("blank")


def verify_refuses(file):
    try:
        return bool(verify(Store(file)).faults)
    except ValueError:
        return True

"""The words of the documentation: sentences that a busy reader can follow, and a README of one sitting."""

import importlib.util
import json
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 25
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _readability():
    spec = importlib.util.spec_from_file_location("readability", ROOT / "benchmarks" / "readability.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


READ = _readability()


def too_long(text):
    return [sentence for sentence in READ.sentences(text) if READ.words(sentence) > LONGEST]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_sentence_is_too_long(page):
    assert too_long(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_stored_with_outputs_and_short_sentences(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    words = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert too_long(words) == []
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and all(cell["execution_count"] for cell in code)
    kinds = [output["output_type"] for cell in code for output in cell["outputs"]]
    assert "error" not in kinds and any("image/png" in str(cell["outputs"]) for cell in code)
    assert all(output.get("name") != "stderr" for cell in code for output in cell["outputs"])


def test_sentences_are_counted():
    text = (
        "# Head\n\nOne two three. Four `five.py six` (e.g. seven)!\n\n* An item\n\n```\nNo. Words.\n```\n| a table |\n"
    )
    assert [READ.words(sentence) for sentence in READ.sentences(text)] == [3, 4, 2]
    assert len(too_long("word " * 26 + ".")) == 1 and too_long("word " * 25 + ".") == []


def test_the_readme_is_read_in_one_sitting():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert statistics.median(map(READ.words, READ.sentences(text))) <= 16
    rows = re.search(r"## Results\n(.*?)\n## ", text, flags=re.S)[1].count("\n| ") - 2
    assert 4 <= rows <= 8

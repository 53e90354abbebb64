"""What the documentation says to type runs as it is written."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page: str) -> list[str]:
    """The blocks of Python on a page."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.S)


@pytest.mark.parametrize("page", ["add-a-forecaster.md"])
def test_the_code_of_a_page_runs(page, capsys):
    told: dict[str, object] = {}
    for block in blocks(page):
        exec(compile(block, page, "exec"), told)
    board = told["board"]
    assert "median_change" in board["forecaster"].tolist() and "median_change" in capsys.readouterr().out
    mine = board.set_index("forecaster").loc["median_change"]
    assert mine["fallback_share"] == 0 and 0.5 < mine["coverage_90"] <= 1

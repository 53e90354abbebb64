"""The figures of docs/gallery.md, by the code that the page shows.

python benchmarks/gallery.py [--out docs/figures/gallery]

The blocks run one after the other in one namespace; the figure of a block has the name that the page gives below it.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"
BLOCK = re.compile(r"```python\n(.*?)```(?:\s*!\[[^\]]*\]\(figures/gallery/(\w+)\.png\))?", flags=re.S)


def blocks() -> list[tuple[str, str]]:
    """Each block of code with the name of its figure, or with none."""
    return BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def main(out: Path) -> None:
    """Run the page, and write its figures."""
    session: dict[str, Any] = {}
    for code, name in blocks():
        exec(compile(code, str(PAGE), "exec"), session)
        if name:
            session["fig"].savefig(out / f"{name}.png", dpi=110, metadata={"Software": None})
            print(out / f"{name}.png")
        plt.close("all")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE.parent / "figures" / "gallery")
    main(parser.parse_args().out)

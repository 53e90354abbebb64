"""What a page is made of: sections of blocks, the same for HTML and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from predictdyn.report.style import Drawing

Mark = Literal["", "good", "bad", "unsure", "main", "quiet"]
SIGNS: dict[str, str] = {"good": "●", "bad": "○", "unsure": "·"}


class Cell(NamedTuple):
    """A table's cell: ``text``, a second quieter line ``note``, and a ``mark`` that says how to show it."""

    text: str
    note: str = ""
    mark: Mark = ""

    @property
    def sign(self) -> str:
        """A sign for the mark, so that nothing is said by colour alone."""
        return SIGNS.get(self.mark, "")


class PageTable(NamedTuple):
    """Rows of cells under a head; the first ``names`` columns are words, the rest numbers."""

    caption: str
    head: list[str]
    rows: list[list[Cell]]
    names: int = 1


class PageAnswer(NamedTuple):
    """One sentence to put on a slide, the sentences below it, and the table that follows."""

    headline: str
    sentences: list[str]
    table: PageTable
    kind: str  # of the figure that goes with the headline, at this cutoff
    cutoff: float


class Shown(NamedTuple):
    """A drawing with its title, and the caption that says in words what is to be seen."""

    drawing: Drawing
    title: str
    caption: str


class PageBlock(NamedTuple):
    """One thing on the page; ``kind`` says which field holds it, ``fold`` is the line under which it is folded away."""

    kind: Literal["words", "figures", "table", "list", "code"]
    lines: Sequence[str] = ()
    figures: Sequence[Shown] = ()
    table: PageTable | None = None
    title: str = ""
    fold: str = ""


class Section(NamedTuple):
    """A part of the page with an anchor, a title and its blocks."""

    anchor: str
    title: str
    blocks: list[PageBlock]


def words(*lines: str) -> PageBlock:
    """Paragraphs; empty ones are left out."""
    return PageBlock("words", lines=[line for line in lines if line])


def figures(shown: list[Shown], title: str = "") -> PageBlock:
    """Drawings side by side, or one below the other where the screen is narrow."""
    return PageBlock("figures", figures=shown, title=title)


def table(content: PageTable, fold: str = "") -> PageBlock:
    """A table, folded away under the line ``fold`` if there is one."""
    return PageBlock("table", table=content, fold=fold)

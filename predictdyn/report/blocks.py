"""What a page is made of: sections of blocks, the same for HTML and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from predictdyn.report.style import Drawing

Mark = Literal["", "good", "bad", "unsure", "main", "quiet"]
SIGNS: dict[str, str] = {"good": "●", "bad": "○", "unsure": "·"}


class Cell(NamedTuple):
    """A table's cell: ``text``, a second quieter line ``note``, and a ``mark`` that says how to show it.

    ``name`` is the exact name of what ``text`` calls in words; a page shows it to who points at it.
    """

    text: str
    note: str = ""
    mark: Mark = ""
    name: str = ""

    @property
    def sign(self) -> str:
        """A sign for the mark, so that nothing is said by colour alone."""
        return SIGNS.get(self.mark, "")


class Download(NamedTuple):
    """A table as a file inside the page: what it is called, and all of it as a link."""

    name: str
    link: str
    rows: int


class PageTable(NamedTuple):
    """Rows of cells under a head; the first ``names`` columns are words, the rest numbers."""

    caption: str
    head: list[str]
    rows: list[list[Cell]]
    names: int = 1
    download: Download | None = None


class PageAnswer(NamedTuple):
    """One sentence to put on a slide, the sentences below it, and the table that follows."""

    headline: str
    sentences: list[str]
    table: PageTable
    kind: str  # of the figure that goes with the headline, at this cutoff
    cutoff: float
    trust: PageTable | None = None  # of a forecast: what replays of finished runs say


class Shown(NamedTuple):
    """A drawing with its title, and the caption that says in words what is to be seen.

    ``tag`` is a word before the title (best, median, worst), ``name`` the exact names of what is shown.
    """

    drawing: Drawing
    title: str
    caption: str
    tag: str = ""
    name: str = ""


class PageBlock(NamedTuple):
    """One thing on the page; ``kind`` says which field holds it.

    ``fold`` is the line under which it is folded away; ``more`` is a figure too many for paper. Lines of code that are
    ``wrapped`` go on below, where others are scrolled.
    """

    kind: Literal["words", "figures", "table", "list", "code"]
    lines: Sequence[str] = ()
    figures: Sequence[Shown] = ()
    table: PageTable | None = None
    title: str = ""
    fold: str = ""
    more: bool = False
    wrapped: bool = False


class Section(NamedTuple):
    """A part of the page with an anchor, a title and its blocks; ``paper`` says whether it is printed."""

    anchor: str
    title: str
    blocks: list[PageBlock]
    paper: bool = False


def words(*lines: str) -> PageBlock:
    """Paragraphs; empty ones are left out."""
    return PageBlock("words", lines=[line for line in lines if line])


def figures(shown: list[Shown], title: str = "", *, more: bool = False) -> PageBlock:
    """Drawings side by side, or one below the other where the screen is narrow; ``more`` are not printed."""
    return PageBlock("figures", figures=shown, title=title, more=more)


def table(content: PageTable, fold: str = "") -> PageBlock:
    """A table, folded away under the line ``fold`` if there is one."""
    return PageBlock("table", table=content, fold=fold)

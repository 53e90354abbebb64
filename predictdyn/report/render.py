"""Render: results -> the text of every file of the report; the page and its Markdown hold the same answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from predictdyn.report import evidence, onsets, outlook, planned, record, trust
from predictdyn.report.alarms_results import ABOUT, PAGE
from predictdyn.report.blocks import Section, Shown
from predictdyn.report.examples import Hero, examples, hero_of
from predictdyn.report.figures import fan
from predictdyn.report.results import Results
from predictdyn.report.style import Drawing, variables

# what a log may hold in a name and no page may: control characters but for tab and newline, and halves of a pair
NOT_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def render(results: Results) -> dict[str, str]:
    """All files of the report as text by name, index.html last."""
    past = results.made == "backtest"
    answer = trust.answer(results) if past else outlook.answer(results)
    fans = fan.fans(results)
    hero = hero_of(results, fans, answer)
    wide = _hero(hero) if hero else None
    proof = (
        [onsets.replayed(results), evidence.ranking(results), evidence.reliability(results), evidence.skills(results)]
        if past
        else []
    )
    rest = [record.failures(results), record.plan(results), record.origin(results.provenance)]
    asked = [outlook.probabilities(results), onsets.expected(results), planned.changes(results)]
    sections: list[Section] = [part for part in (*asked, examples(results, fans, hero), *proof, *rest) if part]
    content = {
        "title": str(results.provenance.get("title") or f"{results.made} by predictdyn"),
        "made": results.made,
        "created": str(results.provenance.get("created") or ""),
        "version": str(results.provenance.get("predictdyn") or ""),
        "answer": answer,
        "hero": wide,
        "narrow": fan.draw(hero.fan, "hero-narrow", key=True) if hero else None,
        "sections": sections,
        "beside": [("Alarms, replayed", PAGE)] if (results.folder / ABOUT).is_file() else [],
        "colours": variables(":root"),
    }
    shown = [figure for section in sections for block in section.blocks for figure in block.figures]
    drawings = [figure.drawing for figure in ([wide, *shown] if wide else shown)]
    return written(content, drawings)


def written(content: dict[str, Any], drawings: Sequence[Drawing]) -> dict[str, str]:
    """The text of every file of a page, from what the templates ask for and all drawings."""
    return {
        **{f"figures/{drawing.name}.svg": drawing.alone for drawing in drawings},
        "report.md": NOT_TEXT.sub("\ufffd", _templates(escape=False).get_template("page.md").render(content)),
        "index.html": NOT_TEXT.sub("\ufffd", _templates(escape=True).get_template("page.html").render(content)),
    }


def _hero(hero: Hero) -> Shown:
    """The example beside the headline: the run, what it shows and by which rule it was chosen."""
    one = hero.fan
    label = f"{one.label[:1].upper()}{one.label[1:]}"
    said = f"{fan.caption(one)} {hero.rule}"
    return Shown(
        fan.draw(one, "hero", wide=True, key=True),
        f"{label} of {fan.title(one)}",
        said,
        name=f"{one.run}, {one.metric}",
    )


def _templates(*, escape: bool) -> Environment:
    folder = PackageLoader("predictdyn.report", ".")
    found = Environment(
        loader=folder, autoescape=escape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters["md"] = markdown
    found.filters["powers"] = powers
    found.filters["breaking"] = breaking
    return found


def powers(text: str) -> Markup:
    """A formula for a page: what is behind ^ is raised.

    >>> powers("A / N^0.34 < 2")
    Markup('A / N<sup>0.34</sup> &lt; 2')
    """
    return Markup(re.sub(r"\^(−?[\d.]+)", r"<sup>\1</sup>", str(escape(text))))


def breaking(text: str) -> Markup:
    """A name that may go on in a new line behind a slash, rather than inside a word.

    >>> breaking("a&b/loss </b")
    Markup('a&amp;b/<wbr>loss &lt;/b')
    """
    return Markup(re.sub(r"(?<=\w)/(?=\w)", "/<wbr>", str(escape(text))))


def markdown(text: object) -> str:
    r"""Text that Markdown shows as it is, on one line and fit for a table's cell.

    >>> print(markdown("a|b <i> *c*"))
    a\|b &lt;i&gt; \*c\*
    """
    line = str(text).replace("\n", " ").replace("\r", " ")
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{letter}" if letter in "\\`*_[]|#!~$" else letter for letter in line)

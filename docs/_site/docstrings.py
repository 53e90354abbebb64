"""Docstrings of the house as Markdown: formulas between dollars, examples in fences."""

from __future__ import annotations

import inspect
import re
from typing import Any

import griffe

FORMULA = re.compile(r"^\.\. math:: (.*(?:\n[ ]+\S.*)*)", flags=re.M)
EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", flags=re.M)


class Docstrings(griffe.Extension):
    """Rewrites each docstring before it is rendered."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """One docstring as Markdown."""
    text = inspect.cleandoc(text)
    text = FORMULA.sub(lambda found: "\n$$\n" + re.sub(r"\s*\n\s*", " ", found[1]) + "\n$$\n", text)
    text = re.sub(r":math:`([^`]*)`", lambda found: f"${' '.join(found[1].split())}$", text)
    return EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", text)

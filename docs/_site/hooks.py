"""What mkdocs does besides: notebooks become pages, and formulas become MathML, so that a page needs no script."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
FORMULA = re.compile(r'<(div|span) class="arithmatex">\\[\[(](.*?)\\[\])]</\1>', flags=re.S)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Each notebook of notebooks/ is a page of tutorials/, as it is stored: nothing is executed here."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        page = _markdown(json.loads(path.read_text(encoding="utf-8")))
        files.append(File.generated(config, f"tutorials/{path.stem}.md", content=page))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas between dollars, as MathML, which browsers draw by themselves."""
    return FORMULA.sub(_mathml, html)


def _mathml(found: re.Match[str]) -> str:
    return convert(html.unescape(found[2]).strip(), display="block" if found[1] == "div" else "inline")


def _markdown(notebook: dict[str, Any]) -> str:
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(source.replace("](../docs/", "](../"))
        elif source:
            parts.append(f"```python\n{source}\n```")
            parts += [_output(output) for output in cell["outputs"]]
    return "\n\n".join(parts) + "\n"


def _output(output: dict[str, Any]) -> str:
    """One output of a cell: the figure, else the table, else the words."""
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text']).rstrip()}\n```" if output["name"] == "stdout" else ""
    data = {kind: "".join(text) if isinstance(text, list) else text for kind, text in output.get("data", {}).items()}
    words = data.get("text/plain", "")
    if "image/png" in data:
        picture = data["image/png"].replace("\n", "")
        return f'<img class="output" alt="{html.escape(words)}" src="data:image/png;base64,{picture}">'
    if "text/html" in data:
        bare = re.sub(r"<style.*?</style>|<script.*?</script>", "", data["text/html"], flags=re.S)
        # Markdown would end a block of HTML at an empty line.
        return '<div class="output">' + re.sub(r"\n\s*", "\n", bare).strip() + "</div>"
    return f"```text\n{words}\n```" if words else ""

"""How long the sentences of the documentation are.

python benchmarks/readability.py [FILE.md ...]

Counts words of prose: no code blocks, tables, headings, comments or addresses. `code` and numbers are one word each.
"""

from __future__ import annotations

import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# A sentence ends at . ! ? before a space and a capital, a digit, a quote or code; "e.g." and the like do not end one.
END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<! al)(?<! cf)(?<! vs)[.!?][)\"”]?\s+(?=[\"“(\[`A-Z0-9≥]|predictdyn)")


def paragraphs(text: str) -> list[str]:
    """The paragraphs and list items of a page of Markdown, as plain words."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"^([ \t]*)(```|~~~).*?^\1\2[ \t]*$", "\n", text, flags=re.S | re.M)
    pieces: list[list[str]] = [[]]
    for line in text.splitlines():
        bare = line.strip()
        if not bare or bare.startswith(("#", "|", "<", ":::", "!!!", "???", "===", "![", "--8<--")):
            pieces.append([])
            continue
        item = re.match(r"([*+-]|\d+\.)\s+", bare)
        if item:
            pieces.append([])
            bare = bare[item.end() :]
        pieces[-1].append(bare)
    return [_plain(" ".join(piece)) for piece in pieces if piece]


def _plain(text: str) -> str:
    text = re.sub(r"`[^`]*`", "Code", text)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"https?://\S+|\{[^}]*\}", "", text)
    return re.sub(r"[*_]{1,2}(\S.*?)[*_]{1,2}", r"\1", text)


def sentences(text: str) -> list[str]:
    """The sentences of a page of Markdown.

    >>> sentences("# Head\\n\\nOne sentence. `code` is a word, e.g. here.\\n\\n* An item")
    ['One sentence.', 'Code is a word, e.g. here.', 'An item']
    """
    parted = [piece for paragraph in paragraphs(text) for piece in _parts(paragraph)]
    # A list of names in code is no sentence.
    return [piece for piece in parted if words(piece) and re.sub(r"Code|\W", "", piece)]


def _parts(paragraph: str) -> list[str]:
    ends = [match.end() for match in END.finditer(paragraph)]
    return [paragraph[start:end].strip() for start, end in zip([0, *ends], [*ends, len(paragraph)], strict=True)]


def words(sentence: str) -> int:
    """How many words a sentence has: what stands between spaces and holds a letter or a digit."""
    return sum(bool(re.search(r"\w", word)) for word in sentence.split())


def main(paths: list[Path]) -> None:
    """Print words, sentences, and the median and the longest sentence of each page."""
    print(f"{'page':<48}{'words':>7}{'sentences':>11}{'median':>8}{'longest':>9}")
    for path in paths:
        counts = [words(sentence) for sentence in sentences(path.read_text(encoding="utf-8"))]
        if counts:
            median = statistics.median(counts)
            print(f"{path!s:<48}{sum(counts):>7}{len(counts):>11}{median:>8g}{max(counts):>9}")


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:]]
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    main(given or [path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path for path in found])

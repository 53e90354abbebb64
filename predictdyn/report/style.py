"""One look for page and figures: colours that are told apart by all eyes and turn with the reader's light or dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from predictdyn.report.words import percent

# Okabe and Ito 2008, the vermillion and green a little darker so that words in them are legible on white.
LIGHT = {
    "ink": "#1c2127", "quiet": "#5a646e", "rule": "#d8dde2", "paper": "#fefefe", "panel": "#f4f6f8",
    "blue": "#0072b2", "vermillion": "#bf4d00", "green": "#00785a", "purple": "#a8527f", "orange": "#b87800",
}  # fmt: skip
DARK = {
    "ink": "#e9ecef", "quiet": "#a2acb6", "rule": "#3a424b", "paper": "#14181c", "panel": "#1d2329",
    "blue": "#5ab8f0", "vermillion": "#ff9a57", "green": "#3ccfa4", "purple": "#e39ac0", "orange": "#f0b93a",
}  # fmt: skip
OTHERS = ("purple", "orange", "green")  # forecasters beside the primary one, in this order
MARKERS = ("s", "^", "D")
WIDE, NARROW = (9.4, 4.1), (4.6, 3.3)
_RC = {
    "svg.fonttype": "none", "svg.hashsalt": "predictdyn", "text.parse_math": False, "axes.unicode_minus": True,
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 10.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": LIGHT["quiet"], "axes.linewidth": 0.7,
    "axes.labelcolor": LIGHT["ink"], "axes.labelsize": 10.5, "text.color": LIGHT["ink"],
    "xtick.color": LIGHT["quiet"], "ytick.color": LIGHT["quiet"], "xtick.labelsize": 9.5, "ytick.labelsize": 9.5,
    "lines.linewidth": 1.8, "lines.solid_capstyle": "round", "path.simplify": True,
}  # fmt: skip
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Drawing(NamedTuple):
    """A finished figure: ``inline`` goes into a page that sets the colours, ``alone`` is a file that sets its own."""

    name: str
    inline: str
    alone: str


@contextmanager
def canvas(size: tuple[float, float] = NARROW) -> Iterator[tuple[Figure, Axes]]:
    """A figure of ``size`` inches with one pair of axes; what the rest of the process draws is not touched."""
    with styled():
        figure = Figure(figsize=size, layout="constrained")
        yield figure, figure.add_subplot()


@contextmanager
def styled() -> Iterator[None]:
    """The look of all figures, inside a with statement: also on axes that somebody else made."""
    # fonts are the reader's, so a letter that the layout's font lacks is no fault
    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph")
        yield


def plain(text: object, longest: int = 34) -> str:
    """A name as a figure can carry it: no control characters, the middle left out where it is too long.

    >>> plain("a" * 20 + "b" * 20, longest=9)
    'aaaa…bbbb'
    """
    clean = _CONTROL.sub("\ufffd", str(text))
    if len(clean) <= longest:
        return clean
    half = (longest - 1) // 2
    return f"{clean[: longest - 1 - half]}…{clean[-half:]}"


def named_rows(ax: Axes, labels: Sequence[str], main: int | None = None) -> None:
    """A row for each label from the top down, that of ``main`` in blue, and shares in per cent along the other axis."""
    ax.set_yticks(range(len(labels)), labels)
    for place, label in enumerate(ax.get_yticklabels()):
        label.set_color(LIGHT["blue"] if place == main else LIGHT["ink"])
    ax.tick_params(axis="y", length=0, pad=9)
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: percent(round(x, 6))))
    ax.xaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
    ax.set_axisbelow(True)


def drawing(figure: Figure, name: str) -> Drawing:
    """The figure as SVG with colours as CSS variables, no metadata, ids of its own and numbers to a hundredth."""
    buffer = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    body = svg[svg.index("</defs>") + len("</defs>") : svg.rindex("</svg>")]
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r"<g>\s*<path d=\"[^\"]*\" style=\"fill: none\"/>\s*</g>", "", body)  # the empty background
    body = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body).replace("url(#", f"url(#{name}-")
    body = re.sub(r"font-family: [^;\"]*(; )?", "", body).replace(' transform="rotate(-0 ', ' data-flat="')
    body = re.sub(r' data-flat="[^"]*"', "", body)
    body = _outside_text(body)
    for word, colour in LIGHT.items():
        body = body.replace(colour, f"var(--{word})")
    width, height = (72 * side for side in figure.get_size_inches())
    box = f'viewBox="0 0 {width:g} {height:g}"'
    return Drawing(
        name,
        f'<svg {box} class="drawing" aria-hidden="true" focusable="false">{body}</svg>',
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} width="{width:g}" height="{height:g}">'
        f"<style>{variables('svg')} svg{{background:var(--paper);font-family:system-ui,sans-serif;"
        f"stroke-linejoin:round}}</style>"
        f'<rect width="100%" height="100%" fill="var(--paper)"/>{body}</svg>\n',
    )


def variables(selector: str) -> str:
    """The colours as CSS: light, and dark where the reader asked for it; on paper always light."""
    light, dark = (";".join(f"--{word}:{hue}" for word, hue in hues.items()) for hues in (LIGHT, DARK))
    return f"{selector}{{{light}}}@media screen and (prefers-color-scheme:dark){{{selector}{{{dark}}}}}"


def _outside_text(body: str) -> str:
    """Shorten numbers and white space everywhere but in what is written in the figure."""
    parts = re.split(r"(<text.*?</text>)", body, flags=re.DOTALL)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"(\d+\.\d\d)\d+", r"\1", parts[i])
        parts[i] = re.sub(r"\s+", " ", parts[i]).replace("> <", "><").replace(" z ", "z").strip()
    for i in range(1, len(parts), 2):
        head, rest = parts[i].split(">", 1)
        parts[i] = re.sub(r"(\d+\.\d\d)\d+", r"\1", head) + ">" + rest
    return "".join(parts)

"""Fan chart: what was seen of a curve, what was forecast from there, and what then happened."""

from __future__ import annotations

import math
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from predictdyn.backtest.examples import LITTLE
from predictdyn.report.results import Results
from predictdyn.report.style import LIGHT, NARROW, WIDE, Drawing, canvas, drawing, plain, styled
from predictdyn.report.words import (
    SPACE,
    at_cutoff,
    between,
    both_modes,
    percent,
    same_cutoff,
    short_number,
    step_word,
    value,
    width_of,
)

BANDS = (("q0.05", "q0.95", 0.16), ("q0.1", "q0.9", 0.16), ("q0.25", "q0.75", 0.24))
DOTS = 40  # more hidden points than this are drawn as a dashed line
EDGES = ("lower", "upper", "chance")
POINTS = 240  # no eye sees more of a curve on one panel


class Fan(NamedTuple):
    """One curve with its forecast: ``seen`` and ``hidden`` (step, value), ``path`` (step and quantiles)."""

    run: str
    metric: str
    kind: str
    cutoff: float
    seen: pd.DataFrame
    hidden: pd.DataFrame
    path: pd.DataFrame
    lower: float
    upper: float
    chance: float
    label: str = ""  # the words for the metric
    unit: str = ""

    @property
    def cut(self) -> float:
        """The last step that was seen, or where the forecast begins."""
        return float(self.seen["step"].max() if len(self.seen) else self.path["step"].min())


def fans(results: Results) -> list[Fan]:
    """Every example that has a forecast, by kind, run, metric and cutoff."""
    paths = results.paths[results.paths["forecaster"] == results.primary]
    ranges = results.metrics.set_index("metric")[[*EDGES]].to_dict("index")
    examples = dict(list(results.examples.groupby(["run", "metric"])))
    found = []
    for _, rows in paths.groupby(["run", "metric", "cutoff"], dropna=False):
        first = rows.iloc[0]
        cutoff, metric = float(first["cutoff"]), str(first["metric"])
        curve = examples.get((first["run"], metric), results.examples.head(0))
        own = curve[same_cutoff(curve["cutoff"], cutoff)].sort_values("step")
        if own.empty:
            continue
        seen = own["seen"].astype(bool)
        lower, upper, chance = (float(ranges.get(metric, {}).get(name, math.nan)) for name in EDGES)
        path = rows.sort_values("step")
        found.append(
            Fan(
                run=str(first["run"]), metric=metric, kind=str(first["kind"]), cutoff=cutoff,
                seen=own[seen], hidden=own[~seen], path=path, lower=lower, upper=upper, chance=chance,
                label=results.label(metric), unit=results.unit(metric),
            )
        )  # fmt: skip
    return sorted(found, key=lambda fan: (results.kinds.index(fan.kind), fan.run, fan.metric, fan.cutoff))


def draw(fan: Fan, name: str, *, wide: bool = False, key: bool = False) -> Drawing:
    """The fan as a drawing; ``wide`` fills the page, ``key`` says above it what is what."""
    with canvas(WIDE if wide else NARROW) as (figure, ax):
        paint(ax, fan, wide=wide, key=key)
        return drawing(figure, name)


def paint(ax: Axes, fan: Fan, *, wide: bool = False, key: bool = False) -> None:
    """The fan on any axes."""
    path = fan.path
    step = path["step"].to_numpy()
    blue = LIGHT["blue"]
    with styled():
        _axes(ax, fan)
        if both_modes(path.iloc[-1]):
            _modes(ax, path)
        else:
            for low, high, alpha in BANDS:
                ax.fill_between(step, path[low], path[high], color=blue, alpha=alpha, linewidth=0)
            ax.plot(step, path["q0.5"], color=blue, linewidth=2.2)
        seen, hidden = thinned(fan.seen), thinned(fan.hidden)
        few = len(seen) <= DOTS
        ax.plot(seen["step"], seen["value"], color=LIGHT["ink"], marker="o" if few else "", markersize=3.2)
        if _as_dots(fan):
            look: dict[str, Any] = {
                "marker": "o",
                "linestyle": "",
                "markerfacecolor": LIGHT["paper"],
                "markersize": 4.6,
            }
        else:
            look = {"linestyle": (0, (3, 1.6)), "linewidth": 1.5}
        ax.plot(hidden["step"], hidden["value"], color=LIGHT["vermillion"], markeredgewidth=1.3, zorder=4, **look)
        ax.axvline(fan.cut, color=LIGHT["quiet"], linewidth=0.9, linestyle=(0, (1, 2)))
        bottom, top = ax.get_ylim()
        if bottom < fan.chance < top:
            ax.axhline(fan.chance, color=LIGHT["quiet"], linewidth=0.8, linestyle=(0, (6, 3)), zorder=0)
            ax.annotate("chance", (1, fan.chance), (-2, 2), xycoords=("axes fraction", "data"), ha="right",
                        textcoords="offset points", fontsize=8.5, color=LIGHT["quiet"])  # fmt: skip
        if key:
            _legend(ax, fan, short=not wide)
        else:
            share = f"{at_cutoff(fan.cutoff)} seen" if math.isfinite(fan.cutoff) else "seen"
            ax.annotate(share, (fan.cut, 1), (3, -1), xycoords=("data", "axes fraction"), va="top",
                        textcoords="offset points", fontsize=8.5, color=LIGHT["quiet"])  # fmt: skip


def _modes(ax: Axes, path: pd.DataFrame) -> None:
    """A band of 90 % and a median for each of two modes, the darker the likelier, with its probability at the end."""
    step, upper = path["step"].to_numpy(), float(path["upper"].iloc[-1])
    for mode, share in (("low", 1 - upper), ("high", upper)):
        low, middle, high = (path[f"{mode}_q{level}"].to_numpy() for level in ("0.05", "0.5", "0.95"))
        ax.fill_between(step, low, high, color=LIGHT["blue"], alpha=0.1 + 0.4 * share, linewidth=0)
        ax.plot(step, middle, color=LIGHT["blue"], linewidth=1 + 1.6 * share)
        ax.annotate(percent(share), (step[-1], middle[-1]), (-52, 5 if mode == "low" else -12), ha="right",
                    textcoords="offset points", fontsize=9, color=LIGHT["blue"])  # fmt: skip


def title(fan: Fan) -> str:
    """The run, the middle of a long name left out."""
    return plain(fan.run, 60)


def caption(fan: Fan) -> str:
    """What the panel shows, in words: the last forecast, its interval and what happened."""
    last = fan.path.iloc[-1]
    low, median, high = (float(last[q]) for q in ("q0.05", "q0.5", "q0.95"))
    width = width_of(low, high)
    unit = f" {fan.unit}" if fan.unit else ""
    seen = f"{at_cutoff(fan.cutoff)} seen" if math.isfinite(fan.cutoff) else f"Seen to step {step_word(fan.cut)}"
    end = float(last["step"])
    text = (
        f"{seen}. Forecast for the end, step {step_word(end)}: {value(median, width)}{unit} "
        f"(90{SPACE}% interval {between(low, high)})."
    )
    if both_modes(last):
        text = f"{seen}. Forecast for the end, step {step_word(end)}: {both_modes(last)}."
    if len(fan.hidden) and fan.hidden["step"].iloc[-1] < 0.98 * end:
        return f"{text} The log stops at step {step_word(float(fan.hidden['step'].iloc[-1]))}."
    if len(fan.hidden):
        truth = float(fan.hidden["value"].iloc[-1])
        where = "inside" if low <= truth <= high else "outside"
        return f"{text} It became {value(truth, width)}, {where} the interval."
    return text


def _axes(ax: Axes, fan: Fan) -> None:
    known = [frame[["step", "value"]] for frame in (fan.seen, fan.hidden)]
    measured = np.concatenate([frame["value"].to_numpy(dtype=float) for frame in known])
    shown = ["low_q0.05", "low_q0.5", "high_q0.5", "high_q0.95"] if both_modes(fan.path.iloc[-1]) else []
    middle = fan.path[shown or ["q0.25", "q0.5", "q0.75"]].to_numpy(dtype=float).ravel()
    middle = np.concatenate([measured, middle])
    low, high = float(middle.min()), float(middle.max())
    span = (high - low) or abs(high) or 1.0
    # a wide band may leave the panel: the curve and the middle half of the forecast must stay legible
    low = min(low, max(float(fan.path["q0.05"].min()), low - 1.5 * span))
    high = max(high, min(float(fan.path["q0.95"].max()), high + 1.5 * span))
    if fan.kind == "loss" and low > 0 and high > 4 * low:
        ax.set_yscale("log")
        ax.set_ylim(low / 1.08, high * 1.08)
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1e3 * low else (1,), numticks=9))
        ax.yaxis.set_major_formatter(FuncFormatter(short_number))
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        pad = 0.06 * (high - low or 1.0)
        bottom, top = low - pad, high + pad
        if math.isfinite(fan.lower):  # a hair below the bound, so that a line on it is seen
            bottom = max(bottom, fan.lower - pad / 3)
        if math.isfinite(fan.upper):
            top = min(top, fan.upper + pad / 3)
        ax.set_ylim(bottom, top)
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    ax.yaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
    ax.set_axisbelow(True)
    bounded = math.isfinite(fan.lower) and math.isfinite(fan.upper)
    scale = f" ({fan.lower:g} to {fan.upper:g})".replace("-", "−") if bounded else ""
    scale = f" ({fan.unit})" if fan.unit else scale
    lines = wrap(plain(fan.label + scale, 60), 30) or [""]
    ax.set_ylabel("\n".join(lines))
    _step_axis(ax, fan)


def _step_axis(ax: Axes, fan: Fan) -> None:
    early = fan.seen["step"].to_numpy(dtype=float)
    early = early[early > 0]
    last = float(max(fan.path["step"].max(), fan.hidden["step"].max() if len(fan.hidden) else 0))
    format_step = FuncFormatter(step_word)
    # Linear, so that the eye sees how much of the run lies ahead. Logarithmic only where the seen part would be less
    # than `LITTLE` of the axis, and so unreadable, while a log axis has points to spread there.
    if len(early) >= 3 and fan.cut < LITTLE * last and fan.cut >= 5 * early.min():
        first = float(early.min())
        ax.set_xscale("log")
        ax.set_xlim(first / 1.15, last * 1.06)
        decades = math.log10(last / first)
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2 else (1, 2, 5), numticks=9))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel("step (log scale)" if fan.seen["step"].min() > 0 else "step (log scale, 0 left out)")
    else:
        first = float(fan.seen["step"].min()) if len(fan.seen) else float(fan.path["step"].min())
        pad = 0.02 * (last - first or 1.0)
        ax.set_xlim(first - pad, last + pad)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True) if last > first else FixedLocator([last]))
        ax.set_xlabel("step")
    ax.xaxis.set_major_formatter(format_step)


def _legend(ax: Axes, fan: Fan, *, short: bool) -> None:
    """What is what, in one line above the figure."""
    share = f" {at_cutoff(fan.cutoff)}" if math.isfinite(fan.cutoff) else ""
    two = bool(both_modes(fan.path.iloc[-1]))
    of = f": two modes, median and 90{SPACE}% of each" if two else f": median, 50, 80 and 90{SPACE}%"
    ranges = "" if short else of
    dots: dict[str, Any] = {
        "linestyle": "",
        "marker": "o",
        "markersize": 5,
        "markerfacecolor": LIGHT["paper"],
        "markeredgewidth": 1.3,
    }
    if not _as_dots(fan):
        dots = {"linestyle": (0, (3, 1.6)), "linewidth": 1.5}
    marks: list[tuple[str, dict[str, Any]]] = [
        (f"seen{share}", {"color": LIGHT["ink"], "linewidth": 2}),
        (f"forecast{ranges}", {"color": LIGHT["blue"], "linewidth": 5}),
        ("what happened" if short else "what then happened", {"color": LIGHT["vermillion"], **dots}),
    ]
    marks = marks[: 3 if len(fan.hidden) else 2]
    ax.legend(
        handles=[Line2D([], [], label=label, **look) for label, look in marks],
        labelcolor=[look["color"] for _, look in marks],
        fontsize=9.5 if short else 10.5,
        columnspacing=1.2 if short else 2,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3,
        frameon=False,
        handlelength=1.4,
        borderaxespad=0.2,
        borderpad=0,
    )


def _as_dots(fan: Fan) -> bool:
    return len(fan.hidden) <= DOTS


def thinned(curve: pd.DataFrame) -> pd.DataFrame:
    """At most `POINTS` points: the smallest and the largest of each stretch, so that no spike is lost."""
    if len(curve) <= POINTS:
        return curve
    stretch = np.arange(len(curve)) * (POINTS // 2) // len(curve)
    values = curve["value"].reset_index(drop=True).groupby(stretch)
    keep = np.unique(np.r_[0, values.idxmin(), values.idxmax(), len(curve) - 1])
    return curve.iloc[keep]

"""Figures of designed schedules: rates over steps, losses beside the designed one, and the end of a run that cools."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from predictdyn.fitting.schedule_laws import RateCurve
from predictdyn.report.style import LIGHT, OTHERS, plain, styled

POINTS = 400
DASHES = ("--", "-.", ":", (0, (1, 1)))


def paint_rates(ax: Axes, rates: Mapping[str, RateCurve], end: float) -> Axes:
    """Rates over steps, the first one thick."""
    with styled():
        for i, (name, rate) in enumerate(rates.items()):
            step = np.unique(np.concatenate([np.linspace(0.0, end, POINTS), rate.step[rate.step <= end]]))
            if i == 0:
                ax.plot(step, rate.at(step), color=LIGHT["blue"], linewidth=2.4, label=plain(name), zorder=4)
            else:
                colour = LIGHT[("vermillion", *OTHERS)[(i - 1) % 4]]
                ax.plot(
                    step, rate.at(step), color=colour, linewidth=1.3, linestyle=DASHES[(i - 1) % 4], label=plain(name)
                )
        ax.set_xlabel("step")
        ax.set_ylabel("learning rate")
        ax.set_ylim(bottom=0)
        ax.yaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
        ax.legend(frameon=False, fontsize=9)
    return ax


def paint_differences(ax: Axes, table: pd.DataFrame, metric: str) -> Axes:
    """How much more each schedule ends with than the first row of a summary, with 90 % intervals."""
    others = table.iloc[1:][::-1]
    with styled():
        away = [
            others["difference"] - others["difference 5 %"],
            others["difference 95 %"] - others["difference"],
        ]
        ax.errorbar(
            others["difference"], range(len(others)), xerr=away, color=LIGHT["blue"], linestyle="", marker="D",
            markersize=5.5, linewidth=1.6,
        )  # fmt: skip
        ax.axvline(0.0, color=LIGHT["quiet"], linewidth=0.8)
        ax.set_yticks(range(len(others)), [plain(name) for name in others["schedule"]])
        ax.set_ylim(-0.6, len(others) - 0.4)
        ax.set_xlabel(
            f"final {plain(metric)} above that of the {plain(str(table['schedule'].iloc[0]))} schedule (90 %)"
        )
        ax.xaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
    return ax


def paint_cooldown(ax: Axes, table: pd.DataFrame, target: float, metric: str) -> Axes:
    """The loss at the end of a run over when it stops, by the best start of its cooldown, and the target."""
    with styled():
        ax.fill_between(table["stop"], table["5 %"], table["95 %"], color=LIGHT["blue"], alpha=0.18, linewidth=0)
        ax.plot(table["stop"], table["loss"], color=LIGHT["blue"], label="best cooldown (90 % band)")
        ax.plot(
            table["stop"], table["without"], color=LIGHT["vermillion"], linestyle="--", linewidth=1.3,
            label="without cooldown",
        )  # fmt: skip
        ax.axhline(target, color=LIGHT["quiet"], linewidth=0.9, linestyle=":", label="target")
        ax.set_xlabel("last step")
        ax.set_ylabel(f"final {plain(metric)}")
        ax.yaxis.grid(True, color=LIGHT["rule"], linewidth=0.6)
        ax.legend(frameon=False, fontsize=9)
    return ax

"""The figure of skill: no interval is cut off where panels share an axis."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from predictdyn.report.figures import skill

PANELS = [
    {"cutoff": [0.1, 0.5], "skill": [0.6, 0.5], "skill_lo": [0.5, 0.3], "skill_hi": [0.8, 0.6]},
    {"cutoff": [0.1, 0.5], "skill": [0.3, 0.1], "skill_lo": [-0.4, -0.2], "skill_hi": [0.5, 0.4]},
    {"cutoff": [0.1, 0.5], "skill": [0.2, 0.1], "skill_lo": [0.1, 0.0], "skill_hi": [0.3, 0.2]},
]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_panels_that_share_an_axis_show_every_interval_whole(order):
    axes = Figure().subplots(1, 3, sharey=True)
    for ax, i in zip(axes, order, strict=True):
        skill.paint(ax, {"it": pd.DataFrame(PANELS[i])})
    low, high = axes[0].get_ylim()
    assert -0.5 < low < -0.4 and 0.8 < high < 0.9
    for ax, i in zip(axes, order, strict=True):
        ends = [
            sorted(line.get_ydata()) for line in ax.lines if line.get_linestyle() == "-" and len(line.get_ydata()) == 2
        ]
        for pair in zip(PANELS[i]["skill_lo"], PANELS[i]["skill_hi"], strict=True):
            assert list(pair) in ends


def test_a_panel_of_its_own_is_as_tight_as_ever():
    axes = Figure().subplots(1, 2)
    skill.paint(axes[0], {"it": pd.DataFrame(PANELS[1])})
    skill.paint(axes[1], {"it": pd.DataFrame(PANELS[2])})
    assert axes[1].get_ylim() == pytest.approx(skill.limits(pd.DataFrame(PANELS[2])))

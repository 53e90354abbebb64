"""The page of replayed alarms: its words say no more than the numbers."""

from __future__ import annotations

import pandas as pd
import pytest

from predictdyn.watch.replay import AlarmReplay
from predictdyn.watch.replay_page import NO_TROUBLE, page, verdicts

COLUMNS = ["rate", "trouble", "runs", "caught", "lead", "lead_steps", "before"]


def _replay(measured: float, low: float, catches: int = 0) -> AlarmReplay:
    rates = pd.DataFrame(
        [(0.01, 40, 40, 1, measured, low, 0.2)],
        columns=["asked", "runs", "families", "rang", "measured", "low", "high"],
    )
    caught = pd.DataFrame([(0.01, "diverged", 3, 1.0, 0.1, 10.0, 1.0)] * catches, columns=COLUMNS)
    cost = pd.DataFrame([(1.0, 0.01, 0.2, 0.5, 0.5)], columns=["miss_costs", "rate", "cost", "never", "always"])
    notes = tuple(f"the history has {n} families of healthy runs; 99 would certify the rate 0.01" for n in (31, 32, 33))
    return AlarmReplay(pd.DataFrame(), rates, caught, cost, notes)


@pytest.mark.parametrize(
    ("measured", "low", "said"),
    [
        (0.01, 0.0, "which is no more than was asked."),
        (0.025, 0.0, "which is more than was asked, but not surely so."),
        (0.05, 0.02, "which is more than was asked."),
    ],
)
def test_a_rate_above_the_one_asked_for_is_not_called_no_more(measured, low, said):
    assert verdicts(_replay(measured, low, 1))[0].endswith(said)


def test_without_troubles_neither_catches_nor_costs_are_shown(tmp_path):
    lines = verdicts(_replay(0.01, 0.0))
    assert NO_TROUBLE in lines and sum("would certify" in line for line in lines) == 1
    text = page(_replay(0.01, 0.0), tmp_path).read_text(encoding="utf-8")
    assert "<h2>Cost</h2>" not in text and "events.csv" in text
    assert "<h2>Cost</h2>" in page(_replay(0.01, 0.0, 1), tmp_path).read_text(encoding="utf-8")

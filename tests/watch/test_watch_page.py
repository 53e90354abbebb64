"""Figures of the page of a watch."""

import re
import warnings

import numpy as np
import pandas as pd

from predictdyn.curves import Curve
from predictdyn.report.figures.track import RunTrack, draw
from predictdyn.report.watch_page import WatchView, render_watch


def test_a_target_that_is_far_off_is_in_the_figure():
    """Few of many values lie near it, and it stays in view; nothing is drawn beyond the axes."""
    step = np.arange(200.0)
    value = 2 - step / 400
    track = RunTrack("r", "loss", "loss", step, value, step, value - 0.1, value - 0.2, value, 400.0, 0.35, (5.0,))
    for wide in (True, False):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            drawn = draw(track, "figure", wide=wide)
        (y,) = re.findall(r'<text [^>]* y="([-0-9.]+)">target<', drawn.inline)
        height = float(re.search(r'viewBox="0 0 [0-9.]+ ([0-9.]+)"', drawn.inline)[1])
        assert height / 2 < float(y) < height


def _view(*, looks: int = 1, at: tuple[float, ...] = (60.0,)) -> WatchView:
    """One run in its middle that rang by learnt evidence, forecast at some steps."""
    forecast = {"val/loss": [0.8, 0.9, 1.0, 1.1, 1.2]}
    run = {"track": [{"step": step, "metrics": forecast} for step in at], "plan": 200.0}
    alarm = {
        "run": "a/metrics", "kind": "off path", "metric": "val/loss", "words": "val/loss higher than announced",
        "since": 40.0, "step": 50.0, "evidence": 3.67, "at": 0.0, "hook": "none",
    }  # fmt: skip
    row = {
        "run": "a/metrics", "metric": "val/loss", "median": 1.0, "low": 0.8, "high": 1.2, "progress": 0.3, "step": 60.0,
        "ended": False, "alarm": "off path",
    }  # fmt: skip
    made = {"learnt": True, "false_alarms": 0.05, "path": "logs", "model": "auto",
            "tested": ["the rate 0.05 rests on an exponential tail"]}  # fmt: skip
    step = np.arange(0.0, 61.0, 10.0)
    series = {("a/metrics", "val/loss"): Curve(step, 2 - step / 100, np.full(len(step), np.nan))}
    return WatchView(
        made, None, 0.0, looks, pd.DataFrame([row]), {"a/metrics": run}, [alarm], [], [], series, {}, {}
    )  # fmt: skip


def test_a_watch_that_is_looked_at_again_by_hand_does_not_call_its_look_the_only_one():
    first, third = render_watch(_view(), {}), render_watch(_view(looks=3), {})
    assert "number 1 of this watch. This was the only look." in first
    assert "number 3 of this watch. No further look is planned." in third


def test_the_page_says_what_its_words_and_numbers_mean_and_breaks_names_behind_a_slash():
    page = render_watch(_view(), {})
    assert "Evidence is an e-value" in page and "Announced is what" in page and "a/<wbr>metrics" in page
    assert page.index("rests on an exponential tail") < page.index("An exponential tail is an assumption")


def test_a_single_forecast_is_a_mark_with_its_interval_and_several_are_a_line():
    pages = [render_watch(_view(at=at), {}) for at in ((60.0,), (20.0, 60.0))]
    assert "where it was made (dot) and at the end (diamond)" in pages[0] and "2 forecasts of the end" in pages[1]
    step, row = np.arange(0.0, 61.0, 10.0), np.array([1.0, 1.0])
    drawings = []
    for when in (np.array([60.0, 60.0]), np.array([20.0, 60.0])):
        drawings.append(
            draw(RunTrack("r", "loss", "loss", step, step, when, row, row - 0.2, row + 0.2, 200.0), "f").inline
        )
    caps = [drawing.count("<use") for drawing in drawings]
    assert caps[0] == caps[1] + 3  # two caps and the dot

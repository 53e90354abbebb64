"""Figures of the page of a watch."""

import re
import warnings

import numpy as np

from predictdyn.report.figures.track import RunTrack, draw


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

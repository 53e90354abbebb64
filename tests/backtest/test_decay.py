"""A rate that falls towards an open end: a line, a status and wider intervals; none where the end is known."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from predictdyn.api import forecasts
from predictdyn.backtest.decay import AHEAD, decay_lines, open_decays, widened_for_decay
from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.forecast import Prediction
from predictdyn.forecasters import fit

END = 120
STEP = np.arange(1, END + 1)


def logged(upto: int, *, guessed: bool = True, run: str = "a", shape: str = "cosine") -> Curves:
    """A run whose accuracy rises faster again as the rate falls, logged so far."""
    rate = {"cosine": 0.025 * (1 + np.cos(np.pi * STEP / END)), "constant": np.full(END, 0.05)}[shape]
    accuracy = 0.5 - 0.45 * STEP**-0.6 + 0.25 * (1 - rate / 0.05) ** 2
    parts = [
        pd.DataFrame({"run": run, "metric": metric, "step": STEP[:upto], "value": value[:upto]})
        for metric, value in (("accuracy", accuracy), ("lr", rate))
    ]
    metrics = {
        "accuracy": Metric("accuracy", "capability", 0.0, 1.0, "higher"),
        "lr": Metric("lr", "schedule", 0.0, guessed=guessed),
    }
    return curves_from(pd.concat(parts), pd.DataFrame({"last_step": [END]}, index=[run]), metrics)


def nobody() -> Curves:
    return logged(10).select(runs=[])


def test_where_decay_began_and_how_much_is_left_is_said():
    (decay,) = open_decays(nobody(), logged(60))
    assert (decay.run, decay.metric, decay.now) == ("a", "lr", 60)
    assert 8 <= decay.begun <= 14 and decay.left == pytest.approx(0.5, abs=0.01)
    assert "lr began to fall at step" in decay.line and "Most of the decay is ahead" in decay.line
    (late,) = open_decays(nobody(), logged(110))
    assert late.left < 0.05 and "Most of the decay" not in late.line


def test_a_rate_of_many_runs_is_one_line():
    first, second = open_decays(nobody(), logged(60))[0], open_decays(nobody(), logged(110, run="b"))[0]
    (line,) = decay_lines([first, second])
    assert line.startswith(
        f"lr began to fall in 2 runs, first in a at step {first.begun:g}; nothing says how it goes on"
    )
    assert "Most of the decay is ahead in 1 of them" in line
    assert "ahead" not in decay_lines([second, second])[0]
    other = first._replace(metric="rate")
    assert decay_lines([first, other]) == [first.line, other.line] and decay_lines([]) == []


def test_nothing_is_said_where_the_end_is_known_or_nothing_falls():
    assert open_decays(nobody(), logged(60, guessed=False)) == []
    assert open_decays(nobody(), logged(60, shape="constant")) == []
    assert open_decays(logged(END, run="b"), logged(60)) == []  # a finished run shows what decay does
    assert len(open_decays(logged(END, run="b", shape="constant"), logged(60))) == 1


def test_forecasts_reach_further_towards_better_and_say_so():
    seen = logged(60)
    fitted = fit("structural", nobody())
    target = pd.DataFrame({"run": "a", "metric": "accuracy", "step": [61, 90, END]})
    before = fitted.forecast(seen, target, seed=0)
    after = widened_for_decay(before, fitted, seen)
    assert set(after.status) == {AHEAD} and set(before.status) == {"ok"}
    low, high = (np.quantile(one.draws, q, axis=1) for one, q in ((after, 0.05), (after, 0.95)))
    was_low, was_high = (np.quantile(before.draws, q, axis=1) for q in (0.05, 0.95))
    assert (high - was_high > 0).all() and (high - was_high)[2] > 4 * (high - was_high)[0]
    assert_allclose(low, was_low, atol=0.25 * (high - was_high)[2])
    # Joint draws stay joint: ranks are as they were.
    assert (np.argsort(after.draws[2]) == np.argsort(before.draws[2])).all()
    truth = logged(END).series["a", "accuracy"].value[-1]
    assert was_high[2] < truth < high[2]


def test_a_loss_reaches_further_down():
    seen = logged(60)
    points = seen.points.assign(
        value=seen.points["value"].where(seen.points["metric"] == "lr", 2 - seen.points["value"])
    )
    metrics = {**seen.metrics, "accuracy": Metric("accuracy", "loss", 0.0, better="lower")}
    seen = curves_from(points, seen.runs, metrics)
    fitted = fit("structural", seen.select(runs=[]))
    target = pd.DataFrame({"run": "a", "metric": "accuracy", "step": [END]})
    before = fitted.forecast(seen, target, seed=0)
    after = widened_for_decay(before, fitted, seen)
    assert (after.draws <= before.draws).all() and np.quantile(after.draws, 0.05) < np.quantile(before.draws, 0.05)


def test_other_forecasts_are_left_as_they_are():
    seen = logged(60, shape="constant")
    fitted = fit("last_value", nobody())
    target = pd.DataFrame({"run": ["a"], "metric": ["accuracy"], "step": [END]})
    before = fitted.forecast(seen, target, seed=0)
    after = widened_for_decay(before, fitted, seen)
    assert isinstance(after, Prediction) and after is before


def test_a_live_forecast_has_the_line_and_the_status():
    found = forecasts.forecast(logged(60), forecaster="structural")
    assert any("began to fall" in note for note in found.notes)
    assert found.live.rows["status"].tolist() == [AHEAD]

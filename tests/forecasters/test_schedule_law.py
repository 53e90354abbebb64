"""schedule_law: answers from the run, from others and from both; statuses where it has none; no look ahead."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.fitting.schedule_laws import MULTI_POWER, Reference, rate_curve, terms
from predictdyn.fitting.schedule_mixture import ScheduleFit
from predictdyn.forecast import DRAWS
from predictdyn.forecasters import fit
from predictdyn.forecasters._fitted import Fitted
from predictdyn.forecasters._rates import NO_RATE
from predictdyn.forecasters.ensemble import AUTO
from predictdyn.forecasters.schedule_law import NO_LOSS, NOT_A_LOSS, TOO_SHORT
from predictdyn.problem import History

END = 2000
STEP = np.arange(20, END + 1, 20)
METRICS = {
    "loss": Metric("loss", "loss", 0.0, better="lower"),
    "accuracy": Metric("accuracy", "capability", 0.0, 1.0, "higher"),
    "lr": Metric("lr", "schedule", 0.0),
}
NUMBERS = np.array([[0.0, -2.0, np.log(0.4), np.log(0.06), 0.2, 6.0, np.log(0.55), 0.4]])


def rate_of(shape: str) -> np.ndarray:
    way = (STEP - 20) / (END - 20)
    return {
        "constant": np.ones(len(STEP)),
        "cosine": 0.05 + 0.95 * (1 + np.cos(np.pi * way)) / 2,
        "wsd": np.interp(way, [0, 0.8, 1], [1, 1, 0.05]),
        "step": np.where(way < 0.5, 1.0, 0.2),
    }[shape]


def loss_of(shape: str, size: float, seed: int) -> np.ndarray:
    rate = rate_curve(STEP.astype(float), rate_of(shape))
    law = MULTI_POWER.values(
        NUMBERS, terms(rate, STEP.astype(float), Reference(1.0, END - 10.0, float(END)), warm_up=True)
    )[0]
    return 3.0 * size**-0.05 * np.exp(law + 1e-3 * np.random.default_rng(seed).standard_normal(len(STEP)))


def runs_of(**shapes: tuple[str, float]) -> Curves:
    """Runs by name: shape of the schedule, and size of the model."""
    parts, table = [], []
    for i, (run, (shape, size)) in enumerate(shapes.items()):
        values = {
            "loss": loss_of(shape, size, i),
            "lr": 1e-3 * rate_of(shape),
            "accuracy": 1 - loss_of(shape, size, i) / 9,
        }
        parts += [pd.DataFrame({"run": run, "metric": m, "step": STEP, "value": v}) for m, v in values.items()]
        table.append({"run": run, "last_step": END, "params": size, "schedule": shape, "family": run})
    return curves_from(pd.concat(parts), pd.DataFrame(table).set_index("run"), METRICS)


HISTORY = {"a": ("constant", 1.0), "b": ("cosine", 1.0), "c": ("step", 1.0)}
ASKED = pd.DataFrame({"run": ["z"], "metric": ["loss"], "step": [END]})


def answer(history: Curves, observed: Curves, target: pd.DataFrame = ASKED, seed: int = 0):
    return fit("schedule_law", history).forecast(observed, target, seed=seed)


@pytest.fixture(scope="module")
def history() -> Curves:
    return runs_of(**HISTORY)


def test_other_schedules_of_the_same_model_forecast_a_run_that_has_not_begun(history):
    whole = runs_of(z=("wsd", 1.0))
    unseen = whole.select(metrics=["lr"])
    unseen = Curves(unseen.points, unseen.runs, whole.metrics)
    forecast = answer(history, unseen)
    truth = loss_of("wsd", 1.0, 0)[-1]
    low, middle, high = np.quantile(forecast.draws[0], [0.05, 0.5, 0.95])
    assert forecast.status[0] == "ok" and low < truth < high
    assert abs(middle / truth - 1) < 0.004
    # The control: as if the rate stayed, the end is far away.
    stays = runs_of(z=("constant", 1.0)).select(metrics=["lr"])
    blind = answer(history, Curves(stays.points, stays.runs, whole.metrics))
    assert np.median(blind.draws[0]) / truth - 1 > 0.02


def test_the_beginning_of_the_run_narrows_what_others_say(history):
    begun = runs_of(z=("wsd", 1.0)).truncate(0.5)
    both = answer(history, begun)
    alone = answer(history.select(runs=[]), begun)
    truth = loss_of("wsd", 1.0, 0)[-1]
    width = {}
    for name, forecast in (("both", both), ("alone", alone)):
        least, low, high, most = np.quantile(forecast.draws[0], [0.01, 0.05, 0.95, 0.99])
        assert forecast.status[0] == "ok" and least < truth < most
        width[name] = high - low
    assert width["both"] < 0.6 * width["alone"]


def test_runs_of_another_model_only_move_the_prior(history):
    begun = runs_of(z=("wsd", 3.0)).truncate(0.5)
    forecast = answer(history, begun)
    truth = loss_of("wsd", 3.0, 0)[-1]
    low, high = np.quantile(forecast.draws[0], [0.05, 0.95])
    assert low < truth < high and forecast.status[0] == "ok"
    unseen = begun.select(metrics=["lr"])
    assert answer(history, Curves(unseen.points, unseen.runs, begun.metrics)).status[0] != "ok"


def test_the_future_of_the_loss_is_not_used_and_that_of_the_rate_is(history):
    whole = runs_of(z=("wsd", 1.0))
    begun = whole.truncate(0.4)
    forged = whole.points.copy()
    later = (forged["metric"] == "loss") & (forged["step"] > 0.4 * END)
    forged.loc[later, "value"] *= 7.0
    forged = curves_from(forged, whole.runs, METRICS).truncate(0.4)
    assert_array_equal(answer(history, begun).draws, answer(history, forged).draws)
    other = begun.points.copy()
    other.loc[(other["metric"] == "lr") & (other["step"] > 0.4 * END), "value"] = 1e-3
    stays = answer(history, curves_from(other, whole.runs, METRICS))
    assert np.median(stays.draws) > np.median(answer(history, begun).draws) + 0.05


def test_settings_stand_for_a_schedule_that_was_not_logged():
    begun = runs_of(z=("wsd", 1.0)).truncate(0.5)
    logged = answer(begun.select(runs=[]), begun)
    without = begun.select(metrics=["loss"])
    runs = without.runs.assign(cooldown_fraction=0.2, min_lr_ratio=0.05)
    planned = answer(begun.select(runs=[]), Curves(without.points, runs, without.metrics))
    assert planned.status[0] == "ok"
    assert_allclose(np.median(planned.draws), np.median(logged.draws), rtol=0.01)


def test_where_it_has_no_answer_it_says_why(history):
    whole = runs_of(z=("wsd", 1.0))
    nobody = history.select(runs=[])
    accuracy = pd.DataFrame({"run": ["z"], "metric": ["accuracy"], "step": [END]})
    assert answer(nobody, whole.truncate(0.5), accuracy).status[0] == NOT_A_LOSS
    assert answer(nobody, whole.truncate(0.045)).status[0] == TOO_SHORT
    begun = whole.truncate(0.5).select(metrics=["loss"])
    no_shape = Curves(begun.points, begun.runs.drop(columns="schedule"), begun.metrics)
    assert answer(nobody, no_shape).status[0] == NO_RATE
    bad = whole.truncate(0.5).points.copy()
    bad.loc[(bad["metric"] == "lr") & (bad["step"] == 1000), "value"] = -1.0
    loose = {**METRICS, "lr": Metric("lr", "schedule")}
    status = answer(nobody, curves_from(bad, whole.runs, loose)).status[0]
    assert status == "a learning rate must be finite and not negative, found -1 at step 1000"


def test_laws_without_a_loss_by_the_end_are_no_answer(history, monkeypatch):
    """Their draws are no numbers, and `auto` forecasts by its other members."""
    monkeypatch.setattr(ScheduleFit, "draws", lambda self, rate, step, *_, **__: np.full((len(step), DRAWS), np.nan))
    begun = runs_of(z=("wsd", 1.0)).truncate(0.3)
    assert answer(history, begun).status[0] == NO_LOSS
    both = dataclasses.replace(AUTO, members=("last_value", "schedule_law"), prior_weights=(1.0, 1.0))
    found = Fitted(both, History(history)).forecast(begun, ASKED)
    assert found.status[0] == "ok" and np.isfinite(found.draws).all()


def test_draws_are_paths_and_rows_do_not_depend_on_each_other(history):
    begun = runs_of(z=("wsd", 1.0), y=("cosine", 1.0)).truncate(0.3)
    target = pd.DataFrame({"run": ["z", "y", "z"], "metric": "loss", "step": [END, END, 1700]})
    several, one = answer(history, begun, target), answer(history, begun, target.iloc[[0]])
    assert_allclose(np.sort(several.draws[0]), np.sort(one.draws[0]), rtol=1e-9)
    # 1700 lies within the decay, so the loss still falls from there.
    assert np.median(several.draws[2]) > np.median(several.draws[0])


def test_auto_asks_it_where_a_schedule_is_known(history):
    assert "schedule_law" in AUTO.members
    whole = runs_of(z=("wsd", 1.0))
    unseen = whole.select(metrics=["lr"])
    unseen = Curves(unseen.points, unseen.runs, whole.metrics)
    forecast = fit("auto", history).forecast(unseen, ASKED, seed=0)
    assert forecast.status[0] == "ok"
    assert abs(np.median(forecast.draws[0]) / loss_of("wsd", 1.0, 0)[-1] - 1) < 0.004

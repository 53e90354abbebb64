"""design.schedule and design.cooldown on runs whose law is known: designs are better in truth, and bounds are told."""

import json

import numpy as np
import pandas as pd
import pytest

from predictdyn import design
from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.fitting.schedule_design import shaped
from predictdyn.fitting.schedule_laws import MULTI_POWER, RateCurve, Reference, rate_curve, terms

END = 2000
STEP = np.arange(20, END + 1, 20)
WAY = (STEP - 20) / (END - 20)
METRICS = {"loss": Metric("loss", "loss", 0.0, better="lower"), "lr": Metric("lr", "schedule", 0.0),
           "accuracy": Metric("accuracy", "capability", 0.0, 1.0, "higher")}  # fmt: skip
NUMBERS = np.array([[0.0, -2.0, np.log(0.4), np.log(0.06), 0.1, 6.0, np.log(0.55), 0.4]])
SHAPES = {
    "constant": np.ones(len(STEP)),
    "cosine": 0.05 + 0.95 * (1 + np.cos(np.pi * WAY)) / 2,
    "step": np.where(WAY < 0.5, 1.0, 0.2),
    "decay": np.interp(WAY, [0, 0.8, 1], [1, 1, 0.05]),
}
HISTORY = ("constant", "cosine", "step")


def true_loss(rate: RateCurve, step: np.ndarray, best: float = 0.0) -> np.ndarray:
    """The law, and where ``best`` is given a parabola about that peak."""
    log = MULTI_POWER.values(NUMBERS, terms(rate, step, Reference(1e-3, 1e-3 * END, float(END)), warm_up=True))[0]
    return 3.0 * np.exp(log + (0.05 * np.log(rate.peak / best) ** 2 if best else 0.0))


def runs_of(
    *shapes: str, peaks: tuple[float, ...] = (1e-3,), best: float = 0.0, until: int = END, size: int = 1
) -> Curves:
    parts, table = [], []
    for i, (shape, peak) in enumerate((shape, peak) for peak in peaks for shape in shapes):
        run, rate = f"{shape}-{peak:g}-{size}", peak * SHAPES[shape]
        noise = np.exp(1e-3 * np.random.default_rng(i).standard_normal(len(STEP)))
        value = true_loss(rate_curve(STEP.astype(float), rate), STEP.astype(float), best) * noise
        seen = until if shape == "constant" else END
        for metric, column in (("loss", value), ("lr", rate), ("accuracy", 1 - value / 9)):
            one = pd.DataFrame({"run": run, "metric": metric, "step": STEP, "value": column})
            parts.append(one[one["step"] <= seen])
        table.append({"run": run, "last_step": END, "params": size, "schedule": shape, "family": run})
    return curves_from(pd.concat(parts), pd.DataFrame(table).set_index("run"), METRICS)


@pytest.fixture(scope="module")
def designed():
    return design.schedule(runs_of(*HISTORY), "loss", total_steps=END)


def test_a_design_is_better_in_truth_and_its_intervals_hold(designed):
    table = designed.summary().set_index("schedule")
    assert list(table.index) == ["designed", "cosine", "linear", "wsd", "constant"]
    end = np.array([float(END)])
    truth = {name: float(true_loss(rate, end)[0]) for name, rate in designed.rates.items()}
    assert truth["designed"] == min(truth.values())
    for name, row in table.iterrows():
        assert row["5 %"] < row["loss"] < row["95 %"]
        assert row["loss"] == pytest.approx(truth[name], rel=0.005)
        if name != "designed":
            apart = truth[name] - truth["designed"]
            width = row["difference 95 %"] - row["difference 5 %"]
            assert row["difference 5 %"] - width / 2 < apart < row["difference 95 %"] + width / 2
    assert table.loc["constant", "difference"] > 0.1 and table.loc["constant", "worse"] == 1.0
    assert np.isnan(table.loc["designed", "worse"])


def test_a_schedule_warms_up_falls_and_ends_no_lower_than_runs_did(designed):
    table = designed.schedule
    assert list(table.columns) == ["step", "rate"] and table["step"].iloc[-1] == END
    assert table["rate"].iloc[0] == 0.0 and table["rate"].max() == pytest.approx(1e-3)
    after = table["rate"].to_numpy()[1:]
    assert (np.diff(after) <= 0).all() and after[-1] >= 0.05e-3 * (1 - 1e-9)
    assert designed.rate([0.0, END])[1] == after[-1]
    assert design.schedule(runs_of(*HISTORY), "loss", total_steps=END).schedule.equals(table)


def test_files_of_a_design(designed, tmp_path):
    folder = designed.save(tmp_path / "out")
    assert {file.name for file in folder.iterdir()} == {
        "schedule.csv", "summary.csv", "rates.svg", "losses.svg", "provenance.json"
    }  # fmt: skip
    assert pd.read_csv(folder / "schedule.csv")["rate"].max() == pytest.approx(1e-3)
    about = json.loads((folder / "provenance.json").read_text())
    assert (
        about["made"] == "schedule"
        and about["data"]["runs"] == 3
        and "design.schedule(curves, 'loss'" in about["command"]
    )
    assert "designed" in (folder / "rates.svg").read_text()
    with pytest.raises(ValueError, match="exists already"):
        designed.save(tmp_path / "out")


def test_a_peak_is_chosen_only_where_runs_have_had_several():
    peaks = (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3)
    curves = runs_of("constant", "cosine", "decay", peaks=peaks, best=8e-4)
    with pytest.warns(UserWarning, match="so the peak is chosen between 0.00025 and 0.004"):
        found = design.schedule(curves, "loss", total_steps=END, peak=(1e-4, 4e-3))
    grid = np.geomspace(2.5e-4, 4e-3, 41)
    end = np.array([float(END)])
    best = grid[np.argmin([true_loss(shaped("cosine", 20.0, float(END), peak), end, 8e-4)[0] for peak in grid])]
    assert abs(np.log(found.rates["cosine"].peak / best)) < 0.5
    with pytest.raises(ValueError, match=r"runs had peaks from 0.00025 to 0.004, so nothing tells between 0.1 and 1"):
        design.schedule(curves, "loss", total_steps=END, peak=(0.1, 1.0))
    with pytest.warns(UserWarning, match="all runs had the peak 0.001, so what another one does is not known"):
        kept = design.schedule(runs_of(*HISTORY), "loss", total_steps=END, peak=(5e-4, 2e-3))
    assert {rate.peak for rate in kept.rates.values()} == {1e-3}


def test_a_peak_at_which_a_law_has_no_loss_is_told():
    with pytest.raises(ValueError, match=r"no positive loss for \w+ at the peak 0.3: choose a peak nearer to theirs"):
        design.schedule(runs_of(*HISTORY), "loss", total_steps=END, peak=0.3)


def test_runs_that_never_cooled_make_the_design_a_guess():
    with pytest.warns(UserWarning, match="no finished run ended at half its peak rate or below"):
        found = design.schedule(runs_of("constant"), "loss", total_steps=END)
    table = found.summary().set_index("schedule")
    known = design.schedule(runs_of(*HISTORY), "loss", total_steps=END, least=0.0).summary().set_index("schedule")
    width = [one.loc["cosine", "95 %"] - one.loc["cosine", "5 %"] for one in (table, known)]
    assert width[0] > 3 * width[1]


def test_what_cannot_be_learnt_from_is_told():
    curves = runs_of(*HISTORY)
    losses = curves.points[curves.points["metric"] == "loss"].reset_index(drop=True)
    blind = curves_from(losses, curves.runs.drop(columns="schedule"), METRICS)
    with pytest.raises(ValueError, match="no finished run has loss and a known learning rate: no learning-rate"):
        design.schedule(blind, "loss", total_steps=END)
    with pytest.raises(ValueError, match="accuracy is no loss above zero"):
        design.schedule(curves, "accuracy", total_steps=END)
    with pytest.raises(ValueError, match=r"upper bound; losses are loss$"):
        design.schedule(curves, "accuracy", total_steps=END)
    none = curves.select(metrics=["accuracy", "lr"])
    for metric, words in (
        ("accuracy", "upper bound; no loss is logged, and a schedule is designed for a loss$"),
        ("speed", "no metric 'speed'; no loss is logged"),
        (None, "^no loss is logged, and a schedule is designed for a loss; metrics are accuracy, lr$"),
    ):
        with pytest.raises(ValueError, match=words):
            design.schedule(none, metric, total_steps=END)
    with pytest.raises(ValueError, match="no metric 'los'; did you mean 'loss'"):
        design.schedule(curves, "los", total_steps=END)
    with pytest.raises(ValueError, match="total_steps= is a number of steps above zero, got -1"):
        design.schedule(curves, "loss", total_steps=-1)
    with pytest.raises(ValueError, match="warm_up= must end within the run, got 3000 of 2000 steps"):
        design.schedule(curves, "loss", total_steps=END, warm_up=3000)
    other = runs_of("cosine", size=2)
    both = curves_from(
        pd.concat([curves.points, other.points]), pd.concat([curves.runs, other.runs]), METRICS
    )  # fmt: skip
    with pytest.raises(ValueError, match="the 4 finished runs are of 2 models"):
        design.schedule(both, "loss", total_steps=END)
    assert len(design.schedule(both, total_steps=END, runs="*-1").runs) == 3


@pytest.fixture(scope="module")
def cooled():
    """A run at half its way at a constant rate, beside finished runs of its model."""
    curves = runs_of("constant", "cosine", "step", "decay", until=1000)
    return design.cooldown(curves, "constant-0.001-1", "loss", target=3.1, most_steps=2500)


def test_a_cooldown_reaches_its_target_in_truth_with_fewer_steps(cooled):
    assert cooled.now == 1000 and 1000 <= cooled.start < cooled.stop < 2500

    def truth(stop: float, start: float) -> float:
        rate = RateCurve(np.array([20.0, start, stop]), np.array([1e-3, 1e-3, 0.0]))
        return float(true_loss(rate, np.array([stop]))[0])

    assert truth(cooled.stop, cooled.start) == pytest.approx(3.1, abs=0.02)
    table = cooled.fewest().set_index("schedule")
    assert table.loc["cooldown", "5 %"] < cooled.stop < table.loc["cooldown", "95 %"]
    # At its constant rate the run does not get there.
    stays = true_loss(RateCurve(np.array([20.0]), np.array([1e-3])), np.array([2500.0]))[0]
    assert stays > 3.13 and table.loc["constant", "reached"] < 0.05
    rows = cooled.summary()
    assert (rows["start"] >= 1000 - 1e-9).all() and (rows["without"] >= rows["loss"]).all()
    assert rows["reached"].iloc[0] < 0.05 and rows["reached"].iloc[-1] > 0.95


def test_more_certainty_costs_steps_and_a_target_out_of_reach_is_told(cooled):
    curves = runs_of("constant", "cosine", "step", "decay", until=1000)
    surer = design.cooldown(curves, "constant-0.001-1", "loss", target=3.1, most_steps=2500, probability=0.95)
    assert surer.stop > cooled.stop
    never = design.cooldown(curves, "constant-0.001-1", "loss", target=1.0, most_steps=2500)
    assert np.isinf(never.stop) and np.isnan(never.start) and "is not reached within 2500 steps" in repr(never)
    with pytest.raises(ValueError, match="a cooldown is designed for a run that is at its constant rate"):
        design.cooldown(curves, "cosine-0.001-1", "loss", target=3.1)
    with pytest.raises(ValueError, match="most_steps= must lie beyond the last step that is logged, 1000, got 900"):
        design.cooldown(curves, "constant-0.001-1", "loss", target=3.1, most_steps=900)


def test_a_target_that_has_been_reached_is_told_with_its_step():
    curves = runs_of("constant", "cosine", "step", "decay", until=1000)
    run = "constant-0.001-1"
    seen = curves.series[run, "loss"]
    last = float(seen.value[-1])
    for target in (5.0, last):
        first = int(seen.step[np.argmax(seen.value <= target)])
        with pytest.raises(ValueError, match=f"has been reached already: loss of run '{run}' was .* at step {first};"):
            design.cooldown(curves, run, "loss", target=target, most_steps=2500)
    # One lucky value is no end: the design stands, and a note tells of it.
    points = curves.points.copy()
    points.loc[(points["run"] == run) & (points["metric"] == "loss") & (points["step"] == 600), "value"] = 3.05
    found = design.cooldown(curves_from(points, curves.runs, METRICS), run, "loss", target=3.1, most_steps=2500)
    assert (
        found.notes[0]
        == f"loss of run '{run}' was 3.05 at step 600, at or below the target 3.1, but its last value is above"
    )


def test_what_a_cooldown_brings_is_a_guess_where_no_run_has_cooled():
    alone = runs_of("constant", until=1000)
    with pytest.warns(UserWarning, match="no finished run of the same model has a known schedule"):
        found = design.cooldown(alone, "constant-0.001-1", "loss", target=3.1, most_steps=2500)
    curves = runs_of("constant", "cosine", "step", "decay", until=1000)
    known = design.cooldown(curves, "constant-0.001-1", "loss", target=3.1, most_steps=2500)

    def width(one: design.DesignedCooldown) -> float:
        return float((one.table["95 %"] - one.table["5 %"]).iloc[-1])

    assert width(found) > 3 * width(known)

"""Forecasts from Python: numbers of every view agree with the draws, files with the command's, saved models."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import rankdata

import predictdyn as pdyn
from predictdyn.curves import curves_from
from predictdyn.forecast import Latent
from predictdyn.loaders import tidy


@pytest.fixture(scope="module")
def found(curves):
    return pdyn.forecast(curves, forecaster="mean_change", seed=3)


def test_unfinished_runs_are_forecast_to_their_planned_end(found):
    assert found.target.to_numpy().tolist() == [
        [run, metric, 200] for run in ("r6", "r7") for metric in ("val_acc", "val_loss")
    ]
    table = found.summary()
    assert list(table.columns) == ["run", "metric", "median", "5 %", "95 %", "step", "share seen", "kind", "status"]
    assert (table["share seen"] == 0.3).all() and (table["status"] == "ok").all()
    np.testing.assert_allclose(table["median"], np.median(found.draws, axis=1))
    np.testing.assert_allclose(table[["5 %", "95 %"]], np.quantile(found.draws, (0.05, 0.95), axis=1).T)
    assert found.draws.shape == (4, 1000) and found.forecaster == "mean_change" and found.notes == ()


def test_every_view_is_of_the_same_draws(found):
    quantiles = found.quantiles([0.1, 0.9])
    np.testing.assert_allclose(quantiles[["q0.1", "q0.9"]], np.quantile(found.draws, (0.1, 0.9), axis=1).T)
    np.testing.assert_allclose(found.interval(0.8)[["lower", "upper"]], quantiles[["q0.1", "q0.9"]])
    wide = found.predict_interval(coverage=[0.5, 0.8])
    assert wide.columns.tolist() == [("value", one, side) for one in (0.5, 0.8) for side in ("lower", "upper")]
    assert wide.index.names == ["run", "metric", "step"]
    np.testing.assert_allclose(wide["value"][0.8], quantiles[["q0.1", "q0.9"]])
    asked = found.predict_quantiles(alpha=[0.1, 0.9])
    assert asked.columns.tolist() == [("value", 0.1), ("value", 0.9)]
    np.testing.assert_allclose(asked, quantiles[["q0.1", "q0.9"]])
    assert found.predict_interval(coverage=0.9).shape == (4, 2) and found.predict_quantiles(alpha=0.5).shape == (4, 1)
    frame = found.to_frame()
    assert frame["truth"].isna().all() and "q0.975" in frame
    for wrong in (lambda: found.interval(1.5), lambda: found.quantiles([]), lambda: found.predict_quantiles([0.0])):
        with pytest.raises(ValueError, match=r"in \(0, 1\)"):
            wrong()


def test_the_probability_of_a_joint_event_is_a_share_of_draws(found):
    table = found.probability("val_acc > 0.85 and val_loss < 0.4")
    assert table.index.tolist() == ["r6", "r7"]
    for i, run in enumerate(("r6", "r7")):
        held = (found.draws[2 * i] > 0.85) & (found.draws[2 * i + 1] < 0.4)
        assert table.loc[run, "probability"] == pytest.approx(held.mean()) and 0 < held.mean() < 1
    with pytest.raises(ValueError, match="names metric 'acc'"):
        found.probability("acc > 0.5")


def test_once_more_is_logged_a_forecast_is_scored(found, curves, whole):
    table = found.score(whole)
    last = whole.series["r6", "val_acc"].value[-1]
    assert table["truth"].iloc[0] == last and table["crps"].gt(0).all()
    draws = found.draws[0]
    fair = np.abs(draws - last).mean() - np.abs(draws[:, None] - draws).sum() / (2 * 1000 * 999)
    assert table["crps"].iloc[0] == pytest.approx(fair, rel=1e-6)
    inside = (table["truth"] >= found.summary()["5 %"]) & (table["truth"] <= found.summary()["95 %"])
    assert table["inside 90 %"].tolist() == inside.tolist()
    waiting = found.score(curves)
    assert waiting["truth"].isna().all() and waiting["crps"].isna().all() and waiting["inside 90 %"].isna().all()


def test_a_truth_is_what_was_measured_at_the_step_or_at_the_end_of_a_log_that_all_but_reaches_it():
    from predictdyn.api.forecasts import truths

    rows = [("a", 1, 0.1), ("a", 197, 0.5), ("b", 1, 0.2), ("b", 190, 0.6), ("c", 199, 0.7), ("c", 300, 0.9)]
    frame = pd.DataFrame(rows, columns=["run", "step", "val_acc"])
    curves = pdyn.Curves.from_frame(frame, runs={"last_step": 300})
    target = pd.DataFrame({"run": [*"abc"], "metric": "val_acc", "step": 200})
    np.testing.assert_array_equal(truths(target, curves), [0.5, np.nan, np.nan])


def test_a_model_is_fitted_once_saved_and_loaded(curves, found, tmp_path):
    model = pdyn.fit(curves, "mean_change", seed=3)
    assert model.name == "mean_change" and len(model.history.runs) == 6
    assert repr(model) == "FittedModel: mean_change, fitted on 6 finished runs"
    np.testing.assert_array_equal(model.forecast(curves, seed=3).draws, found.draws)
    again = pdyn.load_model(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.forecast(curves, seed=3).draws, found.draws)
    np.testing.assert_array_equal(pdyn.forecast(curves, tmp_path / "model", seed=3).draws, found.draws)
    with pytest.raises(ValueError, match="exists already; choose another out="):
        model.save(tmp_path / "model")
    with pytest.raises(ValueError, match="give model= or forecaster=, not both"):
        pdyn.forecast(curves, model, forecaster="last_value")
    with pytest.raises(ValueError, match="model= takes what fit gave, or its folder, got int"):
        pdyn.forecast(curves, 5)
    with pytest.raises(ValueError, match="no run has reached its planned last_step"):
        pdyn.fit(curves.select(runs=["r6", "r7"]))
    with pytest.raises(ValueError, match="takes a name or a model with name and latent, got float"):
        pdyn.fit(curves, 0.5)


def test_a_model_of_ones_own_is_fitted_but_cannot_be_saved(curves, tmp_path):
    from sklearn.linear_model import Ridge

    from predictdyn.forecasters.regressions import FeatureRegression

    model = pdyn.fit(curves, FeatureRegression("ridge", lambda family, seed: Ridge(10.0)))
    assert model.forecast(curves, metrics="val_acc").summary()["median"].between(0, 1).all()
    with pytest.raises(ValueError, match="only forecasters of the table can be saved"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir()), "nothing half-written stays"


def test_a_copy_of_the_run_under_another_name_teaches_nothing_with_and_without_a_model(whole):
    copy = whole.select(runs=["r6"])
    points = pd.concat([whole.points, copy.points.assign(run="sweep/r6")])
    both = curves_from(points, pd.concat([whole.runs, copy.runs.rename({"r6": "sweep/r6"})]), dict(whole.metrics))
    asked = {"runs": "r6", "cutoff": 0.3}
    alone = pdyn.forecast(whole, forecaster="mean_change", **asked)
    plain = pdyn.forecast(both, forecaster="mean_change", **asked)
    model = pdyn.fit(both.select(runs=both.runs.index.drop("r6")), "mean_change").forecast(both, **asked)
    assert np.array_equal(plain.draws, alone.draws) and np.array_equal(model.draws, alone.draws)
    assert alone.notes == () and len(plain.notes) == len(model.notes) == 1
    assert plain.notes[0] == (
        "1 finished run(s) have the curves of a run in question, as far as it is seen (sweep/r6); they may be the same "
        "run under another name, so they are left out, and 7 run(s) are learnt from; if they are other "
        "runs, leave out the metric that they share (exclude=METRIC)"
    )
    assert "(sweep/r6); it was fitted again without them, on 7 run(s)" in model.notes[0]


def test_what_to_forecast_is_chosen_by_keywords(curves):
    ask = {"forecaster": "last_value", "cutoff": 0.2, "runs": "r[01]", "metrics": ["val_acc"]}
    found = pdyn.forecast(curves, **ask, at=150)
    assert found.target.to_numpy().tolist() == [["r0", "val_acc", 150], ["r1", "val_acc", 150]]
    assert len(found.question.split.history.runs) == 4, "runs in question are not learnt from"
    for named, said in (
        ({"upto": 5, "cutoff": 0.1}, "give upto= or cutoff=, not both"),
        ({"cutoff": 2}, r"cutoff= is a share in \[0, 1\), got 2"),
        ({"runs": "z*"}, r"no run matches z\*"),
        ({"metrics": "z*"}, r"no metric matches 'z\*'"),
        ({"forecaster": "magic"}, "no forecaster 'magic'"),
    ):
        with pytest.raises(ValueError, match=said):
            pdyn.forecast(curves, **named)


def test_a_run_that_is_larger_than_all_finished_ones_is_noted(curves):
    sized = curves.runs.assign(params=[1e6] * 6 + [1e7, 1e6])
    found = pdyn.forecast(curves_from(curves.points, sized, curves.metrics), forecaster="mean_change")
    assert len(found.notes) == 1 and "r6 is 10.0 x the largest finished run (params)" in found.notes[0]
    sized = curves.runs.assign(params=[1e6] * 6 + [1e7, 2e7])
    found = pdyn.forecast(curves_from(curves.points, sized, curves.metrics), forecaster="mean_change")
    assert len(found.notes) == 1, "one line, however many runs"
    assert found.notes[0].startswith("2 runs (r6, r7) are up to 20.0 x the largest finished run (params): forecasts")


def test_the_fan_is_drawn_on_axes_that_are_given_or_new_ones(found, curves):
    ax = Figure().add_subplot()
    assert found.plot("val_loss", "r7", ax=ax) is ax
    assert ax.get_title() == "r7: val loss" and ax.get_ylabel() == "val loss" and len(ax.collections) == 3, (
        "three bands"
    )
    seen, median = ax.lines[1].get_xydata(), ax.lines[0].get_xydata()
    assert len(seen) == 6 and seen[-1][0] == 60 and median[-1][0] == 200
    assert median[-1][1] == pytest.approx(found.summary()["median"].iloc[3])
    new, sides = found.plot(), ("top", "right", "left", "bottom")
    assert new.get_title() == "r6: val acc"
    for side in sides:
        one, other = ax.spines[side], new.spines[side]
        assert (one.get_visible(), one.get_edgecolor()) == (other.get_visible(), other.get_edgecolor())
    with pytest.raises(ValueError, match="no metric 'acc' is forecast; there are val_acc, val_loss"):
        found.plot("acc")
    with pytest.raises(ValueError, match="no run 'r0' is forecast; there are r6, r7"):
        found.plot(run="r0")


def test_a_path_that_no_page_shows_is_computed_when_it_is_drawn(small):
    found = pdyn.forecast(small, forecaster="mean_change", cutoff=0.3, metrics="loss")
    last = found.target["run"].iloc[-1]
    assert last not in set(found.live.paths["run"]), "pages show the first runs alone"
    ax = found.plot(run=last)
    assert ax.lines[0].get_ydata()[-1] == pytest.approx(found.summary()["median"].iloc[-1])


def test_curves_are_drawn_finished_ones_thin(curves):
    ax = Figure().add_subplot()
    assert curves.plot("val_acc", ax=ax) is ax
    assert len(ax.lines) == 8 and [line.get_linewidth() for line in ax.lines[-2:]] == [1.8, 1.8]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["r6", "r7"]
    assert len(curves.plot("val_acc", ["r[0-5]"]).lines) == 6
    with pytest.raises(ValueError, match="no metric 'acc'; there are val_acc, val_loss"):
        curves.plot("acc")


def test_files_are_those_of_the_command(found, curves, call, tmp_path):
    tidy.save(curves, tmp_path / "data")
    words = ("--forecaster", "mean_change", "--seed", 3, "--event", "val_acc > 0.8", "--quiet")
    assert call("forecast", tmp_path / "data", "--out", tmp_path / "told", *words)[0] == 0
    page = found.save(tmp_path / "saved", events=["val_acc > 0.8"], title="Mine")
    assert page == tmp_path / "saved" / "index.html" and "Mine" in page.read_text()
    assert {file.name for file in page.parent.iterdir()} == {file.name for file in (tmp_path / "told").iterdir()}
    for name in ("forecasts", "paths", "examples"):
        one, other = (pd.read_parquet(tmp_path / folder / f"{name}.parquet") for folder in ("told", "saved"))
        pd.testing.assert_frame_equal(one, other)
    for name in ("metrics.csv", "probabilities.csv"):
        pd.testing.assert_frame_equal(
            *(pd.read_csv(tmp_path / folder / name) for folder in ("told", "saved")), check_dtype=False
        )
    about = json.loads((page.parent / "provenance.json").read_text())
    said = "predictdyn.forecast(curves, forecaster='mean_change', seed=3).save('page', events=['val_acc > 0.8'])"
    assert about["command"] == said and list(about["sha256"]) == ["curves"]
    with pytest.raises(ValueError, match="exists already; choose another out="):
        found.save(tmp_path / "saved")
    assert pdyn.report(found, tmp_path / "third").is_file()
    assert pdyn.report(tmp_path / "third", tmp_path / "fourth") == tmp_path / "fourth" / "index.html"
    with pytest.raises(ValueError, match="report needs out="):
        pdyn.report(found)


def test_a_repr_is_short_and_a_notebook_shows_a_small_table(found, small):
    assert repr(found) == "Forecast: mean_change, 4 targets of 2 runs; .summary() has them"
    assert "r7" in found._repr_html_() and "30%" in found._repr_html_()
    many = pdyn.forecast(small, forecaster="last_value", cutoff=0.3)
    assert many._repr_html_().count("<tr") == 21 and "and 20 more rows" in many._repr_html_()


@pytest.fixture(scope="module")
def changed(small):
    """The small curves and, for each run but one, an arm that loses its gap after half of it."""
    plain = small.runs.assign(intervention="none", intervention_step=np.nan, baseline=small.runs.index)
    bases = [run for run in small.runs.index if run != "f0-s0"]
    arms = plain.loc[bases].assign(intervention="balanced", intervention_step=500).rename(index="{}-arm".format)
    points = small.points[small.points["run"].isin(bases)].assign(run=lambda table: table["run"] + "-arm")
    late = (points["step"] > 500) & (points["metric"] == "gap")
    points["value"] = points["value"].where(~late, 0.1 * points["value"])
    both = curves_from(pd.concat([small.points, points]), pd.concat([plain, arms]), small.metrics)
    return both.select(metrics={"gap", "accuracy"})


def test_a_planned_change_moves_the_forecast_and_says_what_supports_it(changed, tmp_path):
    plain = pdyn.forecast(changed, forecaster="last_value", runs="f0-s0", cutoff=0.4)
    found = plain.with_intervention("balanced", 500)
    (accuracy, gap), (same, larger) = found.summary()["median"], plain.summary()["median"]
    assert gap < larger and accuracy == pytest.approx(same, abs=0.02)
    assert found.effects["effect_q0.95"][1] < 0
    assert found.effects["intervention"].tolist() == ["balanced"] * 2 and plain.effects.empty
    np.testing.assert_allclose(found.effects["with_q0.5"], found.summary()["median"])
    later = found.with_intervention(pdyn.Intervention("balanced", 600))
    assert later.effects["intervention_step"].tolist() == [500, 500, 600, 600], "alternatives, not added up"
    np.testing.assert_allclose(later.effects["without_q0.5"][2:], plain.summary()["median"])
    assert isinstance(found.plot("gap"), Axes)
    page = found.save(tmp_path / "page")
    pd.testing.assert_frame_equal(pd.read_parquet(page.parent / "forecasts.parquet"), plain.to_frame())
    assert "If the training is changed" in page.read_text()
    with pytest.raises(ValueError, match="no finished run has the intervention 'swapped'"):
        plain.with_intervention("swapped", 500)
    with pytest.raises(ValueError, match="needs step="):
        plain.with_intervention("balanced")
    for step in ("soon", np.nan, -5):
        with pytest.raises(ValueError, match="step= is the last step before the change, a number from 0 on, got"):
            plain.with_intervention("balanced", step)


def test_an_onset_is_not_asked_of_a_changed_run(changed):
    """The hazard knows nothing of the change, so its answer would be that of the run without."""
    found = pdyn.forecast(changed, forecaster="last_value", runs="f0-s0", cutoff=0.4)
    with pytest.raises(ValueError, match="this forecast has an intervention; ask for the onset before"):
        found.with_intervention("balanced", 500).onset("accuracy > 0.5")


def test_steps_of_an_onset_are_counted(found):
    onset = found.onset("val_acc > 0.5")
    assert len(onset.before(3)) == 3 * len(onset.runs)
    for steps in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="before: steps= is how many steps to the planned end, from 1 on"):
            onset.before(steps)


def test_metrics_that_are_never_logged_together_are_told(small):
    """No finished run says when both held: not since too few had stood there, but since none logs both at once."""
    odd = (small.points["step"] // small.points["step"].sort_values().unique()[1]) % 2 == 1
    apart = small.points[odd == (small.points["metric"] == "gap")]
    curves = curves_from(apart, small.runs, small.metrics)
    onset = pdyn.forecast(curves, forecaster="last_value", runs="f0-s0", cutoff=0.3).onset("accuracy > 0.5 and gap > 0")
    assert onset.summary()["status"].tolist() == [
        "by paths of last_value: no finished run logs accuracy and gap at the same steps"
    ]


def test_draws_with_a_planned_change_are_joint_as_those_without_it(changed):
    plain = pdyn.forecast(changed, forecaster="mean_change", runs="f0-s0", cutoff=0.4)
    found = plain.with_intervention("balanced", 500)
    assert plain.live.prediction.joint and found.live.prediction.joint and found.live.way.joint
    moved = [not np.allclose(np.sort(one), np.sort(two)) for one, two in zip(found.draws, plain.draws, strict=True)]
    assert moved == (found.target["metric"] == "gap").tolist()
    for row in range(2):
        np.testing.assert_array_equal(rankdata(found.draws[row]), rankdata(plain.draws[row]))
    # Paths go on as they are: the last step of the way has the ranks of the target.
    way = found.live.way
    for row, name in enumerate(found.target["metric"]):
        (last,) = np.flatnonzero((way.target["metric"] == name) & (way.target["step"] == 1000))
        np.testing.assert_array_equal(rankdata(way.draws[last]), rankdata(found.draws[row]))
    later = found.with_intervention("balanced", 600)
    assert later.live.prediction.joint


def test_draws_are_handed_to_arviz_where_it_is(found):
    arviz = pytest.importorskip("arviz")
    data = found.to_inference_data()
    assert isinstance(data, arviz.InferenceData)
    value = data.posterior_predictive["value"]
    assert value.dims == ("chain", "draw", "target") and value.shape == (1, 1000, 4)
    np.testing.assert_array_equal(value.to_numpy()[0].T, found.draws)
    assert value["run"].to_numpy().tolist() == found.target["run"].tolist()


def test_without_arviz_it_is_said_how_to_get_it(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match=r"pip install predictdyn\[arviz\]"):
        found.to_inference_data()


def test_an_event_in_percent_of_a_share_is_a_warning(found, tmp_path):
    with pytest.warns(UserWarning, match=r"80 lies outside 0 to 1, the range of val_acc; did you mean 0\.8\?"):
        assert (found.probability("val_acc > 80")["probability"] == 0).all()


def test_a_step_beyond_the_planned_end_is_no_step_to_forecast(curves):
    with pytest.raises(ValueError, match=r"at= is 2000, which lies beyond the planned end of 2 run.*set last_step"):
        pdyn.forecast(curves, forecaster="last_value", at=2000)
    assert (pdyn.forecast(curves, forecaster="last_value", at=200).target["step"] == 200).all()


def test_a_name_that_is_nearly_right_is_asked_after(curves):
    for wrong, said in (
        (lambda: pdyn.forecast(curves, metrics="val_ac"), "no metric matches 'val_ac'; did you mean 'val_acc'\\?"),
        (lambda: pdyn.forecast(curves, runs="r66"), "no run matches r66; did you mean 'r6'\\?"),
        (lambda: pdyn.forecast(curves, forecaster="last_valu"), "did you mean 'last_value'\\?"),
    ):
        with pytest.raises(ValueError, match=said):
            wrong()


class Wrong:
    """A model whose answer is none."""

    name = "wrong"

    def __init__(self, answer=None):
        self.answer = answer

    def latent(self, problem):
        return self.answer(len(problem.target))


def test_an_argument_of_the_wrong_type_is_told_in_one_line_that_names_the_keyword(curves, found):
    table = pd.DataFrame({"run": ["a"], "step": [1], "val_acc": [0.5]})
    makes = r"curves= takes Curves, got a table; make them by Curves\.from_frame\(frame\)"
    for wrong, said in (
        (lambda: pdyn.forecast(table), makes),
        (lambda: pdyn.fit(table), makes),
        (lambda: pdyn.backtest(table), makes),
        (lambda: pdyn.forecast(curves, at=[100, 200]), r"at= takes one step or 'final', got \[100, 200\]"),
        (lambda: pdyn.forecast(curves, at="soon"), "at= takes one step or 'final', got 'soon'"),
        (lambda: found.interval([0.5, 0.9]), "interval: coverage= takes one number .*predict_interval takes several"),
        (lambda: pdyn.fit(curves, Wrong), r"got the class Wrong; make one of it: Wrong\(\.\.\.\)"),
        (lambda: pdyn.forecast(curves, "auto"), "name a forecaster by forecaster='auto'"),
        (lambda: pdyn.backtest(curves, "last_value", cutoffs="half"), "cutoffs= takes shares in .* got 'half'"),
        (lambda: pdyn.backtest(curves, "last_value", cutoffs=None), "cutoffs= takes shares in .* got None"),
        (lambda: pdyn.forecast(curves, cutoff="x"), r"cutoff= is a share in \[0, 1\), got 'x'"),
        (lambda: pdyn.forecast(curves, cutoff=[0.5]), r"cutoff= is a share in \[0, 1\), got \[0.5\]"),
        (lambda: pdyn.forecast(curves, upto="x"), "upto= is a step, got 'x'"),
        (lambda: pdyn.forecast(curves, upto=np.nan), "upto= is a step, got nan"),
        (lambda: pdyn.forecast(curves, runs=5), "runs= takes a name or glob, or several, got 5"),
        (lambda: pdyn.forecast(curves, metrics=[0.5]), r"metrics= takes a name or glob, or several, got \[0.5\]"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            wrong()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda n: np.zeros((n, 1000)), r"latent of 'wrong' returned ndarray, expected Latent\(draws"),
        (lambda n: Latent(np.zeros((n + 1, 1000)), np.full(n + 1, "ok")), "a row for each target"),
        (lambda n: Latent(np.zeros((n, 10)), np.full(n, "ok")), r"draws \(\d+, 10\) and status .* 1000 draws in each"),
        (lambda n: Latent(np.zeros((n, 1000)), "ok"), r"and status \(\), expected"),
    ],
)  # fmt: skip
def test_a_model_that_answers_something_else_is_told_by_its_name(curves, answer, said):
    with pytest.raises(ValueError, match=said):
        pdyn.forecast(curves, forecaster=Wrong(answer))


def test_one_cutoff_may_be_a_number(curves):
    assert pdyn.backtest(curves, "last_value", cutoffs=0.5, hold_out="run").plan.cutoffs == (0.5,)

"""Forecasters that pool over finished runs: what they learn, what they may not see, when they give up."""

import numpy as np
import pandas as pd
import pytest

from predictdyn.curves import KEY, Curves, Metric, curves_from
from predictdyn.forecasters import fit, forecaster
from predictdyn.forecasters._multitask import metric_groups
from predictdyn.forecasters._plans import in_turn, plan_view, spread_over
from predictdyn.problem import History, Problem

BOTH = ("pooled_change", "pooled_curves")
STEPS = np.array([0, 1, 10, 30, 70, 100, 150, 220, 300, 400, 550, 700, 850, 1000])
NAMES = ("a", "b", "c", "d")
METRICS = {name: Metric(name, "capability", 0.0, 1.0, "higher") for name in NAMES} | {
    "loss": Metric("loss", "loss", 0.0, None, "lower")
}


def made(sizes: int = 6, seed: int = 0) -> Curves:
    """Two runs of each size; accuracies part late, by ln size and by a gift of the run, and early are nearly noise."""
    rng = np.random.default_rng(seed)
    rows, runs = [], []
    for family in range(sizes):
        for twin in range(2):
            run, size = f"f{family}-{twin}", 1e6 * 3.0**family
            runs.append((run, f"f{family}", 1000, size))
            late, gift = (STEPS / 1000) ** 0.7, 0.2 * rng.standard_normal()
            for i, name in enumerate(NAMES):
                latent = (
                    -1 + late * (0.5 + gift + (0.3 + 0.1 * i) * (family - 2)) + 0.05 * rng.standard_normal(len(STEPS))
                )
                rows += [(run, name, s, y, 0.01) for s, y in zip(STEPS, 1 / (1 + np.exp(-latent)), strict=True)]
            loss = 2 + 3 * np.exp(-0.2 * family) * (1 + STEPS / 10) ** -0.4
            rows += [(run, "loss", s, y, np.nan) for s, y in zip(STEPS, loss, strict=True)]
    points = pd.DataFrame(rows, columns=["run", "metric", "step", "value", "stderr"])
    return curves_from(points, pd.DataFrame(runs, columns=["run", "family", "last_step", "params"]), METRICS)


def split(curves: Curves, family: str) -> tuple[Curves, Curves]:
    test = curves.runs.index[curves.runs["family"] == family]
    return curves.select(runs=set(curves.runs.index) - set(test)), curves.select(runs=set(test))


def asked(curves: Curves, metrics=(*NAMES, "loss"), steps=(1000,)) -> pd.DataFrame:
    rows = [(run, name, step) for run in curves.runs.index for name in metrics for step in steps]
    return pd.DataFrame(rows, columns=KEY)


def truth(curves: Curves, target: pd.DataFrame) -> np.ndarray:
    return np.array([curves.series[run, metric].value[-1] for run, metric, _ in target.itertuples(index=False)])


def forecast(name: str, history: Curves, new: Curves, target: pd.DataFrame, share: float = 0.1, seed: int = 1):
    return fit(name, history).forecast(new.truncate(share), target, seed=seed)


@pytest.mark.parametrize("family", ["f2", "f5"], ids=["inside", "largest"])
@pytest.mark.parametrize("name", BOTH)
def test_a_size_that_was_never_seen_is_forecast_from_the_others(name, family):
    history, new = split(made(), family)
    target = asked(new)
    found = forecast(name, history, new, target)
    assert (found.status == "ok").all()
    right = truth(new, target)
    error = np.abs(np.median(found.draws, axis=1) - right)
    plain = forecast("mean_outcome", history, new, target)
    assert error.mean() < 0.5 * np.abs(np.median(plain.draws, axis=1) - right).mean()
    low, high = np.quantile(found.draws, [0.005, 0.995], axis=1)
    assert ((low < right) & (right < high)).mean() > 0.9


@pytest.mark.parametrize("name", BOTH)
def test_nothing_after_the_cutoff_matters(name):
    history, new = split(made(), "f3")
    late = new.points["step"] > 100
    tampered = Curves(new.points.assign(value=new.points["value"].where(~late, 0.9)), new.runs, new.metrics)
    target = asked(new)
    before = forecast(name, history, new, target).draws
    assert np.array_equal(before, forecast(name, history, tampered, target).draws)
    now = Curves(
        new.points.assign(value=new.points["value"].where(new.points["step"] != 100, 0.4)), new.runs, new.metrics
    )
    assert not np.array_equal(before, forecast(name, history, now, target).draws)


@pytest.mark.parametrize("name", BOTH)
def test_rows_runs_and_steps_do_not_move_each_other(name):
    history, new = split(made(), "f3")
    target = asked(new, steps=(300, 1000))
    whole = forecast(name, history, new, target).draws
    for row in (0, 3, 9, 18):
        alone = forecast(name, history, new, target.iloc[[row]].reset_index(drop=True)).draws
        assert np.array_equal(alone[0], whole[row])


@pytest.mark.parametrize("name", BOTH)
def test_draws_are_paths(name):
    """Many steps cost no more than a few, and no draw leaps between them."""
    history, new = split(made(), "f3")
    steps = np.arange(110, 1010, 10)
    target = pd.DataFrame([("f3-0", "a", step) for step in steps], columns=KEY)
    path = forecast(name, history, new, target).draws
    rank = path.argsort(axis=1).argsort(axis=1)
    assert np.corrcoef(rank).min() > 0.99
    assert np.abs(np.diff(path, axis=0)).max() < 0.2 * np.ptp(path)
    spread = path.std(axis=1)
    assert spread[-1] > spread[0], "at the end there is more to come"


def test_a_run_that_the_history_has_is_left_out_of_it():
    """What a finished run became is not known of it, but for the scales of effects, which all runs give together."""
    curves = made()
    seen, target = curves.select(runs=["f3-0"]), asked(curves.select(runs=["f3-0"]), metrics=("a",))
    late = (curves.points["run"] == "f3-0") & (curves.points["step"] > 100)
    other = Curves(curves.points.assign(value=curves.points["value"].mask(late, 0.9)), curves.runs, curves.metrics)
    for name in BOTH:
        first = fit(name, curves)
        draws = first.forecast(seen.truncate(0.1), target, seed=1).draws
        second = fit(name, other)
        second.past.learnt.update(first.past.learnt)
        assert np.allclose(
            np.sort(draws), np.sort(second.forecast(seen.truncate(0.1), target, seed=1).draws), atol=1e-9
        )


@pytest.mark.parametrize("name", BOTH)
def test_what_is_learnt_follows_from_finished_runs_alone(name):
    """Whatever is asked first, and with whatever seed, the scales that are saved with the model are the same."""
    history, new = split(made(), "f3")
    learnt = []
    for run, seed in (("f3-0", 1), ("f3-1", 2)):
        fitted = fit(name, history)
        some = new.select(runs=[run])
        low = some.points["value"].mask(some.points["metric"] == "loss", 1e-3 if seed == 2 else 2.0)
        fitted.forecast(
            Curves(some.points.assign(value=low), some.runs, some.metrics).truncate(0.1), asked(some), seed=seed
        )
        learnt.append(fitted.past.learnt)
    assert learnt[0] and learnt[0].keys() == learnt[1].keys()
    assert all(np.array_equal(learnt[0][key]["log_sd"], learnt[1][key]["log_sd"]) for key in learnt[0])


@pytest.mark.parametrize("name", BOTH)
def test_a_replay_takes_scales_from_all_runs(name):
    curves = made()
    history, new = split(curves, "f3")
    target, whole = asked(new), History(curves)
    first = Problem(History(history, whole=whole), new.truncate(0.1), target, 0)
    answer = forecaster(name).latent(first)
    assert whole.learnt and not first.history.learnt
    second = Problem(History(history, whole=whole), new.truncate(0.1), target, 0)
    keys = set(whole.learnt)
    assert np.array_equal(forecaster(name).latent(second).draws, answer.draws) and set(whole.learnt) == keys


@pytest.mark.parametrize("name", BOTH)
def test_early_it_is_less_sure_than_late(name):
    history, new = split(made(), "f3")
    target = asked(new, metrics=NAMES)
    early, late = (forecast(name, history, new, target, share).draws.std(axis=1) for share in (0.03, 0.7))
    assert late.mean() < 0.9 * early.mean()


@pytest.mark.parametrize("name", BOTH)
def test_it_gives_up_with_a_word(name):
    curves = made()
    new = curves.select(runs={"f3-0"})
    target = asked(new, metrics=("a",))
    for history in (curves.select(runs=[]), curves.select(runs=["f0-0", "f0-1"]), curves.select(runs=["f0-0", "f1-0"])):
        found = forecast(name, history, new, target)
        assert found.status[0] == "too few finished runs: last value"
        assert abs(np.median(found.draws) - new.truncate(0.1).series["f3-0", "a"].value[-1]) < 0.02
    unfinished = split(curves, "f3")[0].truncate(0.5)
    assert forecast(name, unfinished, new, target).status[0] == "too few finished runs: last value"


def test_a_run_of_which_nothing_was_seen_is_forecast_by_its_plan_alone():
    history, new = split(made(), "f3")
    blank, target = Curves(new.points.iloc[:0], new.runs, new.metrics), asked(new, metrics=NAMES)
    curves = fit("pooled_curves", history).forecast(blank, target, seed=1)
    assert (curves.status == "ok").all()
    assert np.abs(np.median(curves.draws, axis=1) - truth(new, target)).mean() < 0.1
    change = fit("pooled_change", history).forecast(blank, target, seed=1)
    assert "ok" not in set(change.status)


@pytest.mark.parametrize("name", BOTH)
def test_a_run_that_has_not_begun_does_not_stop_its_twin(name):
    history, new = split(made(), "f3")
    begun = Curves(new.points[new.points["run"] == "f3-1"], new.runs, new.metrics)
    found = forecast(name, history, begun, asked(new))
    assert np.isfinite(found.draws).all() and (found.status[found.target["run"] == "f3-1"] == "ok").all()


@pytest.mark.parametrize("name", BOTH)
def test_without_covariates_and_with_one_metric_it_still_answers(name):
    curves = made().select(metrics=["a"])
    bare = Curves(curves.points, curves.runs[["family", "last_step"]], {"a": METRICS["a"]})
    history, new = split(bare, "f3")
    found = forecast(name, history, new, asked(new, metrics=("a",)), share=0.5)
    assert (found.status == "ok").all()
    right = truth(new, asked(new, metrics=("a",)))
    assert (np.abs(np.median(found.draws, axis=1) - right) < 3 * found.draws.std(axis=1)).all()
    odd = Curves(new.points, new.runs.assign(params=np.nan, what="x"), new.metrics)
    assert np.isfinite(forecast(name, history, odd, asked(new, metrics=("a",))).draws).all()


@pytest.mark.parametrize("name", BOTH)
def test_more_runs_than_it_conditions_on(name):
    way = forecaster(name)
    few = type(way)(conditioning_runs=4, learning_runs=4)
    history, new = split(made(), "f3")
    target = asked(new)
    found = fit(few, history).forecast(new.truncate(0.1), target, seed=1)
    assert (found.status == "ok").all() and np.isfinite(found.draws).all()
    assert not np.array_equal(found.draws, forecast(name, history, new, target).draws)


def test_what_size_explains_is_not_counted_twice_and_effects_end_beyond_it():
    size = np.array([1e6, 1e7, 1e8, 1e9])
    runs = pd.DataFrame(
        {"family": list("abcd"), "last_step": 10, "params": size, "rate": size**-0.3, "wide": [1, 0, 0, 1]}
    )
    new = pd.DataFrame({"family": ["e"], "last_step": 10, "params": [1e11], "rate": [1e11**-0.3], "wide": [1]})
    view = plan_view(runs)
    old, bent, free = view.finished, view.planned(new, damped=True), view.planned(new, damped=False)
    assert np.allclose(np.diff(old.log_size), np.log(10)) and len(set(old.family)) == 4 and bent.family[0] == -1
    assert np.allclose(old.rest[:, 0], 0, atol=1e-9), "the rate follows the size"
    assert abs(bent.rest[0, 0]) < 1e-9 and old.rest[0, 1] > 0.1 > -0.1 > old.rest[1, 1]
    assert old.size[3] < bent.size[0] < free.size[0]
    two = plan_view(runs.iloc[:2])
    few = two.planned(new, damped=True)
    assert few.size[0] - two.finished.size[1] < bent.size[0] - old.size[3], "two points make any line"
    both = view.planned(pd.concat([new, runs.iloc[:1]]), damped=True)
    assert both.size.tolist() == [bent.size[0], old.size[0]] and both.family.tolist() == [-1, 0]


@pytest.mark.parametrize("name", BOTH)
def test_a_finished_run_that_diverged_does_not_make_others_capable_of_it(name):
    curves = made()
    last = (curves.points["run"] == "f1-0") & (curves.points["metric"] == "loss") & (curves.points["step"] > 500)
    points = curves.points.assign(value=curves.points["value"].mask(last, 1e36))
    history, new = split(curves_from(points, curves.runs.reset_index(), METRICS), "f3")
    target = asked(new, ("loss",))
    found, calm = (forecast(name, past, new, target) for past in (history, split(curves, "f3")[0]))
    assert (found.status == "ok").all()
    assert (np.quantile(found.draws, 0.95, axis=1) < 100).all()
    assert np.median(found.draws, axis=1) == pytest.approx(np.median(calm.draws, axis=1), rel=0.5)


def test_runs_are_taken_one_of_each_family_in_turn():
    family = np.array(list("aaabbc"))
    assert in_turn(np.array([2, 1, 0, 3, 4, 5]), family, 4).tolist() == [1, 2, 3, 5]
    assert spread_over(np.arange(10), 4).tolist() == [0, 3, 6, 9]


def test_metrics_that_tell_runs_apart_are_taken_apart():
    rng = np.random.default_rng(0)
    rows = []
    for r in range(6):
        for i in range(20):
            value = 0.5 + (0.05 * r if i < 9 else 0.0) + 0.01 * rng.standard_normal(len(STEPS))
            rows += [(f"r{r}", f"m{i}", s, y) for s, y in zip(STEPS, value, strict=True)]
    metrics = {f"m{i}": Metric(f"m{i}", "capability", 0.0, 1.0) for i in range(20)}
    curves = curves_from(pd.DataFrame(rows, columns=["run", "metric", "step", "value"]), None, metrics)
    target = pd.DataFrame([("r0", "m3", 1000)], columns=KEY)
    clear, faint = metric_groups(Problem(History(curves), curves.select(runs=["r0"]).truncate(0.1), target, 0))
    assert set(clear.metrics) == {f"m{i}" for i in range(9)}
    assert len(faint.metrics) == 11 and not clear.smooth

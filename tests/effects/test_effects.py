"""Effects: recovered from simulated pairs, in words that claim no more, and blind to what comes after the cutoff."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from predictdyn.covariates import encoder_for
from predictdyn.curves import Curves, Metric, curves_from
from predictdyn.effects import Intervention, comparison, intervened
from predictdyn.effects.columns import Moment, columns
from predictdyn.effects.pairs import arms, pairs
from predictdyn.forecasters import fit
from predictdyn.problem import History, Problem

METRICS = {
    "gap": Metric("gap", "bias", -1.0, 1.0, "zero", 0.0),
    "skill": Metric("skill", "capability", None, None, "higher", None),
    "rate": Metric("rate", "schedule", 0.0, None, None, None),
}
STEPS = np.arange(0, 1001, 50)
START, SLOPE = 500, 2.0  # the intervention lowers `skill` by SLOPE times its excess over 1 at the start


def simulated(families: int = 12, seed: int = 0, noise: float = 0.02) -> Curves:
    """Baseline runs that rise to a level of their own, each with an arm; `gap` is not moved by the intervention."""
    rng = np.random.default_rng(seed)
    points, runs = [], []
    for family in range(families):
        for one in range(2):
            base, level = f"f{family}-s{one}", 1 + rng.random()
            about = {"family": f"f{family}", "last_step": 1000, "baseline": base}
            runs.append({"run": base, **about, "intervention": "none", "intervention_step": np.nan})
            runs.append({"run": f"{base}-cut", **about, "intervention": "cut", "intervention_step": START})
            skill = level * (1 - np.exp(-STEPS / 100))
            gap = 0.5 * (1 - np.exp(-STEPS / 200)) + 0.1 * rng.standard_normal()
            late = np.where(STEPS > START, (STEPS - START) / (1000 - START), 0.0)
            common = noise * rng.standard_normal((2, len(STEPS)))
            for run, effect in ((base, 0.0), (f"{base}-cut", -SLOPE * (level - 1))):
                own = np.where(STEPS > START, noise * rng.standard_normal((2, len(STEPS))), common)
                values = {"skill": skill + effect * late + own[0], "gap": gap + own[1], "rate": 1 - STEPS / 2000}
                points += [
                    pd.DataFrame({"run": run, "metric": name, "step": STEPS, "value": value})
                    for name, value in values.items()
                ]
    return curves_from(pd.concat(points), pd.DataFrame(runs), METRICS)


def held_out(curves: Curves, family: str = "f0") -> tuple[Curves, Curves, pd.DataFrame]:
    """History without a family, its baseline runs up to the intervention, and their final outcomes as targets."""
    mine = curves.runs["family"] == family
    plain = curves.runs["intervention"] == "none"
    asked = [(run, name, 1000) for run in curves.runs.index[mine & plain] for name in ("skill", "gap")]
    target = pd.DataFrame(asked, columns=["run", "metric", "step"])
    history = curves.select(runs=curves.runs.index[~mine])
    return history, curves.select(runs=curves.runs.index[mine & plain]).truncate(START / 1000), target


def answered(history: Curves, seen: Curves, target: pd.DataFrame, planned: Intervention | None = None):
    plain = fit("last_value", history, seed=0).forecast(seen, target, seed=0)
    return intervened(plain, history, seen, planned or Intervention("cut", START), seed=0), plain


def final(curves: Curves, run: str, metric: str) -> float:
    return float(curves.series[run, metric].value[-1])


def test_an_effect_that_depends_on_the_level_is_recovered():
    curves = simulated()
    off, held, moved = [], [], []
    for family in ("f0", "f1", "f2", "f3"):
        found, _ = answered(*held_out(curves, family))
        for row, (run, metric, _) in enumerate(found.forecast.target.itertuples(index=False)):
            happened = final(curves, f"{run}-cut", metric) - final(curves, run, metric)
            low, median, high = np.quantile(found.effect[row], [0.05, 0.5, 0.95])
            held.append(low <= happened <= high)
            if metric == "skill":
                off.append(median - happened)
                moved.append(happened)
    # The regression must know more than the mean effect does.
    assert np.std(off) < 0.3 * np.std(moved)
    assert np.mean(held) >= 0.75


def test_draws_are_those_without_plus_the_effect():
    curves = simulated()
    found, plain = answered(*held_out(curves))
    rows = found.forecast.target["metric"] == "skill"
    assert_allclose(found.forecast.draws[rows], plain.draws[rows] + found.latent[rows])
    assert_allclose(found.forecast.draws, plain.draws + found.effect)
    again, _ = answered(*held_out(curves))
    assert_array_equal(found.forecast.draws, again.forecast.draws)


def test_no_effect_has_an_interval_that_holds_zero():
    found, _ = answered(*held_out(simulated()))
    for row, metric in enumerate(found.forecast.target["metric"]):
        support = found.support[row]
        assert support.paired and support.n_pairs == 22 and support.n_families == 11
        low, high = np.quantile(found.effect[row], [0.05, 0.95])
        if metric == "gap":
            assert low < 0 < high and support.low < 0 < support.high
            assert "paired runs show no sure effect: 22 pairs in 11 families, interval includes zero" in support.words
        else:
            assert support.high < 0
            assert "paired runs support it: 22 pairs in 11 families, interval excludes zero" in support.words


def test_the_mean_effect_counts_families_alike():
    curves = simulated()
    gone = [run for run in curves.runs.index if run.startswith("f3-s1")]
    history, seen, target = held_out(curves.select(runs=curves.runs.index.difference(gone)))
    found, _ = answered(history, seen, target)
    change = {
        run: final(history, run, "skill") - final(history, base, "skill")
        for run, base in arms(history.runs)["baseline"].items()
    }
    by_family = pd.Series(change).groupby(history.runs["family"]).mean()
    row = int(np.flatnonzero(target["metric"] == "skill")[0])
    assert_allclose(found.support[row].mean, by_family.mean())


def test_without_pairs_it_is_predicted_not_causal():
    curves = simulated(noise=0.01)
    history, seen, target = held_out(curves)
    # Of even families only the baseline runs are kept, of odd ones only the arms.
    odd = history.runs["family"].str[1:].astype(int) % 2 == 1
    lone = history.select(runs=history.runs.index[odd == (history.runs["intervention"] == "cut")])
    found, _ = answered(lone, seen, target)
    skill = np.flatnonzero(target["metric"] == "skill")
    for row in skill:
        assert found.support[row].words.startswith("predicted, not causal: 12 runs with it in 6 families, none beside")
        run = target["run"].iloc[row]
        happened = final(curves, f"{run}-cut", "skill") - final(curves, run, "skill")
        assert_allclose(np.median(found.effect[row]), happened, rtol=0.2)


def test_an_intervention_that_starts_elsewhere_is_said_to():
    history, seen, target = held_out(simulated())
    found, _ = answered(history, seen, target, Intervention("cut", 800))
    assert "none starts near 80% of the run (they start from 50% to 50%)" in found.support[0].words


def test_a_target_before_the_intervention_is_left_alone():
    history, seen, target = held_out(simulated())
    both = pd.concat([target, target.assign(step=600)], ignore_index=True)
    found, plain = answered(history, seen, both, Intervention("cut", 700))
    early = (both["step"] == 600).to_numpy()
    assert_array_equal(found.forecast.draws[early], plain.draws[early])
    assert (found.forecast.draws[~early] != plain.draws[~early]).any(axis=1).all()


def tampered(curves: Curves, which: np.ndarray) -> Curves:
    points = curves.points.copy()
    points.loc[which, "value"] = points.loc[which, "value"] * 0.3 + 0.1
    return Curves(points, curves.runs, curves.metrics, curves.events)


def test_nothing_after_the_cutoff_of_the_held_out_family_is_used():
    curves = simulated()
    points = curves.points
    mine = points["run"].str.startswith("f0-").to_numpy()
    outcome = (points["metric"] != "rate").to_numpy()
    late = (points["step"] > START).to_numpy()
    before, _ = answered(*held_out(curves))
    after, _ = answered(*held_out(tampered(curves, mine & outcome & late)))
    assert_array_equal(before.forecast.draws, after.forecast.draws)
    # and the control: what was seen is used
    other, _ = answered(*held_out(tampered(curves, mine & outcome & ~late)))
    assert (before.latent != other.latent).any()


def test_columns_know_nothing_after_the_last_point_seen():
    curves = simulated()
    moment = Moment(0.3, 0.5, 1.0)
    runs = [run for run in curves.runs.index if run.endswith("-s0")]
    asked = pd.DataFrame({"run": runs[0], "metric": ["skill", "gap"], "step": 1000})

    def known(some: Curves) -> np.ndarray:
        lines = [panel.context for panel in Problem(History(some), some, asked, 0).panels]
        plan = encoder_for(some.runs[["family", "last_step"]])
        return columns(some, lines, runs, np.full(len(runs), 0.5), moment, plan)

    late = (curves.points["step"] > 300).to_numpy() & (curves.points["metric"] == "skill").to_numpy()
    assert_array_equal(known(curves), known(tampered(curves, late)))
    early = (curves.points["step"] <= 300).to_numpy() & (curves.points["metric"] == "skill").to_numpy()
    assert (known(curves) != known(tampered(curves, early))).any()


def test_arms_of_a_run_in_question_are_not_used():
    curves = simulated()
    history, seen, target = held_out(curves)
    leaking = curves.select(runs=curves.runs.index.difference(seen.runs.index))
    found, plain = answered(history, seen, target)
    asked = intervened(plain, leaking, seen, Intervention("cut", START), seed=0)
    assert_array_equal(found.effect, asked.effect)


def test_a_metric_with_too_few_pairs_keeps_its_draws_and_says_so():
    curves = simulated()
    arm = curves.points["run"].str.endswith("-cut") & (curves.points["metric"] == "gap")
    kept = Curves(curves.points[~arm.to_numpy()], curves.runs, curves.metrics)
    history, seen, target = held_out(kept)
    found, plain = answered(history, seen, target)
    gap = (target["metric"] == "gap").to_numpy()
    assert_array_equal(found.forecast.draws[gap], plain.draws[gap])
    assert np.isnan(found.effect[gap]).all() and np.isfinite(found.effect[~gap]).all()
    assert set(found.forecast.status[gap]) == {"no effect known: too few runs with it"}
    table = comparison(plain, history, seen, [Intervention("cut", START)], seed=0)
    assert table["with_q0.5"].isna().tolist() == gap.tolist()


@pytest.mark.parametrize(
    ("planned", "words"),
    [
        (Intervention("cute", 500), "no finished run has the intervention 'cute'; there are cut"),
        (Intervention("cut", 300), "is seen up to step 500, beyond the intervention at 300"),
        (Intervention("cut", 1000), "ends at step 1000, before the intervention at 1000"),
        (Intervention("cut", np.nan), "an intervention is after a step from 0 on, got nan"),
    ],
)
def test_a_plan_that_cannot_be_forecast(planned, words):
    history, seen, target = held_out(simulated(4))
    with pytest.raises(ValueError, match=words):
        answered(history, seen, target, planned)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"intervention_step": np.nan}, "runs that are called so have no number in intervention_step"),
        ({"intervention": "none"}, "the intervention 'cut'; there are none$"),
        (None, r"there are none \(runs need the columns intervention, intervention_step, baseline\)"),
    ],
)
def test_what_finished_runs_lack_is_told(columns, words):
    history, seen, target = held_out(simulated(4))
    names = ["intervention", "intervention_step", "baseline"]
    runs = history.runs.drop(columns=names) if columns is None else history.runs.assign(**columns)
    with pytest.raises(ValueError, match=words):
        answered(Curves(history.points, runs, history.metrics), seen, target)


def test_an_effect_that_nothing_shows_is_refused():
    curves = simulated(4)
    history, seen, target = held_out(curves)
    few = history.select(runs=[run for run in history.runs.index if run.startswith("f1") or not run.endswith("-cut")])
    with pytest.raises(ValueError, match="the effect of 'cut' is not known: it takes 4 finished runs with it"):
        answered(few, seen, target)


def test_a_run_that_is_an_arm_is_refused():
    curves = simulated(4)
    history, _, target = held_out(curves)
    arm = curves.select(runs=["f0-s0-cut"]).truncate(0.5)
    with pytest.raises(ValueError, match="'f0-s0-cut' has an intervention of its own"):
        answered(history, arm, target[:1].assign(run="f0-s0-cut"))


def test_pairs_are_differences_at_the_end():
    curves = simulated(4)
    asked = pd.DataFrame({"run": ["f0-s0"], "metric": "skill", "step": 1000})
    (panel,) = Problem(History(curves), curves, asked, 0).panels
    shown = pairs(
        curves, [panel.context], panel.scale, "cut", Moment(0.5, 0.5, 1.0), encoder_for(curves.runs[["family"]])
    )
    expected = [
        final(curves, run, "skill") - final(curves, run.removesuffix("-cut"), "skill")
        for run in curves.runs.index
        if run.endswith("-cut")
    ]
    assert_allclose(shown.difference, expected)
    assert shown.paired and (shown.start == 0.5).all()

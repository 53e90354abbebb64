"""The digits suite: the committed folder is tidy, its code makes it again, and its curves show what they are for."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

SUITE = Path(__file__).parents[2] / "datasets" / "digits"
INTERVENTIONS = ["balanced_cue", "lower_rate", "clean_labels"]


@cache
def indexed() -> pd.DataFrame:
    """The points by run and metric: two million rows are too many to search for every curve."""
    return pd.read_parquet(SUITE / "data" / "points.parquet").set_index(["run", "metric"])


def curve(run: str, metric: str) -> pd.Series:
    return indexed().loc[(run, metric)].set_index("step").value


def test_the_suite_has_the_runs_it_promises(runs, events):
    planned = runs[runs.intervention == "none"]
    assert len(runs) >= 800 and (planned.groupby("family").size() == 3).all()
    assert len(runs) - len(planned) > 200 and runs.intervention.value_counts().min() > 60
    assert set(events.what) == {"diverged", "spiked", *INTERVENTIONS}


def test_shares_are_logged_at_every_checkpoint_with_a_positive_stderr(points, runs):
    checkpoints = points[points.metric == "learning_rate"].groupby("run").step.apply(list)
    for metric in ["test_accuracy", "accuracy_gap", "corrupted_accuracy", "worst_group_accuracy", "shift_2_accuracy"]:
        one = points[points.metric == metric]
        logged = one.groupby("run").step.apply(list)
        pd.testing.assert_series_equal(logged, checkpoints)
        assert (one.stderr > 0).all()
    assert all(steps[0] == 0 and steps[-1] == runs.last_step[run] for run, steps in checkpoints.items())
    shares = {tuple(np.divide(steps, runs.last_step[run]).round(6)) for run, steps in checkpoints.items()}
    assert len(shares) == 1


def test_metrics_agree_with_those_they_are_made_of(points, runs):
    wide = points.pivot_table(index=["run", "step"], columns="metric", values="value")
    run = wide.index.get_level_values("run")
    # Where the cue has been balanced, test images have it as the training images have it now.
    balanced = run.map(runs.intervention) == "balanced_cue"
    balanced &= wide.index.get_level_values("step") > run.map(runs.intervention_step)
    rho = np.where(balanced, 0.1, run.map(runs.rho))
    mixed = rho * wide.loss_aligned + (1 - rho) * wide.loss_conflicting
    np.testing.assert_allclose(wide.test_loss, mixed, rtol=3e-5)  # each is rounded to 17 bits
    kinds = ["noise", "blur", "shift", "occlusion", "contrast"]
    each = wide[[f"{kind}_{severity}_accuracy" for kind in kinds for severity in (1, 2, 3)]]
    np.testing.assert_allclose(wide.corrupted_accuracy, each.mean(axis=1), atol=2e-6)


@pytest.mark.parametrize(("metric", "n"), [("test_accuracy", 800), ("blur_3_accuracy", 400), ("noise_1_accuracy", 400)])
def test_stderr_of_a_share_is_binomial(metric, n, points):
    one = points[(points.metric == metric) & points.value.between(0, 1, inclusive="neither")]
    np.testing.assert_allclose(one.stderr, np.sqrt(one.value * (1 - one.value) / n), atol=2e-6)
    np.testing.assert_allclose(n * one.value, (n * one.value).round(), atol=1e-3)


def test_stderr_of_none_or_all_is_that_of_jeffreys(points, runs):
    one = points[(points.metric == "memorized_share") & points.value.isin([0, 1])]
    wrong = (runs.label_noise * runs.train_size).round()
    assert len(one) > 100
    np.testing.assert_allclose(one.stderr, beta(0.5, one.run.map(wrong) + 0.5).std(), atol=2e-6)


def test_memorization_is_logged_exactly_where_labels_are_noisy(points, runs):
    logged = set(points.run[points.metric == "memorized_share"])
    assert logged == set(runs.index[runs.label_noise > 0])
    assert logged != set(runs.index)


def test_losses_end_where_a_run_diverges(points, events):
    diverged = events[events.what == "diverged"]
    assert len(diverged) >= 3
    for run, step in zip(diverged.run, diverged.step, strict=True):
        losses = curve(run, "train_loss")
        accuracies = curve(run, "test_accuracy")
        assert losses.index.max() <= step < accuracies.index.max()


def test_a_spike_is_told_from_the_losses_up_to_it(points, events):
    spikes = events[events.what == "spiked"]
    assert len(spikes) > 20
    for run, step in zip(spikes.run, spikes.step, strict=True):
        losses = curve(run, "train_loss")
        before = losses[losses.index < step]
        assert losses.get(step, np.inf) > max(2 * before.min(), before.min() + 0.5) - 1e-4
        peaks = before > np.maximum(2 * before.cummin(), before.cummin() + 0.5)
        assert not peaks.any(), "the first one"


@pytest.mark.parametrize(
    ("intervention", "metric", "least"),
    [("balanced_cue", "accuracy_gap", 0.05), ("clean_labels", "memorized_share", 0.1)],
)
def test_an_intervention_lowers_what_it_aims_at(intervention, metric, least, points, runs):
    """On the mean over all pairs, those whose baseline never learnt anything included."""
    last = points[(points.metric == metric) & (points.step == points.run.map(runs.last_step))].set_index("run").value
    changed = runs[runs.intervention == intervention]
    effect = last.reindex(changed.index).to_numpy() - last.reindex(changed.baseline).to_numpy()
    assert np.nanmean(effect) < -least


def test_a_lower_rate_is_a_tenth_from_its_step_on(points, runs):
    rates = points[points.metric == "learning_rate"].set_index(["run", "step"]).value
    for name, plan in runs[runs.intervention == "lower_rate"].iterrows():
        own, planned = rates[name], rates[plan.baseline]
        later = own.index >= plan.intervention_step
        np.testing.assert_allclose(own[later], planned[later] / 10, rtol=2e-5)  # each is rounded to 17 bits
        np.testing.assert_array_equal(own[~later], planned[~later])


@pytest.mark.parametrize("run", ["mlp-w16-d1-r010-s2", "mlp-w128-d1-r009-s3", "mlp-w32-d1-r036-s1-clean_labels"])
def test_a_run_is_made_again(run, made_again):
    """Bit for bit on one machine; elsewhere products are summed in another order, which training amplifies.

    So early losses (first 2 % of the run) must agree to 1e-4 and accuracies everywhere to 0.02 (16 of 800 images).
    """
    both = made_again(run)
    error = both.error
    assert error[both.metric.str.endswith("accuracy")].max() <= 0.02
    losses = both.metric.isin(["train_loss", "test_loss", "test_nll", "loss_aligned", "loss_conflicting"])
    assert error[losses & (both.step <= 0.02 * both.step.max())].max() <= 1e-4


@pytest.mark.parametrize("family", ["mlp-w64-d2-r000", "mlp-w32-d1-r003", "mlp-w64-d4-r014"])
def test_the_shortcut_is_learnt_first_and_partly_unlearnt(family, points, runs):
    for run in runs.index[runs.family == family]:
        gap = curve(run, "accuracy_gap")
        early = gap[gap.index <= 0.2 * runs.last_step[run]]
        assert early.max() > 0.4
        assert gap.iloc[-1] < 0.5 * early.max()


def test_a_cue_without_meaning_opens_no_gap(points, runs):
    """The control: the same curves where the cue is independent of the class in training."""
    last = points[points.step == points.run.map(runs.last_step)].pivot_table(
        index="run", columns="metric", values="value"
    )
    learnt = last[(last.index.map(runs.rho) == 0.1) & (last.test_accuracy > 0.7)]
    assert len(learnt) > 30
    gaps = points[(points.metric == "accuracy_gap") & points.run.isin(learnt.index)].groupby("run").value
    assert gaps.agg(lambda gap: gap.abs().max()).quantile(0.9) < 0.1
    assert learnt.accuracy_gap.abs().mean() < 0.02


@pytest.mark.parametrize("family", ["mlp-w256-d1-r002", "mlp-w128-d2-r015"])
def test_wrong_labels_are_memorized_after_the_digits_are_learnt(family, points, runs):
    for run in runs.index[runs.family == family]:
        accuracy, memorized = curve(run, "test_accuracy"), curve(run, "memorized_share")
        learnt = accuracy.index[accuracy > 0.8].min()
        assert memorized[learnt] < 0.2
        assert memorized.iloc[-1] > memorized[learnt] + 0.5


def test_the_aligned_group_is_learnt_before_the_conflicting_group(points, runs):
    """Among runs that learn at all and whose cue means something, the loss of aligned images halves first."""
    means = runs.index[(runs.rho >= 0.8) & (runs.intervention == "none")]
    few = points[points.run.isin(means) & points.metric.isin(["loss_aligned", "loss_conflicting"])]
    wide = few.pivot_table(index=["run", "step"], columns="metric", values="value")
    half = wide[wide.loss_aligned < 0.5 * np.log(10)].groupby("run").head(1)
    assert len(half) > 300
    assert (half.loss_conflicting > half.loss_aligned + 0.05).mean() > 0.9

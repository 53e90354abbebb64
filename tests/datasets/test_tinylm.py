"""The tinylm suite: the committed folder is tidy, its code makes it again, and its curves show what they are for."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SUITE = Path(__file__).parents[2] / "datasets" / "tinylm"
LARGEST, SMALLEST = "n98k", "n2k"
PROBES = {"bracket": 1 / 3, "indentation": 1 / 3, "copying": 1 / 4, "counting": 1 / 10}
REPETITIONS = (4, 16, 64, 128)


@pytest.fixture(scope="module")
def final(points, runs) -> pd.DataFrame:
    """Last value of every metric of every run."""
    last = points[points.step == points.run.map(runs.last_step)]
    return last.pivot_table(index="run", columns="metric", values="value")


def curve(points: pd.DataFrame, run: str, metric: str) -> pd.Series:
    one = points[(points.run == run) & (points.metric == metric)]
    return one.set_index("step").value


def test_the_suite_has_the_sizes_budgets_schedules_and_seeds_it_promises(runs):
    baselines = runs[runs.intervention == "none"]
    assert len(baselines) >= 60
    assert runs.family.nunique() == 6 and runs.parameters.max() >= 32 * runs.parameters.min()
    assert len(runs[["family", "parameters"]].drop_duplicates()) == 6
    recipes = baselines.groupby(["family", "tokens", "schedule"]).size()
    assert len(recipes) == 6 * 3 * 3
    assert set(recipes[recipes > 1].index.get_level_values("family")) == set(runs.family)


def test_outcomes_are_logged_at_the_same_shares_of_every_run(points, runs, metrics):
    checkpoints = points[points.metric == "learning_rate"].groupby("run").step.apply(list)
    for metric in metrics.index[metrics.kind.isin(["capability", "bias", "robustness", "memorization", "loss"])]:
        logged = points[points.metric == metric].groupby("run").step.apply(list)
        pd.testing.assert_series_equal(logged, checkpoints)
    assert all(steps[0] == 0 and steps[-1] == runs.last_step[run] for run, steps in checkpoints.items())
    shares = {tuple(np.divide(steps, runs.last_step[run]).round(6)) for run, steps in checkpoints.items()}
    assert len(shares) == 1
    shares = shares.pop()
    assert 50 <= len(shares) <= 80 and {0.79, 0.93} <= set(shares)


@pytest.mark.parametrize(("metric", "n"), [("bracket_accuracy", 180), ("copying_accuracy", 270), ("extracted_64", 32)])
def test_stderr_of_a_share_is_binomial(metric, n, points):
    one = points[(points.metric == metric) & points.value.between(0, 1, inclusive="neither")]
    assert len(one) > 100
    np.testing.assert_allclose(one.stderr, np.sqrt(one.value * (1 - one.value) / n), atol=2e-6)
    np.testing.assert_allclose(n * one.value, (n * one.value).round(), atol=1e-3)


def test_an_arm_shares_every_point_with_its_baseline_up_to_its_branch(points, runs):
    arms = runs[runs.intervention != "none"]
    assert set((arms.intervention_step / arms.last_step).round(6)) == {0.79, 0.93}
    assert runs.intervention_step[runs.intervention == "none"].isna().all()
    for run, arm in arms.iterrows():
        own, other = (points[points.run == name] for name in (run, arm.baseline))
        own, other = (table[table.step <= arm.intervention_step].drop(columns="run") for table in (own, other))
        pd.testing.assert_frame_equal(own.reset_index(drop=True), other.reset_index(drop=True))


def test_events_tell_when_the_association_was_swapped(runs, events):
    assert set(events.what) == {"swapped_association"}
    assert (events.step == events.run.map(runs.intervention_step)).all()


def test_a_run_is_made_again(made_again):
    """Bit for bit on one machine; elsewhere products are summed in another order, which training amplifies.

    So early losses (first 2 % of the run) must agree to 1e-3 and losses at the end to 0.05.
    """
    both = made_again("n2k-t614k-cosine-s2")
    error = both.error
    losses = both.metric.isin(["train_loss", "validation_loss", "headers_loss", "prose_loss", "shuffled_loss"])
    assert error[losses & (both.step <= 0.02 * both.step.max())].max() <= 1e-3
    assert error[losses].max() <= 0.05


def test_a_text_that_was_changed_is_refused(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("tinylm_corpus", SUITE / "corpus.py")
    corpus = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(corpus)
    assert corpus.decoded(corpus.encoded(corpus.read("validation")[:2000])) == corpus.read("validation")[:2000]
    monkeypatch.setattr(corpus, "HERE", tmp_path)
    (tmp_path / "prose.txt.xz").write_bytes((SUITE / "corpus" / "headers.txt.xz").read_bytes())
    with pytest.raises(ValueError, match=r"prose\.txt\.xz is not the text"):
        corpus.read("prose")


def test_larger_networks_and_budgets_reach_lower_losses(final, runs):
    baselines = runs[runs.intervention == "none"]
    table = baselines.assign(loss=final.validation_loss)
    mean = table.pivot_table(index="tokens", columns="parameters", values="loss")
    assert (mean.diff(axis=1).iloc[:, 1:] < 0).all(axis=None)  # size
    assert (mean.diff().iloc[1:] < 0).all(axis=None)  # budget


def test_other_texts_are_harder_than_held_out_code(final, runs):
    for text in ("headers", "shuffled"):
        assert (final[f"{text}_loss"] > final.validation_loss).all()


def test_probes_start_at_chance_and_emerge_at_different_times(points, runs):
    """Where the largest network stands for good half way between chance and its best, as a share of the run."""
    longest = runs[(runs.family == LARGEST) & (runs.tokens == runs.tokens.max())]
    halves = {}
    for probe, chance in PROBES.items():
        halves[probe] = []
        for run in longest.index:
            accuracy = curve(points, run, f"{probe}_accuracy")
            if probe != "indentation":  # before it is learnt, the same column as before is the likeliest
                assert abs(accuracy[0] - chance) < 0.12
            half = (chance + accuracy.max()) / 2
            below = accuracy.index[accuracy < half]
            halves[probe].append(below.max() / runs.last_step[run])
            assert accuracy.max() > chance + 0.15, (run, probe)
    assert max(map(np.mean, halves.values())) > min(map(np.mean, halves.values())) + 0.2


def test_memorization_grows_with_repetitions(final, runs):
    baselines = final[(runs.intervention == "none").reindex(final.index)]
    shares = baselines[[f"extracted_{n}" for n in REPETITIONS]].mean()
    assert shares.is_monotonic_increasing
    assert shares.iloc[0] < 0.02 and shares.iloc[-1] > shares.iloc[0] + 0.2
    losses = baselines[[f"string_loss_{n}" for n in (0, *REPETITIONS)]].mean()
    assert losses.is_monotonic_decreasing


def test_strings_shown_late_are_not_known_early(points, runs):
    run = f"{LARGEST}-t2457k-wsd-s1"
    late = curve(points, run, "string_loss_late")
    control = curve(points, run, "string_loss_0")
    before = late.index <= 0.6 * runs.last_step[run]
    assert abs(late[before].iloc[-1] - control[before].iloc[-1]) < 0.5
    assert late.iloc[-1] < control.iloc[-1] - 2


def test_the_association_is_learnt_and_swapped(final, runs):
    """Of the two largest sizes: how far the gap follows the swap grows with the learning rate that is left."""
    arms = runs[(runs.intervention != "none") & runs.family.isin(["n55k", LARGEST])]
    before = final.association_gap[arms.baseline].to_numpy()
    fallen = before - final.association_gap[arms.index]
    assert (before > 0.3).all()
    long = arms.intervention_step < 0.8 * arms.last_step
    assert (fallen[long] > 0.1).all()
    assert (final.association_gap[arms.index[long & (arms.schedule == "constant")]] < 0).all()
    short = fallen[~long].groupby(arms.schedule).mean()
    assert short["constant"] > short["wsd"] > short["cosine"] + 0.05
    assert short["cosine"] < 0.05


def test_trials_of_schedules_are_paired_by_seed_and_logged_as_planned():
    """Parts share no run; a seed has one beginning under all schedules; the peaks of the test are those tuned."""
    parts = ("pilots", "tuning", "designs", "test")
    folders = {part: SUITE / "schedules" / part for part in parts}
    runs = {part: pd.read_csv(folder / "runs.csv", index_col="run") for part, folder in folders.items()}
    points = {part: pd.read_parquet(folder / "points.parquet") for part, folder in folders.items()}
    names = [run for table in runs.values() for run in table.index]
    assert len(names) == len(set(names))
    assert not set(runs["test"].seed) & set(runs["tuning"].seed) and set(runs["tuning"].seed) == set(
        runs["designs"].seed
    )
    learnt = {(row.parameters, row.last_step) for row in runs["pilots"].itertuples()}
    tested = {(row.parameters, row.last_step) for row in runs["test"].itertuples()}
    assert len(tested) == 1 and not {one[0] for one in tested} & {one[0] for one in learnt}
    assert not {one[1] for one in tested} & {one[1] for one in learnt} and tested.pop()[1] not in (600, 1200, 2400)
    counts = runs["test"].groupby("schedule").seed.nunique()
    assert set(counts.index) == {"designed", "cosine", "linear", "wsd"} and counts.max() == counts.min() >= 5
    first = points["test"].query("metric == 'validation_loss' and step == 0").set_index("run").value
    of_seed = first.groupby(runs["test"].seed.reindex(first.index))
    assert (of_seed.max() == of_seed.min()).all() and len(set(first)) == counts.iloc[0]
    last = points["test"].query("metric == 'learning_rate'").sort_values("step").groupby("run").value
    named = runs["test"].schedule != "designed"
    assert (last.last()[named[named].index] == 0).all()
    table = pd.read_csv(SUITE / "schedules" / "designed.csv")
    end = table[table.peak == 1].rate.iloc[-1]
    np.testing.assert_allclose(last.last()[named[~named].index], end, rtol=1e-4)
    np.testing.assert_allclose(last.max(), runs["test"].peak_learning_rate.reindex(last.max().index), rtol=0.06)
    tuned = pd.concat([runs["tuning"], runs["designs"]]).assign(
        last=pd.concat([points["tuning"], points["designs"]])
        .query("metric == 'validation_loss'").sort_values("step").groupby("run").value.last()
    )  # fmt: skip
    assert (tuned.groupby("schedule").peak_learning_rate.nunique() == 3).all()
    mean = tuned.groupby(["schedule", "peak_learning_rate"], as_index=False)["last"].mean()
    best = mean.loc[mean.groupby("schedule")["last"].idxmin()].set_index("schedule").peak_learning_rate
    chosen = runs["test"].groupby("schedule").peak_learning_rate
    assert (chosen.max() == chosen.min()).all() and (chosen.max() == best.reindex(chosen.max().index)).all()

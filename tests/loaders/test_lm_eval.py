"""Harness results: every style of file, names of runs, steps, families, and two real trees."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from predictdyn.curves import Curves
from predictdyn.loaders import lm_eval
from predictdyn.loaders.engine.names import families_of

pytestmark = pytest.mark.filterwarnings("ignore:the planned length")


def write(file: Path, results: dict[str, object] | None = None, arguments: object = None, **more: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    results = {"piqa": {"acc": 0.5}} if results is None else results
    file.write_text(json.dumps({"results": results, "config": {"model_args": arguments, "num_fewshot": 0}} | more))


def values(curves: Curves) -> dict[tuple[str, str, float], float]:
    keys = map(tuple, curves.points[["run", "metric", "step"]].to_numpy())
    return dict(zip(keys, curves.points["value"], strict=True))


def test_old_and_new_style_give_the_same(tmp_path: Path) -> None:
    old = {"sciq": {"acc": 0.75, "acc_stderr": 0.01, "acc_norm": 0.5}}
    new = {"sciq": {"alias": "sciq", "acc,none": 0.75, "acc_stderr,none": 0.01, "acc_norm,none": 0.5, "sample_len": 9}}
    new["sciq"]["acc_norm_stderr,none"] = "N/A"
    for name, results in (("old", old), ("new", new)):
        write(tmp_path / name / "a_step5.json", results)
    points = [lm_eval.load(tmp_path / name).points for name in ("old", "new")]
    assert points[0].metric.tolist() == ["sciq acc", "sciq acc_norm"]
    assert points[0]["stderr"].fillna(-1).tolist() == [0.01, -1]
    pd.testing.assert_frame_equal(*points)


def test_a_model_whose_checkpoints_end_before_those_of_the_others_has_not_ended(tmp_path: Path) -> None:
    for model, steps in (("a", (10, 20, 40)), ("b", (10, 20, 40)), ("c", (10, 20))):
        for step in steps:
            write(
                tmp_path / model / f"{step}.json", {"piqa": {"acc": 0.5}}, f"pretrained=lab/{model},revision=step{step}"
            )
    with pytest.warns(
        UserWarning, match=r"1 of 3 run\(s\) end before .*\(planned end: 40\): c; if they ended as planned"
    ):
        curves = lm_eval.load(tmp_path)
    assert curves.runs["last_step"].tolist() == [40, 40, 40]
    assert lm_eval.load(tmp_path, last_step="logged").runs["last_step"].tolist() == [40, 40, 20]


def test_aggregates_are_kept_apart_and_filters_stay(tmp_path: Path) -> None:
    results = {
        "mmlu": {"acc,none": 0.25, "alias": "mmlu"},
        "mmlu_law": {"acc,none": 0.5},
        "gsm8k": {"exact_match,strict-match": 0.1, "exact_match,flexible-extract": 0.2},
        "ai2_arc": {" ": " ", "alias": "arc"},
    }
    more = {"groups": {"mmlu": {"acc,none": 0.25}}, "group_subtasks": {"mmlu": ["mmlu_law"], "mmlu_law": []}}
    write(tmp_path / "a_step5.json", results, **more)
    curves = lm_eval.load(tmp_path)
    assert {metric: value for (_, metric, _), value in values(curves).items()} == {
        "group/mmlu acc": 0.25,
        "mmlu_law acc": 0.5,
        "gsm8k exact_match,strict-match": 0.1,
        "gsm8k exact_match,flexible-extract": 0.2,
    }
    assert curves.metrics["group/mmlu acc"].chance == 0.25


@pytest.mark.parametrize(
    ("file", "arguments", "run", "step"),
    [
        ("x/a_step7.json", "pretrained=org/pythia-70m,revision=step7", "pythia-70m", 7),
        ("x/results_2024-05-01T12-00-00.123456.json", "pretrained=org/m,revision=step1000-tokens2B", "m", 1000),
        ("x/results.json", "pretrained=out/run1/checkpoint-500,dtype=float16", "run1", 500),
        ("x/results.json", {"pretrained": "out/run1/global_step40/"}, "run1", 40),
        ("x/results.json", {"iteration": 3000, "load": "y"}, "x", 3000),
        ("x/410m-deduped_step64.json", None, "410m-deduped", 64),
        ("x/eval_results_410m-deduped_64000.json", {"config_files": {}}, "410m-deduped", 64000),
        ("run2/step30/results.json", None, "run2", 30),
        ("run2-step30/eval_results_02-15-2023-21-59-54.json", None, "run2", 30),
        ("x/1000.json", None, "x", 1000),
    ],
)
def test_run_and_step(tmp_path: Path, file: str, arguments: object, run: str, step: int) -> None:
    write(tmp_path / "tree" / file, arguments=arguments)
    assert list(values(lm_eval.load(tmp_path / "tree"))) == [(run, "piqa acc", step)]


def test_one_file_is_one_checkpoint(tmp_path: Path) -> None:
    write(tmp_path / "run3" / "results_20.json")
    assert list(values(lm_eval.load(tmp_path / "run3" / "results_20.json"))) == [("run3", "piqa acc", 20)]


def test_config_and_name_that_differ_must_be_decided(tmp_path: Path) -> None:
    write(tmp_path / "a_step20.json", arguments="pretrained=a,revision=step10")
    with pytest.raises(ValueError, match=r"a_step20.json: its config says step 10, its name 20; .*step_from='config'"):
        lm_eval.load(tmp_path)
    steps = [lm_eval.load(tmp_path, step_from=which).points["step"].tolist() for which in ("config", "name")]
    assert steps == [[10], [20]]


def test_equal_names_are_kept_apart_by_the_folders_that_differ(tmp_path: Path) -> None:
    for arm in ("base", "swap"):
        write(tmp_path / "suite" / arm / "raw" / "m_step1.json", {"piqa": {"acc": 0.5}}, "pretrained=m-70m")
        write(tmp_path / "suite" / arm / "raw" / "m_step2.json", {"piqa": {"acc": 0.5}}, "pretrained=m-70m")
    write(tmp_path / "suite" / "n_step2.json", arguments="pretrained=n-70m")
    curves = lm_eval.load(tmp_path)
    assert list(values(curves)) == [
        ("base/m-70m", "piqa acc", 1), ("base/m-70m", "piqa acc", 2), ("n-70m", "piqa acc", 2),
        ("swap/m-70m", "piqa acc", 1), ("swap/m-70m", "piqa acc", 2),
    ]  # fmt: skip
    assert curves.runs["family"].to_dict() == {"base/m-70m": "m-70m", "swap/m-70m": "m-70m", "n-70m": "n-70m"}
    assert curves.runs["params"].tolist() == [7e7] * 3


def test_files_of_one_checkpoint_with_other_tasks_are_one_run(tmp_path: Path) -> None:
    write(tmp_path / "one" / "m_step1.json", {"piqa": {"acc": 0.5}}, "pretrained=m")
    write(tmp_path / "two" / "m_step1.json", {"sciq": {"acc": 0.25}}, "pretrained=m")
    assert list(values(lm_eval.load(tmp_path))) == [("m", "piqa acc", 1), ("m", "sciq acc", 1)]


def test_the_same_value_twice_in_a_folder_names_both_files(tmp_path: Path) -> None:
    write(tmp_path / "m_step1.json", arguments="pretrained=m")
    write(tmp_path / "m_step1_again.json", arguments="pretrained=m")
    with pytest.raises(ValueError, match=r"m_step1_again.json: run 'm', .* is repeated from .*m_step1.json"):
        lm_eval.load(tmp_path)


def test_runs_csv_gives_plan_covariates_and_names(tmp_path: Path) -> None:
    write(tmp_path / "zero" / "m-70m" / "x_step1.json", arguments="pretrained=org/m-v1.1-70m")
    (tmp_path / "runs.csv").write_text(
        "model,num_fewshot,train_steps,last_step,n_checkpoints,width\nm-70m,5,90,9,3,1\nm-70m,0,80,8,3,2\nother,0,1,1,1,1\n"
    )
    with pytest.warns(UserWarning, match=r"runs.csv states facts of runs \(no data lost\); name another .* runs_file="):
        runs = lm_eval.load(tmp_path / "zero").runs
    assert runs.index.tolist() == ["m-70m"]
    assert runs.iloc[0][["family", "last_step", "width", "params"]].tolist() == ["m-70m", 80, 2, 7e7]
    assert "n_checkpoints" not in runs
    (tmp_path / "runs.csv").write_text("run,family\nm-70m,mine\n")
    assert lm_eval.load(tmp_path).runs["family"].tolist() == ["mine"]
    assert lm_eval.load(tmp_path, family="(m)-", last_step="7").runs[["family", "last_step"]].to_numpy().tolist() == [
        ["m", 7]
    ]
    (tmp_path / "runs.csv").write_text("run,family\nother,mine\n")
    with pytest.raises(ValueError, match=r"x_step1.json: .*runs.csv has no row for it: .*m-70m.*\(other"):
        lm_eval.load(tmp_path)


def test_families_of_copies_and_forks() -> None:
    names = {
        "pythia-2.8b": "pythia-2.8b", "pythia-2.8b-deduped": "pythia-2.8b", "pythia-1b-bf16": "pythia-1b",
        "pythia-1b-v0": "pythia-1b", "pythia-70m-seed3": "pythia-70m", "mlp_s1": "mlp", "mlp": "mlp", "seed1": "seed1",
        "2.8B-deduped": "pythia-2.8b", "33m": "33m", "sgd_s1_long": "sgd",
    }  # fmt: skip
    assert families_of(names) == names


def test_what_is_known_of_metrics(tmp_path: Path) -> None:
    results = {
        "lambada_openai": {"acc": 0.1, "ppl": 5e6},
        "crows_pairs_english": {"pct_stereotype": 0.6, "likelihood_difference": 3.5},
        "hendrycksTest-law": {"acc": 0.25, "acc_norm": 0.25},
        "odd": {"rate": 4},
    }
    write(tmp_path / "m_step1.json", results)
    metrics = lm_eval.load(tmp_path).metrics
    assert {name: tuple(metric)[1:6] for name, metric in metrics.items()} == {
        "lambada_openai acc": ("capability", 0, 1, "higher", 0.0),
        "lambada_openai ppl": ("capability", 1, None, "lower", None),
        "crows_pairs_english pct_stereotype": ("bias", 0, 1, None, 0.5),
        "crows_pairs_english likelihood_difference": ("bias", 0, None, None, None),
        "hendrycksTest-law acc": ("capability", 0, 1, "higher", 0.25),
        "hendrycksTest-law acc_norm": ("capability", 0, 1, "higher", 0.25),
        "odd rate": ("signal", None, None, None, None),
    }


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("PREDICTDYN_DATA")
    if not folder:
        pytest.skip("PREDICTDYN_DATA is not set: the folder with pythia_evals and pythia_bias")
    return Path(folder)


@pytest.fixture(scope="module")
def evals(data: Path) -> Curves:
    return lm_eval.load(data / "pythia_evals")


@pytest.fixture(scope="module")
def bias(data: Path) -> Curves:
    return lm_eval.load(data / "pythia_bias", last_step="logged")


def test_pythia_evals_is_read_whole(evals: Curves, data: Path) -> None:
    task = evals.points["metric"].str.rsplit(" ", n=1).str[0]
    per_run = evals.points.assign(task=task).groupby("run").agg(steps=("step", "nunique"), tasks=("task", "nunique"))
    assert len(per_run) == 12
    assert set(per_run["steps"]) == {27}
    assert set(per_run["tasks"]) == {87}
    assert evals.points["stderr"].notna().all()
    # Another road to the same count: all numbers in all files.
    files = [json.loads(file.read_text())["results"] for file in (data / "pythia_evals").rglob("*.json")]
    assert len(evals.points) == sum(not n.endswith("_stderr") for r in files for row in r.values() for n in row)


def test_pythia_evals_knows_its_runs(evals: Curves) -> None:
    runs = evals.runs
    assert runs["last_step"].unique().tolist() == [143000]
    assert runs["family"].nunique() == 6
    assert runs.loc["pythia-2.8b", "family"] == runs.loc["pythia-2.8b-deduped", "family"]
    assert runs.loc["pythia-410m", ["params", "layers", "num_fewshot"]].tolist() == [4.1e8, 24, 0]
    assert not {"n_checkpoints", "first_step"} & set(runs)


def test_pythia_evals_one_value_by_hand(evals: Curves, data: Path) -> None:
    row = json.loads((data / "pythia_evals/zero-shot/pythia-410m/410m_step1000.json").read_text())["results"]["piqa"]
    curve = evals.series["pythia-410m", "piqa acc"]
    at = curve.step.tolist().index(1000)
    assert (curve.value[at], curve.stderr[at]) == (row["acc"], row["acc_stderr"])


def run_of(suite: str, size: str, arm: str) -> str:
    """The run that holds an arm: what its raw files say of it."""
    if suite == "winobias_v1":
        long = "-long" if arm == "intervention_21pct" else ""
        return size.upper() if arm == "baseline" else f"{size}-deduped{long}"
    if suite == "crows_v0":
        front = {"baseline": "pythia", "intervention_7pct": "intervention", "intervention_21pct": "long-intervention"}
        return f"{front[arm]}-{size}-deduped"
    front_v1, end = ("", "") if arm == "baseline" else ("intervention-", "-long" * (arm == "intervention_21pct"))
    return f"{front_v1}pythia-v1.1-{size}-deduped{end}"


def test_pythia_bias_is_its_tidied_table(bias: Curves, data: Path) -> None:
    oracle = pd.read_csv(data / "pythia_bias" / "bias_tidy.csv.gz", dtype=str)
    keys = zip(oracle["suite"], oracle["size"], oracle["arm"], strict=True)
    expected = pd.DataFrame(
        {
            "run": [run_of(*key) for key in keys],
            "metric": oracle["task"] + " " + oracle["metric"],
            "step": oracle["step"].map(int),
            "value": oracle["value"].map(float),
            "stderr": oracle["stderr"].map(float),
        }
    ).sort_values(["run", "metric", "step"], ignore_index=True)
    assert len(bias.points) == len(oracle)
    pd.testing.assert_frame_equal(bias.points, expected, check_exact=True, check_dtype=False)


def test_pythia_bias_holds_the_arms_of_a_size_together(bias: Curves) -> None:
    family = bias.runs["family"]
    assert len(family) == 19
    assert set(family) == {f"pythia-{size}" for size in ("19m", "350m", "1.3b", "70m", "410m", "1.4b")}
    assert family["1.4B"] == family["intervention-pythia-v1.1-1.4b-deduped-long"] == "pythia-1.4b"
    assert {bias.metrics[name].kind for name in bias.metrics if name.startswith("wino_bias")} == {"bias"}


def test_a_damaged_file_among_good_ones_is_left_out_and_said(tmp_path: Path) -> None:
    for step in (0, 10, 20):
        content = {"results": {"piqa": {"acc": 0.5 + step / 100}}, "config": {"model_args": "pretrained=x/m"}}
        (tmp_path / f"m_step{step}.json").write_text(json.dumps(content))
    (tmp_path / "m_step20.json").write_text('{"results": {"piqa": {"acc": 0.')
    with pytest.warns(
        UserWarning, match=r"1 damaged file\(s\) left out, the others are read: .*m_step20.json: not JSON"
    ):
        curves = lm_eval.load(tmp_path)
    assert curves.points[["step", "value"]].to_numpy().tolist() == [[0, 0.5], [10, 0.6]]
    assert lm_eval.sniff(tmp_path / "m_step20.json")  # its name and beginning are those of a result


@pytest.mark.parametrize("name", ["groups", "group_subtasks"])
def test_what_names_no_groups_is_no_crash(tmp_path: Path, name: str) -> None:
    content = {"results": {"piqa": {"acc": 0.5}}, name: ["piqa"], "config": {"model_args": "pretrained=x/m"}}
    (tmp_path / "m_step1.json").write_text(json.dumps(content))
    assert lm_eval.load(tmp_path).points["value"].tolist() == [0.5]


def test_a_number_of_400_digits_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "m_step1.json").write_text('{"results": {"piqa": {"acc": ' + "9" * 400 + "}}}")
    with pytest.raises(ValueError, match=r"m_step1.json: piqa acc must be a number, found '9{60}'"):
        lm_eval.load(tmp_path)

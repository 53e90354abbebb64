"""What is known of metrics by their names: the tables, the rules of looking them up, and the page that shows them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from predictdyn.curves import Kind, Metric
from predictdyn.loaders.engine.companions import read_metrics
from predictdyn.loaders.engine.facts import (
    fitted,
    fitted_to_runs,
    is_clock,
    log_metric,
    log_metrics,
    looks_like_outcome,
    plain_name,
)
from predictdyn.loaders.engine.log_metrics import (
    AROUND,
    BEHIND,
    CLOCKS,
    FAMILIES,
    FRONT,
    LOG,
    PARTS,
    TABLE,
    Family,
)
from predictdyn.loaders.engine.metric_page import documented
from predictdyn.loaders.engine.notes import may_hurt

# Names that tools write, each with kind and range.
NAMES = {
    "eval/accuracy": ("capability", 0, 1), "val_loss": ("loss", 0, None), "validation/loss": ("loss", 0, None),
    "eval_loss": ("loss", 0, None), "Loss/train": ("loss", 0, None), "eval/c4_en-validation/CrossEntropyLoss":
    ("loss", 0, None), "metrics/eval/LanguageCrossEntropy": ("loss", 0, None), "loss/train/total": ("loss", 0, None),
    "eval/c4_en-validation/Perplexity": ("loss", 1, None), "grad_norm": ("signal", 0, None),
    "optim/total_grad_norm": ("signal", None, None), "lr-Adam": ("schedule", 0, None),
    "lr-AdamW/pg1": ("schedule", 0, None), "lr-DecoupledAdamW/group0": ("schedule", 0, None),
    "train/learning_rate": ("schedule", 0, None), "optim/learning_rate_group0": ("schedule", 0, None),
    "lambada_openai acc": ("capability", 0, 1), "lambada_openai/acc,none": ("capability", 0, 1),
    "lambada_openai ppl": ("capability", 1, None), "eval_matthews_correlation": ("capability", -1, 1),
    "eval_mnli_accuracy": ("capability", 0, 1), "top5_err": ("capability", 0, 1), "eval_wer": ("capability", 0, None),
    "rollout/ep_rew_mean": ("capability", None, None), "eval/mean_reward": ("capability", None, None),
    "train/ent_coef_loss": ("signal", None, None),
    "train/value_loss": ("signal", None, None), "train/entropy_loss": ("signal", None, None),
    "train/policy_gradient_loss": ("signal", None, None), "train/loss": ("loss", 0, None),
    "test_worst_group_accuracy": ("bias", 0, 1), "accuracy_gap": ("bias", -1, 1), "val/ece": ("robustness", 0, 1),
    "brier_score": ("robustness", 0, 2), "corrupted_accuracy": ("robustness", 0, 1),
    "extraction_rate": ("memorization", 0, 1), "memorized_pct": ("memorization", 0, 100),
    "train_samples_per_second": ("signal", 0, None), "wino_bias/acc": ("bias", 0, 1), "my_loss": ("signal", None, None),
    "glossy": ("signal", None, None), "train": ("signal", None, None), "": ("signal", None, None),
    "val_acc/dataloader_idx_0": ("capability", 0, 1), "train_loss_step": ("loss", 0, None),
    "metrics/mAP50-95(B)": ("capability", 0, 1), "eval_bleu": ("capability", 0, 1), "sacrebleu": ("capability", 0, 100),
    "training_accuracy_score": ("capability", 0, 1),
    "val/psnr": ("capability", None, None), "eval/fid": ("capability", 0, None), "val/ssim": ("capability", -1, 1),
    "accuracy_pct": ("capability", 0, 100), "mfu(%)": ("signal", 0, 100), "val_gap": ("bias", -1, 1),
    "generalization_gap": ("robustness", None, None), "hendrycksTest-law acc": ("capability", 0, 1),
    "Cost": ("loss", 0, None), "train/cost": ("loss", 0, None), "ep_cost": ("signal", None, None),
    "policy/cost": ("signal", None, None), "avg_cost": ("loss", 0, None),
    "train/batch_cost": ("signal", None, None),
    "train/reader_cost": ("signal", None, None), "Cost/val": ("loss", 0, None), "total_cost": ("signal", None, None),
    "gpu/cost": ("signal", None, None), "trl": ("loss", 0, None),
    "tel": ("loss", 0, None), "PER": ("capability", 0, None), "valid PER": ("capability", 0, None),
    "val_per": ("capability", 0, None), "dev/PER": ("capability", 0, None), "per": ("signal", None, None),
    "steps_per_epoch": ("signal", None, None), "batch_per": ("signal", None, None), "SUPER": ("signal", None, None),
    "phoneme_error_rate": ("capability", 0, None), "P": ("signal", None, None), "R": ("signal", None, None),
    "validation perplexity": ("loss", 1, None), "lm loss validation ppl": ("loss", 1, None),
}  # fmt: skip
# More of them, by kind and by the tool that makes the name.
KINDS = {
    "loss": {
        "Lightning": "train_loss_epoch, val_loss/dataloader_idx_1, val_loss_step/dataloader_idx_0",
        "Keras": "epoch_loss, batch_loss, evaluation_loss_vs_iterations, epoch_val_loss, val_mae, epoch_mse",
        "Ultralytics": "train/box_loss, val/cls_loss, train/dfl_loss, train/obj_loss",
        "detectron2": "total_loss, loss_cls, loss_box_reg, box_reg_loss, loss_rpn_cls, loss_rpn_loc, loss_mask",
        "torchvision": "loss_classifier, loss_objectness, loss_rpn_box_reg",
        "OpenMMLab": "loss_bbox, s0.loss_cls, d0.loss_cls, decode.loss_ce, loss_centerness",
        "DETR": "train_loss_ce, train_loss_giou_unscaled, train_loss_bbox_0",
        "Megatron": "lm loss, val/lm_loss_value, lm_loss_value, val/lm_loss_PPL, lm loss vs samples, mtp_loss",
        "NeMo": "reduced_train_loss",
        "torchtitan": "loss_metrics/global_avg_loss, validation_metrics/global_avg_loss",
        "boosting": "train-logloss, validation_0-logloss, valid_0's binary_logloss, valid_0's l2, training-l2, "
        "test-rmse",
        "ESPnet, fairseq": "valid_loss_ctc, valid/nll_loss, valid_ppl",
        "by hand": "valLoss, TrainingLoss, trainloss, Loss.train, running_loss, avg_loss, mean_loss, ema_loss, "
        "Loss_avg",
        "data in front": "eval_c4/loss, pile/val_loss, c4/loss, task_1/eval_loss, lr_0.001/val_loss",
    },
    "capability": {
        "Lightning": "train_acc_step, train_acc_epoch",
        "Keras": "epoch_accuracy, auc_1, val_precision_2, epoch_sparse_categorical_accuracy, "
        "top_k_categorical_accuracy",
        "Ultralytics": "metrics/mAP50(B), metrics/mAP50-95B, metrics/precision(M), metrics/recallB, fitness, "
        "metrics/mAP_0.5:0.95, metrics/accuracy_top1",
        "detectron2": "bbox/AP, bbox/AP50, bbox/APs, bbox/AP-person, segm/AP75, box_proposals/AR@100",
        "OpenMMLab": "coco/bbox_mAP, coco/bbox_mAP_50, coco/segm_mAP_s, pascal_voc/AP50, accuracy/top1, mIoU, mAcc, "
        "aAcc, decode.acc_seg, single-label/f1-score",
        "boosting": "validation_0-auc, valid_0's auc, train-auc-mean, eval-merror, train-map@10",
        "torchvision, timm": "Acc@1, Acc@1_avg, prec@5, eval_top1, top-5 accuracy, test_class_error",
        "Ray, RLlib": "mean_accuracy, ray/tune/mean_accuracy, episode_reward_mean, env_runners/episode_return_mean",
        "RL": "charts/episodic_return, AverageEpRet, Train/mean_reward, Environment/Cumulative Reward, returns, "
        "Reward / Total reward (mean), test/returns_stat/mean, critic/score/mean, val-core/openai/gsm8k/acc/mean@1",
        "TRL": "reward, rewards/accuracies, eval_rewards/accuracies, rewards/format_reward, rewards/think_reward/mean",
        "language": "BLEU-4, val/sacrebleu, eval_rougeLsum, rouge1_fmeasure, meteor, WER, training_batch_wer, "
        "eval_cer, eval_squad_f1, eval_exact_match, pass@10",
        "retrieval": "recall@5, ndcg_at_10, MRR, eval_NanoMSMARCO_cosine_ndcg@10, sts-dev_spearman_cosine",
        "classes": "F1Score, macro_f1, f1-macro, weighted avg/f1-score, f_score, val_fbeta_score, F-measure, "
        "MulticlassF1Score, val_MulticlassAccuracy",
        "pictures": "PSNR, FID, metrics/fid50k_full, LPIPS, inception_score_mean, dice_coef, val_miou",
        "scikit-learn": "training_accuracy_score, training_roc_auc, balanced_accuracy_score, test_precision_score",
        "errors": "EER, miss_rate, error_rate, testerr, top1_error",
        "by hand": "valAcc, EvalAccuracy, trainAcc, valacc, best_val_acc, acc_val_top1, ema_acc, avg_test_accuracy, "
        "acc (%),   val_acc , Val. Acc, score, mean_test_score",
        "data in front": "cifar10_test_acc, fold_0/val_acc, client_3/test_accuracy, eval/downstream/arc_easy_acc",
    },
    "bias": {"gaps": "gap, eval/gap, acc_gap, f1_gap, test_auc_gap, tpr_gap, gender_gap_epoch, val_worst_group_acc"},
    "robustness": {"suffixes": "ece_step, epoch_ece, test_ood_acc, adv_acc, train_test_gap, generalisation_gap"},
    "memorization": {"suffixes": "extracted_16, extraction_rate_epoch, val/exposure, memorized_percent"},
    "schedule": {
        "rates": "lr/pg0, x/lr0, epoch_learning_rate, lr-SGD/pg1-momentum, optim/lr, charts/learning_rate, lr_epoch"
    },
    "signal": {
        "false friends": "lossless_ratio, accuracy_threshold, map_size, loss_scale, loss_weight, lr_loss_weight, "
        "step_time, epoch_time, recall_budget, score_threshold, best_epoch, cosine_f1_threshold, "
        "loss_weights/box_loss, mapping, precision_mode, return_code, num_errors, accelerator, gaps, bleeding, "
        "reward_scale, is_best, "
        "agi_eval_lsat_lr",
        "terms": "kl_loss, train/kl_loss, aux_loss, reg_loss, reg_loss_7, losses/policy_loss, losses/td_loss, "
        "actor/loss, critic/loss, "
        "g_loss, loss/policy_avg, loss/value_avg, Loss/value_function, commitment_loss, router_z_loss, rewards/chosen",
        "scatter": "loss_std, std_val_loss, reward_std, train_loss_std, n_val_loss, rewards/format_reward/std",
        "speed and size": "charts/SPS, rollout/ep_len_mean, data_time, eta_seconds, actor/grad_norm, perf/mfu",
        "not known": "objective, my_loss, string_loss_16, embedding_top3_share, number of nan iterations",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_tools_write(name: str) -> None:
    metric = log_metric(name)
    assert (metric.name, *metric[1:4]) == (name, *NAMES[name])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, id=f"{tool}: {name}")
        for kind, tools in KINDS.items()
        for tool, names in tools.items()
        for name in names.split(", ")
    ],
)
def test_kinds_of_names_that_tools_write(name: str, kind: str) -> None:
    assert log_metric(name).kind == kind


def test_every_row_is_a_plain_name_of_one_table_and_no_clock() -> None:
    assert all(name == plain_name(name) for name in [*LOG, *CLOCKS])
    assert len(LOG) == sum(len(rows) for rows in TABLE.values())
    assert not set(LOG) & set(CLOCKS)


@pytest.mark.parametrize(
    "name",
    ["valLoss", "metrics/mAP50-95(B)", "acc (%)", "  blanks  ", "BCELoss", "EpRewMean", "R2Score", "Ünïcode/é", ""],
)
def test_a_plain_name_is_plain(name: str) -> None:
    assert plain_name(plain_name(name)) == plain_name(name)
    assert re.fullmatch(r"[a-z0-9_]*", plain_name(name))


@pytest.mark.parametrize("known", sorted(LOG))
def test_affixes_never_change_the_kind(known: str) -> None:
    front = [f"{word}_{known}" for word in (*PARTS, *AROUND, *FRONT)]
    endings = (*PARTS, *AROUND, *BEHIND, "7", "v2", "dataloader_idx_3", "vs_iterations")
    behind = [f"{known}_{word}" for word in endings]
    signs = [f"Train/{known}", f"{known}/dataloader_idx_0", f" {known} ", f"val_{known}_epoch", f"mean {known}(B)"]
    kinds = {name: log_metric(name).kind for name in (*front, *behind, *signs)}
    assert {name: kind for name, kind in kinds.items() if kind != LOG[known].kind} == {}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.examples)
def test_every_example_of_a_family_is_known(family: Family) -> None:
    assert {log_metric(example)[1:6] for example in family.examples.split(", ")} == {family.fact}


@pytest.mark.parametrize(
    "name", ["gap_" * 3000 + "gap", "mean_" * 5000, "ap" + "1" * 20000 + "x", "x/" * 5000 + "loss_"]
)
def test_names_of_any_length_are_looked_up(name: str) -> None:
    assert log_metric(name).kind in get_args(Kind)


@pytest.mark.parametrize("name", ["train/epoch", "_step", "_runtime", "trainer/global_step", "num_input_tokens_seen"])
def test_clocks_are_no_metrics(name: str) -> None:
    assert is_clock(name)
    assert not is_clock(f"{name}_size")


@pytest.mark.parametrize(
    ("name", "low", "high", "lower", "upper", "chance"),
    [
        ("eval_top1", 10.0, 78.434, 0, 100, None),  # as timm has it
        ("Acc@1", 0.1, 75.93, 0, 100, None),
        ("bbox/AP", 15.6, 25.2, 0, 100, None),
        ("piqa acc", 48.0, 71.5, 0, 100, 50),
        ("eval_mcc", -3.0, 61.0, -100, 100, 0),
        ("acc_gap", -12.5, 4.0, -100, 100, 0),
        ("mfu", 38.0, 41.5, 0, 100, None),
    ],
)
def test_percent_is_seen_in_the_values(
    name: str, low: float, high: float, lower: float, upper: float, chance: float | None
) -> None:
    metric, line = fitted(log_metric(name), low, high)
    assert metric == log_metric(name)._replace(lower=lower, upper=upper, chance=chance)
    assert line == f"{name} is in percent: its values run from {low:g} to {high:g}, so its range is {lower} to {upper}"


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("val_acc", 0.0, 1.0),
        ("val_acc", 0.2, 1.0000004),
        ("eval_mcc", -1.0, 0.3),
        ("eval_wer", 0.3, 140.0),
        ("loss", 0, 9e9),
    ],
)
def test_values_in_their_range_change_nothing(name: str, low: float, high: float) -> None:
    assert fitted(log_metric(name), low, high) == (log_metric(name), None)


@pytest.mark.parametrize(
    ("name", "low", "high", "lower", "upper", "row"),
    [
        ("val_acc", 0.5, 170.0, 0, None, "val_acc,capability,0,UPPER,higher,"),
        ("val_acc", -3.0, 70.0, None, None, "val_acc,capability,LOWER,UPPER,higher,"),
        ("val_acc", 0.1, 1.01, 0, None, "val_acc,capability,0,UPPER,higher,"),  # no percent
        ("val_nll", -2.0, 3.0, None, None, "val_nll,loss,LOWER,,lower,"),
        ("r2", -4.0, 1.5, None, None, "r2,capability,,UPPER,higher,"),
        ("gsm8k exact_match,none", -1, 0.5, None, 1, '"gsm8k exact_match,none",capability,LOWER,1,higher,'),
    ],
)
def test_a_broken_bound_is_given_up_and_the_row_to_write_is_said(
    name: str, low: float, high: float, lower: float | None, upper: float | None, row: str, tmp_path: Path
) -> None:
    metric, line = fitted(log_metric(name), low, high)
    assert metric == log_metric(name)._replace(lower=lower, upper=upper, chance=None)
    assert line is not None
    assert line.startswith(f"{name} runs from {low:g} to {high:g}, outside ")
    assert "the bound is given up" in line
    assert f"the row {row}, and name it with metrics_file=FILE" in line
    # What the line says to write is a table that a loader takes.
    (header,) = re.findall(r"the header (\S+)", line)
    table = tmp_path / "metrics.csv"
    table.write_text(f"{header}\n{row.replace('LOWER', '-200').replace('UPPER', '200')}\n")
    (stated,) = read_metrics(table).values()
    assert (stated.name, stated.kind) == (name, metric.kind)


SHARES = {f"s{i}": (0.2, 0.93) for i in range(3)}
PERCENT = {f"p{i}": (20.0, 93.0) for i in range(2)}


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        (SHARES | PERCENT, "only 2 of 5 run(s) go beyond 1, to 93 at most: p0, p1; 3 stay at or below 1: s0, s1, s2. "),
        (
            SHARES | {"g": (0.2, 1.3)},
            "only 1 of 4 run(s) go beyond 1, to 1.3 at most: g; 3 stay at or below 1: s0, s1, s2. ",
        ),
        ({"g": (0.2, 1.3)}, "its values go to 1.3 at most: g. "),
    ],
    ids=["two scales", "a fault", "a fault of one run"],
)
def test_runs_of_two_scales_are_named(ranges: dict[str, tuple[float, float]], said: str) -> None:
    metric, line = fitted_to_runs(log_metric("val_acc"), ranges)
    assert metric.upper == 100
    assert line is not None
    assert line.startswith(f"val_acc is taken to be in percent (0 to 100), but {said}Bring all runs to one scale")
    assert line.endswith("and the row val_acc,capability,0,100,higher,, and name it with metrics_file=FILE")
    assert may_hurt(line)


@pytest.mark.parametrize("ranges", [PERCENT, SHARES, PERCENT | {"z": (0.0, 0.0)}, {"far": (0.5, 170.0)} | SHARES])
def test_runs_of_one_scale_are_said_as_ever(ranges: dict[str, tuple[float, float]]) -> None:
    low, high = min(low for low, _ in ranges.values()), max(high for _, high in ranges.values())
    assert fitted_to_runs(log_metric("val_acc"), ranges) == fitted(log_metric("val_acc"), low, high)


def test_a_stated_range_stays_as_it_is() -> None:
    stated = Metric("acc", "capability", 0, 1, "higher", 0.1)
    assert fitted(stated, 10, 90, stated=True) == (stated, None)


@pytest.mark.parametrize(
    "name",
    ["my_loss", "task_a_accuracy", "acc_mmlu", "objective", "prose_loss", "squad_f1", "loss/x", "dense_1_accuracy"],
)
def test_what_looks_like_an_outcome(name: str) -> None:
    assert log_metric(name).kind == "signal"
    assert looks_like_outcome(name)


@pytest.mark.parametrize(
    "name",
    [
        *(n for kind in KINDS if kind != "signal" for names in KINDS[kind].values() for n in names.split(", ")),
        *(n for topic, names in KINDS["signal"].items() if topic != "not known" for n in names.split(", ")),
        *(name for name, fact in LOG.items() if fact.kind == "signal"), *CLOCKS, "embedding_top3_share", "sharpness",
        "custom_loss_weight", "error_budget", "reward_model_scale", "loss_fn_time", "grad_norm_of_loss", "feature_map",
    ],
)  # fmt: skip
def test_what_does_not_look_like_an_outcome(name: str) -> None:
    assert not looks_like_outcome(name)


def test_the_page_shows_the_tables() -> None:
    page = Path(__file__).parents[2] / "docs" / "metric-names.md"
    assert page.read_text(encoding="utf-8") == documented(), "write it again: documented() of _metric_page"


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (("P", "R", "F1"), {"P", "R"}),
        (("metrics/P", "metrics/R", "metrics/mAP50", "val/R"), {"metrics/P", "metrics/R"}),
        (("dev_p", "dev_r", "dev_f", "dev_f1_score"), {"dev_p", "dev_r"}),
        (("P", "R", "loss"), set()),
        (("P", "R", "mapped", "F16", "val/F1"), set()),
    ],
)
def test_letters_are_precision_and_recall_beside_what_is_made_of_them(names: tuple[str, ...], known: set[str]) -> None:
    found = log_metrics(names)
    assert list(found) == list(names)
    letters = {name for name in names if re.split(r"[/_]", name)[-1].lower() in ("p", "r")}
    assert {name for name in letters if found[name].kind == "capability"} == known
    assert all(found[name][:4] == (name, "capability", 0, 1) for name in known)
    assert all(found[name] == log_metric(name) for name in set(names) - letters)


def test_the_loss_of_a_policy_is_no_outcome() -> None:
    """It was forecast as a loss from 0 up, though it may be negative, and counted in the verdict of a page."""
    names = ["train/loss", "train/policy_gradient_loss", "val/loss", "loss"]
    assert [metric.kind for metric in log_metrics(names).values()] == ["signal", "signal", "loss", "loss"]
    assert log_metrics(["loss", "pg_loss"])["loss"].kind == "signal"

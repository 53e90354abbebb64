"""The metrics of training logs by name: kind, range, direction and chance level, as documented tables.

Names are in lower case, with "_" for every other sign. Fractions are fractions, never percent. docs/metric-names.md
shows these tables and says how a name is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from predictdyn.curves import Better, Kind


class Fact(NamedTuple):
    """What is known of a metric, whatever it is called here."""

    kind: Kind
    lower: float | None = None
    upper: float | None = None
    better: Better | None = None
    chance: float | None = None


LOSS = Fact("loss", 0, None, "lower")  # a cross-entropy is never negative
PERPLEXITY = Fact("loss", 1, None, "lower")  # exp(loss)
SHARE = Fact("capability", 0, 1, "higher")
CORRELATION = Fact("capability", -1, 1, "higher", 0)
ERROR = Fact("capability", 0, 1, "lower")
GAP = Fact("bias", -1, 1, "zero", 0)
SIZE = Fact("signal", 0)
RATE = Fact("schedule", 0)


def _each(names: str, fact: Fact) -> dict[str, Fact]:
    return dict.fromkeys(names.split(), fact)


TABLE: Mapping[str, Mapping[str, Fact]] = {
    "Losses": {
        **_each(
            "loss total_loss loss_train_total cross_entropy crossentropy cross_entropy_loss crossentropyloss ce "
            "ce_loss lm_loss mlm_loss nll nll_loss languagecrossentropy language_cross_entropy binary_crossentropy "
            "categorical_crossentropy sparse_categorical_crossentropy bce_loss logloss log_loss bpb bits_per_byte "
            "bits_per_character bpc bits_per_dim mse mse_loss mean_squared_error rmse mae mean_absolute_error "
            "l1_loss l2_loss huber_loss",
            LOSS,
        ),
        **_each("perplexity ppl languageperplexity language_perplexity word_perplexity byte_perplexity", PERPLEXITY),
    },
    "Capabilities": {
        **_each(
            "accuracy acc acc_norm acc1 acc_1 top1 top_1 top1_accuracy top1_acc acc_top1 top_1_accuracy "
            "accuracy_top1 acc5 acc_5 top5 top_5 top5_accuracy top5_acc acc_top5 top_5_accuracy "
            "categorical_accuracy binary_accuracy sparse_categorical_accuracy balanced_accuracy balanced_acc "
            "token_accuracy mean_token_accuracy languageaccuracy multiclassaccuracy binaryaccuracy "
            "incontextlearninglmaccuracy incontextlearningmultiplechoiceaccuracy exact_match em f1 f1_score "
            "macro_f1 f1_macro micro_f1 f1_micro precision recall auc auroc roc_auc average_precision map iou miou "
            "mean_iou dice dice_score rouge1 rouge2 rougel rougelsum success_rate win_rate pass_1 pass_at_1 pass_10 "
            "pass_at_10 pass_100 pass_at_100",
            SHARE,
        ),
        **_each("mcc matthews_correlation matthews_corrcoef spearman spearmanr pearson pearsonr", CORRELATION),
        **_each("error err error_rate top1_error top_1_error top1_err top5_error top_5_error top5_err", ERROR),
        **_each("wer cer", Fact("capability", 0, None, "lower")),  # more words than the truth has: above one
        **_each("bleu sacrebleu chrf", Fact("capability", 0, None, "higher")),  # 0 to 1 here, 0 to 100 there
        **_each("r2 r2_score", Fact("capability", None, 1, "higher", 0)),
        **_each(
            "ep_rew_mean ep_reward_mean episode_reward_mean episode_return_mean mean_reward episode_return",
            Fact("capability", None, None, "higher"),
        ),
    },
    "Robustness and calibration": {
        **_each(
            "robust_accuracy robust_acc adversarial_accuracy adversarial_acc adv_accuracy adv_acc pgd_accuracy "
            "pgd_acc corrupted_accuracy corrupted_acc corruption_accuracy ood_accuracy ood_acc shifted_accuracy",
            Fact("robustness", 0, 1, "higher"),
        ),
        **_each(
            "ece expected_calibration_error mce calibration_error robust_error corruption_error",
            Fact("robustness", 0, 1, "lower"),
        ),
        **_each("brier brier_score", Fact("robustness", 0, 2, "lower")),  # summed over classes it reaches two
        **_each("robust_loss adversarial_loss adv_loss ood_loss shuffled_loss", Fact("robustness", 0, None, "lower")),
    },
    "Bias": {
        **_each(
            "worst_group_accuracy worst_group_acc worst_group worst_accuracy worst_acc min_group_accuracy",
            Fact("bias", 0, 1, "higher"),
        ),
        **_each(
            "accuracy_gap acc_gap parity_gap bias_gap gender_gap tpr_gap fpr_gap demographic_parity_gap "
            "demographic_parity_difference equalized_odds_difference equal_opportunity_difference association_gap",
            GAP,
        ),
        # Neither end is better than the middle, where a model that knows nothing sits, too.
        **_each("pct_stereotype stereotype_score", Fact("bias", 0, 1, None, 0.5)),
        # A mean absolute difference in nats mixes skill with bias.
        **_each("likelihood_difference", Fact("bias", 0)),
    },
    "Memorization": {
        **_each(
            "memorization memorisation memorized memorized_share memorization_rate extraction extraction_rate "
            "extracted extracted_share verbatim_match",
            Fact("memorization", 0, 1, "lower", 0),
        ),
        **_each("memorized_pct", Fact("memorization", 0, 100, "lower", 0)),
        **_each("exposure canary_exposure", Fact("memorization", 0, None, "lower")),  # bits
    },
    "Schedules": {
        **_each("lr learning_rate learningrate base_lr current_lr weight_decay wd momentum batch_size", RATE),
        **_each("mixture_weight mix_weight", Fact("schedule", 0, 1)),
    },
    "Signals with a range": {
        **_each(
            "grad_norm gradient_norm global_grad_norm total_grad_norm grad_norm_total global_norm param_norm "
            "params_norm weight_norm update_norm update_size gradient_noise_scale loss_scale grad_scale z_loss "
            "load_balancing_loss approx_kl kl_divergence samples_per_second steps_per_second samples_per_sec "
            "steps_per_sec tokens_per_second tokens_per_sec tok_per_sec tokens_per_second_per_gpu batches_per_sec "
            "it_per_sec fps samples_sec tokens_sec throughput tflops flops total_flos step_time iter_time "
            "iteration_time batch_time data_time forward_time backward_time eval_time runtime_eval",
            SIZE,
        ),
        **_each("mfu hfu clip_fraction", Fact("signal", 0, 1)),
        **_each("half_batch_agreement", Fact("signal", -1, 1)),
        # Terms of reinforcement learning and regularisers: losses by name, of any sign, and no outcome.
        **_each(
            "policy_loss policy_gradient_loss value_loss vf_loss actor_loss critic_loss entropy_loss entropy "
            "kl_loss aux_loss auxiliary_loss reg_loss regularization_loss kl",
            Fact("signal"),
        ),
    },
}
LOG: Mapping[str, Fact] = {name: fact for rows in TABLE.values() for name, fact in rows.items()}
# What a run was measured on: in front of a name (train_loss, eval/en/loss) or behind it (Loss/test).
PARTS = (
    "train", "training", "val", "valid", "validation", "eval", "evaluation", "test", "testing", "dev", "holdout",
    "heldout", "metrics", "rollout", "env_runners", "tr", "te",
)  # fmt: skip
# Clocks, not metrics: left out unless chosen. With a part in front, too.
CLOCKS = (
    "step", "global_step", "trainer_global_step", "steps", "num_steps", "iteration", "iterations", "iter", "epoch",
    "epochs", "num_epochs", "tokens", "num_tokens", "total_tokens", "tokens_seen", "num_input_tokens_seen",
    "consumed_tokens", "consumed_samples", "samples_seen", "total_timesteps", "timesteps_total", "time_total_timesteps",
    "time_iterations", "training_iteration", "iterations_since_restore", "time_total_s", "time_this_iter_s",
    "time_since_restore", "time_time_elapsed", "time", "timestamp", "runtime", "wall", "wall_time", "walltime",
    "train_time", "training_time", "elapsed", "elapsed_time", "elapsed_s", "seconds", "eta",
)  # fmt: skip

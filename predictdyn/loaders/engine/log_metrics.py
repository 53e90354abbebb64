"""The metrics of training logs by name: kind, range, direction and chance level, as documented tables.

Names are in lower case, with "_" for every other sign and between the words of camelCase. Ranges are those of
fractions. docs/metric-names.md shows these tables and says how a name is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from predictdyn.curves import Better, Kind


class Fact(NamedTuple):
    """What is known of a metric, whatever it is called here."""

    kind: Kind
    lower: float | None = None
    upper: float | None = None
    better: Better | None = None
    chance: float | None = None


class Family(NamedTuple):
    """Names that a tool makes by rule: ``pattern`` matches the whole of one; ``examples`` are for the page."""

    examples: str
    pattern: str
    fact: Fact


LOSS = Fact("loss", 0, None, "lower")  # a cross-entropy is never negative
PERPLEXITY = Fact("loss", 1, None, "lower")  # exp(loss)
SHARE = Fact("capability", 0, 1, "higher")
CORRELATION = Fact("capability", -1, 1, "higher", 0)
ERROR = Fact("capability", 0, 1, "lower")
DISTANCE = Fact("capability", 0, None, "lower")
REWARD = Fact("capability", None, None, "higher")
GAP = Fact("bias", -1, 1, "zero", 0)
SIZE = Fact("signal", 0)
RATE = Fact("schedule", 0)
TERM = Fact("signal")


def _each(names: str, fact: Fact) -> dict[str, Fact]:
    return dict.fromkeys(names.split(), fact)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TABLE: Mapping[str, Mapping[str, Fact]] = {
    "Losses": {
        **_each(
            "loss losses cross_entropy crossentropy cross_entropy_loss crossentropyloss crossentropy_loss "
            "languagecrossentropy language_cross_entropy categorical_crossentropy sparse_categorical_crossentropy ce "
            "xent nll neg_log_likelihood negative_log_likelihood log_loss logloss mlogloss multi_logloss "
            "log_perplexity log_ppl bpb bits_per_byte bpc bits_per_character bits_per_dim mse mean_squared_error msle "
            "rmse root_mean_squared_error rmsle mae mean_absolute_error mape mean_absolute_percentage_error smape mase "
            "trl tel",  # train and test loss of llm.c
            LOSS,
        ),
        **_each(
            "perplexity ppl languageperplexity language_perplexity word_perplexity byte_perplexity token_perplexity "
            "loss_ppl lm_loss_ppl",
            PERPLEXITY,
        ),
    },
    "Capabilities": {
        **_each(
            "accuracy accuracies acc acc_norm len_norm length_normalized_accuracy accuracy_norm categorical_accuracy "
            "sparse_categorical_accuracy balanced_accuracy balanced_acc token_accuracy token_acc word_accuracy "
            "sequence_accuracy sequence_acc masked_accuracy mlm_accuracy lm_accuracy class_accuracy cls_accuracy "
            "cls_acc fg_cls_accuracy pixel_accuracy pixel_acc acc_seg m_acc macc a_acc aacc languageaccuracy "
            "language_accuracy multiclassaccuracy binaryaccuracy incontextlearninglmaccuracy "
            "in_context_learning_lm_accuracy incontextlearningmultiplechoiceaccuracy "
            "in_context_learning_multiple_choice_accuracy exact_match em precision prec recall sensitivity specificity "
            "true_positive_rate true_negative_rate tpr tnr auc auroc roc_auc auc_roc aucpr pr_auc auprc aupr "
            "average_precision iou miou m_iou jaccard jaccard_index dice dice_score dice_coef dice_coefficient mdice "
            "m_dice panoptic_quality pq ndcg mrr hits hit_rate meteor bertscore bert_score success_rate success "
            "win_rate winrate solve_rate fitness combined_score uas las ents_f ents_p ents_r cats_score tag_acc "
            "pos_acc idf1 hota",
            SHARE,
        ),
        **_each(
            "mcc matthews_correlation matthews_corrcoef matthews_corr_coef spearman spearmanr spearman_corrcoef "
            "pearson pearsonr pearson_corrcoef kendall kendall_tau kappa cohen_kappa quadratic_weighted_kappa qwk "
            "cosine_similarity cos_sim",
            CORRELATION,
        ),
        **_each("ssim ms_ssim", Fact("capability", -1, 1, "higher")),
        **_each(
            "error err error_rate err_rate miss_rate false_positive_rate false_negative_rate false_alarm_rate fpr fnr "
            "eer equal_error_rate hamming_loss zero_one_loss merror multi_error class_error cls_error",
            ERROR,
        ),
        # More words than the truth has: above one.
        **_each(
            "wer word_error_rate cer char_error_rate character_error_rate ter token_error_rate der mer "
            "phone_error_rate phoneme_error_rate",
            DISTANCE,
        ),
        **_each("fid fid50k fid50k_full frechet_inception_distance fvd lpips mcd", DISTANCE),
        **_each("kid kid50k kid50k_full", Fact("capability", None, None, "lower")),  # unbiased: a little below zero
        **_each("sacrebleu sacre_bleu", Fact("capability", 0, 100, "higher")),  # it knows no fractions
        **_each("chrf chr_f cider", Fact("capability", 0, None, "higher")),  # 0 to 1 here, 0 to 100 there
        **_each("r2 r2_score r_squared", Fact("capability", None, 1, "higher", 0)),
        **_each("inception_score", Fact("capability", 1, None, "higher")),
        **_each("psnr si_sdr si_snr sdr comet bleurt elo elo_rating", REWARD),
        **_each(
            "reward rewards return returns ep_rew ep_reward ep_ret ep_return eprewmean episode_reward episode_rewards "
            "episode_return episode_returns episodic_reward episodic_return cumulative_reward extrinsic_reward "
            "rlhf_reward returns_stat normalized_score normalized_return d4rl_normalized_score "
            "human_normalized_score discounted_return undiscounted_return score scores episode_score",
            REWARD,
        ),
        **_each("rewards_accuracies", SHARE),
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
        # Of losses or of accuracies: no range.
        **_each(
            "generalization_gap generalisation_gap train_test_gap train_val_gap overfitting_gap loss_gap",
            Fact("robustness", None, None, "zero"),
        ),
    },
    "Bias": {
        **_each(
            "worst_group_accuracy worst_group_acc worst_group worst_accuracy worst_acc min_group_accuracy",
            Fact("bias", 0, 1, "higher"),
        ),
        **_each(
            "gap parity_gap bias_gap gender_gap group_gap fairness_gap demographic_parity_gap "
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
        **_each("exposure canary_exposure", Fact("memorization", 0, None, "lower")),  # bits
    },
    "Schedules": {
        **_each("lr learning_rate learningrate base_lr current_lr weight_decay wd momentum batch_size", RATE),
        **_each("mixture_weight mix_weight", Fact("schedule", 0, 1)),
    },
    "Signals with a range": {
        **_each(
            "grad_norm gradient_norm global_grad_norm global_norm param_norm params_norm weight_norm update_norm "
            "update_size gradient_noise_scale loss_scale grad_scale z_loss load_balancing_loss approx_kl kl_divergence "
            "samples_per_second steps_per_second samples_per_sec steps_per_sec tokens_per_second tokens_per_sec "
            "tok_per_sec tokens_per_second_per_gpu batches_per_sec it_per_sec fps samples_sec tokens_sec throughput "
            "tflops flops total_flos step_time iter_time iteration_time batch_time data_time forward_time "
            "backward_time eval_time runtime_eval",
            SIZE,
        ),
        **_each("mfu hfu clip_fraction", Fact("signal", 0, 1)),
        **_each("half_batch_agreement", Fact("signal", -1, 1)),
        # Terms of reinforcement learning, of adversaries and of regularisers: losses by name, of any sign, no outcome.
        **_each(
            "policy_gradient_loss value_loss loss_value_avg l2_reg entropy kl a_loss c_loss b_loss "
            "g_loss d_loss q_loss rewards_chosen rewards_rejected rewards_margins",
            TERM,
        ),
    },
}
LOG: Mapping[str, Fact] = {name: fact for rows in TABLE.values() for name, fact in rows.items()}

# A loss is one of the losses that are minimised if all other words of its name are of LOSS_TERMS (loss_rpn_cls,
# box_loss), and a term beside them, of any sign, as soon as one is of SIDE_TERMS. "reg" alone is a regulariser; with
# the word of a box it is a regression.
LOSS_TERMS = _words(
    "cls class classification classifier label box bbox reg regression obj objectness conf confidence noobj dfl iou "
    "giou diou ciou l1 l2 mse mae bce ce huber focal dice hinge mask seg semantic sem sim keypoint keypoints "
    "kpt kobj pose angle center centerness offset wh heatmap hm rpn roi rcnn loc localization dense decode enc head "
    "cardinality unscaled ctc att rnnt transducer nll lm mlm clm nsp sop mtp token ntp contrastive itc itm infonce nce "
    "triplet recon reconstruction pixel perceptual diffusion noise distill distillation student pred prediction mel "
    "duration pitch gate stop text image video audio supervised unsupervised dpo sft ranking task main simple vlb"
)
SIDE_TERMS = _words(
    "kl kld aux auxiliary regularization regularizer penalty router policy pg vf actor critic qf qf1 qf2 td entropy "
    "ent surrogate alpha generator gen discriminator disc gan commitment commit vq codebook"
)
FAMILIES: Sequence[Family] = (
    Family(
        "mAP, mAP50-95, map_50, AP, AP75, APs, AP_small",
        r"m?ap(?:_?\d+)?(?:_\d+)*(?:_?(?:small|medium|large|[sml]))?",
        SHARE,
    ),
    Family("AR@100, ARs@1000, mar_10, mar_small", r"m?ar[sml]?_?\d+(?:_\d+)*|mar_(?:small|medium|large)", SHARE),
    Family(
        "top1, top_5, top1_acc, acc_top1, top_k_accuracy",
        r"(?:(?:acc|accuracy)_)?top_?(?:\d+|k(?=_))(?:_(?:acc|accuracy|categorical_accuracy))?",
        SHARE,
    ),
    Family("top1_error, top_5_err", r"top_?\d+_(?:err|error)(?:_rate)?", ERROR),
    Family(
        "f1, f1_score, f2_score, f_score, fscore, f_measure, fbeta_score",
        r"(?:m_?)?f_?(?:1|(?:(?:1|2|0_5|beta)_?)?(?:score|measure))",
        SHARE,
    ),
    Family(
        "rouge1, rougeL, rouge_2_fmeasure, rougeLsum",
        r"rouge_?(?:\d|l|l_?sum|w|su\d?)?(?:_(?:f|f1|fmeasure|p|precision|r|recall))?",
        SHARE,
    ),
    Family("bleu, BLEU-4, bleu_score", r"bleu(?:_?\d)?(?:_score)?", SHARE),
    Family("pass@1, pass_at_10, maj@8", r"(?:pass|maj|cons)_(?:at_)?\d+", SHARE),
    Family("valid_0's l2, training's l1", r"(?:training|(?:valid|validation|eval|test)_\d+)_(?:s_)?l[12]", LOSS),
    Family(
        "rewards/format_reward, rewards/think_func",
        r"rewards_(?!(?:\w*_)?(?:std|len|length|time|clip|scale|weight|min|max|chosen|rejected|margins|accuracies)(?:_|$))\w+",
        REWARD,
    ),
)
# The rate of one optimizer or group; -momentum, -weight_decay stand behind it.
RATES = r"(?:optim_|optimizer_|schedule_)?(?:lr|learning_rate)\d*(?:_\w+)?"

# What a run was measured on: in front of a name (train_loss, eval/en/loss), behind it (Loss/test) or inside.
PARTS = (
    "train", "training", "val", "valid", "validation", "eval", "evaluation", "test", "testing", "dev", "holdout",
    "heldout", "metrics", "rollout", "env_runners", "tr", "te", "learn",
)  # fmt: skip
# How a value was averaged, over what, and of which head or distance it is: an outcome with them is the same outcome.
AROUND = _words(
    "mean avg average median running smoothed ema best final last total overall all reduced step epoch iter iteration "
    "batch minibatch macro micro weighted binary multiclass multilabel bbox box segm seg mask keypoints pose cosine "
    "dot manhattan euclidean"
)
FRONT = _words("global current cur smooth macro_avg weighted_avg coco voc pascal_voc")
BEHIND = _words("value score b m p")  # accuracy_score; (B), (M), (P): boxes, masks and poses of one network
PERCENT = _words("pct percent percentage")  # at an end of a name: a share of it runs to 100

# Words that make something else of the outcome behind them: its scatter, its gradient, a count of it.
SCATTER = _words("std stdev stddev stderr sem var variance grad grads gradient num n nr count delta")
# And words in front of an outcome that are no data it could have been measured on.
NO_DATA = (
    *SCATTER,
    *_words(
        "weight weights coef coefficient lambda time timing timings optim optimizer schedule scheduler hyperparameters "
        "hparams config params memory gpu system attention feature embedding mixed amp target patience number "
        "threshold value"
    ),
)
# What a person reads as an outcome, as a whole word, a number behind it or not (acc5).
OUTCOME_WORDS = _words(
    "loss losses acc accuracy accuracies err error errors score scores perplexity ppl bpb nll mse rmse mae logloss auc "
    "auroc wer cer iou miou dice precision recall reward rewards return returns fid psnr ssim gap objective fitness "
    "success winrate elo ndcg mrr map ap f1 bleu rouge"
)
# Behind an outcome, these words say that something else is meant: a setting, a size, a time.
NO_OUTCOME = (
    *SCATTER,
    *_words(
        "scale scaler scaling weight weights coef coefficient ratio budget threshold thresh time times seconds sec s "
        "ms size length len shape norm counts code logits mode function fn id idx index target tolerance "
        "patience window clip decay temperature alpha beta gamma lambda divergence term terms type flag lr rank min max"
    ),
)

# Clocks, not metrics: left out unless chosen. With a part in front, too.
CLOCKS = (
    "step", "global_step", "trainer_global_step", "steps", "num_steps", "iteration", "iterations", "iter", "epoch",
    "epochs", "num_epochs", "tokens", "num_tokens", "total_tokens", "tokens_seen", "num_input_tokens_seen",
    "consumed_tokens", "consumed_samples", "samples_seen", "total_timesteps", "timesteps_total", "time_total_timesteps",
    "time_iterations", "training_iteration", "iterations_since_restore", "time_total_s", "time_this_iter_s",
    "time_since_restore", "time_time_elapsed", "time", "timestamp", "runtime", "wall", "wall_time", "walltime",
    "train_time", "training_time", "elapsed", "elapsed_time", "elapsed_s", "seconds", "eta",
    "eta_seconds", "current_steps", "global_steps", "total_steps", "max_steps", "num_updates", "percentage", "percent",
    "progress", "remaining_time", "batch_idx",
)  # fmt: skip

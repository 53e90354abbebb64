"""All features in one table: name, group, what they describe, formula and units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from predictdyn.curves import Metric

Of = Literal["curve", "signal", "bias", "pair", "plan", "schedule", "phase"]

GROUPS = {
    "level": "where the curve is",
    "trend": "where it is heading",
    "noise": "how far its points scatter",
    "thresholds": "when it had moved how far",
    "plateau": "how long it has stood still, and whether it bent",
    "growth": "exponents of power laws",
    "instability": "steps back and spikes",
    "gaps": "side and size of a gap between groups",
    "ratios": "one metric against another",
    "signals": "surges of early signals; with `metrics` given to `group`, all features of signals",
    "phases": "states of a hidden Markov model over the signals",
    "plan": "what was decided before the run",
}


class Feature(NamedTuple):
    """One feature: its name (after the colon of a column), group, what has it, formula, and units."""

    name: str
    group: str
    of: Of
    formula: str
    units: str


# x = ln(step / last_step); z = latent value; step 0 lies at half the first positive step; all sums over points seen.
FEATURES: tuple[Feature, ...] = (
    Feature("points", "level", "curve", "number of points seen", "points"),
    Feature("first", "level", "curve", "first z", "latent"),
    Feature("last", "level", "curve", "last z", "latent"),
    Feature("level", "level", "curve", "mean of the last 5 z, the largest and the smallest left out", "latent"),
    Feature("change", "trend", "curve", "level - first", "latent"),
    Feature("slope", "trend", "curve", "dz/dx, weighted line over the later half of the points", "latent"),
    Feature("curvature", "trend", "curve", "d2z/dx2, weighted quadratic over the later half", "latent"),
    Feature("recent_slope", "trend", "curve", "dz/dx, line through the last points: 4, or an eighth of all", "latent"),
    Feature("end", "trend", "curve", "that line at x = 0, the end of the run", "latent"),
    Feature("noise", "noise", "curve", "rms of d over the later half; d = second differences / sqrt 6", "latent"),
    Feature("roughness", "noise", "curve", "r / (1 + r), r = sum of |second differences| / |change|", "0 to 1"),
    Feature("time_25", "thresholds", "curve", "x when a quarter of `change` was first reached", "ln share"),
    Feature("time_50", "thresholds", "curve", "x when half of `change` was first reached", "ln share"),
    Feature("time_75", "thresholds", "curve", "x when three quarters of `change` were first reached", "ln share"),
    Feature(
        "reach_0.25", "thresholds", "curve", "x when z was first 0.25 better than at first, or ln share", "ln share"
    ),
    Feature("reach_1", "thresholds", "curve", "x when z was first 1 better than at first, or ln share", "ln share"),
    Feature("reach_2", "thresholds", "curve", "x when z was first 2 better than at first, or ln share", "ln share"),
    Feature("plateau", "plateau", "curve", "ln share - x of the last point beyond 2 noise from level", "ln share"),
    Feature("break_gain", "plateau", "curve", "1 - RSS of the best two-piece line / RSS of one line", "0 to 1"),
    Feature("break_at", "plateau", "curve", "x of its knot, out of 8", "ln share"),
    Feature("growth", "growth", "curve", "d ln value / dx over all points with value > 0", "exponent"),
    Feature("late_growth", "growth", "curve", "the same over the later half", "exponent"),
    Feature("worst_step", "instability", "curve", "ln(1 + largest step for the worse / noise by medians)", "ln"),
    Feature("spikes", "instability", "curve", "points further than 5 noise from the median of 3", "points"),
    Feature("surge", "signals", "signal", "largest z - median z: ln(max / median) of a log scale", "latent"),
    Feature("late_early", "signals", "signal", "mean z of the last third - of the first third", "latent"),
    Feature("mean_gap", "gaps", "bias", "mean of value - no gap (chance, or 0)", "the metric's"),
    Feature("sign_share", "gaps", "bias", "share of points not on the other side of no gap than the last", "0 to 1"),
    Feature(
        "sign_since", "gaps", "bias", "ln share - x of the last point on the other side, or of the first", "ln share"
    ),
    Feature("difference", "ratios", "pair", "level of a - b (probit between two bounds, else latent)", "latent"),
    Feature("difference_slope", "ratios", "pair", "d(a - b)/dx, weighted line over the later half", "latent"),
    Feature("ratio", "ratios", "pair", "ln of the ratio of mean values over the last 5 points", "ln"),
    Feature("line_slope", "ratios", "pair", "da/db, line of a on b over the run", "1"),
    Feature("line_residual", "ratios", "pair", "level of a above that line", "latent"),
    Feature("log_steps", "plan", "plan", "ln of the planned last_step", "ln steps"),
    Feature("COVARIATE", "plan", "plan", "as `covariates.Encoder` encodes it", "standard deviations"),
    Feature("SCHEDULE.peak", "plan", "schedule", "largest value, on the latent scale", "latent"),
    Feature("SCHEDULE.now", "plan", "schedule", "value at the share / peak", "1"),
    Feature("SCHEDULE.final", "plan", "schedule", "value at the end / peak", "1"),
    Feature("SCHEDULE.warmup", "plan", "schedule", "share of the run before 99 % of the peak", "0 to 1"),
    Feature("SCHEDULE.decay", "plan", "schedule", "share of the run after it was last there", "0 to 1"),
    Feature("SCHEDULE.rest", "plan", "schedule", "mean over the rest of the run / peak", "1"),
    Feature("share_STATE", "phases", "phase", "mean posterior of the state over the points seen", "0 to 1"),
    Feature("now_STATE", "phases", "phase", "posterior of the state at the last point", "0 to 1"),
    Feature("switches", "phases", "phase", "changes of the most probable state", "changes"),
)

BAR = "&#124;"  # a bar would end the cell of a table
_GROUP_OF = {feature.name: feature.group for feature in FEATURES if feature.of not in ("plan", "schedule", "phase")}


def names(of: Of) -> list[str]:
    """The features of one kind of thing, in the order of their columns."""
    return [feature.name for feature in FEATURES if feature.of == of]


def group(column: str, metrics: Mapping[str, Metric] | None = None) -> str:
    """The group a column belongs to; with ``metrics``, every feature of a metric of kind signal is in `signals`.

    Raises ValueError for a column that `table` does not make.

    >>> group("test_accuracy:slope"), group("plan:log_steps"), group("sharpness:slope")
    ('trend', 'plan', 'trend')
    >>> group("sharpness:slope", {"sharpness": Metric("sharpness", "signal")})
    'signals'
    """
    subject, _, name = column.rpartition(":")
    if column.startswith("plan:"):
        return "plan"
    if column.startswith("phase:"):
        return "phases"
    if not subject or name not in _GROUP_OF:
        raise ValueError(f"no feature {column!r}; known are METRIC: and then one of {', '.join(_GROUP_OF)}")
    if metrics is not None and subject in metrics and metrics[subject].kind == "signal":
        return "signals"
    return _GROUP_OF[name]


def as_markdown() -> str:
    """The table of all features, as docs/features.md shows it."""
    columns = {"curve": "M:", "signal": "M:", "bias": "M:", "pair": "A/B:", "phase": "phase:"}
    rows = [
        f"| `{columns.get(feature.of, 'plan:')}{feature.name}` | {feature.group} | {feature.of} "
        f"| {feature.formula.replace('|', BAR)} | {feature.units} |"
        for feature in FEATURES
    ]
    return "\n".join(["| column | group | of | formula | units |", "| --- | --- | --- | --- | --- |", *rows])

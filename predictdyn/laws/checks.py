"""What goes wrong with scaling laws, looked for in each: one sentence with numbers a finding, and what to do.

The list is that of reviews of published laws (Li et al. 2025, arXiv:2502.18969; Besiroglu et al. 2024,
arXiv:2404.10102): extrapolation, exponents at an edge, few sizes, one run that drives the law, checkpoints of one run
taken for runs, parameters counted in two ways, data sets mixed in one table, tables that follow no law.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from predictdyn.laws.cost import size_columns
from predictdyn.laws.design import FACTOR_TERM
from predictdyn.laws.finished import Finished
from predictdyn.laws.law import Law
from predictdyn.laws.member import Member
from predictdyn.laws.posterior import FREEDOM, mode_of
from predictdyn.laws.replay import dearness
from predictdyn.laws.structures import ONE
from predictdyn.naming import some

NEAR = 0.5  # of the range of a measure among the finished runs, beyond which a given one is far
FAR, FARTHER = 10.0, 100.0  # times the largest finished run
FEW_SIZES = 4
SAME_SIZE = 0.01
COPIED = 5  # different values, from which a straight line is no chance
EDGE = 2.0  # standard deviations of its prior
NOT_LEARNT = 0.8  # sd of the posterior in parts of that of the prior
INFLUENCE = 0.5  # of the width of the forecast's 90 % interval
CANDIDATES = 5  # runs that are left out in earnest
CHECKPOINTS = 8  # values of an input at equal distances, all else equal
UNEVEN = 0.02
FEWEST_HELD = 4
FEWEST_QUARTILES = 5
MOST_CRASHED = 0.1  # of the runs, or one: with more, values of zero or less are a matter of the target
FENCE = 5.0  # widths of the middle half; Tukey's far out is 3, and small models lie as far as 4
TWO_GROUPS = {"rows": 20, "apart": 3.0, "least": 0.2, "odds": 10.0}


def findings(finished: Finished, law: Law, held: pd.DataFrame, settings: dict[str, Any], member: Member) -> list[str]:
    """All findings on a law, those that hurt most first; ``member`` is the one that pages show."""
    found = [
        *_crashed(finished, settings),
        *of_held_out(held),
        *_sizes(finished),
        *_copies(finished),
        *_checkpoints(finished),
        *_edges(member, law),
        *_one_run(finished, law, member, settings),
        *_two_groups(law, finished),
        *_two_counts(finished),
        *_posterior(law, member),
    ]
    return [line for line in found if line]


def of_held_out(held: pd.DataFrame) -> list[str]:
    """Findings on runs that were held out alone, whatever forecast them."""
    return [*_follows_no_law(held), *_held_out(held)]


def beyond(finished: Finished, plans: pd.DataFrame) -> np.ndarray:
    """How many times larger each plan (m,) is than the largest finished run: in cost, or in its farthest input."""
    most = np.zeros(len(plans))
    if finished.cost is not None and set(finished.cost.columns) <= set(plans.columns):
        return np.asarray(finished.cost(plans) / np.max(finished.cost(finished.table)))
    for name in _numbers(finished):
        largest = float(finished.table[name].max())
        if largest > 1:
            most = np.fmax(most, plans[name].to_numpy(dtype=float) / largest)
    return np.where(most > 0, most, np.nan)


def cautions(finished: Finished, plans: pd.DataFrame, names: list[str]) -> list[str]:
    """What to know of forecasts of some plans: how far beyond the finished runs each lies."""
    lines = []
    times = beyond(finished, plans)
    what = f"costs ({finished.cost.words})" if finished.cost is not None else "is in its farthest input"
    for name, ratio, (_, plan) in zip(names, times, plans.iterrows(), strict=True):
        if ratio >= FAR:
            advice = "buy a run between them before you rely on it" if ratio >= FARTHER else "expect surprises"
            lines.append(f"{name} {what} {_times(ratio)} the largest finished run; {advice}")
        outside = []
        for column in _numbers(finished):
            low, high = float(finished.table[column].min()), float(finished.table[column].max())
            value = float(plan[column])
            if high > 1 and low > 0 and 0 < value < np.inf:
                times_high, times_low = value / high, low / value
                if times_high >= FAR:
                    outside.append(f"{column} is {_times(times_high)} the largest")
                elif times_low >= FAR:
                    outside.append(f"{column} is {_times(times_low)} below the smallest")
        if outside and finished.cost is not None:
            lines.append(f"{name}: {some(outside)} among the finished runs; add runs there")
        for column, one in finished.reading.fixed.items():
            other = plan.get(column, one)
            if np.isfinite(other) and other != one:
                lines.append(
                    f"{name}: all finished runs have {column} {one:g}, so nothing is known of {other:g}, and its "
                    "interval is a guess; add runs there"
                )
        for column, rule in finished.reading.collinear.items():
            if column in plan and rule.farther(np.array([float(plan[column])]), plan.to_frame().T)[0] != 0:
                lines.append(
                    f"{name}: all finished runs have {column} = {rule.words}, so nothing is known of {plan[column]:g}, "
                    "and its interval is a guess; add runs there"
                )
        strange = [
            column for column in finished.reading.text if plan[column] not in set(finished.table[column])
        ]  # fmt: skip
        lines += [
            f"{name}: no finished run has {column} {plan[column]!r}, so its interval is that of a further group"
            for column in strange
        ]
    return lines


def far_measures(known: pd.DataFrame, asked: pd.DataFrame) -> list[str]:
    """What to know of forecasts from measures: how many lie further beyond those of all finished runs than half of
    the way from the least of these to the largest.

    >>> far_measures(pd.DataFrame({"loss": [3.0, 2.0]}), pd.DataFrame({"loss": [2.5, 1.0]}))
    ['loss goes from 2 to 3 among the finished runs, and 1 of 2 plans lie far beyond, first 1; expect surprises']
    """
    lines = []
    for name in map(str, known):
        low, high = float(known[name].min()), float(known[name].max())
        value = asked[name].to_numpy(dtype=float)
        room = NEAR * (high - low)
        out = value[(value < low - room) | (value > high + room)]
        if len(out):
            lines.append(
                f"{name} goes from {low:.4g} to {high:.4g} among the finished runs, and {len(out)} of {len(value)} "
                f"plans lie far beyond, first {out[0]:.4g}; expect surprises"
            )
    return lines


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio < 1e6 else f"{ratio:.1e} times"


def _numbers(finished: Finished) -> list[str]:
    return [name for name in finished.inputs if name not in finished.reading.text]


def _follows_no_law(held: pd.DataFrame) -> list[str]:
    if len(held) < FEWEST_HELD:
        return []
    law, guess = float(held["crps"].mean()), float(held["crps_dearest"].mean())
    if law < guess:
        return []
    return [
        f"no law is found: for the {len(held)} dearest runs its error (CRPS {law:.3g}) is no smaller than that of the "
        f"mean of the dearest others ({guess:.3g}); do not extrapolate, look for an input that is missing"
    ]


def _held_out(held: pd.DataFrame) -> list[str]:
    if not len(held):
        return ["too few runs to hold some out, so no interval is tested; add finished runs"]
    inside = float(held["inside"].mean())
    if len(held) < FEWEST_HELD or inside >= 0.7:
        return []
    return [
        f"90 % intervals contained {int(held['inside'].sum())} of {len(held)} held-out runs; read the intervals as too "
        "narrow, and add runs near the size in question"
    ]


def _crashed(finished: Finished, settings: dict[str, Any]) -> list[str]:
    """Losses that no run ends with: zero or less beside positive ones, or far out of the others' quartiles."""
    value = finished.table[finished.target].to_numpy(dtype=float)
    if (
        settings.get("better") == "higher"
        or np.isfinite(settings.get("upper", np.inf))
        or len(value) < FEWEST_QUARTILES
    ):
        return []
    mend = f"if that run crashed, leave its cell of {finished.target} blank"
    none = value <= 0
    if none.sum() > max(1, MOST_CRASHED * len(value)):
        return []
    lines = [
        f"{run} has {finished.target} {one:g}, where all others are positive, and the law bends to it; {mend}"
        for run, one in zip(finished.runs[none], value[none], strict=True)
    ]
    logs = np.log(value[~none])
    low, high = np.quantile(logs, (0.25, 0.75))
    far = np.maximum(low - logs, logs - high) > FENCE * (high - low) if high > low else np.zeros(len(logs), dtype=bool)
    quartiles = f"{np.exp(low):.3g} to {np.exp(high):.3g}"
    return lines + [
        f"{run} has {finished.target} {one:.4g}, far from the middle half of all runs ({quartiles}): more than "
        f"{FENCE:g} times its width away, in logarithms; {mend}"
        for run, one in zip(finished.runs[~none][far], value[~none][far], strict=True)
    ]


def _sizes(finished: Finished) -> list[str]:
    lines = []
    for name in _numbers(finished):
        value = np.sort(finished.table[name].to_numpy(dtype=float))
        span = float(np.ptp(value)) or 1.0
        apart = np.diff(value) > SAME_SIZE * (np.abs(value[1:]) if value[0] > 0 else span)
        levels = 1 + int(apart.sum())
        if 1 < levels < FEW_SIZES:
            lines.append(
                f"{name} has {levels} different values, and the shape of a law needs {FEW_SIZES}; add runs at others, "
                "or take what the law says of it as a guess"
            )
        elif levels == 1:
            lines.append(f"{name} has one value, so the law says nothing of it; add runs at others")
    return lines


def _copies(finished: Finished) -> list[str]:
    """Inputs that are the target itself, but for a scale: no plan has them."""
    truth = finished.table[finished.target].to_numpy(dtype=float)
    if len(np.unique(truth)) < COPIED:
        return []
    copied = [
        name for name in _numbers(finished)
        if 1 - abs(np.corrcoef(finished.table[name].to_numpy(dtype=float), truth)[0, 1]) < 1e-9
    ]  # fmt: skip
    return [
        f"{name} goes with {finished.target} on a straight line in all runs; if it is known only when a run has ended, "
        "the law forecasts nothing; leave it out of inputs=COLUMNS"
        for name in copied
    ]


def _checkpoints(finished: Finished) -> list[str]:
    """Rows of one run: its name again while an input grows, or many values of an input at equal distances."""
    numbers, table = _numbers(finished), finished.table
    if finished.named:
        again = pd.Series(finished.runs).duplicated(keep=False)
        if again.any():
            shared = pd.unique(finished.runs[again.to_numpy()])
            return [
                f"{int(again.sum())} rows share a run's name with others ({len(shared)} runs, first {shared[0]!r}); if "
                "they are checkpoints before the learning rate has decayed, the law is wrong; keep the last of each"
            ]
    for name in numbers:
        others = [other for other in finished.inputs if other != name]
        grouped = table.groupby(others, sort=False) if others else [("", table)]
        in_rows, runs = 0, 0
        for _, rows in grouped:
            value = np.sort(rows[name].to_numpy(dtype=float))
            gaps = np.diff(value)
            if len(value) >= CHECKPOINTS and gaps.min() > 0 and np.ptp(gaps) <= UNEVEN * gaps.mean():
                in_rows, runs = in_rows + len(value), runs + 1
        if runs:
            return [
                f"{in_rows} rows look like checkpoints of {runs} run(s): {name} grows in equal steps and all else is "
                "equal; checkpoints before the learning rate has decayed are no finished runs; keep the last of each"
            ]
    return []


def _edges(member: Member, law: Law) -> list[str]:
    """Exponents far out in their prior, and a floor that the runs do not determine."""
    design, names, lines = member.design, list(law.inputs.logs), []
    sd = np.sqrt(np.diag(member.covariance))
    for place, (feature, group) in enumerate(design.columns):
        if group >= 0:
            continue
        term = int(design.term[place])
        away = (member.numbers[place] - design.mean[place]) / design.sd[place]
        if feature.what == "log" and abs(away) > EDGE:
            lines.append(
                f"the exponent of {names[feature.of[0]]}, {-member.numbers[place]:.2f}, lies {abs(away):.1f} standard "
                f"deviations from what is usual ({-design.mean[place]:.1f}); check the units and the range of that "
                "input"
            )
        floor = feature == ONE and term != FACTOR_TERM and design.structure.terms[term].role == "floor"
        if floor and sd[place] > NOT_LEARNT * design.sd[place]:
            low, high = np.exp(member.numbers[place] + np.array([-1.645, 1.645]) * sd[place])
            lines.append(
                f"the irreducible part is not determined by these runs (90 % interval {low:.3g} to {high:.3g}); a "
                "forecast far beyond them rests on a guess; add longer or larger runs"
            )
    return lines


def _posterior(law: Law, member: Member) -> list[str]:
    """A sample of the posterior whose diagnostics are bad."""
    place = next((place for place, one in enumerate(law.mixture.members) if one is member), -1)
    sample = law.mixture.samples.get(place)
    if sample is None or sample.trusted:
        return []
    if sample.method == "importance":
        how = f"Pareto k {sample.pareto_k:.1f}, above 0.7"
        return [f"intervals of the numbers are those of a normal distribution ({how}); sample them by nuts="]
    how = f"R-hat {sample.rhat:.2f}, {sample.divergent:.0%} divergent"
    return [f"NUTS has not settled ({how}), so intervals of the numbers are those of a normal distribution"]


def _one_run(finished: Finished, law: Law, member: Member, settings: dict[str, Any]) -> list[str]:
    """Leave-one-out influence on the forecast at the dear end: one Newton step for all, then in earnest for a few."""
    design, n = member.design, len(member.value)
    if n <= len(member.numbers) + 2:
        return [f"{n} runs for {len(member.numbers)} numbers of the law; each run drives it; add runs"]
    order = dearness(finished, settings)
    dear = law.runs[finished.inputs].iloc[[int(np.argmax(order))]]
    end = design.matrix(law.inputs.encode(dear))
    u = law.link.latent(law.runs[law.target].to_numpy(dtype=float))
    value, jacobian = design.slopes(member.matrix, member.numbers[None])
    left = u - value[0]
    weight = (FREEDOM + 1) / (FREEDOM + (left / member.noise) ** 2) / member.noise**2
    slope = design.slopes(end, member.numbers[None])[1][0, 0]
    step = (jacobian[0] @ (member.covariance @ slope)) * weight * left
    leverage = np.einsum("nk,kl,nl->n", jacobian[0], member.covariance, jacobian[0]) * weight
    guess = np.abs(step / np.maximum(1 - leverage, 0.05))
    before = float(law.link.value(design.values(end, member.numbers[None])[0])[0])
    low, high = np.quantile(law.draws(dear)[0], (0.05, 0.95))
    moved: list[tuple[float, int, float]] = []
    for at in np.argsort(-guess)[:CANDIDATES]:
        keep = np.arange(n) != at
        again = mode_of(design, member.matrix[keep], u[keep], seed=0, starts=2, first=member.numbers)
        after = float(law.link.value(design.values(end, again.numbers[None])[0])[0])
        moved.append((abs(after - before), int(at), after))
    most, which, after = max(moved)
    if most <= INFLUENCE * (high - low):
        return []
    return [
        f"one run drives the law: without {finished.runs[which]} the value at the dearest plan is {after:.4g} and not "
        f"{before:.4g}, which is {most / (high - low):.1f} times the width of its 90 % interval; check that run"
    ]


def _two_groups(law: Law, finished: Finished) -> list[str]:
    """Residuals around two values: two equal normals against one, by BIC."""
    if finished.reading.text:
        return []
    u = law.link.latent(law.runs[law.target].to_numpy(dtype=float))
    member = law.mixture.members[int(np.argmax(law.mixture.weights))]
    left = np.sort(u - member.design.values(member.matrix, member.numbers[None])[0])
    n = len(left)
    if n < TWO_GROUPS["rows"] or left.std() == 0:
        return []
    count = np.arange(1, n)
    below = np.cumsum(left)[:-1] / count
    above = (left.sum() - np.cumsum(left)[:-1]) / (n - count)
    within = (left @ left) - count * below**2 - (n - count) * above**2
    least = np.minimum(count, n - count) >= TWO_GROUPS["least"] * n
    at = int(np.argmin(np.where(least, within, np.inf)))
    sd = float(np.sqrt(within[at] / n))
    # A normal cut at its middle is 2.65 sd of its halves apart, so more than that is asked.
    if above[at] - below[at] < (TWO_GROUPS["apart"] + 1.0) * sd:
        return []
    return [
        f"residuals lie around two values ({int(count[at])} runs below, {n - int(count[at])} above, "
        f"{(above[at] - below[at]) / sd:.1f} of their spreads apart): the table seems to mix two tokenisers, data sets "
        "or settings; add a column that tells them apart"
    ]


def _two_counts(finished: Finished) -> list[str]:
    counted = [name for name in size_columns(finished.columns) if name != finished.target]
    used = [name for name in counted if name in finished.inputs]
    if len(counted) < 2 or not used:
        return []
    return [
        f"columns {some(counted)} count parameters in different ways (with embeddings or without, all or active); the "
        f"law uses {some(used)}; count the run in question alike"
    ]

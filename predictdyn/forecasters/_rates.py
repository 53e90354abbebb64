"""The learning rate of a run by step, as it was planned: from a schedule known ahead, or from the run's settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from predictdyn.curves import Curves, Metric
from predictdyn.fitting.schedule_laws import RateCurve, rate_curve

RATE = re.compile(r"(^|[/_.:-])(lr|learning_rate)([/_.:-]|\d|$)")
SHAPES = ("constant", "cosine", "linear", "wsd")
KNOTS = 65  # of a cosine
COOLDOWN = 0.2  # of the run: the decay of a warm-up-stable-decay schedule that does not say when it begins
NO_RATE = "no learning-rate schedule is known ahead"
# What settings are called, in the order in which they are looked for.
PEAK = ("peak_learning_rate", "peak_lr", "max_learning_rate", "max_lr", "learning_rate", "lr", "base_lr", "init_lr")
SHAPE = (
    "lr_schedule", "learning_rate_schedule", "lr_scheduler_type", "lr_scheduler", "lr_decay_style", "scheduler",
    "schedule", "shape",
)  # fmt: skip
WARM_UP = ("warmup_steps", "lr_warmup_steps", "num_warmup_steps", "warmup_iters", "lr_warmup_iters", "warmup")
WARM_UP_SHARE = ("warmup_ratio", "warmup_fraction", "warmup_frac")
END = ("end_learning_rate", "end_lr", "min_learning_rate", "min_lr", "final_learning_rate", "final_lr")
END_SHARE = ("min_lr_ratio", "end_lr_ratio", "final_lr_ratio", "min_lr_fraction")
TOTAL = ("total_steps", "max_steps", "lr_decay_iters", "train_iters")
DECAY = ("decay_start", "decay_start_step", "change_step")
DECAY_SHARE = ("decay_ratio", "decay_fraction", "decay_frac", "cooldown_fraction", "cooldown_frac", "cooldown_ratio")
NAMED = {
    "constant": "constant", "constant_with_warmup": "constant", "cosine": "cosine", "cosine_with_warmup": "cosine",
    "cosine_annealing": "cosine", "cosineannealinglr": "cosine", "linear": "linear", "linear_with_warmup": "linear",
    "linear_decay": "linear", "wsd": "wsd", "warmup_stable_decay": "wsd", "trapezoidal": "wsd", "trapezoid": "wsd",
}  # fmt: skip


def rates_of(curves: Curves, *, past: bool = False) -> tuple[dict[str, RateCurve], dict[str, str]]:
    """The planned rate of each run that has one, and of the others why not.

    With ``past`` only what was logged matters, so a rate counts that is one by its name alone.
    """
    names, table = rate_metrics(curves.metrics, past=past), curves.runs.to_dict()
    found: dict[str, RateCurve] = {}
    why: dict[str, str] = {}
    for run in map(str, curves.runs.index):
        logged = [curves.series[run, name] for name in names if (run, name) in curves.series]
        try:
            if logged:
                found[run] = rate_curve(logged[0].step, logged[0].value)
            else:
                settings = {str(name): column[run] for name, column in table.items()}
                found[run] = planned_rate(settings, float(settings["last_step"]))
        except ValueError as error:
            why[run] = str(error)
    return found, why


def rate_metrics(metrics: Mapping[str, Metric], *, past: bool = False) -> list[str]:
    """Learning rates that are known ahead, by name: the shortest first, which is that of all parameters.

    With ``past`` all learning rates.
    """
    names = [name for name, metric in metrics.items() if (past or metric.known_ahead) and RATE.search(name.lower())]
    return sorted(names, key=lambda name: (len(name), name))


def planned_rate(settings: Mapping[str, Any], last_step: float) -> RateCurve:
    """The rate that settings state: peak, warm-up, a named shape and an end. Without a peak it is in parts of the peak.

    A shape is constant, cosine, linear or wsd (warm-up, stable, decay in a straight line). Raises ValueError, one line
    that says what is missing or wrong.

    >>> rate = planned_rate({"lr": 0.1, "lr_schedule": "linear", "warmup_steps": 10}, 100)
    >>> rate.at(np.array([5.0, 10.0, 55.0, 100.0])).round(3).tolist()
    [0.05, 0.1, 0.05, 0.0]
    """
    known = {re.sub(r"\W+", "_", str(name).lower()): value for name, value in settings.items()}
    word = next((str(known[name]).strip().lower() for name in SHAPE if isinstance(known.get(name), str)), None)
    if word is None:
        raise ValueError(NO_RATE)
    shape = NAMED.get(re.sub(r"\W+", "_", word))
    if shape is None:
        raise ValueError(f"{NO_RATE}: the settings say {word!r}; known shapes are {', '.join(SHAPES)}")
    stated = _number(known, PEAK)
    peak = 1.0 if stated is None else stated
    total = _number(known, TOTAL) or last_step
    warm_up = _steps(known, WARM_UP, WARM_UP_SHARE, total) or 0.0
    end = _number(known, END) if stated is not None else None
    end = abs(peak) * (_number(known, END_SHARE) or 0.0) if end is None else end
    if not peak > 0 or not 0 <= end <= peak:
        raise ValueError(f"the learning rate must fall from a peak above zero, found peak {peak:g} and end {end:g}")
    if not 0 <= warm_up < total:
        raise ValueError(f"the warm-up must end within the run, found {warm_up:g} of {total:g} steps")
    begin = warm_up
    if shape == "wsd":
        share = _number(known, DECAY_SHARE)
        start = _number(known, DECAY)
        begin = total * (1.0 - (COOLDOWN if share is None else share)) if start is None else start
        if not warm_up <= begin < total:
            raise ValueError(f"the decay must begin after the warm-up, within the run, found step {begin:g}")
    step, rate = [warm_up], [peak]
    if begin > warm_up:
        step, rate = [*step, begin], [*rate, peak]
    if shape == "constant":
        step, rate = [*step, total], [*rate, peak]
    else:
        way = np.linspace(0.0, 1.0, KNOTS if shape == "cosine" else 2)[1:]
        left = 0.5 * (1.0 + np.cos(np.pi * way)) if shape == "cosine" else 1.0 - way
        step, rate = [*step, *(begin + way * (total - begin))], [*rate, *(end + (peak - end) * left)]
    return rate_curve(np.array(step), np.array(rate))


def _number(known: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    for name in names:
        try:
            value = float(known.get(name, np.nan))
        except (TypeError, ValueError):
            continue
        if np.isfinite(value):
            return value
    return None


def _steps(known: Mapping[str, Any], names: tuple[str, ...], shares: tuple[str, ...], total: float) -> float | None:
    steps, share = _number(known, names), _number(known, shares)
    return steps if steps is not None or share is None else share * total

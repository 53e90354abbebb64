"""Where runs were planned to end: as stated, as their configuration says, or as long as their siblings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from predictdyn.curves import ENDED
from predictdyn.loaders.engine.notes import some
from predictdyn.loaders.engine.words import planned_end

LOGGED, LONGEST = "logged", "longest"  # words for last_step
# Keys of configurations, without what stands in front of the last / or dot, that state a number of steps or of epochs.
STEPS = (
    "max_steps", "total_steps", "num_training_steps", "num_train_steps", "train_steps", "training_steps", "max_iters",
    "max_iter", "num_iters", "num_iterations", "max_iterations", "total_iters", "train_iters", "total_timesteps",
    "max_train_steps",
)  # fmt: skip
EPOCHS = ("num_train_epochs", "max_epochs", "num_epochs", "n_epochs", "total_epochs", "epochs")
FEW = 3  # so few runs are taken for siblings though only one is as long


class Length(NamedTuple):
    """What one run says of its length: ``planned`` by its tool, the ``last`` step that it logged, how it was
    ``stopped`` ("" if not known), the ``study`` of trials that it belongs to, its ``pace`` in steps an epoch,
    and the ``metrics`` that it logged.
    """

    planned: float | None
    last: float
    stopped: str = ""
    study: str = ""
    pace: float | None = None
    metrics: tuple[str, ...] = ()


def last_steps(
    configs: Mapping[str, Mapping[str, object]],
    lengths: Mapping[str, Length],
    families: Mapping[str, str],
    stated: pd.Series,
    last_step: str | float | None,
) -> tuple[pd.Series, list[str]]:
    """The planned end of every run and lines on what was assumed.

    The option ``last_step`` comes first (a number or a key of the configuration), then the user's table (``stated``),
    then what the tool or the configuration says, then the siblings, which log a metric in common. Trials of one study,
    and runs that their tool calls stopped, were meant to be as long as the longest sibling. So was any other run of
    rare length: fewer runs are as long as it is (to 2 %) than are as long as the longest, in its family, else of all.
    Of at most three runs, each of its own length, all were meant to be as long as the longest. A length that is as
    common as the longest is meant. The word ``logged`` takes the largest logged step instead, ``longest`` the longest
    run.
    """
    word = str(last_step)
    keyed = any(word in config for config in configs.values())
    number = None if last_step is None or keyed or word in (LOGGED, LONGEST) else planned_end(last_step)
    plan: dict[str, float] = {}
    own: dict[str, list[str]] = {"siblings": [], "logged": [], "stopped": [], "beyond": []}
    longest = _siblings(lengths, families, every=word == LONGEST)
    for run, config in configs.items():
        length = lengths[run]
        chosen = planned_end(config[word]) if keyed and word in config else number
        said = None if word in (LOGGED, LONGEST) else planned_by(config, length)
        end = next((e for e in map(length_of, (chosen, stated.get(run), said)) if e is not None), None)
        if end is not None and end < length.last:
            own["beyond"].append(f"{run} (planned {end:g}, logged {length.last:g})")
        elif end is None and word != LOGGED:
            end = longest[run]
            shorter = length.last < ENDED * end
            own["siblings" if shorter else "stopped" if length.stopped else "logged"].append(run)
        plan[run] = max(length.last, end or 0) or 1.0  # an end must be > 0, though nothing was logged after step 0
    return pd.Series(plan, dtype=float), _lines(own, plan, lengths)


def planned_by(config: Mapping[str, object], length: Length) -> float | None:
    """The planned length that a tool or a configuration states, in the steps of the log; None where none does.

    A number of epochs counts where the log says how many steps an epoch has.

    >>> planned_by({"train/max_steps": 500}, Length(None, 120)), planned_by({"max_steps": 100}, Length(None, 120))
    (500.0, None)
    """
    if (planned := length_of(length.planned)) is not None:
        return planned
    found = {name: [] for name in (*STEPS, *EPOCHS)}  # type: dict[str, list[float]]
    for key, cell in config.items():
        name = key.replace(".", "/").rpartition("/")[2].lower().replace("-", "_")
        if name in found and (end := length_of(cell)) is not None:
            found[name].append(end)
    # What a run has gone beyond is the length of something else.
    steps = next((value for name in STEPS for value in found[name] if value >= length.last), None)
    if steps is not None or length.pace is None:
        return steps
    ends = (np.rint(length.pace * value) for name in EPOCHS for value in found[name])
    return next((max(float(end), length.last) for end in ends if ENDED * length.last <= end < np.inf), None)


def epochs_planned(config: Mapping[str, object], first: float, last: float) -> float | None:
    """The last epoch of a run whose clock is the epoch, counted from 0 if the ``first`` one is 0; None if not said.

    >>> epochs_planned({"epochs": 20}, 0.0, 11.0), epochs_planned({"train/num_epochs": 20}, 1.0, 11.0)
    (19.0, 20.0)
    """
    for key, cell in config.items():
        if key.rpartition("/")[2] in EPOCHS and (count := length_of(cell)) is not None:
            end = count - (first == 0)
            if last <= end:
                return end
    return None


def length_of(cell: object) -> float | None:
    """A number that can be a length, else None: finite, > 0 and, which whole numbers of a file need not be, a float.

    >>> length_of(500), length_of(10**400), length_of(True), length_of("500")
    (500.0, None, None, None)
    """
    if isinstance(cell, bool) or not isinstance(cell, int | float | np.number):
        return None
    try:
        end = float(cell)
    except OverflowError:
        return None
    return end if 0 < end < float("inf") else None


def _siblings(lengths: Mapping[str, Length], families: Mapping[str, str], *, every: bool) -> dict[str, float]:
    """How long each run was meant to be, as far as other runs tell; as long as it is where they tell nothing."""
    found: dict[str, float] = {}
    for runs in _akin(lengths):
        found |= _among({run: lengths[run] for run in runs}, families, every=every)
    return found


def _akin(lengths: Mapping[str, Length]) -> list[list[str]]:
    """The runs that log metrics in common, together; logs of different things in one folder are no siblings."""
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while above.setdefault(name, name) != name:
            above[name] = above[above[name]]
            name = above[name]
        return name

    for length in lengths.values():
        for metric in length.metrics[1:]:
            above[top(metric)] = top(length.metrics[0])
    together: dict[str, list[str]] = {}
    for run, length in lengths.items():
        together.setdefault(top(length.metrics[0]) if length.metrics else "", []).append(run)
    return list(together.values())


def _among(lengths: Mapping[str, Length], families: Mapping[str, str], *, every: bool) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    studies: dict[str, float] = {}
    for run, length in lengths.items():
        groups.setdefault(families[run], []).append(length.last)
        studies[length.study] = max(studies.get(length.study, 0.0), length.last)
    everything = np.sort([length.last for length in lengths.values()])
    ordered = {family: np.sort(group) for family, group in groups.items()}
    highest = float(everything[-1])
    found = {}
    for run, length in lengths.items():
        own, family = length.last, ordered[families[run]]
        if every:
            found[run] = highest
        elif length.study:
            found[run] = studies[length.study]
        elif family[-1] > own and (length.stopped or _fewer(own, family)):
            found[run] = float(family[-1])
        elif length.stopped or _fewer(own, everything) or (len(everything) <= FEW and _alike(own, everything) == 1):
            found[run] = highest
        else:
            found[run] = own
    return found


def _alike(length: float, ordered: np.ndarray) -> int:
    """How many runs are about as long."""
    low, high = np.searchsorted(ordered, ENDED * length), np.searchsorted(ordered, length / ENDED, side="right")
    return int(high - low)


def _fewer(length: float, ordered: np.ndarray) -> bool:
    """Whether fewer runs are about so long than are about as long as the longest."""
    return _alike(length, ordered) < _alike(float(ordered[-1]), ordered)


def _lines(own: Mapping[str, list[str]], plan: Mapping[str, float], lengths: Mapping[str, Length]) -> list[str]:
    lines = []
    n = len(plan)
    if runs := own["siblings"]:
        stopped = sum(bool(lengths[run].stopped) for run in runs)
        told = f" ({stopped} of them stopped, as their tool says)" if stopped else ""
        ends = sorted({f"{plan[run]:g}" for run in runs}, key=float)
        lines.append(
            f"{len(runs)} of {n} run(s) end before their siblings do{told}, so they count as not ended (planned end: "
            f"{some(ends)}): {some(runs)}; if they ended as planned, say last_step='logged'"
        )
    if runs := own["logged"]:
        lines.append(
            f"the planned length of {len(runs)} of {n} run(s) is not known, taken to be the largest logged step: "
            f"{some(runs)}; state it with last_step=NUMBER"
        )
    if runs := own["stopped"]:
        words = sorted({lengths[run].stopped for run in runs})
        lines.append(
            f"{len(runs)} of {n} run(s) were stopped ({some(words)}), but nothing says how long they were meant to be: "
            f"{some(runs)}; they count as ended there unless last_step=... states it"
        )
    if runs := own["beyond"]:
        lines.append(f"{len(runs)} run(s) logged beyond their planned end, which is moved: {some(runs)}")
    return lines

"""Make the trials of schedules: train the runs of one part, measure their validation loss, write a tidy folder.

python datasets/tinylm/make_trials.py pilots --out datasets/tinylm/schedules/pilots
python datasets/tinylm/make_trials.py tuning --out datasets/tinylm/schedules/tuning
python datasets/tinylm/make_trials.py designs --out datasets/tinylm/schedules/designs   # designed.csv must be there
python datasets/tinylm/make_trials.py test --out datasets/tinylm/schedules/test         # both of tuning, too
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import suite  # isort: skip  # before JAX, which it keeps to one thread

import jax
import jax.numpy as jnp
import nets
import numpy as np
import pandas as pd
import planted
import probes
import train
import trials
from probes import LOSS_ROWS
from recipes import BATCH_SIZE, BUDGETS
from sampling import mean

METRICS = (
    suite.Metric("validation_loss", "loss", 0, None, "lower", round(float(np.log(nets.VOCABULARY)), 6)),
    suite.Metric("learning_rate", "schedule", 0),
)


def made(part: str, group: suite.Group) -> suite.Tables:
    """Train and measure one trial -> points, events (none)."""
    trial = next(one for one in PARTS[part]() if one.name == group.name)
    rates, rows = trial.rates(), []
    windows = jnp.asarray(probes.questions().windows[:LOSS_ROWS]).astype(jnp.int32)  # those of the suite
    state = train.begun(trial.size, trial.generator("weights"))
    for step, now in train.trained_at(rates, trial.size, state, _tokens(trial)):
        value, stderr = mean(np.asarray(_losses(now.params, windows, trial.size.heads)).mean(1))
        rows.append((trial.name, "validation_loss", step, value, stderr))
        rows.append((trial.name, "learning_rate", step, float(rates[step]), np.nan))
    points = pd.DataFrame(rows, columns=["run", "metric", "step", "value", "stderr"])
    return points, pd.DataFrame({"run": [], "step": [], "what": []}, dtype=object)


def groups(part: str) -> list[suite.Group]:
    """The trials of a part, each a group of its own."""
    return [suite.Group(one.name, [one.row()]) for one in PARTS[part]()]


def _tests() -> list[trials.Trial]:
    """Trials at the peak rates that tuning has found."""
    tuned = [trials.DESIGNED.parent / part for part in ("tuning", "designs")]
    missing = [str(folder) for folder in tuned if not folder.exists()]
    if missing:
        raise SystemExit(f"make the parts tuning and designs first; not there: {', '.join(missing)}")
    runs = pd.concat([pd.read_csv(folder / "runs.csv") for folder in tuned])
    points = pd.concat([pd.read_parquet(folder / "points.parquet") for folder in tuned], ignore_index=True)
    return trials.tests(trials.best_peaks(runs, points))


PARTS: dict[str, Callable[[], list[trials.Trial]]] = {
    "pilots": trials.pilots,
    "tuning": partial(trials.tuning, *trials.NAMED),
    "designs": partial(trials.tuning, "designed"),
    "test": _tests,
}


def _tokens(trial: trials.Trial) -> jax.Array:
    """All batches of a run, padded to one shape, so that budgets are compiled once."""
    tokens = planted.batches(trial.generator("batches"), trial.last_step, BATCH_SIZE, nets.CONTEXT + 1, None).tokens
    return jnp.pad(jnp.asarray(tokens), ((0, max(BUDGETS) - len(tokens)), (0, 0), (0, 0)))


_losses = jax.jit(train.losses, static_argnums=2)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        raise SystemExit(f"{__doc__}\nThe first word is one of {', '.join(PARTS)}.")
    suite.main(__doc__, Path(__file__).parent, groups(sys.argv[1]), partial(made, sys.argv[1]), METRICS, sys.argv[2:])

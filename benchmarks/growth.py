"""How time and memory grow with the number of finished runs: one forecast and one backtest by `auto`.

python benchmarks/growth.py [--runs 100,300,1000,3000] [--commands forecast,backtest] [--out FIGURE.svg]

The runs are those of digits, drawn with replacement and jittered, since there are no 3,000 real ones: each copy has its
values moved, on the latent scale, by a smooth random path of a tenth of the spread between runs, and its plan (width,
rate, ...) by three per cent. Copies of one recipe are one family. The forecast is of one run seen to a quarter; the
backtest of two metrics at one cutoff. Every command is a process of its own; loading and pages are in it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from whole_commands import ROOT, Cost, measured

from predictdyn.curves import Curves, curves_from
from predictdyn.loaders import tidy
from predictdyn.scales import scale_for

METRICS = ("test_accuracy", "accuracy_gap")
BESIDE = ("gradient_norm", "learning_rate", "train_loss")
JITTER, OF_PLAN = 0.1, 0.03
KNOTS = 6
COMMANDS = {
    "forecast": ("--runs", "run0", "--cutoff", "0.25"),
    "backtest": ("--cutoffs", "0.25", "--forecasters", "auto"),
}


def main() -> None:
    """Measure, print a table, and draw a figure if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default="100,300,1000,3000")
    parser.add_argument("--commands", default="forecast,backtest")
    parser.add_argument("--out", type=Path)
    called = parser.parse_args()
    curves = tidy.load(ROOT / "datasets" / "digits" / "data").select(metrics=[*METRICS, *BESIDE])
    rows = []
    print("| runs | command | wall, s | CPU, s | GB |\n| ---: | --- | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for n in map(int, called.runs.split(",")):
            data = Path(folder) / f"runs{n}"
            data.mkdir()
            tidy.save(resampled(curves, n, np.random.default_rng(n)), data)
            for name in called.commands.split(","):
                cost = cost_of(name, data, Path(folder) / f"{name}{n}")
                rows.append({"runs": n, "command": name, **cost._asdict()})
                print(f"| {n} | {name} | {cost.wall:.1f} | {cost.cpu:.1f} | {cost.memory:.2f} |", flush=True)
    if called.out is not None:
        draw(pd.DataFrame(rows), called.out)


def cost_of(command: str, data: Path, out: Path) -> Cost:
    """What a command takes on a folder of runs."""
    words = [command, str(data), *COMMANDS[command], "--metrics", ",".join(METRICS), "--quiet", "--out", str(out)]
    return measured(words, ROOT, out.parent, dict(os.environ))


def resampled(curves: Curves, n: int, rng: np.random.Generator) -> Curves:
    """So many runs drawn with replacement, jittered; every second point of every curve."""
    names = rng.choice(curves.runs.index.to_numpy(), n)
    frames = []
    for metric in (*METRICS, *BESIDE):
        known = {run: curve for (run, name), curve in curves.series.items() if name == metric}
        scale = scale_for(curves.metrics[metric], np.concatenate([curve.value for curve in known.values()]))
        apart = float(np.std([scale.latent(curve.value)[-1] for curve in known.values()]))
        for i, run in enumerate(names):
            if run in known:
                step, value = known[run].step[::2], known[run].value[::2]
                moved = 0.0
                if curves.metrics[metric].kind != "schedule":
                    path = JITTER * apart * rng.standard_normal(KNOTS).cumsum() / np.sqrt(KNOTS)
                    moved = np.interp(np.linspace(0, 1, len(step)), np.linspace(0, 1, KNOTS), path)
                new = scale.value(scale.latent(value) + moved)
                frames.append(pd.DataFrame({"run": f"run{i}", "metric": metric, "step": step, "value": new}))
    runs = curves.runs.loc[names].reset_index(drop=True)
    for name in runs.columns:
        if name != "last_step" and pd.api.types.is_float_dtype(runs[name]):
            runs[name] = runs[name] * np.exp(OF_PLAN * rng.standard_normal(n))
    runs["run"] = [f"run{i}" for i in range(n)]
    return curves_from(pd.concat(frames, ignore_index=True), runs, dict(curves.metrics))


def draw(table: pd.DataFrame, file: Path) -> None:
    """CPU seconds and memory against the number of runs, both axes logarithmic, with a line of slope one."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, column, label in zip(axes, ("cpu", "memory"), ("processor seconds", "most memory, GB"), strict=True):
        for name, of in table.groupby("command"):
            axis.plot(of["runs"], of[column], marker="o", label=name)
        first = table[column].min()
        axis.plot(table["runs"], first * table["runs"] / table["runs"].min(), color="0.7", ls=":", label="linear")
        axis.set(xscale="log", yscale="log", xlabel="finished runs", ylabel=label)
        axis.legend(frameon=False)
    figure.savefig(file)


if __name__ == "__main__":
    main()

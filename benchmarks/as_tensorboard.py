"""Write finished runs of a tidy folder as TensorBoard event files, as their trainers would have; some break off.

python benchmarks/as_tensorboard.py DATA --runs GLOB [--metrics GLOB,...] [--growing RUN@SHARE,...] --out LOGS

A folder of its own for every run, written by tensorboardX. A growing run ends at a share of its plan, in the middle of
a record, as the log of a run that goes on may. LOGS/runs.csv says what event files do not: families and planned ends.
For trying the loader, and the example in the README.
"""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from pathlib import Path

from tensorboardX import SummaryWriter

from predictdyn.curves import Curves
from predictdyn.loaders import tidy


def write(curves: Curves, run: str, share: float, folder: Path) -> None:
    """All scalars of a run in the order of their steps, up to a share of its plan."""
    points = curves.points[(curves.points["run"] == run).to_numpy()].sort_values(["step", "metric"], kind="stable")
    limit = share * float(curves.runs.loc[run, "last_step"])
    with SummaryWriter(str(folder), write_to_disk=True) as writer:
        for name, step, value in points[["metric", "step", "value"]].itertuples(index=False):
            if step <= limit:
                writer.add_scalar(name, value, int(step), walltime=float(step))
    if share < 1:
        (file,) = folder.iterdir()
        file.write_bytes(file.read_bytes()[:-9])


def main() -> None:
    """Write the folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", default="*")
    parser.add_argument("--metrics", default="*")
    parser.add_argument("--growing", default="")
    parser.add_argument("--out", type=Path, required=True)
    called = parser.parse_args()
    curves, globs = tidy.load(called.data), called.metrics.split(",")
    curves = curves.select(metrics={name for name in curves.metrics if any(fnmatchcase(name, glob) for glob in globs)})
    growing = dict(pair.split("@") for pair in called.growing.split(",") if pair)
    chosen = [run for run in curves.runs.index if fnmatchcase(run, called.runs) or run in growing]
    for run in chosen:
        write(curves, run, float(growing.get(run, 1.0)), called.out / run)
    curves.runs.loc[chosen, ["family", "last_step"]].to_csv(called.out / "runs.csv")
    print(f"{len(chosen)} runs -> {called.out}")


if __name__ == "__main__":
    main()

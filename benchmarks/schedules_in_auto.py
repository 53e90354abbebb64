"""`auto` with and without `schedule_law` as a member, on runs that have begun; and `schedule_law` alone.

python benchmarks/schedules_in_auto.py [multi_power_law] [tinylm]

PREDICTDYN_DATA names the folder with a copy of multi_power_law. Families are held out. `auto` asks `schedule_law` only
where few runs have finished; "with, many runs, too" is as if it always did. Prints a Markdown table: skill against the
best baseline, CRPS in units of each metric, the share of outcomes in 90 % intervals, and CPU seconds.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np

import predictdyn as pdyn
from predictdyn.forecast import Model
from predictdyn.forecasters import ensemble, forecaster

MEMBER = "schedule_law"
PLANS: dict[str, dict[str, Any]] = {
    "multi_power_law": {"cutoffs": (0.33, 0.6)},
    "tinylm": {"cutoffs": (0.1, 0.25, 0.5), "runs": "*-s?", "metrics": ("validation_loss", "train_loss")},
}


def without(mixture: ensemble.Ensemble, member: str) -> ensemble.Ensemble:
    """The mixture without a member."""
    left = [i for i, name in enumerate(mixture.members) if name != member]
    return replace(
        mixture,
        name=f"{mixture.name}_without",
        members=tuple(mixture.members[i] for i in left),
        prior_weights=tuple(mixture.prior_weights[i] for i in left),
        larger_weights=tuple(mixture.larger_weights[i] for i in left),
    )


def row(data: str, label: str, model: Model) -> str:
    """A row of the table."""
    begin = time.process_time()
    found = pdyn.backtest(pdyn.load_dataset(data), model, **PLANS[data], progress=False)
    seconds = time.process_time() - begin
    board = found.leaderboard.set_index("forecaster").loc[model.name]
    numbers = f"{board['skill']:+.3f} | {board['scaled_crps']:.3f} | {board['coverage_90']:.1%} | {seconds:.0f}"
    return f"| {data} | {label} | {numbers} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", default=list(PLANS), metavar="DATA", help=", ".join(PLANS))
    auto = ensemble.AUTO
    print("| data | | skill | CRPS | 90 % hold | CPU seconds |\n| --- | --- | ---: | ---: | ---: | ---: |")
    for data in parser.parse_args().data:
        print(row(data, "with", auto), flush=True)
        if data == "tinylm":
            few, ensemble.FEW_RUNS = ensemble.FEW_RUNS, int(np.iinfo(int).max)
            print(row(data, "with, many runs, too", replace(auto, name="auto_always")), flush=True)
            ensemble.FEW_RUNS = few
        else:
            print(row(data, "without", without(auto, MEMBER)), flush=True)
        print(row(data, f"`{MEMBER}` alone", forecaster(MEMBER)), flush=True)


if __name__ == "__main__":
    main()

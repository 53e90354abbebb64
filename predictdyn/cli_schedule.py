"""The command that designs a learning rate: it reads the data, prints the answer and writes tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from predictdyn import cli_words
from predictdyn.console import FOLDER, PATH, QUIET, as_options, notes, say
from predictdyn.progress import spinner

if TYPE_CHECKING:
    from predictdyn.curves import Curves
    from predictdyn.design import DesignedCooldown, DesignedSchedule


@click.command()
@click.argument("data", type=PATH)
@click.option("--metric", default=None, help="The loss to lower (default: the one that is there).")
@click.option("--steps", type=float, required=True, help="Steps of the run; with --target the most that it may have.")
@click.option(
    "--peak", default=None, metavar="P", help="Peak rate, or LOW,HIGH to choose it (default: that of the runs)."
)
@click.option("--warm-up", type=float, default=None, help="Steps of the warm-up (default: those of the runs).")
@click.option("--least", type=float, default=None, help="Lowest rate that is allowed.")
@click.option("--runs", default=None, metavar="GLOB", help="Finished runs to learn from, all of one model.")
@click.option("--target", type=float, default=None, help="Loss to reach: when should a running run cool down?")
@click.option("--run", default=None, metavar="RUN", help="That run (default: the one that has not ended).")
@click.option("--probability", type=float, default=0.5, show_default=True, help="With which to reach --target.")
@click.option("--out", type=FOLDER, required=True, help="Folder to write; must not exist.")
@click.option("--source", default=None, help="Name of the loader (default: found out from the data).")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Setting of the loader, e.g. run=name.")
@click.option("--seed", default=0, show_default=True, help="Seed of all that is random.")
@QUIET
def schedule(
    data: Path, metric: str | None, steps: float, peak: str | None, warm_up: float | None, least: float | None,
    runs: str | None, target: float | None, run: str | None, probability: float, out: Path, source: str | None,
    settings: tuple[str, ...], seed: int, quiet: bool,
) -> None:  # fmt: skip
    """Design the learning rate with the lowest forecast final loss.

    DATA is any log that `load` reads, whose finished runs have known learning rates. With --target it tells when a run
    at a constant rate should cool down.
    """
    import warnings

    from predictdyn import design
    from predictdyn.api.reading import prepared, read, source_of
    from predictdyn.backtest.writing import check_new

    check_new(out)
    if target is None and run is not None:
        raise ValueError("--run is the run that --target is of; give both, or choose finished runs with --runs")
    bounds = None if peak is None else cli_words.rates(peak)
    name, said = source_of(data, source)
    curves = prepared(read(data, name, cli_words.options(settings)))
    notes([*said, *curves.notes])
    found: DesignedSchedule | DesignedCooldown
    with spinner("designing the schedule", quiet=quiet), warnings.catch_warnings():
        # What they say is told below.
        warnings.simplefilter("ignore", UserWarning)
        if target is None:
            found = design.schedule(
                curves, metric, total_steps=steps, peak=bounds, warm_up=warm_up, least=least,
                runs=None if runs is None else list(cli_words.listed(runs)), seed=seed,
            )  # fmt: skip
        else:
            found = design.cooldown(
                curves, run or _running(curves), metric, target=target, most_steps=steps, probability=probability,
                least=least or 0.0, seed=seed,
            )  # fmt: skip
    found.write(out, cli_words.command(), data)
    for line in found.notes:
        say(f"note: {as_options(line)}", err=True)
    for line in _lines(found):
        say(line)
    say(str(out))


def _running(curves: Curves) -> str:
    """The one run that has not ended."""
    from predictdyn.curves import ended
    from predictdyn.naming import some

    going = [str(run) for run in curves.runs.index if run not in set(ended(curves))]
    if len(going) != 1:
        raise ValueError(
            f"--run RUN is needed: {len(going)} runs have not ended{': ' + some(going, 8) if going else ''}"
        )
    return going[0]


def _lines(found: DesignedSchedule | DesignedCooldown) -> list[str]:
    """The answer in short, and a line a schedule."""
    table = found.summary()
    if "schedule" not in table:
        return [found.said]
    wide = max(map(len, table["schedule"]))
    return [
        found.said,
        *(
            f"  {row['schedule']:<{wide}}  {row['loss']:.4f}  [{row['5 %']:.4f}, {row['95 %']:.4f}] (90 %)"
            for row in table.to_dict("records")
        ),
    ]

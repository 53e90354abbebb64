"""The command that watches runs while they train: it prints a line a change, calls hooks and sets the exit status."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from predictdyn import cli_words
from predictdyn.cli_words import listed
from predictdyn.console import FOLDER, PATH, as_options, say

RANG = 3  # exit status
_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d)?\s*")
SECONDS = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


@click.command()
@click.argument("path", type=PATH)
@click.option("--model", type=FOLDER, default=None, help="Folder written by `predictdyn fit`.")
@click.option("--history", type=PATH, default=None, help="Finished runs to learn from (default: those at PATH).")
@click.option("--forecaster", default="auto", show_default=True, help="Forecaster that learns from them.")
@click.option("--every", default="60s", show_default=True, metavar="TIME", help="Time from look to look: 30s, 5m, 1h.")
@click.option("--once", is_flag=True, help="Look once, and end.")
@click.option(
    "--target", "targets", multiple=True, metavar="TEXT", help="What a run should reach, e.g. 'val_acc > 0.75'."
)
@click.option("--metrics", default="", metavar="GLOB,...", help="Metrics to forecast (default: those of targets).")
@click.option(
    "--false-alarms",
    default=0.05,
    show_default=True,
    help="Share of healthy runs that may ring, over their whole length.",
)
@click.option(
    "--silent",
    default="30m",
    show_default=True,
    metavar="TIME",
    help="A run that logs nothing for so long has stopped.",
)
@click.option(
    "--out", type=FOLDER, default=Path("predictdyn-watch"), show_default=True, help="Folder of the page and the state."
)
@click.option("--exec", "command", default=None, metavar="CMD", help="Command to run once for each alarm.")
@click.option("--webhook", default=None, metavar="URL", help="Address that gets each alarm as JSON, by POST.")
@click.option("--exit-code", is_flag=True, help="End with status 3 at the first look that rings.")
@click.option("--source", default=None, help="Name of the loader (default: found out from the data).")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Option of the loader, e.g. last_step=1000."
)
@click.option("--seed", default=0, show_default=True, help="Seed of all that is random.")
def watch(
    path: Path, model: Path | None, history: Path | None, forecaster: str, every: str, once: bool,
    targets: tuple[str, ...], metrics: str, false_alarms: float, silent: str, out: Path, command: str | None,
    webhook: str | None, exit_code: bool, source: str | None, settings: tuple[str, ...], seed: int,
) -> None:  # fmt: skip
    """Watch runs at PATH while they train: forecasts, alarms and a page that loads itself again.

    Ends once all runs have ended. The same command goes on where a stopped or killed one was. Exit status: 0 where all
    went well, 2 for a wrong call, 3 with --exit-code where an alarm rang that no earlier command has ended with.
    """
    from predictdyn.api.models import as_model
    from predictdyn.api.reading import read, source_of
    from predictdyn.api.watching import begun, guarded, rounds

    as_model(forecaster)  # an unknown name is told before anything is read
    pause, quiet = seconds("--every", every), seconds("--silent", silent)
    if model is not None and history is not None:
        raise ValueError("give --model or --history, not both: a saved model has its history")

    def line(text: str) -> None:
        say(as_options(text))
        sys.stdout.flush()  # whoever reads a pipe learns of it now

    known = None if history is None else read(history, source_of(history, None)[0], {})
    with guarded(out):
        found = begun(
            path, model, history=known, forecaster=forecaster, targets=targets, metrics=listed(metrics),
            false_alarms=false_alarms, silent=quiet, every=None if once else pause, out=out, on_alarm=command,
            address=webhook, say=line, source=source, seed=seed, settings=cli_words.options(settings),
        )  # fmt: skip
        for note in found.made["tested"]:
            line(f"note: {note}")
        line(f"watching {path} by {found.made['model']} -> {out / 'index.html'}")
        for _ in rounds(found, say=line):
            if exit_code and found.report():
                break
        else:
            return
    sys.exit(RANG)


def seconds(option: str, word: str) -> float:
    """A time as people type it, in seconds.

    >>> seconds("--every", "90s"), seconds("--every", "5m"), seconds("--silent", "0")
    (90.0, 300.0, 0.0)
    """
    found = _SPAN.fullmatch(word)
    if found is None:
        raise ValueError(f"{option} takes a time such as 30s, 5m or 1h, got {word!r}")
    return float(found[1]) * SECONDS[found[2]]

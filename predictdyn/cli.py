"""The command line: the only place that prints. Exit status 0, or 2 with one line on a wrong call or bad data."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from predictdyn import __version__, cli_faults, cli_words
from predictdyn.cli_datasets import datasets
from predictdyn.cli_law import law
from predictdyn.cli_ledger import ledger_group, publish, record, register, resolve
from predictdyn.cli_schedule import schedule
from predictdyn.cli_watch import watch
from predictdyn.cli_words import cores, listed
from predictdyn.commit import commit
from predictdyn.console import FOLDER, PATH, QUIET, as_options, notes, say
from predictdyn.progress import bar, spinner

if TYPE_CHECKING:
    from predictdyn.curves import Curves

# Nothing heavy is imported here: `predictdyn --help` must answer at once. Each command imports what it uses.

OUT = click.option("--out", type=FOLDER, required=True, help="Folder to write; must not exist.")
SOURCE = click.option("--source", default=None, help="Name of the loader (default: found out from the data).")
SET = click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Option of the loader, e.g. run=name."
)
SEED = click.option("--seed", default=0, show_default=True, help="Seed of all that is random.")
WORKERS = click.option("--workers", default=None, type=int, help="Processes (default: one per core, at most 4).")
LONG = 60  # seconds of one process, after which a backtest says that there can be several
METRICS = click.option("--metrics", default="", metavar="GLOB,...", help="Metrics to forecast (default: all outcomes).")


def _version(context: click.Context, option: click.Parameter, asked: bool) -> None:
    """Print version and commit; git is asked only here."""
    if asked and not context.resilient_parsing:
        of = commit()
        say(f"predictdyn, version {__version__}" + (f" (commit {of})" if of else ""))
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version,
    help="Show the version and the commit, and exit.",
)  # fmt: skip
@click.pass_context
def cli(context: click.Context) -> None:
    """Forecast what a training run will become, from how it began; show by backtest how far to trust it."""
    if context.invoked_subcommand is None:
        for line in f"{context.get_help()}\n{NEXT}".splitlines():
            say(line)


NEXT = """
Begin with one of these:
  predictdyn demo                          a backtest of runs that come with the package, and its page
  predictdyn forecast LOGS --out forecast  forecast the runs of a folder of logs that have not ended
  predictdyn backtest LOGS --out backtest  replay the runs that have ended"""


cli.add_command(datasets)
cli.add_command(law)
cli.add_command(schedule)
cli.add_command(watch)
for command in (register, resolve, record, publish, ledger_group):
    cli.add_command(command)


@cli.command()
@click.argument("words", nargs=-1, required=True, metavar="[SOURCE] PATH")
@OUT
@SOURCE
@SET
@click.option("--workers", default=1, show_default=True, help="Processes that read runs side by side.")
@click.option(
    "--update", is_flag=True, help="Write --out anew if it exists; runs that did not change are not read again."
)
def load(
    words: tuple[str, ...], out: Path, source: str | None, settings: tuple[str, ...], workers: int, update: bool
) -> None:
    """Read any log at PATH into a tidy folder, and say on stderr what was found, merged and dropped."""
    from predictdyn import loaders
    from predictdyn.api.reading import source_of
    from predictdyn.backtest.writing import folder_again, new_folder, recovered
    from predictdyn.loaders.writing import write

    if len(words) > 2 or (len(words) == 2 and source is not None):
        raise ValueError(f"load takes a PATH, or a SOURCE and a PATH, got {' '.join(words)}")
    path = Path(words[-1])
    name, found = source_of(path, words[0] if len(words) == 2 and words[0] != "auto" else source)
    options = cli_words.options(settings)
    if workers != 1 and loaders.source(name).by_run:
        options["workers"] = str(workers)
    recovered(out)
    before = out if update and out.exists() else None
    with folder_again(out) if before else new_folder(out) as folder:
        done = write(path, name, folder, options, before)
    notes([*found, *done.notes])
    say(f"{done.curves.summary(done.points)} -> {out}")


@cli.command()
@click.argument("data", type=PATH)
@click.option("--forecaster", "name", default="auto", show_default=True, help="Forecaster to fit.")
@click.option("--alarms", is_flag=True, help="Learn the alarms of watch too, so that it begins at once.")
@OUT
@SOURCE
@SET
@SEED
@WORKERS
@QUIET
def fit(
    data: Path, name: str, alarms: bool, out: Path, source: str | None, settings: tuple[str, ...], seed: int,
    workers: int | None, quiet: bool,
) -> None:  # fmt: skip
    """Learn from the finished runs of DATA, and keep what was learnt."""
    from predictdyn.api.models import learnt
    from predictdyn.forecasters import forecaster

    one, used = forecaster(name), cores(workers)
    curves = _read(data, source, settings)
    try:
        model = learnt(curves, one, seed=seed)
    except ValueError as error:
        raise ValueError(f"{data}: {error}") from None
    done = len(model.history.runs)
    with spinner(f"fitting {name} on {done} finished runs", quiet=quiet):
        model.save(out, alarms=alarms, workers=used)
    say(f"{name}, fitted on {done} finished runs -> {out}")


@cli.command()
@click.argument("data", type=PATH)
@click.option("--model", type=FOLDER, default=None, help="Folder written by `predictdyn fit`.")
@click.option(
    "--forecaster", "name", default=None, help="Forecaster, fitted on the finished runs of DATA (default: auto)."
)
@click.option("--upto", type=float, default=None, metavar="STEP", help="Hide all points after this step.")
@click.option("--cutoff", type=float, default=None, metavar="F", help="Hide all points after this share of the run.")
@click.option("--at", default="final", show_default=True, metavar="STEP|final", help="Step to forecast.")
@click.option("--runs", default="", metavar="GLOB,...", help="Runs to forecast (default: those that have not ended).")
@click.option(
    "--event",
    "events",
    multiple=True,
    metavar="TEXT",
    help="Joint event whose probability to tell, e.g. 'test_accuracy > 0.9 and accuracy_gap < 0.05'.",
)
@click.option(
    "--onset",
    "onsets",
    multiple=True,
    metavar="TEXT",
    help="Event of which to tell when it first holds, or that it will not, e.g. 'val_acc > 0.9'.",
)
@click.option(
    "--intervene",
    "interventions",
    multiple=True,
    metavar="NAME@STEP",
    help="Also forecast what becomes of them with this intervention after STEP; may be given again for another.",
)
@METRICS
@OUT
@SOURCE
@SET
@SEED
@QUIET
def forecast(
    data: Path, model: Path | None, name: str | None, upto: float | None, cutoff: float | None, at: str, runs: str,
    events: tuple[str, ...], onsets: tuple[str, ...], interventions: tuple[str, ...], metrics: str, out: Path,
    source: str | None, settings: tuple[str, ...], seed: int, quiet: bool,
) -> None:  # fmt: skip
    """Forecast the runs of DATA that have not ended, and publish a page."""
    from dataclasses import replace

    from predictdyn.api.forecasts import answered, check_planned, outcomes_and_signals, question
    from predictdyn.api.models import as_model, load_model
    from predictdyn.backtest.folder import provenance
    from predictdyn.backtest.live import check_hidden
    from predictdyn.backtest.writing import check_new, new_folder
    from predictdyn.events import outside, parse
    from predictdyn.forecasters import DEFAULT

    if model is not None and name is not None:
        raise ValueError("give --model or --forecaster, not both")
    check_new(out)
    check_hidden(upto, cutoff)
    step = None if at == "final" else cli_words.step(at)
    planned = [cli_words.intervention(word) for word in interventions]
    as_model(name or DEFAULT)  # an unknown name is told before anything is read
    learnt = None if model is None else load_model(model)
    curves = _read(data, source, settings)
    asked = question(
        curves, learnt, name or DEFAULT, runs=listed(runs), metrics=listed(metrics), upto=upto, cutoff=cutoff, at=step,
        seed=seed,
    )  # fmt: skip
    for text in events:
        for line in outside(parse(text, set(asked.split.target["metric"])), asked.curves.metrics):
            say(line, err=True)
    for text in onsets:
        for line in outside(parse(text, outcomes_and_signals(asked.curves)), asked.curves.metrics):
            say(line, err=True)
    check_planned(asked, planned)
    plan = {
        "upto": upto, "cutoff": cutoff, "at": at, "runs": runs, "events": "; ".join(events),
        "intervene": ", ".join(interventions), "model": None if model is None else str(model),
        **({"onsets": "; ".join(onsets)} if onsets else {}),
    }  # fmt: skip
    with spinner(f"forecasting {asked.split.target['run'].nunique()} runs", quiet=quiet), new_folder(out) as folder:
        notes(asked.notes[len(curves.notes) :])
        found = answered(asked, seed=seed, plan=plan)
        if planned:
            found = replace(found, effects=found.compared(planned))
        about = provenance(
            asked.curves, made="forecast", title=cli_words.title(data), command=cli_words.command(),
            primary_forecaster=found.forecaster,
            seed=seed, plan=plan, data=data, warnings=list(asked.notes), seconds={},
        )  # fmt: skip
        found.write(folder, _as_typed(about), events=events, onsets=onsets)
    rows, effects = found.live.rows, found.effects if len(found.effects) else None
    for row in rows.head(12).to_dict("records"):
        interval = f"[{row['q0.05']:.4g}, {row['q0.95']:.4g}] (90 %)"
        say(f"{row['run']}  {row['metric']} at {row['step']:g}: {row['q0.5']:.4g}  {interval}  {row['status']}")
    if len(rows) > 12:
        say(f"... and {len(rows) - 12} more in {out / 'forecasts.parquet'}")
    if events:
        for line in _probabilities(out):
            say(line)
    if onsets:
        for line in _onsets(out):
            say(line)
    for row in [] if effects is None else effects.head(12).to_dict("records"):
        interval = f"[{row['effect_q0.05']:+.4g}, {row['effect_q0.95']:+.4g}] (90 %)"
        what = f"{row['intervention']} after {row['intervention_step']:g}: {row['effect_q0.5']:+.4g}  {interval}"
        say(f"{row['run']}  {row['metric']}  {what}  {row['words']}")
    if effects is not None and len(effects) > 12:
        say(f"... and {len(effects) - 12} more in {out / 'effects.csv'}")
    say(str(out / "index.html"))


@cli.command()
@click.argument("data", type=PATH)
@OUT
@SOURCE
@SET
@click.option(
    "--forecasters", default="auto", show_default=True, metavar="A,B|all", help="Baselines always run as well."
)
@click.option("--cutoffs", default="0.1,0.25,0.5", show_default=True, help="Shares of the planned run that are seen.")
@METRICS
@click.option(
    "--hold-out", default="family", show_default=True, metavar="COLUMN", help="Held out together: a column of runs."
)
@click.option("--runs", default="", metavar="GLOB,...", help="Runs that take part (default: all).")
@click.option("--test", default="", metavar="RUN-GLOB,...", help="Only these runs are forecast, all held out together.")
@click.option("--targets", type=click.Choice(["final", "hidden"]), default="final", show_default=True)
@click.option("--split", type=click.Choice(["cutoff", "seen"]), default="cutoff", show_default=True)
@click.option(
    "--onset", default=None, metavar="TEXT", help="Also forecast when this event first holds, e.g. 'val_acc > 0.9'."
)
@click.option("--budget", type=float, default=None, metavar="FLOP", help="History holds only runs that cost no more.")
@click.option("--alarms", is_flag=True, help="Also replay alarms: false ones, catches, lead times.")
@SEED
@click.option(
    "--workers", default=1, show_default=True,
    help="Processes side by side; each takes memory of its own. On four cores type --workers 4.",
)  # fmt: skip
@QUIET
def backtest(
    data: Path, out: Path, source: str | None, settings: tuple[str, ...], forecasters: str, cutoffs: str, metrics: str,
    hold_out: str, runs: str, test: str, targets: Any, split: Any, onset: str | None, budget: float | None,
    alarms: bool, seed: int, workers: int, quiet: bool,
) -> None:  # fmt: skip
    """Replay the past of DATA: hide the end of runs, forecast it, score it, publish a page."""
    from predictdyn.api.backtests import models_of
    from predictdyn.backtest.plan import Plan
    from predictdyn.backtest.writing import check_new

    check_new(out)
    plan = Plan(
        cutoffs=tuple(cli_words.share(word) for word in listed(cutoffs)),
        split=split, targets=targets, hold_out=hold_out, test=listed(test), metrics=listed(metrics), budget=budget,
        seed=seed, runs=listed(runs),
    )  # fmt: skip
    models = models_of(forecasters if forecasters == "all" else listed(forecasters))
    workers = cores(workers)
    curves, began = _read(data, source, settings), time.monotonic()
    _backtest(
        curves, plan, models, data, out,
        asked=listed(forecasters), workers=workers, quiet=quiet, onset=onset, alarms=alarms,
    )  # fmt: skip
    took, could = time.monotonic() - began, cores(None)
    if workers == 1 < could and took > LONG and not quiet:
        say(f"one process took {took:.0f} s; next time --workers {could} spreads the work over {could}", err=True)
    say(str(out / "index.html"))


@cli.command()
@click.argument("folder", type=FOLDER)
@click.option("--out", type=FOLDER, default=None, help="Where to write the page (default: FOLDER itself).")
def report(folder: Path, out: Path | None) -> None:
    """Make the page of a folder written by `forecast` or `backtest` (again)."""
    from predictdyn.report import publish

    say(str(publish(folder, out)))


@cli.command()
@click.option("--out", type=FOLDER, default=Path("predictdyn-demo"), show_default=True, help="Folder to write.")
@SEED
@WORKERS
@QUIET
def demo(out: Path, seed: int, workers: int | None, quiet: bool) -> None:
    """The main job on real training runs that come with the package: load, backtest, publish. No network."""
    from predictdyn.api.backtests import models_of
    from predictdyn.backtest.plan import Plan
    from predictdyn.backtest.writing import check_new
    from predictdyn.datasets import bundled
    from predictdyn.loaders import tidy

    check_new(out)
    data = bundled("digits")
    # All other recipes are the history, so that `auto` learns once; one metric of each kind.
    plan = Plan(cutoffs=(0.1, 0.25), metrics=DEMO_METRICS, seed=seed, runs=DEMO_RUNS, test=DEMO_TEST)
    asked = ("curve_fit", "auto")
    _backtest(tidy.load(data), plan, models_of(asked), data, out, asked=asked, workers=cores(workers), quiet=quiet)
    say(f"open {out / 'index.html'}")


# Of the 200 recipes without interventions, three seeds each, the first ten are forecast.
DEMO_RUNS, DEMO_TEST = ("*-s[123]",), ("*-r00?-s[123]",)
DEMO_METRICS = ("test_accuracy", "accuracy_gap", "corrupted_accuracy", "memorized_share")


def main() -> None:
    """Entry point: bad input, and what the machine refuses, is one line; other errors are faults of ours."""
    cli_faults.stop_on_signals()
    try:
        cli(standalone_mode=False)
        # What a full disk or an ended reader refuses is found out here, not when the interpreter ends.
        sys.stdout.flush()
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        for line in [] if context is None else context.get_usage().splitlines():
            say(line, err=True)
        say(f"Error: {error.format_message()}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt, cli_faults.Stopped) as error:
        say(cli_faults.stopped(error), err=True)
        sys.exit(error.status if isinstance(error, cli_faults.Stopped) else 130)
    except Exception as error:
        line = cli_faults.line(error)
        if line is None:
            raise
        _drop_output()
        say(f"predictdyn: {as_options(line)}", err=True)
        sys.exit(2)


def _drop_output() -> None:
    """What stdout has not taken is dropped: else the interpreter tries again at its end, and fails with more lines."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())


def _backtest(
    curves: Curves, plan: Any, models: list[Any], data: Path, out: Path, *, asked: tuple[str, ...], workers: int,
    quiet: bool, onset: str | None = None, alarms: bool = False,
) -> None:  # fmt: skip
    from predictdyn.api.backtests import chosen, onset_asked, replayed
    from predictdyn.backtest.writing import aside, locked, pieces_kept

    curves = chosen(curves, plan)
    event = None if onset is None else onset_asked(curves, onset)
    progress_bar = bar("backtest", quiet=quiet)
    with locked(out), pieces_kept(out) as resume, progress_bar as progress, aside(out) as folder:
        first = next((one.name for one in models if one.name == asked[0]), None)
        found = replayed(
            curves, plan, models, workers=workers, resume=resume, progress=progress, first=first, onset=event
        )
        # Before the page of the forecasts, which links to that of the alarms.
        rung = [*_alarms(curves, plan, data, folder), str(out / "alarms.html")] if alarms else []
        about = found.about(title=cli_words.title(data), command=cli_words.command(), data=data)
        found.write(folder, _as_typed(about))
    for line in found.unanswered:
        say(line, err=True)
    for line in rung:
        say(line)
    for line in _board(found.leaderboard, found.verdicts, {*asked, found.primary}, out):
        say(line)
    for row in [] if found.onsets is None else found.onsets.scores.to_dict("records"):
        say(
            f"onset, {row['cutoff']:.0%} seen: {row['forecaster']}  Brier {row['brier']:.3f}  "
            f"CRPS {row['crps']:.4f} of the run"
        )


def _alarms(curves: Curves, plan: Any, data: Path, folder: Path) -> list[str]:
    """Replay alarms, write what they did beside the forecasts, and tell it."""
    from predictdyn.watch.replay import backtest_alarms

    found = backtest_alarms(curves, hold_out=plan.hold_out, seed=plan.seed)
    found.save(folder, title=cli_words.title(data))
    return found.lines()


def _as_typed(about: dict[str, Any]) -> dict[str, Any]:
    """A provenance whose warnings, which pages show, speak as the command line does."""
    return {**about, "warnings": [as_options(line) for line in about["warnings"]]}


def _board(board: Any, verdicts: Any, asked: set[str], out: Path, top: int = 5) -> list[str]:
    """The best few forecasters and all that were asked for, in order; verdicts where the terminal is wide enough."""
    shown = board[[place < top or name in asked for place, name in enumerate(board["forecaster"])]]
    wide = max(14, *(len(name) + 1 for name in shown["forecaster"]))
    lines = [f"{'forecaster':<{wide}}{'skill':>8}  {'90 % interval':<18}{'90 % held':>9}"]
    for row in shown.itertuples():
        known = row.skill_lo == row.skill_lo and row.skill_hi == row.skill_hi
        interval = f"[{row.skill_lo:+.2f}, {row.skill_hi:+.2f}]" if known else NONE
        skill, held = _cell(row.skill, "+.2f"), _cell(row.coverage_90, ".0%")
        lines.append(f"{row.forecaster:<{wide}}{skill:>8}  {interval:<18}{held:>8} ")
    said = ["predictable", *(cli_words.verdict(verdicts, name) for name in shown["forecaster"])]
    told = []
    if max(map(len, lines)) + 2 + max(map(len, said)) <= shutil.get_terminal_size().columns:
        lines = [f"{line}  {word}" for line, word in zip(lines, said, strict=True)]
        told = [f"predictable: pairs of a kind and a cutoff with skill surely above 0; {out / 'verdicts.csv'} has each"]
    left = len(board) - len(shown)
    more = [f"... and {left} more in {out / 'leaderboard.csv'}"] if left else []
    return [*(line.rstrip() for line in lines), *more, *told]


NONE = "-"  # in a table, for a number that there is none of


def _cell(number: float, form: str) -> str:
    return format(number, form) if number == number else NONE


def _probabilities(out: Path, top: int = 12) -> list[str]:
    import pandas as pd

    table = pd.read_csv(out / "probabilities.csv")
    lines = [f"{row.run}  P({row.event}) = {row.probability:.3f}  {row.status}" for row in table.head(top).itertuples()]
    left = len(table) - len(lines)
    return [*lines, *([f"... and {left} more in {out / 'probabilities.csv'}"] if left else [])]


def _onsets(out: Path, top: int = 12) -> list[str]:
    import pandas as pd

    table = pd.read_csv(out / "onset.csv")
    lines = []
    for row in table.head(top).to_dict("records"):
        late = f"{row['q0.95']:.4g}" if row["q0.95"] == row["q0.95"] else "not before the end"
        when = f"step {row['q0.05']:.4g} to {late} (90 %)" if row["q0.05"] == row["q0.05"] else late
        lines.append(f"{row['run']}  {row['event']} before the end: {row['probability']:.0%}  {when}  {row['status']}")
    left = len(table) - len(lines)
    return [*lines, *([f"... and {left} more in {out / 'onset.csv'}"] if left else [])]


def _read(path: Path, source: str | None, settings: tuple[str, ...]) -> Curves:
    """Load a path; what is to be said of the data goes to stderr, and with the curves' notes to the page."""
    from predictdyn.api.reading import prepared, read, source_of

    name, found = source_of(path, source)
    curves = prepared(read(path, name, cli_words.options(settings)))
    notes([*found, *curves.notes])
    return curves

"""The command line: the only place that prints. Exit status 0, or 2 with one line on a wrong call or bad data."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from predictdyn import __version__, cli_faults, cli_words
from predictdyn.cli_datasets import datasets
from predictdyn.cli_words import listed
from predictdyn.console import HINT, PATH, QUIET, bar, heard, notes, say, speaks_of_options, spinner, summary

if TYPE_CHECKING:
    from predictdyn.curves import Curves

# Nothing heavy is imported here: `predictdyn --help` must answer at once. Each command imports what it uses.

OUT = click.option("--out", type=PATH, required=True, help="Folder to write; must not exist.")
SOURCE = click.option("--source", default=None, help="Name of the loader (default: found out from the data).")
SET = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Setting of the loader, e.g. run=name."
)
SEED = click.option("--seed", default=0, show_default=True, help="Seed of all that is random.")
METRICS = click.option("--metrics", default="", metavar="GLOB,...", help="Metrics to forecast (default: all outcomes).")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="predictdyn")
def cli() -> None:
    """Forecast what a training run will become, from how it began; show by backtest how far to trust it."""


cli.add_command(datasets)


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
    from predictdyn.backtest.writing import folder_again, new_folder, recovered
    from predictdyn.loaders.writing import write

    if len(words) > 2 or (len(words) == 2 and source is not None):
        raise ValueError(f"load takes a PATH, or a SOURCE and a PATH, got {' '.join(words)}")
    path = Path(words[-1])
    name, found = _source(path, words[0] if len(words) == 2 and words[0] != "auto" else source)
    options = cli_words.options(settings)
    if workers != 1 and loaders.source(name).by_run:
        options["workers"] = str(workers)
    recovered(out)
    before = out if update and out.exists() else None
    with folder_again(out) if before else new_folder(out) as folder:
        done = write(path, name, folder, options, before)
    notes([*found, *done.notes])
    say(f"{summary(done.curves, done.points)} -> {out}")


@cli.command()
@click.argument("data", type=PATH)
@click.option("--forecaster", "name", default="auto", show_default=True, help="Forecaster to fit.")
@OUT
@SOURCE
@SET
@SEED
@QUIET
def fit(
    data: Path, name: str, out: Path, source: str | None, settings: tuple[str, ...], seed: int, quiet: bool
) -> None:
    """Learn from the finished runs of DATA, and keep what was learnt."""
    from predictdyn.backtest.live import ended
    from predictdyn.backtest.writing import new_folder
    from predictdyn.forecasters import fit as fit_model
    from predictdyn.forecasters import forecaster, save

    one = forecaster(name)
    curves, _ = _read(data, source, settings)
    done = ended(curves)
    if not len(done):
        raise ValueError(f"{data}: no run has reached its planned last_step, so there is nothing to learn from")
    with spinner(f"fitting {name} on {len(done)} finished runs", quiet=quiet), new_folder(out) as folder:
        save(fit_model(one, curves.select(runs=done), seed=seed), folder)
    say(f"{name}, fitted on {len(done)} finished runs -> {out}")


@cli.command()
@click.argument("data", type=PATH)
@click.option("--model", type=PATH, default=None, help="Folder written by `predictdyn fit`.")
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
    events: tuple[str, ...], interventions: tuple[str, ...], metrics: str, out: Path, source: str | None,
    settings: tuple[str, ...], seed: int, quiet: bool,
) -> None:  # fmt: skip
    """Forecast the runs of DATA that have not ended, and publish a page."""
    from predictdyn.backtest.folder import provenance, write_json
    from predictdyn.backtest.live import forecast_live, larger, split_live, without
    from predictdyn.backtest.writing import check_new, new_folder
    from predictdyn.effects import check, comparison
    from predictdyn.events import parse
    from predictdyn.forecasters import DEFAULT, forecaster
    from predictdyn.forecasters import fit as fit_model
    from predictdyn.forecasters import load as load_model
    from predictdyn.report import publish

    if model is not None and name is not None:
        raise ValueError("give --model or --forecaster, not both")
    check_new(out)
    step = None if at == "final" else cli_words.step(at)
    planned = [cli_words.intervention(word) for word in interventions]
    if model is None:
        one = forecaster(name or DEFAULT)
    else:
        fitted = load_model(model)
        name = fitted.model.name
    read, warned = _read(data, source, settings)
    curves = _needed(read, listed(metrics))
    ask = split_live(curves, runs=listed(runs), metrics=listed(metrics), upto=upto, cutoff=cutoff, at=step)
    asked = [parse(text, set(ask.target["metric"])) for text in events]
    for intervention in planned:
        check(ask.history, ask.observed, intervention)
    with spinner(f"forecasting {ask.target['run'].nunique()} runs", quiet=quiet), new_folder(out) as folder:
        if model is None:
            name, fitted = one.name, fit_model(one, ask.history, seed=seed)
            said = larger(ask)
        else:
            fitted, said = without(fitted, curves, ask)
            said += larger(ask._replace(history=fitted.history))
        warned += said
        for line in said:
            click.echo(line, err=True)
        forecast, rows = forecast_live(curves, ask, fitted, str(name), folder, events=asked, seed=seed)
        effects = comparison(forecast, ask.history, ask.observed, planned, seed=seed) if planned else None
        if effects is not None:
            effects.to_csv(folder / "effects.csv", index=False)
        plan = {
            "upto": upto, "cutoff": cutoff, "at": at, "runs": runs, "events": "; ".join(events),
            "intervene": ", ".join(interventions), "model": None if model is None else str(model),
        }  # fmt: skip
        about = provenance(
            curves, made="forecast", title=cli_words.title(data), command=cli_words.command(),
            primary_forecaster=str(name),
            seed=seed, plan=plan, data=data, warnings=warned, seconds={},
        )  # fmt: skip
        write_json(about, folder / "provenance.json")
        publish(folder)
    for row in rows.head(12).to_dict("records"):
        interval = f"[{row['q0.05']:.4g}, {row['q0.95']:.4g}] (90 %)"
        say(f"{row['run']}  {row['metric']} at {row['step']:g}: {row['q0.5']:.4g}  {interval}  {row['status']}")
    if len(rows) > 12:
        say(f"... and {len(rows) - 12} more in {out / 'forecasts.parquet'}")
    if events:
        for line in _probabilities(out):
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
@click.option("--budget", type=float, default=None, metavar="FLOP", help="History holds only runs that cost no more.")
@SEED
@click.option("--workers", default=1, show_default=True, help="Processes.")
@QUIET
def backtest(
    data: Path, out: Path, source: str | None, settings: tuple[str, ...], forecasters: str, cutoffs: str, metrics: str,
    hold_out: str, runs: str, test: str, targets: Any, split: Any, budget: float | None, seed: int, workers: int,
    quiet: bool,
) -> None:  # fmt: skip
    """Replay the past of DATA: hide the end of runs, forecast it, score it, publish a page."""
    from predictdyn.backtest.plan import Plan
    from predictdyn.backtest.writing import check_new

    check_new(out)
    plan = Plan(
        cutoffs=tuple(cli_words.share(word) for word in listed(cutoffs)),
        split=split, targets=targets, hold_out=hold_out, test=listed(test), metrics=listed(metrics), budget=budget,
        seed=seed, runs=listed(runs),
    )  # fmt: skip
    names = cli_words.forecasters(forecasters)
    if workers < 1:
        raise ValueError(f"--workers is at least 1, got {workers}")
    curves, warned = _read(data, source, settings)
    _backtest(curves, plan, names, data, out, asked=listed(forecasters), warned=warned, workers=workers, quiet=quiet)
    say(str(out / "index.html"))


@cli.command()
@click.argument("folder", type=PATH)
@click.option("--out", type=PATH, default=None, help="Where to write the page (default: FOLDER itself).")
def report(folder: Path, out: Path | None) -> None:
    """Make the page of a folder written by `forecast` or `backtest` (again)."""
    from predictdyn.report import publish

    say(str(publish(folder, out)))


@cli.command()
@click.option("--out", type=PATH, default=Path("predictdyn-demo"), show_default=True, help="Folder to write.")
@SEED
@click.option("--workers", default=None, type=int, help="Processes (default: one per core, at most 4).")
@QUIET
def demo(out: Path, seed: int, workers: int | None, quiet: bool) -> None:
    """The main job on real training runs that come with the package: load, backtest, publish. No network."""
    from predictdyn.backtest.plan import Plan
    from predictdyn.backtest.writing import check_new
    from predictdyn.datasets import bundled
    from predictdyn.loaders import tidy

    check_new(out)
    data = bundled("digits")
    # One metric of each kind and two cutoffs keep this under a minute and a half on two cores; `pooled` by itself
    # (it is part of `auto`) would take as long again.
    plan = Plan(cutoffs=(0.1, 0.25), metrics=DEMO_METRICS, max_folds=4, seed=seed, runs=DEMO_RUNS)
    used = workers or min(os.cpu_count() or 1, 4)
    asked = ("curve_fit", "auto")
    names = cli_words.forecasters(",".join(asked))
    _backtest(tidy.load(data), plan, names, data, out, asked=asked, warned=[], workers=used, quiet=quiet)
    say(f"open {out / 'index.html'}")


# The first 24 recipes, three seeds each.
DEMO_RUNS = ("*-r00?-s?", "*-r01?-s?", "*-r02[0-3]-s?")
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
        # Bad input is one line, so the hint is its end.
        hint = f". {HINT}" if isinstance(error, ValueError) and speaks_of_options(line) else ""
        say(f"predictdyn: {line}{hint}", err=True)
        sys.exit(2)


def _drop_output() -> None:
    """What stdout has not taken is dropped: else the interpreter tries again at its end, and fails with more lines."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())


def _backtest(
    curves: Curves, plan: Any, names: list[str], data: Path, out: Path, *, asked: tuple[str, ...], warned: list[str],
    workers: int, quiet: bool,
) -> None:  # fmt: skip
    from predictdyn.backtest.folder import provenance
    from predictdyn.backtest.folds import groups
    from predictdyn.backtest.plan import matching_runs
    from predictdyn.backtest.replay import replay
    from predictdyn.backtest.writing import aside, locked, pieces_kept
    from predictdyn.forecasters import BASELINES, forecaster
    from predictdyn.report import publish

    primary = "auto" if "auto" in names else next((name for name in names if name not in BASELINES), names[0])

    def about(plan_json: dict[str, Any], warnings: list[str], seconds: dict[str, float]) -> dict[str, Any]:
        return provenance(
            curves, made="backtest", title=cli_words.title(data), command=cli_words.command(),
            primary_forecaster=primary,
            seed=plan.seed, plan=plan_json, data=data, warnings=[*warned, *warnings], seconds=seconds,
        )  # fmt: skip

    curves = curves.select(runs=matching_runs(curves, plan.runs)) if plan.runs else curves
    # A plan that does not fit the data is told before any work, and any bar, begins.
    groups(curves, plan)
    curves = _needed(curves, plan.metrics)
    progress_bar = bar("backtest", quiet=quiet)
    with locked(out), pieces_kept(out) as resume, progress_bar as progress, aside(out) as folder:
        board = replay(
            curves, plan, [forecaster(name) for name in names], BASELINES, folder,
            about=about, primary_forecaster=primary, workers=workers, resume=resume, progress=progress,
        )  # fmt: skip
        publish(folder)
    for line in _board(board, {*asked, primary}, out):
        say(line)


def _board(board: Any, asked: set[str], out: Path, top: int = 5) -> list[str]:
    """The best few forecasters and all that were asked for, in order."""
    shown = board[[place < top or name in asked for place, name in enumerate(board["forecaster"])]]
    wide = max(14, *(len(name) + 1 for name in shown["forecaster"]))
    lines = [f"{'forecaster':<{wide}}{'skill':>8}  {'90 % interval':<18}{'90 % held':>9}"]
    for row in shown.itertuples():
        interval = f"[{row.skill_lo:+.2f}, {row.skill_hi:+.2f}]"
        lines.append(f"{row.forecaster:<{wide}}{row.skill:>+8.2f}  {interval:<18}{row.coverage_90:>8.0%}")
    left = len(board) - len(shown)
    return [*lines, *([f"... and {left} more in {out / 'leaderboard.csv'}"] if left else [])]


def _probabilities(out: Path, top: int = 12) -> list[str]:
    import pandas as pd

    table = pd.read_csv(out / "probabilities.csv")
    lines = [f"{row.run}  P({row.event}) = {row.probability:.3f}  {row.status}" for row in table.head(top).itertuples()]
    left = len(table) - len(lines)
    return [*lines, *([f"... and {left} more in {out / 'probabilities.csv'}"] if left else [])]


def _read(path: Path, source: str | None, settings: tuple[str, ...]) -> tuple[Curves, list[str]]:
    """Load a path; what is to be said of the data goes to stderr, and with them to the page."""
    from predictdyn import loaders
    from predictdyn.backtest.schedules import settled
    from predictdyn.covariates import known_before

    name, found = _source(path, source)
    with heard() as lines:
        curves = loaders.load(path, name, **cli_words.options(settings))
    curves, reached = known_before(curves)
    curves, noted = settled(curves)
    warned = [*lines, *reached, *noted]
    notes([*found, *warned])
    return curves, warned


def _source(path: Path, source: str | None) -> tuple[str, list[str]]:
    """The source that was named, else what the path looks like, and a line on it, unless it is our own format."""
    from predictdyn import loaders

    if source is not None:
        loaders.source(source)
        return source, []
    found = loaders.detect(path)
    line = f"{path}: {found.words} (--source {found.source})"
    return found.source, [line] if found.source != "tidy" else []


def _needed(curves: Curves, metrics: tuple[str, ...]) -> Curves:
    """The metrics asked for, and all signals and schedules: other outcomes would only be fitted in vain."""
    from predictdyn.backtest.plan import target_metrics

    asked = set(target_metrics(curves, metrics))
    beside = {name for name, metric in curves.metrics.items() if metric.kind in ("signal", "schedule")}
    return curves.select(metrics=asked | beside)

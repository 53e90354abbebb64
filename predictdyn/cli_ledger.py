"""The commands of ledgers: register, resolve, record, verify, export, and publish."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

import click

from predictdyn import cli_words
from predictdyn.cli_words import listed
from predictdyn.console import FOLDER, PATH, as_options, notes, say
from predictdyn.naming import BY_RUNS, some

if TYPE_CHECKING:
    from predictdyn.ledger.resolving import Absent

LEDGER = click.argument("ledger", type=PATH)
SHOWN = 8  # lines of a kind
REDACT = click.option(
    "--redact", multiple=True, metavar="REGEX", help="Text to cut out; may be given again for another."
)
PRIVATE = click.option("--private", default="", metavar="GLOB,...", help="Runs that go by an alias.")


@click.command()
@click.argument("forecast", type=FOLDER)
@click.option("--ledger", type=PATH, required=True, help="File of the ledger; made where it is missing.")
@click.option("--question", default=None, metavar="TEXT", help="The question in words (default: metric, run and step).")
@click.option(
    "--resolve-by",
    default=None,
    metavar="STEP|DATE",
    help="Then the question closes: without an answer it is censored.",
)
@click.option("--last-n", default=1, show_default=True, help="Checkpoints whose mean is the outcome.")
@click.option("--evaluation", default=None, metavar="TEXT", help="Version of the evaluation that is meant.")
@click.option(
    "--void-if",
    default="evaluation,intervened",
    show_default=True,
    metavar="A,B",
    help="When nobody is right or wrong: evaluation, intervened, replanned.",
)
@click.option("--author", default=None, metavar="NAME", help="Who says so.")
@PRIVATE
@REDACT
def register(
    forecast: Path,
    ledger: Path,
    question: str | None,
    resolve_by: str | None,
    last_n: int,
    evaluation: str | None,
    void_if: str,
    author: str | None,
    private: str,
    redact: tuple[str, ...],
) -> None:
    """Write the forecast in the folder FORECAST into a ledger, before its outcome is known."""
    from predictdyn.api import ledgers
    from predictdyn.ledger.aliases import aliases_file
    from predictdyn.ledger.rule import deadline
    from predictdyn.redaction import summary

    done = ledgers.register(
        forecast,
        ledger,
        question=question,
        resolve_by=None if resolve_by is None else deadline(resolve_by),
        last_n=last_n,
        evaluation=evaluation,
        void_if=listed(void_if),
        author=author,
        private=listed(private),
        redact=redact,
    )
    for line in summary(done.replaced, 3):
        say(f"replaced in the ledger: {line}", err=True)
    if aliases_file(ledger).exists():
        say(f"aliases of private names are in {aliases_file(ledger)}; keep it, and give it to nobody", err=True)
    if any(entry.content["replay"] for entry in done.entries):
        say("the outcome was hidden by hand, so these forecasts are marked as replays, and do not count", err=True)
    for entry in done.entries[:SHOWN]:
        say(f"{entry.number}  {entry.content['text']}")
    if len(done.entries) > SHOWN:
        say(f"... and {len(done.entries) - SHOWN} more")
    known = f", {done.known} were there already" if done.known else ""
    say(f"{len(done.entries)} forecast(s) registered{known} -> {ledger}")
    say(f"head: {done.head}")


@click.command()
@LEDGER
@click.argument("data", type=PATH)
@click.option("--ended", default="", metavar="GLOB,...", help="Runs that have stopped for good.")
@click.option("--source", default=None, help="Name of the loader (default: found out from the data).")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Option of the loader, e.g. run=name.")
def resolve(ledger: Path, data: Path, ended: str, source: str | None, settings: tuple[str, ...]) -> None:
    """Answer what the logs DATA now answer, and score it. May be called again at any time."""
    from predictdyn.api import ledgers
    from predictdyn.api.reading import prepared, read, source_of

    name, found = source_of(data, source)
    curves = prepared(read(data, name, cli_words.options(settings)))
    notes([*found, *curves.notes])
    done = ledgers.resolve(ledger, curves, ended=listed(ended))
    standing = ledgers.Ledger(ledger).standing()
    text = standing.questions.set_index("question")["text"]
    for entry in done.entries[:SHOWN]:
        one = entry.content
        told = f"{one['truth']:.4g}" if one["state"] == "resolved" else one["reason"]
        say(f"{entry.number}  {text[one['id']]}: {one['state']}, {told}")
    if len(done.entries) > SHOWN:
        say(f"... and {len(done.entries) - SHOWN} more")
    unchecked = sum(one.content["state"] == "resolved" and one.content["reason"] != "" for one in done.entries)
    if unchecked:
        place = as_options(f"name it as evaluation {BY_RUNS}")
        say(
            f"{unchecked} answer(s) count although the logs name no version of the evaluation, and the rule does; "
            f"{place} before you resolve",
            err=True,
        )
    if done.absent:
        say(_absent(done.absent, ledger), err=True)
    counts = standing.questions["state"].value_counts()
    say(f"{len(done.entries)} answered now; in all " + ", ".join(f"{n} {state}" for state, n in counts.items()))
    say(f"head: {done.head}")


def _absent(questions: Sequence[Absent], ledger: Path) -> str:
    """Which questions wait for a run that the logs do not have, and what to type."""
    from predictdyn.ledger.aliases import ALIAS, aliases_file

    runs = list(dict.fromkeys(one.run for one in questions))
    # Typed as globs: a name matches itself whatever letters it has.
    globs = ",".join(escape(run).replace(",", "?") for run in runs[:SHOWN])
    lost = [run for run in runs if ALIAS.fullmatch(run)]
    alias = f"; if {lost[0]} is an alias, put {aliases_file(ledger)} back" if lost else ""
    return (
        f"{len(questions)} open question(s) have no run in these logs, so no log answers them: "
        f"{some([one.text for one in questions])}; read logs that call the run {runs[0]}, or type "
        f"--ended {shlex.quote(globs)} if it has stopped for good{alias}"
    )


@click.command()
@LEDGER
@click.option("--out", type=FOLDER, required=True, help="Folder of the site; new, or written by record before.")
@click.option("--title", default="Forecast record", show_default=True, metavar="TEXT", help="Title of the site.")
@click.option("--address", default="", metavar="URL", help="Where the site will be, for feeds and previews.")
def record(ledger: Path, out: Path, title: str, address: str) -> None:
    """Write the record of a ledger as a static site."""
    from predictdyn.api import publishing

    found = publishing.record(ledger, out, title=title, address=address)
    say(f"{len(found.questions)} question(s), {len(found.forecasts)} forecast(s)")
    say(str(out / "index.html"))


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--to", required=True, metavar="PATH|BRANCH", help="Folder, gh-pages, or branch:NAME.")
@click.option("--repository", type=PATH, default=None, help="Git repository of the branch (default: this folder's).")
@REDACT
@PRIVATE
@click.option("--author", "authors", multiple=True, metavar="NAME", help="For the citation; may be given again.")
@click.option("--address", default="", metavar="URL", help="Where the page will be, for the citation.")
@click.option("--yes", is_flag=True, help="Write it; else only what would leave is shown.")
def publish(
    folder: Path,
    to: str,
    repository: Path | None,
    redact: tuple[str, ...],
    private: str,
    authors: tuple[str, ...],
    address: str,
    yes: bool,
) -> None:
    """Put the pages of FOLDER where others see them, without secrets and private paths. Nothing is pushed."""
    from predictdyn.api import publishing

    made = publishing.publish(
        folder, to, repository=repository, redact=redact, private=listed(private), authors=authors, address=address
    )
    for line in made.lines:
        say(line)
    if not yes:
        say("nothing is written yet; look at the lines above, then add --yes")
        return
    say(made.go())
    if made.repository:
        say(f"the branch is in your repository alone; `git push origin {made.place}` shows it to others", err=True)


@click.group("ledger")
def ledger_group() -> None:
    """Check, export and import ledgers."""


@ledger_group.command("verify")
@LEDGER
@click.option("--head", default=None, metavar="HASH", help="A hash that was quoted once, or its first letters.")
def verify(ledger: Path, head: str | None) -> None:
    """Check that every entry of a ledger, or of an export, is as it was written."""
    from predictdyn.api.ledgers import Ledger

    found = Ledger(ledger).verify(head)
    for line in found.faults[:SHOWN]:
        say(line, err=True)
    if found.faults:
        more = f" and {len(found.faults) - SHOWN} more" if len(found.faults) > SHOWN else ""
        raise ValueError(
            f"{ledger} is not as it was written: {len(found.faults)} fault(s){more}; do not rely on its record, "
            "and take the last export that verifies"
        )
    for line in found.notes:
        say(line, err=True)
    say(f"whole: {found.size} entries")
    if head is None:
        say("without --head HASH nobody can see that the newest entries are gone", err=True)
    say(f"head: {found.head}")


@ledger_group.command("head")
@LEDGER
@click.option("--stamp", type=PATH, default=None, metavar="FILE", help="Also have it stamped by OpenTimestamps.")
def head(ledger: Path, stamp: Path | None) -> None:
    """Print the first letters of the newest hash, to quote where others see it."""
    from predictdyn.api.ledgers import Ledger

    say(Ledger(ledger).head)
    if stamp is not None:
        from predictdyn.ledger.stamps import stamp as stamped

        last = Ledger(ledger).store.last()
        assert last is not None
        say(str(stamped(last.hash, stamp)))


@ledger_group.command("export")
@LEDGER
@click.option("--out", type=PATH, required=True, help="A file that ends in .jsonl, or a folder.")
def export(ledger: Path, out: Path) -> None:
    """Write a ledger as JSON lines, or as a folder of one file an entry for git."""
    from predictdyn.api.ledgers import Ledger
    from predictdyn.ledger.export import export as exported

    say(f"{exported(Ledger(ledger).store, out)} entries -> {out}")


@ledger_group.command("import")
@click.argument("exported", type=PATH)
@click.option("--out", "ledger", type=PATH, required=True, help="File of the new ledger; must not exist.")
def import_(exported: Path, ledger: Path) -> None:
    """Make a ledger of an export."""
    from predictdyn.api.ledgers import Ledger
    from predictdyn.ledger.export import import_ as imported

    say(f"{imported(exported, Ledger(ledger).store)} entries -> {ledger}")
    say(f"head: {Ledger(ledger).head}")

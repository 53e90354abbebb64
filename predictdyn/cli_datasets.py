"""The commands on public data sets: what there is, and fetching one."""

from __future__ import annotations

from pathlib import Path

import click

from predictdyn.console import FOLDER, QUIET, said, say
from predictdyn.progress import bar


@click.group(invoke_without_command=True)
@click.pass_context
def datasets(context: click.Context) -> None:
    """Public data sets by name: list them, or fetch one."""
    if context.invoked_subcommand is None:
        for line in context.get_help().splitlines():
            say(line)


@datasets.command("list")
def list_() -> None:
    """All data sets: what can be forecast, size, licence, and where each is now.

    One that is published at no address needs a copy in the folder that PREDICTDYN_DATA names, or a mirror.
    """
    from predictdyn import datasets as public

    rows = [("name", "kinds", "size", "licence", "where")]
    for one in map(public.entry, public.names()):
        rows.append((one.name, ", ".join(one.kinds), _size(one.bytes), one.licence, public.place(one)))
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip())


@datasets.command()
@click.argument("name")
@click.option("--out", type=FOLDER, default=None, help="Write it as a tidy folder too; must not exist.")
@click.option("--from", "mirror", default=None, metavar="MIRROR", help="Folder or address that has the files in NAME/.")
@QUIET
def fetch(name: str, out: Path | None, mirror: str | None, quiet: bool) -> None:
    """Fetch the data set NAME into the cache, check every file and read it.

    Files come from the cache, else from the folder that PREDICTDYN_DATA names, else from their public address. The
    cache is the user's, or the folder that PREDICTDYN_CACHE names.
    """
    from predictdyn import datasets as public
    from predictdyn.backtest.writing import check_new, new_folder
    from predictdyn.loaders import tidy

    one = public.entry(name)
    if out is not None:
        check_new(out)
    with bar(f"fetching {name}", quiet=quiet, transient=True) as progress:
        folder = public.fetch(name, mirror=mirror, progress=progress)
    with said():
        curves = public.load(name)
    if out is not None:
        with new_folder(out) as aside:
            tidy.save(curves, aside)
    say(f"{curves.summary()} -> {out or folder}")
    for word, what in (("files", f"{folder} ({_size(one.bytes)})"), ("licence", one.licence), ("cite", one.citation)):
        say(f"{word + ':':<9}{what}")
    if one.homepage is not None:
        say(f"{'source:':<9}{one.homepage}")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"

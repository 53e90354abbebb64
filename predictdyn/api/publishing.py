"""Publishing: a ledger as a site, and a folder of pages put where others see it, with what must not leave left out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from predictdyn.api.ledgers import Ledger
from predictdyn.api.reading import globs
from predictdyn.backtest.writing import folder_again, new_folder, recovered
from predictdyn.ledger.aliases import aliases_file, aliases_for
from predictdyn.ledger.metadata import a_report, citation, json_ld
from predictdyn.ledger.pages import MARK, write_site
from predictdyn.ledger.standing import Standing
from predictdyn.naming import matching
from predictdyn.publishing.branch import commit_to, is_repository
from predictdyn.publishing.leaving import Leaving, check_page, elided, leaving, left, run_names
from predictdyn.redaction import Redaction, summary

PUBLISHED = "published.json"  # the file by which a folder is known as published by us
BRANCH = "branch:"  # what a place begins with that is surely a branch
USUAL = ("gh-pages", "pages")  # branches that hosts show as sites


def record(
    ledger: Ledger | Path | str, out: Path | str, *, title: str = "Forecast record", address: str = ""
) -> Standing:
    """Write the record of a ledger as a static site into ``out``, new or written by an earlier call.

    It works from a disk and from any host of files. ``address`` is where it will be, for links in feeds and previews.
    Raises ValueError where the ledger is not whole: a record that was edited is not worth a page.
    """
    home, folder = Ledger(ledger), Path(out)
    state = home.verify()
    if not state.whole:
        raise ValueError(f"{home.path} is not as it was written, so no record is made of it: {state.faults[0]}")
    if address and not re.match(r"https?://[^\s\"'<>]+$", address):
        raise ValueError(
            f"address= is where the site will be, such as https://name.example.org/record, got {address!r}"
        )
    recovered(folder)
    again = folder.is_dir() and any(folder.iterdir())
    with folder_again(folder, MARK, "record") if again else new_folder(folder) as aside:
        return write_site(list(home.store.entries()), aside, title=title, address=address, now=home.store.now())


@dataclass(frozen=True)
class Publication:
    """What leaves and what not, before it does: look at ``lines``, then ``go``."""

    leaving: Leaving
    place: str
    repository: Path | None  # of a branch; None for a folder
    title: str
    aliases: dict[str, str] = field(repr=False)

    @property
    def lines(self) -> list[str]:
        """What was replaced, what stays at home, and where all else would go."""
        told = summary(self.leaving.found)
        if self.leaving.home:
            endings = sorted({Path(name).suffix or name for name in self.leaving.home})
            told.append(f"{len(self.leaving.home)} file(s) stay at home: {', '.join(endings[:8])}")
        to = f"the branch {self.place} of {self.repository}" if self.repository else f"the folder {self.place}"
        return [*told, f"{len(self.leaving.files)} file(s) go to {to}"]

    def go(self) -> str:
        """Write them; the path of the page, or the commit of the branch."""
        if self.repository:
            return commit_to(self.repository, self.place, self.leaving.files, f"Publish {self.title}")
        folder = Path(self.place)
        recovered(folder)
        again = folder.is_dir() and any(folder.iterdir())
        with folder_again(folder, PUBLISHED, "publish") if again else new_folder(folder) as aside:
            for name, text in self.leaving.files.items():
                file = aside / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8", newline="")
        return str(folder / "index.html")


def publish(
    folder: Path | str,
    to: Path | str,
    *,
    repository: Path | str | None = None,
    redact: Sequence[str] = (),
    private: str | Sequence[str] | None = None,
    authors: Sequence[str] = (),
    address: str = "",
    go: bool = False,
) -> Publication:
    """Put a folder of pages where others see it: into a folder, or as a commit of a branch of a local git repository.

    ``folder`` is what forecast, backtest, law or record wrote. ``to`` is a path, or a branch: ``branch:NAME``,
    gh-pages, or any name with ``repository``. Secrets, private paths, addresses, hosts and users are replaced, and
    what matches the regular expressions ``redact``. Runs that match ``private`` (globs), or whose names hold such
    things, get aliases that are kept beside ``folder``, not in it. Each page gets metadata that machines read. Nothing
    is written unless ``go``: look at the ``lines`` of what is returned, then call its ``go()``. Nothing is ever pushed.
    Raises ValueError for a glob that matches no run and no family.
    """
    source = Path(folder)
    plain = Redaction(tuple(redact))
    check_page(source)
    names = run_names(source)
    hidden = globs(private, "private")
    matching(names, hidden, "run")
    file = aliases_file(source)
    aliases = aliases_for(names, file, hidden, plain)
    redaction = Redaction(tuple(redact), elided(aliases))
    found = leaving(source, redaction)
    if again := left(found.files, redaction):
        raise ValueError(
            f"{len(again)} thing(s) would still be found in what leaves (first: {again[0].where}: {again[0].kind}); "
            "a pattern of redact= makes what another rule replaces; change it"
        )
    title, created = _title(found)
    place, where = _place(str(to), None if repository is None else Path(repository))
    files = {**found.files, PUBLISHED: _mark(found, title, created)}
    if "index.html" in files and 'type="application/ld+json"' not in files["index.html"]:
        told = a_report(
            title,
            _description(files["index.html"]),
            created=created,
            authors=authors,
            identifier=f"predictdyn:{created}",
            about=[],
        )
        tag = f'<script type="application/ld+json">{json_ld(told)}</script>\n'
        files["index.html"] = files["index.html"].replace("</head>", f"{tag}</head>", 1)
    files.setdefault("CITATION.cff", citation(title, authors=authors, released=created, address=address))
    made = Publication(found._replace(files=files), place, where, title, aliases)
    if go:
        made.go()
    return made


def _place(to: str, repository: Path | None) -> tuple[str, Path | None]:
    """The folder, or the branch and its repository, that a word means."""
    if to.startswith(BRANCH):
        return to.removeprefix(BRANCH), repository or Path()
    if repository is not None:
        return to, repository
    if to in USUAL and not Path(to).exists() and is_repository(Path()):
        return to, Path()
    return to, None


def _title(found: Leaving) -> tuple[str, str]:
    """The title and the date of what is published, by its own account."""
    for name in ("provenance.json", MARK):
        if name in found.files:
            about: dict[str, Any] = json.loads(found.files[name])
            return str(about.get("title") or "Forecast"), str(about.get("created") or about.get("updated") or "")
    return "Forecast", ""


def _description(page: str) -> str:
    told = re.search(r'<meta name="description" content="([^"]*)"', page)
    return told[1] if told else ""


def _mark(found: Leaving, title: str, created: str) -> str:
    """The file that says that we wrote the folder, with the forecast as JSON for other tools where there is one."""
    return (
        json.dumps(
            {"made": "published", "title": title, "created": created, "files": sorted(found.files)},
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )

"""Optuna: the trials of studies in SQLite or in a journal file, read directly."""

from __future__ import annotations

from pathlib import Path

from predictdyn.curves import Curves
from predictdyn.loaders.engine.gather import gathered
from predictdyn.loaders.engine.runlog import Item, RunLog
from predictdyn.loaders.engine.source import Source
from predictdyn.loaders.files.sqlite import is_sqlite, stores, with_journal
from predictdyn.loaders.optuna import journal, sqlite
from predictdyn.loaders.optuna.trials import as_run_log

JOURNALS = (".log", ".journal", ".jsonl")  # looked into where a folder is given


def load(path: Path | str, **options: object) -> Curves:
    """Trials of Optuna become curves: a store as `scan` finds it, each trial as `read` says.

    Options are those of `gather.gathered`. Raises ValueError, one line, where no trial reported a value on its way.
    """
    return gathered(path, SOURCE, options)


def scan(path: Path) -> list[Item]:
    """The trials of a database or a journal, or of those in a folder; called trial-3, with the study in front where
    there are several. Trials that wait to begin are not there. A damaged database beside others is one that cannot be
    read, called as its file is. ValueError where there is no trial.
    """
    found, broken = stores(path, sqlite.TABLES, _trials)
    for file in _journals(path):
        trials = journal.replayed(file).trials
        found += [(trial.study, trial.number, (file,), str(i)) for i, trial in enumerate(trials)]
    if not found:
        if broken:
            raise next(iter(broken.values()))
        raise ValueError(f"{path}: no trial of Optuna here; expected studies in SQLite or in a journal file")
    one = len({(study, files) for study, _, files, _ in found}) == 1
    return [
        *(
            Item(f"trial-{number}" if one else f"{study}/trial-{number}", files, key)
            for study, number, files, key in found
        ),
        *(Item(file.name, (file,)) for file in broken),
    ]


def _trials(file: Path) -> list[tuple[str, int, tuple[Path, ...], str]]:
    """Study, number, files and id of the trials of a database."""
    return [(one.study, one.number, with_journal(file), one.id) for one in sqlite.listed(file)]


def read(item: Item) -> RunLog:
    """One trial: values reported on its way, under the name of the study's first objective ("objective" if it has
    none); parameters as settings; failed and pruned as events, these and running as ``stopped``; its study.

    The value that a trial ended with is not taken, as it has no step; it is counted unless it is the last one that was
    reported. Attributes that users set are no settings: many are set when the outcome is known.
    """
    file = item.files[0]
    if is_sqlite(file):
        return as_run_log(sqlite.trial(file, item.key), item.run)
    found = journal.replayed(file)
    if int(item.key) >= len(found.trials):
        raise ValueError(f"{file}: has no trial {item.key} any more")
    # What is wrong with the file is said once.
    return as_run_log(found.trials[int(item.key)], item.run, found.dropped if item.key == "0" else None)


def sniff(path: Path) -> str | None:
    """What of Optuna is here, in words, or None."""
    try:
        items = scan(path)
    except ValueError:
        return None
    kinds = sorted({"SQLite" if is_sqlite(item.files[0]) else "journal" for item in items})
    return f"Optuna: {len(items)} trials ({' and '.join(kinds)})"


def _journals(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if journal.is_journal(path) else []
    try:
        files = sorted(file for file in path.iterdir() if file.name.lower().endswith(JOURNALS))
    except OSError:
        return []
    return [file for file in files if journal.is_journal(file)]


SOURCE = Source(
    "optuna",
    "trials with intermediate values, in SQLite or a journal",
    sniff,
    load,
    scan,
    read,
)

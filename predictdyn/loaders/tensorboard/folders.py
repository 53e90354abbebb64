"""Which folders of event files are one run: phases, sub-tags and hyper-parameters lie in folders below it.

* ``add_scalars("loss", {"train": ..})`` writes the tag ``loss`` to ``run/loss/train`` (tensorboardX) or
  ``run/loss_train`` (PyTorch): the path of the folder goes on from the tag.
* Keras writes ``run/train`` and ``run/validation``, the Estimators of TensorFlow ``run/eval`` below the run.
* ``add_hparams`` writes the settings and a few final values to ``run/1700000000.123``, or to a folder of any name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from predictdyn.loaders.engine.names import family_of
from predictdyn.loaders.files.folders import beginning, is_file
from predictdyn.loaders.tensorboard import tfrecord
from predictdyn.loaders.tensorboard.event import Event, event
from predictdyn.loaders.tensorboard.file import read_events

SUB_TAG, PHASE, SESSION = "sub-tag", "phase", "session"
TRAINING = ("train", "training", "tr")
EVALUATION = (
    "val", "valid", "validation", "eval", "evaluation", "test", "testing", "dev", "holdout", "heldout", "te",
)  # fmt: skip
# eval_0, val-1, eval_cifar10: phases, too, beside or below what is one without doubt.
NUMBERED = re.compile(rf"(?:{'|'.join((*TRAINING, *EVALUATION))})[-_]?\d+|(?:eval|evaluation)[-_].+", re.IGNORECASE)
STAMP = re.compile(r"\d{9,}(\.\d+)?")  # what add_hparams calls a folder by itself: the time
SESSION_END = b"_hparams_/session_end_info"  # which only add_hparams writes at the beginning of a file
RECORDS, FEW = 256, 8  # of a file that are looked at, and events with scalars among them
ASKED, LONGEST = 1 << 12, 1 << 40  # bytes of a record that may hold scalars, and more than any record has
LARGEST = 1 << 16  # bytes: a file of add_hparams is no larger


class Role(NamedTuple):
    """What a folder is to the one that holds it: its kind, and its path below that folder."""

    kind: str
    below: str


class EventFolder(NamedTuple):
    """The event files of one folder, and its roles from the inside out: none for the folder of the run itself."""

    roles: tuple[Role, ...]
    files: tuple[Path, ...]


class EventFolders(NamedTuple):
    """The folders of one run, its own first. ``family`` is that of the run that it lies below, or that holds others.

    ``inside`` counts runs that lie below this one and are no part of it.
    """

    parts: tuple[EventFolder, ...]
    family: str = ""
    inside: int = 0


Folders = Mapping[Path, Sequence[Path]]  # event files by their folder, relative to where the search began
_Owner = tuple[Path, Role]


def alone(folders: Folders) -> dict[Path, EventFolders]:
    """Every folder as a run of its own."""
    return {folder: EventFolders((EventFolder((), tuple(files)),)) for folder, files in folders.items()}


def together(folders: Folders) -> dict[Path, EventFolders]:
    """The runs by their folders, with all folders that are parts of them."""
    heads = {folder: _Head(files) for folder, files in folders.items()}
    owner: dict[Path, _Owner] = {}
    for folder in folders:
        found = _below_a_run(folder, heads)
        if found is not None:
            owner[folder] = found
    owner |= _phases(heads, owner)
    owner |= _above_runs(heads, owner)
    owner |= _sessions(heads, owner)
    groups: dict[Path, list[EventFolder]] = {}
    for folder, files in folders.items():
        run, roles = _rooted(folder, owner)
        groups.setdefault(run, []).append(EventFolder(roles, tuple(files)))
    return _related({run: EventFolders(tuple(sorted(parts))) for run, parts in groups.items()}, heads)


def named(roles: Iterable[Role], tag: str) -> str:
    """The metric that a tag is, in a folder of these roles.

    >>> named([Role(SUB_TAG, "Loss_all_train")], "Loss/all"), named([Role(SUB_TAG, "loss/val")], "loss")
    ('Loss/all/train', 'loss/val')
    >>> named([Role(PHASE, "eval")], "loss"), named([Role(PHASE, "eval")], "eval/loss")
    ('eval/loss', 'eval/loss')
    """
    for kind, below in roles:
        if kind == SUB_TAG:
            rest = _goes_on(below, tag)
            tag = f"{tag}/{below if rest is None else rest}"
        elif kind == PHASE and not tag.lower().startswith(f"{below}/".lower()):
            tag = f"{below}/{tag}"
    return tag


def written(group: EventFolders) -> str:
    """A group as text, without its files; empty for a folder that is a run, and no more."""
    if group == EventFolders((EventFolder((), group.parts[0].files),)):
        return ""
    return json.dumps([[[part.roles, len(part.files)] for part in group.parts], group.family, group.inside])


def group_of(text: str, files: Sequence[Path]) -> EventFolders:
    """What `written` gave, with the files of all parts."""
    if not text:
        return EventFolders((EventFolder((), tuple(files)),))
    counted, family, inside = json.loads(text)
    parts, place = [], 0
    for roles, count in counted:
        parts.append(EventFolder(tuple(Role(*role) for role in roles), tuple(files[place : place + count])))
        place += count
    return EventFolders(tuple(parts), family, inside)


class _Head:
    """What the beginnings of the files of a folder say, read when it is asked for."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self._tags: set[str] | None = None

    @property
    def tags(self) -> set[str]:
        """Tags of the first scalars."""
        if self._tags is None:
            self._tags = {scalar.tag for file in self.files for one in _events(file) for scalar in one.scalars}
        return self._tags

    def session(self) -> Mapping[str, object] | None:
        """The settings, if all that lies here is what `add_hparams` writes: settings, and one value a name."""
        settings: dict[str, object] = {}
        for file in self.files:
            raw = beginning(file, LARGEST)
            content = read_events(raw)
            tags = content.scalars.tag.tolist()
            if SESSION_END not in raw or len(raw) == LARGEST or len(tags) > len(set(tags)):
                return None
            settings |= content.config
        return settings


def _events(file: Path) -> Iterator[Event]:
    """The first events of a file that hold scalars; large records (graphs, images) are leapt over."""
    found = 0
    if not is_file(file):
        return
    try:
        with file.open("rb") as opened:
            for _ in range(RECORDS):
                header = opened.read(tfrecord.HEADER.size)
                length = tfrecord.HEADER.unpack(header)[0] if len(header) == tfrecord.HEADER.size else 0
                if not 0 < length < LONGEST or found == FEW:
                    return
                raw = opened.read(length) if length <= ASKED else b""
                opened.seek(length - len(raw) + tfrecord.FOOTER.size, os.SEEK_CUR)
                with suppress(ValueError):
                    one = event(raw, 0, len(raw))
                    if one.scalars:
                        found += 1
                        yield one
    except OSError:
        return


def _is_phase(name: str, *, numbered: bool = True) -> bool:
    plain = name.lower() in (*TRAINING, *EVALUATION)
    return plain or (numbered and NUMBERED.fullmatch(name) is not None)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _goes_on(below: str, tag: str) -> str | None:
    """What of the path of a folder is left behind a tag, None where it does not begin with the tag.

    >>> _goes_on("loss/train", "loss"), _goes_on("Loss_all_train", "Loss/all"), _goes_on("losses", "loss")
    ('train', 'train', None)
    """
    size = len(tag)
    same = len(below) > size + 1 and _plain(below[:size]) == _plain(tag) and below[size] in "/_"
    return below[size + 1 :] if same else None


def _below_a_run(folder: Path, heads: Mapping[Path, _Head]) -> _Owner | None:
    """The run above a folder of sub-tags, or above one of a phase; the nearest counts."""
    for above in folder.parents:
        if above not in heads:
            continue
        below = folder.relative_to(above)
        tags = heads[folder].tags
        if tags and all(_goes_on(below.as_posix(), tag) is not None for tag in tags):
            return above, Role(SUB_TAG, below.as_posix())
        if _is_phase(below.parts[0]) and heads[above].tags:
            return above, Role(PHASE, below.as_posix())
    return None


def _sessions(heads: Mapping[Path, _Head], owner: Mapping[Path, _Owner]) -> dict[Path, _Owner]:
    """Folders of `add_hparams` in a run that has curves. Several with unlike settings are trials, which stay runs."""
    found: dict[Path, list[tuple[Path, Mapping[str, object]]]] = {}
    of_parts = {run for run, _ in owner.values()}
    for folder, head in heads.items():
        above = folder.parent
        if folder in owner or folder == above or not (above in of_parts or (above in heads and heads[above].tags)):
            continue
        settings = head.session()
        if settings is not None:
            found.setdefault(above, []).append((folder, settings))
    return {
        folder: (above, Role(SESSION, folder.name))
        for above, sessions in found.items()
        if all(settings == sessions[0][1] for _, settings in sessions)
        for folder, _ in sessions
    }


def _phases(heads: Mapping[Path, _Head], owner: Mapping[Path, _Owner]) -> dict[Path, _Owner]:
    """Folders of phases in a folder without curves of its own.

    Either all that lies in that folder are phases, or one is of training and one of evaluation. Runs below a folder of
    that name (test/run1) are no parts.
    """
    free = [folder for folder in heads if folder not in owner]
    children: dict[Path, set[str]] = {}
    for folder in free:
        for above in folder.parents:
            children.setdefault(above, set()).add(folder.relative_to(above).parts[0])
    holding = {above for folder in free for above in folder.parents}
    found = {}
    for folder in free:
        above = folder.parent
        if folder == above or not _is_phase(folder.name) or (above in heads and heads[above].tags):
            continue
        beside = {name for name in children[above] if not STAMP.fullmatch(name)}
        exact = {name.lower() for name in beside if _is_phase(name, numbered=False)}
        pair = bool(exact & {*TRAINING}) and bool(exact & {*EVALUATION})
        grouping = any(above / name in holding for name in beside if _is_phase(name))
        if exact and not grouping and (pair or all(map(_is_phase, beside))):
            found[folder] = (above, Role(PHASE, folder.name))
    return found


def _above_runs(heads: Mapping[Path, _Head], owner: Mapping[Path, _Owner]) -> dict[Path, _Owner]:
    """Runs whose phases lie above them: train/run1 beside val/run1."""
    twins: dict[tuple[int, Path], list[Path]] = {}
    for folder in heads:
        if folder not in owner:
            for place, word in enumerate(folder.parts[:-1]):
                if _is_phase(word, numbered=False):
                    rest = Path(*folder.parts[:place], *folder.parts[place + 1 :])
                    twins.setdefault((place, rest), []).append(folder)
    return {
        folder: (rest, Role(PHASE, folder.parts[place]))
        for (place, rest), folders in twins.items()
        if len(folders) > 1
        for folder in folders
    }


def _rooted(folder: Path, owner: Mapping[Path, _Owner]) -> tuple[Path, tuple[Role, ...]]:
    """The run that a folder is part of, and its roles on the way there."""
    roles: list[Role] = []
    known = {folder}
    while folder in owner and owner[folder][0] not in known:
        folder, role = owner[folder]
        known.add(folder)
        roles.append(role)
    return folder, tuple(roles)


def _related(groups: dict[Path, EventFolders], heads: Mapping[Path, _Head]) -> dict[Path, EventFolders]:
    """Runs below a run that has curves, and is not where the search began, are one family with it."""
    for run in list(groups):
        # Without event files of its own, it is a run by its parts.
        known = (up for up in reversed(run.parents) if up.parts and up in groups)
        above = next((up for up in known if up not in heads or heads[up].tags), None)
        if above is not None:
            family = family_of(above.as_posix())
            groups[run] = groups[run]._replace(family=family)
            groups[above] = groups[above]._replace(family=family, inside=groups[above].inside + 1)
    return groups


def by_time(walls: Sequence[np.ndarray]) -> np.ndarray:
    """The order (n,) in which the rows of several folders, one after the other, were logged; each folder keeps its own.

    >>> by_time([np.array([1.0, 5.0]), np.array([2.0, np.nan])]).tolist()
    [0, 2, 3, 1]
    """
    high = [np.maximum.accumulate(np.nan_to_num(wall, nan=-np.inf)) for wall in walls]
    return np.argsort(np.concatenate([np.empty(0), *high]), kind="stable")

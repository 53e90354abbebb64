"""Work cut into pieces: spread over processes or a cluster, each kept under the address of all that it depends on."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from predictdyn.backtest.pieces import Done, keep, kept, packed, unpacked
from predictdyn.backtest.writing import PIECE
from predictdyn.forecasters._fitted import one_thread
from predictdyn.workers import end_with, parent


def spread(
    work: Callable[..., Done],
    pieces: Sequence[tuple[Any, ...]],
    addresses: Sequence[str],
    *,
    workers: int,
    resume: Path | None,
    progress: Callable[[int, int], None],
) -> list[Done]:
    """What ``work`` gives of the arguments of each piece, in their order; what lies under ``resume`` is not done again.

    joblib spreads pieces over ``workers`` processes, or over a cluster inside ``joblib.parallel_config``.
    """
    from joblib import Parallel, delayed

    files = [None if resume is None else resume / f"{address}{PIECE}" for address in addresses]
    jobs = (delayed(_piece)(work, piece, file) for piece, file in zip(pieces, files, strict=True))
    done: list[Done] = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given", category=UserWarning)
        # What joblib says where the loop is left early, by Ctrl-C, and the loop says itself.
        warnings.filterwarnings("ignore", message=".* tasks which were still being processed", category=UserWarning)
        # Closed at once whatever happens: workers must not write pieces while their folder is being removed.
        watched = {"initializer": end_with, "initargs": (parent(),)} if workers > 1 else {}
        with closing(Parallel(n_jobs=workers, return_as="generator", **watched)(jobs)) as results:
            for result in results:
                done.append(result)
                progress(len(done), len(pieces))
    return done


def address(*words: str) -> str:
    """The name of a piece that depends on nothing but these words."""
    return hashlib.sha256("\x1f".join(words).encode()).hexdigest()[:32]


def code() -> str:
    """A hash of this package's own sources, so that work done by other code is never taken for this code's."""
    total = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        total.update(file.read_bytes())
    return total.hexdigest()


def _piece(work: Callable[..., Done], piece: tuple[Any, ...], file: Path | None) -> Done:
    before = None if file is None else kept(file)
    if before is not None:
        return before
    with one_thread():
        new = packed(work(*piece))
    if file is not None:
        keep(new, file)
    # Packed and unpacked whether it is kept or not, so that types do not tell what was kept from what was not.
    back = unpacked(new)
    assert back is not None
    return back

"""Work cut into pieces: spread over processes or a cluster, each kept under the address of all that it depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from predictdyn.backtest.pieces import Done, keep, kept, packed, unpacked
from predictdyn.backtest.writing import PIECE
from predictdyn.forecasters._fitted import one_thread
from predictdyn.workers import side_by_side


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
    from joblib import delayed

    files = [None if resume is None else resume / f"{address}{PIECE}" for address in addresses]
    jobs = (delayed(_piece)(work, piece, file) for piece, file in zip(pieces, files, strict=True))
    done: list[Done] = []
    with closing(side_by_side(jobs, workers)) as results:
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

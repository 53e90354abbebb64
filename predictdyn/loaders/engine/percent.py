"""Runs that log shares in percent, beside others that log them from 0 to 1: no values say which, so a user may."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictdyn.loaders.engine.facts import PERCENT_FROM, is_share
from predictdyn.loaders.engine.merge import Tidy, matches


def as_shares(tidy: Tidy, runs: Sequence[str]) -> Tidy:
    """A run that one of ``runs`` (names or globs) is, with those of its shares divided by 100 that go beyond 1.

    One run may log accuracy in percent, and an area under a curve from 0 to 1.
    """
    if not matches(tidy.run, runs) or tidy.points.empty:
        return tidy
    points = tidy.points.copy()
    most = points["value"].abs().groupby(points["metric"]).max()
    names = [name for name in most.index if most[name] > PERCENT_FROM and is_share(str(name))]
    mine = points["metric"].isin(names).to_numpy()
    for column in ("value", "stderr"):
        points[column] = np.where(mine, points[column] / 100, points[column])
    return tidy._replace(points=points)

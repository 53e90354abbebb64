"""The folder of what is kept between sessions: fetched data sets, and what JAX compiled."""

from __future__ import annotations

import os
from pathlib import Path


def cache() -> Path:
    """PREDICTDYN_CACHE, where that is set, else the user's cache folder."""
    chosen = os.environ.get("PREDICTDYN_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("predictdyn", appauthor=False)

"""Draws as text of an entry: 64-bit floats, little-endian, in base 64, so that not a bit of them is lost."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np


def encoded(draws: np.ndarray) -> dict[str, Any]:
    """Draws (s,) as data of an entry.

    >>> encoded(np.array([0.5, 2.0]))
    {'base64': 'AAAAAAAA4D8AAAAAAAAAQA==', 'count': 2, 'dtype': '<f8'}
    """
    raw = np.ascontiguousarray(draws, dtype="<f8")
    return {"base64": base64.b64encode(raw.tobytes()).decode("ascii"), "count": len(raw), "dtype": "<f8"}


def decoded(data: dict[str, Any]) -> np.ndarray:
    """Back from `encoded`, (s,)."""
    return np.frombuffer(base64.b64decode(data["base64"]), dtype="<f8").astype(float)

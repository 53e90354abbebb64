"""Arrays of many curves in batches that fit the cache: one compiled size each, double precision, a thread a core."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from predictdyn.fitting.on_cpu import double
from predictdyn.forms import Form

Array = Any
SIZES = (1, 16, 128)  # rows of a batch: every other number of curves is padded to one of them, and compiled once


def in_double(function: Callable[..., Any]) -> Callable[..., Any]:
    """A pure function compiled, on NumPy arrays in double precision; traced by JAX it is the function itself.

    >>> float(in_double(lambda x: x + 1e-9)(np.float64(1.0))) > 1
    True
    """
    compiled_ = jax.jit(function)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arguments)):
            return function(*arguments)
        with double():
            return jax.tree.map(np.asarray, compiled_(*arguments))

    return call


def by_form(build: Callable[..., Callable[..., Any]]) -> Callable[..., Callable[..., Any]]:
    """``build(form, *static)`` compiled and kept; a form holds a mapping, so name and g stand for it."""
    kept: dict[tuple[Any, ...], Callable[..., Any]] = {}

    @wraps(build)
    def of(form: Form, *static: Any) -> Callable[..., Any]:
        key = (form.name, form.g, *static)
        if key not in kept:
            kept[key] = jax.jit(build(form, *static))
        return kept[key]

    return of


def in_batches(
    function: Callable[..., Any], batched: Any, shared: Sequence[Any] = (), *, least: int = 1, most: int = SIZES[-1]
) -> Any:
    """``function(*batched, *shared)`` over batches of the first axis n of all arrays in ``batched``, a tree of them.

    Results, any tree of arrays (n, ...), are joined as NumPy arrays. Batches run in double precision, a thread a core.

    >>> in_batches(jax.jit(lambda a, b: a + b), [np.arange(130.0)], [1.0]).sum().item()
    8515.0
    """
    n = len(jax.tree.leaves(batched)[0])
    size = next((size for size in SIZES if n <= size and least <= size <= most), most)
    padded = jax.tree.map(lambda array: _padded(np.asarray(array), size), batched)

    def one(start: int) -> Any:
        with double():
            part = jax.tree.map(lambda array: array[start : start + size], padded)
            return jax.tree.map(np.asarray, function(*part, *there))

    with double():
        there = jax.tree.map(jnp.asarray, list(shared))
    starts = range(0, max(n, 1), size)
    threads = min(_cores(), len(starts))
    if threads == 1:
        found = [one(start) for start in starts]
    else:  # JAX releases the interpreter while it computes
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(one, starts))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:n], *found)


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    """Rows to a multiple of ``size``, the last one repeated."""
    missing = -len(array) % size
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

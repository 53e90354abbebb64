"""JAX as this package uses it: on the processor, in double precision, what is compiled kept; set at its first use."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

from predictdyn.cache import cache
from predictdyn.fitting import OWN_JAX


@contextmanager
def double() -> Iterator[None]:
    """64-bit JAX on the processor inside a with statement, whatever the process has set; outside nothing changes.

    >>> with double():
    ...     print(jax.numpy.ones(1).dtype)
    float64
    """
    _settled()
    if hasattr(jax, "enable_x64"):
        wide = jax.enable_x64(True)
    else:
        from jax.experimental import enable_x64  # jax before 0.8

        wide = enable_x64()
    with wide, jax.default_device(jax.local_devices(backend="cpu")[0]):
        yield


@functools.cache
def _settled() -> None:
    """What the whole process shares, only where nobody else in it uses JAX, and nothing that was chosen before.

    Without it a first use would take up the memory of an accelerator, and compile anew in every process.
    """
    if not OWN_JAX:
        return
    if not jax.config.jax_platforms:
        jax.config.update("jax_platforms", "cpu")
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(cache() / f"compiled-{_processor()}"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _processor() -> str:
    """A short word for the type of processor: what was compiled for one may not run on another."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8", errors="replace").splitlines() if cpu.is_file() else []
    flags = [line for line in lines if line.startswith(("flags", "Features"))][:1]
    return hashlib.sha256(" ".join([platform.machine(), platform.processor(), *flags]).encode()).hexdigest()[:12]

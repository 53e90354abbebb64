"""JAX needs no environment variable, and is left as it is where somebody else in the process uses it."""

import os
import subprocess
import sys

import pytest

CODE = """
{first}
import predictdyn.fitting
import jax, numpy as np
from predictdyn.fitting.on_cpu import double
with double():
    print(jax.jit(lambda x: x + 1e-9)(np.float64(1.0)) > 1)
print(jax.config.jax_platforms, jax.config.jax_compilation_cache_dir, jax.numpy.ones(1).dtype)
"""


@pytest.mark.parametrize("first", ["", "import jax"])
def test_only_jax_of_our_own_is_set(first, tmp_path):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(first=first)],
        env={**plain, "PREDICTDYN_CACHE": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    double, (platforms, folder, dtype) = done.stdout.split()[0], done.stdout.split()[1:]
    assert double == "True" and dtype == "float32"
    assert platforms == ("None" if first else "cpu")
    assert folder == "None" if first else folder.startswith(str(tmp_path))

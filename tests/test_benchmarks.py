"""Benchmarks are not run by tests, but what they import from the package exists."""

import ast
import importlib
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parent.parent / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_a_benchmark_imports_exists(file):
    lines = [one for one in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(one, ast.ImportFrom)]
    for line in [one for one in lines if (one.module or "").split(".")[0] == "predictdyn"]:
        module = importlib.import_module(str(line.module))
        for name in line.names:
            if not hasattr(module, name.name):
                importlib.import_module(f"{line.module}.{name.name}")

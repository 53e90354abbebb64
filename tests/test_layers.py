"""Imports point down: a module may import from lower layers and from its own package, never sideways or up."""

import ast
from pathlib import Path

LAYERS = [
    {"secrets", "workers"},
    {"curves"},
    {"scales", "forms", "scores", "covariates"},
    {"problem"},
    {"forecast"},
    {"fitting", "features", "events"},
    {"joint"},
    {"loaders", "forecasters", "effects"},
    {"backtest"},
    {"report", "registry", "console"},
    {"cli_datasets", "cli_words", "cli_faults"},
    {"cli"},
]
PACKAGE = Path(__file__).parents[1] / "predictdyn"
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imports(source: str) -> set[str]:
    """The rooms of the package that a source imports from, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("predictdyn"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {a.name for a in node.names if not a.name.startswith("__")}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("predictdyn.")}
    return found


def wrong(room: str, source: str) -> set[str]:
    """Imports of a source in a room that do not point down."""
    return {other for other in imports(source) if other != room and LEVEL[other] >= LEVEL[room]}


def test_imports_point_down():
    sources = {file: file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in PACKAGE.rglob("*.py")}
    bad = {
        str(file): wrong(room, file.read_text())
        for file, room in sources.items()
        if room not in ("__init__", "__main__") and wrong(room, file.read_text())
    }
    assert not bad
    assert set(sources.values()) - {"__init__", "__main__"} == set(LEVEL)


def test_a_sideways_import_is_seen():
    assert wrong("scores", "def f():\n    from predictdyn.report import publish") == {"report"}
    assert wrong("forecasters", "import predictdyn.backtest.run") == {"backtest"}


def test_light_rooms_do_not_import_jax():
    heavy = ("jax", "numpyro", "sklearn", "statsmodels", "matplotlib")
    files = [PACKAGE / name for name in ("curves.py", "scores.py", "cli.py", "scales.py", "problem.py", "forecast.py")]
    for name in (*files, *(PACKAGE / "features").glob("*.py")):
        tree = ast.parse(name.read_text())
        top = {alias.name.split(".")[0] for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        top |= {(node.module or "").split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert not top & set(heavy), name

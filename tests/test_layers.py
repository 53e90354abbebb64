"""Imports point down: a module may import from lower layers and from its own package, never sideways or up."""

import ast
from pathlib import Path

LAYERS = [
    {"secrets", "workers", "cache", "progress", "naming", "commit"},
    {"curves", "redaction"},
    {"scales", "forms", "scores", "covariates"},
    {"problem"},
    {"forecast"},
    {"fitting", "features", "events"},
    {"joint", "laws"},
    {"loaders", "forecasters", "effects"},
    {"backtest"},
    {"report", "datasets", "console"},
    {"watch", "ledger", "publishing"},
    {"api"},
    {"design"},
    {"integrations", "cli_words", "cli_faults"},
    {"cli_datasets", "cli_law", "cli_schedule", "cli_watch", "cli_ledger"},
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


# Methods that users call on Curves, whose code lies above; imported when they are called.
FACE = {("curves", "api")}


def wrong(room: str, source: str) -> set[str]:
    """Imports of a source in a room that do not point down."""
    others = {other for other in imports(source) if other != room and (room, other) not in FACE}
    return {other for other in others if LEVEL[other] >= LEVEL[room]}


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


def classes(source: str) -> list[str]:
    """The names of classes that a source defines."""
    return [node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]


def test_a_class_name_has_one_meaning():
    homes: dict[str, list[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        for name in classes(file.read_text()):
            homes.setdefault(name, []).append(str(file.relative_to(PACKAGE)))
    assert not {name: files for name, files in homes.items() if len(files) > 1}


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, in order; empty where there is none."""
    done: set[str] = set()

    def walk(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return []
        for other in sorted(edges.get(module, ())):
            if found := walk(other, [*way, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(edges) if (found := walk(module, []))), [])


def test_no_module_imports_itself_by_others():
    sources = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        sources[name] = file.read_text()
    edges = {name: imported(ast.parse(source), set(sources)) - {name} for name, source in sources.items()}
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert not circle(edges)


def imported(tree: ast.Module, known: set[str]) -> set[str]:
    """The known modules that a source imports when it is imported itself: not in functions, nor for types alone."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & known

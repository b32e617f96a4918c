"""Imports run one way: command line -> (evaluators, training, reports) -> core, and no two modules import each other.

Read from the sources: what a function imports counts as what stands at the top of a file.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from test_packaging import packages

FOLDERS = ("evaluators", "training", "reports")
MAY = {"evaluators": {"core"}, "training": {"core", "evaluators"}, "reports": {"core", "evaluators", "training"}}
"""Whom the three may know; the core knows none of them."""

COMMANDS = ("suder_bench.cli", "suder_bench.api", "suder_bench.__main__", "suder_bench.world.pretrain")
"""What people start, also with `python -m` or from Python; it may import everything."""


def modules() -> dict[str, Path]:
    """Dotted name -> file, of the whole package."""
    found = {}
    for package, folder in packages().items():
        for file in folder.glob("*.py"):
            found[package if file.stem == "__init__" else f"{package}.{file.stem}"] = file
    return found


MODULES = modules()


def imported(name: str) -> set[str]:
    """The modules of this package that a module imports, anywhere in its file, but for those that only types need."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    typing = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for part in node.body
        for child in ast.walk(part)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in typing:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & MODULES.keys()) or {node.module}
    return (found & MODULES.keys()) - {name}


def hall(name: str) -> str:
    """evaluators, training, reports, cli, api, or core."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in (*FOLDERS, "cli", "api") else "core"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_run_one_way(name: str) -> None:
    here = hall(name)
    if name.startswith(COMMANDS):
        return
    wrong = {other for other in imported(name) if hall(other) not in {here, *MAY.get(here, {"core"})}}
    assert wrong == set()


def test_no_modules_import_each_other() -> None:
    graph = {name: sorted(imported(name)) for name in MODULES}
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        assert name not in path, "a circle: " + " -> ".join([*path[path.index(name) :], name])
        path.append(name)
        for other in graph[name]:
            visit(other)
        path.pop()
        done.add(name)

    for name in sorted(graph):
        visit(name)


def test_the_map_in_contributing_names_every_folder() -> None:
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = sorted({file.parent.relative_to(Path(__file__).parents[1]).as_posix() for file in MODULES.values()})
    assert [folder for folder in folders if f"`{folder}/`" not in text] == []

"""docs/compatibility.md names tests and files that are there."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
TABLE = (HERE / "docs" / "compatibility.md").read_text(encoding="utf-8")
TESTS = sorted(set(re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", TABLE)))
FILES = sorted(set(re.findall(r"(?<![\w/])(?:suder_bench|evaluators|training|reports|findings|examples)/[\w/]+\.\w+", TABLE)))


@pytest.mark.parametrize(("file", "name"), TESTS)
def test_a_test_that_is_named_is_there(file: str, name: str) -> None:
    functions = {node.name for node in ast.walk(ast.parse((HERE / file).read_text())) if isinstance(node, ast.FunctionDef)}
    assert not name or name in functions


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_named_is_there(file: str) -> None:
    assert (HERE / file).is_file()

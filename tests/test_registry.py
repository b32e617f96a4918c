"""Names to objects: lazily, without silent replacement, with suggestions."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from suder_bench import registry, suites
from suder_bench.cli import main
from suder_bench.data import source
from suder_bench.errors import UserError


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install entry points: (group, name, value)."""

    def install(*given: tuple[str, str, str]) -> None:
        found = [EntryPoint(name, value, group) for group, name, value in given]
        monkeypatch.setattr(registry, "entry_points", lambda group: [point for point in found if point.group == group])
        registry.table.cache_clear()

    yield install
    registry.table.cache_clear()


def test_an_installed_package_adds_names(points: Any) -> None:
    points(("suder_bench.benchmarks", "mine", "json:JSONDecoder"), ("suder_bench.judges", "vqa/mine", "json:loads"))
    assert "mine" in registry.table("benchmarks")
    assert registry.load("benchmarks", "mine").__name__ == "JSONDecoder"
    assert registry.load("judges", "vqa/mine") is not None
    assert "mine" not in registry.table("rewards")


def test_a_taken_name_is_refused(points: Any) -> None:
    points(("suder_bench.benchmarks", "pope", "json:JSONDecoder"))
    with pytest.raises(UserError, match=r"two benchmarks are called 'pope': suder_bench\.evaluators\.pope:Pope and json"):
        registry.table("benchmarks")
    points(("suder_bench.models", "x", "json:loads"), ("suder_bench.models", "x", "json:dumps"))
    with pytest.raises(UserError, match="two models are called 'x': json:dumps and json:loads"):
        registry.table("models")
    points(("suder_bench.models", "tiny-janus", "json:loads"))
    with pytest.raises(UserError, match="two models are called 'tiny-janus'"):
        registry.table("models")


def test_the_same_entry_twice_is_no_clash(points: Any) -> None:
    points(("suder_bench.rewards", "x", "json:loads"), ("suder_bench.rewards", "x", "json:loads"))
    assert registry.table("rewards")["x"] == "json:loads"


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown benchmark 'genevl'; did you mean 'geneval'"):
        registry.load("benchmarks", "genevl")


@pytest.mark.parametrize("name", registry.TABLE["benchmarks"])
def test_every_benchmark_is_where_the_table_says_and_knows_its_name(name: str) -> None:
    benchmark = registry.load("benchmarks", name)
    assert benchmark.name == name
    assert benchmark.kind == ("understanding" if name in suites.UNDERSTANDING else "generation")
    for role in benchmark.judge_roles:
        assert {f"{role}/world", f"{role}/official"} <= set(registry.table("judges"))


@pytest.mark.parametrize("name", registry.TABLE["judges"])
def test_every_judge_is_where_the_table_says(name: str) -> None:
    assert callable(registry.load("judges", name))


def test_listing_names_imports_nothing_heavy() -> None:
    listing = "import sys, suder_bench.registry as r; [r.table(group) for group in r.GROUPS]"
    code = f"{listing}; print(sorted({{'torch', 'numpy'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("suite", "only", "expected"),
    [
        ("gen", [], ("gen", ("geneval", "t2i-compbench"))),
        ("gen", ["geneval"], ("geneval", ("geneval",))),
        ("gen", ["t2i-compbench", "geneval"], ("gen", ("geneval", "t2i-compbench"))),
        (None, ["pope", "geneval", "pope"], ("pope+geneval", ("pope", "geneval"))),
        ("all", [], ("all", suites.GENERATION + suites.UNDERSTANDING)),
        ("reason", [], ("reason", ("t2i-reasonbench", "wise-verified"))),
        ("gen2", [], ("gen2", ("geneval", "geneval2", "t2i-compbench"))),
    ],
)
def test_suites(suite: str | None, only: list[str], expected: tuple[str, tuple[str, ...]]) -> None:
    assert suites.choose(suite, only) == expected


@pytest.mark.parametrize(
    ("suite", "only", "told"),
    [
        ("gne", [], "unknown suite 'gne'; did you mean 'gen'"),
        (None, [], "nothing to run; give --suite"),
        (None, ["pop"], "unknown benchmark 'pop'; did you mean 'pope'"),
        ("gen", ["pope"], r"benchmark 'pope' is not in suite 'gen' \(geneval, t2i-compbench\)"),
    ],
)
def test_wrong_suites_are_told(suite: str | None, only: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        suites.choose(suite, only)


def test_a_benchmark_of_a_family_is_known_without_its_package() -> None:
    factory = registry.load("benchmarks", "lmms:pope")
    assert (factory.name, factory.kind, factory.judge_roles, factory.protocols) == (
        "lmms:pope",
        "understanding",
        (),
        ("official",),
    )
    assert suites.choose(None, ["lmms:pope", "pope"]) == ("lmms:pope+pope", ("lmms:pope", "pope"))
    assert "lmms_eval" not in sys.modules


@pytest.mark.parametrize("argv", [["run", "--model", "tiny-janus", "--suite", "lmms:pope"], ["list", "--lmms", "pope*"]])
def test_without_its_package_a_family_s_names_are_told_with_what_brings_it(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lmms_eval", None)
    assert main(argv) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "tasks of lmms-eval need the package lmms-eval" in line
    assert line.endswith('pip install -c constraints-lmms.txt ".[lmms]"')


def test_a_family_has_no_world(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lmms:pope has no form in the world"):
        source.Source("world", size="quick").folder("lmms:pope", print, offline=True)

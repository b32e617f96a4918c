"""Verdicts count as long as the code that they came from is what it was: the benchmark's own, and what it shares with others."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import REFERENCE, FakeModel, settings

from suder_bench import registry
from suder_bench.runs import sources
from suder_bench.runs.execute import Run
from suder_bench.runs.plan import build
from suder_bench.runs.screen import Screen

BENCHMARK = """
from fakes import Reading
from shared_rules.answers import reading
from shared_rules.answers.tables import nothing


class Asking(Reading):
    name = "asking"
    judged = 0

    def verdicts(self, answered, judges):
        type(self).judged += len(answered)
        return super().verdicts(answered, judges)
"""


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of modules that benchmarks share, in the place of this package's, with a benchmark that imports two of them."""
    folder = tmp_path / "shared_rules"
    for name, content in (
        ("__init__", ""),
        ("unrelated", ""),
        ("judges/__init__", ""),
        ("judges/one", ""),
        ("answers/__init__", ""),
        ("answers/reading", "def read():\n    import shared_rules.answers.deeper\n    import shared_rules.judges.one\n"),
        ("answers/deeper", "from shared_rules.answers import reading\n"),
        ("answers/tables", "def nothing(): ...\n"),
    ):
        file = folder / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "asking_benchmark.py").write_text(BENCHMARK)
    for place in (tmp_path, tmp_path / "theirs"):
        monkeypatch.syspath_prepend(place)
    monkeypatch.setattr(sources, "SHARED", "shared_rules")
    monkeypatch.setattr(sources, "JUDGES", "shared_rules.judges")
    tables = {**registry.TABLE, "benchmarks": {"asking": "asking_benchmark:Asking"}}
    monkeypatch.setattr(registry, "TABLE", tables)
    registry.table.cache_clear()
    yield folder
    for name in [name for name in sys.modules if name.startswith(("shared_rules", "asking_benchmark"))]:
        del sys.modules[name]


def judged(out: Path) -> int:
    """How many responses were judged now, of the eight."""
    kind = registry.load("benchmarks", "asking")
    kind.judged = 0
    run = Run(out, REFERENCE, settings("asking"))
    assert run.execute(Screen(io.StringIO()), FakeModel).complete
    return int(kind.judged)


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("name", ["answers/reading", "answers/deeper", "answers/tables", "../theirs/asking_benchmark"])
def test_an_edited_rule_judges_again(shared: Path, tmp_path: Path, name: str) -> None:
    assert (judged(tmp_path / "run"), judged(tmp_path / "run")) == (8, 0)
    file = shared / f"{name}.py"
    file.write_text(file.read_text() + "# edited\n")
    assert (judged(tmp_path / "run"), judged(tmp_path / "run")) == (8, 0)


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("name", ["unrelated", "judges/one"])
def test_what_no_verdict_comes_from_may_be_edited(shared: Path, tmp_path: Path, name: str) -> None:
    """A judge's own code is in its fingerprint where it matters."""
    assert judged(tmp_path / "run") == 8
    (shared / f"{name}.py").write_text("# edited\n")
    assert judged(tmp_path / "run") == 0


@pytest.mark.parametrize(
    ("benchmark", "readers"),
    [
        ("pope", ["pope.py", "yes_no.py"]),
        ("hallusionbench", ["hallusionbench.py", "yes_no.py", "thoughts.py", "reviews.py"]),
        ("llavabench", ["llavabench.py", "thoughts.py", "reviews.py"]),
        ("mmbench", ["mmbench.py", "choices.py", "lmms_eval.py"]),
        ("seedbench", ["seedbench.py", "choices.py"]),
    ],
)
def test_every_reader_counts(tmp_path: Path, benchmark: str, readers: list[str]) -> None:
    files = sources.modules(build(benchmark, tmp_path, "official"))
    assert set(readers) <= {file.name for file in files}
    assert not [file for file in files if file.parent.name == "judges"]

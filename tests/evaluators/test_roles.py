"""What benchmarks say of samples, judges and metrics is what their verdicts and statistics do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from suder_bench import registry
from suder_bench.benchmark import AsksBySample
from suder_bench.data.source import write_world
from suder_bench.records import Answered, Response
from suder_bench.runs.plan import build

NAMES = [
    (name, protocol)
    for name in registry.table("benchmarks")
    if hasattr(registry.load("benchmarks", name), "roles_of")
    for protocol in registry.load("benchmarks", name).protocols
]


class Only(Mapping[str, Any]):
    """The world's judges in some roles; it is told which were looked up."""

    def __init__(self, *roles: str) -> None:
        self.roles, self.used = roles, set[str]()

    def __getitem__(self, role: str) -> Any:
        assert role in self.roles, f"{role} was asked"
        self.used.add(role)
        return registry.load("judges", f"{role}/world").load(device="cpu", dtype="float32", offline=True)

    def __iter__(self) -> Iterator[str]:
        return iter(self.roles)

    def __len__(self) -> int:
        return len(self.roles)


@pytest.mark.parametrize(("name", "protocol"), [(name, protocol) for name, protocol in NAMES if not protocol.endswith("srum")])
def test_a_sample_is_judged_by_its_judges_and_counts_in_its_metrics(tmp_path: Path, name: str, protocol: str) -> None:
    write_world(tmp_path / "data", size="quick", benchmarks=[name])
    Image.new("RGB", (64, 64), (200, 30, 30)).save(tmp_path / "a.png")
    benchmark = build(name, tmp_path / "data", protocol)
    assert isinstance(benchmark, AsksBySample)
    kinds = {(benchmark.roles_of(one), benchmark.metrics_of(one)): one for one in benchmark.samples()}
    asked = set[str]()
    for (roles, metrics), sample in kinds.items():
        judges = Only(*roles)
        [verdict] = benchmark.verdicts(
            [Answered(sample, Response(name, sample.id, 0, 0, "", image="a"), tmp_path / "a.png")], judges
        )
        assert set(benchmark.statistics([(sample, verdict)])) == set(metrics)
        asked |= set(roles)
        assert set(roles) - judges.used <= {"color"}  # colours are asked only of objects that were found
    assert asked == set(benchmark.judge_roles)

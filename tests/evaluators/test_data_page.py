"""The commands of docs/data.md run, in order, in one folder, against hosts on this machine."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from forms_of_world import FORMS
from hub_server import serving_hub
from mirror import Mirror, serving

from suder_bench.cli import main
from suder_bench.data import owners
from suder_bench.data.catalogue import MIRROR
from suder_bench.data.folder import WORLD_FILE
from suder_bench.data.hub import hub_sets
from suder_bench.data.source import write_world

pytest.importorskip("pyarrow")
PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
COMMANDS = [
    re.split(r"\s{3,}", line)[0]
    for block in re.findall(r"^```\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The hub with its sets and its owners', and a mirror with MMBench's tables, all of the world's questions."""
    world = tmp_path / "world"
    write_world(world, size="quick", benchmarks=list(FORMS))
    repositories = {}
    for one in hub_sets():
        repositories[one.repository] = tmp_path / one.repository
        repositories[one.repository].mkdir(parents=True)
        FORMS[one.benchmark]["hub"](world / one.benchmark, repositories[one.repository])
    for name in owners.owners_files(["llavabench", "seedbench"], tmp_path):
        repository = name.url.removeprefix("https://huggingface.co/datasets/").partition("/resolve/")[0]
        place = repositories.setdefault(repository, tmp_path / repository) / name.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"\xff\xd8 a picture" if place.suffix == ".jpg" else b"{}\n")
    monkeypatch.setattr("suder_bench.data.catalogue.catalogue", lambda: ())
    rows = owners._rows
    monkeypatch.setattr(owners, "_rows", lambda name: [{**row, "md5": ""} if "md5" in row else row for row in rows(name)])
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    tables = [f"/opencompass.openxlab.space{name.url.partition('.space')[2]}" for name in _tables(tmp_path)]
    table = (world / "mmbench" / "MMBench_DEV_EN.tsv").read_bytes()
    with serving_hub(repositories) as hub, serving(Mirror(dict.fromkeys(tables, table))) as mirror:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv(MIRROR, mirror.address)
        yield world


def _tables(folder: Path) -> list[owners.OwnersFile]:
    return [file for protocol in ("official", "dev-en-v11") for file in owners.owners_files(["mmbench"], folder, protocol)]


def test_every_command_runs(
    hosts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(COMMANDS) > 9
    monkeypatch.chdir(tmp_path)
    for name, file in (("SEED-Bench-image", "1"), ("hallusion_bench", "VD/figure/0_0.png")):
        with zipfile.ZipFile(f"{name}.zip", "w") as archive:
            archive.writestr(f"{name}/{file}", "a picture")
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        if program == "unzip":
            if shutil.which(program):
                subprocess.run([program, *arguments], check=True, capture_output=True)
            continue
        assert program == "suder-bench", command
        running = arguments[0] == "run"
        if running:  # the world's sets have other numbers of questions
            shutil.copy(hosts / WORLD_FILE, "DIR")
            shutil.rmtree("DIR/hallusionbench/hallusion_bench", ignore_errors=True)
        assert main([*arguments, *(["--limit", "1"] if running else [])]) == 0, f"{command}\n{capsys.readouterr().err}"
        Path("DIR", WORLD_FILE).unlink(missing_ok=True)
    told = capsys.readouterr().err
    assert re.search(
        r"hallusionbench: .* from .*hub/data/image-00000-of-00003\.parquet and 3 more \(lmms-lab/HallusionBench at", told
    )
    assert re.search(r"mmbench: .* from .*DIR/mmbench/MMBench_DEV_EN_V11\.tsv", told)
    assert {"runs/figures", "runs/v11"} <= {str(file.parent) for file in Path("runs").glob("*/summary.json")}

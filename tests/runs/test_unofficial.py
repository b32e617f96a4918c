"""Questions in a folder of the user's that are not the official ones set a run apart (`suder_bench.runs.plan.unofficial`)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from evaluators.answering import OFFICIAL, official

from suder_bench.cli import main
from suder_bench.data.folder import WORLD_FILE
from suder_bench.data.source import Source, write_world
from suder_bench.evaluators.pope import TRACKS
from suder_bench.runs.plan import build, unofficial

OTHER = {
    "geneval": r"evaluation_metadata\.jsonl has [\d,]+ bytes instead of 85,209",
    "t2i-compbench": r"color_val\.txt has [\d,]+ bytes instead of 11,871",
    "pope": r"\d+ where there are 9,000 or 8,910",
    "hallusionbench": r"\d+ where there are 1,129",
    "llavabench": r"\d+ where there are 60",
    "mmbench": r"\d+ where there are 4,329 or 4,377",
    "seedbench": r"\d+ where there are 14,232",
}


def told(name: str, data: Path) -> str:
    protocol = "suder-bench" if name == "llavabench" else "official"  # which needs no script of the authors'
    return unofficial(build(name, data, protocol), protocol, Source("folder", path=data), data)


def nameless(folder: Path, name: str) -> Path:
    """The world's questions without the file that tells whose they are."""
    write_world(folder, size="quick", benchmarks=[name])
    (folder / WORLD_FILE).unlink()
    return folder


@pytest.mark.parametrize("name", OTHER)
def test_other_questions_in_the_official_form_are_told(name: str, tmp_path: Path) -> None:
    assert re.fullmatch(OTHER[name], told(name, nameless(tmp_path / "data", name)))


def test_the_world_s_own_are_set_apart_as_such(tmp_path: Path) -> None:
    write_world(tmp_path / "data", size="quick", benchmarks=["geneval"])
    assert told("geneval", tmp_path / "data") == ""


def test_a_run_on_them_is_marked_and_stays_from_published_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = nameless(tmp_path / "data", "pope"), tmp_path / "run"
    run = ["run", "--model", "tiny-janus", "--benchmark", "pope", "--data", str(data), "--limit", "1", "--device", "cpu"]
    assert main([*run, "--out", str(out)]) == 0
    mark = f"not the official questions: {told('pope', data)}"
    assert f"marked pope: {mark}; not comparable with published numbers" in " ".join(capsys.readouterr().out.split())
    assert json.loads((out / "summary.json").read_text())["benchmarks"]["pope"]["deviations"] == [mark]


@pytest.mark.parametrize(("name", "file"), [("geneval", "evaluation_metadata.jsonl"), ("t2i-compbench", "color_val.txt")])
def test_the_official_files_are_not(name: str, file: str) -> None:
    official(f"{name.replace('-', '_')}/{file}")
    assert told(name, OFFICIAL) == ""


@pytest.mark.parametrize(("random", "other"), [(3000, ""), (2910, ""), (2909, "8,909 where there are 9,000 or 8,910")])
def test_either_release_of_pope_is_official(random: int, other: str, tmp_path: Path) -> None:
    for track in TRACKS:
        count = random if track == "random" else 3000
        rows = ({"question_id": i, "image": f"{i}.jpg", "text": "Is there a cat?", "label": "yes"} for i in range(count))
        (tmp_path / f"coco_pope_{track}.json").write_text("\n".join(map(json.dumps, rows)))
    assert told("pope", tmp_path) == other

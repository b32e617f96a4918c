"""What a site holds, and what it refuses to show: verdicts that made the numbers, prompts of the data, pictures of the run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_runs import FOREIGN, OWN, summary, write_drawn, write_geneval, write_run, write_training
from fakes import REFERENCE, FakeModel, settings
from PIL import Image

from suder_bench.errors import PictureError, UserError
from suder_bench.records import Response
from suder_bench.reports.site.documents import Site, build, script
from suder_bench.reports.site.folder import write
from suder_bench.reports.site.pictures import SIDE, Picture, Pictures
from suder_bench.reports.site.runs import not_comparisons, read
from suder_bench.runs.execute import Run
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder

PROMPTS = {"one star": "single_object", "two stars": "counting", "three stars": "counting"}


def site(*paths: Path, limit: int | None = None) -> Site:
    return build(paths, [], [], Screen().say, limit=limit)


def content(of: Site, name: str) -> Any:
    text = of.scripts[name].decode()
    start = f'receive("{name}", '
    assert text.startswith(start)
    return json.loads(text.removeprefix(start).removesuffix(");\n"))


def item(of: Site, sample: str) -> Mapping[str, Any]:
    return next(one for one in content(of, "gallery-0-0000") if one["sample"] == sample)


def execute(folder: Path, *benchmarks: str, **changes: Any) -> Path:
    """A run of the fake model, which is right."""
    Run(folder, REFERENCE, settings(*benchmarks, **changes)).execute(Screen(), load=FakeModel)
    return folder


def test_scripts_hold_nothing_that_html_or_javascript_reads_otherwise() -> None:
    nasty = "</script><!-- & \u2028 \u2029 \ud800 'quoted' \"quoted\" \\"
    made = script("x", {"prompt": nasty})
    assert not set(b"<>&") & set(made)
    assert made.isascii()
    assert json.loads(made[len('receive("x", ') : -len(b");\n")])["prompt"] == nasty


def test_the_gallery_has_prompts_tasks_answers_and_seeds(tmp_path: Path) -> None:
    data = write_geneval(tmp_path / "data", PROMPTS)
    run = write_drawn(tmp_path / "run", data, repeats=2, wrong=[1])
    made = site(run)
    [gallery] = content(made, "index")["galleries"]
    assert (gallery["benchmark"], gallery["count"], gallery["left_out"], gallery["note"]) == ("geneval", 6, 0, "")
    assert gallery["tasks"] == {"single_object": 2, "counting": 4}
    found = item(made, "00001")
    assert (found["prompt"], found["task"], found["repeat"]) == ("two stars", "counting", 0)
    [answer] = found["answers"]
    assert answer["correct"] is False
    assert answer["reason"].startswith("expected 1 star")
    assert answer["scores"] == {"correct": 0.0}
    assert int(answer["seed"]) > 2**53
    assert answer["image"] in made.pictures.known


def test_a_mark_stands_beside_the_protocol_and_sets_a_group_apart(tmp_path: Path) -> None:
    runs = [summary("geneval"), summary("geneval", model="other", deviations=["3 prompts rewritten"])]
    groups = content(site(*(write_run(tmp_path / f"{i}", one) for i, one in enumerate(runs))), "index")["benchmarks"][0]["groups"]
    assert [(group["protocol"], group["comparable"]) for group in groups] == [
        ("official", True),
        ("official; 3 prompts rewritten", False),
    ]


def test_questions_come_with_their_pictures_and_answers(fakes: None, tmp_path: Path) -> None:
    made = site(execute(tmp_path / "run", "reading"))
    found = item(made, "q2")
    assert found["prompt"] == "which shade? (0)"
    [picture] = found["pictures"]
    assert made.pictures.known[picture].read()[0] == "image/png"
    assert (found["answers"][0]["text"], found["answers"][0]["reason"]) == ("10", "said 10")
    assert len(made.pictures.known) == 4  # one for two questions


def test_the_verdicts_are_those_that_made_the_summary(fakes: None, tmp_path: Path) -> None:
    """The black judge judged last but one, and its verdicts lie between those of the official one."""
    run = execute(tmp_path / "run", "drawing")
    execute(run, "drawing", judges={"shade": "black"})
    assert {one["answers"][0]["correct"] for one in content(site(run), "gallery-0-0000")} == {True, False}
    execute(run, "drawing")
    assert {one["answers"][0]["correct"] for one in content(site(run), "gallery-0-0000")} == {True}


def test_a_verdict_that_was_edited_is_not_shown(fakes: None, tmp_path: Path) -> None:
    run = execute(tmp_path / "run", "reading")
    file = run / "verdicts/reading/0.jsonl"
    file.write_text(file.read_text().replace("said 10", "said 70"))
    assert "correct" not in item(site(run), "q2")["answers"][0]
    assert item(site(run), "q4")["answers"][0]["reason"] == "said 20"


def test_only_runs_that_were_asked_the_same_stand_side_by_side(tmp_path: Path) -> None:
    data, other = write_geneval(tmp_path / "a", PROMPTS), write_geneval(tmp_path / "b", {"a heart": "colors"})
    runs = [write_drawn(tmp_path / name, folder) for name, folder in (("1", data), ("2", other), ("3", data))]
    index = content(site(*runs), "index")
    assert [gallery["runs"] for gallery in index["galleries"]] == [[0, 2], [1]]
    assert [one["label"] for one in index["runs"]] == ["1: my-model", "2: my-model", "3: my-model"]
    assert [len(group["counts"]) for group in index["benchmarks"][0]["groups"]] == [2, 1]


def test_a_foreign_judge_marks_the_metrics_that_it_judged_and_no_others(tmp_path: Path) -> None:
    content_of = summary("t2i-compbench")
    entry = content_of["benchmarks"]["t2i-compbench"]
    entry["judges"] = content_of["recipe"]["judges"]["t2i-compbench"] = {"detector-2d": FOREIGN, "clip": OWN}
    for metric, one in entry["metrics"].items():
        one["judges"] = ["detector-2d"] if metric == "spatial" else ["clip"]
    entry |= {"failed": 4, "unjudged": {"responses": 4, "roles": ["depth"], "metrics": ["3d_spatial"]}}
    groups = content(site(write_run(tmp_path / "run", content_of)), "index")["benchmarks"][0]["groups"]
    named = {group["comparable"]: [metric["name"] for metric in group["metrics"]] for group in groups}
    assert named[False] == ["spatial"]
    assert {"color", "non_spatial"} <= set(named[True])
    assert [group["judges"] for group in groups] == [["clip: official"], ["detector-2d: open-clip"]]
    assert groups[0]["counts"] == [[0, 400, "4 not judged; lacks depth, and so has no 3d_spatial"]]
    entry["failed"] = 5
    [group] = content(site(write_run(tmp_path / "lost", content_of)), "index")["benchmarks"][0]["groups"]
    assert not group["comparable"]
    assert group["counts"] == [[0, 400, "1 failed; 4 not judged; lacks depth, and so has no 3d_spatial"]]


def test_a_limit_takes_whole_prompts_evenly(tmp_path: Path) -> None:
    data = write_geneval(tmp_path / "data", {f"{i} stars": "counting" for i in range(10)})
    made = site(write_drawn(tmp_path / "run", data, repeats=2), limit=10)
    [gallery] = content(made, "index")["galleries"]
    assert (gallery["count"], gallery["left_out"]) == (10, 10)
    assert [one["sample"] for one in content(made, "gallery-0-0000")][::2] == ["00000", "00002", "00004", "00006", "00008"]


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_without_its_data_a_gallery_says_why_there_are_no_prompts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    data = write_geneval(tmp_path / "data", PROMPTS)
    run = write_drawn(tmp_path / "run", data)
    shutil.rmtree(data)
    if how == "changed":
        write_geneval(data, {"a heart": "colors"})
    made = site(run)
    [gallery] = content(made, "index")["galleries"]
    assert gallery["count"] == 3
    assert ("have changed" if how == "changed" else "evaluation_metadata.jsonl") in gallery["note"]
    assert item(made, "00000")["prompt"] == ""
    assert item(made, "00000")["answers"][0]["correct"] is True
    assert capsys.readouterr().err.count("no prompts in the gallery") == 1


def test_the_site_is_written_again_without_copying_pictures_twice(tmp_path: Path) -> None:
    data = write_geneval(tmp_path / "data", PROMPTS)
    first, second = write_drawn(tmp_path / "1", data), write_drawn(tmp_path / "2", data)
    out = tmp_path / "site"
    write(site(first, second), out, Screen())
    copies = set(out.glob("pictures/*/*.webp"))
    assert len(copies) == 6
    stamps = {file: file.stat().st_mtime_ns for file in copies}
    assert write(site(first), out, Screen()) == out / "index.html"
    kept = set(out.glob("pictures/*/*.webp"))
    assert len(kept) == 3
    assert all(stamps[file] == file.stat().st_mtime_ns for file in kept)
    assert {file.stem for file in out.glob("data/*.js")} == {"index", "run-0", "gallery-0-0000"}
    picture = Image.open(next(iter(kept)))
    assert (picture.format, picture.size) == ("WEBP", (8, 8))


def test_large_pictures_are_copied_small(tmp_path: Path) -> None:
    digest = RunFolder(tmp_path).save_picture(Image.new("RGB", (900, 300)), "images/a.png")
    response = Response("geneval", "0", 0, 0, digest, image="images/a.png")
    pictures = Pictures()
    address = pictures.of_response(tmp_path, response)
    assert pictures.write(tmp_path / "site", Screen()) == 0
    assert Image.open(tmp_path / "site" / address).size == (SIDE, round(SIDE / 3))


@pytest.mark.parametrize("image", ["../secret.png", "/etc/hostname", "images/../../secret.png", "images/link.png", "images/\0"])
def test_a_run_folder_shows_no_other_file(tmp_path: Path, image: str) -> None:
    (tmp_path / "run" / "images").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    (tmp_path / "run" / "images" / "link.png").symlink_to(tmp_path / "secret.png")
    pictures = Pictures()
    address = pictures.of_response(tmp_path / "run", Response("geneval", "0", 0, 0, "", image=image))
    assert ".." not in address
    with pytest.raises(PictureError, match="does not lie in"):
        pictures.known[address].read()
    with pytest.raises(PictureError, match="does not lie in"):
        pictures.known[address].small()


def test_only_pictures_are_served(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_text("<html>")
    with pytest.raises(PictureError, match="no known format"):
        Picture(tmp_path / "page.png").read()
    with pytest.raises(PictureError, match="cannot be read"):
        Picture(tmp_path / "gone.png").read()


def test_a_picture_that_cannot_be_read_is_told_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_drawn(tmp_path / "run", write_geneval(tmp_path / "data", PROMPTS))
    (run / "images" / "geneval" / "00001.png").write_bytes(b"torn")
    write(site(run), tmp_path / "site", Screen())
    assert capsys.readouterr().err.startswith(f"left out: {run}/images/geneval/00001.png is not a readable picture")
    assert len(list((tmp_path / "site").glob("pictures/*/*.webp"))) == 2


def test_a_training_shows_every_evaluated_step_and_its_log(tmp_path: Path) -> None:
    run = write_training(tmp_path / "t", "strategy: unified\n", 0.4, 0.5, 0.6, benchmarks=("geneval",))
    rows = [{"step": step, "gen/reward": float(step), "note": "x", "loss": None} for step in (*range(1, 1001), 1000)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 1001, "gen/rew')
    made = site(run)
    labels = [one["label"] for one in content(made, "index")["runs"]]
    assert labels == ["my-model, step 0", *(f"my-model + dsr (simpo), unified, step {step}" for step in (10, 20))]
    found = content(made, "training-0")
    headline = next(one for one in found["scores"] if one["headline"])
    assert [point[:2] for point in headline["points"]] == [[0, 0.4], [10, 0.5], [20, 0.6]]
    assert list(found["logged"]) == ["gen/reward"]
    assert len(found["logged"]["gen/reward"]) == 334
    assert found["logged"]["gen/reward"][-1] == [1000, 1000.0]


def test_unfinished_and_missing_runs_are_told_with_the_command(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", summary("geneval"), finished=False)
    with pytest.raises(UserError, match="in progress or was interrupted"):
        read([run])
    with pytest.raises(UserError, match="does not exist; make it with: suder-bench run"):
        read([tmp_path / "nope"])


def test_a_comparison_alone_makes_no_tables_and_must_be_readable(tmp_path: Path) -> None:
    (tmp_path / "compare.json").write_text('{"schema": 2}')
    with pytest.raises(UserError, match="give a run for the tables too"):
        not_comparisons([tmp_path])
    with pytest.raises(UserError, match=r"compare\.json is not readable \(schema 2\); make it anew"):
        site(tmp_path)

"""Whatever is edited in a run folder, `verify` names the file; what nobody edited passes, wherever it lies."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import Drawing, FakeModel, flat, settings

from suder_bench.cli import main
from suder_bench.models.reference import ModelReference
from suder_bench.records import Sample
from suder_bench.runs import manifest, signed
from suder_bench.runs.encoding import text_digest
from suder_bench.runs.execute import Run
from suder_bench.runs.jsonl import read_object
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder

pytestmark = pytest.mark.usefixtures("fakes")

RIGHT = ModelReference("fake:right", "fake", "right")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return run(tmp_path / "r")


def run(out: Path, **changes: Any) -> Path:
    changed = changes.pop("settings", {})
    Run(out, RIGHT, settings(data=out.parent / "data", **changed), **changes).execute(Screen(io.StringIO()))
    return out


def verified(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The document, which is "ok" where the status is 0."""
    capsys.readouterr()
    status = main(["verify", *words, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert status == (0 if found["verdict"] == "ok" else 1)
    return found


def differing(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    """{file: the first that is said of it}"""
    found: dict[str, str] = {}
    for one in verified(capsys, *words)["differences"]:
        found.setdefault(one["file"], one["what"])
    return found


def as_before(folder: Path) -> Path:
    """As versions without a manifest left it."""
    (folder / "manifest.json").unlink()
    shutil.rmtree(folder / "commands")
    return folder


def edit(file: Path, change: Callable[[dict[str, Any]], Any], number: int = 1) -> None:
    """A line of JSON lines, or a JSON document."""
    if file.suffix == ".json":
        document = json.loads(file.read_text())
        change(document)
        file.write_text(json.dumps(document))
        return
    lines = file.read_text().splitlines()
    row = json.loads(lines[number - 1])
    change(row)
    lines[number - 1] = json.dumps(row)
    file.write_text("\n".join(lines) + "\n")


def resign(row: dict[str, Any]) -> None:
    row["checksum"] = signed.checksum(row)


def test_an_untouched_run_passes_also_moved_and_copied(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(made)]) == 0
    told = capsys.readouterr().out
    assert "32 responses" in told
    assert "24 pictures" in told
    assert told.endswith("ok: this is what the run left here\n")
    elsewhere = made.rename(made.parent / "elsewhere")
    copied = shutil.copytree(elsewhere, made.parent / "copied", copy_function=shutil.copyfile)
    for folder in (elsewhere, copied):
        assert verified(capsys, str(folder))["differences"] == []
    run(elsewhere)
    assert verified(capsys, str(elsewhere))["checked"]["files"] == 24 + 12 + 2 + 4 + 1 + 3


def test_each_file_of_a_run_is_missed_and_each_edit_is_named(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [*manifest.files(made), manifest.FILE]:
        file = made / name
        content = file.read_bytes()
        half = len(content) // 2
        file.write_bytes(content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :])
        assert name in differing(capsys, str(made)), f"one bit of {name}"
        file.unlink()
        found = verified(capsys, str(made))
        assert found["verdict"] != "ok", f"{name} is gone"
        assert name == manifest.FILE or name in {one["file"] for one in found["differences"]}
        file.write_bytes(content)
    assert verified(capsys, str(made))["verdict"] == "ok"


def test_checking_writes_nothing(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (made / ".lock").unlink(missing_ok=True)
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in made.rglob("*") if file.is_file()}
    assert verified(capsys, str(made), "--rejudge", "--redraw", "5")["verdict"] == "ok"
    assert before == {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in made.rglob("*") if file.is_file()}


def test_files_that_no_run_wrote_are_named(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["responses/drawing/1.jsonl", "images/drawing/000/samples/00002.png", "verdicts/other/0.jsonl"]
    for name in names:
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_text("")
    assert sorted(differing(capsys, str(made))) == sorted(names)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        (
            "summary.json",
            lambda s: s["benchmarks"]["drawing"]["metrics"]["overall"].update(value=0.81),
            "overall value is 0.81, not 1.0",
        ),
        ("summary.json", lambda s: s.update(model="gpt"), "model is gpt, not fake:right"),
        ("verdicts/drawing/0.jsonl", lambda v: v.update(correct=False), "line 1: it was changed after it was written"),
        ("responses/reading/0.jsonl", lambda r: r.update(text="7"), "the text of q0, repeat 0, is damaged"),
        ("responses/drawing/0.jsonl", lambda r: r.update(seed=1), "000, repeat 0 has the seed 1, and by run.json's seed it is "),
        ("responses/drawing/0.jsonl", lambda r: r.update(repeat=1), "000, repeat 1 has the seed "),
        (
            "run.json",
            lambda r: r["benchmarks"]["drawing"].update(data="0" * 16),
            "drawing was asked with data of the digest 0000",
        ),
        ("run.json", lambda r: r.update(limit="all"), "it is not readable"),
        ("speed.json", lambda s: s.update(respond=1), "it is not readable"),
    ],
)
def test_without_a_manifest_the_lines_tell_of_each_other(
    made: Path, capsys: pytest.CaptureFixture[str], name: str, change: Callable[[dict[str, Any]], Any], told: str
) -> None:
    as_before(made)
    found = verified(capsys, str(made))
    assert (found["verdict"], len(found["remarks"])) == ("ok", 1)
    edit(made / name, change)
    assert told in differing(capsys, str(made))[name]


def test_the_seed_of_run_json_is_held_against_the_responses(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(as_before(made) / "run.json", lambda recipe: recipe.update(seed=5))
    found = differing(capsys, str(made))
    assert "recipe seed is 0, not 5" in found["summary.json"]
    assert "by run.json's seed" in found["responses/drawing/0.jsonl"]


def test_another_picture_is_named_whatever_was_seen_of_it(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = "images/drawing/003/samples/00001.png"
    flat(99).save(made / picture)
    stand_in = RunFolder(made)
    [seen] = (made / "images/.seen/drawing").iterdir()
    before = seen.read_bytes()
    response = stand_in.responses("drawing", repair=False, pictures=False)["003", 1]
    stand_in._seen("drawing").note([response])  # as if it had been looked at, and found to be the one that was drawn
    assert seen.read_bytes() != before
    assert list(differing(capsys, str(made))) == [picture]


def test_a_run_that_fits_together_is_found_out_by_judging_and_drawing_again(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever writes the verdict, the summary and the manifest anew leaves nothing that disagrees."""
    edit(made / "verdicts/drawing/0.jsonl", lambda row: (row.update(correct=False, scores={"correct": 0.0}), resign(row)), 5)
    run(made, stage="score")
    assert verified(capsys, str(made))["verdict"] == "ok"
    found = verified(capsys, str(made), "--rejudge")
    assert found["rejudged"] == {"drawing": {"responses": 24, "same": 23}, "reading": {"responses": 8, "same": 8}}
    [difference] = found["differences"]
    assert difference["file"] == "verdicts/drawing"
    assert "002, repeat 0 is right (shade 40), and wrong (shade 40) in the run" in difference["what"]


def test_judging_anew_trusts_no_verdict_that_is_there(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (made / "summary.json").read_bytes()
    file = made / "verdicts/drawing/0.jsonl"
    edit(file, lambda row: (row.update(correct=False, scores={"correct": 0.0}), resign(row)), 5)
    assert main(["score", str(made)]) == 0
    assert (made / "summary.json").read_bytes() != whole, "a verdict with its checksum is trusted"
    edited = file.read_bytes()
    assert main(["score", str(made), "--rejudge", "--judge", "shade=missing"]) == 1
    assert main(["score", str(made), "--rejudge", "--judge", "shade=wrong"]) == 1
    assert "fails its known answers, nothing was scored" in capsys.readouterr().err
    assert file.read_bytes() == edited, "what cannot be judged now keeps its verdicts"
    asked = len((made / "verdicts/known_answers.jsonl").read_text().splitlines())
    assert main(["score", str(made), "--rejudge", "--judge", "shade=official"]) == 0
    assert json.loads((made / "summary.json").read_bytes())["benchmarks"] == json.loads(whole)["benchmarks"]
    assert len(file.read_text().splitlines()) == 24
    assert len((made / "verdicts/known_answers.jsonl").read_text().splitlines()) == asked + 1
    assert verified(capsys, str(made), "--rejudge")["verdict"] == "ok"
    assert main(["score", "--rejudge", "--benchmark", "drawing", "--images", str(made)]) == 2


def test_an_answer_with_its_digest_and_verdict_is_found_out_by_asking_again(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(made, fresh=True, settings={"judges": {"shade": "black"}})
    edit(made / "responses/reading/0.jsonl", lambda row: row.update(text="ten of ten", digest=text_digest("ten of ten")), 3)
    run(made, stage="score", settings={"judges": {"shade": "black"}})
    assert verified(capsys, str(made), "--rejudge")["verdict"] == "ok"
    found = verified(capsys, str(made), "--redraw", "32", "--seed", "3")
    assert found["redrawn"]["drawing"] == {"responses": 24, "same": 24}
    assert found["redrawn"]["reading"] == {"responses": 8, "same": 7, "equal_words": 0.0}
    [difference] = found["differences"]
    assert difference == {
        "file": "responses/reading",
        "what": "made again, q2, repeat 0 is another: 0.0% of its words are equal",
    }
    assert (
        found["seed"],
        verified(capsys, str(made), "--redraw", "4", "--rejudge", "0.25")["rejudged"]["reading"]["responses"],
    ) == (3, 2)


def test_another_model_is_named_and_how_near_it_draws(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = verified(capsys, str(made), "--redraw", "100", "--model", "fake:wrong")
    assert {one["file"] for one in found["differences"]} == {"run.json", "responses/drawing", "responses/reading"}
    assert "its model has the fingerprint fake right, and 'fake:wrong' here has fake wrong" in found["differences"][0]["what"]
    drawing = found["redrawn"]["drawing"]
    assert (drawing["responses"], drawing["same"]) == (24, 0)
    assert drawing["equal_pixels"] == pytest.approx(1 / 16)  # the one that tells the seed
    assert drawing["difference"] == pytest.approx(15 / 16 * sum(255 - 20 * i for i in range(12)) / 12)


def test_pictures_made_elsewhere_are_taken_again_also_from_a_copy(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"folder:{made}/images"
    wanted = settings("drawing", data=made.parent / "data")
    Run(made.parent / "f", ModelReference(name, "folder", f"{made}/images"), wanted).execute(Screen(io.StringIO()))
    shutil.copytree(made / "images", made.parent / "copy", copy_function=shutil.copyfile)
    given = [str(made.parent / "f"), "--redraw", "24", "--model", f"folder:{made.parent}/copy"]
    assert verified(capsys, *given)["redrawn"] == {"drawing": {"responses": 24, "same": 24}}
    flat(99).save(made.parent / "copy/drawing/000/samples/00001.png")
    [difference] = verified(capsys, *given)["differences"]
    assert "made again, 000, repeat 1 is another: 0.0% of its pixels are equal" in difference["what"]


def test_other_versions_are_told_as_why(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(made / "run.json", lambda recipe: recipe["versions"].update(torch="1.0"))
    found = verified(capsys, str(made), "--redraw", "24", "--model", "fake:wrong")
    assert any("(this is not what the run was made with: torch was 1.0 and is " in one["what"] for one in found["differences"])


def test_what_is_not_here_cannot_be_told(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (made.parent / "empty").mkdir()
    found = verified(capsys, str(made), "--data", str(made.parent / "empty"))
    assert (found["verdict"], found["differences"]) == ("cannot tell", [])
    assert found["untold"][0].startswith("drawing: its data are not here: no drawing/shades.txt in ")
    data = (made.parent / "data").rename(made.parent / "other")
    assert verified(capsys, str(made), "--data", str(data))["verdict"] == "ok"
    (data / "shades.txt").write_text("1 2 3")
    assert "run.json" in differing(capsys, str(made), "--data", str(data))


def test_an_unfinished_run_and_a_missing_judge_are_no_edits(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (made / "manifest.json").unlink()
    found = verified(capsys, str(made), "--rejudge", "--judge", "shade=missing")
    assert found["verdict"] == "cannot tell"
    assert "the last command did not come to its end" in found["untold"][0]
    assert "shade=missing has no weights" in found["untold"][1]
    assert found["rejudged"] == {"reading": {"responses": 8, "same": 8}}


class WithAnotherJudge(Drawing):
    """Some of its samples, none of which is here, need a judge that nobody has."""

    judge_roles = ("shade", "hue")

    def roles_of(self, sample: Sample) -> tuple[str, ...]:
        return ("shade",)

    def metrics_of(self, sample: Sample) -> tuple[str, ...]:
        return ("overall", sample.truth["category"])


def test_only_judges_that_the_samples_need_are_asked_again(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fakes.Drawing", WithAnotherJudge)
    found = verified(capsys, str(made), "--rejudge")
    assert (found["verdict"], found["untold"]) == ("ok", [])
    assert found["rejudged"]["drawing"] == {"responses": 24, "same": 24}


def test_mistakes_are_told_in_a_line(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["verify", str(made.parent)], "is not a run folder (no run.json)"),
        (["verify", str(made), "--rejudge", "2"], "'2' is not a share"),
        (["verify", str(made), "--model", "fake:wrong"], "--model is for --redraw"),
        (["verify", str(made), "--judge", "shade=nosuch"], "--judge is for --rejudge; leave it out, or give --rejudge"),
        (["verify", str(made), "--judge-dtype", "float32", "--redraw", "1"], "--judge-dtype is for --rejudge"),
        (["verify", str(made), "--seed", "7"], "--seed is for --rejudge and --redraw"),
    ):
        assert main(words) == 2
        assert message in capsys.readouterr().err


def test_a_run_folder_chooses_no_model_that_is_elsewhere_or_brings_code(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("openai:m@http://127.0.0.1:9/v1", "vlm:some/model?trust_remote_code=true"):
        edit(made / "run.json", lambda recipe, name=name: recipe["model"].update(name=name))
        assert main(["verify", str(made), "--redraw", "1"]) == 2
        assert "if you trust it, name it yourself: --model" in capsys.readouterr().err


def test_the_manifest_is_withdrawn_before_anything_is_written(made: Path) -> None:
    broken = FakeModel(interrupt_after=0, fingerprint="fake right")
    with pytest.raises(KeyboardInterrupt):
        Run(made, RIGHT, settings(data=made.parent / "data", repeats=3)).execute(Screen(io.StringIO()), lambda: broken)
    assert not (made / "manifest.json").exists()
    assert read_object((run(made) / "manifest.json").read_bytes())["schema"] == 1

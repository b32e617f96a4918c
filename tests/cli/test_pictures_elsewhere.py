"""Pictures made elsewhere, as `score --images`, `run --model folder:DIR` and a report take them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

from suder_bench import registry
from suder_bench.cli import main
from suder_bench.data.source import write_world
from suder_bench.models.protocols import Model
from suder_bench.records import open_image
from suder_bench.world.language import FAMILIES, draw_text
from suder_bench.world.render import picture
from suder_bench.world.scenes import draw

PROMPTS, EACH = 6, 4


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six prompts of the world's GenEval."""
    write_world(tmp_path / "data", size="quick", benchmarks=["geneval"])
    file = tmp_path / "data/geneval/evaluation_metadata.jsonl"
    file.write_text("\n".join(file.read_text().splitlines()[:PROMPTS]))
    return tmp_path / "data"


@pytest.fixture
def made(tmp_path: Path, data: Path) -> Path:
    """24 pictures with their sidecars."""
    records = (data / "geneval/evaluation_metadata.jsonl").read_text().splitlines()
    for number, record in enumerate(records):
        folder = tmp_path / f"made/{number:05d}"
        (folder / "samples").mkdir(parents=True)
        (folder / "metadata.jsonl").write_text(record)
        for repeat in range(EACH):
            Image.new("RGB", (64, 64), (40 * number, 60 * repeat, 99)).save(folder / f"samples/{repeat:05d}.png")
    return tmp_path / "made"


def score(made: Path, data: Path, *options: str) -> int:
    return main(["score", "--benchmark", "geneval", "--images", str(made), "--data", str(data), *options])


def run(made: Path, data: Path, out: Path, *options: str) -> int:
    wanted = ["run", "--model", f"folder:{made}", "--benchmark", "geneval", "--data", str(data), "--device", "cpu"]
    return main([*wanted, "--out", str(out), *options])


def entry(shown: str) -> dict[str, Any]:
    document = json.loads(shown)
    jsonschema.validate(document, json.loads(files("suder_bench.runs").joinpath("summary.schema.json").read_text()))
    return dict(document["benchmarks"]["geneval"])


def rewrite(made: Path, *numbers: int) -> None:
    for number in numbers:
        sidecar = made / f"{number:05d}/metadata.jsonl"
        record = json.loads(sidecar.read_text())
        sidecar.write_text(json.dumps(record | {"prompt": f"A cinematic view, number {number}"}))


def test_each_picture_with_another_ending_is_named(made: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = [made / f"{number:05d}/samples/00002.png" for number in range(PROMPTS)]
    for file in moved:
        file.rename(file.with_suffix(".webp"))
    assert score(made, data, "--json") == 0
    shown = capsys.readouterr()
    found = entry(shown.out)
    assert (found["n_responses"], found["skipped"], found["failed"]) == (18, 6, 0)
    assert [line for line in shown.err.splitlines() if line.startswith("skipped: geneval: ")] == [
        f"skipped: geneval: {file.with_suffix('.webp')} of {file.parts[-3]} is not read: its name is not <number>.png"
        for file in moved
    ]
    assert run(made, data, made.parent / "run", "--json") == 1
    shown = capsys.readouterr()
    found = entry(shown.out)
    assert (found["n_responses"], found["skipped"], found["failed"]) == (18, 0, 6)
    for file in moved:
        assert f"{file.with_suffix('.webp')} of {file.parts[-3]} is not read" in shown.err


def test_a_folder_of_other_endings_alone_says_so(made: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in made.glob("*/samples/*.png"):
        file.rename(file.with_suffix(".jpg"))
    for command in (lambda: score(made, data), lambda: run(made, data, made.parent / "run")):
        assert command() == 2
        told = capsys.readouterr().err
        assert "none of the 24 pictures in" in told
        assert "00000.jpg; GenEval's script reads no others, so save them as PNG" in told
        assert "Traceback" not in told
    assert not (made.parent / "run").exists()


def test_the_folder_of_several_benchmarks_will_do_as_well(made: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score(made, data, "--json") == 0
    alone = entry(capsys.readouterr().out)
    made.rename(made.parent / "geneval")
    assert score(made.parent, data, "--json") == 0
    assert entry(capsys.readouterr().out) == alone


def test_rewritten_prompts_are_scored_and_marked_everywhere(made: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score(made, data, "--json") == 0
    plain = entry(capsys.readouterr().out)
    assert "deviations" not in plain
    rewrite(made, 2, 4)
    assert score(made, data, "--json") == 0
    shown = capsys.readouterr()
    marked = entry(shown.out)
    assert marked["metrics"] == plain["metrics"]
    (mark,) = marked["deviations"]
    assert mark.startswith("2 prompts rewritten before drawing (rewriting ")
    assert "geneval: 2 prompts rewritten before drawing, the first from 'a photo of" in shown.err
    assert "to 'A cinematic view, number 2'" in shown.err
    assert score(made, data) == 0
    shown_words = " ".join(capsys.readouterr().out.split())
    assert f"marked geneval: {mark}; not comparable with published numbers" in shown_words


def test_a_run_of_rewritten_pictures_keeps_the_mark(made: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(made, 1)
    out = made.parent / "run"
    assert run(made, data, out, "--json") == 0
    shown = capsys.readouterr()
    first = entry(shown.out)
    assert first["deviations"][0].startswith("1 prompt rewritten")
    assert "to 'A cinematic view, number 1'" in shown.err
    assert run(made, data, out, "--json") == 0
    assert entry(capsys.readouterr().out) == first
    assert main(["score", str(out), "--json"]) == 0
    assert entry(capsys.readouterr().out) == first
    assert score(out / "images/geneval", data, "--json") == 0
    assert entry(capsys.readouterr().out) == first
    assert main(["report", str(out), "--out", str(made.parent / "report"), "--no-site"]) == 0
    assert "1 prompt rewritten before drawing" in (made.parent / "report/tables/table-2-world.md").read_text()


def test_a_comparison_of_runs_tells_which_is_of_rewritten_prompts(
    made: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = made.parent / "one", made.parent / "other"
    assert run(made, data, one) == 0
    rewrite(made, 0)
    assert run(made, data, other) == 0
    capsys.readouterr()
    assert main(["compare", str(one), str(other), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "deviations" not in found["a"]
    assert found["b"]["deviations"][0].startswith("geneval: 1 prompt rewritten before drawing")
    assert main(["compare", str(one), str(other)]) == 0
    shown = capsys.readouterr().out
    assert "B  marked: geneval: 1 prompt rewritten before drawing" in shown


FORMS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "LA": lambda grey: Image.merge("LA", (grey, grey.point(lambda shade: 255 - shade))),
    "I;16": lambda grey: Image.fromarray(np.asarray(grey).astype(np.uint16) * 257),
    "P": lambda grey: indexed(grey),
    "RGBA": lambda grey: Image.merge("RGBA", (grey, grey, grey, grey.point(lambda shade: 255 - shade))),
}


def indexed(grey: Image.Image) -> Image.Image:
    """The same shades under other numbers, all of them transparent."""
    turned = Image.fromarray(255 - np.asarray(grey))
    turned.putpalette(bytes(255 - shade for shade in range(256) for _ in range(3)))
    turned.info["transparency"] = bytes(256)
    return turned


@pytest.mark.parametrize("form", FORMS)
def test_a_pictures_form_changes_no_verdict(form: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Grey scenes of the world, as they are and in another mode: 16-bit ones used to be white, and scored nothing."""
    rng, records = np.random.default_rng(4), (data / "geneval/evaluation_metadata.jsonl").read_text().splitlines()
    drawn = [picture(draw(draw_text(next(iter(FAMILIES)), rng, "train")[0], rng)).convert("L") for _ in range(2 * len(records))]
    scores = []
    for folder, turn in (("plain", lambda grey: grey), ("other", FORMS[form])):
        for number, grey in enumerate(drawn):
            place = tmp_path / folder / f"{number // 2:05d}/samples/{number % 2:05d}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            turn(grey).save(place)
            assert folder == "plain" or Image.open(place).mode == form
        assert score(tmp_path / folder, data, "--json", "--out", str(tmp_path / f"{folder}.json")) == 0
        scores.append(entry(capsys.readouterr().out))
    assert scores[0] == scores[1]
    seen = [open_image(tmp_path / folder / "00001/samples/00001.png") for folder in ("plain", "other")]
    np.testing.assert_array_equal(*map(np.asarray, seen))


class Level:
    """Likes bright pictures."""

    name = "level"

    @classmethod
    def load(cls, model: Model) -> Level:
        return cls()

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        return [float(np.asarray(picture).mean()) for picture in pictures]


def test_a_comparison_of_rewards_tells_the_same_of_the_pictures(
    made: Path, data: Path, fakes: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(made, 3)
    (made / "00005/samples/00003.png").rename(made / "00005/samples/00003.webp")
    table = {**registry.TABLE, "rewards": {"level": f"{__name__}:Level"}}
    monkeypatch.setattr(registry, "TABLE", table)
    registry.table.cache_clear()
    out = made.parent / "compared"
    wanted = ["reward", "compare", "--model", "fake:right", "--rewards", "level", "--images", str(made), "--data", str(data)]
    main([*wanted, "--captions", "0", "--device", "cpu", "--out", str(out), "--json"])
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert (found["pictures"]["prompts"], found["pictures"]["skipped"]) == (5, 1)
    assert found["deviations"][0].startswith("1 prompt rewritten before drawing")
    assert "- marked: 1 prompt rewritten before drawing" in (out / "compare.md").read_text()
    assert "to 'A cinematic view, number 3'" in shown.err
    assert "00003.webp of 00005 is not read: its name is not <number>.png" in shown.err

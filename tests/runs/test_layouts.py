"""`run` writes the official layouts: what the official scripts read, and what `score` reads back with the same verdicts."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damaged import bomb, cmyk, truncated
from PIL import Image

from suder_bench.cli import main
from suder_bench.data.source import Source, write_world
from suder_bench.evaluators.t2i_compbench import CATEGORIES, T2ICompBench
from suder_bench.models.protocols import GeneratedImage, ImageSampling
from suder_bench.models.reference import ModelReference
from suder_bench.runs import elsewhere
from suder_bench.runs.elsewhere import Elsewhere
from suder_bench.runs.execute import Run
from suder_bench.runs.plan import Settings
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder
from suder_bench.world.language import FAMILIES, draw_text
from suder_bench.world.render import picture
from suder_bench.world.scenes import draw


class Painter:
    """Draws scenes of the world, whatever it is asked for."""

    name = "painter"
    fingerprint = "painter 1"

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> list[GeneratedImage]:
        return [GeneratedImage(self.paint(seed)) for seed in seeds]

    def paint(self, seed: int) -> Image.Image:
        rng = np.random.default_rng(seed)
        description, _ = draw_text(list(FAMILIES)[seed % len(FAMILIES)], rng, "train")
        return picture(draw(description, rng))


def run(out: Path, benchmark: str, data: Path, **settings: Any) -> Run:
    wanted = Settings(benchmark, (benchmark,), Source("folder", path=data), **settings)
    return Run(out, ModelReference("painter", "painter", "painter"), wanted)


@pytest.mark.parametrize(("benchmark", "repeats"), [("geneval", 4), ("t2i-compbench", 2)])
def test_a_written_run_read_back_gets_the_same_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark: str, repeats: int
) -> None:
    write_world(tmp_path / "data", size="quick", benchmarks=[benchmark])
    outcome = run(tmp_path / "r", benchmark, tmp_path / "data", limit=8, repeats=repeats).execute(Screen(io.StringIO()), Painter)
    assert outcome.complete
    entry = outcome.summary["benchmarks"][benchmark]
    folder, keys = RunFolder(tmp_path / "r"), {row["judges"] for row in verdict_rows(tmp_path / "r", benchmark)}
    written = folder.verdicts(benchmark, keys, repair=False)
    assert len(written) == 8 * repeats
    seen: list[Any] = []
    summarise = elsewhere.summarise
    monkeypatch.setattr(elsewhere, "summarise", lambda *given: seen.extend(given[1]) or summarise(*given))
    source = Source("folder", path=tmp_path / "data")
    again = Elsewhere(benchmark, tmp_path / "r/images" / benchmark, source).score(Screen(io.StringIO()))
    assert {(v.sample, v.repeat, v.digest): v for _, v in seen[0].rows} == written
    assert again.summary["benchmarks"][benchmark]["metrics"] == entry["metrics"]


def verdict_rows(out: Path, benchmark: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "verdicts" / benchmark / "0.jsonl").read_text().splitlines()]


def test_geneval_has_numbered_folders_with_the_records_of_the_data(tmp_path: Path) -> None:
    write_world(tmp_path / "data", size="quick", benchmarks=["geneval"])
    run(tmp_path / "r", "geneval", tmp_path / "data", limit=4).execute(Screen(io.StringIO()), Painter)
    records = (tmp_path / "data/geneval/evaluation_metadata.jsonl").read_text().splitlines()
    folders = sorted((tmp_path / "r/images/geneval").iterdir())
    assert len(folders) == 4
    for folder in folders:
        assert re.fullmatch(r"\d{5}", folder.name)
        assert json.loads((folder / "metadata.jsonl").read_text()) == json.loads(records[int(folder.name)])
        assert sorted(file.name for file in (folder / "samples").iterdir()) == [f"{number:05d}.png" for number in range(4)]
        with Image.open(folder / "samples/00003.png") as opened:
            assert (opened.format, opened.mode) == ("PNG", "RGB")


def test_t2i_compbench_has_the_prompt_and_a_running_number_in_every_name(tmp_path: Path) -> None:
    write_world(tmp_path / "data", size="quick", benchmarks=["t2i-compbench"])
    colors = tmp_path / "data/t2i_compbench/color_val.txt"
    awkward = ["a red/blue ball_box.", "a ünicorn and " * 30, f"{'a ünicorn and ' * 30} more"]
    colors.write_text("\n".join([*awkward, *colors.read_text().splitlines()[3:]]))
    one = run(tmp_path / "r", "t2i-compbench", tmp_path / "data", repeats=2)
    Run(one.out, one.model, one.settings, stage="respond").execute(Screen(io.StringIO()), Painter)
    benchmark, images = T2ICompBench(tmp_path / "data"), tmp_path / "r/images/t2i-compbench"
    assert sorted(folder.name for folder in images.iterdir() if folder.name[0] != ".") == sorted(CATEGORIES)
    prompts = (tmp_path / "data/t2i_compbench/spatial_val.txt").read_text().splitlines()
    wanted = {f"{prompt}_{10 * index + repeat:06d}.png" for index, prompt in enumerate(prompts) for repeat in range(2)}
    assert {file.name for file in (images / "spatial/samples").iterdir()} == wanted
    found = [(sample.id, repeat) for sample, repeat, _ in benchmark.find_images(images)]
    assert found == [(sample.id, repeat) for sample in benchmark.samples() for repeat in range(2)]


def test_every_bad_picture_is_one_line_and_the_others_keep_their_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """GenEval: truncated, bomb, CMYK, missing, and one of no prompt, together."""
    write_world(tmp_path / "data", size="quick", benchmarks=["geneval"])
    run(tmp_path / "r", "geneval", tmp_path / "data", limit=4).execute(Screen(io.StringIO()), Painter)
    made = tmp_path / "r/images/geneval"
    one, two, three, four = sorted(folder for folder in made.iterdir() if folder.name.isdigit())
    truncated(one / "samples/00001.png")
    bomb(two / "samples/00000.png")
    cmyk(three / "samples/00003.png")
    (four / "samples/00002.png").unlink()
    (made / "90000/samples").mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(made / "90000/samples/00000.png")
    assert main(["score", "--benchmark", "geneval", "--images", str(made), "--data", str(tmp_path / "data"), "--json"]) == 0
    shown = capsys.readouterr()
    entry = json.loads(shown.out)["benchmarks"]["geneval"]
    absent = entry["n_samples"] - 4
    assert (entry["n_responses"], entry["failed"], entry["skipped"]) == (4 * 4 - 4, 0, 4 * absent + 5)
    for bad in (one / "samples/00001.png", two / "samples/00000.png", three / "samples/00003.png", four / "samples/00002.png"):
        assert shown.err.count(str(bad)) == 1
    assert shown.err.count(str(made / "90000/samples/00000.png")) == 1
    assert len(shown.err.splitlines()) == 5 + 1


def test_nine_pictures_of_a_t2i_compbench_prompt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One is missing in a category scored picture by picture; in complex, which is scored in blocks, that is refused."""
    write_world(tmp_path / "data", size="quick", benchmarks=["t2i-compbench"])
    benchmark = T2ICompBench(tmp_path / "data")
    names = [
        benchmark.image_path(sample, repeat)
        for sample in benchmark.samples()
        if sample.id in ("color/0000", "color/0001", "complex/0000", "complex/0001")
        for repeat in range(10)
    ]
    for number, name in enumerate(names):
        (tmp_path / "made" / name).parent.mkdir(parents=True, exist_ok=True)
        Painter().paint(number).save(tmp_path / "made" / name)
    score = ["score", "--benchmark", "t2i-compbench", "--images", str(tmp_path / "made"), "--data", str(tmp_path / "data")]
    (tmp_path / "made" / names[4]).unlink()
    assert main([*score, "--json"]) == 0
    shown = capsys.readouterr()
    entry = json.loads(shown.out)["benchmarks"]["t2i-compbench"]
    assert (entry["n_responses"], entry["failed"], entry["skipped"]) == (39, 0, 10 * (entry["n_samples"] - 4) + 1)
    assert f"skipped: t2i-compbench: {tmp_path / 'made' / names[4]} is missing (9 of 10 pictures of color/0000)" in shown.err
    (tmp_path / "made" / names[24]).unlink()
    assert main(score) == 2
    told = capsys.readouterr().err
    assert f"{tmp_path / 'made' / names[24]} is missing; make them equally many (10)" in told
    assert len(told.splitlines()) == 1

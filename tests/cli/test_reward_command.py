"""`suder-bench reward compare` as a user meets it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from fakes import FakeModel, flat
from PIL import Image

from suder_bench import registry
from suder_bench.cli import main
from suder_bench.models.protocols import GeneratedImage, ImageSampling, Model, TextSampling
from suder_bench.rewards import kept
from suder_bench.rewards.regions import Region


class Shade:
    """Likes dark pictures, and long captions."""

    name = "dark"

    @classmethod
    def load(cls, model: Model) -> Self:
        return cls()

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        return [-float(np.asarray(picture)[0, 0, 0]) for picture in pictures]

    def score_captions(self, pictures: Sequence[Image.Image], captions: Sequence[str]) -> list[float]:
        return [float(len(caption)) for caption in captions]


class Bright(Shade):
    name = "bright"

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        return [-score for score in super().score_images(prompts, pictures)]


class Halves(Shade):
    """Knows that the left half of every picture is good, the right half bad, and nothing of a black one."""

    name = "halves"

    def regions(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[list[Region] | None]:
        sides = [one.size for one in pictures]
        found = [[Region((0, 0, w // 2, h), 1.0), Region((w // 2, 0, w, h), -1.0)] for w, h in sides]
        return [own if one.getbbox() else None for own, one in zip(found, pictures, strict=True)]


class Nothing(Shade):
    name = "nothing"

    def score_images(self, prompts: Sequence[str], pictures: Sequence[Image.Image]) -> list[float]:
        return [float("nan")] * len(pictures)


class Chancy(FakeModel):
    """Right with an even seed, else too bright; a model of the world that captions by its seed."""

    world = True

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> list[GeneratedImage]:
        self._meet(prompts)
        wanted = [int(prompt.split()[-1]) for prompt in prompts]
        return [GeneratedImage(flat(shade if seed % 2 == 0 else 255, seed)) for shade, seed in zip(wanted, seeds, strict=True)]

    def answer(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        seeds: Sequence[int],
        sampling: TextSampling,
    ) -> list[str]:
        self._meet(questions)
        return ["a ball" if seed % 2 else "a red ball and a star" for seed in seeds]


class Blind:
    """A model that only reads."""

    name, fingerprint = "blind", "1"
    settings: dict[str, str] = {}  # noqa: RUF012


@pytest.fixture
def model(tmp_path: Path, fakes: None, monkeypatch: pytest.MonkeyPatch) -> Chancy:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    kinds = {"dark": Shade, "bright": Bright, "halves": Halves, "nothing": Nothing}
    rewards = {name: f"{__name__}:{kind.__name__}" for name, kind in kinds.items()}
    table = {**registry.TABLE, "rewards": {**registry.TABLE["rewards"], **rewards}}
    monkeypatch.setattr(registry, "TABLE", table)
    registry.table.cache_clear()
    made = Chancy(name="fake:chancy")
    monkeypatch.setattr("fakes.FakeModel.load", classmethod(lambda cls, reference, **_: made))
    return made


def compare(*arguments: str, rewards: str = "dark,bright") -> int:
    chosen = ["--rewards", rewards, "--prompts", "drawing", "--data", "data", "--device", "cpu", "--out", "o"]
    return main(["reward", "compare", "--model", "fake:chancy", *chosen, "--samples", "2", *arguments])


def test_a_reward_that_knows_and_one_that_knows_the_opposite(model: Chancy, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("--samples", "6", "--captions", "3", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(Path("o/compare.json").read_text())
    pictures, captions = found["pictures"], found["captions"]
    assert (pictures["prompts"], pictures["samples"], pictures["skipped"]) == (12, 6, 0)
    assert pictures["rewards"]["dark"]["auc"]["value"] == 1
    assert pictures["rewards"]["bright"]["auc"]["value"] == 0
    assert pictures["rewards"]["dark"]["best"] == pictures["oracle"]
    assert pictures["correlations"][0]["value"] == -1
    assert pictures["rewards"]["dark"]["milliseconds"] >= 0
    assert (captions["prompts"], captions["samples"]) == (3, 6)
    assert captions["rewards"]["dark"]["length"]["value"] == 1
    assert pictures["rewards"]["dark"]["megabytes"] is None or pictures["rewards"]["dark"]["megabytes"] >= 0
    for picture in ("compare.png", "disagreements.png"):
        with Image.open(Path("o") / picture) as opened:
            assert opened.width > 400
    assert "(compare.png)" in Path("o/compare.md").read_text()


def test_workers_draw_the_same_pictures(
    model: Chancy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = {**registry.TABLE["models"], "fake": f"{__name__}:Chancy"}
    monkeypatch.setattr(registry, "TABLE", {**registry.TABLE, "models": models})
    registry.table.cache_clear()
    monkeypatch.setattr("fakes.FakeModel.load", classmethod(lambda cls, reference, **_: Chancy(name="fake:chancy")))
    monkeypatch.setattr(Chancy, "fingerprint", "fake chancy", raising=False)
    files = []
    for out, more in (("o", ()), ("p", ("--workers", "2"))):
        assert compare("--samples", "3", "--captions", "0", *more, "--out", out) == 0
        files.append({file.relative_to(out): file.read_bytes() for file in Path(out).rglob("*.png")})
    assert files[0] == files[1]
    assert len(files[0]) >= 36
    assert "workers" in json.loads(Path("p/samples/run.json").read_text())
    assert compare("--workers", "2", "--images", "none") == 2
    assert "--workers draw a benchmark's pictures" in capsys.readouterr().err


def test_the_same_command_again_draws_nothing_and_prints_the_table(model: Chancy, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("--samples", "2", "--captions", "2", "--limit", "4") == 0
    shown = capsys.readouterr()
    assert "dark - bright, best of 2: +" in shown.out
    assert max(map(len, shown.out.splitlines()[:8])) <= 80
    asked = len(model.batches)
    assert compare("--samples", "2", "--captions", "2", "--limit", "4") == 0
    again = capsys.readouterr()
    untimed = [re.sub(r"\s*[\d.]+ ms", " ms", text) for text in (again.out, shown.out)]  # what a reward costs is measured anew
    assert untimed[0] == untimed[1]
    assert "resuming: 8 of 8 done" in again.err
    assert len(model.batches) == asked
    assert compare("--samples", "2", "--captions", "0", "--limit", "4", "--seed", "1") == 2
    assert "was made with seed 0, not 1" in capsys.readouterr().err
    assert compare("--samples", "2", "--captions", "0", "--limit", "4", "--seed", "1", "--fresh") == 0


def test_where_pictures_are_credited_stands_in_the_gallery_and_is_kept(model: Chancy) -> None:
    heights = {}
    for out, rewards in (("plain", "dark,bright"), ("o", "halves,bright")):
        assert compare("--samples", "4", "--captions", "0", "--out", out, rewards=rewards) == 0
        with Image.open(f"{out}/disagreements.png") as sheet:
            heights[out] = sheet.height
    assert heights["o"] > 1.4 * heights["plain"]
    rows = kept.read(Path("o"))
    assert [len(row.regions["halves"]) for row in rows] == [4] * 12
    assert rows[0].regions["halves"][0] in ([Region((0, 0, 2, 4), 1.0), Region((2, 0, 4, 4), -1.0)], None)
    assert kept.read(Path("plain"))[0].regions == {}


def test_scores_in_words_that_cannot_be_read_are_told(model: Chancy, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        compare("--limit", "3", "--captions", "0", "--set", "srum.score=text", "--set", "srum.cells=2", rewards="dark,srum") == 0
    )
    shown = " ".join(capsys.readouterr().out.split())
    assert "srum: 30 of 30 scores not read, 0 outside [-1, 1]" in shown
    assert "srum judges with scalar=product, score=text, boxes=grid, cells=2, most=10" in shown
    found = json.loads(Path("o/compare.json").read_text())
    assert found["failures"] == {"srum": {"scores": 30, "unread": 30, "outside": 0}}
    assert found["srum"]["score"] == "text"
    assert {regions for row in kept.read(Path("o")) for regions in row.regions["srum"]} == {None}


@pytest.mark.parametrize(
    ("arguments", "rewards", "says"),
    [
        ([], "drak", "unknown reward 'drak'; did you mean 'dark'?"),
        ([], "", "unknown reward ''"),
        ([], "nothing", "reward 'nothing' gives no number for some of the pictures"),
        ([], "dsr", "reward 'dsr' needs a model that scores texts and pictures"),
        (["--samples", "1"], "dark", "--samples 1 leaves nothing to choose from"),
        (["--prompts", "reading"], "dark", "unknown generation benchmark 'reading'"),
        (["--prompts", "no.txt"], "dark", "prompt file no.txt does not exist"),
        (
            [],
            "evaluator:geneval",
            "reward 'evaluator:geneval' judges only its own prompts, not drawing's; give --prompts geneval",
        ),
        ([], "evaluator:drawin", "unknown reward 'evaluator:drawin'; did you mean 'evaluator:drawing'?"),
        (["--set", "seed=1"], "dark", "--set seed=1: only srum.KEY=VALUE can be set here"),
        (["--set", "srum.cells=0"], "dark", "--set srum.cells=0: it must be above 0"),
        (["--set", "srum.alpha=1"], "dark", "unknown key 'srum.alpha'"),
        (["--set", "srum.boxes=gird"], "srum", "unknown source of boxes 'gird'; did you mean 'grid'?"),
        ([], "srum", "reward 'srum' needs a model that tells how likely its answers are"),
        (["--run", "none"], "dark", "leave out --images and --samples"),
        (["--captions", "none.jsonl", "--limit", "2"], "dark", "--captions 'none.jsonl' is neither a number"),
        (["--images", "none"], "dark", "model 'folder:none': no such folder"),
    ],
)
def test_mistakes_in_one_line(
    model: Chancy, capsys: pytest.CaptureFixture[str], arguments: list[str], rewards: str, says: str
) -> None:
    assert compare(*arguments, rewards=rewards) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert len(shown.err.splitlines()) == 1


def test_prompts_of_ones_own_have_no_verdict(model: Chancy, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.txt").write_text("shade 3\nshade 9\nshade 3\n")
    arguments = ["--prompts", "mine.txt", "--samples", "4", "--captions", "0"]
    assert compare(*arguments, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    pictures = found["pictures"]
    assert (found["benchmark"], found["prompts"]) == (None, "mine.txt")
    assert (pictures["prompts"], pictures["samples"], pictures["mean"], pictures["curves"]) == (2, 4, None, {})
    assert pictures["correlations"][0]["value"] == -1
    assert pictures["rewards"]["dark"]["auc"] is None
    assert not Path("o/disagreements.png").exists()
    page = Path("o/compare.md").read_text()
    assert "no verdicts here" in page
    assert "AUC |" not in page
    asked = len(model.batches)
    assert compare(*arguments) == 0
    shown = capsys.readouterr()
    assert "resuming: 8 of 8 done" in shown.err
    assert "dark and bright: tau -1.000" in shown.out
    assert "ms" in shown.out
    assert len(model.batches) == asked
    assert compare(*arguments, rewards="dark,evaluator:drawing") == 2
    assert "'evaluator:drawing' does not know the prompt 'shade 3'" in capsys.readouterr().err


def test_a_benchmarks_verdict_is_its_own_oracle(model: Chancy, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("--samples", "4", "--captions", "0", "--json", rewards="evaluator:drawing,dark") == 0
    pictures = json.loads(capsys.readouterr().out)["pictures"]
    verdict = pictures["rewards"]["evaluator:drawing"]
    assert (verdict["best"], verdict["auc"]["value"]) == (pictures["oracle"], 1)
    assert "evaluator:drawing is the verdict itself" in Path("o/compare.md").read_text()


def test_the_pictures_of_a_run_and_pictures_made_elsewhere(model: Chancy, capsys: pytest.CaptureFixture[str]) -> None:
    made = ["--benchmark", "drawing", "--data", "data", "--device", "cpu", "--repeats", "4", "--out", "r"]
    assert main(["run", "--model", "fake:chancy", *made]) == 0
    asked = len(model.batches)
    capsys.readouterr()
    alike = ["--rewards", "dark,bright", "--device", "cpu", "--captions", "0", "--json"]
    assert main(["reward", "compare", "--run", "r", "--out", "of-run", *alike]) == 0
    of_run = json.loads(capsys.readouterr().out)
    assert (of_run["model"], of_run["benchmark"], of_run["samples"]) == ("fake:chancy", "drawing", "r")
    assert (of_run["pictures"]["prompts"], of_run["pictures"]["samples"]) == (12, 4)
    assert of_run["pictures"]["rewards"]["dark"]["auc"]["value"] == 1
    assert main(["reward", "compare", "--run", "r", "--out", "of-few", "--limit", "3", *alike]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"]["prompts"] == 3
    assert len(model.batches) == asked
    assert compare("--images", "r/images", "--samples", "4", "--captions", "0", "--json") == 0
    elsewhere = json.loads(capsys.readouterr().out)
    assert elsewhere["images"] == "r/images"
    assert elsewhere["pictures"]["curves"] == of_run["pictures"]["curves"]
    assert len(model.batches) == asked


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--run", "none"], "'none' is not a run folder (no run.json)"),
        (["--run", "r", "--prompts", "geneval"], "r has no geneval pictures (it has: drawing)"),
        (["--run", "r", "--guidance", "3"], "--run has its own pictures, prompts and judges; leave out --guidance"),
        (["--run", "r", "--prompts", "mine.txt"], "leave out --prompts"),
        (["--run", "r"], "r has one drawing picture of a prompt, which leaves nothing to choose from"),
        ([], "whose rewards? give --model, or --run RUN"),
    ],
)
def test_runs_that_cannot_be_compared_on(
    model: Chancy, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    made = ["--benchmark", "drawing", "--data", "data", "--device", "cpu", "--repeats", "1", "--limit", "2", "--out", "r"]
    assert main(["run", "--model", "fake:chancy", *made]) == 0
    capsys.readouterr()
    assert main(["reward", "compare", "--rewards", "dark", "--device", "cpu", "--out", "o", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_captions_made_elsewhere(model: Chancy, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "b.png", "c.png"):
        flat(5, 0).save(name)
    written = [("a.png", "a ball"), ("a.png", "a big ball"), ("b.png", "x"), ("b.png", "a star"), ("c.png", "one alone")]
    rows = [json.dumps({"image": image, "caption": caption}) for image, caption in written]
    Path("said.jsonl").write_text("\n".join(rows))
    assert compare("--captions", "said.jsonl", "--limit", "2", "--json") == 0
    captions = json.loads(capsys.readouterr().out)["captions"]
    assert (captions["prompts"], captions["samples"], captions["skipped"], captions["mean"]) == (2, 2, 1, None)
    assert captions["correlations"][0]["value"] == 1
    assert captions["rewards"]["dark"]["length"]["value"] == 1
    Path("said.jsonl").write_text('{"image": "a.png"}')
    assert compare("--captions", "said.jsonl", "--limit", "2") == 2
    assert "said.jsonl:1: not a caption" in capsys.readouterr().err
    Path("said.jsonl").write_text(rows[0])
    assert compare("--captions", "said.jsonl", "--limit", "2") == 2
    assert "said.jsonl has no picture with two captions" in capsys.readouterr().err


def test_a_model_that_cannot_draw_and_a_command_there_is_not(
    model: Chancy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(cls: type, reference: str, **_: Any) -> Blind:
        return Blind()

    monkeypatch.setattr("fakes.FakeModel.load", classmethod(load))
    assert compare() == 2
    assert "model 'blind' draws no pictures" in capsys.readouterr().err
    assert main(["reward", "comprae"]) == 2
    assert "unknown reward command 'comprae'; did you mean 'compare'?" in capsys.readouterr().err

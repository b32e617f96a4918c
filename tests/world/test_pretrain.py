"""The pretraining script: its lessons, and that a killed training goes on to the same weights."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from suder_bench import registry
from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.models.reference import choose
from suder_bench.world import tasks
from suder_bench.world.language import SMALL_FAMILIES, draw_text, split_of
from suder_bench.world.perception import perceive
from suder_bench.world.pretrain import curriculum, janus, measure, muon, training, vq
from suder_bench.world.pretrain.__main__ import main
from suder_bench.world.pretrain.architecture import SPECIAL, TOKENS, tokenizer
from suder_bench.world.pretrain.curriculum import Turn
from suder_bench.world.pretrain.dialogue import collate, dialogue
from suder_bench.world.pretrain.school import Drawing, Page, School
from suder_bench.world.reading import faithful
from suder_bench.world.render import render
from suder_bench.world.vocabulary import BACKGROUNDS

LESSONS = [curriculum.lesson(np.random.default_rng(i), easy=i < 20) for i in range(80)]

TEXTS = {
    family: {draw_text(family, np.random.default_rng(i), "train")[1] for i in range(2000)} for family in sorted(SMALL_FAMILIES)
}


@pytest.mark.parametrize("made", LESSONS, ids=lambda made: made.text)
def test_lessons_are_true_and_not_taken_from_test_files(made: curriculum.Lesson) -> None:
    assert faithful(made.text, made.scene)
    small = [family for family in SMALL_FAMILIES if made.text in TEXTS[family]]
    crowd = made.wrong == made.text
    assert small or crowd or split_of("any large family", made.text) == "train"


def test_looks_name_what_covers_a_patch() -> None:
    marked = set()
    for made in LESSONS:
        looks = curriculum.looks(made.scene, render(made.scene))
        assert looks.shape == (TOKENS, len(curriculum.LOOKS))
        assert (looks < list(curriculum.LOOKS.values())).all()
        assert ((looks[:, :6] == 0).any(1) == (looks[:, :6] == 0).all(1)).all()
        assert set(looks[:, 0]) - {0} <= {1 + curriculum.NOUNS.index(thing.noun) for thing in made.scene.things}
        relation = made.scene.relation.kind if made.scene.relation else None
        assert looks[:, 6].any() == (relation in ("holds", "points at"))
        marked.add(relation)
    assert marked >= {"holds", "points at"}


def test_spans_of_a_request_are_true_where_the_answer_says_so() -> None:
    rng = np.random.default_rng(0)
    kinds = set()
    for made in LESSONS:
        for _ in range(4):
            turn = curriculum.turn(made.scene, rng)
            kinds.add(len(turn.truths))
            if len(turn.truths) > 1:
                true = [turn.request[begin:end] for begin, end, right in turn.truths if right]
                assert [f"\n{turn.answer}. {option}" in turn.request for option in true] == [True]
                assert all(turn.request[begin:end].endswith("\n") for begin, end, _ in turn.truths)
            elif turn.truths:
                assert turn.truths == ((0, len(turn.request), turn.answer == "Yes"),)
    assert kinds == {0, 1, 2, 3, 4}


def test_captions_of_spoilt_pictures_say_what_is_seen() -> None:
    rng = np.random.default_rng(0)
    for made in LESSONS[:20]:
        percept = perceive(render(made.scene))
        assert faithful(curriculum.words_for(percept, rng), percept)
    blank = perceive(np.full((64, 64, 3), 140, np.uint8))
    assert curriculum.words_for(blank, rng).endswith("nothing")


def test_a_turn_sees_the_picture_and_itself_only() -> None:
    words = tokenizer(["Describe the image. a photo of a red ball. Is there a ball? Yes"] * 4)
    turns = [curriculum.caption("a ball"), Turn("Is there a ball?\nSay it.", "Yes", ((0, 16, True),))]
    layout = janus.Layout(words)
    made = dialogue(layout.prefix, [layout.turn(turn) for turn in turns])
    batch = collate([made], words.pad_token_id)
    segment, mask = np.array(made.segment), batch["mask"][0, 0].numpy()
    first, second = np.flatnonzero(segment == 1), np.flatnonzero(segment == 2)
    assert not mask[np.ix_(second, first)].any()
    assert mask[second[-1], segment == 0].all()
    assert made.position[second[0]] == made.position[first[0]] == (segment == 0).sum()
    placeholder = words.convert_tokens_to_ids(SPECIAL["image_token"])
    assert made.ids.count(placeholder) == TOKENS
    said = [i for i in made.labels if i != -100]
    assert words.decode(said, skip_special_tokens=True) == " a ball Yes"
    claimed = [i for i, true in zip(made.ids, made.truth, strict=True) if true == 1]
    assert words.decode(claimed) == "Is there a ball?"
    assert len(second) == layout.length(turns[1])


def test_easy_lessons_ask_what_there_is_and_in_which_colour() -> None:
    rng = np.random.default_rng(0)
    begins = ("Is there", "Is the", "Which", "What")
    said = [curriculum.turn(made.scene, rng, easy=True).request for made in LESSONS if made.easy for _ in range(5)]
    assert len(said) == 100
    assert all(request.startswith(begins) for request in said)
    assert not any(word in " ".join(said) for word in ("How many", "Where", "texture", "form", "touch"))


class Painted:
    """Codes that are the first byte of a patch."""

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        return vq.cells(pictures)[:, :, 0].astype(np.int64)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return np.repeat(np.repeat(codes.reshape(-1, 8, 8, 1), 8, 1), 8, 2).repeat(3, 3).astype(np.uint8)


def test_a_step_follows_from_its_number_and_fills_its_pages() -> None:
    def school() -> School:
        return School(Painted(), lambda turn: len(turn.request.split()), drawn=12, read=8, room=60)

    (drawings, pages), (again, same) = school().step(2000), school().step(2000)
    assert [d.text for d in drawings] == [d.text for d in again]
    assert all((a.picture == b.picture).all() and a.turns == b.turns for a, b in zip(pages, same, strict=True))
    assert len(drawings) == 12
    assert len(pages) == 8
    assert drawings[0].text not in [d.text for d in school().step(2001)[0]]
    for page in pages:
        assert sum(len(turn.request.split()) for turn in page.turns) <= 60
        assert (page.looks is None) == (len(page.turns) == 1)


def test_a_thing_begins_where_its_left_and_upper_neighbours_are_ground() -> None:
    ground = np.ones((8, 8), bool)
    ground[2:4, 3:6] = ground[5:, 0] = False
    assert np.argwhere(janus.begins(ground.reshape(1, 64)).reshape(8, 8)).tolist() == [[2, 3], [5, 0]]


def test_codes_are_the_nearest_of_the_commonest_patches() -> None:
    pictures = vq.pictures(40, (1,))
    means = vq.cluster(pictures, 256)
    patches = torch.from_numpy(vq.cells(pictures)).flatten(0, 1).float()
    named = vq.name(patches, means)
    assert torch.equal(named, torch.cdist(patches.double(), means.double()).argmin(1))
    assert len(named.unique()) == 256
    background = patches[0, :3]
    assert (means[named[0]].reshape(-1, 3) - background).abs().max() < 5, "bare ground is a code nearly of its own"


def test_ground_are_the_codes_that_bare_ground_is_named_by() -> None:
    means = vq.cluster(vq.pictures(40, (1,)), 256)
    bare = torch.tensor(BACKGROUNDS, dtype=torch.float32).repeat(1, 64)
    assert set(np.flatnonzero(vq.is_ground(means))) == set(vq.name(bare, means).tolist())


def test_mosaics_are_made_of_the_patches_asked_for() -> None:
    pictures = vq.pictures(3, (4,))
    places = np.random.default_rng(0).integers(3 * 64, size=(2, 64))
    made = vq.mosaics(pictures, places)
    assert (vq.cells(made) == vq.cells(pictures).reshape(-1, 192)[places]).all()


def test_patches_are_in_raster_order() -> None:
    picture = vq.pictures(1, (2,))
    patches = vq.cells(picture)
    assert patches.shape == (1, 64, 192)
    assert (patches[0, 11].reshape(8, 8, 3) == picture[0, 8:16, 24:32]).all()


SMALL = ["--vq-steps", "2", "--vq-pool", "256", "--steps", "4", "--drawn", "6", "--read", "4", "--samples", "2"]


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["janus", "showo"])
def test_training_makes_a_checkpoint_and_resumes(subject: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended after its second step, it goes on to the weights of a training that was not, up to the rounding of sums."""
    parts = tmp_path / "parts"
    threads = torch.get_num_threads()
    try:
        assert main([subject, "--out", str(tmp_path / "whole"), *SMALL]) == 0
        parts.mkdir()
        shutil.copy(tmp_path / "whole" / "vq.pt", parts)
        step, steps = School.step, []

        def interrupted(school: School, number: int) -> tuple[list[Drawing], list[Page]]:
            steps.append(number)
            if len(steps) == 3:  # while the second step is under way
                os.kill(os.getpid(), signal.SIGTERM)
            return step(school, number)

        monkeypatch.setattr(School, "step", interrupted)
        assert main([subject, "--out", str(parts), *SMALL]) == 3
        half = torch.load(parts / "model.pt", weights_only=True)
        assert half["step"] in (2, 3)
        assert main([subject, "--out", str(parts), *SMALL, "--export"]) == 0
        assert main([subject, "--out", str(parts), *SMALL, "--threads", "1"]) == 0
    finally:
        torch.set_num_threads(threads)
    whole, again = (torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "parts"))
    assert whole["step"] == again["step"] == 4
    torch.testing.assert_close(whole["model"], again["model"], atol=5e-5, rtol=0)
    moved = max(float((value - half["model"][name]).abs().max()) for name, value in again["model"].items())
    assert moved > 5e-4
    stages = [json.loads(line)["stage"] for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert (stages.count("stopped"), stages.count("exported")) == (1, 2)
    trained = choose(str(tmp_path / "parts" / f"tiny-{subject}")).load(device="cpu", dtype="auto")
    assert trained.world
    (drawn,) = trained.generate(["a photo of a ball"], seeds=[1], sampling=ImageSampling())
    assert drawn.picture.size == (64, 64)
    (said,) = trained.answer([[drawn.picture]], ["Describe the image."], seeds=[1], sampling=TextSampling(max_new_tokens=4))
    assert isinstance(said, str)


def test_muon_makes_the_singular_values_alike() -> None:
    rng = torch.Generator().manual_seed(0)
    for shape in ((3, 24, 64), (2, 64, 24), (2, 24, 24)):
        sizes = torch.linalg.svdvals(muon.orthogonal(torch.randn(shape, generator=rng)))
        assert sizes.min() > 0.2
        assert sizes.max() < 1.3


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has had Muon since 2.9")
def test_muon_moves_a_matrix_as_torch_does() -> None:
    """Torch's iterates in bfloat16, of which some hundredths are left."""
    torch.manual_seed(0)
    start, ends = torch.randn(24, 48), []
    for kind, others in ((muon.Muon, {}), (torch.optim.Muon, {"adjust_lr_fn": "match_rms_adamw"})):
        matrix = torch.nn.Parameter(start.clone())
        optimiser = kind([matrix], lr=0.01, weight_decay=0.05, **others)
        for i in range(3):
            matrix.grad = start.roll(i, 0)
            optimiser.step()
        ends.append(matrix.detach() - start)
    torch.testing.assert_close(ends[0], ends[1], atol=0.05 * float(ends[0].abs().max()), rtol=0)


def test_nothing_is_exported_before_it_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--export"])
    assert "holds no model.pt yet" in capsys.readouterr().err


def test_the_learning_rate_rises_stays_and_falls() -> None:
    plan = training.Plan(1000, peak=1.0)
    rates = [plan.learning_rate(step) for step in range(1000)]
    assert rates[:20] == sorted(rates[:20])
    assert set(rates[20:599]) == {1.0}
    assert rates[600:] == sorted(rates[600:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


def test_a_measurement_names_what_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert measure.main(["tiny-janus", "--quick", "--only", "llavabench"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == {"llavabench_all", "llavabench_conv", "llavabench_detail", "llavabench_complex"}
    assert 10 <= figures["llavabench_all"] <= 100


def test_a_quick_measurement_asks_questions_of_every_kind(tmp_path: Path) -> None:
    """Every third of MMBench's is of one in three categories: they come in turns."""
    tasks.write(tmp_path, size="full", benchmarks=["mmbench"])
    samples = registry.load("benchmarks", "mmbench")(tmp_path).samples()
    quick = measure.share_of(samples, 120)
    assert len(quick) == 120
    assert {one.truth["category"] for one in quick} == {one.truth["category"] for one in samples}
    assert measure.share_of(samples, 120) == quick
    assert len(measure.share_of(samples, None)) == 900

"""The pretraining script: its lessons, and that a killed training goes on to the same weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from suder_bench.models.janus import JanusModel
from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.world.language import SMALL_FAMILIES, draw_text, split_of
from suder_bench.world.perception import perceive
from suder_bench.world.pretrain import curriculum, model, vq
from suder_bench.world.pretrain.__main__ import main
from suder_bench.world.pretrain.architecture import SPECIAL, TOKENS, tokenizer
from suder_bench.world.reading import faithful
from suder_bench.world.render import render

LESSONS = [curriculum.lesson(i) for i in (*range(20), *range(curriculum.EASY_LESSONS, curriculum.EASY_LESSONS + 60))]

TEXTS = {
    family: {draw_text(family, np.random.default_rng(i), "train")[1] for i in range(2000)} for family in sorted(SMALL_FAMILIES)
}


@pytest.mark.parametrize("made", LESSONS, ids=lambda made: made.text)
def test_lessons_are_true_and_not_taken_from_test_files(made: curriculum.Lesson) -> None:
    assert faithful(made.text, made.scene)
    small = [family for family in SMALL_FAMILIES if made.text in TEXTS[family]]
    crowd = made.wrong == made.text
    assert small or crowd or split_of("any large family", made.text) == "train"


def test_patches_name_what_covers_them() -> None:
    for made in LESSONS:
        patches = curriculum.patches(made.scene)
        assert patches.shape == (TOKENS, 2)
        assert ((patches[:, 0] == 0) == (patches[:, 1] == 0)).all()
        assert set(patches[:, 0]) - {0} <= {1 + curriculum.NOUNS.index(thing.noun) for thing in made.scene.things}


def test_captions_of_spoilt_pictures_say_what_is_seen() -> None:
    rng = np.random.default_rng(0)
    for made in LESSONS[:20]:
        percept = perceive(render(made.scene))
        assert faithful(curriculum.words_for(percept, rng), percept)
    blank = perceive(np.full((64, 64, 3), 140, np.uint8))
    assert curriculum.words_for(blank, rng).endswith("nothing")


def test_a_turn_sees_the_picture_and_itself_only() -> None:
    words = tokenizer(["Describe the image. a photo of a red ball. Is there a ball? Yes"] * 4)
    dialogue = curriculum.Tokens(words, TOKENS).dialogue([("Describe the image.", "a ball"), ("Is there a ball?", "Yes")])
    batch = curriculum.collate([dialogue], words.pad_token_id)
    segment, mask = np.array(dialogue.segment), batch["mask"][0, 0].numpy()
    first, second = np.flatnonzero(segment == 1), np.flatnonzero(segment == 2)
    assert not mask[np.ix_(second, first)].any()
    assert mask[second[-1], segment == 0].all()
    assert dialogue.position[second[0]] == dialogue.position[first[0]] == (segment == 0).sum()
    placeholder = words.convert_tokens_to_ids(SPECIAL["image_token"])
    assert dialogue.ids.count(placeholder) == TOKENS
    said = [i for i in dialogue.labels if i != -100]
    assert words.decode(said, skip_special_tokens=True) == " a ball Yes"


def test_a_thing_begins_where_its_left_and_upper_neighbours_are_ground() -> None:
    ground = np.ones((8, 8), bool)
    ground[2:4, 3:6] = ground[5:, 0] = False
    assert np.argwhere(model.begins(ground.reshape(1, 64)).reshape(8, 8)).tolist() == [[2, 3], [5, 0]]


def test_codes_are_the_nearest_of_the_commonest_patches() -> None:
    pictures = vq.pictures(40, (1,))
    means = vq.cluster(pictures, 256)
    patches = torch.from_numpy(vq.cells(pictures)).flatten(0, 1).float()
    named = vq.name(patches, means)
    assert torch.equal(named, torch.cdist(patches.double(), means.double()).argmin(1))
    assert len(named.unique()) == 256
    background = patches[0, :3]
    assert (means[named[0]].reshape(-1, 3) - background).abs().max() < 5, "bare ground is a code nearly of its own"


def test_patches_are_in_raster_order() -> None:
    picture = vq.pictures(1, (2,))
    patches = vq.cells(picture)
    assert patches.shape == (1, 64, 192)
    assert (patches[0, 11].reshape(8, 8, 3) == picture[0, 8:16, 24:32]).all()


SMALL = ["--vq-steps", "2", "--vq-pool", "256", "--steps", "2", "--claim-steps", "1", "--pool", "24"]


@pytest.mark.slow
def test_training_makes_a_checkpoint_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "SAMPLED", 4)
    threads = torch.get_num_threads()
    try:
        assert main(["--out", str(tmp_path), *SMALL]) == 0
        first = torch.load(tmp_path / "model.pt", weights_only=True)
        assert main(["--out", str(tmp_path), *SMALL]) == 0
    finally:
        torch.set_num_threads(threads)
    again = torch.load(tmp_path / "model.pt", weights_only=True)
    assert first["step"] == again["step"] == 2
    assert all(torch.equal(value, again["model"][name]) for name, value in first["model"].items())
    stages = [json.loads(line)["stage"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert stages.count("exported") == 2
    janus = JanusModel.load(str(tmp_path / "tiny-janus"))
    (drawn,) = janus.generate(["a photo of a ball"], seeds=[1], sampling=ImageSampling())
    assert drawn.picture.size == (64, 64)
    (said,) = janus.answer([[drawn.picture]], ["Describe the image."], seeds=[1], sampling=TextSampling(max_new_tokens=4))
    assert isinstance(said, str)

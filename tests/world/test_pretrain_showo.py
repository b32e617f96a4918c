"""tiny-showo in the pretraining: its codes, its layouts, and what its losses score. That it resumes: test_pretrain.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from suder_bench.models.showo import layout
from suder_bench.world.pretrain import curriculum, showo, signs, vq
from suder_bench.world.pretrain.curriculum import Turn
from suder_bench.world.pretrain.school import Drawing, Page, School

PICTURES = vq.pictures(160, (1,))


@pytest.fixture(scope="module")
def subject() -> showo.TinyShowo:
    codes = signs.Signs()
    means = codes.begin(vq.cluster(PICTURES, codes.codes))
    made = showo.TinyShowo(codes, means, showo.words())
    made.begin(lessons=40)
    return made


def explained(points: torch.Tensor, bits: int) -> float:
    """Share of the points' variance that a sum of what the bits stand for has."""
    shifts = torch.arange(bits - 1, -1, -1)
    values = ((torch.arange(len(points))[:, None] >> shifts) & 1).double() * 2 - 1
    centred = points.double() - points.double().mean(0)
    left = centred - values @ torch.linalg.lstsq(values, centred).solution
    return 1 - float(left.square().sum() / centred.square().sum())


def test_patches_whose_codes_share_bits_are_alike() -> None:
    means = vq.cluster(PICTURES, 128)
    ordered = signs.order(means, 7)
    assert sorted(ordered.tolist()) == list(range(128))
    assert explained(means[ordered], 7) > 0.5 > 10 * explained(means, 7)


def test_a_code_is_named_by_the_signs_of_its_bits() -> None:
    codes = signs.Signs()
    true = torch.randint(codes.codes, (2, 64), generator=torch.Generator().manual_seed(0))
    told = codes.model.quantize.signs(true).transpose(1, 2).unflatten(2, (8, 8))
    codes.model.encoder = torch.nn.Identity()
    learned = codes.learn(5 * told, true, torch.ones(codes.codes))
    assert torch.equal(learned.named, true)
    assert learned.naming < 1e-6
    assert learned.drawn.shape == (2, 3, 64, 64)
    assert codes.learn(-5 * told, true, torch.ones(codes.codes)).naming > 10
    rare = torch.zeros(codes.codes)
    rare[true[0, 0]] = 1
    told[0, :, 0, 0] *= -1
    assert codes.learn(5 * told, true, rare).naming > 10, "a rare code counts for more"


def test_a_page_is_read_as_the_adapter_reads_it(subject: showo.TinyShowo) -> None:
    turns = [curriculum.caption("a ball"), Turn("Is there a ball?\nSay it.", "Yes", ((0, 16, True),))]
    (batch, *none) = subject.reading([Page(PICTURES[0], turns, np.zeros((64, len(curriculum.LOOKS)), np.int64))], rng())
    assert not none
    ids, mask = batch["ids"][0], batch["mask"][0, 0]
    picture = layout.picture_ids(subject.magvit.encode(vq.to_pixels(PICTURES[:1]))[0], subject.layout.ids)
    assert ids[: len(picture)].tolist() == picture
    second = [len(picture) + subject.length(turns[0]), len(picture) + subject.length(turns[0]) + subject.length(turns[1])]
    tokens = subject.words.encode(layout.question_text(turns[1].request, clip=False) + " Yes", add_special_tokens=False)
    end = subject.layout.ids.end
    assert ids[second[0] : second[1]].tolist() == [end, *tokens, end]
    assert batch["positions"][0, second[0]] == len(picture)
    alone = layout.reading_mask(len(picture) + subject.length(turns[1]), slice(0, len(picture)))
    seen = [*range(len(picture)), *range(*second)]
    assert torch.equal(mask[seen][:, seen], alone)
    assert not mask[second[0] : second[1], len(picture) : second[0]].any()
    said = [i for i in batch["labels"][0].tolist() if i != -100]
    assert subject.words.decode(said, skip_special_tokens=True) == " a ball Yes"
    claimed = ids[batch["truth"][0] == 1].tolist()
    assert subject.words.decode(claimed).strip() == "Is there a ball?"


def test_a_picture_is_drawn_as_the_adapter_draws_it(subject: showo.TinyShowo) -> None:
    looks = np.ones((64, len(curriculum.LOOKS)), np.int64)
    codes = np.arange(64) * 3
    drawings = [Drawing("a photo of a red ball", False, codes, looks), Drawing("a cat", True, codes, looks)]
    first, second = subject.drawing(drawings, rng())
    assert first["share"] + second["share"] == pytest.approx(1)
    whole = subject.layout.sizes.prefix + 66
    for batch, text in ((first, ""), (second, "a photo of a red ball")):
        asked = batch["asked"][0]
        prompt = subject.layout.prompt(text)
        wanted = layout.drawing_ids(
            [prompt], batch["codes"].masked_fill(asked, -1), subject.layout.ids, subject.layout.sizes.text_length
        )
        length = batch["ids"].shape[1]
        assert batch["ids"].tolist() == wanted[:, -length:].tolist()
        assert batch["positions"].tolist() == [list(range(whole - length, whole))]
        assert 1 <= asked.sum() <= 64
        assert ((batch["looks"] == -100).all(-1) == ~batch["asked"]).all()


def test_things_are_hidden_before_the_ground_in_half_of_the_pictures() -> None:
    ground, drawn = np.arange(64) >= 12, np.random.default_rng(3)
    asked = np.stack([showo.hidden_codes(ground, drawn) for _ in range(400)])
    few = asked[(asked.sum(1) > 12) & (asked.sum(1) < 40)]
    first = few[:, :12].all(1)
    assert 0.4 < first.mean() < 0.65
    assert few[~first][:, :12].any(1).mean() > 0.9
    assert asked.sum(1).min() >= 1
    assert 0.55 < asked.mean() < 0.72, "a cosine's schedule"


def test_padding_that_is_left_out_changes_nothing(subject: showo.TinyShowo) -> None:
    batch, _ = subject.drawing(subject_lessons(subject)[0][:2], rng())
    with torch.no_grad():
        hidden = subject._read(batch)[0][:, -65:-1]
        rest = subject.layout.sizes.prefix + 66 - batch["ids"].shape[1]
        assert rest > 0
        ids = torch.cat([torch.full((1, rest), subject.layout.ids.pad), batch["ids"]], 1)
        mask = layout.drawing_mask(ids, subject.layout.ids, 64)
        whole = subject.model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state[:, -65:-1]
    assert torch.allclose(hidden, whole, atol=1e-5)


def test_losses_teach_both_sides_to_one_network(subject: showo.TinyShowo) -> None:
    drawings, pages = subject_lessons(subject)
    hints = subject.hints()
    optimiser = torch.optim.AdamW([*subject.model.parameters(), *hints.parameters()], lr=3e-3)
    sides = (
        (subject.drawing_loss, subject.drawing(drawings, rng())),
        (subject.reading_loss, subject.reading(pages, rng())),
    )
    found = []
    for _ in range(12):
        values = [sum(loss(batch, hints)[0] * batch["share"] for batch in batches) for loss, batches in sides]
        optimiser.zero_grad()
        sum(values).backward()
        optimiser.step()
        found.append([value.item() for value in values])
    assert all(last < 0.8 * first for first, last in zip(found[0], found[-1], strict=True)), found


def test_samples_are_pictures(subject: showo.TinyShowo) -> None:
    drawn = subject.sample(["a photo of a ball"] * 3)
    assert drawn.shape == (3, 64, 64, 3)
    assert drawn.dtype == np.uint8


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def subject_lessons(subject: showo.TinyShowo) -> tuple[list[Drawing], list[Page]]:
    return School(subject, subject.length, drawn=4, read=2, room=showo.ROOM).step(0)

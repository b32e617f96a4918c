"""The own sampler against transformers' generate, against teacher forcing, and against itself in other batches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.models.decoder import Decoder
from suder_bench.models.janus import JanusModel
from suder_bench.models.janus import sampler as janus_sampler
from suder_bench.models.janus.prompts import generation_text, image_block, prompt_ids, question_text
from suder_bench.models.janus.sampler import draw_tokens, unconditional
from suder_bench.models.prompt_rows import Shared
from suder_bench.models.protocols import ImageSampling, TextSampling
from suder_bench.models.sampling import NoNumbersError, choose

PROMPTS = ["a red ball", "a photo of three striped hearts behind a tall yellow tree", "two blue boxes", "a star"]


@pytest.fixture(scope="module")
def janus() -> JanusModel:
    return JanusModel(tiny_janus_model(), tiny_tokenizer(), tiny_image_processor())


def picture(seed: int, size: tuple[int, int] = (32, 32)) -> Image.Image:
    noise = torch.randint(0, 256, (size[1], size[0], 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Image.fromarray(noise.numpy())


@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize("prompts", [PROMPTS, ["a red ball"] * 3], ids=["padded", "repeated"])
def test_sampled_log_probabilities_are_the_teacher_forced_ones(janus: JanusModel, prompts: list[str], guidance: float) -> None:
    sampling = ImageSampling(guidance=guidance)
    drawn = janus.draw(prompts, seeds=range(len(prompts)), sampling=sampling, return_logprobs=True)
    assert drawn.logprobs is not None
    forced = janus.image_logprobs(prompts, drawn.tokens).detach()
    torch.testing.assert_close(drawn.logprobs, forced, atol=1e-5, rtol=0)


def test_guided_greedy_tokens_are_those_of_transformers(janus: JanusModel) -> None:
    tokenizer = janus.tokenizer
    texts = [f"<bos>{generation_text(prompt, '<begin_of_image>')}" for prompt in PROMPTS]
    batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
    theirs = janus.model.generate(
        batch.input_ids, batch.attention_mask, generation_mode="image", do_sample=False, guidance_scale=5
    )
    ours = janus.draw(PROMPTS, seeds=[0] * len(PROMPTS), sampling=ImageSampling(temperature=0))
    assert torch.equal(ours.tokens, theirs)


def test_greedy_answers_are_those_of_transformers(janus: JanusModel) -> None:
    tokenizer, model = janus.tokenizer, janus.model
    questions = ["Is there a ball?", "Describe the image. What stands behind the tall yellow tree?", "yes or no?"]
    pictures = [picture(i) for i in range(3)]
    block = image_block("<begin_of_image>", "<image_placeholder>", "<end_of_image>", image_tokens=16)
    texts = [f"<bos>{question_text(question, block)}" for question in questions]
    batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
    suppressed = sorted(set(tokenizer.all_special_ids) - {tokenizer.eos_token_id})
    made = model.generate(
        **batch,
        pixel_values=janus.squares.values(janus.squares.pixels(pictures)),
        do_sample=False,
        max_new_tokens=70,
        suppress_tokens=suppressed,
    )
    theirs = [tokenizer.decode(row, skip_special_tokens=True).strip() for row in made[:, batch.input_ids.shape[1] :]]
    sampling = TextSampling(max_new_tokens=70)
    assert janus.answer([[one] for one in pictures], questions, seeds=[0] * 3, sampling=sampling) == theirs


def test_a_short_prompt_is_guided_alike_alone_and_beside_a_long_one(janus: JanusModel) -> None:
    alone = janus.draw(["a star"], seeds=[7], sampling=ImageSampling(), return_logprobs=True)
    mixed = janus.draw([PROMPTS[1], "a star"], seeds=[3, 7], sampling=ImageSampling(), return_logprobs=True)
    assert torch.equal(alone.tokens[0], mixed.tokens[1])
    torch.testing.assert_close(alone.logprobs[0], mixed.logprobs[1], atol=1e-5, rtol=0)


def test_a_picture_does_not_depend_on_its_batch_or_place(janus: JanusModel, record_property) -> None:
    prompts, seeds = PROMPTS * 16, list(range(64))
    single = [janus.draw([p], seeds=[s], sampling=ImageSampling()).tokens[0] for p, s in zip(prompts, seeds, strict=True)]
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1)).tolist()
    flips = 0
    for start in (0, 32):
        chunk = order[start : start + 32]
        drawn = janus.draw([prompts[i] for i in chunk], seeds=[seeds[i] for i in chunk], sampling=ImageSampling())
        flips += sum(not torch.equal(row, single[i]) for row, i in zip(drawn.tokens, chunk, strict=True))
    record_property("flips", flips)
    assert flips == 0, f"{flips} of 64 pictures differ between batches of 1 and of 32"


def test_pictures_decode_alike_in_every_batch(janus: JanusModel) -> None:
    made = janus.generate(PROMPTS, seeds=range(4), sampling=ImageSampling())
    for prompt, seed, one in zip(PROMPTS, range(4), made, strict=True):
        again = janus.generate([prompt], seeds=[seed], sampling=ImageSampling())[0]
        assert again.picture.tobytes() == one.picture.tobytes()
        assert one.picture.size == (32, 32)
        assert one.tokens.shape == (16,)


def test_reading_repeated_prompts_once_changes_nothing(janus: JanusModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = ["a red ball"] * 4 + ["two blue boxes"] * 4
    once = janus.draw(prompts, seeds=range(8), sampling=ImageSampling(), return_logprobs=True)

    def each(rows, device):
        return list(rows), torch.arange(len(rows)), torch.tensor([len(row) for row in rows])

    monkeypatch.setattr(janus_sampler, "shared_beginnings", each)
    naive = janus.draw(prompts, seeds=range(8), sampling=ImageSampling(), return_logprobs=True)
    assert torch.equal(once.tokens, naive.tokens)
    torch.testing.assert_close(once.logprobs, naive.logprobs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("guidance", "rows", "read"), [(1.0, 4, 1), (5.0, 8, 2)])
def test_rows_of_a_batch(janus: JanusModel, monkeypatch: pytest.MonkeyPatch, guidance: float, rows: int, read: int) -> None:
    """Four pictures of one prompt: without guidance no unconditional row; prompt and unconditional row are read once each."""
    seen: dict[str, int] = {}

    class Spy(Decoder):
        def start(self, prompts):
            seen["read"] = len(prompts)
            return super().start(prompts)

        def step(self, x):
            seen["rows"] = len(x)
            return super().step(x)

    monkeypatch.setattr(janus_sampler, "Decoder", Spy)
    monkeypatch.setattr(janus_sampler, "lean_enough", lambda llama: False)
    janus.draw(["a star"] * 4, seeds=range(4), sampling=ImageSampling(guidance=guidance))
    assert seen == {"read": read, "rows": rows}


def test_seed_and_temperature(janus: JanusModel) -> None:
    def draw(seed: int, temperature: float) -> torch.Tensor:
        return janus.draw(["a star"], seeds=[seed], sampling=ImageSampling(temperature=temperature)).tokens

    assert torch.equal(draw(2**63 + 5, 1.0), draw(2**63 + 5, 1.0))
    assert not torch.equal(draw(0, 1.0), draw(1, 1.0))
    assert torch.equal(draw(0, 0.0), draw(1, 0.0))


def test_choose_follows_the_distribution_and_never_takes_the_impossible() -> None:
    logits = torch.tensor([[0.0, -torch.inf, 1.0, 2.0, -torch.inf]])
    u = (torch.arange(10000, dtype=torch.float64) + 0.5) / 10000
    picked = choose(logits.expand(10000, 5), 1.0, u)
    shares = torch.bincount(picked, minlength=5) / 10000
    torch.testing.assert_close(shares, torch.softmax(logits[0], dim=0), atol=1e-3, rtol=0)
    edges = choose(logits.expand(2, 5), 0.7, torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64))
    assert edges.tolist() == [0, 3]
    assert choose(logits, 0.0, u[:1]).tolist() == [3]


def test_the_unconditional_row_keeps_begin_of_text_and_begin_of_image() -> None:
    assert unconditional([0, 6, 33, 40, 4], keep={0, 4}, pad=2) == [0, 2, 2, 2, 4]


def test_grouped_queries_share_keys() -> None:
    model = tiny_janus_model(heads=4)
    config = model.config.text_config
    config.num_key_value_heads = 2
    torch.manual_seed(0)
    model.model.language_model = type(model.model.language_model)(config).eval()
    janus = JanusModel(model, tiny_tokenizer(), tiny_image_processor())
    drawn = janus.draw(PROMPTS, seeds=range(4), sampling=ImageSampling(guidance=2.0), return_logprobs=True)
    torch.testing.assert_close(drawn.logprobs, janus.image_logprobs(PROMPTS, drawn.tokens).detach(), atol=1e-5, rtol=0)


def test_answers_do_not_depend_on_the_batch(janus: JanusModel) -> None:
    """Finished rows leave the batch; the others go on as if alone, while the cache grows."""
    questions = [f"Is there a ball? {'why ' * i}" for i in range(8)]
    pictures = [[picture(i % 3)] for i in range(8)]
    sampling = TextSampling(temperature=2.0, max_new_tokens=90)
    together = janus.write(pictures, questions, seeds=range(8), sampling=sampling)
    alone = [
        janus.write([p], [q], seeds=[s], sampling=sampling)[0] for p, q, s in zip(pictures, questions, range(8), strict=True)
    ]
    assert together == alone
    assert len({len(ids) for ids in together}) >= 3
    forced = [janus.answer_scores(p, [q], [ids]).logprobs[0].exp() for p, q, ids in zip(pictures, questions, alone, strict=True)]
    assert all(bool((p > 0).all()) for p in forced)


def test_special_tokens_are_never_written_and_the_end_token_ends(janus: JanusModel) -> None:
    sampling = TextSampling(temperature=3.0, max_new_tokens=60)
    written = janus.write([[]] * 32, ["yes or no?"] * 32, seeds=range(32), sampling=sampling)
    assert not {token for ids in written for token in ids} & set(janus.tokenizer.all_special_ids)
    assert any(len(ids) < 60 for ids in written)


def test_a_question_without_or_with_two_pictures(janus: JanusModel) -> None:
    images = [[], [picture(0), picture(1)], [picture(1), picture(0)]]
    one, two, swapped = janus.write(images, ["Describe the image."] * 3, seeds=[0] * 3, sampling=TextSampling(max_new_tokens=8))
    assert len({tuple(one), tuple(two), tuple(swapped)}) == 3
    assert janus.write([], [], seeds=[], sampling=TextSampling()) == []


def test_equal_pictures_are_read_once(janus: JanusModel, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    tower = janus.model.model.get_image_features
    monkeypatch.setattr(janus.model.model, "get_image_features", lambda x, **kwargs: (read.append(len(x)), tower(x, **kwargs))[1])
    images = [[picture(0)], [picture(1)], [picture(0)], [picture(0), picture(1)]]
    janus.answer(images, ["yes or no?"] * 4, seeds=range(4), sampling=TextSampling(max_new_tokens=2))
    assert read == [2]


@pytest.mark.parametrize(
    ("pictures", "begun"),
    [([[0], [1], [0], [0]], 2), ([[0, 1], [1, 0], [0, 1]], 2), ([[0], [], [0]], None), ([[0], [0, 1]], None), ([[], []], None)],
    ids=["one", "two", "one or none", "one or two", "none"],
)
def test_what_comes_before_questions_about_a_picture_is_read_once(
    janus: JanusModel, monkeypatch: pytest.MonkeyPatch, pictures: list[list[int]], begun: int | None
) -> None:
    read: list[int | None] = []
    start = Decoder.start

    def spied(self: Decoder, prompts: list[torch.Tensor], shared: Shared | None = None) -> torch.Tensor:
        read.append(None if shared is None else len(shared.beginnings))
        return start(self, prompts, shared)

    monkeypatch.setattr(Decoder, "start", spied)
    images = [[picture(i) for i in several] for several in pictures]
    questions = [f"What is {'very ' * i}red?" for i in range(len(images))]
    sampling = TextSampling(temperature=2.0, max_new_tokens=6)
    together = janus.write(images, questions, seeds=range(len(images)), sampling=sampling)
    assert read == [begun]
    alone = [
        janus.write([p], [q], seeds=[s], sampling=sampling)[0] for s, (p, q) in enumerate(zip(images, questions, strict=True))
    ]
    assert together == alone


def test_mismatched_lengths_are_refused(janus: JanusModel) -> None:
    with pytest.raises(ValueError, match="2 prompts, but 1 seeds"):
        janus.draw(["a", "b"], seeds=[0], sampling=ImageSampling())
    with pytest.raises(ValueError, match="questions"):
        janus.answer([[]], ["a", "b"], seeds=[0], sampling=TextSampling())


def test_sampling_leaves_no_graph_and_keeps_the_training_mode(janus: JanusModel) -> None:
    janus.model.train()
    drawn = janus.draw(["a star"], seeds=[0], sampling=ImageSampling(), return_logprobs=True)
    assert janus.model.training
    assert not drawn.logprobs.requires_grad
    assert torch.is_grad_enabled()
    janus.model.eval()
    assert torch.equal(drawn.tokens, janus.draw(["a star"], seeds=[0], sampling=ImageSampling()).tokens)


def test_samples_under_autocast(janus: JanusModel) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        drawn = janus.draw(PROMPTS, seeds=range(4), sampling=ImageSampling(), return_logprobs=True)
        forced = janus.image_logprobs(PROMPTS, drawn.tokens).detach()
        answers = janus.write([[picture(0)], []], ["yes or no?"] * 2, seeds=[0, 1], sampling=TextSampling(max_new_tokens=4))
    assert drawn.logprobs.dtype == forced.dtype == torch.float32
    assert (drawn.logprobs - forced).abs().mean() < 0.5  # sixteen bits on logits of this spread
    assert len(answers) == 2


def test_draw_tokens_takes_any_ids(janus: JanusModel) -> None:
    ids = prompt_ids(janus.tokenizer, generation_text("a star", "<begin_of_image>"))
    assert ids[0] == janus.tokenizer.bos_token_id
    drawn = draw_tokens(janus.model, [ids], [ids], seeds=[0], sampling=ImageSampling(temperature=0))
    plain = janus.draw(["a star"], seeds=[0], sampling=ImageSampling(temperature=0, guidance=1.0))
    assert torch.equal(drawn.tokens, plain.tokens)


@pytest.fixture
def starless(janus: JanusModel) -> Iterator[JanusModel]:
    """A model that has no numbers for a star."""
    word = janus.tokenizer.encode("star", add_special_tokens=False)[-1]
    weight = janus.model.model.language_model.embed_tokens.weight
    kept = weight[word].detach().clone()
    with torch.no_grad():
        weight[word] = torch.nan
    yield janus
    with torch.no_grad():
        weight[word] = kept


def test_logits_that_are_no_numbers_are_told_and_not_drawn_from(starless: JanusModel) -> None:
    for sampling in (ImageSampling(), ImageSampling(temperature=0), ImageSampling(guidance=1.0)):
        with pytest.raises(NoNumbersError, match="the logits of image tokens are NaN or infinite"):
            starless.draw(["a red ball", "a star"], seeds=[0, 1], sampling=sampling)
        starless.draw(["a red ball"], seeds=[0], sampling=sampling)
    for temperature in (0.0, 1.0):
        text = TextSampling(temperature=temperature, max_new_tokens=3)
        with pytest.raises(NoNumbersError, match="the logits of an answer's tokens are NaN or infinite"):
            starless.answer([[], []], ["a ball?", "a star?"], seeds=[0, 1], sampling=text)
        starless.answer([[]], ["a ball?"], seeds=[0], sampling=text)


def test_guidance_that_outgrows_the_precision_is_told(janus: JanusModel) -> None:
    with pytest.raises(NoNumbersError, match="guidance"):
        janus.draw(["a red ball"], seeds=[0], sampling=ImageSampling(guidance=1e39))


def test_logits_that_become_no_numbers_on_the_way_are_told(janus: JanusModel) -> None:
    calls: list[int] = []

    def spoilt(module: torch.nn.Module, given: tuple[torch.Tensor], logits: torch.Tensor) -> None:
        calls.append(len(logits))
        if len(calls) == 5:
            logits[0] = torch.nan

    hook = janus.model.model.generation_head.register_forward_hook(spoilt)
    with pytest.raises(NoNumbersError):
        janus.draw(["a star", "a ball"], seeds=[0, 1], sampling=ImageSampling(guidance=1.0))
    hook.remove()
    assert len(calls) == 16  # one look at the end, so that an accelerator need not wait


def test_pixels_that_are_no_numbers_are_no_picture(janus: JanusModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JanusModel, "decode_tokens", lambda self, tokens: torch.full((len(tokens), 3, 32, 32), torch.nan))
    with pytest.raises(NoNumbersError, match="the pixels of a picture"):
        janus.generate(["a star"], seeds=[0], sampling=ImageSampling())


def test_a_prompt_longer_than_the_models_positions_is_refused(janus: JanusModel) -> None:
    sampling = ImageSampling(guidance=1.0)
    fits = "!" * (janus.positions - len(janus._generation_ids("")) - 16 + 1)
    janus.check_prompt("a star")
    janus.draw([fits], seeds=[0], sampling=sampling)
    with pytest.raises(UserError, match=r"a prompt and its picture need 1,025 positions, .* 1,024; shorten .*'!!!"):
        janus.draw([fits + "!"], seeds=[0], sampling=sampling)
    with pytest.raises(UserError, match=r"a picture and its text need 1,0\d\d positions"):
        janus.check_prompt(fits)
    question = "!" * janus.positions
    with pytest.raises(UserError, match="a question and its pictures need"):
        janus.answer([[picture(0)]], [question], seeds=[0], sampling=TextSampling())
    with pytest.raises(UserError, match="a picture and its text need"):
        janus.text_logprobs([picture(0)], [question])


@torch.no_grad()
def test_a_caption_as_long_as_it_says_is_scored_both_ways(janus: JanusModel) -> None:
    caption = [7] * janus.caption_tokens
    janus.image_scores(["!" * len(caption)], torch.zeros(1, 16, dtype=torch.long))
    janus.answer_scores([picture(0)], [janus.caption_request], [caption])
    with pytest.raises(UserError, match="a picture and its text need 1,025 positions"):
        janus.answer_scores([picture(0)], [janus.caption_request], [[*caption, 7]])


def test_an_answer_ends_with_the_models_positions(janus: JanusModel) -> None:
    """Alone as beside a shorter question."""
    long = "!" * (janus.positions - len(prompt_ids(janus.tokenizer, question_text("", ""))) - 10)
    sampling = TextSampling(temperature=1.0, max_new_tokens=60)
    [alone] = janus.write([[]], [long], seeds=[3], sampling=sampling)
    room = janus.positions + 1 - len(prompt_ids(janus.tokenizer, question_text(long, "")))
    assert 0 < room < 20
    assert len(alone) <= room
    both = janus.write([[], []], [long, "yes or no?"], seeds=[3, 4], sampling=sampling)
    assert both[0] == alone
    assert both[1] == janus.write([[]], ["yes or no?"], seeds=[4], sampling=sampling)[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_sampling_settings_are_numbers(value: float) -> None:
    with pytest.raises(UserError, match="guidance"):
        ImageSampling(guidance=value)
    for kind in (ImageSampling, TextSampling):
        with pytest.raises(UserError, match="temperature"):
            kind(temperature=value)

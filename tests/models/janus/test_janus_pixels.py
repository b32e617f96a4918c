"""Preprocessing as the authors' code does it, and pictures from pixels; codes by the original quantiser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from models.tiny import tiny_image_processor, tiny_janus_model, tiny_tokenizer
from PIL import Image

from suder_bench.models.janus import JanusModel
from suder_bench.models.janus import vq as janus_vq
from suder_bench.models.janus.pixels import Squares
from suder_bench.models.pictures import picture


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("size", "inner"),
    [
        ((32, 32), (32, 32)),
        ((64, 32), (32, 16)),
        ((100, 33), (32, 10)),
        ((33, 100), (10, 32)),
        ((500, 3), (32, 4)),
        ((1, 1), (32, 32)),
    ],
)
def test_square(size: tuple[int, int], inner: tuple[int, int]) -> None:
    """The longest side becomes 32, the other is truncated (10.56 -> 10) but at least 4, and grey fills the rest evenly."""
    square = np.asarray(Squares(tiny_image_processor()).square(noise(*size)))
    assert square.shape == (32, 32, 3)
    grey = (square == 127).all(axis=2)
    left, top = (32 - inner[0]) // 2, (32 - inner[1]) // 2
    assert grey.all(axis=0).sum() == 32 - inner[0]
    assert grey.all(axis=1).sum() == 32 - inner[1]
    assert not grey[top : top + inner[1], left : left + inner[0]].all()


def test_a_generated_picture_is_not_resampled() -> None:
    made = noise(32, 32)
    assert Squares(tiny_image_processor()).square(made).tobytes() == made.tobytes()


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (64, 16), (20, 40)])
def test_pixel_values_are_those_of_the_image_processor(size: tuple[int, int]) -> None:
    """Where the shorter side is a whole number, transformers and the authors agree, up to their rounding after resizing."""
    processor = tiny_image_processor()
    squares = Squares(processor)
    ours = squares.values(squares.pixels([noise(*size)]))
    theirs = torch.as_tensor(processor(noise(*size), return_tensors="pt").pixel_values)
    torch.testing.assert_close(ours, theirs, atol=2.1 / 127.5, rtol=0)


def test_other_modes_and_blank_pictures() -> None:
    squares = Squares(tiny_image_processor())
    for mode in ("L", "RGBA", "P", "1", "CMYK"):
        assert squares.pixels([Image.new(mode, (7, 50))]).shape == (1, 3, 32, 32)
    assert squares.pixels([Image.new("RGB", (9, 9), "white")]).eq(1).all()


def test_mean_and_deviation_come_from_the_processor() -> None:
    processor = tiny_image_processor()
    processor.image_mean, processor.image_std = [0.5, 0.25, 0.0], [0.5, 0.5, 1.0]
    values = Squares(processor).values(torch.zeros(1, 3, 2, 2))
    assert values[0, :, 0, 0].tolist() == [0.0, 0.5, 0.5]


def test_eight_bits_are_truncated_not_rounded() -> None:
    levels = torch.tensor([-2.0, -1.0, 0.0, 0.999, 1.0, 2.0])
    assert np.asarray(picture(levels.expand(3, 1, 6)))[0, :, 0].tolist() == [0, 0, 127, 254, 255, 255]


@pytest.fixture(scope="module")
def janus() -> JanusModel:
    return JanusModel(tiny_janus_model(), tiny_tokenizer(), tiny_image_processor())


def original_codes(vqmodel, pixels: torch.Tensor) -> torch.Tensor:
    """|z|^2 + |e|^2 - 2 z.e with normalised z and e, the quantiser the checkpoints were trained with."""
    with torch.no_grad():
        z = F.normalize(vqmodel.quant_conv(vqmodel.encoder(pixels)).permute(0, 2, 3, 1), dim=-1).flatten(0, 2)
    e = F.normalize(vqmodel.quantize.embedding.weight, dim=-1)
    d = z.pow(2).sum(1, keepdim=True) + e.pow(2).sum(1) - 2 * z @ e.T
    return d.argmin(dim=1).view(len(pixels), -1)


def test_encoding_a_decoded_picture_follows_the_original_formula(janus: JanusModel) -> None:
    vqmodel = janus.model.model.vqmodel
    tokens = torch.randint(0, 64, (8, 16), generator=torch.Generator().manual_seed(0))
    pixels = janus_vq.decode(vqmodel, tokens)
    assert pixels.shape == (8, 3, 32, 32)
    assert pixels.abs().max() <= 1
    codes = janus_vq.encode(vqmodel, pixels)
    assert torch.equal(codes, original_codes(vqmodel, pixels))
    with torch.no_grad():
        theirs = vqmodel.encode(pixels).image_tokens.view(8, -1)
    assert not torch.equal(codes, theirs), "transformers' quantiser does not normalise; if it does now, use it"


def test_a_picture_is_the_same_in_any_batch_and_on_any_number_of_threads(janus: JanusModel) -> None:
    vqmodel = janus.model.model.vqmodel
    tokens = torch.randint(0, 64, (21, 16), generator=torch.Generator().manual_seed(1))
    threads = torch.get_num_threads()
    try:
        shown = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            shown.append(janus_vq.decode(vqmodel, tokens))
            assert torch.get_num_threads() == count
            assert torch.equal(janus_vq.decode(vqmodel, tokens[13:16]), shown[-1][13:16])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(shown[0], shown[1])
    assert torch.equal(shown[0], shown[2])
    with torch.no_grad():
        theirs = vqmodel.decode(tokens).clamp(-1, 1)
    torch.testing.assert_close(shown[0], theirs, atol=1e-5, rtol=0)


def test_tokenised_images_are_the_squares_the_tower_sees(janus: JanusModel) -> None:
    images = [noise(50, 21), noise(32, 32)]
    codes = janus.tokenize_images(images)
    assert codes.shape == (2, 16)
    assert codes.dtype == torch.int64
    assert torch.equal(codes, janus_vq.encode(janus.model.model.vqmodel, janus.squares.pixels(images)))


def test_a_training_in_16_bits_rounds_neither_codes_nor_pixels(janus: JanusModel) -> None:
    images = [noise(32 + i, 32) for i in range(64)]
    codes = janus.tokenize_images(images)
    pixels = janus.decode_tokens(codes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(janus.tokenize_images(images), codes)
        assert torch.equal(janus.decode_tokens(codes), pixels)


def test_the_quantiser_stays_in_eval_mode(janus: JanusModel) -> None:
    janus.model.train()
    janus.tokenize_images([noise(32, 32)])
    assert not janus.model.model.vqmodel.training
    janus.model.eval()

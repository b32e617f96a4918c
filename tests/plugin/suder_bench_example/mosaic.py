"""A model that can be trained: `mosaic:DIR` draws mosaics of coloured tiles and says what colour they are.

Words and tiles are tokens of one recurrent network; a picture is 4 x 4 tiles, and a tile's token is the number of its colour. The
first part of the class is what evaluation asks for, the second what training asks for besides. This makes a checkpoint in a few
seconds, from mosaics of which three tiles in four have any colour, so that there is something to learn:

    python -m suder_bench_example.mosaic DIR
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import avg_pool2d

from suder_bench.errors import UserError
from suder_bench.machine import choose_device
from suder_bench.models.protocols import Anatomy, DrawnTokens, GeneratedImage, ImageSampling, TextSampling, TokenScores
from suder_bench.models.sampling import choose, noise_of

COLORS = {"white": (255, 255, 255), "black": (0, 0, 0), "red": (220, 30, 30), "green": (30, 160, 60), "blue": (40, 70, 220)}
THINGS = ("wall", "sheet of paper", "night sky", "field")
OTHERS = ("a", "describe", "the", "image", "what", "color", "is", "it", "?", ".")
WORDS = list(dict.fromkeys([*COLORS, *" ".join(THINGS).split(), *OTHERS]))
UNKNOWN, END, DRAW, READ, TILE = range(len(WORDS), len(WORDS) + 5)
"""Behind the words: any other word, a text's end, where a picture and where an answer begins, and the first tile."""

ROWS, SIDE, LONGEST, WIDTH = 4, 8, 32, 48
"""Tiles along a picture, pixels along a tile, words of the longest text, and numbers in the network's state."""

PALETTE = torch.tensor(list(COLORS.values())) / 127.5 - 1
WEIGHTS = "model.safetensors"


class Trunk(nn.Module):
    """Ids (rows, tokens) to what the network thinks behind each, (rows, tokens, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(TILE + len(COLORS), WIDTH)
        self.memory = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        thought: torch.Tensor = self.memory(self.tokens(ids))[0]
        return thought


class Network(nn.Module):
    """The trunk and two heads: what word comes next (or the end), and what tile."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.word_head, self.tile_head = Trunk(), nn.Linear(WIDTH, DRAW), nn.Linear(WIDTH, len(COLORS))

    def behind(self, rows: Sequence[Sequence[int]], counts: Sequence[int]) -> list[torch.Tensor]:
        """What it thinks behind the last `counts` tokens of each row. What pads a row follows it, and is never read."""
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[END] * (longest - len(row))] for row in rows], device=self.word_head.weight.device)
        ends = map(len, rows)
        return [row[end - count : end] for row, end, count in zip(self.trunk(ids), ends, counts, strict=True)]


class Mosaic:
    """Draws, answers, scores both, and learns: it implements `TextToImage`, `ImageToText` and `Trainable`."""

    def __init__(self, network: Network, *, name: str = "mosaic", fingerprint: str = "in memory") -> None:
        self.network, self.name, self.fingerprint = network, name, fingerprint
        self.settings = {"adapter": "mosaic"}

    @classmethod
    def load(cls, reference: str, *, device: str, dtype: str) -> Mosaic:
        """Computes in float32, whatever `dtype` says: in 16 bits so small a network would be no faster."""
        file = Path(reference) / WEIGHTS
        if not file.is_file():
            raise UserError(f"no mosaic in '{reference}': {file} is missing; python -m suder_bench_example.mosaic makes one")
        network = Network()
        network.load_state_dict(load_file(file))
        return cls(
            network.to(choose_device(device)).eval(),
            name=f"mosaic:{reference}",
            fingerprint=hashlib.sha256(file.read_bytes()).hexdigest(),
        )

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> list[GeneratedImage]:
        tokens = self.draw(prompts, seeds=seeds, sampling=sampling).tokens
        shown = ((self.decode_tokens(tokens) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        return [GeneratedImage(Image.fromarray(pixels), row) for pixels, row in zip(shown, tokens, strict=True)]

    def answer(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        seeds: Sequence[int],
        sampling: TextSampling,
    ) -> list[str]:
        return [self.text_of(ids) for ids in self.write(images, questions, seeds=seeds, sampling=sampling)]

    # What follows is for the self-rewards, which need the likelihoods, and for trainings, which need all of it.

    anatomy: ClassVar[Anatomy] = Anatomy(
        parts={"trunk": "trunk", "word_head": "word_head", "tile_head": "tile_head"},
        usual=("trunk", "word_head", "tile_head"),
        language_model="trunk",
        idle={"gen": ("word_head",), "und": ("tile_head",)},
    )
    caption_request = "Describe the image."
    score_end = False
    end_token = END
    estimator = None

    @torch.no_grad()
    def draw(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> DrawnTokens:
        words: list[list[int]] = [ids_of(prompt) for prompt in prompts]
        tiles: list[list[int]] = [[] for _ in prompts]
        noise = noise_of(seeds, ROWS**2, self.network.word_head.weight.device)
        for step in range(ROWS**2):
            logits = self._tile_logits(words, tiles, sampling.weight)[:, -1]
            for row, tile in zip(tiles, choose(logits, sampling.temperature, noise[:, step]).tolist(), strict=True):
                row.append(tile)
        return DrawnTokens(torch.tensor(tiles))

    def decode_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        tiles = PALETTE[tokens.cpu()].view(len(tokens), ROWS, ROWS, 3).permute(0, 3, 1, 2)
        return tiles.repeat_interleave(SIDE, 2).repeat_interleave(SIDE, 3)

    def tokenize_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        return tiles_of(images)

    @torch.no_grad()
    def write(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        seeds: Sequence[int],
        sampling: TextSampling,
    ) -> list[list[int]]:
        """Of several pictures about which it is asked it sees all, one after the other."""
        seen = [tiles_of(several).flatten().tolist() if several else [] for several in images]
        rows = [begun(tiles, question) for tiles, question in zip(seen, questions, strict=True)]
        written: list[list[int]] = [[] for _ in rows]
        steps = min(sampling.max_new_tokens, LONGEST)
        noise = noise_of(seeds, steps, self.network.word_head.weight.device)
        for step in range(steps):
            going = [i for i, ids in enumerate(written) if END not in ids]
            if not going:
                break
            thought = torch.cat(self.network.behind([[*rows[i], *written[i]] for i in going], [1] * len(going)))
            chosen = choose(self.network.word_head(thought).float(), sampling.temperature, noise[going, step])
            for i, word in zip(going, chosen.tolist(), strict=True):
                written[i].append(word)
        return [ids[:-1] if ids[-1:] == [END] else ids for ids in written]

    def text_of(self, ids: Sequence[int]) -> str:
        return " ".join(WORDS[one] for one in ids if one < len(WORDS))

    def text_logprobs(self, images: Sequence[Image.Image] | torch.Tensor, texts: Sequence[str]) -> list[torch.Tensor]:
        end = [END] if self.score_end else []
        return self.answer_scores(images, [self.caption_request] * len(texts), [ids_of(text) + end for text in texts]).logprobs

    def answer_scores(
        self,
        images: Sequence[Image.Image] | torch.Tensor,
        questions: Sequence[str],
        answers: Sequence[Sequence[int]],
        *,
        entropy: bool = False,
    ) -> TokenScores:
        asked = [begun(tiles, question) for tiles, question in zip(tiles_of(images).tolist(), questions, strict=True)]
        rows = [[*prompt, *answer[:-1]] for prompt, answer in zip(asked, answers, strict=True)]
        thoughts = self.network.behind(rows, list(map(len, answers)))
        return scores([self.network.word_head(one) for one in thoughts], answers, entropy)

    def image_logprobs(self, texts: Sequence[str], image_tokens: torch.Tensor) -> torch.Tensor:
        return torch.stack(self.image_scores(texts, image_tokens).logprobs)

    def image_scores(
        self,
        texts: Sequence[str],
        image_tokens: torch.Tensor,
        *,
        guidance: float = 1.0,
        entropy: bool = False,
        seeds: Sequence[int] | None = None,
    ) -> TokenScores:
        tiles = image_tokens.tolist()
        logits = self._tile_logits([ids_of(text) for text in texts], [row[:-1] for row in tiles], guidance)
        return scores(list(logits), tiles, entropy)

    def _tile_logits(self, words: Sequence[list[int]], tiles: Sequence[list[int]], guidance: float) -> torch.Tensor:
        """(rows, tiles + 1, colours): what follows a prompt, and each of the `tiles`, which are equally many in all rows."""
        drawn = [[DRAW, *(TILE + tile for tile in row)] for row in tiles]
        counts = list(map(len, drawn))
        after = self.network.behind([[*own, *row] for own, row in zip(words, drawn, strict=True)], counts)
        logits = self.network.tile_head(torch.stack(after)).float()
        if guidance == 1:
            return logits
        blank = self.network.tile_head(torch.stack(self.network.behind(drawn, counts))).float()
        return blank + guidance * (logits - blank)

    def check_prompt(self, prompt: str) -> None:
        ids_of(prompt)

    def save(self, folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
        (folder / "config.json").write_text(json.dumps({"model_type": "mosaic"}))
        (folder / "generation_config.json").write_text(json.dumps({"guidance_scale": 1.0}))

    def saved(self, folder: Path) -> dict[str, torch.Tensor]:
        return load_file(folder / WEIGHTS)


def ids_of(text: str) -> list[int]:
    """Raises `UserError` for a text of more words than the network was made for."""
    words = re.findall(r"\w+|[?.]", text.lower())
    if len(words) > LONGEST:
        raise UserError(f"a mosaic's texts have {LONGEST} words at most, not {len(words)}: {text[:60]!r}...")
    return [WORDS.index(word) if word in WORDS else UNKNOWN for word in words]


def begun(tiles: Sequence[int], question: str) -> list[int]:
    """What an answer follows."""
    return [*(TILE + tile for tile in tiles), *ids_of(question), READ]


def tiles_of(images: Sequence[Image.Image] | torch.Tensor) -> torch.Tensor:
    """(pictures, tiles): the nearest colour of each tile, of pictures or of pixels such as `decode_tokens` makes."""
    if not isinstance(images, torch.Tensor):
        small = [image.convert("RGB").resize((ROWS * SIDE, ROWS * SIDE), Image.Resampling.BOX) for image in images]
        images = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2) / 127.5 - 1
    means = avg_pool2d(images.float().cpu(), SIDE).flatten(2).transpose(1, 2)
    return (means[:, :, None] - PALETTE).square().sum(dim=3).argmin(dim=2)


def scores(logits: Sequence[torch.Tensor], ids: Sequence[Sequence[int]], entropy: bool) -> TokenScores:
    """Of logits (tokens, vocabulary) of each row, and the ids that were chosen there."""
    logs = [row.float().log_softmax(dim=-1) for row in logits]
    places = [torch.tensor(list(row), dtype=torch.long, device=each.device) for row, each in zip(ids, logs, strict=True)]
    found = [each.gather(1, place[:, None])[:, 0] for each, place in zip(logs, places, strict=True)]
    return TokenScores(found, [-(each.exp() * each).sum(dim=1).detach() for each in logs] if entropy else [])


def make(folder: Path, *, seed: int = 0, steps: int = 120) -> None:
    """Train one to draw and to describe noisy mosaics, and save it; the same weights for the same seed on one machine."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Mosaic(Network())
    optimizer = torch.optim.AdamW(model.network.parameters(), lr=1e-2)
    for _ in range(steps):
        colors = rng.integers(len(COLORS), size=(64, 1))
        tiles = np.where(rng.random((64, ROWS**2)) < 3 / 4, rng.integers(len(COLORS), size=(64, ROWS**2)), colors)
        texts = [f"a {list(COLORS)[color]} {rng.choice(THINGS)}" for color in colors[:, 0]]
        drawn, given = torch.from_numpy(tiles), [text if rng.random() < 0.9 else "" for text in texts]  # without: for guidance
        written = [[*ids_of(text), END] for text in texts]
        reading = model.answer_scores(model.decode_tokens(drawn), [model.caption_request] * 64, written)
        loss = -torch.cat(model.image_scores(given, drawn).logprobs).mean() - torch.cat(reading.logprobs).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save(folder, model.network.state_dict())


if __name__ == "__main__":
    make(Path(sys.argv[1]))

"""tiny-showo as a subject of the pretraining: its sizes, its token layouts, its two losses, its folder."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PhiForCausalLM, PreTrainedTokenizerFast

from suder_bench.models import checkpoint
from suder_bench.models.protocols import ImageSampling
from suder_bench.models.reference import WORLD_MARKER
from suder_bench.models.showo import files, layout
from suder_bench.models.showo.layout import Ids
from suder_bench.models.showo.reference import TIMESTEPS
from suder_bench.models.showo.sampler import draw_codes, visual_head
from suder_bench.models.showo.sizes import ADDED, PAD, SPECIAL, ShowoSizes
from suder_bench.world.pretrain import curriculum, signs, vq
from suder_bench.world.pretrain.curriculum import LOOKS, Turn
from suder_bench.world.pretrain.dialogue import Asked, Dialogue, answers, ask, collate, dialogue, parts
from suder_bench.world.pretrain.hints import Hints
from suder_bench.world.pretrain.school import Drawing, Page
from suder_bench.world.pretrain.training import Batch, Kind, Scored
from suder_bench.world.pretrain.traits import traits
from suder_bench.world.pretrain.words import byte_pairs
from suder_bench.world.vocabulary import CELL, SIZE

SEED = (2506, 7963, 7)
END = "<|endoftext|>"
TOKENS = (SIZE // CELL) ** 2
TEXT_LENGTH = 32
"""Tokens of the longest prompt; the world's longest has 19."""
WIDTH, LAYERS = 192, 6
PHI = {
    "hidden_size": WIDTH,
    "intermediate_size": 4 * WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 6,
    "max_position_embeddings": 1024,
}
GUIDANCE, STEPS = 2.0, 18
"""Of sampling pictures: u + w (c - u), as everywhere here; the authors' weight would be 1."""

DRAWN, READ = 48, 24
"""Text-to-image rows and pictures with questions of a step."""
ROOM = 120
"""Tokens of a page's turns."""
THINGS_FIRST = 0.5
"""Share of pictures whose codes of things are asked for before those of the ground."""
THINGS = 0.4
HINTED = 0.5
"""Weights beside the codes' own loss: of which things they are parts of, and of what patches show."""
LOOKED = LAYERS // 2
"""The layer whose states of a picture's codes are to tell what it shows: later ones read it from there."""
FIRST = slice(2, 2 + TOKENS)
"""Where the codes stand in a sequence that begins with a picture."""


def words() -> PreTrainedTokenizerFast:
    """The text tokenizer, trained on the world's texts, with the ten tokens that Show-o adds."""
    texts = []
    for text, turns in curriculum.corpus():
        texts.append(text)
        for turn in turns:
            texts += [layout.question_text(turn.request, clip=False), " " + turn.answer]
    made = PreTrainedTokenizerFast(
        tokenizer_object=byte_pairs(texts, [END], 1024 - ADDED), padding_side="left", bos_token=END, eos_token=END
    )
    made.add_special_tokens({"pad_token": PAD})
    made.add_tokens(list(SPECIAL), special_tokens=True)
    return made


class Layout:
    """Turns lessons into ids for one text tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self.sizes = ShowoSizes(len(tokenizer) - ADDED, TOKENS, TEXT_LENGTH, PHI, signs.SIZES)
        self.ids = Ids.of(self.sizes, tokenizer.eos_token_id)
        self.tokenizer = tokenizer
        self.before, self.after = layout.question_text("\x00", clip=False).split("\x00")

    def prompt(self, text: str) -> list[int]:
        return layout.prompt_ids(self.tokenizer.encode(text, add_special_tokens=False), self.ids, TEXT_LENGTH)

    def turn(self, turn: Turn) -> Asked:
        answer = [*self.tokenizer.encode(" " + turn.answer, add_special_tokens=False), self.ids.end]
        made = ask(self.tokenizer, self.before, turn, self.after, answer)
        return replace(made, request=[self.ids.end, *made.request], truth=[-100, *made.truth])

    def length(self, turn: Turn) -> int:
        return len(self.turn(turn))

    def page(self, turns: Sequence[Turn], codes: torch.Tensor) -> Dialogue:
        return dialogue(layout.picture_ids(codes, self.ids), [self.turn(turn) for turn in turns])


def hidden_codes(ground: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which of a picture's codes are asked for, (64,) bool: as many as a cosine's schedule has at a random time.

    In half of the pictures those of things before those of the bare ground. The sampler keeps what is surest, and that is ground:
    from codes hidden at random alone, it never sees the ground of a picture that still lacks all its things, and leaves it bare.
    """
    count = max(1, round(len(ground) * np.cos(np.pi / 2 * rng.random())))
    order = rng.random(len(ground)) + (ground if rng.random() < THINGS_FIRST else 0)
    asked = np.zeros(len(ground), bool)
    asked[order.argsort()[:count]] = True
    return asked


class TinyShowo:
    """A new model around a trained image tokenizer."""

    def __init__(self, codes: signs.Signs, means: torch.Tensor, words: PreTrainedTokenizerFast):
        torch.manual_seed(sum(SEED))
        self.magvit = codes.model.bfloat16().float().eval()  # as it is shipped
        self.means, self.words, self.layout = means, words, Layout(words)
        self.model = PhiForCausalLM._from_config(self.layout.sizes.phi_config(), attn_implementation="sdpa")
        self.ground = torch.from_numpy(vq.is_ground(means))
        self.length = self.layout.length

    @torch.no_grad()
    def begin(self, lessons: int = 3000) -> None:
        """Codes that look alike, and are parts of like things, begin alike, where they are read and where they are chosen."""
        alike = traits(self.encode, self.means, (*SEED, 5), lessons)
        alike = alike - alike.mean(0)
        rows = alike / alike.square().sum(1).mean().sqrt() @ torch.randn(alike.shape[1], WIDTH)
        part = slice(self.layout.ids.first_code, self.layout.ids.mask)
        for table in (self.model.model.embed_tokens.weight, self.model.lm_head.weight):
            table[part] = 0.02 * rows + 0.5 * table[part]

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        return vq.name(torch.from_numpy(vq.cells(pictures)).flatten(0, 1).float(), self.means).reshape(len(pictures), -1).numpy()

    def decode(self, codes: np.ndarray) -> np.ndarray:
        drawn = self.magvit.decode(torch.from_numpy(codes.astype(np.int64)))
        return drawn.add(1).mul(127.5).byte().permute(0, 2, 3, 1).numpy()

    def hints(self) -> Hints:
        return Hints(WIDTH)

    def drawing(self, drawings: Sequence[Drawing], rng: np.random.Generator) -> list[Batch]:
        """Prompts, empty where the text is hidden, with their picture's codes, of which a cosine's share is `asked` for."""
        rows = []
        for one in drawings:
            ground = self.ground[one.codes].numpy()
            rows.append((self.layout.prompt("" if one.hidden else one.text), one, hidden_codes(ground, rng)))
        rows.sort(key=lambda row: len(row[0]))
        total = sum(asked.sum() for _, _, asked in rows)
        batches = []
        for part in parts(rows):
            asked = torch.from_numpy(np.stack([asked for _, _, asked in part]))
            codes = torch.from_numpy(np.stack([one.codes for _, one, _ in part]).astype(np.int64))
            looks = torch.from_numpy(np.stack([one.looks for _, one, _ in part]))
            prompts = [ids for ids, _, _ in part]
            rest = TEXT_LENGTH + 1 - max(map(len, prompts))  # padding of all rows, which nothing sees
            ids = layout.drawing_ids(prompts, codes.masked_fill(asked, -1), self.layout.ids, TEXT_LENGTH)[:, rest:]
            batches.append(
                {
                    "share": asked.sum() / total,
                    "ids": ids,
                    "mask": layout.drawing_mask(ids, self.layout.ids, TOKENS),
                    "positions": torch.arange(rest, rest + ids.shape[1])[None],
                    "codes": codes,
                    "asked": asked,
                    "looks": looks.masked_fill(~asked[..., None], -100),
                }
            )
        return batches

    def reading(self, pages: Sequence[Page], _: np.random.Generator) -> list[Batch]:
        """The picture and its frame, which see each other, and turns after it."""
        codes = self.magvit.encode(vq.to_pixels(np.stack([page.picture for page in pages])))
        rows = [(self.layout.page(page.turns, shown), page) for page, shown in zip(pages, codes, strict=True)]
        rows.sort(key=lambda row: len(row[0].ids))
        total = sum(sum(row.weight) for row, _ in rows)
        unknown = np.full((TOKENS, len(LOOKS)), -100)
        batches = []
        for part in parts(rows):
            batch = collate([row for row, _ in part], self.layout.ids.pad)
            batch["mask"][..., : FIRST.stop + 1] = True
            looks = torch.from_numpy(np.stack([unknown if page.looks is None else page.looks for _, page in part]))
            share = torch.tensor(sum(sum(row.weight) for row, _ in part) / total)
            batches.append(batch | {"share": share, "looks": looks})
        return batches

    def drawing_loss(self, batch: Batch, hints: Hints) -> Scored:
        """Mean cross-entropy of the codes asked for; of those that are parts of things, how well they are the right ones; and
        the hints'. `things` is how often the likeliest code is the right one there.

        Most of the first is where things lie, which no prompt tells. The second leaves out the ground's codes, so that both
        have the same optimum.
        """
        hidden, hides, ids = self._read(batch)[0][:, -TOKENS - 1 : -1], batch["asked"], self.layout.ids
        logits = F.linear(hidden[hides], *visual_head(self.model, ids, len(self.means))).float()
        wanted = batch["codes"][hides]
        things = ~self.ground[wanted]
        which = logits[things].masked_fill(self.ground, -torch.inf)
        right = F.cross_entropy(which, wanted[things]) if things.any() else logits.sum() * 0
        loss = F.cross_entropy(logits, wanted) + THINGS * right + HINTED * hints.drawing(hidden, batch["looks"])
        return loss, {"things": which.argmax(-1) == wanted[things]}

    def reading_loss(self, batch: Batch, hints: Hints) -> Scored:
        """Weighted mean cross-entropy of the answers' tokens, and the hints'; how often yes or no, and letters, are right."""
        hidden, states = self._read(batch)
        read, right = answers(self.model.lm_head, hidden, batch)
        claimed = batch["truth"] != -100
        told = hints.reading(F.layer_norm(states[LOOKED][:, FIRST], (WIDTH,)), batch["looks"])
        return read + HINTED * told + hints.claims(hidden[claimed], batch["truth"][claimed]), right

    def _read(self, batch: Batch) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Hidden states of the last layer, normed, and those between the layers."""
        made = self.model.model(
            input_ids=batch["ids"],
            attention_mask=batch["mask"],
            position_ids=batch["positions"],
            use_cache=False,
            output_hidden_states=True,
        )
        return made.last_hidden_state, made.hidden_states

    def sample(self, prompts: Sequence[str]) -> np.ndarray:
        """Half of them with guidance, half without: what the reward will have to tell apart."""
        half = len(prompts) // 2
        drawn = []
        for part, guidance in ((prompts[:half], GUIDANCE), (prompts[half:], 1.0)):
            for i in range(0, len(part), 50):
                drawn.append(self._draw(part[i : i + 50], guidance))
        return self.decode(torch.cat(drawn).numpy())

    def _draw(self, prompts: Sequence[str], guidance: float) -> torch.Tensor:
        return draw_codes(
            self.model,
            [self.layout.prompt(text) for text in prompts],
            ids=self.layout.ids,
            codes=len(self.means),
            image_tokens=TOKENS,
            prefix=self.layout.sizes.prefix,
            seeds=range(len(prompts)),
            sampling=ImageSampling(guidance=guidance),
            steps=STEPS,
        )

    def save(self, folder: Path) -> None:
        """As `ShowoModel` reads it, whole in itself and in 16 bits."""
        weights = {name: value.bfloat16() for name, value in self.model.state_dict().items()}
        config = {WORLD_MARKER: True}
        sizes, magvit = self.layout.sizes, copy.deepcopy(self.magvit).bfloat16()
        files.save(folder, weights, sizes=sizes, config=config, magvit=magvit, tokenizer=self.words)
        own = {"guidance_scale": GUIDANCE, TIMESTEPS: STEPS}
        (folder / checkpoint.GENERATION).write_text(json.dumps(own, indent=2) + "\n", encoding="utf-8")


KIND = Kind("tiny-showo", signs.Signs, words, TinyShowo, drawn=DRAWN, read=READ, room=ROOM, steps=1700)

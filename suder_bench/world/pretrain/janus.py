"""tiny-janus as a subject of the pretraining: its token layouts, its two losses, its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import JanusForConditionalGeneration, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.models.janus.modeling_janus import JanusVQVAE

from suder_bench.models.janus import JanusModel
from suder_bench.models.janus import files as janus_files
from suder_bench.models.janus import vq as janus_vq
from suder_bench.models.janus.prompts import answer_ids, generation_text, image_block, prompt_ids, question_text
from suder_bench.models.protocols import ImageSampling
from suder_bench.world.pretrain import curriculum, vq
from suder_bench.world.pretrain.architecture import GUIDANCE, TOKENS, WIDTH, config, image_processor, tokenizer, vq_config
from suder_bench.world.pretrain.curriculum import Turn
from suder_bench.world.pretrain.dialogue import Asked, answers, ask, collate, dialogue, parts
from suder_bench.world.pretrain.hints import Hints
from suder_bench.world.pretrain.school import Drawing, Page
from suder_bench.world.pretrain.training import Kind, Scored
from suder_bench.world.pretrain.traits import traits
from suder_bench.world.vocabulary import CELL, SIZE

SEED = (2506, 7963, 3)
DRAWN, READ = 48, 24
"""Text-to-image rows and pictures with questions of a step."""
ROOM = 120
"""Tokens of a page's turns."""
SHARPNESS = 40.0
"""Scale of the cosines between a patch and the codes."""
BEGINS = 0.4
HINTED = 0.5
"""Weights beside the codes' own loss: of where things begin, and of what patches show."""


def words() -> PreTrainedTokenizerFast:
    """The text tokenizer, trained on the world's texts."""
    texts = []
    for text, turns in curriculum.corpus():
        texts.append(generation_text(text, ""))
        for turn in turns:
            texts += [question_text(turn.request, ""), " " + turn.answer]
    return tokenizer(texts)


class Vectors:
    """The image tokenizer, whose codes are the directions of vectors: Janus' VQ model. Implements `vq.Tokenizer`."""

    mosaics = 0

    def __init__(self) -> None:
        torch.manual_seed(sum(vq.SEED))
        self.model = JanusVQVAE(vq_config())
        self.codes = self.model.quantize.num_embeddings

    def begin(self, means: torch.Tensor) -> torch.Tensor:
        book = self.model.quantize.embedding.weight
        with torch.no_grad():  # alike patches begin as neighbours
            likeness, size, _ = torch.pca_lowrank(means, book.shape[1])
            book.copy_(F.normalize(likeness * size.sqrt(), dim=-1))
        return means

    def learn(self, pixels: torch.Tensor, codes: torch.Tensor, rarity: torch.Tensor) -> vq.Learned:
        vectors = F.normalize(self.model.quantize.embedding.weight, dim=-1)
        latents = F.normalize(self.model.quant_conv(self.model.encoder(pixels)).float(), dim=1).flatten(2).transpose(1, 2)
        likeness = SHARPNESS * (latents @ vectors.T).float()
        patterns = vectors[codes].transpose(1, 2).unflatten(2, (SIZE // CELL, -1))
        drawn = self.model.decoder(self.model.post_quant_conv(patterns)).float()
        return vq.Learned(F.cross_entropy(likeness.flatten(0, 1), codes.flatten(), rarity), likeness.argmax(-1), drawn)


class Layout:
    """Turns lessons into ids for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, image_tokens: int = TOKENS):
        self.tokenizer = tokenizer
        self.block = image_block(tokenizer.boi_token, tokenizer.image_token, tokenizer.eoi_token, image_tokens=image_tokens)
        self.pad, self.eos = tokenizer.pad_token_id, tokenizer.eos_token_id
        prefix, self._suffix = question_text("\x00", self.block).split("\x00")
        self.prefix = prompt_ids(tokenizer, prefix)

    def prompt(self, text: str, *, hidden: bool = False) -> list[int]:
        """What comes before a picture's codes; a hidden text has padding in its place, as guidance has it."""
        ids = prompt_ids(self.tokenizer, generation_text(text, self.tokenizer.boi_token))
        return [ids[0], *[self.pad] * (len(ids) - 2), ids[-1]] if hidden else ids

    def turn(self, turn: Turn) -> Asked:
        answer = [*answer_ids(self.tokenizer, turn.answer), self.eos]
        return ask(self.tokenizer, "", turn, self._suffix, answer)

    def length(self, turn: Turn) -> int:
        return len(self.turn(turn))


def begins(ground: np.ndarray) -> np.ndarray:
    """(n, 64) bool: where a thing begins in raster order, given where the ground is. What it is only the prompt tells."""
    grid = ground.reshape(-1, SIZE // CELL, SIZE // CELL)
    left = np.pad(grid, ((0, 0), (0, 0), (1, 0)), constant_values=True)[:, :, :-1]
    above = np.pad(grid, ((0, 0), (1, 0), (0, 0)), constant_values=True)[:, :-1]
    return (~grid & left & above).reshape(ground.shape)


class TinyJanus:
    """A new model around a trained image tokenizer."""

    def __init__(self, codes: Vectors, means: torch.Tensor, words: PreTrainedTokenizerFast):
        torch.manual_seed(sum(SEED))
        self.model = JanusForConditionalGeneration._from_config(config(words), attn_implementation="sdpa")
        self.means, self.words, self.layout = means, words, Layout(words)
        self.vq = self.model.model.vqmodel
        self.vq.load_state_dict(codes.model.bfloat16().float().state_dict())  # as it is shipped
        self.vq.requires_grad_(False)
        self.ground = torch.from_numpy(vq.is_ground(means))
        self.length = self.layout.length

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        return vq.name(torch.from_numpy(vq.cells(pictures)).flatten(0, 1).float(), self.means).reshape(len(pictures), -1).numpy()

    def decode(self, codes: np.ndarray) -> np.ndarray:
        drawn = janus_vq.decode(self.vq, torch.from_numpy(codes.astype(np.int64)))
        return drawn.add(1).mul(127.5).byte().permute(0, 2, 3, 1).numpy()

    @torch.no_grad()
    def begin(self, lessons: int = 3000) -> None:
        """Let codes that show alike things begin alike, where they are read and where they are chosen: else each of them would
        have to be learned by itself that a ball of one colour has the outline of a ball of another."""
        alike = traits(self.encode, self.means, (*SEED, 5), lessons)
        likeness, size, _ = torch.pca_lowrank(alike, self.vq.config.embed_dim)
        codes = F.normalize(likeness * size.sqrt(), dim=-1)
        self.model.model.generation_embeddings.weight.copy_(codes)
        head = self.model.model.generation_head.vision_head.weight
        head.copy_(codes @ F.normalize(torch.randn(codes.shape[1], head.shape[1]), dim=-1))

    def hints(self) -> Hints:
        return Hints(WIDTH)

    def drawing(self, drawings: Sequence[Drawing], _: np.random.Generator) -> list[dict[str, torch.Tensor]]:
        """Left-padded prompts with their picture's codes."""
        prompts = ((self.layout.prompt(one.text, hidden=one.hidden), one) for one in drawings)
        rows = sorted(prompts, key=lambda row: len(row[0]))
        batches = []
        for part in parts(rows):
            length = max(len(ids) for ids, _ in part)
            codes = torch.from_numpy(np.stack([one.codes for _, one in part]).astype(np.int64))
            batches.append(
                {
                    "share": torch.tensor(len(part) / len(rows)),
                    "ids": torch.tensor([[self.layout.pad] * (length - len(ids)) + ids for ids, _ in part]),
                    "mask": torch.tensor([[0] * (length - len(ids)) + [1] * len(ids) for ids, _ in part]),
                    "codes": codes,
                    "begins": torch.from_numpy(begins(self.ground[codes].numpy())),
                    "looks": torch.from_numpy(np.stack([one.looks for _, one in part])),
                }
            )
        return batches

    def reading(self, pages: Sequence[Page], _: np.random.Generator) -> list[dict[str, torch.Tensor]]:
        rows = sorted(
            ((dialogue(self.layout.prefix, [self.layout.turn(turn) for turn in page.turns]), page) for page in pages),
            key=lambda row: len(row[0].ids),
        )
        total = sum(sum(row.weight) for row, _ in rows)
        batches = []
        for part in parts(rows):
            known = [page.looks is not None for _, page in part]
            looks = [page.looks for _, page in part if page.looks is not None]
            extra = {
                "share": torch.tensor(sum(sum(row.weight) for row, _ in part) / total),
                "pixels": vq.to_pixels(np.stack([page.picture for _, page in part])),
                "known": torch.tensor(known),
                "looks": torch.from_numpy(np.stack(looks) if looks else np.empty((0, TOKENS, len(curriculum.LOOKS)), np.int64)),
            }
            batches.append(collate([row for row, _ in part], self.layout.pad) | extra)
        return batches

    def drawing_loss(self, batch: dict[str, torch.Tensor], hints: Hints) -> Scored:
        """Mean cross-entropy of the image codes after their prompts; where a thing begins, how well it is the right one; and
        the hints'. `begun` is how often the likeliest code is the right one there.

        Most of the first is where things lie, which no prompt tells; alone, it taught the model to draw things before it
        taught it which. The second leaves out the ground's codes, so that both have the same optimum.
        """
        core, codes = self.model.model, batch["codes"]
        words = core.language_model.embed_tokens(batch["ids"])
        inputs = torch.cat([words, self.model.prepare_embeddings_for_image_generation(codes[:, :-1])], dim=1)
        seen = torch.cat([batch["mask"], torch.ones_like(codes[:, :-1])], dim=1)
        length = seen.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        mask = (causal & seen[:, None, :].bool()) | torch.eye(length, dtype=torch.bool)
        positions = (seen.cumsum(1) - 1).clamp(min=0)
        hidden = self._read(inputs, mask[:, None], positions)[:, -codes.shape[1] :]
        logits = core.generation_head(hidden).float()
        things = logits[batch["begins"]].masked_fill(self.ground, -torch.inf)
        drawn = F.cross_entropy(logits.flatten(0, 1), codes.flatten())
        first = codes[batch["begins"]]
        loss = drawn + BEGINS * F.cross_entropy(things, first) + HINTED * hints.drawing(hidden, batch["looks"])
        return loss, {"begun": things.argmax(-1) == first}

    def reading_loss(self, batch: dict[str, torch.Tensor], hints: Hints) -> Scored:
        """Weighted mean cross-entropy of the answers' tokens, and the hints'; how often yes or no, and letters, are right."""
        core = self.model.model
        features = core.aligner(core.vision_model(batch["pixels"]).last_hidden_state)
        words = core.language_model.embed_tokens(batch["ids"])
        slots = (batch["ids"] == core.config.image_token_id)[..., None]
        hidden = self._read(words.masked_scatter(slots, features.to(words.dtype)), batch["mask"], batch["positions"])
        read, right = answers(self.model.lm_head, hidden, batch)
        claimed = batch["truth"] != -100
        told = hints.reading(features[batch["known"]], batch["looks"])
        return read + told + hints.claims(hidden[claimed], batch["truth"][claimed]), right

    def _read(self, inputs: torch.Tensor, seen: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return self.model.model.language_model(
            inputs_embeds=inputs, attention_mask=seen, position_ids=positions, use_cache=False
        ).last_hidden_state

    def sample(self, prompts: Sequence[str]) -> np.ndarray:
        """Half of them with guidance, half without: what the reward will have to tell apart."""
        adapter = JanusModel(self.model, self.words, image_processor(), name="tiny-janus")
        half = len(prompts) // 2
        drawn = []
        for part, guidance in ((prompts[:half], 2.0), (prompts[half:], 1.0)):
            for i in range(0, len(part), 50):
                chunk = part[i : i + 50]
                drawn += adapter.generate(chunk, seeds=range(len(chunk)), sampling=ImageSampling(guidance=guidance))
        return np.stack([np.asarray(made.picture) for made in drawn])

    def save(self, folder: Path) -> None:
        """As a transformers checkpoint in 16 bits."""
        self.model.generation_config.update(
            bos_token_id=self.words.bos_token_id,
            eos_token_id=self.words.eos_token_id,
            pad_token_id=self.words.pad_token_id,
            guidance_scale=GUIDANCE,
        )
        self.model.bfloat16().save_pretrained(folder)
        self.words.save_pretrained(folder)
        image_processor().save_pretrained(folder)
        janus_files.complete(folder, self.words)
        whole = {"num_image_tokens": TOKENS, "processor_class": "JanusProcessor"}  # Janus-Pro has 576, and nobody asks
        (folder / "processor_config.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")


KIND = Kind("tiny-janus", Vectors, words, TinyJanus, drawn=DRAWN, read=READ, room=ROOM, steps=2400)

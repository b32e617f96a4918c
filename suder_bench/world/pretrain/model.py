"""The language model and the vision tower: drawing and reading trained together on one set of lessons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import JanusForConditionalGeneration, PreTrainedTokenizerBase
from transformers.models.janus.modeling_janus import JanusVQVAE

from suder_bench.models.janus import vq as janus_vq
from suder_bench.models.janus.prompts import CAPTION_REQUEST
from suder_bench.world.perception import perceive
from suder_bench.world.pretrain import curriculum
from suder_bench.world.pretrain.architecture import TOKENS, WIDTH
from suder_bench.world.pretrain.vq import learning_rate, to_pixels
from suder_bench.world.render import render
from suder_bench.world.vocabulary import CELL, COLORS, NOUNS, SIZE

SEED = (2506, 7963, 3)
POOL = 26_000
DRAWN = 64
"""Text-to-image rows of a step."""
READ = 32
"""Pictures with questions of a step."""
TURNS = 3
CLAIMS = 4
UNCONDITIONAL = 0.1
GROUND = 0.05
"""A code with a larger share of all patches is bare ground."""
SAMPLED = 400
"""Pictures that the model draws for its own reading side, at three fifths of the way."""
SPOILT = {"clean": 0.5, "rebuilt": 0.2, "noised": 0.1, "broken": 0.08, "mixed": 0.06, "sampled": 0.06}
"""How the pictures of the reading side are made."""

Sampler = Callable[[JanusForConditionalGeneration, Sequence[str]], np.ndarray]


def encode(vq: JanusVQVAE, pictures: np.ndarray) -> np.ndarray:
    """(n, 64) int16 codes."""
    rows = [janus_vq.encode(vq, to_pixels(pictures[i : i + 128])) for i in range(0, len(pictures), 128)]
    return torch.cat(rows).numpy().astype(np.int16)


def decode(vq: JanusVQVAE, codes: np.ndarray) -> np.ndarray:
    """(n, 64, 64, 3) uint8."""
    drawn = janus_vq.decode(vq, torch.from_numpy(codes.astype(np.int64)))
    return drawn.add(1).mul(127.5).byte().permute(0, 2, 3, 1).numpy()


@dataclass(frozen=True)
class Term:
    """A stretch of the training with a learning rate of its own, warmed up to `peak`; `first` steps came before it.

    With `claims` each picture of the reading side has so many more questions to answer by yes or no.
    """

    first: int
    steps: int
    peak: float
    claims: int = 0


class School:
    """The pool of lessons, and batches from it. Everything a step sees follows from its number."""

    def __init__(self, vq: JanusVQVAE, tokenizer: PreTrainedTokenizerBase, pool: int = POOL):
        self.vq = vq
        self.tokens = curriculum.Tokens(tokenizer, TOKENS)
        self.pad = tokenizer.pad_token_id
        self.lessons = [curriculum.lesson(i) for i in range(pool)]
        self.pictures = np.stack([render(made.scene) for made in self.lessons])
        self.codes = encode(vq, self.pictures)
        self.ground = np.bincount(self.codes.flatten(), minlength=vq.quantize.num_embeddings) > GROUND * self.codes.size
        self.sampled: list[tuple[np.ndarray, str]] = []

    def batches(self, term: Term, step: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """What the two sides see in a step of a term."""
        easy = curriculum.easy_share(step / term.steps)
        return self.drawing(term.first + step, easy), self.reading(term.first + step, easy, term.claims)

    def _chosen(self, rng: np.random.Generator, size: int, easy: float) -> np.ndarray:
        first = min(curriculum.EASY_LESSONS, len(self.lessons) // 2)
        return np.where(
            rng.random(size) < easy, rng.integers(first, size=size), rng.integers(first, len(self.lessons), size=size)
        )

    def drawing(self, step: int, easy: float) -> dict[str, torch.Tensor]:
        """Left-padded prompts with their picture's codes."""
        rng = np.random.default_rng([*SEED, 1, step])
        rows, codes = [], []
        for i in self._chosen(rng, DRAWN, easy):
            made = self.lessons[i]
            ids = self.tokens.prompt(made.wrong if rng.random() < curriculum.NOISE else made.text)
            if rng.random() < UNCONDITIONAL:
                ids = [ids[0], *[self.pad] * (len(ids) - 2), ids[-1]]
            rows.append(ids)
            codes.append(self.codes[i])
        length = max(map(len, rows))
        drawn = np.stack(codes).astype(np.int64)
        return {
            "ids": torch.tensor([[self.pad] * (length - len(r)) + r for r in rows]),
            "mask": torch.tensor([[0] * (length - len(r)) + [1] * len(r) for r in rows]),
            "codes": torch.from_numpy(drawn),
            "begins": torch.from_numpy(begins(self.ground[drawn])),
            "ground": torch.from_numpy(self.ground),
        }

    def reading(self, step: int, easy: float, claims: int = 0) -> dict[str, torch.Tensor]:
        """Pictures, some of them spoilt, with their turns."""
        rng = np.random.default_rng([*SEED, 2, step])
        pictures, dialogues, patches = [], [], []
        for i in self._chosen(rng, READ, easy):
            picture, turns = self._page(int(i), rng, claims)
            pictures.append(picture)
            dialogues.append(self.tokens.dialogue(turns))
            # Pictures with one turn are spoilt: their patches no longer show the scene.
            known = len(turns) > 1
            patches.append(curriculum.patches(self.lessons[i].scene) if known else np.full((TOKENS, 2), -100))
        extra = {"pixels": to_pixels(np.stack(pictures)), "patches": torch.from_numpy(np.stack(patches))}
        return curriculum.collate(dialogues, self.pad) | extra

    def _page(self, i: int, rng: np.random.Generator, claims: int) -> tuple[np.ndarray, list[tuple[str, str]]]:
        made, picture = self.lessons[i], self.pictures[i]
        kind = str(rng.choice(list(SPOILT), p=list(SPOILT.values())))
        if kind == "sampled":
            if self.sampled:
                picture, words = self.sampled[int(rng.integers(len(self.sampled)))]
                return picture, [(CAPTION_REQUEST, words)]
            kind = "rebuilt"
        if kind in ("clean", "noised", "rebuilt"):
            if kind == "noised":
                picture = curriculum.noised(picture, rng)
            if kind == "rebuilt":
                picture = decode(self.vq, self.codes[i : i + 1])[0]
            return picture, curriculum.turns(made.scene, made.text, rng, 2 if claims else TURNS, claims)
        if kind == "broken":
            picture = curriculum.spoil_picture(picture, rng)
        else:  # codes of another picture in between, as a sampler's slips would put them
            codes = self.codes[i].copy()
            slips = rng.permutation(TOKENS)[: rng.integers(3, 24)]
            codes[slips] = self.codes[int(rng.integers(len(self.lessons)))][slips]
            picture = decode(self.vq, codes[None])[0]
        return picture, [(CAPTION_REQUEST, curriculum.words_for(perceive(picture), rng))]

    def take_samples(self, model: JanusForConditionalGeneration, sample: Sampler, n: int, step: int) -> None:
        """Let the model draw prompts of the pool; what is to be seen in the pictures becomes their caption."""
        rng = np.random.default_rng([*SEED, 4, step])
        pictures = sample(model, [self.lessons[i].text for i in rng.integers(len(self.lessons), size=n)])
        self.sampled += [(p, curriculum.words_for(perceive(p), rng)) for p in pictures]


def begins(ground: np.ndarray) -> np.ndarray:
    """(n, 64) bool: where a thing begins in raster order, given where the ground is. What it is only the prompt tells."""
    grid = ground.reshape(-1, SIZE // CELL, SIZE // CELL)
    left = np.pad(grid, ((0, 0), (0, 0), (1, 0)), constant_values=True)[:, :, :-1]
    above = np.pad(grid, ((0, 0), (1, 0), (0, 0)), constant_values=True)[:, :-1]
    return (~grid & left & above).reshape(ground.shape)


def drawing_loss(model: JanusForConditionalGeneration, batch: dict[str, torch.Tensor], _: nn.Module) -> torch.Tensor:
    """Mean cross-entropy of the image codes after their prompts; and where a thing begins, how well it is the right one.

    Most of the first is where things lie, which no prompt tells; alone, it taught the model to draw things before it
    taught it which. The second leaves out the ground's codes, so that both have the same optimum.
    """
    core, codes = model.model, batch["codes"]
    words = core.language_model.embed_tokens(batch["ids"])
    inputs = torch.cat([words, model.prepare_embeddings_for_image_generation(codes[:, :-1])], dim=1)
    seen = torch.cat([batch["mask"], torch.ones_like(codes[:, :-1])], dim=1)
    length = seen.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    mask = (causal & seen[:, None, :].bool()) | torch.eye(length, dtype=torch.bool)
    positions = (seen.cumsum(1) - 1).clamp(min=0)
    hidden = _read(model, inputs, mask[:, None], positions)
    logits = core.generation_head(hidden[:, -codes.shape[1] :]).float()
    things = logits[batch["begins"]].masked_fill(batch["ground"], -torch.inf)
    return F.cross_entropy(logits.flatten(0, 1), codes.flatten()) + 0.4 * F.cross_entropy(things, codes[batch["begins"]])


class Hints(nn.Module):
    """Names what each slot of the vision tower shows, and says of each word of a question whether the answer is yes.

    The first teaches the tower to look, the second to compare word and picture at once, and not only at the answer. They
    are not part of the checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self.noun = nn.Linear(WIDTH, len(NOUNS) + 1)
        self.color = nn.Linear(WIDTH, len(COLORS) + 1)
        self.truth = nn.Linear(WIDTH, 2)

    def forward(self, features: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of (pictures, slots, 2) labels, the background's weighted 0.2; -100 is not scored."""
        guesses = self.noun(features).flatten(0, 1).float(), self.color(features).flatten(0, 1).float()
        labels = patches.flatten(0, 1)
        total = torch.zeros(())
        for guess, wanted in zip(guesses, labels.unbind(1), strict=True):
            weight = torch.ones(guess.shape[1])
            weight[0] = 0.2
            total = total + F.cross_entropy(guess, wanted, weight)
        return total


def reading_loss(model: JanusForConditionalGeneration, batch: dict[str, torch.Tensor], hints: Hints) -> torch.Tensor:
    """Weighted mean cross-entropy of the answers' tokens, and the hints'."""
    core = model.model
    features = core.aligner(core.vision_model(batch["pixels"]).last_hidden_state)
    words = core.language_model.embed_tokens(batch["ids"])
    slots = (batch["ids"] == core.config.image_token_id)[..., None]
    hidden = _read(model, words.masked_scatter(slots, features.to(words.dtype)), batch["mask"], batch["positions"])
    # Labels stand on the token itself; the position before predicts it.
    wanted = batch["labels"][:, 1:]
    scored = wanted != -100
    surprise = F.cross_entropy(model.lm_head(hidden[:, :-1][scored]).float(), wanted[scored], reduction="none")
    weight = batch["weight"][:, 1:][scored]
    read = (surprise * weight).sum() / weight.sum()
    asked = batch["truth"] != -100
    claims = F.cross_entropy(hints.truth(hidden[asked]).float(), batch["truth"][asked])
    return read + hints(features, batch["patches"]) + claims


def _read(
    model: JanusForConditionalGeneration, inputs: torch.Tensor, seen: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor:
    bias = torch.zeros(seen.shape, dtype=torch.bfloat16).masked_fill(~seen, torch.finfo(torch.bfloat16).min)
    return model.model.language_model(
        inputs_embeds=inputs, attention_mask=bias, position_ids=positions, use_cache=False
    ).last_hidden_state


Gradients = tuple[float, tuple[torch.Tensor | None, ...]]


def gradients(
    loss: Callable[..., torch.Tensor], model: JanusForConditionalGeneration, hints: Hints, batch: dict[str, torch.Tensor]
) -> Gradients:
    """One side's loss and its gradients; the two sides run on a core each."""
    trained = [p for p in [*model.parameters(), *hints.parameters()] if p.requires_grad]
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        value = loss(model, batch, hints)
    return value.item(), torch.autograd.grad(value, trained, allow_unused=True)


@torch.no_grad()
def average(model: nn.Module, earlier: dict[str, torch.Tensor], share: float) -> None:
    """Move the weights by `share` of the way to earlier ones: what a later term taught stays, and less is forgotten."""
    for name, value in model.state_dict().items():
        value.lerp_(earlier[name], share)


def train(
    model: JanusForConditionalGeneration,
    hints: Hints,
    school: School,
    state: dict,
    term: Term,
    sample: Sampler,
    save: Callable[[dict], None],
    log: Callable[[dict], None],
) -> None:
    """AdamW with warm-up and cosine; samples of the model itself join the reading side from three fifths of the first term on."""
    for frozen in model.model.vqmodel.parameters():
        frozen.requires_grad_(False)
    steps, peak = term.steps, term.peak
    trained = [p for p in [*model.parameters(), *hints.parameters()] if p.requires_grad]
    decayed = [p for p in trained if p.ndim > 1]
    plain = [p for p in trained if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98))
    start = 0
    if state:
        model.load_state_dict(state["model"])
        hints.load_state_dict(state["hints"])
        optimiser.load_state_dict(state["optimiser"])
        start = state["step"]
        school.sampled = list(zip(state["pictures"].numpy(), state["words"], strict=True))
    sampling_step = round(0.6 * steps) if term.first == 0 else None
    model.train()
    model.model.vqmodel.eval()
    running = np.zeros(2)
    torch.set_num_threads(1)
    with ThreadPoolExecutor(3) as workers:
        following = workers.submit(school.batches, term, start)
        for step in range(start, steps):
            drawing, reading = following.result()
            if step == sampling_step:
                school.take_samples(model.eval(), sample, SAMPLED, step)
                model.train()
                model.model.vqmodel.eval()
            following = workers.submit(school.batches, term, step + 1)
            batches = ((reading_loss, reading), (drawing_loss, drawing))
            sides = [workers.submit(gradients, loss, model, hints, batch) for loss, batch in batches]
            (read, from_reading), (drawn, from_drawing) = (side.result() for side in sides)
            for parameter, one, other in zip(trained, from_reading, from_drawing, strict=True):
                parameter.grad = one if other is None else other if one is None else one + other
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, steps, peak=peak)
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            running += (drawn, read)
            if step % 100 == 99:
                drawn_mean, read_mean = (running / 100).round(4).tolist()
                log({"stage": "model", "step": term.first + step + 1, "drawing": drawn_mean, "reading": read_mean})
                running[:] = 0
            if step % 200 == 199 or step + 1 == steps:
                weights = {"model": model.state_dict(), "hints": hints.state_dict(), "optimiser": optimiser.state_dict()}
                pictures = np.stack([p for p, _ in school.sampled]) if school.sampled else np.empty((0, SIZE, SIZE, 3), np.uint8)
                drawn_so_far = {"pictures": torch.from_numpy(pictures), "words": [words for _, words in school.sampled]}
                save(weights | drawn_so_far | {"step": step + 1})
    model.eval()

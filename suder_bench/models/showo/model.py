"""Show-o: a Phi that draws by unmasking codes, answers, and scores, with its frozen image tokenizer.

Serves the published checkpoints and small ones alike: sizes come from config.json. Conventions are those of showlab/Show-o; what
`settings` holds goes into run.json.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from PIL import Image
from transformers import PhiForCausalLM, PreTrainedTokenizerBase

from suder_bench import machine
from suder_bench.data.prompts import CAPTION_REQUEST
from suder_bench.errors import UserError
from suder_bench.models import hub
from suder_bench.models.answering import apart, check_asked
from suder_bench.models.built import blamed
from suder_bench.models.pictures import POSTPROCESSING, picture
from suder_bench.models.prompt_rows import Shared
from suder_bench.models.protocols import (
    Anatomy,
    DrawnTokens,
    GeneratedImage,
    ImageSampling,
    Sizes,
    TextSampling,
    TokenScores,
)
from suder_bench.models.reference import WORLD_MARKER
from suder_bench.models.sampling import check_numbers, distinct
from suder_bench.models.showo import files, layout, likelihood, pixels, reference, sampler
from suder_bench.models.showo.magvit import Magvit
from suder_bench.models.showo.phi import PhiDecoder
from suder_bench.models.showo.reading import ShowoReader, quoted
from suder_bench.models.showo.reference import Estimator
from suder_bench.models.showo.sizes import ShowoSizes
from suder_bench.models.showo.vision import Eyes
from suder_bench.models.writing import write_tokens


class ShowoModel(ShowoReader):
    """The adapter. Wraps objects in memory (tests, trainers); `load` reads a checkpoint.

    `draw` and `write` sample tokens; `text_logprobs`, `answer_scores` and `image_scores` score them with gradients.
    """

    anatomy: ClassVar[Anatomy] = Anatomy(
        parts={"language_model": "model", "lm_head": "lm_head"},
        usual=("language_model", "lm_head"),
        language_model="model",
        idle={"gen": (), "und": ()},
    )

    def __init__(
        self,
        network: PhiForCausalLM,
        magvit: Magvit,
        tokenizer: PreTrainedTokenizerBase,
        sizes: ShowoSizes,
        *,
        eyes: Eyes | None = None,
        estimator: Estimator | None = None,
        name: str = "showo",
        fingerprint: str = "in memory",
        parts: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
        folder: Path | None = None,
        caption_request: str = CAPTION_REQUEST,
        score_end: bool = False,
    ):
        """`caption_request` is how captions are asked for, and texts scored; with `score_end` a text's end token counts too.
        `parts` are the digests that `fingerprint` sums up, by name; `config` is the whole config.json of the checkpoint's
        `folder`. Raises `UserError` for a tokenizer that does not fit the sizes."""
        super().__init__(network, magvit, tokenizer, sizes, eyes=eyes, name=name)
        self.estimating = estimator or Estimator()
        self.weighs_tokens = self.estimating.kind == reference.ELBO
        self.fingerprint, self.parts = fingerprint, dict(parts or {})
        self.config, self.folder = dict(config or {}), folder
        self.caption_request, self.score_end = caption_request, score_end
        own = None if folder is None else reference.own_steps(folder)
        self.steps = own or reference.default_steps(sizes.image_tokens)
        reads = "its own codes" if eyes is None else f"CLIP-ViT, {eyes.patches} patches, in CLIP's own preprocessing"
        self.settings = {
            "adapter": "showo",
            "dtype": str(network.dtype).removeprefix("torch."),
            "image tokenizer": "float32",
            "template": layout.question_text("{text}", clip=eyes is not None).replace("\n", "\\n"),
            "system prompt": layout.SYSTEM if eyes is not None else "",
            "caption request": caption_request,
            "image tokens": str(sizes.image_tokens),
            "own steps": str(self.steps),
            "pictures are read as": reads,
            "preprocessing": pixels.PREPROCESSING.format(side=sizes.side),
            "pixels": POSTPROCESSING,
            "guidance": "u + w (c - u), u of the empty prompt; the authors' guidance is w - 1",
            "image sampling": "masked codes in steps, cosine schedule; a generator a sample from its seed, on the model's device;"
            " the temperature divides logits, and is the first of the confidences' noise",
            "image likelihood": f"estimated: {self.estimating}, among the codes",
        }

    @property
    def world(self) -> bool:
        """Whether the checkpoint was trained on the embedded world, as its config.json says."""
        return self.config.get(WORLD_MARKER) is True

    @property
    def estimator(self) -> str:
        """How the likelihood of pictures is estimated."""
        return str(self.estimating)

    @property
    def question_pictures(self) -> tuple[int, int | None]:
        """One picture a question, or none."""
        return 0, 1

    @classmethod
    def load(cls, text: str, *, device: str = "cpu", dtype: str = "auto") -> Self:
        """Read `CHECKPOINT?vq=REF&tokenizer=REF&vision=REF&estimator=NAME&...`. `device` auto, cpu or cuda; `dtype` auto, float32
        or bfloat16, of all but the image tokenizer.

        Raises `UserError` for a wrong reference, device or dtype, and for a checkpoint that is damaged.
        """
        asked = reference.read(text)
        place = torch.device(machine.choose_device(device))
        kind = getattr(torch, machine.choose_dtype(dtype, place.type))
        found = files.load(asked, device=place, dtype=kind)
        made = cls(
            found.network,
            found.magvit,
            found.tokenizer,
            found.sizes,
            eyes=found.eyes,
            estimator=asked.estimator,
            name=text,
            fingerprint=found.fingerprint,
            parts=found.parts,
            config=found.config,
            folder=found.folder,
        )
        made.settings |= found.notes
        return made

    @classmethod
    def cannot_learn(cls, text: str) -> str | None:
        """Why a checkpoint cannot be trained; see `TellsWhyNot`."""
        name = reference.read(text).checkpoint
        folder = Path(name).expanduser()
        found = reference.sizes_of(text, folder if folder.is_dir() else hub.cached(name))
        return reference.CLIP if found is not None and found.clip else None

    @classmethod
    def sizes(cls, asked: Any) -> Sizes | None:
        """What the memory of a training follows from; see `TellsSizes`."""
        found = reference.sizes_of(asked.reference, asked.described(asked.checkpoints[0]))
        if found is None:
            return None
        with blamed(Path(asked.checkpoints[0]), "configuration"), torch.device("meta"):
            network = PhiForCausalLM(found.phi_config())
        phi: Any = network.config
        return Sizes(
            network=network,
            width=phi.hidden_size,
            inner=phi.intermediate_size,
            layers=phi.num_hidden_layers,
            keys=phi.num_key_value_heads * (phi.hidden_size // phi.num_attention_heads),
            vocabulary=phi.vocab_size,
            codes=found.magvit.codes,
            image_tokens=found.image_tokens,
            side=found.side,
            channels=found.magvit.decoder_channels[0],
            parallel=True,
        )

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> list[GeneratedImage]:
        """One picture per prompt, with its codes; see `TextToImage`."""
        tokens = self.draw(prompts, seeds=seeds, sampling=sampling).tokens
        found = self.decode_tokens(tokens)
        check_numbers(found.isfinite().flatten(1).all(dim=1), "the pixels of a picture")
        return [GeneratedImage(picture(x), row) for x, row in zip(found, tokens, strict=True)]

    def draw(self, prompts: Sequence[str], *, seeds: Sequence[int], sampling: ImageSampling) -> DrawnTokens:
        """Codes (prompts, image tokens), without decoding them; repeated prompts are read once."""
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts, but {len(seeds)} seeds")
        if not prompts:
            return DrawnTokens(torch.empty(0, self.size.image_tokens, dtype=torch.long))
        found = sampler.draw_codes(
            self.network,
            [self._prompt_ids(prompt) for prompt in prompts],
            ids=self.ids,
            codes=self.size.magvit.codes,
            image_tokens=self.size.image_tokens,
            prefix=self.size.prefix,
            seeds=seeds,
            sampling=sampling,
            steps=sampling.steps or self.steps,
        )
        return DrawnTokens(found)

    def decode_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """Pixels in [-1, 1], (pictures, 3, size, size), float32, of codes (pictures, image tokens)."""
        return self.magvit.decode(tokens)

    def check_sampling(self, sampling: ImageSampling) -> None:
        """It follows all settings; see `ChecksSampling`."""

    def cut_prompts(self, prompts: Sequence[str]) -> dict[str, int]:
        """See `CutsPrompts`: what is over the prefix is left out, as by the authors' code."""
        longer = sum(self._too_long(prompt) for prompt in set(prompts))
        return {f"the prefix of {self.size.prefix} tokens": longer} if longer else {}

    @property
    def caption_tokens(self) -> int:
        """See `LimitsCaptions`: a caption is read as the prompt of its picture."""
        asked = self._picture_tokens + len(self._question_ids(self.caption_request, pictured=True))
        return min(self._prompt_tokens, self.positions + 1 - asked)

    def answer(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        seeds: Sequence[int],
        sampling: TextSampling,
    ) -> list[str]:
        """One answer per question about its picture, or about none; see `ImageToText`."""
        return [self.text_of(ids) for ids in self.write(images, questions, seeds=seeds, sampling=sampling)]

    @torch.no_grad()
    def write(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        seeds: Sequence[int],
        sampling: TextSampling,
    ) -> list[list[int]]:
        """Answers as ids without the end token. Every distinct picture, and every distinct question about it, is read once."""
        check_asked(images, questions, seeds)
        found: dict[int, list[int]] = {}
        for chosen, which, shown in self._groups(images):
            prompts = [self._question_ids(questions[i], pictured=shown is not None) for i in chosen]
            rows, place = distinct([[which[j], *prompt] for j, prompt in enumerate(prompts)], self.network.device)
            shared = None
            if shown is not None:
                of = torch.tensor([row[0] for row in rows], device=self.network.device)
                shared = Shared(torch.stack([one.embedded for one in shown]), of, shown[0].mask)
            written = write_tokens(
                self.network.model,
                self.network.lm_head,
                [self._embed(row[1:]) for row in rows],
                place,
                positions=self.positions,
                seeds=[seeds[i] for i in chosen],
                sampling=sampling,
                ends={self.end_token},
                shared=shared,
                kind=PhiDecoder,
            )
            found.update(zip(chosen, written, strict=True))
        return [found[i] for i in range(len(questions))]

    def text_logprobs(self, images: Sequence[Image.Image] | torch.Tensor, texts: Sequence[str]) -> list[torch.Tensor]:
        """log p(text | picture) token by token, the geometry of the reward R_G: the picture and the caption request, then the
        text. `images` may be codes (pictures, image tokens), or pixels (pictures, 3, size, size) in [-1, 1]."""
        end = [self.end_token] if self.score_end else []
        answers = [self._answer_ids(text) + end for text in texts]
        return self.answer_scores(images, [self.caption_request] * len(texts), answers).logprobs

    def answer_logprobs(
        self, images: Sequence[Sequence[Image.Image]], questions: Sequence[str], answers: Sequence[str]
    ) -> list[torch.Tensor]:
        """log p(answer | picture or none, question) token by token; see `AnswerLikelihood`."""
        check_asked(images, questions, answers, "answers")
        found: dict[int, torch.Tensor] = {}
        for chosen, which, shown in self._groups(images):
            before = [self._nothing if shown is None else shown[place] for place in which]
            prompts = [self._question_ids(questions[i], pictured=shown is not None) for i in chosen]
            ids = [self._answer_ids(answers[i]) for i in chosen]
            self._check_answers(before, prompts, ids)
            scores = likelihood.answer_scores(self.network, before, prompts, ids, entropy=False)
            found.update(zip(chosen, scores.logprobs, strict=True))
        return [found[i] for i in range(len(questions))]

    def answer_scores(
        self,
        images: Sequence[Image.Image] | torch.Tensor,
        questions: Sequence[str],
        answers: Sequence[Sequence[int]],
        *,
        entropy: bool = False,
    ) -> TokenScores:
        """log p(answer token k | picture, question, answer tokens < k) of ids such as `write` returns; add the id of the
        end token to score that too. One picture per question, or its codes or pixels as `text_logprobs` takes them."""
        if not len(images) == len(questions) == len(answers):
            raise ValueError(f"{len(images)} pictures, {len(questions)} questions, {len(answers)} answers")
        if not questions:
            return TokenScores([], [])
        shown, which = self._pictured(images)
        before = [shown[place] for place in which]
        prompts = [self._question_ids(question, pictured=True) for question in questions]
        self._check_answers(before, prompts, answers)
        return likelihood.answer_scores(self.network, before, prompts, answers, entropy=entropy)

    def choice_logprobs(
        self, images: Sequence[Image.Image] | torch.Tensor, questions: Sequence[str], choices: Sequence[str]
    ) -> torch.Tensor:
        """log p(choice | picture, question) by the first token that differs, (questions, choices); see `ChoiceLikelihood`."""
        shared, different = apart([self._answer_ids(choice) for choice in choices], choices)
        if len(images) != len(questions):
            raise ValueError(f"{len(images)} pictures, {len(questions)} questions")
        if not questions:
            return torch.empty(0, len(choices))
        shown, which = self._pictured(images)
        prompts = [[*self._question_ids(question, pictured=True), *shared] for question in questions]
        return likelihood.next_token_scores(self.network, [shown[place] for place in which], prompts, different)

    def image_logprobs(self, texts: Sequence[str], image_tokens: torch.Tensor) -> torch.Tensor:
        """The estimated log p(codes | text), (texts, image tokens), without guidance; see `DualLikelihood` and `estimator`."""
        return torch.stack(self.image_scores(texts, image_tokens).logprobs) if texts else torch.empty(image_tokens.shape)

    def image_scores(
        self,
        texts: Sequence[str],
        image_tokens: torch.Tensor,
        *,
        guidance: float = 1.0,
        entropy: bool = False,
        seeds: Sequence[int] | None = None,
    ) -> TokenScores:
        """The same, also under guidance, and with the distributions' entropies when asked for; the mean over a row is the
        estimate. Without `seeds` they follow from the codes: texts about one picture are compared on the same draws, and no
        word's place is left out of every comparison."""
        if image_tokens.shape != (len(texts), self.size.image_tokens):
            raise ValueError(
                f"codes of shape {tuple(image_tokens.shape)}, {len(texts)} texts, {self.size.image_tokens} a picture"
            )
        if not texts:
            return TokenScores([], [])
        return likelihood.image_scores(
            self.network,
            [self._prompt_ids(text) for text in texts],
            image_tokens,
            ids=self.ids,
            sizes=self.size,
            estimator=self.estimating,
            seeds=seeds or [zlib.crc32(row.tobytes()) for row in image_tokens.cpu().numpy()],
            guidance=guidance,
            entropy=entropy,
        )

    def check_prompt(self, prompt: str) -> None:
        """Raises `UserError` for a prompt too long to be drawn whole, or to be scored as the text of a picture."""
        if self._too_long(prompt):
            raise UserError(
                f"a prompt has {self._prompt_tokens} tokens at most in model '{self.name}', which would draw "
                f"{quoted(prompt)} without its end; shorten it"
            )
        request = self._question_ids(self.caption_request, pictured=True)
        self._check_room(self._picture_tokens + len(request) + len(self._answer_ids(prompt)), "a picture and its text", prompt)

    def save(self, folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
        """Write a checkpoint that loads by itself: `weights` by the names of `network`, and everything beside them."""
        files.save(
            folder,
            weights,
            sizes=self.size,
            config=self.config,
            magvit=self.magvit,
            tokenizer=self.tokenizer,
            eyes=self.eyes,
            source=self.folder,
        )

    def saved(self, folder: Path) -> dict[str, torch.Tensor]:
        """The weights of `network` that `save` wrote. Raises `UserError` where they are not."""
        return files.saved(folder, self.network)

"""A vision-language model in this process as a judge, the back-end `vlm`: any checkpoint that the model adapter `vlm` reads.

Its weights are known by their digest, and yet it is never exact: which model a benchmark names is that benchmark's to say.
"""

from __future__ import annotations

from collections.abc import Sequence

from suder_bench.errors import JudgeError, UserError
from suder_bench.evaluators.judges import known_answers
from suder_bench.evaluators.judges.protocols import Picture, Talk, talks
from suder_bench.models.protocols import TextSampling
from suder_bench.models.vlm.model import VlmModel


def load(role: str, *, device: str = "auto", dtype: str = "auto", offline: bool = False, source: str | None = None) -> VlmJudge:
    """`source` is a checkpoint folder or a hub id, as after `--model vlm:`. Raises `JudgeError` where it cannot be had."""
    if source is None:
        raise JudgeError(f"judge {role}: no checkpoint; give --judge {role}=vlm:CHECKPOINT, a folder or a hub id")
    try:
        return VlmJudge(VlmModel.load(source, device=device, dtype=dtype), role)
    except UserError as error:
        raise JudgeError(f"judge {role}: {error}") from None


class VlmJudge:
    """Implements `PictureRater` and `PictureTalker` (role "mllm"), `FirstToken` ("first-token"), and `LanguageJudge` ("llm")."""

    exact = False
    whole_vocabulary = True

    def __init__(self, model: VlmModel, role: str = "mllm") -> None:
        self.backend, self.fingerprint, self._role, self._model = model.name, model.fingerprint, role, model

    def check(self) -> None:
        """A judge of texts is asked about a right and a wrong answer, one of pictures about a right and a wrong text, and one of
        first tokens about a right and a wrong yes."""
        known_answers.check_model(self, self._role)

    def rate(self, pictures: Sequence[Picture], requests: Sequence[str]) -> list[str]:
        """SRUM's settings: greedy, 512 tokens; the picture stands before its request."""
        return self.reply(talks(pictures, requests), max_tokens=512)

    def reply(self, talks: Sequence[Talk], *, max_tokens: int) -> list[str]:
        return self._model.talk(
            [[talk.picture] for talk in talks],
            [talk.turns for talk in talks],
            systems=[talk.system for talk in talks],
            pictures_last=[talk.picture_last for talk in talks],
            sampling=TextSampling(max_new_tokens=max_tokens),
        )

    def first_tokens(
        self, pictures: Sequence[Picture], questions: Sequence[str], spellings: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        return self._model.first_tokens(pictures, questions, spellings)

    def shared(self, spellings: Sequence[str]) -> list[int]:
        return [self._model.first_token(spelling) for spelling in spellings]

    def review(self, system: str, prompts: Sequence[str]) -> list[str]:
        """Greedy, unlike LLaVA-Bench's own judge; 1,024 tokens."""
        return self._texts(prompts, system, 1024)

    def mark(self, prompts: Sequence[str]) -> list[str]:
        """Greedy; 512 tokens."""
        return self._texts(prompts, "", 512)

    def _texts(self, prompts: Sequence[str], system: str, most: int) -> list[str]:
        count, sampling = len(prompts), TextSampling(max_new_tokens=most)
        turns, none = [(prompt,) for prompt in prompts], [()] * count
        return self._model.talk(none, turns, systems=[system] * count, pictures_last=[False] * count, sampling=sampling)

"""Any model of ours inside lmms-eval: `lmms-eval --model suder_bench --model_args pretrained=MODEL --tasks ...`.

Tasks, wording, cache and log files are lmms-eval's; batches, seeds and sampling are ours. Answers are handed over as they are
made, so that its cache holds them when a run is killed.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import torch
from lmms_eval.api.instance import GenerationResult
from lmms_eval.api.model import lmms
from lmms_eval.utils import simple_parse_args_string
from PIL import Image

from suder_bench import machine
from suder_bench.errors import UserError
from suder_bench.lmms import arguments, tasks
from suder_bench.lmms.arguments import Arguments
from suder_bench.lmms.questions import Question, choices, questions, talks
from suder_bench.models import reference
from suder_bench.models.protocols import (
    AnswerLikelihood,
    ImageSampling,
    ImageToText,
    LimitsPictures,
    Model,
    TextSampling,
    TextToImage,
)
from suder_bench.runs.batches import Batch, BatchSize, Failure, Lost, attempts, tell
from suder_bench.runs.encoding import encoded
from suder_bench.runs.respond import check_sampling
from suder_bench.runs.screen import Screen

Result = TypeVar("Result")


class Scored(tuple[float, bool]):
    """A loss, and whether it is that of the greedy answer.

    A plain pair becomes text in lmms-eval 0.7.3, which breaks on that; the text of a result it leaves as it is. Its cache would
    give back a plain pair: it keeps no blank texts, and so not this."""

    def strip(self) -> str:
        return ""


class Unanswered(UserError):
    """Questions failed, and lmms-eval's numbers would count them as wrong."""

    status = 1


class SuderBench(lmms):
    """The model that lmms-eval calls `suder_bench`. A mistake ends the process with one line and its status: lmms-eval would
    show a traceback and exit with 0."""

    is_simple = True

    def __init__(self, given: Arguments) -> None:
        super().__init__()
        with _told():
            machine.use_one_thread()  # as `suder-bench run` does, so that both answer alike
            found = reference.choose(given.pretrained)
            found.check()
            device = machine.choose_device(_own(given.device))
            self._model: Any = found.load(device=device, dtype=machine.choose_dtype(given.dtype, device))
            self._image = ImageSampling(
                given.temperature,
                found.guidance if given.guidance is None else given.guidance,
                found.steps if given.steps is None else given.steps,
            )
            check_sampling(cast(Model, self._model), self._image)
        self.device = torch.device(device)
        self._given = given
        self._size = BatchSize(given.at_once)
        self._folder = Path(given.pictures).resolve() / found.label
        self._screen = Screen()

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: Mapping[str, Any] | None = None) -> Self:
        """As lmms-eval's, but `batch_size` may stand in `--model_args` too, where its own breaks on a second one."""
        with _told():
            given = arguments.read(simple_parse_args_string(arg_string), additional_config or {})
        return cls(given)

    def clean(self) -> None:
        """Frees the model, for judges that lmms-eval starts on the same device."""
        self._model = None
        super().clean()

    def generate_until(self, requests: Sequence[Any]) -> Iterable[str]:
        """Answers, or pictures as `{"text": ..., "images": [file]}`, in order and as they are made."""
        with _told():
            asked = self._questions(requests)
            tasks.check({question.task for question in asked})
            for task in dict.fromkeys(question.task for question in asked):
                drawn = self._drawn(task)
                self._check_able(task, draws=drawn is not None, answers=drawn is not False)
        made = self._stream(asked, self._respond)
        return list(made) if len(asked) == 1 else made  # whose one answer lmms-eval may ask for by its place

    def generate_visual_cot(self, requests: Sequence[Any]) -> Iterable[str]:
        """Draws what the question says, from words alone, and answers about its own pictures and the drawn one."""
        with _told():
            asked = self._questions(requests)
            for question in asked:
                tasks.chain(question.task, question.text)
                self._check_able(question.task, draws=True, answers=True)
        return self._stream(asked, self._draw_and_answer)

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[list[str]]:
        """The answers of every round, where the task makes the next question of them; a round of all talks goes together."""
        with _told():
            found = talks(requests, self._given, self.task_dict)
            for talk in found:
                self._check_able(talk.question.task, draws=False, answers=True)
        while going := [talk for talk in found if not talk.ended]:
            said = list(self._stream([talk.question for talk in going], self._answer))
            for talk, answer in zip(going, said, strict=True):
                talk.go_on(answer)
        return [list(talk.said) for talk in found]

    def loglikelihood(self, requests: Sequence[Any]) -> Iterable[GenerationResult]:
        """The loss of the continuation given pictures and context, -log p a token, and whether a greedy answer would be it.

        lmms-eval's interface says log p, but its tasks choose the least, as its own models hand over their loss."""
        with _told():
            asked = choices(requests, self.task_dict)
            able = isinstance(self._model, AnswerLikelihood) and isinstance(self._model, ImageToText)
            for question in () if able else asked:
                raise UserError(f"model '{self._model.name}' tells no likelihoods of answers, which {question.task} asks for")
        return self._stream(asked, self._score, lacking=_result(math.inf, False))

    def _questions(self, requests: Sequence[Any]) -> list[Question]:
        """Also says what of their settings is not followed, and opens the first pictures of each task: one of videos is refused
        before anything is answered."""
        found = questions(requests, self._given, self.task_dict)
        seen = set()
        for question, request in zip(found, requests, strict=True):
            if question.task not in seen:
                seen.add(question.task)
                question.pictures()
                for setting in arguments.unfollowed(request.args[1]):
                    self._screen.say(f"{question.task} asks for {setting}, which models of suder-bench do not follow")
        return found

    def _drawn(self, task: str) -> bool | None:
        """None for a task that wants answers, else whether it wants one beside the picture."""
        wanted = tasks.DRAWN.get(task) if self._given.mode == "auto" else False
        return wanted if self._given.mode != "understanding" else None

    def _check_able(self, task: str, *, draws: bool, answers: bool) -> None:
        if draws and not isinstance(self._model, TextToImage):
            raise UserError(f"model '{self._model.name}' draws no pictures, which {task} asks for")
        if answers and not isinstance(self._model, ImageToText):
            raise UserError(f"model '{self._model.name}' answers no questions, which {task} asks for; mode=generation draws them")

    def _stream(
        self, asked: Sequence[Question], do: Callable[[Sequence[Question]], Sequence[Result]], lacking: Any = ""
    ) -> Iterator[Result]:
        """What `do` makes of the questions, in batches of one task and one sampling; `lacking` for those that fail. Where more
        fail than may, the last result does not come: lmms-eval asks for no more than there are questions."""
        failures: list[Failure[Question]] = []
        with _told():
            for count, result in enumerate(self._results(asked, do, failures, lacking), start=1):
                if count == len(asked):
                    self._judge(failures, len(asked))
                yield result

    def _results(
        self,
        asked: Sequence[Question],
        do: Callable[[Sequence[Question]], Sequence[Result]],
        failures: list[Failure[Question]],
        lacking: Any,
    ) -> Iterator[Result]:
        with self._screen.bar("suder_bench", len(asked)) as bar:
            for _, alike in groupby(asked, key=lambda question: (question.task, question.sampling)):
                several = list(alike)
                for found in attempts(several, do, size=self._size):
                    if isinstance(found, Batch):
                        bar.advance(len(found.results))
                        yield from found.results
                    elif isinstance(found, Lost):
                        failures.append(Failure(several[found.index], found.error))
                        bar.advance(1)
                        yield lacking
                    else:
                        self._screen.say(f"suder_bench: {found}")

    def _judge(self, failures: Sequence[Failure[Question]], total: int) -> None:
        tell(failures, lambda question: question.name, self._screen)
        if failures:
            wrong = f"{len(failures):,} of {total:,} requests have no answer, which lmms-eval counts as a wrong one"
            if len(failures) > self._given.allow_missing:
                raise Unanswered(f"{wrong}; allow_missing={len(failures)} in --model_args lets that pass")
            self._screen.say(wrong)

    def _respond(self, batch: Sequence[Question]) -> list[str]:
        beside = self._drawn(batch[0].task)
        if beside is None:
            return self._answer(batch)
        drawn = [file for _, file in self._draw([question.text for question in batch], batch)]
        said = self._answer(batch) if beside else [""] * len(batch)
        return [json.dumps({"text": text, "images": [file]}) for text, file in zip(said, drawn, strict=True)]

    def _draw_and_answer(self, batch: Sequence[Question]) -> list[str]:
        parted = [tasks.chain(question.task, question.text) for question in batch]
        drawn = [picture for picture, _ in self._draw([first for first, _ in parted], batch)]
        return self._answer(batch, [then for _, then in parted], [[picture] for picture in drawn])

    def _answer(
        self, batch: Sequence[Question], texts: Sequence[str] | None = None, beside: Sequence[Sequence[Image.Image]] | None = None
    ) -> list[str]:
        """`texts` are put in place of the questions' own, and the pictures `beside` shown after theirs."""
        more = beside or [[] for _ in batch]
        said = self._model.answer(
            [self._shown(question, others) for question, others in zip(batch, more, strict=True)],
            texts or [question.text for question in batch],
            seeds=[question.seed for question in batch],
            sampling=batch[0].sampling,
        )
        return [arguments.cut(text, question.stops) for text, question in zip(said, batch, strict=True)]

    def _shown(self, question: Question, others: Sequence[Image.Image] = ()) -> list[Image.Image]:
        shown = [*question.pictures(), *others]
        fewest, most = self._model.question_pictures if isinstance(self._model, LimitsPictures) else (0, None)
        if len(shown) < fewest or (most is not None and len(shown) > most):
            takes = f"{fewest}" if fewest == most else f"{fewest} to {most or 'any number'}"
            raise UserError(f"model '{self._model.name}' takes {takes} pictures a question, not {len(shown)}")
        return shown

    def _draw(self, prompts: Sequence[str], batch: Sequence[Question]) -> list[tuple[Image.Image, str]]:
        """Pictures and their files, which are named by what they show: cached answers of other settings keep theirs."""
        seeds = [question.seed for question in batch]
        made = [one.picture for one in self._model.generate(prompts, seeds=seeds, sampling=self._image)]
        files = []
        for question, picture in zip(batch, made, strict=True):
            content, digest = encoded(picture)
            file = self._folder / question.task / f"{question.document}-{digest[:16]}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            files.append(str(file))
        return list(zip(made, files, strict=True))

    @torch.no_grad()
    def _score(self, batch: Sequence[Question]) -> list[GenerationResult]:
        shown, texts = [self._shown(question) for question in batch], [question.text for question in batch]
        scores = self._model.answer_logprobs(shown, texts, [question.continuation for question in batch])
        greedy = [False] * len(batch)
        for length in {len(each) for each in scores} - {0}:
            places = [i for i, each in enumerate(scores) if len(each) == length]
            some = [shown[i] for i in places], [texts[i] for i in places]
            said = self._model.answer(*some, seeds=[0] * len(places), sampling=TextSampling(max_new_tokens=length))
            for i, answer in zip(places, said, strict=True):
                greedy[i] = answer == batch[i].continuation
        return [_result(-float(each.sum()) / max(1, len(each)), same) for each, same in zip(scores, greedy, strict=True)]


def _result(loss: float, greedy: bool) -> GenerationResult:
    return GenerationResult(Scored((loss, greedy)))


def _own(device: str) -> str:
    """Of several processes that `accelerate launch` or `torchrun` starts, each has a GPU to itself."""
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if rank and device in ("auto", "cuda") and torch.cuda.is_available() else device


@contextmanager
def _told() -> Iterator[None]:
    """Ends the process with one line for a mistake: what lmms-eval catches is not `SystemExit`."""
    try:
        yield
    except UserError as mistake:
        print(f"suder_bench: {mistake}", file=sys.stderr)
        raise SystemExit(mistake.status) from None

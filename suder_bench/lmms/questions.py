"""lmms-eval's requests as questions of ours, and talks of several rounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from PIL import Image

from suder_bench.errors import PictureError, UserError
from suder_bench.lmms import arguments
from suder_bench.lmms.arguments import Arguments
from suder_bench.models.protocols import TextSampling
from suder_bench.rgb import to_rgb
from suder_bench.runs.plan import seed_of

Pictures = Callable[[], Sequence[Image.Image]]


@dataclass(frozen=True)
class Question:
    """One request. `document` is "split-number"; `pictures` opens those that are asked about, when it is their turn; `seed`
    decides its random stream. `continuation` is what a likelihood is asked of."""

    task: str
    document: str
    text: str
    pictures: Pictures
    seed: int
    sampling: TextSampling
    stops: tuple[str, ...] = ()
    continuation: str = ""

    @property
    def name(self) -> str:
        return f"{self.task} {self.document}"


@dataclass
class Talk:
    """A question whose next round the task makes of the answers: `follow` is its `doc_to_text` of the document."""

    question: Question
    follow: Callable[..., tuple[Any, Any, bool, Sequence[str], Any]]
    said: tuple[str, ...] = ()
    kept: Any = None
    turn: int = 0
    ended: bool = False

    def go_on(self, answer: str) -> None:
        self.turn += 1
        before = (*self.said, answer)
        shown, text, self.ended, said, self.kept = self.follow(
            previous_output=list(before), round_idx=self.turn, previous_round_info=self.kept
        )
        self.said = tuple(said)
        if not self.ended:
            task = self.question.task
            self.question = replace(self.question, text=text, pictures=lambda: opened(task, shown))


def questions(requests: Iterable[Any], given: Arguments, data: Any) -> list[Question]:
    """Of requests for answers (context, generation arguments, pictures of a document, its number, task, split). `data` is
    lmms-eval's table of documents by task and split. A repeated request gets a seed of its own."""
    found, times = [], Counter[tuple[str, str]]()
    for request in requests:
        context, asked, visual, number, task, split = request.args
        document = f"{split}-{number}"
        repeat = times[task, document]
        times[task, document] += 1
        found.append(
            Question(
                task,
                document,
                context,
                partial(_look, task, visual, data[task][split], number),
                seed_of(given.seed, task, document, repeat),
                arguments.text_sampling(asked, given.max_new_tokens),
                arguments.stops(asked),
            )
        )
    return found


def talks(requests: Iterable[Any], given: Arguments, data: Any) -> list[Talk]:
    """Of requests that have the maker of the next round behind the pictures."""
    found = []
    for request in requests:
        context, asked, visual, follow, number, task, split = request.args
        [question] = questions([_Request((context, asked, visual, number, task, split))], given, data)
        found.append(Talk(question, partial(follow, data[task][split][number])))
    return found


def choices(requests: Iterable[Any], data: Any) -> list[Question]:
    """Of requests for likelihoods (context, continuation, pictures, number, task, split), or of the first two alone. The blank
    before a continuation is left out: a model's own template has one where it needs one."""
    found = []
    for request in requests:
        context, continuation, *rest = request.args
        visual, number, task, split = rest or (None, request.doc_id, request.task_name, None)
        if callable(continuation):
            continuation = continuation(data[task][split][number])
        look: Pictures = partial(_look, task, visual, data[task][split], number) if rest else list
        words = str(continuation).strip()
        found.append(Question(task, f"{split}-{number}", context, look, 0, TextSampling(), continuation=words))
    return found


@dataclass(frozen=True)
class _Request:
    args: tuple[Any, ...]


def _look(task: str, visual: Any, documents: Any, number: int) -> list[Image.Image]:
    return opened(task, visual(documents[number]) if callable(visual) else visual)


def opened(task: str, shown: Any) -> list[Image.Image]:
    """What a task shows, as 8-bit RGB. Raises `UserError` for what is no picture."""
    several = [] if shown is None else [shown] if isinstance(shown, Image.Image) else list(shown)
    for one in several:
        if not isinstance(one, Image.Image):
            raise UserError(
                f"{task} shows {type(one).__name__} {str(one)[:60]!r}, and models of suder-bench look at pictures alone; "
                "leave it out of --tasks"
            )
    try:
        return [to_rgb(one) for one in several]
    except (ValueError, OSError) as error:
        raise PictureError(f"{task}: a picture cannot be read ({error})") from None

"""A card for each benchmark: its paper, data, licence, judges and protocols, and what goes wrong with its numbers.

Here stands only what no other table of this package knows; `page` takes the rest from where it is used: files and licences from
`official.csv` and `materials.csv`, weights from `weights.csv`, headline and protocols from the benchmark itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suder_bench import registry
from suder_bench.about import ABOUT
from suder_bench.data import catalogue, owners
from suder_bench.errors import unknown
from suder_bench.evaluators.judges import manifest
from suder_bench.suites import SUITES

OWN_WORDS = "the official questions to the judge in our words"
TABLES = {
    "dev-en-v11": "the English development table of V1.1",
    "dev-cn": "the Chinese development table",
    "dev-cn-v11": "the Chinese development table of V1.1",
    "test-en": "the English test table, whose answers only MMBench's server has",
    "test-en-v11": "the English test table of V1.1",
    "test-cn": "the Chinese test table",
    "test-cn-v11": "the Chinese test table of V1.1",
}


@dataclass(frozen=True)
class Card:
    """`paper` is its title, `by` who and when, `arxiv` its number there. `judge` says who judges officially, by name. `protocols`
    say what each of the benchmark's protocols is. A trap is what makes two numbers of one name incomparable. `pages` are those of
    `docs/` that tell more."""

    title: str
    paper: str
    by: str
    arxiv: str
    judge: str
    protocols: Mapping[str, str]
    traps: Sequence[str]
    pages: Mapping[str, str]


WISE_PAPER = (
    "WISE: A World Knowledge-Informed Semantic Evaluation for Text-to-Image Generation",
    "Niu et al. 2025",
    "2503.07265",
)
REASONING = {"reasoning.md": "Pictures that need reasoning"}
READ = {"protocols.md": "whose rules read an answer, and how a question is put", "answers.md": "which files of answers are read"}

CARDS: Mapping[str, Card] = {
    "geneval": Card(
        "GenEval",
        "GenEval: An Object-Focused Framework for Evaluating Text-to-Image Alignment",
        "Ghosh, Hajishirzi and Schmidt 2023",
        "2310.11513",
        "Mask2Former Swin-S on COCO finds the objects, CLIP ViT-L/14 names the colours of the most confident ones",
        {"official": "the authors' script, to the last tie"},
        [
            "The overall is the plain mean of six tags, not of pictures: a tag has 80 to 100 prompts.",
            "An object counts from a confidence above 0.3, in `counting` above 0.9; more objects than asked for are wrong "
            "only there.",
            "Of `colors` and `color_attr` only the most confident object is looked at: a second one of the right colour "
            "does not help.",
            "In `position` the object to be placed is the second of the metadata, the reverse of the words' order.",
            "Prompts that a language model has rewritten (BAGEL's long ones) are another benchmark; pictures of them are marked.",
            "Some builds of mmcv give far too low confidences without a word: known answers are asked before every scoring.",
            "Object classes in one list have the detector's order: sorting them renames every object.",
        ],
        {"geneval-detector.md": "GenEval's detector", "judges.md": "getting the judges"},
    ),
    "t2i-compbench": Card(
        "T2I-CompBench and T2I-CompBench++",
        "T2I-CompBench: A Comprehensive Benchmark for Open-world Compositional Text-to-image Generation",
        "Huang et al. 2023, with two more categories 2025",
        "2307.06350",
        "BLIP-VQA, UniDet (ResNeSt-200 in the plane, ResNet-50 in depth and for numbers), DPT-Hybrid, CLIP ViT-B/32, and "
        "spaCy for the prompts",
        {
            "official": "the authors' scripts with their known mistakes, so that numbers compare",
            "fixed": 'three of these repaired: "on top of" in complex prompts, the transposed depth map, which box stands '
            "for an object",
            "srum": "0 to 100 by one vision-language model (Qwen2.5-VL) in SRUM's words",
            "suder-bench-srum": "the same in our words",
        },
        [
            "There is no official overall; `average` here is the mean of the first paper's six categories.",
            'In complex prompts "on top of" is never scored (32 of 58 spatial ones), and the depth map is read transposed: '
            "both stay as they are under `official`.",
            "Boxes are measured in pixels of a picture of 480: another size of the detector's input moves the spatial score.",
            "A spatial score below 0.5 becomes 0, but not that of 3D.",
            "CLIP's score is the raw cosine: a factor of 2.5 or a prefix makes another number.",
            "A judge's reply without a number counts as -1 in SRUM's rubric, and stays in the mean.",
            "Only validation prompts count; training prompts add about three points. Six of the 2,400 validation prompts "
            "stand word for word in the 5,600 training prompts (shape 4, spatial 2), and 72 have the same words in "
            "another order.",
            "Noun chunks depend on spaCy's model: another version asks BLIP other questions.",
        ],
        {
            "t2i-compbench-judges.md": "its judges, and how close other weights are",
            "unidet.md": "UniDet without detectron2",
            "detections.md": "detections made elsewhere",
            "judges.md": "getting the judges",
        },
    ),
    "pope": Card(
        "POPE",
        "Evaluating Object Hallucination in Large Vision-Language Models",
        "Li et al. 2023",
        "2305.10355",
        "none: a yes or a no is read from the answer",
        {
            "official": "COCO's three tracks: random, popular, adversarial",
            "aokvqa": "the three tracks of A-OKVQA's pictures",
            "gqa": "the three tracks of GQA's pictures",
        },
        [
            "There are two releases: the older has 2,910 random questions in another order, and answers to it must not "
            "meet the labels of the newer one. LLaVA's 8,910 questions are of the older.",
            "Papers report F1 on random (Janus, SUDER), the mean F1 of three tracks (LLaVA) or a pooled one (VLMEvalKit): "
            "they differ by one or two points.",
            'The official reader takes every answer for a yes that has no exact "No", "no" or "not" before its first full '
            'stop: "NO" '
            "and an empty answer are yes.",
            "lmms-eval's share of yes is that of the labels, and so always a half.",
            "The three tracks share pictures and all questions with the answer yes: 9,000 rows hold 5,127 different questions.",
        ],
        READ,
    ),
    "hallusionbench": Card(
        "HallusionBench",
        "HallusionBench: An Advanced Diagnostic Suite for Entangled Language Hallucination and Visual Illusion in Large "
        "Vision-Language Models",
        "Guan et al. 2023",
        "2310.14566",
        "officially GPT-4, which reads answer and reference (`official-llm`); most numbers in papers are read by exact match",
        {
            "official": "VLMEvalKit's exact match on the 951 questions with a picture, which papers report",
            "official-llm": "the authors' scoring of all 1,129 questions: a language model marks the answers, asked in "
            "their words",
            "suder-bench-llm": "the same in our words",
        },
        [
            "Leaderboards print the mean of three accuracies (by question, figure and pair of questions): one model has "
            "50.4 so, and 67.9 by question alone.",
            "951 questions have a picture, 1,129 are all: accuracies over the two do not compare.",
            "An answer with both yes and no, or neither, is wrong without a language model, and `**No**` is neither.",
            "The reference of the authors' judge is a sentence, not the label, and an unclear answer counts as right "
            "where a question has no picture on purpose.",
        ],
        {**READ, "endpoint-judges.md": "language models as judges"},
    ),
    "llavabench": Card(
        "LLaVA-Bench (In-the-Wild)",
        "Visual Instruction Tuning",
        "Liu et al. 2023",
        "2304.08485",
        "GPT-4-0314, which is withdrawn; it sees no picture, but a caption and a reference answer",
        {
            "official": "the authors' rules and system message, any judge behind an address",
            "suder-bench": "their rules with a system message of ours",
            "reviews": "published reviews summed up, without a judge",
        },
        [
            "Whatever model judges is part of the number: other judges moved one model from 83 to 67.",
            "The score is a ratio of means, not a mean of ratios, and may exceed 100.",
            'Three numbers are printed, and the headline is the ratio ("all"); "GPT4 Score" is the reference\'s own.',
            "A reply that cannot be read scores -1 and -1 in the script, and an all-failed run reads 100; here it is an error.",
            "60 questions: one moves the headline by 0.1 to 0.2, and another try of the same answers by 1.",
            "The reference answer always comes first: no swap evens out a judge's liking for places.",
        ],
        {**READ, "endpoint-judges.md": "language models as judges"},
    ),
    "mmbench": Card(
        "MMBench",
        "MMBench: Is Your Multi-modal Model an All-around Player?",
        "Liu et al. 2023",
        "2307.06281",
        "none by default: letters are read by VLMEvalKit's rules; its language model reads the rest under the protocols "
        "ending `-llm`",
        {
            "official": "the English development table, v1.0",
            **TABLES,
            "suder-bench-llm": "the table of `official`, and a language model reads what the rules cannot, asked in our words",
            **{f"{name}-llm": f"{what}, with that language model" for name, what in TABLES.items()},
        },
        [
            "Circular and vanilla differ by eight points for the same answers: Janus and SUDER print vanilla, LLaVA circular.",
            "v1.0 has 1,164 questions, LLaVA's first edition 1,176, and V1.1 others again.",
            "VLMEvalKit's rules changed in 2025 and 2026, and a letter is drawn at random where nobody can read one; here "
            "it is wrong, and `unextracted` counts it.",
            'An option "None" disappears where a table is read with pandas.',
            "In the first edition 53 questions with four options have only three passes: group rows by question.",
        ],
        {**READ, "endpoint-judges.md": "language models as judges"},
    ),
    "seedbench": Card(
        "SEED-Bench, questions about pictures",
        "SEED-Bench: Benchmarking Multimodal LLMs with Generative Comprehension",
        "Li et al. 2023",
        "2307.16125",
        "none: a letter is read, or the four choices are ranked by their loss",
        {
            "official": "the letter that a model writes, by VLMEvalKit's rules",
            "likelihood": "the authors' ranking of the choices by loss",
        },
        [
            "Ranked and written answers contradict each other in most disagreements: no table may mix the two protocols.",
            "LLaVA's 58.6 is over pictures and videos; Janus', and SUDER's, are over the 14,232 questions about pictures.",
            "The overall is over questions; the mean of nine dimensions is another number.",
            'lmms-eval reads the first character: "Apple" is an A.',
            "SUDER's appendix describes SEED-Bench-2; its values fit this part of the first.",
        ],
        READ,
    ),
    "geneval2": Card(
        "GenEval 2",
        "GenEval 2: Addressing Benchmark Drift in Text-to-Image Evaluation",
        "Kamath et al. 2025",
        "2512.16853",
        "Qwen3-VL-8B-Instruct, by the probability of the first token of its answer",
        {
            "official": "the sum over accepted spellings, as in the script, where a token may count twice",
            "fixed": "each token once",
        },
        [
            "One question with probability 0 makes a prompt's geometric mean 0.",
            "A server that tells only the likeliest tokens gives lower bounds, which are counted.",
            "`atom_count` is not the number of questions.",
            "Its licence forbids commercial use: it is in no suite but `gen2`, and fetched only by name.",
        ],
        REASONING,
    ),
    "t2i-reasonbench": Card(
        "T2I-ReasonBench",
        "T2I-ReasonBench: Benchmarking Reasoning-Informed Text-to-Image Generation",
        "Sun et al. 2025",
        "2508.17472",
        "Qwen2.5-VL-72B-Instruct, which describes the picture and then answers questions about it",
        {"official": "the authors' words and reading of replies", "suder-bench": OWN_WORDS},
        [
            "Absolute values depend on the judge: score the baseline by the same one.",
            "Replies are read from the first { to the first }: a bracket in the reasoning makes one unreadable, and it leaves "
            "the mean; `strict` counts it as 0.",
            "A picture that is missing leaves the mean too, and is counted as skipped.",
            "The released script for entities stops at a variable that is never set.",
            "Prompts of the questions' files differ from the prompts to draw in eleven places.",
        ],
        REASONING,
    ),
    "wise-verified": Card(
        "WISE, verified",
        *WISE_PAPER,
        "Qwen3.5-35B-A3B, not thinking: 1 or 0 a picture",
        {"official": "the authors' words", "suder-bench": OWN_WORDS},
        [
            "Not to be set beside the first WISE: about 200 prompts, the marks and the judge changed.",
            "The overall weighs culture 0.4 and the five others 0.12 each; it is the plain mean only where all 1,000 are there.",
            "Replies that cannot be read leave the mean; `strict` counts them as 0.",
        ],
        REASONING,
    ),
    "wise-legacy": Card(
        "WISE, as first published",
        *WISE_PAPER,
        "GPT-4o-2024-05-13: three marks from 0 to 2 a picture",
        {
            "official": "the authors' words",
            "suder-bench": OWN_WORDS,
            "rewrite": "the authors' rewritten prompts, which spell the knowledge out",
        },
        [
            "Not to be set beside `wise-verified`: about 200 prompts, the marks and the judge changed.",
            "`rewrite` is another track, and its metrics say so.",
            "A picture's score is (0.7 consistency + 0.2 realism + 0.1 aesthetic quality) / 2.",
        ],
        REASONING,
    ),
}


def card(name: str) -> Card:
    """Raises `UserError` for a benchmark without one."""
    if name not in CARDS:
        raise unknown("benchmark with a card", name, CARDS)
    return CARDS[name]


def page(name: str, docs: str = "../") -> str:
    """The card as a page of Markdown that calls the folder of the documentation `docs`. Raises `UserError` for a benchmark
    without one."""
    told, benchmark = card(name), registry.load("benchmarks", name)
    return "\n".join([f"# {told.title}", "", *_facts(name, told, benchmark), *_rest(name, told, benchmark, docs)]) + "\n"


def _facts(name: str, told: Card, benchmark: Any) -> Iterator[str]:
    about = ABOUT["benchmarks"][name]
    yield f"{about[0].upper()}{about[1:]}."
    yield ""
    yield from _table(["", ""], _few(name, told, benchmark))
    yield ""
    yield "```sh"
    yield f"suder-bench run --model MODEL --benchmark {name} --data official"
    yield "```"


def _few(name: str, told: Card, benchmark: Any) -> Iterator[list[str]]:
    yield ["paper", f"{told.by}, *{told.paper}*, [arXiv:{told.arxiv}](https://arxiv.org/abs/{told.arxiv})"]
    yield ["headline", f"`{benchmark.headline}`"]
    yield ["metrics of the short table", ", ".join(f"`{metric}`" for metric in benchmark.paper_metrics)]
    what = "pictures to a prompt" if benchmark.kind == "generation" else "answers to a question"
    yield [what, str(benchmark.repeats)]
    yield ["suites", ", ".join(f"`{suite}`" for suite, names in SUITES.items() if name in names) or "none"]
    yield ["judged officially by", told.judge]


def _rest(name: str, told: Card, benchmark: Any, docs: str) -> Iterator[str]:
    yield from ("", "## Traps", "", *(f"- {trap}" for trap in told.traps))
    yield from ("", "## Protocols", "")
    if len(told.protocols) > 1:
        yield from ("Metrics of any but `official` carry its name, and stand in tables of their own.", "")
    yield from _table(["`--protocol`", "what it is"], ([f"`{one}`", told.protocols[one]] for one in benchmark.protocols))
    yield from ("", "## Data", "")
    yield from _data(name, docs)
    if benchmark.judge_roles:
        yield from ("", "## Judges", "")
        yield from _table(["role", "what it does", "official weights", "licence"], map(_role, benchmark.judge_roles))
    yield from ("", "## More", "", *(f"- [{what}]({docs}{place})" for place, what in told.pages.items()))


def _data(name: str, docs: str) -> Iterator[str]:
    rows: dict[tuple[str, str, str], list[int]] = {}
    for file in catalogue.official_files([name], [name]):
        rows.setdefault((file.repository, file.commit, file.terms), []).append(file.bytes)
    if rows:
        yield from _table(["files of", "commit", "how many", "bytes", "licence"], _files(rows))
        yield ""
    theirs = [[one.what, f"<{one.address}>", one.size, one.licence] for one in owners.materials([name])]
    if theirs:
        yield from _table(["pictures, and tables that hold them", "where", "size", "licence"], theirs)
        yield ""
    yield f"`suder-bench data fetch {name}` brings what can be fetched: [where they are, and where they go]({docs}data.md)."


def _files(rows: Mapping[tuple[str, str, str], Sequence[int]]) -> Iterator[list[str]]:
    for (repository, commit, terms), sizes in rows.items():
        where = f"[{repository}](https://github.com/{repository}/tree/{commit})"
        yield [where, f"`{commit[:12]}`", str(len(sizes)), f"{sum(sizes):,}", terms]


def _role(role: str) -> list[str]:
    weights = manifest.of(role) if role in manifest.roles() else []
    networks, licences = ({getattr(one, what): None for one in weights} for what in ("network", "licence"))
    none = "a language model that is named with `--judge`"
    return [f"`{role}`", ABOUT["judges"][role], ", ".join(networks) or none, ", ".join(licences) or "its own"]


def _table(head: Sequence[str], rows: Any) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"

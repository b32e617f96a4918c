"""What each name that ships here is, in a line: read by `suder-bench list`, which imports nothing that it names."""

from __future__ import annotations

from collections.abc import Mapping

from suder_bench.registry import Group

ABOUT: Mapping[Group | str, Mapping[str, str]] = {
    "benchmarks": {
        "geneval": "pictures: are the objects there, how many, which colour, where (553 prompts)",
        "t2i-compbench": "pictures: do attributes, relations and counts go to the right object (eight categories)",
        "pope": "questions: does the model see objects that are not there (three tracks)",
        "hallusionbench": "questions: does it look, or guess from what it knows (yes/no, in groups)",
        "llavabench": "questions: open ones, marked by a language model against a reference (60)",
        "mmbench": "questions: multiple choice, also with the options in every order",
        "seedbench": "questions: multiple choice on nine abilities, about pictures (14,232)",
        "geneval2": "pictures: objects, counts, attributes, places and verbs in longer prompts (800; CC BY-NC 4.0)",
        "t2i-reasonbench": "pictures: what has to be worked out before it is drawn, in four dimensions (800)",
        "wise-verified": "pictures: what world knowledge makes of a hint, right or wrong (1,000; update of 2026)",
        "wise-legacy": "pictures: the first WISE, three marks each (1,000; no numbers compare with wise-verified's)",
    },
    "models": {
        "tiny-janus": "shipped Janus: 7.3 million parameters, trained from scratch on the embedded world",
        "tiny-showo": "shipped Show-o: 5.9 million parameters, trained from scratch on the embedded world",
        "janus:REFERENCE": "Janus or Janus-Pro, also BASE+ADAPTERS: draws, answers, scores texts and pictures, can be trained",
        "emu3:REFERENCE": "Emu3: GEN+CHAT, two folders or hub ids, or one for both: draws, answers, scores texts and pictures",
        "showo:REFERENCE": "Show-o, 256 or 512 pixels: draws, answers, scores texts, estimates pictures, can be trained",
        "openai:REFERENCE": "a model behind an address, MODEL@URL: draws, answers and scores what its server offers",
        "vlm:REFERENCE": "an image-text-to-text model (LLaVA, Qwen2.5-VL, InstructBLIP, InternVL): answers, scores texts",
        "diffusers:REFERENCE": "a pipeline of diffusers (SD, SDXL, SD3, FLUX, PixArt, ...), a folder or an id of the hub: draws",
        "folder:REFERENCE": "pictures made elsewhere, in a folder",
    },
    "judges": {
        "detector": "finds GenEval's objects",
        "detector-2d": "finds the objects of T2I-CompBench's spatial relations and counts",
        "detector-3d": "finds the objects of T2I-CompBench's relations in depth",
        "color": "names an object's colour, for GenEval",
        "vqa": "answers yes or no about a picture, for T2I-CompBench's attributes",
        "clip": "says how well a picture fits a text",
        "depth": "says what lies nearer, for T2I-CompBench's relations in depth",
        "parser": "reads the nouns of T2I-CompBench's prompts",
        "llm": "a language model: marks LLaVA-Bench's and HallusionBench's answers",
        "mllm": "a language model that sees: scores the pictures of T2I-ReasonBench, WISE and, if asked to, T2I-CompBench",
        "first-token": "a language model that sees: how likely its answer begins with a word, for GenEval 2",
    },
    "rewards": {
        "dsr": "the model's own likelihood of the prompt given the picture, and of the picture given the caption",
        "clip": "CLIP's cosine of picture and text",
        "vqa": "the model's own yes when asked whether the picture shows the prompt",
        "srum": "the same of the whole picture and of nine regions, together",
        "evaluator:BENCHMARK": "a generation benchmark's own verdict on the picture",
        "remote:URL": "the same, by the judges of a suder-bench serve elsewhere",
    },
    "suites": {
        "gen": "the benchmarks that have pictures drawn",
        "und": "the benchmarks that ask about pictures",
        "all": "the benchmarks of gen and und",
        "paper": "the benchmarks of SUDER's tables, which today are the same as all",
        "reason": "pictures that need reasoning and knowledge, by judges that are language models",
        "gen2": "the benchmarks of gen, and GenEval 2 between them",
    },
}
"""By kind; judges by role."""

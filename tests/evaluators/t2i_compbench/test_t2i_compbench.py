"""T2I-CompBench as a whole: files, layout, batches of mixed categories, aggregate."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from answering import official
from hypothesis import given
from hypothesis import strategies as st
from parses import ScriptedParser, parse
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.evaluators.judges.protocols import Detection
from suder_bench.evaluators.t2i_compbench import CATEGORIES, T2ICompBench, training_prompts
from suder_bench.evaluators.t2i_compbench.layout import image_path, stem
from suder_bench.evaluators.t2i_compbench.mllm import REQUEST
from suder_bench.records import Answered, Response, Sample, Stranger, Verdict

PROMPTS = {
    "color": ["a green bench and a blue bowl", "a red cat and a blue dog"],
    "shape": ["an oblong cucumber"],
    "texture": ["a plastic toy"],
    "spatial": ["a cat on the left of a dog"],
    "non_spatial": ["A person is looking at a rainbow."],
    "complex": ["The Red hat is on top of the rack.", "The old dog chases the cat.", "The cat runs near the small dog."],
    "3d_spatial": ["a cat behind a dog"],
    "numeracy": ["two dogs and a cat"],
}
PARSES = {
    "a green bench and a blue bowl": parse("", "a green bench", "a blue bowl"),
    "a red cat and a blue dog": parse("", "a red cat", "a blue dog"),
    "an oblong cucumber": parse("", "an oblong cucumber"),
    "a plastic toy": parse(""),
    "a cat on the left of a dog": parse("a/DET cat/NOUN on/ADP the/DET left/NOUN of/ADP a/DET dog/NOUN"),
    "The Red hat is on top of the rack.": parse(
        "The/DET Red/ADJ hat/NOUN is/AUX on/ADP top/NOUN of/ADP the/DET rack/NOUN ./PUNCT", "The Red hat"
    ),
    "The old dog chases the cat.": parse(
        "The/DET old/ADJ dog/NOUN chases/VERB the/DET cat/NOUN ./PUNCT", "The old dog", "the cat"
    ),
    "The cat runs near the small dog.": parse(
        "The/DET cat/NOUN runs/VERB near/ADP the/DET small/ADJ dog/NOUN ./PUNCT", "The cat"
    ),
    "a cat behind a dog": parse("a/DET cat/NOUN behind/ADP a/DET dog/NOUN"),
    "two dogs and a cat": parse("two/NUM dogs/NOUN and/CCONJ a/DET cat/NOUN"),
}


def write_data(folder: Path, prompts: dict[str, list[str]] = PROMPTS, end: str = "\n") -> Path:
    files = {f"{category}_val": lines for category, lines in prompts.items()}
    files |= {
        "complex_val_spatial": ["THE RED HAT IS ON TOP OF THE RACK"],
        "complex_val_action": ["The old dog chases the cat. "],
        "complex_val_spatialaction": ["The cat runs near the small dog."],
        "new_objects": ["dog - dogs", "cat - cats"],
    }
    for name, lines in files.items():
        folder.joinpath(f"{name}.txt").write_bytes(end.join(lines).encode())
    folder.joinpath("qwen_eval.py").write_text("question_text = (f'Rate this: \"{prompt_name}\" ' f'as {{JSON}}.')\n")
    return folder


@pytest.fixture
def bench(tmp_path) -> T2ICompBench:
    tmp_path.joinpath("t2i_compbench").mkdir()
    write_data(tmp_path / "t2i_compbench")
    return T2ICompBench(tmp_path)


class Judges:
    """One object in every role; counts its calls."""

    backend, exact, fingerprint = "scripted", False, "0"

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.texts: list[str] = []
        self.parser = ScriptedParser(PARSES)

    def roles(self) -> dict:
        return dict.fromkeys(("vqa", "detector-2d", "detector-3d", "depth", "clip", "mllm"), self) | {"parser": self.parser}

    def p_yes(self, pictures, questions):
        self.calls["vqa"] += 1
        return [[0.9, 0.8][: len(own)] for own in questions]

    def detect(self, pictures):
        self.calls["detector"] += 1
        one = [Detection("cat", 0.9, (100, 100, 150, 150)), Detection("dog", 0.8, (300, 100, 350, 150))]
        return [one] * len(pictures)

    def depth(self, pictures):
        self.calls["depth"] += 1
        return [np.zeros((4, 4)) for _ in pictures]

    def similarity(self, pictures, texts):
        self.calls["clip"] += 1
        self.texts += texts
        return [0.31] * len(texts)

    def rate(self, pictures, requests):
        self.calls["mllm"] += 1
        return ['{"score": 85}'] * (len(requests) - 1) + ["?"]


def answers(samples: list[Sample], folder: Path) -> list[Answered]:
    file = folder / "picture.png"
    Image.new("RGB", (64, 64), "red").save(file)
    return [Answered(sample, Response("t2i-compbench", sample.id, 0, 0, sample.id, image="p"), file) for sample in samples]


def test_a_mixed_batch_asks_each_judge_once_a_part(bench, tmp_path):
    judges, samples = Judges(), bench.samples()
    answered = answers(samples + samples, tmp_path)
    verdicts = list(bench.verdicts(answered, judges.roles()))
    assert judges.calls == {"vqa": 1, "detector": 3, "depth": 1, "clip": 1}
    assert len(judges.parser.asked) == len(set(judges.parser.asked)) == len(samples) - 1
    assert judges.texts[:3] == ["A person is looking at a rainbow.", "The dog chases the cat .", "The cat runs near the dog ."]
    assert verdicts[len(samples) :] == verdicts[: len(samples)]
    scores = {verdict.sample: verdict.scores["score"] for verdict in verdicts}
    assert scores == pytest.approx(
        {
            "color/0000": 0.72,
            "color/0001": 0.72,
            "shape/0000": 0.9,
            "texture/0000": 1.0,
            "spatial/0000": 0.925,
            "non_spatial/0000": 0.31,
            "complex/0000": (0.9 + 0) / 2,
            "complex/0001": (0.72 + 0.31) / 2,
            "complex/0002": (0.9 + 0.925 + 0.31) / 3,
            "3d_spatial/0000": 0.425,
            "numeracy/0000": 0.75,
        }
    )
    by_id = {verdict.sample: verdict for verdict in verdicts}
    assert by_id["complex/0001"].scores == pytest.approx({"score": 0.515, "attribute": 0.72, "clip": 0.31})
    assert by_id["spatial/0000"].reason == "cat on the left of dog: yes"
    assert by_id["numeracy/0000"].reason == "expected 2 dog, found 1; expected 1 cat, found 1"
    json.dumps([dict(verdict.details) for verdict in verdicts])


def test_verdicts_do_not_depend_on_the_batch(bench, tmp_path):
    answered = answers(bench.samples(), tmp_path)
    whole = list(bench.verdicts(answered, Judges().roles()))
    single = [verdict for answer in answered for verdict in bench.verdicts([answer], Judges().roles())]
    assert single == whole


def test_the_order_of_a_batch_changes_no_word_of_a_reason(bench, tmp_path):
    answered = answers(bench.samples(), tmp_path)
    whole = list(bench.verdicts(answered, Judges().roles()))
    backwards = list(bench.verdicts(answered[::-1], Judges().roles()))
    assert backwards[::-1] == whole
    assert [list(verdict.scores) for verdict in backwards[::-1]] == [list(verdict.scores) for verdict in whole]


def test_a_prompt_of_ones_own_is_asked_as_its_category_is(bench):
    own = bench.sample_of("a pink cat", {"category": "color"})
    assert (own.prompt, own.truth) == ("a pink cat", {"category": "color"})
    assert bench.sample_of("a plastic toy", {"category": "texture"}) == bench.samples()[3]
    assert bench.sample_of("a pink cat by a dog", {"category": "complex", "list": "action"}).truth["list"] == "action"
    assert bench.sample_of("a pink cat", {"tag": "colors"}) is None
    for metadata in ({"category": "colour"}, {"category": ["color"]}, {"category": "complex", "list": "none"}):
        with pytest.raises(UserError, match=r"unknown metadata\.(category|list)"):
            bench.sample_of("a pink cat", metadata)


def test_clip_is_the_raw_cosine(bench, tmp_path):
    """Edge case 18."""
    sample = next(sample for sample in bench.samples() if sample.truth["category"] == "non_spatial")
    (verdict,) = bench.verdicts(answers([sample], tmp_path), Judges().roles())
    assert verdict.scores == {"score": 0.31}


def test_complex_lists_are_matched_without_case(bench):
    """Edge case 19."""
    lists = [sample.truth["list"] for sample in bench.samples() if sample.truth["category"] == "complex"]
    assert lists == ["spatial", "action", "spatialaction"]


def test_line_ends_make_no_difference(bench, tmp_path):
    """Edge case 22."""
    other = tmp_path / "crlf"
    other.mkdir()
    assert T2ICompBench(write_data(other, end=" \r\n")).samples() == bench.samples()


def test_srum_asks_one_judge(tmp_path):
    bench = T2ICompBench(write_data(tmp_path), protocol="srum")
    assert (bench.judge_roles, bench.repeats, bench.headline) == (("mllm",), 1, "srum/average")
    verdicts = list(bench.verdicts(answers(bench.samples(), tmp_path), Judges().roles()))
    assert [verdict.scores["score"] for verdict in verdicts] == [85.0] * 10 + [-1.0]
    rows = list(zip(bench.samples(), verdicts, strict=True))
    statistics = bench.statistics(rows)
    assert statistics["srum/numeracy"].of(np.ones(11)) == -1
    assert statistics["srum/average"].of(np.ones(11)) == pytest.approx((7 * 85 - 1) / 8)


def test_srums_judge_is_asked_in_srums_words_and_ours_have_our_name(tmp_path):
    asked = []

    class Rater:
        def rate(self, pictures, requests):
            asked.extend(requests)
            return ['{"score": 85}'] * len(pictures)

    folder = write_data(tmp_path)
    for protocol in ("srum", "suder-bench-srum"):
        bench = T2ICompBench(folder, protocol=protocol)
        sample = bench.samples()[0]
        (verdict,) = bench.verdicts(answers([sample], tmp_path), {"mllm": Rater()})
        assert bench.headline == f"{protocol}/average"
        assert set(bench.statistics([(sample, verdict)])) == {f"{protocol}/color", f"{protocol}/average"}
    assert asked[0] == f'Rate this: "{sample.prompt}" as {{JSON}}.'
    assert asked[1] == REQUEST.format(prompt=sample.prompt)
    (folder / "qwen_eval.py").unlink()
    with pytest.raises(UserError, match=r"qwen_eval\.py is missing.*suder-bench data fetch t2i-compbench.*suder-bench-srum"):
        T2ICompBench(folder, protocol="srum").samples()


def test_fixed_scores_on_top_of(tmp_path):
    bench = T2ICompBench(write_data(tmp_path), protocol="fixed")
    sample = next(sample for sample in bench.samples() if sample.id == "complex/0000")

    class Stacked(Judges):
        def detect(self, pictures):
            return [[Detection("hat", 0.9, (100, 100, 150, 150)), Detection("rack", 0.8, (100, 300, 150, 350))]]

    (verdict,) = bench.verdicts(answers([sample], tmp_path), Stacked().roles())
    assert verdict.scores["spatial"] == pytest.approx(0.925)
    assert set(bench.statistics([(sample, verdict)])) == {"fixed/complex", "fixed/average"}


def test_srum_averages_complex_over_three_lists(tmp_path):
    bench = T2ICompBench(write_data(tmp_path), protocol="srum")
    rows = [
        row(sample, score) for sample, score in zip([s for s in bench.samples() if s.id[:3] == "com"], (90, 60, 30), strict=True)
    ]
    assert bench.statistics(rows)["srum/complex"].of(np.ones(3)) == pytest.approx((60 + 60 + 90) / 3)


def row(sample: Sample, score: float) -> tuple[Sample, Verdict]:
    return sample, Verdict("t2i-compbench", sample.id, 0, "", {"score": score}, None, "")


def test_average_is_over_the_six_original_categories(bench):
    scores = {
        "color": 0.6,
        "shape": 0.5,
        "texture": 0.4,
        "spatial": 0.3,
        "non_spatial": 0.2,
        "complex": 0.1,
        "3d_spatial": 1,
        "numeracy": 1,
    }
    rows = [row(sample, scores[sample.truth["category"]]) for sample in bench.samples()]
    statistics = bench.statistics(rows)
    assert list(statistics) == [*CATEGORIES, "average"]
    assert set(bench.paper_metrics) == set(statistics)
    weights = np.ones((2, 3, len(rows)))
    assert statistics["average"].of(weights) == pytest.approx(np.full((2, 3), 0.35))
    assert statistics["average"].n == 9
    weights[0, 0, 0] = 0
    assert statistics["color"].of(weights)[0, 0] == 0.6
    weights[0, 0, :2] = 0
    assert np.isnan(statistics["average"].of(weights)[0, 0])


def test_a_few_categories_are_averaged_alone(bench):
    rows = [row(sample, 0.5) for sample in bench.samples() if sample.truth["category"] in ("color", "numeracy")]
    statistics = bench.statistics(rows)
    assert list(statistics) == ["color", "numeracy", "average"]
    assert statistics["average"].n == 2
    assert "average" not in bench.statistics(rows[-1:])
    assert bench.statistics([]) == {}


def write_pictures(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)


def test_the_number_in_a_name_does_not_depend_on_the_repeats(bench):
    sample = bench.samples()[1]
    assert bench.image_path(sample, 3) == "color/samples/a red cat and a blue dog_000013.png"


def test_the_own_layout_is_found_again(bench, tmp_path):
    wanted = [(sample.id, repeat) for sample in bench.samples() for repeat in range(2)]
    write_pictures(tmp_path / "made", *(bench.image_path(sample, repeat) for sample in bench.samples() for repeat in range(2)))
    found = bench.find_images(tmp_path / "made")
    assert [(sample.id, repeat) for sample, repeat, _ in found] == wanted


def test_other_numbering_and_other_files(bench, tmp_path):
    write_pictures(
        tmp_path,
        "color/samples/a red cat and a blue dog_x_000004.png",
        "color/samples/a red cat and a blue dog_000007.png",
        "color/samples/notes.png",
        "color/grid.png",
    )
    tmp_path.joinpath("color/samples/readme_1.txt").write_text("")
    found = bench.find_images(tmp_path)
    assert [(sample.id, repeat, file.stem[-1]) for sample, repeat, file in found] == [
        ("color/0001", 0, "4"),
        ("color/0001", 1, "7"),
    ]


def test_nine_pictures_of_one_complex_prompt_are_refused(bench, tmp_path):
    """Edge case 20."""
    names = [bench.image_path(sample, repeat) for sample in bench.samples() if sample.id[:3] == "com" for repeat in range(10)]
    write_pictures(tmp_path, *names)
    assert len(bench.find_images(tmp_path)) == 30
    tmp_path.joinpath(names[12]).unlink()
    with pytest.raises(UserError, match=r"9 pictures of 'The old dog .*' but 10 of others; .*_000012\.png is missing"):
        bench.find_images(tmp_path)
    srum = T2ICompBench(write_data(tmp_path), protocol="srum")  # its script takes no blocks of ten
    assert len(srum.find_images(tmp_path)) == 29


@pytest.mark.parametrize("name", ["color/samples/a pink cat_000001.png", "shape/samples/a red cat and a blue dog_000010.png"])
def test_a_picture_of_no_prompt_is_named(bench, tmp_path, name):
    write_pictures(tmp_path, name)
    with pytest.raises(UserError, match="no prompt of"):
        bench.find_images(tmp_path)


def test_pictures_of_no_prompt_are_told_apart(bench, tmp_path):
    write_pictures(
        tmp_path,
        "color/samples/a pink cat_000001.png",
        "color/samples/a red cat and a blue dog_000010.png",
        "color/samples/a.png",
    )
    assert [(sample.id, repeat) for sample, repeat, _ in bench.find_images(tmp_path)] == [("color/0001", 0)]
    assert bench.strangers(tmp_path) == [
        Stranger(tmp_path / "color/samples/a pink cat_000001.png", "no prompt of color_val.txt is 'a pink cat'"),
        Stranger(tmp_path / "color/samples/a.png", "its name is not <prompt>_<number>.png"),
    ]


ENDINGS = ["png", "webp", "jpg", "JPEG", "PNG", "tif", "bmp", "avif", "jpeg"]


@pytest.mark.parametrize("category", CATEGORIES)
def test_pictures_are_read_with_the_endings_that_the_categorys_scripts_read(bench, tmp_path, category):
    """BLIP's and CLIP's scripts open whatever is there, UniDet's looks for three endings."""
    read = ["png", "jpg", "jpeg"] if category in ("spatial", "3d_spatial", "numeracy", "complex") else ENDINGS
    sample = next(sample for sample in bench.samples() if sample.truth["category"] == category)
    first = bench.image_path(sample, 0).removesuffix("0.png")
    write_pictures(tmp_path, *(f"{first}{number}.{ending}" for number, ending in enumerate(ENDINGS)))
    tmp_path.joinpath(category, "samples", f".{sample.prompt}_000009.png").write_text("")
    tmp_path.joinpath(category, "samples", f"{sample.prompt}_000009.txt").write_text("")
    assert [(repeat, file.suffix[1:]) for _, repeat, file in bench.find_images(tmp_path)] == list(enumerate(read))
    assert {one.file.suffix[1:] for one in bench.strangers(tmp_path)} == set(ENDINGS) - set(read)
    assert all(one.sample == sample for one in bench.strangers(tmp_path))


def test_a_folder_of_other_endings_alone_says_so(bench, tmp_path):
    write_pictures(tmp_path, *(bench.image_path(bench.samples()[-1], repeat).replace("png", "webp") for repeat in range(10)))
    with pytest.raises(
        UserError, match=r"0\.webp: the detector's script reads \.png, \.jpg, \.jpeg only; save the pictures as PNG"
    ):
        bench.find_images(tmp_path)


def test_a_complex_picture_that_is_not_read_is_named_where_blocks_are_unequal(bench, tmp_path):
    names = [bench.image_path(sample, repeat) for sample in bench.samples() if sample.id[:3] == "com" for repeat in range(10)]
    names[12] = names[12].replace("png", "webp")
    write_pictures(tmp_path, *names)
    with pytest.raises(UserError, match=r"9 pictures of .* but 10 of others; .*_000012\.webp: the detector's script reads"):
        bench.find_images(tmp_path)


def test_training_prompts_are_read_as_they_are(tmp_path):
    for category in CATEGORIES:
        (tmp_path / f"{category}_train.txt").write_bytes(b"a red cat\r\na dog. \r\na red cat")
    assert training_prompts(tmp_path) == {category: ["a red cat", "a dog.", "a red cat"] for category in CATEGORIES}
    (tmp_path / "numeracy_train.txt").unlink()
    with pytest.raises(UserError, match=r"no numeracy_train\.txt in"):
        training_prompts(tmp_path)


def test_an_empty_folder_says_what_the_layout_is(bench, tmp_path):
    with pytest.raises(UserError, match="color/samples/"):
        bench.find_images(tmp_path / "t2i_compbench")


def test_awkward_prompts_are_found_again(tmp_path):
    long = "a very long prompt about a ünicorn " * 10
    prompts = ["and/or a_b", f"{long} one", f"{long} two", "a cat", "a cat"]
    bench = T2ICompBench(write_data(tmp_path, PROMPTS | {"color": prompts}))
    samples = bench.samples()[:5]
    write_pictures(tmp_path / "made", *(bench.image_path(sample, repeat) for sample in samples for repeat in (0, 9)))
    found = bench.find_images(tmp_path / "made")
    assert [(sample.id, repeat) for sample, repeat, _ in found] == [(s.id, r) for s in samples for r in (0, 1)]


@given(st.text(max_size=300))
def test_any_prompt_makes_one_safe_file_name(prompt):
    name = image_path("color", prompt, 299, 9).removeprefix("color/samples/")
    assert "/" not in name
    assert len(name.encode()) <= 255
    assert name.count("_") == 1
    assert stem(stem(prompt)) == stem(prompt)


@pytest.mark.parametrize("name", ["numeracy_val.txt", "complex_val_action.txt", "new_objects.txt"])
def test_a_missing_file_is_named(tmp_path, name):
    write_data(tmp_path).joinpath(name).unlink()
    with pytest.raises(UserError, match=name):
        T2ICompBench(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"color_val\.txt"):
        T2ICompBench(tmp_path)


def test_the_official_files_load_completely():
    bench = T2ICompBench(official("t2i_compbench/color_val.txt").parent)
    samples = bench.samples()
    assert Counter(sample.truth["category"] for sample in samples) == dict.fromkeys(CATEGORIES, 300)
    assert Counter(sample.truth["list"] for sample in samples if "list" in sample.truth) == {
        "action": 212,
        "spatial": 58,
        "spatialaction": 30,
    }
    assert all(stem(sample.prompt) == sample.prompt for sample in samples)
    assert len({bench.image_path(sample, repeat) for sample in samples for repeat in range(10)}) == 24_000
    assert not any("\r" in sample.prompt for sample in samples)

"""What a training has seen of its benchmarks: counted by hand, told in tables, and the scores without it."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_runs import write_drawn, write_geneval
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.cli import main
from suder_bench.data.source import Source
from suder_bench.evaluators.geneval import GenEval
from suder_bench.evaluators.t2i_compbench import T2ICompBench, training_prompts
from suder_bench.records import Sample
from suder_bench.reports.overlap import overlap
from suder_bench.training.prompts import read_prompts

ASKED = {
    **{f"a photo of {i} stars": "counting" for i in range(4)},
    "a star left of a moon": "position",
    "one star": "single_object",
}
TRAINED = ["A photo of 0 stars.", "a photo of 0 stars", "1 photo of a stars", "a moon left of a sun", "one  star", "three stars"]


def sample(prompt: str, category: str = "") -> Sample:
    return Sample(id=prompt, cluster=prompt, prompt=prompt, truth={"category": category} if category else {})


def test_words_are_compared_without_case_and_punctuation() -> None:
    asked = [sample(prompt, tag) for prompt, tag in ASKED.items()]
    found = overlap(asked, TRAINED)
    assert (found.asked, found.trained, found.doubled) == (6, 6, 1)
    assert (found.same, found.turned) == ({"counting": 1, "single_object": 1}, {"counting": 1})
    assert found.shared == {"a photo of 0 stars", "a photo of 1 stars", "one star"}
    assert found.gone == ("single_object",)
    assert found.told("geneval") == (
        "geneval: of 6 prompts 2 stand word for word among the 6 prompts that it was trained on (counting 1, single_object 1), "
        "and 1 more have the same words in another order (counting 1); 1 of the 6 are doubled. Means without these 3 stand "
        "below, of what is left: nothing of single_object."
    )


def test_the_same_words_as_often_and_no_others() -> None:
    found = overlap([sample("a cat and a dog")], ["a cat and dog", "a cat and a dog and"])
    assert (found.shared, found.doubled) == (frozenset(), 0)
    assert overlap([sample("a dog and a cat")], ["a cat and a dog"]).told("x") == (
        "x: of 1 prompts 1 have the same words as one among the 1 prompts that it was trained on in another order. "
        "Means without these 1 stand below."
    )


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), max_size=6), st.randoms())
def test_any_order_is_found_and_none_lost(prompts: list[list[str]], random: object) -> None:
    asked = [Sample(id=str(i), cluster=str(i), prompt=" ".join(words)) for i, words in enumerate(prompts)]
    turned = [" ".join(sorted(words)) for words in prompts]
    found = overlap(asked, turned)
    assert len(found.shared) == len(prompts) == sum(found.same.values()) + sum(found.turned.values())
    assert overlap(asked, []).shared == frozenset()


def test_what_t2i_compbench_s_own_prompts_share() -> None:
    """Counted from the official files: of 2,400 prompts 6 stand in the training's 5,600, 72 with those of another order."""
    folder = Path(os.environ.get("SUDER_BENCH_DATA", "/nonexistent"))
    if not (folder / "t2i_compbench/color_train.txt").is_file():
        pytest.skip("T2I-CompBench's files are not in SUDER_BENCH_DATA")
    trained = [prompt for prompts in training_prompts(folder).values() for prompt in prompts]
    found = overlap(T2ICompBench(folder).samples(), trained)
    assert (found.asked, found.trained, found.doubled) == (2400, 5600, 41)
    assert found.same == {"shape": 4, "spatial": 2}
    assert found.turned == {"3d_spatial": 27, "spatial": 23, "complex": 9, "shape": 3, "numeracy": 2, "texture": 2}
    assert (len(found.shared), found.gone) == (72, ())


def test_what_the_world_s_prompts_share_is_what_its_page_says() -> None:
    asked = GenEval(Source("world", size="full").folder("geneval", lambda line: None, offline=True)).samples()
    found = overlap(asked, read_prompts(["geneval:world"], lambda line: None, offline=True))
    page = (Path(__file__).parents[2] / "docs/statistics.md").read_text(encoding="utf-8")
    [line] = [line for line in page.splitlines() if line.startswith("| the world's GenEval, ")]
    told = f"{found.trained} prompts, {found.doubled} doubled | the full world's GenEval, {found.asked} prompts |"
    assert line.startswith(f"| the world's GenEval, {told} {sum(found.same.values())}: ")
    for name, count in (found.same | found.turned).items():
        assert f"{name} {count}" in line
    assert set(found.gone) == set(found.same)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """trained(prompts) -> a training whose recipe names them as such, with a start model and a checkpoint that were scored. The
    checkpoint is wrong about 0 and 2 stars."""
    monkeypatch.chdir(tmp_path)
    data = write_geneval(Path("data"), ASKED)

    def make(prompts: str, strategy: str = "unified") -> Path:
        run = Path("t")
        run.mkdir()
        (run / "recipe.yaml").write_text(f"model: my-model\nstrategy: {strategy}\ndata: {{prompts: [{prompts}]}}\n")
        (run / "prompts.txt").write_text("\n".join(TRAINED))
        for step, model in ((0, "my-model"), (10, "t/checkpoint-10")):
            write_drawn(run / "evaluations" / f"step-{step}" / "all", data, model=model, wrong={0, 2})
        return run

    return make


def test_a_table_has_the_means_without_what_was_trained_on(trained: Callable[[str], Path]) -> None:
    assert main(["report", str(trained("t/prompts.txt")), "--out", "o", "--table", "2", "--no-site"]) == 0
    [file] = Path("o/tables").glob("table-2-paper.csv")
    rows = {row["model"]: row for row in csv.DictReader(file.open())}
    row = rows["my-model + dsr (simpo), unified"]
    assert row["Counting without prompts trained on"] == "0.50"  # of 2 and 3 stars one is right
    assert row["Position without prompts trained on"] == "1.00"
    assert row["Overall without prompts trained on"] == "0.75"
    assert row["Single Obj. without prompts trained on"] == ""
    assert "geneval: of 6 prompts 2 stand word for word among the 6 prompts that it was trained on" in row["notes"]
    start = rows["my-model"]  # over the same prompts, so that the gain over it can be told without them too
    assert start["Counting without prompts trained on"] == "0.50"
    assert "among the 6 prompts that my-model + dsr (simpo), unified was trained on" in start["notes"]
    text = file.with_suffix(".md").read_text()
    _, line = [line for line in text.splitlines() if "without prompts trained on" in line]
    assert [cell.strip(" *_") for cell in line.strip("|").split("|")][1:] == ["-", "-", "0.50", "-", "1.00", "-", "0.75"]
    _, line = [line for line in file.with_suffix(".tex").read_text().splitlines() if "without prompts trained on" in line]
    assert "0.50" in line


def test_findings_say_it_too(trained: Callable[[str], Path]) -> None:
    assert main(["report", str(trained("t/prompts.txt")), "--out", "o", "--table", "2", "--no-site"]) == 0
    assert "\n- unified: geneval: of 6 prompts 2 stand word for word among the 6 prompts" in Path("o/findings.md").read_text()


def test_a_training_apart_from_the_benchmark_says_so(trained: Callable[[str], Path]) -> None:
    run = trained("t/prompts.txt")
    (run / "prompts.txt").write_text("a red dragon\na blue dragon\n")
    assert main(["report", str(run), "--out", "o", "--table", "2", "--no-site"]) == 0
    text = Path("o/tables/table-2-paper.md").read_text()
    assert "- none of its 2 training prompts is one of geneval" in text
    assert "without prompts trained on" not in text


@pytest.mark.parametrize("prompts", ["../elsewhere.txt", "t2i-compbench:../elsewhere"])
def test_prompts_that_lie_elsewhere_are_not_read(trained: Callable[[str], Path], tmp_path: Path, prompts: str) -> None:
    run = trained(prompts)
    inner = tmp_path / "inner"
    inner.mkdir()
    for name in ("t", "data"):
        shutil.move(tmp_path / name, inner / name)
    (tmp_path / "elsewhere.txt").write_text("\n".join(TRAINED))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(inner)
        assert main(["report", str(run), "--out", "o", "--table", "2", "--no-site"]) == 0
        text = Path("o/tables/table-2-paper.md").read_text()
    assert "its training prompts were not compared with the benchmarks': ../elsewhere" in text
    assert "without prompts trained on" not in text


def test_a_training_on_captions_alone_has_seen_no_prompts(trained: Callable[..., Path]) -> None:
    assert main(["report", str(trained("t/prompts.txt", "only-und")), "--out", "o", "--table", "2", "--no-site"]) == 0
    text = Path("o/tables/table-2-paper.md").read_text()
    assert "trained on" not in text
    assert "training prompts" not in text

"""Training prompts by source: as many as the files hold, nothing of a test split, and one line for whatever is wrong."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suder_bench.data.source import Source
from suder_bench.errors import UserError
from suder_bench.evaluators.geneval import GenEval
from suder_bench.evaluators.t2i_compbench import CATEGORIES
from suder_bench.training.prompts import folders, read_prompts
from suder_bench.world import tasks, train_split
from suder_bench.world.language import FAMILIES, SMALL_FAMILIES, split_of

GENEVAL = "8dde4fb150c66bed"
"""Digest of the world's GenEval training prompts: a change must not pass unnoticed between two trainings."""


def quiet(line: str) -> None:
    pass


def read(*sources: str) -> list[str]:
    return read_prompts(sources, quiet, offline=True)


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache with the world's T2I-CompBench in full size, written once."""
    folder = tmp_path_factory.mktemp("full")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUDER_BENCH_CACHE", str(folder))
        Source("world", size="full").folder("t2i-compbench", quiet, offline=True)
    return folder


def test_the_world_gives_its_full_training_files(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDER_BENCH_CACHE", str(cached))
    prompts = read("t2i-compbench:world")
    folder = next(cached.rglob("t2i_compbench"))
    lines = [line for category in CATEGORIES for line in (folder / f"{category}_train.txt").read_text().splitlines()]
    assert prompts == lines
    assert len(prompts) > 4500


def test_no_training_prompt_of_a_large_family_is_in_a_test_file(
    cached: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SUDER_BENCH_CACHE", str(cached))
    tasks.write(tmp_path, size="full", benchmarks=["geneval"])
    rows = [json.loads(line) for line in (tmp_path / "geneval" / "evaluation_metadata.jsonl").read_text().splitlines()]
    asked = {row["prompt"].lower() for row in rows if row["tag"] not in SMALL_FAMILIES}
    asked |= {line.lower() for file in cached.rglob("*_val*.txt") for line in file.read_text().splitlines()}
    assert len(asked) > 1500
    trained = {row["prompt"].lower() for row in train_split.geneval_rows() if row["tag"] not in SMALL_FAMILIES}
    assert not asked & (trained | {prompt.lower() for prompt in read("t2i-compbench:world")})
    assert all(split_of(row["tag"], row["prompt"]) in ("train", "both") for row in train_split.geneval_rows())


def test_the_world_asks_each_tag_of_geneval_as_often(tmp_path: Path) -> None:
    prompts = read("geneval:world")
    rows = train_split.geneval_rows()
    assert [row["prompt"] for row in rows] == prompts
    assert list(Counter(row["tag"] for row in rows).items()) == [(tag, 120) for tag in list(FAMILIES)[:6]]
    assert Counter(prompts)["a photo of a ball"] == 10
    assert hashlib.sha256("\n".join(prompts).encode()).hexdigest()[:16] == GENEVAL
    train_split.write_geneval(tmp_path)
    assert [sample.prompt for sample in GenEval(tmp_path).samples()] == prompts


def test_the_folder_of_a_benchmarks_files_is_its_rewards_too() -> None:
    assert folders(["t2i-compbench:world", "t2i-compbench:official", "geneval:world", "mine.txt"]) == {}
    assert folders(["t2i-compbench:some/where"]) == {"t2i-compbench": Path("some/where")}


def folder_of_categories(folder: Path, text: str) -> Path:
    folder.mkdir()
    for category in CATEGORIES:
        (folder / f"{category}_train.txt").write_text(text)
    return folder


def test_a_folder_keeps_its_duplicates(tmp_path: Path) -> None:
    folder = folder_of_categories(tmp_path / "t2i", "a red cat\r\n\na dog\r\na red cat\r\n")
    assert read(f"t2i-compbench:{folder}") == ["a red cat", "a dog", "a red cat"] * 8
    (folder / "shape_train.txt").write_text("\n \n")
    with pytest.raises(UserError, match=re.escape(f"{folder / 'shape_train.txt'} is empty")):
        read(f"t2i-compbench:{folder}")
    (folder / "shape_train.txt").unlink()
    with pytest.raises(UserError, match=r"no shape_train\.txt in"):
        read(f"t2i-compbench:{folder}")


def test_official_files_are_not_fetched_offline() -> None:
    with pytest.raises(UserError, match="--offline forbids to fetch them"):
        read("t2i-compbench:official")


def test_files_of_ones_own(tmp_path: Path) -> None:
    lines, rows = tmp_path / "a.txt", tmp_path / "b.jsonl"
    lines.write_bytes("\ufeffa red ball\r\n\r\n  two stars \n".encode())
    rows.write_text('{"prompt": "a cat", "seed": 1}\n\n{"prompt": " a dog"}\n')
    rows_with_breaks = tmp_path / "c.jsonl"
    rows_with_breaks.write_text('{"prompt": "a cat\u2028on a mat"}\n', encoding="utf-8")
    assert read(str(rows_with_breaks)) == ["a cat\u2028on a mat"]
    assert read(str(rows), str(lines), str(rows)) == ["a cat", "a dog", "a red ball", "two stars", "a cat", "a dog"]


@pytest.mark.parametrize(
    "text", ['["a cat", " a dog", "a cat"]', '\ufeff[{"prompt": "a cat"},\n "a dog ", {"prompt": "a cat", "n": 1}]']
)
def test_a_json_list_of_prompts(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    assert read(str(tmp_path / "a.json")) == ["a cat", "a dog", "a cat"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "a.txt holds no prompt"),
        ("a.txt", b" \n\r\n\t\n", "a.txt holds no prompt"),
        ("a.jsonl", b"\n", "a.jsonl holds no prompt"),
        ("a.txt", b"caf\xe9\n", "a.txt is not a readable UTF-8 text"),
        ("a.jsonl", b'{"prompt": "x"}\n{"prompt": \n', r"a.jsonl:2: not JSON"),
        ("a.jsonl", b'{"text": "x"}\n', r"a.jsonl:1: no prompt"),
        ("a.jsonl", b'{"prompt": " "}\n', r"a.jsonl:1: no prompt"),
        ("a.jsonl", b'{"prompt": 3}\n', r"a.jsonl:1: no prompt"),
        ("a.jsonl", b'["x"]\n', r"a.jsonl:1: no prompt"),
        ("a.jsonl", b"[" * 100_000, r"a.jsonl:1: not JSON"),
        ("a.json", b"[]", "a.json holds no prompt"),
        ("a.json", b'["x", 3]', r"a.json, entry 2: no prompt; each entry is a text, or an object like"),
        ("a.json", b'["x", {"text": "y"}]', r"a.json, entry 2: no prompt"),
        ("a.json", b'["x", " "]', r"a.json, entry 2: no prompt"),
        ("a.json", b'{"prompts": ["x"]}', r"a.json: not a list; write "),
        ("a.json", b'["x", "y"', r"a.json: not JSON"),
        ("a.json", b"[" * 100_000, r"a.json: not JSON"),
        ("a.json", b'["caf\xe9"]', "a.json is not a readable UTF-8 text"),
    ],
)
def test_a_bad_file_is_named_in_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read(str(tmp_path / name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.txt", "missing.txt does not exist"),
        ("t2i-compbench:wrld", "'t2i-compbench:wrld' is neither"),
        ("t2i-compbench", "did you mean 't2i-compbench:DIR'|choices: FILE.jsonl"),
        ("t2i-compbnch:world", "did you mean 't2i-compbench:world'"),
        ("geneval:official", "in the world only"),
        ("geneval", "in the world only"),
        ("", "unknown prompt source ''"),
    ],
)
def test_an_unknown_source_is_told_the_choices(source: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(source)


def test_no_source_at_all() -> None:
    with pytest.raises(UserError, match="no prompts to train on"):
        read()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"])), min_size=1))
def test_all_kinds_of_file_hold_the_same_prompts(tmp_path: Path, prompts: list[str]) -> None:
    kept = [prompt.strip() for prompt in prompts if prompt.strip()]
    (tmp_path / "a.txt").write_text("\n".join(prompts), encoding="utf-8")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in kept))
    (tmp_path / "a.json").write_text(json.dumps(kept))
    if kept:
        assert read(str(tmp_path / "a.json")) == kept
    if kept and not prompts[0].startswith("\ufeff"):
        assert read(str(tmp_path / "a.txt")) == read(str(tmp_path / "a.jsonl")) == kept

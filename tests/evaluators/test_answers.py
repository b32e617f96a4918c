"""Files of answers: what is forgiven, and what is refused with its place named."""

from __future__ import annotations

from pathlib import Path

import pytest

from suder_bench.errors import UserError
from suder_bench.evaluators.answers import json_document, json_rows, pair
from suder_bench.evaluators.fields import ID, TEXT, id_text, quoted
from suder_bench.evaluators.tables import table
from suder_bench.records import Sample


def test_blank_lines_trailing_commas_and_a_byte_order_mark_are_forgiven(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('\ufeff{"a": "x\u2028y"},\n\n{"a": 2}\n')
    assert json_rows(file, {"a": ID}) == [{"a": "x\u2028y"}, {"a": 2}]
    file.write_text('[{"a": [1, 2,],},\n]\n')
    assert json_document(file) == [{"a": [1, 2]}]
    file.write_text('{"a": ",]"}')
    assert json_document(file) == {"a": ",]"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": "1"}\n{"a"', "a.jsonl:2: not JSON"),
        ('{"a": "1"}\n[1]', r"a.jsonl:2: expected an object, found '\[1\]'"),
        ('{"b": 1}', "a.jsonl:1: no 'a'; found 'b'"),
        ('{"a": null}', "a.jsonl:1: 'a' is null"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(UserError, match=message):
        json_rows(tmp_path / "a.jsonl", {"a": TEXT})


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for read in (json_rows, json_document, table):
        with pytest.raises(UserError, match="cannot be read"):
            read(tmp_path / "missing")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UserError, match="cannot be read"):
        table(tmp_path / "picture.png")


def test_tables_keep_texts_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('x\ty\n"a\tb"\t"two\nlines"\n')
    assert table(tmp_path / "a.tsv", "x") == [{"x": "a\tb", "y": "two\nlines"}]
    (tmp_path / "a.csv").write_text("x,y\n1,\n")
    assert table(tmp_path / "a.csv", "x") == [{"x": "1", "y": ""}]


def test_pairs_follow_the_samples() -> None:
    samples = [Sample(name, name, "") for name in "ab"]
    assert [text for _, text in pair(samples, [("b", "2"), ("a", "1")], Path("f"))] == ["1", "2"]
    with pytest.raises(UserError, match="f: 0 answers against 2 questions; none for 'a' and 1 more"):
        pair(samples, [], Path("f"))


@pytest.mark.parametrize(("value", "text"), [(12, "12"), ("12", "12"), (12.0, "12"), ("v12", "v12"), (1.5, "1.5")])
def test_ids_compare_as_texts(value: object, text: str) -> None:
    assert id_text(value) == text


def test_quotes_are_short() -> None:
    assert quoted("a\nb") == "'a b'"
    assert quoted(" ") == "' '"
    assert len(quoted("word " * 100)) < 70

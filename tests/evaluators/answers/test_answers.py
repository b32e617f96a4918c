"""Files of answers: what is forgiven, and what is refused with its place named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.errors import UserError
from suder_bench.evaluators.answers.fields import (
    BIT,
    ID,
    LIST,
    OBJECT,
    TEXT,
    TEXTS,
    WORDS,
    Kind,
    id_text,
    one_of,
    quoted,
    with_fields,
)
from suder_bench.evaluators.answers.files import json_document, json_rows, pair, picture_folder, text_lines
from suder_bench.records import Sample


def test_blank_lines_trailing_commas_and_a_byte_order_mark_are_forgiven(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('\ufeff{"a": "x\u2028y"},\n\n{"a": 2}\n')
    assert json_rows(file, {"a": ID}) == [{"a": "x\u2028y"}, {"a": 2}]
    file.write_text('[{"a": [1, 2,],},\n]\n')
    assert json_document(file) == [{"a": [1, 2]}]
    file.write_text('{"a": ",]"}')
    assert json_document(file) == {"a": ",]"}


def test_lists_of_texts_are_lines_however_they_end(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffa red ball\r\n\r\n a\u2028b \rc\n".encode())
    assert text_lines(tmp_path / "a.txt") == ["a red ball", "a\u2028b", "c"]
    for content, message in ((b" \n", "a.txt is empty"), (b"a\xff", "a.txt: cannot be read")):
        (tmp_path / "a.txt").write_bytes(content)
        with pytest.raises(UserError, match=message):
            text_lines(tmp_path / "a.txt")


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
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    for read in (json_rows, json_document):
        for name in ("missing", "picture.png", "."):
            with pytest.raises(UserError, match="cannot be read"):
                read(tmp_path / name)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5_000, "", "{} {}", '{"a": 1, }}'])
def test_what_python_s_own_reader_refuses_in_other_ways(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json.*: not JSON"):
        json_document(tmp_path / "a.json")


def test_rows_are_lines_or_one_list(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[\n {"a": "x"},\n {"a": "y"},\n]\n')
    assert json_rows(tmp_path / "a.json", {"a": TEXT}) == [{"a": "x"}, {"a": "y"}]
    (tmp_path / "a.json").write_text('[{"a": "x"}, {"a": 3}]')
    with pytest.raises(UserError, match=r"a\.json: row 2: 'a' is 3; expected a text"):
        json_rows(tmp_path / "a.json", {"a": TEXT})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, st.sampled_from([TEXT, TEXTS, ID, WORDS, LIST, OBJECT, BIT]))
def test_a_field_is_of_its_kind_or_refused(value: object, kind: Kind) -> None:
    if value is not None and kind.holds(value):
        assert with_fields({"a": value}, "place", {"a": kind}) == {"a": value}
        if kind in (TEXT, ID, WORDS):
            assert isinstance(value, str) or id_text(value)
            id_text(value).encode()
    else:
        with pytest.raises(UserError, match=r"^place: 'a' is ") as refused:
            with_fields({"a": value}, "place", {"a": kind})
        assert "\n" not in str(refused.value)


@given(JSON)
def test_a_row_is_an_object_or_refused(value: object) -> None:
    if not isinstance(value, dict):
        with pytest.raises(UserError, match=r"^place: expected an object, found "):
            with_fields(value, "place", {})


@pytest.mark.parametrize(
    ("kind", "yes", "no"),
    [
        (TEXT, ["", "a"], [1, True, ["a"], "\ud800"]),
        (ID, ["a", 1, 1.0, -3], [True, 1.5, float("nan"), float("inf"), ["a"]]),
        (WORDS, ["a", 1, 1.5], [True, float("nan"), float("-inf"), {}]),
        (TEXTS, ["a", ["a", "b"], []], [1, ["a", 1], {"a": "b"}]),
        (BIT, ["0", "1", 0, 1], [True, False, "2", "yes", 0.5]),
        (one_of("yes", "no"), ["yes", "NO"], ["maybe", 1, ["yes"], True]),
    ],
)
def test_kinds(kind: Kind, yes: list[object], no: list[object]) -> None:
    assert all(kind.holds(value) for value in yes)
    assert not any(kind.holds(value) for value in no)


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


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (["b/x/1.png", "a/x/2.png"], "b"),
        (["b/x/2.png"], "b"),
        (["a/2.png", "c/x/3.jpg"], "c"),
        (["b/x/notes.txt"], "a"),
        ([], "a"),
    ],
)
def test_a_folder_of_pictures_is_found_though_its_first_is_lost(tmp_path: Path, there: list[str], chosen: str) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert picture_folder([tmp_path / name for name in "abc"], "x/1.png") == tmp_path / chosen

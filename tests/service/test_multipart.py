"""multipart/form-data, as browsers, curl and Python's libraries send it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suder_bench.service.asked import Refusal
from suder_bench.service.multipart import parts

KIND = "multipart/form-data; boundary=xyz"


def body(*sections: tuple[bytes, bytes], end: bytes = b"--xyz--\r\n") -> bytes:
    return b"".join(b"--xyz\r\n" + head + b"\r\n\r\n" + content + b"\r\n" for head, content in sections) + end


def field(name: str, more: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{more}'.encode()


@given(st.dictionaries(st.text("abc_1", min_size=1, max_size=9), st.binary(max_size=300).filter(lambda it: b"--xyz" not in it)))
def test_what_was_sent_arrives(files: dict[str, bytes]) -> None:
    assert parts(body(*((field(name), content) for name, content in files.items())), KIND) == files


@given(st.binary(max_size=200))
def test_whatever_is_sent_is_refused_or_read(sent: bytes) -> None:
    for received in (sent, b"--xyz\r\n" + sent + b"\r\n--xyz--"):
        with suppress(Refusal):
            assert all(isinstance(content, bytes) for content in parts(received, KIND).values())


def test_headers_of_other_kinds_are_passed_over() -> None:
    head = b'content-type: image/png\r\ncontent-disposition: form-data; filename="a; name=b.png"; name=one'
    assert parts(b"a preamble\r\n" + body((head, b"\x89PNG")) + b"and more", 'multipart/form-data; boundary="xyz"') == {
        "one": b"\x89PNG"
    }


@pytest.mark.parametrize(
    ("sent", "kind", "told"),
    [
        (body((field("a"), b"1")), "multipart/form-data", "the boundary is missing"),
        (body((field("a"), b"1")), f"multipart/form-data; boundary={'x' * 71}", "the boundary is missing"),
        (body((field("a"), b"1"), end=b""), KIND, "not whole"),
        (b"", KIND, "not whole"),
        (body((b"Content-Type: image/png", b"1")), KIND, "no name"),
        (body((field("a"), b"1"), (field("a"), b"2")), KIND, "two parts are called 'a'"),
        (body((b"X: " + b"y" * 5000, b"1")), KIND, "no header, or one that does not end"),
    ],
)
def test_what_is_not_whole_is_refused(sent: bytes, kind: str, told: str) -> None:
    with pytest.raises(Refusal, match=told):
        parts(sent, kind)


def test_there_is_an_end_to_parts() -> None:
    with pytest.raises(Refusal, match="at most"):
        parts(b"--xyz\r\n" * 9000, KIND)

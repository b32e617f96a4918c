"""Runs and trainings of people who need not mean well: one line, soon, whatever stands in their files."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest
import yaml
from fake_runs import summary, write_drawn, write_geneval, write_run, write_training
from hypothesis import given
from hypothesis import strategies as st

from suder_bench import small_yaml
from suder_bench.cli import main
from suder_bench.errors import PictureError, UserError
from suder_bench.records import open_image
from suder_bench.reports import door

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
"""Less than two kilobytes, and more values than there are atoms in an apple."""

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
    max_leaves=20,
)


def refused(capsys: pytest.CaptureFixture[str], path: Path, *told: str) -> None:
    """`report` and `view` end in one line that names it all."""
    for words in (["report", str(path), "--out", str(path.parent / "out")], ["view", str(path), "--no-browser"]):
        assert main(words) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert all(one in line for one in told), line
    assert not (path.parent / "out").exists()


@given(PLAIN)
def test_what_people_write_is_read_as_it_is(value: object) -> None:
    assert small_yaml.read(yaml.safe_dump(value).encode()) == value
    assert small_yaml.read(yaml.safe_dump({"one": (both := [value, 1]), "other": both}).encode())["other"] == both


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "it stands for more than 100,000 values"),
        ("a: &a [*a]", "a value in it holds itself"),
        ("a: &a {b: *a}", "a value in it holds itself"),
        ("# " + "x" * 2**20, "it has 1,048,578 bytes, more than 1,048,576"),
    ],
)
def test_what_stands_for_more_than_anybody_writes_is_not_built(text: str, told: str) -> None:
    with pytest.raises(small_yaml.TooLargeError, match=told):
        small_yaml.read(text.encode())


@pytest.mark.parametrize(
    "text", [f"model: m\n{BOMB}", "model: m\nreward: &r {gen: *r}", "model: " + "[" * 5000, "model: !!python/x 1"]
)
def test_a_recipe_of_a_stranger(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    folder = write_training(tmp_path / "t", "strategy: unified\n", 0.5, 0.6, benchmarks=("geneval",))
    (folder / "recipe.yaml").write_text(text)
    refused(capsys, folder, f"{folder}/recipe.yaml is not readable (")
    assert main(["train", "--config", str(folder / "recipe.yaml"), "--out", str(tmp_path / "o"), "--dry-run"]) == 2


def test_documents_of_a_stranger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_drawn(tmp_path / "r", write_geneval(tmp_path / "data", {"a photo of a star": "single_object"}))
    for name in ("run.json", "summary.json"):
        with (folder / name).open("r+b") as opened:
            opened.truncate(2**26 + 1)  # of which the disk holds next to nothing
        with pytest.raises(UserError, match=rf"{name} is not readable \(it has 67,108,865 bytes, and no run writes more"):
            door.document(folder, name)
    refused(capsys, folder, f"{folder}/summary.json is not readable (it has 67,108,865 bytes")
    (folder / "summary.json").write_text('{"a": ' * 100_000)
    refused(capsys, folder, f"{folder}/summary.json is not readable (it is nested too deeply)")


def test_a_comparison_of_a_stranger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c/compare.json").write_text("[" * 100_000)
    assert main(["view", str(tmp_path / "c"), "--no-browser"]) == 2
    assert "compare.json is not readable" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_in_a_file_s_place_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "r", summary("geneval"))
    for name in ("picture.png", "recipe.yaml"):
        os.mkfifo(folder / name)
        with pytest.raises(PictureError, match=r"a pipe or a device|is no file"):
            open_image(folder / name) if name.endswith("png") else door.read_bytes(folder / name, folder)
    (folder / "summary.json").unlink()
    os.mkfifo(folder / "summary.json")
    refused(capsys, folder, "no summary.json")


def test_a_picture_that_unpacks_to_a_disk_full(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    with pytest.raises(PictureError, match="is not a readable picture"):
        door.picture(tmp_path / "p.png", tmp_path)

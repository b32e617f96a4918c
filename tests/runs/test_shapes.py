"""Wrong types in the files of a run folder: each is told in one line, and what is whole goes on."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import REFERENCE, FakeModel, settings

from suder_bench.errors import UserError
from suder_bench.runs.execute import Outcome, Run
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder

pytestmark = pytest.mark.usefixtures("fakes")

OTHERS = (None, True, -1, 1.5, "0", [1], {"a": 1})
"""Values of every type that JSON has."""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    run(tmp_path / "r")
    return tmp_path / "r"


def run(out: Path, stderr: io.StringIO | None = None) -> Outcome:
    return Run(out, REFERENCE, settings()).execute(Screen(stderr or io.StringIO()), FakeModel)


def edit(file: Path, number: int, change: Callable[[dict[str, Any]], Any]) -> None:
    """Put what `change` makes of the row in a line of a file in its place."""
    lines = file.read_text().splitlines()
    lines[number - 1] = json.dumps(change(json.loads(lines[number - 1])))
    file.write_text("\n".join(lines) + "\n")


RESPONSE = ("benchmark", "sample", "repeat", "seed", "digest", "text", "seconds", "image")
VERDICT = ("judges", "sample", "repeat", "digest", "scores", "correct", "reason", "details", "checksum")


@pytest.mark.parametrize("key", RESPONSE)
def test_a_response_of_wrong_types_is_made_again_and_the_others_are_kept(made: Path, key: str) -> None:
    whole = {"seconds": (-1, 1.5), "seed": (-1,), "image": (None,), "sample": ("0",)}.get(key, ())  # of another sample
    before, file = (made / "summary.json").read_bytes(), made / "responses/reading/0.jsonl"
    lines = file.read_bytes()
    for value in OTHERS:
        file.write_bytes(lines)
        edit(file, 3, lambda row, value=value: {**row, key: value})
        stderr = io.StringIO()
        assert run(made, stderr).complete
        assert (made / "summary.json").read_bytes() == before
        told = [line for line in stderr.getvalue().splitlines() if line.startswith("lost: reading: ")]
        if any(value is one for one in whole):
            assert told == []
        else:
            assert [line for line in told if f"{file}, line 3: " in line] == told != []


@pytest.mark.parametrize("key", VERDICT)
def test_a_verdict_of_wrong_types_is_judged_again_and_the_others_are_kept(made: Path, key: str) -> None:
    whole = {"judges": ("0",), "correct": (True,)}.get(key, ())  # of other judges; what it was
    before, file = (made / "summary.json").read_bytes(), made / "verdicts/drawing/0.jsonl"
    lines = file.read_bytes()
    for value in OTHERS:
        file.write_bytes(lines)
        edit(file, 5, lambda row, value=value: {**row, key: value})
        stderr = io.StringIO()
        assert run(made, stderr).complete
        assert (made / "summary.json").read_bytes() == before
        told = [line for line in stderr.getvalue().splitlines() if line.startswith("lost: drawing: ")]
        if any(value is one for one in whole):
            assert told == []
        else:
            assert [line for line in told if f"{file}, line 5: no verdict (" in line] == told != []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"sample": ', "it is not a JSON object"),
        (b"[1, 2]", "it is not a JSON object"),
        (b"[" * 100_000, "it is not a JSON object"),
        (b"\xff\xfe", "it is not a JSON object"),
        (b"{}", "it lacks benchmark"),
        (b'{"benchmark": "reading", "sample": "q1", "repeat": "0"}', 'repeat is "0", not a whole number from 0 on'),
    ],
    ids=["torn", "list", "deep", "bytes", "empty", "type"],
)
def test_a_bad_line_names_its_file_and_number_and_costs_itself(made: Path, line: bytes, why: str) -> None:
    file = made / "responses/reading/0.jsonl"
    content = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([*content[:2], line, *content[2:]]) + b"\n")
    lost: list[str] = []
    assert len(RunFolder(made).responses("reading", repair=False, lost=lost.append)) == 8
    assert lost == [f"{file}, line 3: no response ({why})"]
    RunFolder(made).responses("reading", repair=True)
    assert file.read_bytes().splitlines() == content


@pytest.mark.parametrize("image", ["/etc/hostname", "../../picture.png", "images/../../x.png"])
def test_a_picture_outside_the_folder_is_no_response(made: Path, image: str) -> None:
    edit(made / "responses/drawing/0.jsonl", 1, lambda row: {**row, "image": image})
    lost: list[str] = []
    assert len(RunFolder(made).responses("drawing", repair=False, lost=lost.append)) == 23
    assert lost == [f"{made}/responses/drawing/0.jsonl, line 1: no response (its picture lies outside the run folder)"]


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = [leaf for name in value for leaf in leaves(value[name], (*path, name))] if isinstance(value, dict) else []
    return [path, *inner] if path else inner


def put(document: Any, path: tuple[str, ...], value: object) -> Any:
    return value if not path else {**document, path[0]: put(document[path[0]], path[1:], value)}


def mistake(call: Callable[[], object]) -> str | None:
    """The one line that a call ends with, or None."""
    try:
        call()
    except UserError as error:
        return str(error)
    return None


def test_every_wrong_type_in_run_json_is_one_line_that_names_file_and_key(made: Path) -> None:
    """Or is no wrong type, and then the run goes on or names what changed."""
    file = made / "run.json"
    whole = json.loads(file.read_text())
    told = []
    for path in leaves(whole):
        for value in OTHERS:
            file.write_text(json.dumps(put(whole, path, value)))
            said = mistake(RunFolder(made).read)
            told.append(said)
            inside = "" if isinstance(value, dict) else ".".join(path)
            pattern = rf"{file} is not readable \([^\n]*{inside}[^\n]*\); start over with: suder-bench run [^\n]*"
            assert said is None or re.fullmatch(pattern, said)
            assert "\n" not in (mistake(lambda: run(made)) or "")
    assert len(told) > 200
    assert sum(said is not None for said in told) > 150


def test_a_run_json_of_another_schema_is_refused(made: Path) -> None:
    file = made / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": 2}))
    with pytest.raises(UserError, match="schema is 2, "):
        RunFolder(made).read()


def test_every_wrong_type_in_summary_json_is_one_line(made: Path) -> None:
    file = made / "summary.json"
    whole = json.loads(file.read_text())
    told = []
    for path in leaves(whole):
        if path[0] != "recipe":
            for value in (None, True, "0", [1]):
                file.write_text(json.dumps(put(whole, path, value)))
                said = mistake(lambda: RunFolder(made).read("summary.json"))
                told.append(said)
                pattern = rf"{file} is not readable \([^\n]*\); make it anew with: suder-bench score {made}"
                assert said is None or re.fullmatch(pattern, said)
    assert sum(said is not None for said in told) > 50

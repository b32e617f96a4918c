"""Damaged files of every kind that is read: a mistake is one line, never a traceback, and what is whole goes on.

A few hundred cases of each in the quick tests, thousands in all in the test marked slow: twenty where tests are thorough.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fakes import REFERENCE, FakeModel
from fakes import settings as fake_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import broken, document_file, lines_file
from trials import trials

from suder_bench.cli import main
from suder_bench.data.source import write_world
from suder_bench.errors import UserError
from suder_bench.models import checkpoint, reference
from suder_bench.models.janus import files as janus_files
from suder_bench.records import Answered, Response
from suder_bench.reports import measured
from suder_bench.runs.encoding import text_digest
from suder_bench.runs.execute import Run
from suder_bench.runs.paired import Side, compare
from suder_bench.runs.plan import build
from suder_bench.runs.screen import Screen
from suder_bench.runs.store import RunFolder
from suder_bench.training.curves import read_points
from suder_bench.world.checkpoints import path as shipped

pytestmark = pytest.mark.usefixtures("fakes")

QUICK, SLOW = 150, trials(2_000, thorough=20_000)
SHARES = {"folders": 0.1, "commands": 0.015, "checkpoints": 0.385, "answers": 0.5}
"""Of the slow cases: a run folder is read five times for each, and a command takes ten times as long as that."""


def cases(number: int) -> Callable[[Any], Any]:
    """The same cases each time."""
    checks = [
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ]
    return settings(max_examples=number, deadline=None, derandomize=True, database=None, suppress_health_check=checks)


def survive(call: Callable[[], object]) -> bool:
    """Whether it came to its end; where not, it was the user's mistake, which is one line (tests/cli/test_commands.py)."""
    try:
        call()
    except ExceptionGroup as group:
        mistakes, bugs = group.split(UserError)
        if bugs is not None or mistakes is None:
            raise
        return False
    except UserError:
        return False
    return True


def command(*argv: str) -> int:
    """A command line, which shows no traceback: one it tells of a failed item counts too."""
    stderr, stdout = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(stdout):
        status = main(argv)
    assert "Traceback" not in stderr.getvalue(), stderr.getvalue()
    assert status in (0, 1, 2)
    assert status == 0 or stderr.getvalue().strip()
    return status


@dataclass(frozen=True)
class Files:
    """A folder of good files, and the one of which a damaged copy is tried."""

    folder: Path

    @contextlib.contextmanager
    def damaged(self, name: str, content: bytes) -> Iterator[None]:
        file = self.folder / name
        whole = file.read_bytes()
        try:
            file.write_bytes(content)
            yield
        finally:
            file.write_bytes(whole)


# --- run folders ---------------------------------------------------------------------------------------------------------

DOCUMENTS = ("run.json", "summary.json")
LINES = tuple(f"{kind}/{name}/0.jsonl" for kind in ("responses", "verdicts") for name in ("drawing", "reading"))


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """evaluations/step-5/all of two benchmarks, which `curves` reads too."""
    out = tmp_path / "evaluations/step-5/all"
    out.parent.mkdir(parents=True)
    Run(out, REFERENCE, fake_settings(limit=4)).execute(Screen(io.StringIO()), FakeModel)
    return out


@st.composite
def damaged_run(draw: st.DrawFn, folder: Path) -> tuple[str, bytes]:
    name = draw(st.sampled_from((*DOCUMENTS, *DOCUMENTS, *LINES)))
    strategy = document_file if name in DOCUMENTS else lines_file
    return name, draw(strategy((folder / name).read_bytes()))


def read_run(folder: Path) -> None:
    for name in DOCUMENTS:
        survive(lambda name=name: RunFolder(folder).read(name))
    survive(lambda: measured.read([folder]))
    survive(lambda: compare(Side.open(folder), Side.open(folder)))
    survive(lambda: read_points(folder.parents[1]))


def try_run_folders(folder: Path, number: int) -> None:
    @cases(number)
    @given(st.data())
    def attempt(data: st.DataObject) -> None:
        name, content = data.draw(damaged_run(folder))
        with Files(folder).damaged(name, content), contextlib.redirect_stderr(io.StringIO()):
            read_run(folder)

    attempt()


def try_commands(folder: Path, number: int) -> None:
    """Each on a copy: they mend what they find."""
    data, copy = str(Path(__file__).parent), folder.parents[2] / "copy"
    machine = ("--device", "cpu", "--data", data, "--limit", "4")
    commands = (
        ("score", str(copy)),
        ("run", "--model", "fake:right", "--benchmark", "drawing", "--benchmark", "reading", *machine, "--out", str(copy)),
        ("run", "--model", "fake:right", "--benchmark", "drawing", *machine, "--out", str(copy), "--dry-run"),
        ("report", str(copy), "--out", str(folder.parents[2] / "report"), "--table", "1"),
        ("compare", str(copy), str(folder)),
    )

    @cases(number)
    @given(st.data())
    def attempt(data: st.DataObject) -> None:
        name, content = data.draw(damaged_run(folder))
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        (copy / name).write_bytes(content)
        command(*data.draw(st.sampled_from(commands)))

    attempt()


def test_damaged_run_folders_are_told_in_one_line(run_folder: Path) -> None:
    try_run_folders(run_folder, QUICK)


def test_commands_on_damaged_run_folders_show_no_traceback(run_folder: Path) -> None:
    try_commands(run_folder, QUICK // 5)


# --- checkpoints ---------------------------------------------------------------------------------------------------------

CONFIGS = ("config.json", "generation_config.json", "tokenizer_config.json", "preprocessor_config.json", checkpoint.INDEX)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """tiny-janus in one shard, with its index."""
    out = tmp_path / "model"
    shutil.copytree(shipped("tiny-janus"), out)
    (out / checkpoint.WEIGHTS).rename(out / "model-00001-of-00001.safetensors")
    index = {
        "metadata": {"total_size": 1},
        "weight_map": dict.fromkeys(("a.weight", "b.weight"), "model-00001-of-00001.safetensors"),
    }
    (out / checkpoint.INDEX).write_text(json.dumps(index))
    return out


def look_at(folder: Path) -> None:
    """All that is asked of a checkpoint before its weights are read."""

    def asked() -> None:
        chosen = reference.choose(str(folder))
        assert chosen.label
        survive(lambda: chosen.world)
        survive(lambda: chosen.guidance)
        chosen.check()

    survive(asked)
    survive(lambda: checkpoint.check(folder, janus_files.KINDS))
    survive(lambda: checkpoint.digests(folder))


def try_checkpoints(folder: Path, number: int, look: Callable[[Path], None] = look_at) -> None:
    @cases(number)
    @given(st.data())
    def attempt(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(CONFIGS))
        with Files(folder).damaged(name, data.draw(document_file((folder / name).read_bytes()))):
            look(folder)

    attempt()


def try_parts(folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What transformers makes of the files, up to the weights: those take a second each, and as much memory as a file says."""

    class _EnoughError(UserError):
        pass

    def enough(*_: object, **others: object) -> None:
        raise _EnoughError("the weights come next")

    monkeypatch.setattr(janus_files, "build", enough)
    place = janus_files.choose_device("cpu")
    kind = janus_files.choose_dtype("float32", place)
    try_checkpoints(
        folder,
        number,
        lambda folder: survive(lambda: janus_files.load(janus_files.find(str(folder)), device=place, dtype=kind)),
    )


def test_damaged_checkpoints_are_told_in_one_line(model_folder: Path) -> None:
    try_checkpoints(model_folder, QUICK)


def test_what_transformers_finds_in_damaged_checkpoints_is_told_in_one_line(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_parts(model_folder, QUICK // 5, monkeypatch)


# --- answers made elsewhere ------------------------------------------------------------------------------------------------

UNDERSTANDING = ("pope", "hallusionbench", "llavabench", "mmbench", "seedbench")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "world"
    write_world(folder, size="quick", benchmarks=UNDERSTANDING)
    return folder


def answers_of(name: str, data: Path) -> dict[str, bytes]:
    """A good file of answers in each of a benchmark's formats, by its name."""
    bench: Any = build(name, data, "official")
    if name == "pope":
        rows = [{"question_id": sample.id, "text": "Yes, there is."} for sample in bench.questions]
    elif name == "hallusionbench":
        rows = [{**row, "model_prediction": "No."} for row in bench.rows.values()]
        return {"answers.json": json.dumps(rows).encode()}
    elif name == "seedbench":
        rows = [{"question_id": sample.id, "text": "B"} for sample in bench.questions]
        rows[0] = {"question_id": bench.questions[0].id, "losses": [1.0, 0.5, 2.0, 3.0]}
    else:
        rows = [{"question_id": sample.id, "text": "A. a red star"} for sample in bench.samples()]
    found = {"answers.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()}
    if name == "mmbench":
        table = "".join(f"{sample.id}\tA\n" for sample in bench.samples())
        found["answers.tsv"] = f"index\tprediction\n{table}".encode()
    return found


def try_answers(name: str, data: Path, out: Path, number: int) -> None:
    good = answers_of(name, data)
    bench: Any = build(name, data, "official")
    judged = not bench.judge_roles

    def score(file: Path) -> None:
        answers = bench.read_answers(file)
        if judged:
            answered = [
                Answered(sample, Response(name, sample.id, 0, 0, text_digest(text), text=text)) for sample, text in answers
            ]
            assert len(list(bench.verdicts(answered, {}))) == len(answers)

    for file, content in good.items():  # a file that is refused whole tests nothing
        (out / file).write_bytes(content)
        assert survive(lambda file=file: score(out / file)), file

    @cases(number)
    @given(st.data())
    def attempt(drawn: st.DataObject) -> None:
        file = drawn.draw(st.sampled_from(sorted(good)))
        strategy = {"json": document_file, "jsonl": lines_file, "tsv": broken}[file.rpartition(".")[2]]
        (out / file).write_bytes(drawn.draw(strategy(good[file])))
        survive(lambda: score(out / file))

    attempt()


@pytest.mark.parametrize("name", UNDERSTANDING)
def test_damaged_answers_are_told_in_one_line(name: str, world: Path, tmp_path: Path) -> None:
    try_answers(name, world, tmp_path, QUICK // 3)


# --- all of them -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_thousands_of_damaged_files_show_no_traceback(
    run_folder: Path, model_folder: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
    number = {name: round(share * SLOW) for name, share in SHARES.items()}
    try_run_folders(run_folder, number["folders"])
    try_commands(run_folder, number["commands"])
    try_checkpoints(model_folder, number["checkpoints"] - 200)
    try_parts(model_folder, 200, monkeypatch)
    for name in UNDERSTANDING:
        try_answers(name, world, tmp_path, number["answers"] // len(UNDERSTANDING))

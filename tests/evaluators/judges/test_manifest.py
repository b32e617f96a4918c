"""The list of the official judges' files is whole, and only a file's digest says what it is."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from tiny_judges import manifest

from suder_bench.errors import UserError
from suder_bench.evaluators.geneval import GenEval
from suder_bench.evaluators.judges import manifest as manifests
from suder_bench.evaluators.judges.manifest import Weight, match
from suder_bench.evaluators.judges.weights import weights_file
from suder_bench.evaluators.t2i_compbench import T2ICompBench

FILES = {weight.name: weight for weight in manifests.official()}


def test_every_judge_with_weights_has_its_files():
    assert set(manifests.roles()) == {*GenEval.judge_roles, *T2ICompBench.judge_roles}
    assert Counter(weight.place(Path()) for weight in manifests.official()).most_common(1)[0][1] == 1


@pytest.mark.parametrize("weight", manifests.official(), ids=lambda weight: f"{weight.roles}-{weight.name}")
def test_each_file_has_address_size_licence_and_digest_or_says_where_that_must_come_from(weight):
    assert weight.url.startswith("https://")
    assert weight.licence
    assert weight.size > 1000
    assert (weight.bytes is None) is bool(weight.about)
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in (*filter(None, [weight.sha256]), *weight.same.split()))
    assert bool(weight.sha256) is not weight.whence.startswith("must come from")
    assert weight.published in (("by its owner", "by several lists", "by one list") if weight.sha256 else ("",))
    assert weight.lone is weight.whence.startswith("one public manifest")


def test_only_blip_rests_on_one_list_which_says_so_where_a_file_differs(tmp_path):
    (blip,) = [weight for weight in manifests.official() if weight.lone]
    assert blip.name == "model_base_vqa_capfilt_large.pth"
    file = tmp_path / "weights.pth"
    file.write_bytes(b"PK\x03\x04")
    (lone,) = manifest("vqa", file, sha256="0" * 64, published="by one list")
    assert lone.fault(file).endswith("instead of 000000000000, which one list alone has published")
    assert lone.state(tmp_path) == "damaged"


def test_digests_agree_with_what_file_names_and_addresses_hold():
    """OpenMMLab and MiDaS put the first eight digits into a file's name, OpenAI all of them into its address."""
    ends = {name: found[1] for name in FILES if (found := re.search(r"-([0-9a-f]{8})[.]pth?$", name))}
    assert sorted(ends.values()) == ["501f0c75", "743b7d99"]
    assert all(FILES[name].sha256.startswith(end) for name, end in ends.items())
    assert "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836" in manifests.of("color")[0].same
    assert "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af" in manifests.of("clip")[0].same
    unknown = {name for name, weight in FILES.items() if not weight.sha256}
    assert unknown == {f"Unified_learned_OCIM_{kind}_6x+2x.pth" for kind in ("R50", "RS200")}


def test_a_file_is_exact_by_its_digest_and_else_official_by_its_name_at_most(tmp_path):
    file, another = tmp_path / "weights.pth", tmp_path / "other" / "weights.pth"
    another.parent.mkdir()
    file.write_bytes(b"PK\x03\x04right")
    another.write_bytes(b"PK\x03\x04wrong")
    known, unknown = manifest("vqa", file), manifest("vqa", file, sha256="")
    assert [manifests.match("vqa", one, known) for one in (file, another, None)] == ["exact", "another file", "another file"]
    assert manifests.match("vqa", another, unknown) == "digest unknown"
    assert manifests.match("vqa", file, manifest("vqa", file, sha256="", name="another.pth")) == "another file"
    with pytest.raises(UserError, match="unknown role with weights to fetch 'vqaa'; did you mean 'vqa'"):
        manifests.of("vqaa")


def test_a_page_in_place_of_weights_is_told(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_text("<html>Too many people have downloaded this file</html>")
    (unknown,) = manifest("detector-3d", file, sha256="")
    assert unknown.fault(file) == "it is no checkpoint of torch"
    assert unknown.state(tmp_path) == "damaged"
    file.write_bytes(b"\x80\x02")
    assert unknown.state(tmp_path) == "present"
    torch.save({"model": {}}, file)
    assert unknown.state(tmp_path) == "present"
    file.write_bytes(file.read_bytes()[:-30])
    assert unknown.fault(file) == "it is cut off"


def test_addresses_below_a_mirror(monkeypatch):
    monkeypatch.setenv("SUDER_BENCH_MIRROR", "http://localhost:8/m/")
    assert FILES["dpt_hybrid-midas-501f0c75.pt"].address == (
        "http://localhost:8/m/huggingface.co/lllyasviel/ControlNet/resolve/main/annotator/ckpts/dpt_hybrid-midas-501f0c75.pt"
    )
    assert FILES["Unified_learned_OCIM_R50_6x+2x.pth"].address.startswith(
        "http://localhost:8/m/drive.usercontent.google.com/download?id=1C4sgkirmgMumKXXiLOPmCKNTZAc3oVbq"
    )


def test_the_digest_is_that_of_the_file_that_is_read(tmp_path):
    """Shards come before a pickle, and left-over adapters change what is read."""
    (tmp_path / "pytorch_model.bin").write_bytes(b"official")
    assert weights_file(str(tmp_path)) == tmp_path / "pytorch_model.bin"
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    assert weights_file(str(tmp_path)) is None
    (tmp_path / "model.safetensors").write_bytes(b"one")
    assert weights_file(str(tmp_path)) == tmp_path / "model.safetensors"
    (tmp_path / "adapter_config.json").write_text("{}")
    assert weights_file(str(tmp_path)) is None


def test_official_weights_beside_another_vocabulary_are_no_official_judge(tmp_path):
    files = [weight(name="model.pth", content=b"weights"), weight(name="vocab.txt", content=b"a\nb\n")]
    (tmp_path / "model.pth").write_bytes(b"weights")
    assert match("vqa", tmp_path / "model.pth", files) == "exact"
    (tmp_path / "vocab.txt").write_bytes(b"a\nb\n")
    assert match("vqa", tmp_path / "model.pth", files) == "exact"
    (tmp_path / "vocab.txt").write_bytes(b"b\na\n")
    assert match("vqa", tmp_path / "model.pth", files) == "another file"


def weight(*, name: str, content: bytes) -> Weight:
    digest = hashlib.sha256(content).hexdigest()
    return Weight("vqa", "BLIP", "blip", name, "https://x.org/x", "BSD", len(content), 0, digest, "", "here")

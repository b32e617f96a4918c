"""The service with networks for judges, small ones of random weights, over files in GenEval's real layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_detector
import tiny_judges
from serving import png, serving, text
from world_pictures import Made

CLASSES = [f"{a}{b}" for a in "cdefghij" for b in "klmnopqrst"]
RECORDS: list[dict[str, Any]] = [
    {"tag": "single_object", "include": [{"class": noun, "count": 1}], "prompt": f"a photo of a {noun}"} for noun in CLASSES[::10]
]


@pytest.mark.slow
def test_two_workers_with_networks_judge_as_score_does(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "geneval"
    folder.mkdir(parents=True)
    folder.joinpath("object_names.txt").write_text("\n".join(CLASSES))
    records = [
        record | ({"tag": "colors", "include": [record["include"][0] | {"color": "red"}]} if i % 2 else {})
        for i, record in enumerate(RECORDS)
    ]
    folder.joinpath("evaluation_metadata.jsonl").write_text("\n".join(map(json.dumps, records)))
    files = []
    for i, record in enumerate(records):
        file = tmp_path / f"images/{i:05d}/samples/00000.png"
        file.parent.mkdir(parents=True)
        tiny_detector.scene(64, 64, i).save(file)
        files.append((f"{i:05d}", record["prompt"], file))
    detector, clip = tiny_detector.save(tmp_path / "detector"), tiny_judges.clip(tmp_path / "clip")
    judges = ["--judge", f"detector=official:{detector}", "--judge", f"color=official:{clip}", "--no-known-answers", "--offline"]
    expected = Made("geneval", tmp_path / "data", tmp_path / "images", files).verdicts(tmp_path / "run", *judges)
    with serving("--data", str(tmp_path / "data"), "--devices", "cpu,cpu", *judges) as served:
        answers = [served.score({"prompt": prompt, "picture": text(png(file))}) for _, prompt, file in files]
    assert all(judge["unchecked"] for judge in answers[0]["judges"].values())
    assert any(answer["results"][0]["details"]["objects"] for answer in answers)
    for (sample, _, _), answer in zip(files, answers, strict=True):
        [row] = answer["results"]
        assert (row["scores"], row["correct"], row["reason"]) == tuple(
            expected[sample][name] for name in ("scores", "correct", "reason")
        )
        for one, other in zip(row["details"]["objects"], expected[sample]["details"]["objects"], strict=True):
            assert one.keys() == other.keys()
            assert one["score"] == pytest.approx(other["score"], abs=1e-3)  # a batch of another size rounds otherwise

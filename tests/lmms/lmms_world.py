"""The world's sets as lmms-eval has the real ones: its own tasks, with only the place of their data changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from forms_of_world import Row, hallusion, mmbench, picture, pope, seed

from suder_bench.data.prompts import LETTERS, PASS
from suder_bench.data.source import write_world

INTERN = "!function lmms_eval.tasks.hallusion_bench.evaluate_hb.hb_aggregation_result_{}_intern"
"""HallusionBench by string match, which lmms-eval has beside the judge that its task asks."""

OWN: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "pope": ("pope/pope.yaml", {}),
    "mmbench": ("mmbench/mmbench_en_dev_static.yaml", {"test_split": "test"}),
    "seedbench": ("seedbench/seedbench.yaml", {}),
    "hallusionbench": (
        "hallusion_bench/hallusion_bench_image.yaml",
        {
            "test_split": "test",
            "metric_list": [{"metric": name, "aggregation": INTERN.format(name)} for name in ("aAcc", "qAcc", "fAcc")],
        },
    ),
}
"""By benchmark the YAML file of lmms-eval's task, and what is changed in it."""


def rows(world: Path, benchmark: str) -> list[Row]:
    """Documents in the columns of lmms-lab's sets on the hub, in our order."""
    return ROWS[benchmark](world / benchmark)


def _pope(world: Path) -> list[Row]:
    return [
        {"question_id": str(row["question_id"]), "question": row["text"], "answer": row["label"], "category": row["track"]}
        | {"image_source": row["image"], "image": picture(world / "images" / row["image"])}
        for row in pope(world)
    ]


def _hallusion(world: Path) -> list[Row]:
    return [row | {"image": picture(world / "images" / row["filename"])} for row in hallusion(world) if row["filename"]]


def _mmbench(world: Path) -> list[Row]:
    import base64

    found = mmbench(world)
    cells = {row["index"]: row["image"] for row in found}
    return [
        {name: row[name] or "nan" for name in ("hint", *LETTERS, "category", "source", "split")}
        | {"index": int(row["index"]), "question": row["question"], "answer": row["answer"], "L2-category": row["l2-category"]}
        | {"image": {"bytes": base64.b64decode(cells[str(int(row["index"]) % PASS)]), "path": None}}
        for row in found
    ]


def _seed(world: Path) -> list[Row]:
    return [row | {"image": [picture(world / "images" / row["data_id"])]} for row in seed(world)]


ROWS: Mapping[str, Callable[[Path], list[Row]]] = {
    "pope": _pope,
    "hallusionbench": _hallusion,
    "mmbench": _mmbench,
    "seedbench": _seed,
}


def write(folder: Path, *benchmarks: str, size: str = "quick") -> Path:
    """The world's files in `folder/world`, and in `folder/tasks` the tasks `world_NAME` over the same questions."""
    import lmms_eval
    from datasets import Dataset, DatasetDict, Image, List

    write_world(folder / "world", size=size, benchmarks=benchmarks)
    (folder / "tasks").mkdir()
    for name in benchmarks:
        found = Dataset.from_list(rows(folder / "world", name))
        found = found.cast_column("image", List(Image()) if name == "seedbench" else Image())
        DatasetDict({"test": found}).save_to_disk(folder / "tasks" / name)
        source, changed = OWN[name]
        own = Path(lmms_eval.__file__).parent / "tasks" / source
        known = {"include": str(own), "task": f"world_{name}", "dataset_path": str(folder / "tasks" / name)}
        config(folder / "tasks" / f"world_{name}.yaml", {**known, "dataset_kwargs": {"load_from_disk": True}, **changed})
    return folder


def config(file: Path, content: Mapping[str, Any]) -> None:
    """YAML, of which JSON is a part but for the tags of functions."""
    lines = (f"{name}: {json.dumps(value)}" for name, value in content.items())
    file.write_text("\n".join(_tagged(line) for line in lines) + "\n")


def _tagged(line: str) -> str:
    import re

    return re.sub(r'"(!function [\w.]+)"', r"\1", line)


def by_document(answers: Sequence[str]) -> dict[str, str]:
    return {str(number): text for number, text in enumerate(answers)}

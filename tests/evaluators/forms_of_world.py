"""The world's understanding sets, written again in the forms that people have: VLMEvalKit's tables, the hub's parquet files."""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from suder_bench.data.prompts import LETTERS, PASS

Row = dict[str, Any]
TRACKS = ("random", "popular", "adversarial")
SHARDS = 3


def lines(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def base64_of(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def picture(file: Path) -> Row:
    """A picture as the hub's parquet files hold it."""
    return {"bytes": file.read_bytes(), "path": file.name}


def table(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".xlsx":
        import openpyxl

        book = openpyxl.Workbook()
        for line in [list(rows[0]), *(list(row.values()) for row in rows)]:
            book.active.append(line)
        book.save(file)
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    file.write_text(text.getvalue())


def parquet(folder: Path, split: str, rows: Sequence[Row], shards: int = SHARDS) -> None:
    """Shards of the rows, in groups of 7."""
    import pyarrow
    from pyarrow import parquet as files

    folder.mkdir(parents=True, exist_ok=True)
    whole = pyarrow.Table.from_pylist(rows)
    step = -(-len(rows) // shards)
    for number in range(shards):
        part = whole.slice(number * step, step)
        files.write_table(part, folder / f"{split}-{number:05d}-of-{shards:05d}.parquet", row_group_size=7)


def shared(rows: Sequence[Row], names: Sequence[str], pictures: Path) -> list[Row]:
    """With an image cell, the first of a picture's rows in base64, the others as the index of that."""
    first: dict[str, Any] = {}
    done = []
    for row, name in zip(rows, names, strict=True):
        home = first.setdefault(name, row["index"])
        done.append(row | {"image": base64_of(pictures / name) if home == row["index"] else str(home)})
    return done


def pope(world: Path) -> list[Row]:
    return [row | {"track": track} for track in TRACKS for row in lines(world / f"coco_pope_{track}.json")]


def pope_table(world: Path, folder: Path, name: str = "POPE.tsv") -> None:
    rows = [
        {"index": i, "question": f"{row['text']} Please answer yes or no.", "answer": row["label"].capitalize()}
        | {"category": row["track"], "image_path": row["image"]}
        for i, row in enumerate(pope(world))
    ]
    table(folder / name, rows)
    shutil.copytree(world / "images", folder / "images" / "POPE")


def pope_hub(world: Path, folder: Path) -> None:
    rows = [
        {"id": str(i), "question_id": str(row["question_id"]), "question": row["text"], "answer": row["label"]}
        | {"image_source": Path(row["image"]).stem, "category": row["track"], "image": picture(world / "images" / row["image"])}
        for i, row in enumerate(sorted(pope(world), key=lambda row: row["track"]))
    ]
    parquet(folder / "data", "test", rows)


def hallusion(world: Path) -> list[Row]:
    rows: list[Row] = json.loads((world / "HallusionBench.json").read_text())
    return rows


def hallusionbench_table(world: Path, folder: Path, name: str = "HallusionBench.tsv") -> None:
    asked = [row for row in hallusion(world) if row["filename"]]
    keys = ("category", "subcategory", "visual_input", "set_id", "figure_id", "question_id")
    rows = [
        {"index": "_".join(row[key] for key in keys), "question": row["question"]}
        | {"answer": "Yes" if row["gt_answer"] == "1" else "No", "category": row["category"]}
        | {"l2-category": f"{row['category']}_{row['subcategory']}"}
        for row in asked
    ]
    table(folder / name, shared(rows, [row["filename"] for row in asked], world / "images"))


def hallusionbench_hub(world: Path, folder: Path) -> None:
    rows = hallusion(world)
    shown = [row | {"image": picture(world / "images" / row["filename"])} for row in rows if row["filename"]]
    parquet(folder / "data", "image", shown)
    parquet(folder / "data", "non_image", [row for row in rows if not row["filename"]], shards=1)


def hallusionbench_lines(world: Path, folder: Path) -> None:
    shutil.copytree(world / "images", folder / "images")
    (folder / "HallusionBench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in hallusion(world)))


def llava(world: Path) -> list[Row]:
    captions = {row["image"]: row["caption"] for row in lines(world / "context.jsonl")}
    answers = {row["question_id"]: row["text"] for row in lines(world / "answers_gpt4.jsonl")}
    return [
        row | {"caption": captions[row["image"]], "reference": answers[row["question_id"]]}
        for row in lines(world / "questions.jsonl")
    ]


def llavabench_table(world: Path, folder: Path, name: str = "LLaVABench.tsv") -> None:
    rows = [
        {"index": row["question_id"], "question": row["text"], "category": row["category"], "gpt4_ans": row["reference"]}
        | {"caption": row["caption"] if isinstance(row["caption"], str) else "\n".join(row["caption"])}
        for row in llava(world)
    ]
    table(folder / name, shared(rows, [row["image"] for row in llava(world)], world / "images"))
    shutil.copy(world / "rule.json", folder)


def llavabench_hub(world: Path, folder: Path) -> None:
    rows = [
        {"question_id": row["question_id"], "question": row["text"], "category": row["category"], "caption": row["caption"]}
        | {"gpt_answer": row["reference"], "image_id": row["image"], "image": picture(world / "images" / row["image"])}
        for row in llava(world)
    ]
    parquet(folder / "data", "train", rows, shards=1)
    shutil.copy(world / "rule.json", folder)


def mmbench(world: Path) -> list[Row]:
    with (world / "MMBench_DEV_EN.tsv").open(newline="") as stream:
        csv.field_size_limit(1 << 30)
        return list(csv.DictReader(stream, delimiter="\t"))


def mmbench_workbook(world: Path, folder: Path) -> None:
    table(folder / "MMBench_DEV_EN.xlsx", [row | {"index": int(row["index"])} for row in mmbench(world)])


def mmbench_hub(world: Path, folder: Path) -> None:
    rows = mmbench(world)
    cells = {row["index"]: row["image"] for row in rows}
    done = []
    for row in rows:
        texts = {name: row[name] or "nan" for name in ("hint", *LETTERS, "category", "source", "split", "comment")}
        encoded = base64.b64decode(cells[str(int(row["index"]) % PASS)])
        texts |= {"question": row["question"], "answer": row["answer"], "L2-category": row["l2-category"]}
        done.append({"index": int(row["index"]), **texts, "image": {"bytes": encoded, "path": None}})
    parquet(folder / "en", "dev", done)


def seed(world: Path) -> list[Row]:
    rows: list[Row] = json.loads((world / "SEED-Bench.json").read_text())["questions"]
    return rows


def seedbench_table(world: Path, folder: Path, name: str = "SEEDBench_IMG.tsv") -> None:
    types = {number: kind for kind, number in json.loads((world / "SEED-Bench.json").read_text())["question_type"].items()}
    rows = [
        {"index": row["question_id"], "question": row["question"], "answer": row["answer"]}
        | {letter: row[f"choice_{letter.lower()}"] for letter in LETTERS}
        | {"category": types[row["question_type_id"]]}
        for row in seed(world)
    ]
    table(folder / name, shared(rows, [row["data_id"] for row in seed(world)], world / "images"))


def seedbench_hub(world: Path, folder: Path) -> None:
    video = seed(world)[0] | {"question_id": "v1", "data_type": "video", "question_type_id": 10}
    rows = [video | {"segment": ["0", "1"]}, *(row | {"segment": []} for row in seed(world))]
    parquet(folder / "data", "test", [row | {"image": [picture(world / "images" / row["data_id"])]} for row in rows])


Writer = Callable[[Path, Path], None]
FORMS: dict[str, dict[str, Writer]] = {
    "pope": {"table": pope_table, "hub": pope_hub},
    "hallusionbench": {"table": hallusionbench_table, "hub": hallusionbench_hub, "lines": hallusionbench_lines},
    "llavabench": {"table": llavabench_table, "hub": llavabench_hub},
    "mmbench": {"workbook": mmbench_workbook, "hub": mmbench_hub},
    "seedbench": {"table": seedbench_table, "hub": seedbench_hub},
}

"""GenEval's verdicts and aggregate, case by case."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from answering import official
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from suder_bench.errors import UserError
from suder_bench.evaluators.geneval import GenEval
from suder_bench.evaluators.geneval.rules import COLORS, Clause, Task, found_objects, isolate, relative_position, ruling
from suder_bench.evaluators.judges.protocols import Detection
from suder_bench.records import Answered, Response, Sample, Verdict

SIZE = (64, 48)


def seen(label: str, score: float, box=(0, 0, 10, 10), mask=True) -> Detection:
    area = np.zeros((SIZE[1], SIZE[0]), dtype=bool)
    area[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = True
    return Detection(label, score, box, area if mask else None)


class ScriptedDetector:
    backend, exact, fingerprint = "scripted", False, "0"

    def __init__(self, *answers: list[Detection]) -> None:
        self.answers, self.calls = list(answers), 0

    def detect(self, pictures):
        self.calls += 1
        assert len(pictures) == len(self.answers)
        return self.answers


class MeanColor:
    """Names the colour of the middle pixel."""

    backend, exact, fingerprint = "mean", False, "0"
    palette: ClassVar = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 128, 0)}

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def classify(self, crops, nouns, colors):
        self.calls.append(list(nouns))
        middle = [crop.getpixel((crop.width // 2, crop.height // 2)) for crop in crops]
        return np.array([[float(self.palette.get(color) == pixel) for color in colors] for pixel in middle])


def counting(noun: str, n: int) -> dict:
    return {
        "tag": "counting",
        "include": [{"class": noun, "count": n}],
        "exclude": [{"class": noun, "count": n + 1}],
        "prompt": f"a photo of {n} {noun}",
    }


def asked(tag: str, *include: dict) -> dict:
    return {"tag": tag, "include": list(include), "prompt": f"a photo of {' '.join(clause['class'] for clause in include)}"}


BENCH = {"class": "bench", "count": 1}
CAT = {"class": "cat", "count": 1}
LEFT_BOX, RIGHT_BOX = (0, 0, 10, 10), (20, 0, 30, 10)


def faults(record: dict, detections: list[Detection], colors: dict | None = None) -> list[str]:
    task = Task.parse(record)
    return ruling(task, found_objects(detections, task.tag), colors or {})


@pytest.mark.parametrize(
    ("record", "detections", "right"),
    [
        pytest.param(counting("cat", 3), [seen("cat", 0.95)] * 3 + [seen("cat", 0.85)], True, id="1-fourth-below-0.9"),
        pytest.param(counting("cat", 3), [seen("cat", 0.95)] * 3 + [seen("cat", 0.91)], False, id="2-fourth-above-0.9"),
        pytest.param(asked("single_object", CAT), [seen("cat", 0.3)], False, id="3-exactly-0.3"),
        pytest.param(asked("single_object", CAT), [seen("cat", float(np.float32(0.3)))], False, id="3-a-detector-s-0.3"),
        pytest.param(counting("cat", 2), [seen("cat", 0.95), seen("cat", 0.9)], False, id="3-counting-exactly-0.9"),
        pytest.param(counting("cat", 4), [seen("cat", 0.95)] * 20, False, id="4-twenty-detections"),
        pytest.param(asked("single_object", BENCH), [seen("bench", 0.5)] * 5, True, id="5-five-benches"),
        pytest.param(asked("single_object", {"class": "unicorn", "count": 1}), [seen("cat", 0.9)], False, id="15-unknown-class"),
        pytest.param(
            asked("two_object", CAT, BENCH), [seen("cat", 0.8), seen("bench", 0.6)], True, id="19-same-mask-two-classes"
        ),
        pytest.param(asked("single_object", CAT), [], False, id="20-nothing-detected"),
    ],
)
def test_counts_and_thresholds(record, detections, right):
    assert (not faults(record, detections)) is right


def test_at_most_sixteen_of_a_class_are_kept():
    assert len(found_objects([seen("cat", 0.95)] * 20, "counting")["cat"]) == 16


def red_or_blue(first: str, second: str) -> dict:
    return {("cat", 0): first, ("cat", 1): second}


@pytest.mark.parametrize(
    ("record", "colors", "right"),
    [
        pytest.param(asked("colors", CAT | {"color": "blue"}), red_or_blue("red", "blue"), False, id="6-top-object-decides"),
        pytest.param(asked("colors", CAT | {"color": "red"}), red_or_blue("red", "blue"), True, id="6-top-object-right"),
        pytest.param(
            asked("color_attr", CAT | {"color": "blue"}, BENCH | {"color": "red"}),
            red_or_blue("red", "blue") | {("bench", 0): "red"},
            False,
            id="7-first-clause-wrong",
        ),
        pytest.param(
            asked("color_attr", BENCH | {"color": "red"}, CAT | {"color": "blue"}),
            red_or_blue("red", "blue") | {("bench", 0): "red"},
            False,
            id="7-second-clause-wrong",
        ),
        pytest.param(
            asked("color_attr", CAT | {"color": "red"}, BENCH | {"color": "red"}),
            red_or_blue("red", "blue") | {("bench", 0): "red"},
            True,
            id="7-both-right",
        ),
    ],
)
def test_colors(record, colors, right):
    assert (not faults(record, [seen("cat", 0.9), seen("cat", 0.8), seen("bench", 0.7)], colors)) is right


def test_position_without_its_reference_has_no_target():
    record = asked("position", BENCH, CAT | {"position": ["left of", 0]})
    assert any("no target" in fault for fault in faults(record, [seen("cat", 0.9)]))


@pytest.mark.parametrize(
    ("a", "b", "relations"),
    [
        pytest.param((0, 0, 10, 10), (20, 0, 30, 10), {"left of"}, id="9-left"),
        pytest.param((0, 0, 10, 10), (3, 0, 13, 10), set(), id="10-too-close"),
        pytest.param((0, 0, 10, 10), (4, 0, 14, 10), set(), id="11-exactly-a-fifth"),
        pytest.param((0, 0, 10, 10), (4.01, 0, 14.01, 10), {"left of"}, id="11-just-over"),
        pytest.param((0, 0, 10, 10), (20, 20, 30, 30), {"left of", "above"}, id="12-two-at-once"),
        pytest.param((5, 5, 9, 9), (5, 5, 9, 9), set(), id="13-identical"),
        pytest.param((20, 20, 30, 30), (0, 0, 10, 10), {"right of", "below"}, id="mirrored"),
    ],
)
def test_relative_position(a, b, relations):
    assert relative_position(a, b) == relations


@pytest.mark.parametrize("wanted", ["left of", "above"])
def test_either_of_two_relations_is_right(wanted):
    record = asked("position", BENCH, CAT | {"position": [wanted, 0]})
    assert not faults(record, [seen("cat", 0.9, (0, 0, 10, 10)), seen("bench", 0.8, (20, 20, 30, 30))])


corner = st.floats(0, 400)
side = st.floats(1, 100)
boxes = st.tuples(corner, corner, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(boxes, boxes)
def test_relations_are_antisymmetric_and_never_contradict(a, b):
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    relations = relative_position(a, b)
    assert relative_position(b, a) == {opposite[relation] for relation in relations}
    assert not {"left of", "right of"} <= relations
    assert not {"above", "below"} <= relations


@given(boxes, boxes)
def test_on_one_axis_a_relation_needs_a_fifth_of_the_sizes(a, b):
    b = (b[0], a[1], b[2], a[3])
    offset = abs(a[0] + a[2] - b[0] - b[2]) / 2
    reach = 0.2 * (a[2] - a[0] + b[2] - b[0])
    if abs(offset - reach) > 1e-2:
        assert bool(relative_position(a, b)) is (offset > reach)


def test_the_crop_is_the_object_alone_on_grey():
    picture = Image.new("RGB", SIZE, "red")
    mask = np.zeros((SIZE[1], SIZE[0]), dtype=bool)
    mask[10:20, 12:15] = True
    crop = isolate(picture, Detection("cat", 0.9, (11.6, 10, 20.4, 20), mask))
    assert crop.size == (8, 10)
    assert crop.getpixel((0, 0)) == (255, 0, 0)
    assert crop.getpixel((7, 9)) == (153, 153, 153)


RECORDS = [
    asked("single_object", CAT),
    asked("colors", CAT | {"color": "red"}),
    counting("cat", 2),
    asked("position", BENCH, CAT | {"position": ["left of", 0]}),
]


@pytest.fixture
def data(tmp_path) -> Path:
    folder = tmp_path / "data" / "geneval"
    folder.mkdir(parents=True)
    folder.joinpath("evaluation_metadata.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    folder.joinpath("object_names.txt").write_text("cat\nbench\n")
    return tmp_path / "data"


def answer(sample: Sample, file: Path, color: str = "red", repeat: int = 0) -> Answered:
    Image.new("RGB", SIZE, color).save(file)
    return Answered(sample, Response("geneval", sample.id, repeat, 0, f"digest {repeat}", image=file.name), file)


def test_a_batch_asks_each_judge_once(data, tmp_path):
    bench = GenEval(data)
    samples = bench.samples()
    detector = ScriptedDetector(
        [seen("cat", 0.5)], [seen("cat", 0.8)], [seen("cat", 0.95)], [seen("cat", 0.9, LEFT_BOX), seen("bench", 0.9, RIGHT_BOX)]
    )
    color = MeanColor()
    answered = [answer(sample, tmp_path / f"{sample.id}.png", "blue") for sample in samples]
    verdicts = list(bench.verdicts(answered, {"detector": detector, "color": color}))
    assert [verdict.correct for verdict in verdicts] == [True, False, False, True]
    assert (detector.calls, color.calls) == (1, [["cat"]])
    assert verdicts[1].reason == "expected a red cat, the most confident cat is blue"
    assert verdicts[2].reason == "expected 2 cats, found 1"
    assert verdicts[1].details == {"objects": [{"class": "cat", "score": 0.8, "box": [0.0, 0.0, 10.0, 10.0], "color": "blue"}]}
    assert json.loads(json.dumps([dict(verdict.details) for verdict in verdicts]))
    assert [verdict.digest for verdict in verdicts] == ["digest 0"] * 4


@pytest.mark.parametrize(
    ("record", "detections", "reason"),
    [
        (
            counting("cat", 3),
            [*[seen("cat", 0.95)] * 3, seen("cat", 0.85), seen("bench", 0.8)],
            "everything asked for is there; 1 more cat not above 0.9 (0.85)",
        ),
        (
            counting("cat", 3),
            [*[seen("cat", 0.95)] * 2, seen("cat", 0.42), seen("cat", 0.9), seen("cat", 0.05)],
            "expected 3 cats, found 2; 2 more cats not above 0.9 (0.90, 0.42)",
        ),
        (asked("single_object", CAT), [seen("cat", 0.3)], "expected 1 cat, found 0; 1 cat not above 0.3 (0.30)"),
        (asked("single_object", CAT), [seen("cat", 0.8), seen("cat", 0.2)], "everything asked for is there"),
        (asked("single_object", CAT), [], "expected 1 cat, found 0"),
    ],
)
def test_a_reason_names_what_was_seen_below_the_threshold(data, tmp_path, record, detections, reason):
    data.joinpath("geneval", "evaluation_metadata.jsonl").write_text(json.dumps(record))
    bench = GenEval(data)
    answered = [answer(bench.samples()[0], tmp_path / "a.png")]
    (verdict,) = bench.verdicts(answered, {"detector": ScriptedDetector(detections), "color": MeanColor()})
    assert verdict.reason == reason


def test_a_color_tie_goes_to_the_earlier_color(data, tmp_path):
    class Undecided(MeanColor):
        def classify(self, crops, nouns, colors):
            return np.array([[float(color in ("blue", "orange")) for color in colors] for _ in crops])

    bench = GenEval(data)
    answered = [answer(bench.samples()[1], tmp_path / "a.png")]
    (verdict,) = bench.verdicts(answered, {"detector": ScriptedDetector([seen("cat", 0.8)]), "color": Undecided()})
    assert verdict.reason.endswith("is orange")


def test_a_class_outside_object_names_counts_as_never_found(tmp_path):
    tmp_path.joinpath("evaluation_metadata.jsonl").write_text(
        json.dumps(asked("single_object", {"class": "unicorn", "count": 1}))
    )
    tmp_path.joinpath("object_names.txt").write_text("cat\n")
    bench = GenEval(tmp_path)
    answered = [answer(bench.samples()[0], tmp_path / "a.png")]
    (verdict,) = bench.verdicts(answered, {"detector": ScriptedDetector([seen("unicorn", 0.8)]), "color": MeanColor()})
    assert verdict.correct is False
    assert "not in object_names.txt" in verdict.reason


def test_a_detector_without_masks_is_refused_when_a_color_is_asked(data, tmp_path):
    bench = GenEval(data)
    answered = [answer(bench.samples()[1], tmp_path / "a.png")]
    with pytest.raises(UserError, match="masks"):
        list(bench.verdicts(answered, {"detector": ScriptedDetector([seen("cat", 0.8, mask=False)]), "color": MeanColor()}))


def test_pictures_are_turned_upright(data, tmp_path):
    bench = GenEval(data)
    sample, file = bench.samples()[1], tmp_path / "turned.png"
    picture = Image.new("RGB", (SIZE[1], SIZE[0]), "blue")
    picture.paste((255, 0, 0), (0, 54, 48, 64))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(file, exif=exif)
    answered = [Answered(sample, Response("geneval", sample.id, 0, 0, "d", image=file.name), file)]
    (verdict,) = bench.verdicts(answered, {"detector": ScriptedDetector([seen("cat", 0.8, (0, 0, 8, 48))]), "color": MeanColor()})
    assert verdict.correct, verdict.reason


def write_pictures(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)


def test_foreign_folders_and_files_are_ignored(data, tmp_path):
    write_pictures(
        tmp_path / "made", "abc/samples/0000.png", "00000/samples/0000.png", "00000/samples/0001.jpg", "00000/grid.png"
    )
    write_pictures(tmp_path / "made", "00000/samples/grid.png", "00001/samples/00003.png", "00001/samples/00007.png")
    found = GenEval(data).find_images(tmp_path / "made")
    assert [(sample.id, repeat, file.name) for sample, repeat, file in found] == [
        ("00000", 0, "0000.png"),
        ("00001", 0, "00003.png"),
        ("00001", 1, "00007.png"),
    ]


def test_a_folder_belongs_to_the_prompt_of_its_sidecar(data, tmp_path):
    write_pictures(tmp_path / "made", "00000/samples/0000.png")
    sidecar = tmp_path / "made" / "00000" / "metadata.jsonl"
    sidecar.write_text(json.dumps(RECORDS[2]))
    assert GenEval(data).find_images(tmp_path / "made")[0][0].id == "00002"
    sidecar.write_text(json.dumps(asked("single_object", BENCH)))
    with pytest.raises(UserError, match="other data"):
        GenEval(data).find_images(tmp_path / "made")


def test_pictures_of_no_prompt_are_told_apart(data, tmp_path):
    made = tmp_path / "made"
    write_pictures(made, *(f"{name}/samples/0000.png" for name in ("00001", "00077", "00002", "00003")))
    (made / "00002/metadata.jsonl").write_text(json.dumps(asked("single_object", BENCH)))
    (made / "00003/metadata.jsonl").write_text("{")
    bench = GenEval(data)
    assert [sample.id for sample, _, _ in bench.find_images(made)] == ["00001"]
    write_pictures(made, "00001/samples/grid.png", "00001/samples/.grid.png")
    (made / "00001/samples/notes.txt").write_text("no picture")
    told = {stranger.file.parts[-3]: stranger.why for stranger in bench.strangers(made)}
    assert list(told) == ["00001", "00002", "00003", "00077"]
    assert told["00001"] == "its name is not <number>.png"
    assert [stranger.sample for stranger in bench.strangers(made)] == [bench.samples()[1], None, None, None]
    assert told["00002"].startswith("the prompt of its metadata.jsonl is not in ")
    assert told["00003"].startswith("its metadata.jsonl is not one JSON object")
    assert told["00077"].startswith(f"there are only {len(bench.samples())} prompts in ")


def test_pictures_with_other_endings_are_named_because_the_script_reads_png_only(data, tmp_path):
    others = ["1.webp", "2.jpg", "3.JPEG", "4.PNG", "5.tiff", "6.avif", "7.heic", "8.png.bak"]
    made = tmp_path / "made" / "00001" / "samples"
    write_pictures(made, "0.png")
    for name in others:
        (made / name).write_bytes(b"")
    bench = GenEval(data)
    assert [file.name for _, _, file in bench.find_images(tmp_path / "made")] == ["0.png"]
    assert [stranger.file.name for stranger in bench.strangers(tmp_path / "made")] == others
    (made / "0.png").unlink()
    with pytest.raises(UserError, match=r"none of the 8 pictures in .*made is called <number>\.png, the first is .*1\.webp"):
        bench.find_images(tmp_path / "made")


def record_of(made: Path, folder: str, record: dict, pictures: int = 2) -> None:
    write_pictures(made, *(f"{folder}/samples/{number:05d}.png" for number in range(pictures)))
    (made / folder / "metadata.jsonl").write_text(json.dumps(record))


def owners(bench: GenEval, made: Path) -> list[tuple[str, int, str]]:
    return [(sample.id, repeat, file.parts[-3]) for sample, repeat, file in bench.find_images(made)]


def test_a_rewritten_prompt_is_scored_by_what_it_asks_for_and_named(data, tmp_path):
    record_of(tmp_path, "00000", RECORDS[1] | {"prompt": "A crimson cat on a sofa, cinematic", "seed": 3})
    record_of(tmp_path, "00007", RECORDS[2] | {"seed": 3})
    bench = GenEval(data)
    assert owners(bench, tmp_path) == [("00001", 0, "00000"), ("00001", 1, "00000"), ("00002", 0, "00007"), ("00002", 1, "00007")]
    assert bench.rewritten(tmp_path) == {"00001": "A crimson cat on a sofa, cinematic"}
    assert bench.strangers(tmp_path) == []


def test_an_empty_exclude_asks_for_nothing(data, tmp_path):
    record_of(tmp_path, "00001", RECORDS[1] | {"exclude": []})
    assert owners(GenEval(data), tmp_path) == [("00001", 0, "00001"), ("00001", 1, "00001")]


def test_of_equal_records_the_folders_number_decides(data, tmp_path):
    (data / "geneval/evaluation_metadata.jsonl").write_text("\n".join(json.dumps(record) for record in RECORDS for _ in range(4)))
    for number in (5, 6, 2):
        record_of(tmp_path / "made", f"{number:05d}", RECORDS[number // 4], pictures=1)
    assert owners(GenEval(data), tmp_path / "made") == [("00002", 0, "00002"), ("00005", 0, "00005"), ("00006", 0, "00006")]


def test_equal_records_are_one_prompt(data):
    """A list that holds every prompt four times: four samples, and one prompt of which any picture may be right."""
    (data / "geneval/evaluation_metadata.jsonl").write_text(
        "\n".join(json.dumps(record) for record in RECORDS[:2] for _ in range(4))
    )
    bench = GenEval(data)
    assert [sample.cluster for sample in bench.samples()] == ["00000"] * 4 + ["00004"] * 4
    rows = [
        (sample, Verdict("geneval", sample.id, 0, "", {"correct": 0.0}, sample.id == "00002", "")) for sample in bench.samples()
    ]
    statistics = bench.statistics(rows)
    assert float(statistics["prompts"].of(np.ones(8))) == 0.5
    assert statistics["prompts"].n == 2


def test_folders_of_one_prompt_are_numbered_on(data, tmp_path):
    """A test list that holds every prompt four times, with a picture each."""
    for number in range(8):
        record_of(tmp_path, f"{number:05d}", RECORDS[number // 4], pictures=1)
    found = owners(GenEval(data), tmp_path)
    assert found == [(f"{number // 4:05d}", number % 4, f"{number:05d}") for number in range(8)]


def test_a_rewritten_prompt_asked_twice_belongs_to_the_folders_number(data, tmp_path):
    again = RECORDS[0] | {"prompt": "one cat"}
    (data / "geneval/evaluation_metadata.jsonl").write_text("\n".join(map(json.dumps, [*RECORDS, again])))
    record_of(tmp_path / "made", "00004", RECORDS[0] | {"prompt": "a regal cat"})
    record_of(tmp_path / "made", "00003", again)
    found = owners(GenEval(data), tmp_path / "made")
    assert found == [("00004", repeat, f"{3 + repeat // 2:05d}") for repeat in range(4)]
    assert GenEval(data).rewritten(tmp_path / "made") == {"00004": "a regal cat"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(
    st.binary(max_size=30)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {}, optional={"tag": JSON, "prompt": JSON, "include": JSON | st.just([CAT]), "exclude": JSON, "seed": JSON}
    ).map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b"[" * 100_000, b"1" * 5000, "\ud800".encode("utf-8", "surrogatepass")])
)
def test_any_sidecar_makes_an_owner_or_a_reason(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "evaluation_metadata.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    (folder / "object_names.txt").write_text("cat\nbench\n")
    made = folder / "made/00000"
    (made / "samples").mkdir(parents=True)
    (made / "samples/00000.png").write_bytes(b"")
    (made / "metadata.jsonl").write_bytes(content)
    bench = GenEval(folder)
    strangers = bench.strangers(folder / "made")
    assert len(strangers) == 1 or len(bench.find_images(folder / "made")) == 1
    assert all("\n" not in stranger.why for stranger in strangers)


def test_the_own_layout_is_found_again(data, tmp_path):
    bench = GenEval(data)
    for sample in bench.samples():
        write_pictures(tmp_path / "made", *(bench.image_path(sample, repeat) for repeat in range(3)))
        for name, text in bench.sidecars(sample).items():
            tmp_path.joinpath("made", name).write_text(text)
    found = bench.find_images(tmp_path / "made")
    assert [(sample.id, repeat) for sample, repeat, _ in found] == [(s.id, r) for s in bench.samples() for r in range(3)]
    assert bench.image_path(bench.samples()[2], 3) == "00002/samples/00003.png"


def test_an_empty_folder_says_what_the_layout_is(data, tmp_path):
    with pytest.raises(UserError, match=r"00000/samples/00000\.png"):
        GenEval(data).find_images(tmp_path)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "evaluation_metadata.jsonl:2"),
        ('{"tag": "colors", "prompt": "x"}', "no 'include'"),
        ('{"tag": "colors", "prompt": "x", "include": ["cat"]}', "evaluation_metadata.jsonl:2"),
        (
            '{"tag": "position", "prompt": "x", "include": [{"class": "cat", "count": 1, "position": ["left of"]}]}',
            "evaluation_metadata.jsonl:2",
        ),
        (
            '{"tag": "colors", "prompt": "x", "include": [{"class": "cat", "count": 1, "color": "mauve"}]}',
            "unknown color 'mauve'",
        ),
        (
            '{"tag": "position", "prompt": "x", "include": [{"class": "cat", "count": 1, "position": ["above", 0]}]}',
            "not before it",
        ),
        (
            '{"tag": "position", "prompt": "x", "include": [{"class": "cat", "count": 1, "position": ["upon", 0]}]}',
            "unknown position",
        ),
        ("[]", "evaluation_metadata.jsonl:2"),
        ('{"tag": "colors", "prompt": ["x"], "include": []}', r"jsonl:2: 'prompt' is .*; expected a text"),
        ('{"tag": 3, "prompt": "x", "include": []}', "jsonl:2: 'tag' is 3; expected a text"),
        ('{"tag": "colors", "prompt": "x", "include": [{"class": ["cat"], "count": 1}]}', "jsonl:2: class"),
        ('{"tag": "counting", "prompt": "x", "include": [{"class": "cat", "count": "3"}]}', "jsonl:2: class 'cat' or count '3'"),
        (
            '{"tag": "counting", "prompt": "x", "include": [{"class": "cat", "count": 2.7}]}',
            r"jsonl:2: class 'cat' or count 2\.7",
        ),
        (
            '{"tag": "counting", "prompt": "x", "include": [{"class": "cat", "count": true}]}',
            "jsonl:2: class 'cat' or count True",
        ),
        (
            '{"tag": "position", "prompt": "x", "include": [{"class": "cat", "count": 1, "position": ["above", "0"]}]}',
            "jsonl:2: position",
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, complaint):
    tmp_path.joinpath("object_names.txt").write_text("cat\n")
    tmp_path.joinpath("evaluation_metadata.jsonl").write_text(json.dumps(RECORDS[0]) + "\n" + line)
    with pytest.raises(UserError, match=complaint):
        GenEval(tmp_path)


def test_a_prompt_may_hold_any_character_and_a_list_must_be_text(tmp_path):
    tmp_path.joinpath("object_names.txt").write_text("cat\n")
    row = json.dumps({**RECORDS[0], "prompt": "a\u2028b"}, ensure_ascii=False)
    tmp_path.joinpath("evaluation_metadata.jsonl").write_text(row, encoding="utf-8")
    assert [sample.prompt for sample in GenEval(tmp_path).samples()] == ["a\u2028b"]
    tmp_path.joinpath("object_names.txt").write_bytes(b"cat\xff")
    with pytest.raises(UserError, match=r"object_names\.txt: cannot be read"):
        GenEval(tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match="evaluation_metadata"):
        GenEval(tmp_path)
    tmp_path.joinpath("evaluation_metadata.jsonl").write_text(json.dumps(RECORDS[0]))
    with pytest.raises(UserError, match="object_names"):
        GenEval(tmp_path)


def row(tag: str, prompt: int, correct: bool, repeat: int = 0) -> tuple[Sample, Verdict]:
    sample = Sample(id=f"{prompt:05d}", cluster=f"{prompt:05d}", prompt="", truth={"tag": tag})
    return sample, Verdict("geneval", sample.id, repeat, "", {"correct": float(correct)}, correct, "")


def test_overall_is_the_mean_of_tag_scores(data):
    rows = [row("colors", 0, True)] + [row("counting", 1, False, repeat) for repeat in range(3)]
    statistics = GenEval(data).statistics(rows)
    values = {name: float(statistic.of(np.ones(len(rows)))) for name, statistic in statistics.items()}
    assert values == {"counting": 0.0, "colors": 1.0, "overall": 0.5, "images": 0.25, "prompts": 0.5}
    assert {name: statistic.n for name, statistic in statistics.items()} == {
        "counting": 3,
        "colors": 1,
        "overall": 4,
        "images": 4,
        "prompts": 2,
    }


def test_published_overall_follows_from_its_tags(data):
    table = {"single_object": 0.97, "two_object": 0.88, "counting": 0.57, "colors": 0.90, "position": 0.77, "color_attr": 0.64}
    rows = [row(tag, place, place < score * 100) for tag, score in table.items() for place in range(100)]
    assert GenEval(data).statistics(rows)["overall"].of(np.ones(600)) == pytest.approx(0.788, abs=5e-4)


def test_weights_count_rows_as_often_and_a_lost_tag_is_undefined(data):
    rows = [row("colors", 0, True), row("counting", 1, False), row("counting", 2, True), row("counting", 2, False, 1)]
    statistics = GenEval(data).statistics(rows)
    weights = np.array([[1, 0, 2, 2], [0, 2, 1, 1]], dtype=float)
    assert statistics["counting"].of(weights).tolist() == [0.5, 0.25]
    assert statistics["overall"].of(weights)[0] == 0.75
    assert np.isnan(statistics["overall"].of(weights)[1])
    assert statistics["prompts"].of(weights) == pytest.approx([1.0, 1 / 3])


def test_no_rows_have_no_statistics(data):
    assert GenEval(data).statistics([]) == {}


def test_the_official_files_load_completely():
    bench = GenEval(official("geneval/evaluation_metadata.jsonl").parent)
    samples = bench.samples()
    assert Counter(sample.truth["tag"] for sample in samples) == {
        "single_object": 80,
        "two_object": 99,
        "counting": 80,
        "colors": 94,
        "position": 100,
        "color_attr": 100,
    }
    assert len(bench.object_names) == 80
    assert {clause.noun for sample in samples for clause in Task.parse(sample.truth).include} <= set(bench.object_names)
    assert samples[453].truth["tag"] == "color_attr"
    assert Clause.parse(samples[353].truth["include"][1]).position is not None
    assert COLORS[0] == "red"


def test_a_record_of_ones_own_is_asked_as_one_of_the_file(data):
    """As a table of records holds them, whose absent keys are None."""
    record = {"tag": "colors", "include": [{"class": "cat", "count": 1, "color": "red", "position": None}], "exclude": None}
    sample = GenEval(data).sample_of("my cat", record)
    assert (sample.prompt, sample.truth["prompt"]) == ("my cat", "my cat")
    assert Task.parse(sample.truth) == Task("colors", (Clause("cat", 1, "red"),))
    assert GenEval(data).sample_of("my cat", {"category": "color"}) is None
    for wrong in ({"tag": None}, {"include": {}}, {"include": [{"class": "cat"}]}, {"include": [3]}):
        with pytest.raises(UserError, match=r"^metadata: "):
            GenEval(data).sample_of("my cat", record | wrong)

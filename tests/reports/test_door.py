"""Nothing outside the folders that were given comes into a report, a site, a gallery or a figure, wherever links lead."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_comparisons import COMPARISON, compared
from fake_runs import summary, write_drawn, write_geneval, write_run, write_training
from PIL import Image

import suder_bench.reports
from suder_bench.cli import main
from suder_bench.errors import PictureError, UserError
from suder_bench.reports import door, measured
from suder_bench.reports.figures import demonstrations, grids
from suder_bench.reports.site import view
from suder_bench.reports.site.documents import Site, build
from suder_bench.reports.site.folder import write
from suder_bench.reports.site.gallery import _data_root
from suder_bench.reports.site.pictures import Pictures
from suder_bench.reports.site.runs import Shown
from suder_bench.runs.screen import Screen

SECRET = "a secret of somebody else's"
PROMPTS = {f"a photo of {number} stars": "counting" for number in range(3)}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    return folder


def moved(file: Path, outside: Path) -> Path:
    """A file or folder goes out of what will be given, and a link stays in its place."""
    target = outside / file.name
    shutil.move(file, target)
    file.symlink_to(target)
    return target


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_drawn(tmp_path / "run", write_geneval(tmp_path / "data", PROMPTS))


@pytest.fixture
def training(tmp_path: Path) -> Path:
    folder = write_training(tmp_path / "t", "strategy: unified\n", 0.5, 0.6, benchmarks=("geneval",))
    (folder / "metrics.jsonl").write_text('{"step": 1, "gen/reward": 0.5}\n')
    (folder / "samples").mkdir()
    Image.new("RGB", (4, 4)).save(folder / "samples" / "step-10-gen.png")
    return folder


def comparison(folder: Path) -> Path:
    folder.mkdir()
    (folder / "compare.json").write_text(json.dumps(COMPARISON))
    for name in ("compare.png", "disagreements.png"):
        Image.new("RGB", (4, 4)).save(folder / name)
    return folder


def site(*paths: Path, told: Callable[[str], None] = lambda line: None) -> Site:
    return build(paths, [], [], told)


def refused(made: Callable[[], object], file: Path) -> None:
    """In one line that names the file."""
    with pytest.raises(UserError) as error:
        made()
    assert str(error.value).startswith(f"{file} does not lie in ")
    assert "\n" not in str(error.value)


def is_served(made: Site, address: str) -> bool:
    try:
        return view._finder(made)(address) is not None
    except PictureError:
        return False


@pytest.mark.parametrize("name", ["run.json", "summary.json", "responses/geneval/0.jsonl", "verdicts/geneval/0.jsonl"])
def test_no_document_of_a_run_leads_out_of_it(run: Path, outside: Path, name: str) -> None:
    moved(run / name, outside)
    refused(lambda: site(run), run / name)
    refused(lambda: measured.read([run]), run / name)


@pytest.mark.parametrize("name", ["responses", "verdicts/geneval"])
def test_no_folder_of_a_run_leads_out_of_it(run: Path, outside: Path, name: str) -> None:
    moved(run / name, outside)
    with pytest.raises(UserError, match=r"jsonl does not lie in .* \(it leads to "):
        site(run)


@pytest.mark.parametrize("name", ["images", "images/geneval", "images/geneval/00001.png"])
def test_pictures_that_lead_out_of_a_run_are_left_out_and_named(
    run: Path, outside: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    moved(run / name, outside)
    made = site(run)
    write(made, run.parent / "site", Screen())
    lost = capsys.readouterr().err
    assert f"left out: {run}/images/geneval/00001.png does not lie in {run}" in lost
    assert len(list((run.parent / "site").glob("pictures/*/*.webp"))) == (2 if name.endswith(".png") else 0)
    served = [place for place in made.pictures.known if is_served(made, place)]
    assert len(served) == (2 if name.endswith(".png") else 0)


def test_a_run_that_is_given_may_itself_be_a_link(run: Path, outside: Path) -> None:
    moved(run, outside)
    assert len(site(run).pictures.known) == 3
    assert measured.read([run])[0].label == "my-model"


def test_links_within_a_run_are_followed(run: Path) -> None:
    shutil.move(run / "images" / "geneval", run / "elsewhere")
    (run / "images" / "geneval").symlink_to(run / "elsewhere")
    assert write(site(run), run.parent / "site", Screen()).is_file()
    assert len(list((run.parent / "site").glob("pictures/*/*.webp"))) == 3


@pytest.mark.parametrize("name", ["compare.png", "disagreements.png"])
def test_a_picture_of_a_comparison_that_leads_out_is_left_out_and_named(
    tmp_path: Path, run: Path, outside: Path, name: str
) -> None:
    folder = comparison(tmp_path / "c")
    moved(folder / name, outside)
    told: list[str] = []
    made = site(run, folder, told=told.append)
    assert [line for line in told if line.startswith(f"left out: {folder / name} does not lie in {folder}")]
    assert f"rewards-0/{name}" not in made.files
    assert len(made.files) == 1


def test_a_picture_that_becomes_a_link_later_is_neither_served_nor_copied(tmp_path: Path, run: Path, outside: Path) -> None:
    folder = comparison(tmp_path / "c")
    made = site(run, folder)
    moved(folder / "compare.png", outside)
    refused(lambda: view._finder(made)("rewards-0/compare.png"), folder / "compare.png")
    refused(lambda: write(made, tmp_path / "site", Screen()), folder / "compare.png")


def test_the_numbers_of_a_comparison_lead_nowhere_else(tmp_path: Path, run: Path, outside: Path) -> None:
    folder = comparison(tmp_path / "c")
    moved(folder / "compare.json", outside)
    refused(lambda: site(run, folder), folder / "compare.json")


@pytest.mark.parametrize("name", ["recipe.yaml", "metrics.jsonl"])
def test_no_document_of_a_training_leads_out_of_it(training: Path, outside: Path, name: str) -> None:
    moved(training / name, outside)
    refused(lambda: site(training), training / name)


@pytest.mark.parametrize("name", ["evaluations", "evaluations/step-10", "evaluations/step-10/all"])
def test_no_evaluation_leads_out_of_its_training(training: Path, outside: Path, name: str) -> None:
    moved(training / name, outside)
    for made in (lambda: measured.read([training]), lambda: measured.evolution(training), lambda: site(training)):
        with pytest.raises(UserError, match=r"evaluations/step-.* does not lie in "):
            made()


def test_the_samples_of_a_training_lead_nowhere_else(training: Path, outside: Path) -> None:
    moved(training / "samples" / "step-10-gen.png", outside)
    refused(lambda: demonstrations.build(9, [training]), training / "samples" / "step-10-gen.png")


@pytest.mark.parametrize(
    ("number", "name"), [(9, "samples/0-1.png"), (10, "captions/00000.png"), (9, "rewards.jsonl"), (9, "compare.json")]
)
def test_figures_of_rewards_show_no_other_file(tmp_path: Path, outside: Path, number: int, name: str) -> None:
    folder = compared(tmp_path / "c")
    moved(folder / name, outside)
    refused(lambda: demonstrations.build(number, [folder]), folder / name)


def test_a_comparison_of_another_runs_pictures_shows_them_where_that_run_is_given_too(tmp_path: Path, outside: Path) -> None:
    folder = compared(tmp_path / "c")
    rows = [json.loads(line) for line in (folder / "rewards.jsonl").read_text().splitlines()]
    for row in rows:
        row["made"] = [str(shutil.copy(folder / file, outside)) if file.endswith(".png") else file for file in row["made"]]
    (folder / "rewards.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    refused(lambda: demonstrations.build(9, [folder]), outside / "0-1.png")
    assert len(demonstrations.build(9, [folder, outside])) == 1


def test_figures_of_samples_show_no_other_picture(tmp_path: Path, run: Path, outside: Path) -> None:
    other = write_drawn(tmp_path / "other", tmp_path / "data", model="other")
    assert len(grids.build(8, [run, other])) == 1
    moved(run / "images", outside)
    refused(lambda: grids.build(8, [run, other]), run / "images/geneval/00000.png")


def test_a_report_tells_what_it_left_out_in_a_line(
    tmp_path: Path, run: Path, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = comparison(tmp_path / "c")
    moved(folder / "compare.png", outside).write_text(SECRET)
    assert main(["report", str(run), str(folder), "--out", str(tmp_path / "out"), "--table", "2"]) == 0
    said = capsys.readouterr()
    assert [line for line in said.err.splitlines() if line.startswith(f"left out: {folder / 'compare.png'} does not lie in")]
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]


def test_a_report_of_a_run_that_leads_out_is_refused(run: Path, outside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved(run / "summary.json", outside)
    assert main(["report", str(run), "--out", str(run.parent / "out")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"{run / 'summary.json'} does not lie in {run} (it leads to {outside / 'summary.json'})" in line


def test_a_ring_of_links_is_refused_too(run: Path) -> None:
    file = run / "images" / "geneval" / "00000.png"
    file.unlink()
    file.symlink_to(file)
    with pytest.raises(UserError, match=r"does not lie in|is not a readable picture"):
        door.picture(file, run)


READERS = {"open", "read_text", "read_bytes", "open_image", "RunFolder", "Ledger", "read_points", "imread", "recomputed"}
ALLOWED = {
    ("figures/plates.py", "open_image"),  # of pictures that a figure was built with, which the door has let in
    ("published.py", "read_text"),  # of this package
    ("site/folder.py", "read_bytes"),  # of this package
    ("site/pictures.py", "open_image"),  # of bytes at hand
    ("site/curves.py", "read_points"),  # after door.evaluations
    ("measured.py", "RunFolder"),  # after door.run, as is the next
    ("measured.py", "recomputed"),
}


def test_nothing_of_the_reports_reads_but_through_the_door() -> None:
    found = set()
    top = Path(suder_bench.reports.__path__[0])
    for file in top.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                file.name != "door.py"
                and isinstance(node, ast.Call)
                and not (called := ast.unparse(node.func)).startswith("door.")
            ):
                found.add((file.relative_to(top).as_posix(), called.rpartition(".")[2]))
    assert {one for one in found if one[1] in READERS} == ALLOWED


def test_the_training_of_a_checkpoint_is_told_by_its_own_recipe_only(tmp_path: Path, training: Path, outside: Path) -> None:
    run = write_run(tmp_path / "r", summary("geneval", model=f"{training}/checkpoint-30"))
    assert measured.read([run])[0].label == "my-model + dsr (simpo), unified, step 30"
    moved(training / "recipe.yaml", outside)
    refused(lambda: measured.read([run]), training / "recipe.yaml")


def test_pictures_of_questions_lead_out_of_no_folder_that_was_given(tmp_path: Path, outside: Path) -> None:
    """Data within a run folder came with it; a folder of data of the user's own may hold links."""
    Image.new("RGB", (4, 4)).save(outside / "secret.png")
    (tmp_path / "run" / "data").mkdir(parents=True)
    link = tmp_path / "run" / "data" / "question.png"
    link.symlink_to(outside / "secret.png")
    pictures = Pictures()
    shown = Shown(
        "m", tmp_path / "run", {"recipe": {"data": {"folder": str(tmp_path / "run" / "data")}}}, origin=tmp_path / "run"
    )
    mine = Shown("m", tmp_path / "run", {"recipe": {"data": {"folder": str(outside)}}}, origin=tmp_path / "run")
    refused(pictures.known[pictures.of_question(link, _data_root(shown, [shown]))].small, link)
    own = Pictures()
    assert own.known[own.of_question(link, _data_root(mine, [mine]))].read()[0] == "image/png"

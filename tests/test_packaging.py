"""What lies in the four code folders is what gets installed."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from fnmatch import fnmatch
from pathlib import Path

import yaml

from suder_bench.errors import install

REPOSITORY = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
FOLDERS = {package: REPOSITORY / folder for package, folder in SETUPTOOLS["package-dir"].items()}


def packages() -> dict[str, Path]:
    """Import name -> folder, of every folder that holds Python files."""
    found = {}
    for name, top in FOLDERS.items():
        for folder in [top, *(path for path in top.rglob("*") if path.is_dir())]:
            if any(folder.glob("*.py")):
                found[".".join([name, *folder.relative_to(top).parts])] = folder
    return found


def test_every_package_is_installed():
    assert sorted(SETUPTOOLS["packages"]) == sorted(packages())


def test_every_data_file_is_installed():
    lost = []
    for name, folder in packages().items():
        inner = [other for other in packages().values() if folder in other.parents]
        patterns = SETUPTOOLS["package-data"].get(name, [])
        for file in folder.rglob("*"):
            hidden = "__pycache__" in file.parts or file.name.startswith(".")
            if not file.is_file() or file.suffix == ".py" or hidden or any(other in file.parents for other in inner):
                continue
            if not any(fnmatch(file.relative_to(folder).as_posix(), pattern) for pattern in patterns):
                lost.append(str(file.relative_to(REPOSITORY)))
    assert lost == []


def test_the_version_is_one_and_the_changelog_dates_it():
    text = {name: (REPOSITORY / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md")}
    version = tomllib.loads(text["pyproject.toml"])["project"]["version"]
    cited = yaml.safe_load(text["CITATION.cff"])
    headings = re.findall(r"^## (.*)$", text["CHANGELOG.md"], flags=re.MULTILINE)
    assert headings[:2] == ["Unreleased", f"{version} - {cited['date-released']}"]
    assert cited["version"] == version
    dated = [heading.split(" - ") for heading in headings[1:]]
    numbers = [tuple(map(int, number.split("."))) for number, _ in dated]
    dates = [date.fromisoformat(day) for _, day in dated]
    assert (numbers, dates) == (sorted(numbers, reverse=True), sorted(dates, reverse=True))


def test_what_people_are_told_to_install_is_the_readme_s_form():
    """The package is on no index: `pip install 'suder-bench[train]'` finds nothing, or somebody else's."""
    told = [
        *(file for top in FOLDERS.values() for file in top.rglob("*.py")),
        *REPOSITORY.glob("*.md"),
        *REPOSITORY.glob("docs/**/*.md"),
    ]
    assert [str(file.relative_to(REPOSITORY)) for file in told if "suder-bench[" in file.read_text(encoding="utf-8")] == []
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert all(command in readme for command in (install("train"), install("dev")))


def test_every_extra_that_people_are_told_of_is_there():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    source = "\n".join(file.read_text(encoding="utf-8") for top in FOLDERS.values() for file in top.rglob("*.py"))
    named = set(re.findall(r"install\(['\"](\w+)['\"]\)", source)) | {"deepspeed"}
    told = {"train", "mmdet", "clip", "parser", "xlsx", "parquet", "deepspeed", "diffusers", "ray", "lmms", "pandas"}
    assert named == told <= set(extras)

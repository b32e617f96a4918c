"""The documentation as a site: what is wrong with a page fails its build, and every page has a place in the navigation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from suder_bench.cli.dispatch import COMMANDS
from suder_bench.evaluators.cards import CARDS

pytest.importorskip("material")
pytest.importorskip("mkdocstrings")
REPOSITORY = Path(__file__).parents[1]
PAGE = """# A page

It is in no navigation, [leads](nowhere.md) nowhere and to [no part](data.md#of-a-page) of another, but to
[a file](../pyproject.toml), [a page of the root](../CONTRIBUTING.md#add-a-model) and [a folder](../tests).

- a list
  - in a list
"""


def led_to(site: Path) -> Iterator[Path]:
    """The files that links and pictures of all pages lead to, but those of the page for what is not there."""
    for page in sorted(site.rglob("*.html")):
        for link in set(re.findall(r'(?:href|src)="([^"]+)"', page.read_text(encoding="utf-8"))):
            parts = urlsplit(unescape(link))
            if not (parts.scheme or parts.netloc) and parts.path and page.name != "404.html":
                target = Path(os.path.normpath(page.parent / unquote(parts.path)))
                yield target / "index.html" if target.is_dir() else target


@pytest.mark.slow
def test_a_build_is_complete_and_a_link_to_nowhere_fails_it(tmp_path: Path) -> None:
    for name in ("mkdocs.yml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml", "LICENSE", "docs"):
        source = REPOSITORY / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path / name)
    for name in ("suder_bench", "evaluators", "training", "reports", "examples", "findings", "tests"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    (tmp_path / "docs" / "apart.md").write_text(PAGE, encoding="utf-8")
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    build = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(build, cwd=tmp_path, env=quiet, capture_output=True, text=True, timeout=300)
    warnings = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == 2, done.stderr
    assert "'apart.md' contains a link 'nowhere.md'" in warnings[0]
    assert "'apart.md' contains a link 'data.md#of-a-page'" in warnings[1]
    assert done.returncode == 1
    start, apart = ((tmp_path / "site" / name).read_text(encoding="utf-8") for name in ("index.html", "apart.html"))
    built = {file.relative_to(tmp_path / "site").as_posix() for file in (tmp_path / "site").rglob("*.html")}
    listed = set(re.findall(r'<a href="([\w./-]+\.html)" class="md-nav__link[^"]*"', start)) | {"index.html"}
    assert built - {"404.html"} == listed
    assert [target for target in led_to(tmp_path / "site") if not target.exists()] == [tmp_path / "site" / "nowhere.md"]
    assert {f"cards/{name}.html" for name in CARDS} <= listed
    assert 'href="source/pyproject.toml"' in apart
    assert 'href="contributing.html#add-a-model"' in apart
    assert "a folder.</p>" in apart
    assert "<ul>\n<li>in a list</li>\n</ul>" in apart
    shown = (tmp_path / "site" / "reference" / "commands.html").read_text(encoding="utf-8")
    assert all(f"usage: suder-bench {command}" in shown for command in COMMANDS)
    assert "suder_bench.LoadedRun" in (tmp_path / "site" / "api.html").read_text(encoding="utf-8")

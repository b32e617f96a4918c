"""What the site has beside the files of this folder: mkdocs calls these functions while it builds (mkdocs.yml).

README, changelog and contributing are pages as they lie; the benchmarks' cards and the commands' options come from the code.
A link out of this folder leads to the page of what it names, or to a copy of the file; one to a folder becomes plain text, as a
site has no such thing. So the same text works on GitHub and here.
"""

from __future__ import annotations

import io
import json
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from suder_bench.about import ABOUT
from suder_bench.cli import dispatch
from suder_bench.evaluators.cards import CARDS, page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OF_ROOT = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "notebook.md": "examples/first_run.ipynb",
}
"""Page -> the file below the root that it shows."""

PROMISED = "api.md"
LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^()\s]+)\)")
WIDTH = "88"
"""Columns of the options' help."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Complete the navigation: a place for each card, and "More" for what has none in mkdocs.yml."""
    assert config.nav is not None
    sections: dict[str, Any] = {title: inner for entry in config.nav for title, inner in entry.items()}
    first, *rest = sections["Benchmarks"]
    sections["Benchmarks"][:] = [first, *({card.title: f"cards/{name}.md"} for name, card in CARDS.items()), *rest]
    listed = set(_leaves(config.nav))
    left = sorted(path for file in DOCS.rglob("*.md") if (path := file.relative_to(DOCS).as_posix()) not in listed)
    config.nav += [{"More": left}] if left else []
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    made = {name: _text(ROOT / file) for name, file in OF_ROOT.items()}
    made |= {f"cards/{name}.md": page(name) for name in CARDS}
    made |= {"cards/index.md": _cards(), "reference/commands.md": _commands()}
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    texts = {DOCS / file.src_uri: file.content_string for file in files.documentation_pages() if file.generated_by is None}
    texts |= {ROOT / file: made[name] for name, file in OF_ROOT.items()}
    for place, text in texts.items():
        for _, target in LINK.findall(text):
            outside = _named(place, target)
            if outside is not None and outside.is_file() and _page_of(outside) is None:
                copy = _copy_of(outside)
                if files.get_file_from_path(copy) is None:
                    files.append(File.generated(config, copy, abs_src_path=str(outside)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    place = page.file.src_uri
    if place == PROMISED:
        names = re.findall(r"^\| `suder_bench\.(\w+)", markdown, flags=re.MULTILINE)  # a test holds that these are all
        markdown += "\n## Each of them\n\n" + "\n\n".join(f"::: suder_bench.{name}" for name in names) + "\n"
    file = ROOT / OF_ROOT[place] if place in OF_ROOT else DOCS / place
    here = posixpath.dirname(place)

    def led(found: re.Match[str]) -> str:
        text, target = found.groups()
        outside = _named(file, target)
        if outside is None or (place not in OF_ROOT and _shown(outside)):
            return found[0]
        to = _page_of(outside) or (_copy_of(outside) if outside.is_file() else None)
        _, sign, anchor = target.partition("#")
        return text.lstrip("!")[1:-1] if to is None else f"{text}({posixpath.relpath(to, here or '.')}{sign}{anchor})"

    return _nested(LINK.sub(led, markdown))


def _nested(markdown: str) -> str:
    """Lists in lists by four blanks, which Python-Markdown wants where GitHub takes two; not in blocks of code."""
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(
        part if part.startswith("```") else re.sub(r"^ {2,3}(?=- )", " " * 4, part, flags=re.MULTILINE) for part in parts
    )


def _leaves(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for inner in nav.values() if isinstance(nav, Mapping) else nav if isinstance(nav, list) else ():
        yield from _leaves(inner)


def _named(file: Path, target: str) -> Path | None:
    """What of this repository a link in a file names; None for an address, an anchor, and what is not there."""
    path = target.partition("#")[0]
    place = Path(os.path.normpath(file.parent / path))
    return place if path and "://" not in target and place.is_relative_to(ROOT) and place.exists() else None


def _page_of(place: Path) -> str | None:
    if place.is_dir() and _shown(place / "README.md"):
        place /= "README.md"
    for name, file in OF_ROOT.items():
        if place == ROOT / file:
            return name
    return place.relative_to(DOCS).as_posix() if _shown(place) else None


def _text(file: Path) -> str:
    """What a page shows of a file: of a notebook its cells."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".ipynb":
        return text
    notebook = json.loads(text)
    cells = (("".join(cell["source"]), cell["cell_type"]) for cell in notebook["cells"])
    return "\n\n".join(source if kind == "markdown" else f"```python\n{source}\n```" for source, kind in cells) + "\n"


def _shown(place: Path) -> bool:
    """Whether it is a file of this folder that the site holds: not this one."""
    return place.is_file() and place.is_relative_to(DOCS) and place.suffix != ".py"


def _copy_of(place: Path) -> str:
    return f"source/{place.relative_to(ROOT).as_posix()}"


def _cards() -> str:
    rows = [f"| [{card.title}]({name}.md) | `{name}` | {ABOUT['benchmarks'][name]} |" for name, card in CARDS.items()]
    head = (
        "# Benchmarks\n\nA page for each: its paper, data, licence, judges and protocols, and what goes wrong with its numbers."
    )
    return "\n".join([head, "", "| benchmark | name | what is asked |", "|---|---|---|", *rows]) + "\n"


def _commands() -> str:
    """What each command says to `--help`."""
    parts = ["# Commands\n\nWhat `suder-bench COMMAND --help` says, of all commands.\n"]
    for command, does in dispatch.COMMANDS.items():
        module = import_module(f"suder_bench.cli.{command.replace('-', '_')}")
        parts.append(f"## {command}\n\n{does[0].upper()}{does[1:]}.\n\n{_help(command)}")
        parts += [f"### {command} {action}\n\n{_help(command, action)}" for action in getattr(module, "ACTIONS", ())]
    return "\n".join(parts)


def _help(*words: str) -> str:
    before = {name: os.environ.get(name) for name in ("COLUMNS", "NO_COLOR")}
    os.environ |= {"COLUMNS": WIDTH, "NO_COLOR": "1"}
    try:
        with redirect_stdout(io.StringIO()) as shown:
            dispatch.main([*words, "--help"])
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    return f"```text\n{shown.getvalue().rstrip()}\n```\n"

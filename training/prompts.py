"""Training prompts by source: a benchmark's training split, or a file of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from suder_bench.data.source import Source
from suder_bench.errors import AbsentError, UserError, unknown
from suder_bench.evaluators.t2i_compbench import training_prompts
from suder_bench.world import train_split

NAMED = ("", "official", "world")
SOURCES = (
    "t2i-compbench:official",
    "t2i-compbench:world",
    "t2i-compbench:DIR",
    "geneval:world",
    "FILE.txt",
    "FILE.jsonl",
    "FILE.json",
)
FILES = (".txt", ".jsonl", ".json")

EXAMPLE = 'an object like {"prompt": "a red ball"}'


def read_prompts(sources: Sequence[str], say: Callable[[str], None], *, offline: bool) -> list[str]:
    """The prompts of all sources, in their order and as often as they stand there (see `SOURCES`).

    T2I-CompBench gives its eight categories one after the other, officially 700 each. A text file has a prompt a line, a
    JSONL file one under the key `prompt` of each line; a JSON file is a list of prompts or of such objects. `say` is told
    what is fetched or written for it. Raises `UserError` in one line that names the source or file.
    """
    if not sources:
        raise UserError(f"no prompts to train on; name a source (choices: {', '.join(SOURCES)})")
    return [prompt for source in sources for prompt in _read(source, say, offline=offline)]


def folders(sources: Sequence[str]) -> dict[str, Path]:
    """The folders of a benchmark's files among the sources, by the benchmark's name."""
    named = (source.partition(":") for source in sources)
    return {name: Path(where).expanduser() for name, _, where in named if name == "t2i-compbench" and where not in NAMED}


def _read(source: str, say: Callable[[str], None], *, offline: bool) -> list[str]:
    benchmark, _, where = source.partition(":")
    path = Path(source).expanduser()
    if benchmark == "t2i-compbench" and where:
        return _t2i_compbench(where, say, offline=offline)
    if benchmark == "geneval":
        if where != "world":
            raise UserError(f"prompt source '{source}': GenEval has training prompts in the world only; write geneval:world")
        return [row["prompt"] for row in train_split.geneval_rows()]
    if path.suffix not in FILES:
        raise unknown("prompt source", source, SOURCES)
    if not path.is_file():
        raise AbsentError(f"prompt file {source} does not exist; give a file with one prompt a line, or another source")
    prompts = {".txt": _lines, ".jsonl": _json_lines, ".json": _json_list}[path.suffix](path)
    if not prompts:
        raise UserError(f"prompt file {source} holds no prompt; write one or more")
    return prompts


def _t2i_compbench(where: str, say: Callable[[str], None], *, offline: bool) -> list[str]:
    if where == "official":
        chosen = Source("official")
    elif where == "world":
        chosen = Source("world", size="full")
    else:
        chosen = Source("folder", path=Path(where).expanduser())
        if not chosen.path or not chosen.path.is_dir():
            raise AbsentError(f"prompt source 't2i-compbench:{where}' is neither 'official', nor 'world', nor a folder")
    folder = chosen.folder("t2i-compbench", say, offline=offline)
    return [prompt for prompts in training_prompts(folder).values() for prompt in prompts]


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in _text(file).split("\n") if line.strip()]


def _json_lines(file: Path) -> list[str]:
    lines = enumerate(_text(file).split("\n"), 1)  # not splitlines: a JSON text may hold U+2028
    rows = {f"{file}:{number}": line for number, line in lines if line.strip()}
    return [_prompt(_key(_parsed(line, where)), where, f"each line is {EXAMPLE}") for where, line in rows.items()]


def _json_list(file: Path) -> list[str]:
    rows = _parsed(_text(file), str(file))
    if not isinstance(rows, list):
        raise UserError(f'{file}: not a list; write ["a red ball", ...], or a prompt a line into a .txt file')
    found = {f"{file}, entry {number}": row if isinstance(row, str) else _key(row) for number, row in enumerate(rows, 1)}
    return [_prompt(row, where, f"each entry is a text, or {EXAMPLE}") for where, row in found.items()]


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # the latter where lists are nested by the thousand
        raise UserError(f"{where}: not JSON ({error})") from None


def _key(row: Any) -> Any:
    return row.get("prompt") if isinstance(row, dict) else None


def _prompt(found: Any, where: str, said: str) -> str:
    if not isinstance(found, str) or not found.strip():
        raise UserError(f"{where}: no prompt; {said}")
    return found.strip()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"prompt file {file} is not a readable UTF-8 text ({error})") from None

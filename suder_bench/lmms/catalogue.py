"""lmms-eval's index of tasks, groups and tags, and its task objects. lmms-eval is imported when one is asked for, which takes
some ten seconds, and indexing its own tasks takes as long again."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from suder_bench.errors import UserError, install

PREFIX = "lmms:"
MODEL = "suder_bench"
"""The model that tasks with a wording for some models are asked for."""


@cache
def library() -> Any:
    """The module `lmms_eval.tasks`, with no more than the errors of its log. Raises `UserError` where it is not installed."""
    try:
        import datasets
        from lmms_eval import tasks
        from loguru import logger
    except ImportError as error:
        raise UserError(f"tasks of lmms-eval need the package lmms-eval ({error}); {install('lmms')}") from None
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    datasets.disable_progress_bars()
    return tasks


@cache
def index(folder: Path | None, *, whole: bool) -> Any:
    """lmms-eval's task manager of the YAML files below a folder of the user's, and with `whole` of its own."""
    tasks, path = library(), None if folder is None else str(folder)
    return tasks.TaskManager(verbosity="ERROR", include_path=path, include_defaults=whole, model_name=MODEL)


def manager(name: str, folder: Path | None) -> Any:
    """The task manager that knows a task, a group or a tag; the user's folder comes first. Raises `UserError` where none does."""
    if folder is not None and name in (local := index(folder, whole=False)).task_index:
        return local
    known = index(folder, whole=True)
    if name not in known.task_index:
        near = difflib.get_close_matches(name, known.all_tasks, n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise UserError(
            f"lmms-eval has no task or group '{name}'; {hint}suder-bench list --lmms shows all; --data DIR adds yours"
        )
    return known


def leaves(name: str, folder: Path | None) -> list[str]:
    """The tasks of a group or a tag in its order, of a task just itself. Raises `UserError` for an unknown name."""
    return list(dict.fromkeys(_leaves(name, folder)))


def _leaves(name: str, folder: Path | None) -> Iterator[str]:
    entry = manager(name, folder).task_index[name]
    if entry["type"] in ("task", "python_task"):
        yield name
        return
    for member in entry["task"] if entry["type"] == "tag" else _yaml(entry)["task"]:
        yield from _members(member, name, folder)


def _members(member: Any, group: str, folder: Path | None) -> Iterator[str]:
    """Of one entry of a group, which may be a group of its own without a name among the others."""
    if isinstance(member, str):
        yield from _leaves(member, folder)
    elif isinstance(member.get("task"), list):
        for one in member["task"]:
            yield from _members(one, group, folder)
    else:
        raise UserError(f"group '{group}' of lmms-eval changes settings of its task '{member.get('task')}'; name the task itself")


def _yaml(entry: dict[str, Any]) -> dict[str, Any]:
    from lmms_eval.utils import load_yaml_config

    found: dict[str, Any] = load_yaml_config(entry["yaml_path"], mode="simple")
    return found


def listed(pattern: str, folder: Path | None) -> dict[str, Any]:
    """{name: what is known of it without loading it} of the tasks, groups and tags that fit a pattern of `*` and `?`; a group's
    are the names of its members, a task's the place of its data and what it asks for."""
    known = index(folder, whole=True).task_index
    names = sorted(name for name in known if fnmatchcase(name, pattern))
    return {f"{PREFIX}{name}": _told(name, known[name], folder) for name in names}


def _told(name: str, entry: dict[str, Any], folder: Path | None) -> Any:
    if entry["type"] == "tag":
        return list(entry["task"])
    config = _yaml(entry)
    if entry["type"] == "group":
        return [member if isinstance(member, str) else str(member.get("group")) for member in config["task"]]
    asks = {"generate_visual_cot": "draws, then answers", "generate_until": "answers"}
    kind = str(config.get("output_type", "generate_until"))
    return f"{asks.get(kind, kind)}; {config.get('dataset_path', 'its own data')}"


def load(name: str, folder: Path | None) -> tuple[Any, Path]:
    """A task with its data, and the folder of its YAML file. Raises `UserError` where one of them cannot be had."""
    known = manager(name, folder)
    try:
        found = library().get_task_dict(name, known)[name]
    except Exception as error:  # whatever lmms-eval, a task's own modules and the hub's client raise
        raise UserError(
            f"{PREFIX}{name} cannot be loaded ({why(error)}); see that its packages and its data are there"
        ) from error
    return found, Path(known.task_index[name]["yaml_path"]).parent


def why(error: Exception) -> str:
    """In one line what went wrong, also where it was tried again and again."""
    attempt = getattr(error, "last_attempt", None)
    cause = attempt.exception() if attempt is not None else error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"

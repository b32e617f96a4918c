"""Names to objects, lazily: one table of strings for what ships here, entry points for everybody else's.

Nothing is imported before it is asked for, so that listing names costs nothing. An outside package adds names in its
`pyproject.toml`, for example

    [project.entry-points."suder_bench.benchmarks"]
    mybench = "my_package:MyBench"

What a name stands for, by group:

- benchmarks: `Factory(data: Path, protocol: str = "official")`, a `suder_bench.benchmark.Benchmark`;
- models: an adapter class with `load(reference: str, *, device: str, dtype: str)`, which makes a model;
- rewards: see `suder_bench.rewards.protocols`;
- proposers: sources of boxes for the reward `srum`; see `suder_bench.rewards.proposals`;
- judges: named "role/backend"; a class with `load(*, device: str, dtype: str, offline: bool)`, or a function of the role
  that also takes `source`, what the user wrote after "backend:".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Literal

from suder_bench.errors import UserError, unknown

Group = Literal["benchmarks", "models", "rewards", "judges", "proposers"]
GROUPS: tuple[Group, ...] = ("benchmarks", "models", "rewards", "judges", "proposers")

_EVALUATORS = "suder_bench.evaluators"
_WORLD_JUDGES = {
    "detector": "world:WorldDetector",
    "detector-2d": "world:WorldDetector",
    "detector-3d": "world:WorldDetector",
    "color": "world:WorldColor",
    "vqa": "world:WorldVqa",
    "clip": "world:WorldClip",
    "depth": "world:WorldDepth",
    "parser": "world:WorldParser",
    "llm": "world:WorldLlm",
    "mllm": "world_talker:WorldMllm",
    "first-token": "world_talker:WorldFirstToken",
}

TABLE: Mapping[Group, Mapping[str, str]] = {
    "benchmarks": {
        "geneval": f"{_EVALUATORS}.geneval:GenEval",
        "t2i-compbench": f"{_EVALUATORS}.t2i_compbench:T2ICompBench",
        "pope": f"{_EVALUATORS}.pope:Pope",
        "hallusionbench": f"{_EVALUATORS}.hallusionbench:HallusionBench",
        "llavabench": f"{_EVALUATORS}.llavabench:LlavaBench",
        "mmbench": f"{_EVALUATORS}.mmbench:MMBench",
        "seedbench": f"{_EVALUATORS}.seedbench:SeedBench",
        "geneval2": f"{_EVALUATORS}.geneval2:GenEval2",
        "t2i-reasonbench": f"{_EVALUATORS}.t2i_reasonbench:T2IReasonBench",
        "wise-verified": f"{_EVALUATORS}.wise:WiseVerified",
        "wise-legacy": f"{_EVALUATORS}.wise:WiseLegacy",
    },
    "models": {
        "janus": "suder_bench.models.janus:JanusModel",
        "emu3": "suder_bench.models.emu3.adapter:Emu3Model",
        "showo": "suder_bench.models.showo.model:ShowoModel",
        "vlm": "suder_bench.models.vlm.model:VlmModel",
        "folder": "suder_bench.models.folder:FolderModel",
        "openai": "suder_bench.models.openai.model:OpenAIModel",
        "diffusers": "suder_bench.models.diffusion.model:DiffusersModel",
    },
    "rewards": {
        "dsr": "suder_bench.rewards.dsr:Dsr",
        "clip": "suder_bench.rewards.clip:Clip",
        "vqa": "suder_bench.rewards.vqa:Vqa",
        "srum": "suder_bench.rewards.srum:Srum",
    },
    "proposers": {
        "grid": "suder_bench.rewards.proposals:GridBoxes",
        "model": "suder_bench.rewards.proposals:ModelBoxes",
    },
    "judges": {
        **{f"{role}/world": f"{_EVALUATORS}.judges.{name}" for role, name in _WORLD_JUDGES.items()},
        **{f"{role}/official": f"{_EVALUATORS}.judges.official:load" for role in _WORLD_JUDGES},
        **{f"{role}/vlm": f"{_EVALUATORS}.judges.vlm:load" for role in ("llm", "mllm", "first-token")},
        "detector/mmdet": f"{_EVALUATORS}.judges.mmdet_detector:load",
        "color/open-clip": f"{_EVALUATORS}.judges.open_clip_towers:load",
        "clip/tiny-clip": f"{_EVALUATORS}.judges.clip:TinyClip",
        "clip/open-clip": f"{_EVALUATORS}.judges.open_clip_towers:load",
        **{f"{role}/file": f"{_EVALUATORS}.judges.detections_file:load" for role in ("detector-2d", "detector-3d")},
        **{f"{role}/unidet": f"{_EVALUATORS}.judges.unidet:load" for role in ("detector-2d", "detector-3d")},
        **{f"{role}/open-vocabulary": f"{_EVALUATORS}.judges.open_vocabulary:load" for role in ("detector-2d", "detector-3d")},
    },
}

CHECKPOINTS: Mapping[str, tuple[str, str]] = {
    "tiny-janus": ("janus", "suder_bench.world.checkpoints:path"),
    "tiny-showo": ("showo", "suder_bench.world.checkpoints:path"),
}
"""Shipped checkpoints: name -> (adapter, "module:function" that turns the name into a folder)."""


FAMILIES: Mapping[str, str] = {"lmms": "suder_bench.lmms.family"}
"""Benchmarks that are too many to name: what stands before the colon of their names -> a module with `benchmark(name)`, which
makes what a table's name stands for, and `members(suite, data)`, the names that a suite of such a name holds."""


def family(name: str) -> Any:
    """The module of the family that a name such as "lmms:pope" belongs to; None for any other name."""
    prefix, colon, _ = name.partition(":")
    return import_module(FAMILIES[prefix]) if colon and prefix in FAMILIES else None


@cache
def table(group: Group) -> Mapping[str, str]:
    """Every known name of a group with its "module:attribute".

    Raises `UserError` when a package claims a name that is taken, because silently replacing a benchmark changes numbers.
    """
    found = dict(TABLE[group])
    for point in sorted(entry_points(group=f"suder_bench.{group}"), key=lambda point: (point.name, point.value)):
        if found.get(point.name, point.value) != point.value or (group == "models" and point.name in CHECKPOINTS):
            raise UserError(
                f"two {group} are called '{point.name}': {found.get(point.name, 'the shipped checkpoint')} and {point.value}"
                f" (from {_package(point)}); uninstall one of the packages or rename its entry point"
            )
        found[point.name] = point.value
    return MappingProxyType(found)


def load(group: Group, name: str) -> Any:
    """Import what `name` stands for. Raises `UserError` with the nearest name when there is none."""
    targets = table(group)
    if group == "benchmarks" and (found := family(name)) is not None:
        return found.benchmark(name)
    if name not in targets:
        raise unknown(group.removesuffix("s"), name, targets)
    return resolve(targets[name])


def resolve(target: str) -> Any:
    """Import "module:attribute"."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unnamed package"

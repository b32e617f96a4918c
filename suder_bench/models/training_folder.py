"""What trainers leave on the disk instead of whole weights, and the command that makes weights of it.

accelerate's `save_state` (with FSDP, DeepSpeed or neither), transformers' Trainer and what stands on it (TRL, open-r1,
LLaMA-Factory, ms-swift), torch.distributed.checkpoint, verl. Parts are not put together here: that takes the memory of the
whole training state, and opens pickles that only their own library should open. Imports no torch.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

FSDP = "pytorch_model_fsdp"
WHOLE_FSDP = f"{FSDP}.bin"
"""Whole weights, which accelerate writes for FSDP's FULL_STATE_DICT."""

WRAPPERS = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every name; accelerate's save_state leaves it there."""

NO_WEIGHTS = re.compile(r"(optimizer|scheduler|sampler|dl_state_dict|training_args|custom_checkpoint)(_\d+)?\.bin")
"""Files beside weights that look like some."""

_SCRIPT = "zero_to_fp32.py"
_BELOW = ("*", "checkpoints/*", "*/actor", "*/actor/huggingface")
"""Where the checkpoints of a training lie in its folder: the Trainer's, accelerate's and suder-bench's own, verl's."""


def is_bare(folder: Path) -> bool:
    """Whether a folder holds whole weights and nothing that says of which model, as accelerate's `save_state` leaves it."""
    names = ("model.safetensors", "pytorch_model.bin")
    weights = [*names, *(f"{name}.index.json" for name in names), WHOLE_FSDP]
    alone = not any((folder / name).is_file() for name in ("config.json", "adapter_config.json", "model_index.json"))
    return alone and any((folder / name).is_file() for name in weights)


def unwrapped(names: list[str]) -> dict[str, str]:
    """{name in the file: name in the model}, without what a wrapper put before all of them."""
    found = {name: name for name in names}
    while prefix := next((one for one in WRAPPERS if found and all(name.startswith(one) for name in found.values())), None):
        found = {name: own.removeprefix(prefix) for name, own in found.items()}
    return found


def parts(folder: Path) -> tuple[str, str] | None:
    """("the parts of FSDP (pytorch_model_fsdp_0)", "put them together with: ..."); None where none that one knows lie here."""
    for find in (_distributed, _deepspeed, _verl, _ranks):
        found = find(folder)
        if found is not None:
            return found
    return None


def below(folder: Path) -> Path | None:
    """The last checkpoint in the folder of a training, by the numbers in its name; None where there is none."""
    found = [place for pattern in _BELOW for place in folder.glob(pattern) if place.is_dir() and _is_checkpoint(place)]
    return max(found, key=lambda place: _numbers(place.relative_to(folder)), default=None)


def lacking(folder: Path) -> str | None:
    """What a folder without config.json holds, and what to do with it; None where it is nothing that one knows."""
    if (folder / "model_index.json").is_file():
        return f"is a pipeline of diffusers (model_index.json), not one model; give it as --model diffusers:{folder}"
    if (folder / "adapter_config.json").is_file():
        given = _command("--model", folder, "--base", "BASE")
        return f"holds LoRA adapters alone, not the model that they go into; give that one too: {given}"
    if is_bare(folder):
        return f"holds no config.json, but weights; {_base(folder)}"
    found = parts(folder)
    if found is not None:
        return f"holds its weights in {found[0]}; {found[1]}; {_base(folder)}"
    last = below(folder)
    return None if last is None else f"holds no config.json; give one of the checkpoints in it, such as {last}"


def _base(folder: Path) -> str:
    given = (
        f"give the model that they were trained from too, where it is a Janus, as {_command('--model', folder, '--base', 'BASE')}"
    )
    return f"{given}, or copy that model's config.json, tokenizer and image processor into it"


def _is_checkpoint(folder: Path) -> bool:
    described = any((folder / name).is_file() for name in ("config.json", "adapter_config.json", "model_index.json"))
    return described or is_bare(folder) or parts(folder) is not None


def _numbers(place: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", str(place))]


def _distributed(folder: Path) -> tuple[str, str] | None:
    """torch.distributed.checkpoint, which FSDP's SHARDED_STATE_DICT uses."""
    for place in (folder, *sorted(folder.glob(f"{FSDP}_*"))):
        if (place / ".metadata").is_file() and any(place.glob("*.distcp")):
            command = _command("accelerate", "merge-weights", place, folder)
            return f"the parts of FSDP ({place.name})", f"put them together with: {command}"
    return None


def _deepspeed(folder: Path) -> tuple[str, str] | None:
    tags = sorted({file.parent for file in folder.glob("*/*_model_states.pt")}, key=lambda tag: _numbers(Path(tag.name)))
    if any(folder.glob("*_model_states.pt")):  # the tag's own folder
        tags, folder = [folder], folder.parent
    if not tags:
        return None
    latest = folder / "latest"
    named = latest.read_text(encoding="utf-8", errors="replace").strip() if latest.is_file() else ""
    tag = next((one for one in tags if one.name == named), tags[-1])
    held = f"the parts of DeepSpeed ({tag.name})"
    if not any(tag.glob("*zero_pp_rank_*_optim_states.pt")):
        code = f"import torch; torch.save(torch.load({str(tag / 'mp_rank_00_model_states.pt')!r}, weights_only=False)['module'],"
        code += f" {str(folder / 'pytorch_model.bin')!r})"
        return held, f"take the weights out, if the file is your own: {_command('python', '-c', code)}"
    script = folder / _SCRIPT
    start = [script] if script.is_file() else ["-m", "deepspeed.utils.zero_to_fp32"]
    other = ["-t", tag.name] if tag.name != named else []
    return held, f"put them together with: {_command('python', *start, folder, _target(script, folder), *other)}"


def _target(script: Path, folder: Path) -> Path:
    """A folder, or a file in the scripts of DeepSpeed before 0.16, whose second argument was called so."""
    text = script.read_text(encoding="utf-8", errors="replace") if script.is_file() else ""
    old = re.search(r"add_argument\(\s*[\"']output_file[\"']", text) is not None
    return folder / "pytorch_model.bin" if old else folder


def _verl(folder: Path) -> tuple[str, str] | None:
    for place in (folder, folder / "actor"):
        if any(place.glob("model_world_size_*_rank_*.pt")):
            into = place.with_name(f"{place.name}_merged")
            options: list[Path | str] = ["--backend", "fsdp", "--local_dir", place, "--target_dir", into]
            command = _command("python", "-m", "verl.model_merger", "merge", *options)
            return "the parts of verl's FSDP", f"put them together with: {command}, and give {into}"
    return None


def _ranks(folder: Path) -> tuple[str, str] | None:
    found = sorted(folder.glob(f"{FSDP}*_rank*.bin"))
    cure = "go on from it with as many processes in accelerate, and save with SHARDED_STATE_DICT or FULL_STATE_DICT"
    return (f"each process's own part of FSDP ({found[0].name}, ...)", cure) if found else None


def _command(*words: Path | str) -> str:
    return shlex.join(map(str, words))

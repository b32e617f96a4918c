"""The files of a checkpoint folder in transformers' format: which of them decide a response, and whether they are whole.

Imports no torch, so that what is missing can be told before data are fetched or gigabytes read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from zipfile import BadZipFile, ZipFile

from safetensors import SafetensorError, safe_open

from suder_bench.errors import UserError
from suder_bench.models import training_folder, unfinished
from suder_bench.models.digests import sha256

CONFIG, GENERATION = "config.json", "generation_config.json"
WEIGHTS, PICKLED = "model.safetensors", "pytorch_model.bin"
NAMES = (WEIGHTS, "pytorch_model.safetensors", PICKLED)
"""What weights are called, whole or before `.index.json`; the second by older diffusers, and so by Show-o."""

INDEX = f"{WEIGHTS}.index.json"
"""Beside weights in shards; that of `PICKLED` ends alike."""

ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
"""What peft writes (older versions the last), also beside weights that the adapters were merged into."""

VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json")
EXAMPLES = {"janus": "a Janus, as deepseek-community/Janus-Pro-1B", "emu3": "an Emu3, as BAAI/Emu3-Gen-hf"}
"""What to give, by model_type."""

PARTS: Mapping[str, tuple[str, ...]] = {
    "config": (CONFIG,),
    "tokenizer": (*VOCABULARIES, "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    "processor": ("preprocessor_config.json", "processor_config.json"),
    "chat template": ("chat_template.jinja", "chat_template.json"),
    "generation config": (GENERATION,),
}
"""Besides the weights, the files that decide a response."""

_log = logging.getLogger(__name__)


def read_json(file: Path) -> dict[str, Any]:
    """The object that a JSON file holds. Raises `UserError` for anything else, NaN and Infinity among it."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"), parse_constant=_finite, parse_float=_finite)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: not a readable JSON file ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: not a JSON object")
    return content


def check(folder: Path, kinds: Collection[str]) -> None:
    """Raises `UserError` for a folder that holds no whole checkpoint of a `model_type` in `kinds`, naming what is missing or
    not whole. Reads no tensor."""
    check_described(folder)
    found = read_json(folder / CONFIG).get("model_type")
    if found not in kinds:
        raise UserError(f"model '{folder}' has model_type {found!r}; give {EXAMPLES[next(iter(kinds))]}")
    check_parts(folder)


def check_described(folder: Path) -> None:
    """Raises `UserError` for a folder without config.json, with what a trainer may have left there instead."""
    if not (folder / CONFIG).is_file():
        none = "holds no config.json; give a checkpoint folder as save_pretrained writes it"
        raise UserError(f"model '{folder}' {training_folder.lacking(folder) or none}")


def check_parts(folder: Path) -> None:
    """The same of what belongs to a checkpoint of any `model_type`: weights, tokenizer, image processor."""
    check_readable(folder)
    check_tokenizer(folder)
    whole = folder / PARTS["processor"][1]  # where newer transformers keep the image processor too
    own = folder / PARTS["processor"][0]
    if not (own.is_file() and read_json(own)) and not (whole.is_file() and "image_processor" in read_json(whole)):
        lacks = f"holds no image processor ({' or '.join(PARTS['processor'])})"
        _refuse(folder, lacks, "copy that file of the model that it comes from")


def check_readable(folder: Path) -> None:
    """Raises `UserError` for files that cannot be read, and for weights that are missing or not whole."""
    for file in _present(folder):
        unfinished.check_fetched(file)
        if file.suffix == ".json":
            read_json(file)
    check_weights(folder)
    sampling(folder)


def check_tokenizer(folder: Path) -> None:
    """Raises `UserError` where there is none."""
    if not any((folder / name).is_file() for name in VOCABULARIES):
        lacks = f"holds no tokenizer ({' or '.join(VOCABULARIES)})"
        _refuse(folder, lacks, "copy the tokenizer files of the model that it comes from")


def check_weights(folder: Path) -> None:
    """Raises `UserError` where weights are missing, not whole, or still being written."""
    for file in weight_files(folder):
        check_whole(file)
    unfinished.check_folder(folder)


def sampling(folder: Path) -> dict[str, float]:
    """guidance_scale and temperature as far as generation_config.json says them. Raises `UserError` for what is no number
    from 0 on, and for an end of answers that is no token."""
    file = folder / GENERATION
    settings = read_json(file) if file.is_file() else {}
    ends = settings.get("eos_token_id")
    if not all(type(end) is int for end in (ends if isinstance(ends, list) else [] if ends is None else [ends])):
        raise UserError(f"{file}: eos_token_id is {json.dumps(ends)}, not the id of a token, or a list of such")
    found = {name: settings[name] for name in ("guidance_scale", "temperature") if settings.get(name) is not None}
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e300:
            raise UserError(f"{file}: {name} is {json.dumps(value)}, not a number from 0 on; correct it, or leave it out")
    return {name: float(value) for name, value in found.items()}


def weight_files(folder: Path) -> list[Path]:
    """The weights that belong to the model, by transformers' own precedence: one file, else the shards that the index names;
    safetensors before `pytorch_model.bin`.

    Raises `UserError` where there are none, or not all.
    """
    for name in NAMES:
        if (folder / name).is_file():
            return [folder / name]
        if (folder / f"{name}.index.json").is_file():
            return shards(folder / f"{name}.index.json")
    if (folder / training_folder.WHOLE_FSDP).is_file():
        return [folder / training_folder.WHOLE_FSDP]
    left = training_folder.parts(folder)
    if left is not None:
        _refuse(folder, f"holds its weights in {left[0]}", left[1])
    found = sorted(file.name for pattern in ("*.safetensors", "*.bin") for file in folder.glob(pattern))
    others = [name for name in found if not training_folder.NO_WEIGHTS.fullmatch(name)]
    adapters = [name for name in ADAPTERS[1:] if name in others]
    if adapters:
        cure = "merge them into the model first (peft: merge_and_unload, then save_pretrained), or give that model"
        _refuse(folder, f"holds LoRA adapters ({adapters[0]}) but no weights of the model", cure)
    if others:
        name = PICKLED if others[0].endswith(".bin") else WEIGHTS
        _refuse(folder, f"holds {others[0]} but neither {name} nor {name}.index.json", "copy the file that is missing")
    _refuse(folder, f"holds no weights ({WEIGHTS} or {PICKLED})", "copy them, or save the model with save_pretrained")


def file_of(folder: Path, name: str) -> Path | None:
    """The file that holds a weight: the only one, or the shard that the index names for it, whatever stands before its name in
    the model or in the files. None where that does not tell."""
    files = weight_files(folder)
    if len(files) == 1:
        return files[0]
    index = next(one for base in NAMES if (one := folder / f"{base}.index.json").is_file())
    places: Mapping[str, str] = read_json(index)["weight_map"]
    fits = {file for own, file in places.items() if f".{own}".endswith(f".{name}") or f".{name}".endswith(f".{own}")}
    found = places.get(name, fits.pop() if len(fits) == 1 else None)
    return None if found is None else folder / found


def check_whole(file: Path) -> None:
    """Raises `UserError` for a file of weights that is missing, cut short or something else, by what stands at its begin and
    end: safetensors, or the zip archive that torch.save writes."""
    kind = "safetensors file" if file.suffix == ".safetensors" else "file of torch.save (torch 1.6 or newer)"
    unfinished.check_fetched(file, "the weights")
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="numpy"):  # reads the header and holds it against the file's length
                pass
        else:
            ZipFile(file).close()  # its list of contents stands at the end
    except (OSError, SafetensorError, BadZipFile) as error:
        size = f"{file.stat().st_size:,} bytes" if file.is_file() else "gone"
        told = " ".join(str(error).split())
        raise UserError(
            f"{file} ({size}) is cut short, or no {kind} ({told}); copy or save it again, or wait until that is done"
        ) from None


def shards(index: Path) -> list[Path]:
    """The files beside an index of weights that it names. Raises `UserError` where there are none, or not all."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) and Path(name).name == name for name in places.values()):
        raise UserError(f"{index}: weight_map does not name a file beside it for each weight")
    names = sorted(set(places.values()))
    there = {file.name for file in index.parent.iterdir() if file.is_file()}  # a name may be longer than a file's can be
    missing = [name for name in names if name not in there]
    if not names:
        raise UserError(f"{index}: weight_map names no weights")
    if missing:
        lacks = f"lacks {len(missing)} of the {len(names)} files that {index.name} names, such as {missing[0]}"
        _refuse(index.parent, lacks, "copy what is missing, or download it again")
    return [index.parent / name for name in names]


def digests(folder: Path, place: Path | None = None) -> dict[str, str]:
    """sha256 of the weights, which may lie in another `place`, and of each of `PARTS`, by name; "" for a part without files.
    Every file is read once per process."""
    weights = [sha256(file) for file in weight_files(place or folder)]
    found = {"weights": weights[0] if len(weights) == 1 else _sha256("".join(weights))}
    return found | {part: digest_of(part, folder) for part in PARTS}


def digest_of(part: str, folder: Path) -> str:
    """That of one of `PARTS`; "" where it has no files."""
    files = [folder / name for name in PARTS[part] if (folder / name).is_file()]
    return digest(files) if files else ""


def digest(files: Sequence[Path]) -> str:
    """One sha256 over the names and contents of files, each of which is read once per process."""
    return _sha256(json.dumps([(file.name, sha256(file)) for file in files]))


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What a family reads into memory; `parts` are the digests of what decides its responses, by name, and `notes` what run.json
    has to say of its weights and code besides."""

    parts: Mapping[str, str]
    notes: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.parts)


def tell_leftover_adapters(folder: Path) -> None:
    """Warn in a line of LoRA adapters that lie beside whole weights, which are taken as they are."""
    leftover = [name for name in ADAPTERS if (folder / name).is_file()]
    if leftover:
        _log.warning(
            "suder-bench: %s: %s beside whole weights: the weights are taken as they are, without the adapters; "
            "if these are not merged into them yet, merge them first (peft: merge_and_unload)",
            folder,
            " and ".join(leftover),
        )


def fingerprint(parts: Mapping[str, str]) -> str:
    """One sha256 over what `digests` found."""
    return _sha256(json.dumps(dict(parts), sort_keys=True))


def _present(folder: Path) -> list[Path]:
    return [folder / name for names in PARTS.values() for name in names if (folder / name).is_file()]


def _refuse(folder: Path, what: str, cure: str) -> NoReturn:
    raise UserError(f"model '{folder}' {what}; {cure}")


def _finite(text: str) -> float:
    value = float(text)  # "1e999" is inf, as "NaN" is NaN: JSON has neither
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

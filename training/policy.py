"""The model that learns: what is trained of it, its log-probabilities behind one `forward`, and how it is saved.

Everything that learns is reached through `Policy.forward`, so that DistributedDataParallel, DeepSpeed and FSDP see each use of
a weight; samples are drawn from the plain adapter inside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

from suder_bench.errors import UserError, install, unknown
from suder_bench.models import checkpoint
from suder_bench.models.janus import JanusModel
from suder_bench.models.janus import files as janus_files
from suder_bench.models.reference import ModelReference
from suder_bench.training.arguments import DEFAULTS
from suder_bench.training.recipe import Lora, Recipe, Task

PARTS = {
    "language_model": "model.language_model",
    "lm_head": "lm_head",
    "generation_head": "model.generation_head",
    "aligner": "model.aligner",
    "generation_aligner": "model.generation_aligner",
}
"""What `trainable` may name, and where it stands in `JanusForConditionalGeneration`. The vision tower and the image
tokenizer are never trained: the rewards read through the one and are defined on the codes of the other."""

IDLE = {"gen": ("lm_head", "aligner"), "und": ("generation_head", "generation_aligner")}
"""Parts that a task's log-probabilities do not touch."""

ADAPTER_FILE = "adapter.safetensors"
_BASE = re.compile(r"\.base_layer\.")


def check_trainable(reference: ModelReference) -> None:
    """Raises `UserError` for a model of a kind that cannot be trained."""
    if reference.adapter != "janus":
        raise UserError(
            f"model '{reference.name}' cannot be trained: it is of adapter '{reference.adapter}', and only a Janus learns here;"
            " give a Janus checkpoint (tiny-janus, a folder, or a hub id such as deepseek-community/Janus-Pro-1B)"
        )


def load_model(reference: ModelReference, recipe: Recipe, *, device: str, dtype: str) -> tuple[JanusModel, Path]:
    """The start model and the folder it came from. Raises `UserError` for a model that cannot be trained."""
    check_trainable(reference)
    place = janus_files.choose_device(device)
    source = janus_files.find(reference.reference)
    model = JanusModel.of(
        janus_files.load(source, device=place, dtype=janus_files.choose_dtype(dtype, place)),
        name=reference.name,
        caption_request=recipe.sampling.caption_request,
        score_end=recipe.reward.score_end,
    )
    return model, source.folder


class Policy(nn.Module):
    """A Janus of which `trainable` parts, or LoRA adapters, learn. `source` is the folder it was loaded from."""

    def __init__(
        self,
        model: JanusModel,
        source: Path,
        *,
        trainable: Sequence[str] = tuple(PARTS)[:3],
        lora: Lora | None = None,
        guidance: float = 1.0,
        seed: int = 0,
    ) -> None:
        """`guidance` is that of `forward`'s distribution over image tokens; `seed` that of the adapters' first weights."""
        super().__init__()
        self.adapter = model
        self.janus = model.model
        self.source = source
        self.guidance = guidance
        self.lora = lora
        for name in trainable:
            if name not in PARTS:
                raise unknown("trainable part", name, PARTS)
        self.janus.requires_grad_(False)
        if lora is not None:
            _inject(self.janus, lora, seed)
            self.learning: tuple[str, ...] = ()
        else:
            self.learning = tuple(trainable)
            for name in trainable:
                self.janus.get_submodule(PARTS[name]).requires_grad_(True)
            # Frozen with the codes they stand for, although some checkpoints keep them elsewhere.
            self.janus.model.vqmodel.requires_grad_(False)

    @classmethod
    def of(cls, recipe: Recipe, model: JanusModel, source: Path) -> Self:
        return cls(
            model,
            source,
            trainable=recipe.trainable,
            lora=recipe.lora,
            guidance=recipe.sampling.likelihood_guidance,
            seed=int(recipe.trainer.get("seed", DEFAULTS["seed"])),
        )

    @property
    def device(self) -> torch.device:
        return self.janus.device

    @property
    def _no_split_modules(self) -> list[str]:
        """Read by FSDP, which shards by these modules."""
        return sorted({type(layer).__name__ for layer in self.janus.model.language_model.layers})

    @property
    def config(self) -> Any:
        """Read by DeepSpeed's automatic settings, which look for `hidden_size`."""
        return self.janus.config

    def forward(
        self, task: Task, contexts: Sequence[str] | Sequence[Image.Image], samples: Sequence[Sequence[int]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities of samples, differentiable, and entropies: all tokens of all samples, one after the other.

        `contexts` are prompts (task gen) or pictures (task und), one a sample. Parts of the other task take part with a
        gradient of zero, because gradients are exchanged between ranks for all parts that learn.
        """
        if task == "gen":
            tokens = torch.tensor(samples, dtype=torch.long)
            scores = self.adapter.image_scores(_texts(contexts), tokens, guidance=self.guidance, entropy=True)
        else:
            requests = [self.adapter.caption_request] * len(samples)
            scores = self.adapter.answer_scores(_pictures(contexts), requests, samples, entropy=True)
        logprobs = torch.cat(scores.logprobs)
        for name in IDLE[task]:
            if name in self.learning:
                logprobs = logprobs + 0.0 * self._touch(name)
        return logprobs, torch.cat(scores.entropy)

    def train(self, mode: bool = True) -> Self:
        """Only the language model is ever in training mode: the frozen parts stay as the rewards know them."""
        super().train(False)
        self.janus.model.language_model.train(mode)
        self.training = mode
        return self

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: dict[str, Any] | None = None, **others: Any
    ) -> None:
        """Sampling is not affected: it goes through the layers' parts with a cache of its own."""
        kwargs = {"use_reentrant": False, **(activation_checkpointing_kwargs or {})}
        self.janus.activation_checkpointing_enable(kwargs, **others)
        if not kwargs["use_reentrant"]:
            # Inputs need no gradients then; with them, autograd would go through the frozen vision tower too.
            self.janus.disable_input_require_grads()

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        """The same for a transformers that has only the older name."""
        kwargs = {"use_reentrant": False, **(gradient_checkpointing_kwargs or {})}
        self.janus.gradient_checkpointing_enable(gradient_checkpointing_kwargs=kwargs)

    def save(self, folder: Path, state: dict[str, torch.Tensor] | None = None) -> None:
        """An ordinary transformers checkpoint: whole weights (adapters merged), tokenizer, processor. `state` are this
        module's gathered weights, where they are sharded."""
        state = self.state_dict() if state is None else state
        weights = {name.removeprefix("janus."): tensor for name, tensor in state.items() if name.startswith("janus.")}
        if self.lora is not None:
            adapter = {name: tensor.contiguous() for name, tensor in weights.items() if ".lora_" in name}
            folder.mkdir(parents=True, exist_ok=True)
            save_file(adapter, folder / ADAPTER_FILE)
            weights = _merged(weights, self.lora)
        self.janus.save_pretrained(folder, state_dict=weights)
        janus_files.write_settings(self.source, folder, _own)
        janus_files.complete(folder, self.adapter.tokenizer)

    def load(self, folder: Path) -> None:
        """Weights that `save` wrote, into shards where the weights lie in shards. Raises `UserError` where they are not whole."""
        weights: dict[str, Any] = {}
        for file in [folder / ADAPTER_FILE] if self.lora is not None else checkpoint.weight_files(folder):
            checkpoint.check_whole(file)
            weights |= load_file(file)
        if self.lora is not None and set(weights) != {name for name in self.janus.state_dict() if ".lora_" in name}:
            raise UserError(f"{folder / ADAPTER_FILE} holds the adapters of another recipe; resume with that recipe")
        options = StateDictOptions(full_state_dict=True, strict=self.lora is None)
        set_model_state_dict(self.janus, weights, options=options)

    def _touch(self, name: str) -> torch.Tensor:
        part = self.janus.get_submodule(PARTS[name])
        first = next(module for module in part.modules() if isinstance(module, nn.Linear))
        zeros = torch.zeros(1, first.in_features, device=first.weight.device, dtype=first.weight.dtype)
        touched: torch.Tensor = part(zeros).float().sum()
        return touched


def _own(name: str) -> bool:
    """What a checkpoint has of its own: its weights, how far it was trained where it is one of a training, and what was
    merged into it."""
    return name in ("config.json", "trainer_state.json", ADAPTER_FILE, *checkpoint.ADAPTERS) or ".safetensors" in name


def _texts(contexts: Sequence[Any]) -> list[str]:
    return [context for context in contexts if isinstance(context, str)]


def _pictures(contexts: Sequence[Any]) -> list[Image.Image]:
    return [context for context in contexts if isinstance(context, Image.Image)]


def _inject(network: nn.Module, lora: Lora, seed: int) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError(f"LoRA needs the package peft; install it with {install('train')}") from None
    targets = rf"model\.language_model\..*\.({'|'.join(map(re.escape, lora.target_modules))})"
    config = LoraConfig(r=lora.r, lora_alpha=lora.lora_alpha, lora_dropout=lora.lora_dropout, target_modules=targets, bias="none")
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        try:
            inject_adapter_in_model(config, network)
        except ValueError as error:
            raise UserError(f"lora.target_modules {', '.join(lora.target_modules)}: {str(error).splitlines()[0]}") from None


def _merged(weights: dict[str, torch.Tensor], lora: Lora) -> dict[str, torch.Tensor]:
    """W + alpha / r B A under the names of the network without adapters."""
    merged = {}
    for name, tensor in weights.items():
        if ".lora_" in name:
            continue
        if name.endswith(".base_layer.weight"):
            place = name.removesuffix("base_layer.weight")
            a, b = weights[f"{place}lora_A.default.weight"], weights[f"{place}lora_B.default.weight"]
            tensor = tensor + (lora.lora_alpha / lora.r) * (b.float() @ a.float()).to(tensor)
        merged[_BASE.sub(".", name)] = tensor
    return merged

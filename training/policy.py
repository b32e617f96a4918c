"""The model that learns: what is trained of it, its log-probabilities behind one `forward`, and how it is saved.

Everything that learns is reached through `Policy.forward`, so that DistributedDataParallel, DeepSpeed and FSDP see each use of
a weight; samples are drawn from the plain adapter inside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

from suder_bench import registry
from suder_bench.errors import UserError, install, unknown
from suder_bench.models import checkpoint
from suder_bench.models.protocols import Task, TellsWhyNot, Trainable
from suder_bench.models.reference import ModelReference
from suder_bench.training.arguments import DEFAULTS
from suder_bench.training.recipe import Lora, Recipe

ADAPTER_FILE = "adapter.safetensors"
_BASE = re.compile(r"\.base_layer\.")

_ABILITIES = {
    ("generate",): "it draws no pictures",
    ("answer",): "it answers no questions",
    ("image_scores", "tokenize_images"): "it does not tell how likely pictures are",
    ("answer_scores", "text_logprobs"): "it does not tell how likely texts are",
    ("draw", "decode_tokens", "write", "text_of", "check_prompt", "save", "saved", "anatomy"): "it can be sampled, but not saved",
}
"""What an adapter's class must have, and what it means that it has not."""

_ATTRIBUTES = ("network", "caption_request", "score_end", "end_token", "estimator")
"""What a model must have besides, once it is loaded."""


def check_trainable(reference: ModelReference) -> type[Trainable]:
    """The adapter's class of a model that can be trained. Raises `UserError` that says why another cannot."""
    kind = registry.load("models", reference.adapter)
    why = kind.cannot_learn(reference.reference) if issubclass(kind, TellsWhyNot) else None
    lacking = (said for names, said in _ABILITIES.items() if not all(hasattr(kind, name) for name in names))
    why = why or next(lacking, None)
    if why is not None:
        raise UserError(
            f"model '{reference.name}' cannot be trained: {why} (adapter '{reference.adapter}'); give a checkpoint that draws,"
            " answers and scores both ways, such as tiny-janus"
        )
    found: type[Trainable] = kind
    return found


def load_model(reference: ModelReference, recipe: Recipe, *, device: str, dtype: str) -> Trainable:
    """The model as the recipe asks of it. Raises `UserError` for one that cannot be trained."""
    check_trainable(reference)
    model = reference.load(device=device, dtype=dtype)
    lacking = [name for name in _ATTRIBUTES if not hasattr(model, name)]
    if lacking:
        raise UserError(f"model '{reference.name}' cannot be trained: it has no {', '.join(lacking)}")
    assert isinstance(model, Trainable)
    if recipe.sampling.caption_request is not None:
        model.caption_request = recipe.sampling.caption_request
    model.score_end = recipe.reward.score_end
    return model


class Policy(nn.Module):
    """A model of which `trainable` parts, or LoRA adapters, learn: those of its anatomy's usual where none are named."""

    def __init__(
        self,
        model: Trainable,
        *,
        trainable: Sequence[str] | None = None,
        lora: Lora | None = None,
        guidance: float = 1.0,
        seed: int = 0,
    ) -> None:
        """`guidance` is that of `forward`'s distribution over image tokens; `seed` that of the adapters' first weights."""
        super().__init__()
        self.adapter = model
        self.anatomy = model.anatomy
        self.network = model.network
        self.guidance = guidance
        self.lora = lora
        chosen = tuple(trainable or self.anatomy.usual)
        for name in chosen:
            if name not in self.anatomy.parts:
                raise unknown("trainable part", name, self.anatomy.parts)
        self.network.requires_grad_(False)
        self.learning: tuple[str, ...] = () if lora is not None else chosen
        if lora is not None:
            _inject(self.network, self.anatomy.language_model, lora, seed)
        for name in self.learning:
            self.part(name).requires_grad_(True)
        for name in self.anatomy.frozen:
            self.network.get_submodule(name).requires_grad_(False)

    @classmethod
    def of(cls, recipe: Recipe, model: Trainable) -> Self:
        return cls(
            model,
            trainable=recipe.trainable,
            lora=recipe.lora,
            guidance=recipe.sampling.likelihood_guidance,
            seed=int(recipe.trainer.get("seed", DEFAULTS["seed"])),
        )

    def part(self, name: str) -> nn.Module:
        """The part of the network that a recipe calls so."""
        return self.network.get_submodule(self.anatomy.parts[name])

    @property
    def language_model(self) -> Any:
        return self.network.get_submodule(self.anatomy.language_model)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def _no_split_modules(self) -> list[str]:
        """Read by FSDP, which shards by these modules."""
        return sorted({type(layer).__name__ for layer in self.language_model.layers})

    @property
    def config(self) -> Any:
        """Read by DeepSpeed's automatic settings, which look for `hidden_size`."""
        return getattr(self.network, "config", None)

    def forward(
        self,
        task: Task,
        contexts: Sequence[str] | Sequence[Image.Image],
        samples: Sequence[Sequence[int]],
        seeds: Sequence[int] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities of samples, differentiable, and entropies: all tokens of all samples, one after the other.

        `contexts` are prompts (task gen) or pictures (task und), one a sample; `seeds`, one a sample, are those of an estimated
        likelihood. Parts of the other task take part with a gradient of zero, because gradients are exchanged between ranks for
        all parts that learn.
        """
        logprobs, entropy = scores(self.adapter, task, contexts, samples, guidance=self.guidance, seeds=seeds, entropy=True)
        flat = torch.cat(logprobs)
        for name in self.anatomy.idle[task]:
            if name in self.learning:
                flat = flat + 0.0 * self._touch(name)
        return flat, torch.cat(entropy)

    def train(self, mode: bool = True) -> Self:
        """Only the language model is ever in training mode: the frozen parts stay as the rewards know them."""
        super().train(False)
        self.language_model.train(mode)
        self.training = mode
        return self

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: dict[str, Any] | None = None, **others: Any
    ) -> None:
        """Sampling is not affected: it goes through the layers' parts with a cache of its own."""
        kwargs = {"use_reentrant": False, **(activation_checkpointing_kwargs or {})}
        self._checkpointing("activation_checkpointing_enable")(kwargs, **others)
        if not kwargs["use_reentrant"]:
            # Inputs need no gradients then; with them, autograd would go through the frozen parts before the language model too.
            self._checkpointing("disable_input_require_grads")()

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        """The same for a transformers that has only the older name."""
        kwargs = {"use_reentrant": False, **(gradient_checkpointing_kwargs or {})}
        self._checkpointing("gradient_checkpointing_enable")(gradient_checkpointing_kwargs=kwargs)

    def _checkpointing(self, name: str) -> Callable[..., None]:
        """A method of transformers' networks. Raises `UserError` where the network is no such one."""
        found: Callable[..., None] | None = getattr(self.network, name, None)
        if found is None:
            raise UserError(
                f"trainer.gradient_checkpointing: the network of model '{self.adapter.name}' ({type(self.network).__name__}) has"
                f" no {name}; leave it out"
            )
        return found

    def save(self, folder: Path, state: dict[str, torch.Tensor] | None = None) -> None:
        """A checkpoint that loads by itself, adapters merged. `state` are this module's gathered weights, where they are
        sharded."""
        state = self.state_dict() if state is None else state
        weights = {name.removeprefix("network."): tensor for name, tensor in state.items() if name.startswith("network.")}
        if self.lora is not None:
            adapter = {name: tensor.contiguous() for name, tensor in weights.items() if ".lora_" in name}
            folder.mkdir(parents=True, exist_ok=True)
            save_file(adapter, folder / ADAPTER_FILE)
            weights = _merged(weights, self.lora)
        self.adapter.save(folder, weights)

    def load(self, folder: Path) -> None:
        """Weights that `save` wrote, into shards where the weights lie in shards. Raises `UserError` where they are not whole."""
        weights: Any = self._adapters(folder) if self.lora is not None else self.adapter.saved(folder)
        options = StateDictOptions(full_state_dict=True, strict=self.lora is None)
        set_model_state_dict(self.network, weights, options=options)

    def _adapters(self, folder: Path) -> dict[str, torch.Tensor]:
        file = folder / ADAPTER_FILE
        checkpoint.check_whole(file)
        found: dict[str, torch.Tensor] = load_file(file)
        if set(found) != {name for name in self.network.state_dict() if ".lora_" in name}:
            raise UserError(f"{file} holds the adapters of another recipe; resume with that recipe")
        return found

    def _touch(self, name: str) -> torch.Tensor:
        part = self.part(name)
        first = next(module for module in part.modules() if isinstance(module, nn.Linear))
        zeros = torch.zeros(1, first.in_features, device=first.weight.device, dtype=first.weight.dtype)
        touched: torch.Tensor = part(zeros).float().sum()
        return touched


def scores(
    model: Trainable,
    task: Task,
    contexts: Sequence[Any],
    samples: Sequence[Sequence[int]],
    *,
    guidance: float,
    seeds: Sequence[int] | None,
    entropy: bool = False,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Log-probabilities of a task's samples under a model, and the distributions' entropies; see `Policy.forward`."""
    if task == "gen":
        found = model.image_scores(contexts, torch.tensor(samples), guidance=guidance, entropy=entropy, seeds=seeds)
    else:
        found = model.answer_scores(contexts, [model.caption_request] * len(samples), samples, entropy=entropy)
    return found.logprobs, found.entropy


def adapted_layers(language_model: nn.Module, lora: Lora) -> list[str]:
    """The names of the linear layers that take adapters: those of `target_modules`, or all. Raises `UserError` where
    there are none, or none of a name."""
    linear = [name for name, module in language_model.named_modules() if isinstance(module, nn.Linear)]
    wanted = lora.target_modules
    if not linear:
        raise UserError("lora: the language model has no linear layers that adapters could go into; leave lora out")
    if wanted is None:
        return linear
    strange = [one for one in wanted if not any(f".{name}".endswith(f".{one}") for name in linear)]
    if strange:
        choices = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
        raise UserError(f"lora.target_modules {', '.join(strange)}: no linear layer is called so (choices: {choices})")
    return [name for name in linear if any(f".{name}".endswith(f".{one}") for one in wanted)]


def _inject(network: nn.Module, language_model: str, lora: Lora, seed: int) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError(f"LoRA needs the package peft; install it with {install('train')}") from None
    layers = adapted_layers(network.get_submodule(language_model), lora)
    targets = [f"{language_model}.{name}" if language_model else name for name in layers]
    config = LoraConfig(r=lora.r, lora_alpha=lora.lora_alpha, lora_dropout=lora.lora_dropout, target_modules=targets, bias="none")
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        inject_adapter_in_model(config, network)


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

"""Families of transformers' image-text-to-text models: what one of them needs that is not in its checkpoint. Data, no torch.

A checkpoint's own chat template and processor come first; a family adds the template of a checkpoint without one and the
settings of the published numbers (specs/backbones.md, section 2). A `model_type` that is not here is `GENERIC`: its answers
need a chat template, and its likelihoods are first held against its own sampler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True)
class Family:
    """`template` is for checkpoints without a chat template: `{pictures}` are the placeholders of all pictures, each followed by
    `between`; None means that such a checkpoint is refused.

    `call` is what the processor is told with that template. `instead` names, by class of image processor, the
    "module:class" that reads its settings in its place; `image_processor` are attributes set, by class too, for one of another
    class would keep them and not heed them; `recorded` are those that run.json tells. `pictures` are the fewest
    and the most of one question. `proven` says that tests hold this family's likelihoods against a plain computation.
    """

    template: str | None = None
    between: str = ""
    instead: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    image_processor: Mapping[str, Mapping[str, object]] = field(default_factory=lambda: MappingProxyType({}))
    call: Mapping[str, object] = field(default_factory=lambda: NOTHING)
    recorded: tuple[str, ...] = ()
    pictures: tuple[int, int | None] = (0, None)
    proven: bool = False


_LLAVA = "USER: {pictures}{question} ASSISTANT:"
_ONE = (1, 1)
_QWEN = Family(recorded=("size",))

GENERIC = Family(recorded=("size",))

FAMILIES: Mapping[str, Family] = {
    # transformers cuts the middle square out of a picture, the authors' evaluation pads it to a square. The published
    # checkpoints name CLIP's image processor, which keeps do_pad=True and does not pad.
    "llava": Family(
        template=_LLAVA,
        between="\n",
        instead={"CLIPImageProcessorPil": "transformers.models.llava.image_processing_pil_llava:LlavaImageProcessorPil"},
        image_processor={"LlavaImageProcessorPil": {"do_pad": True}},
        recorded=("do_pad", "size", "crop_size"),
        proven=True,
    ),
    "llava_next": Family(template=_LLAVA, between="\n", recorded=("size", "image_grid_pinpoints")),
    # `size` holds the fewest and the most pixels, which the checkpoint decides and a comparison has to share.
    "qwen2_vl": _QWEN,
    "qwen2_5_vl": Family(recorded=("size",), proven=True),
    "qwen3_vl": _QWEN,
    # The Q-Former reads the picture for one question, so that there is one picture, and a question alone is not read.
    "instructblip": Family(template="{question}", recorded=("size",), pictures=_ONE, proven=True),
    "blip-2": Family(template="Question: {question} Answer:", recorded=("size",), pictures=_ONE),
    # The processor's class cuts a picture into tiles whatever the checkpoint's image processor says of it.
    "internvl": Family(
        image_processor={"GotOcr2ImageProcessorPil": {"crop_to_patches": True}},
        recorded=("size", "crop_to_patches", "min_patches", "max_patches"),
        proven=True,
    ),
    # Its processor would end the user's turn unseen; `forward` masks the image tokens, so that texts share all the probability.
    "chameleon": Family(
        template="{pictures}{question}{separator}",
        call={"return_for_text_completion": True},
        recorded=("size", "crop_size"),
        proven=True,
    ),
}

OTHERS_OWN = ("janus", "emu3")
"""Image-text-to-text models in transformers that have an adapter of their own here."""


def served(model_type: str) -> bool:
    """Whether transformers has an image-text-to-text model of this `model_type`; its table is read only for unknown ones."""
    if model_type in FAMILIES:
        return True
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as NAMES

    return model_type in NAMES and model_type not in OTHERS_OWN


def family(model_type: str) -> Family:
    """What is known of a `model_type` of config.json."""
    return FAMILIES.get(model_type, GENERIC)

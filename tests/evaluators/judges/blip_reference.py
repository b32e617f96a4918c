"""BLIP VQA a second time, slowly: one question at a time, in plain torch, from BLIP's own weights under BLIP's own names.

Written from the papers (ViT, BERT, BLIP) and the sizes in the specification; nothing of transformers is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F

Weights = Mapping[str, torch.Tensor]


def p_yes(weights: Weights, picture: torch.Tensor, question: Sequence[int], *, heads: int, answers: tuple[int, int]) -> float:
    """`picture` is (3, 480, 480), normalised; `question` begins with [CLS]; `answers` are the tokens of yes and no."""
    words = len(weights["text_encoder.embeddings.word_embeddings.weight"])
    seen = see(weights, picture, heads)
    read = text(weights, "text_encoder.", [words - 1, *question[1:]], seen, heads)
    state = text(weights, "text_decoder.bert.", [words - 2], read, heads)[-1]
    head = "text_decoder.cls.predictions."
    state = norm(weights, f"{head}transform.LayerNorm", F.gelu(linear(weights, f"{head}transform.dense", state)), 1e-12)
    logits = state @ weights[f"{head}decoder.weight"].T + weights[f"{head}bias"]
    everything = torch.softmax(logits, dim=-1)
    yes, no = (everything[token] for token in answers)
    return float(yes / (yes + no))


def see(weights: Weights, picture: torch.Tensor, heads: int) -> torch.Tensor:
    """A pre-norm ViT: (patches + 1, width)."""
    kernel, bias = (weights[f"visual_encoder.patch_embed.proj.{kind}"] for kind in ("weight", "bias"))
    patches = F.conv2d(picture[None], kernel, bias, stride=kernel.shape[-1])[0].flatten(1).T
    states = torch.cat([weights["visual_encoder.cls_token"][0], patches]) + weights["visual_encoder.pos_embed"][0]
    for layer in range(count(weights, "visual_encoder.blocks.")):
        own = f"visual_encoder.blocks.{layer}."
        query, key, value = linear(weights, f"{own}attn.qkv", norm(weights, f"{own}norm1", states, 1e-6)).chunk(3, dim=-1)
        states = states + linear(weights, f"{own}attn.proj", attend(query, key, value, heads))
        hidden = F.gelu(linear(weights, f"{own}mlp.fc1", norm(weights, f"{own}norm2", states, 1e-6)))
        states = states + linear(weights, f"{own}mlp.fc2", hidden)
    return norm(weights, "visual_encoder.norm", states, 1e-6)


def text(weights: Weights, prefix: str, tokens: Sequence[int], other: torch.Tensor, heads: int) -> torch.Tensor:
    """A post-norm BERT whose every layer also looks at `other`: (tokens, width)."""
    embeddings = f"{prefix}embeddings."
    states = weights[f"{embeddings}word_embeddings.weight"][list(tokens)]
    states = states + weights[f"{embeddings}position_embeddings.weight"][: len(tokens)]
    states = norm(weights, f"{embeddings}LayerNorm", states, 1e-12)
    for layer in range(count(weights, f"{prefix}encoder.layer.")):
        own = f"{prefix}encoder.layer.{layer}."
        for attention, keys in (("attention", states), ("crossattention", other)):
            query = linear(weights, f"{own}{attention}.self.query", states)
            key, value = (linear(weights, f"{own}{attention}.self.{kind}", keys) for kind in ("key", "value"))
            found = linear(weights, f"{own}{attention}.output.dense", attend(query, key, value, heads))
            states = norm(weights, f"{own}{attention}.output.LayerNorm", states + found, 1e-12)
        hidden = linear(weights, f"{own}output.dense", F.gelu(linear(weights, f"{own}intermediate.dense", states)))
        states = norm(weights, f"{own}output.LayerNorm", states + hidden, 1e-12)
    return states


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
    """softmax(Q K^T / sqrt(d)) V, head by head."""
    found = []
    for q, k, v in zip(*(each.chunk(heads, dim=-1) for each in (query, key, value)), strict=True):
        found.append(torch.softmax(q @ k.T / q.shape[-1] ** 0.5, dim=-1) @ v)
    return torch.cat(found, dim=-1)


def linear(weights: Weights, name: str, states: torch.Tensor) -> torch.Tensor:
    return states @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(weights: Weights, name: str, states: torch.Tensor, epsilon: float) -> torch.Tensor:
    return F.layer_norm(states, states.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], epsilon)


def count(weights: Weights, prefix: str) -> int:
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in weights if name.startswith(prefix))


def shapes(*, width: int, layers: int, words: int, patches: int, patch: int, positions: int) -> dict[str, tuple[int, ...]]:
    """The names and shapes of BLIP's VQA checkpoint for a network of these sizes."""
    found: dict[str, tuple[int, ...]] = {
        "visual_encoder.cls_token": (1, 1, width),
        "visual_encoder.pos_embed": (1, patches + 1, width),
        "visual_encoder.patch_embed.proj.weight": (width, 3, patch, patch),
        "visual_encoder.patch_embed.proj.bias": (width,),
        "text_decoder.cls.predictions.bias": (words,),
    }
    dense: dict[str, tuple[int, int]] = {
        "text_decoder.cls.predictions.decoder": (words, width),
        "text_decoder.cls.predictions.transform.dense": (width, width),
    }
    norms = ["visual_encoder.norm", "text_decoder.cls.predictions.transform.LayerNorm"]
    for layer in range(layers):
        own = f"visual_encoder.blocks.{layer}."
        dense |= {f"{own}attn.qkv": (3 * width, width), f"{own}attn.proj": (width, width)}
        dense |= {f"{own}mlp.fc1": (4 * width, width), f"{own}mlp.fc2": (width, 4 * width)}
        norms += [f"{own}norm1", f"{own}norm2"]
    for prefix in ("text_encoder.", "text_decoder.bert."):
        found[f"{prefix}embeddings.word_embeddings.weight"] = (words, width)
        found[f"{prefix}embeddings.position_embeddings.weight"] = (positions, width)
        norms.append(f"{prefix}embeddings.LayerNorm")
        for layer in range(layers):
            own = f"{prefix}encoder.layer.{layer}."
            for attention in ("attention", "crossattention"):
                dense |= {f"{own}{attention}.self.{kind}": (width, width) for kind in ("query", "key", "value")}
                dense[f"{own}{attention}.output.dense"] = (width, width)
                norms.append(f"{own}{attention}.output.LayerNorm")
            dense |= {f"{own}intermediate.dense": (4 * width, width), f"{own}output.dense": (width, 4 * width)}
            norms.append(f"{own}output.LayerNorm")
    for name, (out, into) in dense.items():
        found |= {f"{name}.weight": (out, into), f"{name}.bias": (out,)}
    return found | {f"{name}.{kind}": (width,) for name in norms for kind in ("weight", "bias")}


def random_weights(sizes: Mapping[str, tuple[int, ...]], std: float) -> dict[str, torch.Tensor]:
    """Normal numbers for every weight, norms around 1; the decoder's words are its embeddings, as in BLIP."""
    generator = torch.Generator().manual_seed(0)
    found = {name: torch.randn(size, generator=generator) * std for name, size in sizes.items()}
    for name in found:
        if "norm" in name.lower() and name.endswith("weight"):
            found[name] += 1
    found["text_decoder.cls.predictions.decoder.weight"] = found["text_decoder.bert.embeddings.word_embeddings.weight"]
    found["text_decoder.cls.predictions.decoder.bias"] = found["text_decoder.cls.predictions.bias"]
    return found

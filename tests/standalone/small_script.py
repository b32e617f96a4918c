"""A model of a few lines for `model-server`: a colour for each prompt and seed, an answer for each picture, a score by length."""

import hashlib
import math

from PIL import Image

NAME = "small"
REVISION = "1"
SCORES = ("score_text",)


def generate(prompt, *, seed, guidance_scale=2.0):
    if "forbidden" in prompt:
        raise NotImplementedError("this model does not draw that")
    digest = hashlib.sha256(f"{prompt} {seed} {guidance_scale}".encode()).digest()
    return Image.new("RGB", (16, 16), tuple(digest[:3]))


def answer(images, question, *, temperature, max_tokens):
    seen = [image.resize((1, 1)).getpixel((0, 0)) for image in images]
    return ("yes" if sum(sum(colour) for colour in seen) % 2 else "no") if "yes" in question else f"{len(question)} of {seen}"


def loglikelihood(context, target):
    shade = context[0].resize((1, 1)).getpixel((0, 0))[0]
    return [-math.log(2 + (shade + len(word)) % 7) for word in target[0].split()]

"""The words of the embedded world and what they look like."""

from __future__ import annotations

from types import MappingProxyType

SIZE = 64
"""Side of a picture in pixels; see docs/world.md for the measurement that chose it."""

CELL = 8
"""Boxes lie on this grid, which is also the patch of the tiny models."""

NOUNS = ("ball", "box", "star", "heart", "moon", "ring", "cross", "kite", "tent", "bowl", "hourglass", "mushroom")

HOLDERS = ("ball", "box", "heart", "kite", "bowl", "ring")
"""Nouns whose middle can show a small thing inside."""

COLORS = MappingProxyType(
    {
        "red": (220, 30, 30),
        "orange": (255, 140, 0),
        "yellow": (250, 225, 40),
        "green": (30, 150, 50),
        "blue": (40, 80, 220),
        "purple": (130, 40, 170),
        "pink": (255, 150, 200),
        "brown": (120, 70, 25),
        "black": (15, 15, 15),
        "white": (250, 250, 250),
    }
)
"""GenEval's ten colours in its order."""

LIGHT = frozenset({"orange", "yellow", "pink", "white"})
"""Colours whose textures are drawn in black; the others' are drawn in white."""

INK = (0, 190, 190)
"""The arms and arrows of actions; no thing has this colour."""

BACKGROUNDS = ((128, 140, 155), (140, 150, 125), (155, 135, 150), (165, 155, 130))

TEXTURES = ("solid", "striped", "dotted", "checkered")

FORMS = MappingProxyType({"": (3, 3), "tall": (2, 4), "wide": (4, 2), "small": (2, 2), "big": (4, 4)})
"""Width and height of a thing in cells; the unmarked form is ''."""

ACTIONS = ("touches", "holds", "points at", "is inside")

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")


def plural(noun: str) -> str:
    return noun + ("es" if noun.endswith(("x", "s")) else "s")


def secondary(color: str) -> tuple[int, int, int]:
    """The tone of a texture's marks."""
    return COLORS["black"] if color in LIGHT else COLORS["white"]

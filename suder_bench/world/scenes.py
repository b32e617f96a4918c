"""Scenes: what a description asks for, laid out on the picture. Everything is a pure function of the random generator given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from suder_bench.world.vocabulary import BACKGROUNDS, CELL, COLORS, FORMS, HOLDERS, SIZE, TEXTURES

Kind = Literal[
    "left of", "right of", "above", "below", "next to", "in front of", "behind", "touches", "holds", "points at", "is inside"
]
GRID = SIZE // CELL
OPPOSITE: dict[str, Kind] = {"right of": "left of", "below": "above", "behind": "in front of"}


@dataclass(frozen=True)
class Phrase:
    """`count` things of one noun; None leaves an attribute open, form '' asks for the unmarked one."""

    noun: str
    count: int = 1
    color: str | None = None
    texture: str | None = None
    form: str | None = None


@dataclass(frozen=True)
class Relation:
    """`kind` holds of phrase `first` with respect to phrase `second`; `side` also puts the first on that side of an action."""

    kind: Kind
    first: int = 0
    second: int = 1
    side: Literal["left of", "right of"] | None = None


@dataclass(frozen=True)
class Description:
    """What a text says: one to four things in all, at most one relation between two single ones."""

    phrases: tuple[Phrase, ...]
    relation: Relation | None = None


@dataclass(frozen=True)
class Thing:
    """One drawn object. `cell` is (column, row, width, height) on the grid."""

    noun: str
    color: str
    texture: str
    form: str
    cell: tuple[int, int, int, int]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) in pixels, x1 and y1 exclusive."""
        x, y, w, h = self.cell
        return (x * CELL, y * CELL, (x + w) * CELL, (y + h) * CELL)


@dataclass(frozen=True)
class Scene:
    """Things in drawing order, farthest first. `order[i]` is the thing of the description's i-th object."""

    background: int
    things: tuple[Thing, ...]
    order: tuple[int, ...]
    relation: Relation | None = None

    def described(self) -> tuple[Thing, ...]:
        """The things in the description's order."""
        return tuple(self.things[i] for i in self.order)


def draw(description: Description, rng: np.random.Generator) -> Scene:
    """A scene that shows exactly what the description says; what it leaves open is drawn at random.

    Raises `ValueError` for more than four things or a relation between groups.
    """
    wanted = [replace(p, count=1) for p in description.phrases for _ in range(p.count)]
    if not 1 <= len(wanted) <= 4:
        raise ValueError(f"a scene holds one to four things, not {len(wanted)}")
    background = int(rng.integers(len(BACKGROUNDS)))
    relation = description.relation
    if relation is None:
        scattered = tuple(_scattered(wanted, rng))
        return Scene(background, scattered, tuple(range(len(scattered))))
    if any(p.count != 1 for p in description.phrases) or len(wanted) != 2:
        raise ValueError("a relation holds between two single things")
    kind: str = relation.kind
    first, second = wanted[relation.first], wanted[relation.second]
    if kind in OPPOSITE:
        kind, first, second = OPPOSITE[kind], second, first
    a, b = _LAYOUTS[kind](first, second, rng)
    while relation.side is not None and (relation.side == "left of") != (a.cell[0] < b.cell[0]):
        a, b = _LAYOUTS[kind](first, second, rng)
    if relation.kind in OPPOSITE:
        a, b = b, a
    # The nearer thing is drawn last: whatever lies in front or inside.
    things, order = ((b, a), [1, 0]) if kind in ("in front of", "is inside") and relation.kind != "behind" else ((a, b), [0, 1])
    if relation.first == 1:
        order.reverse()
    return Scene(background, things, tuple(order), relation)


def _fill(
    phrase: Phrase, rng: np.random.Generator, *, taken: tuple[str, ...] = (), plain: bool = False, forms: bool = True
) -> Thing:
    """Choose what the phrase leaves open. `plain` scenes have overlaps or marks, which a texture would hide."""
    color = phrase.color or str(rng.choice([c for c in COLORS if c not in taken]))
    form = phrase.form
    if form is None:
        # A texture does not fit on a small thing.
        choices = [f for f in FORMS if f and (f != "small" or phrase.texture in (None, "solid"))]
        form = str(rng.choice(choices)) if forms and rng.random() < 0.25 else ""
    plain = plain or form == "small"
    texture = phrase.texture or ("solid" if plain or rng.random() < 0.7 else str(rng.choice(TEXTURES[1:])))
    return Thing(phrase.noun, color, texture, form, (0, 0, *FORMS[form]))


def _at(thing: Thing, x: int, y: int, size: tuple[int, int] | None = None) -> Thing:
    return replace(thing, cell=(x, y, *(size or thing.cell[2:])))


def _scattered(wanted: list[Phrase], rng: np.random.Generator) -> list[Thing]:
    crowded = len(wanted) > 2
    things = [_fill(p, rng, forms=not crowded) for p in wanted]
    for _ in range(200):
        placed: list[Thing] = []
        for thing in things:
            w, h = thing.cell[2:]
            x, y = int(rng.integers(GRID - w + 1)), int(rng.integers(GRID - h + 1))
            if any(_near(_at(thing, x, y), other) for other in placed):
                break
            placed.append(_at(thing, x, y))
        else:
            return placed
    quarters = rng.permutation([(0, 0), (GRID // 2, 0), (0, GRID // 2), (GRID // 2, GRID // 2)])
    return [_at(t, int(x), int(y)) for t, (x, y) in zip(things, quarters, strict=False)]


def _near(a: Thing, b: Thing) -> bool:
    """Less than one free cell between the boxes."""
    ax, ay, aw, ah = a.cell
    bx, by, bw, bh = b.cell
    return ax < bx + bw + 1 and bx < ax + aw + 1 and ay < by + bh + 1 and by < ay + ah + 1


def _beside(first: Phrase, second: Phrase, rng: np.random.Generator, *, vertical: bool) -> tuple[Thing, Thing]:
    """`first` left of (or above) `second`: a free cell between them, and little offset along the other axis."""
    along, across = (1, 0) if vertical else (0, 1)
    a = _fill(first, rng)
    b = _fill(second, rng, forms=a.cell[2 + along] < GRID // 2)
    for _ in range(500):
        pa, pb = _corner(a, rng), _corner(b, rng)
        gap = pb[along] - pa[along] - a.cell[2 + along]
        shift = [pb[i] + b.cell[2 + i] / 2 - pa[i] - a.cell[2 + i] / 2 for i in range(2)]
        if gap >= 1 and abs(shift[across]) <= 0.5 * shift[along]:
            return _at(a, *pa), _at(b, *pb)
    # They need nearly the whole side: one at each end.
    x, y = (0, GRID - b.cell[3]) if vertical else (GRID - b.cell[2], 0)
    return _at(a, 0, 0), _at(b, x, y)


def _corner(thing: Thing, rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(GRID - thing.cell[2] + 1)), int(rng.integers(GRID - thing.cell[3] + 1))


def _left_of(first: Phrase, second: Phrase, rng: np.random.Generator) -> tuple[Thing, Thing]:
    return _beside(first, second, rng, vertical=False)


def _above(first: Phrase, second: Phrase, rng: np.random.Generator) -> tuple[Thing, Thing]:
    return _beside(first, second, rng, vertical=True)


def _next_to(first: Phrase, second: Phrase, rng: np.random.Generator) -> tuple[Thing, Thing]:
    a, b = _fill(first, rng, forms=False), _fill(second, rng, forms=False)
    return _row(a, b, rng, gap=1)


def _row(a: Thing, b: Thing, rng: np.random.Generator, *, gap: int) -> tuple[Thing, Thing]:
    """Two things side by side with `gap` cells between, centred on one line, in either order."""
    left, right = (a, b) if rng.random() < 0.5 else (b, a)
    (lw, lh), (rw, rh) = left.cell[2:], right.cell[2:]
    x = int(rng.integers(GRID - lw - gap - rw + 1))
    top = int(rng.integers(GRID - max(lh, rh) + 1))
    left = _at(left, x, top + (max(lh, rh) - lh) // 2)
    right = _at(right, x + lw + gap, top + (max(lh, rh) - rh) // 2)
    return (left, right) if left.noun == a.noun and left.color == a.color else (right, left)


def _in_front(first: Phrase, second: Phrase, rng: np.random.Generator) -> tuple[Thing, Thing]:
    """The back thing is big, the front one covers a quarter of its box from one corner."""
    front = _fill(first, rng, plain=True, forms=False)
    back = _fill(second, rng, taken=(front.color,), plain=True, forms=False)
    front = _distinct(front, back, first, rng)
    w, h = FORMS["big"]
    x, y = int(rng.integers(1, GRID - w)), int(rng.integers(1, GRID - h))
    dx, dy = int(rng.choice([-1, 2])), int(rng.choice([-1, 2]))
    x, y = min(x, GRID - 2 - 3) if dx > 0 else x, min(y, GRID - 2 - 3) if dy > 0 else y
    return _at(front, x + dx, y + dy, FORMS[""]), replace(_at(back, x, y, (w, h)), form="big")


def _distinct(thing: Thing, other: Thing, phrase: Phrase, rng: np.random.Generator) -> Thing:
    """Overlapping things differ in colour, so that pixels can tell them apart; raises if the phrases forbid it."""
    if thing.color != other.color:
        return thing
    if phrase.color is not None:
        raise ValueError(f"two {thing.color} things may not overlap")
    return _fill(phrase, rng, taken=(other.color,), plain=True, forms=False)


def _touching(first: Phrase, second: Phrase, rng: np.random.Generator) -> tuple[Thing, Thing]:
    return _acting(first, second, rng, gap=0)


def _reaching(first: Phrase, second: Phrase, rng: np.random.Generator) -> tuple[Thing, Thing]:
    return _acting(first, second, rng, gap=2)


def _acting(first: Phrase, second: Phrase, rng: np.random.Generator, *, gap: int) -> tuple[Thing, Thing]:
    a = _fill(first, rng, plain=True, forms=False)
    b = _fill(second, rng, taken=(a.color,), plain=True, forms=False)
    a = _distinct(a, b, first, rng)
    return _row(a, b, rng, gap=gap)


def _inside(first: Phrase, second: Phrase, rng: np.random.Generator) -> tuple[Thing, Thing]:
    """A small thing in the middle of one of six cells a side."""
    if second.noun not in HOLDERS:
        raise ValueError(f"nothing fits inside a {second.noun}; choose from {', '.join(HOLDERS)}")
    inner = _fill(first, rng, plain=True, forms=False)
    outer = _fill(second, rng, taken=(inner.color,), plain=True, forms=False)
    inner = _distinct(inner, outer, first, rng)
    x, y = (int(v) for v in rng.integers(GRID - 6 + 1, size=2))
    return (
        replace(_at(inner, x + 2, y + 2, FORMS["small"]), form="small"),
        replace(_at(outer, x, y, (6, 6)), form="big"),
    )


_LAYOUTS: dict[str, Callable[[Phrase, Phrase, np.random.Generator], tuple[Thing, Thing]]] = {
    "left of": _left_of,
    "above": _above,
    "next to": _next_to,
    "in front of": _in_front,
    "touches": _touching,
    "holds": _reaching,
    "points at": _reaching,
    "is inside": _inside,
}

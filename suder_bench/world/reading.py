"""How well a picture shows what a text says. Facts come from `sentences`, what is known of the picture from `views`."""

from __future__ import annotations

import numpy as np

from suder_bench.world.perception import Percept
from suder_bench.world.scenes import Phrase, Scene
from suder_bench.world.sentences import ALWAYS, ANYTHING, Alike, Fact, Placed, Related, Shown, read
from suder_bench.world.views import PerceptView, SceneView, View
from suder_bench.world.vocabulary import COLORS

_FLOOR = 0.01
"""What a fact that is not shown at all leaves of an agreement's factor, so that the other facts still count."""


def probability(fact: Fact, picture: Percept | Scene | View) -> float:
    """How likely the fact is true of the picture, in [0, 1]; things are taken as independent of each other."""
    view = _view(picture)
    match fact:
        case Shown(phrase) if phrase.noun in ALWAYS:
            return 1.0
        case Shown(phrase, exact):
            return float(_counts(view.fits(phrase))[phrase.count]) if exact else _any(view.fits(phrase))
        case Related(first, kind, second):
            return _any(np.outer(view.fits(first), view.fits(second)) * view.relates(kind))
        case Placed(phrase, place):
            return _any(view.fits(phrase) * view.lies(place))
        case Alike(first, second, same):
            colored = [(view.fits(_tinted(first, c)), view.fits(_tinted(second, c))) for c in COLORS]
            alike = np.sum([np.outer(a, b) for a, b in colored], axis=0)
            both = np.outer(view.fits(first), view.fits(second))
            held = alike if same else both - alike
            np.fill_diagonal(held, 0)
            return _any(held)
    return 0.0


def conjunction(text: str, picture: Percept | Scene | View) -> float:
    """How likely everything that the text says is true: the product of its facts; 0 for a text that says nothing."""
    view = _view(picture)
    facts = read(text)
    return float(np.prod([probability(fact, view) for fact in facts])) if facts else 0.0


def agreement(text: str, picture: Percept | Scene | View) -> float:
    """How well a picture shows a text, in [0, 1]: the geometric mean of its facts, so that parts count where the whole fails."""
    view = _view(picture)
    facts = read(text)
    if not facts:
        return 0.0
    return float(np.exp(np.mean([np.log(max(probability(fact, view), _FLOOR)) for fact in facts])))


def faithful(caption: str, picture: Percept | Scene | View) -> bool:
    """Whether a caption says something, and each thing it says is true of the picture."""
    view = _view(picture)
    facts = read(caption)
    return bool(facts) and all(probability(fact, view) > 0.5 for fact in facts)


def _view(picture: Percept | Scene | View) -> View:
    if isinstance(picture, Percept):
        return PerceptView(picture)
    return SceneView(picture) if isinstance(picture, Scene) else picture


def _any(p: np.ndarray) -> float:
    """That at least one of independent events happens."""
    return float(1 - np.prod(1 - np.clip(p, 0, 1)))


def _counts(p: np.ndarray) -> np.ndarray:
    """The distribution of the number of events that happen, with room for the numbers a text may ask for."""
    known = np.zeros(max(len(p), 8) + 1)
    known[0] = 1
    for each in p:
        known[1:] = known[1:] * (1 - each) + known[:-1] * each
        known[0] *= 1 - each
    return known


def _tinted(phrase: Phrase, color: str) -> Phrase:
    """The phrase with a colour; one of another colour becomes what nothing is."""
    noun = phrase.noun if phrase.color in (None, color) else "nothing"
    return Phrase(noun or ANYTHING, 1, color, phrase.texture, phrase.form)

"""spaCy's small English model, T2I-CompBench's reader of prompts: parts of speech and noun chunks.

The model decides, not the library: 3.5.0, which the benchmark pins, works beside spaCy 3.8 and parses as it did beside 3.5,
while the model that `python -m spacy` would fetch for spaCy 3.8 parses 138 of the 2,400 prompts otherwise.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from suder_bench.benchmark import Match
from suder_bench.errors import JudgeError, install
from suder_bench.evaluators.judges import manifest as manifests
from suder_bench.evaluators.judges import spacy_model
from suder_bench.evaluators.judges.manifest import Manifest
from suder_bench.evaluators.judges.protocols import Parse, Token

MODEL = "en_core_web_sm"
INSTALL, FETCH = install("parser"), "suder-bench judges fetch parser"
ANOTHER_VERSION = r"\[W095\]"
"""spaCy's warning about a model of another version than its own, which is what the benchmark asks for."""


class SpacyParser:
    """Implements `TextParser`. `exact` is true for the wheel that the benchmark's requirements name, unpacked or installed.

    The fingerprint is the digest of the model's files; the version stands in them. `backend` names the version, and of
    another model than the benchmark's the digest too.
    """

    def __init__(self, pipeline: Any, match: Match) -> None:
        meta = pipeline.meta
        self.match, self.exact = match, match == "exact"
        self.fingerprint = spacy_model.digest(pipeline.path)[:16]
        name = f"spacy-{meta['lang']}_{meta['name']}-{meta['version']}"
        self.backend = name if self.exact else f"{name}-{self.fingerprint[:8]}"
        self._pipeline = pipeline

    @classmethod
    def load(cls, source: str | None, *, device: str, dtype: str, offline: bool, manifest: Manifest | None = None) -> Self:
        """Load a wheel, a folder or an installed package; without a source the wheel that was fetched, or else the installed
        model. Raises `JudgeError` where spaCy or a model that can parse is missing."""
        try:
            spacy = importlib.import_module("spacy")
        except ImportError as error:
            raise JudgeError(f"judge parser: spaCy is not installed; run: {INSTALL} && {FETCH}") from error
        except (ValueError, AttributeError) as error:  # built for another numpy
            told = str(error).splitlines()[0]
            raise JudgeError(f"judge parser: spaCy cannot be imported ({told}); run: {INSTALL} && {FETCH}") from error
        reference, match = _located(source, manifest)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ANOTHER_VERSION)
                pipeline = spacy.load(reference)
        except OSError as error:
            raise JudgeError(
                f"judge parser: spaCy has no model '{reference}'; run: {FETCH}, or give --judge parser=official:FILE.whl or"
                " official:FOLDER"
            ) from error
        except (ValueError, KeyError, ImportError) as error:  # damaged files, and models that another spaCy or package is for
            reason = " ".join(str(error).split())[:200]
            raise JudgeError(
                f"judge parser: spaCy {spacy.__version__} cannot load the model '{reference}' ({reason}); run: {FETCH}, or give"
                " another, --judge parser=official:FILE.whl or official:FOLDER"
            ) from error
        lacking = [part for part in ("tagger", "parser") if part not in pipeline.pipe_names]
        if lacking:
            raise JudgeError(f"judge parser: spaCy's model '{reference}' has no {' and no '.join(lacking)}; run: {FETCH}")
        return cls(pipeline, match)

    def parse(self, texts: Sequence[str]) -> list[Parse]:
        return [
            Parse(tuple(Token(token.text, token.pos_) for token in doc), tuple(chunk.text for chunk in doc.noun_chunks))
            for doc in self._pipeline.pipe(texts)
        ]

    def check(self) -> None:
        """A prompt of the benchmark splits as its paper shows. Raises `JudgeError`."""
        (parse,) = self.parse(["a green bench and a blue bowl"])
        if parse.noun_chunks != ("a green bench", "a blue bowl"):
            raise JudgeError(f"'a green bench and a blue bowl' was split into {list(parse.noun_chunks)}; wrong model?")


def _located(source: str | None, manifest: Manifest | None) -> tuple[str, Match]:
    """What spaCy is to load, and whether it is the benchmark's own."""
    (official,) = manifests.of("parser", manifest)
    file = official.place(manifests.folder()) if source is None else Path(os.path.expanduser(source))
    if file.is_file():
        return str(spacy_model.unpacked(file, manifests.folder())), manifests.match("parser", file, manifest)
    if source is not None and file.is_dir():
        return str(file), "another file"
    name = source or MODEL
    wheel = spacy_model.installed_from(name)
    return name, "another file" if wheel is None else manifests.compare("parser", *wheel, manifest)

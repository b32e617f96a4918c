"""spaCy's small English model, T2I-CompBench's reader of prompts: parts of speech and noun chunks."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from typing import Any, Self

from suder_bench.errors import JudgeError
from suder_bench.evaluators.judges.protocols import Parse, Token

MODEL = "en_core_web_sm"
DOWNLOAD = f"python -m spacy download {MODEL}"
OFFICIAL_VERSION = "3.5."
"""The benchmark pins en_core_web_sm 3.5.0; other versions chunk some prompts differently."""


class SpacyParser:
    """Implements `TextParser`. `exact` is false for another version of the model than the benchmark's."""

    def __init__(self, pipeline: Any) -> None:
        meta = pipeline.meta
        self.backend = f"spacy-{meta['lang']}_{meta['name']}-{meta['version']}"
        self.exact = f"{meta['lang']}_{meta['name']}" == MODEL and meta["version"].startswith(OFFICIAL_VERSION)
        self.fingerprint = hashlib.sha256(self.backend.encode()).hexdigest()[:16]
        self._pipeline = pipeline

    @classmethod
    def load(cls, reference: str, *, device: str, dtype: str, offline: bool) -> Self:
        """Load an installed model or a folder of one. Raises `JudgeError` where spaCy or a model that can parse is missing."""
        try:
            spacy = importlib.import_module("spacy")
        except ImportError as error:
            raise JudgeError(f"judge parser: spaCy is not installed; run: pip install spacy && {DOWNLOAD}") from error
        try:
            pipeline = spacy.load(reference)
        except OSError as error:
            raise JudgeError(
                f"judge parser: spaCy has no model '{reference}'; run: {DOWNLOAD}, or give --judge parser=official:FOLDER"
            ) from error
        lacking = [part for part in ("tagger", "parser") if part not in pipeline.pipe_names]
        if lacking:
            raise JudgeError(f"judge parser: spaCy's model '{reference}' has no {' and no '.join(lacking)}; run: {DOWNLOAD}")
        return cls(pipeline)

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

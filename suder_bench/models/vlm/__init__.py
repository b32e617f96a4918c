"""Vision-language models. Names are imported from their files: what `families` and `whole` tell needs no torch."""
